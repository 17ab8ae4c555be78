//! What a service does while it serves: its own code, calls, queries, messages.
//!
//! In: the steps of an operation and where they run. Out: their spans, when they ended, and the
//! failure that stopped them, if any.

use suyuan_ids::SpanId;

use super::super::calls::{self, Message, Request};
use super::super::failure::{Cause, DATABASE_TROUBLES, Failure};
use super::super::mailbox::Letter;
use super::super::operation::{Door, Operation, Partner, Patience, Step, Topic};
use super::super::service::{Instrument, Language, Service};
use super::super::span::{Kind, Status, attribute};
use super::{FLAGS_REMOTE, MICRO, Opening, Outcome, Place, SPANS_MAX, Stage, TIMEOUT_NANOS};

impl Stage<'_> {
    /// One after the other, until one fails.
    pub(super) fn steps(&mut self, steps: &'static [Step], here: &Place, start: u64) -> Outcome {
        let mut outcome = Outcome { end: start, failure: None };
        for step in steps {
            outcome = self.step(step, here, outcome.end);
            if outcome.failure.is_some() || self.spans.len() >= SPANS_MAX {
                break;
            }
            outcome.end += self.random.long_tail(25 * MICRO);
        }
        outcome
    }

    fn step(&mut self, step: &'static Step, here: &Place, start: u64) -> Outcome {
        match *step {
            Step::Work { name, micros } => self.work(name, micros, here, start),
            Step::Call { to, patience } => {
                self.patiently(patience, here, start, |stage, at, n| stage.call(to, here, at, n))
            }
            Step::Query { name, text, micros } => self.query(name, text, micros, here, start),
            Step::Cache { command, key, hit_per_mille, on_miss } => {
                self.cache((command, key), hit_per_mille, on_miss, here, start)
            }
            Step::Find { index, text, micros } => self.find(index, text, micros, here, start),
            Step::Publish { topic } => self.publish(topic, here, start),
            Step::Partner { partner, patience } => {
                self.patiently(patience, here, start, |stage, at, n| {
                    stage.partner(partner, here, at, n)
                })
            }
            Step::Together(steps) => self.together(steps, here, start),
            Step::Sometimes { per_mille, steps } if self.random.per_mille(per_mille) => {
                self.steps(steps, here, start)
            }
            Step::Sometimes { .. } => Outcome { end: start, failure: None },
            Step::Repeat { least, most, steps } => self.repeat((least, most), steps, here, start),
            Step::Lanes { n_lanes, least, most, steps } => {
                self.lanes(n_lanes, (least, most), steps, here, start)
            }
        }
    }

    fn together(&mut self, steps: &'static [Step], here: &Place, start: u64) -> Outcome {
        let mut all = Outcome { end: start, failure: None };
        for step in steps {
            let begin = start + self.random.long_tail(15 * MICRO);
            let one = self.step(step, here, begin);
            all.end = all.end.max(one.end);
            all.failure = all.failure.or(one.failure);
        }
        all
    }

    fn repeat(
        &mut self,
        (least, most): (u64, u64),
        steps: &'static [Step],
        here: &Place,
        start: u64,
    ) -> Outcome {
        let mut outcome = Outcome { end: start, failure: None };
        for _ in 0..self.random.between(least, most) {
            outcome = self.steps(steps, here, outcome.end);
            if outcome.failure.is_some() || self.spans.len() >= SPANS_MAX {
                break;
            }
        }
        outcome
    }

    /// Workers of a job, each with its own share. A failure in a lane ends that lane alone.
    fn lanes(
        &mut self,
        n_lanes: u64,
        range: (u64, u64),
        steps: &'static [Step],
        here: &Place,
        start: u64,
    ) -> Outcome {
        let mut end = start;
        for _ in 0..n_lanes {
            self.visitor.turn_page(&mut self.random);
            end = end.max(self.repeat(range, steps, here, start).end);
        }
        Outcome { end, failure: None }
    }

    /// Does `attempt` once, or again after growing pauses, as the caller's patience says.
    fn patiently(
        &mut self,
        patience: Patience,
        here: &Place,
        start: u64,
        mut attempt: impl FnMut(&mut Self, u64, u32) -> Outcome,
    ) -> Outcome {
        let attempts_max = if let Patience::Attempts(n) = patience { n } else { 1 };
        let mut outcome = attempt(self, start, 0);
        for n_resends in 1..attempts_max {
            let Some(failure) = outcome.failure.as_ref().filter(|failure| failure.is_error())
            else {
                break;
            };
            let pause_ms = (20 << n_resends) + self.random.below(20);
            let why = failure.message.clone();
            let attributes =
                vec![attribute("retry.delay_ms", pause_ms as i64), attribute("retry.reason", why)];
            self.event_of(here.span_id, outcome.end, "retry", attributes);
            outcome = attempt(self, outcome.end + pause_ms * 1_000 * MICRO, n_resends);
        }
        if patience == Patience::Optional && outcome.failure.is_some() {
            let attributes = vec![attribute("shop.page.complete", false)];
            self.event_of(here.span_id, outcome.end, "went on without", attributes);
            outcome.failure = None;
        }
        outcome
    }

    fn work(&mut self, name: &'static str, micros: u64, here: &Place, start: u64) -> Outcome {
        let mut attributes = vec![
            attribute("code.function.name", name),
            attribute("thread.id", self.random.between(1, 220) as i64),
        ];
        if here.service.facts().language == Language::Java {
            let name = format!("http-nio-8080-exec-{}", self.random.between(1, 40));
            attributes.push(attribute("thread.name", name));
        }
        let end = start + self.duration(here.service, micros * MICRO);
        let span = self.open_leaf(here, start, name, Kind::Internal, Instrument::Own, attributes);
        self.close(span, end, Status::Unset);
        Outcome { end, failure: None }
    }

    /// One attempt to reach another service.
    fn call(
        &mut self,
        to: &'static Operation,
        here: &Place,
        start: u64,
        n_resends: u32,
    ) -> Outcome {
        let (there, back) = (self.network(), self.network());
        let (span, outcome) = match to.door {
            Door::Http { method, route } => {
                let address = self.instances[usize::from(here.instance)].address.clone();
                let request = Request {
                    method,
                    route,
                    server: to.service,
                    client_address: address.clone(),
                    visitor: &self.visitor,
                };
                let attributes = calls::http_client(&request, n_resends);
                let name = format!("{method} {route}");
                let span =
                    self.open_leaf(here, start, name, Kind::Client, Instrument::Client, attributes);
                let caller = self.spans[span].span_id;
                let begin = start + there;
                let gateway = Service::GatewayInternal;
                (span, self.gateway(gateway, to, Some(caller), address, begin))
            }
            Door::Rpc { method } => {
                let attributes = calls::rpc(method, to.service);
                let span =
                    self.open_leaf(here, start, method, Kind::Client, Instrument::Rpc, attributes);
                let caller = self.spans[span].span_id;
                (span, self.rpc_server(to, method, caller, start + there))
            }
            Door::Consume { .. } | Door::Job { .. } => {
                return Outcome { end: start, failure: None };
            }
        };
        let end = outcome.end + back;
        self.close_client(span, end, outcome.failure.as_ref(), here.service);
        Outcome { end, failure: outcome.failure.map(|failure| failure.passed_on()) }
    }

    /// One attempt to reach a company outside.
    fn partner(
        &mut self,
        partner: &'static Partner,
        here: &Place,
        start: u64,
        n_resends: u32,
    ) -> Outcome {
        let attributes = calls::partner(partner, n_resends);
        let name = format!("{} {}", partner.method, partner.path);
        let span = self.open_leaf(here, start, name, Kind::Client, Instrument::Client, attributes);
        let failure = match self.random.per_mille(partner.fails_per_mille) {
            true if self.random.per_mille(400) => {
                Some(Failure::new(504, Cause::Timeout, "no answer within 2000 ms"))
            }
            true => Some(Failure::new(503, Cause::Upstream, "503 Service Unavailable")),
            false => None,
        };
        let nanos = match &failure {
            Some(failure) if failure.cause == Cause::Timeout => TIMEOUT_NANOS,
            _ => self.duration(here.service, partner.micros * MICRO),
        };
        self.close_client(span, start + nanos, failure.as_ref(), here.service);
        Outcome { end: start + nanos, failure }
    }

    fn query(
        &mut self,
        name: &'static str,
        text: &'static str,
        micros: u64,
        here: &Place,
        start: u64,
    ) -> Outcome {
        let attributes = calls::mysql(name, self.visitor.fill(text), here.service);
        let span = self.open_leaf(here, start, name, Kind::Client, Instrument::Mysql, attributes);
        let nanos = self.duration(here.service, micros * MICRO);
        if nanos > 200_000 * MICRO {
            let attributes = vec![attribute("shop.db.lock_wait_ms", (nanos / 2_000_000) as i64)];
            self.event(span, start + nanos / 2, "waited for a lock", attributes);
        }
        let end = start + nanos;
        if !self.fails(here.service, 20) {
            if name.starts_with("SELECT") {
                let n_rows = self.random.below(25) as i64;
                self.spans[span].attributes.push(attribute("db.response.returned_rows", n_rows));
            }
            self.close(span, end, Status::Unset);
            return Outcome { end, failure: None };
        }
        let (number, message) = self.random.pick(&DATABASE_TROUBLES);
        let failure = Failure::new(500, Cause::Database, message);
        self.spans[span].attributes.push(attribute("db.response.status_code", number));
        self.close_failed(span, end, &failure, here.service, name);
        Outcome { end, failure: Some(failure) }
    }

    /// Redis. What it cannot answer is a miss; nothing fails because of it.
    fn cache(
        &mut self,
        (command, key): (&'static str, &'static str),
        hit_per_mille: u32,
        on_miss: &'static [Step],
        here: &Place,
        start: u64,
    ) -> Outcome {
        let attributes = calls::redis(command, self.visitor.fill(key));
        let span =
            self.open_leaf(here, start, command, Kind::Client, Instrument::Redis, attributes);
        let mut end = start + self.duration(here.service, 210 * MICRO);
        let is_broken = self.random.below(4_000) == 0;
        let is_hit = !is_broken && self.random.per_mille(hit_per_mille);
        if !on_miss.is_empty() {
            self.spans[span].attributes.push(attribute("cache.hit", is_hit));
        }
        if is_broken {
            end += 50_000 * MICRO;
            let failure = Failure::new(500, Cause::Cache, "command timed out after 50 ms");
            self.close_failed(span, end, &failure, here.service, command);
        } else {
            self.close(span, end, Status::Unset);
        }
        if is_hit || on_miss.is_empty() {
            return Outcome { end, failure: None };
        }
        self.steps(on_miss, here, end + 20 * MICRO)
    }

    fn find(
        &mut self,
        index: &'static str,
        text: &'static str,
        micros: u64,
        here: &Place,
        start: u64,
    ) -> Outcome {
        let mut attributes = calls::elasticsearch(index, self.visitor.fill(text));
        let end = start + self.duration(here.service, micros * MICRO);
        attributes.push(attribute("shop.search.took_ms", (end - start) as f64 / 1e6));
        let name = format!("search {index}");
        let span = self.open_leaf(here, start, name, Kind::Client, Instrument::Search, attributes);
        if self.fails(here.service, 2) {
            let failure =
                Failure::new(500, Cause::Timeout, "search phase timed out: 2 of 5 shards");
            self.close_failed(span, end, &failure, here.service, index);
            return Outcome { end, failure: Some(failure) };
        }
        self.close(span, end, Status::Unset);
        Outcome { end, failure: None }
    }

    /// Hands a message to Kafka. Followers go on in this trace, later than anybody waits for.
    fn publish(&mut self, topic: &'static Topic, here: &Place, start: u64) -> Outcome {
        let message = Message {
            topic: topic.name,
            partition: self.random.below(topic.n_partitions),
            offset: start / 1_000_000_000 * 40 + self.random.below(40),
            key: self.visitor.order_key(),
            body_bytes: self.random.between(400, 2_600),
        };
        let name = format!("send {}", topic.name);
        let attributes = calls::kafka_send(&message);
        let span = self.open_leaf(here, start, name, Kind::Producer, Instrument::Kafka, attributes);
        let end = start + self.duration(here.service, 1_300 * MICRO);
        self.close(span, end, Status::Ok);
        let producer = self.spans[span].span_id;
        for follower in topic.followers {
            let begin = end + self.random.long_tail(9_000 * MICRO);
            self.follow(follower, producer, begin);
        }
        for reader in topic.readers {
            let Door::Consume { group, .. } = reader.door else { continue };
            self.letters.push(Letter {
                group,
                topic: topic.name,
                trace_id: self.trace_id,
                span_id: producer,
                trace_state: self.trace_state,
                partition: message.partition,
                offset: message.offset,
                sent_unix_nanos: end,
            });
        }
        Outcome { end, failure: None }
    }

    fn follow(&mut self, operation: &'static Operation, producer: SpanId, start: u64) {
        let Door::Consume { topic, group } = operation.door else { return };
        let instance = self.some_instance(operation.service);
        let opening = Opening {
            name: format!("process {topic}").into(),
            kind: Kind::Consumer,
            instrument: Instrument::Kafka,
            flags: FLAGS_REMOTE,
            attributes: calls::kafka_process(topic, group, 1),
        };
        let span = self.open(Some(producer), (operation.service, instance), start, opening);
        let here = self.place(span, operation.service);
        let outcome = self.perform(operation, &here, span, start);
        self.close_served(span, outcome, operation, topic);
    }
}
