//! Who leads. A process alone always does; of several replicas, the one that etcd's election names.
//!
//! A replica that comes to lead begins as a controller that was just started does: it reads the rows, then the nodes. One
//! that no longer leads ends its tasks. What it still has under way cannot be committed, so nothing depends on how soon
//! it notices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use welkin_base::NodeName;
use welkin_store::{Election, Etcd, Standing, Store, StoreError, Term};

use crate::controller::Controller;
use crate::error::RunError;
use crate::reconcile::{self, Mailbox, ended};
use crate::replica::Replica;
use crate::{mirror, node};

/// How often a replica that follows asks who leads. It is the least part of a failover, most of which is the lease.
const ASK_INTERVAL: Duration = Duration::from_millis(200);
/// A replica that leads and cannot take up its work leaves that to another for so long.
const UNFIT_PAUSE: Duration = Duration::from_secs(5);
/// The election of the fabric controllers.
const ELECTION: &str = "fabric";

/// Who leads, as this replica knows it.
#[derive(Debug, Clone)]
pub(crate) enum Leadership {
    /// It is not known, and why.
    Unknown(String),
    /// Another replica, by name.
    Theirs(String),
    /// This one. Alone it has no term.
    Ours(Arc<Controller>, Option<Arc<Term>>),
}

/// What answers are given from.
pub(crate) type Watched = watch::Receiver<Leadership>;

/// Leads without an election until `shutdown` says so.
pub(crate) async fn alone(
    replica: Arc<Replica>,
    controller: Arc<Controller>,
    leadership: watch::Sender<Leadership>,
    mut shutdown: watch::Receiver<bool>,
) {
    let tasks = Tasks::start(&replica, &controller);
    leadership.send_replace(Leadership::Ours(controller, None));
    ended(&mut shutdown).await;
    tasks.end().await;
}

/// Stands in the election, and leads whenever it is elected, until `shutdown` says so.
pub(crate) async fn elected(
    replica: Arc<Replica>,
    etcd: Etcd,
    leadership: watch::Sender<Leadership>,
    mut shutdown: watch::Receiver<bool>,
) {
    let election = etcd.election(ELECTION);
    loop {
        let pause = match stand(&election, &replica.name).await {
            Ok(Standing::Leads(term)) => {
                let ended = lead(&replica, &etcd, Arc::new(term), &leadership, &mut shutdown).await;
                if let Err(error) = &ended {
                    tracing::error!(%error, "elected, and cannot lead");
                    leadership.send_replace(Leadership::Unknown(error.to_string()));
                }
                if ended.is_ok() { Duration::ZERO } else { UNFIT_PAUSE }
            }
            Ok(Standing::Follows(leader)) => {
                follow(&leadership, Leadership::Theirs(leader));
                ASK_INTERVAL
            }
            Err(error) => {
                follow(&leadership, Leadership::Unknown(error.to_string()));
                ASK_INTERVAL
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = ended(&mut shutdown) => return,
        }
    }
}

/// An answer of etcd may take seconds, the end of the process not.
async fn stand(election: &Election, name: &str) -> Result<Standing, StoreError> {
    Box::pin(election.stand(name)).await
}

fn follow(leadership: &watch::Sender<Leadership>, now: Leadership) {
    let told = |leadership: &Leadership| match leadership {
        Leadership::Theirs(leader) => format!("{leader} leads"),
        Leadership::Unknown(why) => format!("it is not known who leads: {why}"),
        Leadership::Ours(..) => "this replica leads".to_owned(),
    };
    let (before, after) = (told(&leadership.borrow()), told(&now));
    if before != after {
        tracing::info!(standing = after, "follows");
    }
    leadership.send_replace(now);
}

/// One term.
async fn lead(
    replica: &Arc<Replica>,
    etcd: &Etcd,
    term: Arc<Term>,
    leadership: &watch::Sender<Leadership>,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<(), RunError> {
    let store = Store::over_etcd(etcd, Some(&term));
    let controller = match Box::pin(replica.controller(store)).await {
        Ok(controller) => Arc::new(controller),
        Err(error) => {
            term.resign().await;
            return Err(error);
        }
    };
    tracing::info!(replica = replica.name, "leads");
    let tasks = Tasks::start(replica, &controller);
    leadership.send_replace(Leadership::Ours(controller, Some(Arc::clone(&term))));
    tokio::select! {
        () = term.lost() => tracing::warn!("no longer leads: the lease is gone"),
        () = ended(shutdown) => {}
    }
    leadership.send_replace(Leadership::Unknown("this replica has just ceased to lead".to_owned()));
    tasks.end().await;
    // Not before nothing is under way any more, so that the next begins from what was last committed.
    term.resign().await;
    Ok(())
}

/// What runs while this replica leads.
struct Tasks {
    end: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Tasks {
    /// The loop, two tasks for each node, and the look for content that is missing.
    fn start(replica: &Arc<Replica>, controller: &Arc<Controller>) -> Self {
        let (end, ended) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut mailboxes: BTreeMap<NodeName, Mailbox> = BTreeMap::new();
        for (name, agent) in &controller.agents {
            let mailbox = Mailbox::default();
            let shared =
                || (Arc::clone(controller), name.clone(), agent.clone(), mailbox.clone(), ended.clone());
            let (controller, node, agent, box_of_node, end) = shared();
            tasks.spawn(node::follow(controller, node, agent, box_of_node, end));
            let (controller, node, agent, box_of_node, end) = shared();
            tasks.spawn(node::supply(controller, node, agent, box_of_node, end));
            mailboxes.insert(name.clone(), mailbox);
        }
        tasks.spawn(reconcile::run(Arc::clone(controller), mailboxes, ended.clone()));
        tasks.spawn(mirror::of_leader(Arc::clone(replica), Arc::clone(controller), ended));
        Self { end, tasks }
    }

    async fn end(mut self) {
        let _ = self.end.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
