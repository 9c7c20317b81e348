//! What becomes of a blob's state when it is overwritten or deleted: gone, a version, or something deleted that is
//! kept for a while (STORAGE, section 3). Pure decisions on what the rows are to be.
//!
//! | | neither | kept when deleted | versions | both |
//! |---|---|---|---|---|
//! | overwritten | gone | a deleted snapshot | a version | a version |
//! | blob deleted | gone | a deleted blob | a version | a version |
//! | snapshot or version deleted | gone | deleted | gone | deleted |

use std::time::Duration;

use welkin_base::Timestamp;

use crate::Account;
use crate::blob::Revision;
use crate::blob::change::Next;
use crate::blob::state::{BlobRecord, SoftDeleted};

/// Seconds of a day.
const DAY_SECONDS: u64 = 24 * 60 * 60;

impl Next {
    /// Snapshots that are not deleted.
    pub(crate) fn live_snapshots(&self) -> impl Iterator<Item = Revision> {
        let live = |(revision, record): &(Revision, &BlobRecord)| {
            matches!(revision, Revision::Snapshot(_)) && record.deleted.is_none()
        };
        self.heads().filter(live).map(|(revision, _)| revision)
    }
}

/// The moment after so many days.
pub(crate) fn until(now: Timestamp, days: u32) -> Timestamp {
    now.plus(Duration::from_secs(u64::from(days) * DAY_SECONDS))
}

/// The mark of something deleted now, where the account keeps what is deleted.
pub(crate) fn kept(account: &Account, now: Timestamp) -> Option<SoftDeleted> {
    let retention = account.blob_service.delete_retention.as_ref()?;
    Some(SoftDeleted { at: now, until: until(now, retention.days) })
}

/// A moment that no snapshot or version of the blob has, after all that they have. Snapshots and versions are
/// named by moments.
pub(crate) fn free_moment(next: &Next, now: Timestamp) -> Timestamp {
    let named = next.heads().flat_map(|(revision, record)| {
        let own = match revision {
            Revision::Current => None,
            Revision::Snapshot(at) | Revision::Version(at) => Some(at),
        };
        [own, record.version]
    });
    let after = |last: Timestamp| Timestamp::from_ticks(last.ticks().saturating_add(1));
    named.flatten().max().map_or(now, |last| after(last).max(now))
}

/// The version id of a state that is written now, where the account keeps versions.
pub(crate) fn new_version(next: &Next, account: &Account, now: Timestamp) -> Option<Timestamp> {
    account.settings.versioning.then(|| free_moment(next, now))
}

/// Takes away what is over: deleted states whose time is over, and a blob that has expired.
pub(crate) fn purge(next: &mut Next, now: Timestamp) {
    let over = |record: &BlobRecord| {
        record.deleted.is_some_and(|deleted| deleted.until <= now) || record.has_expired(now)
    };
    let gone: Vec<Revision> = next.heads().filter(|(_, record)| over(record)).map(|(at, _)| at).collect();
    for revision in gone {
        next.remove(revision);
    }
}

/// The current state is about to be replaced.
pub(crate) fn overwritten(next: &mut Next, account: &Account, now: Timestamp) {
    purge(next, now);
    let Some(last) = next.remove(Revision::Current) else {
        return;
    };
    match (last.deleted, account.settings.versioning) {
        (None, true) => keep_version(next, last),
        (None, false) => {
            if let Some(deleted) = kept(account, now) {
                keep_snapshot(next, last, deleted, now);
            }
        }
        // It was deleted before, and still can be restored, now as a snapshot.
        (Some(deleted), _) => keep_snapshot(next, last, deleted, now),
    }
}

/// The blob is deleted.
pub(crate) fn deleted(next: &mut Next, account: &Account, now: Timestamp) {
    let Some(last) = next.remove(Revision::Current) else {
        return;
    };
    match (account.settings.versioning, kept(account, now)) {
        (true, _) => keep_version(next, last),
        (false, Some(deleted)) => {
            next.put(Revision::Current, BlobRecord { deleted: Some(deleted), lease: None, ..last });
        }
        (false, None) => {}
    }
}

/// A snapshot or a version is deleted.
pub(crate) fn revision_deleted(next: &mut Next, revision: Revision, account: &Account, now: Timestamp) {
    let Some(last) = next.remove(revision) else {
        return;
    };
    if let Some(deleted) = kept(account, now) {
        next.put(revision, BlobRecord { deleted: Some(deleted), ..last });
    }
}

/// The current state stays as a version. One that was written while the account kept none is named by the moment
/// of its creation.
pub(crate) fn keep_version(next: &mut Next, last: BlobRecord) {
    let named = last.version.unwrap_or(last.created);
    let at = match next.head(Revision::Version(named)) {
        None => named,
        Some(_) => free_moment(next, named),
    };
    let record = BlobRecord { version: Some(at), superseded: true, lease: None, ..last };
    next.put(Revision::Version(at), record);
}

fn keep_snapshot(next: &mut Next, last: BlobRecord, deleted: SoftDeleted, now: Timestamp) {
    let at = free_moment(next, now);
    let record = BlobRecord { deleted: Some(deleted), version: None, lease: None, ..last };
    next.put(Revision::Snapshot(at), record);
}
