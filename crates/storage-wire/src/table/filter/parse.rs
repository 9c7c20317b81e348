//! From a filter's text to its expression, by recursive descent.

use super::token::{Token, refused, tokens};
use super::{Comparison, Filter, Operand};
use crate::error::{ErrorCode, ProtocolError};
use crate::table::value::Value;

/// Parentheses and `not` nest at most this deep, so that no text exhausts the stack.
const DEPTH_MAX: usize = 50;
/// A filter has at most this many characters; a URL is not much longer.
const CHARS_MAX: usize = 32 << 10;

impl Filter {
    /// Reads the text of `$filter`.
    ///
    /// # Errors
    /// When it breaks the grammar; a function call is said to be not implemented, as Azure does.
    pub fn parse(text: &str) -> Result<Self, ProtocolError> {
        if text.len() > CHARS_MAX {
            return Err(refused(text));
        }
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens, at: 0 };
        let filter = parser.or(0)?;
        if parser.at == tokens.len() { Ok(filter) } else { Err(parser.refused()) }
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Parser<'_> {
    fn or(&mut self, depth: usize) -> Result<Filter, ProtocolError> {
        let mut terms = vec![self.and(depth)?];
        while self.take_word("or") {
            terms.push(self.and(depth)?);
        }
        Ok(single_or(terms, Filter::Or))
    }

    fn and(&mut self, depth: usize) -> Result<Filter, ProtocolError> {
        let mut terms = vec![self.unary(depth)?];
        while self.take_word("and") {
            terms.push(self.unary(depth)?);
        }
        Ok(single_or(terms, Filter::And))
    }

    fn unary(&mut self, depth: usize) -> Result<Filter, ProtocolError> {
        if depth == DEPTH_MAX {
            return Err(self.refused());
        }
        if self.take_word("not") {
            return Ok(Filter::Not(Box::new(self.unary(depth + 1)?)));
        }
        if self.tokens.get(self.at) == Some(&Token::Open) {
            self.at += 1;
            let inner = self.or(depth + 1)?;
            if self.tokens.get(self.at) != Some(&Token::Close) {
                return Err(self.refused());
            }
            self.at += 1;
            return Ok(inner);
        }
        let left = self.operand()?;
        match self.comparison() {
            Some(comparison) => Ok(Filter::Compare(left, comparison, self.operand()?)),
            // Alone, a constant is no condition unless it is true or false.
            None if matches!(&left, Operand::Constant(value) if !matches!(value, Value::Boolean(_))) => {
                Err(self.refused())
            }
            None => Ok(Filter::Is(left)),
        }
    }

    fn operand(&mut self) -> Result<Operand, ProtocolError> {
        let operand = match self.tokens.get(self.at) {
            Some(Token::Word(name)) if !is_operator(name) => Operand::Property(name.clone()),
            Some(Token::Constant(value)) => Operand::Constant(value.clone()),
            _ => return Err(self.refused()),
        };
        self.at += 1;
        let why = match self.tokens.get(self.at) {
            Some(Token::Open) if matches!(operand, Operand::Property(_)) => {
                "Functions in $filter are not implemented."
            }
            Some(Token::Word(word)) if matches!(word.as_str(), "add" | "sub" | "mul" | "div" | "mod") => {
                "Arithmetic in $filter is not implemented."
            }
            _ => return Ok(operand),
        };
        Err(ProtocolError::saying(ErrorCode::NotImplemented, why))
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let Some(Token::Word(word)) = self.tokens.get(self.at) else { return None };
        let comparison = comparison(word)?;
        self.at += 1;
        Some(comparison)
    }

    fn take_word(&mut self, expected: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Word(word)) if word == expected);
        self.at += usize::from(found);
        found
    }

    fn refused(&self) -> ProtocolError {
        let word = match self.tokens.get(self.at) {
            Some(Token::Open) => "(".to_owned(),
            Some(Token::Close) => ")".to_owned(),
            Some(Token::Comma) => ",".to_owned(),
            Some(Token::Word(word)) => word.clone(),
            Some(Token::Constant(value)) => Operand::Constant(value.clone()).to_string(),
            None => "its end".to_owned(),
        };
        refused(&word)
    }
}

fn comparison(word: &str) -> Option<Comparison> {
    match word {
        "eq" => Some(Comparison::Eq),
        "ne" => Some(Comparison::Ne),
        "gt" => Some(Comparison::Gt),
        "ge" => Some(Comparison::Ge),
        "lt" => Some(Comparison::Lt),
        "le" => Some(Comparison::Le),
        _ => None,
    }
}

fn is_operator(word: &str) -> bool {
    comparison(word).is_some() || matches!(word, "and" | "or" | "not")
}

fn single_or(mut terms: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match terms.pop() {
        Some(only) if terms.is_empty() => only,
        Some(last) => {
            terms.push(last);
            join(terms)
        }
        None => join(terms),
    }
}
