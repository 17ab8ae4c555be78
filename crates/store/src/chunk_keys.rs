//! Which attribute keys a chunk has, found by key and type, and between which numbers values lie.
//!
//! In: a chunk. Out: its keys in order, so that a question about a key or a number that nobody has
//! costs a few comparisons and not a look at ten thousand columns, nor at a file. Rows that a
//! snapshot does not see yet count too: what is ruled out is ruled out for fewer rows as well.

use std::ops::RangeInclusive;
use std::sync::Arc;

use suyuan_block::layout::Scope;
use suyuan_block::reader::{Between, Probe};
use suyuan_model::{AttributeColumn, AttributeOwner, Chunk, ValueType, Values};

/// The keys of a chunk.
#[derive(Debug, Default)]
pub(crate) struct ChunkKeys {
    /// Ascending, each once.
    keys: Vec<ChunkKey>,
}

#[derive(Debug)]
struct ChunkKey {
    scope: Scope,
    value_type: ValueType,
    key: Arc<str>,
    /// Its place in the chunk's table of the scope.
    column: u32,
    /// The least and the greatest value, of integers alone.
    bounds: Option<RangeInclusive<i64>>,
}

impl ChunkKeys {
    pub(crate) fn of(chunk: &Chunk) -> Self {
        let tables = [
            (Scope::Span, &chunk.attributes),
            (Scope::Event, &chunk.events.attributes),
            (Scope::Link, &chunk.links.attributes),
            (Scope::Resource, &chunk.resources.attributes),
            (Scope::Instrumentation, &chunk.scopes.attributes),
        ];
        let mut keys = Vec::new();
        for (scope, table) in tables {
            // Columns stay in an empty table for the next chunk.
            let has_rows = |column: &AttributeColumn| !column.rows.is_empty();
            let columns = (0..).zip(&table.columns).filter(|(_, column)| has_rows(column));
            keys.extend(columns.map(|(place, column)| ChunkKey {
                scope,
                value_type: column.value_type,
                key: column.key.clone(),
                column: place,
                bounds: bounds_of(&column.values),
            }));
        }
        keys.sort_unstable_by(|one, other| one.order().cmp(&other.order()));
        Self { keys }
    }

    pub(crate) fn has(&self, scope: Scope, key: &str, value_type: ValueType) -> bool {
        self.find(scope, key, value_type).is_some()
    }

    /// False: no row has the value.
    pub(crate) fn may_contain(&self, probe: &Probe<'_>) -> bool {
        let Probe::SpanInt { key, value } = probe else { return true };
        self.may_lie_in(key, *value..=*value)
    }

    /// False: no row has a value between the bounds.
    pub(crate) fn may_lie_between(&self, between: &Between<'_>) -> bool {
        let Between::SpanInt { key, min, max } = between else { return true };
        self.may_lie_in(key, *min..=*max)
    }

    fn may_lie_in(&self, key: &str, wanted: RangeInclusive<i64>) -> bool {
        let Some(found) = self.find(Scope::Span, key, ValueType::Int) else { return false };
        let Some(held) = &found.bounds else { return true };
        held.start() <= wanted.end() && wanted.start() <= held.end()
    }

    fn find(&self, scope: Scope, key: &str, value_type: ValueType) -> Option<&ChunkKey> {
        let wanted = (scope, value_type, key);
        let found = self.keys.binary_search_by(|key| key.order().cmp(&wanted)).ok()?;
        self.keys.get(found)
    }

    /// The places of a key's columns in the chunk's table of the scope.
    pub(crate) fn columns_of(&self, scope: Scope, key: &str) -> impl Iterator<Item = u32> {
        let of_type = move |value_type| self.find(scope, key, value_type);
        ValueType::ALL.into_iter().filter_map(of_type).map(|found| found.column)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Scope, &Arc<str>, ValueType)> {
        self.keys.iter().map(|key| (key.scope, &key.key, key.value_type))
    }
}

impl ChunkKey {
    fn order(&self) -> (Scope, ValueType, &str) {
        (self.scope, self.value_type, &self.key)
    }
}

fn bounds_of(values: &Values) -> Option<RangeInclusive<i64>> {
    let Values::Int(values) = values else { return None };
    let values = values.values();
    Some(*values.iter().min()?..=*values.iter().max()?)
}

/// As blocks call it.
pub(crate) fn scope_of(owner: AttributeOwner) -> Scope {
    match owner {
        AttributeOwner::Span => Scope::Span,
        AttributeOwner::Event => Scope::Event,
        AttributeOwner::Link => Scope::Link,
        AttributeOwner::Resource => Scope::Resource,
        AttributeOwner::Scope => Scope::Instrumentation,
    }
}

/// As chunks call it.
pub(crate) fn owner_of(scope: Scope) -> AttributeOwner {
    match scope {
        Scope::Span => AttributeOwner::Span,
        Scope::Event => AttributeOwner::Event,
        Scope::Link => AttributeOwner::Link,
        Scope::Resource => AttributeOwner::Resource,
        Scope::Instrumentation => AttributeOwner::Scope,
    }
}
