//! One row for each trace of a block: `traces.parquet`.
//!
//! In: the spans of a trace in the order of their rows. Out: what a search answers about the trace
//! without a look at its spans, as columns and back. Never here: the trace id. It would cost a byte
//! for every span; `spans.parquet` has it at the trace's first row.
//!
//! Rows stand in the order of the spans file: a row group is a slice. The first row of a trace is
//! the slice's first row plus the spans of the traces before it, so it is not stored either.
//!
//! | column | type | null | what |
//! |---|---|---|---|
//! | `n_spans` | u32 | | rows of the trace |
//! | `n_errors` | u32 | | those whose status code is 2 |
//! | `start_unix_nanos` | i64 | | the earliest start of its spans |
//! | `duration_nanos` | i64 | | from there to the latest end, wrapping; below 0 if all ends lie before |
//! | `root_service` | text | no root, or it names no service | `service.name` of the root |
//! | `root_name` | text | no root | its name |
//! | `first_seen_unix_seconds`, `last_seen_unix_seconds` | i64 | | when the first and the last of its spans were received, rounded down and up |
//!
//! The root is the earliest span that names no parent (`tree`).

mod merged;

use arrow_array::StringArray;
use arrow_buffer::ScalarBuffer;
use suyuan_model::{SpanOutline, Strings, UnixNanosRange};

use crate::column::{Column, ColumnSpec, Encoding, Kind, Values};
use crate::tree::Ordered;

pub use merged::{NeedsContent, merged, merged_outlines, standing};

/// OTLP's `STATUS_CODE_ERROR`.
const STATUS_ERROR: i32 = 2;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A trace that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRow {
    pub n_spans: u32,
    /// Spans whose status code is OTLP's `ERROR`.
    pub n_errors: u32,
    pub start_unix_nanos: i64,
    pub end_unix_nanos: i64,
    /// Where the root stands: a row of the slice.
    pub root_row: Option<u32>,
    /// When its spans were received.
    pub received_unix_nanos: UnixNanosRange,
}

/// What is said of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceSummary<'a> {
    pub n_spans: u32,
    pub n_errors: u32,
    pub start_unix_nanos: i64,
    pub end_unix_nanos: i64,
    /// `None` while the span that names no parent has not come.
    pub root: Option<Root<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root<'a> {
    /// `None` if its resource names no service.
    pub service: Option<&'a str>,
    pub name: &'a str,
}

/// Traces of one slice as read: a column for each field.
#[derive(Clone, Debug)]
pub struct TraceTable {
    /// Of each trace, in the spans file.
    pub first_rows: Vec<u32>,
    pub n_spans: ScalarBuffer<u32>,
    pub n_errors: ScalarBuffer<u32>,
    pub start_unix_nanos: ScalarBuffer<i64>,
    pub duration_nanos: ScalarBuffer<i64>,
    pub root_service: Column,
    pub root_name: Column,
    pub first_seen_unix_seconds: ScalarBuffer<i64>,
    pub last_seen_unix_seconds: ScalarBuffer<i64>,
}

/// Why columns are no trace table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceTableError {
    #[error("traces have {columns} columns instead of {expected}")]
    WrongColumns { columns: usize, expected: usize },
    #[error("traces: column `{column}` holds {found:?}")]
    WrongKind { column: &'static str, found: Kind },
    #[error("traces: column `{column}` has {rows} rows of {rows_expected}")]
    WrongRows { column: &'static str, rows: usize, rows_expected: usize },
    #[error("traces: more spans than a block has rows")]
    TooManySpans,
}

impl TraceRow {
    /// The row of a trace whose spans stand in the slice from `first_row` on.
    ///
    /// `status_code` is that of a span's number in `spans`.
    pub fn of(
        first_row: u32,
        spans: &[SpanOutline],
        ordered: &Ordered<'_>,
        status_code: impl Fn(u32) -> i32,
        received_unix_nanos: UnixNanosRange,
    ) -> Self {
        let mut row = Self {
            n_spans: ordered.order.len() as u32,
            n_errors: 0,
            start_unix_nanos: i64::MAX,
            end_unix_nanos: i64::MIN,
            root_row: None,
            received_unix_nanos,
        };
        for (number, at) in ordered.order.iter().zip(0..) {
            let span = &spans[*number as usize];
            row.n_errors += u32::from(status_code(*number) == STATUS_ERROR);
            row.start_unix_nanos = row.start_unix_nanos.min(span.start_unix_nanos);
            row.end_unix_nanos = row.end_unix_nanos.max(span.end_unix_nanos);
            // Roots stand by start, so the first one is the earliest.
            if row.root_row.is_none() && span.parent_span_id.is_none() {
                row.root_row = Some(first_row + at);
            }
        }
        row
    }
}

/// The columns of `traces.parquet`.
pub fn trace_columns() -> Vec<ColumnSpec> {
    let required = ColumnSpec::required;
    let optional = ColumnSpec::optional;
    vec![
        required("n_spans", Kind::U32, Encoding::Dictionary),
        required("n_errors", Kind::U32, Encoding::Dictionary),
        required("start_unix_nanos", Kind::I64, Encoding::Split),
        required("duration_nanos", Kind::I64, Encoding::Split),
        optional("root_service", Kind::Text, Encoding::Dictionary),
        optional("root_name", Kind::Text, Encoding::Dictionary),
        required("first_seen_unix_seconds", Kind::I64, Encoding::Dictionary),
        required("last_seen_unix_seconds", Kind::I64, Encoding::Dictionary),
    ]
}

/// The traces of one slice as columns; `services` and `names` are the slice's columns of the spans
/// file, from which the roots take theirs.
pub fn trace_values(traces: &[TraceRow], services: &Column, names: &Column) -> Vec<Column> {
    let numbers =
        |value: fn(&TraceRow) -> u32| dense(Values::U32(traces.iter().map(value).collect()));
    let nanos =
        |value: fn(&TraceRow) -> i64| dense(Values::I64(traces.iter().map(value).collect()));
    vec![
        numbers(|trace| trace.n_spans),
        numbers(|trace| trace.n_errors),
        nanos(|trace| trace.start_unix_nanos),
        nanos(|trace| trace.end_unix_nanos.wrapping_sub(trace.start_unix_nanos)),
        texts_of_roots(traces, services),
        texts_of_roots(traces, names),
        nanos(|trace| (trace.received_unix_nanos.min / NANOS_PER_SECOND) as i64),
        nanos(|trace| trace.received_unix_nanos.max.div_ceil(NANOS_PER_SECOND) as i64),
    ]
}

fn dense(values: Values) -> Column {
    Column { rows: None, values }
}

/// What a text column says at the root of each trace.
fn texts_of_roots(traces: &[TraceRow], column: &Column) -> Column {
    let Values::Text(texts) = &column.values else { return no_texts() };
    let mut rows = Vec::with_capacity(traces.len());
    let mut positions = Vec::with_capacity(traces.len());
    for (trace, number) in traces.iter().zip(0..) {
        if let Some(position) = trace.root_row.and_then(|row| position_of(column, row)) {
            rows.push(number);
            positions.push(position);
        }
    }
    let texts = match texts {
        Strings::Dictionary { codes, values } => Strings::Dictionary {
            codes: positions.iter().map(|position| codes[*position]).collect(),
            values: values.clone(),
        },
        Strings::Plain(values) => {
            let texts = positions.iter().map(|position| values.value(*position));
            Strings::Plain(StringArray::from_iter_values(texts))
        }
    };
    Column { rows: Some(rows.into()), values: Values::Text(texts) }
}

fn no_texts() -> Column {
    let values = Values::Text(Strings::Plain(StringArray::new_null(0)));
    Column { rows: Some(ScalarBuffer::default()), values }
}

/// Where in a column's values a row has its own.
fn position_of(column: &Column, row: u32) -> Option<usize> {
    let position = match &column.rows {
        Some(rows) => rows.binary_search(&row).ok()?,
        None => row as usize,
    };
    (position < column.values.len()).then_some(position)
}

impl TraceTable {
    /// Traces as read from `traces.parquet`, all columns of one range of rows; the first of them
    /// begins at row `first_row` of the spans file.
    pub fn read(columns: Vec<Column>, first_row: u32) -> Result<Self, TraceTableError> {
        let expected = trace_columns().len();
        let columns: [Column; 8] = columns.try_into().map_err(|columns: Vec<Column>| {
            TraceTableError::WrongColumns { columns: columns.len(), expected }
        })?;
        let [n_spans, n_errors, start, duration, root_service, root_name, first_seen, last_seen] =
            columns;
        let n_spans = numbers("n_spans", n_spans, None)?;
        let n_traces = Some(n_spans.len());
        Ok(Self {
            first_rows: first_rows(&n_spans, first_row)?,
            n_errors: numbers("n_errors", n_errors, n_traces)?,
            start_unix_nanos: integers("start_unix_nanos", start, n_traces)?,
            duration_nanos: integers("duration_nanos", duration, n_traces)?,
            root_service: texts("root_service", root_service, n_spans.len())?,
            root_name: texts("root_name", root_name, n_spans.len())?,
            first_seen_unix_seconds: integers("first_seen_unix_seconds", first_seen, n_traces)?,
            last_seen_unix_seconds: integers("last_seen_unix_seconds", last_seen, n_traces)?,
            n_spans,
        })
    }

    pub fn len(&self) -> usize {
        self.first_rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.first_rows.is_empty()
    }

    /// What is said of a trace; panics if there is none of this number.
    pub fn summary(&self, trace: usize) -> TraceSummary<'_> {
        let start_unix_nanos = self.start_unix_nanos[trace];
        let root = text(&self.root_name, trace)
            .map(|name| Root { service: text(&self.root_service, trace), name });
        TraceSummary {
            n_spans: self.n_spans[trace],
            n_errors: self.n_errors[trace],
            start_unix_nanos,
            end_unix_nanos: start_unix_nanos.wrapping_add(self.duration_nanos[trace]),
            root,
        }
    }
}

fn first_rows(n_spans: &[u32], first_row: u32) -> Result<Vec<u32>, TraceTableError> {
    let mut rows = Vec::with_capacity(n_spans.len());
    let mut next = first_row;
    for n_spans in n_spans {
        rows.push(next);
        next = next.checked_add(*n_spans).ok_or(TraceTableError::TooManySpans)?;
    }
    Ok(rows)
}

fn text(column: &Column, row: usize) -> Option<&str> {
    let position = position_of(column, row as u32)?;
    match &column.values {
        Values::Text(texts) => Some(texts.value(position)),
        _ => None,
    }
}

fn numbers(
    name: &'static str,
    column: Column,
    rows_expected: Option<usize>,
) -> Result<ScalarBuffer<u32>, TraceTableError> {
    check_dense(name, &column, rows_expected)?;
    match column.values {
        Values::U32(values) => Ok(values),
        other => Err(TraceTableError::WrongKind { column: name, found: other.kind() }),
    }
}

fn integers(
    name: &'static str,
    column: Column,
    rows_expected: Option<usize>,
) -> Result<ScalarBuffer<i64>, TraceTableError> {
    check_dense(name, &column, rows_expected)?;
    match column.values {
        Values::I64(values) => Ok(values),
        other => Err(TraceTableError::WrongKind { column: name, found: other.kind() }),
    }
}

fn check_dense(
    name: &'static str,
    column: &Column,
    rows_expected: Option<usize>,
) -> Result<(), TraceTableError> {
    let rows = column.values.len();
    let rows_expected = rows_expected.unwrap_or(rows);
    let has_every_row = column.rows.as_ref().is_none_or(|present| present.len() == rows);
    if rows != rows_expected || !has_every_row {
        return Err(TraceTableError::WrongRows { column: name, rows, rows_expected });
    }
    Ok(())
}

fn texts(
    name: &'static str,
    column: Column,
    rows_expected: usize,
) -> Result<Column, TraceTableError> {
    let values = column.values.len();
    let fits = match &column.rows {
        Some(rows) => rows.len() == values,
        None => values == rows_expected,
    };
    if !fits {
        return Err(TraceTableError::WrongRows { column: name, rows: values, rows_expected });
    }
    match column.values {
        Values::Text(_) => Ok(column),
        ref other => Err(TraceTableError::WrongKind { column: name, found: other.kind() }),
    }
}

#[cfg(test)]
mod tests;
