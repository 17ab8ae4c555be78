//! Which attribute becomes a column of its own, and which goes to the overflow.
//!
//! In: how often each key occurs in what is going to be a block ([`KeyCounts`]), and the number of
//! rows. Out: a [`Layout`]: the columns of each file, and the **canonical order** of attributes, by
//! which nearly every row's own order need not be stored. A reader builds the same layout again
//! from the block's key directory. No value is looked at here.
//!
//! Spans, events and links each have one of two forms:
//!
//! - **list** (under [`COLUMNS_ROWS_MIN`] rows): one column `attributes`, for each row an OTLP
//!   `KeyValueList` in the order received. Two hundred columns over a hundred rows would take
//!   longer to open than to read (`design.md 5`).
//! - **columns**: one for each of the most frequent keys **and** type, `attr:<type>:<key>`; all
//!   other attributes in up to 16 or 64 columns `overflow_<nn>`, by [`overflow_bucket`] of the key,
//!   each a `KeyValueList` in the order received; `attribute_order` for the rows that need it
//!   (`stage.rs`).
//!
//! Resources and scopes are always lists.

mod columns;
mod counts;
mod order;
mod overflow;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use suyuan_model::ValueType;

pub(crate) use columns::kind_of;
pub use columns::{
    attribute_column_name, event_columns, link_columns, parse_attribute_column_name,
    resource_columns, scope_columns, span_columns, type_name,
};
pub use counts::KeyCounts;
pub use overflow::{OverflowColumns, SIXTEEN_KEYS_MAX, overflow_bucket, overflow_buckets};
pub(crate) use overflow::{buckets_of, overflow_column_name, parse_overflow_column_name};

/// What an attribute belongs to. The numbers stand in the key directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scope {
    Span = 0,
    Event = 1,
    Link = 2,
    Resource = 3,
    /// OTLP's instrumentation scope.
    Instrumentation = 4,
}

impl Scope {
    pub const ALL: [Self; 5] =
        [Self::Span, Self::Event, Self::Link, Self::Resource, Self::Instrumentation];

    /// How many keys and types of this scope the directory names; the sum is 4,096.
    pub fn entries_max(self) -> usize {
        match self {
            Self::Span => 3_072,
            Self::Event | Self::Resource => 384,
            Self::Link | Self::Instrumentation => 128,
        }
    }
}

/// Where the values of a key and type lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A column `attr:<type>:<key>`. A row that has the key twice keeps the later values in the
    /// overflow.
    Column { has_bloom: bool },
    /// The column `overflow_<nn>` of the key's bucket.
    Overflow,
    /// The column `attributes`.
    List,
}

/// One key and type of one scope: a line of the key directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    pub scope: Scope,
    pub key: Arc<str>,
    pub value_type: ValueType,
    /// Values in the block; of resources and scopes, rows of their tables.
    pub count: u64,
    pub place: Place,
}

/// Longer keys have neither a column nor a line in the directory: 4,096 keys of 64 kB would make a
/// meta that nobody can read.
pub const LISTED_KEY_BYTES_MAX: usize = 1_024;
/// With fewer rows than this a table's attributes are a list.
pub const COLUMNS_ROWS_MIN: u64 = 10_000;
/// No table has more attribute columns than this.
pub const COLUMNS_MAX: usize = 128;
/// A key with a value in fewer than one row of so many gets no column: the column's pages and
/// metadata, in every slice, would take more than its values do in the overflow.
const ROWS_PER_VALUE_MAX: u64 = 10_000;
/// Keys whose values are asked for one by one count as so many times as frequent.
const ID_WEIGHT: u64 = 4;

const NONE: u32 = u32::MAX;

/// How the attributes of a block are laid out.
#[derive(Clone, Debug)]
pub struct Layout {
    pub(crate) span: TableLayout,
    pub(crate) event: TableLayout,
    pub(crate) link: TableLayout,
}

/// The attributes of spans, of events, or of links.
#[derive(Clone, Debug)]
pub(crate) struct TableLayout {
    /// In canonical order; an entry's index is its **rank**.
    pub(crate) entries: Vec<KeyEntry>,
    /// For each key the ranks of its types, or [`NONE`].
    ranks: HashMap<Arc<str>, [u32; ValueType::ALL.len()], RandomState>,
    /// Ranks of the entries that have a column; ascending.
    pub(crate) columns: Vec<u32>,
    /// The same for all tables of a block.
    pub(crate) overflow_columns: OverflowColumns,
    /// Bit `n`: there is a column `overflow_<n>`.
    pub(crate) overflow_buckets: u64,
    pub(crate) is_list: bool,
}

impl Layout {
    /// Chooses columns for a block of so many rows.
    ///
    /// Invariant: `counts` has seen every chunk that will be staged.
    pub fn decide(counts: &KeyCounts, n_spans: u64, n_events: u64, n_links: u64) -> Self {
        let tables = [(Scope::Span, n_spans), (Scope::Event, n_events), (Scope::Link, n_links)];
        let overflow_columns = counts.overflow_columns(tables);
        let [span, event, link] =
            tables.map(|(scope, n_rows)| counts.of(scope).decide(n_rows, overflow_columns));
        Self { span, event, link }
    }

    /// The layout of a block that exists, from its key directory and the number of its overflow
    /// columns. Which of these there are is not known then; a reader sees it in the file.
    pub fn from_entries<'a>(
        entries: impl IntoIterator<Item = &'a KeyEntry>,
        overflow_columns: OverflowColumns,
    ) -> Self {
        let mut of_scope: [Vec<KeyEntry>; 3] = Default::default();
        for entry in entries {
            if let Some(entries) = of_scope.get_mut(entry.scope as usize) {
                entries.push(entry.clone());
            }
        }
        let [span, event, link] = of_scope.map(|entries| {
            let is_list = entries.iter().any(|entry| entry.place == Place::List);
            TableLayout::new(entries, overflow_columns, overflow_columns.all(), is_list)
        });
        Self { span, event, link }
    }

    /// How many columns keys without a column are spread over.
    pub fn overflow_columns(&self) -> OverflowColumns {
        self.span.overflow_columns
    }

    /// The lines of the key directory for spans, events and links, each in canonical order.
    pub fn entries(&self) -> impl Iterator<Item = &KeyEntry> {
        [&self.span, &self.event, &self.link].into_iter().flat_map(|table| &table.entries)
    }
}

impl TableLayout {
    pub(crate) fn new(
        entries: Vec<KeyEntry>,
        overflow_columns: OverflowColumns,
        overflow_buckets: u64,
        is_list: bool,
    ) -> Self {
        let mut ranks: HashMap<Arc<str>, _, RandomState> = HashMap::default();
        for (rank, entry) in entries.iter().enumerate() {
            let of_types = ranks.entry(entry.key.clone()).or_insert([NONE; _]);
            of_types[entry.value_type as usize] = rank as u32;
        }
        let has_column = |rank: &u32| matches!(entries[*rank as usize].place, Place::Column { .. });
        let columns = (0..entries.len() as u32).filter(has_column).collect();
        Self { entries, ranks, columns, overflow_columns, overflow_buckets, is_list }
    }

    /// The place of a key and type in the canonical order. Keys without an entry stand behind all
    /// that have one, by bucket.
    pub(crate) fn rank(&self, key: &str, value_type: ValueType) -> u32 {
        match self.ranks.get(key).map(|of_types| of_types[value_type as usize]) {
            Some(rank) if rank != NONE => rank,
            _ => (self.entries.len() + overflow_bucket(key, self.overflow_columns)) as u32,
        }
    }
}

/// Names a scope, key and type in 64 bits: FNV-1a of the scope's number, the type's number and the
/// key's bytes. Part of the format.
pub fn key_hash(scope: Scope, key: &str, value_type: ValueType) -> u64 {
    fnv1a(fnv1a(FNV_OFFSET, &[scope as u8, value_type as u8]), key.as_bytes())
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(hash, step)
}

#[cfg(test)]
mod tests;
