//! A column that is put together value by value, out of lists.

use arrow_array::{BinaryArray, BooleanArray, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use suyuan_model::{AttributeColumn, Strings, ValueRef, ValueType, Values};

/// Rows in ascending order, a row as often as it has the key.
#[derive(Default)]
pub(crate) struct GrowingColumn {
    rows: Vec<u32>,
    /// Where each text or value of bytes ends; starts with 0.
    ends: Vec<usize>,
    bytes: Vec<u8>,
    bools: Vec<bool>,
    ints: Vec<i64>,
    doubles: Vec<f64>,
}

impl GrowingColumn {
    pub(crate) fn new() -> Self {
        Self { ends: vec![0], ..Self::default() }
    }

    /// All values of a column have one type.
    pub(crate) fn push(&mut self, row: u32, value: ValueRef<'_>) {
        self.rows.push(row);
        match value {
            ValueRef::Empty => {}
            ValueRef::Bool(value) => self.bools.push(value),
            ValueRef::Int(value) => self.ints.push(value),
            ValueRef::Double(value) => self.doubles.push(value),
            ValueRef::String(text) => self.push_bytes(text.as_bytes()),
            ValueRef::Bytes(bytes) | ValueRef::Array(bytes) | ValueRef::Map(bytes) => {
                self.push_bytes(bytes);
            }
        }
    }

    pub(crate) fn last_row(&self) -> Option<u32> {
        self.rows.last().copied()
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    /// The column with these values behind those that it has already, row by row. Nothing if they
    /// take too many bytes.
    pub(super) fn merged_with(self, column: &AttributeColumn) -> Option<AttributeColumn> {
        let (key, value_type) = (&column.key, column.value_type);
        let later = self.finish(key, value_type)?;
        if column.rows.is_empty() {
            return Some(later);
        }
        let mut merged = Self::new();
        let mut next = 0;
        for (position, row) in column.rows.iter().enumerate() {
            while later.rows.get(next).is_some_and(|later_row| later_row < row) {
                merged.push(later.rows[next], later.value(next));
                next += 1;
            }
            merged.push(*row, column.value(position));
        }
        for position in next..later.rows.len() {
            merged.push(later.rows[position], later.value(position));
        }
        merged.finish(key, value_type)
    }

    pub(crate) fn finish(
        self,
        key: &std::sync::Arc<str>,
        value_type: ValueType,
    ) -> Option<AttributeColumn> {
        i32::try_from(self.bytes.len()).ok()?;
        let ends: Vec<i32> = self.ends.iter().map(|end| *end as i32).collect();
        let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
        let bytes = Buffer::from_vec(self.bytes);
        let values = match value_type {
            ValueType::Empty => Values::Empty,
            ValueType::String => {
                Values::String(Strings::Plain(StringArray::try_new(ends, bytes, None).ok()?))
            }
            ValueType::Bool => Values::Bool(BooleanArray::from(self.bools)),
            ValueType::Int => Values::Int(self.ints.into()),
            ValueType::Double => Values::Double(self.doubles.into()),
            ValueType::Bytes | ValueType::Array | ValueType::Map => {
                Values::Binary(BinaryArray::new(ends, bytes, None))
            }
        };
        Some(AttributeColumn { key: key.clone(), value_type, rows: self.rows.into(), values })
    }
}
