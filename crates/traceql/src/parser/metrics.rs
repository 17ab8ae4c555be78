//! Functions that make series, what follows them, and arithmetic between series.
//!
//! In: tokens behind the pipeline whose spans are counted. Out: series, and what becomes of them.
//! A number that points are compared with is worked out while it is read.

use super::field::SUM;

use super::{Parser, Piece, Tall};
use crate::ast::{
    FieldOp, MetricsExpr, MetricsFunction, MetricsFunctionKind, MetricsKind, Place,
    PlacedAttribute, ScalarExpr, ScalarKind, SecondStage, Value,
};
use crate::error::ParseError;
use crate::lexer::TokenKind;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// What points of series are compared with.
const NUMBER: &str = "a number or a duration";

impl Parser<'_> {
    /// `rate() by (…)` behind the pipeline whose spans it counts.
    pub(super) fn metrics_function(
        &mut self,
        before: Tall<Piece>,
    ) -> Result<Tall<Piece>, Box<ParseError>> {
        let place = before.tree.place();
        let pipeline = match before.tree {
            Piece::Spansets { pipeline, .. } => pipeline,
            Piece::Scalar(scalar) => return Err(self.scalar_alone(&scalar)),
            Piece::Metrics(_) => {
                let expected = "`topk(…)`, `bottomk(…)` or a comparison behind a metrics query";
                return Err(self.unexpected(expected));
            }
        };
        let (function, height) = self.function()?;
        let place = self.place_from(place);
        let kind = MetricsKind::Pipeline { pipeline, function };
        let metrics = Box::new(MetricsExpr { kind, second: Vec::new(), place });
        let metrics = self.filters(metrics)?;
        self.above(Piece::Metrics(metrics), &[before.height, height])
    }

    fn function(&mut self) -> Result<(MetricsFunction, u32), Box<ParseError>> {
        let start = self.place();
        let word = self.word().unwrap_or_default();
        self.skip();
        self.expect("(", &format!("`(` behind `{word}`"))?;
        let mut height = 0;
        let kind = match word {
            "rate" => MetricsFunctionKind::Rate,
            "count_over_time" => MetricsFunctionKind::CountOverTime,
            "min_over_time" => MetricsFunctionKind::MinOverTime(self.measured()?),
            "max_over_time" => MetricsFunctionKind::MaxOverTime(self.measured()?),
            "sum_over_time" => MetricsFunctionKind::SumOverTime(self.measured()?),
            "avg_over_time" => MetricsFunctionKind::AvgOverTime(self.measured()?),
            "histogram_over_time" => MetricsFunctionKind::HistogramOverTime(self.measured()?),
            "quantile_over_time" => MetricsFunctionKind::QuantileOverTime {
                of: self.measured()?,
                quantiles: self.quantiles()?,
            },
            _ => {
                let (compare, of) = self.compare()?;
                height = of;
                compare
            }
        };
        self.expect(")", "`)`")?;
        let mut by = Vec::new();
        if self.eat_word("by") {
            self.expect("(", "`(` behind `by`")?;
            by = self.attributes()?;
            self.expect(")", "`,` or `)` behind the attribute")?;
        }
        Ok((MetricsFunction { kind, by, place: self.place_from(start) }, height))
    }

    fn measured(&mut self) -> Result<PlacedAttribute, Box<ParseError>> {
        self.attribute("the attribute that is measured, such as `duration`")
    }

    /// `, .5, .99`
    fn quantiles(&mut self) -> Result<Vec<f64>, Box<ParseError>> {
        let mut quantiles = Vec::new();
        self.expect(",", "`,` and a quantile such as `.99`")?;
        loop {
            let place = self.place();
            let quantile = match self.number()? {
                Some(Value::Float(quantile)) => quantile,
                Some(Value::Int(quantile)) => quantile as f64,
                Some(_) => {
                    let expected = "a quantile such as `.99`";
                    return Err(ParseError::new(self.text, place, "a duration", expected));
                }
                None => return Err(self.unexpected("a quantile such as `.99`")),
            };
            quantiles.push(quantile);
            if !self.eat(",") {
                return Ok(quantiles);
            }
        }
    }

    /// `{ filter }, 10, start, end`; all but the filter may be absent.
    fn compare(&mut self) -> Result<(MetricsFunctionKind, u32), Box<ParseError>> {
        let filter = self.braces()?;
        let (mut top_n, mut start_unix_nanos, mut end_unix_nanos) = (None, None, None);
        if self.eat(",") {
            top_n = Some(self.whole("how many values to show, such as `10`")?);
            if self.eat(",") {
                start_unix_nanos = Some(self.whole("the start in nanoseconds since 1970")?);
                self.expect(",", "`,` and the end in nanoseconds since 1970")?;
                end_unix_nanos = Some(self.whole("the end in nanoseconds since 1970")?);
            }
        }
        let kind = MetricsFunctionKind::Compare {
            filter: filter.tree,
            top_n,
            start_unix_nanos,
            end_unix_nanos,
        };
        Ok((kind, filter.height))
    }

    /// A whole number without a sign.
    fn whole(&mut self, expected: &str) -> Result<i64, Box<ParseError>> {
        let number = match self.kind() {
            TokenKind::Int(number) => i64::try_from(*number).ok(),
            _ => None,
        };
        let Some(number) = number else { return Err(self.unexpected(expected)) };
        self.skip();
        Ok(number)
    }

    /// `topk(10)` or `bottomk(10)` behind series.
    pub(super) fn ranking(&mut self, before: Tall<Piece>) -> Result<Tall<Piece>, Box<ParseError>> {
        let Piece::Metrics(mut metrics) = before.tree else {
            return Err(self.unexpected_with(
                "another stage",
                "series come first: `{ } | rate() by (name) | topk(10)`",
            ));
        };
        let is_top = self.word() == Some("topk");
        self.skip();
        self.expect("(", "`(`")?;
        let n = self.whole("how many series to keep, such as `10`")?;
        self.expect(")", "`)`")?;
        let stage = if is_top { SecondStage::TopK(n) } else { SecondStage::BottomK(n) };
        metrics.second.push(stage);
        metrics.place = self.place_from(metrics.place);
        let metrics = self.filters(metrics)?;
        Ok(Tall { tree: Piece::Metrics(metrics), height: before.height })
    }

    /// Comparisons with numbers that come next.
    fn filters(
        &mut self,
        mut metrics: Box<MetricsExpr>,
    ) -> Result<Box<MetricsExpr>, Box<ParseError>> {
        while let Some(op) = self.symbol().and_then(FieldOp::parse).filter(|op| op.is_comparison())
        {
            self.skip();
            let right = self.combination(SUM, NUMBER)?.tree;
            let Piece::Scalar(scalar) = &right else { return Err(self.mismatch(&right, NUMBER)) };
            self.filter(&mut metrics, op, scalar)?;
        }
        Ok(metrics)
    }

    /// Keeps the points of series that compare so with a number.
    pub(super) fn filter(
        &self,
        metrics: &mut MetricsExpr,
        op: FieldOp,
        right: &ScalarExpr,
    ) -> Result<(), Box<ParseError>> {
        let value = match right.kind {
            // Series of durations count seconds.
            ScalarKind::Literal(Value::DurationNanos(nanos)) if nanos % NANOS_PER_SECOND == 0 => {
                Value::Int(nanos / NANOS_PER_SECOND)
            }
            ScalarKind::Literal(Value::DurationNanos(nanos)) => Value::Float(nanos as f64 / 1e9),
            _ => self.folded(right)?,
        };
        metrics.second.push(SecondStage::Filter { op, value });
        metrics.place.end = right.place.end;
        Ok(())
    }

    /// The number that arithmetic on numbers comes to.
    fn folded(&self, scalar: &ScalarExpr) -> Result<Value, Box<ParseError>> {
        let error = |found: &str| {
            ParseError::new(self.text, scalar.place, found, "a number that series can have")
        };
        let (op, left, right) = match &scalar.kind {
            ScalarKind::Literal(value @ (Value::Int(_) | Value::Float(_))) => {
                return Ok(value.clone());
            }
            ScalarKind::Literal(_) => return Err(error("a duration in arithmetic")),
            ScalarKind::Binary { op, left, right } => {
                (*op, self.folded(left)?, self.folded(right)?)
            }
            _ => return Err(error("an aggregate")),
        };
        let value = match (left, right) {
            (Value::Int(left), Value::Int(right)) => int_arithmetic(op, left, right),
            (left, right) => float_arithmetic(op, as_float(&left), as_float(&right)),
        };
        value.ok_or_else(|| error("arithmetic that comes to no number"))
    }

    /// Arithmetic in which one side at least is series.
    pub(super) fn series_binary(
        &self,
        op: FieldOp,
        left: Piece,
        right: Piece,
    ) -> Result<Box<MetricsExpr>, Box<ParseError>> {
        let place = Place { start: left.place().start, end: right.place().end };
        if matches!(op, FieldOp::Mod | FieldOp::Pow) {
            let found = format!("`{}` between series", op.spelling());
            return Err(ParseError::new(self.text, place, found, "`+`, `-`, `*` or `/`"));
        }
        let (left, right) = (self.series(left)?, self.series(right)?);
        let kind = MetricsKind::Binary { op, left, right };
        Ok(Box::new(MetricsExpr { kind, second: Vec::new(), place }))
    }

    fn series(&self, piece: Piece) -> Result<Box<MetricsExpr>, Box<ParseError>> {
        match piece {
            Piece::Metrics(metrics) => Ok(metrics),
            Piece::Scalar(scalar) => self.series_of_scalar(*scalar),
            Piece::Spansets { pipeline, .. } => {
                let expected = "a number or a metrics query such as `({} | rate())`";
                Err(ParseError::new(self.text, pipeline.place, "spansets", expected))
            }
        }
    }

    /// Numbers in arithmetic with series.
    fn series_of_scalar(&self, scalar: ScalarExpr) -> Result<Box<MetricsExpr>, Box<ParseError>> {
        let place = scalar.place;
        let error = |found: &str| {
            let expected = "a number or a metrics query such as `({} | rate())`";
            ParseError::new(self.text, place, found, expected)
        };
        let kind = match scalar.kind {
            ScalarKind::Literal(value @ (Value::Int(_) | Value::Float(_))) => {
                MetricsKind::Scalar(value)
            }
            ScalarKind::Literal(_) => {
                return Err(error("a duration").advise("series of durations count seconds: `10`"));
            }
            ScalarKind::Binary { op, left, right } => {
                if matches!(op, FieldOp::Mod | FieldOp::Pow) {
                    return Err(error(&format!("`{}` beside series", op.spelling())));
                }
                let (left, right) = (self.series_of_scalar(*left)?, self.series_of_scalar(*right)?);
                MetricsKind::Binary { op, left, right }
            }
            ScalarKind::Aggregate(_) | ScalarKind::Pipeline { .. } => {
                return Err(error("an aggregate"));
            }
        };
        Ok(Box::new(MetricsExpr { kind, second: Vec::new(), place }))
    }
}

fn as_float(value: &Value) -> f64 {
    match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        _ => f64::NAN,
    }
}

fn int_arithmetic(op: FieldOp, left: i64, right: i64) -> Option<Value> {
    let number = match op {
        FieldOp::Add => left.checked_add(right),
        FieldOp::Sub => left.checked_sub(right),
        FieldOp::Mul => left.checked_mul(right),
        FieldOp::Div => left.checked_div(right),
        _ => None,
    };
    number.map(Value::Int)
}

fn float_arithmetic(op: FieldOp, left: f64, right: f64) -> Option<Value> {
    let number = match op {
        FieldOp::Add => left + right,
        FieldOp::Sub => left - right,
        FieldOp::Mul => left * right,
        FieldOp::Div => left / right,
        _ => f64::NAN,
    };
    number.is_finite().then_some(Value::Float(number))
}
