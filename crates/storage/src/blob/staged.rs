//! How many uncommitted blocks a blob has: counted in its rows once, and then as they are put.
//!
//! A count is never too low but for blocks that are put at the same time as it is taken; it may be too high, since
//! blocks that are committed or dropped stay in it. That is why it is taken anew before a block is refused.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use welkin_store::ScanFrom;

use crate::Storage;
use crate::blob::BlobError;
use crate::blob::row::RowKey;
use crate::space::BLOBS;

/// Uncommitted blocks of one blob (STORAGE, section 3: Put Block).
pub const STAGED_BLOCKS_MAX: usize = 100_000;

/// Blobs whose count is remembered; beyond, all are counted again.
const BLOBS_COUNTED_MAX: usize = 10_000;
/// Rows of one scan.
const SCAN_ROWS: usize = 4096;

/// The counts of blobs, by their partitions.
#[derive(Debug, Default)]
pub(crate) struct StagedCounts(Mutex<HashMap<Vec<u8>, usize>>);

impl StagedCounts {
    /// Counts one more block. False where the count is not known, or is as high as it can be.
    fn add(&self, partition: &[u8]) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(partition) {
            Some(count) if *count < STAGED_BLOCKS_MAX => {
                *count += 1;
                true
            }
            _ => false,
        }
    }

    fn set(&self, partition: &[u8], count: usize) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= BLOBS_COUNTED_MAX {
            counts.clear();
        }
        counts.insert(partition.to_vec(), count);
    }
}

impl Storage {
    /// Counts a block that is put under an id which the blob has no uncommitted block of. `any` says whether it has
    /// others.
    pub(super) async fn count_staged(&self, partition: &[u8], any: bool) -> Result<(), BlobError> {
        if self.staged_counts().add(partition) {
            return Ok(());
        }
        let count = if any { self.staged_rows(partition).await? } else { 0 };
        if count >= STAGED_BLOCKS_MAX {
            return Err(BlobError::TooManyBlocks);
        }
        self.staged_counts().set(partition, count + 1);
        Ok(())
    }

    /// The blob's uncommitted blocks, up to the most that it may have.
    async fn staged_rows(&self, partition: &[u8]) -> Result<usize, BlobError> {
        let mut from = RowKey::Staged(b"").to_bytes();
        let mut count = 0;
        loop {
            let place = ScanFrom::Row(partition.to_vec().into(), from.into());
            let rows = self.store().scan(BLOBS, place, SCAN_ROWS).await?;
            let staged = |row: &&welkin_store::Row| {
                row.partition == partition && matches!(RowKey::parse(&row.key), Some(RowKey::Staged(_)))
            };
            let found = rows.iter().take_while(staged).count();
            count += found;
            match rows.last() {
                Some(last) if found == SCAN_ROWS && count < STAGED_BLOCKS_MAX => {
                    // The next key after the last one.
                    from = [&last.key[..], &[0]].concat();
                }
                _ => return Ok(count),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use welkin_base::{AccountName, Timestamp};
    use welkin_store::{Commit, Store};

    use crate::blob::BlobPath;
    use crate::blob::append::{APPENDED_BLOCKS_MAX, AppendConditions};
    use crate::blob::block_list::Source;
    use crate::blob::condition::Conditions;
    use crate::blob::container::{NewContainer, PublicAccess};
    use crate::blob::content::Piece;
    use crate::blob::row::StagedBlock;
    use crate::blob::state::Content;
    use crate::blob::write::NewBlob;
    use crate::error::try_commit;
    use crate::{Account, NewKeys, Uid, record};

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_ticks(17_000_000_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn account() -> Account {
        let keys = NewKeys { primary: vec![1], secondary: vec![2], delegation: vec![3] };
        Account::new(AccountName::new("account").unwrap(), Uid::from_bytes([7; 16]), at(0), keys)
    }

    fn path(account: &Account) -> BlobPath<'_> {
        BlobPath { account, container: "container", name: "blob" }
    }

    async fn storage(account: &Account) -> (tempfile::TempDir, Storage) {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::over(Store::open_local(folder.path()).await.unwrap());
        let new = NewContainer {
            uid: Uid::from_bytes([1; 16]),
            metadata: Vec::new(),
            public_access: PublicAccess::Private,
            encryption_scope: None,
            denies_other_scopes: false,
        };
        storage.create_container(account.uid, "container", new, at(0)).await.unwrap();
        (folder, storage)
    }

    fn id(number: usize) -> Vec<u8> {
        format!("{number:06}").into_bytes()
    }

    /// Blocks as Put Block leaves them, without asking how many there are.
    async fn lay(storage: &Storage, account: &Account, numbers: std::ops::Range<usize>) {
        let partition = storage.blob_partition(path(account)).await.unwrap();
        let block =
            record::encode(&StagedBlock { staged: at(0), piece: Piece::Inline(vec![1].into()) }).unwrap();
        for part in numbers.collect::<Vec<_>>().chunks(10_000) {
            let commit = Commit::new(BLOBS, partition.clone());
            let commit = part.iter().fold(commit, |commit, number| {
                commit.put(RowKey::Staged(&id(*number)).to_bytes(), block.clone())
            });
            assert!(try_commit(storage.store(), commit).await.unwrap().is_some());
        }
    }

    async fn put(storage: &Storage, account: &Account, number: usize) -> Result<(), BlobError> {
        let mut writer = storage.block_writer(None);
        writer.write(vec![1].into()).await.unwrap();
        storage.put_block(path(account), &id(number), writer.finish().await.unwrap(), None, at(1)).await
    }

    #[tokio::test]
    async fn uncommitted_blocks_below_at_and_above_the_limit() {
        let account = account();
        let (folder, storage) = storage(&account).await;
        lay(&storage, &account, 0..STAGED_BLOCKS_MAX - 1).await;
        put(&storage, &account, STAGED_BLOCKS_MAX - 1).await.unwrap();
        assert!(matches!(put(&storage, &account, STAGED_BLOCKS_MAX).await, Err(BlobError::TooManyBlocks)));
        // One that takes another's place is not one more.
        put(&storage, &account, 7).await.unwrap();
        storage.close().await.unwrap();
        drop(storage);
        let storage = Storage::over(Store::open_local(folder.path()).await.unwrap());
        assert!(matches!(put(&storage, &account, STAGED_BLOCKS_MAX).await, Err(BlobError::TooManyBlocks)));
        // As many as a blob can have are committed, and all others go.
        let list: Vec<_> = (0..50_000).map(|number| (Source::Uncommitted, id(number * 2))).collect();
        let blob = storage.put_block_list(path(&account), &list, &NewBlob::default(), at(2)).await.unwrap();
        assert_eq!(blob.length_bytes, 50_000);
        put(&storage, &account, STAGED_BLOCKS_MAX).await.unwrap();
    }

    #[tokio::test]
    async fn appended_blocks_below_at_and_above_the_limit() {
        let account = account();
        let (_folder, storage) = storage(&account).await;
        storage.put_append_blob(path(&account), &NewBlob::default(), at(0)).await.unwrap();
        let partition = storage.blob_partition(path(&account)).await.unwrap();
        let key = RowKey::Head(crate::blob::Revision::Current).to_bytes();
        let row = storage.store().get(BLOBS, &partition, &key).await.unwrap().unwrap();
        let mut blob: crate::blob::state::BlobRecord = record::decode(&row.value).unwrap();
        let Content::Appended { blocks, .. } = &mut blob.content else { panic!("an append blob") };
        *blocks = APPENDED_BLOCKS_MAX - 2;
        let commit = Commit::new(BLOBS, partition).put(key, record::encode(&blob).unwrap());
        assert!(try_commit(storage.store(), commit).await.unwrap().is_some());
        for fits in [true, true, false, false] {
            let mut writer = storage.append_writer(None);
            writer.write(vec![1].into()).await.unwrap();
            let (content, always) = (writer.finish().await.unwrap(), Conditions::default());
            let appended = storage
                .append_block(path(&account), content, &AppendConditions::default(), &always, at(1))
                .await;
            match appended {
                Ok(_) => assert!(fits),
                Err(error) => assert!(!fits && matches!(error, BlobError::TooManyBlocks), "{error}"),
            }
        }
    }
}
