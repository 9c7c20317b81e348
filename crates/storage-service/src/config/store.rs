//! How much memory and disk the store takes.

use serde::{Deserialize, Serialize};
use welkin_store::LocalOptions;

/// Memory that the store needs to work at all: below, it would do nothing but flush.
const MEMTABLE_BYTES_MIN: u64 = 1 << 20;

/// How much memory and disk the store takes. What is left out is as it is by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Rows that were written lately are kept in memory up to this size; three times as much exists at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memtable_bytes: Option<u64>,
    /// Rows that were read lately and are kept in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_bytes: Option<u64>,
    /// Contents of large blobs that were read lately and are kept in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_cache_bytes: Option<u64>,
    /// Contents of large blobs that are being written; who finds no room is written in small pieces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_buffer_bytes: Option<u64>,
    /// At most so many bytes per second are moved to give disk space of deleted blobs back; 0: none, it is only used again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compaction_bytes_per_second: Option<u64>,
    /// The store takes at most this much of the disk; beyond it, writes are told that there is no room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes_max: Option<u64>,
}

impl StoreConfig {
    /// The store's settings.
    ///
    /// # Errors
    /// When one cannot be; the text says what to write.
    pub fn options(&self) -> Result<LocalOptions, String> {
        let default = LocalOptions::default();
        let options = LocalOptions {
            memtable_bytes: self.memtable_bytes.unwrap_or(default.memtable_bytes),
            cache_bytes: self.cache_bytes.unwrap_or(default.cache_bytes),
            read_cache_bytes: self.read_cache_bytes.unwrap_or(default.read_cache_bytes),
            write_buffer_bytes: self.write_buffer_bytes.unwrap_or(default.write_buffer_bytes),
            compaction_bytes_per_second: self
                .compaction_bytes_per_second
                .unwrap_or(default.compaction_bytes_per_second),
            disk_bytes_max: self.disk_bytes_max,
            ..default
        };
        if options.memtable_bytes < MEMTABLE_BYTES_MIN {
            return Err(format!("`store.memtable_bytes` is at least {MEMTABLE_BYTES_MIN}"));
        }
        // The log alone has two segments.
        let disk_bytes_min = 4 * options.segment_bytes;
        if options.disk_bytes_max.is_some_and(|max| max < disk_bytes_min) {
            return Err(format!("`store.disk_bytes_max` is at least {disk_bytes_min}"));
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<LocalOptions, &str>) {
        let options = toml::from_str::<StoreConfig>(text).map_err(|error| error.to_string());
        match (options.and_then(|config| config.options()), expected) {
            (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
            (options, expected) => assert_eq!(options, expected.map_err(str::to_owned), "{text}"),
        }
    }

    #[test]
    fn texts() {
        let default = LocalOptions::default;
        check("", Ok(default()));
        check("cache_bytes = 0", Ok(LocalOptions { cache_bytes: 0, ..default() }));
        check(
            "disk_bytes_max = 1000000000",
            Ok(LocalOptions { disk_bytes_max: Some(1_000_000_000), ..default() }),
        );
        check("write_buffer_bytes = 1", Ok(LocalOptions { write_buffer_bytes: 1, ..default() }));
        check("memtable_bytes = 1", Err("at least 1048576"));
        check("disk_bytes_max = 1", Err("`store.disk_bytes_max`"));
        check("segment_bytes = 1", Err("unknown field"));
    }
}
