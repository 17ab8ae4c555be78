//! Attributes as columns: one column for each key and type, and a shape for each row.
//!
//! A column holds the rows that have the key, so hundreds of rare keys cost only what they hold.
//! A row's **shape** is the sequence of its columns, interned: spans of one kind of call share
//! one. The shape keeps what columns alone would lose: the order in which attributes came, and
//! keys that came twice (the column then holds the row twice, in order).

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow_array::{BinaryArray, BooleanArray, Float64Array, Int64Array, UInt32Array};
use arrow_buffer::{BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::strings::{Strings, StringsBuilder, is_equal};
use crate::value::{ValueRef, ValueType};

/// The attributes of all rows of a table, immutable.
#[derive(Clone, Debug)]
pub struct AttributeTable {
    pub columns: Vec<AttributeColumn>,
    /// For each row the number of its shape.
    pub shape_of_row: UInt32Array,
    /// Shape `n` is `shape_columns[shape_ends[n]..shape_ends[n + 1]]`: indexes into `columns`.
    pub shape_ends: ScalarBuffer<u32>,
    pub shape_columns: ScalarBuffer<u32>,
}

/// All values of one key and type.
#[derive(Clone, Debug)]
pub struct AttributeColumn {
    pub key: Arc<str>,
    pub value_type: ValueType,
    /// Ascending; a row stands twice if it has the key twice.
    pub rows: ScalarBuffer<u32>,
    pub values: Values,
}

/// The values of one column, as long as its `rows`.
#[derive(Clone, Debug)]
pub enum Values {
    Empty,
    String(Strings),
    Bool(BooleanArray),
    Int(Int64Array),
    Double(Float64Array),
    /// Bytes, arrays and maps; see [`ValueRef`].
    Binary(BinaryArray),
}

impl AttributeTable {
    /// Without shapes: for whoever asks for values by key.
    pub fn of_columns(columns: Vec<AttributeColumn>) -> Self {
        Self {
            columns,
            shape_of_row: UInt32Array::new(ScalarBuffer::default(), None),
            shape_ends: ScalarBuffer::default(),
            shape_columns: ScalarBuffer::default(),
        }
    }

    /// The attributes of a row in the order received, duplicates included.
    pub fn row(&self, row: u32) -> impl Iterator<Item = (&str, ValueRef<'_>)> {
        let shape = self.shape(row);
        shape.iter().enumerate().map(move |(place, &index)| {
            let column = &self.columns[index as usize];
            let earlier = shape[..place].iter().filter(|other| **other == index).count();
            let position = column.rows.partition_point(|r| *r < row) + earlier;
            (&*column.key, column.value(position))
        })
    }

    /// The columns of a row, in the order received.
    pub fn shape(&self, row: u32) -> &[u32] {
        self.shape_columns_of(self.shape_of_row.value(row as usize))
    }

    /// The columns of a shape, in order. Of a shape that no row has, they may be anything.
    pub fn shape_columns_of(&self, shape: u32) -> &[u32] {
        let (start, end) = (self.shape_ends[shape as usize], self.shape_ends[shape as usize + 1]);
        &self.shape_columns[start as usize..end as usize]
    }

    /// The column of a key and type, if any row has it.
    pub fn column(&self, key: &str, value_type: ValueType) -> Option<&AttributeColumn> {
        self.columns.iter().find(|c| c.value_type == value_type && &*c.key == key)
    }
}

impl AttributeColumn {
    /// The value at a position of this column (not at a row of the table).
    pub fn value(&self, position: usize) -> ValueRef<'_> {
        match &self.values {
            Values::Empty => ValueRef::Empty,
            Values::String(values) => ValueRef::String(values.value(position)),
            Values::Bool(values) => ValueRef::Bool(values.value(position)),
            Values::Int(values) => ValueRef::Int(values.value(position)),
            Values::Double(values) => ValueRef::Double(values.value(position)),
            Values::Binary(values) => match self.value_type {
                ValueType::Array => ValueRef::Array(values.value(position)),
                ValueType::Map => ValueRef::Map(values.value(position)),
                _ => ValueRef::Bytes(values.value(position)),
            },
        }
    }
}

/// A builder that has met more keys than this starts anew after the chunk, so that keys which are
/// never seen again do not stay in memory.
const COLUMNS_KEPT_MAX: usize = 4_096;
/// "No column": the successor of a column that has not been followed yet.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct AttributesBuilder {
    columns: Vec<ColumnBuilder>,
    by_key: HashTable<u32>,
    /// The columns of the row that is being written.
    current: Vec<u32>,
    /// The first columns of rows written lately, as in [`ColumnBuilder::followers`].
    firsts: [u32; 2],
    shape_of_row: Vec<u32>,
    shapes: HashTable<u32>,
    /// Seeded at random: keys come from outside.
    hasher: RandomState,
    shape_ends: Vec<u32>,
    shape_columns: Vec<u32>,
}

#[derive(Debug)]
struct ColumnBuilder {
    key: Arc<str>,
    value_type: ValueType,
    /// The two columns that followed this one last, the later one first: nearly all keys are found
    /// by one of these guesses.
    followers: [u32; 2],
    rows: Vec<u32>,
    values: ValuesBuilder,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most columns are text: a box would cost a hop a value"
)]
enum ValuesBuilder {
    Empty,
    String(StringsBuilder),
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Double(Vec<f64>),
    Binary { ends: Vec<i32>, bytes: Vec<u8> },
}

impl Default for AttributesBuilder {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            by_key: HashTable::new(),
            current: Vec::new(),
            firsts: [NONE; 2],
            shape_of_row: Vec::new(),
            shapes: HashTable::new(),
            hasher: RandomState::default(),
            shape_ends: vec![0],
            shape_columns: Vec::new(),
        }
    }
}

impl AttributesBuilder {
    /// Adds an attribute that is no text to the row being written: text may have to be repaired, so
    /// it goes through [`Self::push_string`]. Returns false if the key had to be repaired.
    #[must_use]
    pub(crate) fn push(&mut self, row: u32, key: &[u8], value: ValueRef<'_>) -> bool {
        let (column, key_is_valid) = self.column(row, key, value.value_type());
        column.values.push(value);
        key_is_valid
    }

    /// As [`Self::push`] for text. Returns false if key or text had to be repaired.
    #[must_use]
    pub(crate) fn push_string(&mut self, row: u32, key: &[u8], text: &[u8]) -> bool {
        let (column, key_is_valid) = self.column(row, key, ValueType::String);
        let ValuesBuilder::String(values) = &mut column.values else {
            unreachable!("a column is found by the type of its values");
        };
        values.push(text) && key_is_valid
    }

    /// Gives a row to the column of a key and type. Returns false if the key had to be repaired.
    #[inline(always)]
    fn column(
        &mut self,
        row: u32,
        key: &[u8],
        value_type: ValueType,
    ) -> (&mut ColumnBuilder, bool) {
        let previous = self.current.last().copied();
        let guesses = match previous {
            Some(previous) => self.columns[previous as usize].followers,
            None => self.firsts,
        };
        let is_it = |guess: u32| {
            self.columns.get(guess as usize).is_some_and(|column| column.is(key, value_type))
        };
        let mut found = (guesses[0], true);
        if !is_it(guesses[0]) {
            found = match is_it(guesses[1]) {
                true => (guesses[1], true),
                false => self.find_or_add(key, value_type),
            };
            let followers = [found.0, guesses[0]];
            match previous {
                Some(previous) => self.columns[previous as usize].followers = followers,
                None => self.firsts = followers,
            }
        }
        let (index, key_is_valid) = found;
        self.current.push(index);
        let column = &mut self.columns[index as usize];
        column.rows.push(row);
        (column, key_is_valid)
    }

    #[inline(never)]
    fn find_or_add(&mut self, key: &[u8], value_type: ValueType) -> (u32, bool) {
        if let Some(index) = self.find(key, value_type) {
            return (index, true);
        }
        let text = String::from_utf8_lossy(key);
        let is_valid = text.as_bytes() == key;
        if !is_valid && let Some(index) = self.find(text.as_bytes(), value_type) {
            return (index, false);
        }
        let index = self.columns.len() as u32;
        self.columns.push(ColumnBuilder {
            key: Arc::from(&*text),
            value_type,
            followers: [NONE; 2],
            rows: Vec::new(),
            values: ValuesBuilder::new(value_type),
        });
        let columns = &self.columns;
        let hasher = &self.hasher;
        self.by_key.insert_unique(key_hash(hasher, text.as_bytes(), value_type), index, |index| {
            let column = &columns[*index as usize];
            key_hash(hasher, column.key.as_bytes(), column.value_type)
        });
        (index, is_valid)
    }

    fn find(&self, key: &[u8], value_type: ValueType) -> Option<u32> {
        self.by_key
            .find(key_hash(&self.hasher, key, value_type), |index| {
                self.columns[*index as usize].is(key, value_type)
            })
            .copied()
    }

    /// How many keys and types it knows.
    pub(crate) fn n_columns(&self) -> usize {
        self.columns.len()
    }

    /// How many attributes the row being written has so far.
    pub(crate) fn current_len(&self) -> usize {
        self.current.len()
    }

    /// Ends the row.
    pub(crate) fn finish_row(&mut self) {
        let hash = self.hasher.hash_one(&self.current[..]);
        let (ends, columns) = (&self.shape_ends, &self.shape_columns);
        let shape_at =
            |shape: u32| &columns[ends[shape as usize] as usize..ends[shape as usize + 1] as usize];
        let found = self.shapes.find(hash, |shape| shape_at(*shape) == self.current).copied();
        let shape = match found {
            Some(shape) => shape,
            None => {
                let shape = (ends.len() - 1) as u32;
                let hasher = &self.hasher;
                self.shapes.insert_unique(hash, shape, |other| hasher.hash_one(shape_at(*other)));
                self.shape_columns.extend_from_slice(&self.current);
                self.shape_ends.push(self.shape_columns.len() as u32);
                shape
            }
        };
        self.shape_of_row.push(shape);
        self.current.clear();
    }

    /// Takes back what was pushed since the last finished row.
    pub(crate) fn abandon_row(&mut self) {
        while let Some(index) = self.current.pop() {
            self.columns[index as usize].pop();
        }
    }

    /// Takes back all rows from `rows` on. There must be no row half written.
    pub(crate) fn truncate(&mut self, rows: usize) {
        debug_assert!(self.current.is_empty(), "a row is half written");
        while self.shape_of_row.len() > rows {
            let shape = self.shape_of_row.pop().unwrap_or_default() as usize;
            let range = self.shape_ends[shape] as usize..self.shape_ends[shape + 1] as usize;
            for place in range {
                let index = self.shape_columns[place] as usize;
                self.columns[index].pop();
            }
        }
    }

    /// Empties the table for the next chunk; keys, guesses and dictionaries' verdicts stay.
    pub(crate) fn clear(&mut self) {
        if self.columns.len() > COLUMNS_KEPT_MAX {
            *self = Self::default();
            return;
        }
        for column in &mut self.columns {
            column.rows.clear();
            column.values.clear();
        }
        self.shape_of_row.clear();
        self.shapes.clear();
        self.shape_ends.truncate(1);
        self.shape_columns.clear();
    }

    pub(crate) fn freeze(&self) -> AttributeTable {
        let mut new_index = vec![NONE; self.columns.len()];
        let mut columns = Vec::new();
        for (index, column) in self.columns.iter().enumerate().filter(|(_, c)| !c.rows.is_empty()) {
            new_index[index] = columns.len() as u32;
            columns.push(column.freeze());
        }
        // A shape whose rows were all taken back may name columns that are empty now; nobody asks
        // for such a shape, its places may be anything.
        let shape_columns = self.shape_columns.iter().map(|index| new_index[*index as usize]);
        AttributeTable {
            columns,
            shape_of_row: self.shape_of_row.clone().into(),
            shape_ends: self.shape_ends.clone().into(),
            shape_columns: shape_columns.collect(),
        }
    }
}

fn key_hash(hasher: &RandomState, key: &[u8], value_type: ValueType) -> u64 {
    hasher.hash_one((value_type, key))
}

impl ColumnBuilder {
    fn is(&self, key: &[u8], value_type: ValueType) -> bool {
        self.value_type == value_type && is_equal(self.key.as_bytes(), key)
    }

    fn pop(&mut self) {
        self.rows.pop();
        self.values.truncate(self.rows.len());
    }

    fn freeze(&self) -> AttributeColumn {
        AttributeColumn {
            key: self.key.clone(),
            value_type: self.value_type,
            rows: self.rows.clone().into(),
            values: self.values.freeze(),
        }
    }
}

impl ValuesBuilder {
    fn new(value_type: ValueType) -> Self {
        match value_type {
            ValueType::Empty => Self::Empty,
            ValueType::String => Self::String(StringsBuilder::default()),
            ValueType::Bool => Self::Bool(Vec::new()),
            ValueType::Int => Self::Int(Vec::new()),
            ValueType::Double => Self::Double(Vec::new()),
            ValueType::Bytes | ValueType::Array | ValueType::Map => {
                Self::Binary { ends: vec![0], bytes: Vec::new() }
            }
        }
    }

    fn push(&mut self, value: ValueRef<'_>) {
        match (self, value) {
            (Self::Int(values), ValueRef::Int(value)) => values.push(value),
            (Self::Bool(values), ValueRef::Bool(value)) => values.push(value),
            (Self::Double(values), ValueRef::Double(value)) => values.push(value),
            (
                Self::Binary { ends, bytes },
                ValueRef::Bytes(value) | ValueRef::Array(value) | ValueRef::Map(value),
            ) => {
                bytes.extend_from_slice(value);
                ends.push(bytes.len() as i32);
            }
            (Self::Empty, ValueRef::Empty) => {}
            _ => unreachable!(
                "a column is found by the type of its values, and text is pushed apart"
            ),
        }
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Self::Empty => {}
            Self::String(values) => values.truncate(len),
            Self::Bool(values) => values.truncate(len),
            Self::Int(values) => values.truncate(len),
            Self::Double(values) => values.truncate(len),
            Self::Binary { ends, bytes } => {
                ends.truncate(len + 1);
                bytes.truncate(ends[len] as usize);
            }
        }
    }

    fn clear(&mut self) {
        match self {
            Self::String(values) => values.clear(),
            other => other.truncate(0),
        }
    }

    fn freeze(&self) -> Values {
        match self {
            Self::Empty => Values::Empty,
            Self::String(values) => Values::String(values.freeze()),
            Self::Bool(values) => {
                Values::Bool(BooleanArray::new(BooleanBuffer::from(values.as_slice()), None))
            }
            Self::Int(values) => Values::Int(values.clone().into()),
            Self::Double(values) => Values::Double(values.clone().into()),
            Self::Binary { ends, bytes } => Values::Binary(freeze_binary(ends, bytes)),
        }
    }
}

pub(crate) fn freeze_binary(ends: &[i32], bytes: &[u8]) -> BinaryArray {
    BinaryArray::new(
        OffsetBuffer::new(ScalarBuffer::from(ends.to_vec())),
        Buffer::from_slice_ref(bytes),
        None,
    )
}
