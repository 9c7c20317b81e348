//! The body of Query Blob Contents (STORAGE, section 3): an expression, and the forms of its input and output.

use roxmltree::Node;

use crate::error::{ErrorCode, ProtocolError};
use crate::xml;

/// Length of an expression, as the documentation of Query Blob Contents has it.
const EXPRESSION_BYTES_MAX: usize = 256 * 1024;

/// What a query asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryRequest {
    /// SQL.
    pub expression: String,
    /// What the blob holds.
    pub input: Format,
    /// What the answer holds.
    pub output: Format,
}

/// The form of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Fields between separators.
    Delimited(Delimited),
    /// JSON documents between separators.
    Json {
        /// What ends a document.
        record_separator: String,
    },
}

/// Fields between separators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delimited {
    /// Between two fields.
    pub column_separator: u8,
    /// Around a field that holds a separator.
    pub quote: Option<u8>,
    /// What ends a record: one character, or a carriage return and a line feed.
    pub record_separator: String,
    /// Before a quote in a field; `None` where a quote is doubled.
    pub escape: Option<u8>,
    /// Whether the first record holds the names of the fields.
    pub has_headers: bool,
}

impl Default for Delimited {
    fn default() -> Self {
        Self {
            column_separator: b',',
            quote: Some(b'"'),
            record_separator: "\n".to_owned(),
            escape: None,
            has_headers: false,
        }
    }
}

/// Reads the body.
///
/// # Errors
/// When it is no query, or in a form that is not served: Parquet and Arrow.
pub fn parse(body: &[u8]) -> Result<QueryRequest, ProtocolError> {
    xml::read(body, "QueryRequest", |root| {
        let missing = || ProtocolError::from(ErrorCode::MissingRequiredXmlNode);
        let expression = text(root, "Expression").ok_or_else(missing)?.to_owned();
        if expression.len() > EXPRESSION_BYTES_MAX {
            return Err(invalid("Expression", "it is too long"));
        }
        match text(root, "QueryType").map(str::trim) {
            Some("SQL") => {}
            _ => return Err(invalid("QueryType", "it is SQL")),
        }
        let input = child(root, "InputSerialization").map(format).transpose()?;
        let input = input.unwrap_or_else(|| Format::Delimited(Delimited::default()));
        let output = child(root, "OutputSerialization").map(format).transpose()?;
        let output = output.unwrap_or_else(|| input.clone());
        Ok(QueryRequest { expression, input, output })
    })
}

fn format(node: Node<'_, '_>) -> Result<Format, ProtocolError> {
    let missing = || ProtocolError::from(ErrorCode::MissingRequiredXmlNode);
    let format = child(node, "Format").ok_or_else(missing)?;
    match text(format, "Type").map(str::trim) {
        Some("delimited") => {
            { child(format, "DelimitedTextConfiguration").map_or(Ok(Delimited::default()), delimited) }
                .map(Format::Delimited)
        }
        Some("json") => {
            let own = child(format, "JsonTextConfiguration").and_then(|node| text(node, "RecordSeparator"));
            let record_separator = own.filter(|text| !text.is_empty()).unwrap_or("\n").to_owned();
            separator("RecordSeparator", &record_separator)?;
            Ok(Format::Json { record_separator })
        }
        _ => Err(invalid("Type", "delimited and json are served")),
    }
}

fn delimited(node: Node<'_, '_>) -> Result<Delimited, ProtocolError> {
    let default = Delimited::default();
    let record_separator = text(node, "RecordSeparator").filter(|text| !text.is_empty());
    let record_separator = record_separator.map_or(default.record_separator, str::to_owned);
    separator("RecordSeparator", &record_separator)?;
    Ok(Delimited {
        column_separator: character(node, "ColumnSeparator")?.unwrap_or(default.column_separator),
        quote: match child(node, "FieldQuote") {
            Some(_) => character(node, "FieldQuote")?,
            None => default.quote,
        },
        record_separator,
        escape: character(node, "EscapeChar")?,
        has_headers: text(node, "HasHeaders").is_some_and(|text| text.trim().eq_ignore_ascii_case("true")),
    })
}

fn separator(name: &'static str, text: &str) -> Result<(), ProtocolError> {
    match text.len() == 1 || text == "\r\n" {
        true => Ok(()),
        false => Err(invalid(name, "it is one ASCII character, or a carriage return and a line feed")),
    }
}

/// A single ASCII character, or nothing.
fn character(node: Node<'_, '_>, name: &'static str) -> Result<Option<u8>, ProtocolError> {
    match text(node, name).unwrap_or("").as_bytes() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => Err(invalid(name, "it is one ASCII character")),
    }
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name).map(|child| child.text().unwrap_or(""))
}

fn invalid(node: &'static str, why: &str) -> ProtocolError {
    ProtocolError::from(ErrorCode::InvalidXmlNodeValue)
        .with_detail("XmlNodeName", node)
        .with_detail("Reason", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(input: &str) -> String {
        format!(
            "<QueryRequest><QueryType>SQL</QueryType><Expression>SELECT *</Expression>\
             <InputSerialization><Format>{input}</Format></InputSerialization></QueryRequest>"
        )
    }

    #[test]
    fn formats() {
        let csv = |inside: &str| {
            format!("<Type>delimited</Type><DelimitedTextConfiguration>{inside}</DelimitedTextConfiguration>")
        };
        let delimited = |value: Delimited| Some(Format::Delimited(value));
        for (input, expected) in [
            ("<Type>delimited</Type>".to_owned(), delimited(Delimited::default())),
            (
                csv(
                    "<ColumnSeparator>;</ColumnSeparator><FieldQuote></FieldQuote><HasHeaders>true</HasHeaders>",
                ),
                delimited(Delimited {
                    column_separator: b';',
                    quote: None,
                    has_headers: true,
                    ..Delimited::default()
                }),
            ),
            (csv("<ColumnSeparator>;;</ColumnSeparator>"), None),
            (csv("<RecordSeparator>ab</RecordSeparator>"), None),
            ("<Type>json</Type>".to_owned(), Some(Format::Json { record_separator: "\n".to_owned() })),
            ("<Type>parquet</Type>".to_owned(), None),
            (String::new(), None),
        ] {
            let found = parse(body(&input).as_bytes()).ok().map(|request| request.input);
            assert_eq!(found, expected, "{input}");
        }
    }

    #[test]
    fn formats_may_be_left_out() {
        let body = "<QueryRequest><QueryType>SQL</QueryType><Expression>SELECT *</Expression></QueryRequest>";
        let request = parse(body.as_bytes()).unwrap();
        let plain = Format::Delimited(Delimited::default());
        assert_eq!((request.input, request.output), (plain.clone(), plain));
    }
}
