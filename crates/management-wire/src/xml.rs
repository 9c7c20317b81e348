//! XML as both directions need it: elements to write, and the fields of a request to read.
//!
//! Reading is by roxmltree: no DTD, so no entities of the sender's making, and a bounded number of nodes.
//! The order of elements and their namespace do not matter (SMAPI §3, §6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::{Reader, Writer};
use roxmltree::{Document, Node, ParsingOptions};
use zeroize::Zeroizing;

use crate::error::{ApiError, ErrorCode};
use crate::version::Version;

/// A request body in bytes, at most: a service configuration in base64 is the largest thing in one.
pub const REQUEST_BYTES_MAX: usize = 2 << 20;
/// Nodes of a request body, at most. The largest that a client sends has some hundred.
const REQUEST_NODES_MAX: u32 = 10_000;
/// Elements within each other, at most. Clients send six.
const REQUEST_DEPTH_MAX: usize = 64;
/// Attributes of a request body, at most. Clients send two, both namespaces, and a few types.
const REQUEST_ATTRIBUTES_MAX: usize = 1_000;
/// The namespace of every element (SMAPI §3).
const NAMESPACE: &str = "http://schemas.microsoft.com/windowsazure";
/// The namespace of `i:nil` and `i:type`.
const NAMESPACE_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// An element to be written: attributes, then either text or children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: Option<String>,
    children: Vec<Element>,
}

impl Element {
    /// An empty element.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), text: None, children: Vec::new() }
    }

    /// An element that holds text.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "texts are made where they are passed")]
    pub fn of(name: &'static str, text: impl ToString) -> Self {
        Self { text: Some(text.to_string()), ..Self::new(name) }
    }

    /// With an attribute.
    #[must_use]
    pub fn attribute(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// With one more child.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// With one more child that holds text.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "texts are made where they are passed")]
    pub fn with(self, name: &'static str, text: impl ToString) -> Self {
        self.child(Self::of(name, text))
    }

    /// With a child, if there is one: a null value is left out (SMAPI §3).
    #[must_use]
    pub fn maybe(self, name: &'static str, text: Option<impl ToString>) -> Self {
        match text {
            Some(text) => self.with(name, text),
            None => self,
        }
    }

    /// With what `more` adds, for a caller whose version of the API has it.
    #[must_use]
    pub fn since(self, since: &'static str, version: Version, more: impl FnOnce(Self) -> Self) -> Self {
        if version >= Version::new(since) { more(self) } else { self }
    }

    /// With more children.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// The bytes of a document of which this is the root; no declaration (SMAPI §3).
    #[must_use]
    pub fn to_document(self) -> Vec<u8> {
        let mut root = self;
        root.attributes.insert(0, ("xmlns", NAMESPACE.to_owned()));
        root.attributes.insert(1, ("xmlns:i", NAMESPACE_INSTANCE.to_owned()));
        let mut writer = Writer::new(Vec::new());
        // Writing into memory cannot fail.
        let _ = root.write(&mut writer);
        writer.into_inner()
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let mut start = BytesStart::new(self.name);
        for (name, value) in &self.attributes {
            start.push_attribute((*name, printable(value).as_str()));
        }
        if self.text.as_ref().is_none_or(String::is_empty) && self.children.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        if let Some(text) = &self.text {
            writer.write_event(Event::Text(BytesText::new(&printable(text))))?;
        }
        for child in &self.children {
            child.write(writer)?;
        }
        writer.write_event(Event::End(BytesEnd::new(self.name)))
    }
}

/// XML 1.0 has no way to write most control characters; they become U+FFFD.
fn printable(text: &str) -> String {
    let allowed = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{7f}'..='\u{9f}');
    text.chars()
        .map(|c| if allowed(c) && c != '\u{fffe}' && c != '\u{ffff}' { c } else { '\u{fffd}' })
        .collect()
}

/// Reads a request body whose root element must be `root`, and gives its fields to `read`.
///
/// # Errors
/// `InvalidXmlRequest` when the body is not such XML, and whatever `read` finds.
pub fn read<T>(
    body: &[u8],
    root: &str,
    read: impl FnOnce(Fields<'_, '_>) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let text = std::str::from_utf8(body).map_err(|_| invalid("the body is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_shape(text)?;
    let options =
        ParsingOptions { allow_dtd: false, nodes_limit: REQUEST_NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| invalid(format!("the body is not well-formed XML: {error}")))?;
    let element = document.root_element();
    if element.tag_name().name() != root {
        let found = element.tag_name().name();
        return Err(invalid(format!("the root element must be {root}, not {found}")));
    }
    read(Fields { element })
}

/// Refuses, in one pass, what the parser takes more than linear time or much of the stack for: elements with very many
/// attributes or namespaces, and very deep ones.
fn check_shape(text: &str) -> Result<(), ApiError> {
    let malformed =
        |error: &dyn std::fmt::Display| invalid(format!("the body is not well-formed XML: {error}"));
    let mut reader = Reader::from_str(text);
    let (mut depth, mut attributes) = (0_usize, 0_usize);
    loop {
        let tag = match reader.read_event().map_err(|error| malformed(&error))? {
            Event::Start(tag) => {
                depth += 1;
                tag
            }
            Event::Empty(tag) => tag,
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                continue;
            }
            Event::DocType(_) => return Err(malformed(&"a document type is not taken")),
            Event::Eof => return Ok(()),
            _ => continue,
        };
        if depth > REQUEST_DEPTH_MAX {
            return Err(malformed(&"the elements are nested too deeply"));
        }
        for attribute in tag.attributes().with_checks(false) {
            attribute.map_err(|error| malformed(&error))?;
            attributes += 1;
            if attributes > REQUEST_ATTRIBUTES_MAX {
                return Err(malformed(&"there are too many attributes"));
            }
        }
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidXmlRequest, message)
}

/// The child elements of an element of a request.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a, 'input> {
    element: Node<'a, 'input>,
}

impl<'a, 'input> Fields<'a, 'input> {
    /// All children named `name`.
    pub fn each(self, name: &'static str) -> impl Iterator<Item = Self> + use<'a, 'input> {
        self.element
            .children()
            .filter(move |node| node.is_element() && node.tag_name().name() == name)
            .map(|element| Self { element })
    }

    /// The only child named `name`, if there is one.
    ///
    /// # Errors
    /// When there are several.
    pub fn one(self, name: &'static str) -> Result<Option<Self>, ApiError> {
        let mut all = self.each(name);
        let first = all.next();
        match all.next() {
            Some(_) => Err(invalid(format!("the element {name} occurs more than once"))),
            None => Ok(first),
        }
    }

    /// Whether the element holds other elements.
    #[must_use]
    pub fn has_children(self) -> bool {
        self.element.children().any(|node| node.is_element())
    }

    /// The text of the element itself.
    #[must_use]
    pub fn own_text(self) -> String {
        let texts = self.element.children().filter(Node::is_text);
        texts.filter_map(|node| node.text()).collect::<String>().trim().to_owned()
    }

    /// A secret's text, as it is: blanks belong to it. There is one copy, which is wiped when it is dropped.
    #[must_use]
    pub fn secret(self) -> Zeroizing<String> {
        let texts = || self.element.children().filter(Node::is_text).filter_map(|node| node.text());
        let mut secret = Zeroizing::new(String::with_capacity(texts().map(str::len).sum()));
        secret.extend(texts());
        secret
    }

    /// The text of the child named `name`; `None` when it is absent or empty.
    ///
    /// # Errors
    /// When there are several.
    pub fn text(self, name: &'static str) -> Result<Option<String>, ApiError> {
        Ok(self.one(name)?.map(Self::own_text).filter(|text| !text.is_empty()))
    }

    /// The text of the child named `name`.
    ///
    /// # Errors
    /// When it is absent, empty, or occurs several times.
    pub fn required(self, name: &'static str) -> Result<String, ApiError> {
        self.text(name)?.ok_or_else(|| invalid(format!("the element {name} is missing or empty")))
    }

    /// A boolean, `false` when absent.
    ///
    /// # Errors
    /// When it is neither `true` nor `false`.
    pub fn flag(self, name: &'static str) -> Result<bool, ApiError> {
        match self.text(name)?.map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(invalid(format!("{name} must be true or false, not {other:?}"))),
        }
    }

    /// Text that is sent in base64 (labels, configurations), if present.
    ///
    /// # Errors
    /// When it is not base64 of UTF-8.
    pub fn base64(self, name: &'static str) -> Result<Option<String>, ApiError> {
        self.text(name)?.map(|text| decode_text(name, &text)).transpose()
    }

    /// Text that is sent in base64 and must be present.
    ///
    /// # Errors
    /// When it is absent or not base64 of UTF-8.
    pub fn required_base64(self, name: &'static str) -> Result<String, ApiError> {
        decode_text(name, &self.required(name)?)
    }
}

fn decode_text(name: &str, text: &str) -> Result<String, ApiError> {
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(packed).map_err(|_| {
        ApiError::bad_request(format!("{name} must be base64 of UTF-8 text; it is not base64"))
    })?;
    String::from_utf8(bytes)
        .map_err(|_| ApiError::bad_request(format!("{name} must be base64 of UTF-8 text; it is not UTF-8")))
}

/// Text in base64, as labels and configurations are sent.
#[must_use]
pub fn encode_text(text: &str) -> String {
    STANDARD.encode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written() {
        let element = Element::new("A")
            .with("B", "<&\"'\u{1}")
            .maybe("C", None::<&str>)
            .with("D", "")
            .child(Element::new("E").attribute("i:nil", "true"));
        assert_eq!(
            String::from_utf8(element.to_document()).unwrap(),
            "<A xmlns=\"http://schemas.microsoft.com/windowsazure\" \
             xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\">\
             <B>&lt;&amp;&quot;&apos;\u{fffd}</B><D/><E i:nil=\"true\"/></A>"
        );
    }

    #[test]
    fn what_is_read() {
        let deep = format!("<A>{}{}</A>", "<B>".repeat(64), "</B>".repeat(64));
        let many = format!("<A>{}</A>", "<B/>".repeat(20_000));
        for (body, expected) in [
            ("<A><B>x</B></A>", Ok(Some("x"))),
            (
                "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<A xmlns=\"urn:x\">\n <B> x\n</B></A>",
                Ok(Some("x")),
            ),
            ("<p:A xmlns:p='urn:x'><p:B><![CDATA[x]]></p:B></p:A>", Ok(Some("x"))),
            ("<A  ><C/><B>a&amp;b</B></A >", Ok(Some("a&b"))),
            ("<A><B/></A>", Ok(None)),
            ("<A/>", Ok(None)),
            ("<A><B>1</B><B>2</B></A>", Err("more than once")),
            ("<C/>", Err("root element must be A")),
            ("<A><B>http://h/?a=1&sig=2</B></A>", Err("not well-formed")),
            ("<!DOCTYPE A [<!ENTITY e 'x'>]><A><B>&e;</B></A>", Err("not well-formed")),
            ("", Err("not well-formed")),
            (&many, Err("not well-formed")),
            (&deep, Err("nested too deeply")),
        ] {
            let got = read(body.as_bytes(), "A", |fields| fields.text("B"));
            match (got, expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got.as_deref(), expected, "{body:.80}"),
                (Err(error), Err(part)) => assert!(error.message.contains(part), "{body:.80}: {error}"),
                (got, _) => panic!("{body:.80}: {got:?}"),
            }
        }
    }

    #[test]
    fn text_in_base64() {
        let body = |text: &str| format!("<A><B>{text}</B></A>");
        for (text, expected) in [("w6Q=", Some("ä")), ("YW\n Jj", Some("abc")), ("%", None), ("/w==", None)]
        {
            let got = read(body(text).as_bytes(), "A", |fields| fields.required_base64("B"));
            assert_eq!(got.ok().as_deref(), expected, "{text}");
        }
    }

    /// Bodies that are as large as any, and took minutes or the stack.
    #[test]
    fn what_is_sent_to_tire_the_parser() {
        let many = |count: usize, part: &dyn Fn(usize) -> String| (0..count).map(part).collect::<String>();
        let scopes = many(60, &|d| format!("<A {}>", many(10, &|n| format!("xmlns:n{d}x{n}='u{d}x{n}' "))));
        for (name, body, error) in [
            (
                "attributes",
                format!("<A {}/>", many(200_000, &|n| format!("a{n}='' "))),
                "too many attributes",
            ),
            ("namespaces", format!("<A {}/>", many(100_000, &|n| format!("xmlns:a{n}='' "))), "too many"),
            ("depth", format!("{}{}", "<A>".repeat(250_000), "</A>".repeat(250_000)), "too deeply"),
            ("instructions", format!("<A>{}</A>", "<?a b?>".repeat(200_000)), "nodes limit"),
            ("sections", format!("<A>{}</A>", "<![CDATA[x]]>".repeat(150_000)), ""),
            ("references", format!("<A>{}</A>", "&amp;".repeat(400_000)), ""),
            (
                "scopes",
                format!(
                    "{scopes}{}{}",
                    many(8_000, &|n| format!("<B xmlns:m{n}='v{n}'/>")),
                    "</A>".repeat(60)
                ),
                "too many attributes",
            ),
            (
                "fewer scopes",
                format!("{scopes}{}{}", many(300, &|n| format!("<B xmlns:m{n}='v{n}'/>")), "</A>".repeat(60)),
                "",
            ),
        ] {
            let began = std::time::Instant::now();
            let got = read(body.as_bytes(), "A", |fields| fields.text("B"));
            assert!(body.len() <= REQUEST_BYTES_MAX, "{name}: {}", body.len());
            match got {
                Ok(_) => assert!(error.is_empty(), "{name}"),
                Err(got) => assert!(!error.is_empty() && got.message.contains(error), "{name}: {got}"),
            }
            assert!(began.elapsed().as_secs() < 10, "{name}: {:?}", began.elapsed());
        }
    }
}
