//! `tested/<test>.txt`: the operations that a test has seen succeed, one a line. The page of compatibility is made
//! of these files, so that it depends on no run's order; each test holds its own to what it saw.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where the files are.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tested");

/// Compares what a test saw with its file, or writes it with `UPDATE=1`.
pub fn check(test: &str, seen: &BTreeSet<String>) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(FOLDER).unwrap();
        std::fs::write(path(test), seen.iter().fold(String::new(), |text, name| text + name + "\n")).unwrap();
    }
    let listed = listed(test);
    let lost: Vec<&String> = listed.difference(seen).collect();
    let new: Vec<&String> = seen.difference(&listed).collect();
    assert!(
        lost.is_empty() && new.is_empty(),
        "the client of {test} no longer does {lost:?}; it does {new:?}, which tested/{test}.txt does not list. \
         Where that is right, run the test with UPDATE=1, then `compatibility` with UPDATE=1"
    );
}

/// The operations that a test's file lists.
pub fn listed(test: &str) -> BTreeSet<String> {
    std::fs::read_to_string(path(test)).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn path(test: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{test}.txt"))
}
