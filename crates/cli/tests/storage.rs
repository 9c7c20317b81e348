//! `welkin storage check`, `backup`, `restore` and `stats` by the real program: beside a service that runs, after one
//! that was killed, and without one. And how a service ends that is told to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use welkin_base::{AccountName, Timestamp};
use welkin_storage::blob::BlobPath;
use welkin_storage::blob::container::NewContainer;
use welkin_storage::blob::write::NewBlob;
use welkin_storage::{Account, NewKeys, Storage, Uid};
use welkin_storage_wire::Service as Kind;
use welkin_storage_wire::shared_key::{self, AccountKey};
use welkin_store::Store;

const WELKIN: &str = env!("CARGO_BIN_EXE_welkin");
const LARGE: usize = 300_000;
static NEXT_OFFSET: AtomicU16 = AtomicU16::new(1);
const START_LIMIT: Duration = Duration::from_secs(30);

/// A folder with an account, a container and a few blobs in `data`.
async fn sample() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::over(Store::open_local(&folder.path().join("data")).await.unwrap());
    let now = Timestamp::from_ticks(17_900_000_000_000_000);
    let keys = NewKeys { primary: vec![1; 64], secondary: vec![2; 64], delegation: vec![3; 32] };
    let owner = Account::new(AccountName::new("owner").unwrap(), Uid::from_bytes([1; 16]), now, keys);
    storage.create_account(&owner).await.unwrap();
    let new = NewContainer::private(Uid::from_bytes([2; 16]));
    storage.create_container(owner.uid, "photos", new, now).await.unwrap();
    for (name, byte, length) in [("small", 1, 100), ("cat.jpg", 0xC3, LARGE), ("dog.jpg", 0xD0, LARGE)] {
        let mut writer = storage.blob_writer(None);
        writer.write(Bytes::from(vec![byte; length])).await.unwrap();
        let path = BlobPath { account: &owner, container: "photos", name };
        let content = writer.finish().await.unwrap();
        storage.put_blob(path, content, &NewBlob::default(), now).await.unwrap();
    }
    storage.close().await.unwrap();
    folder
}

fn welkin(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(WELKIN);
    command.arg("storage").args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

/// What it printed, when it should succeed.
fn ok(folder: &Path, arguments: &[&str]) -> String {
    let output = welkin(folder, arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out + &err
}

/// What it printed, when it should fail: with status 1, not by a panic.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = welkin(folder, arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {out}{err}");
    assert!(err.contains("error: "), "{arguments:?}: {out}{err}");
    out + &err
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running service; killed when this is dropped.
struct Service(Child, SocketAddr);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(folder: &Path) -> Service {
    let started = Instant::now();
    // Tests run at once: each service tries ports that no other one of this process does.
    let offset = std::iter::repeat_with(|| NEXT_OFFSET.fetch_add(97, Ordering::SeqCst)).find(|offset| {
        [10_000, 10_001, 10_002].iter().all(|port| TcpListener::bind(("127.0.0.1", port + offset)).is_ok())
    });
    let address = SocketAddr::from(([127, 0, 0, 1], 10_000 + offset.unwrap()));
    let offset = offset.unwrap().to_string();
    let mut command = Command::new(WELKIN);
    command.args(["storage", "--dev", "--data", "data", "--port-offset", &offset]).current_dir(folder);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let service = Service(child, address);
    while !ok_stats(folder).contains("running for") {
        assert!(started.elapsed() < START_LIMIT, "the service does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    service
}

/// Figures. Before the service answers the command would open the folder itself, and the service could not.
fn ok_stats(folder: &Path) -> String {
    match UnixStream::connect(folder.join("data/control.sock")).is_ok() {
        true => text(&welkin(folder, &["stats", "--data", "data"]).stdout),
        false => String::new(),
    }
}

fn extent_file(data: &Path) -> PathBuf {
    data.join("extents/00000001.extents")
}

/// Flips a bit of the blob that is full of `byte`.
fn harm(data: &Path, byte: u8) {
    let mut bytes = std::fs::read(extent_file(data)).unwrap();
    let at = bytes.windows(1000).position(|run| run.iter().all(|&found| found == byte)).unwrap();
    bytes[at + 1000] ^= 1;
    std::fs::write(extent_file(data), bytes).unwrap();
}

#[tokio::test]
async fn a_backup_of_a_running_service_becomes_another_one() {
    let sample = sample().await;
    let folder = sample.path();
    let service = serve(folder);
    let printed = ok(folder, &["backup", "--data", "data", "--to", "one.backup"]);
    assert!(printed.contains("2 extents of 585.94 KiB"), "{printed}");
    let printed = ok(folder, &["check", "--data", "data"]);
    // The development account, beside the sample's.
    assert!(printed.contains("2 accounts; 1 containers, 3 blobs"), "{printed}");
    let stats: serde_json::Value =
        serde_json::from_str(&ok(folder, &["stats", "--data", "data", "--json"])).unwrap();
    assert!(stats["uptime_s"].is_u64() && stats["accounts"] == 2, "{stats}");
    let piped = welkin(folder, &["backup", "--data", "data", "--to", "-"]);
    assert!(piped.status.success() && piped.stdout.len() > 2 * LARGE);
    // Killed, so that the socket stays.
    drop(service);
    assert!(folder.join("data/control.sock").exists());
    assert!(ok(folder, &["stats", "--data", "data"]).contains("not running"));
    ok(folder, &["backup", "--data", "data", "--to", "two.backup"]);

    for (number, backup) in ["one.backup", "two.backup"].into_iter().enumerate() {
        let restored = format!("restored{number}");
        ok(folder, &["restore", "--from", backup, "--data", &restored]);
        let printed = ok(folder, &["check", "--data", &restored]);
        assert!(
            printed.contains("2 accounts; 1 containers, 3 blobs") && printed.contains("0 damaged"),
            "{printed}"
        );
    }
    let again = serve(folder);
    assert!(ok(folder, &["check", "--data", "data"]).contains("0 damaged"));
    drop(again);
}

#[tokio::test]
async fn damage_is_named_and_not_backed_up() {
    let sample = sample().await;
    let folder = sample.path();
    harm(&folder.join("data"), 0xC3);
    for is_running in [false, true] {
        let service = is_running.then(|| serve(folder));
        let printed = refused(folder, &["check", "--data", "data"]);
        let named = "DAMAGED  blob \"cat.jpg\" in the container \"photos\" in the account \"owner\"";
        assert!(printed.contains(named) && printed.contains("00000001.extents at offset"), "{printed}");
        assert!(printed.contains("1 damaged") && !printed.contains("dog.jpg"), "{printed}");
        let printed = refused(folder, &["backup", "--data", "data", "--to", "bad.backup"]);
        assert!(printed.contains("00000001.extents at offset"), "{printed}");
        let left = |name: &str| folder.join(name).exists();
        assert!(!left("bad.backup") && !left("bad.backup.unfinished"));
        drop(service);
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let sample = sample().await;
    let folder = sample.path();
    std::fs::create_dir(folder.join("empty")).unwrap();
    std::fs::write(folder.join("text"), "some text").unwrap();
    ok(folder, &["backup", "--data", "data", "--to", "good.backup"]);
    let whole = std::fs::read(folder.join("good.backup")).unwrap();
    std::fs::write(folder.join("cut.backup"), &whole[..whole.len() - 7]).unwrap();
    let rows: [(&[&str], &str); 10] = [
        (&["check", "--data", "missing"], "there is no storage data in missing"),
        (&["stats", "--data", "empty"], "there is no storage data in empty"),
        (&["backup", "--data", "text", "--to", "new.backup"], "there is no storage data in text"),
        (&["backup", "--data", "data", "--to", "good.backup"], "good.backup exists"),
        (&["backup", "--data", "data", "--to", "missing/new.backup"], "cannot create"),
        (&["restore", "--from", "missing", "--data", "new"], "cannot open missing"),
        (&["restore", "--from", "text", "--data", "new"], "this is no backup"),
        (&["restore", "--from", "cut.backup", "--data", "new"], "it was cut off"),
        (&["restore", "--from", "good.backup", "--data", "data"], "not an empty folder"),
        (&["restore", "--from", "good.backup", "--data", "text"], "not an empty folder"),
    ];
    for (arguments, expected) in rows {
        let printed = refused(folder, arguments);
        assert!(printed.contains(expected), "{arguments:?}: {printed}");
    }
    let left = |name: &str| folder.join(name).exists();
    assert!(!left("new") && !left("new.restoring") && !left("new.backup.unfinished"));
    assert_eq!(folder.join("empty").read_dir().unwrap().count(), 0);
    // Into a folder that is there and empty, it works.
    ok(folder, &["restore", "--from", "good.backup", "--data", "empty"]);
    assert!(ok(folder, &["check", "--data", "empty"]).contains("3 blobs"));
}

/// Sends a request's head and, once the service asks for it, half of its body.
fn half_an_upload(address: SocketAddr, path: &str, body: &[u8]) -> TcpStream {
    let key = AccountKey::from_bytes(vec![1; 64]);
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    let uri: http::Uri = path.parse().unwrap();
    let mut headers = http::HeaderMap::new();
    for (name, value) in [
        ("x-ms-date", date.as_str()),
        ("x-ms-version", "2021-12-02"),
        ("x-ms-blob-type", "BlockBlob"),
        ("content-length", &body.len().to_string()),
        ("expect", "100-continue"),
    ] {
        headers.insert(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
    }
    let signed =
        shared_key::authorize("owner", &key, Kind::Blob, &http::Method::PUT, &uri, &headers).unwrap();
    headers.insert("authorization", signed.parse().unwrap());
    let head: String =
        headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap())).collect();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "PUT {path} HTTP/1.1\r\nhost: {address}\r\n{head}\r\n").unwrap();
    let mut asked = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut asked).unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100 "), "{}", text(&asked));
    stream.write_all(&body[..body.len() / 2]).unwrap();
    stream
}

#[tokio::test]
async fn a_stop_finishes_the_upload_in_hand() {
    let sample = sample().await;
    let folder = sample.path();
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut service = serve(folder);
    let mut upload = half_an_upload(service.1, "/owner/photos/slow", &body);
    let pid = rustix::process::Pid::from_child(&service.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    // From now on nobody new is let in.
    while TcpStream::connect(service.1).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(service.0.try_wait().unwrap(), None, "it waits for the upload");
    upload.write_all(&body[body.len() / 2..]).unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(service.0.wait().unwrap().success());
    let printed = ok(folder, &["check", "--data", "data"]);
    assert!(printed.contains("4 blobs") && printed.contains("0 damaged"), "{printed}");
}
