//! What Welkin is measured against, and what the ratios are to be.

use std::fmt;

use crate::storage::work::{LARGE_BYTES, SMALL_BYTES, Work};

/// What a work of Welkin is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Against {
    /// Azurite.
    Azurite,
    /// What the disk can do with the same bytes.
    Disk,
    /// nginx serving files.
    Nginx,
    /// PostgreSQL.
    Postgres,
    /// RabbitMQ.
    Rabbit,
    /// Garage.
    Garage,
}

/// A ratio that Welkin is to reach.
#[derive(Debug)]
pub struct Target {
    /// The work.
    pub work: Work,
    /// What it is compared with.
    pub against: Against,
    /// The least ratio.
    pub at_least: f64,
    /// The numbers of connections at which it counts.
    pub counts_at: &'static [usize],
}

const ALL: &[usize] = &[1, 16, 64];
const SIXTEEN: &[usize] = &[16];

const fn target(work: Work, against: Against, at_least: f64, counts_at: &'static [usize]) -> Target {
    Target { work, against, at_least, counts_at }
}

/// All of them, in the order of the page.
pub const TARGETS: [Target; 19] = [
    target(Work::PutBlob(SMALL_BYTES), Against::Azurite, 5.0, ALL),
    target(Work::InsertEntity, Against::Azurite, 5.0, ALL),
    target(Work::PutMessage, Against::Azurite, 5.0, ALL),
    target(Work::PutBlob(SMALL_BYTES), Against::Disk, 0.5, ALL),
    target(Work::InsertEntity, Against::Disk, 0.5, ALL),
    target(Work::PutMessage, Against::Disk, 0.5, ALL),
    target(Work::PutBlob(LARGE_BYTES), Against::Disk, 0.8, ALL),
    target(Work::GetBlob(LARGE_BYTES), Against::Nginx, 0.9, ALL),
    target(Work::GetBlob(SMALL_BYTES), Against::Nginx, 0.5, ALL),
    target(Work::GetEntity, Against::Nginx, 0.5, ALL),
    target(Work::InsertEntity, Against::Postgres, 1.5, SIXTEEN),
    target(Work::GetEntity, Against::Postgres, 1.5, SIXTEEN),
    target(Work::PassMessage, Against::Rabbit, 2.0, ALL),
    target(Work::ListBlobs, Against::Azurite, 10.0, ALL),
    target(Work::QueryEntities, Against::Azurite, 10.0, ALL),
    target(Work::PutBlob(SMALL_BYTES), Against::Garage, 2.0, ALL),
    target(Work::PutBlob(LARGE_BYTES), Against::Garage, 2.0, ALL),
    target(Work::GetBlob(SMALL_BYTES), Against::Garage, 2.0, ALL),
    target(Work::GetBlob(LARGE_BYTES), Against::Garage, 2.0, ALL),
];

impl Against {
    /// All, in the order of the page.
    pub const ALL: [Self; 6] =
        [Self::Azurite, Self::Disk, Self::Nginx, Self::Postgres, Self::Rabbit, Self::Garage];

    /// Whether it does this work: Azurite does all, the others those that have a target.
    pub fn does(self, work: Work) -> bool {
        self == Self::Azurite || TARGETS.iter().any(|target| (target.against, target.work) == (self, work))
    }

    /// How it is set up, and how it does the work.
    pub fn about(self) -> &'static str {
        match self {
            Self::Azurite => {
                "Azurite 3.37.0, as npm installs it and with its default settings (but for the time that it keeps \
                 connections). It does not sync before it answers. It does the same requests."
            }
            Self::Disk => {
                "What the disk can do: for small writes, appends of the same number of bytes to a zeroed file where \
                 all that wait share one write and one `fdatasync`; for 4 MiB, one write to a preallocated file and \
                 one `fdatasync` of each."
            }
            Self::Nginx => {
                "nginx of Debian, `worker_processes auto`, `sendfile on`, no access log, serving files of 4 MiB and \
                 4 KiB; an entity of 1 KiB is compared with a file of 4 KiB. Requests carry no signature."
            }
            Self::Postgres => {
                "PostgreSQL of Debian with `fsync` and `synchronous_commit` on and its other settings as they are, \
                 over TCP on loopback, with prepared statements; the table's primary key is both keys."
            }
            Self::Rabbit => {
                "RabbitMQ of Debian: one durable queue, persistent messages, publisher confirms. An operation is a \
                 publish, whose confirm is awaited, `basic.get`, and an acknowledgement, which AMQP does not confirm: \
                 Welkin's Delete Message is durable when it is answered, RabbitMQ's acknowledgement need not be. Its \
                 client reads the sockets in threads of its own."
            }
            Self::Garage => {
                "Garage 2.5.0, a single node with `metadata_fsync` and `data_fsync` on and compression off, over S3 \
                 with presigned URLs (Signature Version 4). It leaves Nagle's algorithm on; so that it is not measured \
                 for the 40 ms that a small answer would wait, the load generator acknowledges at once."
            }
        }
    }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Azurite => "Azurite",
            Self::Disk => "the disk",
            Self::Nginx => "nginx",
            Self::Postgres => "PostgreSQL",
            Self::Rabbit => "RabbitMQ",
            Self::Garage => "Garage",
        })
    }
}
