//! PostgreSQL with a table like the one that entities are in.

use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, Statement};

use crate::storage::error::StorageError;
use crate::storage::peers::Peer;
use crate::storage::process::{Process, Program, User, folder_of};
use crate::storage::seed::READ_ENTITIES;
use crate::storage::slice::Worker;
use crate::storage::work::Work;
use crate::storage::worker::{TEXT_BYTES, expect};

/// Who runs the server, and who connects.
const USER: &str = "postgres";
/// How often, and how long each time, a server that is starting up is waited for.
const STARTING_MAX: usize = 200;
const STARTING: Duration = Duration::from_millis(50);
const TABLE: &str = "CREATE TABLE entity (
    partition text, row text, number bigint NOT NULL, flag boolean NOT NULL, text text NOT NULL,
    changed timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (partition, row))";
const INSERT: &str = "INSERT INTO entity (partition, row, number, flag, text) VALUES ($1, $2, $3, $4, $5)";
const QUERY: &str =
    "SELECT partition, row, number, flag, text, changed::text FROM entity WHERE partition = $1 AND row = $2";

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    config: Config,
}

impl Postgres {
    /// Makes a cluster of its own and starts it.
    pub async fn start(versions: &Path, folder: &Path, port: u16) -> Result<Self, StorageError> {
        let programs = newest(versions)?;
        let user = User::named(USER).await?;
        let folder = folder_of(user, folder.join("postgres"))?;
        let (data, secret) = (folder.join("data"), folder.join("password"));
        let password = format!("{:032x}", rand::random::<u128>());
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(&secret)?;
        file.write_all(password.as_bytes())?;
        if let Some(user) = user {
            user.own(&secret)?;
        }
        let arguments = ["--pgdata", &data.display().to_string(), "--username", USER, "--encoding", "UTF8"];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
        arguments.extend(["--locale=C", "--auth=scram-sha-256"].map(str::to_owned));
        arguments.push(format!("--pwfile={}", secret.display()));
        let initdb = Program { path: programs.join("initdb"), arguments, user, ..Program::default() };
        initdb.run().await?;
        std::fs::remove_file(&secret)?;

        let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
        let port_text = format!("port={port}");
        let settings = [
            "listen_addresses=127.0.0.1",
            &port_text,
            "unix_socket_directories=",
            "fsync=on",
            "synchronous_commit=on",
        ];
        arguments.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting.to_owned()]));
        let path = programs.join("postgres");
        let program = Program { name: "PostgreSQL", path, arguments, user, ..Program::default() };
        let process = program.start(&folder, &[port]).await?;
        let mut config = Config::new();
        config.host(Ipv4Addr::LOCALHOST.to_string()).port(port).user(USER).password(password).dbname(USER);
        let peer = Self { process, config };
        peer.prepare().await?;
        Ok(peer)
    }

    async fn prepare(&self) -> Result<(), StorageError> {
        let client = self.first().await?;
        client.batch_execute(TABLE).await?;
        let mut seeder = SqlWorker::new(client, Work::InsertEntity, "read".to_owned()).await?;
        for _ in 0..READ_ENTITIES {
            seeder.work().await?;
        }
        // What it does by itself for a table that has been filled.
        seeder.client.batch_execute("ANALYZE entity").await?;
        Ok(())
    }

    /// The first connection: it listens before it takes one.
    async fn first(&self) -> Result<Client, StorageError> {
        for _ in 0..STARTING_MAX {
            match self.connect().await {
                Err(StorageError::Sql(error)) if error.code() == Some(&SqlState::CANNOT_CONNECT_NOW) => {
                    tokio::time::sleep(STARTING).await;
                }
                other => return other,
            }
        }
        self.connect().await
    }

    async fn connect(&self) -> Result<Client, StorageError> {
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(async move {
            // Its errors reach the statement that was under way.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// Ends it, without waiting for clients.
    pub async fn stop(self) -> Result<(), StorageError> {
        self.process.stop_by(Signal::INT).await
    }
}

/// The folder of programs of the newest version that is installed.
fn newest(versions: &Path) -> Result<PathBuf, StorageError> {
    let none = || StorageError::Peer(format!("no version of PostgreSQL is in {}", versions.display()));
    let folders = std::fs::read_dir(versions).map_err(|_| none())?;
    let version = |path: PathBuf| Some((path.file_name()?.to_str()?.parse::<u32>().ok()?, path.join("bin")));
    let newest = folders.filter_map(|entry| version(entry.ok()?.path())).max();
    newest.map(|(_, programs)| programs).ok_or_else(none)
}

impl Peer for Postgres {
    type Worker = SqlWorker;

    async fn worker(&self, work: Work, prefix: String) -> Result<SqlWorker, StorageError> {
        SqlWorker::new(self.connect().await?, work, prefix).await
    }
}

/// A connection that inserts, or reads, one row at a time.
#[derive(Debug)]
pub struct SqlWorker {
    client: Client,
    statement: Statement,
    work: Work,
    prefix: String,
    text: String,
    number: i64,
}

impl SqlWorker {
    async fn new(client: Client, work: Work, prefix: String) -> Result<Self, StorageError> {
        let statement = client.prepare(if work == Work::InsertEntity { INSERT } else { QUERY }).await?;
        Ok(Self { client, statement, work, prefix, text: "z".repeat(TEXT_BYTES), number: 0 })
    }
}

impl Worker for SqlWorker {
    async fn work(&mut self) -> Result<(), StorageError> {
        if self.work == Work::InsertEntity {
            let row = format!("{:08}", self.number);
            let values = [&self.prefix as _, &row as _, &self.number as _, &true as _, &self.text as _];
            let inserted = self.client.execute(&self.statement, &values).await?;
            expect(inserted == 1, || format!("{inserted} rows are inserted, not 1"))?;
            self.number += 1;
        } else {
            let row = format!("{:08}", rand::random_range(0..READ_ENTITIES));
            let found = self.client.query_one(&self.statement, &[&"read", &row]).await?;
            let length = found.try_get::<_, &str>("text")?.len();
            expect(length == TEXT_BYTES, || format!("the text has {length} bytes, not {TEXT_BYTES}"))?;
        }
        Ok(())
    }
}
