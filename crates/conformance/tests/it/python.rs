//! Python with the clients of `python/requirements.txt`, in a virtual environment below the target folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/requirements.txt");

/// The interpreter. `WELKIN_PYTHON` names another, which must have the clients.
pub fn python() -> PathBuf {
    if let Some(given) = std::env::var_os("WELKIN_PYTHON") {
        return given.into();
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    // Tests run at the same time, and one of them installs.
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let (interpreter, installed) = (folder.join("bin/python"), folder.join("requirements.txt"));
    let wanted = std::fs::read_to_string(REQUIREMENTS).unwrap();
    if std::fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return interpreter;
    }
    run(Command::new("python3").arg("-m").arg("venv").arg("--clear").arg(&folder));
    run(Command::new(&interpreter).args(["-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS]));
    std::fs::write(installed, wanted).unwrap();
    interpreter
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    assert!(status.success(), "{command:?} failed: are python3-venv and a package index there?");
}
