//! The footer of a Parquet file and its page index, kept as little as reading needs.
//!
//! In: the last bytes of a file. Out: [`Footer`]: columns, row groups, and where every page lies.
//! A block of a million spans has twenty row groups of 45 columns of six pages, and hundreds of
//! blocks stay open: a chunk takes 72 bytes and a page four, where the tree of the `parquet` crate
//! takes some kilobytes for each chunk. It is parsed here, because what comes from outside must not
//! set aside memory on a promise.

use std::ops::Range;
use std::sync::Arc;

use super::damage::{Damage, damaged};
use super::index::{PagePlaces, parse_null_pages};
use super::page::Codec;
use super::schema::{FileColumn, parse_schema};
use super::thrift::{Field, Fields, Form, Thrift};

/// A row group holds a slice of a block; the window that a block is made of holds far fewer spans.
const ROW_GROUP_ROWS_MAX: u64 = 1 << 24;
/// Of a file: a full block has some dozens.
const ROW_GROUPS_MAX: usize = 1 << 16;

/// How our writer's name begins.
const OWN_NAME: &str = "suyuan ";

#[derive(Debug, Default)]
pub(super) struct Footer {
    pub(super) columns: Vec<FileColumn>,
    pub(super) row_groups: Vec<RowGroup>,
    /// Of each row group one for each column.
    pub(super) chunks: Vec<Chunk>,
    /// Where pages end, in bytes from the start of their chunk.
    pub(super) page_ends: Vec<u32>,
    pub(super) blooms: Vec<Bloom>,
    pub(super) key_values: Vec<(String, String)>,
    /// Written by the writer beside this reader: a chunk with a dictionary has no plain page.
    pub(super) is_ours: bool,
}

#[derive(Debug)]
pub(super) struct RowGroup {
    pub(super) n_rows: u32,
    /// The first rows of pages; most columns share them.
    pub(super) first_rows: Vec<Arc<[u32]>>,
}

/// A column chunk: one column of one row group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// Where its first page lies in the file.
    pub(super) start: u64,
    /// Bytes of the dictionary, which is the first page if there is one.
    pub(super) dictionary_bytes: u32,
    /// Of its pages in [`Footer::page_ends`].
    pub(super) first_page: u32,
    /// Pages without a value, one bit each; of the first 64 pages.
    pub(super) null_pages: u64,
    pub(super) column_index_start: u64,
    pub(super) column_index_bytes: u32,
    /// In [`RowGroup::first_rows`].
    pub(super) first_rows: u16,
    pub(super) codec: Codec,
    /// No row has a value.
    pub(super) is_null: bool,
    /// Of all its values, if they are no longer than eight bytes: as their plain bytes, filled up
    /// with zeros.
    pub(super) bounds: Option<[u64; 2]>,
}

#[derive(Debug)]
pub(super) struct Bloom {
    pub(super) chunk: u32,
    pub(super) start: u64,
    /// With its header; `None`: not said.
    pub(super) bytes: Option<u32>,
}

/// A footer whose page index is not read yet.
pub(super) struct Draft {
    footer: Footer,
    places: Vec<IndexPlaces>,
    codecs: Vec<i64>,
}

/// What the footer says of a chunk.
#[derive(Clone, Default)]
struct IndexPlaces {
    offset_index: Range<u64>,
    column_index: Range<u64>,
    dictionary_start: u64,
    is_null: bool,
    bounds: Option<[u64; 2]>,
}

impl Chunk {
    pub(super) fn column_index_range(&self) -> Range<u64> {
        self.column_index_start..self.column_index_start + u64::from(self.column_index_bytes)
    }
}

impl Footer {
    /// Where a page of a chunk lies in the file.
    pub(super) fn page_range(&self, chunk: &Chunk, page: usize) -> Range<u64> {
        let ends = &self.page_ends[chunk.first_page as usize..];
        let start = if page == 0 { chunk.dictionary_bytes } else { ends[page - 1] };
        chunk.start + u64::from(start)..chunk.start + u64::from(ends[page])
    }

    pub(super) fn chunk_number(&self, row_group: usize, column: usize) -> usize {
        row_group * self.columns.len() + column
    }

    /// Reads the file's footer, the thrift part of it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Draft, Damage> {
        let mut thrift = Thrift::new(bytes);
        let mut draft = Draft { footer: Self::default(), places: Vec::new(), codecs: Vec::new() };
        let mut fields = Fields::default();
        while let Some(field) = thrift.field(&mut fields)? {
            match field.id {
                2 if !draft.places.is_empty() => return damaged("a schema behind row groups"),
                2 => draft.footer.columns = parse_schema(&mut thrift, field)?,
                4 => draft.parse_row_groups(&mut thrift, field)?,
                5 => draft.footer.key_values = parse_key_values(&mut thrift, field)?,
                6 => draft.footer.is_ours = thrift.text(field)?.starts_with(OWN_NAME),
                _ => thrift.skip(field)?,
            }
        }
        Ok(draft)
    }
}

fn parse_key_values(thrift: &mut Thrift, field: Field) -> Result<Vec<(String, String)>, Damage> {
    let mut pairs = Vec::new();
    for _ in 0..thrift.list(field, Form::Struct)? {
        let mut pair = (String::new(), String::new());
        let mut fields = Fields::default();
        while let Some(field) = thrift.field(&mut fields)? {
            match field.id {
                1 => pair.0 = thrift.text(field)?.to_owned(),
                2 => pair.1 = thrift.text(field)?.to_owned(),
                _ => thrift.skip(field)?,
            }
        }
        pairs.push(pair);
    }
    Ok(pairs)
}

impl Draft {
    fn parse_row_groups(&mut self, thrift: &mut Thrift, field: Field) -> Result<(), Damage> {
        let n_row_groups = thrift.list(field, Form::Struct)?;
        if n_row_groups > ROW_GROUPS_MAX {
            return damaged(format!("{n_row_groups} row groups"));
        }
        for _ in 0..n_row_groups {
            self.parse_row_group(thrift)?;
        }
        Ok(())
    }

    fn parse_row_group(&mut self, thrift: &mut Thrift) -> Result<(), Damage> {
        let mut n_rows = 0;
        let mut n_chunks = 0;
        let first_chunk = self.places.len();
        let mut fields = Fields::default();
        while let Some(field) = thrift.field(&mut fields)? {
            match field.id {
                1 => {
                    n_chunks = thrift.list(field, Form::Struct)?;
                    for _ in 0..n_chunks {
                        self.parse_chunk(thrift)?;
                    }
                }
                3 => n_rows = thrift.natural(field)?,
                _ => thrift.skip(field)?,
            }
        }
        if n_chunks != self.footer.columns.len() {
            return damaged(format!("a row group of {n_chunks} columns"));
        }
        if n_rows > ROW_GROUP_ROWS_MAX {
            return damaged(format!("a row group of {n_rows} rows"));
        }
        let places = &mut self.places[first_chunk..];
        places.iter_mut().for_each(|place| place.is_null &= n_rows > 0);
        self.footer.row_groups.push(RowGroup { n_rows: n_rows as u32, first_rows: Vec::new() });
        Ok(())
    }

    fn parse_chunk(&mut self, thrift: &mut Thrift) -> Result<(), Damage> {
        let mut places = IndexPlaces::default();
        let mut codec = 0;
        let (mut offset_index, mut column_index) = ((0, 0), (0, 0));
        let mut fields = Fields::default();
        while let Some(field) = thrift.field(&mut fields)? {
            match field.id {
                3 => {
                    let fields = thrift.enter(field)?;
                    codec = self.parse_chunk_meta(thrift, fields, &mut places)?;
                }
                4 => offset_index.0 = thrift.natural(field)?,
                5 => offset_index.1 = thrift.natural(field)?,
                6 => column_index.0 = thrift.natural(field)?,
                7 => column_index.1 = thrift.natural(field)?,
                _ => thrift.skip(field)?,
            }
        }
        places.offset_index = offset_index.0..offset_index.0.saturating_add(offset_index.1);
        places.column_index = column_index.0..column_index.0.saturating_add(column_index.1);
        self.places.push(places);
        self.codecs.push(codec);
        Ok(())
    }

    /// Returns the codec.
    fn parse_chunk_meta(
        &mut self,
        thrift: &mut Thrift,
        mut fields: Fields,
        places: &mut IndexPlaces,
    ) -> Result<i64, Damage> {
        let chunk = self.places.len() as u32;
        let (mut codec, mut n_values, mut n_nulls) = (0, 0, None);
        let (mut bloom_start, mut bloom_bytes) = (None, None);
        while let Some(field) = thrift.field(&mut fields)? {
            match field.id {
                4 => codec = thrift.int(field)?,
                5 => n_values = thrift.natural(field)?,
                11 => places.dictionary_start = thrift.natural(field)?,
                12 => (n_nulls, places.bounds) = parse_statistics(thrift, field)?,
                14 => bloom_start = Some(thrift.natural(field)?),
                15 => bloom_bytes = Some(thrift.natural_u32(field)?),
                _ => thrift.skip(field)?,
            }
        }
        places.is_null = n_nulls == Some(n_values);
        if let Some(start) = bloom_start {
            self.footer.blooms.push(Bloom { chunk, start, bytes: bloom_bytes });
        }
        Ok(codec)
    }

    pub(super) fn column_names(&self) -> Vec<String> {
        self.footer.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// Where the page index lies, from its first byte to behind its last one.
    pub(super) fn index_range(&self) -> Option<Range<u64>> {
        let ranges =
            self.places.iter().flat_map(|place| [&place.offset_index, &place.column_index]);
        ranges
            .filter(|range| !range.is_empty())
            .cloned()
            .reduce(|all, range| all.start.min(range.start)..all.end.max(range.end))
    }

    /// Reads the page index. `index` are the bytes of the file from `index_start` on.
    pub(super) fn finish(
        mut self,
        index: &[u8],
        index_start: u64,
        file_bytes: u64,
    ) -> Result<Footer, (usize, Damage)> {
        let bytes_at = |range: &Range<u64>| {
            let start = usize::try_from(range.start.checked_sub(index_start)?).ok()?;
            let end = usize::try_from(range.end.checked_sub(index_start)?).ok()?;
            index.get(start..end)
        };
        for chunk in 0..self.places.len() {
            let places = self.places[chunk].clone();
            let offset_index = bytes_at(&places.offset_index);
            let column_index = bytes_at(&places.column_index);
            self.finish_chunk(chunk, &places, offset_index, column_index, file_bytes)
                .map_err(|damage| (chunk, damage))?;
        }
        for bloom in &mut self.footer.blooms {
            let left = file_bytes.saturating_sub(bloom.start);
            if left == 0 || bloom.bytes.is_some_and(|bytes| u64::from(bytes) > left) {
                let damage = "a bloom filter behind the end of the file".into();
                return Err((bloom.chunk as usize, damage));
            }
        }
        self.footer.chunks.shrink_to_fit();
        self.footer.page_ends.shrink_to_fit();
        self.footer.blooms.shrink_to_fit();
        Ok(self.footer)
    }

    fn finish_chunk(
        &mut self,
        number: usize,
        places: &IndexPlaces,
        offset_index: Option<&[u8]>,
        column_index: Option<&[u8]>,
        file_bytes: u64,
    ) -> Result<(), Damage> {
        let codec = match self.codecs[number] {
            0 => Codec::None,
            6 => Codec::Zstd,
            other => {
                return damaged(format!("compressed by codec {other}, which is not read here"));
            }
        };
        let n_columns = self.footer.columns.len();
        let is_null = places.is_null && self.footer.columns[number % n_columns].is_optional;
        let row_group = &mut self.footer.row_groups[number / n_columns];
        let mut pages = PagePlaces::default();
        match offset_index {
            Some(bytes) if !bytes.is_empty() => pages.parse(bytes, row_group.n_rows)?,
            _ if row_group.n_rows == 0 || is_null => {}
            _ => return damaged("no offset index: pages cannot be found"),
        }
        if pages.end > file_bytes {
            return damaged("pages behind the end of the file");
        }
        let dictionary_bytes = pages.start_with_dictionary(places.dictionary_start)?;
        let chunk = Chunk {
            start: pages.start,
            dictionary_bytes,
            first_page: self.footer.page_ends.len() as u32,
            null_pages: match column_index {
                Some(bytes) if !bytes.is_empty() => parse_null_pages(bytes)?,
                _ => 0,
            },
            column_index_start: places.column_index.start,
            column_index_bytes: (places.column_index.end - places.column_index.start)
                .try_into()
                .map_err(|_| "a page index beyond 4 GiB")?,
            first_rows: row_group.share(&pages.first_rows)?,
            codec,
            is_null,
            bounds: places.bounds,
        };
        self.footer.page_ends.extend(&pages.ends);
        self.footer.chunks.push(chunk);
        Ok(())
    }
}

impl RowGroup {
    /// Which of the lists of first rows this is.
    fn share(&mut self, first_rows: &[u32]) -> Result<u16, Damage> {
        let known = self.first_rows.iter().position(|known| **known == *first_rows);
        let place = known.unwrap_or_else(|| {
            self.first_rows.push(first_rows.into());
            self.first_rows.len() - 1
        });
        u16::try_from(place).map_err(|_| "too many columns".into())
    }
}

/// How many rows have no value, and between which values the others lie.
fn parse_statistics(
    thrift: &mut Thrift,
    field: Field,
) -> Result<(Option<u64>, Option<[u64; 2]>), Damage> {
    let (mut n_nulls, mut min, mut max) = (None, None, None);
    let mut fields = thrift.enter(field)?;
    while let Some(field) = thrift.field(&mut fields)? {
        match field.id {
            3 => n_nulls = Some(thrift.natural(field)?),
            5 => max = short_number(thrift.binary(field)?),
            6 => min = short_number(thrift.binary(field)?),
            _ => thrift.skip(field)?,
        }
    }
    Ok((n_nulls, min.zip(max).map(|(min, max)| [min, max])))
}

/// Plain bytes of a value as a number, if there are some and no more than eight.
pub(super) fn short_number(bytes: &[u8]) -> Option<u64> {
    let mut number = [0; 8];
    number.get_mut(..bytes.len())?.copy_from_slice(bytes);
    (!bytes.is_empty()).then(|| u64::from_le_bytes(number))
}
