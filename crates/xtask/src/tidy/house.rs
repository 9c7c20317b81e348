//! What the rules look at: the files that git knows or would add, and the workspace's crates.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use crate::run::{self, ChoreError};

/// A larger file is no text that a person wrote.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// From here on a file is for tests.
const TESTS_BEGIN: &str = "#[cfg(test)]";

/// The repository as the rules see it.
#[derive(Debug, Default)]
pub struct House {
    /// Text files, by path.
    pub files: Vec<Source>,
    /// Members of the workspace.
    pub crates: Vec<Crate>,
}

/// A text file.
#[derive(Debug)]
pub struct Source {
    /// Relative to the repository.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Whether it is built for tests only.
    pub test: bool,
}

/// A member of the workspace.
#[derive(Debug)]
pub struct Crate {
    /// The package's name.
    pub name: String,
    /// Its folder, relative to the repository.
    pub folder: String,
    /// The floor that its `Cargo.toml` states.
    pub floor: Option<u32>,
    /// Packages that it is built with; those of its tests do not count.
    pub dependencies: Vec<String>,
}

impl House {
    /// Reads the repository that this program was built from.
    ///
    /// # Errors
    /// When git or cargo fails, or a file cannot be read.
    pub fn read() -> Result<Self, ChoreError> {
        Ok(Self { files: files()?, crates: crates()? })
    }

    /// The text of a file, "" when there is none.
    pub fn text(&self, path: &str) -> &str {
        self.files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str())
    }

    /// Every Rust file.
    pub fn rust(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }
}

impl Source {
    /// A file, of which no other says that it is for tests only.
    pub fn new(path: &str, text: &str) -> Self {
        let test = ["/tests/", "/benches/"].iter().any(|folder| path.contains(folder));
        Self { path: path.to_owned(), text: text.to_owned(), test }
    }

    /// The lines that ship, numbered from 1. By custom the tests are the end of a file.
    pub fn production_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().take_while(|line| !self.test && line.trim() != TESTS_BEGIN);
        lines.enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The paths of modules that this file declares for tests only: `#[cfg(test)]`, then `mod name;`.
    fn test_modules(&self) -> Vec<String> {
        let stem = self.path.trim_end_matches(".rs");
        let folder =
            ["/mod", "/lib", "/main"].iter().find_map(|root| stem.strip_suffix(root)).unwrap_or(stem);
        let lines = self.text.lines().zip(self.text.lines().skip(1));
        let declared = lines.filter(|(above, _)| above.trim() == TESTS_BEGIN);
        let names = declared.filter_map(|(_, line)| line.rsplit_once("mod ")?.1.strip_suffix(';'));
        names.flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]).collect()
    }
}

fn files() -> Result<Vec<Source>, ChoreError> {
    let root = run::repository()?;
    let mut git = Command::new("git");
    git.current_dir(&root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let mut files = Vec::new();
    for path in run::text("git", &mut git)?.split_terminator('\0') {
        let whole = root.join(path);
        // A file that was removed and not committed yet is listed all the same.
        let Ok(metadata) = whole.symlink_metadata() else { continue };
        if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
            continue;
        }
        let bytes = fs::read(&whole).map_err(|e| run::io("read", &whole, e))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(Source::new(path, &text));
        }
    }
    let for_tests: Vec<String> = files.iter().flat_map(Source::test_modules).collect();
    for file in &mut files {
        file.test |= for_tests.contains(&file.path);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The part of `cargo metadata` that is used; cargo adds fields as it likes.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    metadata: Option<serde_json::Value>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

fn crates() -> Result<Vec<Crate>, ChoreError> {
    let root = run::repository()?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&root).args(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let json = run::output("cargo", &mut cargo)?;
    let metadata: Metadata = serde_json::from_slice(&json)
        .map_err(|error| ChoreError::Wrong(format!("cargo metadata cannot be read: {error}")))?;
    let of = |package: Package| {
        let floor = package.metadata.as_ref().and_then(|all| all.pointer("/welkin/floor")?.as_u64());
        let folder = package.manifest_path.parent().and_then(|folder| folder.strip_prefix(&root).ok());
        let shipped = package.dependencies.into_iter().filter(|dependency| dependency.kind.is_none());
        Crate {
            name: package.name,
            folder: folder.unwrap_or(&root).to_string_lossy().into_owned(),
            floor: floor.and_then(|floor| u32::try_from(floor).ok()),
            dependencies: shipped.map(|dependency| dependency.name).collect(),
        }
    };
    Ok(metadata.packages.into_iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_tests_only() {
        let file = Source::new("crates/x/src/plan.rs", "a\nb\n#[cfg(test)]\nmod samples;\n");
        assert_eq!(file.production_lines().count(), 2);
        assert!(file.test_modules().contains(&"crates/x/src/plan/samples.rs".to_owned()));
        let root = Source::new("crates/x/src/lib.rs", "#[cfg(test)]\nmod samples;\n");
        assert!(root.test_modules().contains(&"crates/x/src/samples.rs".to_owned()));
        assert_eq!(Source::new("crates/x/tests/it.rs", "a\n").production_lines().count(), 0);
    }
}
