//! Storage accounts: a name, two keys, and the uid under which everything of the account lies.

use std::fmt;

use serde::{Deserialize, Serialize};
use welkin_base::{AccountName, Timestamp};
use welkin_store::{Commit, ScanFrom};

use crate::cleaner::Garbage;
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::record::{self, Record};
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
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).field("uid", &self.uid).finish_non_exhaustive()
    }
}

impl Record for Account {
    const NOUN: &'static str = "storage account";
    const VERSION: u8 = 1;
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
        let partition = name.as_str().as_bytes();
        for _ in 0..COMMIT_TRIES_MAX {
            let row = self.store().get(ACCOUNTS, partition, b"").await.map_err(EngineError::from)?;
            let row = row.ok_or_else(|| AccountError::NotFound(name.clone()))?;
            let mut account: Account = record::decode(&row.value)?;
            match which {
                KeyName::Primary => account.primary_key = key.to_vec(),
                KeyName::Secondary => account.secondary_key = key.to_vec(),
            }
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
    /// When there is no such account.
    pub async fn delete_account(&self, name: &AccountName, now: Timestamp) -> Result<(), AccountError> {
        let partition = name.as_str().as_bytes();
        for _ in 0..COMMIT_TRIES_MAX {
            let row = self.store().get(ACCOUNTS, partition, b"").await.map_err(EngineError::from)?;
            let row = row.ok_or_else(|| AccountError::NotFound(name.clone()))?;
            let account: Account = record::decode(&row.value)?;
            self.add_garbage(account.uid, Garbage::account(name.clone(), now)).await?;
            let commit = Commit::new(ACCOUNTS, partition.to_vec()).check_version(&b""[..], row.version);
            if try_commit(self.store(), commit.delete(&b""[..])).await?.is_some() {
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }
}
