//! Reads units, the newest first, and keeps the traces that may be in the answer.
//!
//! In: a question whose units no thread has taken yet. Out: a partial answer: the best candidates,
//! and what was done for them. Of a unit only what the conditions need is read: what keys, filters
//! and bounds rule out not at all, then each condition's columns for the rows that are left.
//!
//! Traces that lie whole in a block are certain here. Of others a row may be replaced elsewhere:
//! they are candidates if a row of theirs fulfils what it can say alone, and are looked at as wholes
//! in the end; if a condition asks for more than the row can say, before they become candidates.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use suyuan_objects::ReadMeter;
use suyuan_store::{FindError, OpenUnit, Skipped, TraceKey, TraceRef, Unit};

use super::question::{Progress, Question};
use super::ranges;
use super::standing::{Standing, add_skipped};
use super::top::{Candidate, Rank, TopTraces};
use super::unit_rows::{
    RowsOfTrace, UnitError, alone_fulfilling, fulfilling_whole, ruled_out, ruled_out_unread,
    traces_of,
};
use super::{Accounting, Explain, QueryError, UNIT_REPORTS_MAX, UnitFate, UnitReport};
use crate::filter::{SourceState, TraceNeeds};
use crate::parallel::Help;

/// Traces that are put together at once before they become candidates, unless more are wanted.
const JUDGED_AT_ONCE_MIN: usize = 64;
const JUDGED_AT_ONCE_MAX: usize = 1_024;

/// To read more rows takes longer than to start a thread that reads the next unit.
const ROWS_ALONE_MAX: u32 = 16_384;

/// One thread's part of an answer.
pub(super) struct Partial {
    pub(super) top: TopTraces,
    pub(super) accounting: Accounting,
    /// With the unit's place.
    pub(super) reports: Vec<(usize, UnitReport)>,
}

/// Takes units until there are none, or none that matters.
pub(super) fn candidates(
    question: &Question<'_>,
    progress: &Progress,
    limit: usize,
    help: &mut Help<'_>,
) -> Result<Partial, QueryError> {
    let mut finder = Finder {
        question,
        progress,
        help,
        top: TopTraces::new(limit),
        standing: Standing::new(question),
        meter: ReadMeter::default(),
        accounting: Accounting::default(),
        rows_read: 0,
        rows_found: 0,
        reports: Vec::new(),
    };
    let result = finder.run();
    if result.is_err() {
        progress.end();
    }
    result?;
    finder.accounting.bytes_read = finder.meter.bytes();
    finder.accounting.requests = finder.meter.requests();
    Ok(Partial { top: finder.top, accounting: finder.accounting, reports: finder.reports })
}

struct Finder<'a, 'h> {
    question: &'a Question<'a>,
    progress: &'a Progress,
    help: &'a mut Help<'h>,
    top: TopTraces,
    standing: Standing<'a>,
    meter: ReadMeter,
    accounting: Accounting,
    /// Of the unit that is being read.
    rows_read: u64,
    rows_found: u64,
    reports: Vec<(usize, UnitReport)>,
}

impl Finder<'_, '_> {
    fn run(&mut self) -> Result<(), QueryError> {
        let question = self.question;
        loop {
            let place = self.progress.next_unit();
            let Some(unit) = question.units.get(place) else { return Ok(()) };
            question.check()?;
            self.help.call_if_late();
            if self.progress.is_ended() {
                return Ok(());
            }
            let started_at = Instant::now();
            let bytes_before = self.meter.bytes();
            (self.rows_read, self.rows_found) = (0, 0);
            let fate = self.fate(place, unit)?;
            self.count(&fate);
            if question.request.explain == Explain::Yes && place < UNIT_REPORTS_MAX {
                let report = UnitReport {
                    unit: unit.name(),
                    fate: fate.shortened(),
                    n_rows: unit.n_rows(),
                    rows_read: self.rows_read,
                    rows_found: self.rows_found,
                    bytes_read: self.meter.bytes() - bytes_before,
                    elapsed: started_at.elapsed(),
                };
                self.reports.push((place, report));
            }
        }
    }

    fn count(&mut self, fate: &UnitFate) {
        match fate {
            UnitFate::Read => self.accounting.units_read += 1,
            UnitFate::Pruned(_) => self.accounting.units_pruned += 1,
            UnitFate::NotNeeded => self.accounting.units_not_needed += 1,
            UnitFate::Failed(_) => {}
        }
        self.accounting.spans_inspected += self.rows_read;
    }

    fn fate(&mut self, place: usize, unit: &Unit) -> Result<UnitFate, QueryError> {
        if unit.newest_start_unix_nanos() < self.start_unix_nanos_min() {
            self.top.set_cut();
            return Ok(UnitFate::NotNeeded);
        }
        if let Some(why) = ruled_out_unread(unit, self.question.filter) {
            return Ok(UnitFate::Pruned(why));
        }
        match self.read(place, unit) {
            Ok(fate) => Ok(fate),
            Err(UnitError::Read(FindError::Block(error))) => {
                let skipped = Skipped::from(error);
                let reason = skipped.reason.clone();
                add_skipped(&mut self.accounting.skipped, skipped);
                Ok(UnitFate::Failed(reason))
            }
            Err(UnitError::Read(error)) => Err(QueryError::Read(error)),
            Err(UnitError::Query(error)) => Err(error),
        }
    }

    fn read(&mut self, place: usize, unit: &Unit) -> Result<UnitFate, UnitError> {
        let question = self.question;
        let unit_is_open = unit.open(&self.meter)?;
        let open = &unit_is_open;
        let mut source = SourceState::default();
        let filter = question.filter;
        if let Some(why) = ruled_out(unit, open, filter, &mut source, &self.meter)? {
            return Ok(UnitFate::Pruned(why));
        }
        let rows = match question.request.range {
            Some(range) => open.rows_within(range, &self.meter)?,
            None => open.pieces(),
        };
        if rows.is_empty() {
            return Ok(UnitFate::Pruned("none of its traces has a moment in the range".to_owned()));
        }
        self.rows_read = ranges::n_rows(&rows).into();
        let is_last = place + 1 >= question.units.len();
        let mut before_reading = |n_rows| {
            self.help.call_if(n_rows >= ROWS_ALONE_MAX && !is_last);
            question.check()
        };
        let alive = alone_fulfilling(
            unit,
            open,
            filter,
            rows,
            &mut source,
            &self.meter,
            &mut before_reading,
        )?;
        let mut rows = ranges::rows(&alive);
        let needs = question.filter.needs();
        if needs != TraceNeeds::Nothing {
            rows = self.fulfilling(open, rows, &mut source)?;
        }
        self.rows_found = rows.len() as u64;
        let groups = self.wanted(open, &rows)?;
        self.add(place, &rows, groups, needs)?;
        Ok(UnitFate::Read)
    }

    /// No trace that starts earlier has a place.
    fn start_unix_nanos_min(&self) -> i64 {
        let own = self.top.start_unix_nanos_min().unwrap_or(i64::MIN);
        own.max(self.progress.start_unix_nanos_min())
    }

    /// The traces of rows that may have a place, with their rows.
    fn wanted(&mut self, open: &OpenUnit<'_>, rows: &[u32]) -> Result<Vec<RowsOfTrace>, UnitError> {
        let start_min = self.start_unix_nanos_min();
        let mut groups = traces_of(open, rows, &self.meter)?;
        groups.retain(|(trace, _)| self.question.wants(trace));
        let n_wanted = groups.len();
        groups.retain(|(trace, _)| trace.start_unix_nanos >= start_min);
        if groups.len() < n_wanted {
            self.top.set_cut();
        }
        Ok(groups)
    }

    /// Makes traces candidates, those that come first in the answer first.
    fn add(
        &mut self,
        place: usize,
        rows: &[u32],
        mut groups: Vec<RowsOfTrace>,
        needs: TraceNeeds,
    ) -> Result<(), UnitError> {
        let bytes_before = self.top.bytes();
        groups.sort_by_key(|(trace, _)| Rank::of(trace));
        // Rows of live traces stand in the order in which they came.
        let of_traces = groups.chunk_by(|(one, _), (next, _)| one.key() == next.key());
        self.accounting.traces_inspected += of_traces.count() as u64;
        if needs == TraceNeeds::Nothing {
            for (trace, places) in groups {
                if !self.add_one(place, rows, trace, places) {
                    break;
                }
            }
        } else {
            let mut at_once = JUDGED_AT_ONCE_MIN.max(self.question.request.limit);
            let mut rest = &groups[..];
            while !rest.is_empty() {
                let (group, later) = rest.split_at(at_once.min(rest.len()));
                if !self.add_judged(place, rows, group)? {
                    break;
                }
                // The more had to be judged, the more will have to be.
                (rest, at_once) =
                    (later, at_once.max(JUDGED_AT_ONCE_MAX.min(at_once.saturating_mul(2))));
            }
        }
        self.progress
            .count_memory(bytes_before, self.top.bytes(), self.question.budget)
            .map_err(UnitError::Query)?;
        if let Some(start) = self.top.start_unix_nanos_min() {
            self.progress.raise_start(start);
        }
        Ok(())
    }

    /// False: neither this trace nor a later one has a place.
    fn add_one(
        &mut self,
        place: usize,
        rows: &[u32],
        trace: TraceRef,
        places: Range<usize>,
    ) -> bool {
        if !self.top.admits(Rank::of(&trace)) {
            self.top.set_cut();
            return false;
        }
        let rows = match trace.is_whole {
            true => ranges::of_rows(&rows[places]),
            false => Vec::new(),
        };
        self.top.add(Candidate { trace, unit: place as u32, rows })
    }

    /// The same where traces that are not whole here must be put together first.
    fn add_judged(
        &mut self,
        place: usize,
        rows: &[u32],
        groups: &[RowsOfTrace],
    ) -> Result<bool, UnitError> {
        let mut unknown: Vec<TraceRef> = Vec::new();
        for (trace, _) in groups {
            if !trace.is_whole
                && self.top.admits(Rank::of(trace))
                && self.progress.verdict(&trace.key()).is_none()
                && unknown.last().is_none_or(|last| last.key() != trace.key())
            {
                unknown.push(*trace);
            }
        }
        let skipped = &mut self.accounting.skipped;
        let verdicts =
            self.standing.judge(&unknown, &self.meter, skipped).map_err(UnitError::Query)?;
        let verdicts: HashMap<TraceKey, bool> = verdicts.into_iter().collect();
        self.progress.set_verdicts(&verdicts, self.question.budget);
        for (trace, places) in groups {
            if !self.top.admits(Rank::of(trace)) {
                self.top.set_cut();
                return Ok(false);
            }
            let verdict = || verdicts.get(&trace.key()).copied();
            let is_found = trace.is_whole
                || verdict().or_else(|| self.progress.verdict(&trace.key())) == Some(true);
            if is_found && !self.add_one(place, rows, *trace, places.clone()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The rows that fulfil the conditions about their traces, and all rows of traces that are not
    /// whole here.
    fn fulfilling(
        &mut self,
        open: &OpenUnit<'_>,
        rows: Vec<u32>,
        source: &mut SourceState,
    ) -> Result<Vec<u32>, UnitError> {
        let groups = self.wanted(open, &rows)?;
        let (whole, others): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(trace, _)| trace.is_whole);
        let mut found: Vec<u32> =
            others.into_iter().flat_map(|(_, places)| rows[places].iter().copied()).collect();
        if !whole.is_empty() {
            self.question.check()?;
            let filter = self.question.filter;
            found.extend(fulfilling_whole(open, filter, &rows, &whole, source, &self.meter)?);
            found.sort_unstable();
        }
        Ok(found)
    }
}
