//! Reading and changing entities. Several changes of one partition are one commit: all of them, or none.

use std::time::Duration;

use welkin_base::Timestamp;
use welkin_storage_wire::table::entity::check_whole;
use welkin_storage_wire::table::etag::Condition;
use welkin_storage_wire::table::{Entity, EntityKey, Properties};
use welkin_store::Commit;

use crate::Storage;
use crate::Uid;
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::record;
use crate::space::ENTITIES;
use crate::table::TableError;
use crate::table::row::{self, EntityRecord, ordinal};

/// A change of one entity. A condition of `None` takes what it finds, and makes an entity where there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// There must be none before.
    Insert(Properties),
    /// These properties and no others.
    Replace(Option<Condition>, Properties),
    /// These properties, and the others that it has.
    Merge(Option<Condition>, Properties),
    /// Away with it.
    Delete(Condition),
}

impl Change {
    /// What is there afterwards, given what is there before.
    fn apply(
        &self,
        key: &EntityKey,
        found: Option<&Entity>,
        now: Timestamp,
    ) -> Result<Option<EntityRecord>, TableError> {
        // What breaks a rule by itself is told so, whatever is there.
        if let Self::Insert(given) | Self::Replace(_, given) | Self::Merge(_, given) = self {
            check_whole(key, given)?;
        }
        let properties = match (self, found) {
            (Self::Insert(_), Some(_)) => return Err(TableError::EntityAlreadyExists),
            (Self::Replace(Some(_), _) | Self::Merge(Some(_), _) | Self::Delete(_), None) => {
                return Err(TableError::EntityNotFound);
            }
            (
                Self::Replace(Some(condition), _) | Self::Merge(Some(condition), _) | Self::Delete(condition),
                Some(entity),
            ) if !condition.holds(entity.timestamp) => return Err(TableError::ConditionNotMet),
            (Self::Delete(_), Some(_)) => return Ok(None),
            (Self::Merge(_, properties), Some(entity)) => merged(&entity.properties, properties),
            (Self::Insert(properties) | Self::Replace(_, properties) | Self::Merge(_, properties), _) => {
                properties.clone()
            }
        };
        check_whole(key, &properties)?;
        let timestamp = found.map_or(now, |entity| now.max(entity.timestamp.plus(TICK)));
        Ok(Some(EntityRecord { timestamp, properties }))
    }
}

/// The least by which the timestamps, and so the ETags, of two writes of an entity differ.
const TICK: Duration = Duration::from_nanos(100);

fn merged(old: &Properties, new: &Properties) -> Properties {
    let mut all = old.clone();
    for (name, value) in new {
        match all.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => old.clone_from(value),
            None => all.push((name.clone(), value.clone())),
        }
    }
    all
}

impl Storage {
    /// The entity with these keys.
    ///
    /// # Errors
    /// When there is no such table or entity.
    pub async fn entity(&self, account: Uid, table: &str, key: &EntityKey) -> Result<Entity, TableError> {
        let table = self.table(account, table).await?;
        let row = self
            .store()
            .get(ENTITIES, &row::partition(table.uid, &key.partition), &ordinal(&key.row))
            .await?;
        Ok(row::entity(&row.ok_or(TableError::EntityNotFound)?)?)
    }

    /// Changes one entity; says its new timestamp, or `None` when it was deleted.
    ///
    /// # Errors
    /// When there is no such table, or the change cannot be made of what is there.
    pub async fn change_entity(
        &self,
        account: Uid,
        table: &str,
        key: &EntityKey,
        change: Change,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, TableError> {
        let changes = [(key.clone(), change)];
        let written =
            self.change_entities(account, table, &changes, now).await.map_err(|failed| failed.error)?;
        Ok(written.first().copied().flatten())
    }

    /// Changes entities of one partition together: an entity group transaction. All keys have one partition key,
    /// and no entity comes twice; the caller has checked that. Says each one's new timestamp.
    ///
    /// # Errors
    /// When there is no such table, or a change cannot be made; then none is, and the error says which one.
    pub async fn change_entities(
        &self,
        account: Uid,
        table: &str,
        changes: &[(EntityKey, Change)],
        now: Timestamp,
    ) -> Result<Vec<Option<Timestamp>>, FailedChange> {
        let whole = |error: TableError| FailedChange { index: 0, error };
        let table = self.table(account, table).await.map_err(whole)?;
        for _ in 0..COMMIT_TRIES_MAX {
            let (commit, written) = self.prepare(table.uid, changes, now).await?;
            if try_commit(self.store(), commit).await.map_err(|e| whole(e.into()))?.is_some() {
                return Ok(written);
            }
        }
        Err(whole(EngineError::Busy.into()))
    }

    /// Reads what is there at one moment, and makes the commit that changes it. A change that cannot be made is told
    /// without a commit, so that no check would find what had changed between two reads.
    async fn prepare(
        &self,
        table: Uid,
        changes: &[(EntityKey, Change)],
        now: Timestamp,
    ) -> Result<(Commit, Vec<Option<Timestamp>>), FailedChange> {
        let partition =
            changes.first().map(|(key, _)| row::partition(table, &key.partition)).unwrap_or_default();
        let mut commit = Commit::new(ENTITIES, partition.clone());
        let mut written = Vec::with_capacity(changes.len());
        let moment = self.store().moment();
        for (index, (key, change)) in changes.iter().enumerate() {
            let failed = |error: TableError| FailedChange { index, error };
            let row_key = ordinal(&key.row);
            let found = self.store().get_at(&moment, ENTITIES, &partition, &row_key).await;
            let found = found.map_err(|e| failed(e.into()))?;
            let entity = found.as_ref().map(row::entity).transpose().map_err(|e| failed(e.into()))?;
            let record = change.apply(key, entity.as_ref(), now).map_err(failed)?;
            written.push(record.as_ref().map(|record| record.timestamp));
            commit = commit.check_unchanged(row_key.clone(), found.map(|row| row.version));
            commit = match record {
                Some(record) => commit.put(row_key, record::encode(&record).map_err(|e| failed(e.into()))?),
                None => commit.delete(row_key),
            };
        }
        Ok((commit, written))
    }
}

/// Which of several changes could not be made, and why.
#[derive(Debug, thiserror::Error)]
#[error("change {index} cannot be made")]
pub struct FailedChange {
    /// Its place among the changes.
    pub index: usize,
    /// Why.
    #[source]
    pub error: TableError,
}
