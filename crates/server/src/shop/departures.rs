//! When spans leave: many traces at once, in the order of their ends.
//!
//! In: a shop and a pace. Out: batches as a collector would send them: the spans of one trace are
//! spread over several, and every span is in exactly one. Time is the shop's own: nothing here looks
//! at a clock, so the same pace gives the same batches. Memory: the spans of the traces that have
//! begun and not ended, about rate x 0.2 s of them.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::random::Random;
use super::span::Span;
use super::{SPANS_PER_TRACE, Shop, Trace};

const SECOND_NANOS: u64 = 1_000_000_000;

/// How busy the shop is, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The first trace begins here.
    pub start_unix_nanos: u64,
    /// Must be positive.
    pub spans_per_second: f64,
    /// No trace begins once so many spans were made; the last trace is whole, so a few more come.
    pub spans_max: Option<u64>,
    /// No trace begins after so much time.
    pub duration_nanos_max: Option<u64>,
}

/// Spans that leave together.
#[derive(Debug)]
pub struct Batch {
    /// In the order of their ends.
    pub spans: Vec<Span>,
    /// When the batch is complete and may go.
    pub due_unix_nanos: u64,
}

/// How large a batch becomes and how long it waits for that.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// Must be positive.
    pub spans_max: usize,
    /// Counted from the end of the first span.
    pub wait_nanos_max: u64,
}

/// A shop at work, seen from its exit.
#[derive(Debug)]
pub struct Departures {
    shop: Shop,
    pace: Pace,
    arrivals: Random,
    next_start_unix_nanos: u64,
    n_spans: u64,
    n_spans_waiting_max: usize,
    waiting: BinaryHeap<Waiting>,
}

/// A span that has not ended yet; boxed, because a heap moves its elements often.
#[derive(Debug)]
struct Waiting {
    sequence: u64,
    span: Box<Span>,
}

impl Departures {
    pub fn new(shop: Shop, pace: Pace) -> Self {
        debug_assert!(pace.spans_per_second > 0.0, "a shop at a standstill never ends");
        Self {
            arrivals: Random::new(shop.seed ^ 0x0061_7272_6976_616c),
            next_start_unix_nanos: pace.start_unix_nanos,
            n_spans: 0,
            n_spans_waiting_max: 0,
            waiting: BinaryHeap::new(),
            shop,
            pace,
        }
    }

    pub fn shop(&self) -> &Shop {
        &self.shop
    }

    /// The most spans that were held at a time.
    pub fn n_spans_waiting_max(&self) -> usize {
        self.n_spans_waiting_max
    }

    /// The next batch, or `None` when everything has left. `on_trace` sees each trace when it
    /// begins, before any of its spans leaves.
    pub fn next_batch(
        &mut self,
        batching: Batching,
        mut on_trace: impl FnMut(&Trace),
    ) -> Option<Batch> {
        let first = self.next_span(&mut on_trace)?;
        let leaves_at = first.end_unix_nanos.saturating_add(batching.wait_nanos_max);
        let mut batch = Batch { due_unix_nanos: first.end_unix_nanos, spans: vec![first] };
        while batch.spans.len() < batching.spans_max {
            self.fill(&mut on_trace);
            let Some(next) = self.waiting.peek() else { return Some(batch) };
            if next.span.end_unix_nanos > leaves_at {
                batch.due_unix_nanos = leaves_at;
                return Some(batch);
            }
            if let Some(next) = self.waiting.pop() {
                batch.due_unix_nanos = next.span.end_unix_nanos;
                batch.spans.push(*next.span);
            }
        }
        Some(batch)
    }

    fn next_span(&mut self, on_trace: &mut impl FnMut(&Trace)) -> Option<Span> {
        self.fill(on_trace);
        self.waiting.pop().map(|waiting| *waiting.span)
    }

    /// Begins traces until the earliest end lies before the next beginning: then it is the next.
    fn fill(&mut self, on_trace: &mut impl FnMut(&Trace)) {
        while self.is_open()
            && self
                .waiting
                .peek()
                .is_none_or(|next| next.span.end_unix_nanos > self.next_start_unix_nanos)
        {
            let trace = self.shop.trace(self.next_start_unix_nanos);
            on_trace(&trace);
            for span in trace.spans {
                self.waiting.push(Waiting { sequence: self.n_spans, span: Box::new(span) });
                self.n_spans += 1;
            }
            self.n_spans_waiting_max = self.n_spans_waiting_max.max(self.waiting.len());
            self.next_start_unix_nanos += self.gap();
        }
    }

    /// Whether more traces will begin.
    pub fn is_open(&self) -> bool {
        let elapsed = self.next_start_unix_nanos - self.pace.start_unix_nanos;
        self.pace.spans_max.is_none_or(|most| self.n_spans < most)
            && self.pace.duration_nanos_max.is_none_or(|most| elapsed < most)
    }

    /// Visitors come independently of each other; a third more slowly or faster while the shop is
    /// ahead of its rate or behind it, so that a giant trace does not make a pause.
    fn gap(&mut self) -> u64 {
        let rate = self.pace.spans_per_second;
        let mean = (SPANS_PER_TRACE / rate * SECOND_NANOS as f64) as u64;
        let elapsed = self.next_start_unix_nanos - self.pace.start_unix_nanos;
        let expected = (elapsed as f64 / SECOND_NANOS as f64 * rate) as u64;
        let gap = self.arrivals.gap(mean);
        match self.n_spans.cmp(&expected) {
            Ordering::Less => gap * 2 / 3,
            Ordering::Equal => gap,
            Ordering::Greater => gap * 4 / 3,
        }
    }
}

impl Waiting {
    fn key(&self) -> (u64, u64) {
        (self.span.end_unix_nanos, self.sequence)
    }
}

/// The earliest end is the greatest, as `BinaryHeap` gives the greatest first.
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}
