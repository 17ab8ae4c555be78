//! The shop: an invented company whose services write traces, the same for the same seed.
//!
//! In: a seed, and the start of each trace. Out: whole traces, byte for byte the same on every
//! machine for the same seed and starts. `demo`, `generate` and the benchmarks live on it. Two gateways (one for requests from
//! outside, one between the services), PHP and Go behind them, some Java, Node, Python and Rust;
//! MySQL, Redis, Elasticsearch, Kafka and a few companies on the internet. It errs, it is slow, it
//! tries again, and at night its jobs write traces of thousands of spans.
//!
//! `journeys.rs` says what happens and is the file to change; `stage.rs` plays it; `departures.rs`
//! puts the spans of many traces in the order in which a collector would send them; `protobuf.rs`
//! and `json.rs` write requests; `truth.rs` counts what a server must find. Nothing here does I/O
//! or looks at a clock.

mod journeys;
mod operation;
mod service;
mod visitor;

mod calls;
mod failure;
mod mailbox;
mod random;
mod stage;

mod departures;
mod json;
mod protobuf;
mod span;
mod truth;

#[cfg(test)]
mod tests;

pub use departures::{Batch, Batching, Departures, Pace};
pub use json::JsonEncoder;
pub use protobuf::ProtobufEncoder;
pub use service::Instance;
pub use span::{Attribute, Event, Kind, Link, Scope, Span, Status, Text, Value};
pub use truth::{Answers, Truth};

use suyuan_ids::TraceId;

use journeys::{Begins, JOURNEYS, Journey, WEIGHT_TOTAL};
use mailbox::{Letter, Mailbox};
use operation::Door;
use random::{Random, splitmix64};
use service::{FACTS, Service};
use stage::{Stage, Trouble};

/// Spans of an average trace, measured over 100,000 traces (a test holds it within a tenth).
pub const SPANS_PER_TRACE: f64 = 14.8;

/// No trace lasts longer (ns).
pub const TRACE_DURATION_NANOS_MAX: u64 = 60_000_000_000;

/// The shop, open for business.
#[derive(Debug)]
pub struct Shop {
    seed: u64,
    n_traces: u64,
    instances: Vec<Instance>,
    scopes: Vec<Scope>,
    mailbox: Mailbox,
}

/// One whole trace, its spans in the order in which they began.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub trace_id: TraceId,
    pub spans: Vec<Span>,
}

impl Shop {
    /// Opens a shop. Two shops with one seed that are asked for the same starts write the same
    /// traces.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            n_traces: 0,
            instances: service::instances(&mut Random::new(seed)),
            scopes: service::scopes(),
            mailbox: Mailbox::default(),
        }
    }

    /// Every process of the shop, at the place that `Span::instance` names.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// Every instrumentation of the shop, at the place that `Span::scope` names.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// The next trace. What happens depends on the seed, the traces before and the minute; its ids
    /// also on its start, so that a shop opened again does not use them for other spans. Readers of
    /// messages look only at those sent before `start_unix_nanos`: starts should not go back.
    pub fn trace(&mut self, start_unix_nanos: u64) -> Trace {
        let mut word = self.seed ^ self.n_traces.wrapping_mul(0xd6e8_feb8_6659_fd93);
        let mut random = Random::new(splitmix64(&mut word));
        let ids = Random::new(splitmix64(&mut word) ^ start_unix_nanos);
        self.n_traces += 1;
        let (journey, letters) = self.choose(&mut random, start_unix_nanos);
        let trouble = self.trouble(start_unix_nanos);
        let mut stage = Stage::new(random, ids, &self.instances, trouble);
        stage.play(journey, &letters, start_unix_nanos);
        for letter in stage.letters {
            self.mailbox.put(letter);
        }
        let spans = stage.spans;
        Trace { trace_id: spans[0].trace_id, spans }
    }

    /// What happens next. Readers without a letter leave the place to a visitor.
    fn choose(&mut self, random: &mut Random, now: u64) -> (&'static Journey, Vec<Letter>) {
        const LETTERS_AT_ONCE_MAX: u64 = 4;
        let mut ticket = random.below(u64::from(WEIGHT_TOTAL)) as u32;
        let journey = JOURNEYS
            .iter()
            .find(|journey| {
                let is_chosen = ticket < journey.weight;
                ticket = ticket.saturating_sub(journey.weight);
                is_chosen
            })
            .unwrap_or(&JOURNEYS[0]);
        let Door::Consume { group, .. } = journey.operation.door else {
            return (journey, Vec::new());
        };
        debug_assert_eq!(journey.begins, Begins::Messages);
        let n_max = random.between(1, LETTERS_AT_ONCE_MAX) as usize;
        let letters = self.mailbox.take(group, n_max, now);
        if letters.is_empty() {
            return (&JOURNEYS[2], letters);
        }
        (journey, letters)
    }

    /// In one minute of four some service behind the gateways is slower and fails more often.
    fn trouble(&self, start_unix_nanos: u64) -> Option<Trouble> {
        const MINUTE_NANOS: u64 = 60_000_000_000;
        let mut random = Random::new(self.seed ^ (start_unix_nanos / MINUTE_NANOS));
        if !random.per_mille(250) {
            return None;
        }
        let behind = &FACTS[Service::HomePage as usize..];
        Some(Trouble { service: random.pick(behind).service })
    }
}
