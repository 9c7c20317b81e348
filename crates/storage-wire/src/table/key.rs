//! The keys of an entity and the names of tables: their rules, and how a URL spells them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{ErrorCode, ProtocolError};

/// A key has at most this many UTF-16 code units: 1 KiB.
pub const KEY_UNITS_MAX: usize = 512;

/// A table's name has at least this many characters (STORAGE, section 7).
const TABLE_NAME_CHARS_MIN: usize = 3;
/// And at most this many.
const TABLE_NAME_CHARS_MAX: usize = 63;

/// The two keys of an entity, both within the rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntityKey {
    /// The partition key.
    pub partition: String,
    /// The row key.
    pub row: String,
}

impl EntityKey {
    /// Takes the two keys.
    ///
    /// # Errors
    /// When one is too long or holds a character that keys may not hold.
    pub fn new(partition: &str, row: &str) -> Result<Self, ProtocolError> {
        check_key(partition)?;
        check_key(row)?;
        Ok(Self { partition: partition.to_owned(), row: row.to_owned() })
    }

    /// Reads `PartitionKey='p',RowKey='r'`, decoded, in either order.
    ///
    /// # Errors
    /// When the text has another form, or a key breaks the rules.
    pub fn parse(text: &str) -> Result<Self, ProtocolError> {
        let (first, value, rest) = member(text)?;
        let rest = rest.trim_start().strip_prefix(',').ok_or(ErrorCode::InvalidUri)?;
        let (second, other, rest) = member(rest)?;
        if !rest.trim().is_empty() {
            return Err(ErrorCode::InvalidUri.into());
        }
        match (first, second) {
            ("PartitionKey", "RowKey") => Self::new(&value, &other),
            ("RowKey", "PartitionKey") => Self::new(&other, &value),
            _ => Err(ErrorCode::InvalidUri.into()),
        }
    }

    /// The keys as a URL has them, percent-encoded.
    #[must_use]
    pub fn to_url(&self) -> String {
        format!("PartitionKey='{}',RowKey='{}'", encode(&self.partition), encode(&self.row))
    }
}

/// What stays as it is in a URL.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn encode(text: &str) -> String {
    utf8_percent_encode(&text.replace('\'', "''"), PLAIN).to_string()
}

/// Reads `Name='value'` and gives back what follows.
fn member(text: &str) -> Result<(&str, String, &str), ProtocolError> {
    let (name, rest) = text.split_once('=').ok_or(ErrorCode::InvalidUri)?;
    let inner = rest.trim_start().strip_prefix('\'').ok_or(ErrorCode::InvalidUri)?;
    let (value, rest) = quoted_tail(inner).ok_or(ErrorCode::InvalidUri)?;
    Ok((name.trim(), value, rest))
}

/// Takes text up to the closing quote, with doubled quotes undone; the opening one is already taken.
pub(crate) fn quoted_tail(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (piece, after) = rest.split_once('\'')?;
        value.push_str(piece);
        match after.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

fn check_key(key: &str) -> Result<(), ProtocolError> {
    if key.encode_utf16().count() > KEY_UNITS_MAX {
        return Err(ErrorCode::KeyValueTooLarge.into());
    }
    if key.chars().any(|c| "/\\#?".contains(c) || c.is_control()) {
        let why = "The keys may not hold / \\ # ? or control characters.";
        return Err(ProtocolError::saying(ErrorCode::OutOfRangeInput, why));
    }
    Ok(())
}

/// Checks a table's name: a letter, then 2 to 62 letters and digits; `Tables` is the collection.
///
/// # Errors
/// When the name breaks the rule.
pub fn check_table_name(name: &str) -> Result<(), ProtocolError> {
    if !(TABLE_NAME_CHARS_MIN..=TABLE_NAME_CHARS_MAX).contains(&name.chars().count()) {
        let why = "The specified resource name length is not within the permissible limits: a table's name has 3 to \
                   63 letters and digits.";
        return Err(ProtocolError::saying(ErrorCode::OutOfRangeInput, why));
    }
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric());
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    if letters && first && !name.eq_ignore_ascii_case("tables") {
        Ok(())
    } else {
        let why = "The specified resource name contains invalid characters: a table's name is letters and digits, \
                   begins with a letter, and is not \"Tables\".";
        Err(ProtocolError::saying(ErrorCode::InvalidResourceName, why))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts() {
        for (text, expected) in [
            ("PartitionKey='p',RowKey='r'", Some(("p", "r"))),
            ("RowKey='r', PartitionKey='p'", Some(("p", "r"))),
            ("PartitionKey='it''s',RowKey=''", Some(("it's", ""))),
            ("PartitionKey='a,RowKey=b',RowKey='=r'", Some(("a,RowKey=b", "=r"))),
            ("PartitionKey='p'", None),
            ("PartitionKey='p',RowKey='r", None),
            ("PartitionKey='p',RowKey='r'x", None),
            ("PartitionKey='p',PartitionKey='r'", None),
            ("PartitionKey='a/b',RowKey='r'", None),
            ("'p','r'", None),
        ] {
            let key = EntityKey::parse(text).ok();
            let key = key.as_ref().map(|k| (k.partition.as_str(), k.row.as_str()));
            assert_eq!(key, expected, "{text}");
        }
    }

    #[test]
    fn keys() {
        for (key, expected) in [
            ("x".repeat(KEY_UNITS_MAX - 1), None),
            ("x".repeat(KEY_UNITS_MAX), None),
            ("x".repeat(KEY_UNITS_MAX + 1), Some(ErrorCode::KeyValueTooLarge)),
            // Two code units each.
            ("\u{1f600}".repeat(KEY_UNITS_MAX / 2), None),
            ("\u{1f600}".repeat(KEY_UNITS_MAX / 2) + "x", Some(ErrorCode::KeyValueTooLarge)),
            (String::new(), None),
            ("a %&'\"<>é\u{a0}".to_owned(), None),
            ("a/b".to_owned(), Some(ErrorCode::OutOfRangeInput)),
            ("a\\b".to_owned(), Some(ErrorCode::OutOfRangeInput)),
            ("a#b".to_owned(), Some(ErrorCode::OutOfRangeInput)),
            ("a?b".to_owned(), Some(ErrorCode::OutOfRangeInput)),
            ("a\tb".to_owned(), Some(ErrorCode::OutOfRangeInput)),
            ("a\u{1f}".to_owned(), Some(ErrorCode::OutOfRangeInput)),
            ("a\u{7f}".to_owned(), Some(ErrorCode::OutOfRangeInput)),
            ("a\u{9f}".to_owned(), Some(ErrorCode::OutOfRangeInput)),
        ] {
            for (partition, row) in [(key.as_str(), "r"), ("p", key.as_str())] {
                let found = EntityKey::new(partition, row).err().map(|error| error.code());
                assert_eq!(found, expected, "{key:?}");
            }
        }
    }

    #[test]
    fn table_names() {
        let long = "a".repeat(TABLE_NAME_CHARS_MAX + 1);
        for (name, expected) in [
            ("abc", None),
            ("A12", None),
            (&long[..TABLE_NAME_CHARS_MAX - 1], None),
            (&long[..TABLE_NAME_CHARS_MAX], None),
            (&long, Some(ErrorCode::OutOfRangeInput)),
            ("ab", Some(ErrorCode::OutOfRangeInput)),
            ("1ab", Some(ErrorCode::InvalidResourceName)),
            ("a-b", Some(ErrorCode::InvalidResourceName)),
            ("abé", Some(ErrorCode::InvalidResourceName)),
            ("Tables", Some(ErrorCode::InvalidResourceName)),
            ("tAbles", Some(ErrorCode::InvalidResourceName)),
        ] {
            assert_eq!(check_table_name(name).err().map(|error| error.code()), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn urls_round_trip(partition in "[^/\\\\#?\\pC]{0,20}", row in "[^/\\\\#?\\pC]{0,20}") {
            let key = EntityKey::new(&partition, &row).unwrap();
            let decoded = crate::query::decode(&key.to_url()).unwrap();
            prop_assert_eq!(EntityKey::parse(&decoded).unwrap(), key);
        }
    }
}
