//! A flipped bit on disk is an error that names the place, and never wrong data.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use welkin_store::{Commit, ExtentRef, ScanFrom, Store, StoreError};

use crate::extents::write;
use crate::pattern::pattern;
use crate::store::{SPACE, new_store, small};

const ROWS: u64 = 200;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn flip(path: &Path, at: u64) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// All rows, or the first error on the way to them.
async fn read_all(folder: &Path) -> Result<Vec<Bytes>, StoreError> {
    let store = Store::open_local_with(folder, small()).await?;
    let mut values = Vec::new();
    for number in 0..ROWS {
        let row = store.get(SPACE, b"p", &number.to_be_bytes()).await?;
        values.push(row.map_or(Bytes::new(), |row| row.value));
    }
    let scanned = store.scan(SPACE, ScanFrom::Start, ROWS as usize).await?;
    assert_eq!(scanned.iter().map(|row| row.value.clone()).collect::<Vec<_>>(), values);
    Ok(values)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_tables_is_an_error_or_harmless() {
    let (folder, store) = new_store().await;
    let expected: Vec<Bytes> = (0..ROWS).map(|number| pattern(number, 300)).collect();
    for number in 0..ROWS {
        let key = number.to_be_bytes().to_vec();
        store.commit(Commit::new(SPACE, "p").put(key, expected[number as usize].clone())).await.unwrap();
    }
    store.close().await.unwrap();
    drop(store);
    let table = files(&folder.path().join("tables"))
        .into_iter()
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    let length = table.metadata().unwrap().len();
    let mut errors = 0;
    for step in 0..60 {
        let at = step * length / 60;
        flip(&table, at);
        match read_all(folder.path()).await {
            Ok(values) => assert!(values == expected, "wrong data after a flip at {at}"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("tables"), "the error should name the place: {text}");
                errors += 1;
            }
        }
        flip(&table, at);
    }
    assert!(errors >= 50, "only {errors} of 60 flips were seen");
    assert!(read_all(folder.path()).await.unwrap() == expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_an_extent_is_an_error_in_its_chunk_only() {
    const CHUNK: usize = 64 * 1024;
    let (folder, store) = new_store().await;
    let bytes = pattern(5, 3 * CHUNK);
    let extent: ExtentRef = write(&store, &bytes, Some(bytes.len() as u64), CHUNK).await;
    store.commit(Commit::new(SPACE, "p").put("k", "names it")).await.unwrap();
    let [file] = &files(&folder.path().join("extents"))[..] else {
        panic!("one file expected");
    };
    flip(file, CHUNK as u64 + 77);
    for (chunk, is_damaged) in [(0, false), (1, true), (2, false)] {
        let result = store.read_extent(&extent, (chunk * CHUNK) as u64, CHUNK).await;
        match result {
            Ok(found) if !is_damaged => assert!(found == bytes.slice(chunk * CHUNK..(chunk + 1) * CHUNK)),
            Err(StoreError::Damaged { what, .. }) if is_damaged => {
                assert!(what.contains("00000001.extents at offset 65536"), "{what}");
            }
            result => panic!("chunk {chunk}: {result:?}"),
        }
    }
}

/// A copy of the folder while the store runs is what a crash leaves. Only the last group of the log
/// may be lost by a flipped bit, because it then looks as if the crash had torn it.
#[tokio::test]
async fn a_flipped_bit_in_the_log_of_a_crashed_store_says_where() {
    let (folder, store) = new_store().await;
    for key in ["one", "two", "three"] {
        store.commit(Commit::new(SPACE, "p").put(key, "v")).await.unwrap();
    }
    // What is hit and its bytes, and what comes of it: the rows that are left, or the error's place.
    let log = "log/0000000000000001.log";
    let rows = [
        (log, 0..48, Err("0000000000000001.log at offset 0")),
        (log, 4000..4096, Ok(3)),
        (log, 4096..4096 + 48, Err("0000000000000001.log at offset 4096")),
        (log, 2 * 4096..2 * 4096 + 48, Ok(2)),
        (log, 3 * 4096..3 * 4096 + 60, Ok(3)),
        ("format", 0..52, Err("format")),
        ("tables/current", 0..25, Err("tables/")),
    ];
    for (file, bytes, expected) in rows {
        for at in bytes.step_by(5) {
            let copy = copy(folder.path());
            flip(&copy.path().join(file), at);
            match (Store::open_local_with(copy.path(), small()).await, expected) {
                (Ok(store), Ok(rows)) => {
                    assert_eq!(store.scan(SPACE, ScanFrom::Start, 10).await.unwrap().len(), rows);
                }
                (Err(error), Err(place)) => assert!(error.to_string().contains(place), "{error}"),
                (result, expected) => panic!("flip in {file} at {at}: {result:?} instead of {expected:?}"),
            }
        }
    }
}

/// The tables are not begun anew when the file that names the newest list of them is gone.
#[tokio::test]
async fn tables_without_their_list_are_an_error() {
    let (folder, store) = new_store().await;
    store.commit(Commit::new(SPACE, "p").put("key", "value")).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    std::fs::remove_file(folder.path().join("tables/current")).unwrap();
    let error = Store::open_local_with(folder.path(), small()).await.unwrap_err().to_string();
    assert!(error.contains("tables/current is damaged"), "{error}");
}

fn copy(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in files(folder) {
        let to = copy.path().join(file.strip_prefix(folder).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&file, to).unwrap();
    }
    copy
}
