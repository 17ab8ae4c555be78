//! Events and links of the spans asked for.
//!
//! In: rows of spans and the columns wanted of their events or links. Out: these columns, each row
//! with its span's place in the batch. The owners of a slice's rows are read whole, everything else
//! from the pages that hold the rows.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{UInt32Array, UInt64Array};
use arrow_buffer::ScalarBuffer;
use suyuan_model::{AttributeTable, Events, Field, Links};

use super::Asked;
use super::attributes::AttributeReads;
use super::raw::RawColumns;
use crate::column::Values;
use crate::file::read::Keep;
use crate::layout::Scope;
use crate::meta::SideRows;
use crate::reader::{BlockReader, Lazy, OpenFile, ReadError};
use crate::unstage::UnstageError;
use crate::writer::{EVENTS, LINKS};

/// Rows of a side table that belong to the spans asked for.
struct SideRowsAsked {
    file: Arc<OpenFile>,
    row_group: usize,
    ranges: Vec<Range<u32>>,
    /// Of each row its span in the batch.
    span_row: ScalarBuffer<u32>,
}

impl BlockReader {
    pub(super) fn event_columns(
        &self,
        asked: &Asked<'_>,
        events: &mut Events,
    ) -> Result<(), ReadError> {
        let rows = self.slice_meta(asked.slice)?.events;
        let Some(side) = self.side_rows(&self.events, EVENTS, rows, asked)? else { return Ok(()) };
        let fields = [("name", Field::EventName), ("time_unix_nanos", Field::EventTime)];
        let fields = fields.into_iter().filter(|(_, field)| asked.columns.has(*field));
        let names = fields.map(|(name, _)| name).collect();
        let keys = asked.columns.event_keys();
        let (mut raw, attributes) = self.read_side(&side, asked, Scope::Event, names, keys)?;
        let in_events = |error| ReadError::Rows { file: EVENTS, error };
        events.span_row = UInt32Array::new(side.span_row, None);
        events.attributes = attributes;
        if let Some(name) = raw.texts("name").map_err(in_events)? {
            events.name = name;
        }
        if let Some(time) = raw.u64s("time_unix_nanos").map_err(in_events)? {
            events.time_unix_nanos = UInt64Array::new(time, None);
        }
        Ok(())
    }

    pub(super) fn link_columns(
        &self,
        asked: &Asked<'_>,
        links: &mut Links,
    ) -> Result<(), ReadError> {
        let rows = self.slice_meta(asked.slice)?.links;
        let Some(side) = self.side_rows(&self.links, LINKS, rows, asked)? else { return Ok(()) };
        let names = match asked.columns.has(Field::LinkIds) {
            true => vec!["trace_id", "span_id"],
            false => Vec::new(),
        };
        let keys = asked.columns.link_keys();
        let (mut raw, attributes) = self.read_side(&side, asked, Scope::Link, names, keys)?;
        let in_links = |error| ReadError::Rows { file: LINKS, error };
        links.span_row = UInt32Array::new(side.span_row, None);
        links.attributes = attributes;
        if let Some(trace_id) = raw.binaries("trace_id").map_err(in_links)? {
            links.trace_id = trace_id;
        }
        if let Some(span_id) = raw.binaries("span_id").map_err(in_links)? {
            links.span_id = span_id;
        }
        Ok(())
    }

    /// Which rows of a side table belong to the spans asked for; `None`: the slice has none.
    fn side_rows(
        &self,
        file: &Lazy<OpenFile>,
        name: &'static str,
        rows: Option<SideRows>,
        asked: &Asked<'_>,
    ) -> Result<Option<SideRowsAsked>, ReadError> {
        let Some(SideRows { row_group, first_row, n_rows }) = rows else { return Ok(None) };
        let file = file.get(|| self.open(name, asked.meter))?;
        let row_group = row_group as usize;
        let all = first_row..first_row.saturating_add(n_rows);
        let columns = [file.column("span_row")?];
        let all = std::slice::from_ref(&all);
        let read = file.file.read_rows(row_group, all, &columns, Keep::Small, asked.meter)?;
        let Some(Values::U32(owners)) = read.first().map(|column| &column.values) else {
            return Err(ReadError::Mismatch { file: name, problem: "`span_row` holds no rows" });
        };
        if !owners.is_sorted() {
            let error = UnstageError::WrongRows { column: "span_row".to_owned(), n_rows };
            return Err(ReadError::Rows { file: name, error });
        }
        let first_span = self.slice_meta(asked.slice)?.first_row;
        let (mut ranges, mut span_row): (Vec<Range<u32>>, _) = (Vec::new(), Vec::new());
        let mut n_spans_before = 0;
        for spans in asked.rows {
            let (first, end) = (first_span + spans.start, first_span + spans.end);
            let start_at = owners.partition_point(|owner| *owner < first);
            let end_at = owners.partition_point(|owner| *owner < end);
            let of_batch = |owner: &u32| owner - first + n_spans_before;
            span_row.extend(owners[start_at..end_at].iter().map(of_batch));
            n_spans_before += spans.len() as u32;
            let range = first_row + start_at as u32..first_row + end_at as u32;
            match ranges.last_mut() {
                _ if range.is_empty() => {}
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        }
        Ok(Some(SideRowsAsked { file, row_group, ranges, span_row: span_row.into() }))
    }

    fn read_side<'n>(
        &self,
        side: &SideRowsAsked,
        asked: &Asked<'_>,
        scope: Scope,
        names: Vec<&'n str>,
        keys: &[Arc<str>],
    ) -> Result<(RawColumns<'n>, AttributeTable), ReadError> {
        let file = &side.file;
        let attributes = AttributeReads::plan(self, asked.tenant, scope, keys, file)?;
        let mut wanted: Vec<usize> =
            names.iter().map(|name| file.column(name)).collect::<Result<_, _>>()?;
        wanted.extend(attributes.columns());
        let keep = self.keep(asked)?;
        let (group, ranges) = (side.row_group, &side.ranges[..]);
        let mut read = file.file.read_rows(group, ranges, &wanted, keep, asked.meter)?;
        let of_attributes = read.split_off(names.len());
        let n_rows = side.span_row.len() as u32;
        let table = attributes
            .table(of_attributes, n_rows)
            .map_err(|error| ReadError::Rows { file: file.name, error })?;
        Ok((RawColumns::new(names, read, n_rows), table))
    }
}
