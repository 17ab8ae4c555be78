//! The rows of one slice between where they come from and where they go.
//!
//! In: traces with the places of their rows. Out: the few numbers by which rows are ordered, and
//! for each chunk which of its rows go to which row of the slice. Chunks are walked in ascending
//! order, each once.

use suyuan_model::SpanOutline;

use super::{Chunks, ChunksError, RowRef, SliceTrace};
use crate::tree::Ordered;

/// "Left out": the row repeats another one.
const NONE: u32 = u32::MAX;

/// Memory kept between slices.
#[derive(Debug, Default)]
pub(super) struct SliceRows {
    /// For each row as it came.
    pub(super) outlines: Vec<SpanOutline>,
    pub(super) status_codes: Vec<i32>,
    /// Its row in the slice, or [`NONE`].
    slice_rows: Vec<u32>,
    /// Rows as they came, by chunk.
    by_chunk: Vec<u32>,
    /// The chunks that have rows, ascending.
    pub(super) buckets: Vec<Bucket>,
    /// For each row of the slice.
    pub(super) depth: Vec<u32>,
    pub(super) kept_parents: Vec<(u32, u64)>,
}

/// The rows of one chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) chunk: u32,
    pub(super) tenant: u32,
    start: usize,
    end: usize,
}

impl SliceRows {
    /// Reads by what rows are ordered.
    pub(super) fn read(
        &mut self,
        rows: &[RowRef],
        traces: &[SliceTrace],
        chunks: &mut dyn Chunks,
    ) -> Result<(), ChunksError> {
        self.depth.clear();
        self.kept_parents.clear();
        self.slice_rows.clear();
        self.slice_rows.resize(rows.len(), NONE);
        self.fill_buckets(rows, traces);
        let nothing = SpanOutline {
            start_unix_nanos: 0,
            end_unix_nanos: 0,
            span_id: 0,
            parent_span_id: None,
            kind: 0,
        };
        self.outlines.clear();
        self.outlines.resize(rows.len(), nothing);
        self.status_codes.clear();
        self.status_codes.resize(rows.len(), 0);
        for bucket in &self.buckets {
            let chunk = chunks.chunk(bucket.chunk)?;
            let status_codes = chunk.status_code.values();
            for place in &self.by_chunk[bucket.start..bucket.end] {
                let place = *place as usize;
                let row = rows[place].row;
                self.outlines[place] = SpanOutline::of_row(&chunk, row);
                self.status_codes[place] = status_codes[row as usize];
            }
        }
        Ok(())
    }

    /// Sorts rows by chunk, by counting.
    fn fill_buckets(&mut self, rows: &[RowRef], traces: &[SliceTrace]) {
        self.buckets.clear();
        let n_chunks = rows.iter().map(|row| row.chunk + 1).max().unwrap_or(0);
        let mut next = vec![0usize; n_chunks as usize];
        for row in rows {
            next[row.chunk as usize] += 1;
        }
        let mut start = 0;
        for (chunk, count) in (0..n_chunks).zip(&mut next) {
            let end = start + *count;
            if *count > 0 {
                self.buckets.push(Bucket { chunk, tenant: 0, start, end });
            }
            *count = start;
            start = end;
        }
        self.by_chunk.clear();
        self.by_chunk.resize(rows.len(), 0);
        for (row, place) in rows.iter().zip(0..) {
            let at = &mut next[row.chunk as usize];
            self.by_chunk[*at] = place;
            *at += 1;
        }
        let mut ends = Vec::with_capacity(traces.len());
        let mut end = 0;
        for trace in traces {
            end += trace.n_rows;
            ends.push(end);
        }
        for bucket in &mut self.buckets {
            let first = self.by_chunk[bucket.start];
            let trace = ends.partition_point(|end| *end <= first);
            bucket.tenant = traces[trace].tenant;
        }
    }

    /// Appends a trace to the slice; its rows came from `start` on.
    pub(super) fn place(&mut self, start: usize, ordered: &Ordered<'_>) {
        let first = self.depth.len() as u32;
        self.depth.extend_from_slice(ordered.depth);
        for ((span, keeps_parent), slice_row) in
            ordered.order.iter().zip(ordered.keeps_parent).zip(first..)
        {
            let place = start + *span as usize;
            self.slice_rows[place] = slice_row;
            if *keeps_parent && let Some(parent) = self.outlines[place].parent_span_id {
                self.kept_parents.push((slice_row, parent));
            }
        }
    }

    /// Which rows of a chunk go to which rows of the slice.
    pub(super) fn pairs(&self, bucket: &Bucket, rows: &[RowRef], pairs: &mut Vec<(u32, u32)>) {
        for place in &self.by_chunk[bucket.start..bucket.end] {
            let slice_row = self.slice_rows[*place as usize];
            if slice_row != NONE {
                pairs.push((rows[*place as usize].row, slice_row));
            }
        }
    }
}
