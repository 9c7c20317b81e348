//! One flipped bit, anywhere in any file of a closed store, is an error that names what is hit, or
//! changes nothing that is read. It is never wrong data, a lost row or a panic.
//!
//! `WELKIN_FLIPS` and `WELKIN_FLIPS_SEED` make a longer run, and the same run again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "it/pattern.rs"]
mod pattern;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;
use welkin_store::{Commit, ExtentRef, LocalOptions, ScanFrom, Space, Store, StoreError};

use pattern::pattern;

const SPACE: Space = Space::new(1, "flips");
const ROWS: u64 = 300;
const EXTENTS: u64 = 6;
/// Flips per file; every file is hit, and small ones as often as large ones.
const FLIPS: usize = 24;

/// Panics of any thread, which the store may have survived.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn options() -> LocalOptions {
    LocalOptions {
        memtable_bytes: 64 * 1024,
        segment_bytes: 128 * 1024,
        cache_bytes: 256 * 1024,
        extent_file_bytes: 1024 * 1024,
        extent_step_bytes: 256 * 1024,
        ..LocalOptions::default()
    }
}

/// What the store holds, and its files.
struct Sample {
    rows: BTreeMap<Bytes, Bytes>,
    extents: Vec<(ExtentRef, Bytes)>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Sample {
    async fn make() -> Self {
        let folder = folder();
        let store = Store::open_local_with(folder.path(), options()).await.unwrap();
        let mut rows = BTreeMap::new();
        for number in 0..ROWS * 3 {
            let key = Bytes::from((number % ROWS).to_be_bytes().to_vec());
            let commit = Commit::new(SPACE, "p");
            if number.is_multiple_of(7) {
                store.commit(commit.delete(key.clone())).await.unwrap();
                rows.remove(&key);
            } else {
                let value = pattern(number, 30 + (number as usize * 37) % 900);
                store.commit(commit.put(key.clone(), value.clone())).await.unwrap();
                rows.insert(key, value);
            }
        }
        let mut extents = Vec::new();
        for number in 0..EXTENTS {
            let bytes = pattern(number, number as usize * 40_000 + 10);
            let mut writer = store.extent_writer(None).await.unwrap();
            writer.write(bytes.clone()).await.unwrap();
            extents.push((writer.finish().await.unwrap(), bytes));
        }
        store.close().await.unwrap();
        drop(store);
        let mut files = BTreeMap::new();
        read_files(folder.path(), Path::new(""), &mut files);
        Self { rows, extents, files }
    }

    /// The files in a new folder, with one bit flipped.
    fn flipped(&self, file: &Path, bit: usize) -> TempDir {
        let folder = folder();
        for (path, bytes) in &self.files {
            let to = folder.path().join(path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            match path == file {
                true => {
                    let mut bytes = bytes.clone();
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    std::fs::write(to, bytes).unwrap();
                }
                false => std::fs::write(to, bytes).unwrap(),
            }
        }
        folder
    }

    /// Reads everything in each way; gives the errors met, when all else is as it should be.
    async fn read(&self, folder: &Path) -> Result<Vec<StoreError>, String> {
        let store = match Store::open_local_with(folder, options()).await {
            Ok(store) => store,
            Err(error) => return Ok(vec![error]),
        };
        let mut errors = Vec::new();
        for number in 0..ROWS {
            let key = number.to_be_bytes();
            match store.get(SPACE, b"p", &key).await {
                Ok(row) if row.as_ref().map(|row| &row.value) == self.rows.get(&key[..]) => {}
                Ok(row) => return Err(format!("row {number}: {:?}", row.map(|row| row.value.len()))),
                Err(error) => errors.push(error),
            }
        }
        match store.scan(SPACE, ScanFrom::Start, ROWS as usize * 2).await {
            Ok(rows) => {
                let rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.key, row.value)).collect();
                if rows != self.rows {
                    return Err(format!(
                        "a scan gives {} of {} rows, or others",
                        rows.len(),
                        self.rows.len()
                    ));
                }
            }
            Err(error) => errors.push(error),
        }
        for (extent, bytes) in &self.extents {
            match store.read_extent(extent, 0, bytes.len()).await {
                Ok(found) if found == bytes => {}
                Ok(found) => return Err(format!("{extent:?}: {} bytes, or others", found.len())),
                Err(error) => errors.push(error),
            }
        }
        match store.live_extents(None, 100).await {
            Ok(live) if live.iter().eq(self.extents.iter().map(|(extent, _)| extent)) => {}
            Ok(live) => return Err(format!("{} extents are listed", live.len())),
            Err(error) => errors.push(error),
        }
        // Whatever is damaged, a write is taken or refused.
        let written = store.commit(Commit::new(SPACE, "q").put("new", "row")).await;
        let closed = store.close().await;
        if written.is_ok() && closed.is_ok() && errors.is_empty() {
            drop(store);
            return Box::pin(self.read_again(folder)).await.map(|()| errors);
        }
        Ok(errors)
    }

    /// What could be read must be there after the store was closed and opened.
    async fn read_again(&self, folder: &Path) -> Result<(), String> {
        let store = Store::open_local_with(folder, options()).await.map_err(|error| error.to_string())?;
        let rows = store.scan(SPACE, ScanFrom::Start, ROWS as usize * 2).await;
        let rows = rows.map_err(|error| error.to_string())?.len();
        match rows == self.rows.len() + 1 {
            true => Ok(()),
            false => Err(format!("{rows} rows after a reopen")),
        }
    }
}

/// In memory where that is possible: hundreds of stores are opened.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn read_files(root: &Path, under: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(root.join(under)).unwrap() {
        let path = under.join(entry.unwrap().file_name());
        match root.join(&path).is_dir() {
            true => read_files(root, &path, files),
            false => drop(files.insert(path.clone(), std::fs::read(root.join(&path)).unwrap())),
        }
    }
}

/// Bits to flip: all when they are few, else some anywhere, some where the file is not all zeros, and some at its ends.
fn bits(bytes: &[u8], count: usize, rng: &mut StdRng) -> Vec<usize> {
    let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    if bytes.len() * 8 <= count {
        return (0..bytes.len() * 8).collect();
    }
    let mut bits = Vec::new();
    for index in 0..count {
        let byte = match index % 4 {
            0 => rng.random_range(0..bytes.len()),
            1 if !used.is_empty() => used[used.len() - 1 - rng.random_range(0..used.len().min(200))],
            _ if !used.is_empty() => used[rng.random_range(0..used.len())],
            _ => rng.random_range(0..bytes.len()),
        };
        bits.push(byte * 8 + rng.random_range(0..8));
    }
    bits
}

#[test]
fn a_flipped_bit_is_an_error_or_harmless() {
    std::panic::set_hook(Box::new(|info| {
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
        eprintln!("{info}");
    }));
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("WELKIN_FLIPS_SEED").unwrap_or_else(rand::random);
    let flips = number("WELKIN_FLIPS").map_or(FLIPS, |flips| flips as usize);
    println!("{flips} flips per file, seed {seed}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let failures = runtime.block_on(flip_in_each_file(flips, &mut StdRng::seed_from_u64(seed)));
    assert!(failures.is_empty(), "{} flips:\n{}", failures.len(), failures.join("\n"));
}

async fn flip_in_each_file(flips: usize, rng: &mut StdRng) -> Vec<String> {
    let sample = Sample::make().await;
    let mut failures = Vec::new();
    let mut seen = BTreeMap::<PathBuf, (usize, usize)>::new();
    for (file, bytes) in sample.files.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        for bit in bits(bytes, flips, rng) {
            let folder = sample.flipped(file, bit);
            let result = sample.read(folder.path()).await;
            let place = format!("{} byte {} bit {}", file.display(), bit / 8, bit % 8);
            let panics = std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner));
            failures.extend(panics.iter().map(|panic| format!("{place}: panics: {panic}")));
            let count = seen.entry(file.clone()).or_default();
            count.0 += 1;
            match result {
                Err(wrong) => failures.push(format!("{place}: {wrong}")),
                Ok(errors) => {
                    count.1 += usize::from(!errors.is_empty());
                    let vague = errors.iter().map(ToString::to_string).find(|text| !names(file, text));
                    failures.extend(vague.map(|text| format!("{place}: names nothing: {text}")));
                }
            }
        }
    }
    for (file, (flips, errors)) in seen {
        println!("{}: {errors} of {flips} flips are errors", file.display());
    }
    failures
}

/// Whether the error says where to look: the file itself, or the tables, a row or an extent.
fn names(file: &Path, text: &str) -> bool {
    let name = file.file_name().unwrap().to_str().unwrap();
    match file.starts_with("tables") {
        true => text.contains("tables") || text.contains("row"),
        false => text.contains(name),
    }
}
