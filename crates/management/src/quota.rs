//! What a subscription has of what is counted, held against its quotas.
//!
//! A name is claimed before what it names is made: its entry and the count are one commit, on the condition that the
//! subscription is as it was when its quota was read. So no two requests at once get more than the quota, and nothing is
//! made for a subscription that is disabled or deleted meanwhile. A claim that led to nothing is given back; one
//! that a crash left is given back by [`repair`] at the next start.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use welkin_base::SubscriptionId;
use welkin_management_wire::ApiError;
use welkin_store::{Commit, Row, Space};

use crate::affinity_group::GroupRecord;
use crate::failure::Failure;
use crate::hosted_service::{self, HostedServiceRecord};
use crate::management::Management;
use crate::state::{ACCOUNTS, Kind, Read, SERVICES, SUBSCRIPTIONS, State, encode};
use crate::storage_account::{self, AccountRecord};
use crate::subscription::{self, SubscriptionRecord};

/// The key of a subscription's usage.
pub const KEY: &str = "usage";
/// A commit that loses against others is tried again this often. Of those that run at once one wins each time, and
/// a subscription has fewer requests in hand.
pub const TRIES: u32 = 1000;

/// A claim without what it names is waited for so long: it is just being made, or is just gone.
const TRANSITION: Duration = Duration::from_secs(1);
/// The pause between looks at it.
const TRANSITION_PAUSE: Duration = Duration::from_millis(5);

/// How much a subscription uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// Hosted services, with those that are being made and deleted.
    pub hosted_services: u32,
    /// Storage accounts, with those that are being made and deleted.
    pub storage_accounts: u32,
}

impl UsageRecord {
    fn of(&mut self, kind: Counted) -> &mut u32 {
        match kind {
            Counted::Service => &mut self.hosted_services,
            Counted::Account => &mut self.storage_accounts,
        }
    }

    /// Whether the subscription has nothing.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Hosted services.
    Service,
    /// Storage accounts.
    Account,
}

impl Counted {
    fn kind(self) -> Kind {
        match self {
            Self::Service => Kind::Service,
            Self::Account => Kind::Account,
        }
    }

    /// Whether there is one of this name, whosever.
    async fn exists(self, state: &State, name: &str) -> Result<bool, Failure> {
        let (space, key) = match self {
            Self::Service => (SERVICES, hosted_service::KEY),
            Self::Account => (ACCOUNTS, storage_account::KEY),
        };
        Ok(state.get::<serde::de::IgnoredAny>(space, name, key).await?.is_some())
    }

    fn max(self, record: &SubscriptionRecord) -> u32 {
        match self {
            Self::Service => record.quotas.hosted_services,
            Self::Account => record.quotas.storage_accounts,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Service => "hosted services",
            Self::Account => "storage accounts",
        }
    }
}

/// How much the subscription uses.
pub async fn usage(state: &State, id: &SubscriptionId) -> Result<UsageRecord, Failure> {
    let read: Option<Read<UsageRecord>> = state.get(SUBSCRIPTIONS, id.as_str(), KEY).await?;
    Ok(read.map(|read| read.record).unwrap_or_default())
}

/// The names of what is in an affinity group.
pub async fn members(
    state: &State,
    id: &SubscriptionId,
    kind: Kind,
    group: &str,
) -> Result<Vec<String>, Failure> {
    let rows = state.entries(id, kind.prefix()).await?;
    let inside = rows.into_iter().filter(|row| row.value.eq_ignore_ascii_case(group.as_bytes()));
    let name =
        |row: Row| String::from_utf8_lossy(row.key.get(kind.prefix().len()..).unwrap_or_default()).into();
    Ok(inside.map(name).collect())
}

/// Claims a name, to be called before what it names is made; in an affinity group, if it is to be in one.
pub async fn claim(
    state: &State,
    id: &SubscriptionId,
    kind: Counted,
    name: &str,
    group: Option<&str>,
) -> Result<(), Failure> {
    let began = Instant::now();
    for _ in 0..TRIES {
        let turn = state.turn(id).await;
        let read = subscription::read(state, id).await?;
        subscription::check_active(&read.record)?;
        if state.entry(id, kind.kind(), name).await?.is_some() {
            if !kind.exists(state, name).await? && began.elapsed() < TRANSITION {
                drop(turn);
                tokio::time::sleep(TRANSITION_PAUSE).await;
                continue;
            }
            let message = format!("{name} is yours already, or is just being made or deleted");
            return Err(ApiError::conflict(message).into());
        }
        let usage: Option<Read<UsageRecord>> = state.get(SUBSCRIPTIONS, id.as_str(), KEY).await?;
        let mut record = usage.as_ref().map(|usage| usage.record).unwrap_or_default();
        let (current, max) = (record.of(kind), kind.max(&read.record));
        if *current >= max {
            return Err(exceeded(kind.name(), max).into());
        }
        *current += 1;
        let (entry, group_key) = (kind.kind().key(name), group.map(|group| Kind::Group.key(group)));
        if let Some(key) = &group_key
            && state.get::<GroupRecord>(SUBSCRIPTIONS, id.as_str(), key).await?.is_none()
        {
            return Err(ApiError::conflict("the affinity group was just deleted").into());
        }
        let change = State::change_subscription(id);
        let change = group_key.into_iter().fold(change, Commit::check_present);
        let change = change
            .check_version(subscription::KEY, read.version)
            .check_unchanged(KEY, usage.map(|usage| usage.version))
            .check_absent(entry.clone())
            .put(KEY, encode(&record)?)
            .put(entry, group.unwrap_or_default().as_bytes().to_vec());
        if won(state.commit(change).await)? {
            return Ok(());
        }
    }
    Err(Failure::Raced)
}

/// Gives a claim back, after what it named is gone, or was not made. Once more does no harm.
pub async fn give_back(state: &State, id: &SubscriptionId, kind: Counted, name: &str) -> Result<(), Failure> {
    for _ in 0..TRIES {
        let _turn = state.turn(id).await;
        let Some(entry) = state.entry(id, kind.kind(), name).await? else { return Ok(()) };
        let Some(usage): Option<Read<UsageRecord>> = state.get(SUBSCRIPTIONS, id.as_str(), KEY).await? else {
            return Ok(());
        };
        let mut record = usage.record;
        let current = record.of(kind);
        *current = current.saturating_sub(1);
        let key = kind.kind().key(name);
        let change: Commit = State::change_subscription(id)
            .check_version(KEY, usage.version)
            .check_version(key.clone(), entry.version)
            .put(KEY, encode(&record)?)
            .delete(key);
        if won(state.commit(change).await)? {
            return Ok(());
        }
    }
    Err(Failure::Raced)
}

/// Whether a commit happened; it did not when another came first.
pub fn won(result: Result<(), Failure>) -> Result<bool, Failure> {
    match result {
        Ok(()) => Ok(true),
        Err(Failure::Raced) => Ok(false),
        Err(other) => Err(other),
    }
}

fn exceeded(what: &str, max: u32) -> ApiError {
    ApiError::conflict(format!(
        "the subscription may have {max} {what} and has them: delete one, or ask the operator for a higher quota"
    ))
}

/// Gives back what a crash left claimed. Only at a start, while no request runs.
pub async fn repair(management: &Management) -> Result<(), Failure> {
    let state = &management.state;
    for id in state.subscriptions().await? {
        for name in state.names(&id, Kind::Service).await? {
            let key = hosted_service::KEY;
            let owner =
                owner(state, SERVICES, &name, key, |record: &HostedServiceRecord| &record.subscription);
            if owner.await?.as_ref() != Some(&id) {
                tracing::info!(subscription = %id, name, "a hosted service was not made, or is deleted");
                give_back(state, &id, Counted::Service, &name).await?;
            }
        }
        for name in state.names(&id, Kind::Account).await? {
            let key = storage_account::KEY;
            let owner = owner(state, ACCOUNTS, &name, key, |record: &AccountRecord| &record.subscription);
            if owner.await?.as_ref() != Some(&id) {
                tracing::info!(subscription = %id, name, "a storage account was not made, or is deleted");
                give_back(state, &id, Counted::Account, &name).await?;
            }
        }
    }
    Ok(())
}

async fn owner<T: serde::de::DeserializeOwned>(
    state: &State,
    space: Space,
    name: &str,
    key: &str,
    of: impl Fn(&T) -> &SubscriptionId,
) -> Result<Option<SubscriptionId>, Failure> {
    let read: Option<Read<T>> = state.get(space, name, key).await?;
    Ok(read.map(|read| of(&read.record).clone()))
}
