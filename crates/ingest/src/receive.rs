//! Receives OTLP over HTTP and gRPC.
//!
//! In: connections. Out: [`Submission`]s to the lane, and an answer for each request, which is sent
//! only when the lane has said what became of it. Both protocols are spoken on every port given to
//! [`serve`], so that who mixes up 4317 and 4318 is served. Every buffer, wait and queue here has a
//! limit in [`Options`]; every limit that bites has a counter in [`Metrics`].
//!
//! The way of a request: `accept` (connections) -> `connection` (HTTP version, deadlines) -> `http`
//! or `grpc` (headers, framing) -> `body` (chunks into one reserved buffer) -> inflating -> rate ->
//! lane -> `answer`. A body is copied once, from hyper's read buffer into the one that goes to the
//! lane; both are used again and again, since fresh pages cost more than the copy.

mod accept;
mod answer;
mod body;
mod connection;
mod cors;
mod grpc;
mod http;
mod problem;
mod socket;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Request};
use bytes::Bytes;
use hyper::body::Incoming;
use suyuan_model::Tenant;
use suyuan_wire::record::{Compression, Format};
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use self::accept::{Drained, serve};
use self::answer::Reply;
use self::body::BodyReader;
use self::cors::Cors;
use self::problem::{Kind, Problem};
use crate::admission::{Budget, Rate, Rates, Reservation};
use crate::buffers::{Buffer, Pool};
use crate::inflate::Inflaters;
use crate::lane::{Lane, Outcome, Refusal, Submission};
use crate::metrics::{Metrics, Protocol};

/// What takes a request and says what became of it: the lane, or a stand-in for tests.
///
/// The future may be dropped at any time (the sender has gone, its deadline is over); the request
/// may then be stored or not, but never in part. The bytes of a submission count as in flight until
/// their last clone is dropped.
pub trait Submit: Clone + Send + Sync + 'static {
    fn submit(
        &self,
        submission: Submission,
    ) -> impl Future<Output = Result<Outcome, Refusal>> + Send;
}

impl Submit for Lane {
    async fn submit(&self, submission: Submission) -> Result<Outcome, Refusal> {
        Lane::submit(self, submission).await
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Bytes of a body as sent.
    pub request_bytes_max: usize,
    /// Bytes of a body after inflating.
    pub inflated_bytes_max: usize,
    /// Memory of all requests that are not answered yet. One request may be larger, alone.
    pub in_flight_bytes_max: usize,
    /// How long a request waits for others to give memory back before it is refused.
    pub in_flight_wait_max: Duration,
    /// Memory of buffers kept for the next requests.
    pub pooled_bytes_max: usize,
    pub rate_per_tenant: Option<Rate>,
    pub tenancy: Tenancy,
    /// Origins whose pages may send from the browser: `https://shop.example`, with one `*` within,
    /// or `*` for all.
    pub cors_allowed_origins: Vec<String>,
    /// Threads that inflate at the same time.
    pub inflate_threads: usize,
    /// Open connections of all ports together; further ones are closed at once.
    pub connections_max: usize,
    /// Requests at the same time on one HTTP/2 connection.
    pub streams_per_connection_max: u32,
    pub header_bytes_max: usize,
    /// From the first byte of a request to the end of its headers (HTTP/1.1).
    pub header_time_max: Duration,
    /// A connection without a request is closed after this time (HTTP/1.1; on HTTP/2 pings tell
    /// whether the other side is there).
    pub idle_time_max: Duration,
    /// From the end of the headers to the end of the body.
    pub body_time_max: Duration,
    /// Between two chunks of a body.
    pub body_idle_time_max: Duration,
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    /// What requests in flight have left to finish at shutdown.
    pub drain_time_max: Duration,
}

/// Where the tenant of a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenancy {
    /// Everything belongs to one tenant; `X-Scope-OrgID` is not looked at.
    Single,
    /// `X-Scope-OrgID` names the tenant and must be there.
    ByHeader,
}

/// Everything that the requests of all ports share; a clone is a handle.
#[derive(Clone)]
pub struct Receiver<S>(Arc<Shared<S>>);

struct Shared<S> {
    lane: S,
    options: Options,
    metrics: Metrics,
    budget: Arc<Budget>,
    pool: Arc<Pool>,
    rates: Rates,
    inflaters: Arc<Inflaters>,
    cors: Cors,
    connections: Arc<Semaphore>,
}

/// A request that was read to its end.
struct Received {
    protocol: Protocol,
    tenant: Tenant,
    format: Format,
    compression: Compression,
    sent: Bytes,
    reservation: Arc<Reservation>,
}

const TENANT_HEADER: &str = "x-scope-orgid";

/// What a body gets before any of it has come, whatever it announces: a promise costs nothing.
const FIRST_BUFFER_BYTES_MAX: usize = 1 << 20;
const UNANNOUNCED_BUFFER_BYTES: usize = 64 << 10;

impl Default for Options {
    fn default() -> Self {
        let n_processors = std::thread::available_parallelism().map_or(1, |n| n.get());
        Self {
            request_bytes_max: 20 << 20,
            inflated_bytes_max: 100 << 20,
            in_flight_bytes_max: 64 << 20,
            in_flight_wait_max: Duration::from_millis(500),
            pooled_bytes_max: 32 << 20,
            rate_per_tenant: None,
            tenancy: Tenancy::Single,
            cors_allowed_origins: Vec::new(),
            inflate_threads: n_processors,
            connections_max: 4_096,
            streams_per_connection_max: 128,
            header_bytes_max: 32 << 10,
            header_time_max: Duration::from_secs(10),
            idle_time_max: Duration::from_secs(300),
            body_time_max: Duration::from_secs(60),
            body_idle_time_max: Duration::from_secs(10),
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(20),
            drain_time_max: Duration::from_secs(10),
        }
    }
}

impl<S> fmt::Debug for Receiver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl<S: Submit> Receiver<S> {
    pub fn new(lane: S, options: Options, metrics: Metrics) -> Self {
        let budget = Budget::new(
            options.in_flight_bytes_max,
            options.in_flight_wait_max,
            metrics.in_flight_bytes(),
        );
        let pool = Pool::new(options.pooled_bytes_max);
        metrics.show_refused_requests(Kind::ALL.map(|kind| kind.row().label));
        Self(Arc::new(Shared {
            lane,
            budget,
            rates: Rates::new(options.rate_per_tenant),
            inflaters: Inflaters::new(options.inflate_threads, pool.clone(), metrics.clone()),
            cors: Cors::new(&options.cors_allowed_origins),
            connections: Arc::new(Semaphore::new(options.connections_max)),
            pool,
            options,
            metrics,
        }))
    }

    /// Whatever comes, an answer goes out.
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        if grpc::is_grpc(request.headers()) {
            grpc::answer(self, request).await
        } else {
            http::answer(self, request).await
        }
    }

    fn body_reader(&self, body: Incoming) -> BodyReader {
        let options = &self.0.options;
        BodyReader::new(body, options.body_time_max, options.body_idle_time_max)
    }

    /// Whose request this is.
    fn tenant(&self, headers: &HeaderMap) -> Result<Tenant, Problem> {
        if self.0.options.tenancy == Tenancy::Single {
            return Ok(Tenant::single());
        }
        let mut values = headers.get_all(TENANT_HEADER).iter();
        let Some(value) = values.next().filter(|value| !value.is_empty()) else {
            return Err(Problem::new(Kind::TenantMissing, "no org id"));
        };
        if values.any(|other| other != value) {
            let message = "the request names more than one tenant in X-Scope-OrgID";
            return Err(Problem::new(Kind::TenantInvalid, message));
        }
        let text = String::from_utf8_lossy(value.as_bytes());
        Tenant::parse(&text)
            .map_err(|error| Problem::new(Kind::TenantInvalid, format!("X-Scope-OrgID: {error}")))
    }

    /// Whether the tenant may send anything now, asked before its body is read.
    fn admit(&self, tenant: &Tenant) -> Result<(), Problem> {
        Ok(self.0.rates.take(tenant, 0, Instant::now())?)
    }

    /// A buffer for a body of which `announced_bytes` are to come.
    async fn buffer(
        &self,
        reservation: &Arc<Reservation>,
        announced_bytes: Option<usize>,
    ) -> Result<Buffer, Problem> {
        let bytes = announced_bytes.unwrap_or(UNANNOUNCED_BUFFER_BYTES).min(FIRST_BUFFER_BYTES_MAX);
        Ok(Buffer::reserve(&self.0.pool, reservation, bytes).await?)
    }

    /// Inflates, asks the rate, and hands to the lane.
    async fn submit(&self, received: Received) -> Result<Outcome, Problem> {
        let Received { protocol, tenant, format, compression, sent, reservation } = received;
        let shared = &*self.0;
        let bytes_max = shared.options.inflated_bytes_max;
        let inflated =
            shared.inflaters.inflate(compression, sent.clone(), bytes_max, &reservation).await?;
        shared.metrics.received(
            protocol,
            format_name(format),
            compression_name(compression),
            sent.len(),
            inflated.len(),
        );
        shared.rates.take(&tenant, inflated.len(), Instant::now())?;
        let submission = Submission { tenant, format, compression, sent, inflated };
        let outcome = shared.lane.submit(submission).await?;
        shared.metrics.accepted_spans(protocol, format_name(format), outcome.accepted_spans);
        Ok(outcome)
    }

    fn count(&self, protocol: Protocol, started_at: Instant, problem: Option<&Problem>) {
        self.0.metrics.answered(protocol, started_at.elapsed());
        if let Some(problem) = problem {
            self.0.metrics.refused_request(protocol, problem.kind.row().label);
        }
    }
}

/// Names a codec as `Content-Encoding` and `grpc-encoding` do.
fn parse_compression(name: &str) -> Option<Compression> {
    match name.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Some(Compression::None),
        "gzip" | "x-gzip" => Some(Compression::Gzip),
        "zstd" => Some(Compression::Zstd),
        _ => None,
    }
}

fn compression_name(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    }
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::OtlpProtobuf => "protobuf",
        Format::OtlpJson => "json",
    }
}

#[cfg(test)]
mod tests;
