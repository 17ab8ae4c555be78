//! Traces that are watched on their way out, until all of their spans are acknowledged.
//!
//! In: traces when they begin, acknowledgements of requests. Out: a trace and the moment of its last
//! acknowledgement. A trace of which anything was refused or lost is forgotten: the counts tell it.
//! At most `TRACES_MAX` are watched.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use suyuan_ids::TraceId;

const TRACES_MAX: usize = 4_096;

/// The traces under way, shared by the source and the connections.
#[derive(Debug, Default)]
pub(super) struct Following {
    traces: Mutex<HashMap<TraceId, Followed>>,
}

/// What is known about a trace before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Followed {
    pub(super) name: String,
    pub(super) n_spans: usize,
    pub(super) n_errors: usize,
    pub(super) n_spans_open: usize,
}

impl Following {
    /// Watches a trace; false when too many are watched already.
    pub(super) fn begin(&self, trace_id: TraceId, followed: Followed) -> bool {
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        if traces.len() >= TRACES_MAX {
            return false;
        }
        traces.insert(trace_id, followed);
        true
    }

    /// Takes note of an acknowledged request; returns the traces that it completed.
    pub(super) fn acknowledge(&self, spans: &[(TraceId, usize)]) -> Vec<(TraceId, Followed)> {
        if spans.is_empty() {
            return Vec::new();
        }
        let mut whole = Vec::new();
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        for (trace_id, n_spans) in spans {
            let Some(followed) = traces.get_mut(trace_id) else { continue };
            followed.n_spans_open = followed.n_spans_open.saturating_sub(*n_spans);
            if followed.n_spans_open == 0
                && let Some(followed) = traces.remove(trace_id)
            {
                whole.push((*trace_id, followed));
            }
        }
        whole
    }

    /// Forgets the traces of a request that was refused or lost.
    pub(super) fn forget(&self, spans: &[(TraceId, usize)]) {
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        for (trace_id, _) in spans {
            traces.remove(trace_id);
        }
    }
}
