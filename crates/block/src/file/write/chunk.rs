//! One column chunk: the pages of one column in one row group.
//!
//! In: a column and its specification. Out: the bytes of its pages, and what the footer, the page
//! index and the bloom filter say about them.
//!
//! Pages of all columns have their borders at multiples of the same number of rows, so that a short
//! range of rows is one page of each. A page of few bytes covers up to four times as many rows, since
//! every page has codec tables of its own; one above the byte limit is cut further; a chunk without
//! any value is one page. Pages are of version 1: version 2 leaves levels uncompressed, which costs more than its
//! page-wise choice of a codec saves (storage probe C: 0.16 bytes per span).

use std::ops::Range;

use arrow_array::Array;
use parquet::basic::{BoundaryOrder, Encoding as PageEncoding, Type as PhysicalType};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::schema::types::ColumnDescPtr;
use suyuan_model::Strings;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use crate::column::{Column, ColumnSpec, Compression, Encoding, Kind, Values};
use crate::file::thrift::{self, PageBytes};
use crate::file::write::bounds::{self, Bounds, TextBounds};
use crate::file::write::dictionary::{self, Dictionary};
use crate::file::write::{ChunkError, bloom, hybrid, plain};

/// A codec that saves less than this share of a chunk's first page is not worth its time.
const SAVED_PERCENT_MIN: usize = 3;

/// How many times the rows of a usual page a page of few bytes may have.
const ROWS_FACTOR_MAX: u32 = 4;
/// From this length on zstd looks for matches of seven bytes and more instead of six: texts have long
/// ones, and shorter ones save less than they cost (2 % of `client.address`, a tenth of its time).
const LONG_BODY_BYTES: usize = 32 << 10;
const LONG_BODY_MATCH_BYTES: u32 = 7;
/// The level of bytes split into streams. In times and durations the high bytes repeat and the low
/// ones are noise: finding the few matches and Huffman codes between them saves 2 % of a duration's
/// bytes, and makes them take two and a half times as long to read.
const SPLIT_LEVEL: i32 = -1;

/// Limits of a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimits {
    pub(crate) rows: u32,
    /// A page below this covers more rows.
    pub(crate) bytes_min: usize,
    pub(crate) bytes_max: usize,
}

/// Encodes chunks one after the other, with buffers and a codec that are used again.
pub(crate) struct ChunkEncoder {
    limits: PageLimits,
    zstd: Compressor<'static>,
    /// A page before compression, and after it.
    body: Vec<u8>,
    compressed: Vec<u8>,
    bitmap: Vec<u8>,
    codes: Vec<u32>,
    /// Of all bodies that are not split into streams.
    level: i32,
    /// What zstd is set to.
    set: Search,
    /// The finished pages of the chunk.
    pages: Vec<u8>,
}

/// How zstd looks for what repeats.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Search {
    level: i32,
    /// Zero is what the level has.
    match_bytes: u32,
}

/// What the file says about a chunk; its bytes are [`ChunkEncoder::pages`].
pub(crate) struct Chunk {
    pub(crate) metadata: ColumnChunkMetaData,
    pub(crate) column_index: ColumnIndexMetaData,
    pub(crate) offset_index: OffsetIndexMetaData,
    pub(crate) bloom: Option<Sbbf>,
}

/// A chunk while its pages are made.
struct Draft<'a> {
    spec: &'a ColumnSpec,
    column: &'a Column,
    rows: Option<&'a [u32]>,
    dictionary: Option<Dictionary>,
    encoding: PageEncoding,
    codec: Compression,
    page_rows: u32,
    /// Where the chunk begins in the file.
    offset: u64,
    plain_bytes: i64,
    seen: Vec<PageSeen>,
}

/// What is kept of a page.
struct PageSeen {
    offset: i64,
    bytes: i32,
    n_rows: u32,
    n_nulls: i64,
    bounds: Option<Bounds>,
}

/// The rows of a page, and the values these rows have.
#[derive(Clone, Debug)]
struct PageRange {
    rows: Range<u32>,
    values: Range<usize>,
}

impl ChunkEncoder {
    pub(crate) fn new(limits: PageLimits, zstd_level: i32) -> std::io::Result<Self> {
        Ok(Self {
            limits,
            zstd: Compressor::new(zstd_level)?,
            body: Vec::new(),
            compressed: Vec::new(),
            bitmap: Vec::new(),
            codes: Vec::new(),
            level: zstd_level,
            set: Search { level: zstd_level, match_bytes: 0 },
            pages: Vec::new(),
        })
    }

    /// The pages of the chunk encoded last.
    pub(crate) fn pages(&self) -> &[u8] {
        &self.pages
    }

    /// Encodes the pages of a chunk that will stand at `offset` of the file.
    pub(crate) fn encode(
        &mut self,
        spec: &ColumnSpec,
        descriptor: &ColumnDescPtr,
        column: &Column,
        n_rows: u32,
        offset: u64,
    ) -> Result<Chunk, ChunkError> {
        check(spec, column, n_rows)?;
        let rows = if spec.is_optional { column.rows.as_deref() } else { None };
        let dictionary = match spec.encoding {
            Encoding::Dictionary => dictionary::build(&column.values)?,
            Encoding::Plain | Encoding::Split => None,
        };
        let encoding = match spec.encoding {
            _ if dictionary.is_some() => PageEncoding::RLE_DICTIONARY,
            Encoding::Split if plain::can_split(&column.values) => PageEncoding::BYTE_STREAM_SPLIT,
            _ => PageEncoding::PLAIN,
        };
        // Nothing but levels would make every codec add bytes.
        let codec = if column.values.is_empty() { Compression::None } else { spec.compression };
        let page_rows = self.page_rows(column, dictionary.as_ref(), n_rows);
        let mut draft = Draft {
            spec,
            column,
            rows,
            dictionary,
            encoding,
            codec,
            page_rows,
            offset,
            plain_bytes: 0,
            seen: Vec::new(),
        };
        self.pages.clear();
        let dictionary_bytes = self.dictionary_page(&mut draft)?;
        let mut row = 0;
        let mut value = 0;
        while row < n_rows {
            let page = self.next_page(&draft, row, value, n_rows);
            (row, value) = (page.rows.end, page.values.end);
            self.data_page(&mut draft, page)?;
        }
        finish(draft, descriptor, n_rows, dictionary_bytes, self.pages.len())
    }

    /// How many rows a page of the column gets: more where they take few bytes.
    fn page_rows(&self, column: &Column, dictionary: Option<&Dictionary>, n_rows: u32) -> u32 {
        let n_values = column.values.len();
        let value_bytes = match dictionary {
            Some(dictionary) => n_values * usize::from(hybrid::code_bits(dictionary.n_values)) / 8,
            None => plain::plain_bytes(&column.values, 0..n_values),
        };
        let level_bytes = if column.rows.is_some() { n_rows as usize / 8 } else { 0 };
        let usual_bytes =
            (level_bytes + value_bytes) as u64 * u64::from(self.limits.rows) / u64::from(n_rows);
        let factor = (self.limits.bytes_min as u64).checked_div(usual_bytes);
        let factor = factor.unwrap_or(u64::MAX).clamp(1, ROWS_FACTOR_MAX.into()) as u32;
        // A power of two, so that the borders of one column are borders of every finer one.
        self.limits.rows.saturating_mul(1 << factor.ilog2())
    }

    /// The rows of the page that begins at a row and a value.
    fn next_page(&self, draft: &Draft<'_>, row: u32, value: usize, n_rows: u32) -> PageRange {
        if draft.column.values.is_empty() {
            return PageRange { rows: row..n_rows, values: 0..0 };
        }
        let page_rows = draft.page_rows;
        let border = (row - row % page_rows).saturating_add(page_rows).min(n_rows);
        let value_border = match draft.rows {
            Some(rows) => value + rows[value..].partition_point(|row| *row < border),
            None => value + (border - row) as usize,
        };
        let whole = PageRange { rows: row..border, values: value..value_border };
        let values = &draft.column.values;
        if draft.dictionary.is_some()
            || plain::plain_bytes(values, value..value_border) <= self.limits.bytes_max
        {
            return whole;
        }
        let mut bytes = 0;
        for at in value..value_border {
            bytes += plain::value_bytes(values, at);
            if bytes > self.limits.bytes_max && at > value {
                let end = match draft.rows {
                    Some(rows) => rows[at],
                    None => row + (at - value) as u32,
                };
                return PageRange { rows: row..end, values: value..at };
            }
        }
        whole
    }

    /// Appends the dictionary's page, if there is one; returns its length.
    fn dictionary_page(&mut self, draft: &mut Draft<'_>) -> Result<usize, ChunkError> {
        let Some(dictionary) = &draft.dictionary else { return Ok(0) };
        self.body.clear();
        self.body.extend_from_slice(&dictionary.page);
        let n_values = i32::try_from(dictionary.n_values).map_err(|_| ChunkError::PageTooLarge)?;
        let bytes = self.compress(draft.codec, PageEncoding::PLAIN)?;
        thrift::dictionary_page(&mut self.pages, bytes, n_values);
        self.append(draft.codec);
        draft.plain_bytes += i64::from(bytes.plain) + self.pages.len() as i64;
        draft.plain_bytes -= i64::from(bytes.compressed);
        Ok(self.pages.len())
    }

    fn data_page(&mut self, draft: &mut Draft<'_>, page: PageRange) -> Result<(), ChunkError> {
        let n_rows = page.rows.end - page.rows.start;
        self.body.clear();
        if draft.spec.is_optional {
            self.levels(draft.rows, &page);
        }
        let values = &draft.column.values;
        match (&draft.dictionary, draft.encoding) {
            (Some(dictionary), _) => {
                let bits = hybrid::code_bits(dictionary.n_values);
                dictionary.codes(values, page.values.clone(), &mut self.codes);
                hybrid::codes(&mut self.body, &self.codes, bits);
            }
            (None, PageEncoding::BYTE_STREAM_SPLIT) => {
                plain::split(&mut self.body, values, page.values.clone());
            }
            (None, _) => plain::plain(&mut self.body, values, page.values.clone()),
        }
        let mut bytes = self.compress(draft.codec, draft.encoding)?;
        if self.pages.is_empty() && is_waste(bytes) {
            draft.codec = Compression::None;
            bytes = self.compress(draft.codec, draft.encoding)?;
        }
        let from = self.pages.len();
        let n_levels = i32::try_from(n_rows).map_err(|_| ChunkError::PageTooLarge)?;
        thrift::data_page(&mut self.pages, bytes, n_levels, draft.encoding);
        let header_bytes = self.pages.len() - from;
        self.append(draft.codec);
        draft.plain_bytes += header_bytes as i64 + i64::from(bytes.plain);
        let n_values = page.values.len();
        draft.seen.push(PageSeen {
            offset: (draft.offset + from as u64) as i64,
            bytes: i32::try_from(self.pages.len() - from).map_err(|_| ChunkError::PageTooLarge)?,
            n_rows,
            n_nulls: i64::from(n_rows) - n_values as i64,
            bounds: has_bounds(draft.spec).then(|| Bounds::of(values, page.values)).flatten(),
        });
        Ok(())
    }

    /// Appends the definition levels of a page, after their length.
    fn levels(&mut self, rows: Option<&[u32]>, page: &PageRange) {
        self.body.extend_from_slice(&[0; 4]);
        let n_rows = (page.rows.end - page.rows.start) as usize;
        match rows {
            Some(rows) => {
                let rows = &rows[page.values.clone()];
                let first_row = page.rows.start;
                hybrid::levels(&mut self.body, &mut self.bitmap, rows, first_row, n_rows);
            }
            None => hybrid::all_present(&mut self.body, n_rows),
        }
        let n_bytes = (self.body.len() - 4) as u32;
        self.body[..4].copy_from_slice(&n_bytes.to_le_bytes());
    }

    fn compress(
        &mut self,
        codec: Compression,
        encoding: PageEncoding,
    ) -> Result<PageBytes, ChunkError> {
        let plain = i32::try_from(self.body.len()).map_err(|_| ChunkError::PageTooLarge)?;
        let stored = match codec {
            Compression::None => &self.body,
            Compression::Zstd => {
                self.set_search(encoding)?;
                self.compressed.clear();
                self.compressed.reserve(zstd::zstd_safe::compress_bound(self.body.len()));
                self.zstd.compress_to_buffer(&self.body, &mut self.compressed)?;
                &self.compressed
            }
        };
        Ok(PageBytes {
            plain,
            compressed: i32::try_from(stored.len()).map_err(|_| ChunkError::PageTooLarge)?,
            crc32: crc32fast::hash(stored),
        })
    }

    /// Tells zstd how to look for what repeats in the body.
    fn set_search(&mut self, encoding: PageEncoding) -> std::io::Result<()> {
        let is_split = encoding == PageEncoding::BYTE_STREAM_SPLIT;
        let level = if is_split { self.level.min(SPLIT_LEVEL) } else { self.level };
        let is_long = level == 1 && self.body.len() >= LONG_BODY_BYTES;
        let search = Search { level, match_bytes: if is_long { LONG_BODY_MATCH_BYTES } else { 0 } };
        if search.level != self.set.level {
            self.zstd.set_parameter(CParameter::CompressionLevel(search.level))?;
        }
        if search.match_bytes != self.set.match_bytes {
            self.zstd.set_parameter(CParameter::MinMatch(search.match_bytes))?;
        }
        self.set = search;
        Ok(())
    }

    fn append(&mut self, codec: Compression) {
        self.pages.extend_from_slice(match codec {
            Compression::None => &self.body,
            Compression::Zstd => &self.compressed,
        });
    }
}

fn is_waste(bytes: PageBytes) -> bool {
    let (plain, compressed) = (bytes.plain as usize, bytes.compressed as usize);
    compressed * 100 > plain * (100 - SAVED_PERCENT_MIN)
}

/// Random numbers (what no codec can touch) have no bounds worth their bytes.
fn has_bounds(spec: &ColumnSpec) -> bool {
    !(spec.kind == Kind::U64 && spec.compression == Compression::None)
}

/// Checks everything that would make the encoder go wrong.
fn check(spec: &ColumnSpec, column: &Column, n_rows: u32) -> Result<(), ChunkError> {
    let values = &column.values;
    if values.kind() != spec.kind {
        return Err(ChunkError::Kind { expected: spec.kind, found: values.kind() });
    }
    let n_nulls = match values {
        Values::Text(Strings::Dictionary { values, .. }) => values.null_count(),
        Values::Text(Strings::Plain(values)) => values.null_count(),
        Values::Bytes(values) => values.null_count(),
        Values::Id(values) => values.null_count(),
        _ => 0,
    };
    if n_nulls > 0 {
        return Err(ChunkError::Null);
    }
    if let Values::Id(ids) = values
        && ids.value_length() != 16
    {
        return Err(ChunkError::IdLength(ids.value_length()));
    }
    if let Values::Text(Strings::Dictionary { codes, values }) = values
        && spec.encoding != Encoding::Dictionary
    {
        dictionary::check_codes(codes, values.len())?;
    }
    let Some(rows) = &column.rows else {
        return match values.len() == n_rows as usize {
            true => Ok(()),
            false => Err(ChunkError::Length { expected: n_rows as usize, found: values.len() }),
        };
    };
    if rows.len() != values.len() {
        return Err(ChunkError::Length { expected: rows.len(), found: values.len() });
    }
    if !spec.is_optional && rows.len() != n_rows as usize {
        return Err(ChunkError::Missing);
    }
    let is_ascending = rows.windows(2).all(|pair| pair[0] < pair[1]);
    if !is_ascending || rows.last().is_some_and(|row| *row >= n_rows) {
        return Err(ChunkError::Rows);
    }
    Ok(())
}

fn finish(
    draft: Draft<'_>,
    descriptor: &ColumnDescPtr,
    n_rows: u32,
    dictionary_bytes: usize,
    n_bytes: usize,
) -> Result<Chunk, ChunkError> {
    let values = &draft.column.values;
    let n_nulls = n_rows as u64 - values.len() as u64;
    let texts = bounds::of_chunk(values, draft.dictionary.as_ref().map(|d| &*d.page));
    let all = draft.seen.iter().filter_map(|page| page.bounds).reduce(Bounds::merge);
    let column_index = column_index(&draft, descriptor.physical_type(), texts.as_ref())?;
    let mut offset_index = OffsetIndexBuilder::new();
    for page in &draft.seen {
        offset_index.append_row_count(page.n_rows.into());
        offset_index.append_offset_and_size(page.offset, page.bytes);
    }
    let mut encodings = vec![PageEncoding::RLE, draft.encoding];
    if draft.dictionary.is_some() {
        encodings.push(PageEncoding::PLAIN);
    }
    let offset = draft.offset as i64;
    let metadata = ColumnChunkMetaData::builder(descriptor.clone())
        .set_encodings(encodings)
        .set_compression(codec_of(draft.codec))
        .set_num_values(n_rows.into())
        .set_total_compressed_size(n_bytes as i64)
        .set_total_uncompressed_size(draft.plain_bytes)
        .set_data_page_offset(offset + dictionary_bytes as i64)
        .set_dictionary_page_offset((dictionary_bytes > 0).then_some(offset))
        .set_statistics(bounds::statistics(draft.spec.kind, all, texts, n_nulls))
        .build()?;
    let bloom = draft.spec.has_bloom.then(|| bloom::of(values, draft.dictionary.as_ref()));
    Ok(Chunk { metadata, column_index, offset_index: offset_index.build(), bloom })
}

fn codec_of(compression: Compression) -> parquet::basic::Compression {
    match compression {
        Compression::None => parquet::basic::Compression::UNCOMPRESSED,
        // The level is not stored, so any stands for all.
        Compression::Zstd => parquet::basic::Compression::ZSTD(Default::default()),
    }
}

/// Bounds page by page, where they can help to skip one.
fn column_index(
    draft: &Draft<'_>,
    physical: PhysicalType,
    texts: Option<&TextBounds>,
) -> Result<ColumnIndexMetaData, ChunkError> {
    let is_null = |page: &PageSeen| page.n_nulls == i64::from(page.n_rows);
    // The bounds of a single page are those of the chunk.
    if draft.seen.len() < 2 {
        return Ok(ColumnIndexMetaData::NONE);
    }
    let of_texts = match texts {
        Some(TextBounds { min, max: Some(max), .. }) if draft.seen.iter().any(is_null) => {
            Some((min.clone(), max.clone()))
        }
        _ => None,
    };
    let mut index = ColumnIndexBuilder::new(physical);
    for page in &draft.seen {
        let bounds = match (page.bounds, &of_texts) {
            _ if is_null(page) => (Vec::new(), Vec::new()),
            (Some(bounds), _) => bounds.to_bytes(draft.spec.kind),
            (None, Some(texts)) => texts.clone(),
            // Without bounds for every page with values there can be no index.
            (None, None) => return Ok(ColumnIndexMetaData::NONE),
        };
        index.append(is_null(page), bounds.0, bounds.1, page.n_nulls);
    }
    if is_ascending(draft) {
        index.set_boundary_order(BoundaryOrder::ASCENDING);
    }
    Ok(index.build()?)
}

/// Whether both bounds rise from page to page; only of ids, which are what is sorted.
fn is_ascending(draft: &Draft<'_>) -> bool {
    let ids = draft.seen.iter().filter_map(|page| match page.bounds {
        Some(Bounds::Id(min, max)) => Some((min, max)),
        _ => None,
    });
    let ids: Vec<_> = ids.collect();
    !ids.is_empty() && ids.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1)
}
