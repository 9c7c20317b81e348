//! `welkin storage check`, `backup`, `restore` and `stats` by the real program: beside a service that runs, after one
//! that was killed, and without one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::TcpListener;
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
struct Service(Child);

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
    let offset = offset.unwrap().to_string();
    let mut command = Command::new(WELKIN);
    command.args(["storage", "--dev", "--data", "data", "--port-offset", &offset]).current_dir(folder);
    let service = Service(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
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
