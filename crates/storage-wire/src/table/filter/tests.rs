use proptest::prelude::*;

use super::*;
use crate::error::ErrorCode;
use crate::table::value::tests::any_value;

/// Any filter over a few properties, keys among them.
pub(crate) fn any_filter() -> impl Strategy<Value = Filter> {
    let property = prop_oneof![
        Just("PartitionKey".to_owned()),
        Just("RowKey".to_owned()),
        Just("a".to_owned()),
        Just("b1".to_owned())
    ];
    let constant = prop_oneof![3 => "[a-c]{0,2}".prop_map(Value::String), 1 => any_value()];
    let constant = constant.prop_map(|value| match value {
        Value::Double(number) if !number.is_finite() => Operand::Constant(Value::Int32(0)),
        value => Operand::Constant(value),
    });
    let property = property.prop_map(Operand::Property);
    let truth = any::<bool>().prop_map(|truth| Operand::Constant(Value::Boolean(truth)));
    let alone = prop_oneof![property.clone(), truth];
    let operand = prop_oneof![property, constant];
    let comparison = prop_oneof![
        Just(Comparison::Eq),
        Just(Comparison::Ne),
        Just(Comparison::Gt),
        Just(Comparison::Ge),
        Just(Comparison::Lt),
        Just(Comparison::Le)
    ];
    let leaf = prop_oneof![
        5 => (operand.clone(), comparison, operand.clone()).prop_map(|(a, c, b)| Filter::Compare(a, c, b)),
        1 => alone.prop_map(Filter::Is),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::Or),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::And),
            inner.prop_map(|term| Filter::Not(Box::new(term))),
        ]
    })
}

proptest! {
    #[test]
    fn text_round_trips(filter in any_filter()) {
        prop_assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter);
    }

    #[test]
    fn no_text_panics(text in "[a-c ()'eqandornt0-9LX.-]{0,40}") {
        let _ = Filter::parse(&text);
    }
}

/// What the entity of the table of cases has.
fn property(name: &str) -> Option<ValueRef<'static>> {
    Some(match name {
        "PartitionKey" => ValueRef::String("p"),
        "text" => ValueRef::String("it's"),
        "yes" => ValueRef::Boolean(true),
        "small" => ValueRef::Int32(5),
        "large" => ValueRef::Int64(5_000_000_000),
        "half" => ValueRef::Double(0.5),
        "nan" => ValueRef::Double(f64::NAN),
        "when" => ValueRef::DateTime(welkin_base::timestamp::Timestamp::from_ticks(10_000_000)),
        "guid" => ValueRef::Guid(uuid::Uuid::from_u128(1)),
        "bytes" => ValueRef::Binary(&[1, 255]),
        _ => return None,
    })
}

#[test]
fn meaning() {
    for (text, expected) in [
        ("PartitionKey eq 'p'", true),
        ("'p' eq PartitionKey", true),
        ("'a' lt PartitionKey", true),
        ("text eq 'it''s'", true),
        ("yes", true),
        ("not yes", false),
        ("yes eq true", true),
        ("small eq 5", true),
        ("small eq 5L", true),
        ("small ge 4.5", true),
        ("small eq '5'", false),
        ("small ne '5'", false),
        ("large gt 4999999999", true),
        ("large eq 5000000000L", true),
        ("half lt 1", true),
        ("half eq 5e-1", true),
        ("half gt -1", true),
        ("nan eq NaN", false),
        ("nan ne 1.0", true),
        ("when eq datetime'1970-01-01T00:00:01Z'", true),
        ("when lt datetime'1970-01-01T00:00:01.0000001Z'", true),
        ("guid eq guid'00000000-0000-0000-0000-000000000001'", true),
        ("bytes eq X'01ff'", true),
        ("bytes eq binary'01FF'", true),
        ("bytes gt X'01'", true),
        ("missing eq 1", false),
        ("missing ne 1", false),
        ("not (missing eq 1)", true),
        ("missing", false),
        // "and" binds tighter than "or", "not" tighter than both.
        ("true or true and false", true),
        ("(true or true) and false", false),
        ("not false or false and false", true),
        ("not false and false", false),
        ("not (false and false)", true),
        ("not not yes", true),
        ("(small gt 1)and(small lt 9)", true),
        ("  small   gt  1  ", true),
    ] {
        let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(filter.matches(&property), expected, "{text}");
    }
}

#[test]
fn refused() {
    let deep = "(".repeat(200) + "yes" + &")".repeat(200);
    let not = "not ".repeat(200) + "yes";
    for text in [
        "",
        "small eq",
        "eq 5",
        "small = 5",
        "small eq 5 6",
        "(small eq 5",
        "small eq 5)",
        "'open",
        "small eq 1x",
        "small eq datetime'x'",
        "small eq guid'1'",
        "small eq X'0'",
        "small eq foo'1'",
        "and",
        "small and",
        "a eq b eq c",
        "small eq 99999999999999999999",
        &deep,
        &not,
        "5",
        "'text'",
        "small eq 1 and 5",
        "not",
        "()",
        "small, large",
        "small eq binary'0'",
        "small eq datetime'2026-13-01'",
        "small eq 1.2.3",
        "small eq 9223372036854775808L",
        "\u{0}",
    ] {
        assert_eq!(Filter::parse(text).unwrap_err().code(), ErrorCode::InvalidInput, "{text}");
    }
    for text in ["startswith(text, 'a')", "small eq length(text)", "small add 1 eq 2", "1 eq small mod 2"] {
        assert_eq!(Filter::parse(text).unwrap_err().code(), ErrorCode::NotImplemented, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_read(text in "\\PC{0,40}|[a-z0-9 ()'.,LX+-]{0,40}") {
        if let Err(error) = Filter::parse(&text) {
            prop_assert!(matches!(error.code(), ErrorCode::InvalidInput | ErrorCode::NotImplemented), "{}", error);
        }
    }
}
