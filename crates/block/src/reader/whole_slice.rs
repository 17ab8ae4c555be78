//! A slice that many tenants share, decoded once for all of them.
//!
//! In: a row group of each file. Out: each tenant's rows as a chunk of its own. Reading them one
//! tenant after the other would inflate the same pages for each: 33 CPU-seconds for a million spans
//! of 2,000 tenants. Whoever holds this sees all tenants' rows: it is for who writes blocks anew.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, StringArray};
use arrow_buffer::ScalarBuffer;
use suyuan_model::{Chunk, Strings};
use suyuan_objects::ReadMeter;

use super::{BlockReader, Lazy, OpenFile, ReadError};
use crate::column::{Column, Values};
use crate::meta::SideRows;
use crate::traces::TraceTable;
use crate::unstage::{Part, SpanParts, unstage};
use crate::writer::{EVENTS, LINKS, SPANS, TRACES};

/// A dictionary is cut down to the texts in use if it has so many for each row.
const TEXTS_PER_ROW_MAX: usize = 4;

/// All rows of a slice.
pub struct WholeSlice {
    slice: u32,
    first_row: u32,
    n_rows: u32,
    spans: Vec<Column>,
    events: Option<Side>,
    links: Option<Side>,
}

struct Side {
    file: Arc<OpenFile>,
    /// For each row the row of its span in the block.
    owners: ScalarBuffer<u32>,
    columns: Vec<Column>,
}

impl BlockReader {
    /// Reads all rows of a slice, whoever's they are.
    pub fn whole_slice(&self, slice: u32) -> Result<WholeSlice, ReadError> {
        let spans = self.spans()?;
        let meta = *self.slice_meta(slice)?;
        let columns: Vec<usize> = (0..spans.file.columns().len()).collect();
        let columns = spans.file.read(slice as usize, 0..meta.n_rows, &columns)?;
        check(SPANS, &columns, meta.n_rows)?;
        Ok(WholeSlice {
            slice,
            first_row: meta.first_row,
            n_rows: meta.n_rows,
            spans: columns,
            events: self.whole_side(&self.events, EVENTS, meta.events)?,
            links: self.whole_side(&self.links, LINKS, meta.links)?,
        })
    }

    fn whole_side(
        &self,
        file: &Lazy<OpenFile>,
        name: &'static str,
        rows: Option<SideRows>,
    ) -> Result<Option<Side>, ReadError> {
        let Some(SideRows { row_group, first_row, n_rows }) = rows else { return Ok(None) };
        let file = file.get(|| self.open(name, &ReadMeter::default()))?;
        let columns: Vec<usize> = (0..file.file.columns().len()).collect();
        let rows = first_row..first_row.saturating_add(n_rows);
        let columns = file.file.read(row_group as usize, rows, &columns)?;
        check(name, &columns, n_rows)?;
        let owners = file.column("span_row").ok().and_then(|column| columns.get(column));
        let Some(Values::U32(owners)) = owners.map(|column| &column.values) else {
            return Err(ReadError::Mismatch { file: name, problem: "`span_row` holds no rows" });
        };
        let owners = owners.clone();
        Ok(Some(Side { file, owners, columns }))
    }

    /// A tenant's rows of a slice that was read whole.
    pub fn rows_of(&self, whole: &WholeSlice, tenant: u32) -> Result<Chunk, ReadError> {
        let spans = self.spans()?;
        let shared = self.shared(tenant, &ReadMeter::default())?;
        let rows = self.slice_rows(tenant, whole.slice)?;
        if rows.end > whole.n_rows {
            let problem = "a tenant has more rows than the slice";
            return Err(ReadError::Mismatch { file: SPANS, problem });
        }
        let names = spans.names();
        let mut columns: Vec<Column> =
            whole.spans.iter().map(|column| cut(column, &rows)).collect();
        for (name, column) in names.iter().zip(&mut columns) {
            shared.renumber(name, column);
        }
        let first_row = whole.first_row + rows.start;
        let block_rows = first_row..whole.first_row + rows.end;
        let events = whole.events.as_ref().map(|side| side.cut(&block_rows));
        let links = whole.links.as_ref().map(|side| side.cut(&block_rows));
        let event_names = whole.events.as_ref().map_or(Vec::new(), |side| side.file.names());
        let link_names = whole.links.as_ref().map_or(Vec::new(), |side| side.file.names());
        let parts = SpanParts {
            first_row,
            spans: Part { n_rows: rows.end - rows.start, names: &names, columns: &columns },
            events: events.as_ref().map(|(n_rows, columns)| Part {
                n_rows: *n_rows,
                names: &event_names,
                columns,
            }),
            links: links.as_ref().map(|(n_rows, columns)| Part {
                n_rows: *n_rows,
                names: &link_names,
                columns,
            }),
        };
        unstage(&self.layout, &parts, &shared.resources, &shared.scopes)
            .map_err(|error| ReadError::Rows { file: SPANS, error })
    }

    /// The traces of a slice, of all tenants, each with its id.
    pub fn whole_traces(&self, slice: u32) -> Result<(Vec<[u8; 16]>, TraceTable), ReadError> {
        let meta = *self.slice_meta(slice)?;
        let (spans, traces) =
            (self.spans()?, self.traces.get(|| self.open(TRACES, &ReadMeter::default()))?);
        let columns: Vec<usize> = (0..traces.file.columns().len()).collect();
        let columns = traces.file.read(slice as usize, 0..meta.n_traces, &columns)?;
        let table = TraceTable::read(columns, 0)?;
        let n_rows: u64 = table.n_spans.iter().map(|n| u64::from(*n)).sum();
        if n_rows != u64::from(meta.n_rows) {
            let problem = "its traces do not have as many spans as the slice has rows";
            return Err(ReadError::Mismatch { file: TRACES, problem });
        }
        let id = spans.column("trace_id")?;
        let columns = spans.file.read(slice as usize, 0..meta.n_rows, &[id])?;
        let Some(Values::Id(ids)) = columns.first().map(|column| &column.values) else {
            return Err(ReadError::Mismatch { file: SPANS, problem: "`trace_id` holds no ids" });
        };
        let (ids, _) = ids.value_data().as_chunks::<16>();
        let first_id = |row: &u32| ids.get(*row as usize).copied();
        let first_ids: Option<Vec<[u8; 16]>> = table.first_rows.iter().map(first_id).collect();
        let problem = "a trace without rows";
        let first_ids = first_ids.ok_or(ReadError::Mismatch { file: TRACES, problem })?;
        Ok((first_ids, table))
    }
}

impl WholeSlice {
    pub fn n_rows(&self) -> u32 {
        self.n_rows
    }
}

impl Side {
    /// The rows of some spans of the block.
    fn cut(&self, span_rows: &Range<u32>) -> (u32, Vec<Column>) {
        let start = self.owners.partition_point(|row| *row < span_rows.start) as u32;
        let end = self.owners.partition_point(|row| *row < span_rows.end) as u32;
        let rows = start..end.max(start);
        (rows.end - rows.start, self.columns.iter().map(|column| cut(column, &rows)).collect())
    }
}

/// Columns can be cut that have a value for each row they name, in order.
fn check(file: &'static str, columns: &[Column], n_rows: u32) -> Result<(), ReadError> {
    let is_whole = |column: &Column| match &column.rows {
        None => column.values.len() == n_rows as usize,
        Some(rows) => {
            rows.len() == column.values.len() && rows.windows(2).all(|pair| pair[0] < pair[1])
        }
    };
    if columns.iter().all(is_whole) {
        return Ok(());
    }
    let problem = "a column does not have as many values as rows";
    Err(ReadError::Mismatch { file, problem })
}

/// Some rows of a column that was checked.
fn cut(column: &Column, rows: &Range<u32>) -> Column {
    let Some(present) = &column.rows else {
        let values = column.values.slice(rows.start as usize..rows.end as usize);
        return Column { rows: None, values: small(values) };
    };
    let start = present.partition_point(|row| *row < rows.start);
    let end = present.partition_point(|row| *row < rows.end);
    let present = present[start..end].iter().map(|row| row - rows.start).collect();
    Column { rows: Some(present), values: small(column.values.slice(start..end)) }
}

/// Without a dictionary of all tenants for the texts of one.
fn small(values: Values) -> Values {
    let Values::Text(Strings::Dictionary { codes, values: texts }) = &values else { return values };
    if texts.len() <= codes.len() * TEXTS_PER_ROW_MAX {
        return values;
    }
    let mut used: Vec<u32> = codes.to_vec();
    used.sort_unstable();
    used.dedup();
    let place = |code: &u32| used.binary_search(code).unwrap_or_default() as u32;
    let codes = codes.iter().map(place).collect();
    let texts = StringArray::from_iter_values(used.iter().map(|code| texts.value(*code as usize)));
    Values::Text(Strings::Dictionary { codes, values: texts })
}
