//! A filter's expression, compiled: constants worked out, regular expressions ready.
//!
//! In: a tree of TraceQL that passed the type rules. Out: a smaller tree and its value for one row,
//! the plain way: what columns answer must be the same. Never here: columns.

use std::sync::Arc;

use memchr::memmem::Finder;

use suyuan_traceql::ast::{
    Attribute, AttributeScope, FieldExpr, FieldKind, FieldOp, Intrinsic, UnaryOp, Value,
};

use super::FilterError;
use super::matcher::{Matcher, Room};
use super::one_of::{self, OneOf};
use super::scalar::{Calculation, Comparison, Scalar};

#[derive(Clone, Debug)]
pub(super) enum Expr {
    Constant(Scalar<'static>),
    Attribute(Attribute),
    Not(Box<Expr>),
    Minus(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Calculate(Calculation, Box<Expr>, Box<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    Matches {
        of: Box<Expr>,
        pattern: Arc<str>,
        matcher: Arc<Matcher>,
        is_negated: bool,
    },
    /// `of = 1 || of = 2 || …`
    OneOf(Attribute, OneOf),
    /// `= nil` or `!= nil`
    IsNil(Box<Expr>, bool),
    /// Whether it is this boolean, and no array of it.
    Is(Box<Expr>, bool),
}

/// Where values of attributes come from.
pub(super) trait Values {
    fn value(&self, attribute: &Attribute) -> Scalar<'_>;
}

/// Values of an event or a link that is not there, and of anything without a row.
pub(super) struct Absent;

impl Values for Absent {
    fn value(&self, _: &Attribute) -> Scalar<'_> {
        Scalar::Wrong
    }
}

impl Expr {
    /// A text that an attribute of the span must contain, if the expression asks for nothing else:
    /// the attribute and the text.
    pub(super) fn required_text(&self) -> Option<(&Arc<str>, &str)> {
        let (of, literal) = match self {
            Self::Matches { of, matcher, is_negated: false, .. } => {
                let literals = matcher.literals().iter().map(Finder::needle);
                (of, std::str::from_utf8(literals.max_by_key(|literal| literal.len())?).ok()?)
            }
            Self::Compare(Comparison::Equal, of, other) => match &**other {
                Self::Constant(Scalar::Text(text)) if !text.is_empty() => (of, &**text),
                _ => return None,
            },
            _ => return None,
        };
        match &**of {
            Self::Attribute(Attribute::Named { scope: AttributeScope::Span, name }) => {
                Some((name, literal))
            }
            _ => None,
        }
    }

    /// The expression as a value.
    pub(super) fn compile(expr: &FieldExpr, room: &Room) -> Result<Self, FilterError> {
        let compiled = match &expr.kind {
            FieldKind::Literal(value) => Self::Constant(Scalar::of_literal(value).into_owned()),
            FieldKind::Attribute(attribute) => Self::Attribute(attribute.clone()),
            FieldKind::Unary { op: UnaryOp::Not, expr } => Self::Not(Self::boxed(expr, room)?),
            FieldKind::Unary { op: UnaryOp::Minus, expr } => Self::Minus(Self::boxed(expr, room)?),
            FieldKind::Binary { op: FieldOp::And | FieldOp::Or, .. } => {
                return Self::chain(expr, room);
            }
            FieldKind::Binary { op, left, right } => Self::binary(*op, left, right, room)?,
        };
        Ok(compiled.folded())
    }

    fn boxed(expr: &FieldExpr, room: &Room) -> Result<Box<Self>, FilterError> {
        Self::compile(expr, room).map(Box::new)
    }

    /// `a && b || c && …`: a list of a thousand ids hangs on the left, one below the other, so that
    /// side is not followed by recursion.
    fn chain(expr: &FieldExpr, room: &Room) -> Result<Self, FilterError> {
        let mut first = expr;
        let mut others = Vec::new();
        while let FieldKind::Binary { op: op @ (FieldOp::And | FieldOp::Or), left, right } =
            &first.kind
        {
            others.push((*op, &**right));
            first = left;
        }
        let mut chain = Self::truth(first, room)?;
        for (op, other) in others.into_iter().rev() {
            // A comparison with nil by `&&` is refused by the type rules: nil is no boolean.
            chain = chain.joined(op == FieldOp::And, Self::truth(other, room)?);
        }
        Ok(one_of::merged(chain))
    }

    fn binary(
        op: FieldOp,
        left: &FieldExpr,
        right: &FieldExpr,
        room: &Room,
    ) -> Result<Self, FilterError> {
        if let Some(asked) = asked_for_nil(left, right) {
            let is_nil = match op {
                FieldOp::Equal => true,
                FieldOp::NotEqual => false,
                _ => return Ok(Self::Constant(Scalar::Bool(false))),
            };
            if is_literal_nil(asked) {
                return Ok(Self::Constant(Scalar::Bool(false)));
            }
            return Ok(Self::IsNil(Self::boxed(asked, room)?, is_nil));
        }
        if let Some(comparison) = Comparison::of(op) {
            let (left, right) = (Self::boxed(left, room)?, Self::boxed(right, room)?);
            return Ok(match *left {
                Self::Constant(_) => Self::Compare(comparison.mirrored(), right, left),
                _ => Self::Compare(comparison, left, right),
            });
        }
        if let Some(calculation) = Calculation::of(op) {
            return Ok(Self::Calculate(
                calculation,
                Self::boxed(left, room)?,
                Self::boxed(right, room)?,
            ));
        }
        let FieldKind::Literal(Value::String(pattern)) = &right.kind else {
            // The type rules let only texts through.
            return Ok(Self::Constant(Scalar::Bool(false)));
        };
        Ok(Self::Matches {
            of: Self::boxed(left, room)?,
            pattern: pattern.clone(),
            matcher: Arc::new(Matcher::compile(pattern, room)?),
            is_negated: op == FieldOp::NotRegex,
        })
    }

    /// A constant, if it is made of constants.
    fn folded(self) -> Self {
        let is_constant = |expr: &Self| matches!(expr, Self::Constant(_));
        let can_fold = match &self {
            Self::Not(of) | Self::Minus(of) | Self::IsNil(of, _) => is_constant(of),
            Self::Matches { of, .. } => is_constant(of),
            Self::Calculate(_, left, right) | Self::Compare(_, left, right) => {
                is_constant(left) && is_constant(right)
            }
            _ => false,
        };
        if !can_fold {
            return self;
        }
        Self::Constant(self.value(&Absent).into_owned())
    }

    /// Whether the expression is true, which is always a boolean.
    pub(super) fn truth(expr: &FieldExpr, room: &Room) -> Result<Self, FilterError> {
        Self::compile(expr, room).map(Self::into_truth)
    }

    fn into_truth(self) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(Scalar::Bool(value.is(true))),
            Self::Attribute(_) => Self::Is(Box::new(self), true),
            Self::Minus(_) | Self::Calculate(..) => Self::Constant(Scalar::Bool(false)),
            Self::Not(inner) => match *inner {
                // What is no boolean has no opposite, and a boolean's opposite's opposite is it.
                Self::Not(innermost) => innermost.into_truth(),
                Self::Attribute(_) => Self::Is(inner, false),
                Self::Constant(_) | Self::Minus(_) | Self::Calculate(..) => {
                    Self::Constant(Scalar::Bool(inner.value(&Absent).is(false)))
                }
                _ => Self::Not(inner),
            },
            boolean => boolean,
        }
    }

    /// `self && other` or `self || other` of truths; operands of the same operator stand in one
    /// list, constants go.
    fn joined(self, is_and: bool, other: Self) -> Self {
        if let Self::Constant(value) = &other {
            return if value.is(is_and) { self } else { other };
        }
        let mut operands = match self {
            Self::And(operands) if is_and => operands,
            Self::Or(operands) if !is_and => operands,
            Self::Constant(value) if value.is(is_and) => return other,
            Self::Constant(_) => return self,
            single => vec![one_of::merged(single)],
        };
        match other {
            Self::And(more) if is_and => operands.extend(more),
            Self::Or(more) if !is_and => operands.extend(more),
            single => operands.push(single),
        }
        if is_and { Self::And(operands) } else { Self::Or(operands) }
    }

    /// All must hold.
    pub(super) fn all(mut operands: Vec<Self>) -> Self {
        if operands.len() == 1 { operands.remove(0) } else { Self::And(operands) }
    }

    pub(super) fn value<'a>(&'a self, values: &'a dyn Values) -> Scalar<'a> {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Attribute(attribute) => values.value(attribute),
            Self::Not(inner) => inner.value(values).not(),
            Self::Minus(inner) => inner.value(values).minus(),
            Self::Calculate(calculation, left, right) => {
                left.value(values).calculate(*calculation, &right.value(values))
            }
            _ => Scalar::Bool(self.holds(values)),
        }
    }

    /// Whether it is true.
    pub(super) fn holds(&self, values: &dyn Values) -> bool {
        match self {
            Self::And(operands) => operands.iter().all(|operand| operand.holds(values)),
            Self::Or(operands) => operands.iter().any(|operand| operand.holds(values)),
            Self::Compare(comparison, left, right) => {
                left.value(values).compare(*comparison, &right.value(values))
            }
            Self::Matches { of, matcher, is_negated, .. } => {
                of.value(values).matches(matcher, *is_negated)
            }
            Self::OneOf(of, list) => list.has(&values.value(of)),
            Self::IsNil(of, expected) => of.value(values).is_nil(*expected),
            Self::Is(of, expected) => of.value(values).is(*expected),
            _ => self.value(values).is(true),
        }
    }

    /// A key without which no span fulfils it.
    pub(super) fn required_span_key(&self) -> Option<&str> {
        match self {
            Self::Compare(_, left, right) => {
                left.required_for_value().or_else(|| right.required_for_value())
            }
            Self::Matches { of, .. } | Self::IsNil(of, false) | Self::Is(of, _) => {
                of.required_for_value()
            }
            Self::And(operands) => operands.iter().find_map(Self::required_span_key),
            _ => None,
        }
    }

    /// A key without which a span has no value for it.
    fn required_for_value(&self) -> Option<&str> {
        match self {
            Self::Attribute(Attribute::Named { scope: AttributeScope::Span, name }) => Some(name),
            Self::Minus(of) | Self::Not(of) => of.required_for_value(),
            Self::Calculate(_, left, right) => {
                left.required_for_value().or_else(|| right.required_for_value())
            }
            _ => None,
        }
    }

    /// Whether only roots can fulfil it: those alone have -1 as their parent's number.
    pub(super) fn is_of_roots(&self) -> bool {
        let Self::Compare(comparison, of, other) = self else { return false };
        let (Self::Attribute(of), Self::Constant(other)) = (&**of, &**other) else { return false };
        let holds = |number| Scalar::Int(number).compare(*comparison, other);
        let falls = match comparison {
            Comparison::Less | Comparison::LessOrEqual => true,
            Comparison::Equal => holds(-1),
            _ => false,
        };
        *of == Attribute::Intrinsic(Intrinsic::NestedSetParent) && falls && !holds(0)
    }

    /// Every attribute that is read, in the order of the text, as often as it is.
    pub(super) fn visit_attributes<'a>(&'a self, visit: &mut dyn FnMut(&'a Attribute)) {
        match self {
            Self::Constant(_) => {}
            Self::Attribute(attribute) | Self::OneOf(attribute, _) => visit(attribute),
            Self::Not(of) | Self::Minus(of) | Self::IsNil(of, _) | Self::Is(of, _) => {
                of.visit_attributes(visit);
            }
            Self::Matches { of, .. } => of.visit_attributes(visit),
            Self::And(operands) | Self::Or(operands) => {
                operands.iter().for_each(|operand| operand.visit_attributes(visit));
            }
            Self::Calculate(_, left, right) | Self::Compare(_, left, right) => {
                left.visit_attributes(visit);
                right.visit_attributes(visit);
            }
        }
    }

    pub(super) fn reads_events(&self) -> bool {
        self.reads(is_of_event)
    }

    pub(super) fn reads_links(&self) -> bool {
        self.reads(is_of_link)
    }

    pub(super) fn reads(&self, is_it: impl Fn(&Attribute) -> bool) -> bool {
        let mut found = false;
        self.visit_attributes(&mut |attribute| found |= is_it(attribute));
        found
    }
}

pub(super) fn is_of_event(attribute: &Attribute) -> bool {
    match attribute {
        Attribute::Named { scope, .. } => *scope == AttributeScope::Event,
        Attribute::Intrinsic(intrinsic) => {
            matches!(intrinsic, Intrinsic::EventName | Intrinsic::EventTimeSinceStart)
        }
        Attribute::Parent { .. } => false,
    }
}

pub(super) fn is_of_link(attribute: &Attribute) -> bool {
    match attribute {
        Attribute::Named { scope, .. } => *scope == AttributeScope::Link,
        Attribute::Intrinsic(intrinsic) => {
            matches!(intrinsic, Intrinsic::LinkTraceId | Intrinsic::LinkSpanId)
        }
        Attribute::Parent { .. } => false,
    }
}

fn is_literal_nil(expr: &FieldExpr) -> bool {
    matches!(expr.kind, FieldKind::Literal(Value::Nil))
}

/// The other side of a comparison with `nil`.
fn asked_for_nil<'a>(left: &'a FieldExpr, right: &'a FieldExpr) -> Option<&'a FieldExpr> {
    if is_literal_nil(right) {
        return Some(left);
    }
    is_literal_nil(left).then_some(right)
}
