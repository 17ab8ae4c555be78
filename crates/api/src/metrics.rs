//! What the asking side counts.
//!
//! In: one call per request. Out: families of Prometheus metrics named `suyuan_api_...`. The route
//! is the pattern, never the path that a client sent.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use suyuan_query::search::Accounting;

use crate::accounting::incomplete;

/// The counters of one process; a clone is a handle on the same counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram>,
    pub(crate) connections: Gauge,
    queries: Family<QueryLabels, Counter>,
    query_seconds: Family<KindLabels, Histogram>,
    pub(crate) queries_waiting: Gauge,
    pub(crate) queries_running: Gauge,
    query_bytes: Family<KindLabels, Counter>,
    query_spans: Family<KindLabels, Counter>,
    query_units: Family<UnitLabels, Counter>,
    query_incomplete: Family<KindLabels, Counter>,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum QueryKind {
    Search,
    Explain,
    TagNames,
    TagValues,
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Answered,
    /// Too many waited already.
    Refused,
    TimedOut,
    /// It needed more memory than it may have.
    TooLarge,
    /// The client left.
    Cancelled,
    Failed,
}

impl QueryKind {
    fn label(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Explain => "explain",
            Self::TagNames => "tag_names",
            Self::TagValues => "tag_values",
        }
    }
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueryLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// What became of a slice or live chunk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnitLabels {
    fate: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

/// Upper bounds in seconds: from a small trace in memory to the time limit of a request.
const SECONDS: [f64; 13] =
    [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.5, 2.0, 8.0, 30.0];

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            connections: Gauge::default(),
            queries: Family::default(),
            query_seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            queries_waiting: Gauge::default(),
            queries_running: Gauge::default(),
            query_bytes: Family::default(),
            query_spans: Family::default(),
            query_units: Family::default(),
            query_incomplete: Family::default(),
        }
    }
}

impl Metrics {
    /// Makes every family part of what `/metrics` shows.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("suyuan_api");
        registry.register("requests", "Requests answered", self.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "From a request's head to the head of its answer",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        registry.register("connections", "Open connections", self.connections.clone());
        self.register_queries(registry);
    }

    fn register_queries(&self, registry: &mut Registry) {
        registry.register(
            "queries",
            "Searches and questions about tags, by how they ended",
            self.queries.clone(),
        );
        registry.register_with_unit(
            "query_duration",
            "From a question's arrival to the head of its answer, waiting included",
            Unit::Seconds,
            self.query_seconds.clone(),
        );
        registry.register(
            "queries_waiting",
            "Questions that wait for others to end",
            self.queries_waiting.clone(),
        );
        registry.register(
            "queries_running",
            "Questions that are worked on",
            self.queries_running.clone(),
        );
        registry.register_with_unit(
            "query_read",
            "Read for questions, out of files and caches",
            Unit::Bytes,
            self.query_bytes.clone(),
        );
        registry.register(
            "query_spans_inspected",
            "Spans whose values questions looked at",
            self.query_spans.clone(),
        );
        registry.register(
            "query_units",
            "Slices and live chunks, by what questions did with them",
            self.query_units.clone(),
        );
        registry.register(
            "query_incomplete",
            "Answers from which something may be missing",
            self.query_incomplete.clone(),
        );
    }

    /// A question has ended.
    pub(crate) fn queried(&self, kind: QueryKind, outcome: Outcome, duration: Duration) {
        let (kind, outcome) = (kind.label(), outcome.label());
        self.query_seconds.get_or_create(&KindLabels { kind }).observe(duration.as_secs_f64());
        self.queries.get_or_create(&QueryLabels { kind, outcome }).inc();
    }

    /// What was done for an answer.
    pub(crate) fn inspected(&self, kind: QueryKind, accounting: &Accounting) {
        let kind = KindLabels { kind: kind.label() };
        self.query_bytes.get_or_create(&kind).inc_by(accounting.bytes_read);
        self.query_spans.get_or_create(&kind).inc_by(accounting.spans_inspected);
        if incomplete(accounting).is_some() {
            self.query_incomplete.get_or_create(&kind).inc();
        }
        for (fate, n_units) in [
            ("read", accounting.units_read),
            ("pruned", accounting.units_pruned),
            ("outside", accounting.units_outside),
            ("not_needed", accounting.units_not_needed),
        ] {
            self.query_units.get_or_create(&UnitLabels { fate }).inc_by(n_units);
        }
    }

    pub(crate) fn answered(&self, route: &str, status: u16, duration: Duration) {
        let route = route.to_owned();
        self.request_seconds
            .get_or_create(&RouteLabels { route: route.clone() })
            .observe(duration.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
    }
}
