//! Columns that most rows leave empty: row numbers beside values.
//!
//! Flags, trace states, dropped counts and the like are absent on nearly every span; a dense
//! column of zeros would cost 4 bytes a span each, this costs nothing until a value comes.

use arrow_array::UInt32Array;
use arrow_buffer::ScalarBuffer;

use crate::strings::{Strings, StringsBuilder};

/// Ascending row numbers and the values that belong to them.
#[derive(Clone, Debug)]
pub struct Sparse<V> {
    pub rows: ScalarBuffer<u32>,
    pub values: V,
}

impl<V> Sparse<V> {
    fn position(&self, row: u32) -> Option<usize> {
        self.rows.binary_search(&row).ok()
    }
}

impl Sparse<UInt32Array> {
    /// The value of a row; 0 where none was written.
    pub fn value(&self, row: u32) -> u32 {
        self.position(row).map_or(0, |position| self.values.value(position))
    }
}

impl Sparse<Strings> {
    /// The text of a row; empty where none was written.
    pub fn value(&self, row: u32) -> &str {
        self.position(row).map_or("", |position| self.values.value(position))
    }
}

/// Builds a [`Sparse`] column of counts; zeros are not written.
#[derive(Debug, Default)]
pub(crate) struct SparseCountsBuilder {
    rows: Vec<u32>,
    values: Vec<u32>,
}

impl SparseCountsBuilder {
    pub(crate) fn push(&mut self, row: u32, value: u32) {
        if value != 0 {
            self.rows.push(row);
            self.values.push(value);
        }
    }

    pub(crate) fn truncate(&mut self, rows: u32) {
        let keep = self.rows.partition_point(|row| *row < rows);
        self.rows.truncate(keep);
        self.values.truncate(keep);
    }

    pub(crate) fn freeze(&self) -> Sparse<UInt32Array> {
        Sparse { rows: self.rows.clone().into(), values: self.values.clone().into() }
    }
}

/// Builds a [`Sparse`] column of texts; empty ones are not written.
#[derive(Debug, Default)]
pub(crate) struct SparseStringsBuilder {
    rows: Vec<u32>,
    values: StringsBuilder,
}

impl SparseStringsBuilder {
    /// Returns false if the text was not UTF-8 and had to be repaired.
    #[must_use]
    pub(crate) fn push(&mut self, row: u32, text: &[u8]) -> bool {
        if text.is_empty() {
            return true;
        }
        self.rows.push(row);
        self.values.push(text)
    }

    pub(crate) fn truncate(&mut self, rows: u32) {
        let keep = self.rows.partition_point(|row| *row < rows);
        self.rows.truncate(keep);
        self.values.truncate(keep);
    }

    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.values.clear();
    }

    pub(crate) fn freeze(&self) -> Sparse<Strings> {
        Sparse { rows: self.rows.clone().into(), values: self.values.freeze() }
    }
}
