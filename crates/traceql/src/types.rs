//! The rules that a tree has to keep beyond its grammar (`tempo.md` 2.4).
//!
//! In: a tree. Out: nothing, or the first place whose types do not fit. What depends on the data, as
//! the type of an attribute does, is not judged here: it is false where it does not fit.

mod field;
mod metrics;

use crate::advice;
use crate::ast::{
    Aggregate, AggregateOp, FieldExpr, Pipeline, Place, Query, Root, ScalarExpr, ScalarFilter,
    ScalarKind, SpansetExpr, SpansetKind, StageKind,
};
use crate::error::ValidationError;
use field::Type;

/// Checks a whole query, whose places lie in `text`.
pub(crate) fn check(query: &Query, text: &str) -> Result<(), ValidationError> {
    let checker = Checker { text };
    match &query.root {
        Root::Spansets(pipeline) => checker.pipeline(pipeline),
        Root::Metrics(metrics) => checker.metrics(metrics),
    }
}

struct Checker<'a> {
    text: &'a str,
}

impl Checker<'_> {
    fn pipeline(&self, pipeline: &Pipeline) -> Result<(), ValidationError> {
        pipeline.stages.iter().try_for_each(|stage| match &stage.kind {
            StageKind::Spanset(spanset) => self.spanset(spanset),
            StageKind::ScalarFilter(filter) => self.scalar_filter(filter),
            StageKind::GroupBy(by) => self.group_by(by),
            StageKind::Coalesce | StageKind::Select(_) => Ok(()),
        })
    }

    fn spanset(&self, spanset: &SpansetExpr) -> Result<(), ValidationError> {
        match &spanset.kind {
            SpansetKind::Filter(filter) => self.filter(filter),
            SpansetKind::Binary { left, right, .. } => {
                self.spanset(left)?;
                self.spanset(right)
            }
            SpansetKind::Pipeline(pipeline) => self.pipeline(pipeline),
        }
    }

    /// What stands in braces: a span fulfils it or not.
    fn filter(&self, filter: &FieldExpr) -> Result<(), ValidationError> {
        let of = self.field(filter)?;
        if matches!(of, Type::Bool | Type::Attribute) {
            return Ok(());
        }
        let problem =
            format!("a filter has to be true or false, and `{}` is {of}", self.shown(filter));
        Err(self.error(filter.place, problem).advise("compare it, as in `{ duration > 1s }`"))
    }

    fn group_by(&self, by: &FieldExpr) -> Result<(), ValidationError> {
        self.field(by)?;
        if refers_to_span(by) {
            return Ok(());
        }
        let problem =
            format!("`by({})` groups by a value that is the same for all", self.shown(by));
        Err(self.error(by.place, problem).advise("group by an attribute: `by(span.foo)`"))
    }

    fn scalar_filter(&self, filter: &ScalarFilter) -> Result<(), ValidationError> {
        self.scalar(&filter.left)?;
        self.scalar(&filter.right)
    }

    /// Aggregates and numbers are numbers all, so no operator between them can fail.
    fn scalar(&self, scalar: &ScalarExpr) -> Result<(), ValidationError> {
        match &scalar.kind {
            ScalarKind::Literal(_) => Ok(()),
            ScalarKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ScalarKind::Binary { left, right, .. } => {
                self.scalar(left)?;
                self.scalar(right)
            }
            ScalarKind::Pipeline { pipeline, aggregate } => {
                self.pipeline(pipeline)?;
                self.aggregate(aggregate)
            }
        }
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<(), ValidationError> {
        let Some(of) = &aggregate.of else {
            debug_assert_eq!(aggregate.op, AggregateOp::Count);
            return Ok(());
        };
        let name = aggregate.op.spelling();
        let found = self.field(of)?;
        if !found.is_number() && found != Type::Attribute {
            let problem = format!("`{name}()` is of numbers, and `{}` is {found}", self.shown(of));
            return Err(self.error(of.place, problem));
        }
        if refers_to_span(of) {
            return Ok(());
        }
        let problem = format!("`{name}({})` is the same for all spans", self.shown(of));
        Err(self.error(of.place, problem).advise(format!("name an attribute: `{name}(duration)`")))
    }

    fn error(&self, place: Place, problem: impl Into<String>) -> ValidationError {
        ValidationError::new(self.text, place, problem)
    }

    /// An expression in an error, as it was written.
    fn shown(&self, expr: &FieldExpr) -> String {
        let text = self.text.get(expr.place.start as usize..expr.place.end as usize);
        advice::cut(text.unwrap_or_default())
    }
}

/// Whether the value of an expression differs from span to span.
fn refers_to_span(expr: &FieldExpr) -> bool {
    use crate::ast::FieldKind;
    match &expr.kind {
        FieldKind::Literal(_) => false,
        FieldKind::Attribute(_) => true,
        FieldKind::Unary { expr, .. } => refers_to_span(expr),
        FieldKind::Binary { left, right, .. } => refers_to_span(left) || refers_to_span(right),
    }
}

#[cfg(test)]
mod tests;
