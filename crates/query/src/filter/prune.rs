//! What can be said of a condition before rows are read.
//!
//! In: an expression's truth, which keys a unit has. Out: why no row can fulfil it; values of which
//! every row that fulfils it has one. Only what rejects nil can be ruled out by keys.

use suyuan_ids::TraceId;
use suyuan_model::{AttributeOwner, ValueType};
use suyuan_store::{Between, Probe, UnitPresence};
use suyuan_traceql::ast::{Attribute, AttributeScope, Intrinsic};

use super::KeyPresence;
use super::expr::Expr;
use super::one_of::{OneOf, id_number};
use super::scalar::{Comparison, Number, Scalar};

/// Longer lists of values are not probed: each costs a look into a filter.
const PROBES_MAX: usize = 256;

/// Reasons that are told of a list of alternatives: it may be thousands long, and is looked at for
/// every unit.
const REASONS_MAX: usize = 8;

/// Up to here floats tell integers apart.
const WHOLE_FLOATS_MAX: f64 = (1u64 << 52) as f64;

const TEXTS: &[ValueType] = &[ValueType::String, ValueType::Array];
const NUMBERS: &[ValueType] = &[ValueType::Int, ValueType::Double, ValueType::Array];
const BOOLEANS: &[ValueType] = &[ValueType::Bool, ValueType::Array];
const PLAIN_NUMBERS: &[ValueType] = &[ValueType::Int, ValueType::Double];

/// Why no row can fulfil it.
pub(super) fn rules_out(expr: &Expr, keys: &dyn KeyPresence) -> Option<String> {
    match expr {
        Expr::And(operands) => operands.iter().find_map(|operand| rules_out(operand, keys)),
        Expr::Or(operands) => {
            let mut reasons = Vec::new();
            for operand in operands {
                let reason = rules_out(operand, keys)?;
                if reasons.len() <= REASONS_MAX && !reasons.contains(&reason) {
                    reasons.push(reason);
                }
            }
            if reasons.len() > REASONS_MAX {
                reasons[REASONS_MAX] = "so with the others".to_owned();
            }
            Some(reasons.join(", and "))
        }
        Expr::Compare(comparison, of, other) => match (&**of, &**other) {
            (Expr::Attribute(of), Expr::Constant(value)) => {
                let is_for_empty = Scalar::text("").compare(*comparison, value);
                absence(of, types_against(value), is_for_empty, keys)
            }
            _ => missing_value(of, keys).or_else(|| missing_value(other, keys)),
        },
        Expr::Matches { of, matcher, is_negated, .. } => match &**of {
            Expr::Attribute(of) => absence(of, TEXTS, matcher.is_match("") != *is_negated, keys),
            _ => None,
        },
        Expr::OneOf(of, OneOf::Numbers(_)) => absence(of, NUMBERS, false, keys),
        Expr::Is(of, _) => match &**of {
            Expr::Attribute(of) => absence(of, &[ValueType::Bool], false, keys),
            _ => None,
        },
        Expr::IsNil(of, false) => missing_value(of, keys),
        _ => None,
    }
}

/// Types of attributes that a comparison with a constant can hold for.
fn types_against(value: &Scalar<'_>) -> &'static [ValueType] {
    match value {
        Scalar::Text(_) => TEXTS,
        Scalar::Int(_) | Scalar::Nanos(_) | Scalar::Float(_) => NUMBERS,
        Scalar::Bool(_) => BOOLEANS,
        _ => &[],
    }
}

/// Why an expression has no value, or none that fits, on any row.
fn missing_value(expr: &Expr, keys: &dyn KeyPresence) -> Option<String> {
    match expr {
        Expr::Attribute(of) => absence(of, &ValueType::ALL, true, keys),
        Expr::Minus(of) => missing_number(of, keys),
        Expr::Calculate(_, left, right) => {
            missing_number(left, keys).or_else(|| missing_number(right, keys))
        }
        _ => None,
    }
}

fn missing_number(expr: &Expr, keys: &dyn KeyPresence) -> Option<String> {
    match expr {
        Expr::Attribute(of) => absence(of, PLAIN_NUMBERS, false, keys),
        other => missing_value(other, keys),
    }
}

/// Why no row has an attribute of one of these types. `is_for_empty`: whether the empty text would
/// do, which a resource without a name for its service has.
fn absence(
    of: &Attribute,
    types: &[ValueType],
    is_for_empty: bool,
    keys: &dyn KeyPresence,
) -> Option<String> {
    let Attribute::Named { scope, name } = of else { return None };
    let is_of_resource = matches!(scope, AttributeScope::Resource | AttributeScope::Any);
    if is_of_resource && is_for_empty && &**name == "service.name" {
        return None;
    }
    let has = |owner: &AttributeOwner| {
        types.iter().any(|t| keys.presence(*owner, name, *t) == UnitPresence::Maybe)
    };
    if owners(*scope).iter().any(has) {
        return None;
    }
    let of = suyuan_traceql::print::attribute(of);
    Some(match types {
        TEXTS => format!("`{of}` is nowhere a text"),
        NUMBERS | PLAIN_NUMBERS => format!("`{of}` is nowhere a number"),
        BOOLEANS | [ValueType::Bool] => format!("`{of}` is nowhere a boolean"),
        [] => format!("`{of}` cannot be compared with this"),
        _ => format!("`{of}` is nowhere"),
    })
}

fn owners(scope: AttributeScope) -> &'static [AttributeOwner] {
    match scope {
        AttributeScope::Any => &[AttributeOwner::Span, AttributeOwner::Resource],
        AttributeScope::Span => &[AttributeOwner::Span],
        AttributeScope::Resource => &[AttributeOwner::Resource],
        AttributeScope::Event => &[AttributeOwner::Event],
        AttributeScope::Link => &[AttributeOwner::Link],
        AttributeScope::Instrumentation => &[AttributeOwner::Scope],
    }
}

/// Lists of values: of each every row that fulfils the expression has one.
pub(super) fn probes<'a>(expr: &'a Expr, keys: &dyn KeyPresence) -> Vec<Vec<Probe<'a>>> {
    match expr {
        Expr::And(operands) => operands.iter().flat_map(|operand| probes(operand, keys)).collect(),
        Expr::Or(operands) => {
            // One list of each operand: together they are one of the whole.
            let mut either = Vec::new();
            for operand in operands {
                let Some(shortest) = probes(operand, keys).into_iter().min_by_key(Vec::len) else {
                    return Vec::new();
                };
                either.extend(shortest);
                if either.len() > PROBES_MAX {
                    return Vec::new();
                }
            }
            vec![either]
        }
        Expr::Compare(Comparison::Equal, of, other) => {
            let (Expr::Attribute(of), Expr::Constant(value)) = (&**of, &**other) else {
                return Vec::new();
            };
            equal_to(of, value, keys).map(|list| vec![list]).unwrap_or_default()
        }
        Expr::OneOf(of, list) => {
            probes_of_list(of, list, keys).map(|list| vec![list]).unwrap_or_default()
        }
        Expr::Is(of, value) => {
            let Expr::Attribute(of) = &**of else { return Vec::new() };
            let probe = |key| vec![vec![Probe::SpanBool { key, value: *value }]];
            only_on_spans(of, &[], keys).map(probe).unwrap_or_default()
        }
        Expr::Matches { of, matcher, is_negated: false, .. } => {
            let (Expr::Attribute(of), Some(texts)) = (&**of, matcher.texts()) else {
                return Vec::new();
            };
            let list: Option<Vec<Probe<'a>>> =
                texts.take(PROBES_MAX + 1).map(|text| text_probe(of, text, keys)).collect();
            match list {
                Some(list) if !list.is_empty() && list.len() <= PROBES_MAX => vec![list],
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

fn equal_to<'a>(
    of: &'a Attribute,
    value: &'a Scalar<'static>,
    keys: &dyn KeyPresence,
) -> Option<Vec<Probe<'a>>> {
    match value {
        Scalar::Text(text) if *of == Attribute::Intrinsic(Intrinsic::TraceId) => {
            Some(vec![trace_probe(id_number(text)?)])
        }
        Scalar::Text(text) => text_probe(of, text, keys).map(|probe| vec![probe]),
        Scalar::Bool(value) => {
            let key = only_on_spans(of, &[ValueType::Array], keys)?;
            Some(vec![Probe::SpanBool { key, value: *value }])
        }
        _ => number_probes(of, value.number()?, keys),
    }
}

fn trace_probe(id: u128) -> Probe<'static> {
    Probe::TraceId(TraceId::from_bytes(id.to_be_bytes()))
}

/// Of each value of a list what rows that equal it have.
fn probes_of_list<'a>(
    of: &'a Attribute,
    list: &OneOf,
    keys: &dyn KeyPresence,
) -> Option<Vec<Probe<'a>>> {
    let mut probes = Vec::new();
    match list {
        OneOf::Numbers(numbers) if numbers.len() <= PROBES_MAX => {
            for number in numbers.iter() {
                probes.extend(number_probes(of, Number::Whole(*number), keys)?);
            }
        }
        OneOf::Ids(ids)
            if ids.len() <= PROBES_MAX && *of == Attribute::Intrinsic(Intrinsic::TraceId) =>
        {
            probes.extend(ids.iter().map(|id| trace_probe(*id)));
        }
        _ => {}
    }
    (!probes.is_empty()).then_some(probes)
}

/// The number as an integer and as a float, of those types that spans have.
fn number_probes<'a>(
    of: &'a Attribute,
    number: Number,
    keys: &dyn KeyPresence,
) -> Option<Vec<Probe<'a>>> {
    let key = only_on_spans(of, &[ValueType::Array], keys)?;
    let has = |t| keys.presence(AttributeOwner::Span, key, t) == UnitPresence::Maybe;
    let float = number.as_float();
    let whole = match number {
        Number::Whole(value) => Some(value),
        Number::Float(value) if value.abs() >= WHOLE_FLOATS_MAX => return None,
        Number::Float(value) => (value.fract() == 0.0).then_some(value as i64),
    };
    let mut probes = Vec::new();
    if has(ValueType::Int) {
        probes.extend(whole.map(|value| Probe::SpanInt { key, value }));
    }
    if has(ValueType::Double) {
        // There are two zeros, which are equal and differ in their bits.
        if float == 0.0 {
            return None;
        }
        probes.push(Probe::SpanDouble { key, value: float });
    }
    (!probes.is_empty()).then_some(probes)
}

/// Bounds between which a value of every row lies that fulfils the expression.
pub(super) fn bounds<'a>(expr: &'a Expr, keys: &dyn KeyPresence) -> Vec<Between<'a>> {
    match expr {
        Expr::And(operands) => operands.iter().flat_map(|operand| bounds(operand, keys)).collect(),
        Expr::Compare(comparison, of, other) => match (&**of, &**other) {
            (Expr::Attribute(of), Expr::Constant(value)) => (value.number())
                .and_then(|number| number_bounds(of, *comparison, number, keys))
                .map(|between| vec![between])
                .unwrap_or_default(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn number_bounds<'a>(
    of: &'a Attribute,
    comparison: Comparison,
    number: Number,
    keys: &dyn KeyPresence,
) -> Option<Between<'a>> {
    let float = number.as_float();
    if !float.is_finite() || float.abs() >= WHOLE_FLOATS_MAX {
        return None;
    }
    // A little too wide where the comparison leaves out the bound itself.
    let (has_min, has_max) = match comparison {
        Comparison::Equal => (true, true),
        Comparison::Less | Comparison::LessOrEqual => (false, true),
        Comparison::Greater | Comparison::GreaterOrEqual => (true, false),
        Comparison::NotEqual => return None,
    };
    let min = if has_min { float.floor() as i64 } else { i64::MIN };
    let max = if has_max { float.ceil() as i64 } else { i64::MAX };
    if *of == Attribute::Intrinsic(Intrinsic::Duration) {
        return Some(Between::DurationNanos { min, max });
    }
    let key = only_on_spans(of, &[ValueType::Array], keys)?;
    let has = |t| keys.presence(AttributeOwner::Span, key, t) == UnitPresence::Maybe;
    match (has(ValueType::Int), has(ValueType::Double)) {
        (true, false) => Some(Between::SpanInt { key, min, max }),
        (false, true) => {
            // The two zeros are equal.
            let min =
                if has_min { if float == 0.0 { -0.0 } else { float } } else { f64::NEG_INFINITY };
            let max = if has_max { if float == 0.0 { 0.0 } else { float } } else { f64::INFINITY };
            Some(Between::SpanDouble { key, min, max })
        }
        _ => None,
    }
}

fn text_probe<'a>(of: &'a Attribute, text: &'a str, keys: &dyn KeyPresence) -> Option<Probe<'a>> {
    if *of == Attribute::Intrinsic(Intrinsic::Name) {
        return Some(Probe::Name(text));
    }
    let key = only_on_spans(of, &[ValueType::Array], keys)?;
    Some(Probe::SpanText { key, text })
}

/// The key, if only spans can have it, and not with these types.
fn only_on_spans<'a>(
    of: &'a Attribute,
    others: &[ValueType],
    keys: &dyn KeyPresence,
) -> Option<&'a str> {
    let Attribute::Named { scope, name } = of else { return None };
    let lacks = |owner: AttributeOwner, types: &[ValueType]| {
        types.iter().all(|t| keys.presence(owner, name, *t) == UnitPresence::Absent)
    };
    let is_only_on_spans = match scope {
        AttributeScope::Span => true,
        AttributeScope::Any => {
            &**name != "service.name" && lacks(AttributeOwner::Resource, &ValueType::ALL)
        }
        _ => false,
    };
    (is_only_on_spans && lacks(AttributeOwner::Span, others)).then_some(name)
}
