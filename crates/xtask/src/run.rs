//! What chores do: run a program, read and write files, and say what failed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a chore could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ChoreError {
    /// A file refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// A program is not there.
    #[error("{program} is not installed; install it with: apt-get install {package}")]
    NoProgram {
        /// The program.
        program: String,
        /// The Debian package that has it.
        package: String,
    },
    /// A program failed.
    #[error("{command} ended with {status}\n{said}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: String,
        /// What it wrote to its standard error.
        said: String,
    },
    /// What was found is not what was expected.
    #[error("{0}")]
    Wrong(String),
}

/// An [`ChoreError::Io`].
pub fn io(doing: &'static str, path: &Path, source: io::Error) -> ChoreError {
    ChoreError::Io { doing, path: path.to_owned(), source }
}

/// The repository that this program was built from.
pub fn repository() -> Result<PathBuf, ChoreError> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = own.ancestors().nth(2).filter(|root| root.join("Cargo.lock").is_file());
    root.map(Path::to_owned).ok_or_else(|| ChoreError::Wrong("run this inside the repository".to_owned()))
}

/// Reads a text file.
pub fn read(path: &Path) -> Result<String, ChoreError> {
    fs::read_to_string(path).map_err(|e| io("read", path, e))
}

/// Writes a file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ChoreError> {
    fs::write(path, bytes).map_err(|e| io("write", path, e))
}

/// Makes a folder that is empty.
pub fn make_empty(folder: &Path) -> Result<(), ChoreError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|e| io("empty", folder, e))?;
    }
    fs::create_dir_all(folder).map_err(|e| io("make", folder, e))
}

/// Runs a program of the Debian package `package` and returns its standard output.
pub fn output(package: &str, command: &mut Command) -> Result<Vec<u8>, ChoreError> {
    let result = command.stdin(Stdio::null()).output().map_err(|e| cannot_start(package, command, e))?;
    if result.status.success() {
        return Ok(result.stdout);
    }
    Err(ChoreError::Failed {
        command: shown(command),
        status: result.status.to_string(),
        said: String::from_utf8_lossy(&result.stderr).trim_end().to_owned(),
    })
}

/// As [`output`], as text.
pub fn text(package: &str, command: &mut Command) -> Result<String, ChoreError> {
    Ok(String::from_utf8_lossy(&output(package, command)?).into_owned())
}

fn cannot_start(package: &str, command: &Command, error: io::Error) -> ChoreError {
    let program = command.get_program().to_string_lossy().into_owned();
    if error.kind() == io::ErrorKind::NotFound {
        return ChoreError::NoProgram { program, package: package.to_owned() };
    }
    ChoreError::Io { doing: "start", path: program.into(), source: error }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The target of programs that must run in any guest.
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds binaries that need no library of the guest OS, and returns their folder.
pub fn build_static(packages: &[&str]) -> Result<PathBuf, ChoreError> {
    let root = repository()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&root).args(["build", "--release", "--locked", "--target", STATIC_TARGET]);
    command.args(packages.iter().flat_map(|package| ["-p", package]));
    command.env("RUSTFLAGS", "-C target-feature=+crt-static").env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    let status = command.status().map_err(|e| cannot_start("cargo", &command, e))?;
    if !status.success() {
        return Err(ChoreError::Failed {
            command: shown(&command),
            status: status.to_string(),
            said: "see above".to_owned(),
        });
    }
    Ok(root.join(target).join(STATIC_TARGET).join("release"))
}
