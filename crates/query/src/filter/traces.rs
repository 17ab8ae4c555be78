//! What a condition may have to know of a row's trace.
//!
//! In: what the executor found out. Out: plain data. Never here: how a trace is put together.

use suyuan_store::SpanStructure;

/// What must be known of traces before a condition can say yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TraceNeeds {
    /// The columns of the row alone.
    Nothing,
    /// Root and duration of the trace, see [`TraceFacts`].
    Facts,
    /// The batch holds whole traces, so that parents' ids can be read; and [`TraceFacts`].
    Parents,
    /// [`SpanStructure`] of the rows; and all of the above.
    Structure,
}

/// The traces of a batch's rows.
#[derive(Clone, Copy, Debug)]
pub struct TraceContext<'a> {
    /// For each row of the batch a place in `facts`; of rows that are not asked for, anything.
    pub trace_of_row: &'a [u32],
    pub facts: &'a [TraceFacts<'a>],
    /// For each row of the batch, if a condition needs it.
    pub structure: Option<&'a [SpanStructure]>,
}

/// What is known of a whole trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceFacts<'a> {
    /// Of the earliest span that names no parent; without one the name is the empty text.
    pub root_name: Option<&'a str>,
    pub root_service: Option<&'a str>,
    /// The last end less the first start, of all spans.
    pub duration_nanos: i64,
}
