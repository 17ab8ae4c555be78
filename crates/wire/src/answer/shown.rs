//! What an answer says of one span, where it differs from what was sent.
//!
//! In: a row. Out: the row beside its shown ids and end, and the attributes that answers add. A
//! span that ends before it starts would be drawn 1.8e13 ms long by Grafana (`grafana.md 1.3b`):
//! it is shown with end = start, and the end that was sent becomes an attribute.

use suyuan_model::{Chunk, ValueRef};

/// Nanoseconds since 1970, of a span that ended before it started.
const RAW_END_KEY: &str = "suyuan.raw_end_time_unix_nano";
/// How many values of the span were cut when it was received.
const CUT_VALUES_KEY: &str = "suyuan.cut_values";

/// A span as it is shown; lives on the stack while it is written.
#[derive(Debug)]
pub(super) struct ShownSpan<'a> {
    pub(super) chunk: &'a Chunk,
    pub(super) row: u32,
    pub(super) span_id: u64,
    pub(super) parent_span_id: Option<u64>,
    pub(super) start_unix_nanos: i64,
    pub(super) end_unix_nanos: i64,
    /// Of its attributes, and then of others.
    positions: &'a [u32],
    added: [Option<(&'static str, i64)>; 2],
}

impl<'a> ShownSpan<'a> {
    /// `positions`: at least as many as the row has attributes. `shown_ids`: from the parent that was sent to the id and the parent to show.
    pub(super) fn new(
        chunk: &'a Chunk,
        row: u32,
        positions: &'a [u32],
        shown_ids: impl FnOnce(Option<u64>) -> (u64, Option<u64>),
    ) -> Self {
        let parent = chunk.parent_span_id(row).map(u64::from_be_bytes);
        let (span_id, parent_span_id) = shown_ids(parent);
        let start_unix_nanos = chunk.start_unix_nanos.value(row as usize);
        let raw_end = chunk.end_unix_nanos.value(row as usize);
        let cut_values = chunk.cut_values.value(row);
        Self {
            chunk,
            row,
            span_id,
            parent_span_id,
            start_unix_nanos,
            end_unix_nanos: raw_end.max(start_unix_nanos),
            positions,
            added: [
                (raw_end < start_unix_nanos).then_some((RAW_END_KEY, raw_end)),
                (cut_values > 0).then_some((CUT_VALUES_KEY, i64::from(cut_values))),
            ],
        }
    }

    /// The span as it was sent.
    pub(super) fn as_sent(chunk: &'a Chunk, row: u32, positions: &'a [u32]) -> Self {
        Self {
            chunk,
            row,
            span_id: chunk.span_id.value(row as usize),
            parent_span_id: chunk.parent_span_id(row).map(u64::from_be_bytes),
            start_unix_nanos: chunk.start_unix_nanos.value(row as usize),
            end_unix_nanos: chunk.end_unix_nanos.value(row as usize),
            positions,
            added: [None, None],
        }
    }

    /// In the order received, then those that answers add.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&str, ValueRef<'_>)> {
        let table = &self.chunk.attributes;
        let sent = table.shape(self.row).iter().zip(self.positions).map(|(column, position)| {
            let column = &table.columns[*column as usize];
            (&*column.key, column.value(*position as usize))
        });
        let added = self.added.iter().flatten().map(|(key, value)| (*key, ValueRef::Int(*value)));
        sent.chain(added)
    }
}
