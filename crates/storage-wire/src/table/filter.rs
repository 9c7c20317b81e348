//! `$filter`: its grammar and its meaning (STORAGE, section 7).
//!
//! ```text
//! expr    := and ("or" and)*
//! and     := unary ("and" unary)*
//! unary   := "not" unary | "(" expr ")" | operand [op operand]
//! op      := eq | ne | gt | ge | lt | le
//! operand := identifier | 'text' | true | false | 5 | 5L | 5.0 | datetime'…' | guid'…' | X'hex' | binary'hex'
//! ```
//!
//! A property that an entity does not have matches no comparison, and neither does one of another type.

use std::cmp::Ordering;
use std::fmt;

use crate::table::value::{Value, ValueRef, date_time};

mod parse;
mod token;

/// A filter's expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// At least one holds.
    Or(Vec<Filter>),
    /// All hold.
    And(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// A comparison.
    Compare(Operand, Comparison, Operand),
    /// A value that is true by itself.
    Is(Operand),
}

/// What a comparison compares.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A property's value.
    Property(String),
    /// A constant.
    Constant(Value),
}

/// How a comparison compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the operator of that name")]
pub enum Comparison {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::Ne => order.is_ne(),
            Self::Gt => order.is_gt(),
            Self::Ge => order.is_ge(),
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
        }
    }

    /// The operator with its sides exchanged.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            same => same,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
        }
    }
}

impl Filter {
    /// Whether what `property` tells of matches.
    pub fn matches<'a>(&self, property: &impl Fn(&str) -> Option<ValueRef<'a>>) -> bool {
        match self {
            Self::Or(terms) => terms.iter().any(|term| term.matches(property)),
            Self::And(terms) => terms.iter().all(|term| term.matches(property)),
            Self::Not(term) => !term.matches(property),
            Self::Is(operand) => {
                operand.resolve(property, |value| value == ValueRef::Boolean(true)).unwrap_or(false)
            }
            Self::Compare(left, comparison, right) => {
                let order =
                    left.resolve(property, |a| right.resolve(property, |b| compare(a, *comparison, b)));
                order.flatten().unwrap_or(false)
            }
        }
    }
}

/// NaN is not equal to itself, and that is the one comparison with it that holds.
fn compare(a: ValueRef<'_>, comparison: Comparison, b: ValueRef<'_>) -> bool {
    let nan = |v: ValueRef<'_>| matches!(v, ValueRef::Double(d) if d.is_nan());
    match a.compare(b) {
        Some(order) => comparison.holds(order),
        None => comparison == Comparison::Ne && (nan(a) || nan(b)),
    }
}

impl Operand {
    fn resolve<'a, T>(
        &self,
        property: &impl Fn(&str) -> Option<ValueRef<'a>>,
        with: impl FnOnce(ValueRef<'_>) -> T,
    ) -> Option<T> {
        match self {
            Self::Property(name) => property(name).map(with),
            Self::Constant(value) => Some(with(value.borrow())),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, terms: &[Self], word: &str| {
            for (index, term) in terms.iter().enumerate() {
                let separator = if index == 0 { "" } else { word };
                write!(f, "{separator}({term})")?;
            }
            Ok(())
        };
        match self {
            Self::Or(terms) => joined(f, terms, " or "),
            Self::And(terms) => joined(f, terms, " and "),
            Self::Not(term) => write!(f, "not ({term})"),
            Self::Compare(left, comparison, right) => write!(f, "{left} {} {right}", comparison.as_str()),
            Self::Is(operand) => operand.fmt(f),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Property(name) => f.write_str(name),
            Self::Constant(Value::String(text)) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Constant(Value::Boolean(truth)) => truth.fmt(f),
            Self::Constant(Value::Int32(number)) => number.fmt(f),
            Self::Constant(Value::Int64(number)) => write!(f, "{number}L"),
            Self::Constant(Value::Double(number)) => write!(f, "{number:?}"),
            Self::Constant(Value::DateTime(moment)) => write!(f, "datetime'{}'", date_time(*moment)),
            Self::Constant(Value::Guid(guid)) => write!(f, "guid'{guid}'"),
            Self::Constant(Value::Binary(bytes)) => write!(f, "X'{}'", hex::encode(bytes)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
