//! The page that holds the figures, with what is needed to read and repeat them.

use std::fmt;

use crate::fabric::Report as FabricReport;
use crate::management::Report as ManagementReport;
use crate::report::Report as EngineReport;
use crate::storage::{Machine, Report as StorageReport};

/// Begins the section that is measured by itself and kept by other runs.
const GROWTH: &str = "## How cost grows\n";

/// Begins the section of the management API.
const MANAGEMENT: &str = "## The management API\n";

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
    /// The storage service beside its peers and the disk.
    pub storage: StorageReport,
    /// The management API.
    pub management: Management,
    /// Placement.
    pub fabric: FabricReport,
    /// The section on growth.
    pub growth: String,
}

/// The section on the management API.
#[derive(Debug)]
pub struct Management {
    /// What it was measured on, when that was in a run of its own.
    pub machine: Option<Machine>,
    /// Rounds.
    pub rounds: usize,
    /// The figures.
    pub figures: ManagementReport,
}

/// A page with another section on the management API.
pub fn with_management(page: &str, section: &str) -> Option<String> {
    let (before, after) = page.split_once(MANAGEMENT)?;
    let (_, after) = after.split_once("\n## ")?;
    Some(format!("{before}{MANAGEMENT}\n{}\n\n## {after}", section.trim()))
}

/// The section on growth of an older page, without its title.
pub fn growth_of(page: &str) -> Option<&str> {
    let (_, section) = page.split_once(GROWTH)?;
    Some(section.split_once("\n## ").map_or(section, |(section, _)| section).trim())
}

impl fmt::Display for Management {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, rounds, figures } = self;
        if let Some(machine) = machine {
            writeln!(f, "In a run of its own, {rounds} rounds. Machine: {machine}.\n")?;
        }
        write!(
            f,
            "Management, fabric controller and storage are processes of their own, with durable stores and their logs on. The one
node is a stand-in that takes goals and says that every instance is ready: no VM starts. Clients keep their TLS connections
(mutual TLS, one request at a time each), so that no handshake is in a figure but in that of connections that wait. Limits of
the throttle are raised by configuration. There are 64 services with a deployment each; each client changes one of its own,
and \"Change Configuration\" counts from the request until \"Get Operation Status\" says that the fabric controller has the new
goal.

{figures}"
        )
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, rounds, seconds, engine, storage, management, fabric, growth } = self;
        let (targets, details) = (storage.targets(), storage.details());
        write!(
            f,
            "# Performance

Written by one run of `./x bench`. Read ratios, not rates: both sides of a ratio were measured in turn, on the
same machine, within seconds, and ratios and rates are medians of {rounds} rounds.

Machine: {machine}.
The load generator runs on it too, in one thread.

## Targets

How many times the rate of the other Welkin has, at each number of connections. What the others are, and the
figures, is below.

{targets}
A start with a million blobs and the memory after it are under \"How cost grows\".

## The storage service

Welkin (`welkin storage --dev`) acknowledges nothing that is not on the disk. Requests are signed with Shared Key, and
Welkin checks every signature; the load generator signs those that only read before the measurement begins. They go
over keep-alive connections on loopback, each with one request at a time, for {seconds} s per measurement. An answer
with an unexpected status or length ends the run. Put Blob 4 KiB makes new blobs; Put Blob 4 MiB writes 4 names per
connection again and again; gets choose one of 256 small or 8 large blobs by chance, all in memory. Put, Get and Delete
Message counts the three as one; when the queue answers that it has no message for the moment, the worker asks again,
and the time counts.

\"Client %\" is how much of one core the load generator used meanwhile. Near 100 it is the limit: the server could do
more, and the true ratio is further from 1 than the one shown. The servers have what is left of the cores.

{details}
## The engine

The embedded engine without the protocol, beside system calls that move the same bytes.

{engine}
{MANAGEMENT}
{management}
## Placement

{fabric}
{GROWTH}
{growth}

## Again

```sh
./x bench                          # this page; \"How cost grows\" stays as it was
./x bench --scale                  # this page with \"How cost grows\" measured again
./x bench --rounds 1 --seconds 1   # a quick look
./x bench management               # the management API alone, into this page
```
"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_on_management_is_replaced() {
        let page = "# P\n\n## The management API\n\nold\n\n## How cost grows\n\nA\n";
        let expected = "# P\n\n## The management API\n\nnew\n\n## How cost grows\n\nA\n";
        assert_eq!(with_management(page, "new\n").as_deref(), Some(expected));
        assert_eq!(with_management("# P\n\n## How cost grows\n", "new"), None);
    }

    #[test]
    fn the_section_on_growth_is_found() {
        let rows = [
            ("# P\n\n## How cost grows\n\nA\n\nB\n\n## Again\n\nC\n", Some("A\n\nB")),
            ("# P\n\n## How cost grows\n\nA", Some("A")),
            ("# P\n\n## Again\n", None),
        ];
        for (page, expected) in rows {
            assert_eq!(growth_of(page), expected, "{page:?}");
        }
    }
}
