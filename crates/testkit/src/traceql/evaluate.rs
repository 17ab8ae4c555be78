//! Whether a span fulfils an expression: a walk over its tree, one span at a time.
//!
//! In: the tree of a filter, a span, what the span is told about its trace. Out: true or false. The
//! rules are the language's (`docs/traceql.md`); where a value is missing or of a type that does
//! not fit, a comparison is false and nothing ever fails.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;
use suyuan_traceql::ast::{
    Attribute, AttributeScope, FieldExpr, FieldKind, FieldOp, Intrinsic, UnaryOp, Value,
};

use super::span::{RefAttributes, RefEvent, RefLink, RefSpan, RefValue, attribute};
use super::structure::TraceFacts;

/// A filter that is ready to be asked.
pub struct RefFilter<'a> {
    expr: &'a FieldExpr,
    regexes: HashMap<Arc<str>, Regex>,
    reads_events: bool,
    reads_links: bool,
}

/// A span where it stands.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub spans: &'a [&'a RefSpan],
    pub facts: &'a TraceFacts,
    /// Which of the spans it is.
    pub number: usize,
}

/// What an expression comes to.
#[derive(Clone, Debug, PartialEq)]
enum Found<'a> {
    /// There is no such attribute.
    Nil,
    /// There is one, but nothing can be said of it: a map, bytes, a mixed list, a wrong type.
    Opaque,
    /// An operation that its values do not have.
    Wrong,
    Bool(bool),
    Int(i64),
    Float(f64),
    Nanos(i64),
    Text(&'a str),
    /// Hexadecimal: letter case and leading zeros do not count.
    Id(String),
    Status(i32),
    Kind(i32),
    List(Vec<Found<'a>>),
}

/// A span together with the one event and the one link that are looked at.
struct Look<'a> {
    subject: Subject<'a>,
    span: &'a RefSpan,
    event: Option<&'a RefEvent>,
    link: Option<&'a RefLink>,
    regexes: &'a HashMap<Arc<str>, Regex>,
}

impl<'a> RefFilter<'a> {
    /// An error if a regular expression is none.
    pub fn new(expr: &'a FieldExpr) -> Result<Self, String> {
        let mut filter =
            Self { expr, regexes: HashMap::new(), reads_events: false, reads_links: false };
        filter.prepare(expr)?;
        Ok(filter)
    }

    /// Whether a span is one that is asked for: for one of its events, and one of its links, the
    /// whole filter holds. Without events it is looked at once, with nothing said of an event.
    pub fn holds(&self, subject: Subject<'a>) -> bool {
        let span = subject.spans[subject.number];
        let events = one_at_a_time(&span.events, self.reads_events);
        let links = one_at_a_time(&span.links, self.reads_links);
        events.iter().any(|event| {
            links.iter().any(|link| {
                let look =
                    Look { subject, span, event: *event, link: *link, regexes: &self.regexes };
                look.value(self.expr) == Found::Bool(true)
            })
        })
    }

    fn prepare(&mut self, expr: &FieldExpr) -> Result<(), String> {
        match &expr.kind {
            FieldKind::Literal(_) => {}
            FieldKind::Attribute(attribute) => {
                self.reads_events |= is_of_event(attribute);
                self.reads_links |= is_of_link(attribute);
            }
            FieldKind::Unary { expr, .. } => self.prepare(expr)?,
            FieldKind::Binary { op, left, right } => {
                self.prepare(left)?;
                self.prepare(right)?;
                if matches!(op, FieldOp::Regex | FieldOp::NotRegex)
                    && let FieldKind::Literal(Value::String(text)) = &right.kind
                {
                    let regex = Regex::new(&format!("^(?s:{text})$"));
                    self.regexes.insert(text.clone(), regex.map_err(|error| error.to_string())?);
                }
            }
        }
        Ok(())
    }
}

fn one_at_a_time<T>(items: &[T], is_read: bool) -> Vec<Option<&T>> {
    if !is_read || items.is_empty() { vec![None] } else { items.iter().map(Some).collect() }
}

fn is_of_event(attribute: &Attribute) -> bool {
    matches!(
        attribute,
        Attribute::Named { scope: AttributeScope::Event, .. }
            | Attribute::Intrinsic(Intrinsic::EventName | Intrinsic::EventTimeSinceStart)
    )
}

fn is_of_link(attribute: &Attribute) -> bool {
    matches!(
        attribute,
        Attribute::Named { scope: AttributeScope::Link, .. }
            | Attribute::Intrinsic(Intrinsic::LinkTraceId | Intrinsic::LinkSpanId)
    )
}

impl<'a> Look<'a> {
    fn value(&self, expr: &'a FieldExpr) -> Found<'a> {
        match &expr.kind {
            FieldKind::Literal(value) => literal(value),
            FieldKind::Attribute(attribute) => self.attribute(attribute),
            FieldKind::Unary { op: UnaryOp::Not, expr } => match self.value(expr) {
                Found::Bool(value) => Found::Bool(!value),
                _ => Found::Wrong,
            },
            FieldKind::Unary { op: UnaryOp::Minus, expr } => match self.value(expr) {
                Found::Int(value) => Found::Int(value.wrapping_neg()),
                Found::Nanos(value) => Found::Nanos(value.wrapping_neg()),
                Found::Float(value) => Found::Float(-value),
                _ => Found::Wrong,
            },
            FieldKind::Binary { op, left, right } => self.binary(*op, left, right),
        }
    }

    fn binary(&self, op: FieldOp, left: &'a FieldExpr, right: &'a FieldExpr) -> Found<'a> {
        let (is_nil_left, is_nil_right) = (is_nil(left), is_nil(right));
        if is_nil_left || is_nil_right {
            let asked = if is_nil_left { right } else { left };
            return Found::Bool(!(is_nil_left && is_nil_right) && self.is_there(op, asked));
        }
        let (left_value, right_value) = (self.value(left), self.value(right));
        match op {
            FieldOp::And => Found::Bool(is_true(&left_value) && is_true(&right_value)),
            FieldOp::Or => Found::Bool(is_true(&left_value) || is_true(&right_value)),
            FieldOp::Regex | FieldOp::NotRegex => {
                let FieldKind::Literal(Value::String(text)) = &right.kind else {
                    return Found::Bool(false);
                };
                let regex = &self.regexes[text];
                Found::Bool(each(op == FieldOp::NotRegex, &left_value, &|value| match value {
                    Found::Text(text) => regex.is_match(text) == (op == FieldOp::Regex),
                    Found::Id(digits) => regex.is_match(digits) == (op == FieldOp::Regex),
                    _ => false,
                }))
            }
            FieldOp::Equal
            | FieldOp::NotEqual
            | FieldOp::Less
            | FieldOp::LessOrEqual
            | FieldOp::Greater
            | FieldOp::GreaterOrEqual => Found::Bool(compare(op, &left_value, &right_value)),
            FieldOp::Add
            | FieldOp::Sub
            | FieldOp::Mul
            | FieldOp::Div
            | FieldOp::Mod
            | FieldOp::Pow => calculate(op, &left_value, &right_value),
        }
    }

    /// `= nil`, `!= nil`. Of a span without events nothing of an event is there or missing.
    fn is_there(&self, op: FieldOp, asked: &'a FieldExpr) -> bool {
        if let FieldKind::Attribute(attribute) = &asked.kind
            && (self.event.is_none() && is_of_event(attribute)
                || self.link.is_none() && is_of_link(attribute))
        {
            return false;
        }
        match (op, self.value(asked)) {
            (_, Found::Wrong) => false,
            (FieldOp::Equal, value) => value == Found::Nil,
            (FieldOp::NotEqual, value) => value != Found::Nil,
            _ => false,
        }
    }

    fn attribute(&self, asked: &Attribute) -> Found<'a> {
        match asked {
            Attribute::Intrinsic(intrinsic) => self.intrinsic(*intrinsic),
            Attribute::Named { scope, name } => self.named(*scope, name),
            Attribute::Parent { .. } => Found::Nil,
        }
    }

    fn named(&self, scope: AttributeScope, name: &str) -> Found<'a> {
        let span = self.span;
        let of = |attributes: &'a RefAttributes| attribute(attributes, name).map(said);
        let found = match scope {
            AttributeScope::Span => of(&span.attributes),
            AttributeScope::Resource => of(&span.resource).or_else(|| no_service(name)),
            AttributeScope::Any => {
                (of(&span.attributes)).or_else(|| of(&span.resource)).or_else(|| no_service(name))
            }
            AttributeScope::Event => self.event.and_then(|event| of(&event.attributes)),
            AttributeScope::Link => self.link.and_then(|link| of(&link.attributes)),
            AttributeScope::Instrumentation => of(&span.scope_attributes),
        };
        found.unwrap_or(Found::Nil)
    }

    fn intrinsic(&self, intrinsic: Intrinsic) -> Found<'a> {
        let span = self.span;
        let facts = self.subject.facts;
        let root = facts.root.map(|root| self.subject.spans[root]);
        let place = facts.places[self.subject.number];
        let text = |text: &'a str| Found::Text(text);
        match intrinsic {
            Intrinsic::TraceDuration => {
                Found::Nanos(facts.end_unix_nanos.wrapping_sub(facts.start_unix_nanos))
            }
            Intrinsic::TraceRootName => text(root.map_or("", |root| &root.name)),
            Intrinsic::TraceRootService => {
                text(root.and_then(RefSpan::service_name).unwrap_or_default())
            }
            Intrinsic::TraceId => Found::Id(format!("{:032x}", span.trace_id)),
            Intrinsic::Duration => Found::Nanos(span.duration_nanos()),
            Intrinsic::Name => text(&span.name),
            Intrinsic::Kind => Found::Kind(span.kind),
            Intrinsic::Status => Found::Status(span.status_code),
            Intrinsic::StatusMessage => text(&span.status_message),
            Intrinsic::SpanId => Found::Id(format!("{:016x}", span.span_id)),
            Intrinsic::ParentId => {
                Found::Id(format!("{:016x}", span.parent_span_id.unwrap_or_default()))
            }
            Intrinsic::ChildCount => Found::Int(place.n_children),
            Intrinsic::NestedSetLeft => Found::Int(place.left),
            Intrinsic::NestedSetRight => Found::Int(place.right),
            Intrinsic::NestedSetParent => Found::Int(place.parent),
            Intrinsic::EventName => self.event.map_or(Found::Nil, |event| text(&event.name)),
            Intrinsic::EventTimeSinceStart => self.event.map_or(Found::Nil, |event| {
                let time = event.time_unix_nanos as i64;
                Found::Nanos(time.wrapping_sub(span.start_unix_nanos))
            }),
            Intrinsic::LinkTraceId => {
                self.link.map_or(Found::Nil, |link| Found::Id(digits(&link.trace_id)))
            }
            Intrinsic::LinkSpanId => {
                self.link.map_or(Found::Nil, |link| Found::Id(digits(&link.span_id)))
            }
            Intrinsic::InstrumentationName => text(&span.scope_name),
            Intrinsic::InstrumentationVersion => text(&span.scope_version),
            Intrinsic::Parent => Found::Nil,
        }
    }
}

/// A resource that names no service has the empty name.
fn no_service<'a>(key: &str) -> Option<Found<'a>> {
    (key == "service.name").then_some(Found::Text(""))
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_nil(expr: &FieldExpr) -> bool {
    matches!(expr.kind, FieldKind::Literal(Value::Nil))
}

fn is_true(value: &Found<'_>) -> bool {
    *value == Found::Bool(true)
}

fn literal(value: &Value) -> Found<'_> {
    match value {
        Value::Nil => Found::Nil,
        Value::Bool(value) => Found::Bool(*value),
        Value::Int(value) => Found::Int(*value),
        Value::Float(value) => Found::Float(*value),
        Value::DurationNanos(value) => Found::Nanos(*value),
        Value::String(value) => Found::Text(value),
        Value::Status(status) => Found::Status(*status as i32),
        Value::Kind(kind) => Found::Kind(*kind as i32),
    }
}

/// A value as sent. Lists are lists if their elements are of one type that can be compared.
fn said(value: &RefValue) -> Found<'_> {
    match value {
        RefValue::Text(text) => Found::Text(text),
        RefValue::Bool(value) => Found::Bool(*value),
        RefValue::Int(value) => Found::Int(*value),
        RefValue::Double(value) => Found::Float(*value),
        RefValue::Array(values) => {
            let values: Vec<Found<'_>> = values.iter().map(said).collect();
            let is_simple = |v: &Found<'_>| !matches!(v, Found::Opaque | Found::List(_));
            let is_one_type = values
                .windows(2)
                .all(|pair| std::mem::discriminant(&pair[0]) == std::mem::discriminant(&pair[1]));
            match !values.is_empty() && is_one_type && values.iter().all(is_simple) {
                true => Found::List(values),
                false => Found::Opaque,
            }
        }
        RefValue::Empty | RefValue::Bytes(_) | RefValue::Map(_) => Found::Opaque,
    }
}

/// Of a list any element must do; where the question is what it is not, all must.
fn each(all: bool, value: &Found<'_>, test: &dyn Fn(&Found<'_>) -> bool) -> bool {
    match value {
        Found::List(values) if all => values.iter().all(test),
        Found::List(values) => values.iter().any(test),
        value => test(value),
    }
}

fn compare(op: FieldOp, left: &Found<'_>, right: &Found<'_>) -> bool {
    let all = op == FieldOp::NotEqual;
    match (left, right) {
        (Found::List(_), Found::List(_)) => false,
        (Found::List(_), right) => each(all, left, &|value| compare_one(op, value, right)),
        (left, right) => each(all, right, &|value| compare_one(op, left, value)),
    }
}

fn compare_one(op: FieldOp, left: &Found<'_>, right: &Found<'_>) -> bool {
    let is_equality = matches!(op, FieldOp::Equal | FieldOp::NotEqual);
    let order = match (left, right) {
        (Found::Text(left), Found::Text(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
        (Found::Id(left), Found::Id(right)) => Some(compare_ids(left, right)),
        (Found::Id(left), Found::Text(right)) => Some(compare_ids(left, right)),
        (Found::Text(left), Found::Id(right)) => Some(compare_ids(left, right)),
        (Found::Bool(left), Found::Bool(right)) if is_equality => Some(left.cmp(right)),
        (Found::Status(left), Found::Status(right)) if is_equality => Some(left.cmp(right)),
        (Found::Kind(left), Found::Kind(right)) if is_equality => Some(left.cmp(right)),
        (left, right) => match (number(left), number(right)) {
            (Some(Number::Whole(left)), Some(Number::Whole(right))) => Some(left.cmp(&right)),
            (Some(left), Some(right)) => {
                let order = left.as_float().partial_cmp(&right.as_float());
                if order.is_none() {
                    // What is not a number differs from everything.
                    return op == FieldOp::NotEqual;
                }
                order
            }
            _ => None,
        },
    };
    let Some(order) = order else { return false };
    match op {
        FieldOp::Equal => order == Ordering::Equal,
        FieldOp::NotEqual => order != Ordering::Equal,
        FieldOp::Less => order == Ordering::Less,
        FieldOp::LessOrEqual => order != Ordering::Greater,
        FieldOp::Greater => order == Ordering::Greater,
        FieldOp::GreaterOrEqual => order != Ordering::Less,
        _ => unreachable!("not a comparison"),
    }
}

/// As numbers: without leading zeros the longer one is greater.
fn compare_ids(left: &str, right: &str) -> Ordering {
    let bare = |id: &str| id.trim_start_matches('0').to_ascii_lowercase();
    let (left, right) = (bare(left), bare(right));
    left.len().cmp(&right.len()).then_with(|| left.cmp(&right))
}

#[derive(Clone, Copy)]
enum Number {
    Whole(i64),
    Float(f64),
}

impl Number {
    fn as_float(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

/// A duration is its nanoseconds.
fn number(value: &Found<'_>) -> Option<Number> {
    match value {
        Found::Int(value) | Found::Nanos(value) => Some(Number::Whole(*value)),
        Found::Float(value) => Some(Number::Float(*value)),
        _ => None,
    }
}

fn calculate<'a>(op: FieldOp, left: &Found<'_>, right: &Found<'_>) -> Found<'a> {
    if let (Found::Int(left), Found::Int(right)) = (left, right) {
        return calculate_whole(op, *left, *right).map_or(Found::Wrong, Found::Int);
    }
    let (Some(left), Some(right)) = (number(left), number(right)) else { return Found::Wrong };
    let (left, right) = (left.as_float(), right.as_float());
    Found::Float(match op {
        FieldOp::Add => left + right,
        FieldOp::Sub => left - right,
        FieldOp::Mul => left * right,
        FieldOp::Div => left / right,
        FieldOp::Mod => left % right,
        _ => left.powf(right),
    })
}

/// Wraps around; nothing is divided by zero.
fn calculate_whole(op: FieldOp, left: i64, right: i64) -> Option<i64> {
    Some(match op {
        FieldOp::Add => left.wrapping_add(right),
        FieldOp::Sub => left.wrapping_sub(right),
        FieldOp::Mul => left.wrapping_mul(right),
        FieldOp::Div if right != 0 => left.wrapping_div(right),
        FieldOp::Mod if right != 0 => left.wrapping_rem(right),
        FieldOp::Pow if right >= 0 => power(left, right),
        // What is left of 1 / (left ^ -right).
        FieldOp::Pow if left == 1 || left == -1 => power(left, -(right % 2)),
        FieldOp::Pow if left != 0 => 0,
        _ => return None,
    })
}

fn power(base: i64, exponent: i64) -> i64 {
    let half = if exponent > 1 { power(base, exponent / 2) } else { 1 };
    let even = half.wrapping_mul(half);
    if exponent % 2 == 1 { even.wrapping_mul(base) } else { even }
}
