//! A disk that is full, seen by clients: writes are answered with 507, reads and deletes go on, and when there is room
//! again the service goes on by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod rig;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rig::{Rig, Sample, dev_key};
use welkin_storage_wire::operation::Service;

/// Longer than any machine needs.
const PATIENCE: Duration = Duration::from_secs(30);
const JSON: [(&str, &str); 2] =
    [("content-type", "application/json"), ("accept", "application/json;odata=nometadata")];
const BLOCK_BLOB: [(&str, &str); 1] = [("x-ms-blob-type", "BlockBlob")];

/// A file system of 256 MiB, unmounted when this is dropped; none without the right to mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256m", "tmpfs"]).arg(folder.path());
        mount.output().unwrap().status.success().then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// Somebody else's file takes all the room that there is.
fn take_all(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[1; 64 * 1024]).is_ok() {}
}

fn message() -> Sample {
    let body = format!("<QueueMessage><MessageText>{}</MessageText></QueueMessage>", "m".repeat(60_000));
    Sample::new(Service::Queue, "POST", "/queue/messages", &[], &body)
}

fn entity(key: &str) -> Sample {
    let body = format!("{{\"PartitionKey\":\"p\",\"RowKey\":\"{key}\",\"v\":\"{}\"}}", "e".repeat(30_000));
    Sample::new(Service::Table, "POST", "/table", &JSON, &body)
}

fn blob(name: &str, bytes: usize) -> Sample {
    Sample::new(Service::Blob, "PUT", &format!("/container/{name}"), &BLOCK_BLOB, &"b".repeat(bytes))
}

async fn send(rig: &Rig, sample: &Sample) -> (u16, String) {
    let reply = rig.send(&sample.signed(&dev_key())).await;
    let text = format!("{}{}", reply.code, reply.body);
    (reply.status, text)
}

async fn check(rig: &Rig, rows: &[(Sample, u16)]) {
    for (sample, expected) in rows {
        let (status, text) = send(rig, sample).await;
        let what = format!("{} {}", sample.method, sample.target);
        assert_eq!(status, *expected, "{what}: {}", text.get(..300).unwrap_or(&text));
        assert_eq!(text.contains("InsufficientStorage"), status == 507, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let data = disk.0.path().join("data");
    let rig = Rig::start(|config| config.data_folder.clone_from(&data)).await;
    rig.furnish().await;
    let get = |target: &str| Sample::new(Service::Blob, "GET", target, &[], "");
    let row = |method: &str, key: &str, headers: &[(&str, &str)]| {
        Sample::new(Service::Table, method, &format!("/table(PartitionKey='p',RowKey='{key}')"), headers, "")
    };
    let before = [(blob("small", 1000), 201), (blob("large", 4 << 20), 201), (entity("r"), 201)];
    check(&rig, &before).await;
    check(&rig, &[(entity("kept"), 201), (message(), 201)]).await;
    let other = disk.0.path().join("other");
    take_all(&other);
    // Extents were preallocated; what is in them is used up first, and then the log.
    let start = Instant::now();
    let mut large = 0;
    while send(&rig, &blob(&format!("large{large}"), 8 << 20)).await.0 == 201 {
        large += 1;
        assert!(large < 100, "the disk is not small");
    }
    while send(&rig, &message()).await.0 == 201 {
        assert!(start.elapsed() < PATIENCE * 2, "the disk is never full");
    }
    // A flush may make room for a few more.
    for kind in 0..3 {
        for number in 0.. {
            let name = format!("more{number}");
            let sample = [blob(&name, 1 << 20), message(), entity(&name)][kind].clone();
            let (status, text) = send(&rig, &sample).await;
            if status == 507 {
                assert!(text.contains("InsufficientStorage"), "{text:.300}");
                break;
            }
            assert_eq!(status, 201, "{text:.300}");
            assert!(start.elapsed() < PATIENCE * 3, "{} is never refused", sample.target);
        }
    }
    check(&rig, &[(get("/container/small"), 200), (get("/container/large"), 200)]).await;
    check(&rig, &[(row("GET", "r", &JSON), 200), (get("/container?restype=container&comp=list"), 200)]).await;
    let deletes = [
        (Sample::new(Service::Blob, "DELETE", "/container/small", &[], ""), 202),
        (Sample::new(Service::Blob, "DELETE", "/container/large", &[], ""), 202),
        (row("DELETE", "r", &[JSON[0], JSON[1], ("if-match", "*")]), 204),
    ];
    for (sample, expected) in deletes {
        // Without any room in the log, a delete waits for what a flush gives back.
        let start = Instant::now();
        while send(&rig, &sample).await.0 != expected {
            assert!(start.elapsed() < PATIENCE, "{} is refused for ever", sample.target);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    std::fs::remove_file(&other).unwrap();
    for (sample, expected) in [(blob("again", 4 << 20), 201), (message(), 201), (entity("again"), 201)] {
        let start = Instant::now();
        while send(&rig, &sample).await.0 != expected {
            assert!(start.elapsed() < PATIENCE, "{} does not recover", sample.target);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    check(&rig, &[(get("/container/again"), 200), (get("/container/large"), 404)]).await;
    check(&rig, &[(row("GET", "kept", &JSON), 200), (row("GET", "again", &JSON), 200)]).await;
    rig.end().await;
}
