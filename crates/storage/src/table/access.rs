//! Stored access policies of a table.

use welkin_store::Commit;

use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::record;
use crate::space::TABLES;
use crate::table::{TableError, TableRecord, partition};
use crate::{Storage, Uid};
use welkin_storage_wire::sas::StoredAccessPolicy;

impl Storage {
    /// The stored access policies of a table.
    ///
    /// # Errors
    /// When there is no such table.
    pub async fn table_policies(
        &self,
        account: Uid,
        table: &str,
    ) -> Result<Vec<StoredAccessPolicy>, TableError> {
        Ok(self.table(account, table).await?.policies)
    }

    /// Gives a table these stored access policies and no others.
    ///
    /// # Errors
    /// When there is no such table.
    pub async fn set_table_policies(
        &self,
        account: Uid,
        table: &str,
        policies: &[StoredAccessPolicy],
    ) -> Result<(), TableError> {
        let partition = partition(account, table);
        for _ in 0..COMMIT_TRIES_MAX {
            let row = self.store().get(TABLES, &partition, b"").await?.ok_or(TableError::TableNotFound)?;
            let record = TableRecord { policies: policies.to_vec(), ..record::decode(&row.value)? };
            let commit = Commit::new(TABLES, partition.clone())
                .check_unchanged(&b""[..], Some(row.version))
                .put(&b""[..], record::encode(&record)?);
            if try_commit(self.store(), commit).await?.is_some() {
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }
}
