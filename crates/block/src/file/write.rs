//! Writes columns into a Parquet file.
//!
//! In: row groups of [`Column`]s whose texts may have codes already. Out: a Parquet file in a sink,
//! its length and checksum. Never here: what the columns mean, and in which order their rows stand.
//!
//! Codes go to pages without being hashed again, and one zstd context serves all pages: the
//! stock writer hashes every value of every row, which cost 0.2 CPU seconds per million spans
//! (storage probe C). Footer, page index and bloom filters are written by the `parquet` crate.
//!
//! ```text
//! PAR1
//! row group 1: column chunk 1: dictionary page?, data page, data page, ...
//!              column chunk 2: ...
//! row group 2: ...
//! bloom filters, in the order of row groups and columns
//! column indexes, offset indexes
//! footer, its length (u32), PAR1
//! ```

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::basic::{LogicalType, Repetition, Type as PhysicalType};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    FileMetaData, KeyValue, ParquetMetaDataBuilder, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::writer::TrackedWrite;
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type};
use thiserror::Error;

use crate::column::{Column, ColumnSpec, Kind};
use chunk::{ChunkEncoder, PageLimits};

mod bloom;
mod bounds;
mod chunk;
mod dictionary;
mod hybrid;
mod plain;

#[cfg(test)]
mod tests;

const MAGIC: &[u8; 4] = b"PAR1";
/// Readers look at the name before they trust statistics, so it has the form they expect.
const CREATED_BY: &str = concat!("suyuan version ", env!("CARGO_PKG_VERSION"));
/// The format's version in the footer: 2 permits the encodings that we use.
const FORMAT_VERSION: i32 = 2;

/// How a file is written.
#[derive(Clone, Debug)]
pub struct FileOptions {
    pub zstd_level: i32,
    /// Rows of a page. Every border between pages within these bytes is a multiple of it.
    pub page_rows: usize,
    /// Bytes of a page below which it covers more rows, up to four times as many.
    pub page_bytes_min: usize,
    /// Bytes of plain values at which a page ends early.
    pub page_bytes_max: usize,
    /// Stored in the footer.
    pub key_values: Vec<(String, String)>,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            zstd_level: 1,
            page_rows: 8_192,
            page_bytes_min: 16 << 10,
            page_bytes_max: 1 << 20,
            key_values: Vec::new(),
        }
    }
}

/// Why a file could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    #[error("column `{column}`")]
    Column { column: String, source: ChunkError },
    #[error("two columns are called `{0}`")]
    SameName(String),
    #[error("{found} columns for {expected} specifications")]
    ColumnCount { expected: usize, found: usize },
    #[error("a row group without rows")]
    NoRows,
    #[error("a page needs at least one row and at most {} rows", i32::MAX)]
    PageRows,
    #[error("parquet metadata")]
    Parquet(#[from] ParquetError),
    #[error("cannot write the file")]
    Io(#[from] io::Error),
}

/// Why a column could not become a column chunk.
#[derive(Debug, Error)]
pub enum ChunkError {
    #[error("holds {found:?} where the file has {expected:?}")]
    Kind { expected: Kind, found: Kind },
    #[error("has {found} values for {expected} rows")]
    Length { expected: usize, found: usize },
    #[error("leaves rows empty, but is not optional")]
    Missing,
    #[error("names rows that do not ascend or that do not exist")]
    Rows,
    #[error("holds a null, which its rows should leave out")]
    Null,
    #[error("has ids of {0} bytes instead of 16")]
    IdLength(i32),
    #[error("has a code beyond its dictionary")]
    CodeOutOfRange,
    #[error("has a page above two gigabytes")]
    PageTooLarge,
    #[error("cannot be compressed")]
    Compress(#[from] io::Error),
    #[error("parquet metadata")]
    Parquet(#[from] ParquetError),
}

impl From<dictionary::CodeOutOfRange> for ChunkError {
    fn from(_: dictionary::CodeOutOfRange) -> Self {
        Self::CodeOutOfRange
    }
}

/// A finished file.
#[derive(Debug)]
pub struct Written<W> {
    pub bytes: u64,
    pub crc32c: u32,
    pub sink: W,
}

/// A file that is being written.
pub struct FileWriter<W: Write + Send> {
    sink: TrackedWrite<Handle<W>>,
    checked: Arc<Mutex<Checked<W>>>,
    columns: Vec<ColumnSpec>,
    schema: SchemaDescPtr,
    encoder: ChunkEncoder,
    key_values: Vec<KeyValue>,
    row_groups: Vec<RowGroupMetaData>,
    column_indexes: Vec<Vec<ColumnIndexMetaData>>,
    offset_indexes: Vec<Vec<OffsetIndexMetaData>>,
    blooms: Vec<Vec<Option<Sbbf>>>,
    n_rows: i64,
}

impl<W: Write + Send> FileWriter<W> {
    /// Begins a file.
    pub fn new(
        sink: W,
        columns: Vec<ColumnSpec>,
        options: FileOptions,
    ) -> Result<Self, WriteError> {
        let rows = u32::try_from(options.page_rows).ok().filter(|rows| *rows <= i32::MAX as u32);
        let rows = rows.filter(|rows| *rows > 0).ok_or(WriteError::PageRows)?;
        let limits = PageLimits {
            rows,
            bytes_min: options.page_bytes_min,
            bytes_max: options.page_bytes_max,
        };
        let schema = Arc::new(schema_of(&columns)?);
        let checked = Arc::new(Mutex::new(Checked { sink, bytes: 0, crc32c: 0, failure: None }));
        let mut sink = TrackedWrite::new(Handle(checked.clone()));
        sink.write_all(MAGIC)?;
        let key_value = |(key, value)| KeyValue { key, value: Some(value) };
        Ok(Self {
            sink,
            checked,
            columns,
            schema,
            encoder: ChunkEncoder::new(limits, options.zstd_level)?,
            key_values: options.key_values.into_iter().map(key_value).collect(),
            row_groups: Vec::new(),
            column_indexes: Vec::new(),
            offset_indexes: Vec::new(),
            blooms: Vec::new(),
            n_rows: 0,
        })
    }

    /// Writes `n_rows` rows: one column for each specification, in their order. A file whose row
    /// group failed cannot be finished in any useful way.
    pub fn write_row_group(&mut self, n_rows: u32, columns: &[Column]) -> Result<(), WriteError> {
        if columns.len() != self.columns.len() {
            let (expected, found) = (self.columns.len(), columns.len());
            return Err(WriteError::ColumnCount { expected, found });
        }
        if n_rows == 0 {
            return Err(WriteError::NoRows);
        }
        let ordinal = i16::try_from(self.row_groups.len())
            .map_err(|_| ParquetError::General("more than 32767 row groups".into()))?;
        let from = self.sink.bytes_written();
        let mut chunks = Vec::with_capacity(columns.len());
        let mut column_indexes = Vec::with_capacity(columns.len());
        let mut offset_indexes = Vec::with_capacity(columns.len());
        let mut blooms = Vec::with_capacity(columns.len());
        for (at, (spec, column)) in self.columns.iter().zip(columns).enumerate() {
            let offset = self.sink.bytes_written() as u64;
            let descriptor = self.schema.column(at);
            let chunk = self
                .encoder
                .encode(spec, &descriptor, column, n_rows, offset)
                .map_err(|source| WriteError::Column { column: spec.name.clone(), source })?;
            self.sink.write_all(self.encoder.pages())?;
            chunks.push(chunk.metadata);
            column_indexes.push(chunk.column_index);
            offset_indexes.push(chunk.offset_index);
            blooms.push(chunk.bloom);
        }
        let plain_bytes = chunks.iter().map(|chunk| chunk.uncompressed_size()).sum();
        self.row_groups.push(
            RowGroupMetaData::builder(self.schema.clone())
                .set_column_metadata(chunks)
                .set_total_byte_size(plain_bytes)
                .set_num_rows(n_rows.into())
                .set_ordinal(ordinal)
                .set_file_offset(from as i64)
                .build()?,
        );
        self.column_indexes.push(column_indexes);
        self.offset_indexes.push(offset_indexes);
        self.blooms.push(blooms);
        self.n_rows += i64::from(n_rows);
        Ok(())
    }

    /// Ends the file. Does not sync the sink.
    pub fn finish(mut self) -> Result<Written<W>, WriteError> {
        self.write_blooms()?;
        let key_values = (!self.key_values.is_empty()).then_some(self.key_values);
        let footer = FileMetaData::new(
            FORMAT_VERSION,
            self.n_rows,
            Some(CREATED_BY.into()),
            key_values,
            self.schema,
            None,
        );
        let metadata = ParquetMetaDataBuilder::new(footer)
            .set_row_groups(self.row_groups)
            .set_column_index(Some(self.column_indexes))
            .set_offset_index(Some(self.offset_indexes))
            .build();
        ParquetMetaDataWriter::new_with_tracked(self.sink, &metadata).finish()?;
        let checked = Arc::into_inner(self.checked)
            .expect("the metadata writer has dropped the only other handle")
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match checked {
            Checked { failure: Some(failure), .. } => Err(failure.into()),
            Checked { sink, bytes, crc32c, failure: None } => Ok(Written { bytes, crc32c, sink }),
        }
    }

    fn write_blooms(&mut self) -> Result<(), WriteError> {
        for (row_group, blooms) in self.row_groups.iter_mut().zip(&self.blooms) {
            for (chunk, bloom) in row_group.columns_mut().iter_mut().zip(blooms) {
                let Some(bloom) = bloom else { continue };
                let from = self.sink.bytes_written();
                bloom.write(&mut self.sink)?;
                let n_bytes = self.sink.bytes_written() - from;
                *chunk = chunk
                    .clone()
                    .into_builder()
                    .set_bloom_filter_offset(Some(from as i64))
                    .set_bloom_filter_length(i32::try_from(n_bytes).ok())
                    .build()?;
            }
        }
        Ok(())
    }
}

/// The sink, held twice: the metadata writer drops the handle it is given instead of returning it.
struct Handle<W>(Arc<Mutex<Checked<W>>>);

/// A sink, what went into it, and the first failure: the metadata writer's buffer is flushed when it
/// is dropped, where an error has no other way out.
struct Checked<W> {
    sink: W,
    bytes: u64,
    crc32c: u32,
    failure: Option<io::Error>,
}

impl<W: Write> Write for Handle<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut checked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match checked.sink.write(bytes) {
            Ok(0) if !bytes.is_empty() => {
                checked.failure.get_or_insert(io::ErrorKind::WriteZero.into());
                Ok(0)
            }
            Ok(n_written) => {
                checked.bytes += n_written as u64;
                checked.crc32c = crc32c::crc32c_append(checked.crc32c, &bytes[..n_written]);
                Ok(n_written)
            }
            Err(failure) => {
                if failure.kind() != io::ErrorKind::Interrupted {
                    let kept = io::Error::new(failure.kind(), failure.to_string());
                    checked.failure.get_or_insert(kept);
                }
                Err(failure)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sink.flush()
    }
}

fn schema_of(columns: &[ColumnSpec]) -> Result<SchemaDescriptor, WriteError> {
    let mut names = HashSet::new();
    let mut fields = Vec::with_capacity(columns.len());
    for spec in columns {
        if !names.insert(&*spec.name) {
            return Err(WriteError::SameName(spec.name.clone()));
        }
        let (physical, logical) = match spec.kind {
            Kind::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Bytes => (PhysicalType::BYTE_ARRAY, None),
            Kind::Id => (PhysicalType::FIXED_LEN_BYTE_ARRAY, None),
            Kind::U64 => (PhysicalType::INT64, Some(LogicalType::integer(64, false))),
            Kind::I64 => (PhysicalType::INT64, None),
            Kind::U32 => (PhysicalType::INT32, Some(LogicalType::integer(32, false))),
            Kind::I32 => (PhysicalType::INT32, None),
            Kind::F64 => (PhysicalType::DOUBLE, None),
            Kind::Bool => (PhysicalType::BOOLEAN, None),
        };
        let repetition = match spec.is_optional {
            true => Repetition::OPTIONAL,
            false => Repetition::REQUIRED,
        };
        let mut field = Type::primitive_type_builder(&spec.name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical);
        if spec.kind == Kind::Id {
            field = field.with_length(16);
        }
        fields.push(Arc::new(field.build()?));
    }
    let root = Type::group_type_builder("schema").with_fields(fields).build()?;
    Ok(SchemaDescriptor::new(Arc::new(root)))
}
