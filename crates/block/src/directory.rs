//! Every attribute key of a block: its type, how often it occurs, where it is, and who has it.
//!
//! In: the layout and the chunks of a block. Out: the list of its keys in canonical order, which
//! answers what tags there are, rebuilds the layout, and proves that a key does not occur. Never
//! here: a value; and a tenant is never told of a key that only others have.
//!
//! Bounded: at most 4,096 keys are listed; of the rest a filter of ten bits each, at most 64 kB,
//! says which may occur. In a block of several tenants each listed key has the runs of tenant
//! numbers that have it: 2,000 tenants with the same 20 keys take 20 runs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use suyuan_model::{AttributeColumn, Chunk, ValueType};

use crate::filter::{SplitBlockFilter, may_contain, mix};
use crate::layout::{KeyEntry, LISTED_KEY_BYTES_MAX, Layout, Place, Scope, key_hash};

mod encoding;

#[cfg(test)]
pub(crate) mod tests;

/// Keys and types that are listed.
pub const ENTRIES_MAX: usize = 4_096;
/// Runs of tenants of all listed keys together; of keys beyond it every tenant may have values.
pub const TENANT_RUNS_MAX: usize = 1 << 16;
/// Keys of resources and scopes that are counted while a block is written.
const KEYS_COUNTED_MAX: usize = 16_384;
/// Keys that are not listed, remembered while a block is written; with more, nothing is denied.
const UNLISTED_MAX: usize = 1 << 20;
const UNLISTED_BITS_PER_KEY: u64 = 10;
const UNLISTED_BYTES_MAX: u64 = 64 << 10;

/// The keys of a block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyDirectory {
    /// Each scope's entries in canonical order.
    entries: Vec<KeyEntry>,
    /// Indexes of `entries`, by scope, type and key.
    sorted: Vec<u16>,
    /// For each entry, who has it; `None`: the block has one tenant.
    tenants: Option<Vec<TenantSet>>,
    /// A split block filter of keys that have no entry; empty: there are none.
    unlisted: Vec<u8>,
}

/// What a directory knows of a key and type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Presence<'a> {
    /// The tenant has values of it. The entry's count is that of all tenants.
    Listed(&'a KeyEntry),
    /// Not known.
    Maybe,
    /// The tenant has no value of it in this block.
    Absent,
}

/// Tenants of a block, by number.
#[derive(Clone, Debug, PartialEq)]
enum TenantSet {
    /// First and last of each run, ascending.
    Runs(Box<[(u32, u32)]>),
    Unknown,
}

/// Gathers the keys of a block while it is written.
#[derive(Debug)]
pub struct DirectoryBuilder {
    /// Those of the layout, then those of resources and scopes.
    entries: Vec<KeyEntry>,
    n_laid_out: usize,
    /// For each entry, who has it: ascending as far as tenants come in order.
    tenants: Vec<Vec<u32>>,
    by_key: HashMap<(Scope, ValueType, Arc<str>), u32, RandomState>,
    /// Hashes of keys without an entry; `None`: there were too many.
    unlisted: Option<HashSet<u64, RandomState>>,
}

impl DirectoryBuilder {
    pub fn new(layout: &Layout) -> Self {
        let entries: Vec<KeyEntry> = layout.entries().cloned().collect();
        let key_of = |(index, entry): (usize, &KeyEntry)| {
            ((entry.scope, entry.value_type, entry.key.clone()), index as u32)
        };
        Self {
            n_laid_out: entries.len(),
            tenants: vec![Vec::new(); entries.len()],
            by_key: entries.iter().enumerate().map(key_of).collect(),
            unlisted: Some(HashSet::default()),
            entries,
        }
    }

    /// Notes whose keys these are. Must see every chunk of the block, once, also those of which
    /// some rows are left out: a key too many costs a look, a key too few would hide its spans.
    pub fn add_chunk(&mut self, tenant: u32, chunk: &Chunk) {
        let tables = [
            (Scope::Span, &chunk.attributes),
            (Scope::Event, &chunk.events.attributes),
            (Scope::Link, &chunk.links.attributes),
            (Scope::Resource, &chunk.resources.attributes),
            (Scope::Instrumentation, &chunk.scopes.attributes),
        ];
        for (scope, table) in tables {
            for column in table.columns.iter().filter(|column| !column.rows.is_empty()) {
                self.add_column(tenant, scope, column);
            }
        }
    }

    fn add_column(&mut self, tenant: u32, scope: Scope, column: &AttributeColumn) {
        let key = (scope, column.value_type, column.key.clone());
        let is_counted = matches!(scope, Scope::Resource | Scope::Instrumentation);
        let has_room = self.entries.len() - self.n_laid_out < KEYS_COUNTED_MAX
            && column.key.len() <= LISTED_KEY_BYTES_MAX;
        let index = match self.by_key.get(&key) {
            Some(index) => *index as usize,
            None if is_counted && has_room => {
                let index = self.entries.len();
                self.by_key.insert(key, index as u32);
                self.entries.push(KeyEntry {
                    scope,
                    key: column.key.clone(),
                    value_type: column.value_type,
                    count: 0,
                    place: Place::List,
                });
                self.tenants.push(Vec::new());
                index
            }
            None => return self.add_unlisted(key_hash(scope, &column.key, column.value_type)),
        };
        if is_counted {
            self.entries[index].count += column.rows.len() as u64;
        }
        let tenants = &mut self.tenants[index];
        if tenants.last() != Some(&tenant) {
            tenants.push(tenant);
        }
    }

    fn add_unlisted(&mut self, hash: u64) {
        let Some(unlisted) = &mut self.unlisted else { return };
        unlisted.insert(hash);
        if unlisted.len() > UNLISTED_MAX {
            self.unlisted = None;
        }
    }

    /// `n_tenants`: of the block.
    pub fn finish(mut self, n_tenants: u32) -> KeyDirectory {
        let listed = self.listed();
        let mut n_runs = 0;
        let mut entries = Vec::with_capacity(listed.len());
        let mut tenants = Vec::with_capacity(listed.len());
        for index in listed {
            let set = TenantSet::of(std::mem::take(&mut self.tenants[index]));
            n_runs += set.n_runs();
            tenants.push(if n_runs <= TENANT_RUNS_MAX { set } else { TenantSet::Unknown });
            entries.push(self.entries[index].clone());
        }
        let tenants = (n_tenants > 1).then_some(tenants);
        KeyDirectory::new(entries, tenants, unlisted_filter(self.unlisted.as_ref()))
    }

    /// The entries to keep: the layout's in its order, of resources and scopes the most frequent.
    fn listed(&mut self) -> Vec<usize> {
        let mut listed: Vec<usize> = (0..self.n_laid_out).collect();
        let mut others: Vec<usize> = (self.n_laid_out..self.entries.len()).collect();
        others.sort_by(|one, other| {
            let order = |index: &usize| {
                let entry = &self.entries[*index];
                (entry.scope, std::cmp::Reverse(entry.count), &entry.key, entry.value_type)
            };
            order(one).cmp(&order(other))
        });
        let mut n_of_scope = [0; Scope::ALL.len()];
        for index in others {
            let entry = &self.entries[index];
            let n = &mut n_of_scope[entry.scope as usize];
            if *n < entry.scope.entries_max() {
                *n += 1;
                listed.push(index);
            } else {
                let hash = key_hash(entry.scope, &entry.key, entry.value_type);
                self.add_unlisted(hash);
            }
        }
        listed
    }
}

fn unlisted_filter(unlisted: Option<&HashSet<u64, RandomState>>) -> Vec<u8> {
    let Some(unlisted) = unlisted else { return vec![0xff; 32] };
    if unlisted.is_empty() {
        return Vec::new();
    }
    let n_keys = unlisted.len() as u64;
    let mut filter = SplitBlockFilter::new(n_keys, UNLISTED_BITS_PER_KEY, UNLISTED_BYTES_MAX);
    for hash in unlisted {
        filter.insert(mix(*hash));
    }
    filter.into_bytes()
}

impl KeyDirectory {
    fn new(entries: Vec<KeyEntry>, tenants: Option<Vec<TenantSet>>, unlisted: Vec<u8>) -> Self {
        debug_assert!(entries.len() <= ENTRIES_MAX, "the layout and scopes have their limits");
        let mut sorted: Vec<u16> = (0..entries.len() as u16).collect();
        sorted.sort_by(|one, other| {
            sort_key(&entries[*one as usize]).cmp(&sort_key(&entries[*other as usize]))
        });
        Self { entries, sorted, tenants, unlisted }
    }

    /// The directory of a block of one tenant, whose keys are all listed.
    #[cfg(test)]
    pub(crate) fn of_entries(entries: Vec<KeyEntry>) -> Self {
        Self::new(entries, None, Vec::new())
    }

    /// Each scope's listed keys in canonical order, whoever has them: for the layout, not for
    /// people.
    pub fn entries(&self) -> &[KeyEntry] {
        &self.entries
    }

    /// The listed keys that a tenant has, by its number in the block.
    pub fn entries_of(&self, tenant: u32) -> impl Iterator<Item = &KeyEntry> {
        let has = move |index: usize| self.holds(index, tenant) == Some(true);
        self.entries
            .iter()
            .enumerate()
            .filter(move |(index, _)| has(*index))
            .map(|(_, entry)| entry)
    }

    /// Whether [`Self::entries_of`] names every key that a tenant has.
    pub fn is_complete_for(&self, tenant: u32) -> bool {
        self.unlisted.is_empty()
            && (0..self.entries.len()).all(|index| self.holds(index, tenant).is_some())
    }

    /// What is known of a key and type for a tenant, by its number in the block.
    pub fn may_have(
        &self,
        tenant: u32,
        scope: Scope,
        key: &str,
        value_type: ValueType,
    ) -> Presence<'_> {
        if let Some(index) = self.index_of(scope, key, value_type) {
            return match self.holds(index, tenant) {
                Some(true) => Presence::Listed(&self.entries[index]),
                Some(false) => Presence::Absent,
                None => Presence::Maybe,
            };
        }
        match may_contain(&self.unlisted, mix(key_hash(scope, key, value_type))) {
            true => Presence::Maybe,
            false => Presence::Absent,
        }
    }

    /// The line of a key and type, whoever has it.
    pub fn entry(&self, scope: Scope, key: &str, value_type: ValueType) -> Option<&KeyEntry> {
        self.index_of(scope, key, value_type).map(|index| &self.entries[index])
    }

    fn index_of(&self, scope: Scope, key: &str, value_type: ValueType) -> Option<usize> {
        let wanted = (scope, value_type, key);
        let order = |index: &u16| sort_key(&self.entries[*index as usize]).cmp(&wanted);
        let place = self.sorted.binary_search_by(order).ok()?;
        Some(self.sorted[place] as usize)
    }

    /// Whether a tenant has an entry's key; `None`: not known.
    fn holds(&self, entry: usize, tenant: u32) -> Option<bool> {
        let Some(tenants) = &self.tenants else { return Some(true) };
        match &tenants[entry] {
            TenantSet::Unknown => None,
            TenantSet::Runs(runs) => {
                let place = runs.partition_point(|(_, last)| *last < tenant);
                Some(runs.get(place).is_some_and(|(first, _)| *first <= tenant))
            }
        }
    }
}

fn sort_key(entry: &KeyEntry) -> (Scope, ValueType, &str) {
    (entry.scope, entry.value_type, &entry.key)
}

impl TenantSet {
    fn of(mut tenants: Vec<u32>) -> Self {
        tenants.sort_unstable();
        tenants.dedup();
        let runs = tenants.chunk_by(|one, next| next - one == 1);
        Self::Runs(runs.map(|run| (run[0], run[run.len() - 1])).collect())
    }

    fn n_runs(&self) -> usize {
        match self {
            Self::Runs(runs) => runs.len(),
            Self::Unknown => 0,
        }
    }
}
