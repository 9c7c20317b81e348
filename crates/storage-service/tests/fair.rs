//! One account, or one hot blob, does not starve the others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod rig;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use rig::{Reply, Rig, Sample, dev_key};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use welkin_base::{AccountName, Timestamp};
use welkin_storage::blob::BlobPath;
use welkin_storage::blob::container::{NewContainer, PublicAccess};
use welkin_storage::blob::write::NewBlob;
use welkin_storage::{Account, NewKeys, Storage, Uid};
use welkin_storage_service::Config;
use welkin_storage_wire::operation::Service;
use welkin_store::Store;

/// Blobs in the container that all may list.
const LISTED: usize = 1_000;

/// A folder in which the account `crowd` has a public container with many blobs, and one of 64 MiB.
async fn crowd() -> TempDir {
    let folder = TempDir::new().unwrap();
    let storage = Storage::over(Store::open_local(&folder.path().join("data")).await.unwrap());
    let now = Timestamp::from(SystemTime::now());
    let keys = NewKeys { primary: vec![1; 64], secondary: vec![2; 64], delegation: vec![3; 32] };
    let account = Account::new(AccountName::new("crowd").unwrap(), Uid::from_bytes([7; 16]), now, keys);
    storage.create_account(&account).await.unwrap();
    let new = NewContainer {
        public_access: PublicAccess::Container,
        ..NewContainer::private(Uid::from_bytes([8; 16]))
    };
    storage.create_container(account.uid, "public", new, now).await.unwrap();
    let put = |name: String, bytes: Vec<u8>| {
        let (storage, account) = (storage.clone(), account.clone());
        async move {
            let mut writer = storage.blob_writer(Some(bytes.len() as u64));
            writer.write(bytes.into()).await.unwrap();
            let path = BlobPath { account: &account, container: "public", name: &name };
            storage.put_blob(path, writer.finish().await.unwrap(), &NewBlob::default(), now).await.unwrap();
        }
    };
    let blobs = (0..LISTED).map(|n| tokio::spawn(put(format!("blob-{n:05}"), vec![7; 10])));
    for blob in blobs.collect::<Vec<_>>() {
        blob.await.unwrap();
    }
    put("large".to_owned(), vec![7; 64 << 20]).await;
    storage.close().await.unwrap();
    folder
}

async fn start(folder: &TempDir, change: impl FnOnce(&mut Config)) -> Rig {
    let rig = Rig::start(|config| {
        config.data_folder = folder.path().join("data");
        change(config);
    })
    .await;
    rig.furnish().await;
    assert_eq!(rig.send(&small("PUT", "small")).await.status, 201);
    rig
}

fn small(method: &str, name: &str) -> Sample {
    let headers = [("x-ms-blob-type", "BlockBlob")];
    Sample::new(Service::Blob, method, &format!("/container/{name}"), &headers, "").signed(&dev_key())
}

fn of_crowd(target: &str) -> Vec<u8> {
    format!("GET /crowd/public{target} HTTP/1.1\r\nhost: x\r\nx-ms-version: 2021-10-04\r\nconnection: close\r\n\r\n")
        .into_bytes()
}

async fn ask(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    Reply::parse(&answer)
}

fn check_busy(reply: &Reply) {
    assert_eq!((reply.status, reply.code.as_str()), (503, "ServerBusy"), "{}", reply.head);
    assert!(reply.head.to_ascii_lowercase().contains("\r\nretry-after: 1"), "{}", reply.head);
}

/// However many clients list for one account, each request of another waits for few of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_one_account_are_no_queue_for_another() {
    const CLIENTS: usize = 48;
    let folder = crowd().await;
    let rig = start(&folder, |_| {}).await;
    let address = rig.address(Service::Blob);
    let (lists, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let list = of_crowd("?restype=container&comp=list");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (lists, is_over, list) = (lists.clone(), is_over.clone(), list.clone());
            tokio::spawn(async move {
                while !is_over.load(Relaxed) {
                    let reply = ask(address, &list).await;
                    assert!(reply.status == 200 && reply.body.contains("blob-00999"), "{}", reply.head);
                    lists.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    while lists.load(Relaxed) < CLIENTS {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (before, begun, mut gets) = (lists.load(Relaxed), Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(3) {
        assert_eq!(rig.send(&small("GET", "small")).await.status, 200);
        gets += 1;
    }
    let lists = lists.load(Relaxed) - before;
    is_over.store(true, Relaxed);
    println!("{gets} gets beside {lists} lists");
    assert!(gets * 2 >= lists, "{gets} gets beside {lists} lists");
    for client in clients {
        client.await.unwrap();
    }
    rig.end().await;
}

/// A client that reads nothing has its request in hand until it is given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_count_for_their_account_alone() {
    let folder = crowd().await;
    let rig = start(&folder, |config| config.account_requests_max = 3).await;
    let address = rig.address(Service::Blob);
    let mut deaf = Vec::new();
    for _ in 0..3 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(&of_crowd("/large")).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        deaf.push(stream);
    }
    check_busy(&ask(address, &of_crowd("/blob-00001")).await);
    assert_eq!(rig.send(&small("GET", "small")).await.status, 200, "another account");
    drop(deaf);
    let begun = Instant::now();
    while ask(address, &of_crowd("/blob-00001")).await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "they are gone");
    }
    rig.end().await;
}

/// A hot blob takes its share of the account, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_blob_leaves_room_for_others() {
    let folder = crowd().await;
    let rig = start(&folder, |config| config.partition_requests_max = 2).await;
    let address = rig.address(Service::Blob);
    let put = small("PUT", "hot").with("content-length", "4").signed(&dev_key());
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&put.with("expect", "100-continue").bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 100", "it is in hand");
        slow.push(stream);
    }
    check_busy(&rig.send(&small("GET", "hot")).await);
    assert_eq!(rig.send(&small("GET", "small")).await.status, 200, "another blob");
    for mut stream in slow {
        stream.write_all(b"body").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(String::from_utf8_lossy(&answer).contains("HTTP/1.1 201"));
    }
    assert_eq!(rig.send(&small("GET", "hot")).await.status, 200);
    rig.end().await;
}
