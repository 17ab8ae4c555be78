//! Pages to columns: of each page, the rows asked for.
//!
//! In: a cover with its bytes fetched. Out: a [`Column`] that has the rows and no others. A
//! dictionary is decoded once and kept where the caller says so.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::cache::Cached;
use super::cover::{Cover, page_rows, slice};
use super::damage::{Damage, damaged};
use super::page::{PageEncoding, PageHeader, Scratch};
use super::present::Present;
use super::runs;
use super::values::{Expected, PageValues, ValuesBuilder};
use super::{FileReader, Keep, Required};
use crate::column::Column;

/// The bytes of a dictionary that is kept by [`Keep::Small`].
const SMALL_DICTIONARY_BYTES: usize = 64 << 10;

/// Walks through the rows asked for, page by page.
struct Selection<'a> {
    rows: &'a [Range<u32>],
    /// How many rows were asked for before the first of `rows`.
    n_before: u32,
}

impl FileReader {
    pub(super) fn load_dictionary(
        &self,
        cover: &mut Cover,
        fetched: &[Bytes],
        keep: Keep,
        scratch: &mut Scratch,
    ) -> Result<(), Damage> {
        let Some(at) = cover.dictionary_at else { return Ok(()) };
        let bytes = slice(fetched, at, cover.chunk.dictionary_bytes as usize)?;
        let (header, body) = PageHeader::parse(bytes)?;
        let n_values = header.n_values;
        let Scratch { inflater, codes, .. } = scratch;
        let bytes = header.open_dictionary(body, cover.chunk.codec, inflater)?;
        let expected = Expected { n_values, n_pages: 1 };
        let mut values = ValuesBuilder::new(self.footer.columns[cover.column].kind, expected);
        let page = PageValues { encoding: PageEncoding::Plain, bytes, dictionary: None };
        values.append(page, std::slice::from_ref(&(0..n_values)), codes)?;
        let n_bytes = bytes.len() + n_values * size_of::<u32>();
        let values = Arc::new(values.finish()?);
        let is_kept = match keep {
            Keep::All => true,
            Keep::Small => n_bytes <= SMALL_DICTIONARY_BYTES,
            Keep::Nothing => false,
        };
        if is_kept {
            let key = self.dictionary_key(cover.row_group, cover.column);
            self.cache.insert(key, Cached::Dictionary(Arc::clone(&values)), n_bytes);
        }
        cover.dictionary = Some(values);
        Ok(())
    }

    pub(super) fn decode(
        &self,
        cover: &Cover,
        fetched: &[Bytes],
        rows: &[Range<u32>],
        required: Option<&Required<'_>>,
        scratch: &mut Scratch,
    ) -> Result<Column, Damage> {
        let column = &self.footer.columns[cover.column];
        let group = &self.footer.row_groups[cover.row_group];
        let first_rows = &group.first_rows[usize::from(cover.chunk.first_rows)];
        let Scratch { inflater, codes, asked, selected } = scratch;
        let mut selection = Selection { rows, n_before: 0 };
        let mut present = Present::default();
        let n_rows: u32 = rows.iter().map(|range| range.end - range.start).sum();
        let expected = Expected {
            n_values: if column.is_optional { 0 } else { n_rows as usize },
            n_pages: cover.runs.iter().map(|run| run.pages.len()).sum(),
        };
        let mut values = ValuesBuilder::new(column.kind, expected);
        let pages =
            cover.runs.iter().flat_map(|run| run.pages.clone().map(move |page| (run, page)));
        for (run, number) in pages {
            let page_rows = page_rows(first_rows, number, group.n_rows);
            let first_row = selection.enter(&page_rows, asked);
            let (header, body) = PageHeader::parse(self.page_bytes(cover, run, number, fetched)?)?;
            if header.n_values != page_rows.len() {
                let n_values = header.n_values;
                return damaged(format!("a page of {n_values} values for rows {page_rows:?}"));
            }
            let page = header.open_data(body, cover.chunk.codec, column.is_optional, inflater)?;
            // Rows of an optional column that are passed over are rows without a value.
            if let Some(required) = required
                && page.encoding == PageEncoding::Plain
                && column.is_optional
                && required.literal.find(page.values).is_none()
            {
                continue;
            }
            let ranges = match page.levels {
                Some(levels) => {
                    selected.clear();
                    runs::select(levels, asked, first_row, &mut present, selected)?;
                    &selected[..]
                }
                None => &asked[..],
            };
            let dictionary = cover.dictionary.as_ref();
            let page = PageValues { encoding: page.encoding, bytes: page.values, dictionary };
            values.append(page, ranges, codes)?;
        }
        let rows = if column.is_optional { present.finish(n_rows) } else { None };
        Ok(Column { rows, values: values.finish()? })
    }
}

impl Selection<'_> {
    /// Puts what was asked for of a page into `asked`, counted from its first row, and returns the
    /// row of the answer that comes first. Pages come in order.
    fn enter(&mut self, page_rows: &Range<u32>, asked: &mut Vec<Range<usize>>) -> u32 {
        while let Some((first, rest)) = self.rows.split_first()
            && first.end <= page_rows.start
        {
            self.n_before += first.end - first.start;
            self.rows = rest;
        }
        asked.clear();
        for range in self.rows.iter().take_while(|range| range.start < page_rows.end) {
            let start = range.start.max(page_rows.start) - page_rows.start;
            let end = range.end.min(page_rows.end) - page_rows.start;
            asked.push(start as usize..end as usize);
        }
        let n_skipped =
            self.rows.first().map_or(0, |first| page_rows.start.saturating_sub(first.start));
        self.n_before + n_skipped
    }
}
