//! Searches traces: which traces have a span like this, the newest first.
//!
//! In: a [`SearchRequest`] and a snapshot of the store. Out: a [`SearchAnswer`], in an order that
//! does not depend on where traces lie: by start, the newest first, then by id. What was read and
//! what is missing is said beside it. Never here: a protocol.

mod candidates;
mod hierarchy;
mod json_text;
mod mixed;
pub(crate) mod question;
pub(crate) mod ranges;
pub(crate) mod shown;
pub(crate) mod standing;
mod top;
pub(crate) mod unit_rows;
mod winners;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use suyuan_block::meta::TimeRange;
use suyuan_ids::{SpanId, TraceId};
use suyuan_model::Tenant;
use suyuan_objects::ReadMeter;
use suyuan_store::{Skipped, Snapshot, Store, TraceRef, UnitName};
use suyuan_traceql::ast::{Attribute, FieldExpr};

use self::candidates::candidates;
use self::question::{Progress, Question};
use self::shown::Shown;
use self::standing::{Standing, add_skipped};
use self::top::{Candidate, Rank, TopTraces};
use crate::filter::{Filter, FilterError};
use crate::parallel::{Panicked, Threads, on_threads};

pub use self::hierarchy::{KeepHierarchy, filter_trace};

/// What is asked.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// A span must fulfil it.
    pub filter: FieldExpr,
    /// Shown of the spans found, besides what the filter reads.
    pub selected: Vec<Attribute>,
    /// Traces that have a moment in it; `None`: any.
    pub range: Option<TimeRange>,
    /// Of the trace; both ends included.
    pub duration_nanos_min: Option<u64>,
    pub duration_nanos_max: Option<u64>,
    /// Traces in the answer.
    pub limit: usize,
    /// Spans of each.
    pub spans_per_set: usize,
    pub explain: Explain,
}

/// Whether an answer says of each unit why it was read or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Explain {
    #[default]
    No,
    Yes,
}

/// What a question may take.
#[derive(Clone, Debug)]
pub struct Budget {
    pub deadline: Instant,
    pub memory_bytes: usize,
    /// That work on it and on other questions.
    pub threads: Threads,
    /// Set when nobody waits for the answer any more.
    pub cancelled: Arc<AtomicBool>,
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(
        "the query took longer than {seconds} s: narrow the time range, or raise query.timeout_s"
    )]
    TimedOut { seconds: f64 },
    #[error(
        "the query needs more than {bytes} bytes of memory: narrow the time range, lower the limit, or \
         raise query.memory_bytes_max"
    )]
    TooMuchMemory { bytes: usize },
    #[error("nobody waits for the answer any more")]
    Cancelled,
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Panicked(#[from] Panicked),
    #[error(transparent)]
    Read(#[from] suyuan_store::FindError),
}

/// The traces found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchAnswer {
    pub traces: Vec<FoundTrace>,
    pub accounting: Accounting,
    /// If it was asked for; the first [`UNIT_REPORTS_MAX`] units.
    pub explain: Vec<UnitReport>,
}

/// Units that an explanation tells of.
pub const UNIT_REPORTS_MAX: usize = 10_000;

/// What was done with a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitReport {
    pub unit: UnitName,
    pub fate: UnitFate,
    pub n_rows: u32,
    /// Looked at, in whatever column.
    pub rows_read: u64,
    /// Rows that fulfil the filter, as far as the unit alone can say.
    pub rows_found: u64,
    pub bytes_read: u64,
    pub elapsed: Duration,
}

/// Bytes of a reason; longer ones are cut.
const REASON_BYTES_MAX: usize = 512;

/// Why a unit was read, or was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitFate {
    Read,
    /// No row can have what is asked for; which condition says so, and how it is known.
    Pruned(String),
    /// Older than every trace of a full answer.
    NotNeeded,
    /// Of a block that could not be read.
    Failed(String),
}

/// A trace with at least one span that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundTrace {
    pub id: TraceId,
    /// `None`: no root has come, or it names no service.
    pub root_service: Option<Arc<str>>,
    pub root_name: Option<Arc<str>>,
    pub start_unix_nanos: i64,
    pub end_unix_nanos: i64,
    /// How many spans were asked for, whether or not they are below.
    pub n_matched: u64,
    /// By start, then by id.
    pub spans: Vec<FoundSpan>,
    /// By name; the empty name are spans without a service.
    pub services: Vec<ServiceStats>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FoundSpan {
    pub id: SpanId,
    /// If the query reads names.
    pub name: Option<Arc<str>>,
    pub start_unix_nanos: i64,
    pub duration_nanos: i64,
    /// By key; a key once.
    pub attributes: Vec<(Arc<str>, AnswerValue)>,
}

/// An attribute of a span as answers show it.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerValue {
    String(Arc<str>),
    Bool(bool),
    Int(i64),
    Double(f64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceStats {
    pub service: Arc<str>,
    pub n_spans: u32,
    pub n_errors: u32,
}

/// What was done for an answer, and what is missing from it. Those of parts add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounting {
    /// Slices and live chunks: all, and those that were read. The rest could not hold an answer.
    pub units_total: u64,
    pub units_read: u64,
    /// Out of the range of time.
    pub units_outside: u64,
    /// No row can have what is asked for, as the key directory, filters or bounds say.
    pub units_pruned: u64,
    /// Older than every trace of a full answer.
    pub units_not_needed: u64,
    pub spans_inspected: u64,
    pub traces_inspected: u64,
    pub bytes_read: u64,
    pub requests: u64,
    /// Blocks that could not be read.
    pub skipped: Vec<Skipped>,
    /// Shared traces that were looked at in pieces, for want of memory.
    pub n_left_in_pieces: u64,
}

/// Traces that a thread puts together before it takes more: neighbours lie in the same chunks, which
/// each task reads anew, so as many as leave each thread two tasks.
const TRACES_PER_TASK_MIN: usize = 64;
const TRACES_PER_TASK_MAX: usize = 1_024;
/// OTLP's `STATUS_CODE_ERROR`.
const STATUS_ERROR: i32 = 2;

/// Searches what a tenant has.
///
/// Reads files and computes for milliseconds to seconds: for [`Workers`](crate::Workers), not for
/// threads that must not wait.
pub fn search(
    snapshot: &Arc<Snapshot>,
    request: &SearchRequest,
    budget: &Budget,
) -> Result<SearchAnswer, QueryError> {
    search_all(std::slice::from_ref(snapshot), request, budget)
}

/// Searches what several tenants have, as if it were one's.
pub fn search_tenants(
    store: &Store,
    tenants: &[Tenant],
    request: &SearchRequest,
    budget: &Budget,
) -> Result<SearchAnswer, QueryError> {
    let snapshots: Vec<Arc<Snapshot>> =
        tenants.iter().map(|tenant| Arc::new(store.snapshot(tenant))).collect();
    search_all(&snapshots, request, budget)
}

fn search_all(
    snapshots: &[Arc<Snapshot>],
    request: &SearchRequest,
    budget: &Budget,
) -> Result<SearchAnswer, QueryError> {
    let started_at = Instant::now();
    let filter = Filter::compile(&request.filter)?;
    let shown = Shown::new(filter.reads().iter().chain(&request.selected));
    let mut answer = SearchAnswer::default();
    for snapshot in snapshots {
        let held_bytes: usize = answer.traces.iter().map(FoundTrace::bytes).sum();
        budget.check(started_at)?;
        let split = snapshot.split()?;
        let (units, n_outside) = snapshot.units(&split, request.range);
        let question = Question {
            snapshot,
            split: &split,
            units: &units,
            filter: &filter,
            shown: &shown,
            request,
            budget,
            started_at,
            answer_bytes: AtomicUsize::new(held_bytes),
        };
        let mut of_tenant = answer_of(&question)?;
        of_tenant.accounting.units_total = units.len() as u64 + n_outside;
        of_tenant.accounting.units_outside = n_outside;
        of_tenant.accounting.n_left_in_pieces = split.n_left_out();
        for skipped in snapshot.missing(&split) {
            add_skipped(&mut of_tenant.accounting.skipped, skipped);
        }
        answer.merge(of_tenant, request.limit);
    }
    mixed::make_uniform(&mut answer.traces);
    Ok(answer)
}

/// The answer of one tenant. What was found of traces that are not whole in one place is certain
/// only when they were put together: if some of them fall away then, more candidates are looked
/// for.
fn answer_of(question: &Question<'_>) -> Result<SearchAnswer, QueryError> {
    let mut answer = SearchAnswer::default();
    if question.filter.is_never() || question.request.limit == 0 {
        return Ok(answer);
    }
    let limit = question.request.limit;
    let mut n_candidates = limit;
    // Of tenants that were asked before.
    let held_bytes = question.answer_bytes.load(Relaxed);
    loop {
        question.answer_bytes.store(held_bytes, Relaxed);
        let mut top = best_candidates(question, n_candidates, &mut answer)?;
        let (whole, others): (Vec<_>, Vec<_>) =
            top.candidates.drain(..).partition(|candidate| candidate.trace.is_whole);
        let others: Vec<TraceRef> = others.into_iter().map(|candidate| candidate.trace).collect();
        let n_asked = others.len();
        let mut traces = standing_traces(question, others, &mut answer.accounting)?;
        let n_gone = n_asked - traces.len();
        if n_gone > 0 && top.is_cut && whole.len() + traces.len() < limit {
            n_candidates = n_candidates.saturating_mul(2).max(limit.saturating_add(2 * n_gone));
            continue;
        }
        let whole = first_of(whole, &traces, limit);
        traces.extend(winners::found(question, whole, &mut answer.accounting)?);
        answer.traces = traces;
        answer.sort(limit);
        return Ok(answer);
    }
}

/// Candidates in the order of answers, and whether there are more.
struct Best {
    candidates: Vec<Candidate>,
    is_cut: bool,
}

/// One round over the units. What it says of units replaces what a round before said.
fn best_candidates(
    question: &Question<'_>,
    n_candidates: usize,
    answer: &mut SearchAnswer,
) -> Result<Best, QueryError> {
    let progress = Progress::new();
    let partials = on_threads(&question.budget.threads, question.units.len(), |help| {
        candidates(question, &progress, n_candidates, help)
    })?;
    let mut top = TopTraces::new(n_candidates);
    let mut round = Accounting::default();
    let mut reports = Vec::new();
    for partial in partials {
        top.merge(partial.top);
        round.add(partial.accounting);
        reports.extend(partial.reports);
    }
    reports.sort_unstable_by_key(|(place, _)| *place);
    answer.explain = reports.into_iter().map(|(_, report)| report).collect();
    let before = std::mem::take(&mut answer.accounting);
    round.bytes_read += before.bytes_read;
    round.requests += before.requests;
    before.skipped.into_iter().for_each(|skipped| add_skipped(&mut round.skipped, skipped));
    answer.accounting = round;
    let (candidates, is_cut) = top.into_sorted();
    Ok(Best { candidates, is_cut })
}

/// Those of traces in pieces that have a span which stands and fulfils the filter.
fn standing_traces(
    question: &Question<'_>,
    traces: Vec<TraceRef>,
    accounting: &mut Accounting,
) -> Result<Vec<FoundTrace>, QueryError> {
    if traces.is_empty() {
        return Ok(Vec::new());
    }
    let threads = &question.budget.threads;
    let n_tasks = 2 * threads.max();
    let n_per_task = traces.len().div_ceil(n_tasks).clamp(TRACES_PER_TASK_MIN, TRACES_PER_TASK_MAX);
    let parts: Vec<&[TraceRef]> = traces.chunks(n_per_task).collect();
    let next = AtomicUsize::new(0);
    let found = on_threads(threads, parts.len(), |help| {
        let meter = ReadMeter::default();
        let (mut found, mut skipped) = (Vec::new(), Vec::new());
        let mut standing = Standing::new(question);
        while let Some(part) = parts.get(next.fetch_add(1, Relaxed)) {
            // More than one task is known to be long enough.
            help.call_if(next.load(Relaxed) < parts.len());
            found.extend(standing.found(part, &meter, &mut skipped)?);
        }
        Ok::<_, QueryError>((found, skipped, meter))
    })?;
    Ok(gathered(found, accounting))
}

/// What one of several threads found, what it could not read, and what it read.
type FoundPart = (Vec<FoundTrace>, Vec<Skipped>, ReadMeter);

/// All that the threads found.
fn gathered(parts: Vec<FoundPart>, accounting: &mut Accounting) -> Vec<FoundTrace> {
    let mut all = Vec::with_capacity(parts.iter().map(|(found, ..)| found.len()).sum());
    for (found, skipped, meter) in parts {
        all.extend(found);
        skipped.into_iter().for_each(|one| add_skipped(&mut accounting.skipped, one));
        accounting.bytes_read += meter.bytes();
        accounting.requests += meter.requests();
    }
    all
}

/// Those of the whole traces that have a place beside the others.
fn first_of(whole: Vec<Candidate>, others: &[FoundTrace], limit: usize) -> Vec<Candidate> {
    let mut others: Vec<Rank> = others.iter().map(FoundTrace::rank).collect();
    others.sort_unstable();
    let has_place = |(place, candidate): &(usize, Candidate)| {
        let rank = Rank::of(&candidate.trace);
        place + others.partition_point(|other| *other < rank) < limit
    };
    whole.into_iter().enumerate().filter(has_place).map(|(_, candidate)| candidate).collect()
}

impl UnitFate {
    /// A reason may name a condition, which may be as long as a query; there are many units.
    fn shortened(mut self) -> Self {
        if let Self::Pruned(why) | Self::Failed(why) = &mut self
            && why.len() > REASON_BYTES_MAX
        {
            why.truncate(why.floor_char_boundary(REASON_BYTES_MAX));
            why.push('…');
            why.shrink_to_fit();
        }
        self
    }
}

impl SearchAnswer {
    /// Takes over what another part of the data answers.
    fn merge(&mut self, other: Self, limit: usize) {
        self.traces.extend(other.traces);
        self.sort(limit);
        self.accounting.add(other.accounting);
        let n_left = UNIT_REPORTS_MAX.saturating_sub(self.explain.len());
        self.explain.extend(other.explain.into_iter().take(n_left));
    }

    fn sort(&mut self, limit: usize) {
        self.traces.sort_by_key(FoundTrace::rank);
        self.traces.truncate(limit);
    }
}

impl FoundTrace {
    fn rank(&self) -> Rank {
        Rank::new(self.start_unix_nanos, self.id)
    }

    /// Memory that it takes, about: texts that others share are counted again.
    pub fn bytes(&self) -> usize {
        let attributes = self.spans.iter().flat_map(|span| &span.attributes);
        let texts = attributes.map(|(_, value)| match value {
            AnswerValue::String(text) => text.len(),
            AnswerValue::Bool(_) | AnswerValue::Int(_) | AnswerValue::Double(_) => 0,
        });
        let names = self.spans.iter().filter_map(|span| span.name.as_ref());
        let names = names.chain(&self.root_service).chain(&self.root_name);
        let names = names.chain(self.services.iter().map(|stats| &stats.service));
        let n_attributes: usize = self.spans.iter().map(|span| span.attributes.capacity()).sum();
        size_of::<Self>()
            + self.spans.capacity() * size_of::<FoundSpan>()
            + n_attributes * size_of::<(Arc<str>, AnswerValue)>()
            + self.services.capacity() * size_of::<ServiceStats>()
            + texts.chain(names.map(|name| name.len())).sum::<usize>()
    }
}

impl Accounting {
    /// Adds what was done for another part of the answer.
    pub fn add(&mut self, other: Self) {
        self.units_total += other.units_total;
        self.units_read += other.units_read;
        self.units_outside += other.units_outside;
        self.units_pruned += other.units_pruned;
        self.units_not_needed += other.units_not_needed;
        self.spans_inspected += other.spans_inspected;
        self.traces_inspected += other.traces_inspected;
        self.bytes_read += other.bytes_read;
        self.requests += other.requests;
        self.n_left_in_pieces += other.n_left_in_pieces;
        other.skipped.into_iter().for_each(|skipped| add_skipped(&mut self.skipped, skipped));
    }
}

impl Budget {
    /// Asked every few milliseconds.
    pub fn check(&self, started_at: Instant) -> Result<(), QueryError> {
        give_way();
        if self.cancelled.load(Relaxed) {
            return Err(QueryError::Cancelled);
        }
        if Instant::now() >= self.deadline {
            let seconds = (self.deadline - started_at).max(Duration::ZERO).as_secs_f64();
            return Err(QueryError::TimedOut { seconds });
        }
        Ok(())
    }
}

/// How long a thread works on before it lets others go first.
const TURN_MAX: Duration = Duration::from_millis(1);

/// A thread that woke up for ingest need not wait until this one's time slice has passed: Linux
/// lets a slice run on, for milliseconds at each of the steps to an acknowledgement.
fn give_way() {
    thread_local! {
        static TURN_BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let is_over = TURN_BEGAN.get().is_none_or(|began| began.elapsed() >= TURN_MAX);
    if is_over {
        std::thread::yield_now();
        TURN_BEGAN.set(Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests;
