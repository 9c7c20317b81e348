//! Garage, a single node, over S3.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

use crate::storage::account::head;
use crate::storage::connection::{Connection, Keep};
use crate::storage::error::StorageError;
use crate::storage::peers::Peer;
use crate::storage::process::{Process, Program, folder_of};
use crate::storage::seed::{READ_LARGE, READ_SMALL};
use crate::storage::slice::Worker;
use crate::storage::work::{LARGE_BYTES, SMALL_BYTES, Work};
use crate::storage::worker::expect;

const BUCKET: &str = "bench";
const REGION: &str = "garage";
/// Longer than any run.
const URL_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Large objects that a worker writes in turn.
const LARGE_NAMES: u64 = 4;

/// A running Garage with one bucket.
#[derive(Debug)]
pub struct Garage {
    process: Process,
    address: SocketAddr,
    bucket: Bucket,
    credentials: Credentials,
}

impl Garage {
    /// Starts a new one on two ports.
    pub async fn start(path: &Path, folder: &Path, port: u16) -> Result<Self, StorageError> {
        let folder = folder_of(None, folder.join("garage"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let rpc = SocketAddr::from((Ipv4Addr::LOCALHOST, port + 1));
        let random = || format!("{:032x}", rand::random::<u128>());
        let configuration = folder.join("garage.toml");
        let inside = folder.display();
        let text = format!(
            "metadata_dir = \"{inside}/metadata\"\ndata_dir = \"{inside}/data\"\ndb_engine = \"lmdb\"\n\
             metadata_fsync = true\ndata_fsync = true\ncompression_level = \"none\"\nreplication_factor = 1\n\
             rpc_bind_addr = \"{rpc}\"\nrpc_public_addr = \"{rpc}\"\nrpc_secret = \"{}{}\"\n\
             [s3_api]\ns3_region = \"{REGION}\"\napi_bind_addr = \"{address}\"\n",
            random(),
            random(),
        );
        std::fs::write(&configuration, text)?;
        // The forms that Garage gives to its own keys.
        let (key, secret) = (format!("GK{}", &random()[..24]), format!("{}{}", random(), random()));
        let arguments = ["-c", &configuration.display().to_string(), "server", "--single-node"];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
        arguments.push("--default-bucket".to_owned());
        let environment = vec![
            ("RUST_LOG", "garage=warn".to_owned()),
            ("GARAGE_DEFAULT_ACCESS_KEY", key.clone()),
            ("GARAGE_DEFAULT_SECRET_KEY", secret.clone()),
            ("GARAGE_DEFAULT_BUCKET", BUCKET.to_owned()),
        ];
        let program = Program { name: "Garage", path: path.to_owned(), arguments, environment, user: None };
        let process = program.start(&folder, &[port]).await?;
        let failed = |error: &dyn std::fmt::Display| StorageError::Peer(error.to_string());
        let endpoint = format!("http://{address}").parse().map_err(|error| failed(&error))?;
        let bucket = Bucket::new(endpoint, UrlStyle::Path, BUCKET, REGION).map_err(|error| failed(&error))?;
        let peer = Self { process, address, bucket, credentials: Credentials::new(key, secret) };
        peer.prepare().await?;
        Ok(peer)
    }

    async fn prepare(&self) -> Result<(), StorageError> {
        for (bytes, many) in [(SMALL_BYTES, READ_SMALL), (LARGE_BYTES, READ_LARGE)] {
            let mut worker = self.worker(Work::PutBlob(bytes), String::new()).await?;
            for number in 0..many {
                worker.put(&format!("{bytes}-{number}")).await?;
            }
        }
        Ok(())
    }

    /// Ends it.
    pub async fn stop(self) -> Result<(), StorageError> {
        self.process.stop().await
    }
}

impl Peer for Garage {
    type Worker = ObjectWorker;

    async fn worker(&self, work: Work, prefix: String) -> Result<ObjectWorker, StorageError> {
        let (Work::PutBlob(bytes) | Work::GetBlob(bytes)) = work else {
            return Err(StorageError::Peer(format!("it has no {work}")));
        };
        let mut worker = ObjectWorker {
            connection: Connection::open(self.address).await?.acknowledging(),
            host: self.address.to_string(),
            bucket: self.bucket.clone(),
            credentials: self.credentials.clone(),
            content: vec![0x5A; bytes].into(),
            prefix,
            number: 0,
            reads: Vec::new(),
        };
        if matches!(work, Work::GetBlob(_)) {
            let many = if bytes == LARGE_BYTES { READ_LARGE } else { READ_SMALL };
            worker.reads = (0..many)
                .map(|number| worker.head(&Method::GET, &format!("{bytes}-{number}"), 0))
                .collect::<Result<_, _>>()?;
        }
        Ok(worker)
    }
}

/// A connection that puts objects, or gets them.
#[derive(Debug)]
pub struct ObjectWorker {
    connection: Connection,
    host: String,
    bucket: Bucket,
    credentials: Credentials,
    content: Bytes,
    prefix: String,
    number: u64,
    /// Heads of the requests that read, signed before the slice; none when it writes.
    reads: Vec<Bytes>,
}

impl ObjectWorker {
    fn head(&self, method: &Method, name: &str, body_bytes: usize) -> Result<Bytes, StorageError> {
        let credentials = Some(&self.credentials);
        let url = match *method {
            Method::GET => self.bucket.get_object(credentials, name).sign(URL_LIFE),
            _ => self.bucket.put_object(credentials, name).sign(URL_LIFE),
        };
        let host = HeaderValue::from_str(&self.host);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.map_err(|error| StorageError::Http(error.to_string()))?);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body_bytes));
        Ok(head(method, &format!("{}?{}", url.path(), url.query().unwrap_or("")), &headers))
    }

    async fn put(&mut self, name: &str) -> Result<(), StorageError> {
        let body = self.content.clone();
        let head = self.head(&Method::PUT, name, body.len())?;
        self.connection.send(&head, &body, StatusCode::OK, Keep::Length).await?;
        Ok(())
    }
}

impl Worker for ObjectWorker {
    async fn work(&mut self) -> Result<(), StorageError> {
        self.number += 1;
        if self.reads.is_empty() {
            let number =
                if self.content.len() == LARGE_BYTES { self.number % LARGE_NAMES } else { self.number };
            return self.put(&format!("{}-{number:08}", self.prefix)).await;
        }
        let head = self.reads[rand::random_range(0..self.reads.len())].clone();
        let length = self.connection.send(&head, &Bytes::new(), StatusCode::OK, Keep::Length).await?.length;
        let wanted = self.content.len();
        expect(length == wanted as u64, || format!("the object has {length} bytes, not {wanted}"))
    }
}
