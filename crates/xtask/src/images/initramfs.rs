//! The initramfs: the guest agent as `/init`, and the kernel modules with the order to load them in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::lines;
use crate::run::{self, ChoreError};

/// What the part follows from.
pub fn inputs(recipe: &Path, agent: &Path, kernel: &Path) -> Result<Vec<Vec<u8>>, ChoreError> {
    let agent = fs::read(agent).map_err(|e| run::io("read", agent, e))?;
    let modules = run::read(&recipe.join("modules"))?.into_bytes();
    Ok(vec![agent, modules, kernel.to_string_lossy().into_owned().into_bytes()])
}

/// Leaves `image` in `into`.
pub fn build(recipe: &Path, agent: &Path, kernel: &Path, into: &Path) -> Result<(), ChoreError> {
    let tree = into.join("tree");
    let folder = tree.join("lib/modules");
    fs::create_dir_all(&folder).map_err(|e| run::io("make", &folder, e))?;
    fs::create_dir_all(tree.join("dev")).map_err(|e| run::io("make", &tree, e))?;
    copy(agent, &tree.join("init"))?;
    let available = modules_in(&kernel.join("modules"))?;
    let mut order = Vec::new();
    for name in lines(&recipe.join("modules"))? {
        add(&name, &available, &mut order)?;
    }
    let mut list = String::new();
    for path in &order {
        let name = format!("{}.ko", module_name(path));
        copy(path, &folder.join(&name))?;
        list.push_str(&name);
        list.push('\n');
    }
    run::write(&folder.join("order"), list.as_bytes())?;
    // The kernel opens it before the guest agent can mount /dev.
    run::output("coreutils", Command::new("mknod").arg(tree.join("dev/console")).args(["c", "5", "1"]))?;
    let archive = "find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --reproducible -R 0:0 -o -H newc";
    let mut pack = Command::new("/bin/sh");
    pack.args(["-c", &format!("find . -exec touch -h -d @0 {{}} + && {archive} > ../image")])
        .current_dir(&tree);
    run::output("cpio", &mut pack)?;
    fs::remove_dir_all(&tree).map_err(|e| run::io("remove", &tree, e))
}

fn copy(from: &Path, to: &Path) -> Result<(), ChoreError> {
    fs::copy(from, to).map(drop).map_err(|e| run::io("copy to", to, e))
}

/// The kernel's name for a module: its file may have dashes instead.
fn module_name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_")
}

fn modules_in(folder: &Path) -> Result<Vec<PathBuf>, ChoreError> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).map_err(|e| run::io("list", &next, e))?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|kind| kind == "ko") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Adds a module after everything that it depends on.
fn add(name: &str, available: &[PathBuf], order: &mut Vec<PathBuf>) -> Result<(), ChoreError> {
    let path = available.iter().find(|path| module_name(path) == name.replace('-', "_"));
    let path = path.ok_or_else(|| ChoreError::Wrong(format!("the kernel has no module {name}")))?;
    if order.contains(path) {
        return Ok(());
    }
    let bytes = fs::read(path).map_err(|e| run::io("read", path, e))?;
    for dependency in dependencies(&bytes) {
        add(&dependency, available, order)?;
    }
    order.push(path.clone());
    Ok(())
}

/// A module says what it depends on in its section `.modinfo`, as `depends=a,b`.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = module[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value);
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::dependencies;

    #[test]
    fn dependencies_are_read() {
        let check = |module: &[u8], expected: &[&str]| assert_eq!(dependencies(module), expected);
        check(b"x\0license=GPL\0depends=virtio,virtio_ring\0retpoline=Y\0", &["virtio", "virtio_ring"]);
        check(b"x\0depends=\0name=y\0", &[]);
        check(b"", &[]);
    }
}
