//! From an answer of the management API to what is printed: a table for people, JSON for programs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roxmltree::{Document, Node};
use serde_json::{Map, Value};

use crate::client::{Answer, ClientError};

/// One thing that is told of each item.
pub struct Column {
    /// Its title in a table.
    pub title: &'static str,
    /// Its name in JSON.
    pub key: &'static str,
    /// The elements that lead to it from the item, with `/` between.
    pub path: &'static str,
    /// How its text is read.
    pub form: Form,
}

/// How a text of an answer is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Text,
    /// A text in base64.
    Base64,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// Several texts.
    List,
}

/// A column whose text is taken as it is.
pub const fn text(title: &'static str, key: &'static str, path: &'static str) -> Column {
    Column { title, key, path, form: Form::Text }
}

/// A column of another form.
pub const fn form(title: &'static str, key: &'static str, path: &'static str, form: Form) -> Column {
    Column { title, key, path, form }
}

/// The items of an answer, each as a JSON object with the columns' keys.
///
/// # Errors
/// When the answer is not XML.
pub fn items(
    answer: &Answer,
    path: &str,
    columns: &[Column],
) -> Result<Vec<Map<String, Value>>, ClientError> {
    let malformed = |error: roxmltree::Error| ClientError::Malformed {
        what: "the management API",
        why: format!("it is not XML: {error}"),
    };
    let document = Document::parse(&answer.text).map_err(malformed)?;
    let found = nodes(document.root_element(), path);
    Ok(found.into_iter().map(|item| object(item, columns)).collect())
}

fn object(item: Node<'_, '_>, columns: &[Column]) -> Map<String, Value> {
    columns.iter().map(|column| (column.key.to_owned(), value(item, column))).collect()
}

fn nodes<'d, 'i>(from: Node<'d, 'i>, path: &str) -> Vec<Node<'d, 'i>> {
    let mut nodes = vec![from];
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let named = |node: &Node<'_, '_>| node.is_element() && node.tag_name().name() == name;
        nodes =
            nodes.into_iter().flat_map(|node| node.children().filter(named).collect::<Vec<_>>()).collect();
    }
    nodes
}

fn value(item: Node<'_, '_>, column: &Column) -> Value {
    let mut texts = nodes(item, column.path).into_iter().map(|node| node.text().unwrap_or("").trim());
    if column.form == Form::List {
        return Value::Array(texts.map(Value::from).collect());
    }
    let Some(text) = texts.next() else { return Value::Null };
    match column.form {
        Form::Number => text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from),
        Form::Flag => {
            text.to_ascii_lowercase().parse::<bool>().map_or_else(|_| Value::from(text), Value::from)
        }
        Form::Base64 => {
            let decoded = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            Value::from(decoded.unwrap_or_else(|| text.to_owned()))
        }
        Form::Text | Form::List => Value::from(text),
    }
}

/// A list, as a table with a title over each column, or as a JSON array. `empty` is what people read when there is none.
pub fn list(items: &[Map<String, Value>], columns: &[Column], json: bool, empty: &str) -> String {
    if json {
        return pretty(&Value::Array(items.iter().cloned().map(Value::Object).collect()));
    }
    if items.is_empty() {
        return format!("{empty}\n");
    }
    let titles: Vec<String> = columns.iter().map(|column| column.title.to_owned()).collect();
    let row = |item: &Map<String, Value>| columns.iter().map(|column| cell(item.get(column.key))).collect();
    let rows: Vec<Vec<String>> = std::iter::once(titles).chain(items.iter().map(row)).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// One item, as a line for each column that has a value, or as a JSON object.
pub fn one(item: &Map<String, Value>, columns: &[Column], json: bool) -> String {
    if json {
        return pretty(&Value::Object(item.clone()));
    }
    let width = columns.iter().map(|column| column.title.chars().count()).max().unwrap_or(0);
    let told = columns.iter().map(|column| (column.title, cell(item.get(column.key))));
    told.filter(|(_, cell)| !cell.is_empty())
        .map(|(title, cell)| format!("{title:<width$}  {cell}\n"))
        .collect()
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        // What a name or label has must not steer the terminal.
        Some(Value::String(text)) => text.replace(char::is_control, " "),
        Some(Value::Array(several)) => {
            several.iter().map(|one| cell(Some(one))).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

/// JSON as it is printed.
pub fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        text("name", "name", "Name"),
        form("label", "label", "Properties/Label", Form::Base64),
        form("cores", "cores", "Cores", Form::Number),
        form("locked", "locked", "Locked", Form::Flag),
        form("sizes", "sizes", "Sizes/Size", Form::List),
    ];

    fn of(text: &str) -> Vec<Map<String, Value>> {
        items(&Answer { text: text.to_owned(), request_id: String::new() }, "Item", COLUMNS).unwrap()
    }

    #[test]
    fn a_list_is_a_table_or_json() {
        let items =
            of("<Items xmlns=\"urn:x\"><Item><Name>one</Name><Properties><Label>ZsOp</Label></Properties>\
             <Cores>2</Cores><Locked>false</Locked><Sizes><Size>a</Size><Size>b</Size></Sizes></Item>\
             <Item><Name>a\nb&#x9b;c</Name><Cores>many</Cores></Item></Items>");
        assert_eq!(
            list(&items, COLUMNS, false, "none"),
            "name   label  cores  locked  sizes\none    fé     2      false   a, b\na b c         many\n"
        );
        let json: Value = serde_json::from_str(&list(&items, COLUMNS, true, "none")).unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                { "name": "one", "label": "fé", "cores": 2, "locked": false, "sizes": ["a", "b"] },
                { "name": "a\nb\u{9b}c", "label": null, "cores": "many", "locked": null, "sizes": [] },
            ])
        );
        assert_eq!(
            one(&items[0], COLUMNS, false),
            "name    one\nlabel   fé\ncores   2\nlocked  false\nsizes   a, b\n"
        );
    }

    #[test]
    fn an_empty_list_says_so() {
        let none = of("<Items/>");
        assert_eq!(list(&none, COLUMNS, false, "there is none"), "there is none\n");
        assert_eq!(list(&none, COLUMNS, true, "there is none"), "[]\n");
        let answer = Answer { text: "no XML".to_owned(), request_id: String::new() };
        assert!(items(&answer, "Item", COLUMNS).is_err());
    }
}
