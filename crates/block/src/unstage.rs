//! Columns of a block back to a chunk.
//!
//! In: columns of some rows of a block's files, by name, and the block's resources and scopes. Out:
//! a [`Chunk`] with the rows in the order of the block, parents worked out of depths, attributes in
//! the order received. Columns that are not given are as if no span had them. The bytes of a file
//! may be damaged or hostile: whatever does not fit together is an [`UnstageError`].

mod attributes;
mod part;

use arrow_array::{Int32Array, Int64Array, UInt32Array, UInt64Array};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use suyuan_model::{Chunk, Events, Links, Resources, Scopes};

use crate::column::Column;
use crate::key_values::KeyValuesError;
use crate::layout::Layout;
use crate::tree;

pub(crate) use attributes::GrowingColumn;
pub use part::Part;

/// Why columns do not make rows.
#[derive(Debug, thiserror::Error)]
pub enum UnstageError {
    #[error("column `{column}` has another type than the format says")]
    WrongKind { column: String },
    #[error("column `{column}` does not have {n_rows} rows, or its rows are not in order")]
    WrongRows { column: String, n_rows: u32 },
    #[error("column `{column}` names row {row} of a table of {n_rows}")]
    NoSuchRow { column: &'static str, row: u32, n_rows: usize },
    #[error("column `{column}`: {error}")]
    KeyValues { column: String, error: KeyValuesError },
    #[error("column `{column}` has an attribute that belongs elsewhere, in row {row}")]
    Misplaced { column: String, row: u32 },
    #[error("column `{column}` is none of the block's {n_columns} overflow columns")]
    NoSuchOverflow { column: String, n_columns: u32 },
    #[error("column `attribute_order` does not fit the attributes of row {row}")]
    WrongOrder { row: u32 },
    #[error("there are more than 128 attribute columns")]
    TooManyColumns,
    #[error("attributes take more than 2 GiB")]
    TooManyBytes,
    #[error(transparent)]
    Depth(#[from] tree::DepthError),
}

/// Some rows of a block, which follow each other.
#[derive(Clone, Copy, Debug)]
pub struct SpanParts<'a> {
    /// The row of the block's file of spans that is row 0 here.
    pub first_row: u32,
    /// Of `spans.parquet`. For parents, the rows must begin with a trace.
    pub spans: Part<'a>,
    /// Of `events.parquet` and `links.parquet`, with or without rows of other spans.
    pub events: Option<Part<'a>>,
    pub links: Option<Part<'a>>,
}

/// The rows as a chunk, which has all resources and scopes of the block.
pub fn unstage(
    layout: &Layout,
    parts: &SpanParts<'_>,
    resources: &Resources,
    scopes: &Scopes,
) -> Result<Chunk, UnstageError> {
    let spans = &parts.spans;
    let n_rows = spans.n_rows;
    let start = spans.i64s("start_unix_nanos")?.unwrap_or_else(|| zeros(n_rows));
    let end = match spans.i64s("duration_nanos")? {
        Some(durations) => {
            start.iter().zip(durations.iter()).map(|(s, d)| s.wrapping_add(*d)).collect()
        }
        None => start.clone(),
    };
    let resource = spans.u32s("resource")?.unwrap_or_else(|| zeros(n_rows));
    let scope = spans.u32s("scope")?.unwrap_or_else(|| zeros(n_rows));
    check_rows("resource", &resource, resources.schema_url.len())?;
    check_rows("scope", &scope, scopes.name.len())?;
    let span_id = spans.u64s("span_id")?.unwrap_or_else(|| zeros(n_rows));
    Ok(Chunk {
        trace_id: spans.trace_ids()?,
        parent_span_id: parents(spans, &span_id)?,
        span_id: UInt64Array::new(span_id, None),
        start_unix_nanos: Int64Array::new(start, None),
        end_unix_nanos: Int64Array::new(end, None),
        name: spans.texts("name")?,
        kind: Int32Array::new(spans.i32s("kind")?.unwrap_or_else(|| zeros(n_rows)), None),
        status_code: Int32Array::new(
            spans.i32s("status_code")?.unwrap_or_else(|| zeros(n_rows)),
            None,
        ),
        status_message: spans.sparse_texts("status_message")?,
        trace_state: spans.sparse_texts("trace_state")?,
        flags: spans.counts("flags")?,
        dropped_attributes: spans.counts("dropped_attributes")?,
        dropped_events: spans.counts("dropped_events")?,
        dropped_links: spans.counts("dropped_links")?,
        cut_values: spans.counts("cut_values")?,
        resource: UInt32Array::new(resource, None),
        scope: UInt32Array::new(scope, None),
        attributes: attributes::attributes(&layout.span, spans)?,
        events: events(layout, parts)?,
        links: links(layout, parts)?,
        resources: resources.clone(),
        scopes: scopes.clone(),
    })
}

/// The resources and scopes of a block, from all rows of `resources.parquet` and `scopes.parquet`.
pub fn read_shared(
    resources: &Part<'_>,
    scopes: &Part<'_>,
) -> Result<(Resources, Scopes), UnstageError> {
    let resources = Resources {
        schema_url: resources.texts("schema_url")?,
        dropped_attributes: resources.counts("dropped_attributes")?,
        entity_refs: resources.bytes("entity_refs")?,
        attributes: attributes::list(resources)?,
    };
    let scopes = Scopes {
        name: scopes.texts("name")?,
        version: scopes.texts("version")?,
        schema_url: scopes.texts("schema_url")?,
        dropped_attributes: scopes.counts("dropped_attributes")?,
        attributes: attributes::list(scopes)?,
    };
    Ok((resources, scopes))
}

fn parents(spans: &Part<'_>, span_ids: &[u64]) -> Result<UInt64Array, UnstageError> {
    let none = || Ok(UInt64Array::new_null(span_ids.len()));
    let Some(depths) = spans.u32s("depth")? else { return none() };
    let (kept_rows, kept_ids) = spans.sparse_u64s("parent_span_id")?;
    let mut next = 0;
    // Rows are asked for in ascending order, not each of them.
    let kept_parent = |row: usize| {
        while kept_rows.get(next).is_some_and(|kept| (*kept as usize) < row) {
            next += 1;
        }
        (kept_rows.get(next).copied() == Some(row as u32)).then(|| kept_ids[next])
    };
    let parents = tree::parents(span_ids, &depths, kept_parent)?;
    let is_known: NullBuffer = parents.iter().map(Option::is_some).collect();
    let ids = parents.iter().map(|parent| parent.unwrap_or_default()).collect();
    Ok(UInt64Array::new(ids, Some(is_known)))
}

fn events(layout: &Layout, parts: &SpanParts<'_>) -> Result<Events, UnstageError> {
    let (columns, names);
    let part = match &parts.events {
        None => Part::EMPTY,
        Some(part) => {
            columns = rows_of_spans(part, parts)?;
            names = part.names;
            Part { n_rows: columns.0, names, columns: &columns.1 }
        }
    };
    Ok(Events {
        span_row: span_rows(&part, parts.first_row)?,
        time_unix_nanos: UInt64Array::new(
            part.u64s("time_unix_nanos")?.unwrap_or_else(|| zeros(part.n_rows)),
            None,
        ),
        name: part.texts("name")?,
        dropped_attributes: part.counts("dropped_attributes")?,
        attributes: attributes::attributes(&layout.event, &part)?,
    })
}

fn links(layout: &Layout, parts: &SpanParts<'_>) -> Result<Links, UnstageError> {
    let (columns, names);
    let part = match &parts.links {
        None => Part::EMPTY,
        Some(part) => {
            columns = rows_of_spans(part, parts)?;
            names = part.names;
            Part { n_rows: columns.0, names, columns: &columns.1 }
        }
    };
    Ok(Links {
        span_row: span_rows(&part, parts.first_row)?,
        trace_id: part.bytes("trace_id")?,
        span_id: part.bytes("span_id")?,
        trace_state: part.sparse_texts("trace_state")?,
        flags: part.counts("flags")?,
        dropped_attributes: part.counts("dropped_attributes")?,
        attributes: attributes::attributes(&layout.link, &part)?,
    })
}

/// The rows of a side table that belong to the spans asked for: how many, and their columns.
fn rows_of_spans(
    part: &Part<'_>,
    parts: &SpanParts<'_>,
) -> Result<(u32, Vec<Column>), UnstageError> {
    let span_rows = part.u32s("span_row")?.unwrap_or_else(|| zeros(part.n_rows));
    if !span_rows.is_sorted() {
        let column = "span_row".to_owned();
        return Err(UnstageError::WrongRows { column, n_rows: part.n_rows });
    }
    let first_span = parts.first_row;
    let start = span_rows.partition_point(|row| *row < first_span);
    let is_before_end = |row: &u32| row - first_span < parts.spans.n_rows;
    let len = span_rows[start..].partition_point(is_before_end);
    Ok((len as u32, part.sliced(start..start + len)?))
}

/// The spans of a side table, by their rows in the chunk.
fn span_rows(part: &Part<'_>, first_row: u32) -> Result<UInt32Array, UnstageError> {
    let span_rows = part.u32s("span_row")?.unwrap_or_else(|| zeros(part.n_rows));
    Ok(UInt32Array::from_iter_values(span_rows.iter().map(|row| row.wrapping_sub(first_row))))
}

fn zeros<T: arrow_buffer::ArrowNativeType>(n_rows: u32) -> ScalarBuffer<T> {
    vec![T::default(); n_rows as usize].into()
}

fn check_rows(column: &'static str, rows: &[u32], n_rows: usize) -> Result<(), UnstageError> {
    match rows.iter().find(|row| **row as usize >= n_rows) {
        Some(row) => Err(UnstageError::NoSuchRow { column, row: *row, n_rows }),
        None => Ok(()),
    }
}
