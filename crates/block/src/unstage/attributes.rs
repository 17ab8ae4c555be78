//! Attribute columns, overflow and order back to one table of attributes.
//!
//! In: the columns of a [`Part`] and the layout's ranks. Out: an [`AttributeTable`]. Columns become
//! columns as they are; a row of columns alone is told by the set of its columns (128 bits), and
//! only rows with something in the overflow, or an order of their own, are lined up one by one.

use std::collections::HashMap;

use arrow_array::{BinaryArray, BooleanArray, Float64Array, Int64Array, UInt32Array};
use arrow_buffer::ScalarBuffer;
use foldhash::fast::RandomState;
use suyuan_model::{AttributeColumn, AttributeTable, ValueType, Values};

pub(crate) use self::growing::GrowingColumn;
use super::part::rows_of;
use super::{Part, UnstageError};
use crate::column::{self, Column};
use crate::key_values;
use crate::layout::{
    COLUMNS_MAX, TableLayout, overflow_bucket, parse_attribute_column_name,
    parse_overflow_column_name,
};

mod growing;

/// The attributes of all rows of a part.
pub(super) fn attributes(
    layout: &TableLayout,
    part: &Part<'_>,
) -> Result<AttributeTable, UnstageError> {
    if part.named().any(|(name, _)| name == "attributes") {
        return list(part);
    }
    let mut table = Reassembly::default();
    table.add_columns(layout, part)?;
    for (name, _) in part.named().filter(|(name, _)| name.starts_with("overflow_")) {
        let columns = layout.overflow_columns;
        let bucket = parse_overflow_column_name(name, columns).ok_or_else(|| {
            UnstageError::NoSuchOverflow { column: name.to_owned(), n_columns: columns.count() }
        })?;
        table.add_list(name, part, Some((layout, bucket)))?;
    }
    let orders = part.sparse_bytes("attribute_order")?;
    table.finish(part.n_rows, orders)
}

/// The attributes of a part that has them as a list.
pub(super) fn list(part: &Part<'_>) -> Result<AttributeTable, UnstageError> {
    let mut table = Reassembly::default();
    table.add_list("attributes", part, None)?;
    table.finish(part.n_rows, None)
}

#[derive(Default)]
struct Reassembly {
    /// Those of the file first, by rank; then those that were found in lists.
    columns: Vec<AttributeColumn>,
    ranks: Vec<u32>,
    n_file_columns: usize,
    by_key: HashMap<String, [u32; ValueType::ALL.len()], RandomState>,
    /// For each column what lists had of it, if they had any.
    growing: Vec<Option<GrowingColumn>>,
    items: Vec<Item>,
}

/// An attribute that was found in a list.
#[derive(Clone, Copy)]
struct Item {
    row: u32,
    column: u32,
}

const NONE: u32 = u32::MAX;

impl Reassembly {
    fn add_columns(&mut self, layout: &TableLayout, part: &Part<'_>) -> Result<(), UnstageError> {
        let mut columns = Vec::new();
        for (name, column) in part.named() {
            let Some((value_type, key)) = parse_attribute_column_name(name) else { continue };
            let rows = rows_of(name, column, part.n_rows)?;
            let values = values(name, column, value_type)?;
            if rows.is_empty() {
                continue;
            }
            let column = AttributeColumn { key: key.into(), value_type, rows, values };
            columns.push((layout.rank(key, value_type), column));
        }
        if columns.len() > COLUMNS_MAX {
            return Err(UnstageError::TooManyColumns);
        }
        columns.sort_by_key(|(rank, _)| *rank);
        for (rank, column) in columns {
            self.add_column(rank, column);
        }
        self.n_file_columns = self.columns.len();
        Ok(())
    }

    fn add_column(&mut self, rank: u32, column: AttributeColumn) -> u32 {
        let number = self.columns.len() as u32;
        let of_types = self.by_key.entry(column.key.to_string()).or_insert([NONE; _]);
        of_types[column.value_type as usize] = number;
        self.columns.push(column);
        self.ranks.push(rank);
        self.growing.push(None);
        number
    }

    /// `bucket`: which one the list is, if it is one of several.
    fn add_list(
        &mut self,
        name: &str,
        part: &Part<'_>,
        bucket: Option<(&TableLayout, usize)>,
    ) -> Result<(), UnstageError> {
        let Some((rows, lists)) = part.sparse_bytes(name)? else { return Ok(()) };
        for (position, row) in rows.iter().enumerate() {
            for found in key_values::key_values(lists.value(position)) {
                let (key, value) = found
                    .map_err(|error| UnstageError::KeyValues { column: name.to_owned(), error })?;
                let column = self.column_of(key, value.value_type(), bucket).ok_or_else(|| {
                    UnstageError::Misplaced { column: name.to_owned(), row: *row }
                })?;
                self.items.push(Item { row: *row, column });
                let growing = &mut self.growing[column as usize];
                growing.get_or_insert_with(GrowingColumn::new).push(*row, value);
            }
        }
        Ok(())
    }

    /// The column for an attribute of a list; nothing if its key belongs to another list.
    fn column_of(
        &mut self,
        key: &str,
        value_type: ValueType,
        bucket: Option<(&TableLayout, usize)>,
    ) -> Option<u32> {
        let is_here = bucket
            .is_none_or(|(layout, bucket)| bucket == overflow_bucket(key, layout.overflow_columns));
        if !is_here {
            return None;
        }
        if let Some(of_types) = self.by_key.get(key)
            && of_types[value_type as usize] != NONE
        {
            return Some(of_types[value_type as usize]);
        }
        let rank = bucket.map_or(0, |(layout, _)| layout.rank(key, value_type));
        let rows = ScalarBuffer::from(Vec::new());
        let column = AttributeColumn { key: key.into(), value_type, rows, values: Values::Empty };
        Some(self.add_column(rank, column))
    }

    fn finish(
        mut self,
        n_rows: u32,
        orders: Option<(ScalarBuffer<u32>, BinaryArray)>,
    ) -> Result<AttributeTable, UnstageError> {
        let mut shapes = Shapes::default();
        let sets = self.column_sets(n_rows);
        let mut shape_of_row: Vec<u32> = sets.iter().map(|set| shapes.of_set(*set)).collect();
        // Stable: what a row has in several lists stays in the order of the lists.
        self.items.sort_by_key(|item| item.row);
        let mut items = self.items.chunk_by(|left, right| left.row == right.row).peekable();
        let mut orders =
            orders.iter().flat_map(|(rows, orders)| rows.iter().zip(orders)).peekable();
        let mut line = Vec::new();
        loop {
            let row_of_items = items.peek().map(|items| items[0].row);
            let row_of_order = orders.peek().map(|(row, _)| **row);
            let Some(row) = row_of_items.into_iter().chain(row_of_order).min() else { break };
            line.clear();
            line.extend(columns_of_set(sets[row as usize]));
            if let Some(items) = items.next_if(|items| items[0].row == row) {
                line.extend(items.iter().map(|item| item.column));
            }
            line.sort_by_key(|column| self.ranks[*column as usize]);
            if let Some((_, order)) = orders.next_if(|(other, _)| **other == row) {
                line = put_in_order(&line, order.unwrap_or_default())
                    .ok_or(UnstageError::WrongOrder { row })?;
            }
            shape_of_row[row as usize] = shapes.of_columns(&line);
        }
        for (column, growing) in self.columns.iter_mut().zip(self.growing) {
            if let Some(growing) = growing {
                *column = growing.merged_with(column).ok_or(UnstageError::TooManyBytes)?;
            }
        }
        Ok(AttributeTable {
            columns: self.columns,
            shape_of_row: UInt32Array::new(shape_of_row.into(), None),
            shape_ends: shapes.ends.into(),
            shape_columns: shapes.columns.into(),
        })
    }

    /// For each row the columns of the file that it has: bit `n` for column `n`.
    fn column_sets(&self, n_rows: u32) -> Vec<u128> {
        let mut sets = vec![0u128; n_rows as usize];
        for (number, column) in self.columns[..self.n_file_columns].iter().enumerate() {
            for row in column.rows.iter() {
                sets[*row as usize] |= 1 << number;
            }
        }
        sets
    }
}

/// Sequences of columns, each of which is one shape.
struct Shapes {
    ends: Vec<u32>,
    columns: Vec<u32>,
    by_set: HashMap<u128, u32, RandomState>,
    by_columns: HashMap<Box<[u32]>, u32, RandomState>,
    /// The set that was asked for last, and its shape.
    last: Option<(u128, u32)>,
}

impl Default for Shapes {
    fn default() -> Self {
        Self {
            ends: vec![0],
            columns: Vec::new(),
            by_set: HashMap::default(),
            by_columns: HashMap::default(),
            last: None,
        }
    }
}

impl Shapes {
    fn of_set(&mut self, set: u128) -> u32 {
        if let Some((last_set, shape)) = self.last
            && last_set == set
        {
            return shape;
        }
        let shape = match self.by_set.get(&set) {
            Some(shape) => *shape,
            None => {
                let columns: Vec<u32> = columns_of_set(set).collect();
                let shape = self.of_columns(&columns);
                self.by_set.insert(set, shape);
                shape
            }
        };
        self.last = Some((set, shape));
        shape
    }

    fn of_columns(&mut self, columns: &[u32]) -> u32 {
        if let Some(shape) = self.by_columns.get(columns) {
            return *shape;
        }
        let shape = self.by_columns.len() as u32;
        self.columns.extend_from_slice(columns);
        self.ends.push(self.columns.len() as u32);
        self.by_columns.insert(columns.into(), shape);
        shape
    }
}

fn columns_of_set(set: u128) -> impl Iterator<Item = u32> {
    let mut rest = set;
    std::iter::from_fn(move || {
        let column = (rest != 0).then(|| rest.trailing_zeros())?;
        rest &= rest - 1;
        Some(column)
    })
}

/// The line of columns as `order` says: for each attribute received, its place in the line. Nothing
/// if it does not name each place once.
fn put_in_order(line: &[u32], order: &[u8]) -> Option<Vec<u32>> {
    let mut left: Vec<Option<u32>> = line.iter().copied().map(Some).collect();
    let mut in_order = Vec::with_capacity(line.len());
    let mut place = 0usize;
    let mut n_bits = 0;
    for byte in order {
        place |= usize::from(byte & 0x7f) << n_bits;
        if *byte < 0x80 {
            in_order.push(left.get_mut(place)?.take()?);
            (place, n_bits) = (0, 0);
            continue;
        }
        n_bits += 7;
        if n_bits > 28 {
            return None;
        }
    }
    (in_order.len() == line.len() && n_bits == 0).then_some(in_order)
}

fn values(name: &str, column: &Column, value_type: ValueType) -> Result<Values, UnstageError> {
    use column::Values as Stored;
    Ok(match (value_type, &column.values) {
        (ValueType::String, Stored::Text(values)) => Values::String(values.clone()),
        (ValueType::Bool, Stored::Bool(values)) => {
            Values::Bool(BooleanArray::new(values.clone(), None))
        }
        (ValueType::Int, Stored::I64(values)) => Values::Int(Int64Array::new(values.clone(), None)),
        (ValueType::Double, Stored::F64(values)) => {
            Values::Double(Float64Array::new(values.clone(), None))
        }
        (ValueType::Bytes | ValueType::Array | ValueType::Map, Stored::Bytes(values)) => {
            Values::Binary(values.clone())
        }
        _ => return Err(UnstageError::WrongKind { column: name.to_owned() }),
    })
}
