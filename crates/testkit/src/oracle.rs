//! A store that is too simple to be wrong.
//!
//! In: export requests, as a tenant sends them. Out: the trace that a correct store must find.
//! Spans lie in a `Vec` with their resource and scope; there are no columns, no log, no window
//! and no limits of size. It shares no code with the store it judges.

use std::collections::HashMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message as _;

/// The tenant of every request while tenancy is off.
pub const SINGLE_TENANT: &str = "single-tenant";

/// All spans that were accepted.
#[derive(Default)]
pub struct Oracle {
    spans: Vec<StoredSpan>,
}

/// What became of the spans of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Spans that must be found.
    pub n_accepted: usize,
    /// Why each of the other spans was refused, in order.
    pub refusals: Vec<RefusalReason>,
}

/// Why a span cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// Not 16 bytes, or all zero.
    TraceId,
    /// Not 8 bytes, or all zero.
    SpanId,
    /// Not 8 bytes, and not absent.
    ParentSpanId,
    /// A start or an end beyond what i64 nanoseconds hold.
    Time,
}

#[derive(Clone)]
struct StoredSpan {
    tenant: String,
    resource: Option<Resource>,
    resource_schema_url: String,
    scope: Option<InstrumentationScope>,
    scope_schema_url: String,
    span: Span,
}

impl Oracle {
    /// An empty store.
    pub fn new() -> Oracle {
        Oracle::default()
    }

    /// Takes what can be stored; one bad span never takes its neighbours with it.
    pub fn accept(&mut self, tenant: &str, request: &ExportTraceServiceRequest) -> Admission {
        let mut admission = Admission::default();
        for group in &request.resource_spans {
            for scope_spans in &group.scope_spans {
                for span in &scope_spans.spans {
                    if let Some(reason) = refusal(span) {
                        admission.refusals.push(reason);
                        continue;
                    }
                    admission.n_accepted += 1;
                    self.spans.push(StoredSpan {
                        tenant: tenant.to_owned(),
                        resource: group.resource.clone(),
                        resource_schema_url: group.schema_url.clone(),
                        scope: scope_spans.scope.clone(),
                        scope_schema_url: scope_spans.schema_url.clone(),
                        span: span.clone(),
                    });
                }
            }
        }
        admission
    }

    /// The trace as it must be found, each span once; empty if there is none.
    pub fn trace(&self, tenant: &str, trace_id: &[u8]) -> TracesData {
        let of_trace = self
            .spans
            .iter()
            .filter(|stored| stored.tenant == tenant && stored.span.trace_id == trace_id);
        let resource_spans = without_duplicates(of_trace).into_iter().map(group_of_one).collect();
        TracesData { resource_spans }
    }

    /// The ids of a tenant's traces, each once, in ascending order.
    pub fn trace_ids(&self, tenant: &str) -> Vec<Vec<u8>> {
        let of_tenant = self.spans.iter().filter(|stored| stored.tenant == tenant);
        let mut ids: Vec<Vec<u8>> = of_tenant.map(|stored| stored.span.trace_id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

fn refusal(span: &Span) -> Option<RefusalReason> {
    let is_zero = |id: &[u8]| id.iter().all(|byte| *byte == 0);
    if span.trace_id.len() != 16 || is_zero(&span.trace_id) {
        return Some(RefusalReason::TraceId);
    }
    if span.span_id.len() != 8 || is_zero(&span.span_id) {
        return Some(RefusalReason::SpanId);
    }
    if !matches!(span.parent_span_id.len(), 0 | 8) {
        return Some(RefusalReason::ParentSpanId);
    }
    let beyond = |time: u64| i64::try_from(time).is_err();
    if beyond(span.start_time_unix_nano) || beyond(span.end_time_unix_nano) {
        return Some(RefusalReason::Time);
    }
    None
}

/// Among spans of equal (trace id, span id, kind, start) the greatest end wins (`design.md 5`).
///
/// With equal ends the store decides by a hash of the content. The oracle does not know that
/// hash: it takes the greatest encoding, so a test that sends such spans must accept either.
fn without_duplicates<'a>(spans: impl Iterator<Item = &'a StoredSpan>) -> Vec<&'a StoredSpan> {
    let rank = |stored: &StoredSpan| (stored.span.end_time_unix_nano, stored.span.encode_to_vec());
    let mut winners: Vec<&StoredSpan> = Vec::new();
    let mut place_of_key = HashMap::new();
    for stored in spans {
        let span = &stored.span;
        let key = (&span.span_id, span.kind, span.start_time_unix_nano);
        match place_of_key.get(&key) {
            None => {
                place_of_key.insert(key, winners.len());
                winners.push(stored);
            }
            Some(&place) if rank(stored) > rank(winners[place]) => winners[place] = stored,
            Some(_) => {}
        }
    }
    winners
}

fn group_of_one(stored: &StoredSpan) -> ResourceSpans {
    let StoredSpan { resource, resource_schema_url, scope, scope_schema_url, span, tenant: _ } =
        stored.clone();
    let scope_spans = ScopeSpans { scope, spans: vec![span], schema_url: scope_schema_url };
    ResourceSpans { resource, scope_spans: vec![scope_spans], schema_url: resource_schema_url }
}

#[cfg(test)]
mod tests;
