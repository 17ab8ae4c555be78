//! One column of some rows of a file, in memory: what is written to a column chunk and what comes
//! back from one.
//!
//! A column that some rows leave empty names the rows that have a value, as the model's attribute
//! columns do, so that a rare key costs what it holds. Row numbers count from the first row of
//! what was written or asked for.

use std::ops::Range;

use arrow_array::{BinaryArray, FixedSizeBinaryArray};
use arrow_buffer::{BooleanBuffer, ScalarBuffer};
use suyuan_model::Strings;

/// Values, and the rows they belong to.
#[derive(Clone, Debug)]
pub struct Column {
    /// Ascending, as long as the values; `None`: every row has one.
    pub rows: Option<ScalarBuffer<u32>>,
    pub values: Values,
}

/// The values of a column: one variant for each [`Kind`].
#[derive(Clone, Debug)]
pub enum Values {
    /// A dictionary's values are distinct. Whether the file keeps the dictionary is decided by what
    /// it saves, not by the variant.
    Text(Strings),
    Bytes(BinaryArray),
    /// 16 bytes each.
    Id(FixedSizeBinaryArray),
    U64(ScalarBuffer<u64>),
    I64(ScalarBuffer<i64>),
    U32(ScalarBuffer<u32>),
    I32(ScalarBuffer<i32>),
    F64(ScalarBuffer<f64>),
    Bool(BooleanBuffer),
}

/// What a column holds, and as which Parquet type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `BYTE_ARRAY`, annotated as string.
    Text,
    /// `BYTE_ARRAY`.
    Bytes,
    /// `FIXED_LEN_BYTE_ARRAY(16)`.
    Id,
    /// `INT64`, annotated as unsigned.
    U64,
    /// `INT64`.
    I64,
    /// `INT32`, annotated as unsigned.
    U32,
    /// `INT32`.
    I32,
    /// `DOUBLE`.
    F64,
    /// `BOOLEAN`.
    Bool,
}

/// How a column is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSpec {
    pub name: String,
    pub kind: Kind,
    /// Whether rows may leave it empty (`OPTIONAL` instead of `REQUIRED`).
    pub is_optional: bool,
    pub encoding: Encoding,
    pub compression: Compression,
    /// Whether every row group gets a bloom filter of the column's values.
    pub has_bloom: bool,
}

impl ColumnSpec {
    /// A column of which every row has a value; compressed, without bloom filters.
    pub(crate) fn required(name: &str, kind: Kind, encoding: Encoding) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            is_optional: false,
            encoding,
            compression: Compression::Zstd,
            has_bloom: false,
        }
    }

    /// As [`Self::required`], for a column that rows may leave empty.
    pub(crate) fn optional(name: &str, kind: Kind, encoding: Encoding) -> Self {
        Self { is_optional: true, ..Self::required(name, kind, encoding) }
    }
}

/// How values become the bytes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Plain,
    /// `BYTE_STREAM_SPLIT`: for nanoseconds.
    Split,
    /// A dictionary where it takes fewer bytes than the plain values, decided per row group.
    Dictionary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// For what no codec can touch, such as span ids.
    None,
    Zstd,
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Bytes(values) => arrow_array::Array::len(values),
            Self::Id(values) => arrow_array::Array::len(values),
            Self::U64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::Bool(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of the values, which stay where they are.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        let (start, len) = (range.start, range.len());
        match self {
            Self::Text(Strings::Dictionary { codes, values }) => Self::Text(Strings::Dictionary {
                codes: codes.slice(start, len),
                values: values.clone(),
            }),
            Self::Text(Strings::Plain(values)) => {
                Self::Text(Strings::Plain(values.slice(start, len)))
            }
            Self::Bytes(values) => Self::Bytes(values.slice(start, len)),
            Self::Id(values) => Self::Id(values.slice(start, len)),
            Self::U64(values) => Self::U64(values.slice(start, len)),
            Self::I64(values) => Self::I64(values.slice(start, len)),
            Self::U32(values) => Self::U32(values.slice(start, len)),
            Self::I32(values) => Self::I32(values.slice(start, len)),
            Self::F64(values) => Self::F64(values.slice(start, len)),
            Self::Bool(values) => Self::Bool(values.slice(start, len)),
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Bytes(_) => Kind::Bytes,
            Self::Id(_) => Kind::Id,
            Self::U64(_) => Kind::U64,
            Self::I64(_) => Kind::I64,
            Self::U32(_) => Kind::U32,
            Self::I32(_) => Kind::I32,
            Self::F64(_) => Kind::F64,
            Self::Bool(_) => Kind::Bool,
        }
    }
}
