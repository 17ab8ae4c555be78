//! Types of expressions that have a value for each span.
//!
//! In: a tree. Out: the type of each part, or the first two parts that cannot fit and how to write
//! them so that they do. The type of an attribute is known from its values alone: nothing is
//! wrong with it here.

use std::fmt;

use super::Checker;
use crate::advice;
use crate::ast::{
    Attribute, AttributeScope, FieldExpr, FieldKind, FieldOp, Intrinsic, UnaryOp, Value,
};
use crate::error::ValidationError;
use crate::regex;
use crate::words;

/// What an expression is, as far as it is known without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Of an attribute: anything.
    Attribute,
    Nil,
    Bool,
    Int,
    Float,
    Duration,
    String,
    Status,
    Kind,
}

impl Type {
    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Duration)
    }

    /// Whether the two can be operands of one operator.
    pub(super) fn fits(self, other: Type) -> bool {
        let is_any = |of| matches!(of, Self::Attribute | Self::Nil);
        self == other || is_any(self) || is_any(other) || (self.is_number() && other.is_number())
    }

    /// Whether it can stand on a side of the operator.
    pub(super) fn takes(self, op: FieldOp) -> bool {
        match op {
            FieldOp::Equal | FieldOp::NotEqual => true,
            FieldOp::Less | FieldOp::LessOrEqual | FieldOp::Greater | FieldOp::GreaterOrEqual => {
                self.is_number() || matches!(self, Self::Attribute | Self::String)
            }
            FieldOp::Regex | FieldOp::NotRegex => matches!(self, Self::Attribute | Self::String),
            FieldOp::And | FieldOp::Or => matches!(self, Self::Attribute | Self::Bool),
            _ => self.is_number() || self == Self::Attribute,
        }
    }

    pub(super) fn takes_unary(self, op: UnaryOp) -> bool {
        match op {
            UnaryOp::Not => matches!(self, Self::Attribute | Self::Bool),
            UnaryOp::Minus => self.is_number() || self == Self::Attribute,
        }
    }

    fn of_value(value: &Value) -> Type {
        match value {
            Value::Nil => Self::Nil,
            Value::Bool(_) => Self::Bool,
            Value::Int(_) => Self::Int,
            Value::Float(_) => Self::Float,
            Value::DurationNanos(_) => Self::Duration,
            Value::String(_) => Self::String,
            Value::Status(_) => Self::Status,
            Value::Kind(_) => Self::Kind,
        }
    }

    fn of_attribute(attribute: &Attribute) -> Type {
        let Attribute::Intrinsic(intrinsic) = attribute else { return Self::Attribute };
        match intrinsic {
            Intrinsic::TraceDuration | Intrinsic::Duration | Intrinsic::EventTimeSinceStart => {
                Self::Duration
            }
            Intrinsic::Kind => Self::Kind,
            Intrinsic::Status => Self::Status,
            Intrinsic::ChildCount
            | Intrinsic::NestedSetLeft
            | Intrinsic::NestedSetRight
            | Intrinsic::NestedSetParent => Self::Int,
            // Tempo takes these for anything: `{ instrumentation:name = 5 }` is no error.
            Intrinsic::InstrumentationName
            | Intrinsic::InstrumentationVersion
            | Intrinsic::Parent => Self::Attribute,
            _ => Self::String,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attribute => "an attribute",
            Self::Nil => "nil",
            Self::Bool => "true or false",
            Self::Int | Self::Float => "a number",
            Self::Duration => "a duration",
            Self::String => "text",
            Self::Status => "a status",
            Self::Kind => "a kind",
        })
    }
}

impl Checker<'_> {
    /// The type of an expression whose parts fit each other.
    pub(super) fn field(&self, expr: &FieldExpr) -> Result<Type, ValidationError> {
        match &expr.kind {
            FieldKind::Literal(value) => Ok(Type::of_value(value)),
            FieldKind::Attribute(attribute) => Ok(Type::of_attribute(attribute)),
            FieldKind::Unary { op, expr: operand } => {
                let of = self.field(operand)?;
                if of.takes_unary(*op) {
                    return Ok(of);
                }
                Err(self.unary_misfit(*op, expr, operand, of))
            }
            FieldKind::Binary { op, left, right } => self.binary(expr, *op, left, right),
        }
    }

    fn binary(
        &self,
        whole: &FieldExpr,
        op: FieldOp,
        left: &FieldExpr,
        right: &FieldExpr,
    ) -> Result<Type, ValidationError> {
        let types = (self.field(left)?, self.field(right)?);
        let sides = Sides { whole, op, left, right, types };
        if !types.0.fits(types.1) {
            return Err(self.misfit(&sides));
        }
        if !types.0.takes(op) || !types.1.takes(op) {
            return Err(self.wrong_operator(&sides));
        }
        if op.is_regex() {
            self.pattern(op, right)?;
        }
        if op == FieldOp::Equal {
            self.absent(left, right)?;
            self.absent(right, left)?;
        }
        Ok(match types {
            _ if !op.is_arithmetic() => Type::Bool,
            (Type::Attribute, right) => right,
            (left, _) => left,
        })
    }

    /// The right side of a regular expression.
    fn pattern(&self, op: FieldOp, right: &FieldExpr) -> Result<(), ValidationError> {
        let FieldKind::Literal(Value::String(pattern)) = &right.kind else {
            let problem = format!("the right side of `{}` has to be text", op.spelling());
            return Err(self.error(right.place, problem));
        };
        regex::rewrite(pattern)
            .map(|_| ())
            .map_err(|error| self.error(right.place, format!("not a regular expression: {error}")))
    }

    /// `one = nil`, where `one` is always there.
    fn absent(&self, one: &FieldExpr, other: &FieldExpr) -> Result<(), ValidationError> {
        let (FieldKind::Attribute(attribute), FieldKind::Literal(Value::Nil)) =
            (&one.kind, &other.kind)
        else {
            return Ok(());
        };
        let is_always_there = match attribute {
            Attribute::Intrinsic(intrinsic) => *intrinsic != Intrinsic::Parent,
            Attribute::Named { scope: AttributeScope::Resource, name } => {
                name.as_ref() == "service.name"
            }
            _ => false,
        };
        if !is_always_there {
            return Ok(());
        }
        let error = self.error(one.place, format!("`{}` is never nil", self.shown(one)));
        if matches!(Type::of_attribute(attribute), Type::String | Type::Attribute) {
            return Err(error.advise(format!("empty text is `{} = \"\"`", self.shown(one))));
        }
        Err(error)
    }

    fn unary_misfit(
        &self,
        op: UnaryOp,
        whole: &FieldExpr,
        operand: &FieldExpr,
        of: Type,
    ) -> ValidationError {
        let shown = self.shown(operand);
        match op {
            UnaryOp::Minus => {
                self.error(whole.place, format!("`-` is for numbers, and `{shown}` is {of}"))
            }
            UnaryOp::Not => {
                let problem = format!("`!` is for true or false, and `{shown}` is {of}");
                let error = self.error(whole.place, problem);
                match operand.kind {
                    FieldKind::Attribute(_) => {
                        error.advise("negate the comparison: `!(… = …)` or `… != …`")
                    }
                    _ => error,
                }
            }
        }
    }

    fn misfit(&self, sides: &Sides<'_>) -> ValidationError {
        let Sides { whole, op, left, right, types } = sides;
        let (left_shown, right_shown) = (self.shown(left), self.shown(right));
        let verb = match op {
            FieldOp::And | FieldOp::Or => "join",
            op if op.is_arithmetic() => "calculate with",
            _ => "compare",
        };
        let problem = format!(
            "cannot {verb} `{left_shown}`, which is {}, and `{right_shown}`, which is {}",
            types.0, types.1
        );
        let error = self.error(whole.place, problem);
        if !op.is_comparison() {
            return error;
        }
        let advice = mended(&left_shown, *op, right, types.0)
            .or_else(|| mended(&right_shown, *op, left, types.1));
        match advice {
            Some(advice) => error.advise(advice),
            None => error,
        }
    }

    fn wrong_operator(&self, sides: &Sides<'_>) -> ValidationError {
        let Sides { whole, op, left, right, types } = sides;
        let (operand, of) = if types.0.takes(*op) { (right, types.1) } else { (left, types.0) };
        let problem =
            format!("`{}` is not for {of}, as `{}` is", op.spelling(), self.shown(operand));
        let error = self.error(whole.place, problem);
        match (of, op) {
            (Type::Nil, _) if op.is_comparison() => {
                error.advise("`!= nil` asks whether there is a value")
            }
            (Type::Status | Type::Kind | Type::Nil | Type::Bool, _) if !op.is_arithmetic() => {
                match op {
                    FieldOp::And | FieldOp::Or => error.advise("compare it first"),
                    _ => error.advise("only `=` and `!=` compare it"),
                }
            }
            (_, FieldOp::And | FieldOp::Or) => error.advise("compare it first"),
            (_, FieldOp::Regex | FieldOp::NotRegex) => {
                error.advise("regular expressions are for text")
            }
            _ => error,
        }
    }
}

/// A binary expression whose sides do not fit.
struct Sides<'a> {
    whole: &'a FieldExpr,
    op: FieldOp,
    left: &'a FieldExpr,
    right: &'a FieldExpr,
    types: (Type, Type),
}

/// How to write `value`, so that it fits an expression that is shown so.
fn mended(shown: &str, op: FieldOp, value: &FieldExpr, of: Type) -> Option<String> {
    let FieldKind::Literal(literal) = &value.kind else { return None };
    let op = op.spelling();
    match (of, literal) {
        (Type::Status | Type::Kind, Value::String(text)) => {
            let fits = |word: &&str| {
                words::literal(word).is_some_and(|of_word| Type::of_value(&of_word) == of)
            };
            let lower = text.to_lowercase();
            let bare = lower.trim_start_matches("status_code_").trim_start_matches("span_kind_");
            let word = words::literal_words()
                .find(|word| *word == bare && fits(word))
                .or_else(|| advice::similar(bare, words::literal_words().filter(fits)));
            Some(match word {
                Some(word) => format!("it is a keyword, without quotes: `{shown} {op} {word}`"),
                None => keywords_of(of, fits),
            })
        }
        (Type::Status | Type::Kind, Value::Int(_) | Value::Status(_) | Value::Kind(_)) => {
            Some(keywords_of(of, |word| {
                words::literal(word).is_some_and(|of_word| Type::of_value(&of_word) == of)
            }))
        }
        (Type::Duration, Value::String(text)) => {
            Some(format!("durations have no quotes: `{shown} {op} {}`", advice::cut(text)))
        }
        (Type::Int | Type::Float, Value::String(text)) if text.parse::<f64>().is_ok() => {
            Some(format!("numbers have no quotes: `{text}`"))
        }
        (Type::String, literal) => Some(format!("text stands in quotes: `\"{literal}\"`")),
        _ => None,
    }
}

fn keywords_of(of: Type, fits: impl Fn(&&str) -> bool) -> String {
    let listed: Vec<&str> = words::literal_words().filter(fits).collect();
    format!("{of} is one of {}", listed.join(", "))
}
