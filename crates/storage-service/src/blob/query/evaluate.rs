//! Evaluating a query's expressions over a record.

use std::cmp::Ordering;

use sqlparser::ast::BinaryOperator;

use super::record::Record;
use super::statement::{Aggregate, Expr, Function};
use super::value::Value;

impl Expr {
    /// The value for a record; `Null` where it is not known.
    pub(super) fn of(&self, record: &Record) -> Value {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Field(names) => record.field(names),
            Self::Binary(left, operator, right) => binary(left, operator, right, record),
            Self::Not(expr) => match expr.of(record) {
                Value::Bool(value) => Value::Bool(!value),
                _ => Value::Null,
            },
            Self::Negative(expr) => match expr.of(record).number() {
                Some(Value::Int(number)) => number.checked_neg().map_or(Value::Null, Value::Int),
                Some(Value::Float(number)) => Value::Float(-number),
                _ => Value::Null,
            },
            Self::IsNull(expr) => Value::Bool(expr.of(record) == Value::Null),
            Self::Like(expr, pattern, escape) => match expr.of(record) {
                Value::Null => Value::Null,
                value => Value::Bool(like(&value.to_text(), pattern, *escape)),
            },
            Self::In(expr, list) => {
                let value = expr.of(record);
                let found = list.iter().any(|one| value.compare(&one.of(record)) == Some(Ordering::Equal));
                if value == Value::Null { Value::Null } else { Value::Bool(found) }
            }
            Self::Cast(expr, to) => expr.of(record).cast(*to),
            Self::Function(function, expr) => match expr.of(record) {
                Value::Null => Value::Null,
                value => apply(*function, &value.to_text()),
            },
            Self::Coalesce(list) => {
                let mut values = list.iter().map(|one| one.of(record));
                values.find(|value| *value != Value::Null).unwrap_or(Value::Null)
            }
        }
    }
}

fn apply(function: Function, text: &str) -> Value {
    match function {
        Function::Lower => Value::Text(text.to_lowercase()),
        Function::Upper => Value::Text(text.to_uppercase()),
        Function::Trim => Value::Text(text.trim().to_owned()),
        Function::Length => i64::try_from(text.chars().count()).map_or(Value::Null, Value::Int),
    }
}

fn binary(left: &Expr, operator: &BinaryOperator, right: &Expr, record: &Record) -> Value {
    use BinaryOperator as O;
    let (left, right) = (left.of(record), right.of(record));
    let truth = |holds: fn(Ordering) -> bool| {
        left.compare(&right).map_or(Value::Null, |ordering| Value::Bool(holds(ordering)))
    };
    match operator {
        O::And => match (&left, &right) {
            (Value::Bool(false), _) | (_, Value::Bool(false)) => Value::Bool(false),
            (Value::Bool(true), Value::Bool(true)) => Value::Bool(true),
            _ => Value::Null,
        },
        O::Or => match (&left, &right) {
            (Value::Bool(true), _) | (_, Value::Bool(true)) => Value::Bool(true),
            (Value::Bool(false), Value::Bool(false)) => Value::Bool(false),
            _ => Value::Null,
        },
        O::Eq => truth(Ordering::is_eq),
        O::NotEq => truth(Ordering::is_ne),
        O::Lt => truth(Ordering::is_lt),
        O::LtEq => truth(Ordering::is_le),
        O::Gt => truth(Ordering::is_gt),
        O::GtEq => truth(Ordering::is_ge),
        _ => arithmetic(&left, operator, &right),
    }
}

fn arithmetic(left: &Value, operator: &BinaryOperator, right: &Value) -> Value {
    use BinaryOperator as O;
    let (Some(left), Some(right)) = (left.number(), right.number()) else {
        return Value::Null;
    };
    if let (Value::Int(left), Value::Int(right)) = (&left, &right) {
        let result = match operator {
            O::Plus => left.checked_add(*right),
            O::Minus => left.checked_sub(*right),
            O::Multiply => left.checked_mul(*right),
            O::Divide => left.checked_div(*right),
            _ => left.checked_rem(*right),
        };
        return result.map_or(Value::Null, Value::Int);
    }
    let (Some(left), Some(right)) = (left.float(), right.float()) else {
        return Value::Null;
    };
    Value::Float(match operator {
        O::Plus => left + right,
        O::Minus => left - right,
        O::Multiply => left * right,
        O::Divide => left / right,
        _ => left % right,
    })
}

/// `%` stands for any characters, `_` for one. Takes time in proportion to both lengths at worst.
fn like(text: &str, pattern: &str, escape: Option<char>) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut signs = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        signs.push(match c {
            c if Some(c) == escape => Sign::One(chars.next().unwrap_or(c)),
            '%' => Sign::Any,
            '_' => Sign::Single,
            c => Sign::One(c),
        });
    }
    let (mut at, mut sign) = (0, 0);
    // Where to go on when what follows the last `%` does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while at < text.len() {
        match signs.get(sign) {
            Some(Sign::Any) => {
                retry = Some((at, sign));
                sign += 1;
            }
            Some(Sign::Single) => (at, sign) = (at + 1, sign + 1),
            Some(Sign::One(c)) if *c == text[at] => (at, sign) = (at + 1, sign + 1),
            _ => match retry {
                Some((begin, any)) => {
                    retry = Some((begin + 1, any));
                    (at, sign) = (begin + 1, any + 1);
                }
                None => return false,
            },
        }
    }
    signs[sign..].iter().all(|sign| *sign == Sign::Any)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Any,
    Single,
    One(char),
}

/// An aggregate under way.
#[derive(Debug, Clone)]
pub(super) struct Running {
    aggregate: Aggregate,
    count: i64,
    value: Value,
}

impl Running {
    pub(super) fn new(aggregate: Aggregate) -> Self {
        Self { aggregate, count: 0, value: Value::Null }
    }

    /// Takes the value of one record; `None` for `COUNT(*)`.
    pub(super) fn take(&mut self, value: Option<Value>) {
        let value = match value {
            Some(Value::Null) => return,
            Some(value) => value,
            None => Value::Int(1),
        };
        let first = self.value == Value::Null;
        let replaces = match self.aggregate {
            Aggregate::Count => false,
            Aggregate::Sum | Aggregate::Average => {
                let Some(number) = value.number() else { return };
                self.value = match first {
                    true => number,
                    false => arithmetic(&self.value, &BinaryOperator::Plus, &number),
                };
                false
            }
            Aggregate::Least => first || value.compare(&self.value) == Some(Ordering::Less),
            Aggregate::Greatest => first || value.compare(&self.value) == Some(Ordering::Greater),
        };
        self.count += 1;
        if replaces {
            self.value = value;
        }
    }

    /// The result.
    pub(super) fn finish(self) -> Value {
        match self.aggregate {
            Aggregate::Count => Value::Int(self.count),
            Aggregate::Average => {
                self.value.float().map_or(Value::Null, |sum| Value::Float(sum / self.count as f64))
            }
            _ => self.value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::statement::{Selection, Statement};
    use super::*;

    #[test]
    fn expressions() {
        let record =
            Record::Document(serde_json::json!({ "a": 7, "b": "x_y", "c": null, "d": { "e": "5" } }));
        for (text, expected) in [
            ("a + 1", serde_json::json!(8)),
            ("a / 0", serde_json::json!(null)),
            ("a / 2.0", serde_json::json!(3.5)),
            ("-a % 4", serde_json::json!(-3)),
            ("d.e > 4 AND a = 7", serde_json::json!(true)),
            ("c = c", serde_json::json!(null)),
            ("c = 1 OR a = 7", serde_json::json!(true)),
            ("c IS NULL AND missing IS NULL", serde_json::json!(true)),
            ("b LIKE 'x!_%' ESCAPE '!'", serde_json::json!(true)),
            ("b LIKE '%y%y'", serde_json::json!(false)),
            ("b NOT IN ('a', 'x_y')", serde_json::json!(false)),
            ("COALESCE(c, UPPER(b))", serde_json::json!("X_Y")),
            ("CAST(d.e AS INT) * 2", serde_json::json!(10)),
            ("LENGTH(b)", serde_json::json!(3)),
        ] {
            let statement = Statement::parse(&format!("SELECT {text} FROM BlobStorage")).unwrap();
            let Selection::Items(items) = statement.selection else { panic!("{text}") };
            assert_eq!(items[0].1.of(&record).to_json(), expected, "{text}");
        }
    }

    #[test]
    fn patterns() {
        for (text, pattern, expected) in [
            ("", "", true),
            ("", "%", true),
            ("abc", "a%c", true),
            ("abc", "a_c", true),
            ("abc", "_", false),
            ("aXbXc", "%X%X%", true),
            ("mississippi", "%iss%ppi", true),
            ("mississippi", "%iss%ppo", false),
        ] {
            assert_eq!(like(text, pattern, None), expected, "{text} {pattern}");
        }
    }
}
