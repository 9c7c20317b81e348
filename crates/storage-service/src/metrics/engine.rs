//! What the engine counts, read when the metrics are.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use welkin_storage::Storage;

/// Reads the engine's counters.
#[derive(Debug)]
pub(super) struct EngineCollector {
    storage: Storage,
}

impl EngineCollector {
    pub(super) fn new(storage: Storage) -> Self {
        Self { storage }
    }
}

impl Collector for EngineCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stats = self.storage.store().stats();
        let counter = |value: u64| ConstCounter::new(value);
        let gauge = |value: u64| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let counters = [
            ("store_commits", "Commits that were made durable", stats.commits),
            ("store_conflicts", "Commits that a check refused", stats.conflicts),
            ("store_log_flushes", "Flushes of the log, each for a group of commits", stats.log_flushes),
            ("store_log_bytes", "Bytes written to the log", stats.log_bytes),
            ("store_memtable_flushes", "Flushes of memtables to tables", stats.memtable_flushes),
            ("store_compactions", "Compactions of tables", stats.compactions),
            ("store_extent_moved_bytes", "Bytes of extents that were moved", stats.extent_bytes_moved),
            (
                "store_extent_returned_bytes",
                "Bytes given back to the file system",
                stats.extent_bytes_returned,
            ),
            ("store_read_cache_hits", "Pieces of extents that were read from memory", stats.read_cache_hits),
            (
                "store_read_cache_misses",
                "Pieces of extents that were read from a file",
                stats.read_cache_misses,
            ),
        ];
        for (name, help, value) in counters {
            put(&mut encoder, name, help, &counter(value))?;
        }
        let gauges = [
            ("store_table_disk_bytes", "Disk space of the tables", stats.table_bytes),
            ("store_extent_disk_bytes", "Disk space of the extents", stats.extent_bytes),
            ("store_extent_free_bytes", "Of that, what no extent has", stats.extent_free_bytes),
            (
                "store_extent_deferred_bytes",
                "Of that, what a backup still needs",
                stats.extent_deferred_bytes,
            ),
            ("store_full", "1 while the disk has no room for writes", stats.is_full.into()),
            (
                "store_poisoned",
                "1 when writes are refused until it is opened again",
                stats.is_poisoned.into(),
            ),
        ];
        gauges.into_iter().try_for_each(|(name, help, value)| put(&mut encoder, name, help, &gauge(value)))
    }
}

fn put(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    let encoder = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(encoder)
}
