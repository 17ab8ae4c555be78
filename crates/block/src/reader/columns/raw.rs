//! Columns of a file as read, taken one by one by their names, checked.
//!
//! The file reader has seen to it that a column has as many values as rows, and that rows ascend;
//! what a file may still do is to call a column of another kind by the name.

use arrow_array::{BinaryArray, FixedSizeBinaryArray};
use arrow_buffer::ScalarBuffer;
use suyuan_model::{Sparse, Strings};

use super::attributes::all_rows;
use crate::column::{Column, Values};
use crate::unstage::UnstageError;

/// Columns of the same rows.
pub(super) struct RawColumns<'a> {
    names: Vec<&'a str>,
    columns: Vec<Column>,
    n_rows: u32,
}

/// A method that takes the column of a kind, every row of which has a value.
macro_rules! required {
    ($($name:ident: $kind:ident -> $values:ty;)*) => {$(
        pub(super) fn $name(&mut self, name: &str) -> Result<Option<$values>, UnstageError> {
            self.required(name, |values| match values {
                Values::$kind(values) => Some(values),
                _ => None,
            })
        }
    )*};
}

impl<'a> RawColumns<'a> {
    pub(super) fn new(names: Vec<&'a str>, columns: Vec<Column>, n_rows: u32) -> Self {
        Self { names, columns, n_rows }
    }

    required! {
        u32s: U32 -> ScalarBuffer<u32>;
        u64s: U64 -> ScalarBuffer<u64>;
        i32s: I32 -> ScalarBuffer<i32>;
        i64s: I64 -> ScalarBuffer<i64>;
        texts: Text -> Strings;
        binaries: Bytes -> BinaryArray;
        trace_ids: Id -> FixedSizeBinaryArray;
    }

    pub(super) fn sparse_texts(
        &mut self,
        name: &str,
    ) -> Result<Option<Sparse<Strings>>, UnstageError> {
        let Some(column) = self.take(name) else { return Ok(None) };
        match column.values {
            Values::Text(values) => {
                let rows = column.rows.unwrap_or_else(|| all_rows(self.n_rows));
                Ok(Some(Sparse { rows, values }))
            }
            _ => Err(UnstageError::WrongKind { column: name.to_owned() }),
        }
    }

    pub(super) fn sparse_u64s(
        &mut self,
        name: &str,
    ) -> Result<Option<Sparse<ScalarBuffer<u64>>>, UnstageError> {
        let Some(column) = self.take(name) else { return Ok(None) };
        match column.values {
            Values::U64(values) => {
                let rows = column.rows.unwrap_or_else(|| all_rows(self.n_rows));
                Ok(Some(Sparse { rows, values }))
            }
            _ => Err(UnstageError::WrongKind { column: name.to_owned() }),
        }
    }

    fn required<T>(
        &mut self,
        name: &str,
        of_kind: impl FnOnce(Values) -> Option<T>,
    ) -> Result<Option<T>, UnstageError> {
        let Some(column) = self.take(name) else { return Ok(None) };
        if column.values.len() != self.n_rows as usize {
            return Err(UnstageError::WrongRows { column: name.to_owned(), n_rows: self.n_rows });
        }
        match of_kind(column.values) {
            Some(values) => Ok(Some(values)),
            None => Err(UnstageError::WrongKind { column: name.to_owned() }),
        }
    }

    fn take(&mut self, name: &str) -> Option<Column> {
        let place = self.names.iter().position(|other| *other == name)?;
        self.names.swap_remove(place);
        Some(self.columns.swap_remove(place))
    }
}
