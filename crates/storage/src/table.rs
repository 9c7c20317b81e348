//! Tables: create, delete, list. Their entities lie under the table's uid, so that a deletion is immediate.
//!
//! * [`access`]: stored access policies of a table.
//! * [`entity`]: reading and changing entities, alone or several of a partition at once.
//! * [`query`]: a page of entities, with bounded work.
//! * [`row`]: how entities lie in the store.

pub mod access;
pub mod entity;
pub mod query;
pub mod row;

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;
use welkin_storage_wire::ProtocolError;
use welkin_storage_wire::table::value::ValueRef;
use welkin_storage_wire::table::{Filter, KeyRange};
use welkin_store::{Commit, ScanFrom, StoreError};

use crate::cleaner::Garbage;
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::record::{self, Record};
use crate::space::TABLES;
use crate::{Storage, Uid};
use welkin_storage_wire::sas::StoredAccessPolicy;

pub use entity::Change;
pub use query::EntityPage;

/// Tables looked at for one page of a list.
const TABLES_EXAMINED_MAX: usize = 5000;

/// Why something cannot be done with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// There is no such table.
    #[error("there is no such table")]
    TableNotFound,
    /// The name is taken.
    #[error("the table exists already")]
    TableAlreadyExists,
    /// There is no such entity.
    #[error("there is no such entity")]
    EntityNotFound,
    /// There is an entity with these keys.
    #[error("the entity exists already")]
    EntityAlreadyExists,
    /// The entity is not the one that the condition asks for.
    #[error("the update condition does not hold")]
    ConditionNotMet,
    /// The entity would break a rule.
    #[error(transparent)]
    Refused(#[from] ProtocolError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<StoreError> for TableError {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

/// A table as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    /// What the keys of its entities begin with.
    pub uid: Uid,
    /// Its name as it was given; names are equal whatever their case.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Stored access policies.
    pub policies: Vec<StoredAccessPolicy>,
}

impl Record for TableRecord {
    const NOUN: &'static str = "table";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, fields: &[u8]) -> Option<Result<Self, postcard::Error>> {
        // Version 1 had no policies.
        (version == 1).then(|| {
            let (uid, name, created) = postcard::from_bytes(fields)?;
            Ok(Self { uid, name, created, policies: Vec::new() })
        })
    }
}

/// A page of the list of tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TablePage {
    /// Names.
    pub names: Vec<String>,
    /// Where the list goes on.
    pub next: Option<String>,
}

/// Partition of the row of a table.
fn partition(account: Uid, name: &str) -> Vec<u8> {
    account.key(name.to_ascii_lowercase().as_bytes())
}

impl Storage {
    /// Makes a table. `uid` is new.
    ///
    /// # Errors
    /// When the name is taken.
    pub async fn create_table(
        &self,
        account: Uid,
        name: &str,
        uid: Uid,
        now: Timestamp,
    ) -> Result<TableRecord, TableError> {
        let record = TableRecord { uid, name: name.to_owned(), created: now, policies: Vec::new() };
        let commit = Commit::new(TABLES, partition(account, name)).check_absent(&b""[..]);
        match try_commit(self.store(), commit.put(&b""[..], record::encode(&record)?)).await? {
            Some(_) => Ok(record),
            None => Err(TableError::TableAlreadyExists),
        }
    }

    /// The table of that name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn table(&self, account: Uid, name: &str) -> Result<TableRecord, TableError> {
        let row = self.store().get(TABLES, &partition(account, name), b"").await?;
        Ok(record::decode(&row.ok_or(TableError::TableNotFound)?.value)?)
    }

    /// Deletes the table. Its entities are out of reach at once, and removed by the cleaner.
    ///
    /// # Errors
    /// When there is no such table.
    pub async fn delete_table(&self, account: Uid, name: &str, now: Timestamp) -> Result<(), TableError> {
        let partition = partition(account, name);
        for _ in 0..COMMIT_TRIES_MAX {
            let row = self.store().get(TABLES, &partition, b"").await?.ok_or(TableError::TableNotFound)?;
            let table: TableRecord = record::decode(&row.value)?;
            self.add_garbage(table.uid, Garbage::table(partition.clone(), now)).await?;
            if self.delete_row(TABLES, &row).await? {
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Up to `tables_max` tables that match the filter, from `next` on, in order of their names in lower case.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn query_tables(
        &self,
        account: Uid,
        filter: Option<&Filter>,
        next: Option<&str>,
        tables_max: usize,
    ) -> Result<TablePage, TableError> {
        let from = ScanFrom::Partition(partition(account, next.unwrap_or("")).into());
        let rows = self.store().scan(TABLES, from, TABLES_EXAMINED_MAX + 1).await?;
        let mut page = TablePage::default();
        for (index, row) in rows.iter().enumerate() {
            if !row.partition.starts_with(account.as_bytes()) {
                break;
            }
            let table: TableRecord = record::decode(&row.value)?;
            if page.names.len() == tables_max || index == TABLES_EXAMINED_MAX {
                page.next = Some(table.name);
                break;
            }
            let property = |name: &str| (name == "TableName").then_some(ValueRef::String(&table.name));
            if filter.is_none_or(|filter| filter.matches(&property)) {
                page.names.push(table.name);
            }
        }
        Ok(page)
    }
}

/// The keys that a query reads.
fn range(filter: Option<&Filter>) -> KeyRange {
    filter.map_or(KeyRange::FULL, KeyRange::of)
}

#[cfg(test)]
mod tests;
