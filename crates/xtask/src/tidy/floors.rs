//! Imports go down only, and the pure floors stay pure.

use super::house::{Crate, House};

/// Floors on which crates may know each other: words are made of words, and `transport` of `pki`. Engines,
/// services and binaries must not know one another.
const OPEN_FLOORS: [u32; 2] = [0, 1];
/// Above every crate that states a floor: samples, which are what a customer would write.
const OUTSIDE: u32 = u32::MAX;
/// Floors that do no I/O and read no clock.
const PURE_FLOORS: [u32; 2] = [0, 2];
/// What shows I/O or a clock, and what to do instead.
const ABSENT: [(&str, &str); 9] = [
    ("std::fs", "let the caller read, and pass bytes or a reader"),
    ("std::process", "return what is to be run as a plan"),
    ("TcpStream", "let a service on floor 3 speak"),
    ("TcpListener", "let a service on floor 3 listen"),
    ("UdpSocket", "let a service on floor 3 speak"),
    ("tokio::fs", "let the caller read, and pass bytes or a reader"),
    ("tokio::net", "let a service on floor 3 speak"),
    ("SystemTime::now", "take the time as an argument"),
    ("Instant::now", "take the time as an argument"),
];

/// Every import that goes up or sideways, and every crate that states no floor.
pub fn check(house: &House) -> Vec<String> {
    let mut broken = Vec::new();
    for importer in &house.crates {
        if importer.floor.is_none() && importer.folder.starts_with("crates/") {
            broken.push(format!(
                "{}/Cargo.toml states no floor: add [package.metadata.welkin] floor = …",
                importer.folder
            ));
        }
        for name in &importer.dependencies {
            let Some(imported) = house.crates.iter().find(|other| other.name == *name) else { continue };
            broken.extend(check_import(importer, imported));
        }
    }
    broken
}

fn check_import(importer: &Crate, imported: &Crate) -> Option<String> {
    let (above, below) = (importer.floor.unwrap_or(OUTSIDE), imported.floor.unwrap_or(OUTSIDE));
    let allowed = below < above || (below == above && OPEN_FLOORS.contains(&below));
    (!allowed).then(|| {
        let floor =
            |floor: u32| if floor == OUTSIDE { "outside".to_owned() } else { format!("on floor {floor}") };
        format!(
            "{}/Cargo.toml: {} ({}) imports {} ({}): imports go down only; move the shared word down",
            importer.folder,
            importer.name,
            floor(above),
            imported.name,
            floor(below)
        )
    })
}

/// I/O and clocks on the floors that promise to have none.
pub fn check_absences(house: &House) -> Vec<String> {
    let mut broken = Vec::new();
    let pure = house.crates.iter().filter(|one| one.floor.is_some_and(|floor| PURE_FLOORS.contains(&floor)));
    for one in pure {
        let sources = format!("{}/src/", one.folder);
        for file in house.rust().filter(|file| file.path.starts_with(&sources)) {
            for (line, text) in file.production_lines().filter(|(_, text)| !is_comment(text)) {
                for (word, instead) in ABSENT.iter().filter(|(word, _)| text.contains(word)) {
                    broken.push(format!("{}:{line}: {word} on a floor without I/O: {instead}", file.path));
                }
            }
        }
    }
    broken
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::house::Source;

    fn member(name: &str, floor: Option<u32>, dependencies: &[&str]) -> Crate {
        let dependencies = dependencies.iter().map(|&name| name.to_owned()).collect();
        Crate { name: name.to_owned(), folder: format!("crates/{name}"), floor, dependencies }
    }

    #[test]
    fn imports_go_down_only() {
        let house = |importer: Crate| {
            let others = [("word", 0), ("world", 1), ("engine", 2), ("service", 3), ("sim", 4)];
            let mut crates: Vec<Crate> =
                others.iter().map(|(name, floor)| member(name, Some(*floor), &[])).collect();
            crates.push(importer);
            House { crates, ..House::default() }
        };
        let rows: [(Option<u32>, &[&str], usize); 9] = [
            (Some(0), &["word", "serde"], 0),
            (Some(0), &["world"], 1),
            (Some(1), &["word", "world"], 0),
            (Some(2), &["word", "world"], 0),
            (Some(2), &["engine"], 1),
            (Some(3), &["engine", "word"], 0),
            (Some(3), &["service", "sim"], 2),
            (Some(4), &["service"], 0),
            (None, &["sim"], 1),
        ];
        for (floor, dependencies, expected) in rows {
            let broken = check(&house(member("x", floor, dependencies)));
            assert_eq!(broken.len(), expected, "{floor:?} {dependencies:?}: {broken:?}");
        }
        let broken = check(&house(member("x", Some(0), &["engine"])));
        let expected = "crates/x/Cargo.toml: x (on floor 0) imports engine (on floor 2): imports go down only; \
                        move the shared word down";
        assert_eq!(broken, [expected]);
    }

    #[test]
    fn pure_floors_have_no_clock() {
        let text =
            "//! Instant::now is only named here.\nlet a = Instant::now();\n#[cfg(test)]\nstd::fs::read();\n";
        let mut house = House { crates: vec![member("x", Some(2), &[])], ..House::default() };
        house.files.push(Source::new("crates/x/src/lib.rs", text));
        let expected =
            "crates/x/src/lib.rs:2: Instant::now on a floor without I/O: take the time as an argument";
        assert_eq!(check_absences(&house), [expected]);
        house.crates = vec![member("x", Some(3), &[])];
        assert!(check_absences(&house).is_empty());
    }
}
