//! Who leads: the one whose key of the election exists. The key goes with its lease, which the leader keeps alive.
//!
//! A term is *held* as long as an answer of etcd says that the lease lives: until the time of the question plus the
//! lease's length. When etcd does not answer for longer the term is in doubt, and when it says that the lease is
//! gone it is lost. What a leader commits needs neither: each commit compares the revision that made the key.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::error::StoreError;
use crate::etcd::Etcd;
use crate::etcd::client::NoAnswer;
use crate::etcd::wire::{
    Base64, Compare, CompareResult, Grant, Int64, LeaseAnswer, LeaseId, Nothing, Operation, Put, Range,
    RangeAnswer, Streamed, Txn, TxnAnswer, With,
};

/// How long a leader that falls silent still leads. etcd grants no less than 2 s (1.5 elections of its own), and a
/// lease must outlive the stalls of a busy disk; more of it is time in which nobody leads after a crash.
pub const LEASE_SECONDS: u64 = 3;
/// How often the lease is kept alive: four times within its length.
const KEEP_INTERVAL: Duration = Duration::from_millis(750);

/// An election, by name. All who stand in one have an etcd with the same prefix.
#[derive(Debug, Clone)]
pub struct Election {
    etcd: Etcd,
    key: Vec<u8>,
}

/// How the election stands.
#[derive(Debug)]
pub enum Standing {
    /// We lead.
    Leads(Term),
    /// Another does: what it says of itself.
    Follows(String),
}

/// What a leader's commits compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fence {
    pub key: Vec<u8>,
    pub revision: u64,
}

/// How sure a leader may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Until(Instant),
    Lost,
}

/// The time in which we lead. Dropped without [`Term::resign`], it ends with the lease.
#[derive(Debug)]
pub struct Term {
    etcd: Etcd,
    fence: Fence,
    lease: Int64,
    hold: watch::Sender<Hold>,
    keeper: JoinHandle<()>,
}

impl Etcd {
    /// The election `name`.
    #[must_use]
    pub fn election(&self, name: &str) -> Election {
        Election { etcd: self.clone(), key: format!("{}/elections/{name}", self.prefix).into_bytes() }
    }
}

impl Election {
    /// Who leads, by what it says of itself.
    ///
    /// # Errors
    /// When etcd does not answer.
    pub async fn leader(&self) -> Result<Option<String>, StoreError> {
        Ok(self.look().await?.kvs.first().map(|key| String::from_utf8_lossy(&key.value.0).into_owned()))
    }

    /// Leads, if nobody else does. `name` is what others learn of the leader.
    ///
    /// # Errors
    /// When etcd does not answer.
    pub async fn stand(&self, name: &str) -> Result<Standing, StoreError> {
        // Reading costs no write of etcd's, and is what nearly every call needs.
        if let Some(leader) = self.leader().await? {
            return Ok(Standing::Follows(leader));
        }
        let asked = Instant::now();
        let grant = Grant { ttl_seconds: Int64(LEASE_SECONDS) };
        let lease: LeaseAnswer = self.etcd.members.ask("/v3/lease/grant", &grant).await?;
        let put = Put { key: Base64(self.key.clone()), value: Base64(name.into()), lease: Some(lease.id) };
        let absent = With::Create { create_revision: Int64(0) };
        let txn = Txn {
            compare: vec![Compare {
                key: Base64(self.key.clone()),
                result: CompareResult::Equal,
                with: absent,
            }],
            success: vec![Operation::Put(put)],
            failure: Vec::new(),
        };
        // Whatever came of it: whoever has the key leads.
        let made: Result<TxnAnswer, NoAnswer> = self.etcd.members.ask_once("/v3/kv/txn", &txn).await;
        let found = self.look().await?;
        match found.kvs.into_iter().next() {
            Some(key) if key.lease == lease.id => {
                let fence = Fence { key: self.key.clone(), revision: key.create_revision.0 };
                Ok(Standing::Leads(Term::begin(self.etcd.clone(), fence, lease.id, asked)))
            }
            found => {
                revoke(&self.etcd, lease.id).await;
                made.map_err(StoreError::from)?;
                let leader = found.map(|key| String::from_utf8_lossy(&key.value.0).into_owned());
                leader
                    .map(Standing::Follows)
                    .ok_or_else(|| StoreError::Etcd("the lease ended at once".to_owned()))
            }
        }
    }

    async fn look(&self) -> Result<RangeAnswer, StoreError> {
        let range = Range { key: Base64(self.key.clone()), ..Range::default() };
        Ok(self.etcd.members.ask("/v3/kv/range", &range).await?)
    }
}

impl Term {
    fn begin(etcd: Etcd, fence: Fence, lease: Int64, asked: Instant) -> Self {
        let hold = watch::Sender::new(Hold::Until(asked + Duration::from_secs(LEASE_SECONDS)));
        let keeper = tokio::spawn(keep(etcd.clone(), lease, hold.clone()));
        Self { etcd, fence, lease, hold, keeper }
    }

    pub(crate) fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Whether nobody else can lead at this moment.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(*self.hold.borrow(), Hold::Until(until) if Instant::now() < until)
    }

    /// Resolves when the term is lost.
    pub async fn lost(&self) {
        // The sender is ours, so that there is no other end than this.
        let _ = self.hold.subscribe().wait_for(|hold| *hold == Hold::Lost).await;
    }

    /// Ends the term, so that another may lead at once.
    pub async fn resign(&self) {
        self.keeper.abort();
        self.hold.send_replace(Hold::Lost);
        revoke(&self.etcd, self.lease).await;
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Keeps a lease alive until etcd says that it is gone.
async fn keep(etcd: Etcd, lease: Int64, hold: watch::Sender<Hold>) {
    loop {
        sleep(KEEP_INTERVAL).await;
        let asked = Instant::now();
        let answer: Result<Streamed<LeaseAnswer>, _> =
            etcd.members.ask("/v3/lease/keepalive", &LeaseId { id: lease }).await;
        match answer {
            Ok(kept) if kept.result.ttl_seconds.0 > 0 => {
                hold.send_replace(Hold::Until(asked + Duration::from_secs(kept.result.ttl_seconds.0)));
            }
            Ok(_) => {
                hold.send_replace(Hold::Lost);
                return;
            }
            Err(NoAnswer::NotNow(why)) => tracing::warn!(why, "the lease cannot be kept alive"),
            Err(NoAnswer::TooLarge) => {}
            Err(NoAnswer::Refused(error)) => tracing::warn!(%error, "the lease is not kept alive"),
        }
    }
}

/// A lease that is not revoked ends by itself, only later.
async fn revoke(etcd: &Etcd, lease: Int64) {
    let revoked: Result<Nothing, NoAnswer> =
        etcd.members.ask("/v3/lease/revoke", &LeaseId { id: lease }).await;
    if let Err(why) = revoked.map_err(StoreError::from) {
        tracing::debug!(%why, "a lease was not revoked");
    }
}
