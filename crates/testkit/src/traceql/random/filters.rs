//! Random filters: most keep the type rules, and about half of the comparisons can be true.

use std::sync::Arc;

use suyuan_traceql::ast::{
    Attribute, AttributeScope, FieldExpr, FieldKind, FieldOp, Intrinsic, Kind, Place, Status,
    UnaryOp, Value,
};

use super::{
    DOUBLES, DURATIONS_NANOS, INTS, KEYS, N_RARE_KEYS, N_TRACES_LARGE, NAMES, SEQUENCE, SERVICES,
    TEXTS, UID, rare_key,
};
use crate::random::Random;
use crate::traceql::drawing::trace_id;

/// A filter no deeper than `depth`.
pub fn filter(random: &mut Random, depth: u32) -> FieldExpr {
    if depth > 0 {
        match random.below(8) {
            0..=2 => {
                let op = if random.one_in(2) { FieldOp::And } else { FieldOp::Or };
                let left = filter(random, depth - 1);
                return binary(op, left, filter(random, depth - 1));
            }
            3 => return unary(UnaryOp::Not, filter(random, depth - 1)),
            _ => {}
        }
    }
    match random.below(22) {
        20 | 21 => row(random),
        0 => literal(Value::Bool(random.one_in(2))),
        1 => named(random, "flag"),
        2 => any_named(random),
        3 => {
            let op = if random.one_in(2) { FieldOp::Equal } else { FieldOp::NotEqual };
            let asked = any_named(random);
            binary(op, asked, literal(Value::Nil))
        }
        4 => {
            let left = calculation(random, 2);
            binary(ordering(random), left, calculation(random, 1))
        }
        5 => {
            let (left, right) = (any_named(random), any_named(random));
            binary(ordering(random), left, right)
        }
        _ => {
            let comparison = comparison(random);
            if random.one_in(8) { mirrored(comparison) } else { comparison }
        }
    }
}

/// Several comparisons of one attribute: a list of values, or a range.
fn row(random: &mut Random) -> FieldExpr {
    let (first_op, op) = (random.pick(&[FieldOp::And, FieldOp::Or]), random.below(4));
    let mut row = comparison(random);
    let FieldKind::Binary { left: asked, .. } = &row.kind else { return row };
    let asked = (**asked).clone();
    for _ in 0..1 + random.below(3) {
        // Of values that the attribute has, as another comparison of it would find them.
        let mut next = comparison(random);
        for _ in 0..40 {
            let FieldKind::Binary { left, .. } = &next.kind else { break };
            if **left == asked {
                break;
            }
            next = comparison(random);
        }
        if let FieldKind::Binary { left, .. } = &mut next.kind {
            **left = asked.clone();
        }
        let joint = if op == 0 { random.pick(&[FieldOp::And, FieldOp::Or]) } else { first_op };
        row = binary(joint, row, next);
    }
    row
}

/// What is asked of an attribute that is compared with literals.
enum Asked {
    Text(&'static [&'static str]),
    Number,
    Nanos,
    Small,
    Status,
    Kind,
    TraceId,
    SpanId,
}

fn comparison(random: &mut Random) -> FieldExpr {
    if random.one_in(2) {
        return compare_named(random);
    }
    let intrinsics: [(Intrinsic, Asked); 21] = [
        (Intrinsic::TraceDuration, Asked::Nanos),
        (Intrinsic::TraceRootName, Asked::Text(&NAMES)),
        (Intrinsic::TraceRootService, Asked::Text(&SERVICES)),
        (Intrinsic::TraceId, Asked::TraceId),
        (Intrinsic::Duration, Asked::Nanos),
        (Intrinsic::Name, Asked::Text(&NAMES)),
        (Intrinsic::Kind, Asked::Kind),
        (Intrinsic::Status, Asked::Status),
        (Intrinsic::StatusMessage, Asked::Text(&TEXTS)),
        (Intrinsic::SpanId, Asked::SpanId),
        (Intrinsic::ParentId, Asked::SpanId),
        (Intrinsic::ChildCount, Asked::Small),
        (Intrinsic::NestedSetLeft, Asked::Small),
        (Intrinsic::NestedSetRight, Asked::Small),
        (Intrinsic::NestedSetParent, Asked::Small),
        (Intrinsic::EventName, Asked::Text(&NAMES)),
        (Intrinsic::EventTimeSinceStart, Asked::Nanos),
        (Intrinsic::LinkTraceId, Asked::TraceId),
        (Intrinsic::LinkSpanId, Asked::SpanId),
        (Intrinsic::InstrumentationName, Asked::Text(&["", "lib", "x"])),
        (Intrinsic::InstrumentationVersion, Asked::Text(&["", "1.2"])),
    ];
    let (intrinsic, asked) = &intrinsics[random.below(intrinsics.len() as u64) as usize];
    let attribute = expr(FieldKind::Attribute(Attribute::Intrinsic(*intrinsic)));
    compare(random, attribute, asked)
}

fn compare_named(random: &mut Random) -> FieldExpr {
    match random.below(16) {
        0 => return compare_uid(random),
        1 => {
            let attribute = of_span(random, SEQUENCE);
            let number = Value::Int(trace_number(random) as i64);
            return binary(ordering(random), attribute, literal(number));
        }
        2 => {
            let key = rare_key(random.below(N_RARE_KEYS));
            let attribute = named(random, &key);
            let asked = if random.one_in(2) { Asked::Number } else { Asked::Text(&TEXTS) };
            return compare(random, attribute, &asked);
        }
        _ => {}
    }
    let key = random.pick(&KEYS);
    let attribute = named(random, key);
    let asked = match key {
        _ if random.one_in(5) => random.below(4),
        "n" | "b" => 0,
        "flag" => 1,
        "service.name" => 2,
        _ => 3,
    };
    match asked {
        0 => compare(random, attribute, &Asked::Number),
        1 => binary(equality(random), attribute, literal(Value::Bool(random.one_in(2)))),
        2 => compare(random, attribute, &Asked::Text(&SERVICES)),
        _ => compare(random, attribute, &Asked::Text(&TEXTS)),
    }
}

fn compare_uid(random: &mut Random) -> FieldExpr {
    let attribute = of_span(random, UID);
    let number = trace_number(random);
    if random.one_in(4) {
        let regex = random.pick(&[format!("u{number}-.*"), format!("u.*{number}.*-1")]);
        return binary(FieldOp::Regex, attribute, literal(text(&regex)));
    }
    let uid = text(&format!("u{number}-{}", random.below(3)));
    binary(equality(random), attribute, literal(uid))
}

/// Of a large store's trace, or of one that a small one has too.
fn trace_number(random: &mut Random) -> u64 {
    if random.one_in(2) { random.below(12) } else { random.below(N_TRACES_LARGE) }
}

fn of_span(random: &mut Random, key: &str) -> FieldExpr {
    let scope = random.pick(&[AttributeScope::Any, AttributeScope::Span]);
    expr(FieldKind::Attribute(Attribute::Named { scope, name: Arc::from(key) }))
}

fn compare(random: &mut Random, attribute: FieldExpr, asked: &Asked) -> FieldExpr {
    let (op, value) = match asked {
        Asked::Text(texts) => return compare_text(random, attribute, texts),
        Asked::Number => (ordering(random), number(random)),
        Asked::Nanos if random.one_in(8) => (ordering(random), number(random)),
        Asked::Nanos => {
            (ordering(random), Value::DurationNanos(random.pick(&DURATIONS_NANOS).max(0)))
        }
        Asked::Small => (ordering(random), Value::Int(random.below(8) as i64 - 1)),
        Asked::Status => {
            let status = random.pick(&[Status::Unset, Status::Ok, Status::Error]);
            (equality(random), Value::Status(status))
        }
        Asked::Kind => {
            let kinds = [Kind::Unspecified, Kind::Internal, Kind::Server, Kind::Client];
            (equality(random), Value::Kind(random.pick(&kinds)))
        }
        Asked::TraceId => (equality(random), trace_id_text(random)),
        Asked::SpanId => (equality(random), span_id_text(random)),
    };
    binary(op, attribute, literal(value))
}

fn compare_text(random: &mut Random, attribute: FieldExpr, texts: &[&str]) -> FieldExpr {
    if random.one_in(4) {
        let regexes = [
            "x",
            "x.*",
            ".*y",
            ".*",
            "",
            "x|cart",
            "(?i)X",
            "[a-c].*",
            "x.y",
            "GET.*",
            "P?.*y",
            "cart|pay|gateway",
            ".+",
            "溯.",
        ];
        let op = if random.one_in(2) { FieldOp::Regex } else { FieldOp::NotRegex };
        return binary(op, attribute, literal(text(random.pick(&regexes))));
    }
    let value = text(texts[random.below(texts.len() as u64) as usize]);
    let op = if random.one_in(3) { ordering(random) } else { equality(random) };
    binary(op, attribute, literal(value))
}

fn trace_id_text(random: &mut Random) -> Value {
    let number = random.below(6);
    let id = if random.one_in(3) { u128::from(number) } else { trace_id(number) };
    match random.below(3) {
        0 => text(&format!("{id:x}")),
        1 => text(&format!("{id:032X}")),
        _ => text(&format!("{id:032x}")),
    }
}

fn span_id_text(random: &mut Random) -> Value {
    let id = random.pick(&[0u64, 1, 2, 3, 26, 77]);
    if random.one_in(2) { text(&format!("{id:016x}")) } else { text(&format!("{id:X}")) }
}

fn calculation(random: &mut Random, depth: u32) -> FieldExpr {
    if depth > 0 && !random.one_in(3) {
        let ops =
            [FieldOp::Add, FieldOp::Sub, FieldOp::Mul, FieldOp::Div, FieldOp::Mod, FieldOp::Pow];
        let left = calculation(random, depth - 1);
        return binary(random.pick(&ops), left, calculation(random, depth - 1));
    }
    match random.below(8) {
        0 => expr(FieldKind::Attribute(Attribute::Intrinsic(Intrinsic::Duration))),
        1 => expr(FieldKind::Attribute(Attribute::Intrinsic(Intrinsic::ChildCount))),
        2 => unary(UnaryOp::Minus, named(random, "n")),
        3 => literal(number(random)),
        4 | 5 => named(random, "b"),
        _ => named(random, "n"),
    }
}

fn number(random: &mut Random) -> Value {
    match random.below(5) {
        0 => Value::Float(random.pick(&DOUBLES[2..4])),
        1 => Value::DurationNanos(random.pick(&[5, 500, 10_000_000])),
        // A sign is an operator, not a part of a number.
        _ => Value::Int(random.pick(&INTS).checked_abs().unwrap_or(7)),
    }
}

fn any_named(random: &mut Random) -> FieldExpr {
    let key = random.pick(&KEYS);
    named(random, key)
}

fn named(random: &mut Random, key: &str) -> FieldExpr {
    let scope = random.pick(&[
        AttributeScope::Any,
        AttributeScope::Any,
        AttributeScope::Span,
        AttributeScope::Span,
        AttributeScope::Span,
        AttributeScope::Resource,
        AttributeScope::Resource,
        AttributeScope::Event,
        AttributeScope::Link,
        AttributeScope::Instrumentation,
    ]);
    expr(FieldKind::Attribute(Attribute::Named { scope, name: Arc::from(key) }))
}

fn mirrored(comparison: FieldExpr) -> FieldExpr {
    let FieldKind::Binary { op, left, right } = comparison.kind else {
        unreachable!("a comparison has two sides");
    };
    let op = match op {
        FieldOp::Less => FieldOp::Greater,
        FieldOp::LessOrEqual => FieldOp::GreaterOrEqual,
        FieldOp::Greater => FieldOp::Less,
        FieldOp::GreaterOrEqual => FieldOp::LessOrEqual,
        // The pattern stands on the right.
        FieldOp::Regex | FieldOp::NotRegex => return binary(op, *left, *right),
        same => same,
    };
    binary(op, *right, *left)
}

fn equality(random: &mut Random) -> FieldOp {
    if random.one_in(3) { FieldOp::NotEqual } else { FieldOp::Equal }
}

fn ordering(random: &mut Random) -> FieldOp {
    random.pick(&[
        FieldOp::Equal,
        FieldOp::NotEqual,
        FieldOp::Less,
        FieldOp::LessOrEqual,
        FieldOp::Greater,
        FieldOp::GreaterOrEqual,
    ])
}

fn text(text: &str) -> Value {
    Value::String(Arc::from(text))
}

fn literal(value: Value) -> FieldExpr {
    expr(FieldKind::Literal(value))
}

fn unary(op: UnaryOp, operand: FieldExpr) -> FieldExpr {
    expr(FieldKind::Unary { op, expr: Box::new(operand) })
}

fn binary(op: FieldOp, left: FieldExpr, right: FieldExpr) -> FieldExpr {
    expr(FieldKind::Binary { op, left: Box::new(left), right: Box::new(right) })
}

fn expr(kind: FieldKind) -> FieldExpr {
    FieldExpr { kind, place: Place::default() }
}
