//! A query as it is evaluated: what `sqlparser` understood, narrowed to what is served.
//!
//! `SELECT` of all, of expressions, or of aggregates; `FROM` one source; `WHERE`; `LIMIT`.

use sqlparser::ast;
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::value::{Type, Value};

/// How deep expressions may be nested.
const DEPTH_MAX: usize = 50;
/// Operators and keywords of a query. A chain of operators is a tree as deep as it is long, and each step down takes
/// from the stack.
const OPERATORS_MAX: usize = 250;
/// Bytes of the pattern of `LIKE`: to compare a text may take as many steps as both lengths multiplied.
const PATTERN_BYTES_MAX: usize = 1000;
/// A query is understood on a stack of its own, since what is left of the caller's is not known.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    pub selection: Selection,
    pub filter: Option<Expr>,
    pub limit: Option<u64>,
}

/// What is selected.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Selection {
    /// Records as they are.
    All,
    /// Of each record, these, with names.
    Items(Vec<(String, Expr)>),
    /// Of all records together, these, with names.
    Aggregates(Vec<(String, Aggregate, Option<Expr>)>),
}

/// A function of all records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Count,
    Sum,
    Average,
    Least,
    Greatest,
}

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Lower,
    Upper,
    Trim,
    Length,
}

/// An expression over one record.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Constant(Value),
    /// A field by its names, from the outside in; `_1` is the first of a record.
    Field(Vec<String>),
    Binary(Box<Expr>, ast::BinaryOperator, Box<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    IsNull(Box<Expr>),
    Like(Box<Expr>, String, Option<char>),
    In(Box<Expr>, Vec<Expr>),
    Cast(Box<Expr>, Type),
    Function(Function, Box<Expr>),
    Coalesce(Vec<Expr>),
}

/// Why a query is not served.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct StatementError(String);

type Result<T> = std::result::Result<T, StatementError>;

/// Whether a token can make a tree deeper: it is neither a name, a constant, nor what stands between those of a list.
fn is_operator(token: &TokenWithSpan) -> bool {
    match &token.token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Number(..) | Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => false,
        Token::Whitespace(_) | Token::Comma | Token::Period | Token::LParen | Token::RParen => false,
        _ => true,
    }
}

fn refuse<T>(what: impl std::fmt::Display) -> Result<T> {
    Err(StatementError(format!("{what} is not served")))
}

impl Statement {
    /// Understands a text.
    ///
    /// # Errors
    /// Says what cannot be understood, or is not served.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let failed = |why: &str| StatementError(format!("the query could not be read: {why}"));
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            let parsing = thread.spawn_scoped(scope, || Self::parse_here(text));
            let parsing = parsing.map_err(|error| failed(&error.to_string()))?;
            parsing.join().unwrap_or_else(|_| Err(failed("the parser ended")))
        })
    }

    fn parse_here(text: &str) -> Result<Self> {
        let bad = |error: sqlparser::parser::ParserError| StatementError(error.to_string());
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location();
        let tokens = tokens.map_err(|error| StatementError(error.to_string()))?;
        if tokens.iter().filter(|token| is_operator(token)).count() > OPERATORS_MAX {
            return refuse(format!("a query of more than {OPERATORS_MAX} operators and keywords"));
        }
        let parser = Parser::new(&GenericDialect {}).with_recursion_limit(DEPTH_MAX);
        let mut statements = parser.with_tokens_with_locations(tokens).parse_statements().map_err(bad)?;
        let (Some(ast::Statement::Query(query)), true) = (statements.pop(), statements.is_empty()) else {
            return refuse("anything but one SELECT");
        };
        if query.with.is_some() || query.order_by.is_some() || query.fetch.is_some() {
            return refuse("WITH, ORDER BY or FETCH");
        }
        let limit = query.limit_clause.as_ref().map(limit).transpose()?;
        let ast::SetExpr::Select(select) = *query.body else {
            return refuse("anything but a plain SELECT");
        };
        let grouped = match &select.group_by {
            ast::GroupByExpr::Expressions(by, more) => !by.is_empty() || !more.is_empty(),
            ast::GroupByExpr::All(_) => true,
        };
        if grouped || select.having.is_some() || select.distinct.is_some() {
            return refuse("GROUP BY, HAVING or DISTINCT");
        }
        let source = Source::of(&select.from)?;
        let filter = select.selection.as_ref().map(|expr| source.expr(expr)).transpose()?;
        Ok(Self { selection: source.selection(&select.projection)?, filter, limit })
    }
}

fn limit(clause: &ast::LimitClause) -> Result<u64> {
    match clause {
        ast::LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by }
            if limit_by.is_empty() =>
        {
            limit.to_string().parse().or_else(|_| refuse("a LIMIT that is no number"))
        }
        _ => refuse("this form of LIMIT"),
    }
}

/// What fields' names may begin with: the source, or its alias.
struct Source {
    names: Vec<String>,
}

impl Source {
    fn of(from: &[ast::TableWithJoins]) -> Result<Self> {
        let [ast::TableWithJoins { relation: ast::TableFactor::Table { name, alias, .. }, joins }] = from
        else {
            return refuse("FROM anything but BlobStorage");
        };
        if !joins.is_empty() {
            return refuse("JOIN");
        }
        let alias = alias.as_ref().map(|alias| alias.name.value.clone());
        Ok(Self { names: [name.to_string()].into_iter().chain(alias).collect() })
    }

    fn selection(&self, items: &[ast::SelectItem]) -> Result<Selection> {
        if let [ast::SelectItem::Wildcard(_)] = items {
            return Ok(Selection::All);
        }
        let mut plain = Vec::new();
        let mut aggregates = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let (expr, alias) = match item {
                ast::SelectItem::UnnamedExpr(expr) => (expr, None),
                ast::SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.value.clone())),
                _ => return refuse("* beside other columns"),
            };
            let name = alias.unwrap_or_else(|| self.name_of(expr, index));
            match aggregate_of(expr)? {
                Some((aggregate, of)) => {
                    let of = of.map(|expr| self.expr(expr)).transpose()?;
                    aggregates.push((name, aggregate, of));
                }
                None => plain.push((name, self.expr(expr)?)),
            }
        }
        match (plain.is_empty(), aggregates.is_empty()) {
            (false, true) => Ok(Selection::Items(plain)),
            (true, false) => Ok(Selection::Aggregates(aggregates)),
            _ => refuse("a column beside an aggregate"),
        }
    }

    /// What a column without an alias is called: its field's last name, or `_` and its number.
    fn name_of(&self, expr: &ast::Expr, index: usize) -> String {
        match expr {
            ast::Expr::Identifier(name) => name.value.clone(),
            ast::Expr::CompoundIdentifier(names) => {
                names.last().map(|name| name.value.clone()).unwrap_or_default()
            }
            _ => format!("_{}", index + 1),
        }
    }

    fn boxed(&self, expr: &ast::Expr) -> Result<Box<Expr>> {
        self.expr(expr).map(Box::new)
    }

    fn expr(&self, expr: &ast::Expr) -> Result<Expr> {
        use ast::Expr as E;
        match expr {
            E::Nested(inner) => self.expr(inner),
            E::Identifier(name) => Ok(Expr::Field(vec![name.value.clone()])),
            E::CompoundIdentifier(names) => Ok(self.field(names)),
            E::Value(value) => constant(&value.value).map(Expr::Constant),
            E::BinaryOp { left, op, right } => {
                Ok(Expr::Binary(self.boxed(left)?, operator(op)?, self.boxed(right)?))
            }
            E::UnaryOp { op: ast::UnaryOperator::Not, expr } => Ok(Expr::Not(self.boxed(expr)?)),
            E::UnaryOp { op: ast::UnaryOperator::Minus, expr } => Ok(Expr::Negative(self.boxed(expr)?)),
            E::IsNull(expr) => Ok(Expr::IsNull(self.boxed(expr)?)),
            E::IsNotNull(expr) => Ok(Expr::Not(Box::new(Expr::IsNull(self.boxed(expr)?)))),
            E::Between { expr, negated, low, high } => {
                let from = Expr::Binary(self.boxed(expr)?, ast::BinaryOperator::GtEq, self.boxed(low)?);
                let to = Expr::Binary(self.boxed(expr)?, ast::BinaryOperator::LtEq, self.boxed(high)?);
                let both = Expr::Binary(Box::new(from), ast::BinaryOperator::And, Box::new(to));
                Ok(negated_if(*negated, both))
            }
            E::Like { negated, any: false, expr, pattern, escape_char } => {
                let escape = escape_char.as_ref().map(|value| constant(&value.value)).transpose()?;
                let escape = escape.and_then(|value| value.to_text().chars().next());
                match self.expr(pattern)? {
                    Expr::Constant(Value::Text(pattern)) if pattern.len() > PATTERN_BYTES_MAX => {
                        refuse(format!("a pattern of more than {PATTERN_BYTES_MAX} bytes"))
                    }
                    Expr::Constant(Value::Text(pattern)) => {
                        Ok(negated_if(*negated, Expr::Like(self.boxed(expr)?, pattern, escape)))
                    }
                    _ => refuse("LIKE anything but a text"),
                }
            }
            E::InList { expr, list, negated } => {
                let list: Result<Vec<Expr>> = list.iter().map(|expr| self.expr(expr)).collect();
                Ok(negated_if(*negated, Expr::In(self.boxed(expr)?, list?)))
            }
            E::Cast { expr, data_type, .. } => Ok(Expr::Cast(self.boxed(expr)?, type_of(data_type)?)),
            E::Trim { expr, trim_where: None, trim_what: None, trim_characters: None } => {
                Ok(Expr::Function(Function::Trim, self.boxed(expr)?))
            }
            E::Function(function) => self.function(function),
            other => refuse(other),
        }
    }

    fn field(&self, names: &[ast::Ident]) -> Expr {
        let mut names: Vec<String> = names.iter().map(|name| name.value.clone()).collect();
        if names.len() > 1 && self.names.contains(&names[0]) {
            names.remove(0);
        }
        Expr::Field(names)
    }

    fn function(&self, function: &ast::Function) -> Result<Expr> {
        let arguments: Result<Vec<Expr>> = arguments(function)?.iter().map(|expr| self.expr(expr)).collect();
        let mut arguments = arguments?;
        let name = function.name.to_string().to_ascii_uppercase();
        if name == "COALESCE" {
            return Ok(Expr::Coalesce(arguments));
        }
        let one = match name.as_str() {
            "LOWER" => Function::Lower,
            "UPPER" => Function::Upper,
            "CHAR_LENGTH" | "CHARACTER_LENGTH" | "LENGTH" => Function::Length,
            _ => return refuse(name),
        };
        match (arguments.pop(), arguments.is_empty()) {
            (Some(argument), true) => Ok(Expr::Function(one, Box::new(argument))),
            _ => refuse(format!("{name} of anything but one value")),
        }
    }
}

fn negated_if(negated: bool, expr: Expr) -> Expr {
    if negated { Expr::Not(Box::new(expr)) } else { expr }
}

fn aggregate_of(expr: &ast::Expr) -> Result<Option<(Aggregate, Option<&ast::Expr>)>> {
    let ast::Expr::Function(function) = expr else {
        return Ok(None);
    };
    let aggregate = match function.name.to_string().to_ascii_uppercase().as_str() {
        "COUNT" => Aggregate::Count,
        "SUM" => Aggregate::Sum,
        "AVG" => Aggregate::Average,
        "MIN" => Aggregate::Least,
        "MAX" => Aggregate::Greatest,
        _ => return Ok(None),
    };
    match arguments(function)?.as_slice() {
        [] if aggregate == Aggregate::Count => Ok(Some((aggregate, None))),
        [one] => Ok(Some((aggregate, Some(*one)))),
        _ => refuse(format!("{} of anything but one value", function.name)),
    }
}

/// The arguments of a function; `*` is none.
fn arguments(function: &ast::Function) -> Result<Vec<&ast::Expr>> {
    let ast::FunctionArguments::List(list) = &function.args else {
        return refuse("a function without arguments");
    };
    if list.duplicate_treatment.is_some() || function.filter.is_some() || function.over.is_some() {
        return refuse("DISTINCT, FILTER or OVER");
    }
    let mut arguments = Vec::new();
    for argument in &list.args {
        match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => arguments.push(expr),
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard) => {}
            other => return refuse(other),
        }
    }
    Ok(arguments)
}

fn operator(operator: &ast::BinaryOperator) -> Result<ast::BinaryOperator> {
    use ast::BinaryOperator as O;
    match operator {
        O::Plus | O::Minus | O::Multiply | O::Divide | O::Modulo => Ok(operator.clone()),
        O::Gt | O::GtEq | O::Lt | O::LtEq | O::Eq | O::NotEq | O::And | O::Or => Ok(operator.clone()),
        other => refuse(other),
    }
}

fn constant(value: &ast::Value) -> Result<Value> {
    match value {
        ast::Value::Number(text, _) => {
            let number = Value::Text(text.clone()).number();
            number.map_or_else(|| refuse(text), Ok)
        }
        ast::Value::SingleQuotedString(text) => Ok(Value::Text(text.clone())),
        ast::Value::Boolean(value) => Ok(Value::Bool(*value)),
        ast::Value::Null => Ok(Value::Null),
        other => refuse(other),
    }
}

fn type_of(data_type: &ast::DataType) -> Result<Type> {
    match data_type.to_string().to_ascii_uppercase().as_str() {
        "INT" | "INTEGER" | "BIGINT" | "SMALLINT" => Ok(Type::Int),
        "FLOAT" | "DOUBLE" | "REAL" | "DECIMAL" | "NUMERIC" => Ok(Type::Float),
        "BOOL" | "BOOLEAN" | "BIT" => Ok(Type::Bool),
        text if text.starts_with("STRING") || text.contains("CHAR") => Ok(Type::Text),
        other => refuse(format!("CAST to {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn served_and_refused() {
        for (text, served) in [
            ("SELECT * FROM BlobStorage", true),
            ("SELECT _1, _2 AS two FROM BlobStorage WHERE _3 > 5 LIMIT 3", true),
            ("SELECT COUNT(*), MAX(price) FROM BlobStorage", true),
            ("SELECT b.x.y FROM BlobStorage b WHERE NOT b.x IS NULL AND (1 + 2) * 3 = 9", true),
            ("SELECT LOWER(TRIM(a)) FROM BlobStorage WHERE a LIKE 'x%' OR a IN ('a','b')", true),
            ("SELECT CAST(_1 AS INT) FROM BlobStorage WHERE _1 BETWEEN 1 AND 2", true),
            ("", false),
            ("SELECT", false),
            ("DELETE FROM BlobStorage", false),
            ("SELECT * FROM a; SELECT * FROM b", false),
            ("SELECT * FROM a, b", false),
            ("SELECT * FROM a JOIN b ON a.x = b.x", false),
            ("SELECT a, COUNT(*) FROM BlobStorage", false),
            ("SELECT a FROM BlobStorage GROUP BY a", false),
            ("SELECT a FROM BlobStorage ORDER BY a", false),
            ("SELECT SLEEP(1) FROM BlobStorage", false),
            ("SELECT (SELECT 1) FROM BlobStorage", false),
            ("SELECT * FROM BlobStorage LIMIT -1", false),
        ] {
            assert_eq!(Statement::parse(text).is_ok(), served, "{text}");
        }
        let deep = format!("SELECT {}1{} FROM b", "(".repeat(5000), ")".repeat(5000));
        assert!(Statement::parse(&deep).is_err());
        let chain = |operators: usize| format!("SELECT a FROM b WHERE 0 = 0{}", "+1".repeat(operators - 4));
        for (operators, served) in [(249, true), (250, true), (251, false), (100_000, false)] {
            assert_eq!(Statement::parse(&chain(operators)).is_ok(), served, "{operators}");
        }
        for (length, served) in [(999, true), (1000, true), (1001, false)] {
            let like = format!("SELECT a FROM b WHERE a LIKE '{}'", "%".repeat(length));
            assert_eq!(Statement::parse(&like).is_ok(), served, "{length}");
        }
    }
}
