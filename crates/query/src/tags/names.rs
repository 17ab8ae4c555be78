//! Names of attributes: from lists of keys, or those that some spans have.
//!
//! In: units. Out: names by scope, each once, up to a number of bytes. Without a filter no span is
//! read; with one, only columns whose names are not known yet. Which spans an erased trace had is
//! not asked: a name that they alone had stays until a compaction.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use foldhash::fast::RandomState;
use suyuan_model::AttributeOwner;
use suyuan_store::UnitName;
use suyuan_traceql::ast::FieldExpr;

use super::matches::GatherNames;
use super::scan::{Done, TagScan};
use super::{ScopeNames, TagNamesRequest, TagScope};
use crate::search::QueryError;

/// Names found so far.
pub(super) struct NameSets {
    /// Those that are asked for.
    sets: BTreeMap<TagScope, HashSet<Arc<str>, RandomState>>,
    bytes: usize,
    bytes_max: usize,
    /// There was no room for a name: no more are taken.
    is_full: bool,
    /// There are names that nobody has listed.
    is_incomplete: bool,
}

/// What every span has, in the spellings that clients know.
const INTRINSICS: [&str; 24] = [
    "duration",
    "event:name",
    "event:timeSinceStart",
    "instrumentation:name",
    "instrumentation:version",
    "kind",
    "link:spanID",
    "link:traceID",
    "name",
    "rootName",
    "rootServiceName",
    "span:duration",
    "span:id",
    "span:kind",
    "span:name",
    "span:parentID",
    "span:status",
    "span:statusMessage",
    "status",
    "statusMessage",
    "trace:duration",
    "trace:id",
    "trace:rootName",
    "trace:rootService",
];

impl NameSets {
    pub(super) fn new(request: &TagNamesRequest) -> Self {
        let is_asked = |scope: &TagScope| request.scope.is_none_or(|asked| asked == *scope);
        let sets = TagScope::ALL.into_iter().filter(is_asked);
        Self {
            sets: sets.map(|scope| (scope, HashSet::default())).collect(),
            bytes: 0,
            bytes_max: request.bytes_max,
            is_full: false,
            is_incomplete: false,
        }
    }

    /// Whether names are asked for that are not the same everywhere.
    pub(super) fn asks_units(&self) -> bool {
        self.sets.keys().any(|scope| !matches!(scope, TagScope::Trace | TagScope::Intrinsic))
    }

    /// Adds a name, if its scope is asked for.
    pub(super) fn add(&mut self, scope: TagScope, name: &Arc<str>) {
        let Some(set) = self.sets.get_mut(&scope).filter(|set| !set.contains(name)) else { return };
        self.is_full |= self.bytes + name.len() > self.bytes_max;
        if !self.is_full {
            self.bytes += name.len();
            set.insert(name.clone());
        }
    }

    /// Whether a name is asked for and not known.
    pub(super) fn wants(&self, scope: TagScope, name: &str) -> bool {
        !self.is_full && self.sets.get(&scope).is_some_and(|set| !set.contains(name))
    }

    /// There are names that cannot be told.
    pub(super) fn set_incomplete(&mut self) {
        self.is_incomplete = true;
    }

    pub(super) fn finish(self, request: &TagNamesRequest) -> (Vec<ScopeNames>, bool) {
        let mut is_cut = self.is_full || self.is_incomplete;
        let mut scopes = Vec::new();
        for (scope, set) in self.sets {
            if scope == TagScope::Intrinsic {
                scopes.push((scope, INTRINSICS.into_iter().map(Arc::from).collect()));
                continue;
            }
            is_cut |= set.len() > request.limit;
            let mut names: Vec<Arc<str>> = set.into_iter().collect();
            names.sort_unstable();
            names.truncate(request.limit);
            if !names.is_empty() {
                scopes.push((scope, names));
            }
        }
        (scopes, is_cut)
    }
}

pub(super) fn scope_of(owner: AttributeOwner) -> TagScope {
    match owner {
        AttributeOwner::Span => TagScope::Span,
        AttributeOwner::Event => TagScope::Event,
        AttributeOwner::Link => TagScope::Link,
        AttributeOwner::Resource => TagScope::Resource,
        AttributeOwner::Scope => TagScope::Instrumentation,
    }
}

/// Names of whatever is there.
pub(super) fn from_keys(scan: &mut TagScan<'_>, found: &mut NameSets) -> Result<(), QueryError> {
    for_each_key(scan, found, |found, owner, key| found.add(scope_of(owner), key))
}

/// Names of what spans have that fulfil the filter.
pub(super) fn of_spans(
    scan: &mut TagScan<'_>,
    filter: &FieldExpr,
    found: &mut NameSets,
) -> Result<(), QueryError> {
    let mut keys = HashSet::new();
    for_each_key(scan, found, |_, owner, key| {
        keys.insert((scope_of(owner), key.clone()));
    })?;
    scan.gather(filter, &mut GatherNames::new(keys, found))
}

/// Visits the keys of each block and chunk.
fn for_each_key(
    scan: &mut TagScan<'_>,
    found: &mut NameSets,
    mut visit: impl FnMut(&mut NameSets, AttributeOwner, &Arc<str>),
) -> Result<(), QueryError> {
    let mut blocks_done = HashSet::new();
    scan.for_each_unit(|scan, unit| {
        if let UnitName::Slice { block, .. } = unit.name()
            && !blocks_done.insert(block)
        {
            return Ok(ControlFlow::Continue(Done::Skipped));
        }
        if unit.for_each_key(&mut |owner, key, _| visit(found, owner, key)) {
            return Ok(ControlFlow::Continue(Done::Skipped));
        }
        // Lists of keys are bounded. Resources and scopes are few enough to be looked at.
        found.set_incomplete();
        let open = unit.open(&scan.meter)?;
        let (resources, scopes) = (open.resources(), open.scopes());
        for column in &resources.attributes.columns {
            visit(found, AttributeOwner::Resource, &column.key);
        }
        for column in &scopes.attributes.columns {
            visit(found, AttributeOwner::Scope, &column.key);
        }
        Ok(ControlFlow::Continue(Done::Skipped))
    })
}
