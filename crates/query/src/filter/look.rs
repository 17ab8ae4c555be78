//! A batch as conditions look at it: whole rows, or the events or links of its rows.

use suyuan_model::Batch;
use suyuan_traceql::ast::Intrinsic;

use super::row::Row;
use super::rows::RowSet;
use super::traces::{TraceContext, TraceNeeds};

#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) batch: &'a Batch,
    pub(super) traces: Option<&'a TraceContext<'a>>,
    pub(super) of: RowsOf,
    /// What a test that cannot be answered yet is taken for.
    pub(super) unknown: Unknown,
}

/// What a row of the sets is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowsOf {
    Spans,
    Events,
    Links,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    Fulfilled,
    NotFulfilled,
}

impl<'a> Look<'a> {
    /// Under a `!` the opposite is the careful answer.
    pub(super) fn negated(&self) -> Self {
        let unknown = match self.unknown {
            Unknown::Fulfilled => Unknown::NotFulfilled,
            Unknown::NotFulfilled => Unknown::Fulfilled,
        };
        Self { unknown, ..*self }
    }

    pub(super) fn unknown(&self, within: &RowSet) -> RowSet {
        match self.unknown {
            Unknown::Fulfilled => within.clone(),
            Unknown::NotFulfilled => RowSet::none(within.n_rows()),
        }
    }

    pub(super) fn of(&self, of: RowsOf) -> Self {
        Self { of, ..*self }
    }

    /// Whether what an intrinsic needs of traces is there.
    pub(super) fn knows(&self, intrinsic: Intrinsic) -> bool {
        match (needs(intrinsic), self.traces) {
            (TraceNeeds::Nothing, _) => true,
            (_, None) => false,
            (TraceNeeds::Facts | TraceNeeds::Parents, Some(_)) => true,
            (TraceNeeds::Structure, Some(traces)) => traces.structure.is_some(),
        }
    }

    /// A row of the sets, as a place where values come from.
    pub(super) fn row(&self, row: u32) -> Row<'a> {
        let chunk = &*self.batch.chunk;
        let (batch, traces) = (self.batch, self.traces);
        match self.of {
            RowsOf::Spans => Row { batch, traces, row, event: None, link: None },
            RowsOf::Events => {
                let span = chunk.events.span_row.value(row as usize);
                Row { batch, traces, row: span, event: Some(row), link: None }
            }
            RowsOf::Links => {
                let span = chunk.links.span_row.value(row as usize);
                Row { batch, traces, row: span, event: None, link: Some(row) }
            }
        }
    }
}

/// What must be known of a trace for an intrinsic.
pub(super) fn needs(intrinsic: Intrinsic) -> TraceNeeds {
    match intrinsic {
        Intrinsic::TraceDuration | Intrinsic::TraceRootName | Intrinsic::TraceRootService => {
            TraceNeeds::Facts
        }
        Intrinsic::ParentId => TraceNeeds::Parents,
        Intrinsic::ChildCount
        | Intrinsic::NestedSetLeft
        | Intrinsic::NestedSetRight
        | Intrinsic::NestedSetParent => TraceNeeds::Structure,
        _ => TraceNeeds::Nothing,
    }
}
