//! Writing XML bodies, and reading them within bounds.

use std::borrow::Cow;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;
use roxmltree::{Document, Node, ParsingOptions};

use crate::error::{ErrorCode, ProtocolError};

/// The largest XML body has 50,000 blocks; each is an element with an id of up to 88 characters.
pub const XML_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Nodes of the largest body: an element and a text for each of 50,000 blocks, line breaks between them, and the rest.
const NODES_MAX: u32 = 200_000;
/// Attributes of a whole body, which has none but a few namespaces. `roxmltree` compares all attributes of an element
/// with each other, and all namespaces with those of the elements around.
const ATTRIBUTES_MAX: usize = 64;

/// Builds an XML document.
#[derive(Debug)]
pub struct Xml(String);

impl Default for Xml {
    fn default() -> Self {
        Self::new()
    }
}

impl Xml {
    /// A document with nothing in it yet.
    #[must_use]
    pub fn new() -> Self {
        Self("<?xml version=\"1.0\" encoding=\"utf-8\"?>".to_owned())
    }

    /// An element with attributes, and in it what `inside` writes.
    pub fn element_with(&mut self, name: &str, attributes: &[(&str, &str)], inside: impl FnOnce(&mut Self)) {
        self.open(name, attributes);
        inside(self);
        self.close(name);
    }

    /// An element, and in it what `inside` writes.
    pub fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.element_with(name, &[], inside);
    }

    /// An element with a text. Characters that XML cannot hold are left out.
    pub fn text(&mut self, name: &str, text: &str) {
        self.open(name, &[]);
        self.0.push_str(&escaped(text));
        self.close(name);
    }

    /// An element with a text, if there is one.
    pub fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// An element with a name that may hold characters that XML cannot: then it is percent-encoded and says so.
    pub fn name(&mut self, element: &str, name: &str) {
        if name.chars().all(is_xml) {
            self.text(element, name);
        } else {
            let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC).to_string();
            self.element_with(element, &[("Encoded", "true")], |xml| xml.0.push_str(&encoded));
        }
    }

    /// The document.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.0.push('<');
        self.0.push_str(name);
        for (attribute, value) in attributes {
            for part in [" ", attribute, "=\"", &escaped(value), "\""] {
                self.0.push_str(part);
            }
        }
        self.0.push('>');
    }

    fn close(&mut self, name: &str) {
        for part in ["</", name, ">"] {
            self.0.push_str(part);
        }
    }
}

/// Whether XML 1.0 can hold the character. A carriage return would come back as a line feed.
pub(crate) fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// The text as it stands in a document, without the characters that XML cannot hold. Most of a list is text that
/// needs no change, and is looked at once.
fn escaped(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"<>&'\"".contains(byte) || *byte == b' ';
    if text.as_bytes().iter().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let clean: String = text.chars().filter(|c| is_xml(*c)).collect();
    Cow::Owned(escape(clean).into_owned())
}

/// Parses a body and gives its root to `read`. Document types are refused; the size, and the time that it takes, are
/// bounded.
///
/// # Errors
/// When it is no XML, or the root has another name.
pub fn read<T>(
    body: &[u8],
    root: &str,
    read: impl FnOnce(Node<'_, '_>) -> Result<T, ProtocolError>,
) -> Result<T, ProtocolError> {
    let malformed = |why: &str| ProtocolError::from(ErrorCode::InvalidXmlDocument).with_detail("Reason", why);
    let text = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    check_attributes(text).map_err(|why| malformed(&why))?;
    let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document =
        Document::parse_with_options(text, options).map_err(|error| malformed(&error.to_string()))?;
    let element = document.root_element();
    if element.tag_name().name() != root {
        return Err(malformed(&format!("the root element is not {root}")));
    }
    read(element)
}

/// Says whether there are too many attributes; `quick-xml` reads them in time that grows with the length alone.
fn check_attributes(text: &str) -> Result<(), String> {
    let mut reader = Reader::from_str(text);
    let mut count = 0;
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(element) | Event::Empty(element) => {
                for attribute in element.attributes().with_checks(false) {
                    attribute.map_err(|error| error.to_string())?;
                    count += 1;
                    if count > ATTRIBUTES_MAX {
                        return Err(format!("it has more than {ATTRIBUTES_MAX} attributes"));
                    }
                }
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_is_read() {
        let mut xml = Xml::new();
        xml.element_with("A", &[("B", "\"<&\u{1}")], |xml| {
            xml.text("C", "<&>\u{1}\u{FFFE}x");
            xml.optional("D", None);
            xml.name("E", "a\u{1}");
            xml.text("F", "it's \u{e9}\t&amp; plain");
        });
        let text = xml.finish();
        let found = read(text.as_bytes(), "A", |root| {
            let of = |name| {
                root.children().find(|n| n.has_tag_name(name)).and_then(|n| n.text()).map(str::to_owned)
            };
            Ok((root.attribute("B").map(str::to_owned), of("C"), of("D"), of("E"), of("F")))
        });
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found.unwrap(),
            (some("\"<&"), some("<&>x"), None, some("a%01"), some("it's \u{e9}\t&amp; plain"))
        );
    }

    #[test]
    fn attributes() {
        let of_one = |count: usize| (0..count).map(|n| format!(" a{n}=\"\"")).collect::<String>();
        let nested = |count: usize| (0..count).map(|n| format!("<A xmlns:n{n}='u'>")).collect::<String>();
        for (body, valid) in [
            ("<A xmlns:i=\"u\" xmlns=\"\"/>".to_owned(), true),
            (format!("<A{}/>", of_one(ATTRIBUTES_MAX)), true),
            (format!("<A{}/>", of_one(ATTRIBUTES_MAX + 1)), false),
            (format!("<A{}/>", of_one(500_000)), false),
            (nested(60_000), false),
            ("<A a=\"\" a=\"\"/>".to_owned(), false),
            (format!("<A>{0}<![CDATA[<b{0}>]]><!--<b{0}>--></A>", of_one(ATTRIBUTES_MAX + 1)), true),
        ] {
            assert_eq!(read(body.as_bytes(), "A", |_| Ok(())).is_ok(), valid, "{body:.200}");
        }
    }

    #[test]
    fn malformed() {
        for body in ["", "<A>", "<B/>", "<!DOCTYPE A [<!ENTITY x \"y\">]><A>&x;</A>", "\u{0}"] {
            let result = read(body.as_bytes(), "A", |_| Ok(()));
            assert_eq!(result.unwrap_err().code(), ErrorCode::InvalidXmlDocument, "{body}");
        }
    }
}
