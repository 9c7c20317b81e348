//! Figures.

use std::time::Duration;

use indicatif::{BinaryBytes, HumanDuration};
use welkin_storage_service::control::Stats;
use welkin_storage_service::control::access::Access;
use welkin_store::StoreStats;

use super::{StatsArgs, failed};
use crate::error::CliError;

/// `welkin storage stats`.
pub async fn run(args: &StatsArgs) -> Result<(), CliError> {
    let access = Access::to(&args.of.data).await.map_err(|error| failed(&error))?;
    let stats = access.stats().await.map_err(|error| failed(&error))?;
    if args.json {
        let text = serde_json::to_string_pretty(&stats).map_err(|error| failed(&error))?;
        println!("{text}");
    } else {
        print!("{}", table(&stats));
    }
    Ok(())
}

/// Their space on disk, and what of it is not in use.
fn extents_of(store: &StoreStats) -> String {
    let [all, free, deferred] =
        [store.extent_bytes, store.extent_free_bytes, store.extent_deferred_bytes].map(BinaryBytes);
    match store.extent_deferred_bytes {
        0 => format!("{all}, {free} of it free"),
        _ => format!("{all}, {free} of it free, {deferred} released and kept for who reads"),
    }
}

fn table(stats: &Stats) -> String {
    let Stats { uptime_s, accounts, store } = stats;
    let service = match uptime_s {
        Some(seconds) => format!("running for {}", HumanDuration(Duration::from_secs(*seconds))),
        None => "not running".to_owned(),
    };
    let state = match store {
        StoreStats { is_poisoned: true, .. } => "refuses writes since a flush failed; restart it",
        StoreStats { is_full: true, .. } => "the disk is full: writes are refused",
        _ => "takes writes",
    };
    let lines = [
        ("service", service),
        ("writes", state.to_owned()),
        ("accounts", accounts.to_string()),
        ("rows on disk", BinaryBytes(store.table_bytes).to_string()),
        ("extents on disk", extents_of(store)),
        ("commits", format!("{} ({} refused by a check)", store.commits, store.conflicts)),
        ("log", format!("{} in {} flushes", BinaryBytes(store.log_bytes), store.log_flushes)),
        ("memtable flushes", store.memtable_flushes.to_string()),
        ("compactions", store.compactions.to_string()),
        ("extents moved", BinaryBytes(store.extent_bytes_moved).to_string()),
        ("given back", BinaryBytes(store.extent_bytes_returned).to_string()),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        text.push_str(&format!("{name:<18}{value}\n"));
    }
    if uptime_s.is_some() {
        text.push_str("counts are since the service started; `welkin storage check` counts what there is\n");
    }
    text
}
