//! Plays a journey: from the table of what happens to the spans of one trace.
//!
//! In: a journey, a start, chance. Out: spans in the order in which they began, and the messages
//! that other traces will read. A child lies inside its parent, except what follows a message.
//! Never makes more than `SPANS_MAX` spans and never waits: time is a number that is added up.

use suyuan_ids::{SpanId, TraceId};

use super::calls::{self, Request};
use super::failure::{BUGS, Cause, Failure};
use super::journeys::{Begins, Journey};
use super::mailbox::Letter;
use super::operation::{Door, Operation};
use super::random::Random;
use super::service::{Instance, Instrument, Service};
use super::span::{Attribute, Kind, Link, Span, Status, Text, attribute};
use super::visitor::Visitor;

mod spans;
mod steps;

/// A trace stops growing here; the largest jobs stay below.
pub(crate) const SPANS_MAX: usize = 9_000;

/// Sampled, and "we know whether the parent was remote" (OTLP `SpanFlags`).
const FLAGS_LOCAL: u32 = 0x101;
/// The same, and the parent was in another process.
const FLAGS_REMOTE: u32 = 0x301;

const MICRO: u64 = 1_000;

/// Nobody waits longer for one answer.
const TIMEOUT_NANOS: u64 = 2_000_000_000;

/// Every operation fails sometimes, beside what its table says.
const BUGS_PER_10_000: u64 = 6;

/// Everything that one trace needs while it is played.
pub(crate) struct Stage<'a> {
    random: Random,
    ids: Random,
    instances: &'a [Instance],
    visitor: Visitor,
    trace_id: TraceId,
    trace_state: &'static str,
    trouble: Option<Trouble>,
    pub(crate) spans: Vec<Span>,
    pub(crate) letters: Vec<Letter>,
}

/// A service that has a bad minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) service: Service,
}

/// Where code runs: a process, and the span that is open in it.
#[derive(Clone, Copy)]
struct Place {
    service: Service,
    instance: u16,
    span_id: SpanId,
}

/// When something was over, and whether it went well.
struct Outcome {
    end: u64,
    failure: Option<Failure>,
}

/// What is known about a span when it begins.
struct Opening {
    name: Text,
    kind: Kind,
    instrument: Instrument,
    flags: u32,
    attributes: Vec<Attribute>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(
        mut random: Random,
        mut ids: Random,
        instances: &'a [Instance],
        trouble: Option<Trouble>,
    ) -> Self {
        let id = (u128::from(ids.bits()) << 64) | u128::from(ids.bits().max(1));
        Self {
            visitor: Visitor::arrive(&mut random),
            trace_id: TraceId::from_bytes(id.to_be_bytes()),
            trace_state: if random.per_mille(120) { trace_state(&mut random) } else { "" },
            random,
            ids,
            instances,
            trouble,
            spans: Vec::with_capacity(24),
            letters: Vec::new(),
        }
    }

    /// Plays `journey` from `start`; `letters` are the messages that it reads, if it reads any.
    pub(crate) fn play(&mut self, journey: &Journey, letters: &[Letter], start: u64) {
        match journey.begins {
            Begins::Outside { click } if self.random.per_mille(180) => {
                self.click(click, journey.operation, start);
            }
            Begins::Outside { .. } | Begins::AtTheGateway => {
                let address = self.visitor.address().into();
                self.gateway(Service::GatewayExternal, journey.operation, None, address, start);
            }
            Begins::Job => self.job(journey.operation, start),
            Begins::Messages => self.read(journey.operation, letters, start),
        }
    }

    // ---- beginnings ----------------------------------------------------------------------------

    /// A visitor whose browser or telephone sends spans of its own.
    fn click(&mut self, click: &'static str, operation: &'static Operation, start: u64) {
        let device = if self.random.per_mille(700) { Service::Web } else { Service::App };
        let instance = self.some_instance(device);
        let root = self.open(
            None,
            (device, instance),
            start,
            Opening {
                name: click.into(),
                kind: Kind::Internal,
                instrument: Instrument::Own,
                flags: FLAGS_LOCAL,
                attributes: vec![attribute("app.screen.name", click)],
            },
        );
        let here = self.place(root, device);
        let begin = start + self.random.long_tail(900 * MICRO);
        let Door::Http { method, route } = operation.door else {
            self.close(root, begin, Status::Unset);
            return;
        };
        let address = self.instances[usize::from(instance)].address.clone();
        let request = Request {
            method,
            route,
            server: Service::GatewayExternal,
            client_address: address.clone(),
            visitor: &self.visitor,
        };
        let attributes = calls::http_device(&request);
        let opening = Opening {
            name: format!("{method} {route}").into(),
            kind: Kind::Client,
            instrument: Instrument::Client,
            flags: FLAGS_LOCAL,
            attributes,
        };
        let client = self.open(Some(here.span_id), (device, instance), begin, opening);
        let (there, back) = (self.internet(), self.internet());
        let caller = self.spans[client].span_id;
        let outcome =
            self.gateway(Service::GatewayExternal, operation, Some(caller), address, begin + there);
        let end = outcome.end + back;
        self.close_client(client, end, outcome.failure.as_ref(), device);
        let drawn = end + self.random.long_tail(4_000 * MICRO);
        self.event(root, end, "response arrived", vec![]);
        self.close(root, drawn, Status::Unset);
    }

    fn job(&mut self, operation: &'static Operation, start: u64) {
        let Door::Job { name } = operation.door else { return };
        let instance = self.some_instance(operation.service);
        let opening = Opening {
            name: name.into(),
            kind: Kind::Internal,
            instrument: Instrument::Own,
            flags: FLAGS_LOCAL,
            attributes: vec![attribute("shop.job.name", name), attribute("shop.job.attempt", 1)],
        };
        let root = self.open(None, (operation.service, instance), start, opening);
        let here = self.place(root, operation.service);
        let outcome = self.perform(operation, &here, root, start);
        self.close_served(root, outcome, operation, name);
    }

    /// Reads messages that other traces sent: a root of its own, linked to every producer.
    fn read(&mut self, operation: &'static Operation, letters: &[Letter], start: u64) {
        let Door::Consume { topic, group } = operation.door else { return };
        let topic = letters.first().map_or(topic, |letter| letter.topic);
        let instance = self.some_instance(operation.service);
        let opening = Opening {
            name: format!("process {topic}").into(),
            kind: Kind::Consumer,
            instrument: Instrument::Kafka,
            flags: FLAGS_LOCAL,
            attributes: calls::kafka_process(topic, group, letters.len()),
        };
        let root = self.open(None, (operation.service, instance), start, opening);
        self.spans[root].links = letters.iter().map(link).collect();
        let here = self.place(root, operation.service);
        let mut outcome = self.perform(operation, &here, root, start);
        for _ in letters.iter().skip(1) {
            if outcome.failure.is_some() {
                break;
            }
            self.visitor.turn_page(&mut self.random);
            outcome = self.steps(operation.steps, &here, outcome.end);
        }
        self.close_served(root, outcome, operation, topic);
    }

    // ---- doors ---------------------------------------------------------------------------------

    /// A request through one of the two gateways to `operation`.
    fn gateway(
        &mut self,
        gateway: Service,
        operation: &'static Operation,
        caller: Option<SpanId>,
        client_address: Text,
        start: u64,
    ) -> Outcome {
        let Door::Http { method, route } = operation.door else {
            return Outcome { end: start, failure: None };
        };
        let instance = self.some_instance(gateway);
        let address = self.instances[usize::from(instance)].address.clone();
        let server = if gateway == Service::GatewayExternal { gateway } else { operation.service };
        let request = Request { method, route, server, client_address, visitor: &self.visitor };
        let mut attributes = if gateway == Service::GatewayExternal {
            calls::http_gateway(&request)
        } else {
            calls::http_server(&request)
        };
        attributes.push(attribute("shop.upstream.name", operation.service.facts().name));
        let opening = Opening {
            name: format!("{method} {route}").into(),
            kind: Kind::Server,
            instrument: Instrument::Server,
            flags: if caller.is_some() { FLAGS_REMOTE } else { FLAGS_LOCAL },
            attributes,
        };
        let span = self.open(caller, (gateway, instance), start, opening);
        let here = self.place(span, gateway);
        if operation.service == gateway {
            let outcome = self.perform(operation, &here, span, start);
            return self.close_served(span, outcome, operation, route);
        }
        let (before, after) =
            (self.random.long_tail(70 * MICRO), self.random.long_tail(50 * MICRO));
        let outcome = if self.is_unreachable(operation.service) {
            let waited = self.random.between(1_000, 2_000) * 1_000 * MICRO;
            let why = "upstream timed out (110: Connection timed out) while connecting to upstream";
            let failure = Failure::new(504, Cause::Timeout, why);
            Outcome { end: start + before + waited, failure: Some(failure) }
        } else {
            self.http_server(operation, here.span_id, address, start + before)
        };
        let upstream_seconds = (outcome.end - start) as f64 / 1e9;
        self.spans[span].attributes.push(attribute("shop.upstream.seconds", upstream_seconds));
        self.close_gateway(span, Outcome { end: outcome.end + after, ..outcome })
    }

    fn http_server(
        &mut self,
        operation: &'static Operation,
        caller: SpanId,
        client_address: Text,
        start: u64,
    ) -> Outcome {
        let Door::Http { method, route } = operation.door else {
            return Outcome { end: start, failure: None };
        };
        let service = operation.service;
        let request =
            Request { method, route, server: service, client_address, visitor: &self.visitor };
        let opening = Opening {
            name: format!("{method} {route}").into(),
            kind: Kind::Server,
            instrument: Instrument::Server,
            flags: FLAGS_REMOTE,
            attributes: calls::http_server(&request),
        };
        let instance = self.some_instance(service);
        let span = self.open(Some(caller), (service, instance), start, opening);
        let here = self.place(span, service);
        let outcome = self.perform(operation, &here, span, start);
        self.close_served(span, outcome, operation, route)
    }

    fn rpc_server(
        &mut self,
        operation: &'static Operation,
        method: &'static str,
        caller: SpanId,
        start: u64,
    ) -> Outcome {
        let service = operation.service;
        let opening = Opening {
            name: method.into(),
            kind: Kind::Server,
            instrument: Instrument::Rpc,
            flags: FLAGS_REMOTE,
            attributes: calls::rpc(method, service),
        };
        let instance = self.some_instance(service);
        let span = self.open(Some(caller), (service, instance), start, opening);
        let here = self.place(span, service);
        let outcome = self.perform(operation, &here, span, start);
        self.close_served(span, outcome, operation, method)
    }

    /// The inside of an operation: half its own work, its steps, the other half.
    fn perform(
        &mut self,
        operation: &'static Operation,
        here: &Place,
        span: usize,
        start: u64,
    ) -> Outcome {
        let notes = operation.notes.iter().map(|note| self.visitor.note(*note));
        self.spans[span].attributes.extend(notes);
        let before = self.duration(here.service, operation.busy_micros * MICRO / 2);
        let after = self.duration(here.service, operation.busy_micros * MICRO / 2);
        let refusal = operation.refusals.iter().find(|x| self.random.per_mille(x.per_mille));
        let is_bug = self.fails(here.service, BUGS_PER_10_000)
            || self.random.per_mille(operation.fails_per_mille);
        let steps = match operation.steps.len() {
            _ if refusal.is_none() && !is_bug => operation.steps,
            n_steps => &operation.steps[..n_steps.div_ceil(2)],
        };
        let mut outcome = self.steps(steps, here, start + before);
        outcome.end += after;
        if outcome.failure.is_some() {
            return outcome;
        }
        outcome.failure = match refusal {
            Some(refusal) => Some(Failure::new(refusal.status, Cause::Refused, refusal.why)),
            None if is_bug => Some(Failure::new(500, Cause::Bug, self.random.pick(&BUGS))),
            None => None,
        };
        outcome
    }

    // ---- chance --------------------------------------------------------------------------------

    fn some_instance(&mut self, service: Service) -> u16 {
        let (first, n_instances) = service.instances();
        first + self.random.below(u64::from(n_instances)) as u16
    }

    /// Mostly near the median; one in 250 is slow, and more in a service that has a bad minute.
    fn duration(&mut self, service: Service, median_nanos: u64) -> u64 {
        let nanos = self.random.long_tail(median_nanos);
        let is_slow = self.random.below(250) == 0;
        let is_troubled = self.is_troubled(service) && self.random.per_mille(250);
        let nanos = match (is_slow, is_troubled) {
            (true, _) => nanos * self.random.between(8, 30),
            (false, true) => nanos * self.random.between(3, 10),
            (false, false) => nanos,
        };
        nanos.min(TIMEOUT_NANOS)
    }

    /// `per_10_000` is how often in a good minute.
    fn fails(&mut self, service: Service, per_10_000: u64) -> bool {
        let often = if self.is_troubled(service) { per_10_000 * 12 } else { per_10_000 };
        self.random.below(10_000) < often
    }

    fn is_unreachable(&mut self, service: Service) -> bool {
        self.fails(service, 9)
    }

    fn is_troubled(&self, service: Service) -> bool {
        self.trouble.is_some_and(|trouble| trouble.service == service)
    }

    /// One way between two machines of the same data centre.
    fn network(&mut self) -> u64 {
        self.random.long_tail(110 * MICRO)
    }

    /// One way between a visitor and the shop.
    fn internet(&mut self) -> u64 {
        self.random.long_tail(14_000 * MICRO)
    }
}

fn link(letter: &Letter) -> Link {
    Link {
        trace_id: letter.trace_id,
        span_id: letter.span_id,
        trace_state: letter.trace_state,
        flags: FLAGS_REMOTE,
        attributes: vec![
            attribute("messaging.destination.partition.id", letter.partition.to_string()),
            attribute("messaging.kafka.offset", letter.offset as i64),
        ],
    }
}

fn trace_state(random: &mut Random) -> &'static str {
    random.pick(&["ot=th:0", "rum=s:1;p:web,ot=th:0", "rum=s:1;p:app"])
}
