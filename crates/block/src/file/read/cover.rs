//! Which pages hold the rows asked for, and where their bytes were put.
//!
//! In: rows of a row group, and columns. Out: pages, fetched by one call. Nothing is decoded here.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use suyuan_objects::ReadMeter;

use super::cache::{Cached, Key, Part};
use super::damage::{Damage, damaged};
use super::footer::Chunk;
use super::{FileReader, ReadError};
use crate::column::Values;

/// So many bytes between two ranges are read with them rather than asked for apart.
const GAP_BYTES_MAX: u64 = 4 << 10;

/// Which pages of a chunk cover the rows asked for.
pub(super) struct Cover {
    pub(super) row_group: usize,
    pub(super) column: usize,
    pub(super) chunk: Chunk,
    /// Ascending, apart.
    pub(super) runs: Vec<PageRun>,
    pub(super) dictionary_at: Option<BytesAt>,
    pub(super) dictionary: Option<Arc<Values>>,
}

/// Pages that follow each other.
pub(super) struct PageRun {
    pub(super) pages: Range<usize>,
    at: BytesAt,
}

/// Which range of the store's answer, and the offset there.
#[derive(Clone, Copy, Default)]
pub(super) struct BytesAt {
    range: usize,
    offset: usize,
}

impl FileReader {
    pub(super) fn cover(
        &self,
        row_group: usize,
        rows: &[Range<u32>],
        columns: &[usize],
    ) -> Result<Vec<Cover>, ReadError> {
        let absent = |what| ReadError::Absent { path: self.path.clone(), what };
        let Some(group) = self.footer.row_groups.get(row_group) else {
            return Err(absent(format!("row group {row_group}")));
        };
        let mut end = 0;
        for range in rows {
            if range.start < end || range.start > range.end || range.end > group.n_rows {
                return Err(absent(format!("rows {range:?} in row group {row_group}")));
            }
            end = range.end;
        }
        columns
            .iter()
            .map(|&column| {
                if column >= self.footer.columns.len() {
                    return Err(absent(format!("column {column}")));
                }
                let chunk = self.footer.chunks[self.footer.chunk_number(row_group, column)];
                let first_rows = &group.first_rows[usize::from(chunk.first_rows)];
                let is_optional = self.footer.columns[column].is_optional;
                let null_pages = if is_optional { chunk.null_pages } else { 0 };
                let runs = match chunk.is_null {
                    true => Vec::new(),
                    false => page_runs(first_rows, rows, null_pages),
                };
                Ok(Cover { row_group, column, chunk, runs, dictionary_at: None, dictionary: None })
            })
            .collect()
    }

    pub(super) fn dictionary_key(&self, row_group: usize, column: usize) -> Key {
        let chunk = self.footer.chunk_number(row_group, column) as u32;
        Key { reader: self.number, chunk, part: Part::Dictionary }
    }

    pub(super) fn take_cached(&self, covers: &mut [Cover]) {
        let needy = || |cover: &&Cover| cover.needs_dictionary();
        let key = |cover: &Cover| self.dictionary_key(cover.row_group, cover.column);
        let cached = self.cache.get_all(covers.iter().filter(needy()).map(key));
        let needy = covers.iter_mut().filter(|cover| cover.needs_dictionary());
        for (cover, cached) in needy.zip(cached) {
            if let Some(Cached::Dictionary(values)) = cached {
                cover.dictionary = Some(values);
            }
        }
    }

    /// Fetches what the covers name by one call. Ranges that nearly touch become one.
    pub(super) fn fetch(
        &self,
        covers: &mut [Cover],
        meter: &ReadMeter,
    ) -> Result<Vec<Bytes>, ReadError> {
        let mut ranges: Vec<Range<u64>> = Vec::with_capacity(covers.len() * 2);
        let mut place = |range: Range<u64>| {
            match ranges.last_mut() {
                Some(last)
                    if last.end <= range.start && range.start - last.end <= GAP_BYTES_MAX =>
                {
                    last.end = range.end;
                }
                _ => ranges.push(range.clone()),
            }
            let number = ranges.len() - 1;
            BytesAt { range: number, offset: (range.start - ranges[number].start) as usize }
        };
        for cover in covers {
            let chunk = cover.chunk;
            if cover.needs_dictionary() && cover.dictionary.is_none() {
                let end = chunk.start + u64::from(chunk.dictionary_bytes);
                cover.dictionary_at = Some(place(chunk.start..end));
            }
            for run in &mut cover.runs {
                let start = self.footer.page_range(&chunk, run.pages.start).start;
                let end = self.footer.page_range(&chunk, run.pages.end - 1).end;
                run.at = place(start..end);
            }
        }
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        let fetched = self.objects.get_ranges(&self.path, &ranges)?;
        let n_bytes = ranges.iter().map(|range| range.end - range.start).sum();
        meter.add(n_bytes, ranges.len() as u64);
        Ok(fetched)
    }

    pub(super) fn page_bytes<'a>(
        &self,
        cover: &Cover,
        run: &PageRun,
        number: usize,
        fetched: &'a [Bytes],
    ) -> Result<&'a [u8], Damage> {
        let first = self.footer.page_range(&cover.chunk, run.pages.start);
        let page = self.footer.page_range(&cover.chunk, number);
        let BytesAt { range, offset } = run.at;
        let at = BytesAt { range, offset: offset + (page.start - first.start) as usize };
        slice(fetched, at, (page.end - page.start) as usize)
    }
}

impl Cover {
    fn needs_dictionary(&self) -> bool {
        self.chunk.dictionary_bytes > 0 && !self.runs.is_empty()
    }
}

impl PageRun {
    pub(super) fn new(pages: Range<usize>) -> Self {
        Self { pages, at: BytesAt::default() }
    }
}

/// Bytes of what was fetched.
pub(super) fn slice(fetched: &[Bytes], at: BytesAt, len: usize) -> Result<&[u8], Damage> {
    let bytes = fetched.get(at.range).and_then(|bytes| bytes.get(at.offset..at.offset + len));
    match bytes {
        Some(bytes) => Ok(bytes),
        None => damaged("the store gave fewer bytes than asked"),
    }
}

/// The pages that cover `rows`, without those of the first 64 that have no value.
fn page_runs(first_rows: &[u32], rows: &[Range<u32>], null_pages: u64) -> Vec<PageRun> {
    let is_null = |page: usize| page < 64 && null_pages >> page & 1 == 1;
    let mut runs: Vec<PageRun> = Vec::new();
    for range in rows.iter().filter(|range| !range.is_empty()) {
        for page in pages_of(first_rows, range).filter(|page| !is_null(*page)) {
            match runs.last_mut() {
                // The last rows of one range and the first of the next one may share a page.
                Some(last) if last.pages.end > page => {}
                Some(last) if last.pages.end == page => last.pages.end += 1,
                _ => runs.push(PageRun::new(page..page + 1)),
            }
        }
    }
    runs
}

/// The pages that cover `rows`, which are not empty.
pub(super) fn pages_of(first_rows: &[u32], rows: &Range<u32>) -> Range<usize> {
    let first = first_rows.partition_point(|first_row| *first_row <= rows.start).saturating_sub(1);
    first..first_rows.partition_point(|first_row| *first_row < rows.end)
}

pub(super) fn page_rows(first_rows: &[u32], page: usize, n_rows: u32) -> Range<u32> {
    first_rows[page]..first_rows.get(page + 1).copied().unwrap_or(n_rows)
}
