//! Traces put together from wherever they lie, each span once.
use std::ops::ControlFlow;
use std::sync::Arc;

use suyuan_block::traces::TraceSummary;
use suyuan_model::{Batch, Columns};
use suyuan_objects::ReadMeter;

use super::{SpanStructure, TraceRef, UnitName};
use crate::find::{FindError, Skipped};
use crate::snapshot::Snapshot;
use crate::split::SplitSet;

/// A trace put together from wherever it lies. Of blocks that break while they are read the rows
/// are missing: there may be no piece at all.
pub struct Assembled {
    pub trace: TraceRef,
    pub pieces: Vec<AssembledPiece>,
}

/// The rows of a trace in one unit that stand: no other span repeats them or replaces them.
pub struct AssembledPiece {
    pub unit: UnitName,
    pub batch: Arc<Batch>,
    /// Rows of the batch, ascending.
    pub rows: Vec<u32>,
}

impl Assembled {
    /// What is said of the trace, by the same rule as of traces of blocks.
    pub fn summary(&self) -> TraceSummary<'_> {
        todo!()
    }

    /// For each piece, the structure of each of its rows. Ask for `Field::ParentSpanId` to be read.
    pub fn structure(&self) -> Vec<Vec<SpanStructure>> {
        todo!()
    }
}

impl Snapshot {
    /// Puts traces together and gives the columns asked for of their spans, each span once, besides
    /// start, end, span id, kind, status code, name and resource, which are always there. In the
    /// order of `traces`; reads each chunk and page about once. Returns the blocks that broke
    /// meanwhile, whose rows are missing.
    pub fn assemble(
        &self,
        split: &SplitSet,
        traces: &[TraceRef],
        columns: &Columns,
        meter: &ReadMeter,
        visit: &mut dyn FnMut(Assembled) -> ControlFlow<()>,
    ) -> Result<Vec<Skipped>, FindError> {
        let _ = (split, traces, columns, meter, visit);
        todo!()
    }
}
