//! The traces of a tenant in a slice: which one a row belongs to, and what is known of each.
//!
//! In: ids and the trace table, read once and kept while there is room. Out: answers without
//! reading. Never here: spans.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::Array;
use suyuan_ids::TraceId;
use suyuan_model::Strings;
use suyuan_objects::ReadMeter;

use super::{BlockReader, ReadError};
use crate::column::{Column, Values};
use crate::file::read::{Keep, Key, Part};
use crate::traces::{TraceSummary, TraceTable};
use crate::writer::{SPANS, TRACES};

/// What a trace takes in memory beside texts: its id, and its row of the table.
const TRACE_BYTES: usize = 80;

/// Traces by ascending id; a trace's number is its place among them.
#[derive(Debug)]
pub struct SliceTraces {
    ids: Vec<[u8; 16]>,
    table: TraceTable,
    /// Of the slice: where the tenant's rows begin and end. The table counts from the block's first.
    rows: Range<u32>,
    /// Of the slice in the block.
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
        let key = Key { reader: self.number, chunk: slice, part: Part::Traces { tenant } };
        if let Some(traces) = self.cache.get_other::<SliceTraces>(key) {
            return Ok(traces);
        }
        let table = self.trace_table(tenant, slice, Keep::Nothing, meter)?;
        let places = self.trace_id_rows(tenant, slice, meter)?;
        let first_row = self.slice_meta(slice)?.first_row;
        let starts = table.first_rows.iter().map(|row| row.wrapping_sub(first_row));
        if !starts.eq(places.iter().map(|(_, rows)| rows.start)) {
            let problem = "its traces do not begin where the spans say";
            return Err(ReadError::Mismatch { file: TRACES, problem });
        }
        let ids: Vec<[u8; 16]> = places.into_iter().map(|(id, _)| id).collect();
        if !ids.is_sorted_by(|one, next| one < next) {
            let problem = "trace ids do not ascend";
            return Err(ReadError::Mismatch { file: SPANS, problem });
        }
        let rows = self.slice_rows(tenant, slice)?;
        let traces = Arc::new(SliceTraces { ids, table, rows, first_row });
        self.cache.insert_other(key, Arc::clone(&traces), traces.bytes());
        Ok(traces)
    }
}

impl SliceTraces {
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// What they take in memory.
    fn bytes(&self) -> usize {
        let texts = [&self.table.root_service, &self.table.root_name];
        self.len() * TRACE_BYTES + texts.map(text_bytes).iter().sum::<usize>()
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

/// Of texts that stand in a dictionary, each once.
fn text_bytes(column: &Column) -> usize {
    let Values::Text(Strings::Plain(texts) | Strings::Dictionary { values: texts, .. }) =
        &column.values
    else {
        return 0;
    };
    texts.value_data().len() + texts.len() * size_of::<i32>()
}

#[cfg(test)]
mod tests;
