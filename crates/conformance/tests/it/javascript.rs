//! Node with the clients of `javascript/package.json`, installed below the target folder by `npm ci`. Node itself
//! is among them: the clients want a newer one than Debian has.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/javascript");

/// Node, told to run a script of `javascript/`.
pub fn node(script: &str) -> Command {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("javascript");
    std::fs::create_dir_all(&folder).unwrap();
    // Tests run at the same time, and one of them installs.
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    install(&folder);
    // A script's imports are looked up beside it, so each is copied to where the clients are.
    for entry in std::fs::read_dir(SCRIPTS).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "mjs") {
            write_if_changed(&folder.join(path.file_name().unwrap()), &std::fs::read(&path).unwrap());
        }
    }
    let mut command = Command::new(interpreter(&folder));
    command.arg("--test-reporter=spec").arg(folder.join(script));
    command
}

fn interpreter(folder: &Path) -> PathBuf {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    folder.join(format!("node_modules/node-linux-{architecture}/bin/node"))
}

fn install(folder: &Path) {
    let installed = folder.join("installed");
    let wanted = std::fs::read(Path::new(SCRIPTS).join("package-lock.json")).unwrap();
    if std::fs::read(&installed).is_ok_and(|there| there == wanted) {
        return;
    }
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(Path::new(SCRIPTS).join(name), folder.join(name)).unwrap();
    }
    // No script of a package runs.
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder);
    let status = npm.status().unwrap_or_else(|error| panic!("npm cannot be started: {error}"));
    assert!(status.success(), "npm ci failed: is a package registry there?");
    std::fs::write(installed, wanted).unwrap();
}

fn write_if_changed(path: &Path, wanted: &[u8]) {
    if std::fs::read(path).is_ok_and(|there| there == wanted) {
        return;
    }
    std::fs::write(path, wanted).unwrap();
}
