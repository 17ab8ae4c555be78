//! Pipelines and their stages.
//!
//! In: tokens. Out: stages joined by `|`, or what brackets hold. A word that is no stage is told
//! with the one it resembles.

use super::combine::one_stage;
use super::{Parser, Piece, Tall};
use crate::advice;
use crate::ast::{
    Aggregate, AggregateOp, Pipeline, Place, PlacedAttribute, ScalarExpr, ScalarKind, SpansetExpr,
    SpansetKind, Stage, StageKind,
};
use crate::error::ParseError;
use crate::lexer::TokenKind;
use crate::words;

/// What a stage begins with.
const STAGE: &str = "`{`, `(` or a stage such as `count() > 1` or `by(name)`";

impl Parser<'_> {
    /// `stage | stage | …`
    pub(super) fn pipeline(&mut self) -> Result<Tall<Piece>, Box<ParseError>> {
        let mut piece = self.first_stage()?;
        while self.eat("|") {
            piece = self.next_stage(piece)?;
        }
        Ok(piece)
    }

    fn first_stage(&mut self) -> Result<Tall<Piece>, Box<ParseError>> {
        let start = self.place();
        match self.word() {
            Some("by" | "select") => {
                let stage = self.keyword_stage()?;
                Ok(stage.map(|stage| one_stage(stage.kind, self.place_from(start))))
            }
            _ => self.combination(0, STAGE),
        }
    }

    fn next_stage(&mut self, before: Tall<Piece>) -> Result<Tall<Piece>, Box<ParseError>> {
        match self.word() {
            Some("topk" | "bottomk") => return self.ranking(before),
            Some(word) if words::METRICS_FUNCTIONS.contains(&word) => {
                return self.metrics_function(before);
            }
            _ => {}
        }
        let Piece::Spansets { mut pipeline, .. } = before.tree else {
            return Err(self.no_stage_behind(&before.tree));
        };
        let next = match self.word() {
            Some("by" | "select" | "coalesce") => {
                let start = self.place();
                let stage = self.keyword_stage()?;
                stage.map(|stage| one_stage(stage.kind, self.place_from(start)))
            }
            _ => self.combination(0, STAGE)?,
        };
        let heights = [before.height.saturating_sub(1), next.height.saturating_sub(1)];
        match next.tree {
            Piece::Spansets { pipeline: next, .. } => {
                pipeline.stages.extend(next.stages);
                pipeline.place.end = next.place.end;
                self.above(Piece::Spansets { pipeline, bracketed: false }, &heights)
            }
            Piece::Scalar(scalar) => self.scalar_behind(pipeline, *scalar, &heights),
            Piece::Metrics(metrics) => Err(ParseError::new(
                self.text,
                metrics.place,
                "a metrics query",
                "a stage of the pipeline before it",
            )),
        }
    }

    /// `pipeline | count()`, which is a number only in brackets.
    fn scalar_behind(
        &self,
        pipeline: Pipeline,
        scalar: ScalarExpr,
        heights: &[u32],
    ) -> Result<Tall<Piece>, Box<ParseError>> {
        let place = Place { start: pipeline.place.start, end: scalar.place.end };
        match scalar.kind {
            ScalarKind::Aggregate(aggregate) if self.is(")") => {
                let kind = ScalarKind::Pipeline { pipeline, aggregate };
                self.above(Piece::Scalar(Box::new(ScalarExpr { kind, place })), heights)
            }
            _ => Err(self.scalar_alone(&scalar)),
        }
    }

    /// Numbers and aggregates where spansets are needed.
    pub(super) fn scalar_alone(&self, scalar: &ScalarExpr) -> Box<ParseError> {
        if has_aggregate(scalar) {
            let expected = "a comparison behind the aggregate, such as `> 1`";
            return self.unexpected(expected);
        }
        let text = &self.text[scalar.place.start as usize..scalar.place.end as usize];
        let found = format!("the number `{}`", advice::cut(text));
        let expected = "a query such as `{ status = error }`";
        ParseError::new(self.text, scalar.place, found, expected)
    }

    fn no_stage_behind(&self, before: &Piece) -> Box<ParseError> {
        match before {
            Piece::Scalar(scalar) => {
                let expected = "a comparison before `|`, such as `count() > 1`";
                let place = Place { start: scalar.place.end, end: scalar.place.end + 1 };
                ParseError::new(self.text, place, "an aggregate without one", expected)
            }
            _ => self.unexpected("`topk(…)`, `bottomk(…)` or a comparison behind a metrics query"),
        }
    }

    /// `by(…)`, `select(…)`, `coalesce()`
    fn keyword_stage(&mut self) -> Result<Tall<Stage>, Box<ParseError>> {
        let start = self.place();
        let word = self.word();
        self.skip();
        self.expect("(", "`(`")?;
        let (kind, height) = match word {
            Some("by") => {
                let by = self.field(0)?;
                (StageKind::GroupBy(by.tree), by.height)
            }
            Some("select") => (StageKind::Select(self.attributes()?), 0),
            _ => (StageKind::Coalesce, 0),
        };
        self.expect(")", "`)`")?;
        self.above(Stage { kind, place: self.place_from(start) }, &[height])
    }

    /// At least one attribute, with commas between them.
    pub(super) fn attributes(&mut self) -> Result<Vec<PlacedAttribute>, Box<ParseError>> {
        let mut attributes = vec![self.attribute("an attribute such as `span.foo`")?];
        while self.eat(",") {
            attributes.push(self.attribute("an attribute behind the comma")?);
        }
        Ok(attributes)
    }

    /// What operators join: braces, brackets, numbers and aggregates.
    pub(super) fn operand(&mut self, expected: &str) -> Result<Tall<Piece>, Box<ParseError>> {
        let start = self.place();
        if let Some(number) = self.number()? {
            let scalar =
                ScalarExpr { kind: ScalarKind::Literal(number), place: self.place_from(start) };
            return self.above(Piece::Scalar(Box::new(scalar)), &[]);
        }
        match self.kind() {
            TokenKind::Symbol("{") => {
                let filter = self.braces()?;
                let place = self.place_from(start);
                let spanset = SpansetExpr { kind: SpansetKind::Filter(filter.tree), place };
                self.above(one_stage(StageKind::Spanset(spanset), place), &[filter.height])
            }
            TokenKind::Symbol("(") => self.brackets(),
            TokenKind::Word(word) => match AggregateOp::parse(word) {
                Some(op) => self.aggregate(op),
                None => Err(self.no_operand_word(word, expected)),
            },
            _ => Err(self.unexpected(expected)),
        }
    }

    fn brackets(&mut self) -> Result<Tall<Piece>, Box<ParseError>> {
        let start = self.place();
        self.skip();
        let mut inner = self.pipeline()?;
        self.expect(")", "`|`, an operator or `)`")?;
        let place = self.place_from(start);
        match &mut inner.tree {
            Piece::Spansets { pipeline, bracketed } => {
                *bracketed = true;
                pipeline.place = place;
            }
            Piece::Scalar(scalar) => scalar.place = place,
            Piece::Metrics(metrics) => metrics.place = place,
        }
        Ok(inner)
    }

    fn aggregate(&mut self, op: AggregateOp) -> Result<Tall<Piece>, Box<ParseError>> {
        let start = self.place();
        self.skip();
        self.expect("(", &format!("`(` behind `{}`", op.spelling()))?;
        let (of, height) = match op {
            AggregateOp::Count => (None, 0),
            _ => {
                let of = self.field(0)?;
                (Some(of.tree), of.height)
            }
        };
        if !self.eat(")") {
            return Err(match op {
                AggregateOp::Count => {
                    self.unexpected_with("`)`", "`count()` counts spans: filter them before it")
                }
                _ => self.unexpected_behind_field("`)`"),
            });
        }
        let kind = ScalarKind::Aggregate(Aggregate { op, of });
        let scalar = ScalarExpr { kind, place: self.place_from(start) };
        self.above(Piece::Scalar(Box::new(scalar)), &[height])
    }

    /// A word that begins no stage here.
    fn no_operand_word(&self, word: &str, expected: &str) -> Box<ParseError> {
        let advice = match word {
            "coalesce" => "`coalesce()` follows another stage: `… | coalesce()`".into(),
            "by" | "select" => format!("`{word}()` is a stage of its own: `… | {word}(name)`"),
            "topk" | "bottomk" => format!("it follows series: `{{ }} | rate() | {word}(10)`"),
            _ if words::METRICS_FUNCTIONS.contains(&word) => {
                format!("say of which spans: `{{ }} | {word}(…)`")
            }
            _ => similar_stage(word),
        };
        self.unexpected_with(expected, advice)
    }
}

fn similar_stage(word: &str) -> String {
    let known = words::aggregate_words()
        .chain(words::METRICS_FUNCTIONS)
        .chain(words::STAGES)
        .chain(["with"]);
    match advice::similar(word, known) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => "conditions on spans stand in braces: `{ status = error }`".into(),
    }
}

impl<T> Tall<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Tall<U> {
        Tall { tree: change(self.tree), height: self.height }
    }
}

/// Whether a scalar depends on spans.
pub(super) fn has_aggregate(scalar: &ScalarExpr) -> bool {
    match &scalar.kind {
        ScalarKind::Literal(_) => false,
        ScalarKind::Aggregate(_) | ScalarKind::Pipeline { .. } => true,
        ScalarKind::Binary { left, right, .. } => has_aggregate(left) || has_aggregate(right),
    }
}
