//! What a condition may have to know of a row's trace.
//!
//! In: what the executor found out. Out: plain data. Never here: how a trace is put together.

/// What must be known of traces before a condition can say yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TraceNeeds {
    /// The columns of the row alone.
    Nothing,
    /// Root and duration of the trace, see [`TraceFacts`].
    Facts,
    /// The batch holds whole traces, so that parents' ids can be read; and [`TraceFacts`].
    Parents,
    /// [`Structure`] of the rows; and all of the above.
    Structure,
}

/// The traces of a batch's rows.
#[derive(Clone, Copy, Debug)]
pub struct TraceContext<'a> {
    /// For each row of the batch a place in `facts`; of rows that are not asked for, anything.
    pub trace_of_row: &'a [u32],
    pub facts: &'a [TraceFacts<'a>],
    /// For each row of the batch, if a condition needs it.
    pub structure: Option<&'a [Structure]>,
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

/// Where a span stands in the tree of its trace, as nested sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// From 1, in pre-order; 0 if the span cannot be reached from a root.
    pub left: u32,
    pub right: u32,
    /// `left` of the parent, -1 for a span that names no parent, 0 if it cannot be reached.
    pub parent: i64,
    pub n_children: u32,
}
