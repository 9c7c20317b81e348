//! What a row must hold, by the space that it is in.

use bytes::Bytes;
use welkin_store::{ExtentRef, Row, Space};

use super::Checked;
use crate::Uid;
use crate::account::Account;
use crate::blob::container::{container_of, is_forward, read_forward};
use crate::blob::copy::read_note;
use crate::blob::row::RowKey;
use crate::cleaner::Garbage;
use crate::error::EngineError;
use crate::orphan::named_by;
use crate::queue::QueueRecord;
use crate::queue::row::{MessageRecord, id_key, split_time_key};
use crate::record;
use crate::space::{ACCOUNTS, BLOBS, CONTAINERS, COPIES, DUE, ENTITIES, GARBAGE, MESSAGES, QUEUES, TABLES};
use crate::table::{TableRecord, row};

/// What a row was found to hold.
pub(super) enum Held {
    Account(Box<Account>),
    /// The uid that its blobs are under; none is a note of a renaming.
    Container {
        uid: Option<Uid>,
    },
    Table(Box<TableRecord>),
    Queue(Box<QueueRecord>),
    Blob {
        is_head: bool,
        is_current: bool,
        extents: Vec<ExtentRef>,
    },
    Entity,
    /// The key of the row with its text, where that is not in it.
    Message {
        text: Option<Bytes>,
    },
    Other,
}

impl Held {
    pub(super) fn extents(&self) -> &[ExtentRef] {
        match self {
            Self::Blob { extents, .. } => extents,
            _ => &[],
        }
    }
}

impl Checked {
    pub(super) fn count(&mut self, held: &Held) {
        let counter = match held {
            Held::Account(_) => &mut self.accounts,
            Held::Container { uid: Some(_) } => &mut self.containers,
            Held::Table(_) => &mut self.tables,
            Held::Queue(_) => &mut self.queues,
            Held::Blob { is_head: true, is_current: true, .. } => &mut self.blobs,
            Held::Blob { is_head: true, .. } => &mut self.revisions,
            Held::Entity => &mut self.entities,
            Held::Message { .. } => &mut self.messages,
            Held::Container { uid: None } | Held::Blob { .. } | Held::Other => return,
        };
        *counter += 1;
    }
}

/// Reads a row as what its space says.
pub(super) fn read(space: Space, row: &Row) -> Result<Held, EngineError> {
    Ok(match space {
        ACCOUNTS => Held::Account(Box::new(record::decode(&row.value)?)),
        CONTAINERS if is_forward(&row.key) => read_forward(row).map(|()| Held::Container { uid: None })?,
        CONTAINERS => Held::Container { uid: container_of(row)? },
        TABLES => Held::Table(Box::new(record::decode(&row.value)?)),
        QUEUES => Held::Queue(Box::new(record::decode(&row.value)?)),
        BLOBS => {
            let is_head = matches!(RowKey::parse(&row.key), Some(RowKey::Head(_)));
            Held::Blob { is_head, is_current: row.key.is_empty(), extents: named_by(row)? }
        }
        ENTITIES => row::entity(row).map(|_| Held::Entity)?,
        MESSAGES => message(row)?,
        COPIES => read_note(row).map(|()| Held::Other)?,
        GARBAGE => record::decode::<Garbage>(&row.value).map(|_| Held::Other)?,
        DUE => Held::Other,
        // The spaces are in one list.
        _ => Held::Other,
    })
}

fn message(row: &Row) -> Result<Held, EngineError> {
    let Some((_, id)) = split_time_key(&row.key) else {
        // The row by id. Older ones hold something that nobody reads, so that a text is read with its message.
        return Ok(Held::Other);
    };
    let message: MessageRecord = record::decode(&row.value)?;
    Ok(Held::Message { text: message.text.is_none().then(|| id_key(id)) })
}
