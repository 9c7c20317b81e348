//! The kernel: Debian's cloud kernel, unpacked, and its modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::lines;
use crate::run::{self, ChoreError};

/// How the LZ4 stream begins from which Debian's kernel unpacks itself.
const LZ4_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
const ELF_MAGIC: [u8; 4] = [0x7f, b'E', b'L', b'F'];

/// A Debian package in one version, as `name=version`.
pub struct Package(String);

/// The package that the recipe's meta package stands for today.
pub fn package(recipe: &Path) -> Result<Package, ChoreError> {
    let path = recipe.join("kernel");
    let meta = lines(&path)?.into_iter().next();
    let meta = meta.ok_or_else(|| ChoreError::Wrong(format!("{} names no package", path.display())))?;
    let depends = run::text(
        "apt",
        Command::new("apt-cache").args(["depends", "--no-recommends", "--no-suggests", &meta]),
    )?;
    let real = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let real = real.ok_or_else(|| ChoreError::Wrong(format!("apt knows no {meta}; run: apt-get update")))?;
    let name = format!("linux-image-{real}");
    let version = candidates(std::slice::from_ref(&name))?;
    version
        .into_iter()
        .next()
        .map(Package)
        .ok_or_else(|| ChoreError::Wrong(format!("apt has no version of {name}")))
}

/// The versions that apt would install now, each as `name=version`.
pub fn candidates(names: &[String]) -> Result<Vec<String>, ChoreError> {
    let policy = run::text("apt", Command::new("apt-cache").arg("policy").args(names))?;
    let mut found = Vec::new();
    let mut name = "";
    for line in policy.lines() {
        if let Some(package) = line.strip_suffix(':').filter(|package| !package.starts_with(' ')) {
            name = package;
        } else if let Some(version) = line.trim().strip_prefix("Candidate: ")
            && version != "(none)"
        {
            found.push(format!("{name}={version}"));
        }
    }
    if found.len() == names.len() {
        return Ok(found);
    }
    Err(ChoreError::Wrong(format!("apt does not know all of {}; run: apt-get update", names.join(" "))))
}

/// What the part follows from.
pub fn inputs(package: &Package) -> Vec<Vec<u8>> {
    vec![package.0.clone().into_bytes()]
}

/// Leaves `vmlinux` and `modules/` in `into`.
pub fn build(package: &Package, into: &Path) -> Result<(), ChoreError> {
    let unpacked = into.join("unpacked");
    fs::create_dir_all(&unpacked).map_err(|e| run::io("make", &unpacked, e))?;
    let mut download = Command::new("apt-get");
    // The sandbox user of apt may not write here, and there is nothing to protect from it.
    run::output(
        "apt",
        download.current_dir(into).args(["-o", "APT::Sandbox::User=root", "download", &package.0]),
    )?;
    let archive = find(into, |name| name.ends_with(".deb"))?;
    run::output("dpkg", Command::new("dpkg").arg("-x").args([&archive, &unpacked]))?;
    let packed = find(&unpacked.join("boot"), |name| name.starts_with("vmlinuz-"))?;
    run::write(&into.join("vmlinux"), &unpack(&packed)?)?;
    let modules = find(&unpacked.join("lib/modules"), |_| true)?;
    fs::rename(&modules, into.join("modules")).map_err(|e| run::io("keep", &modules, e))?;
    fs::remove_file(&archive).map_err(|e| run::io("remove", &archive, e))?;
    fs::remove_dir_all(&unpacked).map_err(|e| run::io("remove", &unpacked, e))
}

/// The ELF kernel inside a kernel that unpacks itself.
fn unpack(packed: &Path) -> Result<Vec<u8>, ChoreError> {
    let bytes = fs::read(packed).map_err(|e| run::io("read", packed, e))?;
    let starts = bytes.windows(LZ4_MAGIC.len()).enumerate().filter(|(_, window)| *window == LZ4_MAGIC);
    for (start, _) in starts {
        let stream = packed.with_extension("lz4");
        run::write(&stream, &bytes[start..])?;
        let mut command = Command::new("lz4");
        // What follows the stream is no part of it: lz4 complains of it after writing all that counts.
        let output =
            command.arg("-dc").arg(&stream).output().map_err(|e| run::io("run lz4 on", &stream, e))?.stdout;
        if output.starts_with(&ELF_MAGIC) {
            return Ok(output);
        }
    }
    Err(ChoreError::Wrong(format!("{} holds no kernel packed with LZ4", packed.display())))
}

fn find(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf, ChoreError> {
    let entries = fs::read_dir(folder).map_err(|e| run::io("list", folder, e))?;
    let mut names = entries.flatten().filter(|entry| wanted(&entry.file_name().to_string_lossy()));
    names
        .next()
        .map(|entry| entry.path())
        .ok_or_else(|| ChoreError::Wrong(format!("nothing fits in {}", folder.display())))
}
