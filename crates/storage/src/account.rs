//! Storage accounts: a name, two keys, settings, and the uid under which everything of the account lies.
//!
//! The whole account is one row, which is read with every request: what it says costs no further read.

use std::fmt;

use serde::{Deserialize, Serialize};
use welkin_base::{AccountName, Timestamp};
use welkin_store::{Commit, ScanFrom};

use crate::blob::BlobError;
use crate::cleaner::Garbage;
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::record::{self, Record};
use crate::service::ServiceProperties;
use crate::space::ACCOUNTS;
use crate::{Storage, Uid};

/// Rows of one scan for a list of accounts.
const SCAN_ROWS: usize = 500;

/// Why an account cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is none of that name.
    #[error("there is no storage account {0}")]
    NotFound(AccountName),
    /// The name is taken.
    #[error("the storage account {0} exists already")]
    AlreadyExists(AccountName),
    /// A blob of it may not be deleted.
    #[error("a blob of the storage account {0} is protected by an immutability policy or a legal hold")]
    Protected(AccountName),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Which of an account's two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyName {
    /// The first.
    Primary,
    /// The second.
    Secondary,
}

/// A storage account. `Debug` does not show the keys.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The name.
    pub name: AccountName,
    /// What its keys begin with.
    pub uid: Uid,
    /// When it was made.
    pub created: Timestamp,
    /// The primary key: 64 random bytes.
    pub primary_key: Vec<u8>,
    /// The secondary key: 64 random bytes.
    pub secondary_key: Vec<u8>,
    /// What user delegation keys are derived from: 32 random bytes. A new one revokes them all.
    pub delegation_secret: Vec<u8>,
    /// What its owner chose, beside the protocol.
    pub settings: AccountSettings,
    /// Properties of the blob service.
    pub blob_service: ServiceProperties,
    /// Properties of the queue service.
    pub queue_service: ServiceProperties,
    /// Properties of the table service.
    pub table_service: ServiceProperties,
}

/// What an account's owner chooses by the account's management, not by the protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSettings {
    /// Each write of a blob keeps the state before it as a version.
    pub versioning: bool,
    /// Deleted containers can be restored for this many days.
    pub container_retention_days: Option<u32>,
    /// Names of encryption scopes that blobs may be written under.
    pub encryption_scopes: Vec<String>,
}

/// The keys of a new account, all random.
#[derive(Clone)]
pub struct NewKeys {
    /// The primary key: 64 bytes.
    pub primary: Vec<u8>,
    /// The secondary key: 64 bytes.
    pub secondary: Vec<u8>,
    /// What user delegation keys are derived from: 32 bytes.
    pub delegation: Vec<u8>,
}

impl fmt::Debug for NewKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKeys(..)")
    }
}

impl Account {
    /// An account with the settings that a new one has.
    #[must_use]
    pub fn new(name: AccountName, uid: Uid, created: Timestamp, keys: NewKeys) -> Self {
        Self {
            name,
            uid,
            created,
            primary_key: keys.primary,
            secondary_key: keys.secondary,
            delegation_secret: keys.delegation,
            settings: AccountSettings::default(),
            blob_service: ServiceProperties::default(),
            queue_service: ServiceProperties::default(),
            table_service: ServiceProperties::default(),
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).field("uid", &self.uid).finish_non_exhaustive()
    }
}

impl Record for Account {
    const NOUN: &'static str = "storage account";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, fields: &[u8]) -> Option<Result<Self, postcard::Error>> {
        (version == 1).then(|| postcard::from_bytes::<AccountV1>(fields).map(Into::into))
    }
}

/// The first shape: no settings and no secret for user delegation keys, which are refused until there is one.
#[derive(Serialize, Deserialize)]
struct AccountV1 {
    name: AccountName,
    uid: Uid,
    created: Timestamp,
    primary_key: Vec<u8>,
    secondary_key: Vec<u8>,
}

impl From<AccountV1> for Account {
    fn from(old: AccountV1) -> Self {
        let keys = NewKeys { primary: old.primary_key, secondary: old.secondary_key, delegation: Vec::new() };
        Self::new(old.name, old.uid, old.created, keys)
    }
}

impl Storage {
    /// The account of that name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn account(&self, name: &AccountName) -> Result<Option<Account>, EngineError> {
        let row = self.store().get(ACCOUNTS, name.as_str().as_bytes(), b"").await?;
        row.map(|row| record::decode(&row.value)).transpose()
    }

    /// All accounts' names, in order.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn accounts(&self) -> Result<Vec<AccountName>, EngineError> {
        let mut names = Vec::new();
        let mut from = ScanFrom::Start;
        loop {
            let rows = self.store().scan(ACCOUNTS, from, SCAN_ROWS).await?;
            for row in &rows {
                names.push(record::decode::<Account>(&row.value)?.name);
            }
            match rows.last() {
                Some(last) if rows.len() == SCAN_ROWS => {
                    from = ScanFrom::AfterPartition(last.partition.clone());
                }
                _ => return Ok(names),
            }
        }
    }

    /// Makes the account; its keys and uid come from the caller, random.
    ///
    /// # Errors
    /// When the name is taken.
    pub async fn create_account(&self, account: &Account) -> Result<(), AccountError> {
        let name = account.name.as_str().as_bytes().to_vec();
        let commit = Commit::new(ACCOUNTS, name).check_absent(&b""[..]);
        match try_commit(self.store(), commit.put(&b""[..], record::encode(account)?)).await? {
            Some(_) => Ok(()),
            None => Err(AccountError::AlreadyExists(account.name.clone())),
        }
    }

    /// Replaces one of the account's keys. The old one stops working at once.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn replace_account_key(
        &self,
        name: &AccountName,
        which: KeyName,
        key: &[u8],
    ) -> Result<Account, AccountError> {
        let replace = |account: &mut Account| match which {
            KeyName::Primary => account.primary_key = key.to_vec(),
            KeyName::Secondary => account.secondary_key = key.to_vec(),
        };
        self.change_account(name, replace).await
    }

    /// Changes the account: its keys, settings or service properties.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn change_account(
        &self,
        name: &AccountName,
        change: impl Fn(&mut Account),
    ) -> Result<Account, AccountError> {
        let partition = name.as_str().as_bytes();
        for _ in 0..COMMIT_TRIES_MAX {
            let row = self.store().get(ACCOUNTS, partition, b"").await.map_err(EngineError::from)?;
            let row = row.ok_or_else(|| AccountError::NotFound(name.clone()))?;
            let mut account: Account = record::decode(&row.value)?;
            change(&mut account);
            let commit = Commit::new(ACCOUNTS, partition.to_vec()).check_version(&b""[..], row.version);
            let commit = commit.put(&b""[..], record::encode(&account)?);
            if try_commit(self.store(), commit).await?.is_some() {
                return Ok(account);
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Deletes the account. All in it is out of reach at once, and removed by the cleaner.
    ///
    /// # Errors
    /// When there is no such account, or an immutability policy or a legal hold protects a blob of it.
    pub async fn delete_account(&self, name: &AccountName, now: Timestamp) -> Result<(), AccountError> {
        let partition = name.as_str().as_bytes();
        for _ in 0..COMMIT_TRIES_MAX {
            let row = self.store().get(ACCOUNTS, partition, b"").await.map_err(EngineError::from)?;
            let row = row.ok_or_else(|| AccountError::NotFound(name.clone()))?;
            let account: Account = record::decode(&row.value)?;
            match self.check_containers_mutable(account.uid, now).await {
                Ok(()) => {}
                Err(BlobError::Engine(error)) => return Err(error.into()),
                Err(_) => return Err(AccountError::Protected(name.clone())),
            }
            self.add_garbage(account.uid, Garbage::account(name.clone(), now)).await?;
            let commit = Commit::new(ACCOUNTS, partition.to_vec()).check_version(&b""[..], row.version);
            if try_commit(self.store(), commit.delete(&b""[..])).await?.is_some() {
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_shapes_are_read() {
        let name = AccountName::new("account").unwrap();
        let (uid, created) = (Uid::from_bytes([7; 16]), Timestamp::from_ticks(9));
        let old =
            AccountV1 { name: name.clone(), uid, created, primary_key: vec![1], secondary_key: vec![2] };
        let row = postcard::to_extend(&old, vec![1]).unwrap();
        let keys = NewKeys { primary: vec![1], secondary: vec![2], delegation: Vec::new() };
        assert_eq!(record::decode::<Account>(&row).unwrap(), Account::new(name, uid, created, keys));
    }
}
