//! Any order of requests, answers of the log and publications, held against a list of names.

use std::collections::VecDeque;
use std::sync::Mutex;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use suyuan_model::Chunk;
use suyuan_wire::record::Compression;

use super::super::tests::{Shown, body, submission};
use super::*;

/// One thing that happens to the tables.
#[derive(Clone, Debug)]
enum Step {
    /// A request with as many good spans, then as many with a bad id, each with a long name or a
    /// short one.
    Stage {
        n_good: u32,
        n_bad: u32,
        is_long: bool,
    },
    /// A request whose spans are read before its end turns out to be cut off.
    StageMalformed {
        n_spans: u32,
        is_long: bool,
    },
    /// The log has the oldest request that waits for it.
    Commit,
    /// The log does not have one of those that wait: the oldest, or one that found its queue full.
    Fail {
        place: usize,
    },
    Publish,
    /// The window ends, after the log has answered what waits for it.
    Cut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4u32, 0..3u32, any::<bool>())
            .prop_map(|(n_good, n_bad, is_long)| Step::Stage { n_good, n_bad, is_long }),
        1 => (0..4u32, any::<bool>())
            .prop_map(|(n_spans, is_long)| Step::StageMalformed { n_spans, is_long }),
        3 => Just(Step::Commit),
        1 => (0..4usize).prop_map(|place| Step::Fail { place }),
        1 => Just(Step::Publish),
        1 => Just(Step::Cut),
    ]
}

/// As a store: chunks come in order, and what is final stays as it is.
#[derive(Clone, Default)]
struct Strict {
    shown: Shown,
    last: Arc<Mutex<Option<(u32, bool)>>>,
}

impl Surroundings for Strict {
    fn publish(&mut self, publication: Publication) {
        let mut last = self.last.lock().expect("not poisoned");
        let expected = match *last {
            None => 0,
            Some((number, true)) => number + 1,
            Some((number, false)) => number,
        };
        assert_eq!(publication.chunk_number, expected, "one chunk is finished after the other");
        *last = Some((expected, publication.is_final));
        self.shown.publish(publication);
    }

    fn cut(&mut self, log_end: Option<Position>) {
        *self.last.lock().expect("not poisoned") = None;
        self.shown.cut(log_end);
    }

    fn trace_rows(&self, tenant: &Tenant, trace_id: TraceId) -> u64 {
        self.shown.trace_rows(tenant, trace_id)
    }

    fn now_unix_nanos(&self) -> u64 {
        self.shown.now_unix_nanos()
    }

    fn pressure(&self) -> Duration {
        Duration::ZERO
    }
}

/// Names that no other request has; those of bad spans begin with a trace that is none.
fn names(request: usize, n_good: u32, n_bad: u32, is_long: bool) -> Vec<String> {
    let padding = if is_long { "x".repeat(200) } else { String::new() };
    let good = (0..n_good).map(|n| format!("{}.{request}-{n}{padding}", n % 3 + 1));
    let bad = (0..n_bad).map(|n| format!("0.{request}-{n}{padding}"));
    good.chain(bad).collect()
}

/// The tables, and beside them what they must show.
struct Run {
    tables: Tables,
    strict: Strict,
    waiting: VecDeque<(Ticket, Vec<String>)>,
    durable: Vec<String>,
    /// How many of them lie in windows that were closed.
    n_closed: usize,
    spans_per_trace_max: u32,
}

impl Run {
    /// Those of a request's spans that have a good id and a trace with room.
    fn accepted(&self, names: &[String]) -> Vec<String> {
        let waiting = self.waiting.iter().flat_map(|(_, names)| names);
        let mut kept: Vec<&String> = self.durable[self.n_closed..].iter().chain(waiting).collect();
        let n_before = kept.len();
        for name in names.iter().filter(|name| !name.starts_with('0')) {
            let n_rows = kept.iter().filter(|other| other[..2] == name[..2]).count();
            if n_rows < self.spans_per_trace_max as usize {
                kept.push(name);
            }
        }
        kept[n_before..].iter().map(|name| (*name).clone()).collect()
    }

    fn step(&mut self, request: usize, step: &Step) {
        match *step {
            Step::Stage { n_good, n_bad, is_long } => {
                let names = names(request, n_good, n_bad, is_long);
                let all: Vec<&str> = names.iter().map(String::as_str).collect();
                let staged = self.tables.stage(submission(&all)).expect("well-formed");
                let accepted = self.accepted(&names);
                assert_eq!(staged.decoded.accepted_spans, accepted.len() as u64);
                if let Some((ticket, _)) = staged.record {
                    self.waiting.push_back((ticket, accepted));
                }
            }
            Step::StageMalformed { n_spans, is_long } => {
                let names = names(request, n_spans, 0, is_long);
                let all: Vec<&str> = names.iter().map(String::as_str).collect();
                let cut_off = [&body(&all)[..], &[0x0a, 0x7f]].concat().into();
                let result = self.tables.stage(Submission { inflated: cut_off, ..submission(&[]) });
                assert!(matches!(result, Err(StageError::Malformed(_))));
            }
            Step::Commit => {
                let Some((ticket, names)) = self.waiting.pop_front() else { return };
                self.tables.commit(&Tenant::single(), ticket);
                self.durable.extend(names);
            }
            Step::Fail { place } => {
                let place = place.min(self.waiting.len().saturating_sub(1));
                let Some((ticket, _)) = self.waiting.remove(place) else { return };
                self.tables.fail(&Tenant::single(), ticket);
            }
            Step::Publish => {
                self.tables.publish_due();
                assert_eq!(self.strict.shown.names(), self.durable);
            }
            Step::Cut => {
                while !self.waiting.is_empty() {
                    self.step(request, &Step::Commit);
                }
                self.tables.cut(None);
                self.n_closed = self.durable.len();
                let closed = self.strict.shown.closed();
                assert_eq!(
                    closed.iter().map(|(names, _)| names.len()).sum::<usize>(),
                    self.n_closed
                );
            }
        }
        let shown = self.strict.shown.names();
        assert_eq!(shown, self.durable[..shown.len()], "what is shown is durable");
        let rows: usize = self.waiting.iter().map(|(_, names)| names.len()).sum();
        assert_eq!(self.tables.window_rows, (rows + self.durable.len() - self.n_closed) as u64);
    }
}

/// Keeps the latest chunk.
#[derive(Clone, Default)]
struct Latest(Arc<Mutex<Option<Arc<Chunk>>>>);

impl Surroundings for Latest {
    fn publish(&mut self, publication: Publication) {
        *self.0.lock().expect("not poisoned") = Some(publication.chunk);
    }

    fn cut(&mut self, _: Option<Position>) {}

    fn trace_rows(&self, _: &Tenant, _: TraceId) -> u64 {
        0
    }

    fn now_unix_nanos(&self) -> u64 {
        7
    }

    fn pressure(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn a_resource_is_not_shared_with_requests_of_other_limits() {
    let attribute = |key: &str| KeyValue { key: key.to_owned(), ..KeyValue::default() };
    let mut request = ExportTraceServiceRequest::decode(body(&["1.a"])).expect("well-formed");
    let resource =
        Resource { attributes: vec![attribute("a"), attribute("b")], ..Resource::default() };
    request.resource_spans[0].resource = Some(resource);
    let inflated: Bytes = request.encode_to_vec().into();

    let latest = Latest::default();
    let mut tables = Tables::new(LaneOptions::default(), Box::new(latest.clone()));
    let header = RecordHeader {
        received_unix_nanos: 7,
        tenant: Tenant::single(),
        format: Format::OtlpProtobuf,
        compression: Compression::None,
        inflated_bytes: inflated.len() as u64,
        limits: Limits { attributes_max: 1, ..Limits::default() },
        refused: Vec::new(),
        accepted_spans: 1,
    };
    tables.replay(&header, inflated.clone()).expect("well-formed");
    let staged = tables.stage(Submission { inflated, ..submission(&[]) }).expect("well-formed");
    tables.commit(&Tenant::single(), staged.record.expect("a span was accepted").0);
    tables.publish_due();
    let chunk = latest.0.lock().expect("not poisoned").clone().expect("published");
    let n_attributes =
        [0, 1usize].map(|row| chunk.resources.attributes.shape(chunk.resource.value(row)).len());
    assert_eq!(n_attributes, [1, 2]);
}

proptest! {
    #[test]
    fn what_the_log_has_is_shown_once_and_in_order(
        steps in vec(step(), 1..60),
        chunk_rows in 1..8u32,
        chunk_bytes in prop_oneof![Just(usize::MAX), 100..2_000usize],
        spans_per_trace_max in prop_oneof![Just(u32::MAX), 1..20u32],
    ) {
        let strict = Strict::default();
        let limits = Limits { spans_per_trace_max, ..Limits::default() };
        let options = LaneOptions { chunk_rows, chunk_bytes, limits, ..LaneOptions::default() };
        let tables = Tables::new(options, Box::new(strict.clone()));
        let (waiting, durable) = (VecDeque::new(), Vec::new());
        let mut run = Run { tables, strict, waiting, durable, n_closed: 0, spans_per_trace_max };
        for (request, step) in steps.iter().enumerate() {
            run.step(request, step);
        }
        while !run.waiting.is_empty() {
            run.step(0, &Step::Commit);
        }
        run.step(0, &Step::Publish);
        let n_tables = run.tables.tenants.values().map(|tenant| tenant.tables.len()).max();
        prop_assert!(n_tables <= Some(1), "nothing waits: only the table that takes rows is left");
    }
}
