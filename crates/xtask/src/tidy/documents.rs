//! Documents and manifests that have to follow the code.

use super::house::{Crate, House};
use crate::images::PACKAGES_NEEDED;

/// The map of the code.
const MAP: &str = "ARCHITECTURE.md";
/// Installs what the chores need.
const INSTALLER: &str = "x";
/// What a repository owes its reader.
const OWED: [&str; 4] = ["README.md", MAP, "CHANGELOG.md", "LICENSE"];

/// What is missing from documents, crate roots and manifests.
pub fn check(house: &House) -> Vec<String> {
    let mut broken: Vec<String> = OWED
        .iter()
        .filter(|path| house.text(path).trim().is_empty())
        .map(|path| format!("{path} is missing"))
        .collect();
    let map = house.text(MAP);
    for one in &house.crates {
        broken.extend(check_crate(house, map, one));
    }
    let not_installed = PACKAGES_NEEDED.iter().filter(|package| !house.text(INSTALLER).contains(**package));
    broken.extend(not_installed.map(|package| format!("{INSTALLER} does not install {package}")));
    broken
}

fn check_crate(house: &House, map: &str, one: &Crate) -> Vec<String> {
    let mut broken = Vec::new();
    let folder = &one.folder;
    let name = folder.rsplit('/').next().unwrap_or(folder);
    if folder.starts_with("crates/") && !map.contains(&format!("`{name}`")) {
        broken.push(format!(
            "{MAP} does not have `{name}`: add it to the code map, with what it must not know"
        ));
    }
    let prefix = name != "xtask" && folder.starts_with("crates/");
    if prefix && one.name != format!("welkin-{name}") {
        broken.push(format!("{folder}/Cargo.toml: the package of crates/{name} is called welkin-{name}"));
    }
    let manifest = format!("{folder}/Cargo.toml");
    if !house.text(&manifest).contains("[lints]\nworkspace = true") {
        broken.push(format!("{manifest} does not take the workspace's lints: add [lints] workspace = true"));
    }
    for root in ["src/lib.rs", "src/main.rs"] {
        let path = format!("{folder}/{root}");
        if let Some(file) = house.files.iter().find(|file| file.path == path)
            && !file.text.starts_with("//!")
        {
            broken.push(format!("{path} must begin with //! and say what the crate is for"));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::house::Source;

    #[test]
    fn a_crate_is_on_the_map_and_takes_the_lints() {
        let one = |map: &str, manifest: &str, root: &str| {
            let file = Source::new;
            let files = vec![
                file("README.md", "x"),
                file("CHANGELOG.md", "x"),
                file("LICENSE", "x"),
                file(INSTALLER, &PACKAGES_NEEDED.join(" ")),
                file(MAP, map),
                file("crates/lease/Cargo.toml", manifest),
                file("crates/lease/src/lib.rs", root),
            ];
            let (name, folder) = ("welkin-lease".into(), "crates/lease".into());
            let crates = vec![Crate { name, folder, floor: Some(0), dependencies: Vec::new() }];
            check(&House { files, crates })
        };
        assert!(one("| `lease` |", "[lints]\nworkspace = true\n", "//! Leases.\n").is_empty());
        assert_eq!(one("nothing", "[lints]\nworkspace = true\n", "//! Leases.\n").len(), 1);
        assert_eq!(one("`lease`", "", "use x;\n").len(), 2);
        assert_eq!(one("", "[lints]\nworkspace = true\n", "//! Leases.\n").len(), 2);
    }
}
