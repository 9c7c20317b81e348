//! The order in which the service itself sorts header names, and some clients therefore do.
//!
//! It is not that of bytes: `-` and `'` weigh nothing until everything else is equal, and punctuation comes
//! before digits before letters. The weights are those that the official Python client publishes, reduced to
//! characters that a header name can have.

use std::cmp::Ordering;

/// Characters of header names from the lightest to the heaviest. Letters compare without case.
const ASCENDING: &str = "!#$%&*.^_`|~+0123456789abcdefghijklmnopqrstuvwxyz";
/// Characters that count only where all else is equal, from the lightest to the heaviest.
const IGNORED_AT_FIRST: &str = "'-";

/// Compares two names in the service's order.
pub(super) fn weighted(a: &str, b: &str) -> Ordering {
    let weights = |text: &str| -> Vec<usize> {
        text.chars().filter_map(|c| ASCENDING.find(c.to_ascii_lowercase())).collect()
    };
    weights(a).cmp(&weights(b)).then_with(|| second_level(a, b))
}

/// The first `-` or `'` decides: the name that has it later comes first.
fn second_level(a: &str, b: &str) -> Ordering {
    let places = |text: &str| -> Vec<(usize, usize)> {
        let ignored = text.char_indices().filter_map(|(at, c)| IGNORED_AT_FIRST.find(c).map(|w| (at, w)));
        ignored.collect()
    };
    for (left, right) in places(a).into_iter().zip(places(b)) {
        match right.0.cmp(&left.0).then(left.1.cmp(&right.1)) {
            Ordering::Equal => {}
            decided => return decided,
        }
    }
    a.len().cmp(&b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let mut names = ["x-ms-meta-ab", "x-ms-meta-a-c", "x-ms-meta-a_b", "x-ms-meta-a1", "x-ms-meta-a-b"];
        names.sort_by(|a, b| weighted(a, b));
        assert_eq!(
            names,
            ["x-ms-meta-a_b", "x-ms-meta-a1", "x-ms-meta-ab", "x-ms-meta-a-b", "x-ms-meta-a-c"]
        );
    }
}
