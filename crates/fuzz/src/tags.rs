//! Index tags of blobs, and expressions over them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use welkin_storage_wire::blob::tag_filter::{Place, TagFilter};
use welkin_storage_wire::blob::tags;

use crate::input::text;
use crate::outcome::{accepted, same};

/// Tags as a body.
pub(crate) fn body(data: &[u8]) {
    if let Some(tags) = accepted(tags::parse(data)) {
        check(&tags);
    }
}

/// Tags as a header.
pub(crate) fn header(data: &[u8]) {
    if let Some(tags) = accepted(tags::parse_header(&text(data))) {
        check(&tags);
    }
}

fn check(tags: &tags::Tags) {
    assert!(tags.len() <= tags::TAGS_MAX);
    assert!(tags.windows(2).all(|two| two[0].0 < two[1].0), "keys are in order, and each is there once");
    let written = tags::write(tags);
    same(tags::parse(written.as_bytes()), tags, &written);
    let encode = |text: &String| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> =
        tags.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    let written = pairs.join("&");
    same(tags::parse_header(&written), tags, &written);
    for (key, value) in tags {
        let expression = format!("\"{key}\" = '{value}' AND \"{key}\" >= '{value}'");
        let filter =
            accepted(TagFilter::parse(&expression, Place::Where)).expect("every tag can be asked for");
        assert!(filter.matches("container", tags) && filter.names(key), "{expression}");
    }
}

/// An expression.
pub(crate) fn filter(data: &[u8]) {
    let expression = text(data);
    let tags = [("a", "1"), ("b", "x'y")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let [search, condition] = [Place::Where, Place::Condition].map(|place| {
        let filter = accepted(TagFilter::parse(&expression, place))?;
        assert!(
            !filter.matches("container", &[]) || filter.names("@container"),
            "what is not there meets nothing"
        );
        Some(filter.matches("container", &tags))
    });
    if let (Some(search), Some(condition)) = (search, condition) {
        assert_eq!(search, condition, "what both take means the same");
    }
}
