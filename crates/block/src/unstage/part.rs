//! Columns of some rows of a file, found by their names.
//!
//! In: columns as a reader gives them. Out: arrays as a chunk has them, checked: of the right type,
//! as long as they must be, their rows in order.

use std::ops::Range;

use arrow_array::{BinaryArray, FixedSizeBinaryArray, StringArray, UInt32Array};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use suyuan_model::{Sparse, Strings};

use super::{UnstageError, zeros};
use crate::column::{Column, Values};

/// Columns of the same rows.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub n_rows: u32,
    /// The name of each column.
    pub names: &'a [&'a str],
    pub columns: &'a [Column],
}

impl<'a> Part<'a> {
    pub(super) const EMPTY: Part<'static> = Part { n_rows: 0, names: &[], columns: &[] };

    pub(super) fn named(&self) -> impl Iterator<Item = (&'a str, &'a Column)> + use<'a> {
        self.names.iter().copied().zip(self.columns)
    }

    fn column(&self, name: &str) -> Option<&'a Column> {
        self.named().find(|(other, _)| *other == name).map(|(_, column)| column)
    }

    pub(super) fn u32s(&self, name: &str) -> Result<Option<ScalarBuffer<u32>>, UnstageError> {
        self.full(name, |values| match values {
            Values::U32(values) => Some(values.clone()),
            _ => None,
        })
    }

    pub(super) fn i32s(&self, name: &str) -> Result<Option<ScalarBuffer<i32>>, UnstageError> {
        self.full(name, |values| match values {
            Values::I32(values) => Some(values.clone()),
            _ => None,
        })
    }

    pub(super) fn u64s(&self, name: &str) -> Result<Option<ScalarBuffer<u64>>, UnstageError> {
        self.full(name, |values| match values {
            Values::U64(values) => Some(values.clone()),
            _ => None,
        })
    }

    pub(super) fn i64s(&self, name: &str) -> Result<Option<ScalarBuffer<i64>>, UnstageError> {
        self.full(name, |values| match values {
            Values::I64(values) => Some(values.clone()),
            _ => None,
        })
    }

    pub(super) fn trace_ids(&self) -> Result<FixedSizeBinaryArray, UnstageError> {
        let ids = self.full("trace_id", |values| match values {
            Values::Id(values) => (values.value_length() == 16).then(|| values.clone()),
            _ => None,
        })?;
        Ok(ids.unwrap_or_else(|| {
            let zeros = Buffer::from_vec(vec![0u8; 16 * self.n_rows as usize]);
            FixedSizeBinaryArray::new(16, zeros, None)
        }))
    }

    /// Texts that every row has; empty ones if they were not asked for.
    pub(super) fn texts(&self, name: &str) -> Result<Strings, UnstageError> {
        let texts = self.full(name, |values| match values {
            Values::Text(values) => Some(values.clone()),
            _ => None,
        })?;
        Ok(texts.unwrap_or_else(|| Strings::Dictionary {
            codes: zeros(self.n_rows),
            values: StringArray::from_iter_values([""]),
        }))
    }

    pub(super) fn sparse_texts(&self, name: &str) -> Result<Sparse<Strings>, UnstageError> {
        let sparse = self.sparse(name, |values| match values {
            Values::Text(values) => Some(values.clone()),
            _ => None,
        })?;
        let empty = || Strings::Plain(StringArray::new_null(0));
        let (rows, values) = sparse.unwrap_or_else(|| (zeros(0), empty()));
        Ok(Sparse { rows, values })
    }

    pub(super) fn counts(&self, name: &str) -> Result<Sparse<UInt32Array>, UnstageError> {
        let sparse = self.sparse(name, |values| match values {
            Values::U32(values) => Some(values.clone()),
            _ => None,
        })?;
        let (rows, values) = sparse.unwrap_or_else(|| (zeros(0), zeros(0)));
        Ok(Sparse { rows, values: UInt32Array::new(values, None) })
    }

    pub(super) fn sparse_u64s(
        &self,
        name: &str,
    ) -> Result<(ScalarBuffer<u32>, ScalarBuffer<u64>), UnstageError> {
        let sparse = self.sparse(name, |values| match values {
            Values::U64(values) => Some(values.clone()),
            _ => None,
        })?;
        Ok(sparse.unwrap_or_else(|| (zeros(0), zeros(0))))
    }

    /// The bytes of every row; rows without any have none.
    pub(super) fn bytes(&self, name: &str) -> Result<BinaryArray, UnstageError> {
        let sparse = self.sparse_bytes(name)?;
        let Some((rows, values)) = sparse else {
            let ends = OffsetBuffer::new_zeroed(self.n_rows as usize);
            return Ok(BinaryArray::new(ends, Buffer::from_vec(Vec::<u8>::new()), None));
        };
        if rows.len() == self.n_rows as usize {
            return Ok(values);
        }
        let mut lengths = vec![0; self.n_rows as usize];
        for (position, row) in rows.iter().enumerate() {
            lengths[*row as usize] = values.value(position).len();
        }
        let first = values.value_offsets()[0] as usize;
        let last = values.value_offsets()[rows.len()] as usize;
        let bytes = values.values().slice_with_length(first, last - first);
        Ok(BinaryArray::new(OffsetBuffer::from_lengths(lengths), bytes, None))
    }

    pub(super) fn sparse_bytes(
        &self,
        name: &str,
    ) -> Result<Option<(ScalarBuffer<u32>, BinaryArray)>, UnstageError> {
        self.sparse(name, |values| match values {
            Values::Bytes(values) => Some(values.clone()),
            _ => None,
        })
    }

    /// Some of the rows, as columns of their own.
    pub(super) fn sliced(&self, rows: Range<usize>) -> Result<Vec<Column>, UnstageError> {
        let slice = |(name, column): (&str, &Column)| {
            if column.rows.is_none() {
                check_len(name, column.values.len(), self.n_rows)?;
                return Ok(Column { rows: None, values: column.values.slice(rows.clone()) });
            }
            let own_rows = rows_of(name, column, self.n_rows)?;
            let start = own_rows.partition_point(|row| (*row as usize) < rows.start);
            let end = own_rows.partition_point(|row| (*row as usize) < rows.end);
            let renumbered = own_rows[start..end].iter().map(|row| row - rows.start as u32);
            let renumbered: ScalarBuffer<u32> = renumbered.collect();
            Ok(Column { rows: Some(renumbered), values: column.values.slice(start..end) })
        };
        self.named().map(slice).collect()
    }

    /// The values of a column that every row has.
    fn full<T>(
        &self,
        name: &str,
        take: impl FnOnce(&Values) -> Option<T>,
    ) -> Result<Option<T>, UnstageError> {
        let Some(column) = self.column(name) else { return Ok(None) };
        check_len(name, column.values.len(), self.n_rows)?;
        match take(&column.values) {
            Some(values) => Ok(Some(values)),
            None => Err(UnstageError::WrongKind { column: name.to_owned() }),
        }
    }

    /// The rows and values of a column that some rows have.
    fn sparse<T>(
        &self,
        name: &str,
        take: impl FnOnce(&Values) -> Option<T>,
    ) -> Result<Option<(ScalarBuffer<u32>, T)>, UnstageError> {
        let Some(column) = self.column(name) else { return Ok(None) };
        let rows = rows_of(name, column, self.n_rows)?;
        match take(&column.values) {
            Some(values) => Ok(Some((rows, values))),
            None => Err(UnstageError::WrongKind { column: name.to_owned() }),
        }
    }
}

/// The rows of a column's values: ascending, each once, none beyond the last.
pub(super) fn rows_of(
    name: &str,
    column: &Column,
    n_rows: u32,
) -> Result<ScalarBuffer<u32>, UnstageError> {
    let Some(rows) = &column.rows else {
        check_len(name, column.values.len(), n_rows)?;
        return Ok((0..n_rows).collect());
    };
    let is_ascending = rows.windows(2).all(|pair| pair[0] < pair[1]);
    let is_within = rows.last().is_none_or(|last| *last < n_rows);
    if rows.len() != column.values.len() || !is_ascending || !is_within {
        return Err(UnstageError::WrongRows { column: name.to_owned(), n_rows });
    }
    Ok(rows.clone())
}

fn check_len(name: &str, len: usize, n_rows: u32) -> Result<(), UnstageError> {
    if len == n_rows as usize {
        return Ok(());
    }
    Err(UnstageError::WrongRows { column: name.to_owned(), n_rows })
}
