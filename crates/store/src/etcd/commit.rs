//! A commit as one transaction of etcd's. Pure.

use crate::commit::{Check, Commit, CommitError, Write};
use crate::error::StoreError;
use crate::etcd::election::Fence;
use crate::etcd::wire::{
    Base64, Compare, CompareResult, Delete, Int64, Operation, Put, Range, Txn, TxnAnswer, With,
};
use crate::local::{check_length, check_names, row_key};

/// What etcd takes of one request, by default (`--max-request-bytes`, etcd 3.4 configuration flags), less what the
/// request says beside its keys and values.
pub const COMMIT_BYTES_MAX: usize = 1_572_864 - 16_384;
/// Checks, and writes, of one transaction (`--max-txn-ops`); one check is the leader's.
pub const OPERATIONS_MAX: usize = 127;
/// What one check or write needs beside its key and value, at most.
const OPERATION_BYTES: usize = 48;

/// The transaction that does what `commit` says, if the fence stands. When it does not succeed, the answers tell why:
/// see [`conflict`].
pub(crate) fn transaction(prefix: &str, commit: &Commit, fence: Option<&Fence>) -> Result<Txn, StoreError> {
    check_size(prefix, commit)?;
    let stored = |key: &[u8]| {
        check_names(commit.space, &commit.partition, key)?;
        Ok::<_, StoreError>(Base64(stored_key(prefix, &row_key(commit.space, &commit.partition, key))))
    };
    let mut txn = Txn::default();
    for check in &commit.checks {
        let key = stored(key_of(check))?;
        txn.failure.push(Operation::Range(Range { key: key.clone(), keys_only: true, ..Range::default() }));
        let (result, with) = match check {
            Check::Absent(_) => (CompareResult::Equal, With::Create { create_revision: Int64(0) }),
            Check::Present(_) => (CompareResult::Greater, With::Create { create_revision: Int64(0) }),
            Check::Version(_, version) => {
                (CompareResult::Equal, With::Mod { mod_revision: Int64(version.0) })
            }
        };
        txn.compare.push(Compare { key, result, with });
    }
    if let Some(fence) = fence {
        let (key, with) =
            (Base64(fence.key.clone()), With::Create { create_revision: Int64(fence.revision) });
        let look = Range { key: key.clone(), keys_only: true, ..Range::default() };
        txn.failure.push(Operation::Range(look));
        txn.compare.push(Compare { key, result: CompareResult::Equal, with });
    }
    for write in &commit.writes {
        txn.success.push(match write {
            Write::Put(key, value) => {
                Operation::Put(Put { key: stored(key)?, value: Base64(value.to_vec()), lease: None })
            }
            Write::Delete(key) => Operation::DeleteRange(Delete { key: stored(key)? }),
        });
    }
    Ok(txn)
}

/// Why a transaction did not succeed: the fence fell, or the first check that did not hold.
pub(crate) fn conflict(commit: &Commit, fence: Option<&Fence>, answer: &TxnAnswer) -> CommitError {
    let found =
        |index: usize| answer.responses.get(index).and_then(|answer| answer.response_range.kvs.first());
    let leads = found(commit.checks.len()).map(|key| key.create_revision.0);
    if fence.is_some_and(|fence| leads != Some(fence.revision)) {
        return CommitError::Store(StoreError::Deposed);
    }
    let failed = commit.checks.iter().enumerate().position(|(index, check)| match check {
        Check::Absent(_) => found(index).is_some(),
        Check::Present(_) => found(index).is_none(),
        Check::Version(_, version) => found(index).map(|row| row.mod_revision.0) != Some(version.0),
    });
    match failed {
        Some(check) => CommitError::Conflict { check },
        None => CommitError::Store(StoreError::Etcd("a transaction failed for no reason".to_owned())),
    }
}

/// The etcd key of a stored key.
pub(crate) fn stored_key(prefix: &str, row: &[u8]) -> Vec<u8> {
    let mut key = rows_prefix(prefix);
    key.extend_from_slice(row);
    key
}

/// What the etcd keys of all rows begin with.
pub(crate) fn rows_prefix(prefix: &str) -> Vec<u8> {
    format!("{prefix}/rows/").into_bytes()
}

fn key_of(check: &Check) -> &[u8] {
    match check {
        Check::Absent(key) | Check::Present(key) | Check::Version(key, _) => key,
    }
}

fn check_size(prefix: &str, commit: &Commit) -> Result<(), StoreError> {
    for (what, count) in
        [("number of checks", commit.checks.len()), ("number of writes", commit.writes.len())]
    {
        check_length(what, count, OPERATIONS_MAX)?;
    }
    // An escaped zero is two bytes.
    let key_bytes = |key: &[u8]| prefix.len() + 2 * commit.partition.len() + key.len() + OPERATION_BYTES;
    let mut commit_bytes: usize = commit.checks.iter().map(|check| 2 * key_bytes(key_of(check))).sum();
    for write in &commit.writes {
        commit_bytes += match write {
            Write::Put(key, value) => {
                check_length("value", value.len(), COMMIT_BYTES_MAX)?;
                key_bytes(key) + value.len()
            }
            Write::Delete(key) => key_bytes(key),
        };
    }
    check_length("commit", commit_bytes, COMMIT_BYTES_MAX)
}
