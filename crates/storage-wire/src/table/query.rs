//! What a query asks for, and where it goes on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::ProtocolError;
use crate::query::Query as UrlQuery;
use crate::table::entity::{PROPERTIES_MAX, is_property_name};
use crate::table::filter::Filter;

/// A page has at most this many rows ("Query timeout and pagination").
pub const PAGE_ROWS_MAX: usize = 1000;

/// `$select` names at most this many properties: as many as an entity has, the system's three among them.
const SELECTED_MAX: usize = PROPERTIES_MAX + 3;

/// The query options of Query Entities and Query Tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// `$filter`.
    pub filter: Option<Filter>,
    /// `$select`; `None` is all.
    pub select: Option<Vec<String>>,
    /// `$top`, or the most that a page has.
    pub rows_max: usize,
}

impl Query {
    /// Reads the options of a URL.
    ///
    /// # Errors
    /// When one is not of its form.
    pub fn of(query: &UrlQuery) -> Result<Self, ProtocolError> {
        let filter = query.get_filled("$filter").map(Filter::parse).transpose()?;
        let select = query.get_filled("$select").map(selected).transpose()?;
        let select = select.filter(|names| !names.iter().any(|name| name == "*"));
        let rows_max = match query.get_filled("$top") {
            None => PAGE_ROWS_MAX,
            Some(text) => match text.parse() {
                Ok(top) if (1..=PAGE_ROWS_MAX).contains(&top) => top,
                _ => return Err(ProtocolError::query("$top", text)),
            },
        };
        Ok(Self { filter, select, rows_max })
    }
}

/// The names of `$select`, each once.
fn selected(text: &str) -> Result<Vec<String>, ProtocolError> {
    let mut names: Vec<String> = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if names.iter().any(|known| known == name) {
            continue;
        }
        let valid = name == "*" || is_property_name(name);
        if !valid || names.len() == SELECTED_MAX {
            return Err(ProtocolError::query("$select", name));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Where a query of entities goes on: at this row or the next after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// The partition key.
    pub partition: String,
    /// The row key; `None` is the partition's first row.
    pub row: Option<String>,
}

impl Continuation {
    /// Reads `NextPartitionKey` and `NextRowKey`.
    ///
    /// # Errors
    /// When one is no token of this server.
    pub fn of(query: &UrlQuery) -> Result<Option<Self>, ProtocolError> {
        let Some(partition) = query.get_filled("NextPartitionKey") else { return Ok(None) };
        let partition = decode("NextPartitionKey", partition)?;
        let row = query.get_filled("NextRowKey").map(|text| decode("NextRowKey", text)).transpose()?;
        Ok(Some(Self { partition, row }))
    }

    /// The values of `x-ms-continuation-NextPartitionKey` and `-NextRowKey`.
    #[must_use]
    pub fn to_headers(&self) -> (String, Option<String>) {
        (encode(&self.partition), self.row.as_deref().map(encode))
    }
}

/// The value of `NextTableName`, decoded.
///
/// # Errors
/// When it is no token of this server.
pub fn next_table(query: &UrlQuery) -> Result<Option<String>, ProtocolError> {
    query.get_filled("NextTableName").map(|text| decode("NextTableName", text)).transpose()
}

/// A token: the form's version, the length of what follows, and the key.
#[must_use]
pub fn encode(key: &str) -> String {
    let text = URL_SAFE_NO_PAD.encode(key);
    format!("1!{}!{text}", text.len())
}

fn decode(name: &str, token: &str) -> Result<String, ProtocolError> {
    let bad = || ProtocolError::query(name, token);
    let (length, text) = token.strip_prefix("1!").and_then(|t| t.split_once('!')).ok_or_else(bad)?;
    if length.parse() != Ok(text.len()) {
        return Err(bad());
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        for (text, valid) in [
            ("", true),
            ("$top=1000&$select=a,b&$filter=a%20eq%201", true),
            ("$top=1", true),
            ("$top=999", true),
            ("$top=0", false),
            ("$top=-1", false),
            ("$select=a b", false),
            ("$select=PartitionKey, _x1 ,é", true),
            ("$top=1001", false),
            ("$top=x", false),
            ("$filter=a%20eq", false),
        ] {
            assert_eq!(Query::of(&UrlQuery::parse(text).unwrap()).is_ok(), valid, "{text}");
        }
        let many = |count: usize| (0..count).map(|n| format!("a{n},")).collect::<String>();
        for (count, valid) in [(SELECTED_MAX, true), (SELECTED_MAX + 1, false)] {
            let query = UrlQuery::parse(&format!("$select={}", many(count))).unwrap();
            assert_eq!(Query::of(&query).is_ok(), valid, "{count}");
        }
        let query = Query::of(&UrlQuery::parse("$select=a,*").unwrap()).unwrap();
        assert_eq!(query.select, None);
        let query = Query::of(&UrlQuery::parse("$select=b,a,,b").unwrap()).unwrap();
        assert_eq!(query.select.unwrap(), ["b", "a"]);
    }

    #[test]
    fn tokens() {
        for key in ["", "a", "it's é \u{10000}"] {
            let url = format!("NextPartitionKey={}&NextRowKey={}", encode(key), encode("r"));
            let next = Continuation::of(&UrlQuery::parse(&url).unwrap()).unwrap().unwrap();
            assert_eq!(next, Continuation { partition: key.to_owned(), row: Some("r".to_owned()) });
            assert_eq!(next.to_headers(), (encode(key), Some(encode("r"))));
        }
        let only = UrlQuery::parse(&format!("NextPartitionKey={}", encode("p"))).unwrap();
        let next = Continuation::of(&only).unwrap().unwrap();
        assert_eq!(next, Continuation { partition: "p".to_owned(), row: None });
        assert_eq!(Continuation::of(&UrlQuery::default()).unwrap(), None);
        for bad in ["x", "1!3!aa", "1!2!!!", "2!2!aa"] {
            let query = UrlQuery::parse(&format!("NextPartitionKey={bad}")).unwrap();
            assert!(Continuation::of(&query).is_err(), "{bad}");
        }
    }
}
