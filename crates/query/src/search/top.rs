//! The best traces so far: a partial answer that merges.
//!
//! In: candidates, in any order, a trace of several sources as often as it is met. Out: as many as
//! are asked for, those that come first in an answer. Partial answers of threads, stores and
//! machines put together are the answer to the whole. Memory: twice the limit at most.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::Range;

use suyuan_ids::TraceId;
use suyuan_store::{TraceKey, TraceRef};

/// The order of answers: the newest first, then by id. The least comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(Reverse<i64>, TraceId);

/// A trace that has a row which fulfils the filter.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) trace: TraceRef,
    /// Where it was met, as a place among the units. A whole trace lies nowhere else.
    pub(super) unit: u32,
    /// Of a whole trace, the rows that fulfil the filter. Of others nothing is kept: which of their
    /// rows stand is not known before they were put together.
    pub(super) rows: Vec<Range<u32>>,
}

/// The candidates that come first.
#[derive(Debug)]
pub(super) struct TopTraces {
    limit: usize,
    /// In no order; more than the limit for a while.
    candidates: Vec<Candidate>,
    /// Traces that may be met again.
    shared: HashSet<TraceKey>,
    /// The last that has a place, once there are enough.
    last: Option<Rank>,
    is_cut: bool,
    bytes: usize,
}

impl Rank {
    pub(super) fn new(start_unix_nanos: i64, id: TraceId) -> Self {
        Self(Reverse(start_unix_nanos), id)
    }

    pub(super) fn of(trace: &TraceRef) -> Self {
        Self::new(trace.start_unix_nanos, trace.id)
    }

    pub(super) fn start_unix_nanos(&self) -> i64 {
        self.0.0
    }
}

impl Candidate {
    /// Memory that it takes, about.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.rows.capacity() * size_of::<Range<u32>>()
    }
}

impl TopTraces {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            candidates: Vec::new(),
            shared: HashSet::new(),
            last: None,
            is_cut: false,
            bytes: 0,
        }
    }

    /// Whether a trace of this rank would have a place.
    pub(super) fn admits(&self, rank: Rank) -> bool {
        self.limit > 0 && self.last.is_none_or(|last| rank <= last)
    }

    /// Takes a candidate, unless it is known or comes too late. False: it came too late.
    pub(super) fn add(&mut self, candidate: Candidate) -> bool {
        if !self.admits(Rank::of(&candidate.trace)) {
            self.is_cut = true;
            return false;
        }
        if !candidate.trace.is_whole && !self.shared.insert(candidate.trace.key()) {
            return true;
        }
        self.bytes += candidate.bytes();
        self.candidates.push(candidate);
        let is_first_time = self.last.is_none() && self.candidates.len() == self.limit;
        if is_first_time || self.candidates.len() >= self.limit.saturating_mul(2) {
            self.settle();
        }
        true
    }

    /// A trace was left out because it would come too late.
    pub(super) fn set_cut(&mut self) {
        self.is_cut = true;
    }

    /// The start of the last trace that has a place: no earlier one has. `None`: all have one.
    pub(super) fn start_unix_nanos_min(&self) -> Option<i64> {
        self.last.map(|last| last.start_unix_nanos())
    }

    /// Memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.shared.capacity() * 2 * size_of::<TraceKey>()
    }

    /// Takes over what another one has.
    pub(super) fn merge(&mut self, other: Self) {
        self.is_cut |= other.is_cut;
        for candidate in other.candidates {
            self.add(candidate);
        }
    }

    /// In the order of answers, and whether there were more.
    pub(super) fn into_sorted(mut self) -> (Vec<Candidate>, bool) {
        self.settle();
        self.candidates.sort_unstable_by_key(|candidate| Rank::of(&candidate.trace));
        (self.candidates, self.is_cut)
    }

    /// Drops what has no place, and finds the last that has one.
    fn settle(&mut self) {
        if self.limit == 0 || self.candidates.len() < self.limit {
            return;
        }
        let place = self.limit - 1;
        let rank = |candidate: &Candidate| Rank::of(&candidate.trace);
        let (_, last, _) = self.candidates.select_nth_unstable_by_key(place, rank);
        self.last = Some(Rank::of(&last.trace));
        if self.candidates.len() > self.limit {
            self.is_cut = true;
            self.bytes -= self.candidates.drain(self.limit..).map(|out| out.bytes()).sum::<usize>();
        }
    }
}
