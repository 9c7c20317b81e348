//! The crate `opendal` and its azblob service, unmodified. Its own behaviour tests are not published, so its
//! operations stand here.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use opendal::services::Azblob;
use opendal::{ErrorKind, Operator};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use welkin_sdk::StorageAccount;
use welkin_storage_service::{DEV_ACCOUNT, DEV_KEY};

use crate::storage::StorageService;

const MIB: usize = 1024 * 1024;

#[test]
fn rust_client() {
    // The HTTP client makes a TLS configuration, which plain HTTP then does not use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    opendal_http_transport_reqwest::install_default();
    let service = StorageService::start();
    let account = StorageAccount::from_connection_string(&service.connection_string()).unwrap();
    account.container("dal").create_if_missing().unwrap();
    let [endpoint, ..] = service.endpoints();
    let settings =
        Azblob::default().container("dal").endpoint(&endpoint).account_name(DEV_ACCOUNT).account_key(DEV_KEY);
    let operator = Operator::new(settings).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        operator.check().await.unwrap();
        write_and_read(&operator).await;
        large(&operator).await;
        conditions(&operator).await;
        listing(&operator).await;
        if crate::built("Append Block") {
            append(&operator).await;
        }
        if crate::built("Copy Blob") {
            copy(&operator).await;
        }
        delete(&operator).await;
    });
    // It does not say who it is.
    service.saw("opendal", str::is_empty);
}

async fn write_and_read(operator: &Operator) {
    for path in ["plain", "a b/ü 漢字", "a%20b", "q?x#y&z", "plus+plus"] {
        operator
            .write_with(path, "0123456789")
            .content_type("text/x")
            .cache_control("no-cache")
            .user_metadata([("color".to_owned(), "blue".to_owned())])
            .await
            .unwrap();
        assert_eq!(operator.read(path).await.unwrap().to_vec(), b"0123456789", "{path}");
        assert_eq!(operator.read_with(path).range(3..7).await.unwrap().to_vec(), b"3456");
        let stat = operator.stat(path).await.unwrap();
        assert_eq!(stat.content_length(), 10);
        assert_eq!(stat.content_type(), Some("text/x"));
        assert_eq!(stat.cache_control(), Some("no-cache"));
        assert_eq!(stat.user_metadata().unwrap().get("color"), Some("blue"));
        assert!(stat.etag().is_some() && stat.last_modified().is_some());
    }
    operator.write("empty", "").await.unwrap();
    assert_eq!(operator.read("empty").await.unwrap().len(), 0);
    assert_eq!(operator.stat("missing").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(operator.read("missing").await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// In blocks, several at a time, and read by ranges at a time.
async fn large(operator: &Operator) {
    let mut data = vec![0; 9 * MIB + 17];
    StdRng::seed_from_u64(9).fill(&mut data[..]);
    let mut writer = operator.writer_with("large").chunk(MIB).concurrent(4).await.unwrap();
    for part in data.chunks(300_000) {
        writer.write(Bytes::copy_from_slice(part)).await.unwrap();
    }
    writer.close().await.unwrap();
    let read = operator.read_with("large").chunk(2 * MIB).concurrent(3).await.unwrap().to_vec();
    assert!(read == data, "what is read differs from what was written");
    let mut sink = operator.writer("sunk").await.unwrap().into_bytes_sink();
    sink.send(Bytes::from_static(b"through a sink")).await.unwrap();
    sink.close().await.unwrap();
    let stream = operator.reader("sunk").await.unwrap().into_bytes_stream(8..).await.unwrap();
    let read: Vec<Bytes> = stream.try_collect().await.unwrap();
    assert_eq!(read.concat(), b"a sink");
    let mut aborted = operator.writer_with("aborted").chunk(MIB).await.unwrap();
    aborted.write(vec![1; 3 * MIB]).await.unwrap();
    aborted.abort().await.unwrap();
    assert!(!operator.exists("aborted").await.unwrap());
}

async fn conditions(operator: &Operator) {
    operator.write("once", "1").await.unwrap();
    let again = operator.write_with("once", "2").if_not_exists(true).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::ConditionNotMatch);
    let etag = operator.stat("once").await.unwrap().etag().unwrap().to_owned();
    assert_eq!(operator.read_with("once").if_match(&etag).await.unwrap().to_vec(), b"1");
    let unchanged = operator.read_with("once").if_none_match(&etag).await.unwrap_err();
    assert_eq!(unchanged.kind(), ErrorKind::ConditionNotMatch);
    let other = operator.stat_with("once").if_match("\"0x1\"").await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::ConditionNotMatch);
}

async fn listing(operator: &Operator) {
    operator.create_dir("tree/").await.unwrap();
    for path in ["tree/a", "tree/b/1", "tree/b/2", "tree/c/d/e"] {
        operator.write(path, path.to_owned()).await.unwrap();
    }
    let names = |entries: Vec<opendal::Entry>| -> Vec<String> {
        let mut names: Vec<String> = entries.iter().map(|entry| entry.path().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(operator.list("tree/").await.unwrap()), ["tree/", "tree/a", "tree/b/", "tree/c/"]);
    let all = operator.list_with("tree/").recursive(true).limit(2).await.unwrap();
    assert_eq!(names(all), ["tree/", "tree/a", "tree/b/1", "tree/b/2", "tree/c/d/e"]);
    let by_prefix = operator.list_with("tree/b/").recursive(true).await.unwrap();
    assert_eq!(names(by_prefix), ["tree/b/1", "tree/b/2"]);
    let mut lister = operator.lister("tree/c/").await.unwrap();
    assert!(lister.next().await.unwrap().unwrap().metadata().is_dir());
}

async fn append(operator: &Operator) {
    for part in ["one ", "two ", "three"] {
        operator.write_with("log", part).append(true).await.unwrap();
    }
    assert_eq!(operator.read("log").await.unwrap().to_vec(), b"one two three");
}

async fn copy(operator: &Operator) {
    operator.write("source ü", "to be copied").await.unwrap();
    operator.copy("source ü", "target").await.unwrap();
    assert_eq!(operator.read("target").await.unwrap().to_vec(), b"to be copied");
    let missing = operator.copy("missing", "target").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

async fn delete(operator: &Operator) {
    operator.delete("plain").await.unwrap();
    assert!(!operator.exists("plain").await.unwrap());
    // To delete what is not there is no error of the client.
    operator.delete("plain").await.unwrap();
    if crate::built("Container Batch") {
        let paths: Vec<String> = ["tree/a", "tree/b/1", "once"].map(str::to_owned).to_vec();
        operator.delete_iter(paths).await.unwrap();
        assert!(!operator.exists("tree/a").await.unwrap());
    }
}
