//! The canonical text of a tree.
//!
//! In: a tree. Out: its text as Tempo prints it, which parses to the same tree again. Labels of
//! series and keys of answers are made of it. Operands that are no leaf stand in brackets, so that
//! nobody has to know how strongly an operator binds.

use std::fmt::{self, Display, Formatter, Write};

use crate::ast::{
    Aggregate, Attribute, AttributeScope, FieldExpr, FieldKind, Hint, MetricsExpr, MetricsFunction,
    MetricsFunctionKind, MetricsKind, Pipeline, PlacedAttribute, Query, Root, ScalarExpr,
    ScalarFilter, ScalarKind, SecondStage, SpansetExpr, SpansetKind, Stage, StageKind, UnaryOp,
    Value,
};
use crate::lexer::is_name_char;
use crate::words;

/// A whole query.
pub fn query(query: &Query) -> String {
    query.to_string()
}

/// An expression, without the braces: `(.a = 1) && .b`.
pub fn field_expr(expr: &FieldExpr) -> String {
    expr.to_string()
}

/// `span.foo`, `.foo`, `name`, `resource."a b"`. Of an intrinsic the older spelling, where it has
/// two (`tempo.md` 2.2).
pub fn attribute(attribute: &Attribute) -> String {
    attribute.to_string()
}

/// A literal: `` `text` ``, `1m30s`, `error`.
pub fn value(value: &Value) -> String {
    value.to_string()
}

/// A duration as Go writes it: `1h0m0.5s`, `1.5ms`, `0s`.
pub fn duration(nanos: i64) -> String {
    DurationText(nanos).to_string()
}

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::Spansets(pipeline) => pipeline.fmt(f)?,
            Root::Metrics(metrics) => metrics.fmt(f)?,
        }
        if self.hints.is_empty() {
            return Ok(());
        }
        f.write_str(" with(")?;
        joined(f, &self.hints, ", ")?;
        f.write_str(")")
    }
}

impl Display for Hint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl Display for Pipeline {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        joined(f, &self.stages, "|")
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            StageKind::Spanset(spanset) => spanset.fmt(f),
            StageKind::ScalarFilter(filter) => filter.fmt(f),
            StageKind::GroupBy(by) => write!(f, "by({by})"),
            StageKind::Coalesce => f.write_str("coalesce()"),
            StageKind::Select(attributes) => {
                f.write_str("select(")?;
                joined(f, attributes, ", ")?;
                f.write_str(")")
            }
        }
    }
}

impl Display for SpansetExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            SpansetKind::Filter(filter) => write!(f, "{{ {filter} }}"),
            SpansetKind::Binary { op, left, right } => {
                write!(f, "({left}) {} ({right})", op.spelling())
            }
            SpansetKind::Pipeline(pipeline) => pipeline.fmt(f),
        }
    }
}

impl Display for ScalarFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        scalar_operand(f, &self.left)?;
        write!(f, " {} ", self.op.spelling())?;
        scalar_operand(f, &self.right)
    }
}

impl Display for ScalarExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ScalarKind::Literal(value) => value.fmt(f),
            ScalarKind::Aggregate(aggregate) => aggregate.fmt(f),
            ScalarKind::Binary { op, left, right } => {
                scalar_operand(f, left)?;
                write!(f, " {} ", op.spelling())?;
                scalar_operand(f, right)
            }
            ScalarKind::Pipeline { pipeline, aggregate } => write!(f, "{pipeline}|{aggregate}"),
        }
    }
}

fn scalar_operand(f: &mut Formatter<'_>, scalar: &ScalarExpr) -> fmt::Result {
    match scalar.kind {
        ScalarKind::Literal(_) => scalar.fmt(f),
        _ => write!(f, "({scalar})"),
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op.spelling())?;
        if let Some(of) = &self.of {
            of.fmt(f)?;
        }
        f.write_str(")")
    }
}

impl Display for FieldExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FieldKind::Literal(value) => value.fmt(f),
            FieldKind::Attribute(attribute) => attribute.fmt(f),
            FieldKind::Unary { op, expr } => {
                f.write_str(match op {
                    UnaryOp::Not => "!",
                    UnaryOp::Minus => "-",
                })?;
                match expr.kind {
                    // `-1` is a literal of its own.
                    FieldKind::Literal(_) if *op == UnaryOp::Minus => write!(f, "({expr})"),
                    _ => field_operand(f, expr),
                }
            }
            FieldKind::Binary { op, left, right } => {
                field_operand(f, left)?;
                write!(f, " {} ", op.spelling())?;
                field_operand(f, right)
            }
        }
    }
}

fn field_operand(f: &mut Formatter<'_>, expr: &FieldExpr) -> fmt::Result {
    match expr.kind {
        FieldKind::Literal(_) | FieldKind::Attribute(_) => expr.fmt(f),
        _ => write!(f, "({expr})"),
    }
}

impl Display for MetricsExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            MetricsKind::Pipeline { pipeline, function } => write!(f, "{pipeline} | {function}")?,
            MetricsKind::Binary { op, left, right } => {
                series_operand(f, left)?;
                write!(f, " {} ", op.spelling())?;
                series_operand(f, right)?;
            }
            MetricsKind::Scalar(value) => value.fmt(f)?,
        }
        self.second.iter().try_for_each(|stage| match stage {
            SecondStage::TopK(n) => write!(f, " | topk({n})"),
            SecondStage::BottomK(n) => write!(f, " | bottomk({n})"),
            SecondStage::Filter { op, value } => write!(f, " {} {value}", op.spelling()),
        })
    }
}

fn series_operand(f: &mut Formatter<'_>, metrics: &MetricsExpr) -> fmt::Result {
    match metrics.kind {
        MetricsKind::Scalar(_) => metrics.fmt(f),
        _ => write!(f, "({metrics})"),
    }
}

impl Display for MetricsFunction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.kind.name())?;
        match &self.kind {
            MetricsFunctionKind::Rate | MetricsFunctionKind::CountOverTime => {}
            MetricsFunctionKind::MinOverTime(of)
            | MetricsFunctionKind::MaxOverTime(of)
            | MetricsFunctionKind::SumOverTime(of)
            | MetricsFunctionKind::AvgOverTime(of)
            | MetricsFunctionKind::HistogramOverTime(of) => of.fmt(f)?,
            MetricsFunctionKind::QuantileOverTime { of, quantiles } => {
                of.fmt(f)?;
                quantiles.iter().try_for_each(|quantile| write!(f, ",{}", Quantile(*quantile)))?;
            }
            MetricsFunctionKind::Compare { filter, top_n, start_unix_nanos, end_unix_nanos } => {
                write!(f, "{{ {filter} }}")?;
                for number in [top_n, start_unix_nanos, end_unix_nanos].into_iter().flatten() {
                    write!(f, ",{number}")?;
                }
            }
        }
        f.write_str(")")?;
        if self.by.is_empty() {
            return Ok(());
        }
        f.write_str("by(")?;
        joined(f, &self.by, ",")?;
        f.write_str(")")
    }
}

impl MetricsFunctionKind {
    /// As it is written, and as series are called that have no labels.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::CountOverTime => "count_over_time",
            Self::MinOverTime(_) => "min_over_time",
            Self::MaxOverTime(_) => "max_over_time",
            Self::SumOverTime(_) => "sum_over_time",
            Self::AvgOverTime(_) => "avg_over_time",
            Self::QuantileOverTime { .. } => "quantile_over_time",
            Self::HistogramOverTime(_) => "histogram_over_time",
            Self::Compare { .. } => "compare",
        }
    }
}

/// With five digits as Tempo has them, and with more where five would be another number.
struct Quantile(f64);

impl Display for Quantile {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let short = format!("{:.5}", self.0);
        if short.parse() == Ok(self.0) { f.write_str(&short) } else { write!(f, "{:?}", self.0) }
    }
}

impl Display for PlacedAttribute {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.attribute.fmt(f)
    }
}

impl Display for Attribute {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intrinsic(intrinsic) => f.write_str(intrinsic.spelling()),
            Self::Named { scope, name } => {
                f.write_str(scope.spelling())?;
                f.write_char('.')?;
                let is_number =
                    *scope == AttributeScope::Any && name.starts_with(|c: char| c.is_ascii_digit());
                attribute_name(f, name, is_number)
            }
            Self::Parent { scope: AttributeScope::Any, name } => {
                f.write_str("parent.")?;
                let is_scoped = name.starts_with("span.") || name.starts_with("resource.");
                attribute_name(f, name, is_scoped)
            }
            Self::Parent { scope, name } => {
                write!(f, "parent.{}.", scope.spelling())?;
                attribute_name(f, name, false)
            }
        }
    }
}

/// In quotes where it would be read as something else.
fn attribute_name(f: &mut Formatter<'_>, name: &str, is_ambiguous: bool) -> fmt::Result {
    let is_plain = name.chars().all(|c| is_name_char(c) && c != '"');
    if is_plain && !is_ambiguous {
        return f.write_str(name);
    }
    f.write_char('"')?;
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            // With its point, so that it stays a float.
            Self::Float(number) => write!(f, "{number:?}"),
            Self::DurationNanos(nanos) => DurationText(*nanos).fmt(f),
            Self::String(text) => string(f, text),
            Self::Nil | Self::Bool(_) | Self::Status(_) | Self::Kind(_) => {
                f.write_str(words::keyword(self))
            }
        }
    }
}

/// In backticks, where everything stands for itself, unless it holds one.
fn string(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    if !text.contains('`') {
        return write!(f, "`{text}`");
    }
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            _ if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            _ => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

struct DurationText(i64);

impl Display for DurationText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_char('-')?;
        }
        let nanos = self.0.unsigned_abs();
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => fraction(f, nanos, 1_000, "µs"),
            1_000_000..1_000_000_000 => fraction(f, nanos, 1_000_000, "ms"),
            _ => {
                let minutes = nanos / 60_000_000_000;
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                fraction(f, nanos % 60_000_000_000, 1_000_000_000, "s")
            }
        }
    }
}

/// A decimal number of a unit, without zeros at its end.
fn fraction(f: &mut Formatter<'_>, nanos: u64, unit_nanos: u64, unit: &str) -> fmt::Result {
    write!(f, "{}", nanos / unit_nanos)?;
    let rest = nanos % unit_nanos;
    if rest > 0 {
        let width = unit_nanos.ilog10() as usize;
        write!(f, ".{}", format!("{rest:0width$}").trim_end_matches('0'))?;
    }
    f.write_str(unit)
}

fn joined(f: &mut Formatter<'_>, parts: &[impl Display], separator: &str) -> fmt::Result {
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            f.write_str(separator)?;
        }
        part.fmt(f)?;
    }
    Ok(())
}
