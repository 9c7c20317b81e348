//! No file of one purpose grows past its ratchet.
//!
//! A new file has at most [`LINES_MAX`] production lines. A file that is longer stands in [`RATCHET`] with the
//! length that it has; it may shrink, and then the entry shrinks with it, and it may not grow.

use std::collections::BTreeMap;

use super::house::House;

/// Production lines of a file: more than that is seldom one purpose.
const LINES_MAX: usize = 400;
/// The longer files, by path.
const RATCHET: &str = "crates/xtask/ratchet.toml";

/// Files that are too long, and entries that are out of date.
pub fn check(house: &House) -> Vec<String> {
    let ratchet: BTreeMap<String, usize> = match toml::from_str(house.text(RATCHET)) {
        Ok(ratchet) => ratchet,
        Err(error) => return vec![format!("{RATCHET}: {}", error.message())],
    };
    let mut broken = Vec::new();
    for file in house.rust() {
        let lines = file.production_lines().count();
        match ratchet.get(&file.path) {
            None if lines > LINES_MAX => broken.push(format!(
                "{}: {lines} lines; at most {LINES_MAX} are allowed: move a part that has a name of its own out",
                file.path
            )),
            Some(_) if lines <= LINES_MAX => {
                broken.push(format!("{}: {lines} lines now; remove it from {RATCHET}", file.path));
            }
            Some(max) if lines < *max => {
                broken.push(format!("{}: {lines} lines now; write that into {RATCHET}", file.path));
            }
            Some(max) if lines > *max => broken.push(format!(
                "{}: {lines} lines, {max} before; it is too long already: move the new part elsewhere",
                file.path
            )),
            _ => {}
        }
    }
    let gone = ratchet.keys().filter(|path| !house.files.iter().any(|file| file.path == **path));
    broken.extend(gone.map(|path| format!("{RATCHET}: {path} is gone; remove it")));
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::house::Source;

    #[test]
    fn the_ratchet_only_tightens() {
        let row = |lines: usize, ratchet: &str, expected: &str| {
            let text = "x\n".repeat(lines) + "#[cfg(test)]\n" + &"y\n".repeat(500);
            let files = vec![Source::new("a.rs", &text), Source::new(RATCHET, ratchet)];
            let broken = check(&House { files, ..House::default() });
            assert_eq!(broken.join("|"), expected);
        };
        row(400, "", "");
        row(401, "", "a.rs: 401 lines; at most 400 are allowed: move a part that has a name of its own out");
        row(450, "\"a.rs\" = 450", "");
        row(
            451,
            "\"a.rs\" = 450",
            "a.rs: 451 lines, 450 before; it is too long already: move the new part elsewhere",
        );
        row(449, "\"a.rs\" = 450", "a.rs: 449 lines now; write that into crates/xtask/ratchet.toml");
        row(400, "\"a.rs\" = 450", "a.rs: 400 lines now; remove it from crates/xtask/ratchet.toml");
        row(1, "\"b.rs\" = 450", "crates/xtask/ratchet.toml: b.rs is gone; remove it");
    }
}
