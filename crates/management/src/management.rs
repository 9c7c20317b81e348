//! What all handlers and operations in progress share.

use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use welkin_base::Timestamp;

use crate::config::Config;
use crate::fabric::Fabric;
use crate::state::State;
use crate::storage::Storage;
use crate::throttle::Throttle;

/// The service.
#[derive(Debug)]
pub struct Management {
    /// Its configuration.
    pub config: Config,
    /// What lasts.
    pub state: State,
    /// The fabric controller.
    pub fabric: Fabric,
    /// The storage service.
    pub storage: Storage,
    /// What each subscription may ask for.
    pub throttle: Arc<Throttle>,
    /// Operations in progress.
    pub jobs: Jobs,
}

/// Tasks that outlive the request that started them. At shutdown they end where they wait; what they were doing
/// is in the store and goes on at the next start.
#[derive(Debug, Default)]
pub struct Jobs {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Jobs {
    /// Runs `job` until it ends or the service does.
    pub fn start(&self, job: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = job => {}
            }
        });
    }

    /// Runs `work` to its end even when nobody waits for it any more, and when the service ends: what follows from a
    /// commit follows, although the client that asked for it went away.
    pub async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.tracker.spawn(work).await.ok()
    }

    /// Told when the service ends.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Ends every job and waits until it has ended.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// The time, which the store keeps with what is created and changed.
pub fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
