//! Content that rows name and that is missing here: fetched from another replica, or an image made anew from its package.
//! So what a leader took outlives it, and a replica that was away catches up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use welkin_base::{Digest, RoleName};
use welkin_fabric::Cluster;
use welkin_store::Store;

use crate::application;
use crate::content::Kind;
use crate::controller::{Controller, PACKAGE_GRACE};
use crate::leadership::{Leadership, Watched};
use crate::reconcile::ended;
use crate::replica::Replica;
use crate::row::Rows;

/// How often the leader looks. What is missing keeps an instance from starting.
const LEADER_INTERVAL: Duration = Duration::from_secs(2);
/// How often the others look, which costs a read of all deployments.
const FOLLOWER_INTERVAL: Duration = Duration::from_secs(5);
/// How often they remove what nothing refers to any more, in looks.
const FOLLOWER_SWEEP: u32 = 12;

/// Looks while this replica leads.
pub(crate) async fn of_leader(
    replica: Arc<Replica>,
    controller: Arc<Controller>,
    mut shutdown: watch::Receiver<bool>,
) {
    loop {
        let (packages, images, roles) = {
            let cluster = &controller.state().await.cluster;
            (cluster.packages(), cluster.images(), roles(cluster))
        };
        let work = async {
            fetch(&replica, Kind::Packages, &packages).await;
            for missing in fetch(&replica, Kind::Images, &images).await {
                let of = roles.iter().find(|(_, _, image)| *image == missing);
                let Some((role, package, _)) = of else {
                    tracing::warn!(image = %missing, "an image of a guest OS is missing, and no replica has it");
                    continue;
                };
                match application::rebuild(&controller, role, package, &missing).await {
                    Ok(()) => tracing::info!(%role, image = %missing, "made an image anew from its package"),
                    Err(error) => tracing::warn!(%role, image = %missing, error, "an image is missing"),
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = ended(&mut shutdown) => return,
        }
        tokio::select! {
            () = tokio::time::sleep(LEADER_INTERVAL) => {}
            () = ended(&mut shutdown) => return,
        }
    }
}

/// Looks while another replica leads, until `shutdown` says so.
pub(crate) async fn of_follower(
    replica: Arc<Replica>,
    store: Store,
    leadership: Watched,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut looks = 0u32;
    loop {
        if matches!(*leadership.borrow(), Leadership::Theirs(_)) {
            looks = looks.wrapping_add(1);
            tokio::select! {
                () = look(&replica, &store, looks.is_multiple_of(FOLLOWER_SWEEP)) => {}
                () = ended(&mut shutdown) => return,
            }
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOWER_INTERVAL) => {}
            () = ended(&mut shutdown) => return,
        }
    }
}

async fn look(replica: &Replica, store: &Store, sweep: bool) {
    let mut cluster = replica.cluster();
    if let Err(error) = Rows::new(store.clone()).load(&mut cluster).await {
        tracing::warn!(%error, "cannot see which content is needed");
        return;
    }
    let (packages, images) = (cluster.packages(), cluster.images());
    fetch(replica, Kind::Packages, &packages).await;
    fetch(replica, Kind::Images, &images).await;
    if sweep {
        for (folder, keep) in [(&replica.packages, &packages), (&replica.images, &images)] {
            if let Err(error) = folder.sweep(keep, PACKAGE_GRACE).await {
                tracing::warn!(%error, "cannot remove what nothing refers to");
            }
        }
    }
}

/// Fetches what is missing of `wanted`, and answers what still is.
async fn fetch(replica: &Replica, kind: Kind, wanted: &BTreeSet<Digest>) -> Vec<Digest> {
    let folder = match kind {
        Kind::Packages => &replica.packages,
        Kind::Images => &replica.images,
    };
    let mut missing = Vec::new();
    for digest in wanted {
        if !folder.has(digest).await && !replica.peers.fetch(kind, digest, folder).await {
            missing.push(*digest);
        }
    }
    missing
}

/// Each role's name, package and image.
fn roles(cluster: &Cluster) -> Vec<(RoleName, Digest, Digest)> {
    let versions = cluster.deployments.values().flat_map(|deployment| &deployment.versions);
    let roles = versions.flat_map(|version| &version.roles);
    roles.map(|role| (role.name.clone(), role.package, role.application)).collect()
}
