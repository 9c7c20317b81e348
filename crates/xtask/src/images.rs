//! Builds the guest OS image from Debian packages, through this machine's own apt configuration.
//!
//! `images/guest/` is the recipe. Three parts are made apart and kept in a cache by what they are made
//! from, so that a changed guest agent makes only the initramfs again:
//!
//! | part | made from |
//! |---|---|
//! | `kernel` | Debian's cloud kernel, unpacked: an emulated processor would take seconds for that |
//! | `root` | drive D: squashfs of the packages in `packages` |
//! | `initramfs` | the guest agent as `/init` and the kernel modules in `modules` |
//!
//! It needs root, for device nodes and owners, and the Debian packages in [`PACKAGES_NEEDED`].

mod initramfs;
mod kernel;
mod root;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::run::{self, ChoreError};

/// Debian packages that building the images takes.
pub const PACKAGES_NEEDED: [&str; 5] =
    ["mmdebstrap", "squashfs-tools", "cpio", "lz4", "debian-archive-keyring"];
/// The variable that moves the cache from `~/.cache/welkin`.
const CACHE_VARIABLE: &str = "WELKIN_CACHE";
/// Makes a change of this program's own steps show in every key.
const STEPS: &str = "1";

/// Builds what is not in the cache and leaves `kernel`, `initramfs`, `root` and `version.toml` in `out`.
///
/// # Errors
/// When a tool is missing or fails; the error says which, and what it said.
pub fn build(out: &Path) -> Result<(), ChoreError> {
    let recipe = run::repository()?.join("images/guest");
    let cache = cache_folder()?;
    let kernel_package = kernel::package(&recipe)?;
    let kernel = part(&cache, "kernel", &kernel::inputs(&kernel_package), |into| {
        kernel::build(&kernel_package, into)
    })?;
    let root = part(&cache, "root", &root::inputs(&recipe)?, |into| root::build(&recipe, into))?;
    let agent = timed("guest agent", || run::build_static(&["welkin-guest"]))?.join("welkin-guest");
    let inputs = initramfs::inputs(&recipe, &agent, &kernel)?;
    let initramfs =
        part(&cache, "initramfs", &inputs, |into| initramfs::build(&recipe, &agent, &kernel, into))?;
    fs::create_dir_all(out).map_err(|e| run::io("make", out, e))?;
    for (from, name) in [
        (kernel.join("vmlinux"), "kernel"),
        (initramfs.join("image"), "initramfs"),
        (root.join("image"), "root"),
    ] {
        install(&from, &out.join(name))?;
    }
    let version = run::read(&recipe.join("version"))?;
    run::write(&out.join("version.toml"), format!("version = \"{}\"\n", version.trim()).as_bytes())
}

/// The folder of a part with these inputs, built if there is none yet. A build that was broken off leaves
/// nothing that looks finished.
fn part(
    cache: &Path,
    name: &'static str,
    inputs: &[Vec<u8>],
    build: impl FnOnce(&Path) -> Result<(), ChoreError>,
) -> Result<PathBuf, ChoreError> {
    let folder = cache.join(format!("{name}-{}", key(inputs)));
    if folder.is_dir() {
        println!("  {name:<12} cached");
        return Ok(folder);
    }
    let unfinished = cache.join(format!("{name}.{}.unfinished", std::process::id()));
    run::make_empty(&unfinished)?;
    timed(name, || build(&unfinished))?;
    fs::rename(&unfinished, &folder).map_err(|e| run::io("keep", &folder, e))?;
    Ok(folder)
}

fn key(inputs: &[Vec<u8>]) -> String {
    let mut hash = Sha256::new_with_prefix(STEPS);
    for input in inputs {
        hash.update((input.len() as u64).to_le_bytes());
        hash.update(input);
    }
    hex::encode(&hash.finalize()[..10])
}

fn timed<T>(name: &str, work: impl FnOnce() -> Result<T, ChoreError>) -> Result<T, ChoreError> {
    let began = Instant::now();
    let result = work()?;
    println!("  {name:<12} {:.1} s", began.elapsed().as_secs_f64());
    Ok(result)
}

/// Copies beside the target and renames: whoever reads the image meanwhile has the old one whole.
fn install(from: &Path, to: &Path) -> Result<(), ChoreError> {
    let next = to.with_extension("next");
    fs::copy(from, &next).map_err(|e| run::io("copy to", &next, e))?;
    fs::rename(&next, to).map_err(|e| run::io("replace", to, e))
}

fn cache_folder() -> Result<PathBuf, ChoreError> {
    let own = std::env::var_os(CACHE_VARIABLE).map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/welkin"));
    let folder = own.or(home).ok_or_else(|| ChoreError::Wrong(format!("set {CACHE_VARIABLE} or HOME")))?;
    let folder = folder.join("images");
    fs::create_dir_all(&folder).map_err(|e| run::io("make", &folder, e))?;
    Ok(folder)
}

/// The lines of a recipe file without comments.
fn lines(path: &Path) -> Result<Vec<String>, ChoreError> {
    let text = run::read(path)?;
    let plain = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(plain.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn a_key_tells_inputs_apart() {
        let of =
            |inputs: &[&str]| key(&inputs.iter().map(|input| input.as_bytes().to_vec()).collect::<Vec<_>>());
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab"]), of(&["ab", ""]));
    }
}
