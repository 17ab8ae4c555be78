//! Some columns of some rows: what a scan reads.
//!
//! In: which columns are asked for ([`Columns`]). Out: a [`Batch`], a chunk in which only those are
//! filled. A column that was not asked for is empty however many rows there are: whoever looks at
//! it made a mistake, and dense columns of zeros would cost more than what is read.

use std::ops::Range;
use std::sync::Arc;

use arrow_buffer::ScalarBuffer;

use crate::chunk::Chunk;

/// A column that every span has, or a side table's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Field {
    TraceId,
    SpanId,
    /// Needs whole traces: a block stores depths.
    ParentSpanId,
    /// How many spans stand above it in its trace. Blocks alone have it, see [`Batch::depth`].
    Depth,
    Start,
    /// A block works it out of start and duration; who needs only the duration asks for that.
    End,
    Duration,
    Name,
    Kind,
    StatusCode,
    StatusMessage,
    TraceState,
    /// The number of the resource; the resources themselves are always there.
    Resource,
    /// The number of the scope; the scopes themselves are always there.
    Scope,
    EventName,
    EventTime,
    /// Trace id and span id of links.
    LinkIds,
}

/// Which columns are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    fields: u32,
    /// Keys of attributes, of whatever type; each ascending, without repetition. With a key of
    /// events or links, `span_row` comes too.
    span_keys: Vec<Arc<str>>,
    event_keys: Vec<Arc<str>>,
    link_keys: Vec<Arc<str>>,
    required_text: Option<RequiredText>,
}

/// What a text must contain to be of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredText {
    /// Of an attribute of spans.
    pub key: Arc<str>,
    /// Not empty.
    pub literal: Arc<str>,
}

/// Rows of a unit of a scan, and some of their columns.
#[derive(Clone, Debug)]
pub struct Batch {
    pub n_rows: u32,
    /// Columns that were not asked for are empty. Attributes have no shapes.
    pub chunk: Arc<Chunk>,
    /// Which rows of the unit these are.
    pub rows: BatchRows,
    /// If it was asked for, and the rows come from a block.
    pub depth: Option<ScalarBuffer<u32>>,
    /// If it was asked for, and the rows come from a block; else it is end less start, wrapping.
    pub duration_nanos: Option<ScalarBuffer<i64>>,
}

/// The rows of a batch as rows of the unit they were read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchRows {
    /// Row `n` of the batch is row `n` of the unit.
    Same,
    /// Ascending, not empty, apart.
    Ranges(Vec<Range<u32>>),
}

impl Columns {
    pub fn with(mut self, field: Field) -> Self {
        self.add(field);
        self
    }

    pub fn add(&mut self, field: Field) {
        self.fields |= 1 << field as u32;
    }

    pub fn add_span_key(&mut self, key: &Arc<str>) {
        insert(&mut self.span_keys, key);
    }

    pub fn add_event_key(&mut self, key: &Arc<str>) {
        insert(&mut self.event_keys, key);
    }

    pub fn add_link_key(&mut self, key: &Arc<str>) {
        insert(&mut self.link_keys, key);
    }

    /// A span whose text under `key` does not contain the literal may be given as if it did not
    /// have the key: whoever reads a column says so to be spared what it holds.
    pub fn require_text(&mut self, key: &Arc<str>, literal: &str) {
        self.required_text = Some(RequiredText { key: key.clone(), literal: literal.into() });
    }

    pub fn required_text(&self) -> Option<&RequiredText> {
        self.required_text.as_ref()
    }

    /// All that either asks for. What one does not need the other may.
    pub fn union(mut self, other: &Self) -> Self {
        self.required_text = None;
        self.fields |= other.fields;
        other.span_keys.iter().for_each(|key| self.add_span_key(key));
        other.event_keys.iter().for_each(|key| self.add_event_key(key));
        other.link_keys.iter().for_each(|key| self.add_link_key(key));
        self
    }

    pub fn has(&self, field: Field) -> bool {
        self.fields & 1 << field as u32 != 0
    }

    pub fn span_keys(&self) -> &[Arc<str>] {
        &self.span_keys
    }

    pub fn event_keys(&self) -> &[Arc<str>] {
        &self.event_keys
    }

    pub fn link_keys(&self) -> &[Arc<str>] {
        &self.link_keys
    }

    /// Whether anything of events is asked for.
    pub fn has_events(&self) -> bool {
        self.has(Field::EventName) || self.has(Field::EventTime) || !self.event_keys.is_empty()
    }

    /// Whether anything of links is asked for.
    pub fn has_links(&self) -> bool {
        self.has(Field::LinkIds) || !self.link_keys.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.fields == 0
            && self.span_keys.is_empty()
            && self.event_keys.is_empty()
            && self.link_keys.is_empty()
    }
}

impl Batch {
    /// The first rows of a live chunk; `n_rows` is said because its columns may be empty.
    pub fn of_chunk(chunk: Arc<Chunk>, n_rows: u32) -> Self {
        Self { n_rows, chunk, rows: BatchRows::Same, depth: None, duration_nanos: None }
    }

    /// The row of the unit.
    pub fn unit_row(&self, row: u32) -> u32 {
        let BatchRows::Ranges(ranges) = &self.rows else { return row };
        let mut left = row;
        for range in ranges {
            let len = range.end - range.start;
            if left < len {
                return range.start + left;
            }
            left -= len;
        }
        ranges.last().map_or(row, |range| range.end + left)
    }

    /// The batch's row of a row of the unit, if it is among them.
    pub fn row_of(&self, unit_row: u32) -> Option<u32> {
        let BatchRows::Ranges(ranges) = &self.rows else {
            return (unit_row < self.n_rows).then_some(unit_row);
        };
        let mut before = 0;
        for range in ranges {
            if range.contains(&unit_row) {
                return Some(before + unit_row - range.start);
            }
            before += range.end - range.start;
        }
        None
    }

    /// The duration of a span: `Field::Duration` or start and end must have been asked for.
    #[inline]
    pub fn duration_nanos(&self, row: u32) -> i64 {
        let row = row as usize;
        match &self.duration_nanos {
            Some(durations) => durations[row],
            None => {
                let chunk = &self.chunk;
                chunk.end_unix_nanos.value(row).wrapping_sub(chunk.start_unix_nanos.value(row))
            }
        }
    }
}

fn insert(keys: &mut Vec<Arc<str>>, key: &Arc<str>) {
    if let Err(place) = keys.binary_search(key) {
        keys.insert(place, key.clone());
    }
}
