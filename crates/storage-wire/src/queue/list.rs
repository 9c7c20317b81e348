//! The names of queues, and List Queues.

use crate::error::{ErrorCode, ProtocolError};
use crate::query::Query;
use crate::queue::escaped;

/// Characters of a queue's name, at least and at most (STORAGE, section 6).
const NAME_CHARS_MIN: usize = 3;
const NAME_CHARS_MAX: usize = 63;
/// A page has at most this many queues.
pub const PAGE_QUEUES_MAX: usize = 5000;

/// Checks a queue's name: 3 to 63 lower-case letters, digits and single hyphens within.
///
/// # Errors
/// When the name breaks the rule.
pub fn check_queue_name(name: &str) -> Result<(), ProtocolError> {
    if !(NAME_CHARS_MIN..=NAME_CHARS_MAX).contains(&name.chars().count()) {
        let why = "A queue's name has 3 to 63 characters.";
        return Err(ProtocolError::saying(ErrorCode::OutOfRangeInput, why));
    }
    let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if letters && !name.starts_with('-') && !name.ends_with('-') && !name.contains("--") {
        Ok(())
    } else {
        let why = "A queue's name is lower-case letters, digits and single hyphens, none of them at an end.";
        Err(ProtocolError::saying(ErrorCode::InvalidResourceName, why))
    }
}

/// What List Queues asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Names begin with this.
    pub prefix: String,
    /// Names from this one on.
    pub marker: String,
    /// `maxresults`, as given.
    pub given_max: Option<usize>,
    /// Whether metadata is told.
    pub metadata: bool,
}

impl ListQuery {
    /// Reads the options of a URL.
    ///
    /// # Errors
    /// When one is not of its form.
    pub fn of(query: &Query) -> Result<Self, ProtocolError> {
        let mut metadata = false;
        for part in query.get_filled("include").unwrap_or("").split(',').map(str::trim) {
            match part {
                "" => {}
                "metadata" => metadata = true,
                other => return Err(ProtocolError::query("include", other)),
            }
        }
        let given_max = match query.number("maxresults")? {
            None => None,
            Some(given @ 1..) => Some(usize::try_from(given).unwrap_or(PAGE_QUEUES_MAX)),
            Some(given) => return Err(out_of_range("maxresults", given)),
        };
        let text = |name: &str| query.get(name).unwrap_or("").to_owned();
        Ok(Self { prefix: text("prefix"), marker: text("marker"), given_max, metadata })
    }

    /// The most that the page has.
    #[must_use]
    pub fn queues_max(&self) -> usize {
        self.given_max.unwrap_or(PAGE_QUEUES_MAX).min(PAGE_QUEUES_MAX)
    }
}

/// A query parameter that is outside of its range.
pub(crate) fn out_of_range(name: &str, value: i64) -> ProtocolError {
    ProtocolError::from(ErrorCode::OutOfRangeQueryParameterValue)
        .with_detail("QueryParameterName", name)
        .with_detail("QueryParameterValue", &value.to_string())
}

/// A queue of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedQueue {
    /// Its name.
    pub name: String,
    /// Its metadata.
    pub metadata: Vec<(String, String)>,
}

/// The body of the answer.
#[must_use]
pub fn list_body(endpoint: &str, asked: &ListQuery, queues: &[ListedQueue], next: Option<&str>) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"{}/\">",
        escaped(endpoint)
    );
    let mut element =
        |name: &str, value: &str| text.push_str(&format!("<{name}>{}</{name}>", escaped(value)));
    if !asked.prefix.is_empty() {
        element("Prefix", &asked.prefix);
    }
    if !asked.marker.is_empty() {
        element("Marker", &asked.marker);
    }
    if let Some(given) = asked.given_max {
        element("MaxResults", &given.to_string());
    }
    text.push_str("<Queues>");
    for queue in queues {
        text.push_str(&format!("<Queue><Name>{}</Name>", escaped(&queue.name)));
        if asked.metadata {
            text.push_str("<Metadata>");
            for (name, value) in &queue.metadata {
                text.push_str(&format!("<{name}>{}</{name}>", escaped(value)));
            }
            text.push_str("</Metadata>");
        }
        text.push_str("</Queue>");
    }
    text.push_str("</Queues>");
    text.push_str(&format!("<NextMarker>{}</NextMarker></EnumerationResults>", escaped(next.unwrap_or(""))));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, valid) in [
            ("abc", true),
            ("a-b-1", true),
            ("ab", false),
            ("a--b", false),
            ("-ab", false),
            ("ab-", false),
            ("Abc", false),
            ("a_b", false),
        ] {
            assert_eq!(check_queue_name(name).is_ok(), valid, "{name}");
        }
    }

    #[test]
    fn options() {
        let of = |text: &str| ListQuery::of(&Query::parse(text).unwrap());
        let asked = of("prefix=a&marker=b&maxresults=2&include=metadata").unwrap();
        assert_eq!(
            asked,
            ListQuery { prefix: "a".into(), marker: "b".into(), given_max: Some(2), metadata: true }
        );
        assert_eq!(of("maxresults=9999").unwrap().queues_max(), PAGE_QUEUES_MAX);
        assert!(of("maxresults=0").is_err());
        assert!(of("include=x").is_err());
    }

    #[test]
    fn body() {
        let asked = ListQuery {
            prefix: "a\0\r\u{FFFF}".into(),
            marker: String::new(),
            given_max: None,
            metadata: true,
        };
        let queues = [ListedQueue { name: "q".into(), metadata: vec![("k".into(), "<v>".into())] }];
        let text = list_body("http://h/a", &asked, &queues, Some("r"));
        let document = roxmltree::Document::parse(&text).unwrap();
        let find = |name: &str| document.descendants().find(|n| n.has_tag_name(name)).and_then(|n| n.text());
        assert_eq!((find("Name"), find("k"), find("NextMarker")), (Some("q"), Some("<v>"), Some("r")));
        assert_eq!(find("Prefix"), Some("a\r"));
    }
}
