//! What `lsm-tree` trusts in its own files, checked before it reads them.
//!
//! ```text
//! current     number of the newest list of tables u64, XXH3 of that file u128, kind of checksum u8
//! v<number>   the list: sections, the one named "tables" has each table's number
//! tables/<n>  sections, each checked by `lsm-tree` itself; at the end how many there are, and where
//! ```
//!
//! `lsm-tree` 3.1 writes the checksum of the list and never looks at it, and takes memory for as
//! many sections as a table says that it has: after a flipped bit it panics, or the process aborts.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use lsm_tree::checksum::ChecksummedWriter;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::StoreError;

const CURRENT_FILE: &str = "current";
const TABLES_FOLDER: &str = "tables";
/// A checksum of this kind is XXH3 with 128 bits, the only one there is.
const XXH3: u8 = 0;
/// The end of a table: "SFA!", version u8, kind of checksum u8, checksum of the list of sections
/// u128, where the list is u64, its length u64.
const TRAILER_BYTES: usize = 38;

/// Fails when a file of the tables in `folder` is damaged in a place that `lsm-tree` trusts.
pub(crate) fn check_table_files(folder: &Path) -> Result<(), StoreError> {
    let current = folder.join(CURRENT_FILE);
    let tables = folder.join(TABLES_FOLDER);
    match std::fs::read(&current) {
        Ok(bytes) => {
            for (table, _) in check_list(folder, &current, &bytes)? {
                check_sections(&tables.join(table.to_string()))?;
            }
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => check_is_new(&current, &tables),
        Err(error) => Err(StoreError::io("read", &current)(error)),
    }
}

/// Reads all files of the tables in `folder`, which may be none that can be opened; says which differ from what was
/// written.
pub(crate) fn damaged_tables(folder: &Path) -> Result<Vec<StoreError>, StoreError> {
    let current = folder.join(CURRENT_FILE);
    let bytes = std::fs::read(&current).map_err(StoreError::io("read", &current))?;
    let tables = check_list(folder, &current, &bytes)?;
    Ok(tables
        .into_iter()
        .filter_map(|(table, checksum)| check_table(folder, table, checksum).err())
        .collect())
}

/// Reads a table whole.
pub(crate) fn check_table(folder: &Path, table: u64, checksum: u128) -> Result<(), StoreError> {
    let path = folder.join(TABLES_FOLDER).join(table.to_string());
    let mut writer = ChecksummedWriter::new(std::io::sink());
    let read = File::open(&path).and_then(|mut file| std::io::copy(&mut file, &mut writer));
    read.map_err(StoreError::io("read", &path))?;
    match writer.checksum().into_u128() == checksum {
        true => Ok(()),
        false => Err(StoreError::Damaged {
            what: format!("the row table {}", path.display()),
            why: "its checksum does not match".to_owned(),
        }),
    }
}

/// `lsm-tree` begins anew without this file, and removes the tables that there are.
fn check_is_new(current: &Path, tables: &Path) -> Result<(), StoreError> {
    match std::fs::read_dir(tables).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(damaged(current, "it is missing, but there are tables")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io("list", tables)(error)),
    }
}

/// Checks the list of tables; gives their numbers and checksums.
fn check_list(folder: &Path, current: &Path, bytes: &[u8]) -> Result<Vec<(u64, u128)>, StoreError> {
    let mut rest = bytes;
    let (Some(number), Some(checksum), [XXH3]) = (take_u64(&mut rest), take_u128(&mut rest), rest) else {
        return Err(damaged(current, "it should have a number, a checksum and the checksum's kind"));
    };
    let list = folder.join(format!("v{number}"));
    let content = std::fs::read(&list).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => damaged(current, &format!("{} does not exist", list.display())),
        _ => StoreError::io("read", &list)(error),
    })?;
    if xxh3_128(&content) != checksum {
        let why = format!("its checksum is not the one that {} has", current.display());
        return Err(damaged(&list, &why));
    }
    let unreadable = |why: String| damaged(&list, &why);
    let sections = sfa::Reader::new(&list).map_err(|error| unreadable(error.to_string()))?;
    let tables =
        sections.toc().section(b"tables").ok_or_else(|| unreadable("no section of tables".into()))?;
    let mut content = Vec::new();
    tables
        .buf_reader(&list)
        .and_then(|mut reader| reader.read_to_end(&mut content))
        .map_err(StoreError::io("read", &list))?;
    parse_tables(&content).ok_or_else(|| unreadable("its section of tables is not understood".into()))
}

/// Levels u8, each with runs u8, each with tables u32, each with its number u64, the kind of
/// checksum u8, its checksum u128 and a sequence number u64.
fn parse_tables(mut rest: &[u8]) -> Option<Vec<(u64, u128)>> {
    let mut tables = Vec::new();
    for _ in 0..take_u8(&mut rest)? {
        for _ in 0..take_u8(&mut rest)? {
            for _ in 0..take_u32(&mut rest)? {
                let table = take_u64(&mut rest)?;
                take_u8(&mut rest)?;
                tables.push((table, take_u128(&mut rest)?));
                take_u64(&mut rest)?;
            }
        }
    }
    rest.is_empty().then_some(tables)
}

/// The list of a table's sections has the checksum that stands at the end of the file.
fn check_sections(path: &Path) -> Result<(), StoreError> {
    let io = || StoreError::io("read", path);
    let file = File::open(path).map_err(io())?;
    let length = file.metadata().map_err(io())?.len();
    let mut trailer = [0; TRAILER_BYTES];
    let Some(at) = length.checked_sub(TRAILER_BYTES as u64) else {
        return Err(damaged(path, "it is too short"));
    };
    file.read_exact_at(&mut trailer, at).map_err(io())?;
    let mut rest = &trailer[6..];
    let checksum = take_u128(&mut rest);
    let Some(start) = take_u64(&mut rest).filter(|&start| start <= at) else {
        return Err(damaged(path, "its sections should be listed beyond its end"));
    };
    let mut sections = vec![0; (at - start) as usize];
    file.read_exact_at(&mut sections, start).map_err(io())?;
    match Some(xxh3_128(&sections)) == checksum {
        true => Ok(()),
        false => Err(damaged(path, "the checksum of its list of sections does not match")),
    }
}

fn damaged(path: &Path, why: &str) -> StoreError {
    StoreError::Damaged { what: path.display().to_string(), why: why.to_owned() }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

fn take_u8(rest: &mut &[u8]) -> Option<u8> {
    take::<1>(rest).map(|[byte]| byte)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(u32::from_le_bytes)
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_le_bytes)
}

fn take_u128(rest: &mut &[u8]) -> Option<u128> {
    take(rest).map(u128::from_le_bytes)
}
