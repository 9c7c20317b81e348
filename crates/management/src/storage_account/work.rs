//! Making and deleting a storage account, and making a key anew. Its record says what is to be done, so that it goes on after a restart; the
//! storage service is asked until it does it or refuses. Each step may be done twice.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tracing::Instrument as _;
use welkin_base::AccountName;
use welkin_management_wire::ApiError;
use welkin_management_wire::storage_account::KeyType;
use welkin_store::Commit;

use super::{AccountRecord, KEY};
use crate::deploy::{patiently, persistently};
use crate::failure::{Failure, chain};
use crate::management::Management;
use crate::operation::{self, RequestId};
use crate::quota::{self, Counted};
use crate::state::{ACCOUNTS, Read, State, encode};

/// An operation that holds an account: no other may change it before this one has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its id.
    pub operation: RequestId,
    /// What it does.
    pub change: Change,
}

/// What is done with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It is being made.
    Make,
    /// It is being deleted.
    Delete,
    /// One of its keys is made anew.
    Regenerate(KeyType),
}

/// Starts the work of the operation that holds an account; how it ended comes from the channel.
pub fn start(management: &Arc<Management>, name: AccountName) -> oneshot::Receiver<Result<(), ApiError>> {
    let (sender, ended) = oneshot::channel();
    let span = tracing::info_span!("account", %name);
    let own = Arc::clone(management);
    let work = async move {
        match run(&own, &name).await {
            // Nobody may wait for it.
            Ok(result) => drop(sender.send(result)),
            Err(failure) => {
                tracing::error!(error = chain(&failure), "the operation stops here until the next start");
            }
        }
    };
    management.jobs.start(work.instrument(span));
    ended
}

async fn run(management: &Management, name: &AccountName) -> Result<Result<(), ApiError>, Failure> {
    let read: Option<Read<AccountRecord>> = management.state.get(ACCOUNTS, name.as_str(), KEY).await?;
    let Some(read) = read else { return Ok(Ok(())) };
    let Some(hold) = read.record.held.clone() else { return Ok(Ok(())) };
    let done = match hold.change {
        // That there is one by now means that an earlier try made it: the record has claimed the name.
        Change::Make => patiently(|| management.storage.create(name)).await.map(drop),
        Change::Delete => patiently(|| management.storage.delete(name)).await,
        // A key that nobody was told of yet may be made anew once more.
        Change::Regenerate(key) => patiently(|| management.storage.regenerate(name, key)).await.map(drop),
    };
    let stays = match hold.change {
        Change::Make => done.is_ok(),
        Change::Delete => done.is_err(),
        Change::Regenerate(_) => true,
    };
    if hold.change == Change::Make && !stays {
        // The storage service may have made it though its answer was lost.
        persistently(|| management.storage.delete(name)).await;
    }
    let result = done.map_err(Failure::told);
    let subscription = read.record.subscription.clone();
    let change: Commit = State::change(ACCOUNTS, name.as_str()).check_version(KEY, read.version);
    let change = match stays {
        true => change.put(KEY, encode(&AccountRecord { held: None, ..read.record })?),
        false => change.delete(KEY),
    };
    let (state, told) = (&management.state, result.clone().map(|()| Vec::new()));
    let change = operation::finish(state, change, ACCOUNTS, name.as_str(), &hold.operation, told).await?;
    state.commit(change).await?;
    if !stays {
        quota::give_back(state, &subscription, Counted::Account, name.as_str()).await?;
    }
    Ok(result)
}
