//! What questions for series have to keep.

use super::Checker;
use crate::ast::{
    MetricsExpr, MetricsFunction, MetricsFunctionKind, MetricsKind, Place, SecondStage,
};
use crate::error::ValidationError;

/// Attributes that series are grouped by.
const GROUP_BY_MAX: usize = 5;
/// Values of an attribute that `compare()` shows.
const COMPARE_TOP_N_MAX: i64 = 1000;

impl Checker<'_> {
    pub(super) fn metrics(&self, metrics: &MetricsExpr) -> Result<(), ValidationError> {
        match &metrics.kind {
            MetricsKind::Pipeline { pipeline, function } => {
                self.pipeline(pipeline)?;
                self.function(function)?;
                let is_compare = matches!(function.kind, MetricsFunctionKind::Compare { .. });
                if is_compare && !metrics.second.is_empty() {
                    let problem = "nothing can follow `compare()`";
                    return Err(self.error(metrics.place, problem));
                }
            }
            MetricsKind::Binary { left, right, .. } => {
                self.series_operand(left)?;
                self.series_operand(right)?;
            }
            MetricsKind::Scalar(_) => {}
        }
        metrics.second.iter().try_for_each(|stage| self.second(stage, metrics.place))
    }

    fn series_operand(&self, metrics: &MetricsExpr) -> Result<(), ValidationError> {
        if let MetricsKind::Pipeline { function, .. } = &metrics.kind
            && matches!(function.kind, MetricsFunctionKind::Compare { .. })
        {
            return Err(self.error(metrics.place, "`compare()` cannot be an operand"));
        }
        self.metrics(metrics)
    }

    fn function(&self, function: &MetricsFunction) -> Result<(), ValidationError> {
        let group_by_max = match &function.kind {
            // They take one for their buckets.
            MetricsFunctionKind::AvgOverTime(_)
            | MetricsFunctionKind::HistogramOverTime(_)
            | MetricsFunctionKind::QuantileOverTime { .. } => GROUP_BY_MAX - 1,
            _ => GROUP_BY_MAX,
        };
        if let Some(first) = function.by.get(group_by_max) {
            let problem = format!(
                "`{}` is grouped by {} attributes, and {group_by_max} are possible",
                function.kind.name(),
                function.by.len()
            );
            return Err(self.error(first.place, problem));
        }
        match &function.kind {
            MetricsFunctionKind::QuantileOverTime { quantiles, .. } => {
                if quantiles.iter().all(|quantile| (0.0..=1.0).contains(quantile)) {
                    return Ok(());
                }
                let problem = "a quantile lies between 0 and 1";
                Err(self.error(function.place, problem).advise("99 % is `.99`"))
            }
            MetricsFunctionKind::Compare { filter, top_n, start_unix_nanos, end_unix_nanos } => {
                if !function.by.is_empty() {
                    return Err(self.error(function.place, "`compare()` is not grouped"));
                }
                if top_n.is_some_and(|n| !(1..=COMPARE_TOP_N_MAX).contains(&n)) {
                    let problem =
                        format!("`compare()` shows between 1 and {COMPARE_TOP_N_MAX} values");
                    return Err(self.error(function.place, problem));
                }
                if start_unix_nanos.zip(*end_unix_nanos).is_some_and(|(start, end)| start >= end) {
                    let problem = "the selection of `compare()` ends before it starts";
                    return Err(self.error(function.place, problem));
                }
                self.filter(filter)
            }
            _ => Ok(()),
        }
    }

    fn second(&self, stage: &SecondStage, place: Place) -> Result<(), ValidationError> {
        match stage {
            SecondStage::TopK(0) => Err(self.error(place, "`topk(0)` keeps no series")),
            SecondStage::BottomK(0) => Err(self.error(place, "`bottomk(0)` keeps no series")),
            _ => Ok(()),
        }
    }
}
