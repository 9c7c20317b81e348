//! Anything, many times over: bodies as large as a server takes them, which must take no longer than their size says.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::input::{line, text};

/// An input grows to about this size.
const BYTES_MAX: usize = 512 * 1024;
/// A body of that size takes milliseconds. An instrumented build on a busy machine takes some hundred.
const TIME_MAX: Duration = Duration::from_secs(10);
/// What is replaced by a number that counts up.
const NUMBER: char = '#';

/// The name of a target; then what its input begins with, what is repeated in it, and what it ends with, a line each.
/// In these, `\n` is a line break.
pub(crate) fn repeated(data: &[u8]) {
    let (name, rest) = line(data);
    let (begin, rest) = line(rest);
    let (unit, end) = line(rest);
    let Some(target) = crate::find(&text(name)).filter(|target| target.name != "large") else { return };
    let [begin, unit, end] = [begin, unit, end].map(|part| text(part).replace("\\n", "\n"));
    if unit.is_empty() {
        return;
    }
    let mut input = begin;
    let mut number = 0;
    while input.len() < BYTES_MAX {
        for piece in unit.split_inclusive(NUMBER) {
            match piece.strip_suffix(NUMBER) {
                Some(piece) => drop(write!(input, "{piece}{number}")),
                None => input.push_str(piece),
            }
        }
        number += 1;
    }
    input.push_str(&end);
    let begun = Instant::now();
    (target.run)(input.as_bytes());
    let took = begun.elapsed();
    assert!(took < TIME_MAX, "{} took {took:?} for {} bytes", target.name, input.len());
}
