//! The house rules as a test: what a reviewer would otherwise have to look for, each time.
//!
//! Each rule is a pure function from the [`House`] to what is wrong with it, one line each, saying where and
//! what to do. `ARCHITECTURE.md` and the workspace's `Cargo.toml` say why the rules are what they are.

mod dependencies;
mod documents;
mod floors;
mod house;
mod length;
mod words;

use crate::run::ChoreError;
use house::House;

type Rule = (&'static str, fn(&House) -> Vec<String>);

const RULES: [Rule; 7] = [
    ("imports go down only", floors::check),
    ("floors 0 and 2 do no I/O", floors::check_absences),
    ("dependencies are used", dependencies::check),
    ("files stay small", length::check),
    ("words", words::check),
    ("names of modules", words::check_module_names),
    ("documents keep up with the code", documents::check),
];

/// Checks every rule.
///
/// # Errors
/// Everything that breaks one.
pub fn run() -> Result<(), ChoreError> {
    let house = House::read()?;
    let mut broken = Vec::new();
    for (name, rule) in RULES {
        broken.extend(rule(&house).into_iter().map(|line| format!("{line}  [{name}]")));
    }
    if broken.is_empty() {
        println!("tidy: {} files, {} crates, {} rules", house.files.len(), house.crates.len(), RULES.len());
        return Ok(());
    }
    Err(ChoreError::Wrong(format!("the house rules are broken:\n{}", broken.join("\n"))))
}
