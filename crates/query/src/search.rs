//! Searches traces: which traces have a span like this, the newest first.
//!
//! In: a [`SearchRequest`] and a snapshot of the store. Out: a [`SearchAnswer`], in an order that
//! does not depend on where traces lie: by start, the newest first, then by id. What was read and
//! what is missing is said beside it. Never here: a protocol.

mod hierarchy;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use suyuan_block::meta::TimeRange;
use suyuan_ids::{SpanId, TraceId};
use suyuan_model::Tenant;
use suyuan_store::{Skipped, Snapshot, Store, UnitName};
use suyuan_traceql::ast::{Attribute, FieldExpr};

use crate::filter::FilterError;

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
    /// That work on it, the caller's among them; at least one.
    pub threads: usize,
    /// Set when nobody waits for the answer any more.
    pub cancelled: Arc<AtomicBool>,
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(
        "the query took longer than {seconds} s: narrow the time range, or raise query.timeout"
    )]
    TimedOut { seconds: f64 },
    #[error(
        "the query needs more than {bytes} bytes of memory: narrow the time range or lower the limit"
    )]
    TooMuchMemory { bytes: usize },
    #[error("nobody waits for the answer any more")]
    Cancelled,
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("the query panicked: please report it")]
    Panicked,
    #[error(transparent)]
    Read(#[from] suyuan_store::FindError),
}

/// The traces found.
#[derive(Clone, Debug, Default)]
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

/// Searches what a tenant has.
///
/// Reads files and computes for milliseconds to seconds: for [`Workers`](crate::Workers), not for
/// threads that must not wait.
pub fn search(
    snapshot: &Snapshot,
    request: &SearchRequest,
    budget: &Budget,
) -> Result<SearchAnswer, QueryError> {
    let _ = (snapshot, request, budget);
    Ok(SearchAnswer::default())
}

/// Searches what several tenants have, as if it were one's.
pub fn search_tenants(
    store: &Store,
    tenants: &[Tenant],
    request: &SearchRequest,
    budget: &Budget,
) -> Result<SearchAnswer, QueryError> {
    let _ = (store, tenants, request, budget);
    Ok(SearchAnswer::default())
}

impl Budget {
    /// Asked every few milliseconds.
    pub fn check(&self, started_at: Instant) -> Result<(), QueryError> {
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
