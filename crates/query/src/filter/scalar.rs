//! Single values, and what operators make of them: the rules that every faster path must agree with.
//!
//! In: values of attributes, literals. Out: values. Nothing fails: what does not fit is
//! [`Scalar::Wrong`], for which every comparison is false.

use std::borrow::Cow;
use std::cmp::Ordering;

use suyuan_model::ValueRef;
use suyuan_traceql::ast::{FieldOp, Value};
use suyuan_wire::protobuf::{Malformed, Reader};

use super::matcher::Matcher;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    /// Operands did not fit, or an event or link that is not there was asked.
    Wrong,
    /// A missing attribute.
    Nil,
    /// It is there, and nothing else can be said of it: maps, bytes, mixed arrays, empty values.
    Opaque,
    Bool(bool),
    Int(i64),
    Nanos(i64),
    Float(f64),
    Text(Cow<'a, str>),
    /// Digits in lower case.
    Id(String),
    /// OTLP's numbers, unknown ones included.
    Status(i32),
    Kind(i32),
    /// The elements of an array: one or more, of one type, none of them an array.
    Array(Vec<Scalar<'a>>),
}

/// A comparison with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calculation {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
}

/// A number as comparisons see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(i64),
    Float(f64),
}

impl<'a> Scalar<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    pub(super) fn of_literal(value: &'a Value) -> Self {
        match value {
            Value::Nil => Self::Nil,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Float(value) => Self::Float(*value),
            Value::DurationNanos(value) => Self::Nanos(*value),
            Value::String(text) => Self::text(text),
            Value::Status(status) => Self::Status(*status as i32),
            Value::Kind(kind) => Self::Kind(*kind as i32),
        }
    }

    pub(super) fn of_value(value: ValueRef<'a>) -> Self {
        match value {
            ValueRef::String(text) => Self::text(text),
            ValueRef::Bool(value) => Self::Bool(value),
            ValueRef::Int(value) => Self::Int(value),
            ValueRef::Double(value) => Self::Float(value),
            ValueRef::Array(message) => elements(message).map_or(Self::Opaque, Self::Array),
            ValueRef::Empty | ValueRef::Bytes(_) | ValueRef::Map(_) => Self::Opaque,
        }
    }

    pub(super) fn number(&self) -> Option<Number> {
        match self {
            Self::Int(value) | Self::Nanos(value) => Some(Number::Whole(*value)),
            Self::Float(value) => Some(Number::Float(*value)),
            _ => None,
        }
    }

    pub(super) fn is(&self, expected: bool) -> bool {
        *self == Self::Bool(expected)
    }

    /// `= nil`, or `!= nil`.
    pub(super) fn is_nil(&self, expected: bool) -> bool {
        *self != Self::Wrong && (*self == Self::Nil) == expected
    }

    pub(super) fn not(&self) -> Self {
        match self {
            Self::Bool(value) => Self::Bool(!value),
            _ => Self::Wrong,
        }
    }

    pub(super) fn minus(&self) -> Self {
        match self {
            Self::Int(value) => Self::Int(value.wrapping_neg()),
            Self::Nanos(value) => Self::Nanos(value.wrapping_neg()),
            Self::Float(value) => Self::Float(-value),
            _ => Self::Wrong,
        }
    }

    /// Of an array one element must do, for `!=` all must.
    pub(super) fn compare(&self, comparison: Comparison, other: &Scalar<'_>) -> bool {
        let all = comparison == Comparison::NotEqual;
        match (self, other) {
            (Self::Array(_), Scalar::Array(_)) => false,
            (Self::Array(_), _) => each(self, all, |one| one.compare_one(comparison, other)),
            _ => each(other, all, |other| self.compare_one(comparison, other)),
        }
    }

    fn compare_one(&self, comparison: Comparison, other: &Scalar<'_>) -> bool {
        let order = match (self, other) {
            (Self::Text(one), Scalar::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
            (Self::Id(one), Scalar::Id(other)) => compare_ids(one, other),
            (Self::Id(one), Scalar::Text(other)) => compare_ids(one, other),
            (Self::Text(one), Scalar::Id(other)) => compare_ids(one, other),
            (Self::Bool(one), Scalar::Bool(other)) if comparison.is_equality() => one.cmp(other),
            (Self::Status(one), Scalar::Status(other)) | (Self::Kind(one), Scalar::Kind(other))
                if comparison.is_equality() =>
            {
                one.cmp(other)
            }
            _ => {
                let (Some(one), Some(other)) = (self.number(), other.number()) else {
                    return false;
                };
                return one.compare(comparison, other);
            }
        };
        comparison.accepts(order)
    }

    /// `=~`, or `!~` when negated: of an array one element must match, or none may.
    pub(super) fn matches(&self, matcher: &Matcher, is_negated: bool) -> bool {
        each(self, is_negated, |one| match one {
            Scalar::Text(text) => matcher.is_match(text) != is_negated,
            Scalar::Id(digits) => matcher.is_match(digits) != is_negated,
            _ => false,
        })
    }

    pub(super) fn calculate(&self, calculation: Calculation, other: &Scalar<'_>) -> Self {
        if let (Self::Int(one), Scalar::Int(other)) = (self, other) {
            return calculate_whole(calculation, *one, *other).map_or(Self::Wrong, Self::Int);
        }
        let (Some(one), Some(other)) = (self.number(), other.number()) else { return Self::Wrong };
        let (one, other) = (one.as_float(), other.as_float());
        Self::Float(match calculation {
            Calculation::Add => one + other,
            Calculation::Sub => one - other,
            Calculation::Mul => one * other,
            Calculation::Div => one / other,
            Calculation::Mod => one % other,
            Calculation::Pow => one.powf(other),
        })
    }

    /// Without what it borrows.
    pub(super) fn into_owned(self) -> Scalar<'static> {
        match self {
            Self::Wrong => Scalar::Wrong,
            Self::Nil => Scalar::Nil,
            Self::Opaque => Scalar::Opaque,
            Self::Bool(value) => Scalar::Bool(value),
            Self::Int(value) => Scalar::Int(value),
            Self::Nanos(value) => Scalar::Nanos(value),
            Self::Float(value) => Scalar::Float(value),
            Self::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
            Self::Id(digits) => Scalar::Id(digits),
            Self::Status(value) => Scalar::Status(value),
            Self::Kind(value) => Scalar::Kind(value),
            Self::Array(elements) => {
                Scalar::Array(elements.into_iter().map(Scalar::into_owned).collect())
            }
        }
    }
}

fn each(value: &Scalar<'_>, all: bool, test: impl Fn(&Scalar<'_>) -> bool) -> bool {
    match value {
        Scalar::Array(elements) if all => elements.iter().all(test),
        Scalar::Array(elements) => elements.iter().any(test),
        value => test(value),
    }
}

impl Comparison {
    pub(super) fn of(op: FieldOp) -> Option<Self> {
        Some(match op {
            FieldOp::Equal => Self::Equal,
            FieldOp::NotEqual => Self::NotEqual,
            FieldOp::Less => Self::Less,
            FieldOp::LessOrEqual => Self::LessOrEqual,
            FieldOp::Greater => Self::Greater,
            FieldOp::GreaterOrEqual => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    /// With the operands exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    pub(super) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    #[inline]
    pub(super) fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Calculation {
    pub(super) fn of(op: FieldOp) -> Option<Self> {
        Some(match op {
            FieldOp::Add => Self::Add,
            FieldOp::Sub => Self::Sub,
            FieldOp::Mul => Self::Mul,
            FieldOp::Div => Self::Div,
            FieldOp::Mod => Self::Mod,
            FieldOp::Pow => Self::Pow,
            _ => return None,
        })
    }
}

impl Number {
    pub(super) fn as_float(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// What is not a number differs from everything, itself included.
    fn compare(self, comparison: Comparison, other: Self) -> bool {
        if let (Self::Whole(one), Self::Whole(other)) = (self, other) {
            return comparison.accepts(one.cmp(&other));
        }
        match self.as_float().partial_cmp(&other.as_float()) {
            Some(order) => comparison.accepts(order),
            None => comparison == Comparison::NotEqual,
        }
    }
}

/// Without case and leading zeros the longer one is greater: as numbers, if they are.
pub(super) fn compare_ids(one: &str, other: &str) -> Ordering {
    let bare = |id: &str| id.trim_start_matches('0').to_ascii_lowercase();
    let (one, other) = (bare(one), bare(other));
    one.len().cmp(&other.len()).then_with(|| one.cmp(&other))
}

/// Wraps around. Division by zero gives nothing, a negative exponent what division would.
fn calculate_whole(calculation: Calculation, one: i64, other: i64) -> Option<i64> {
    match calculation {
        Calculation::Add => Some(one.wrapping_add(other)),
        Calculation::Sub => Some(one.wrapping_sub(other)),
        Calculation::Mul => Some(one.wrapping_mul(other)),
        Calculation::Div => (other != 0).then(|| one.wrapping_div(other)),
        Calculation::Mod => (other != 0).then(|| one.wrapping_rem(other)),
        Calculation::Pow if other < 0 => {
            // 1 / one ^ n, truncated: only 1 and -1 leave something.
            let power = if other % 2 == 0 { one.wrapping_mul(one) } else { one };
            (one != 0).then_some(if one.unsigned_abs() == 1 { power } else { 0 })
        }
        Calculation::Pow => Some(power(one, other.unsigned_abs())),
    }
}

fn power(mut base: i64, mut exponent: u64) -> i64 {
    let mut power = 1i64;
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = power.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        exponent >>= 1;
    }
    power
}

/// The elements of an `ArrayValue`, if there are some and all are of one simple type.
fn elements(message: &[u8]) -> Option<Vec<Scalar<'_>>> {
    let mut reader = Reader::new(message);
    let mut elements: Vec<Scalar<'_>> = Vec::new();
    while let Some(field) = reader.next_field().ok()? {
        if field.number != 1 {
            continue;
        }
        let element = element(field.bytes().ok()?).ok()??;
        let is_of_the_type =
            |first: &Scalar<'_>| std::mem::discriminant(first) == std::mem::discriminant(&element);
        if !elements.first().is_none_or(is_of_the_type) {
            return None;
        }
        elements.push(element);
    }
    (!elements.is_empty()).then_some(elements)
}

/// An `AnyValue` of a simple type; of several members the last one counts, as protobuf has it.
fn element(message: &[u8]) -> Result<Option<Scalar<'_>>, Malformed> {
    let mut reader = Reader::new(message);
    let mut element = None;
    while let Some(field) = reader.next_field()? {
        element = match field.number {
            1 => Some(Scalar::Text(String::from_utf8_lossy(field.bytes()?))),
            2 => Some(Scalar::Bool(field.varint()? != 0)),
            3 => Some(Scalar::Int(field.varint()? as i64)),
            4 => Some(Scalar::Float(f64::from_bits(field.fixed64()?))),
            5..=7 => None,
            _ => element,
        };
    }
    Ok(element)
}
