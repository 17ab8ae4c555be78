//! Random batches and random filters: columns must say what a walk over the tree says row by row.
//! More of them: `PROPTEST_CASES=20000`.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::StringArray;
use proptest::prelude::*;
use regex::Regex;
use suyuan_model::{Batch, SpanHead, Strings, Values as ColumnValues};
use suyuan_store::SpanStructure;
use suyuan_traceql::ast::{
    Attribute, AttributeScope, FieldExpr, FieldKind, FieldOp, Intrinsic, Kind, Place, Status,
    UnaryOp, Value,
};

use super::fixture::{Sent, SentAttributes, SentSpan, batch, rows_of};
use crate::filter::expr::{Values, is_of_event, is_of_link};
use crate::filter::row::Row;
use crate::filter::scalar::{Calculation, Comparison, Scalar};
use crate::filter::{TraceContext, TraceFacts};

const TEXTS: [&str; 7] = ["", "a", "ab", "abc", "b", "0A", "GET /a"];
const PATTERNS: [&str; 9] =
    ["a", "a.*", ".*b", ".*b.*", "a|b|", "[ab]+c?", "(?i)get.*", "ab.*c", "0{16}|0*a"];

fn sent(depth: u32) -> BoxedStrategy<Sent> {
    let simple = prop_oneof![
        4 => prop::sample::select(&TEXTS[..]).prop_map(Sent::Text),
        3 => (-2i64..4).prop_map(Sent::Int),
        2 => prop::sample::select(vec![-1.0, 0.0, 0.5, 2.0, f64::NAN]).prop_map(Sent::Double),
        2 => any::<bool>().prop_map(Sent::Bool),
        1 => Just(Sent::Empty),
        1 => Just(Sent::Bytes),
        1 => Just(Sent::Map),
    ];
    if depth == 0 {
        return simple.boxed();
    }
    let same = simple.clone().prop_flat_map(|one| prop::collection::vec(Just(one), 1..3));
    prop_oneof![
        12 => simple,
        1 => prop::collection::vec(sent(depth - 1), 0..3).prop_map(Sent::Array),
        1 => same.prop_map(Sent::Array),
    ]
    .boxed()
}

fn attributes() -> BoxedStrategy<SentAttributes> {
    let key = prop::sample::select(vec!["k", "l", "service.name"]);
    prop::collection::vec((key, sent(1)), 0..3).boxed()
}

fn span() -> impl Strategy<Value = SentSpan> {
    let times = (0i64..3, -1i64..3);
    let numbers = (0u128..3, 0u64..12, prop::option::of(0u64..3), 0i32..7, 0i32..4);
    let texts = (prop::sample::select(&TEXTS[..]), prop::sample::select(&TEXTS[..]));
    let event = (0u64..4, prop::sample::select(&TEXTS[..]), attributes());
    let id = prop::sample::select(vec![&b"\x0a"[..], b"\0\x01", b""]);
    let link = (id.clone(), id, attributes());
    let scope =
        (prop::sample::select(&TEXTS[..2]), prop::sample::select(&TEXTS[..2]), attributes());
    let shared = (prop::sample::select(vec![0, 1]), prop::sample::select(vec![0, 1]));
    (
        (times, numbers, texts, shared),
        attributes(),
        (attributes(), scope),
        prop::collection::vec(event, 0..3),
        prop::collection::vec(link, 0..2),
    )
        .prop_map(|((times, numbers, texts, shared), attributes, of_source, events, links)| {
            let (trace_id, span_id, parent_span_id, kind, status_code) = numbers;
            let head = SpanHead {
                trace_id: trace_id.to_be_bytes(),
                span_id,
                parent_span_id,
                start_unix_nanos: times.0,
                end_unix_nanos: times.0 + times.1,
                name: texts.0.as_bytes(),
                kind,
                status_code,
                status_message: texts.1.as_bytes(),
                ..SpanHead::default()
            };
            let (mut resource, mut scope) = of_source;
            if shared.0 == 0 {
                resource = vec![("k", Sent::Text("a"))];
            }
            if shared.1 == 0 {
                scope = ("a", "b", vec![("l", Sent::Int(1))]);
            }
            SentSpan { head, attributes, resource, scope, events, links }
        })
}

fn expr(kind: FieldKind) -> FieldExpr {
    FieldExpr { kind, place: Place::default() }
}

fn literal() -> impl Strategy<Value = FieldExpr> {
    prop_oneof![
        prop::sample::select(&TEXTS[..]).prop_map(|text| Value::String(text.into())),
        (-2i64..4).prop_map(Value::Int),
        (-1i64..3).prop_map(Value::DurationNanos),
        prop::sample::select(vec![-1.0, 0.5, 2.0]).prop_map(Value::Float),
        any::<bool>().prop_map(Value::Bool),
        prop::sample::select(vec![Status::Unset, Status::Ok, Status::Error])
            .prop_map(Value::Status),
        prop::sample::select(vec![Kind::Server, Kind::Client]).prop_map(Value::Kind),
        Just(Value::Nil),
    ]
    .prop_map(|value| expr(FieldKind::Literal(value)))
}

fn attribute() -> impl Strategy<Value = FieldExpr> {
    let scope = prop::sample::select(vec![
        AttributeScope::Any,
        AttributeScope::Any,
        AttributeScope::Span,
        AttributeScope::Span,
        AttributeScope::Resource,
        AttributeScope::Event,
        AttributeScope::Link,
        AttributeScope::Instrumentation,
    ]);
    let name = prop::sample::select(vec!["k", "k", "l", "service.name"]);
    let named =
        (scope, name).prop_map(|(scope, name)| Attribute::Named { scope, name: name.into() });
    let intrinsic = prop::sample::select(vec![
        Intrinsic::TraceDuration,
        Intrinsic::TraceRootName,
        Intrinsic::TraceRootService,
        Intrinsic::TraceId,
        Intrinsic::Duration,
        Intrinsic::Name,
        Intrinsic::Kind,
        Intrinsic::Status,
        Intrinsic::StatusMessage,
        Intrinsic::SpanId,
        Intrinsic::ParentId,
        Intrinsic::ChildCount,
        Intrinsic::NestedSetLeft,
        Intrinsic::NestedSetParent,
        Intrinsic::EventName,
        Intrinsic::EventTimeSinceStart,
        Intrinsic::LinkTraceId,
        Intrinsic::LinkSpanId,
        Intrinsic::InstrumentationName,
        Intrinsic::InstrumentationVersion,
    ]);
    prop_oneof![3 => named, 2 => intrinsic.prop_map(Attribute::Intrinsic)]
        .prop_map(|attribute| expr(FieldKind::Attribute(attribute)))
}

fn binary(op: FieldOp, left: FieldExpr, right: FieldExpr) -> FieldExpr {
    expr(FieldKind::Binary { op, left: Box::new(left), right: Box::new(right) })
}

fn comparison(
    side: impl Strategy<Value = FieldExpr> + Clone + 'static,
) -> impl Strategy<Value = FieldExpr> {
    let op = prop::sample::select(vec![
        FieldOp::Equal,
        FieldOp::NotEqual,
        FieldOp::Less,
        FieldOp::LessOrEqual,
        FieldOp::Greater,
        FieldOp::GreaterOrEqual,
    ]);
    let regex = prop::sample::select(vec![FieldOp::Regex, FieldOp::NotRegex]);
    let pattern = prop::sample::select(&PATTERNS[..])
        .prop_map(|pattern| expr(FieldKind::Literal(Value::String(pattern.into()))));
    prop_oneof![
        3 => (op.clone(), attribute(), literal()).prop_map(|(op, a, b)| binary(op, a, b)),
        1 => (op, side.clone(), side.clone()).prop_map(|(op, a, b)| binary(op, a, b)),
        1 => (regex.clone(), attribute(), pattern.clone()).prop_map(|(op, a, b)| binary(op, a, b)),
        1 => (regex, side, pattern).prop_map(|(op, a, b)| binary(op, a, b)),
    ]
}

fn filter() -> impl Strategy<Value = FieldExpr> {
    let leaf = prop_oneof![1 => literal(), 3 => attribute()];
    prop_oneof![1 => leaf.clone(), 6 => comparison(leaf.clone())].prop_recursive(
        4,
        16,
        2,
        |inner| {
            let op = prop::sample::select(vec![
                FieldOp::And,
                FieldOp::And,
                FieldOp::Or,
                FieldOp::Or,
                FieldOp::Add,
                FieldOp::Div,
                FieldOp::Mod,
                FieldOp::Pow,
            ]);
            let unary = prop::sample::select(vec![UnaryOp::Not, UnaryOp::Not, UnaryOp::Minus]);
            prop_oneof![
                4 => (op, inner.clone(), inner.clone()).prop_map(|(op, a, b)| binary(op, a, b)),
                2 => (unary, inner.clone())
                    .prop_map(|(op, of)| expr(FieldKind::Unary { op, expr: Box::new(of) })),
                2 => comparison(inner.boxed()),
            ]
        },
    )
}

/// The plain meaning of an expression for a row.
fn value(expr: &FieldExpr, row: &Row<'_>) -> Scalar<'static> {
    match &expr.kind {
        FieldKind::Literal(value) => Scalar::of_literal(value).into_owned(),
        FieldKind::Attribute(attribute) => row.value(attribute).into_owned(),
        FieldKind::Unary { op: UnaryOp::Not, expr } => value(expr, row).not(),
        FieldKind::Unary { op: UnaryOp::Minus, expr } => value(expr, row).minus(),
        FieldKind::Binary { op, left, right } => {
            let is_nil = |side: &FieldExpr| matches!(side.kind, FieldKind::Literal(Value::Nil));
            let is_one_nil = is_nil(left) != is_nil(right);
            let (one, other) = (value(left, row), value(right, row));
            match op {
                FieldOp::And => Scalar::Bool(one.is(true) && other.is(true)),
                FieldOp::Or => Scalar::Bool(one.is(true) || other.is(true)),
                FieldOp::Equal | FieldOp::NotEqual if is_one_nil => {
                    let asked = if is_nil(left) { other } else { one };
                    Scalar::Bool(asked.is_nil(*op == FieldOp::Equal))
                }
                _ if is_nil(left) || is_nil(right) => Scalar::Bool(false),
                FieldOp::Regex | FieldOp::NotRegex => {
                    Scalar::Bool(matches(*op == FieldOp::NotRegex, &one, right))
                }
                _ => match (Comparison::of(*op), Calculation::of(*op)) {
                    (Some(comparison), _) => Scalar::Bool(one.compare(comparison, &other)),
                    (_, Some(calculation)) => one.calculate(calculation, &other),
                    _ => unreachable!("all operators are named"),
                },
            }
        }
    }
}

fn matches(is_negated: bool, value: &Scalar<'_>, pattern: &FieldExpr) -> bool {
    let FieldKind::Literal(Value::String(pattern)) = &pattern.kind else { return false };
    let regex = Regex::new(&format!("^(?s:{pattern})$")).expect("a valid pattern");
    let one = |value: &Scalar<'_>| match value {
        Scalar::Text(text) => regex.is_match(text) != is_negated,
        Scalar::Id(digits) => regex.is_match(digits) != is_negated,
        _ => false,
    };
    match value {
        Scalar::Array(elements) if is_negated => elements.iter().all(one),
        Scalar::Array(elements) => elements.iter().any(one),
        single => one(single),
    }
}

fn reads(expr: &FieldExpr, is_it: fn(&Attribute) -> bool) -> bool {
    match &expr.kind {
        FieldKind::Literal(_) => false,
        FieldKind::Attribute(attribute) => is_it(attribute),
        FieldKind::Unary { expr, .. } => reads(expr, is_it),
        FieldKind::Binary { left, right, .. } => reads(left, is_it) || reads(right, is_it),
    }
}

/// For one event and one link, if there are any and the filter reads them.
fn holds(expr: &FieldExpr, batch: &Batch, row: u32, traces: &TraceContext<'_>) -> bool {
    let items = |range: Range<u32>, is_read: bool| -> Vec<Option<u32>> {
        if range.is_empty() || !is_read { vec![None] } else { range.map(Some).collect() }
    };
    let events = items(batch.chunk.events_of(row), reads(expr, is_of_event));
    let links = items(batch.chunk.links_of(row), reads(expr, is_of_link));
    events.iter().any(|event| {
        links.iter().any(|link| {
            let (event, link) = (*event, *link);
            let row = Row { batch, traces: Some(traces), row, event, link };
            value(expr, &row).is(true)
        })
    })
}

/// The same batch with every text column plain, as those of many different texts are.
fn without_dictionaries(batch: &Batch) -> Batch {
    let plain = |strings: &mut Strings| {
        let texts = (0..strings.len()).map(|position| strings.value(position));
        *strings = Strings::Plain(StringArray::from_iter_values(texts));
    };
    let mut chunk = (*batch.chunk).clone();
    plain(&mut chunk.name);
    plain(&mut chunk.status_message.values);
    plain(&mut chunk.events.name);
    for table in [&mut chunk.attributes, &mut chunk.events.attributes, &mut chunk.links.attributes]
    {
        for column in &mut table.columns {
            if let ColumnValues::String(strings) = &mut column.values {
                plain(strings);
            }
        }
    }
    Batch::of_chunk(Arc::new(chunk), batch.n_rows)
}

proptest! {
    #[test]
    fn columns_say_what_rows_say(
        spans in prop::collection::vec(span(), 1..70),
        filter in filter(),
    ) {
        let batch = batch(&spans);
        let trace_of_row: Vec<u32> = (0..batch.n_rows).map(|row| row % 2).collect();
        let facts = [
            TraceFacts { root_name: Some("ab"), root_service: None, duration_nanos: 2 },
            TraceFacts { root_name: None, root_service: Some("a"), duration_nanos: -1 },
        ];
        let structure: Vec<SpanStructure> = (0..batch.n_rows)
            .map(|row| SpanStructure {
                left: row % 3,
                parent: i64::from(row % 3) - 1,
                n_children: row % 2,
                ..SpanStructure::default()
            })
            .collect();
        let context =
            TraceContext { trace_of_row: &trace_of_row, facts: &facts, structure: Some(&structure) };
        let expected: Vec<u32> =
            (0..batch.n_rows).filter(|row| holds(&filter, &batch, *row, &context)).collect();
        for batch in [&batch, &without_dictionaries(&batch)] {
            let found = rows_of(&filter, batch, Some(&context));
            prop_assert_eq!(found.yes.iter().collect::<Vec<_>>(), &expected[..]);
            prop_assert!(found.maybe.is_empty());
        }
        // Without the traces nothing is said that turns out wrong.
        let early = rows_of(&filter, &batch, None);
        prop_assert!(early.yes.iter().all(|row| expected.contains(&row)));
        let mut possible = early.yes;
        possible.unite(&early.maybe);
        prop_assert!(expected.iter().all(|row| possible.contains(*row)));
    }
}
