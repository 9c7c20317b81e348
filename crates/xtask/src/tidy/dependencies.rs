//! A crate imports what it names in its manifest: each dependency that nobody uses costs every build.

use super::house::{Crate, House};

/// Packages whose library has another name.
const LIBRARIES: [(&str, &str); 1] = [("md-5", "md5")];

/// Every dependency whose name no source of its crate says.
pub fn check(house: &House) -> Vec<String> {
    let unused = house.crates.iter().flat_map(|one| {
        let unused = one.dependencies.iter().filter(|dependency| !is_used(house, one, dependency));
        unused.map(|dependency| format!("{}/Cargo.toml: nothing uses {dependency}: remove it", one.folder))
    });
    unused.collect()
}

fn is_used(house: &House, one: &Crate, dependency: &str) -> bool {
    let renamed = LIBRARIES.iter().find(|(package, _)| *package == dependency).map(|(_, library)| *library);
    let library = renamed.map_or_else(|| dependency.replace('-', "_"), str::to_owned);
    let folder = format!("{}/", one.folder);
    house.rust().filter(|file| file.path.starts_with(&folder)).any(|file| says(&file.text, &library))
}

/// Whether `word` stands in a text by itself.
fn says(text: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

#[cfg(test)]
mod tests {
    use super::super::house::Source;
    use super::*;

    #[test]
    fn what_nobody_uses_is_named() {
        let dependencies = ["md-5", "http", "http-body"].map(str::to_owned).to_vec();
        let house = House {
            files: vec![Source::new("crates/x/src/lib.rs", "use md5::Md5;\nuse http_body::Body;\n")],
            crates: vec![Crate { name: "x".into(), folder: "crates/x".into(), floor: Some(0), dependencies }],
        };
        assert_eq!(check(&house), ["crates/x/Cargo.toml: nothing uses http: remove it"]);
    }
}
