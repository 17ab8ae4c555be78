//! Reads rows of columns out of a Parquet file.
//!
//! In: a file of flat columns with a page index, on an object store. Out: [`Column`]s of the rows
//! asked for, read from the pages that cover them. Never here: what a column means, and trust:
//! files may be damaged or hostile, and every length is held against the bytes that are there.
//!
//! The stock reader costs 50 microseconds for each column of a trace (a context of zstd for each
//! column chunk, dictionaries decoded whole each time, `design.md 5`); this one shares contexts and
//! buffers within a thread, keeps dictionaries, and fetches all pages by one call.

mod cache;
mod damage;
mod find;
mod footer;
mod index;
mod page;
mod present;
mod runs;
mod schema;
mod size;
mod thrift;
mod values;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use suyuan_objects::{ObjectError, Objects};

pub use self::cache::ReadCache;
use self::cache::{Cached, Key, Part};
use self::damage::{Damage, damaged};
use self::footer::{Chunk, Footer};
pub use self::index::MinMax;
use self::page::{PageHeader, Scratch, with_scratch};
use self::present::Present;
pub use self::schema::FileColumn;
pub use self::size::StoredSize;
use self::values::{PageValues, ValuesBuilder};
use crate::column::{Column, Values};

/// The end of a file that is fetched first: so many bytes hold the footer and the page index of a
/// file of this length, as a rule.
const TAIL_SHARE: u64 = 64;
const TAIL_BYTES_MIN: u64 = 32 << 10;
const TAIL_BYTES_MAX: u64 = 1 << 20;
/// Footer and page index; a hundred times what a full block has.
const METADATA_BYTES_MAX: u64 = 64 << 20;
/// What a reader keeps that has no cache in common with others.
const OWN_CACHE_BYTES: usize = 1 << 20;
/// The length of the footer and the magic number behind it.
const FILE_END_BYTES: u64 = 8;
const MAGIC: &[u8; 4] = b"PAR1";

/// An open file: where its pages lie, and nothing of what is in them. Shared by `Arc`.
pub struct FileReader {
    objects: Arc<dyn Objects>,
    path: String,
    footer: Footer,
    /// Numbers of the columns, by name.
    by_name: Vec<u32>,
    /// Of the columns of ids, so that a trace is found without asking the store.
    id_bounds: Vec<find::IdBounds>,
    cache: Arc<ReadCache>,
    number: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store did not answer: the file may be whole.
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("{path} is not a Parquet file that can be read here: {what}")]
    File { path: String, what: Cow<'static, str> },
    #[error("{path}: column `{column}` of row group {row_group} is damaged: {what}")]
    Column { path: String, column: String, row_group: usize, what: Cow<'static, str> },
    /// A mistake of the caller, or a meta that belongs to another file.
    #[error("{path} has no {what}")]
    Absent { path: String, what: String },
}

/// A page of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageBounds {
    pub rows: Range<u32>,
    /// No row has a value.
    pub is_null: bool,
    /// `None` if there is no value, or if the file does not say.
    pub min_max: Option<MinMax>,
}

/// Which pages of a chunk cover the rows asked for, and where their bytes were put.
struct Cover {
    row_group: usize,
    column: usize,
    chunk: Chunk,
    pages: Range<usize>,
    /// In the answer of the store, with the offset there.
    pages_at: Option<(usize, usize)>,
    dictionary_at: Option<(usize, usize)>,
    dictionary: Option<Arc<Values>>,
}

impl FileReader {
    /// Reads footer and page index of a file of `bytes` bytes, by two range reads at most as long as
    /// the file is one of ours. Keeps dictionaries for itself.
    pub fn open(objects: Arc<dyn Objects>, path: &str, bytes: u64) -> Result<Self, ReadError> {
        Self::open_with(objects, path, bytes, Arc::new(ReadCache::new(OWN_CACHE_BYTES)))
    }

    /// As [`open`](Self::open), with a cache that other readers share.
    pub fn open_with(
        objects: Arc<dyn Objects>,
        path: &str,
        bytes: u64,
        cache: Arc<ReadCache>,
    ) -> Result<Self, ReadError> {
        let of_file = |damage: Damage| ReadError::File { path: path.to_owned(), what: damage.0 };
        let (tail, footer_range) = read_tail(&*objects, path, bytes)?;
        let footer_bytes = tail.slice(&footer_range).expect("the tail begins before the footer");
        let draft = Footer::parse(footer_bytes).map_err(of_file)?;
        let tail = match draft.index_range() {
            Some(range) => tail.reaching(&*objects, path, range, footer_range.start)?,
            None => tail,
        };
        let names: Vec<String> = draft.column_names();
        let footer = draft.finish(&tail.bytes, tail.start, footer_range.start).map_err(
            |(chunk, damage)| ReadError::Column {
                path: path.to_owned(),
                column: names[chunk % names.len()].clone(),
                row_group: chunk / names.len(),
                what: damage.0,
            },
        )?;
        let mut by_name: Vec<u32> = (0..footer.columns.len() as u32).collect();
        by_name.sort_by_key(|column| &footer.columns[*column as usize].name);
        let id_bounds = find::id_bounds(&footer, |range| tail.slice(range));
        let number = cache.reader_number();
        let path = path.to_owned();
        Ok(Self { objects, path, footer, by_name, id_bounds, cache, number })
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn columns(&self) -> &[FileColumn] {
        &self.footer.columns
    }

    /// The number of the column of this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        let name_of = |column: &u32| self.footer.columns[*column as usize].name.as_str();
        let place = self.by_name.binary_search_by(|column| name_of(column).cmp(name)).ok()?;
        Some(self.by_name[place] as usize)
    }

    pub fn n_row_groups(&self) -> usize {
        self.footer.row_groups.len()
    }

    /// Of a row group; 0 if there is none of this number.
    pub fn n_rows(&self, row_group: usize) -> u32 {
        self.footer.row_groups.get(row_group).map_or(0, |row_group| row_group.n_rows)
    }

    pub fn n_rows_total(&self) -> u64 {
        self.footer.row_groups.iter().map(|row_group| u64::from(row_group.n_rows)).sum()
    }

    /// What the writer said under this key.
    pub fn key_value(&self, key: &str) -> Option<&str> {
        let pair = self.footer.key_values.iter().find(|pair| pair.0 == key)?;
        Some(&pair.1)
    }

    /// Whether a column has no value in a row group, as far as the footer says.
    pub fn is_null(&self, row_group: usize, column: usize) -> bool {
        let is_known = row_group < self.n_row_groups() && column < self.columns().len();
        is_known && self.footer.chunks[self.footer.chunk_number(row_group, column)].is_null
    }

    /// The rows `rows` of a row group, counted from 0 in the answer, in the order of `columns`. An
    /// optional column in which every row has a value comes without row numbers.
    pub fn read(
        &self,
        row_group: usize,
        rows: Range<u32>,
        columns: &[usize],
    ) -> Result<Vec<Column>, ReadError> {
        let mut covers = self.cover(row_group, &rows, columns)?;
        self.take_cached(&mut covers);
        let fetched = self.fetch(&mut covers)?;
        // Reading all of a row group is done once: it shall not push out what lookups need.
        let keeps = u64::from(rows.end - rows.start) * 4 < u64::from(self.n_rows(row_group));
        with_scratch(|scratch| {
            covers
                .into_iter()
                .map(|mut cover| {
                    self.load_dictionary(&mut cover, &fetched, keeps, scratch)
                        .and_then(|()| self.decode(&cover, &fetched, &rows, scratch))
                        .map_err(|damage| self.in_column(row_group, cover.column, damage))
                })
                .collect()
        })
    }

    fn cover(
        &self,
        row_group: usize,
        rows: &Range<u32>,
        columns: &[usize],
    ) -> Result<Vec<Cover>, ReadError> {
        let absent = |what| ReadError::Absent { path: self.path.clone(), what };
        let Some(group) = self.footer.row_groups.get(row_group) else {
            return Err(absent(format!("row group {row_group}")));
        };
        if rows.start > rows.end || rows.end > group.n_rows {
            return Err(absent(format!("rows {rows:?} in row group {row_group}")));
        }
        columns
            .iter()
            .map(|&column| {
                if column >= self.footer.columns.len() {
                    return Err(absent(format!("column {column}")));
                }
                let chunk = self.footer.chunks[self.footer.chunk_number(row_group, column)];
                let first_rows = &group.first_rows[usize::from(chunk.first_rows)];
                let pages = match rows.is_empty() || chunk.is_null {
                    true => 0..0,
                    false => pages_of(first_rows, rows),
                };
                let is_optional = self.footer.columns[column].is_optional;
                let pages = if is_optional { without_nulls(&chunk, pages) } else { pages };
                Ok(Cover {
                    row_group,
                    column,
                    chunk,
                    pages,
                    pages_at: None,
                    dictionary_at: None,
                    dictionary: None,
                })
            })
            .collect()
    }

    fn dictionary_key(&self, cover: &Cover) -> Key {
        let chunk = self.footer.chunk_number(cover.row_group, cover.column) as u32;
        Key { reader: self.number, chunk, part: Part::Dictionary }
    }

    fn take_cached(&self, covers: &mut [Cover]) {
        let needy = || |cover: &&Cover| cover.needs_dictionary();
        let keys = covers.iter().filter(needy()).map(|cover| self.dictionary_key(cover));
        let cached = self.cache.get_all(keys);
        let needy = covers.iter_mut().filter(|cover| cover.needs_dictionary());
        for (cover, cached) in needy.zip(cached) {
            if let Some(Cached::Dictionary(values)) = cached {
                cover.dictionary = Some(values);
            }
        }
    }

    /// Fetches what the covers name by one call. Ranges that touch become one.
    fn fetch(&self, covers: &mut [Cover]) -> Result<Vec<Bytes>, ReadError> {
        let mut ranges: Vec<Range<u64>> = Vec::with_capacity(covers.len() * 2);
        let mut place = |range: Range<u64>| {
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range.clone()),
            }
            let number = ranges.len() - 1;
            (number, (range.start - ranges[number].start) as usize)
        };
        for cover in covers {
            if cover.pages.is_empty() {
                continue;
            }
            let chunk = cover.chunk;
            if cover.dictionary.is_none() && chunk.dictionary_bytes > 0 {
                let end = chunk.start + u64::from(chunk.dictionary_bytes);
                cover.dictionary_at = Some(place(chunk.start..end));
            }
            let start = self.footer.page_range(&chunk, cover.pages.start).start;
            let end = self.footer.page_range(&chunk, cover.pages.end - 1).end;
            cover.pages_at = Some(place(start..end));
        }
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.objects.get_ranges(&self.path, &ranges)?)
    }

    fn load_dictionary(
        &self,
        cover: &mut Cover,
        fetched: &[Bytes],
        keeps: bool,
        scratch: &mut Scratch,
    ) -> Result<(), Damage> {
        let Some(place) = cover.dictionary_at else { return Ok(()) };
        let bytes = slice(fetched, place, cover.chunk.dictionary_bytes as usize)?;
        let (header, body) = PageHeader::parse(bytes)?;
        let n_values = header.n_values;
        let Scratch { inflater, codes } = scratch;
        let bytes = header.open_dictionary(body, cover.chunk.codec, inflater)?;
        let mut values = ValuesBuilder::new(self.footer.columns[cover.column].kind);
        let page = PageValues { encoding: page::PageEncoding::Plain, bytes, dictionary: None };
        values.append(page, 0..n_values, codes)?;
        let n_bytes = bytes.len() + n_values * size_of::<u32>();
        let values = Arc::new(values.finish()?);
        if keeps {
            let cached = Cached::Dictionary(Arc::clone(&values));
            self.cache.insert(self.dictionary_key(cover), cached, n_bytes);
        }
        cover.dictionary = Some(values);
        Ok(())
    }

    fn decode(
        &self,
        cover: &Cover,
        fetched: &[Bytes],
        rows: &Range<u32>,
        scratch: &mut Scratch,
    ) -> Result<Column, Damage> {
        let column = &self.footer.columns[cover.column];
        let group = &self.footer.row_groups[cover.row_group];
        let first_rows = &group.first_rows[usize::from(cover.chunk.first_rows)];
        let mut present = Present::default();
        let mut values = ValuesBuilder::new(column.kind);
        for number in cover.pages.clone() {
            let page_rows = page_rows(first_rows, number, group.n_rows);
            let asked = page_rows.start.max(rows.start)..page_rows.end.min(rows.end);
            let in_page =
                (asked.start - page_rows.start) as usize..(asked.end - page_rows.start) as usize;
            let (header, body) = PageHeader::parse(self.page_bytes(cover, number, fetched)?)?;
            if header.n_values != page_rows.len() {
                let n_values = header.n_values;
                return damaged(format!("a page of {n_values} values for rows {page_rows:?}"));
            }
            let Scratch { inflater, codes } = scratch;
            let page = header.open_data(body, cover.chunk.codec, column.is_optional, inflater)?;
            let range = match page.levels {
                Some(levels) => {
                    runs::select(levels, in_page, asked.start - rows.start, &mut present)?
                }
                None => in_page,
            };
            let dictionary = cover.dictionary.as_ref();
            let page = PageValues { encoding: page.encoding, bytes: page.values, dictionary };
            values.append(page, range, codes)?;
        }
        let rows = if column.is_optional { present.finish(rows.len() as u32) } else { None };
        Ok(Column { rows, values: values.finish()? })
    }

    fn page_bytes<'a>(
        &self,
        cover: &Cover,
        number: usize,
        fetched: &'a [Bytes],
    ) -> Result<&'a [u8], Damage> {
        let Some((range, offset)) = cover.pages_at else { return damaged("no page was fetched") };
        let first = self.footer.page_range(&cover.chunk, cover.pages.start);
        let page = self.footer.page_range(&cover.chunk, number);
        let offset = offset + (page.start - first.start) as usize;
        slice(fetched, (range, offset), (page.end - page.start) as usize)
    }

    fn in_column(&self, row_group: usize, column: usize, damage: Damage) -> ReadError {
        ReadError::Column {
            path: self.path.clone(),
            column: self.footer.columns[column].name.clone(),
            row_group,
            what: damage.0,
        }
    }
}

impl Drop for FileReader {
    fn drop(&mut self) {
        self.cache.forget(self.number);
    }
}

impl Cover {
    fn needs_dictionary(&self) -> bool {
        self.chunk.dictionary_bytes > 0 && !self.pages.is_empty()
    }
}

/// Bytes of what was fetched.
fn slice(fetched: &[Bytes], place: (usize, usize), len: usize) -> Result<&[u8], Damage> {
    let bytes = fetched.get(place.0).and_then(|bytes| bytes.get(place.1..place.1 + len));
    bytes.ok_or_else(|| "the store gave fewer bytes than asked".into())
}

/// The pages that cover `rows`, which are not empty.
fn pages_of(first_rows: &[u32], rows: &Range<u32>) -> Range<usize> {
    let first = first_rows.partition_point(|first_row| *first_row <= rows.start).saturating_sub(1);
    first..first_rows.partition_point(|first_row| *first_row < rows.end)
}

fn page_rows(first_rows: &[u32], page: usize, n_rows: u32) -> Range<u32> {
    first_rows[page]..first_rows.get(page + 1).copied().unwrap_or(n_rows)
}

/// Without the pages at either end that have no value.
fn without_nulls(chunk: &Chunk, pages: Range<usize>) -> Range<usize> {
    let is_null = |page: &usize| *page < 64 && chunk.null_pages >> page & 1 == 1;
    let first = pages.clone().find(|page| !is_null(page));
    let last = pages.clone().rev().find(|page| !is_null(page));
    match (first, last) {
        (Some(first), Some(last)) => first..last + 1,
        _ => 0..0,
    }
}

/// The end of a file.
struct Tail {
    start: u64,
    bytes: Bytes,
}

impl Tail {
    fn slice(&self, range: &Range<u64>) -> Option<&[u8]> {
        let start = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        self.bytes.get(start..end)
    }

    /// With what lies before it down to the start of `range`, which ends before `end`.
    fn reaching(
        self,
        objects: &dyn Objects,
        path: &str,
        range: Range<u64>,
        end: u64,
    ) -> Result<Self, ReadError> {
        if range.end > end || end - range.start > METADATA_BYTES_MAX {
            let what = Cow::Owned(format!("a page index at {range:?}, the footer at {end}"));
            return Err(ReadError::File { path: path.to_owned(), what });
        }
        if range.start >= self.start {
            return Ok(self);
        }
        let before = objects.get_range(path, range.start..self.start)?;
        let bytes = [&before[..], &self.bytes[..]].concat().into();
        Ok(Self { start: range.start, bytes })
    }
}

/// Fetches the end of the file, the footer at least; returns where the footer lies.
fn read_tail(
    objects: &dyn Objects,
    path: &str,
    bytes: u64,
) -> Result<(Tail, Range<u64>), ReadError> {
    let damaged = |what| ReadError::File { path: path.to_owned(), what };
    if bytes < FILE_END_BYTES + MAGIC.len() as u64 {
        return Err(damaged(format!("{bytes} bytes are too few").into()));
    }
    let likely = (bytes / TAIL_SHARE).clamp(TAIL_BYTES_MIN, TAIL_BYTES_MAX);
    let start = bytes.saturating_sub(likely);
    let tail = Tail { start, bytes: objects.get_range(path, start..bytes)? };
    let Some((_, end)) = tail.bytes.split_last_chunk::<8>() else {
        return Err(damaged("the store gave fewer bytes than asked".into()));
    };
    let [a, b, c, d, magic @ ..] = *end;
    if magic != *MAGIC {
        return Err(damaged("it does not end as one".into()));
    }
    let footer_bytes = u64::from(u32::from_le_bytes([a, b, c, d]));
    let footer_end = bytes - FILE_END_BYTES;
    let Some(footer_start) = footer_end.checked_sub(footer_bytes) else {
        return Err(damaged("its footer is longer than itself".into()));
    };
    if footer_bytes > METADATA_BYTES_MAX {
        return Err(damaged(format!("a footer of {footer_bytes} bytes").into()));
    }
    // The page index stands before the footer and takes about as much.
    let reach = footer_start.saturating_sub(footer_bytes * 2);
    let tail = match footer_start < start {
        true => tail.reaching(objects, path, reach..footer_start, footer_start)?,
        false => tail,
    };
    if tail.bytes.len() as u64 != bytes - tail.start {
        return Err(damaged("the store gave fewer bytes than asked".into()));
    }
    Ok((tail, footer_start..footer_end))
}
