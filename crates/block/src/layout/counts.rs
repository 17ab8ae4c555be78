//! How often each attribute key occurs in chunks, and in which order keys come.
//!
//! In: chunks, or the key directories of blocks. Out: a [`TableLayout`] for so many rows. It runs
//! for every chunk of a block, so it looks at columns and shapes, not at rows, and at few values.
//! Memory is bounded whatever the keys are: of a flood of rare ones only the buckets stay.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow_array::Array;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use suyuan_model::{AttributeColumn, AttributeTable, Chunk, Strings, ValueType, Values};

use super::{
    COLUMNS_MAX, COLUMNS_ROWS_MIN, ID_WEIGHT, KeyEntry, LISTED_KEY_BYTES_MAX, OverflowColumns,
    Place, ROWS_PER_VALUE_MAX, Scope, TableLayout, order, overflow_bucket,
};

/// With more keys than this the rarer half of them is forgotten, its overflow buckets excepted.
const KEYS_MAX: usize = 16_384;
/// With more shapes than this the rarer half of them is forgotten.
const SHAPES_MAX: usize = 2_048;
/// No more shapes of a chunk than this are looked at, the most frequent ones.
const CHUNK_SHAPES_MAX: usize = 256;
/// So many values of a column are looked at in each chunk.
const SAMPLE: usize = 128;
/// A column of texts gets bloom filters if it has at least this many values, of which more than a
/// quarter are distinct, and they look like ids; a column of numbers if its key says that it is one,
/// and more than a sixteenth are distinct. A filter takes bytes by what is distinct in it.
const BLOOM_VALUES_MIN: u64 = 1_000;
const BLOOM_TEXTS_PER_DISTINCT_MAX: u64 = 4;
const BLOOM_NUMBERS_PER_DISTINCT_MAX: u64 = 16;
/// Ids are of such a length, in bytes.
const ID_BYTES: std::ops::RangeInclusive<usize> = 6..=64;

/// Counts of attribute keys; counts of parts of a block can be merged.
#[derive(Clone, Debug)]
pub struct KeyCounts {
    tables: [TableCounts; 3],
    /// What comes of these counts has no fewer.
    overflow_columns_min: OverflowColumns,
}

#[derive(Clone, Debug)]
pub(super) struct TableCounts {
    scope: Scope,
    keys: Vec<KeyCount>,
    by_key: HashTable<u32>,
    /// Seeded at random: keys come from outside.
    hasher: RandomState,
    /// How many rows have these keys in this order.
    shapes: HashMap<Box<[u32]>, u64, RandomState>,
    /// The overflow buckets of keys that were forgotten, as in a block of 64: it is not known yet
    /// how many there will be.
    forgotten_buckets: u64,
}

#[derive(Clone, Debug)]
struct KeyCount {
    key: Arc<str>,
    value_type: ValueType,
    n_values: u64,
    /// As if no two chunks shared a value: a bloom filter serves a slice, and a slice is about
    /// three chunks.
    n_distinct: u64,
    looks_like_id: bool,
    /// Whether a row has it twice.
    repeats: bool,
    /// It has bloom filters in a block whose directory was added.
    had_bloom: bool,
}

impl Default for KeyCounts {
    fn default() -> Self {
        let tables = [Scope::Span, Scope::Event, Scope::Link].map(TableCounts::new);
        Self { tables, overflow_columns_min: OverflowColumns::default() }
    }
}

impl KeyCounts {
    /// Adds all rows of a chunk.
    pub fn add_chunk(&mut self, chunk: &Chunk) {
        let [spans, events, links] = &mut self.tables;
        spans.add_table(&chunk.attributes);
        events.add_table(&chunk.events.attributes);
        links.add_table(&chunk.links.attributes);
    }

    /// Adds the rows of a block, by its key directory. `overflow_buckets`: those that the columns of
    /// the block's file of this scope say ([`super::overflow_buckets`]).
    pub fn add_entries<'a>(
        &mut self,
        scope: Scope,
        entries: impl IntoIterator<Item = &'a KeyEntry>,
        overflow_buckets: u64,
    ) {
        let Some(table) = self.tables.get_mut(scope as usize) else { return };
        let mut shape = Vec::new();
        let mut n_rows = 0;
        for entry in entries.into_iter().filter(|entry| entry.scope == scope) {
            let key = table.key(&entry.key, entry.value_type);
            let count = &mut table.keys[key as usize];
            count.n_values += entry.count;
            count.had_bloom |= entry.place == Place::Column { has_bloom: true };
            shape.push(key);
            n_rows = n_rows.max(entry.count);
        }
        *table.shapes.entry(shape.into()).or_default() += n_rows;
        table.forgotten_buckets |= overflow_buckets;
        table.forget_rare_keys();
    }

    /// What comes of the counts has no fewer overflow columns than a block whose rows go in: its
    /// directory need not name all its keys.
    pub fn add_overflow_columns(&mut self, columns: OverflowColumns) {
        self.overflow_columns_min = self.overflow_columns_min.max(columns);
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (table, other) in self.tables.iter_mut().zip(&other.tables) {
            table.merge(other);
        }
        self.add_overflow_columns(other.overflow_columns_min);
    }

    /// How many overflow columns a block has with so many rows of each table.
    pub(super) fn overflow_columns(&self, n_rows: [(Scope, u64); 3]) -> OverflowColumns {
        let for_table = |(scope, n_rows)| {
            OverflowColumns::for_keys(self.of(scope).n_keys_without_column(n_rows))
        };
        n_rows.into_iter().map(for_table).fold(self.overflow_columns_min, OverflowColumns::max)
    }

    pub(super) fn of(&self, scope: Scope) -> &TableCounts {
        &self.tables[scope as usize]
    }
}

impl TableCounts {
    fn new(scope: Scope) -> Self {
        Self {
            scope,
            keys: Vec::new(),
            by_key: HashTable::new(),
            hasher: RandomState::default(),
            shapes: HashMap::default(),
            forgotten_buckets: 0,
        }
    }

    /// How many of the keys and types known share columns with others; of a list none.
    fn n_keys_without_column(&self, n_rows: u64) -> usize {
        if n_rows < COLUMNS_ROWS_MIN {
            return 0;
        }
        let keys = 0..self.keys.len() as u32;
        let n_wanting = keys.filter(|key| self.wants_column(*key, n_rows)).count();
        self.keys.len() - n_wanting.min(COLUMNS_MAX)
    }

    /// Whether a key gets a column among so many rows if there is room.
    fn wants_column(&self, key: u32, n_rows: u64) -> bool {
        let count = &self.keys[key as usize];
        let n_values_min = (n_rows / ROWS_PER_VALUE_MAX).max(1);
        count.value_type != ValueType::Empty && count.n_values >= n_values_min && !self.is_long(key)
    }

    /// The layout for so many rows.
    pub(super) fn decide(&self, n_rows: u64, overflow_columns: OverflowColumns) -> TableLayout {
        let is_list = n_rows < COLUMNS_ROWS_MIN;
        let mut by_weight: Vec<u32> = (0..self.keys.len() as u32).collect();
        by_weight.sort_by(|left, right| {
            let (left, right) = (&self.keys[*left as usize], &self.keys[*right as usize]);
            let by_name = || (left.value_type, &left.key).cmp(&(right.value_type, &right.key));
            right.weight().cmp(&left.weight()).then_with(by_name)
        });
        let wants_column = |key: &u32| self.wants_column(*key, n_rows);
        let mut has_column = vec![false; self.keys.len()];
        if !is_list {
            for key in by_weight.iter().copied().filter(wants_column).take(COLUMNS_MAX) {
                has_column[key as usize] = true;
            }
        }
        // What has a column has a line, whatever its weight.
        by_weight.sort_by_key(|key| (self.is_long(*key), !has_column[*key as usize]));
        let n_short = by_weight.partition_point(|key| !self.is_long(*key));
        let listed = n_short.min(self.scope.entries_max());
        let mut overflow_buckets = overflow_columns.fold(self.forgotten_buckets);
        for (count, has_column) in self.keys.iter().zip(&has_column) {
            if !has_column || count.repeats {
                overflow_buckets |= 1 << overflow_bucket(&count.key, overflow_columns);
            }
        }
        let in_order = order::canonical(&by_weight[..listed], self.shapes_in_order());
        let entry = |key: u32| {
            let count = &self.keys[key as usize];
            let place = match has_column[key as usize] {
                _ if is_list => Place::List,
                true => Place::Column { has_bloom: count.wants_bloom() },
                false => Place::Overflow,
            };
            KeyEntry {
                scope: self.scope,
                key: count.key.clone(),
                value_type: count.value_type,
                count: count.n_values,
                place,
            }
        };
        let entries = in_order.into_iter().map(entry).collect();
        TableLayout::new(entries, overflow_columns, overflow_buckets, is_list)
    }

    fn is_long(&self, key: u32) -> bool {
        self.keys[key as usize].key.len() > LISTED_KEY_BYTES_MAX
    }

    /// Shapes, the most frequent one first. The order depends on what was counted alone.
    fn shapes_in_order(&self) -> Vec<&[u32]> {
        let names = |shape: &[u32]| -> Vec<_> {
            let name = |key: &u32| {
                let count = &self.keys[*key as usize];
                (count.key.clone(), count.value_type)
            };
            shape.iter().map(name).collect()
        };
        let mut shapes: Vec<(&[u32], u64)> = self.shapes.iter().map(|(s, n)| (&**s, *n)).collect();
        shapes.sort_by_cached_key(|(shape, n_rows)| (std::cmp::Reverse(*n_rows), names(shape)));
        shapes.into_iter().map(|(shape, _)| shape).collect()
    }

    fn add_table(&mut self, table: &AttributeTable) {
        if table.columns.is_empty() {
            return;
        }
        let keys: Vec<u32> = table.columns.iter().map(|column| self.add_column(column)).collect();
        let n_shapes = table.shape_ends.len() - 1;
        let mut rows_of_shape = vec![0u32; n_shapes];
        for shape in table.shape_of_row.values() {
            rows_of_shape[*shape as usize] += 1;
        }
        let mut shapes: Vec<u32> =
            (0..n_shapes as u32).filter(|shape| rows_of_shape[*shape as usize] > 0).collect();
        let mut seen_in = vec![u32::MAX; keys.len()];
        for shape in &shapes {
            for column in table.shape_columns_of(*shape) {
                // A row may have the same key and type twice.
                let seen_in = &mut seen_in[*column as usize];
                self.keys[keys[*column as usize] as usize].repeats |= *seen_in == *shape;
                *seen_in = *shape;
            }
        }
        if shapes.len() > CHUNK_SHAPES_MAX {
            let n_rows = |shape: &u32| std::cmp::Reverse(rows_of_shape[*shape as usize]);
            shapes.select_nth_unstable_by_key(CHUNK_SHAPES_MAX, n_rows);
            shapes.truncate(CHUNK_SHAPES_MAX);
        }
        let mut in_order = Vec::new();
        for shape in shapes {
            in_order.clear();
            in_order.extend(table.shape_columns_of(shape).iter().map(|c| keys[*c as usize]));
            self.add_shape(&in_order, rows_of_shape[shape as usize].into());
        }
        self.forget_rare_shapes();
        self.forget_rare_keys();
    }

    fn add_column(&mut self, column: &AttributeColumn) -> u32 {
        let key = self.key(&column.key, column.value_type);
        let n_values = column.rows.len() as u64;
        let (n_distinct, looks_like_id) = match &column.values {
            Values::String(strings) => (n_distinct(strings, &self.hasher), look_like_ids(strings)),
            Values::Int(numbers) if names_an_id(&column.key) => {
                (n_distinct_numbers(numbers.values(), &self.hasher), true)
            }
            _ => (0, false),
        };
        let count = &mut self.keys[key as usize];
        count.n_values += n_values;
        count.n_distinct += n_distinct;
        count.looks_like_id &= looks_like_id;
        key
    }

    fn add_shape(&mut self, keys: &[u32], n_rows: u64) {
        match self.shapes.get_mut(keys) {
            Some(count) => *count += n_rows,
            None => drop(self.shapes.insert(keys.into(), n_rows)),
        }
    }

    /// The number of a key and type.
    fn key(&mut self, key: &Arc<str>, value_type: ValueType) -> u32 {
        let hash = self.hasher.hash_one((value_type, &**key));
        let keys = &self.keys;
        let is_it = |index: &u32| {
            let count = &keys[*index as usize];
            count.value_type == value_type && count.key == *key
        };
        if let Some(index) = self.by_key.find(hash, is_it) {
            return *index;
        }
        let index = self.keys.len() as u32;
        self.keys.push(KeyCount {
            key: key.clone(),
            value_type,
            n_values: 0,
            n_distinct: 0,
            looks_like_id: true,
            repeats: false,
            had_bloom: false,
        });
        self.index(index, hash);
        index
    }

    fn index(&mut self, index: u32, hash: u64) {
        let (keys, hasher) = (&self.keys, &self.hasher);
        self.by_key.insert_unique(hash, index, |index| {
            let count = &keys[*index as usize];
            hasher.hash_one((count.value_type, &*count.key))
        });
    }

    fn merge(&mut self, other: &Self) {
        let mut keys = Vec::with_capacity(other.keys.len());
        for theirs in &other.keys {
            let key = self.key(&theirs.key, theirs.value_type);
            let ours = &mut self.keys[key as usize];
            ours.n_values += theirs.n_values;
            ours.n_distinct += theirs.n_distinct;
            ours.looks_like_id &= theirs.looks_like_id;
            ours.repeats |= theirs.repeats;
            ours.had_bloom |= theirs.had_bloom;
            keys.push(key);
        }
        for (shape, n_rows) in &other.shapes {
            let shape: Vec<u32> = shape.iter().map(|key| keys[*key as usize]).collect();
            self.add_shape(&shape, *n_rows);
        }
        self.forgotten_buckets |= other.forgotten_buckets;
        self.forget_rare_shapes();
        self.forget_rare_keys();
    }

    fn forget_rare_shapes(&mut self) {
        if self.shapes.len() <= SHAPES_MAX {
            return;
        }
        let mut counts: Vec<u64> = self.shapes.values().copied().collect();
        let (_, median, _) = counts.select_nth_unstable(SHAPES_MAX / 2);
        let n_rows_min = *median;
        self.shapes.retain(|_, n_rows| *n_rows > n_rows_min);
    }

    /// Halves the keys when there are too many; what is kept gets new numbers.
    fn forget_rare_keys(&mut self) {
        if self.keys.len() <= KEYS_MAX {
            return;
        }
        let mut by_count: Vec<u32> = (0..self.keys.len() as u32).collect();
        let count = |key: &u32| std::cmp::Reverse(self.keys[*key as usize].n_values);
        by_count.sort_by_key(count);
        let mut new_numbers = HashMap::<u32, u32, RandomState>::default();
        let mut kept = Vec::with_capacity(KEYS_MAX);
        for (place, old) in by_count.iter().enumerate() {
            let count = &self.keys[*old as usize];
            if place < KEYS_MAX / 2 {
                new_numbers.insert(*old, kept.len() as u32);
                kept.push(count.clone());
            } else {
                let bucket = overflow_bucket(&count.key, OverflowColumns::SixtyFour);
                self.forgotten_buckets |= 1 << bucket;
            }
        }
        self.keys = kept;
        self.by_key.clear();
        for index in 0..self.keys.len() as u32 {
            let count = &self.keys[index as usize];
            let hash = self.hasher.hash_one((count.value_type, &*count.key));
            self.index(index, hash);
        }
        let shapes = std::mem::take(&mut self.shapes);
        for (shape, n_rows) in shapes {
            let shape: Option<Vec<u32>> =
                shape.iter().map(|key| new_numbers.get(key).copied()).collect();
            if let Some(shape) = shape {
                self.add_shape(&shape, n_rows);
            }
        }
    }
}

impl KeyCount {
    fn weight(&self) -> u64 {
        if self.wants_bloom() { self.n_values * ID_WEIGHT } else { self.n_values }
    }

    fn wants_bloom(&self) -> bool {
        let values_per_distinct_max = match self.value_type {
            ValueType::String => BLOOM_TEXTS_PER_DISTINCT_MAX,
            ValueType::Int => BLOOM_NUMBERS_PER_DISTINCT_MAX,
            _ => return false,
        };
        let is_selective = self.n_distinct * values_per_distinct_max > self.n_values;
        let is_id = self.looks_like_id && is_selective && self.n_values >= BLOOM_VALUES_MIN;
        is_id || self.had_bloom
    }
}

/// How many distinct texts a column of a chunk has, about.
fn n_distinct(strings: &Strings, hasher: &RandomState) -> u64 {
    match strings {
        Strings::Dictionary { codes, values } => values.len().min(codes.len()) as u64,
        Strings::Plain(values) => {
            let n_sampled = values.len().min(SAMPLE);
            let hashes: HashSet<u64, RandomState> =
                (0..n_sampled).map(|position| hasher.hash_one(values.value(position))).collect();
            (values.len() * hashes.len() / n_sampled.max(1)) as u64
        }
    }
}

/// As [`n_distinct`].
fn n_distinct_numbers(numbers: &[i64], hasher: &RandomState) -> u64 {
    let sampled = &numbers[..numbers.len().min(SAMPLE)];
    let hashes = sampled.iter().map(|number| hasher.hash_one(number));
    let distinct: HashSet<u64, RandomState> = hashes.collect();
    (numbers.len() * distinct.len() / sampled.len().max(1)) as u64
}

/// Whether the last word of a key is `id`: `user.id`, `order_id`, `userId`, `TenantID`. Numbers do
/// not tell ids from sizes and durations, which nobody asks for one by one.
fn names_an_id(key: &str) -> bool {
    let Some((head, last)) = key.split_at_checked(key.len().saturating_sub(2)) else {
        return false;
    };
    let before = head.chars().next_back();
    match last {
        "id" => before.is_none_or(|before| !before.is_alphanumeric()),
        "Id" | "ID" => before.is_none_or(|before| !before.is_uppercase()),
        _ => false,
    }
}

fn look_like_ids(strings: &Strings) -> bool {
    let values = match strings {
        Strings::Dictionary { values, .. } | Strings::Plain(values) => values,
    };
    let is_id_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:@".contains(byte);
    (0..values.len().min(SAMPLE / 8)).map(|position| values.value(position)).all(|text| {
        let bytes = text.as_bytes();
        ID_BYTES.contains(&text.len()) && bytes.iter().all(is_id_byte) && !is_address(bytes)
    })
}

/// Addresses of clients are many and asked for seldom: of a shop their bloom filters would take a
/// third of a byte for every span, more than those of all ids together.
fn is_address(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_hexdigit() || b".:".contains(byte))
        && text.iter().any(|byte| b".:".contains(byte))
}
