//! Makes requests ahead of their time.
//!
//! In: the shop and a pace. Out: encoded and compressed requests, each with the moment at which it is
//! due, in a bounded queue. Runs on a thread of its own, because it never waits for anything but
//! that queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use suyuan_ids::TraceId;
use tokio::sync::{mpsc, watch};

use super::args::unix_nanos;
use super::follow::{Followed, Following};
use super::tally::Tally;
use super::target::{Compressor, Protocol};
use super::{Options, grpc};
use crate::shop::{
    Batch, Batching, Departures, JsonEncoder, Pace, ProtobufEncoder, Shop, Span, Status, Trace,
};

/// As the Collector's batch processor: a request does not wait longer for more spans.
const BATCH_WAIT_MAX: Duration = Duration::from_millis(200);
/// Without a rate the spans carry the times of a shop that makes so many spans a second.
const SPANS_PER_SECOND_UNLIMITED: f64 = 100_000.0;
/// One trace is followed in so much time of the shop.
const FOLLOW_INTERVAL_NANOS: u64 = 50_000_000;

/// A request that only needs to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) body: Bytes,
    pub(super) n_spans: usize,
    /// `None`: as soon as a connection is free.
    pub(super) due_at: Option<Instant>,
    /// No trace begins any more; only the long ones are still ending.
    pub(super) is_after_closing: bool,
    /// How many spans of followed traces are inside.
    pub(super) followed: Vec<(TraceId, usize)>,
}

/// The shop with everything that turns its spans into requests.
pub(super) struct Source {
    departures: Departures,
    batching: Batching,
    protocol: Protocol,
    protobuf: ProtobufEncoder,
    json: JsonEncoder,
    compressor: Compressor,
    clock: Option<Clock>,
    duration_max: Option<Duration>,
    tally: Arc<Tally>,
    following: Arc<Following>,
    stopped: watch::Receiver<bool>,
}

/// One moment on both clocks.
#[derive(Clone, Copy)]
struct Clock {
    instant: Instant,
    unix_nanos: u64,
}

/// The traces whose spans are still to leave.
#[derive(Default)]
struct Watch {
    n_spans_left: HashMap<TraceId, usize>,
    next_unix_nanos: u64,
}

impl Source {
    pub(super) fn new(
        options: &Options,
        tally: Arc<Tally>,
        following: Arc<Following>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let shop = Shop::new(options.seed);
        let now = unix_nanos(SystemTime::now());
        Self {
            batching: Batching {
                spans_max: options.batch_spans_max.max(1),
                wait_nanos_max: BATCH_WAIT_MAX.as_nanos() as u64,
            },
            protocol: options.protocol,
            protobuf: ProtobufEncoder::new(&shop),
            json: JsonEncoder::new(&shop),
            compressor: Compressor::new(options.compression),
            clock: options
                .spans_per_second
                .map(|_| Clock { instant: Instant::now(), unix_nanos: now }),
            duration_max: options.duration_max,
            departures: Departures::new(shop, pace(options, now)),
            tally,
            following,
            stopped,
        }
    }

    /// Fills the queue until the pace ends, somebody says stop, or nobody takes requests any more.
    pub(super) fn run(mut self, requests: &mpsc::Sender<Outgoing>) {
        let deadline = self.deadline();
        let mut watch = Watch::default();
        while !*self.stopped.borrow() && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            let (following, tally) = (&self.following, &self.tally);
            let batch = self.departures.next_batch(self.batching, |trace| {
                tally.count_trace();
                watch.consider(trace, following);
            });
            let Some(batch) = batch else { return };
            let outgoing = self.outgoing(batch, &mut watch);
            if requests.blocking_send(outgoing).is_err() {
                return;
            }
        }
    }

    fn outgoing(&mut self, batch: Batch, watch: &mut Watch) -> Outgoing {
        let request = match self.protocol {
            Protocol::HttpJson => self.json.request(&batch.spans),
            Protocol::HttpProtobuf | Protocol::Grpc => self.protobuf.request(&batch.spans),
        };
        let body = self.compressor.compress(request);
        let body = match self.protocol {
            Protocol::Grpc => grpc::frame(&body, self.compressor.is_on()),
            Protocol::HttpProtobuf | Protocol::HttpJson => Bytes::from(body),
        };
        Outgoing {
            body,
            n_spans: batch.spans.len(),
            due_at: self.due_at(batch.due_unix_nanos),
            is_after_closing: !self.departures.is_open(),
            followed: watch.leave(&batch.spans),
        }
    }

    /// Without a rate a request waits only if its spans would come from the future.
    fn due_at(&self, due_unix_nanos: u64) -> Option<Instant> {
        if let Some(clock) = self.clock {
            return Some(clock.instant_of(due_unix_nanos));
        }
        let ahead_nanos = due_unix_nanos.checked_sub(unix_nanos(SystemTime::now()))?;
        Some(Instant::now() + Duration::from_nanos(ahead_nanos))
    }

    /// Without a rate the shop's time runs at another speed, so the real one ends the sending.
    fn deadline(&self) -> Option<Instant> {
        let duration_max = self.duration_max?;
        self.clock.is_none().then(|| Instant::now() + duration_max)
    }
}

/// Without a rate the times of the spans lie before now: the last about now, if the number of spans
/// is known, else as far back as ten times the duration, or an hour.
fn pace(options: &Options, now_unix_nanos: u64) -> Pace {
    let Some(spans_per_second) = options.spans_per_second else {
        let back = match (options.spans_max, options.duration_max) {
            (Some(spans_max), _) => {
                (spans_max as f64 / SPANS_PER_SECOND_UNLIMITED * 1e9 + 10e9) as u64
            }
            (None, Some(duration_max)) => (duration_max.as_secs_f64() * 10e9) as u64,
            (None, None) => 3_600_000_000_000,
        };
        return Pace {
            start_unix_nanos: now_unix_nanos.saturating_sub(back),
            spans_per_second: SPANS_PER_SECOND_UNLIMITED,
            spans_max: options.spans_max,
            duration_nanos_max: None,
        };
    };
    Pace {
        start_unix_nanos: now_unix_nanos,
        spans_per_second,
        spans_max: options.spans_max,
        duration_nanos_max: options.duration_max.map(|duration| duration.as_nanos() as u64),
    }
}

impl Clock {
    fn instant_of(self, unix_nanos: u64) -> Instant {
        self.instant + Duration::from_nanos(unix_nanos.saturating_sub(self.unix_nanos))
    }
}

impl Watch {
    /// Follows the trace if it is time to follow one again.
    fn consider(&mut self, trace: &Trace, following: &Following) {
        let Some(root) = trace.spans.first() else { return };
        if root.start_unix_nanos < self.next_unix_nanos {
            return;
        }
        self.next_unix_nanos = root.start_unix_nanos + FOLLOW_INTERVAL_NANOS;
        let n_spans = trace.spans.len();
        let is_error = |span: &&Span| matches!(span.status, Status::Error(_));
        let followed = Followed {
            name: root.name.to_string(),
            n_spans,
            n_errors: trace.spans.iter().filter(is_error).count(),
            n_spans_open: n_spans,
        };
        if following.begin(trace.trace_id, followed) {
            self.n_spans_left.insert(trace.trace_id, n_spans);
        }
    }

    /// Counts the spans of followed traces in a batch that leaves.
    fn leave(&mut self, spans: &[Span]) -> Vec<(TraceId, usize)> {
        let mut counts: Vec<(TraceId, usize)> = Vec::new();
        for span in spans {
            let Some(n_left) = self.n_spans_left.get_mut(&span.trace_id) else { continue };
            *n_left -= 1;
            if *n_left == 0 {
                self.n_spans_left.remove(&span.trace_id);
            }
            match counts.iter_mut().find(|(trace_id, _)| *trace_id == span.trace_id) {
                Some((_, count)) => *count += 1,
                None => counts.push((span.trace_id, 1)),
            }
        }
        counts
    }
}
