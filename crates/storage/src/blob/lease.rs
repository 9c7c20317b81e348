//! Leases of blobs and containers: a pure state machine (STORAGE, section 5).

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;
use welkin_base::timestamp::TICKS_PER_SECOND;
use welkin_store::Commit;

use crate::Storage;
use crate::blob::condition::{Access, Conditions, ETag};
use crate::blob::row::RowKey;
use crate::blob::{BlobError, BlobPath, Revision};
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::record;
use crate::space::BLOBS;

/// The shortest lease that ends by itself (STORAGE, section 5).
pub const DURATION_MIN_SECONDS: u32 = 15;
/// The longest lease that ends by itself (STORAGE, section 5).
pub const DURATION_MAX_SECONDS: u32 = 60;
/// The longest time that a break may leave (STORAGE, section 5).
pub const BREAK_MAX_SECONDS: u32 = 60;

/// A lease's id: a GUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseId(pub [u8; 16]);

/// A lease as it lies in the store. What it is at a moment depends on the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it, or held it last.
    pub id: LeaseId,
    /// For how long it was taken; `None` without end.
    pub duration_seconds: Option<u32>,
    /// What became of it.
    pub phase: Phase,
}

/// What became of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Held until then, or without end; expired afterwards.
    Held(Option<Timestamp>),
    /// Being broken: held until then, and broken afterwards.
    Breaking(Timestamp),
    /// Broken.
    Broken,
}

/// What a lease is at a moment. Where there is none, the state is `Available`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// There is none.
    Available,
    /// It is held.
    Leased,
    /// It ended by itself.
    Expired,
    /// It is held, and about to be broken.
    Breaking,
    /// It was broken.
    Broken,
}

impl LeaseState {
    /// Whether only the holder may write.
    #[must_use]
    pub fn is_locked(self) -> bool {
        matches!(self, Self::Leased | Self::Breaking)
    }
}

/// What is done with a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseAction {
    /// Takes it, or takes it anew.
    Acquire {
        /// The id that it gets.
        id: LeaseId,
        /// `None` without end.
        duration_seconds: Option<u32>,
    },
    /// Holds it for its duration again.
    Renew(LeaseId),
    /// Gives it another id.
    Change {
        /// The id that it has.
        id: LeaseId,
        /// The id that it gets.
        proposed: LeaseId,
    },
    /// Gives it back.
    Release(LeaseId),
    /// Ends it without its id, in at most so many seconds.
    Break(Option<u32>),
}

/// What a lease is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseOf {
    /// A blob.
    Blob,
    /// A container.
    Container,
}

/// What an action came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// The lease, if there is one now.
    pub lease: Option<Lease>,
    /// The ETag of what it is of.
    pub etag: ETag,
    /// When that was last changed.
    pub modified: Timestamp,
}

/// Why something cannot be done with a lease, or without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Someone else holds one.
    #[error("there is a lease already")]
    AlreadyPresent,
    /// The id is not that of the lease.
    #[error("the lease has another id")]
    IdMismatch,
    /// There is none to do this with.
    #[error("there is no lease")]
    NotPresent,
    /// Its holder cannot take it anew while it is being broken.
    #[error("the lease is being broken and cannot be acquired until then")]
    BreakingAndCannotBeAcquired,
    /// Its id cannot be changed while it is being broken.
    #[error("the lease is being broken and cannot be changed")]
    BreakingAndCannotBeChanged,
    /// It cannot be renewed after it was broken.
    #[error("the lease was broken and cannot be renewed")]
    BrokenAndCannotBeRenewed,
    /// Only the holder may do this, and no id was given.
    #[error("there is a lease and no lease id was given")]
    IdMissing,
    /// Only the holder may do this, and another id was given.
    #[error("the lease id does not match the lease")]
    IdMismatchWith(LeaseOf),
    /// An id was given, and there is no lease.
    #[error("a lease id was given and there is no lease")]
    NotPresentWith(LeaseOf),
    /// An id was given, and the lease has ended.
    #[error("the lease has ended")]
    Lost,
}

impl Lease {
    /// What it is at this moment.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> LeaseState {
        match self.phase {
            Phase::Held(Some(until)) if until <= now => LeaseState::Expired,
            Phase::Held(_) => LeaseState::Leased,
            Phase::Breaking(until) if until <= now => LeaseState::Broken,
            Phase::Breaking(_) => LeaseState::Breaking,
            Phase::Broken => LeaseState::Broken,
        }
    }

    /// Seconds until a lease that is being broken is broken, rounded up.
    #[must_use]
    pub fn breaks_in_seconds(&self, now: Timestamp) -> u32 {
        match self.phase {
            Phase::Breaking(until) => seconds_until(until, now),
            Phase::Held(_) | Phase::Broken => 0,
        }
    }

    fn taken(id: LeaseId, duration_seconds: Option<u32>, now: Timestamp) -> Self {
        let until = duration_seconds.map(|seconds| after(now, seconds));
        Self { id, duration_seconds, phase: Phase::Held(until) }
    }

    fn broken(&self, period_seconds: Option<u32>, now: Timestamp) -> Self {
        let rest = match self.phase {
            Phase::Held(Some(until)) | Phase::Breaking(until) => Some(until),
            Phase::Held(None) => None,
            Phase::Broken => Some(now),
        };
        let asked = period_seconds.map(|seconds| after(now, seconds));
        let until = [rest, asked].into_iter().flatten().min().unwrap_or(now);
        let phase = if until <= now { Phase::Broken } else { Phase::Breaking(until) };
        Self { phase, ..self.clone() }
    }
}

fn after(now: Timestamp, seconds: u32) -> Timestamp {
    Timestamp::from_ticks(now.ticks().saturating_add(i64::from(seconds) * TICKS_PER_SECOND))
}

fn seconds_until(until: Timestamp, now: Timestamp) -> u32 {
    let ticks = until.ticks().saturating_sub(now.ticks()).max(0);
    u32::try_from((ticks + TICKS_PER_SECOND - 1) / TICKS_PER_SECOND).unwrap_or(u32::MAX)
}

/// What a lease is at a moment.
#[must_use]
pub fn state_of(lease: Option<&Lease>, now: Timestamp) -> LeaseState {
    lease.map_or(LeaseState::Available, |lease| lease.state_at(now))
}

/// The lease after an action; `None` when there is none any more.
///
/// # Errors
/// When the action is not possible in the state that the lease is in.
pub fn act(lease: Option<&Lease>, action: LeaseAction, now: Timestamp) -> Result<Option<Lease>, LeaseError> {
    use LeaseState as State;
    let state = state_of(lease, now);
    match action {
        LeaseAction::Acquire { id, duration_seconds } => {
            let own = lease.is_some_and(|lease| lease.id == id);
            match (state, own) {
                (State::Leased | State::Breaking, false) => Err(LeaseError::AlreadyPresent),
                (State::Breaking, true) => Err(LeaseError::BreakingAndCannotBeAcquired),
                _ => Ok(Some(Lease::taken(id, duration_seconds, now))),
            }
        }
        LeaseAction::Renew(id) => match (lease, state) {
            (Some(lease), _) if lease.id != id => Err(LeaseError::IdMismatch),
            (Some(lease), State::Leased | State::Expired) => {
                Ok(Some(Lease::taken(id, lease.duration_seconds, now)))
            }
            (Some(_), _) => Err(LeaseError::BrokenAndCannotBeRenewed),
            (None, _) => Err(LeaseError::IdMismatch),
        },
        LeaseAction::Change { id, proposed } => match (lease, state) {
            (Some(lease), State::Leased) if [id, proposed].contains(&lease.id) => {
                Ok(Some(Lease { id: proposed, ..lease.clone() }))
            }
            (Some(lease), State::Breaking) if [id, proposed].contains(&lease.id) => {
                Err(LeaseError::BreakingAndCannotBeChanged)
            }
            (Some(_), State::Leased | State::Breaking) => Err(LeaseError::IdMismatch),
            _ => Err(LeaseError::NotPresent),
        },
        LeaseAction::Release(id) => match lease {
            Some(lease) if lease.id == id => Ok(None),
            _ => Err(LeaseError::IdMismatch),
        },
        LeaseAction::Break(period_seconds) => match (lease, state) {
            (Some(lease), State::Leased | State::Breaking) => Ok(Some(lease.broken(period_seconds, now))),
            (Some(lease), _) => Ok(Some(Lease { phase: Phase::Broken, ..lease.clone() })),
            (None, _) => Err(LeaseError::NotPresent),
        },
    }
}

/// Whether a request that gives this id, or none, may use a thing with this lease. Reads need no id, but one that
/// is given must be right.
///
/// # Errors
/// Says what is wrong with the id.
pub fn check(
    lease: Option<&Lease>,
    given: Option<LeaseId>,
    access: Access,
    of: LeaseOf,
    now: Timestamp,
) -> Result<(), LeaseError> {
    match (lease, state_of(lease, now), given) {
        (Some(_), LeaseState::Leased | LeaseState::Breaking, None) if access == Access::Write => {
            Err(LeaseError::IdMissing)
        }
        (_, _, None) => Ok(()),
        (Some(lease), LeaseState::Leased | LeaseState::Breaking, Some(id)) if lease.id == id => Ok(()),
        (Some(_), LeaseState::Leased | LeaseState::Breaking, Some(_)) => Err(LeaseError::IdMismatchWith(of)),
        (Some(_), _, Some(_)) => Err(LeaseError::Lost),
        (None, _, Some(_)) => Err(LeaseError::NotPresentWith(of)),
    }
}

/// The lease after a write: one that has ended is forgotten, so that it cannot be renewed any more.
#[must_use]
pub fn after_write(lease: Option<&Lease>, now: Timestamp) -> Option<Lease> {
    lease.filter(|lease| lease.state_at(now).is_locked()).cloned()
}

impl Storage {
    /// Lease Blob. Neither the ETag nor Last-Modified change.
    ///
    /// # Errors
    /// When there is no such blob, a condition does not hold, or the lease does not allow the action.
    pub async fn lease_blob(
        &self,
        path: BlobPath<'_>,
        action: LeaseAction,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<Leased, BlobError> {
        let partition = self.blob_partition(path).await?;
        for _ in 0..COMMIT_TRIES_MAX {
            let mut head = self.blob_head(&partition, Revision::Current, now).await?;
            conditions.check_headers(Some(&head.record), Access::Write)?;
            head.record.lease = act(head.record.lease.as_ref(), action, now)?;
            let key = RowKey::Head(Revision::Current).to_bytes();
            let commit = Commit::new(BLOBS, partition.clone()).check_version(key.clone(), head.row);
            if try_commit(self.store(), commit.put(key, record::encode(&head.record)?)).await?.is_some() {
                let record = head.record;
                return Ok(Leased { lease: record.lease, etag: record.etag, modified: record.modified });
            }
        }
        Err(EngineError::Busy.into())
    }
}

#[cfg(test)]
mod tests;
