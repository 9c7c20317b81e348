//! A tree of files to move and check, always the same: odd names, empty files, one of several blocks.

use std::collections::BTreeMap;
use std::path::Path;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const SEED: u64 = 3;
const FOLDERS: [&str; 7] =
    ["", "plain", "with space", "ünï/漢字", "deep/er/and/deeper", "100% & more", "#hash+plus"];
const NAMES: [&str; 8] =
    ["file", "two words", "é", "quote'd", "semi;colon", "per%20cent", "a&b=c", "tilde~(1)"];
/// Small files of each folder.
const FILES: usize = 40;
const SMALL_BYTES: usize = 20_000;
/// More than any client puts into one block.
const LARGE_BYTES: usize = 9 * 1024 * 1024 + 1;

/// Makes the tree.
pub fn grow(root: &Path) {
    let mut random = StdRng::seed_from_u64(SEED);
    for folder in FOLDERS {
        std::fs::create_dir_all(root.join(folder)).unwrap();
        for n in 0..FILES {
            let name = format!("{} {n:02}", NAMES[n % NAMES.len()]);
            let size = if n % 10 == 0 { 0 } else { random.random_range(1..SMALL_BYTES) };
            write(&root.join(folder).join(name), size, &mut random);
        }
    }
    write(&root.join("plain/large.bin"), LARGE_BYTES, &mut random);
}

/// Changes some files, removes some, adds some.
pub fn change(root: &Path) {
    let mut random = StdRng::seed_from_u64(SEED + 1);
    for n in 0..FILES {
        let path = root.join("with space").join(format!("{} {n:02}", NAMES[n % NAMES.len()]));
        match n % 4 {
            0 => std::fs::remove_file(path).unwrap(),
            1 => write(&path, SMALL_BYTES + n, &mut random),
            _ => {}
        }
    }
    write(&root.join("plain/new"), SMALL_BYTES, &mut random);
}

fn write(path: &Path, size: usize, random: &mut StdRng) {
    let mut bytes = vec![0; size];
    random.fill(&mut bytes[..]);
    std::fs::write(path, bytes).unwrap();
}

/// Every file below a folder, by its path from there.
pub fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Two trees must be the same; says which files are not.
pub fn check_same(left: &Path, right: &Path) {
    let (left, right) = (files(left), files(right));
    let names = left.keys().chain(right.keys());
    let different: Vec<&String> = names.filter(|name| left.get(*name) != right.get(*name)).collect();
    assert!(different.is_empty(), "these differ: {different:?}");
    assert!(left.len() > FILES, "there are only {} files", left.len());
}
