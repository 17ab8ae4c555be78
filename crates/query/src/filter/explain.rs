//! A condition as text, as it would be written in a query.

use std::fmt::{self, Display, Formatter};

use suyuan_traceql::ast::Value;
use suyuan_traceql::print;

use super::expr::Expr;
use super::one_of::OneOf;
use super::scalar::{Calculation, Comparison, Scalar};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write_constant(value, f),
            Self::Attribute(attribute) => f.write_str(&print::attribute(attribute)),
            Self::Not(of) => write!(f, "!({of})"),
            Self::Minus(of) => write!(f, "-({of})"),
            Self::And(operands) => write_chain(operands, " && ", f),
            Self::Or(operands) => write_chain(operands, " || ", f),
            Self::Calculate(calculation, left, right) => {
                write!(f, "({left} {} {right})", symbol_of_calculation(*calculation))
            }
            Self::Compare(comparison, left, right) => {
                write!(f, "{left} {} {right}", symbol_of_comparison(*comparison))
            }
            Self::Matches { of, pattern, is_negated, .. } => {
                let symbol = if *is_negated { "!~" } else { "=~" };
                write!(f, "{of} {symbol} {}", print::value(&Value::String(pattern.clone())))
            }
            Self::OneOf(of, list) => write_list(&print::attribute(of), list, f),
            Self::IsNil(of, true) => write!(f, "{of} = nil"),
            Self::IsNil(of, false) => write!(f, "{of} != nil"),
            Self::Is(of, true) => write!(f, "{of}"),
            Self::Is(of, false) => write!(f, "!{of}"),
        }
    }
}

fn write_chain(operands: &[Expr], symbol: &str, f: &mut Formatter<'_>) -> fmt::Result {
    for (place, operand) in operands.iter().enumerate() {
        if place > 0 {
            f.write_str(symbol)?;
        }
        match operand {
            Expr::And(_) | Expr::Or(_) | Expr::OneOf(..) => write!(f, "({operand})")?,
            _ => write!(f, "{operand}")?,
        }
    }
    Ok(())
}

fn write_list(of: &str, list: &OneOf, f: &mut Formatter<'_>) -> fmt::Result {
    let texts: Vec<String> = match list {
        OneOf::Numbers(numbers) => numbers.iter().map(|n| format!("{of} = {n}")).collect(),
        OneOf::Ids(ids) => ids.iter().map(|id| format!("{of} = `{id:x}`")).collect(),
    };
    f.write_str(&texts.join(" || "))
}

fn write_constant(value: &Scalar<'static>, f: &mut Formatter<'_>) -> fmt::Result {
    let literal = match value {
        Scalar::Bool(value) => Value::Bool(*value),
        Scalar::Int(value) => Value::Int(*value),
        Scalar::Nanos(value) => Value::DurationNanos(*value),
        Scalar::Float(value) => Value::Float(*value),
        Scalar::Text(text) => Value::String(text.as_ref().into()),
        Scalar::Status(0) => return f.write_str("unset"),
        Scalar::Status(1) => return f.write_str("ok"),
        Scalar::Status(_) => return f.write_str("error"),
        Scalar::Kind(number) => {
            let words = ["unspecified", "internal", "server", "client", "producer", "consumer"];
            return f.write_str(words.get(*number as usize).unwrap_or(&"unknown"));
        }
        _ => Value::Nil,
    };
    f.write_str(&print::value(&literal))
}

fn symbol_of_comparison(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::NotEqual => "!=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

fn symbol_of_calculation(calculation: Calculation) -> &'static str {
    match calculation {
        Calculation::Add => "+",
        Calculation::Sub => "-",
        Calculation::Mul => "*",
        Calculation::Div => "/",
        Calculation::Mod => "%",
        Calculation::Pow => "^",
    }
}
