//! The words of a filter.

use crate::error::{ErrorCode, ProtocolError};
use crate::table::key::quoted_tail;
use crate::table::value::{Value, bad_literal, parse_date_time, parse_guid};

/// One word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    /// Only in the arguments of functions, so that they are told apart from nonsense.
    Comma,
    /// An identifier or an operator.
    Word(String),
    Constant(Value),
}

/// Splits the text into words.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ProtocolError> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            ',' => (Token::Comma, &rest[1..]),
            '\'' => quoted(&rest[1..]).map(|(text, after)| (Token::Constant(Value::String(text)), after))?,
            c if c.is_alphabetic() || c == '_' => word(rest)?,
            c if c.is_ascii_digit() || "+-.".contains(c) => number(rest)?,
            _ => return Err(refused(rest)),
        };
        found.push(token);
        rest = after.trim_start();
    }
    Ok(found)
}

/// An error that shows where in the filter reading stopped.
pub(super) fn refused(rest: &str) -> ProtocolError {
    let near: String = rest.chars().take(40).collect();
    let why = format!("One of the request inputs is not valid: $filter cannot be read at {near:?}.");
    ProtocolError::saying(ErrorCode::InvalidInput, why)
}

fn quoted(text: &str) -> Result<(String, &str), ProtocolError> {
    quoted_tail(text).ok_or_else(|| refused(text))
}

fn word(text: &str) -> Result<(Token, &str), ProtocolError> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if let Some(inner) = rest.strip_prefix('\'') {
        let (literal, after) = quoted(inner)?;
        return Ok((Token::Constant(typed(name, &literal)?), after));
    }
    let token = match name {
        "true" => Token::Constant(Value::Boolean(true)),
        "false" => Token::Constant(Value::Boolean(false)),
        "NaN" => Token::Constant(Value::Double(f64::NAN)),
        "INF" | "inf" => Token::Constant(Value::Double(f64::INFINITY)),
        name => Token::Word(name.to_owned()),
    };
    Ok((token, rest))
}

fn typed(prefix: &str, literal: &str) -> Result<Value, ProtocolError> {
    match prefix {
        "datetime" => parse_date_time(literal).map(Value::DateTime),
        "guid" => parse_guid(literal).map(Value::Guid),
        "X" | "x" | "binary" => {
            hex::decode(literal).map(Value::Binary).map_err(|_| bad_literal("Edm.Binary"))
        }
        _ => Err(refused(prefix)),
    }
}

fn number(text: &str) -> Result<(Token, &str), ProtocolError> {
    if let Some(rest) = ["-INF", "-inf"].iter().find_map(|word| text.strip_prefix(word)) {
        return Ok((Token::Constant(Value::Double(f64::NEG_INFINITY)), rest));
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(text.len());
    let (literal, rest) = text.split_at(end);
    let value = match literal.strip_suffix(['L', 'l']) {
        Some(long) => long.parse().ok().map(Value::Int64),
        None if literal.contains(['.', 'e', 'E']) => literal.parse().ok().map(Value::Double),
        None => literal.parse().map(Value::Int32).or_else(|_| literal.parse().map(Value::Int64)).ok(),
    };
    value.map(|v| (Token::Constant(v), rest)).ok_or_else(|| refused(text))
}
