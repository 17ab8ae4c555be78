//! Names and values of the spans that fulfil a filter.
//!
//! In: a compiled filter. Out: what its spans have is added to sets. Conditions narrow the rows of a
//! unit one after the other; only rows that are left are read for names and values.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use suyuan_model::{AttributeOwner, AttributeTable, Batch, Chunk, Columns, Field};
use suyuan_objects::ReadMeter;
use suyuan_store::{OpenUnit, Unit};
use suyuan_traceql::ast::FieldExpr;

use super::TagScope;
use super::names::{NameSets, scope_of};
use super::part::{Part, n_of, n_of_scopes, numbers_of, side_rows};
use super::scan::{Done, TagScan};
use super::values::ValueSet;
use crate::filter::{Filter, RowSet, SourceState};
use crate::search::QueryError;
use crate::search::ranges;

impl TagScan<'_> {
    /// Adds the values of spans that fulfil the filter.
    pub(super) fn values_of_spans(
        &mut self,
        part: &Part,
        filter: &FieldExpr,
        values: &mut ValueSet,
    ) -> Result<(), QueryError> {
        let filter = Filter::compile(filter)?;
        let columns = part.columns();
        self.for_each_unit(|scan, unit| {
            if values.is_cut() || filter.is_never() {
                return Ok(ControlFlow::Break(()));
            }
            if !part.may_be_in(unit) {
                return Ok(ControlFlow::Continue(Done::Skipped));
            }
            let Some(mut candidate) = Candidate::of(unit, &filter, &scan.meter)? else {
                return Ok(ControlFlow::Continue(Done::Skipped));
            };
            for piece in candidate.open.pieces() {
                let rows = candidate.matching(piece, &scan.meter)?;
                if rows.is_empty() {
                    continue;
                }
                let batch = candidate.open.read(&ranges::to_read(&rows), &columns, &scan.meter)?;
                part.add_values(&batch, &ranges::in_batch(&rows, &batch), values);
            }
            Ok(ControlFlow::Continue(Done::Read))
        })
    }

    /// Adds the names of what spans that fulfil the filter have, and their events, links, resources
    /// and scopes.
    pub(super) fn names_of_spans(
        &mut self,
        filter: &FieldExpr,
        found: &mut NameSets,
    ) -> Result<(), QueryError> {
        let filter = Filter::compile(filter)?;
        self.for_each_unit(|scan, unit| {
            if filter.is_never() {
                return Ok(ControlFlow::Break(()));
            }
            let mut wanted = Wanted::default();
            let is_complete = unit.for_each_key(&mut |owner, key, _| wanted.add(owner, key, found));
            if !is_complete {
                found.set_incomplete();
            }
            if wanted.is_empty() {
                return Ok(ControlFlow::Continue(Done::Skipped));
            }
            let Some(mut candidate) = Candidate::of(unit, &filter, &scan.meter)? else {
                return Ok(ControlFlow::Continue(Done::Skipped));
            };
            for piece in candidate.open.pieces() {
                let rows = candidate.matching(piece, &scan.meter)?;
                if rows.is_empty() {
                    continue;
                }
                let read = ranges::to_read(&rows);
                let batch = candidate.open.read(&read, &wanted.columns(), &scan.meter)?;
                add_names(&batch, &ranges::in_batch(&rows, &batch), found);
                wanted.forget_known(found);
                if wanted.is_empty() {
                    break;
                }
            }
            Ok(ControlFlow::Continue(Done::Read))
        })
    }
}

/// A unit that may have spans which fulfil a filter.
struct Candidate<'a> {
    unit: &'a Unit,
    open: OpenUnit<'a>,
    filter: &'a Filter,
    state: SourceState,
}

impl<'a> Candidate<'a> {
    /// `None`: no row fulfils it, as keys, filters and bounds say.
    fn of(
        unit: &'a Unit,
        filter: &'a Filter,
        meter: &ReadMeter,
    ) -> Result<Option<Self>, QueryError> {
        let conditions = filter.conditions();
        if conditions.iter().any(|condition| condition.rules_out(unit).is_some()) {
            return Ok(None);
        }
        let mut state = SourceState::default();
        let open = unit.open(meter)?;
        let (resources, scopes) = (open.resources(), open.scopes());
        for condition in conditions {
            if condition.rules_out_sources(resources, scopes, &mut state).is_some() {
                return Ok(None);
            }
            for alternatives in condition.probes(unit) {
                let mut may_contain = false;
                for probe in &alternatives {
                    may_contain = may_contain || open.may_contain(probe, meter)?;
                }
                if !may_contain {
                    return Ok(None);
                }
            }
        }
        Ok(Some(Self { unit, open, filter, state }))
    }

    /// The rows of a piece that fulfil the filter.
    fn matching(
        &mut self,
        piece: Range<u32>,
        meter: &ReadMeter,
    ) -> Result<Vec<Range<u32>>, QueryError> {
        let mut left = vec![piece];
        for condition in self.filter.conditions() {
            let batch = self.open.read(&ranges::to_read(&left), condition.columns(), meter)?;
            let rows = ranges::in_batch(&left, &batch);
            let verdict = condition.evaluate(&rows, &batch, &mut self.state, None);
            let mut rows = verdict.yes;
            rows.unite(&verdict.maybe);
            left = ranges::of_set(&rows, &batch);
            if left.is_empty() {
                return Ok(left);
            }
        }
        if self.unit.has_erased() {
            let rows = ranges::rows(&left);
            let traces = self.open.traces_of(&rows, meter)?;
            let standing = rows.iter().zip(traces).filter(|(_, trace)| trace.is_some());
            left = ranges::of_rows(&standing.map(|(row, _)| *row).collect::<Vec<u32>>());
        }
        Ok(left)
    }
}

/// Keys of a unit whose names are asked for and not known.
#[derive(Default)]
struct Wanted {
    keys: Vec<(AttributeOwner, Arc<str>)>,
}

impl Wanted {
    fn add(&mut self, owner: AttributeOwner, key: &Arc<str>, found: &NameSets) {
        if found.wants(scope_of(owner), key) {
            self.keys.push((owner, key.clone()));
        }
    }

    fn forget_known(&mut self, found: &NameSets) {
        self.keys.retain(|(owner, key)| found.wants(scope_of(*owner), key));
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn columns(&self) -> Columns {
        let mut columns = Columns::default();
        for (owner, key) in &self.keys {
            match owner {
                AttributeOwner::Span => columns.add_span_key(key),
                AttributeOwner::Event => columns.add_event_key(key),
                AttributeOwner::Link => columns.add_link_key(key),
                AttributeOwner::Resource => columns.add(Field::Resource),
                AttributeOwner::Scope => columns.add(Field::Scope),
            }
        }
        columns
    }
}

/// Names of what some rows have. A column that was not read has none.
fn add_names(batch: &Batch, rows: &RowSet, found: &mut NameSets) {
    let Chunk { attributes, events, links, resource, resources, scope, scopes, .. } = &*batch.chunk;
    add_keys(attributes, TagScope::Span, rows, found);
    let of_rows = side_rows(events.span_row.values(), rows);
    add_keys(&events.attributes, TagScope::Event, &of_rows, found);
    let of_rows = side_rows(links.span_row.values(), rows);
    add_keys(&links.attributes, TagScope::Link, &of_rows, found);
    if !resource.is_empty() {
        let of_rows = numbers_of(resource.values(), rows, n_of(resources));
        add_keys(&resources.attributes, TagScope::Resource, &of_rows, found);
    }
    if !scope.is_empty() {
        let of_rows = numbers_of(scope.values(), rows, n_of_scopes(scopes));
        add_keys(&scopes.attributes, TagScope::Instrumentation, &of_rows, found);
    }
}

fn add_keys(table: &AttributeTable, scope: TagScope, rows: &RowSet, found: &mut NameSets) {
    for column in &table.columns {
        if found.wants(scope, &column.key) && column.rows.iter().any(|row| rows.contains(*row)) {
            found.add(scope, &column.key);
        }
    }
}
