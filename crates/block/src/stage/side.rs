//! The events of a slice, and its links: rows that belong to a span.
//!
//! In: tables of chunks, and the row of the slice that each of their spans goes to. Out: columns
//! whose rows ascend by span, those of a span in the order received. While chunks come in, rows are
//! numbered as they come; their order is made at the end.

use suyuan_model::{Events, Links, Sparse, Strings};

use super::StageError;
use super::attributes::AttributeStage;
use super::values::{ColumnStage, NONE, Scratch, empty};
use crate::column::{Column, Kind, Values};
use crate::layout::TableLayout;

/// The rows of one of these tables in a slice.
#[derive(Debug)]
pub struct SideColumns {
    pub n_rows: u32,
    /// As [`crate::layout::event_columns`] or [`crate::layout::link_columns`] says.
    pub columns: Vec<Column>,
}

#[derive(Debug)]
pub(super) struct EventStage {
    rows: SideRows,
    time: ColumnStage,
    name: ColumnStage,
    dropped_attributes: ColumnStage,
    attributes: AttributeStage,
}

#[derive(Debug)]
pub(super) struct LinkStage {
    rows: SideRows,
    trace_id: ColumnStage,
    span_id: ColumnStage,
    trace_state: ColumnStage,
    flags: ColumnStage,
    dropped_attributes: ColumnStage,
    attributes: AttributeStage,
}

#[derive(Debug, Default)]
struct SideRows {
    /// For each row its span's row in the slice.
    span_rows: Vec<u32>,
    /// For each row of the chunk that is being added its row here, or [`NONE`].
    of_chunk: Vec<u32>,
}

impl EventStage {
    pub(super) fn new(layout: &TableLayout) -> Self {
        Self {
            rows: SideRows::default(),
            time: ColumnStage::new(Kind::U64),
            name: ColumnStage::new(Kind::Text),
            dropped_attributes: ColumnStage::new(Kind::U32),
            attributes: AttributeStage::new(layout),
        }
    }

    pub(super) fn clear(&mut self) {
        empty(&mut self.rows.span_rows);
        self.attributes.clear();
        self.columns().into_iter().for_each(|(_, column)| column.clear());
    }

    fn columns(&mut self) -> [(&'static str, &mut ColumnStage); 3] {
        [
            ("time_unix_nanos", &mut self.time),
            ("name", &mut self.name),
            ("dropped_attributes", &mut self.dropped_attributes),
        ]
    }

    /// `spans`: for each span of the chunk its row in the slice, or [`NONE`].
    pub(super) fn add(
        &mut self,
        events: &Events,
        spans: &[u32],
        scratch: &mut Scratch,
    ) -> Result<(), StageError> {
        if !self.rows.add(events.span_row.values(), spans) {
            return Ok(());
        }
        for (event, row) in self.rows.added() {
            self.time.add_u64(row, events.time_unix_nanos.value(event));
        }
        self.name.add_texts(&events.name, self.rows.added(), scratch);
        let of_chunk = &self.rows.of_chunk;
        add_counts(&mut self.dropped_attributes, &events.dropped_attributes, of_chunk);
        self.attributes.add(&events.attributes, of_chunk, scratch)
    }

    /// `first_row`: where the slice begins in the file of spans. Nothing if there is no event.
    pub(super) fn finish(
        &mut self,
        first_row: u32,
        scratch: &mut Scratch,
    ) -> Result<Option<SideColumns>, StageError> {
        let n_rows = self.rows.span_rows.len() as u32;
        if n_rows == 0 {
            return Ok(None);
        }
        let (span_row, new_rows) = self.rows.in_order(first_row);
        let mut columns = vec![span_row];
        for (name, column) in self.columns() {
            column.renumber_rows(&new_rows);
            columns.push(column.finish(name, n_rows, scratch)?);
        }
        self.attributes.renumber_rows(&new_rows);
        self.attributes.finish(n_rows, scratch, &mut columns)?;
        Ok(Some(SideColumns { n_rows, columns }))
    }
}

impl LinkStage {
    pub(super) fn new(layout: &TableLayout) -> Self {
        Self {
            rows: SideRows::default(),
            trace_id: ColumnStage::new(Kind::Bytes),
            span_id: ColumnStage::new(Kind::Bytes),
            trace_state: ColumnStage::new(Kind::Text),
            flags: ColumnStage::new(Kind::U32),
            dropped_attributes: ColumnStage::new(Kind::U32),
            attributes: AttributeStage::new(layout),
        }
    }

    pub(super) fn clear(&mut self) {
        empty(&mut self.rows.span_rows);
        self.attributes.clear();
        self.columns().into_iter().for_each(|(_, column)| column.clear());
    }

    fn columns(&mut self) -> [(&'static str, &mut ColumnStage); 5] {
        [
            ("trace_id", &mut self.trace_id),
            ("span_id", &mut self.span_id),
            ("trace_state", &mut self.trace_state),
            ("flags", &mut self.flags),
            ("dropped_attributes", &mut self.dropped_attributes),
        ]
    }

    /// As [`EventStage::add`].
    pub(super) fn add(
        &mut self,
        links: &Links,
        spans: &[u32],
        scratch: &mut Scratch,
    ) -> Result<(), StageError> {
        if !self.rows.add(links.span_row.values(), spans) {
            return Ok(());
        }
        for (link, row) in self.rows.added() {
            self.trace_id.add_bytes(row, links.trace_id.value(link));
            self.span_id.add_bytes(row, links.span_id.value(link));
        }
        let of_chunk = &self.rows.of_chunk;
        add_sparse_texts(&mut self.trace_state, &links.trace_state, of_chunk, scratch);
        add_counts(&mut self.flags, &links.flags, of_chunk);
        add_counts(&mut self.dropped_attributes, &links.dropped_attributes, of_chunk);
        self.attributes.add(&links.attributes, of_chunk, scratch)
    }

    /// As [`EventStage::finish`].
    pub(super) fn finish(
        &mut self,
        first_row: u32,
        scratch: &mut Scratch,
    ) -> Result<Option<SideColumns>, StageError> {
        let n_rows = self.rows.span_rows.len() as u32;
        if n_rows == 0 {
            return Ok(None);
        }
        let (span_row, new_rows) = self.rows.in_order(first_row);
        let mut columns = vec![span_row];
        for (name, column) in self.columns() {
            column.renumber_rows(&new_rows);
            columns.push(column.finish(name, n_rows, scratch)?);
        }
        self.attributes.renumber_rows(&new_rows);
        self.attributes.finish(n_rows, scratch, &mut columns)?;
        Ok(Some(SideColumns { n_rows, columns }))
    }
}

impl SideRows {
    /// Numbers the rows of a chunk's table; returns whether any of them is in the slice.
    fn add(&mut self, span_rows: &[u32], spans: &[u32]) -> bool {
        let n_before = self.span_rows.len();
        self.of_chunk.clear();
        for span in span_rows {
            let span_row = spans[*span as usize];
            if span_row == NONE {
                self.of_chunk.push(NONE);
                continue;
            }
            self.of_chunk.push(self.span_rows.len() as u32);
            self.span_rows.push(span_row);
        }
        self.span_rows.len() > n_before
    }

    /// Rows of the chunk that was added last, and the rows they have become.
    fn added(&self) -> impl Iterator<Item = (usize, u32)> + Clone {
        let rows = self.of_chunk.iter().copied().enumerate();
        rows.filter(|(_, row)| *row != NONE)
    }

    /// The column of span rows, and for each row its place in the order.
    fn in_order(&self, first_row: u32) -> (Column, Vec<u32>) {
        let key = |(row, span_row): (usize, &u32)| u64::from(*span_row) << 32 | row as u64;
        let mut keys: Vec<u64> = self.span_rows.iter().enumerate().map(key).collect();
        keys.sort_unstable();
        let mut new_rows = vec![0; keys.len()];
        for (new_row, key) in keys.iter().enumerate() {
            new_rows[*key as u32 as usize] = new_row as u32;
        }
        let span_rows = keys.iter().map(|key| first_row + (key >> 32) as u32).collect();
        (Column { rows: None, values: Values::U32(span_rows) }, new_rows)
    }
}

/// `rows`: for each row of the chunk's table its row in the stage, or [`NONE`].
pub(super) fn add_counts(
    stage: &mut ColumnStage,
    counts: &Sparse<arrow_array::UInt32Array>,
    rows: &[u32],
) {
    for (row, count) in counts.rows.iter().zip(counts.values.values()) {
        let row = rows[*row as usize];
        if row != NONE {
            stage.add_u32(row, *count);
        }
    }
}

/// As [`add_counts`].
pub(super) fn add_sparse_texts(
    stage: &mut ColumnStage,
    texts: &Sparse<Strings>,
    rows: &[u32],
    scratch: &mut Scratch,
) {
    let positions = texts.rows.iter().enumerate();
    let picks = positions.map(|(position, row)| (position, rows[*row as usize]));
    stage.add_texts(&texts.values, picks.filter(|(_, row)| *row != NONE), scratch);
}
