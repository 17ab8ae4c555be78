//! Operators between spansets, numbers and series.
//!
//! In: tokens behind a first operand. Out: one operand, joined. What an operator means is decided
//! here, when both sides are known: `>` between two spansets is structure, behind an aggregate a
//! filter, behind series a filter of points.

use super::field::{COMPARISON, LOGIC, POWER, PRODUCT, SUM};
use super::stage::has_aggregate;
use super::{Parser, Piece, Tall};
use crate::advice;
use crate::ast::{
    FieldOp, Pipeline, Place, ScalarExpr, ScalarFilter, ScalarKind, SpansetExpr, SpansetKind,
    SpansetOp, Stage, StageKind,
};
use crate::error::ParseError;

/// What an operator means behind its left side.
#[derive(Clone, Copy)]
enum Meaning {
    Spansets(SpansetOp),
    Arithmetic(FieldOp),
    Comparison(FieldOp),
}

/// What stands behind a comparison.
pub(super) const NUMBER: &str = "a number, a duration or an aggregate such as `count()`";

impl Parser<'_> {
    /// Operands and operators that bind at least so strongly. `expected` says what the first operand
    /// may be.
    pub(super) fn combination(
        &mut self,
        power: u8,
        expected: &str,
    ) -> Result<Tall<Piece>, Box<ParseError>> {
        self.deeper(|parser| {
            let mut left = parser.operand(expected)?;
            while let Some((symbol, binds)) = parser.joining_symbol()
                && binds >= power
            {
                let meaning = parser.meaning(&left.tree, symbol)?;
                parser.skip();
                let expected = match meaning {
                    Meaning::Spansets(_) => "`{` or `(`",
                    _ => NUMBER,
                };
                let right = parser.combination(binds + u8::from(symbol != "^"), expected)?;
                left = parser.joined(left, meaning, right)?;
            }
            Ok(left)
        })
    }

    /// The operator that comes next, and how strongly it binds.
    fn joining_symbol(&self) -> Option<(&'static str, u8)> {
        let symbol = self.symbol()?;
        let power = match symbol {
            "&&" | "||" => LOGIC,
            "+" | "-" => SUM,
            "*" | "/" | "%" => PRODUCT,
            "^" => POWER,
            _ if FieldOp::parse(symbol).is_some() || SpansetOp::parse(symbol).is_some() => {
                COMPARISON
            }
            _ => return None,
        };
        Some((symbol, power))
    }

    fn meaning(&self, left: &Piece, symbol: &str) -> Result<Meaning, Box<ParseError>> {
        let op = FieldOp::parse(symbol);
        let arithmetic = op.filter(|op| op.is_arithmetic()).map(Meaning::Arithmetic);
        let comparison = op.filter(|op| op.is_comparison()).map(Meaning::Comparison);
        match left {
            Piece::Spansets { pipeline, bracketed } if is_operand(pipeline, *bracketed) => {
                let meaning = SpansetOp::parse(symbol).map(Meaning::Spansets);
                meaning.ok_or_else(|| self.no_spanset_op(symbol))
            }
            Piece::Spansets { .. } => Err(self.unexpected_with(
                "`|`, `with` or the end",
                "a pipeline that is an operand stands in brackets: `({ … } | count() > 1) && …`",
            )),
            Piece::Scalar(scalar) if comparison.is_some() && !has_aggregate(scalar) => {
                Err(self.number_on_the_left(scalar))
            }
            Piece::Scalar(_) => {
                let expected = "an arithmetic operator or a comparison such as `>`";
                arithmetic.or(comparison).ok_or_else(|| self.unexpected(expected))
            }
            Piece::Metrics(_) => {
                let arithmetic = arithmetic.filter(|_| !matches!(symbol, "%" | "^"));
                let expected = "`+`, `-`, `*`, `/` or a comparison such as `>` behind series";
                arithmetic.or(comparison).ok_or_else(|| self.unexpected(expected))
            }
        }
    }

    fn no_spanset_op(&self, symbol: &str) -> Box<ParseError> {
        let expected = "`|` or an operator between spansets: `&&`, `||`, `>`, `>>`, `<`, `<<`, `~`";
        match symbol {
            "+" | "-" | "*" | "/" => self
                .unexpected_with(expected, "series can be added: `({} | rate()) + ({} | rate())`"),
            _ => self.unexpected_with(expected, "conditions on spans stand within the braces"),
        }
    }

    fn number_on_the_left(&self, scalar: &ScalarExpr) -> Box<ParseError> {
        let text = &self.text[scalar.place.start as usize..scalar.place.end as usize];
        let found = format!("the number `{}` on the left", advice::cut(text));
        ParseError::new(self.text, scalar.place, found, "an aggregate")
            .advise("write the number on the right: `count() > 2`")
    }

    fn joined(
        &self,
        left: Tall<Piece>,
        meaning: Meaning,
        right: Tall<Piece>,
    ) -> Result<Tall<Piece>, Box<ParseError>> {
        let heights = [left.height, right.height];
        let piece = match (left.tree, meaning, right.tree) {
            (
                left @ Piece::Spansets { .. },
                Meaning::Spansets(op),
                right @ Piece::Spansets { .. },
            ) => {
                let (left, right) = (self.spanset(left)?, self.spanset(right)?);
                let place = Place { start: left.place.start, end: right.place.end };
                let (left, right) = (Box::new(left), Box::new(right));
                let kind = SpansetKind::Binary { op, left, right };
                one_stage(StageKind::Spanset(SpansetExpr { kind, place }), place)
            }
            (Piece::Scalar(left), Meaning::Arithmetic(op), Piece::Scalar(right)) => {
                let place = Place { start: left.place.start, end: right.place.end };
                let kind = ScalarKind::Binary { op, left, right };
                Piece::Scalar(Box::new(ScalarExpr { kind, place }))
            }
            (Piece::Scalar(left), Meaning::Comparison(op), Piece::Scalar(right)) => {
                let place = Place { start: left.place.start, end: right.place.end };
                let filter = ScalarFilter { op, left: *left, right: *right };
                one_stage(StageKind::ScalarFilter(filter), place)
            }
            (Piece::Metrics(mut left), Meaning::Comparison(op), Piece::Scalar(right)) => {
                self.filter(&mut left, op, &right)?;
                Piece::Metrics(left)
            }
            (left @ Piece::Metrics(_), Meaning::Arithmetic(op), right)
            | (left, Meaning::Arithmetic(op), right @ Piece::Metrics(_)) => {
                Piece::Metrics(self.series_binary(op, left, right)?)
            }
            (left, _, right) => return Err(self.mismatch(&right, left.called())),
        };
        self.above(piece, &heights)
    }

    /// A piece as an operand between spansets.
    fn spanset(&self, piece: Piece) -> Result<SpansetExpr, Box<ParseError>> {
        let Piece::Spansets { mut pipeline, bracketed } = piece else {
            unreachable!("the caller has matched spansets")
        };
        if !is_operand(&pipeline, bracketed) {
            let found = "a stage that is no spanset";
            return Err(ParseError::new(self.text, pipeline.place, found, "`{` or `(`")
                .advise("a pipeline that is an operand stands in brackets"));
        }
        let place = pipeline.place;
        match pipeline.stages.as_slice() {
            [Stage { kind: StageKind::Spanset(_), .. }] => {
                let Some(Stage { kind: StageKind::Spanset(spanset), .. }) = pipeline.stages.pop()
                else {
                    unreachable!("the slice has matched")
                };
                Ok(SpansetExpr { place, ..spanset })
            }
            _ => Ok(SpansetExpr { kind: SpansetKind::Pipeline(pipeline), place }),
        }
    }

    pub(super) fn mismatch(&self, piece: &Piece, expected: &str) -> Box<ParseError> {
        ParseError::new(self.text, piece.place(), piece.called(), expected)
    }
}

impl Piece {
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Spansets { pipeline, .. } => pipeline.place,
            Self::Scalar(scalar) => scalar.place,
            Self::Metrics(metrics) => metrics.place,
        }
    }

    fn called(&self) -> &'static str {
        match self {
            Self::Spansets { .. } => "spansets",
            Self::Scalar(_) => "a number or an aggregate",
            Self::Metrics(_) => "a metrics query",
        }
    }
}

/// Whether a pipeline may be an operand between spansets.
fn is_operand(pipeline: &Pipeline, bracketed: bool) -> bool {
    bracketed || matches!(pipeline.stages.as_slice(), [Stage { kind: StageKind::Spanset(_), .. }])
}

pub(super) fn one_stage(kind: StageKind, place: Place) -> Piece {
    let pipeline = Pipeline { stages: vec![Stage { kind, place }], place };
    Piece::Spansets { pipeline, bracketed: false }
}
