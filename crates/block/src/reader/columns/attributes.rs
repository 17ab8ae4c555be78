//! Attributes of some keys: from columns of their own, or picked out of lists.
//!
//! In: keys, and where the directory says that their values lie. Out: an [`AttributeTable`] of
//! columns without shapes. A list is searched for the bytes of a key before it is parsed: a rare
//! key shares its list with a sixteenth, or a sixty-fourth, of all rare keys.

use std::sync::{Arc, LazyLock};

use arrow_array::{Array, BinaryArray, BooleanArray, Float64Array, Int64Array};
use arrow_buffer::ScalarBuffer;
use memchr::memmem::Finder;
use suyuan_model::{AttributeColumn, AttributeTable, RequiredText, ValueType, Values};

use crate::column::{Column, Values as Stored};
use crate::file::read::Required;
use crate::key_values;
use crate::layout::{Scope, attribute_column_name};
use crate::reader::{BlockReader, KeyPlace, OpenFile, ReadError};
use crate::unstage::{GrowingColumn, UnstageError};

/// Which columns of a file hold the attributes asked for.
#[derive(Default)]
pub(super) struct AttributeReads {
    own: Vec<OwnColumn>,
    lists: Vec<List>,
}

/// All values of a key and type.
struct OwnColumn {
    column: usize,
    key: Arc<str>,
    value_type: ValueType,
}

/// A column of lists, and what is picked out of it.
struct List {
    column: usize,
    picks: Vec<Pick>,
}

/// Values of a key, of all types but those that have a column of their own.
struct Pick {
    key: Arc<str>,
    types: [bool; ValueType::ALL.len()],
}

impl AttributeReads {
    /// What is to be read of `file`, which holds what belongs to `scope`.
    pub(super) fn plan(
        reader: &BlockReader,
        tenant: u32,
        scope: Scope,
        keys: &[Arc<str>],
        file: &OpenFile,
    ) -> Result<Self, ReadError> {
        let mut reads = Self::default();
        for key in keys {
            let mut types = [false; ValueType::ALL.len()];
            for value_type in ValueType::ALL {
                match reader.key_place(tenant, scope, key, value_type) {
                    KeyPlace::Absent => {}
                    KeyPlace::Mixed => types[value_type as usize] = true,
                    KeyPlace::Column { .. } => {
                        let column = file.column(&attribute_column_name(key, value_type))?;
                        reads.own.push(OwnColumn { column, key: key.clone(), value_type });
                    }
                }
            }
            if types.contains(&true)
                && let Some(column) = reader.shared_column(&file.file, key)
            {
                reads.add_pick(column, Pick { key: key.clone(), types });
            }
        }
        Ok(reads)
    }

    fn add_pick(&mut self, column: usize, pick: Pick) {
        match self.lists.iter_mut().find(|list| list.column == column) {
            Some(list) => list.picks.push(pick),
            None => self.lists.push(List { column, picks: vec![pick] }),
        }
    }

    /// The numbers of the columns to read.
    pub(super) fn columns(&self) -> impl Iterator<Item = usize> {
        let own = self.own.iter().map(|own| own.column);
        own.chain(self.lists.iter().map(|list| list.column))
    }

    /// What values must contain: texts what is asked of them, a list the key that is picked out of
    /// it, or what is asked of that. Nothing is required of a key that several columns hold: a value
    /// of another type must not take the place of a text that is left out.
    pub(super) fn required<'a>(&'a self, text: Option<&'a RequiredText>) -> Vec<Required<'a>> {
        let mut required = Vec::new();
        for list in &self.lists {
            let [pick] = &list.picks[..] else { continue };
            let text = text.filter(|text| text.key == pick.key && !self.has_own(&pick.key));
            let literal = text.map_or(&*pick.key, |text| &*text.literal);
            required.push(Required { column: list.column, literal: Finder::new(literal) });
        }
        if let Some(text) = text
            && let Some(column) = self.only_texts(&text.key)
        {
            required.push(Required { column, literal: Finder::new(&*text.literal) });
        }
        required
    }

    fn has_own(&self, key: &str) -> bool {
        self.own.iter().any(|own| &*own.key == key)
    }

    /// The column of the texts under a key, if nothing else is read for the key.
    fn only_texts(&self, key: &str) -> Option<usize> {
        let is_listed = |list: &List| list.picks.iter().any(|pick| &*pick.key == key);
        let mut own = self.own.iter().filter(|own| &*own.key == key);
        let (first, second) = (own.next()?, own.next());
        let is_alone = second.is_none() && !self.lists.iter().any(is_listed);
        (is_alone && first.value_type == ValueType::String).then_some(first.column)
    }

    /// The table of attributes of `n_rows` rows, from the columns in the order of
    /// [`Self::columns`].
    pub(super) fn table(
        self,
        columns: Vec<Column>,
        n_rows: u32,
    ) -> Result<AttributeTable, UnstageError> {
        let mut columns = columns.into_iter();
        let mut attributes = Vec::with_capacity(self.own.len());
        for (own, column) in self.own.into_iter().zip(columns.by_ref()) {
            attributes.push(own.attribute(column, n_rows)?);
        }
        for (list, column) in self.lists.into_iter().zip(columns) {
            list.pick(column, n_rows, &mut attributes)?;
        }
        Ok(AttributeTable::of_columns(attributes))
    }
}

impl OwnColumn {
    fn attribute(self, column: Column, n_rows: u32) -> Result<AttributeColumn, UnstageError> {
        let Self { key, value_type, .. } = self;
        let values = match (value_type, column.values) {
            (ValueType::String, Stored::Text(values)) => Values::String(values),
            (ValueType::Bool, Stored::Bool(values)) => {
                Values::Bool(BooleanArray::new(values, None))
            }
            (ValueType::Int, Stored::I64(values)) => Values::Int(Int64Array::new(values, None)),
            (ValueType::Double, Stored::F64(values)) => {
                Values::Double(Float64Array::new(values, None))
            }
            (ValueType::Bytes | ValueType::Array | ValueType::Map, Stored::Bytes(values)) => {
                Values::Binary(values)
            }
            _ => {
                let column = attribute_column_name(&key, value_type);
                return Err(UnstageError::WrongKind { column });
            }
        };
        let rows = column.rows.unwrap_or_else(|| all_rows(n_rows));
        Ok(AttributeColumn { key, value_type, rows, values })
    }
}

impl List {
    fn pick(
        self,
        column: Column,
        n_rows: u32,
        attributes: &mut Vec<AttributeColumn>,
    ) -> Result<(), UnstageError> {
        let Stored::Bytes(lists) = &column.values else {
            return Err(UnstageError::WrongKind { column: "attributes".to_owned() });
        };
        let rows = column.rows.unwrap_or_else(|| all_rows(n_rows));
        let mut picked: Vec<[Option<GrowingColumn>; ValueType::ALL.len()]> =
            self.picks.iter().map(|_| Default::default()).collect();
        let mut pick_from =
            |position: usize| self.pick_from(lists.value(position), rows[position], &mut picked);
        match &self.picks[..] {
            [pick] if !pick.key.is_empty() => {
                lists_with(lists, pick.key.as_bytes()).try_for_each(&mut pick_from)?
            }
            _ => (0..lists.len()).try_for_each(&mut pick_from)?,
        }
        for (pick, of_types) in self.picks.iter().zip(picked) {
            for (value_type, growing) in ValueType::ALL.into_iter().zip(of_types) {
                let Some(growing) = growing else { continue };
                let column = growing.finish(&pick.key, value_type);
                attributes.push(column.ok_or(UnstageError::TooManyBytes)?);
            }
        }
        Ok(())
    }

    fn pick_from(
        &self,
        list: &[u8],
        row: u32,
        picked: &mut [[Option<GrowingColumn>; ValueType::ALL.len()]],
    ) -> Result<(), UnstageError> {
        for found in key_values::key_values(list) {
            let (key, value) = found.map_err(|error| UnstageError::KeyValues {
                column: "attributes".to_owned(),
                error,
            })?;
            let value_type = value.value_type() as usize;
            let place = self.picks.iter().position(|pick| &*pick.key == key);
            let Some(place) = place.filter(|place| self.picks[*place].types[value_type]) else {
                continue;
            };
            let growing = picked[place][value_type].get_or_insert_with(GrowingColumn::new);
            if growing.last_row() != Some(row) {
                growing.push(row, value);
            }
        }
        Ok(())
    }
}

/// The places of values that contain some bytes, each once.
fn lists_with<'a>(lists: &'a BinaryArray, bytes: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let offsets = lists.value_offsets();
    let finder = Finder::new(bytes);
    let mut place = 0;
    std::iter::from_fn(move || {
        let start = *offsets.get(place)? as usize;
        let end = *offsets.last()? as usize;
        let found = start + finder.find(lists.values().get(start..end)?)?;
        // Of empty values the offsets are equal: the last one that begins there is it.
        place += offsets[place..].partition_point(|offset| *offset as usize <= found);
        Some(place - 1)
    })
}

/// Numbers of rows from 0 on: columns that every row has share them.
pub(super) fn all_rows(n_rows: u32) -> ScalarBuffer<u32> {
    const SHARED_ROWS: u32 = 1 << 16;
    static SHARED: LazyLock<ScalarBuffer<u32>> = LazyLock::new(|| (0..SHARED_ROWS).collect());
    match n_rows {
        0..=SHARED_ROWS => SHARED.slice(0, n_rows as usize),
        _ => (0..n_rows).collect(),
    }
}
