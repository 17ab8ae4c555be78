//! What a column cannot hold, told without its pages: by bounds of chunks and pages, and by
//! dictionaries.
//!
//! In: a test of bounds. Out: the rows of pages that pass it. Bounds of numbers are exact; texts
//! have none that would help (`write/bounds.rs`).

use std::ops::Range;
use std::sync::Arc;

use suyuan_objects::ReadMeter;

use super::cache::Cached;
use super::cover::{BytesAt, page_rows, pages_of};
use super::footer::short_number;
use super::page::with_scratch;
use super::{FileReader, Keep, ReadError};
use crate::column::{Kind, Values};

/// The least and the greatest of some values, as their plain bytes filled up with zeros.
pub(crate) type NumberBounds = [u64; 2];

impl FileReader {
    /// The bounds of all values of a row group's column; `None` where the file says none, and for
    /// kinds that are not numbers.
    pub(crate) fn chunk_bounds(&self, row_group: usize, column: usize) -> Option<NumberBounds> {
        match self.columns().get(column)?.kind {
            Kind::Text | Kind::Bytes | Kind::Id => None,
            _ => self.footer.chunks.get(self.footer.chunk_number(row_group, column))?.bounds,
        }
    }

    /// The rows of `rows` in pages of numbers whose bounds pass `may_hold`, ascending, apart. Pages
    /// without bounds pass, pages without a value do not.
    pub(crate) fn rows_where(
        &self,
        row_group: usize,
        column: usize,
        rows: &Range<u32>,
        meter: &ReadMeter,
        may_hold: impl Fn(NumberBounds) -> bool,
    ) -> Result<Vec<Range<u32>>, ReadError> {
        self.cover(row_group, std::slice::from_ref(rows), &[column])?;
        let is_empty = rows.is_empty() || self.is_null(row_group, column);
        let of_chunk = self.chunk_bounds(row_group, column);
        if is_empty || of_chunk.is_some_and(|bounds| !may_hold(bounds)) {
            return Ok(Vec::new());
        }
        let chunk = self.footer.chunks[self.footer.chunk_number(row_group, column)];
        let group = &self.footer.row_groups[row_group];
        let first_rows = &group.first_rows[usize::from(chunk.first_rows)];
        let bounds = self.stored_bounds(row_group, column, &chunk, meter)?;
        let passes = |page: &usize| match bounds.get(*page) {
            None => true,
            Some(None) => false,
            Some(Some(page)) => match (short_number(&page.min), short_number(&page.max)) {
                (Some(min), Some(max)) => may_hold([min, max]),
                _ => true,
            },
        };
        let mut passed: Vec<Range<u32>> = Vec::new();
        for page in pages_of(first_rows, rows).filter(passes) {
            let page_rows = page_rows(first_rows, page, group.n_rows);
            let (start, end) = (page_rows.start.max(rows.start), page_rows.end.min(rows.end));
            match passed.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => passed.push(start..end),
            }
        }
        Ok(passed)
    }

    /// The distinct values of a row group's column, if its dictionary has them all: then the others
    /// are in no row. `None` where a page may hold values beside it.
    pub(crate) fn distinct_values(
        &self,
        row_group: usize,
        column: usize,
        meter: &ReadMeter,
    ) -> Result<Option<Arc<Values>>, ReadError> {
        let mut covers = self.cover(row_group, &[], &[column])?;
        let Some(cover) = covers.first_mut() else { return Ok(None) };
        let n_bytes = u64::from(cover.chunk.dictionary_bytes);
        if n_bytes == 0 || !self.footer.is_ours {
            return Ok(None);
        }
        let cached = self.cache.get([self.dictionary_key(row_group, column)]);
        if let [Some(Cached::Dictionary(values))] = cached {
            return Ok(Some(values));
        }
        let range = cover.chunk.start..cover.chunk.start + n_bytes;
        let fetched = [self.objects.get_range(&self.path, range)?];
        meter.add(n_bytes, 1);
        cover.dictionary_at = Some(BytesAt::default());
        with_scratch(|scratch| self.load_dictionary(cover, &fetched, Keep::All, scratch))
            .map_err(|damage| self.in_column(row_group, column, damage))?;
        Ok(cover.dictionary.take())
    }
}
