//! What the receiving side counts, and the handles with which it counts.
//!
//! In: one call per event, from the receiver and from the lane. Out: families of Prometheus
//! metrics named `suyuan_ingest_...`. Every limit that bites has its counter here; no label is ever
//! taken from what a client sent.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use suyuan_wire::otlp::RefusedReason;

/// The counters of one process; a clone is a handle on the same counters.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Families>);

#[derive(Debug)]
struct Families {
    requests: Family<RequestLabels, Counter>,
    received_bytes: Family<RequestLabels, Counter>,
    inflated_bytes: Family<RequestLabels, Counter>,
    accepted_spans: Family<SpanLabels, Counter>,
    refused_requests: Family<RefusedRequestLabels, Counter>,
    refused_spans: Family<ReasonLabels, Counter>,
    odd_spans: Family<ReasonLabels, Counter>,
    in_flight_bytes: Gauge,
    connections: Family<ProtocolVersionLabels, Gauge>,
    refused_connections: Family<ReasonLabels, Counter>,
    request_seconds: Family<ProtocolLabels, Histogram>,
    inflate_seconds: Histogram,
    decode_seconds: Histogram,
}

/// How a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Protocol {
    #[expect(non_camel_case_types, reason = "the label's value as it is written")]
    grpc,
    #[expect(non_camel_case_types, reason = "the label's value as it is written")]
    http,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    protocol: Protocol,
    format: &'static str,
    compression: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpanLabels {
    protocol: Protocol,
    format: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedRequestLabels {
    protocol: Protocol,
    reason: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProtocolLabels {
    protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProtocolVersionLabels {
    version: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// Why a connection is closed before its first request.
pub(crate) const CONNECTIONS_MAX: &str = "connections_max";

/// Upper bounds in seconds: from a small batch decoded to an exporter's patience of 10 s.
const SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

impl Metrics {
    pub fn new() -> Self {
        let metrics = Self(Arc::new(Families {
            requests: Family::default(),
            received_bytes: Family::default(),
            inflated_bytes: Family::default(),
            accepted_spans: Family::default(),
            refused_requests: Family::default(),
            refused_spans: Family::default(),
            odd_spans: Family::default(),
            in_flight_bytes: Gauge::default(),
            connections: Family::default(),
            refused_connections: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            inflate_seconds: Histogram::new(SECONDS),
            decode_seconds: Histogram::new(SECONDS),
        }));
        for reason in RefusedReason::LABELS {
            metrics.refused_spans(reason, 0);
        }
        let closed = ReasonLabels { reason: CONNECTIONS_MAX };
        metrics.0.refused_connections.get_or_create(&closed).inc_by(0);
        metrics
    }

    /// Makes every family part of what `/metrics` shows.
    pub fn register(&self, registry: &mut Registry) {
        let families = &*self.0;
        let registry = registry.sub_registry_with_prefix("suyuan_ingest");
        let requests = families.requests.clone();
        registry.register("requests", "Export requests whose body was read", requests);
        registry.register_with_unit(
            "received",
            "Bodies of export requests, as sent",
            Unit::Bytes,
            families.received_bytes.clone(),
        );
        registry.register_with_unit(
            "inflated",
            "Bodies of export requests, after inflating; equal to received when not compressed",
            Unit::Bytes,
            families.inflated_bytes.clone(),
        );
        registry.register(
            "accepted_spans",
            "Spans acknowledged: the log had them on disk",
            families.accepted_spans.clone(),
        );
        registry.register(
            "refused_requests",
            "Requests answered with an error, by reason",
            families.refused_requests.clone(),
        );
        registry.register(
            "refused_spans",
            "Spans refused out of requests that were otherwise taken, by reason",
            families.refused_spans.clone(),
        );
        registry.register(
            "odd_spans",
            "Spans stored as they were sent although something about them is strange, by what it is",
            families.odd_spans.clone(),
        );
        registry.register_with_unit(
            "in_flight",
            "Memory held by requests that are not answered yet",
            Unit::Bytes,
            families.in_flight_bytes.clone(),
        );
        registry.register(
            "connections",
            "Open connections of the receiving ports, by HTTP version",
            families.connections.clone(),
        );
        registry.register(
            "refused_connections",
            "Connections closed by a limit, by reason",
            families.refused_connections.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From the first header of an export request to its answer",
            Unit::Seconds,
            families.request_seconds.clone(),
        );
        registry.register_with_unit(
            "inflate_duration",
            "Inflating one compressed body",
            Unit::Seconds,
            families.inflate_seconds.clone(),
        );
        registry.register_with_unit(
            "decode_duration",
            "Decoding one body into columns",
            Unit::Seconds,
            families.decode_seconds.clone(),
        );
    }

    /// A span was refused while its neighbours were taken.
    pub fn refused_spans(&self, reason: &'static str, n_spans: u64) {
        self.0.refused_spans.get_or_create(&ReasonLabels { reason }).inc_by(n_spans);
    }

    /// A span is strange but data: stored as sent, and counted.
    pub fn odd_spans(&self, reason: &'static str, n_spans: u64) {
        self.0.odd_spans.get_or_create(&ReasonLabels { reason }).inc_by(n_spans);
    }

    /// One body was decoded in `duration`.
    pub fn decoded(&self, duration: Duration) {
        self.0.decode_seconds.observe(duration.as_secs_f64());
    }

    pub(crate) fn inflated(&self, duration: Duration) {
        self.0.inflate_seconds.observe(duration.as_secs_f64());
    }

    pub(crate) fn received(
        &self,
        protocol: Protocol,
        format: &'static str,
        compression: &'static str,
        sent_bytes: usize,
        inflated_bytes: usize,
    ) {
        let labels = RequestLabels { protocol, format, compression };
        self.0.requests.get_or_create(&labels).inc();
        self.0.received_bytes.get_or_create(&labels).inc_by(sent_bytes as u64);
        self.0.inflated_bytes.get_or_create(&labels).inc_by(inflated_bytes as u64);
    }

    pub(crate) fn accepted_spans(&self, protocol: Protocol, format: &'static str, n_spans: u64) {
        self.0.accepted_spans.get_or_create(&SpanLabels { protocol, format }).inc_by(n_spans);
    }

    pub(crate) fn refused_request(&self, protocol: Protocol, reason: &'static str) {
        self.0.refused_requests.get_or_create(&RefusedRequestLabels { protocol, reason }).inc();
    }

    /// A series that begins with its first event hides that event from a rate: each is there from
    /// the start, at zero.
    pub(crate) fn show_refused_requests(&self, reasons: impl IntoIterator<Item = &'static str>) {
        for reason in reasons {
            for protocol in [Protocol::grpc, Protocol::http] {
                let labels = RefusedRequestLabels { protocol, reason };
                self.0.refused_requests.get_or_create(&labels).inc_by(0);
            }
        }
    }

    pub(crate) fn answered(&self, protocol: Protocol, duration: Duration) {
        let labels = ProtocolLabels { protocol };
        self.0.request_seconds.get_or_create(&labels).observe(duration.as_secs_f64());
    }

    pub(crate) fn in_flight_bytes(&self) -> Gauge {
        self.0.in_flight_bytes.clone()
    }

    pub(crate) fn connections(&self, version: &'static str) -> Gauge {
        self.0.connections.get_or_create(&ProtocolVersionLabels { version }).clone()
    }

    pub(crate) fn refused_connection(&self, reason: &'static str) {
        self.0.refused_connections.get_or_create(&ReasonLabels { reason }).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
