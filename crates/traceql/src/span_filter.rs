//! The part of a query that search executes: one filter of spans.
//!
//! In: a [`Query`]. Out: its filter, with the attributes to be shown, or the first stage that is not
//! executed yet.

use crate::ast::{
    Attribute, FieldExpr, FieldKind, Hint, Intrinsic, MetricsExpr, MetricsFunctionKind,
    MetricsKind, Pipeline, Place, Query, Root, SpansetExpr, SpansetKind, SpansetOp, Stage,
    StageKind,
};

/// A query that asks for spans one by one.
#[derive(Clone, Debug)]
pub struct SpanFilter<'a> {
    pub filter: &'a FieldExpr,
    /// `select(…)` and what a metrics query groups by or measures: shown in the answer, in the order
    /// in which they were named.
    pub selected: Vec<&'a Attribute>,
    pub hints: &'a [Hint],
}

/// A part of the language that this version parses and does not execute.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{stage}: parsed and understood, but this version does not execute it yet")]
pub struct NotExecuted {
    /// As text for people: "structural operator `>>`".
    pub stage: String,
    pub place: Place,
}

impl Query {
    /// The single filter of the query, if it asks for no more. Of a metrics query its spans' part
    /// (`tempo.md` 2.7).
    pub fn span_filter(&self) -> Result<SpanFilter<'_>, NotExecuted> {
        let mut selected = Vec::new();
        let filter = match &self.root {
            Root::Spansets(pipeline) => of_pipeline(pipeline, &mut selected)?,
            Root::Metrics(metrics) => of_metrics(metrics, &mut selected)?,
        };
        refuse_parents(filter)?;
        Ok(SpanFilter { filter, selected, hints: &self.hints })
    }
}

fn of_metrics<'a>(
    metrics: &'a MetricsExpr,
    selected: &mut Vec<&'a Attribute>,
) -> Result<&'a FieldExpr, NotExecuted> {
    let MetricsKind::Pipeline { pipeline, function } = &metrics.kind else {
        return Err(not_executed("arithmetic between series in a search", metrics.place));
    };
    let filter = of_pipeline(pipeline, selected)?;
    let measured = match &function.kind {
        MetricsFunctionKind::MinOverTime(of)
        | MetricsFunctionKind::MaxOverTime(of)
        | MetricsFunctionKind::SumOverTime(of)
        | MetricsFunctionKind::AvgOverTime(of)
        | MetricsFunctionKind::HistogramOverTime(of)
        | MetricsFunctionKind::QuantileOverTime { of, .. } => Some(of),
        _ => None,
    };
    for placed in measured.into_iter().chain(&function.by) {
        refuse_parent(&placed.attribute, placed.place)?;
        selected.push(&placed.attribute);
    }
    Ok(filter)
}

fn of_pipeline<'a>(
    pipeline: &'a Pipeline,
    selected: &mut Vec<&'a Attribute>,
) -> Result<&'a FieldExpr, NotExecuted> {
    let mut stages = pipeline.stages.iter();
    let Some(Stage { kind: StageKind::Spanset(spanset), .. }) = stages.next() else {
        let first = pipeline.stages.first();
        return Err(first.map_or_else(|| not_executed("no stage", pipeline.place), of_stage));
    };
    let filter = of_spanset(spanset)?;
    for stage in stages {
        let StageKind::Select(attributes) = &stage.kind else { return Err(of_stage(stage)) };
        for placed in attributes {
            refuse_parent(&placed.attribute, placed.place)?;
            selected.push(&placed.attribute);
        }
    }
    Ok(filter)
}

fn of_spanset(spanset: &SpansetExpr) -> Result<&FieldExpr, NotExecuted> {
    match &spanset.kind {
        SpansetKind::Filter(filter) => Ok(filter),
        SpansetKind::Binary { op, .. } => {
            let class = match op {
                SpansetOp::And | SpansetOp::Or => "between spansets",
                SpansetOp::Related { .. } => "structural operator",
            };
            let stage = match op {
                SpansetOp::And | SpansetOp::Or => format!("`{}` {class}", op.spelling()),
                SpansetOp::Related { .. } => format!("{class} `{}`", op.spelling()),
            };
            Err(NotExecuted { stage, place: spanset.place })
        }
        SpansetKind::Pipeline(pipeline) => {
            Err(not_executed("a pipeline in brackets", pipeline.place))
        }
    }
}

fn of_stage(stage: &Stage) -> NotExecuted {
    let name = match &stage.kind {
        StageKind::Spanset(_) => "a second filter of spansets (`{ … } | { … }`)",
        StageKind::ScalarFilter(_) => "a filter by an aggregate such as `count() > 1`",
        StageKind::GroupBy(_) => "grouping by `by(…)`",
        StageKind::Coalesce => "`coalesce()`",
        StageKind::Select(_) => "`select(…)` before a filter",
    };
    not_executed(name, stage.place)
}

fn refuse_parents(expr: &FieldExpr) -> Result<(), NotExecuted> {
    match &expr.kind {
        FieldKind::Literal(_) => Ok(()),
        FieldKind::Attribute(attribute) => refuse_parent(attribute, expr.place),
        FieldKind::Unary { expr, .. } => refuse_parents(expr),
        FieldKind::Binary { left, right, .. } => {
            refuse_parents(left)?;
            refuse_parents(right)
        }
    }
}

fn refuse_parent(attribute: &Attribute, place: Place) -> Result<(), NotExecuted> {
    match attribute {
        Attribute::Parent { .. } | Attribute::Intrinsic(Intrinsic::Parent) => {
            Err(not_executed("`parent`, the attributes of the parent span", place))
        }
        _ => Ok(()),
    }
}

fn not_executed(stage: &str, place: Place) -> NotExecuted {
    NotExecuted { stage: stage.into(), place }
}

#[cfg(test)]
mod tests;
