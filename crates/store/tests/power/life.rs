//! The life of disks between power on and power loss.

use std::sync::Arc;

use rand::Rng as _;
use rand::rngs::StdRng;
use welkin_store::Store;

use crate::disk::Disks;
use crate::history::{Expected, History};
use crate::image::Image;
use crate::journal::Journal;
use crate::recorded::lock;
use crate::recover::check;
use crate::work::{options, work};

const DISK_BYTES: usize = 64 * 1024 * 1024;
/// Flushes of at least so many writes are rare, and leave most to chance.
const WRITES_LARGE: usize = 4;
/// How ext4 orders data and metadata: `writeback` promises less.
const DATA_MODES: [&str; 2] = ["data=ordered", "data=writeback"];

/// What was written to the disks, and what was promised meanwhile.
pub struct Life {
    journal: Journal,
    history: Arc<History>,
    /// Bytes of extents that were moved so that their files could be cut.
    pub moved_bytes: u64,
}

/// How the power failed.
pub struct PowerLoss {
    pub images: Vec<Image>,
    pub expected: Expected,
    /// For the message of a failure.
    pub story: String,
}

impl Life {
    /// New disks, and so many commits of each task.
    pub async fn first(disks: usize, commits: usize, rng: &mut StdRng) -> Self {
        let before = Expected { history: Arc::default(), position: 0 };
        Self::live(Disks::format(disks, DISK_BYTES), before, commits, rng).await
    }

    /// Power on again: all that was promised must be there, and the store works.
    pub async fn next(loss: PowerLoss, commits: usize, rng: &mut StdRng) -> Self {
        let mode = DATA_MODES[rng.random_range(0..DATA_MODES.len())];
        Self::live(Disks::start(loss.images, mode), loss.expected, commits, rng).await
    }

    async fn live(disks: Disks, before: Expected, commits: usize, rng: &mut StdRng) -> Self {
        let folder = disks.folder();
        let store = Store::open_local_with(&folder, options()).await.unwrap();
        let tasks = check(&store, &before).await;
        let opened = lock(&disks.journal).position();
        let tasks = work(&store, &disks.journal, tasks, commits, rng).await;
        let moved_bytes = store.stats().extent_bytes_moved;
        store.close().await.unwrap();
        drop(store);
        let closed = lock(&disks.journal).position();
        let history = Arc::new(History { before: Some(before), opened, tasks });
        let store = Store::open_local_with(&folder, options()).await.unwrap();
        check(&store, &Expected { history: history.clone(), position: closed }).await;
        store.close().await.unwrap();
        drop(store);
        Self { journal: disks.stop(), history, moved_bytes }
    }

    /// The power fails at some moment: anywhere, before a flush, or right after an acknowledgement.
    pub fn lose_power(&self, rng: &mut StdRng) -> PowerLoss {
        let acknowledged = || {
            let operations = self.history.tasks.iter().flat_map(|task| &task.operations);
            let commits = operations.filter_map(|operation| operation.acknowledged.map(|(at, _)| at));
            let releases = self.history.tasks.iter().flat_map(|task| &task.released).map(|(_, at)| *at);
            commits.chain(releases).collect::<Vec<_>>()
        };
        let (moment, choices) = match rng.random_range(0..8) {
            0 => ("at a flush", self.journal.flushes_of(0)),
            1 => ("at a large flush", self.journal.flushes_of(WRITES_LARGE)),
            2..=5 => ("after an acknowledgement", acknowledged()),
            _ => ("anywhere", Vec::new()),
        };
        let position = match choices.len() {
            0 => rng.random_range(0..=self.journal.position()),
            length => choices[rng.random_range(0..length)],
        };
        let (images, fate) = self.journal.after_power_loss(position, rng);
        let story = format!("at {position} of {} ({moment}): {fate}", self.journal.position());
        PowerLoss { images, expected: Expected::new(&self.history, position), story }
    }
}
