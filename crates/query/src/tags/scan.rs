//! Goes through the units of a snapshot for names and values.
//!
//! In: which values are asked for. Out: they are added to a set. Dictionaries, and the resources and
//! scopes of a block, answer for all of its rows; columns are read where rows were erased, where
//! other tenants have rows too, and where values have no dictionary. Rows that repeat others count
//! as long as they are stored: who looks for a value that a span had before it was sent again finds
//! it. What a block that breaks would have added is missing, and said.

use std::collections::HashSet;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use suyuan_block::meta::TimeRange;
use suyuan_block::reader::TextOf;
use suyuan_block::traces::TraceSummary;
use suyuan_model::{AttributeOwner, Batch, Columns, Field, ValueType};
use suyuan_objects::ReadMeter;
use suyuan_store::{
    AssembledPiece, FindError, OpenUnit, Skipped, Snapshot, SplitSet, TraceRef, Unit, UnitName,
    UnitPresence,
};
use suyuan_traceql::ast::FieldExpr;
use suyuan_wal::Uuid;

use super::part::{Part, TracePart, add_given, add_key, n_of, n_of_scopes};
use super::values::ValueSet;
use crate::filter::{Filter, RowSet};
use crate::search::question::Question;
use crate::search::ranges;
use crate::search::shown::Shown;
use crate::search::standing::Standing;
use crate::search::unit_rows::{RowsOfTrace, traces_of};
use crate::search::{Accounting, Budget, Explain, QueryError, SearchRequest};

/// One question.
pub(super) struct TagScan<'a> {
    snapshot: &'a Arc<Snapshot>,
    split: Arc<SplitSet>,
    pub(super) meter: ReadMeter,
    units: Arc<[Unit]>,
    /// Of each unit, whether more than keys was looked at.
    is_read: Vec<bool>,
    range: Option<TimeRange>,
    budget: &'a Budget,
    started_at: Instant,
    broken: HashSet<Uuid>,
    accounting: Accounting,
}

/// Called with a trace, what is known of it, and the rows of each of its batches that fulfil a filter.
pub(super) type MatchVisitor<'a> =
    dyn FnMut(&TraceRef, &TraceSummary<'_>, &mut dyn Iterator<Item = (&Batch, &RowSet)>) + 'a;

/// What became of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Read,
    /// It has nothing to add.
    Skipped,
}

/// Values have these types; maps, bytes and keys without a value are not offered.
const OFFERED: [ValueType; 5] =
    [ValueType::String, ValueType::Bool, ValueType::Int, ValueType::Double, ValueType::Array];

impl<'a> TagScan<'a> {
    pub(super) fn new(
        snapshot: &'a Arc<Snapshot>,
        range: Option<TimeRange>,
        budget: &'a Budget,
    ) -> Result<Self, QueryError> {
        let split = snapshot.split()?;
        let (units, n_outside) = snapshot.units(&split, range);
        let accounting = Accounting {
            units_total: units.len() as u64 + n_outside,
            units_outside: n_outside,
            skipped: snapshot.missing(&split),
            n_left_in_pieces: split.n_left_out(),
            ..Accounting::default()
        };
        Ok(Self {
            snapshot,
            split,
            meter: ReadMeter::default(),
            is_read: vec![false; units.len()],
            units: units.into(),
            range,
            budget,
            started_at: Instant::now(),
            broken: HashSet::new(),
            accounting,
        })
    }

    pub(super) fn finish(self) -> Accounting {
        let units_read = self.is_read.iter().filter(|is_read| **is_read).count() as u64;
        Accounting {
            units_read,
            units_pruned: self.is_read.len() as u64 - units_read,
            bytes_read: self.meter.bytes(),
            requests: self.meter.requests(),
            ..self.accounting
        }
    }

    pub(super) fn check(&self) -> Result<(), QueryError> {
        self.budget.check(self.started_at)
    }

    pub(super) fn count_rows(&mut self, n_rows: u32) {
        self.accounting.spans_inspected += u64::from(n_rows);
    }

    /// Visits traces that have a span which fulfils the filter, with those spans.
    pub(super) fn for_each_matched(
        &mut self,
        expr: &FieldExpr,
        filter: &Filter,
        traces: &[TraceRef],
        columns: &Columns,
        visit: &mut MatchVisitor<'_>,
    ) -> Result<(), QueryError> {
        // A search of which nothing is shown.
        let request = SearchRequest {
            filter: expr.clone(),
            selected: Vec::new(),
            range: self.range,
            duration_nanos_min: None,
            duration_nanos_max: None,
            limit: 0,
            spans_per_set: 0,
            explain: Explain::No,
        };
        let shown = Shown::new(std::iter::empty());
        let question = Question {
            snapshot: self.snapshot,
            split: &self.split,
            units: &self.units,
            filter,
            shown: &shown,
            request: &request,
            budget: self.budget,
            started_at: self.started_at,
            answer_bytes: AtomicUsize::new(0),
        };
        self.accounting.traces_inspected += traces.len() as u64;
        let skipped = &mut self.accounting.skipped;
        let mut visit = |trace: &TraceRef,
                         summary: &TraceSummary<'_>,
                         pieces: &[AssembledPiece],
                         matched: &[RowSet]| {
            visit(trace, summary, &mut pieces.iter().map(|piece| &*piece.batch).zip(matched));
        };
        Standing::new(&question).matched(traces, columns, &self.meter, skipped, &mut visit)
    }

    /// Visits units until one says that nothing more is wanted.
    pub(super) fn for_each_unit(
        &mut self,
        mut visit: impl FnMut(&mut Self, &Unit) -> Result<ControlFlow<(), Done>, QueryError>,
    ) -> Result<(), QueryError> {
        let units = self.units.clone();
        for (place, unit) in units.iter().enumerate() {
            self.check()?;
            if matches!(unit.name(), UnitName::Slice { block, .. } if self.broken.contains(&block))
            {
                continue;
            }
            match visit(self, unit) {
                Ok(ControlFlow::Continue(done)) => self.is_read[place] |= done == Done::Read,
                Ok(ControlFlow::Break(())) => return Ok(()),
                Err(QueryError::Read(FindError::Block(error))) => {
                    let skipped = Skipped::from(error);
                    self.broken.insert(skipped.block);
                    self.accounting.skipped.push(skipped);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Adds the values of all spans.
    pub(super) fn values(&mut self, part: &Part, values: &mut ValueSet) -> Result<(), QueryError> {
        if let Part::Trace(of) = part {
            return self.trace_values(*of, values);
        }
        let mut blocks_done = HashSet::new();
        self.for_each_unit(|scan, unit| {
            if values.is_cut() {
                return Ok(ControlFlow::Break(()));
            }
            if !part.may_be_in(unit) {
                return Ok(ControlFlow::Continue(Done::Skipped));
            }
            let done = match part {
                Part::Resource(_) | Part::Scope(_) | Part::ScopeName | Part::ScopeVersion => {
                    scan.shared_values(unit, part, &mut blocks_done, values)?
                }
                Part::Span(_) | Part::Name => scan.span_values(unit, part, values)?,
                _ => scan.scanned_values(unit, part, values)?,
            };
            Ok(ControlFlow::Continue(done))
        })
    }

    /// Values of resources and scopes: of a block once.
    fn shared_values(
        &mut self,
        unit: &Unit,
        part: &Part,
        blocks_done: &mut HashSet<Uuid>,
        values: &mut ValueSet,
    ) -> Result<Done, QueryError> {
        let UnitName::Slice { block, .. } = unit.name() else {
            // A chunk that still grows may know resources of rows that are not visible yet.
            return self.scanned_values(unit, part, values);
        };
        if unit.has_erased() {
            return self.scanned_values(unit, part, values);
        }
        if !blocks_done.insert(block) {
            return Ok(Done::Skipped);
        }
        let open = unit.open(&self.meter)?;
        let (resources, scopes) = (open.resources(), open.scopes());
        let all_scopes = RowSet::all(n_of_scopes(scopes));
        match part {
            Part::Resource(key) => {
                add_key(&resources.attributes, key, &RowSet::all(n_of(resources)), values);
            }
            Part::Scope(key) => add_key(&scopes.attributes, key, &all_scopes, values),
            Part::ScopeName => add_given(&scopes.name, &all_scopes, values),
            _ => add_given(&scopes.version, &all_scopes, values),
        }
        Ok(Done::Read)
    }

    /// Values of spans that may have dictionaries.
    fn span_values(
        &mut self,
        unit: &Unit,
        part: &Part,
        values: &mut ValueSet,
    ) -> Result<Done, QueryError> {
        let of = match part {
            Part::Span(key) => TextOf::SpanKey(key),
            _ => TextOf::Name,
        };
        let open = unit.open(&self.meter)?;
        if !open.dictionary_texts(of, &self.meter, &mut |text| values.add_text(text))? {
            return self.scanned_values(unit, part, values);
        }
        let others = &OFFERED[1..];
        match matches!(part, Part::Span(_)) && may_have(unit, part, others) {
            true => self.scanned_values(unit, part, values),
            false => Ok(Done::Read),
        }
    }

    /// Reads the columns of all rows that were not erased.
    fn scanned_values(
        &mut self,
        unit: &Unit,
        part: &Part,
        values: &mut ValueSet,
    ) -> Result<Done, QueryError> {
        let open = unit.open(&self.meter)?;
        let mut rows = open.pieces();
        self.count_rows(ranges::n_rows(&rows));
        if unit.has_erased() {
            let all = ranges::rows(&rows);
            let traces = traces_of(&open, &all, &self.meter)?;
            rows = ranges::of_rows(&rows_of(&all, &traces));
        }
        let batch = self.read(&open, &rows, &part.columns())?;
        part.add_values(&batch, &ranges::in_batch(&rows, &batch), values);
        Ok(Done::Read)
    }

    /// Reads columns of some rows, and of others where that is cheaper.
    pub(super) fn read(
        &self,
        open: &OpenUnit<'_>,
        rows: &[Range<u32>],
        columns: &Columns,
    ) -> Result<Batch, QueryError> {
        let read = match columns.has(Field::ParentSpanId) {
            true => self.whole_traces(open)?,
            false => ranges::to_read(rows),
        };
        Ok(open.read(&read, columns, &self.meter)?)
    }

    /// The rows of all traces that can be told whole: parents are read of no others. The pieces of
    /// a slice outside the range hold traces of several sources that reach into it, as far as they
    /// lie in the slice; of the others there, which are not asked for, a part may be missing.
    fn whole_traces(&self, open: &OpenUnit<'_>) -> Result<Vec<Range<u32>>, QueryError> {
        let all = ranges::rows(&open.pieces());
        let mut whole = Vec::new();
        for (trace, places) in traces_of(open, &all, &self.meter)? {
            let is_within = self.range.is_none_or(|range| {
                let (start, end) = (trace.start_unix_nanos, trace.end_unix_nanos);
                start <= range.max_unix_nanos && end.max(start) >= range.min_unix_nanos
            });
            match open.rows_of(&trace) {
                Some(rows) => ranges::push(&mut whole, rows),
                None if is_within => {
                    ranges::push(&mut whole, all[places.start]..all[places.end - 1] + 1)
                }
                None => {}
            }
        }
        Ok(whole)
    }

    /// What is known of traces as a whole. The range of time holds exactly here.
    fn trace_values(&mut self, of: TracePart, values: &mut ValueSet) -> Result<(), QueryError> {
        let mut stopped = Ok(());
        let mut n_traces = 0;
        let report = self.snapshot.trace_rows(self.range, |id, summary| {
            n_traces += 1;
            of.value(id, &summary).into_iter().for_each(|value| values.add(value));
            if n_traces % TRACES_PER_CHECK == 0 {
                stopped = self.check();
            }
            match values.is_cut() || stopped.is_err() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        stopped?;
        self.accounting.traces_inspected += n_traces;
        self.accounting.skipped = report.skipped;
        self.is_read.fill(true);
        Ok(())
    }
}

/// The rows of traces, which are places among rows.
pub(super) fn rows_of(rows: &[u32], traces: &[RowsOfTrace]) -> Vec<u32> {
    traces.iter().flat_map(|(_, places)| &rows[places.clone()]).copied().collect()
}

/// Traces looked at between two looks at the budget.
const TRACES_PER_CHECK: u64 = 1_024;

impl Part {
    /// Whether rows of a unit may have values, as far as keys say.
    pub(super) fn may_be_in(&self, unit: &Unit) -> bool {
        may_have(unit, self, &OFFERED)
    }
}

/// Whether rows of a unit may have values of some types, as far as keys say.
fn may_have(unit: &Unit, part: &Part, types: &[ValueType]) -> bool {
    let (owner, key) = match part {
        Part::Span(key) => (AttributeOwner::Span, key),
        Part::Event(key) => (AttributeOwner::Event, key),
        Part::Link(key) => (AttributeOwner::Link, key),
        Part::Resource(key) => (AttributeOwner::Resource, key),
        Part::Scope(key) => (AttributeOwner::Scope, key),
        _ => return true,
    };
    types.iter().any(|of| unit.presence(owner, key, *of) != UnitPresence::Absent)
}
