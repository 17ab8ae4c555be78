//! Which attribute keys a chunk has, found by key and type.
//!
//! In: a chunk. Out: its keys in order, so that a question about a key that nobody has costs a few
//! comparisons and not a look at ten thousand columns. Never here: values.

use std::sync::Arc;

use suyuan_block::layout::Scope;
use suyuan_model::{AttributeColumn, AttributeOwner, Chunk, ValueType};

/// The keys of a chunk.
#[derive(Debug, Default)]
pub(crate) struct ChunkKeys {
    /// Ascending.
    keys: Vec<(Scope, ValueType, Arc<str>)>,
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
            let has_rows = |column: &&AttributeColumn| !column.rows.is_empty();
            let columns = table.columns.iter().filter(has_rows);
            keys.extend(columns.map(|column| (scope, column.value_type, column.key.clone())));
        }
        keys.sort_unstable();
        Self { keys }
    }

    pub(crate) fn has(&self, scope: Scope, key: &str, value_type: ValueType) -> bool {
        let wanted = (scope, value_type, key);
        let order = |(scope, value_type, key): &(Scope, ValueType, Arc<str>)| {
            (*scope, *value_type, &**key).cmp(&wanted)
        };
        self.keys.binary_search_by(order).is_ok()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Scope, &Arc<str>, ValueType)> {
        self.keys.iter().map(|(scope, value_type, key)| (*scope, key, *value_type))
    }
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
