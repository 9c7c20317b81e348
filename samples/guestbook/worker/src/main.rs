//! The guestbook's worker role: makes a thumbnail of each picture.
//!
//! It takes a message from the queue, which hides it from other workers for a while. When it is done it
//! deletes the message; when it dies on the way the message comes back, and is tried again.

mod thumbnail;

use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use welkin_sdk::{Container, Message, Queue, RoleEnvironment, StorageAccount, StorageError, Table};

/// How long a message stays hidden: the largest picture takes an emulated machine some ten seconds.
const VISIBILITY_TIMEOUT_SECONDS: u32 = 60;
/// A message that was tried so often never works.
const DEQUEUE_COUNT_MAX: u32 = 5;
/// How long to wait when the queue is empty, and when storage does not answer.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);
const STORAGE_RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// What the table says of a picture that cannot be read.
const NO_THUMBNAIL: &str = "-";

/// What the web role asks for.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Work {
    partition: String,
    row: String,
    picture: String,
}

struct Worker {
    entries: Table,
    pictures: Container,
    thumbnails: Container,
    work: Queue,
}

fn main() -> ExitCode {
    match run() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("guestbook worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<std::convert::Infallible, Box<dyn std::error::Error>> {
    let environment = RoleEnvironment::current()?;
    let account = StorageAccount::from_connection_string(&environment.setting("StorageConnectionString")?)?;
    let worker = Worker {
        entries: account.table("entries"),
        pictures: account.container("pictures"),
        thumbnails: account.container("thumbnails"),
        work: account.queue("thumbnail-work"),
    };
    while let Err(error) = worker.prepare() {
        eprintln!("waiting for storage: {error}");
        std::thread::sleep(STORAGE_RETRY_INTERVAL);
    }
    welkin_sdk::ready()?;
    println!("{} makes thumbnails, data in account {}", environment.instance(), account.name());
    loop {
        match worker.step() {
            Ok(true) => {}
            Ok(false) => std::thread::sleep(IDLE_INTERVAL),
            Err(error) => {
                eprintln!("{error}");
                std::thread::sleep(STORAGE_RETRY_INTERVAL);
            }
        }
    }
}

impl Worker {
    fn prepare(&self) -> Result<(), StorageError> {
        self.entries.create_if_missing()?;
        self.pictures.create_if_missing()?;
        self.thumbnails.create_if_missing()?;
        self.work.create_if_missing()
    }

    /// Does one message; says whether there was one.
    fn step(&self) -> Result<bool, StorageError> {
        let Some(message) = self.work.get(VISIBILITY_TIMEOUT_SECONDS)? else { return Ok(false) };
        match read_work(&message) {
            Some(work) if message.dequeue_count > DEQUEUE_COUNT_MAX => {
                eprintln!("gave up on picture {} after {DEQUEUE_COUNT_MAX} tries", work.picture);
                self.mark(&work, NO_THUMBNAIL)?;
            }
            Some(work) => self.make(&work)?,
            None => eprintln!("dropped message {}: it is not a request for a thumbnail", message.id),
        }
        match self.work.delete(&message) {
            // It took so long that another worker has it: that one deletes it.
            Err(error) if error.is_not_found() => Ok(true),
            other => other.map(|()| true),
        }
    }

    fn make(&self, work: &Work) -> Result<(), StorageError> {
        let picture = match self.pictures.get(&work.picture) {
            Err(error) if error.is_not_found() => return self.mark(work, NO_THUMBNAIL),
            other => other?,
        };
        match thumbnail::make(&picture.bytes) {
            Ok(bytes) => {
                self.thumbnails.put(&work.picture, thumbnail::MEDIA_TYPE, &bytes)?;
                println!("picture {}: thumbnail of {} bytes", work.picture, bytes.len());
                self.mark(work, &work.picture)
            }
            Err(error) => {
                eprintln!("picture {} cannot be read: {error}", work.picture);
                self.mark(work, NO_THUMBNAIL)
            }
        }
    }

    fn mark(&self, work: &Work, thumbnail: &str) -> Result<(), StorageError> {
        let marked = self.entries.merge(&work.partition, &work.row, &json!({ "Thumbnail": thumbnail }));
        match marked {
            Err(error) if error.is_not_found() => Ok(()), // the entry is gone: nobody shows it
            other => other,
        }
    }
}

fn read_work(message: &Message) -> Option<Work> {
    serde_json::from_str(&message.text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_read() {
        let check = |text: &str, expected: Option<&str>| {
            let message =
                Message { id: "m".into(), pop_receipt: "r".into(), dequeue_count: 1, text: text.to_owned() };
            assert_eq!(read_work(&message).map(|work| work.picture).as_deref(), expected);
        };
        check(r#"{"partition":"guestbook","row":"1","picture":"abc"}"#, Some("abc"));
        check(r#"{"partition":"guestbook"}"#, None);
        check("hello", None);
    }
}
