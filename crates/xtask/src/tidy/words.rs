//! Words that must not be in the repository, and names that no module may have.

use super::house::House;

/// This file has to name what it bans.
const SELF: &str = "crates/xtask/src/tidy/words.rs";
/// Where texts stand that others wrote.
const FOREIGN: [&str; 2] = ["LICENSE", "Cargo.lock"];

/// Anywhere: the word, and what to do instead.
const BANNED: [(&str, &str); 6] = [
    ("FIXME", "mend it, or say in a sentence what holds today"),
    ("XXX", "mend it, or say in a sentence what holds today"),
    ("TODO", "do it, or say in a sentence what holds today"),
    ("/var/tmp/", "name no path of one machine; take it from the caller or use a temporary folder"),
    ("/home/", "name no path of one machine"),
    ("todo!(", "write it, or answer that it is not built from the one place for that"),
];
/// In Rust.
const BANNED_IN_RUST: [(&str, &str); 4] = [
    ("unimplemented!(", "write it, or answer that it is not built from the one place for that"),
    ("dbg!(", "remove it, or log with tracing"),
    ("#[ignore", "make the test run everywhere, or assert what holds today"),
    ("unsafe {", "find a crate that is kept well and does it"),
];
/// A name of a module that says nothing of what is in it.
const EMPTY_NAMES: [&str; 7] = ["common", "util", "utils", "helper", "helpers", "manager", "misc"];

/// Every banned word, with its line.
pub fn check(house: &House) -> Vec<String> {
    let mut broken = Vec::new();
    for file in house.files.iter().filter(|file| file.path != SELF && !FOREIGN.contains(&file.path.as_str()))
    {
        let rust: &[(&str, &str)] = if file.path.ends_with(".rs") { &BANNED_IN_RUST } else { &[] };
        for (index, line) in file.text.lines().enumerate() {
            for (word, instead) in BANNED.iter().chain(rust).filter(|(word, _)| has_word(line, word)) {
                broken.push(format!("{}:{}: {word}: {instead}", file.path, index + 1));
            }
            if lint_without_reason(line) && file.path.ends_with(".rs") {
                broken.push(format!("{}:{}: an allowed lint needs reason = \"…\"", file.path, index + 1));
            }
        }
    }
    broken
}

/// Whether `line` has `word` standing by itself: "XXX" is not in "XXXL", nor "/home/" in "a/home/b".
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        let joins = |edge: Option<char>, next: Option<char>| {
            edge.is_some_and(char::is_alphanumeric) && next.is_some_and(|c| c.is_alphanumeric() || c == '_')
        };
        let path =
            word.starts_with('/') && before.is_some_and(|c| c.is_alphanumeric() || ".-_}$/".contains(c));
        !path && !joins(word.chars().next(), before) && !joins(word.chars().next_back(), after)
    })
}

/// One that is spread over lines begins with an open bracket and is read by people.
fn lint_without_reason(line: &str) -> bool {
    let line = line.trim_start();
    let allows =
        ["#[allow(", "#![allow(", "#[expect(", "#![expect("].iter().any(|start| line.starts_with(start));
    allows && line.trim_end().ends_with(']') && !line.contains("reason")
}

/// Every module whose name says nothing.
pub fn check_module_names(house: &House) -> Vec<String> {
    let mut broken = Vec::new();
    for file in house.rust() {
        let parts = file.path.trim_end_matches(".rs").split('/');
        if let Some(part) = parts.into_iter().find(|part| EMPTY_NAMES.contains(part)) {
            broken.push(format!("{}: {part:?} says nothing; name the noun that it is about", file.path));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::house::Source;

    fn house(path: &str, text: &str) -> House {
        House { files: vec![Source::new(path, text)], ..House::default() }
    }

    #[test]
    fn banned_words() {
        for (text, count) in [
            ("// FIXME: later", 1),
            ("todo!()", 1),
            ("let x = dbg!(1);", 1),
            ("#[ignore = \"slow\"]", 1),
            ("cd /home/me/code", 1),
            ("let page = a/home/b;", 0),
            ("TODOS", 0),
            ("SIZE_XXXL", 0),
            ("unsafe_code = 1", 0),
            ("#[allow(dead_code)]", 1),
            ("#[allow(dead_code, reason = \"held\")]", 0),
        ] {
            assert_eq!(check(&house("crates/x/src/lib.rs", text)).len(), count, "{text}");
        }
        assert_eq!(check(&house("README.md", "dbg!( is Rust only")).len(), 0);
        let expected = "a.rs:2: FIXME: mend it, or say in a sentence what holds today";
        assert_eq!(check(&house("a.rs", "\nFIXME")), [expected]);
    }

    #[test]
    fn empty_names() {
        for (path, count) in [
            ("crates/x/src/utils.rs", 1),
            ("crates/common/src/lib.rs", 1),
            ("crates/x/src/helper/lease.rs", 1),
            ("crates/x/src/lease.rs", 0),
            ("crates/x/src/shared_key.rs", 0),
        ] {
            assert_eq!(check_module_names(&house(path, "")).len(), count, "{path}");
        }
    }
}
