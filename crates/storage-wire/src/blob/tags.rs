//! Index tags of a blob: as XML, and as the header `x-ms-tags` (STORAGE, section 3: Get/Set Tags).

use roxmltree::Node;

use crate::error::{ErrorCode, ProtocolError};
use crate::xml::{self, Xml};

/// Tags of one blob.
pub const TAGS_MAX: usize = 10;
/// Characters of a tag's key.
const KEY_CHARS_MAX: usize = 128;
/// Characters of a tag's value.
const VALUE_CHARS_MAX: usize = 256;
/// The header that gives a new blob its tags.
const HEADER: &str = "x-ms-tags";

/// Keys and values, in the order of keys.
pub type Tags = Vec<(String, String)>;

/// Reads the body of Set Blob Tags.
///
/// # Errors
/// When it is no set of tags, or one of them is not permitted.
pub fn parse(body: &[u8]) -> Result<Tags, ProtocolError> {
    xml::read(body, "Tags", |root| {
        let missing = || ProtocolError::from(ErrorCode::MissingRequiredXmlNode);
        let set = root.children().find(|node| node.has_tag_name("TagSet")).ok_or_else(missing)?;
        let text = |tag: Node<'_, '_>, name: &str| {
            let node = tag.children().find(|node| node.has_tag_name(name)).ok_or_else(missing)?;
            Ok::<_, ProtocolError>(node.text().unwrap_or("").to_owned())
        };
        let tags = set.children().filter(|node| node.has_tag_name("Tag"));
        let pairs: Result<Vec<_>, ProtocolError> =
            tags.map(|tag| Ok((text(tag, "Key")?, text(tag, "Value")?))).collect();
        checked(pairs?)
    })
}

/// Reads `x-ms-tags`: `key=value&key=value`, percent-encoded.
///
/// # Errors
/// When it is in another form, or a tag is not permitted.
pub fn parse_header(value: &str) -> Result<Tags, ProtocolError> {
    let decode = |text: &str| {
        // Clients encode a space as `+` or `%20`, and a plus as `%2B`.
        crate::query::decode(&text.replace('+', " ")).map_err(|_| ProtocolError::header(HEADER, value))
    };
    let pair = |piece: &str| {
        let (key, value) = piece.split_once('=').ok_or_else(|| ProtocolError::header(HEADER, piece))?;
        Ok((decode(key)?, decode(value)?))
    };
    let pairs: Result<Vec<_>, ProtocolError> =
        value.split('&').filter(|piece| !piece.is_empty()).map(pair).collect();
    checked(pairs?)
}

fn checked(mut tags: Tags) -> Result<Tags, ProtocolError> {
    for (key, value) in &tags {
        if key.is_empty() {
            return Err(ErrorCode::EmptyTagName.into());
        }
        if key.chars().count() > KEY_CHARS_MAX || value.chars().count() > VALUE_CHARS_MAX {
            return Err(ErrorCode::TagsTooLarge.into());
        }
        if !key.chars().chain(value.chars()).all(is_permitted) {
            return Err(ErrorCode::InvalidTag.into());
        }
    }
    if tags.len() > TAGS_MAX {
        return Err(ErrorCode::TagsTooLarge.into());
    }
    tags.sort();
    match tags.windows(2).any(|two| two[0].0 == two[1].0) {
        true => Err(ErrorCode::DuplicateTagNames.into()),
        false => Ok(tags),
    }
}

fn is_permitted(c: char) -> bool {
    c.is_ascii_alphanumeric() || " +-./:=_".contains(c)
}

/// Writes the answer of Get Blob Tags.
#[must_use]
pub fn write(tags: &[(String, String)]) -> String {
    let mut xml = Xml::new();
    write_element(&mut xml, tags);
    xml.finish()
}

/// Writes tags within a larger document.
pub fn write_element(xml: &mut Xml, tags: &[(String, String)]) {
    xml.element("Tags", |xml| {
        xml.element("TagSet", |xml| {
            for (key, value) in tags {
                xml.element("Tag", |xml| {
                    xml.text("Key", key);
                    xml.text("Value", value);
                });
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(result: Result<Tags, ProtocolError>, expected: Result<&[(&str, &str)], ErrorCode>, input: &str) {
        let expected = expected.map(|tags| {
            tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Tags>()
        });
        assert_eq!(result.map_err(|error| error.code()), expected, "{input}");
    }

    #[test]
    fn headers() {
        let long = |key: usize, value: usize| format!("{}={}", "k".repeat(key), "v".repeat(value));
        let many = |count: usize| (0..count).map(|n| format!("k{n}=")).collect::<Vec<_>>().join("&");
        for (input, expected) in [
            ("", Ok(&[][..])),
            ("b=2&a=1", Ok(&[("a", "1"), ("b", "2")][..])),
            ("a+b=c%20d&e=%2B", Ok(&[("a b", "c d"), ("e", "+")][..])),
            ("a=", Ok(&[("a", "")][..])),
            ("=a", Err(ErrorCode::EmptyTagName)),
            ("a", Err(ErrorCode::InvalidHeaderValue)),
            ("a=%ff", Err(ErrorCode::InvalidHeaderValue)),
            ("a=1&a=2", Err(ErrorCode::DuplicateTagNames)),
            ("a=%21", Err(ErrorCode::InvalidTag)),
            ("%C3%A9=1", Err(ErrorCode::InvalidTag)),
            (&long(129, 1), Err(ErrorCode::TagsTooLarge)),
            (&long(1, 257), Err(ErrorCode::TagsTooLarge)),
            (&many(11), Err(ErrorCode::TagsTooLarge)),
        ] {
            check(parse_header(input), expected, input);
        }
        assert_eq!(parse_header(&long(128, 256)).unwrap().len(), 1);
        assert_eq!(parse_header(&many(10)).unwrap().len(), 10);
    }

    #[test]
    fn bodies() {
        let tags = vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())];
        assert_eq!(parse(write(&tags).as_bytes()).unwrap(), tags);
        for (body, code) in [
            ("<Tags/>", ErrorCode::MissingRequiredXmlNode),
            ("<Tags><TagSet><Tag><Key>a</Key></Tag></TagSet></Tags>", ErrorCode::MissingRequiredXmlNode),
            ("<Tags><TagSet><Tag><Key/><Value/></Tag></TagSet></Tags>", ErrorCode::EmptyTagName),
            ("<Other/>", ErrorCode::InvalidXmlDocument),
        ] {
            check(parse(body.as_bytes()), Err(code), body);
        }
        assert_eq!(parse(b"<Tags><TagSet/></Tags>").unwrap(), Vec::new());
    }
}
