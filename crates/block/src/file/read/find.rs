//! Which rows an id has: by the bounds of pages first, then in the pages that may hold it; and
//! whether a value may be there at all, by bloom filter.

use std::ops::Range;
use std::sync::Arc;

use parquet::bloom_filter::Sbbf;
use suyuan_objects::ReadMeter;

use super::cache::{Cached, Key, Part};
use super::cover::{Cover, PageRun, page_rows, pages_of};
use super::damage::{Damage, damaged};
use super::footer::{Bloom, Chunk, Footer};
use super::index::{self, MinMax};
use super::page::{PageEncoding, PageHeader, with_scratch};
use super::{FileReader, PageBounds, ReadError};
use crate::column::{Kind, Values};

/// Bytes of a header of a bloom filter, and of the filter: what the format allows.
const BLOOM_BYTES_MAX: u32 = 128 << 20;
/// Fetched where the footer does not say how long a filter is.
const BLOOM_HEADER_BYTES: u64 = 64;

/// The smallest and the greatest id of every page of a chunk, as far as the file says.
pub(super) struct IdBounds {
    chunk: u32,
    pages: Box<[Option<IdRange>]>,
}

type IdRange = ([u8; 16], [u8; 16]);

pub(super) fn id_bounds<'a>(
    footer: &Footer,
    bytes_at: impl Fn(&Range<u64>) -> Option<&'a [u8]>,
) -> Vec<IdBounds> {
    let n_columns = footer.columns.len();
    let of_chunk = |(number, chunk): (usize, &Chunk)| {
        if footer.columns[number % n_columns].kind != Kind::Id || chunk.column_index_bytes == 0 {
            return None;
        }
        // Bounds that cannot be read narrow nothing: the pages themselves decide.
        let bounds = index::parse_bounds(bytes_at(&chunk.column_index_range())?).ok()?;
        let pages = bounds.into_iter().map(|page| {
            let MinMax { min, max } = page?;
            Some(((*min).try_into().ok()?, (*max).try_into().ok()?))
        });
        Some(IdBounds { chunk: number as u32, pages: pages.collect() })
    };
    footer.chunks.iter().enumerate().filter_map(of_chunk).collect()
}

impl FileReader {
    /// The rows of `rows` that hold `id` in a required column of ids, which ascend within `rows`. A
    /// trace may run over several pages. Reads the pages that may hold it, and no other.
    pub fn find_id(
        &self,
        row_group: usize,
        column: usize,
        rows: Range<u32>,
        id: &[u8; 16],
    ) -> Result<Option<Range<u32>>, ReadError> {
        let is_ids = self.columns().get(column).is_some_and(|column| column.kind == Kind::Id);
        if !is_ids {
            let what = format!("column {column} of ids");
            return Err(ReadError::Absent { path: self.path.clone(), what });
        }
        let mut covers = self.cover(row_group, std::slice::from_ref(&rows), &[column])?;
        let Some(cover) = covers.first_mut() else { return Ok(None) };
        let group = &self.footer.row_groups[row_group];
        let first_rows = &group.first_rows[usize::from(cover.chunk.first_rows)];
        let (Some(first), Some(last)) = (cover.runs.first(), cover.runs.last()) else {
            return Ok(None);
        };
        let pages = first.pages.start..last.pages.end;
        let pages = self.pages_with_id(row_group, column, pages, id);
        if pages.is_empty() {
            return Ok(None);
        }
        cover.runs = vec![PageRun::new(pages.clone())];
        let covered = page_rows(first_rows, pages.start, group.n_rows).start
            ..page_rows(first_rows, pages.end - 1, group.n_rows).end;
        let asked = covered.start.max(rows.start)..covered.end.min(rows.end);
        let fetched = self.fetch(&mut covers, &ReadMeter::default())?;
        let found = self.find_in_plain(&covers[0], &fetched, &asked, id);
        match found.map_err(|damage| self.in_column(row_group, column, damage))? {
            Some(found) => Ok((!found.is_empty()).then_some(found)),
            None => self.find_in_column(row_group, column, asked, id),
        }
    }

    /// The rows of `rows` in pages of ids some of which may lie between two, both included.
    pub(crate) fn rows_between_ids(
        &self,
        row_group: usize,
        column: usize,
        rows: &Range<u32>,
        ids: (&[u8; 16], &[u8; 16]),
    ) -> Result<Range<u32>, ReadError> {
        let covers = self.cover(row_group, std::slice::from_ref(rows), &[column])?;
        let Some(cover) = covers.first().filter(|_| !rows.is_empty()) else { return Ok(0..0) };
        let group = &self.footer.row_groups[row_group];
        let first_rows = &group.first_rows[usize::from(cover.chunk.first_rows)];
        let pages = self.pages_between(row_group, column, pages_of(first_rows, rows), ids);
        if pages.is_empty() {
            return Ok(0..0);
        }
        let start = page_rows(first_rows, pages.start, group.n_rows).start;
        let end = page_rows(first_rows, pages.end - 1, group.n_rows).end;
        Ok(start.max(rows.start)..end.min(rows.end))
    }

    /// From the first page that may hold the id to the last one. The first and the last page of
    /// `pages` may hold rows of another tenant: only their bounds may be wider than ours.
    fn pages_with_id(
        &self,
        row_group: usize,
        column: usize,
        pages: Range<usize>,
        id: &[u8; 16],
    ) -> Range<usize> {
        self.pages_between(row_group, column, pages, (id, id))
    }

    fn pages_between(
        &self,
        row_group: usize,
        column: usize,
        pages: Range<usize>,
        (first_id, last_id): (&[u8; 16], &[u8; 16]),
    ) -> Range<usize> {
        let chunk = self.footer.chunk_number(row_group, column) as u32;
        let bounds = self.id_bounds.binary_search_by_key(&chunk, |bounds| bounds.chunk);
        let Ok(bounds) = bounds.map(|place| &self.id_bounds[place].pages) else { return pages };
        let may_hold = |page: &usize| match bounds.get(*page) {
            Some(Some((min, max))) => min <= last_id && first_id <= max,
            _ => true,
        };
        let first = pages.clone().find(may_hold);
        let last = pages.clone().rev().find(may_hold);
        match (first, last) {
            (Some(first), Some(last)) => first..last + 1,
            _ => 0..0,
        }
    }

    /// Searches plain pages where they lie; `None` if there is a page that is not plain. An empty
    /// range says that no row has the id.
    fn find_in_plain(
        &self,
        cover: &Cover,
        fetched: &[bytes::Bytes],
        rows: &Range<u32>,
        id: &[u8; 16],
    ) -> Result<Option<Range<u32>>, Damage> {
        if self.columns()[cover.column].is_optional {
            return Ok(None);
        }
        let group = &self.footer.row_groups[cover.row_group];
        let first_rows = &group.first_rows[usize::from(cover.chunk.first_rows)];
        let mut found = 0..0;
        let pages =
            cover.runs.iter().flat_map(|run| run.pages.clone().map(move |page| (run, page)));
        for (run, number) in pages {
            let page_rows = page_rows(first_rows, number, group.n_rows);
            let asked = page_rows.start.max(rows.start)..page_rows.end.min(rows.end);
            let (header, body) = PageHeader::parse(self.page_bytes(cover, run, number, fetched)?)?;
            let in_page = with_scratch(|scratch| {
                let page =
                    header.open_data(body, cover.chunk.codec, false, &mut scratch.inflater)?;
                if page.encoding != PageEncoding::Plain {
                    return Ok(None);
                }
                let (ids, rest) = page.values.as_chunks::<16>();
                if ids.len() != page_rows.len() || !rest.is_empty() {
                    return damaged("a page of ids of another length");
                }
                let start = (asked.start - page_rows.start) as usize;
                let ids = &ids[start..(asked.end - page_rows.start) as usize];
                Ok(Some(places_of(ids, |stored| stored.cmp(id))))
            })?;
            let Some(in_page) = in_page else { return Ok(None) };
            if in_page.is_empty() {
                continue;
            }
            let rows = asked.start + in_page.start as u32..asked.start + in_page.end as u32;
            let start = if found.is_empty() { rows.start } else { found.start };
            found = start..rows.end;
        }
        Ok(Some(found))
    }

    /// Ids that lie in any other way.
    fn find_in_column(
        &self,
        row_group: usize,
        column: usize,
        rows: Range<u32>,
        id: &[u8; 16],
    ) -> Result<Option<Range<u32>>, ReadError> {
        let read = self.read(row_group, rows.clone(), &[column])?;
        let Some((None, Values::Id(ids))) = read.first().map(|read| (&read.rows, &read.values))
        else {
            return Ok(None);
        };
        let (ids, _) = ids.value_data().as_chunks::<16>();
        let places = places_of(ids, |stored| stored.cmp(id));
        let found = rows.start + places.start as u32..rows.start + places.end as u32;
        Ok((!found.is_empty()).then_some(found))
    }

    /// The pages of a column with their bounds, for those who skip pages. The bounds are fetched
    /// once and kept while there is room.
    pub fn page_bounds(
        &self,
        row_group: usize,
        column: usize,
        meter: &ReadMeter,
    ) -> Result<Vec<PageBounds>, ReadError> {
        self.cover(row_group, &[], &[column])?;
        let chunk = self.footer.chunks[self.footer.chunk_number(row_group, column)];
        let group = &self.footer.row_groups[row_group];
        let bounds = self.stored_bounds(row_group, column, &chunk, meter)?;
        let first_rows = &group.first_rows[usize::from(chunk.first_rows)];
        if !bounds.is_empty() && bounds.len() != first_rows.len() {
            let damage = "a column index of another number of pages".into();
            return Err(self.in_column(row_group, column, damage));
        }
        let rows = 0..group.n_rows;
        let pages = if rows.is_empty() { 0..0 } else { pages_of(first_rows, &rows) };
        Ok(pages
            .map(|page| PageBounds {
                rows: page_rows(first_rows, page, group.n_rows),
                is_null: bounds.get(page).is_some_and(Option::is_none),
                min_max: bounds.get(page).cloned().flatten(),
            })
            .collect())
    }

    /// The bounds of every page; none if the file does not say any.
    pub(super) fn stored_bounds(
        &self,
        row_group: usize,
        column: usize,
        chunk: &Chunk,
        meter: &ReadMeter,
    ) -> Result<Arc<[Option<MinMax>]>, ReadError> {
        if chunk.column_index_bytes == 0 {
            return Ok(Arc::default());
        }
        let number = self.footer.chunk_number(row_group, column) as u32;
        let key = Key { reader: self.number, chunk: number, part: Part::Bounds };
        if let [Some(Cached::Bounds(bounds))] = self.cache.get([key]) {
            return Ok(bounds);
        }
        let bytes = self.objects.get_range(&self.path, chunk.column_index_range())?;
        meter.add(bytes.len() as u64, 1);
        let bounds = index::parse_bounds(&bytes);
        let bounds: Arc<[_]> =
            bounds.map_err(|damage| self.in_column(row_group, column, damage))?.into();
        let n_bytes = bytes.len() + bounds.len() * size_of::<Option<MinMax>>();
        self.cache.insert(key, Cached::Bounds(Arc::clone(&bounds)), n_bytes);
        Ok(bounds)
    }

    /// Whether a row group has a bloom filter of a column.
    pub fn has_bloom(&self, row_group: usize, column: usize) -> bool {
        self.bloom(row_group, column).is_some()
    }

    fn bloom(&self, row_group: usize, column: usize) -> Option<&Bloom> {
        let chunk = self.footer.chunk_number(row_group, column) as u32;
        let place = self.footer.blooms.binary_search_by_key(&chunk, |bloom| bloom.chunk).ok()?;
        Some(&self.footer.blooms[place])
    }

    /// Whether a value, as its plain bytes, may be in a row group's column: true where the column
    /// has no bloom filter. The filter is fetched once and kept while there is room.
    pub fn may_contain(
        &self,
        row_group: usize,
        column: usize,
        value: &[u8],
        meter: &ReadMeter,
    ) -> Result<bool, ReadError> {
        self.cover(row_group, &[], &[column])?;
        let Some(bloom) = self.bloom(row_group, column) else { return Ok(true) };
        let key = Key { reader: self.number, chunk: bloom.chunk, part: Part::Bloom };
        if let [Some(Cached::Bloom(filter))] = self.cache.get([key]) {
            return Ok(filter.check(value));
        }
        let filter = Arc::new(self.read_bloom(bloom, row_group, column, meter)?);
        let n_bytes = filter.num_blocks() * 32;
        self.cache.insert(key, Cached::Bloom(Arc::clone(&filter)), n_bytes);
        Ok(filter.check(value))
    }

    fn read_bloom(
        &self,
        bloom: &Bloom,
        row_group: usize,
        column: usize,
        meter: &ReadMeter,
    ) -> Result<Sbbf, ReadError> {
        let in_column = |damage| self.in_column(row_group, column, damage);
        let n_bytes = match bloom.bytes {
            Some(n_bytes) => n_bytes,
            None => {
                let head = bloom.start..bloom.start.saturating_add(BLOOM_HEADER_BYTES);
                let head = self.objects.get_range(&self.path, head)?;
                index::bloom_bytes(&head).map_err(in_column)?
            }
        };
        if n_bytes > BLOOM_BYTES_MAX {
            return Err(in_column("a bloom filter longer than any".into()));
        }
        let range = bloom.start..bloom.start.saturating_add(u64::from(n_bytes));
        let bytes = self.objects.get_range(&self.path, range)?;
        meter.add(bytes.len() as u64, 1);
        match Sbbf::from_bytes(&bytes) {
            Ok(filter) if filter.num_blocks() > 0 => Ok(filter),
            Ok(_) => Err(in_column("a bloom filter of no bytes".into())),
            Err(error) => Err(in_column(format!("its bloom filter: {error}").into())),
        }
    }
}

/// The places of a value among ascending ones.
fn places_of<T>(values: &[T], order: impl Fn(&T) -> std::cmp::Ordering) -> Range<usize> {
    let start = values.partition_point(|value| order(value).is_lt());
    start..start + values[start..].partition_point(|value| order(value).is_eq())
}
