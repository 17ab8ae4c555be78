//! Requests in, publications out; the log is a real one in a temporary folder.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use suyuan_model::UnixNanosRange;
use suyuan_wire::record::RecordHeader;

use super::*;

/// What a store would show.
#[derive(Clone, Default)]
pub(super) struct Shown {
    state: Arc<Mutex<State>>,
    clock: Arc<AtomicU64>,
    pressure: Arc<Mutex<Duration>>,
}

#[derive(Default)]
struct State {
    open: Window,
    closed: Vec<(Window, Option<Position>)>,
}

/// For each tenant and chunk number the names of its visible rows, and whether more may come.
#[derive(Clone, Default)]
struct Window {
    chunks: BTreeMap<(String, u32), (Vec<String>, bool)>,
    received: Option<UnixNanosRange>,
}

impl Surroundings for Shown {
    fn publish(&mut self, publication: Publication) {
        let names = (0..publication.visible_rows as usize)
            .map(|row| publication.chunk.name.value(row).to_owned())
            .collect();
        let key = (publication.tenant.to_string(), publication.chunk_number);
        let open = &mut self.state().open;
        open.chunks.insert(key, (names, publication.is_final));
        let received = publication.received_unix_nanos;
        open.received = Some(open.received.map_or(received, |all| all.union(received)));
    }

    fn cut(&mut self, log_end: Option<Position>) {
        let mut state = self.state();
        let window = std::mem::take(&mut state.open);
        assert!(window.chunks.values().all(|(_, is_final)| *is_final), "a closed window is final");
        state.closed.push((window, log_end));
    }

    fn trace_rows(&self, tenant: &Tenant, trace_id: TraceId) -> u64 {
        // In these tests a span's name begins with its trace's number.
        let prefix = format!("{}.", trace_id.as_bytes()[0]);
        let chunks = &self.state().open.chunks;
        let of_tenant = chunks.iter().filter(|((name, _), _)| name == tenant.as_str());
        let names = of_tenant.flat_map(|(_, (names, _))| names);
        names.filter(|name| name.starts_with(&prefix)).count() as u64
    }

    fn now_unix_nanos(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    fn pressure(&self) -> Duration {
        *self.pressure.lock().expect("not poisoned")
    }
}

impl Shown {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// Of all windows.
    pub(super) fn names(&self) -> Vec<String> {
        let state = self.state();
        let windows = state.closed.iter().map(|(window, _)| window).chain([&state.open]);
        windows.flat_map(Window::names).collect()
    }

    /// Of each closed window, with where it ends in the log.
    pub(super) fn closed(&self) -> Vec<(Vec<String>, Option<Position>)> {
        let state = self.state();
        state.closed.iter().map(|(window, end)| (window.names(), *end)).collect()
    }

    /// When the rows of each closed window were received.
    pub(super) fn received(&self) -> Vec<Option<(u64, u64)>> {
        let state = self.state();
        let range = |window: &Window| window.received.map(|range| (range.min, range.max));
        state.closed.iter().map(|(window, _)| range(window)).collect()
    }
}

impl Window {
    fn names(&self) -> Vec<String> {
        self.chunks.values().flat_map(|(names, _)| names).cloned().collect()
    }
}

pub(super) fn body(names: &[&str]) -> Bytes {
    let span = |name: &&str| Span {
        trace_id: vec![name.split('.').next().expect("a trace").parse().expect("a number"); 16],
        span_id: vec![1; 8],
        name: (*name).to_owned(),
        ..Span::default()
    };
    let scope_spans =
        vec![ScopeSpans { spans: names.iter().map(span).collect(), ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

pub(super) fn submission(names: &[&str]) -> Submission {
    let sent = body(names);
    Submission {
        tenant: Tenant::single(),
        format: Format::OtlpProtobuf,
        compression: Compression::None,
        inflated: sent.clone(),
        sent,
    }
}

fn tables(chunk_rows: u32, spans_per_trace_max: u32) -> (Tables, Shown) {
    let shown = Shown::default();
    let limits = Limits { spans_per_trace_max, ..Limits::default() };
    let options = LaneOptions { chunk_rows, limits, ..LaneOptions::default() };
    (Tables::new(options, Box::new(shown.clone())), shown)
}

fn stage(tables: &mut Tables, names: &[&str]) -> Ticket {
    let staged = tables.stage(submission(names)).expect("well-formed");
    staged.record.expect("spans were accepted").0
}

#[test]
fn rows_are_seen_when_they_are_committed_and_not_before() {
    let (mut tables, shown) = tables(100, 100);
    let first = stage(&mut tables, &["1.a", "1.b"]);
    let second = stage(&mut tables, &["2.c"]);
    tables.publish_due();
    assert_eq!(shown.names(), [""; 0]);
    tables.commit(&Tenant::single(), first);
    tables.publish_due();
    assert_eq!(shown.names(), ["1.a", "1.b"]);
    tables.commit(&Tenant::single(), second);
    tables.publish_due();
    assert_eq!(shown.names(), ["1.a", "1.b", "2.c"]);
}

#[test]
fn a_failed_request_is_taken_back_from_between_its_neighbours() {
    // Chunks of two rows: the failed request stands in a full table, others in later ones.
    for chunk_rows in [1, 2, 3, 100] {
        let (mut tables, shown) = tables(chunk_rows, 100);
        let tenant = Tenant::single();
        let tickets: Vec<Ticket> =
            [&["1.a"][..], &["1.b", "1.c"], &["2.d"], &["2.e", "2.f", "2.g"]]
                .map(|names| stage(&mut tables, names))
                .to_vec();
        tables.commit(&tenant, tickets[0]);
        tables.fail(&tenant, tickets[1]);
        let last = stage(&mut tables, &["3.h"]);
        tables.commit(&tenant, tickets[2]);
        tables.fail(&tenant, tickets[3]);
        tables.commit(&tenant, last);
        tables.publish_due();
        assert_eq!(shown.names(), ["1.a", "2.d", "3.h"], "chunks of {chunk_rows} rows");
    }
}

#[test]
fn spans_over_the_size_of_a_trace_are_refused_alone() {
    let (mut tables, shown) = tables(100, 3);
    let tenant = Tenant::single();
    let first = stage(&mut tables, &["1.a", "1.b", "2.x"]);
    tables.commit(&tenant, first);
    tables.publish_due();
    let second = stage(&mut tables, &["1.c"]);
    let staged = tables.stage(submission(&["2.y", "1.d", "2.z", "1.e"])).expect("well-formed");
    let refused: Vec<u32> = staged.decoded.refused.iter().map(|r| r.place).collect();
    assert_eq!((refused, staged.decoded.accepted_spans), (vec![1, 3], 2));
    assert_eq!(outcome(&staged).message, "2 refused: trace has more spans than are allowed");
    let (third, header) = staged.record.expect("some were accepted");
    let header = RecordHeader::decode(&header).expect("a header").0;
    assert_eq!(header.refused, [1, 3]);
    tables.commit(&tenant, second);
    tables.commit(&tenant, third);
    tables.publish_due();
    assert_eq!(shown.names(), ["1.a", "1.b", "2.x", "1.c", "2.y", "2.z"]);
}

#[test]
fn limits_on_tenants_and_rows_refuse_with_the_number() {
    let options = LaneOptions { tenants_max: 1, window_rows_max: 2, ..LaneOptions::default() };
    let mut tables = Tables::new(options, Box::new(Shown::default()));
    stage(&mut tables, &["1.a"]);
    let other = Submission { tenant: Tenant::parse("b").expect("valid"), ..submission(&["1.a"]) };
    assert!(matches!(tables.stage(other), Err(StageError::TooManyTenants { tenants_max: 1 })));
    stage(&mut tables, &["1.b"]);
    assert!(matches!(tables.stage(submission(&["1.c"])), Err(StageError::WindowFull { rows: 2 })));
}

#[test]
fn a_tenant_is_one_who_sent_a_span_that_was_kept() {
    let options = LaneOptions { tenants_max: 1, ..LaneOptions::default() };
    let mut tables = Tables::new(options, Box::new(Shown::default()));
    let of = |tenant: &str, submission| Submission {
        tenant: Tenant::parse(tenant).expect("valid"),
        ..submission
    };
    let malformed = Submission { inflated: Bytes::from_static(b"x"), ..submission(&[]) };
    assert!(matches!(tables.stage(of("a", malformed)), Err(StageError::Malformed(_))));
    let refused = tables.stage(of("b", submission(&["0.bad id"]))).expect("well-formed");
    assert_eq!(refused.decoded.accepted_spans, 0);
    assert!(tables.stage(of("c", submission(&["1.a"]))).is_ok());
    assert!(matches!(
        tables.stage(of("d", submission(&["1.a"]))),
        Err(StageError::TooManyTenants { .. })
    ));
}

#[tokio::test]
async fn what_was_answered_is_replayed_to_the_same_rows_under_other_limits() {
    let folder = tempfile::tempdir().expect("a folder");
    let shown = Shown::default();
    let lane = start(folder.path(), Limits { spans_per_trace_max: 2, ..Limits::default() }, &shown);
    let outcome = lane.submit(submission(&["1.a", "1.b", "1.c"])).await.expect("taken");
    assert_eq!((outcome.accepted_spans, outcome.refused_spans), (2, 1));
    let refusal =
        lane.submit(Submission { inflated: Bytes::from_static(b"x"), ..submission(&["1.a"]) });
    assert!(matches!(refusal.await, Err(Refusal::Malformed(_))));
    lane.submit(submission(&["2.d"])).await.expect("taken");
    lane.close();
    assert_eq!(lane.submit(submission(&["9.z"])).await, Err(Refusal::Stopping));
    assert_eq!(shown.names(), ["1.a", "1.b", "2.d"]);

    let replayed = Shown::default();
    start(folder.path(), Limits { spans_per_trace_max: 1, ..Limits::default() }, &replayed).close();
    assert_eq!(replayed.names(), ["1.a", "1.b", "2.d"]);
}

fn start(folder: &std::path::Path, limits: Limits, shown: &Shown) -> Lane {
    let (log, mut recovered) = open(folder);
    let options = LaneOptions { limits, ..LaneOptions::default() };
    let mut replay = Replay::new(options, shown.clone(), Metrics::new());
    recovered
        .replay(|position, record| match replay.record(position, record) {
            Ok(()) => suyuan_wal::Verdict::Taken,
            Err(error) => suyuan_wal::Verdict::Quarantine(error.to_string()),
        })
        .expect("the log is readable");
    replay.start(log).expect("a thread starts")
}

fn open(folder: &std::path::Path) -> (Log, suyuan_wal::Recovered) {
    let disk = Arc::new(suyuan_wal::LocalDisk::create(folder).expect("a folder"));
    let options = suyuan_wal::Options {
        segment_bytes_max: 1 << 20,
        record_bytes_max: 1 << 20,
        queue_bytes_max: 1 << 24,
        reserve_bytes: 4096,
    };
    suyuan_wal::open(disk, options).expect("the log opens")
}

#[tokio::test]
async fn a_cut_ends_the_window_at_an_exact_place_of_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let shown = Shown::default();
    let lane = start(folder.path(), Limits { spans_per_trace_max: 2, ..Limits::default() }, &shown);
    lane.submit(submission(&["1.a", "1.b"])).await.expect("taken");
    lane.submit(submission(&["2.c"])).await.expect("taken");
    lane.cut();
    let outcome = lane.submit(submission(&["1.d"])).await.expect("taken");
    assert_eq!(outcome.refused_spans, 0, "the size of a trace counts in its window");
    lane.cut();
    lane.submit(submission(&["9.bad id", "0.bad id"])).await.expect("taken");
    lane.cut();
    lane.submit(submission(&["3.e"])).await.expect("taken");
    lane.close();

    let closed = shown.closed();
    let (names, ends): (Vec<_>, Vec<_>) = closed.into_iter().unzip();
    assert_eq!(names, [vec!["1.a", "1.b", "2.c"], vec!["1.d"], vec!["9.bad id"]]);
    assert_eq!(shown.received(), [Some((0, 1)), Some((2, 2)), Some((3, 3))]);
    assert_eq!(shown.names().last().map(String::as_str), Some("3.e"));

    // Each record of the log lies in the window that shows its rows.
    let mut n_records = vec![0; ends.len() + 1];
    let (_log, mut recovered) = open(folder.path());
    let count = |position, _: &[u8]| {
        let window = ends.iter().position(|end| Some(position) < *end).unwrap_or(ends.len());
        n_records[window] += 1;
        suyuan_wal::Verdict::Taken
    };
    recovered.replay(count).expect("the log is readable");
    assert_eq!(n_records, [2, 1, 1, 1]);
}

#[tokio::test]
async fn requests_wait_for_a_cut_and_none_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let shown = Shown::default();
    let lane = start(folder.path(), Limits::default(), &shown);
    // Tasks of one thread begin in this order, before the first of them is answered.
    let mut answers = Vec::new();
    for request in 0..60 {
        let (lane, name) = (lane.clone(), format!("1.{request:02}"));
        answers.push(tokio::spawn(async move {
            if request % 7 == 3 {
                lane.cut();
            }
            lane.submit(submission(&[&name])).await
        }));
    }
    for answer in answers {
        let outcome = answer.await.expect("no panic").expect("taken");
        assert_eq!(outcome.accepted_spans, 1);
    }
    lane.cut();
    lane.close();
    assert_eq!(shown.names(), (0..60).map(|n| format!("1.{n:02}")).collect::<Vec<_>>());
    let sizes: Vec<usize> = shown.closed().iter().map(|(names, _)| names.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 60, "closing finishes a cut: {sizes:?}");
}

#[tokio::test]
async fn a_window_without_a_record_has_no_end_in_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let shown = Shown::default();
    let lane = start(folder.path(), Limits::default(), &shown);
    lane.cut();
    lane.close();
    assert_eq!(shown.closed(), [(vec![], None)]);
}

#[tokio::test]
async fn what_was_replayed_belongs_to_the_window_that_is_cut_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Shown::default();
    let lane = start(folder.path(), Limits::default(), &first);
    lane.submit(submission(&["1.a"])).await.expect("taken");
    lane.cut();
    lane.submit(submission(&["1.b"])).await.expect("taken");
    lane.close();
    let [(_, Some(end))] = first.closed()[..] else { panic!("one cut behind one record") };

    let second = Shown::default();
    let lane = start(folder.path(), Limits::default(), &second);
    lane.cut();
    lane.close();
    let [(ref names, Some(later_end))] = second.closed()[..] else { panic!("one cut") };
    assert_eq!((names.len(), second.received()), (2, vec![Some((0, 1))]));
    assert!(later_end > end);
}

#[tokio::test(start_paused = true)]
async fn pressure_delays_the_next_request_but_not_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let shown = Shown::default();
    *shown.pressure.lock().expect("not poisoned") = Duration::from_secs(3_600);
    let lane = start(folder.path(), Limits::default(), &shown);
    let begin = tokio::time::Instant::now();
    lane.submit(submission(&["1.a"])).await.expect("taken");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    lane.submit(submission(&["1.b"])).await.expect("taken");
    assert_eq!(begin.elapsed(), PRESSURE_MAX);
    *shown.pressure.lock().expect("not poisoned") = Duration::ZERO;
    lane.submit(submission(&["1.c"])).await.expect("taken");
    lane.submit(submission(&["1.d"])).await.expect("taken");
    assert_eq!(begin.elapsed(), 2 * PRESSURE_MAX, "the fourth one waits no more");
    lane.close();
}

/// A store that breaks when a window ends.
struct Broken(Shown);

impl Surroundings for Broken {
    fn publish(&mut self, publication: Publication) {
        self.0.publish(publication);
    }

    fn cut(&mut self, _: Option<Position>) {
        panic!("the store is broken");
    }

    fn trace_rows(&self, tenant: &Tenant, trace_id: TraceId) -> u64 {
        self.0.trace_rows(tenant, trace_id)
    }

    fn now_unix_nanos(&self) -> u64 {
        self.0.now_unix_nanos()
    }

    fn pressure(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test]
async fn whoever_waits_learns_how_the_lane_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let lane = start(folder.path(), Limits::default(), &Shown::default());
    lane.submit(submission(&["1.a"])).await.expect("taken");
    lane.close();
    assert_eq!(lane.ended().await, Ended::Closed);
    lane.cut();

    let (log, _) = open(folder.path());
    let broken = Broken(Shown::default());
    let replay = Replay::new(LaneOptions::default(), broken, Metrics::new());
    let lane = replay.start(log).expect("a thread starts");
    lane.cut();
    assert_eq!(lane.ended().await, Ended::Panicked);
    assert_eq!(lane.submit(submission(&["1.b"])).await, Err(Refusal::Stopping));
    lane.close();
}
