//! What a row is called by those who put it there.

use std::collections::HashMap;

use welkin_base::Timestamp;
use welkin_store::{Row, Space};

use super::rows::Held;
use crate::Uid;
use crate::blob::Revision;
use crate::blob::row::RowKey;
use crate::queue::row::split_time_key;
use crate::space::{ACCOUNTS, BLOBS, CONTAINERS, COPIES, DUE, ENTITIES, GARBAGE, MESSAGES, QUEUES, TABLES};
use crate::table::row;

/// What is under which uid.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<Uid, String>);

impl Names {
    /// Notes what lies under the uid that a row gives out.
    pub(super) fn learn(&mut self, held: &Held, row: &Row) {
        let (uid, name) = match held {
            Held::Account(account) => (account.uid, format!("account {:?}", account.name.as_str())),
            Held::Container { uid: Some(uid) } => (*uid, self.describe(CONTAINERS, row)),
            Held::Table(table) => (table.uid, self.describe(TABLES, row)),
            Held::Queue(queue) => (queue.messages, self.describe(QUEUES, row)),
            _ => return,
        };
        self.0.insert(uid, name);
    }

    /// What the row is, in words.
    pub(super) fn describe(&self, space: Space, row: &Row) -> String {
        let named = |noun: &str| self.under(&row.partition, noun);
        match space {
            ACCOUNTS => format!("account {}", text(&row.partition)),
            CONTAINERS => named("container"),
            TABLES => named("table"),
            QUEUES => named("queue"),
            BLOBS => format!("{}{}", named("blob"), part_of_blob(&row.key)),
            COPIES => format!("note of a pending copy to the {}", named("blob")),
            ENTITIES => match row::key(row) {
                Ok(key) => {
                    let table = self.owner(&row.partition);
                    format!(
                        "entity with PartitionKey {:?} and RowKey {:?} in the {table}",
                        key.partition, key.row
                    )
                }
                Err(_) => named("entity"),
            },
            MESSAGES => {
                let queue = self.owner(&row.partition);
                match split_time_key(&row.key) {
                    Some((_, id)) => format!("message {id} in the {queue}"),
                    None => format!("text or id of a message ({}) in the {queue}", text(&row.key)),
                }
            }
            GARBAGE => format!("note of the cleaner about {}", text(&row.partition)),
            DUE => format!("note of what is due at {}", text(&row.partition)),
            other => format!("row {} {} in {}", text(&row.partition), text(&row.key), other.name),
        }
    }

    /// The thing whose partition has a uid and then its name.
    fn under(&self, partition: &[u8], noun: &str) -> String {
        match Uid::split(partition) {
            Some((_, name)) => format!("{noun} {} in the {}", text(name), self.owner(partition)),
            None => format!("{noun} {}", text(partition)),
        }
    }

    fn owner(&self, partition: &[u8]) -> String {
        let Some((uid, _)) = Uid::split(partition) else {
            return text(partition);
        };
        match self.0.get(&uid) {
            Some(name) => name.clone(),
            None => format!("deleted or damaged one with the id {uid:?}"),
        }
    }
}

fn part_of_blob(key: &[u8]) -> String {
    let revision = |noun: &str, at: Timestamp| format!(", {noun} of {at}");
    match RowKey::parse(key) {
        Some(RowKey::Head(Revision::Current)) => String::new(),
        Some(RowKey::Head(Revision::Snapshot(at))) => revision("snapshot", at),
        Some(RowKey::Head(Revision::Version(at))) => revision("version", at),
        Some(RowKey::Appended { list: _, index }) => format!(", appended block {index}"),
        Some(RowKey::List { list, index }) => format!(", part {index} of block list {list}"),
        Some(RowKey::Segment { segment, epoch: _ }) => format!(", pages of segment {segment}"),
        Some(RowKey::Staged(id)) => format!(", uncommitted block {}", text(id)),
        Some(RowKey::Leftovers) => ", note of leftovers".to_owned(),
        None => format!(", unknown row {}", text(key)),
    }
}

/// Bytes that are text most often.
fn text(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
