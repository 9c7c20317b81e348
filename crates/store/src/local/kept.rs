//! What of the memtables a flush keeps: the newest value of each row, and those that pinned readers see.

use std::sync::Arc;

use lsm_tree::merge::Merger;
use lsm_tree::{InternalValue, Memtable, UserKey};

use crate::local::readers::is_pinned;

/// The rows to be kept of `memtables`, in the tables' order: by key, the newest value first.
pub(crate) fn kept<'a>(
    memtables: &'a [Arc<Memtable>],
    pins: &'a [u64],
) -> impl Iterator<Item = lsm_tree::Result<InternalValue>> + 'a {
    let iterators = memtables.iter().map(|memtable| memtable.iter().map(Ok)).collect();
    // Key and number of the value before, whether it was kept or not: who sees neither it nor a newer one sees this.
    let mut before: Option<(UserKey, u64)> = None;
    Merger::new(iterators).filter(move |entry| {
        let Ok(entry) = entry else { return true };
        let newer = before.take().filter(|(key, _)| *key == entry.key.user_key);
        before = Some((entry.key.user_key.clone(), entry.key.seqno));
        newer.is_none_or(|(_, newer)| is_pinned(pins, entry.key.seqno, newer))
    })
}

#[cfg(test)]
mod tests {
    use lsm_tree::ValueType;

    use super::*;

    #[test]
    fn the_newest_and_what_is_pinned() {
        let memtables = [Arc::new(Memtable::new(0)), Arc::new(Memtable::new(1))];
        let entries = [(0, "a", 1), (0, "a", 2), (1, "a", 5), (0, "b", 3), (1, "b", 6), (1, "b", 8)];
        for (memtable, key, seqno) in entries {
            memtables[memtable].insert(InternalValue::from_components(key, "", seqno, ValueType::Value));
        }
        let rows = [
            (&[][..], vec![("a", 5), ("b", 8)]),
            (&[1], vec![("a", 5), ("b", 8)]),
            (&[2], vec![("a", 5), ("a", 1), ("b", 8)]),
            (&[5], vec![("a", 5), ("a", 2), ("b", 8), ("b", 3)]),
            (&[7], vec![("a", 5), ("b", 8), ("b", 6)]),
            (&[4, 7], vec![("a", 5), ("a", 2), ("b", 8), ("b", 6), ("b", 3)]),
            (&[9], vec![("a", 5), ("b", 8)]),
        ];
        for (pins, expected) in rows {
            let kept: Vec<_> = kept(&memtables, pins)
                .map(|entry| entry.unwrap().key)
                .map(|key| (String::from_utf8(key.user_key.to_vec()).unwrap(), key.seqno))
                .collect();
            let expected: Vec<_> = expected.iter().map(|&(key, seqno)| (key.to_owned(), seqno)).collect();
            assert_eq!(kept, expected, "{pins:?}");
        }
    }
}
