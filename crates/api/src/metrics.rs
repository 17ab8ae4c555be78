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

/// The counters of one process; a clone is a handle on the same counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram>,
    pub(crate) connections: Gauge,
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
    }

    pub(crate) fn answered(&self, route: &str, status: u16, duration: Duration) {
        let route = route.to_owned();
        self.request_seconds
            .get_or_create(&RouteLabels { route: route.clone() })
            .observe(duration.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
    }
}
