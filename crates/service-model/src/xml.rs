//! Strict reading: what a file says that nobody asked for is a problem, not a comment.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use roxmltree::{Document, Node, ParsingOptions};

use crate::problem::{Position, Problem, Problems, SourceFile};
use crate::shape;

/// A definition or configuration, in bytes, at most: far above any real one.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// Elements and texts of a document, at most.
const NODES_MAX: u32 = 100_000;
/// An error echoes at most this many characters of a value.
const ECHO_CHARS_MAX: usize = 60;
/// Characters of a label, at most; the same as of a name.
const LABEL_CHARS_MAX: usize = 255;
/// `xsi:schemaLocation` and the like, which editors add and nobody needs.
const INSTANCE_NAMESPACE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// What an element may hold.
pub(crate) struct Shape {
    /// Attributes.
    pub attributes: &'static [&'static str],
    /// Children that appear once at most.
    pub once: &'static [&'static str],
    /// Children that may be repeated.
    pub many: &'static [&'static str],
}

impl Shape {
    /// An element with attributes only.
    pub const fn leaf(attributes: &'static [&'static str]) -> Self {
        Self { attributes, once: &[], many: &[] }
    }

    /// An element that only holds a list.
    pub const fn list(many: &'static [&'static str]) -> Self {
        Self { attributes: &[], once: &[], many }
    }
}

/// Reads one document and gathers its problems.
pub(crate) struct Reader<'d, 'i> {
    file: SourceFile,
    document: &'d Document<'i>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// Parses `text` and reads its root element, which must be `root` of `namespace`.
pub(crate) fn read<T>(
    file: SourceFile,
    text: &str,
    (root, namespace): (&str, &str),
    reading: impl for<'d, 'i> FnOnce(&mut Reader<'d, 'i>, Node<'d, 'i>) -> T,
) -> Result<(T, Vec<Problem>), Problems> {
    let whole = |position, message| Problems::from(Problem { file, position, message });
    let start = Position { line: 1, column: 1 };
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the file has {} bytes; at most {TEXT_BYTES_MAX} are read", text.len());
        return Err(whole(start, message));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    shape::check(text).map_err(|(offset, why)| {
        let line = text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1;
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        whole(Position { line, column: 1 }, format!("not well-formed XML: {why}"))
    })?;
    let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| {
        let at = error.pos();
        whole(Position { line: at.row, column: at.col }, format!("not well-formed XML: {error}"))
    })?;
    let mut reader = Reader { file, document: &document, problems: Vec::new(), warnings: Vec::new() };
    let node = document.root_element();
    if node.tag_name().name() != root || node.tag_name().namespace() != Some(namespace) {
        let message = format!("the root element must be <{root} xmlns=\"{namespace}\">");
        return Err(whole(reader.position(node), message));
    }
    let value = reading(&mut reader, node);
    reader.warnings.sort();
    Problems::or(reader.problems, (value, reader.warnings))
}

/// Children of `node` that are called `name`.
pub(crate) fn children<'d, 'i>(node: Node<'d, 'i>, name: &'static str) -> impl Iterator<Item = Node<'d, 'i>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// The grandchildren `item` below each child `list`: the members of a container element.
pub(crate) fn members<'d, 'i>(
    node: Node<'d, 'i>,
    list: &'static str,
    item: &'static str,
) -> impl Iterator<Item = Node<'d, 'i>> {
    children(node, list).flat_map(move |container| children(container, item))
}

/// A value as an error shows it.
pub(crate) fn echo(value: &str) -> String {
    let mut shown: String = value.chars().take(ECHO_CHARS_MAX).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// `a`, `b` or `c`.
pub(crate) fn either(choices: impl IntoIterator<Item = String>) -> String {
    let choices: Vec<String> = choices.into_iter().collect();
    match choices.split_last() {
        None => String::from("nothing"),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

impl<'d, 'i> Reader<'d, 'i> {
    /// Where `node` begins.
    pub fn position(&self, node: Node<'d, 'i>) -> Position {
        self.position_at(node.range().start)
    }

    fn position_at(&self, offset: usize) -> Position {
        let at = self.document.text_pos_at(offset);
        Position { line: at.row, column: at.col }
    }

    /// Notes that `node` is wrong.
    pub fn problem(&mut self, node: Node<'d, 'i>, message: String) {
        self.problem_at(self.position(node), message);
    }

    /// Notes that something at `position` is wrong.
    pub fn problem_at(&mut self, position: Position, message: String) {
        self.problems.push(Problem { file: self.file, position, message });
    }

    /// Notes that `node` has no effect.
    pub fn warning(&mut self, node: Node<'d, 'i>, message: String) {
        self.warnings.push(Problem { file: self.file, position: self.position(node), message });
    }

    /// Notes that an attribute's value is wrong: `expected` says what to write.
    pub fn bad_value(&mut self, node: Node<'d, 'i>, attribute: &str, expected: &str) {
        let Some(found) = node.attribute_node(attribute) else { return };
        let message =
            format!("{attribute}={} of <{}> must be {expected}", echo(found.value()), node.tag_name().name());
        self.problem_at(self.position_at(found.range().start), message);
    }

    /// Notes every attribute, child and text of `node` that `shape` does not have.
    pub fn shape(&mut self, node: Node<'d, 'i>, shape: &Shape) {
        for attribute in node.attributes() {
            let known = attribute.namespace().is_none() && shape.attributes.contains(&attribute.name());
            if !known && attribute.namespace() != Some(INSTANCE_NAMESPACE) {
                let advice = instead(attribute.name(), shape.attributes, str::to_owned);
                let message = format!(
                    "attribute {} is not known in <{}>; {advice}",
                    attribute.name(),
                    node.tag_name().name()
                );
                self.problem_at(self.position_at(attribute.range().start), message);
            }
        }
        let mut seen: Vec<&str> = Vec::new();
        for child in node.children() {
            if child.is_element() {
                self.child(node, child, shape, &mut seen);
            } else if child.is_text() && child.text().is_some_and(|text| !text.trim().is_empty()) {
                let message = format!("<{}> holds no text; values are attributes", node.tag_name().name());
                self.problem(child, message);
            }
        }
    }

    fn child(&mut self, node: Node<'d, 'i>, child: Node<'d, 'i>, shape: &Shape, seen: &mut Vec<&'d str>) {
        let (name, parent) = (child.tag_name().name(), node.tag_name().name());
        if child.tag_name().namespace() != node.tag_name().namespace() {
            let message = format!("<{name}> is in another namespace than <{parent}>; remove it");
            self.problem(child, message);
        } else if shape.once.contains(&name) && seen.contains(&name) {
            let message = format!("<{name}> appears twice in <{parent}>; put its content into the first");
            self.problem(child, message);
        } else if !shape.once.contains(&name) && !shape.many.contains(&name) {
            let known: Vec<&str> = [shape.once, shape.many].concat();
            let advice = instead(name, &known, |name| format!("<{name}>"));
            self.problem(child, format!("<{name}> is not known in <{parent}>; {advice}"));
        }
        seen.push(name);
    }

    /// The value of an attribute that must be there and not be empty; otherwise a problem, and "".
    pub fn required(&mut self, node: Node<'d, 'i>, attribute: &str) -> &'d str {
        match node.attribute(attribute) {
            Some(value) if !value.trim().is_empty() => value,
            Some(_) => {
                self.bad_value(node, attribute, "given");
                ""
            }
            None => {
                let message = format!("<{}> needs the attribute {attribute}", node.tag_name().name());
                self.problem(node, message);
                ""
            }
        }
    }

    /// A required name: letters, digits, `-`, `_` and `.`, so that it can be part of a path.
    pub fn name(&mut self, node: Node<'d, 'i>, attribute: &str) -> String {
        let value = self.required(node, attribute);
        if !value.is_empty() && !is_name(value) {
            self.bad_value(node, attribute, NAME_RULE);
        }
        value.to_owned()
    }

    /// A required name that people read and programs look up, of any characters that print.
    pub fn label(&mut self, node: Node<'d, 'i>, attribute: &str) -> String {
        let value = self.required(node, attribute);
        if value.chars().count() > LABEL_CHARS_MAX || value.chars().any(char::is_control) {
            self.bad_value(node, attribute, "1 to 255 characters that print");
        }
        value.to_owned()
    }

    /// A number in `range`, when the attribute is there.
    pub fn number(&mut self, node: Node<'d, 'i>, attribute: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = node.attribute(attribute)?;
        let number = value.trim().parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            self.bad_value(node, attribute, &expected);
        }
        number
    }

    /// A port, when the attribute is there.
    pub fn port(&mut self, node: Node<'d, 'i>, attribute: &str) -> Option<u16> {
        let port = self.number(node, attribute, 1..=u32::from(u16::MAX))?;
        u16::try_from(port).ok()
    }

    /// `true` or `false`, when the attribute is there.
    pub fn flag(&mut self, node: Node<'d, 'i>, attribute: &str) -> Option<bool> {
        self.choice(node, attribute, &[("true", true), ("false", false), ("1", true), ("0", false)])
    }

    /// One of `choices`, in any case (the files write lower case, the documentation upper case).
    pub fn choice<T: Copy>(
        &mut self,
        node: Node<'d, 'i>,
        attribute: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let value = node.attribute(attribute)?.trim();
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(value));
        if found.is_none() {
            let expected = either(choices.iter().map(|(name, _)| (*name).to_owned()));
            self.bad_value(node, attribute, &expected);
        }
        found.map(|(_, choice)| *choice)
    }
}

/// What [`is_name`] asks for.
pub(crate) const NAME_RULE: &str =
    "1 to 255 letters, digits, hyphens, underscores and points, beginning with a letter, digit or underscore";

/// Whether `text` can name a setting, an endpoint, a local resource or a certificate.
pub(crate) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 255
        && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Elements that were known elsewhere, in a beta or in a mistaken page, and what there is in their place.
const ELSEWHERE: [(&str, &str); 4] = [
    ("VirtualMachineRole", "a role of one's own virtual hard drive is not offered; write <WorkerRole>"),
    ("AllowTrafficTo", "write <OnlyAllowTrafficTo>"),
    ("AllowAllTrafficTo", "write <OnlyAllowTrafficTo> with <AllowAllTraffic/>"),
    ("RoleEnvironment", "write the values into <Environment> of <Runtime> or <Task>"),
];

/// What to write instead of the unknown `name`.
fn instead(name: &str, known: &[&str], quoted: impl Fn(&str) -> String) -> String {
    if let Some(meant) = known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        return format!("write {} (case matters)", quoted(meant));
    }
    if let Some((_, meant)) = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == name) {
        return (*meant).to_owned();
    }
    let mut advice = String::from("remove it");
    if !known.is_empty() {
        let _ = write!(advice, ", or write {}", either(known.iter().map(|known| quoted(known))));
    }
    advice
}
