//! The value of an attribute, and its type.

/// The type of an attribute's value. A key that comes with two types is two columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ValueType {
    /// A key without a value (OTLP's `AnyValue` with no member set).
    Empty = 0,
    String = 1,
    Bool = 2,
    Int = 3,
    Double = 4,
    Bytes = 5,
    Array = 6,
    Map = 7,
}

impl ValueType {
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::String,
        Self::Bool,
        Self::Int,
        Self::Double,
        Self::Bytes,
        Self::Array,
        Self::Map,
    ];
}

/// A value borrowed from a column or from a request.
///
/// Arrays and maps stay as the bytes of OTLP's `ArrayValue` and `KeyValueList` messages, so that
/// nesting, order and types survive without loss; `wire` reads and writes them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    Empty,
    String(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    Array(&'a [u8]),
    Map(&'a [u8]),
}

impl ValueRef<'_> {
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Empty => ValueType::Empty,
            Self::String(_) => ValueType::String,
            Self::Bool(_) => ValueType::Bool,
            Self::Int(_) => ValueType::Int,
            Self::Double(_) => ValueType::Double,
            Self::Bytes(_) => ValueType::Bytes,
            Self::Array(_) => ValueType::Array,
            Self::Map(_) => ValueType::Map,
        }
    }
}
