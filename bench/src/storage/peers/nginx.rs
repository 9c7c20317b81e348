//! nginx serving files.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use crate::storage::account::head;
use crate::storage::connection::{Connection, Keep};
use crate::storage::error::StorageError;
use crate::storage::peers::Peer;
use crate::storage::process::{Process, Program, User, folder_of};
use crate::storage::seed::{READ_LARGE, READ_SMALL};
use crate::storage::slice::Worker;
use crate::storage::work::{LARGE_BYTES, SMALL_BYTES, Work};
use crate::storage::worker::expect;

/// As in Debian's own configuration, but for paths, the port, the log of accesses, which Welkin does not write either,
/// and the end of a connection after 1,000 requests.
const CONFIGURATION: &str = "\
daemon off;
worker_processes auto;
pid {folder}/pid;
error_log stderr;
events { worker_connections 768; }
http {
    sendfile on;
    tcp_nopush on;
    types_hash_max_size 2048;
    default_type application/octet-stream;
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {
        listen 127.0.0.1:{port};
        root {folder}/files;
    }
}
";

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    address: SocketAddr,
}

impl Nginx {
    /// Writes the files and starts it.
    pub async fn start(path: &Path, folder: &Path, port: u16) -> Result<Self, StorageError> {
        let folder = folder_of(None, folder.join("nginx"))?;
        let files = folder_of(None, folder.join("files"))?;
        for (bytes, many) in [(SMALL_BYTES, READ_SMALL), (LARGE_BYTES, READ_LARGE)] {
            for number in 0..many {
                std::fs::write(files.join(format!("{bytes}-{number}")), vec![0x5A; bytes])?;
            }
        }
        let folder_text = folder.display().to_string();
        let text = CONFIGURATION.replace("{folder}", &folder_text).replace("{port}", &port.to_string());
        // Without it, root's workers run as somebody who may not exist.
        let user = if User::named("www-data").await?.is_some() { "user www-data;\n" } else { "" };
        let configuration = folder.join("nginx.conf");
        std::fs::write(&configuration, format!("{user}{text}"))?;
        let arguments = ["-p", &folder_text, "-e", "stderr", "-c", &configuration.display().to_string()];
        let arguments = arguments.map(str::to_owned).into();
        let program = Program { name: "nginx", path: path.to_owned(), arguments, ..Program::default() };
        let process = program.start(&folder, &[port]).await?;
        Ok(Self { process, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) })
    }

    /// Ends it.
    pub async fn stop(self) -> Result<(), StorageError> {
        self.process.stop().await
    }
}

impl Peer for Nginx {
    type Worker = FileWorker;

    async fn worker(&self, work: Work, _: String) -> Result<FileWorker, StorageError> {
        let (bytes, many) = match work {
            Work::GetBlob(LARGE_BYTES) => (LARGE_BYTES, READ_LARGE),
            _ => (SMALL_BYTES, READ_SMALL),
        };
        let host = HeaderValue::from_str(&self.address.to_string());
        let host = host.map_err(|error| StorageError::Http(error.to_string()))?;
        let headers = HeaderMap::from_iter([(HOST, host)]);
        let target = |number| head(&Method::GET, &format!("/{bytes}-{number}"), &headers);
        let reads = (0..many).map(target).collect();
        Ok(FileWorker { connection: Connection::open(self.address).await?, reads, bytes: bytes as u64 })
    }
}

/// A connection that gets files of one size.
#[derive(Debug)]
pub struct FileWorker {
    connection: Connection,
    reads: Vec<Bytes>,
    bytes: u64,
}

impl Worker for FileWorker {
    async fn work(&mut self) -> Result<(), StorageError> {
        let head = self.reads[rand::random_range(0..self.reads.len())].clone();
        let length = self.connection.send(&head, &Bytes::new(), StatusCode::OK, Keep::Length).await?.length;
        expect(length == self.bytes, || format!("the file has {length} bytes, not {}", self.bytes))
    }
}
