//! Some columns of some rows of a slice: what a search reads.
//!
//! In: rows and [`Columns`]. Out: a [`Batch`] in which those are filled and all others are empty,
//! read from the pages that hold the rows. Never here: what a value means; the order in which a
//! row's attributes were received, and repeated keys, of which the first value alone is given.

mod attributes;
mod empty;
mod raw;
mod side;

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Int32Array, Int64Array, UInt32Array, UInt64Array};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use suyuan_model::{Batch, BatchRows, Chunk, Columns, Field, Sparse};
use suyuan_objects::ReadMeter;

use self::attributes::AttributeReads;
use self::raw::RawColumns;
use super::shared::Shared;
use super::{BlockReader, ReadError};
use crate::file::read::Keep;
use crate::layout::Scope;
use crate::tree;
use crate::unstage::UnstageError;
use crate::writer::SPANS;

/// The columns of `spans.parquet` that fields need.
const SPAN_FIELDS: [(&str, &[Field]); 13] = [
    ("trace_id", &[Field::TraceId]),
    ("span_id", &[Field::SpanId, Field::ParentSpanId]),
    ("depth", &[Field::Depth, Field::ParentSpanId]),
    ("parent_span_id", &[Field::ParentSpanId]),
    ("start_unix_nanos", &[Field::Start, Field::End]),
    ("duration_nanos", &[Field::Duration, Field::End]),
    ("name", &[Field::Name]),
    ("kind", &[Field::Kind]),
    ("status_code", &[Field::StatusCode]),
    ("status_message", &[Field::StatusMessage]),
    ("trace_state", &[Field::TraceState]),
    ("resource", &[Field::Resource]),
    ("scope", &[Field::Scope]),
];

impl BlockReader {
    /// Columns of rows of a slice, which must be the tenant's, ascend and not touch. A whole slice
    /// costs less than its pages one by one.
    ///
    /// Of an attribute every type is given; of a key that a row has twice with one type, the first
    /// value. A row stands once in a column of attributes, and never has a shape. Events and links
    /// name their spans by the rows of the batch. [`Field::ParentSpanId`] asks for whole traces:
    /// every range must begin with the first row of a trace.
    pub fn columns(
        &self,
        tenant: u32,
        slice: u32,
        rows: &[Range<u32>],
        columns: &Columns,
        meter: &ReadMeter,
    ) -> Result<Batch, ReadError> {
        let within = self.slice_rows(tenant, slice)?;
        if rows.iter().any(|rows| rows.start < within.start || rows.end > within.end) {
            let problem = "rows were asked for that are not the tenant's";
            return Err(ReadError::Mismatch { file: SPANS, problem });
        }
        let n_rows = rows.iter().map(|rows| rows.len() as u32).sum();
        let shared = self.shared(tenant, meter)?;
        let mut chunk = empty::chunk(&shared.resources, &shared.scopes);
        let asked = Asked { tenant, slice, rows, n_rows, columns, meter };
        let BesideChunk { depth, duration_nanos } =
            self.span_columns(&asked, &shared, &mut chunk)?;
        if columns.has_events() {
            self.event_columns(&asked, &mut chunk.events)?;
        }
        if columns.has_links() {
            self.link_columns(&asked, &mut chunk.links)?;
        }
        let rows = BatchRows::Ranges(rows.to_vec());
        Ok(Batch { n_rows, chunk: Arc::new(chunk), rows, depth, duration_nanos })
    }

    fn span_columns(
        &self,
        asked: &Asked<'_>,
        shared: &Shared,
        chunk: &mut Chunk,
    ) -> Result<BesideChunk, ReadError> {
        let is_asked = |fields: &[Field]| fields.iter().any(|field| asked.columns.has(*field));
        let fields = SPAN_FIELDS.into_iter().filter(|(_, fields)| is_asked(fields));
        let names: Vec<&str> = fields.map(|(name, _)| name).collect();
        let keys = asked.columns.span_keys();
        if names.is_empty() && keys.is_empty() {
            return Ok(BesideChunk::default());
        }
        let spans = self.spans_metered(asked.meter)?;
        let attributes = AttributeReads::plan(self, asked.tenant, Scope::Span, keys, &spans)?;
        let mut wanted: Vec<usize> =
            names.iter().map(|name| spans.column(name)).collect::<Result<_, _>>()?;
        wanted.extend(attributes.columns());
        let required = attributes.required(asked.columns.required_text());
        let mut read = spans.file.read_rows_with(
            asked.slice as usize,
            asked.rows,
            &wanted,
            &required,
            self.keep(asked)?,
            asked.meter,
        )?;
        let of_attributes = read.split_off(names.len());
        chunk.attributes = attributes
            .table(of_attributes, asked.n_rows)
            .map_err(|error| ReadError::Rows { file: SPANS, error })?;
        let raw = RawColumns::new(names, read, asked.n_rows);
        fill(raw, asked, shared, chunk).map_err(|error| ReadError::Rows { file: SPANS, error })
    }

    /// Pages of a slice are read one after the other, a whole slice at once: then its large
    /// dictionaries shall not push out small ones of others.
    fn keep(&self, asked: &Asked<'_>) -> Result<Keep, ReadError> {
        let is_part = asked.n_rows < self.slice_meta(asked.slice)?.n_rows;
        Ok(if is_part { Keep::All } else { Keep::Small })
    }
}

/// What was asked for.
struct Asked<'a> {
    tenant: u32,
    slice: u32,
    rows: &'a [Range<u32>],
    n_rows: u32,
    columns: &'a Columns,
    meter: &'a ReadMeter,
}

/// What a batch has of its spans beside the chunk.
#[derive(Default)]
struct BesideChunk {
    depth: Option<ScalarBuffer<u32>>,
    duration_nanos: Option<ScalarBuffer<i64>>,
}

/// Puts the fields of spans into the chunk; returns depths and durations if they were asked for.
fn fill(
    mut raw: RawColumns,
    asked: &Asked<'_>,
    shared: &Shared,
    chunk: &mut Chunk,
) -> Result<BesideChunk, UnstageError> {
    if let Some(trace_id) = raw.trace_ids("trace_id")? {
        chunk.trace_id = trace_id;
    }
    let (span_id, depth) = (raw.u64s("span_id")?, raw.u32s("depth")?);
    if let (Some(span_id), Some(depth)) = (&span_id, &depth)
        && let Some(kept) = raw.sparse_u64s("parent_span_id")?
    {
        chunk.parent_span_id = parents(span_id, depth, &kept, asked.rows)?;
    }
    if let Some(span_id) = span_id {
        chunk.span_id = UInt64Array::new(span_id, None);
    }
    let (start, duration) = (raw.i64s("start_unix_nanos")?, raw.i64s("duration_nanos")?);
    if let (Some(start), Some(duration), true) = (&start, &duration, asked.columns.has(Field::End))
    {
        let ends = start.iter().zip(duration.iter());
        let ends = ends.map(|(start, duration)| start.wrapping_add(*duration)).collect();
        chunk.end_unix_nanos = Int64Array::new(ends, None);
    }
    if let Some(start) = start {
        chunk.start_unix_nanos = Int64Array::new(start, None);
    }
    if let Some(name) = raw.texts("name")? {
        chunk.name = name;
    }
    if let Some(kind) = raw.i32s("kind")? {
        chunk.kind = Int32Array::new(kind, None);
    }
    if let Some(status_code) = raw.i32s("status_code")? {
        chunk.status_code = Int32Array::new(status_code, None);
    }
    if let Some(status_message) = raw.sparse_texts("status_message")? {
        chunk.status_message = status_message;
    }
    if let Some(trace_state) = raw.sparse_texts("trace_state")? {
        chunk.trace_state = trace_state;
    }
    if let Some(resource) = raw.u32s("resource")? {
        let n_resources = shared.resources.schema_url.len();
        chunk.resource = shared_rows("resource", resource, shared.first_resource, n_resources)?;
    }
    if let Some(scope) = raw.u32s("scope")? {
        let n_scopes = shared.scopes.name.len();
        chunk.scope = shared_rows("scope", scope, shared.first_scope, n_scopes)?;
    }
    let depth = depth.filter(|_| asked.columns.has(Field::Depth));
    Ok(BesideChunk { depth, duration_nanos: duration })
}

/// Rows of a shared table, from the tenant's first one on.
fn shared_rows(
    column: &'static str,
    rows: ScalarBuffer<u32>,
    first: u32,
    n_rows: usize,
) -> Result<UInt32Array, UnstageError> {
    let rows = match first {
        0 => rows,
        _ => rows.iter().map(|row| row.wrapping_sub(first)).collect(),
    };
    match rows.iter().fold(0, |greatest, row| greatest.max(*row)) {
        row if row as usize >= n_rows && !rows.is_empty() => {
            Err(UnstageError::NoSuchRow { column, row, n_rows })
        }
        _ => Ok(UInt32Array::new(rows, None)),
    }
}

/// The parents of rows of whole traces.
fn parents(
    span_ids: &[u64],
    depths: &[u32],
    kept: &Sparse<ScalarBuffer<u64>>,
    ranges: &[Range<u32>],
) -> Result<UInt64Array, UnstageError> {
    let mut first = 0;
    for range in ranges.iter().filter(|range| !range.is_empty()) {
        if depths[first] != 0 {
            let depth_before = -1;
            let wrong = tree::DepthError { row: first, depth: depths[first], depth_before };
            return Err(wrong.into());
        }
        first += range.len();
    }
    let mut next = 0;
    // Rows are asked for in ascending order, not each of them.
    let kept_parent = |row: usize| {
        while kept.rows.get(next).is_some_and(|kept| (*kept as usize) < row) {
            next += 1;
        }
        (kept.rows.get(next).copied() == Some(row as u32)).then(|| kept.values[next])
    };
    let parents = tree::parents(span_ids, depths, kept_parent)?;
    let is_known: NullBuffer = parents.iter().map(Option::is_some).collect();
    let ids = parents.iter().map(|parent| parent.unwrap_or_default()).collect();
    Ok(UInt64Array::new(ids, Some(is_known)))
}
