//! Expressions over index tags: `where` of Find Blobs by Tags, and the header `x-ms-if-tags`
//! (STORAGE, sections 1 and 4).
//!
//! ```text
//! or   := and ("OR" and)*                       only in x-ms-if-tags
//! and  := comparison ("AND" comparison)*
//! comparison := ("key" | key | @container) ("=" | "<>" | "<" | "<=" | ">" | ">=") 'value'
//! ```
//!
//! Values are compared as texts, by bytes. `<>` is only in `x-ms-if-tags`, `@container` only in `where`. A tag
//! that a blob does not have meets no comparison, not even `<>`.

use crate::error::ProtocolError;

/// Comparisons of one expression, at most.
const COMPARISONS_MAX: usize = 100;
/// What names the container in place of a tag.
const CONTAINER: &str = "@container";

/// How a tag and a value are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparison {
    key: String,
    operator: Operator,
    value: String,
}

/// An expression: one of these lists of comparisons must hold whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagFilter(Vec<Vec<Comparison>>);

/// Where an expression stands, which decides what it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `where` of Find Blobs by Tags.
    Where,
    /// `x-ms-if-tags`.
    Condition,
}

impl TagFilter {
    /// Parses an expression.
    ///
    /// # Errors
    /// Says where it cannot be understood.
    pub fn parse(text: &str, place: Place) -> Result<Self, ProtocolError> {
        let refuse = |why: String| match place {
            Place::Where => ProtocolError::query("where", text).with_detail("Reason", &why),
            Place::Condition => ProtocolError::header("x-ms-if-tags", text).with_detail("Reason", &why),
        };
        let tokens = tokens(text).map_err(refuse)?;
        parse(&tokens, place).map_err(refuse)
    }

    /// Whether a blob of this container, with these tags, meets it.
    #[must_use]
    pub fn matches(&self, container: &str, tags: &[(String, String)]) -> bool {
        let value_of = |key: &str| match key {
            CONTAINER => Some(container),
            key => tags.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str()),
        };
        let holds = |comparison: &Comparison| {
            value_of(&comparison.key).is_some_and(|value| comparison.operator.holds(value, &comparison.value))
        };
        self.0.iter().any(|all| all.iter().all(holds))
    }

    /// Whether it speaks of the tag of this key.
    #[must_use]
    pub fn names(&self, key: &str) -> bool {
        self.0.iter().flatten().any(|comparison| comparison.key == key)
    }
}

impl Operator {
    fn holds(self, left: &str, right: &str) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A tag's key, in double quotes or bare.
    Key {
        text: String,
        quoted: bool,
    },
    Value(String),
    Operator(Operator),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '"' => quoted(rest, '"').map(|(text, after)| (Token::Key { text, quoted: true }, after))?,
            '\'' => quoted(rest, '\'').map(|(text, after)| (Token::Value(text), after))?,
            '=' | '<' | '>' => operator(rest),
            c if c.is_ascii_alphanumeric() || c == '_' || c == '@' => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '@'));
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                (Token::Key { text: word.to_owned(), quoted: false }, after)
            }
            other => return Err(format!("{other} is not expected")),
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

/// A text in quotes; a quote in it is doubled.
fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut content = String::new();
    let mut rest = text.get(1..).unwrap_or("");
    loop {
        let end = rest.find(quote).ok_or_else(|| format!("a {quote} is not closed"))?;
        let (part, after) = (&rest[..end], &rest[end + 1..]);
        content.push_str(part);
        match after.strip_prefix(quote) {
            Some(after) => {
                content.push(quote);
                rest = after;
            }
            None => return Ok((content, after)),
        }
    }
}

fn operator(text: &str) -> (Token, &str) {
    let operators = [
        ("<>", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    let found = operators.iter().find_map(|(sign, op)| text.strip_prefix(sign).map(|after| (*op, after)));
    let (operator, after) = found.unwrap_or((Operator::Equal, text.get(1..).unwrap_or("")));
    (Token::Operator(operator), after)
}

fn parse(tokens: &[Token], place: Place) -> Result<TagFilter, String> {
    let mut any = Vec::new();
    let mut all = Vec::new();
    let mut rest = tokens;
    let mut count = 0;
    loop {
        let [Token::Key { text: key, .. }, Token::Operator(operator), Token::Value(value), after @ ..] = rest
        else {
            return Err("a comparison has the form \"key\" = 'value'".to_owned());
        };
        match (place, operator, key.as_str()) {
            (Place::Where, Operator::NotEqual, _) => return Err("<> is not for searches".to_owned()),
            (Place::Condition, _, CONTAINER) => return Err("@container is for searches only".to_owned()),
            _ => {}
        }
        count += 1;
        if count > COMPARISONS_MAX {
            return Err(format!("there are more than {COMPARISONS_MAX} comparisons"));
        }
        all.push(Comparison { key: key.clone(), operator: *operator, value: value.clone() });
        let Some((word, after)) = after.split_first() else {
            any.push(all);
            return Ok(TagFilter(any));
        };
        match word {
            Token::Key { text, quoted: false } if text.eq_ignore_ascii_case("and") => {}
            Token::Key { text, quoted: false }
                if text.eq_ignore_ascii_case("or") && place == Place::Condition =>
            {
                any.push(std::mem::take(&mut all));
            }
            _ => return Err("comparisons are joined by AND".to_owned()),
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the filter meets the container `c` with the tags `a=1` and `b=x'y`; `None` where it is refused.
    fn check(text: &str, place: Place, expected: Option<bool>) {
        let tags = [("a", "1"), ("b", "x'y")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let found = TagFilter::parse(text, place).ok().map(|filter| filter.matches("c", &tags));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn expressions() {
        for (text, search, condition) in [
            ("\"a\" = '1'", Some(true), Some(true)),
            ("a='1'", Some(true), Some(true)),
            ("a = '2'", Some(false), Some(false)),
            ("\"a\">'0' AND \"a\"<'2'", Some(true), Some(true)),
            ("a >= '1' and a <= '1'", Some(true), Some(true)),
            ("a > '1'", Some(false), Some(false)),
            ("b = 'x''y'", Some(true), Some(true)),
            ("z = ''", Some(false), Some(false)),
            ("@container = 'c' AND a = '1'", Some(true), None),
            ("@container = 'd' AND a = '1'", Some(false), None),
            ("a <> '2'", None, Some(true)),
            ("z <> '2'", None, Some(false)),
            ("a = '2' OR b > 'x'", None, Some(true)),
            ("a = '1' OR a = '2' AND b = ''", None, Some(true)),
            ("", None, None),
            ("a", None, None),
            ("a = 1", None, None),
            ("a = '1", None, None),
            ("a = '1' AND", None, None),
            ("a = '1' XOR b = '1'", None, None),
            ("a ! '1'", None, None),
            ("\"and\" = '1' \"and\" a = '1'", None, None),
        ] {
            check(text, Place::Where, search);
            check(text, Place::Condition, condition);
        }
        let many = |count: usize| vec!["a = '1'"; count].join(" AND ");
        check(&many(COMPARISONS_MAX), Place::Where, Some(true));
        check(&many(COMPARISONS_MAX + 1), Place::Where, None);
    }
}
