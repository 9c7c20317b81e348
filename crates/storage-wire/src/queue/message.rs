//! Messages in XML, their limits, and what operations on them ask for.

use std::time::{Duration, SystemTime};

use welkin_base::timestamp::Timestamp;

use crate::error::{ErrorCode, ProtocolError};
use crate::query::Query;
use crate::queue::escaped;
use crate::queue::list::out_of_range;
use crate::request::ApiVersion;
use crate::xml;

/// A message's text has at most this many bytes.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
/// And before [`WITH_LONG_TEXTS`] this many.
pub const OLD_TEXT_BYTES_MAX: usize = 8 << 10;
/// From this version on, messages may have 64 KiB, and may be updated and put invisible.
const WITH_LONG_TEXTS: &str = "2011-08-18";
/// A body is at most this long: escapes make it longer than its text.
pub const BODY_BYTES_MAX: usize = 512 << 10;
/// Seven days: the longest that a message is invisible, and how long it lives unless told.
pub const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Two hours: the longest that a message is invisible before [`WITH_LONG_TEXTS`] (Get Messages).
const OLD_VISIBILITY_TIMEOUT_MAX: Duration = Duration::from_secs(2 * 3600);
/// From this version on, a message may live longer than seven days, or for ever (Put Message).
const WITH_LONG_LIVES: &str = "2017-07-29";
/// How long a message is invisible that was got, unless told.
pub const VISIBILITY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// One call gets at most this many messages.
pub const MESSAGES_PER_CALL_MAX: i64 = 32;

/// How long a message lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeToLive {
    /// For so long.
    For(Duration),
    /// Until it is deleted.
    Ever,
}

/// Reads `numofmessages`.
///
/// # Errors
/// When it is not within 1 to 32.
pub fn messages_max(query: &Query) -> Result<usize, ProtocolError> {
    let given = number(query, "numofmessages", 1, MESSAGES_PER_CALL_MAX)?.unwrap_or(1);
    Ok(usize::try_from(given).unwrap_or(1))
}

/// Reads `visibilitytimeout`, at least `seconds_min` and at most seven days.
///
/// # Errors
/// When it is no number within the range.
pub fn visibility_timeout(
    query: &Query,
    seconds_min: i64,
    version: &ApiVersion,
) -> Result<Option<Duration>, ProtocolError> {
    let old = version.as_str() < WITH_LONG_TEXTS;
    let max = if old { OLD_VISIBILITY_TIMEOUT_MAX } else { WEEK };
    let seconds = number(query, "visibilitytimeout", seconds_min, seconds_of(max))?;
    Ok(seconds.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs))
}

/// Reads `messagettl`: a positive number of seconds, or -1; in older versions, at most seven days.
///
/// # Errors
/// When it is another number.
pub fn time_to_live(query: &Query, version: &ApiVersion) -> Result<TimeToLive, ProtocolError> {
    let old = version.as_str() < WITH_LONG_LIVES;
    match query.number("messagettl")? {
        None => Ok(TimeToLive::For(WEEK)),
        Some(seconds) if old && !(1..=seconds_of(WEEK)).contains(&seconds) => {
            Err(out_of_range("messagettl", seconds))
        }
        Some(-1) => Ok(TimeToLive::Ever),
        Some(seconds @ 1..) => Ok(TimeToLive::For(Duration::from_secs(seconds.unsigned_abs()))),
        Some(seconds) => Err(out_of_range("messagettl", seconds)),
    }
}

fn seconds_of(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn number(query: &Query, name: &str, min: i64, max: i64) -> Result<Option<i64>, ProtocolError> {
    match query.number(name)? {
        Some(given) if !(min..=max).contains(&given) => Err(out_of_range(name, given)),
        given => Ok(given),
    }
}

/// Reads the text of a `QueueMessage`.
///
/// # Errors
/// When the body is no such document, or the text is too long.
pub fn parse_body(body: &[u8], version: &ApiVersion) -> Result<String, ProtocolError> {
    let text: String = xml::read(body, "QueueMessage", |root| {
        let node = root.children().find(|child| child.tag_name().name() == "MessageText");
        let node = node.ok_or(ErrorCode::MissingRequiredXmlNode)?;
        if node.children().any(|child| child.is_element()) {
            return Err(ErrorCode::InvalidXmlNodeValue.into());
        }
        Ok(node.children().filter_map(|child| child.is_text().then(|| child.text()).flatten()).collect())
    })?;
    let old = version.as_str() < WITH_LONG_TEXTS;
    let bytes_max = if old { OLD_TEXT_BYTES_MAX } else { TEXT_BYTES_MAX };
    if text.len() > bytes_max { Err(ErrorCode::MessageTooLarge.into()) } else { Ok(text) }
}

/// What an answer says of a message; what it does not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// When it was put.
    pub inserted: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// What proves that it was got.
    pub pop_receipt: Option<String>,
    /// When it is visible again.
    pub visible: Option<Timestamp>,
    /// How often it was got.
    pub dequeue_count: Option<u32>,
    /// Its text.
    pub text: Option<String>,
}

/// The body of the answer.
#[must_use]
pub fn messages_body(messages: &[Message]) -> String {
    let mut body = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><QueueMessagesList>");
    for message in messages {
        body.push_str("<QueueMessage>");
        let mut element = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                body.push_str(&format!("<{name}>{}</{name}>", escaped(value)));
            }
        };
        element("MessageId", Some(&message.id));
        element("InsertionTime", Some(&http_date(message.inserted)));
        element("ExpirationTime", Some(&http_date(message.expires)));
        element("PopReceipt", message.pop_receipt.as_deref());
        element("TimeNextVisible", message.visible.map(http_date).as_deref());
        element("DequeueCount", message.dequeue_count.map(|count| count.to_string()).as_deref());
        element("MessageText", message.text.as_deref());
        body.push_str("</QueueMessage>");
    }
    body.push_str("</QueueMessagesList>");
    body
}

/// A moment in the form of HTTP headers.
#[must_use]
pub fn http_date(moment: Timestamp) -> String {
    httpdate::fmt_http_date(SystemTime::from(moment.max(Timestamp::from_ticks(0))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn new() -> ApiVersion {
        ApiVersion::parse("2019-02-02").unwrap()
    }

    #[test]
    fn lengths() {
        for (version, length_bytes, fits) in [
            ("2019-02-02", TEXT_BYTES_MAX, true),
            ("2019-02-02", TEXT_BYTES_MAX + 1, false),
            ("2011-08-18", TEXT_BYTES_MAX, true),
            ("2009-09-19", OLD_TEXT_BYTES_MAX, true),
            ("2009-09-19", OLD_TEXT_BYTES_MAX + 1, false),
        ] {
            let text = "x".repeat(length_bytes);
            let body = format!("<QueueMessage><MessageText>{text}</MessageText></QueueMessage>");
            let parsed = parse_body(body.as_bytes(), &ApiVersion::parse(version).unwrap());
            let code = parsed.err().map(|error| error.code());
            assert_eq!(code, (!fits).then_some(ErrorCode::MessageTooLarge), "{version} {length_bytes}");
        }
    }

    #[test]
    fn bodies() {
        let large = format!("<QueueMessage><MessageText>{}</MessageText></QueueMessage>", "x".repeat(65_537));
        for (body, expected) in [
            ("<QueueMessage><MessageText>a &lt; b</MessageText></QueueMessage>", Ok("a < b")),
            ("\u{feff}<?xml version='1.0'?><QueueMessage><MessageText/></QueueMessage>", Ok("")),
            ("<QueueMessage>\n <MessageText> a<![CDATA[<b>]]> </MessageText></QueueMessage>", Ok(" a<b> ")),
            ("<QueueMessage></QueueMessage>", Err(ErrorCode::MissingRequiredXmlNode)),
            ("<Message><MessageText>a</MessageText></Message>", Err(ErrorCode::InvalidXmlDocument)),
            (
                "<QueueMessage><MessageText><b/></MessageText></QueueMessage>",
                Err(ErrorCode::InvalidXmlNodeValue),
            ),
            (
                "<QueueMessage><MessageText>a\u{1}</MessageText></QueueMessage>",
                Err(ErrorCode::InvalidXmlDocument),
            ),
            (
                "<QueueMessage><MessageText>&#1;</MessageText></QueueMessage>",
                Err(ErrorCode::InvalidXmlDocument),
            ),
            (
                "<QueueMessage><MessageText>&#xFFFE;</MessageText></QueueMessage>",
                Err(ErrorCode::InvalidXmlDocument),
            ),
            ("<!DOCTYPE a><QueueMessage><MessageText/></QueueMessage>", Err(ErrorCode::InvalidXmlDocument)),
            (
                &format!("<QueueMessage{}><MessageText/></QueueMessage>", " a=''".repeat(100)),
                Err(ErrorCode::InvalidXmlDocument),
            ),
            ("not xml", Err(ErrorCode::InvalidXmlDocument)),
            ("", Err(ErrorCode::InvalidXmlDocument)),
            (&large, Err(ErrorCode::MessageTooLarge)),
        ] {
            let parsed = parse_body(body.as_bytes(), &new());
            assert_eq!(parsed.as_deref().map_err(ProtocolError::code), expected, "{body:.80}");
        }
    }

    #[test]
    fn numbers() {
        let query = |text: &str| Query::parse(text).unwrap();
        for (text, expected) in [
            ("", Some(1)),
            ("numofmessages=32", Some(32)),
            ("numofmessages=33", None),
            ("numofmessages=0", None),
        ] {
            assert_eq!(messages_max(&query(text)).ok(), expected, "{text}");
        }
        for (text, valid) in [
            ("visibilitytimeout=0", false),
            ("visibilitytimeout=1", true),
            ("visibilitytimeout=604800", true),
            ("visibilitytimeout=604801", false),
            ("visibilitytimeout=x", false),
        ] {
            assert_eq!(visibility_timeout(&query(text), 1, &new()).is_ok(), valid, "{text}");
        }
        assert_eq!(time_to_live(&query("messagettl=-1"), &new()).unwrap(), TimeToLive::Ever);
        assert!(time_to_live(&query("messagettl=0"), &new()).is_err());
        assert!(time_to_live(&query("messagettl=-2"), &new()).is_err());
        assert_eq!(http_date(Timestamp::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn texts_round_trip(text in "[\\PC\r\n\t]{0,40}") {
            let body = format!("<QueueMessage><MessageText>{}</MessageText></QueueMessage>", escaped(&text));
            prop_assert_eq!(parse_body(body.as_bytes(), &new()).unwrap(), text);
        }
    }
}
