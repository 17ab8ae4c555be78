//! The traces of a tenant in a slice: which one a row belongs to, and what is known of each.
//!
//! In: ids and the trace table, read once and kept while there is room. Out: answers without
//! reading. Never here: spans.

use std::ops::Range;
use std::sync::Arc;

use suyuan_ids::TraceId;
use suyuan_objects::ReadMeter;

use super::{BlockReader, ReadError};
use crate::traces::{TraceSummary, TraceTable};

/// Traces by ascending id; a trace's number is its place among them.
#[derive(Debug)]
pub struct SliceTraces {
    ids: Vec<[u8; 16]>,
    table: TraceTable,
    /// Of the slice: where the tenant's rows begin and end. The table counts from the block's first.
    rows: Range<u32>,
    first_row: u32,
}

impl BlockReader {
    /// The traces of a tenant in a slice, read when first asked for and kept while there is room.
    pub fn slice_traces(
        &self,
        tenant: u32,
        slice: u32,
        meter: &ReadMeter,
    ) -> Result<Arc<SliceTraces>, ReadError> {
        let _ = (tenant, slice, meter);
        todo!()
    }
}

impl SliceTraces {
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Panics if there is no trace of this number, as do all that take one.
    pub fn id(&self, trace: u32) -> TraceId {
        TraceId::from_bytes(self.ids[trace as usize])
    }

    /// The trace that a row of the slice belongs to; `None` if the row is not the tenant's.
    pub fn trace_of(&self, row: u32) -> Option<u32> {
        let block_row = self.rows.contains(&row).then_some(row + self.first_row)?;
        let n_before = self.table.first_rows.partition_point(|first_row| *first_row <= block_row);
        (n_before as u32).checked_sub(1)
    }

    /// The number of a trace.
    pub fn find(&self, id: TraceId) -> Option<u32> {
        self.ids.binary_search(id.as_bytes()).ok().map(|trace| trace as u32)
    }

    /// Rows of the slice.
    pub fn rows(&self, trace: u32) -> Range<u32> {
        let start = self.table.first_rows[trace as usize] - self.first_row;
        start..start + self.table.n_spans[trace as usize]
    }

    pub fn summary(&self, trace: u32) -> TraceSummary<'_> {
        self.table.summary(trace as usize)
    }

    /// What is known of all of them; rows there are those of the block.
    pub fn table(&self) -> &TraceTable {
        &self.table
    }
}
