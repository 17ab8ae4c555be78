//! A chunk as a scratch file.
//!
//! Private to one run of the program: written without fsync, read by the same process, removed at
//! the next start. So there is no version and no checksum; lengths are checked, because a disk may
//! lose what was not synced, and an error here must never become a wrong answer.
//!
//! The file is one sequence of length-prefixed parts: those of [`columns`], then the attribute
//! columns of spans, events and links, each list behind its length. Arrays are written as their
//! buffers, padded to 8 bytes, so that reading is one `pread` into aligned memory and no copy after
//! it. Where each part lies stays in memory ([`ChunkDirectory`]), so that a question reads the
//! columns it asks for: 7 MB in 1.6 ms for one number of a million spans, instead of 180 MB.

mod columns;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type};
use arrow_array::{
    Array, BinaryArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, StringArray,
};
use arrow_buffer::{
    ArrowNativeType, BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer,
};
use suyuan_model::{
    AttributeColumn, AttributeTable, Chunk, Resources, Scopes, Sparse, Strings, ValueType, Values,
};

use crate::chunk_keys::ChunkKeys;

pub(crate) use columns::{ChunkDirectory, ColumnReader};

/// Why a scratch file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ChunkFileError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("is damaged: {0}")]
    Damaged(&'static str),
    #[error("is damaged: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
}

/// A chunk in a scratch file, which goes when nobody needs it any more.
pub(crate) struct SpilledChunk {
    path: PathBuf,
    directory: ChunkDirectory,
    keys: ChunkKeys,
}

impl SpilledChunk {
    /// `path`: a file written by [`write`], which returned the directory.
    pub(crate) fn new(path: PathBuf, directory: ChunkDirectory, keys: ChunkKeys) -> Self {
        Self { path, directory, keys }
    }

    pub(crate) fn read(&self) -> Result<Chunk, ChunkFileError> {
        read(&self.path)
    }

    /// Opens the file to read some columns.
    pub(crate) fn open(self: &Arc<Self>) -> Result<ColumnReader, ChunkFileError> {
        ColumnReader::open(self)
    }

    pub(crate) fn keys(&self) -> &ChunkKeys {
        &self.keys
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpilledChunk {
    fn drop(&mut self) {
        // A file that stays behind is removed at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Buffers begin at multiples of this.
const ALIGN_BYTES: usize = 8;

/// Writes a chunk as a new file. Returns where its parts are.
pub(crate) fn write(path: &Path, chunk: &Chunk) -> io::Result<ChunkDirectory> {
    let file = File::create(path)?;
    let mut out = Out { sink: BufWriter::with_capacity(1 << 18, file), written: 0 };
    let result =
        columns::write(chunk, &mut out).and_then(|directory| out.sink.flush().map(|()| directory));
    if result.is_err() {
        // Half a file is of no use; the next start removes what this cannot.
        let _ = fs::remove_file(path);
    }
    result
}

/// What a chunk's file takes; its arrays take about the same in memory.
pub(crate) fn encoded_bytes(chunk: &Chunk) -> u64 {
    let mut out = Out { sink: io::sink(), written: 0 };
    columns::write(chunk, &mut out).expect("a sink takes everything");
    out.written as u64
}

/// Reads a chunk back.
pub(crate) fn read(path: &Path) -> Result<Chunk, ChunkFileError> {
    let file = File::open(path)?;
    let bytes = usize::try_from(file.metadata()?.len()).map_err(|_| TOO_LONG)?;
    let mut buffer = MutableBuffer::from_len_zeroed(bytes);
    file.read_exact_at(buffer.as_slice_mut(), 0)?;
    columns::read_all(&mut In { rest: buffer.into() })
}

const ENDS_EARLY: ChunkFileError = ChunkFileError::Damaged("it ends early");
const TOO_LONG: ChunkFileError = ChunkFileError::Damaged("a length is too large");

struct Out<W> {
    sink: W,
    written: usize,
}

impl<W: Write> Out<W> {
    fn length(&mut self, length: usize) -> io::Result<()> {
        self.sink.write_all(&(length as u64).to_le_bytes())?;
        self.written += 8;
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length(bytes.len())?;
        self.sink.write_all(bytes)?;
        let padding = bytes.len().next_multiple_of(ALIGN_BYTES) - bytes.len();
        self.sink.write_all(&[0; ALIGN_BYTES][..padding])?;
        self.written += bytes.len() + padding;
        Ok(())
    }
}

struct In {
    rest: Buffer,
}

impl In {
    fn length(&mut self) -> Result<usize, ChunkFileError> {
        let Some(bytes) = self.rest.as_slice().first_chunk::<8>() else { return Err(ENDS_EARLY) };
        let length = usize::try_from(u64::from_le_bytes(*bytes)).map_err(|_| TOO_LONG)?;
        self.rest.advance(8);
        Ok(length)
    }

    fn bytes(&mut self) -> Result<Buffer, ChunkFileError> {
        let length = self.length()?;
        let padded = length.checked_next_multiple_of(ALIGN_BYTES).ok_or(TOO_LONG)?;
        if padded > self.rest.len() {
            return Err(ENDS_EARLY);
        }
        let bytes = self.rest.slice_with_length(0, length);
        self.rest.advance(padded);
        Ok(bytes)
    }
}

/// Something that is part of a chunk's file.
trait Part: Sized {
    fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<()>;
    fn read(input: &mut In) -> Result<Self, ChunkFileError>;
}

impl<T: ArrowNativeType> Part for ScalarBuffer<T> {
    fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<()> {
        out.bytes(self.inner().as_slice())
    }

    fn read(input: &mut In) -> Result<Self, ChunkFileError> {
        let bytes = input.bytes()?;
        let length = bytes.len() / size_of::<T>();
        Ok(Self::new(bytes, 0, length))
    }
}

impl Part for Option<NullBuffer> {
    fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<()> {
        out.length(self.as_ref().map_or(0, NullBuffer::len))?;
        match self {
            Some(nulls) => out.bytes(nulls.inner().sliced().as_slice()),
            None => out.bytes(&[]),
        }
    }

    fn read(input: &mut In) -> Result<Self, ChunkFileError> {
        let length = input.length()?;
        let bytes = input.bytes()?;
        if length == 0 {
            return Ok(None);
        }
        if bytes.len() < length.div_ceil(8) {
            return Err(ENDS_EARLY);
        }
        Ok(Some(NullBuffer::new(BooleanBuffer::new(bytes, 0, length))))
    }
}

impl<T: ArrowPrimitiveType> Part for PrimitiveArray<T> {
    fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<()> {
        self.values().write(out)?;
        self.nulls().cloned().write(out)
    }

    fn read(input: &mut In) -> Result<Self, ChunkFileError> {
        let values = ScalarBuffer::read(input)?;
        Ok(Self::try_new(values, Part::read(input)?)?)
    }
}

impl Part for StringArray {
    fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<()> {
        self.offsets().inner().write(out)?;
        out.bytes(self.value_data())
    }

    fn read(input: &mut In) -> Result<Self, ChunkFileError> {
        let offsets = offsets(input)?;
        Ok(Self::try_new(offsets, input.bytes()?, None)?)
    }
}

impl Part for BinaryArray {
    fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<()> {
        self.offsets().inner().write(out)?;
        out.bytes(self.value_data())
    }

    fn read(input: &mut In) -> Result<Self, ChunkFileError> {
        let offsets = offsets(input)?;
        Ok(Self::try_new(offsets, input.bytes()?, None)?)
    }
}

/// Offsets as arrays need them: at least one, never falling.
fn offsets(input: &mut In) -> Result<OffsetBuffer<i32>, ChunkFileError> {
    let offsets: ScalarBuffer<i32> = Part::read(input)?;
    if offsets.is_empty() || offsets[0] < 0 || !offsets.is_sorted() {
        return Err(ChunkFileError::Damaged("offsets are not in order"));
    }
    Ok(OffsetBuffer::new(offsets))
}

impl Part for BooleanArray {
    fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<()> {
        out.length(self.len())?;
        out.bytes(self.values().sliced().as_slice())
    }

    fn read(input: &mut In) -> Result<Self, ChunkFileError> {
        let length = input.length()?;
        let bytes = input.bytes()?;
        if bytes.len() < length.div_ceil(8) {
            return Err(ENDS_EARLY);
        }
        Ok(Self::new(BooleanBuffer::new(bytes, 0, length), None))
    }
}

impl Part for FixedSizeBinaryArray {
    fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<()> {
        out.bytes(self.value_data())
    }

    /// Trace ids are the only such array.
    fn read(input: &mut In) -> Result<Self, ChunkFileError> {
        Ok(Self::try_new(16, input.bytes()?, None)?)
    }
}

impl Part for Strings {
    fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<()> {
        match self {
            Self::Dictionary { codes, values } => {
                out.length(1)?;
                codes.write(out)?;
                values.write(out)
            }
            Self::Plain(values) => {
                out.length(0)?;
                values.write(out)
            }
        }
    }

    fn read(input: &mut In) -> Result<Self, ChunkFileError> {
        if input.length()? == 0 {
            return Ok(Self::Plain(Part::read(input)?));
        }
        let codes: ScalarBuffer<u32> = Part::read(input)?;
        let values = StringArray::read(input)?;
        if codes.iter().any(|code| *code as usize >= values.len()) {
            return Err(ChunkFileError::Damaged("a code has no value"));
        }
        Ok(Self::Dictionary { codes, values })
    }
}

impl<V: Part> Part for Sparse<V> {
    fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<()> {
        self.rows.write(out)?;
        self.values.write(out)
    }

    fn read(input: &mut In) -> Result<Self, ChunkFileError> {
        Ok(Self { rows: Part::read(input)?, values: Part::read(input)? })
    }
}

impl Part for AttributeColumn {
    fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<()> {
        out.bytes(self.key.as_bytes())?;
        out.length(self.value_type as usize)?;
        self.rows.write(out)?;
        match &self.values {
            Values::Empty => Ok(()),
            Values::String(values) => values.write(out),
            Values::Bool(values) => values.write(out),
            Values::Int(values) => values.write(out),
            Values::Double(values) => values.write(out),
            Values::Binary(values) => values.write(out),
        }
    }

    fn read(input: &mut In) -> Result<Self, ChunkFileError> {
        let key = input.bytes()?;
        let key = std::str::from_utf8(&key).map_err(|_| ChunkFileError::Damaged("a key"))?;
        let key: Arc<str> = Arc::from(key);
        let Some(&value_type) = ValueType::ALL.get(input.length()?) else {
            return Err(ChunkFileError::Damaged("a value type"));
        };
        let rows = Part::read(input)?;
        let values = match value_type {
            ValueType::Empty => Values::Empty,
            ValueType::String => Values::String(Part::read(input)?),
            ValueType::Bool => Values::Bool(Part::read(input)?),
            ValueType::Int => Values::Int(PrimitiveArray::<Int64Type>::read(input)?),
            ValueType::Double => Values::Double(PrimitiveArray::<Float64Type>::read(input)?),
            ValueType::Bytes | ValueType::Array | ValueType::Map => {
                Values::Binary(Part::read(input)?)
            }
        };
        Ok(Self { key, value_type, rows, values })
    }
}

impl Part for Vec<AttributeColumn> {
    fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<()> {
        out.length(self.len())?;
        self.iter().try_for_each(|column| column.write(out))
    }

    fn read(input: &mut In) -> Result<Self, ChunkFileError> {
        (0..input.length()?).map(|_| AttributeColumn::read(input)).collect()
    }
}

/// Writes and reads a struct field by field, in the order given.
macro_rules! fields {
    ($($name:ident { $($field:ident),+ $(,)? })+) => { $(
        impl Part for $name {
            fn write<W: Write>(&self, out: &mut Out<W>) -> io::Result<()> {
                $( self.$field.write(out)?; )+
                Ok(())
            }

            fn read(input: &mut In) -> Result<Self, ChunkFileError> {
                Ok(Self { $( $field: Part::read(input)?, )+ })
            }
        }
    )+ };
}

fields! {
    AttributeTable { columns, shape_of_row, shape_ends, shape_columns }
    Resources { schema_url, dropped_attributes, entity_refs, attributes }
    Scopes { name, version, schema_url, dropped_attributes, attributes }
}
