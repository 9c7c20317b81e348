//! The page that holds the figures, with what is needed to read and repeat them.

use std::fmt;

use crate::report::Report as EngineReport;
use crate::storage::{Machine, Report as StorageReport};

/// Everything of one run.
#[derive(Debug)]
pub struct Page {
    /// What it was measured on.
    pub machine: Machine,
    /// Rounds of each part.
    pub rounds: usize,
    /// Duration of one storage measurement, in seconds.
    pub seconds: f64,
    /// The engine beside the disk.
    pub engine: EngineReport,
    /// The storage service beside Azurite and the disk.
    pub storage: StorageReport,
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, rounds, seconds, engine, storage } = self;
        write!(
            f,
            "# Performance

Written by one run of `./x bench`. Read ratios, not rates: both sides of a ratio were measured in turn, on the
same machine, within seconds, and ratios and rates are medians of {rounds} rounds.

Machine: {machine}.
The load generator runs on it too, in one thread.

## The storage service

Welkin (`welkin storage --dev`) acknowledges nothing that is not on the disk. Azurite 3.37.0, as npm installs it and
with its default settings (but for the time that it keeps connections), does not sync. Requests are signed with Shared
Key and go over keep-alive connections on loopback, each with one request at a time, for {seconds} s per measurement.
An answer with an unexpected status ends the run. Put Blob 4 KiB makes new blobs; Put Blob 4 MiB writes 4 names per
connection again and again. Put, Get and Delete Message counts the three as one; when the queue answers that it has no
message for the moment, the worker asks again, and the time counts.

The limit is, for small writes, appends of the same number of bytes to a zeroed file where all that wait share one
`fdatasync`; for 4 MiB, one write and one `fdatasync` of each.

{storage}
## The engine

The embedded engine without the protocol, beside system calls that move the same bytes.

{engine}
## Again

```sh
./x bench                          # this page
./x bench --rounds 1 --seconds 1   # a quick look
```
"
        )
    }
}
