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
        let mut put =
            |name: &str, help: &str, metric: &dyn EncodeMetricDyn| metric.put(&mut encoder, name, help);
        let counter = |value: u64| ConstCounter::new(value);
        let gauge = |value: u64| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        put("store_commits", "Commits that were made durable", &counter(stats.commits))?;
        put("store_conflicts", "Commits that a check refused", &counter(stats.conflicts))?;
        put(
            "store_log_flushes",
            "Flushes of the log, each for a group of commits",
            &counter(stats.log_flushes),
        )?;
        put("store_log_bytes", "Bytes written to the log", &counter(stats.log_bytes))?;
        put("store_memtable_flushes", "Flushes of memtables to tables", &counter(stats.memtable_flushes))?;
        put("store_compactions", "Compactions of tables", &counter(stats.compactions))?;
        put("store_table_disk_bytes", "Disk space of the tables", &gauge(stats.table_bytes))?;
        put("store_extent_disk_bytes", "Disk space of the extents", &gauge(stats.extent_bytes))?;
        put("store_full", "1 while the disk has no room for writes", &gauge(stats.is_full.into()))?;
        put(
            "store_poisoned",
            "1 when the store refuses writes until it is opened again",
            &gauge(stats.is_poisoned.into()),
        )
    }
}

/// A metric that can be put, whatever its type.
trait EncodeMetricDyn {
    fn put(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> Result<(), fmt::Error>;
}

impl<T: EncodeMetric> EncodeMetricDyn for T {
    fn put(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> Result<(), fmt::Error> {
        let metric = encoder.encode_descriptor(name, help, None, self.metric_type())?;
        self.encode(metric)
    }
}
