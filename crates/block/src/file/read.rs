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
mod cover;
mod damage;
mod decode;
mod find;
mod fixed;
mod footer;
mod index;
mod page;
mod present;
mod prune;
mod runs;
mod schema;
mod size;
mod tail;
mod thrift;
mod values;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem::Finder;
use suyuan_objects::{ObjectError, Objects, ReadMeter};

pub use self::cache::ReadCache;
pub(crate) use self::cache::{Key, Part};
use self::damage::Damage;
use self::footer::Footer;
pub use self::index::MinMax;
use self::page::with_scratch;
pub(crate) use self::prune::NumberBounds;
pub use self::schema::FileColumn;
pub use self::size::StoredSize;
use self::tail::read_tail;
use crate::column::Column;

/// What a reader keeps that has no cache in common with others.
const OWN_CACHE_BYTES: usize = 1 << 20;

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

/// What is kept of the dictionaries that a reading had to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of them: the same pages, or those beside them, will be read again.
    All,
    /// Those of some kilobytes, of which many have room.
    Small,
    /// None: reading all of a file is done once, and shall not push out what others need.
    Nothing,
}

/// The bytes that a text or a list of a column must contain to be of use.
pub(crate) struct Required<'a> {
    pub(crate) column: usize,
    pub(crate) literal: Finder<'a>,
}

impl FileReader {
    /// Reads footer and page index of a file of `bytes` bytes, by two range reads at most as long as
    /// the file is one of ours. Keeps dictionaries for itself.
    pub fn open(objects: Arc<dyn Objects>, path: &str, bytes: u64) -> Result<Self, ReadError> {
        let cache = Arc::new(ReadCache::new(OWN_CACHE_BYTES));
        Self::open_with(objects, path, bytes, cache, &ReadMeter::default())
    }

    /// As [`open`](Self::open), with a cache that other readers share.
    pub fn open_with(
        objects: Arc<dyn Objects>,
        path: &str,
        bytes: u64,
        cache: Arc<ReadCache>,
        meter: &ReadMeter,
    ) -> Result<Self, ReadError> {
        let of_file = |damage: Damage| ReadError::File { path: path.to_owned(), what: damage.0 };
        let (tail, footer_range) = read_tail(&*objects, path, bytes, meter)?;
        let footer_bytes = tail.slice(&footer_range).expect("the tail begins before the footer");
        let draft = Footer::parse(footer_bytes).map_err(of_file)?;
        let tail = match draft.index_range() {
            Some(range) => tail.reaching(&*objects, path, range, footer_range.start, meter)?,
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
        let is_lookup = u64::from(rows.len() as u32) * 4 < u64::from(self.n_rows(row_group));
        let keep = if is_lookup { Keep::All } else { Keep::Nothing };
        self.read_rows(row_group, &[rows], columns, keep, &ReadMeter::default())
    }

    /// As [`read`](Self::read), for rows here and there: `rows` ascend and do not overlap, and the
    /// answer counts through them. Reads each page that holds some of them once.
    ///
    /// A column of the answer has as many values as rows, and its row numbers ascend and are those
    /// of rows that were asked for.
    pub fn read_rows(
        &self,
        row_group: usize,
        rows: &[Range<u32>],
        columns: &[usize],
        keep: Keep,
        meter: &ReadMeter,
    ) -> Result<Vec<Column>, ReadError> {
        self.read_rows_with(row_group, rows, columns, &[], keep, meter)
    }

    /// As [`read_rows`](Self::read_rows); of optional columns, values that do not contain what is
    /// required of them may be left out.
    pub(crate) fn read_rows_with(
        &self,
        row_group: usize,
        rows: &[Range<u32>],
        columns: &[usize],
        required: &[Required<'_>],
        keep: Keep,
        meter: &ReadMeter,
    ) -> Result<Vec<Column>, ReadError> {
        let mut covers = self.cover(row_group, rows, columns)?;
        self.take_cached(&mut covers);
        let fetched = self.fetch(&mut covers, meter)?;
        with_scratch(|scratch| {
            covers
                .into_iter()
                .map(|mut cover| {
                    let is_of_cover = |required: &&Required<'_>| required.column == cover.column;
                    let required = required.iter().find(is_of_cover);
                    self.load_dictionary(&mut cover, &fetched, keep, scratch)
                        .and_then(|()| self.decode(&cover, &fetched, rows, required, scratch))
                        .map_err(|damage| self.in_column(row_group, cover.column, damage))
                })
                .collect()
        })
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
