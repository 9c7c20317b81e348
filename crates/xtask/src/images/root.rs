//! Drive D: the packages of the recipe as a squashfs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{kernel, lines};
use crate::run::{self, ChoreError};

/// Every time stamp in the image: the same inputs make the same bytes.
const EPOCH: &str = "1793491200";
/// Where a Debian machine says from where it gets packages, newest form first.
const SOURCES: [&str; 2] = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
/// The release whose packages the recipe names.
const RELEASE: &str = "bookworm";
/// Folders for mounts and for the GA, beside what the packages bring.
const FOLDERS: [&str; 6] = ["app", "local", "proc", "sys", "dev", "run"];
/// What only a package manager needs.
const REMOVED: [&str; 5] = ["var/lib/dpkg", "var/lib/apt", "var/cache", "var/log", "etc/apt"];

/// What the part follows from.
pub fn inputs(recipe: &Path) -> Result<Vec<Vec<u8>>, ChoreError> {
    let mut inputs = Vec::new();
    for name in ["packages", "excludes", "applets"] {
        inputs.push(run::read(&recipe.join(name))?.into_bytes());
    }
    for path in files(&recipe.join("files"))? {
        inputs.push(path.to_string_lossy().into_owned().into_bytes());
        inputs.push(fs::read(recipe.join("files").join(&path)).map_err(|e| run::io("read", &path, e))?);
    }
    let versions = kernel::candidates(&lines(&recipe.join("packages"))?)?;
    inputs.push(versions.join("\n").into_bytes());
    Ok(inputs)
}

/// Leaves `image` in `into`.
pub fn build(recipe: &Path, into: &Path) -> Result<(), ChoreError> {
    let tree = into.join("tree");
    extract(recipe, &tree)?;
    finish(recipe, &tree)?;
    let mut squash = Command::new("mksquashfs");
    squash.args([&tree, &into.join("image")]).args(["-comp", "lz4", "-noappend", "-no-progress", "-quiet"]);
    squash.args(["-all-root", "-all-time", EPOCH, "-mkfs-time", EPOCH]).env_remove("SOURCE_DATE_EPOCH");
    run::output("squashfs-tools", &mut squash)?;
    fs::remove_dir_all(&tree).map_err(|e| run::io("remove", &tree, e))
}

/// Unpacks the packages. No maintainer script runs: nothing of the guest OS runs on this machine.
fn extract(recipe: &Path, tree: &Path) -> Result<(), ChoreError> {
    let mut strap = Command::new("mmdebstrap");
    strap.args(["--mode=root", "--variant=extract", "--quiet"]);
    strap.arg("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr");
    strap.arg(format!("--include={}", lines(&recipe.join("packages"))?.join(",")));
    for path in lines(&recipe.join("excludes"))? {
        strap.arg(format!("--dpkgopt=path-exclude={path}"));
    }
    strap.arg(RELEASE).arg(tree);
    strap.args(SOURCES.iter().find(|path| Path::new(path).is_file()));
    run::output("mmdebstrap", &mut strap).map(drop)
}

/// Does the little of the maintainer scripts that a guest needs.
fn finish(recipe: &Path, tree: &Path) -> Result<(), ChoreError> {
    for folder in FOLDERS {
        let path = tree.join(folder);
        fs::create_dir_all(&path).map_err(|e| run::io("make", &path, e))?;
    }
    for path in REMOVED.map(|path| tree.join(path)).iter().filter(|path| path.exists()) {
        fs::remove_dir_all(path).map_err(|e| run::io("remove", path, e))?;
    }
    for path in files(&recipe.join("files"))? {
        let (from, to) = (recipe.join("files").join(&path), tree.join(&path));
        let _ = fs::remove_file(&to); // a package may have put a link there
        fs::copy(&from, &to).map_err(|e| run::io("copy to", &to, e))?;
    }
    authorities(tree)?;
    applets(recipe, tree)?;
    let shell = tree.join("bin/sh");
    if fs::symlink_metadata(&shell).is_err() {
        symlink("dash", &shell).map_err(|e| run::io("link", &shell, e))?;
    }
    run::output("libc-bin", Command::new("/sbin/ldconfig").arg("-r").arg(tree)).map(drop)
}

/// Makes the links of busybox that the recipe names, where no package has the tool.
fn applets(recipe: &Path, tree: &Path) -> Result<(), ChoreError> {
    let folders = ["usr/bin", "usr/sbin"].map(|folder| tree.join(folder));
    for name in lines(&recipe.join("applets"))? {
        if folders.iter().all(|folder| fs::symlink_metadata(folder.join(&name)).is_err()) {
            let link = folders[0].join(&name);
            symlink("busybox", &link).map_err(|e| run::io("link", &link, e))?;
        }
    }
    Ok(())
}

/// Joins the certificates into the bundle that TLS libraries look for.
fn authorities(tree: &Path) -> Result<(), ChoreError> {
    let folder = tree.join("usr/share/ca-certificates");
    let mut bundle = String::new();
    for path in files(&folder)?.iter().filter(|path| path.extension().is_some_and(|kind| kind == "crt")) {
        bundle.push_str(&run::read(&folder.join(path))?);
    }
    let to = tree.join("etc/ssl/certs/ca-certificates.crt");
    fs::create_dir_all(tree.join("etc/ssl/certs")).map_err(|e| run::io("make folder of", &to, e))?;
    run::write(&to, bundle.as_bytes())
}

/// Every file below a folder, relative to it, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ChoreError> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).map_err(|e| run::io("list", &next, e))?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder) {
                found.push(relative.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}
