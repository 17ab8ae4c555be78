//! Follow one span: start here.
//!
//! One failed payment goes through every stage that exists, each stage's output being the next
//! one's input, and at each border we look at what crosses it (`ARCHITECTURE.md` has the map):
//!
//! ```text
//! an SDK ─► receive ─► decode ─► append ─► (replay) ─► live ─► block ─► answer ─► a client
//!   OTLP     bytes      table     the log    the same    rows    Parquet   JSON
//!                        rows      on disk      rows
//! ```
//!
//! Guards: the value that a client reads is the value that a service sent, and every stage in
//! between says so too.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use suyuan_api::{ApiState, BuildInfo, Readiness};
use suyuan_ids::TraceId;
use suyuan_ingest::{
    Lane, LaneOptions, Metrics, Outcome, Receiver, Refusal, Replay, Submission, Submit,
    Surroundings,
};
use suyuan_model::{Chunk, Publication, TableBuilder, Tenant, ValueRef};
use suyuan_objects::faulty::MemoryObjects;
use suyuan_store::{LogControl, RetentionPolicy, Store};
use suyuan_testkit::client::{Addresses, Client, Compression, Protocol};
use suyuan_testkit::sample::{attribute, text, value};
use suyuan_wal::{LocalDisk, Log, Position, Recovered, Uuid, Verdict};
use suyuan_wire::otlp::{Decoded, Verdicts, decode};
use suyuan_wire::record::{Compression as Compressed, Format, Limits, RecordHeader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

const TRACE_ID: [u8; 16] = *b"trace-of-a-payer";
const SPAN_ID: [u8; 8] = *b"POST/pay";
const PARENT_ID: [u8; 8] = *b"checkout";
const START_UNIX_NANOS: u64 = 1_767_323_045_000_000_001;
const END_UNIX_NANOS: u64 = 1_767_323_045_250_000_002;
const RECEIVED_UNIX_NANOS: u64 = 1_767_323_046_000_000_000;

#[tokio::test]
async fn one_span_from_the_socket_to_the_answer() {
    let data_dir = tempfile::tempdir().unwrap();
    let sent = one_payment();

    let submission = receive(&sent).await;
    decode_into_columns(&submission);
    let shown_first = append(&submission, data_dir.path()).await;
    let shown_again = replay(&submission, data_dir.path()).await;
    assert_eq!(row_text(&shown_again.chunk), row_text(&shown_first.chunk));

    let store = live(shown_again, data_dir.path());
    let store = block(store).await;
    answer(store).await;
}

/// What the payment service's SDK sends: one span of one scope of one resource.
fn one_payment() -> ExportTraceServiceRequest {
    let span = Span {
        trace_id: TRACE_ID.to_vec(),
        span_id: SPAN_ID.to_vec(),
        parent_span_id: PARENT_ID.to_vec(),
        name: "POST /pay".to_owned(),
        kind: SpanKind::Server as i32,
        start_time_unix_nano: START_UNIX_NANOS,
        end_time_unix_nano: END_UNIX_NANOS,
        attributes: vec![
            attribute("http.route", text("/pay/{order}")),
            attribute("http.response.status_code", value(Value::IntValue(502))),
        ],
        events: vec![Event {
            time_unix_nano: START_UNIX_NANOS + 7,
            name: "card declined".to_owned(),
            ..Event::default()
        }],
        status: Some(Status { code: StatusCode::Error as i32, message: "没有余额".to_owned() }),
        ..Span::default()
    };
    let attributes = vec![attribute("service.name", text("payment"))];
    let resource_spans = ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
        schema_url: String::new(),
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

/// **Receive** (`ingest`): bytes from a socket, bounded, become a submission: the body as it was
/// sent, for the log, and inflated, for the decoder.
async fn receive(sent: &ExportTraceServiceRequest) -> Submission {
    let (lane, mut submissions) = fake_lane();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let receiver = Receiver::new(lane, suyuan_ingest::Options::default(), Metrics::new());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(suyuan_ingest::serve(listener, receiver, async {
        stopped.await.unwrap();
    }));

    let client = Client::new(Addresses { http: address, otlp_grpc: address, otlp_http: address });
    let answer = client.send(sent, Protocol::HttpProtobuf, Compression::Gzip).await.unwrap();
    assert_eq!(answer.rejected_spans, 0);
    let submission = submissions.recv().await.unwrap();
    drop(client);
    stop.send(()).unwrap();
    serving.await.unwrap();

    assert_eq!(submission.tenant, Tenant::single());
    assert_eq!(submission.format, Format::OtlpProtobuf);
    assert_eq!(submission.compression, Compressed::Gzip);
    assert_eq!(submission.sent[..2], [0x1f, 0x8b], "the log gets the gzip that was sent");
    assert_eq!(submission.inflated, sent.encode_to_vec());
    submission
}

/// **Decode** (`wire`, `model`): one walk over the bytes fills one row of one columnar table;
/// there is no span object in between.
fn decode_into_columns(submission: &Submission) {
    let mut table = TableBuilder::default();
    let body = &submission.inflated;
    let decoded =
        decode(submission.format, body, &Limits::default(), Verdicts::Judge, &mut table).unwrap();
    assert_eq!(decoded, Decoded { accepted_spans: 1, ..Decoded::default() });

    let chunk = table.freeze();
    assert_eq!(chunk.n_rows(), 1);
    assert_eq!(chunk.trace_id(0).as_bytes(), &TRACE_ID);
    assert_eq!(chunk.span_id(0).as_bytes(), &SPAN_ID);
    assert_eq!(chunk.parent_span_id(0), Some(PARENT_ID));
    assert_eq!(chunk.start_unix_nanos.value(0), START_UNIX_NANOS as i64);
    assert_eq!(chunk.end_unix_nanos.value(0), END_UNIX_NANOS as i64);
    let attributes: Vec<_> = chunk.attributes.row(0).collect();
    assert_eq!(
        attributes,
        [
            ("http.route", ValueRef::String("/pay/{order}")),
            ("http.response.status_code", ValueRef::Int(502)),
        ]
    );
    expect![[r#"
        resource: service.name = String("payment")
        span: POST /pay, kind 2, status 2 "没有余额"
        attribute: http.route = String("/pay/{order}")
        attribute: http.response.status_code = Int(502)
        event: card declined, 7 ns after the start
    "#]]
    .assert_eq(&row_text(&chunk));
}

/// **Append** (`ingest`, `wal`): the sender is answered, and the row may be seen, only when the
/// log has the request on disk.
async fn append(submission: &Submission, data_dir: &Path) -> Publication {
    let (log, _) = open_log(data_dir);
    let (surroundings, mut publications) = surroundings();
    let lane = lane(replayer(surroundings), log);

    let outcome = lane.submit(copy_of(submission)).await.unwrap();
    let one_span = Outcome { accepted_spans: 1, refused_spans: 0, message: String::new() };
    assert_eq!(outcome, one_span);
    let publication = publications.recv().await.unwrap();
    assert_eq!(publication.tenant, Tenant::single());
    assert_eq!((publication.chunk_number, publication.visible_rows), (0, 1));
    close(lane).await;
    publication
}

/// **Replay** (`wal`, `ingest`): after a restart the log holds the request as it was sent and
/// every decision that was taken, and gives the same row again.
async fn replay(submission: &Submission, data_dir: &Path) -> Publication {
    let (log, mut recovered) = open_log(data_dir);
    let (surroundings, mut publications) = surroundings();
    let mut replayer = replayer(surroundings);
    let report = recovered
        .replay(|position, record| {
            let (header, body) = RecordHeader::decode(record).unwrap();
            assert_eq!(header.received_unix_nanos, RECEIVED_UNIX_NANOS);
            assert_eq!(header.tenant, Tenant::single());
            assert_eq!(
                (header.format, header.compression),
                (Format::OtlpProtobuf, Compressed::Gzip)
            );
            assert_eq!(header.limits, Limits::default());
            assert_eq!((header.accepted_spans, header.refused.as_slice()), (1, &[][..]));
            assert_eq!(body, submission.sent);
            replayer.record(position, record).unwrap();
            Verdict::Taken
        })
        .unwrap();
    assert_eq!((report.records, report.damages), (1, 0));

    let lane = lane(replayer, log);
    let publication = publications.recv().await.unwrap();
    assert_eq!(publication.visible_rows, 1);
    close(lane).await;
    publication
}

/// **Live** (`store`): a published row can be found by its trace's id; nothing else can.
fn live(publication: Publication, data_dir: &Path) -> Store {
    let objects = Arc::new(MemoryObjects::new());
    let mut options = suyuan_store::Options::new(data_dir.join("live"), objects, Uuid([1; 16]));
    // The clock of this test is not today's.
    options.keep.retention = RetentionPolicy::keep_all();
    let store = Store::open(options).unwrap();
    let tenant = Tenant::single();
    let id = TraceId::from_bytes(TRACE_ID);
    let n_spans = |tenant: &Tenant| store.find_trace(tenant, id).unwrap().rows.n_spans();
    assert_eq!(n_spans(&tenant), 0, "found before it was published");

    let published = row_text(&publication.chunk);
    store.publish(publication);
    let found = store.find_trace(&tenant, id).unwrap().rows;
    assert_eq!(found.n_spans(), 1);
    assert_eq!(row_text(&found.pieces[0].chunk), published);
    assert_eq!(found.pieces[0].rows, [0]);
    let stranger = Tenant::parse("somebody-else").unwrap();
    assert_eq!(n_spans(&stranger), 0);
    store
}

/// **Block** (`store`, `block`, `catalog`): a cut of the log ends live data; it becomes files and an
/// entry of the catalog, and the row that was live is the same row read from pages.
async fn block(store: Store) -> Store {
    let id = TraceId::from_bytes(TRACE_ID);
    let find = |store: &Store| store.find_trace(&Tenant::single(), id).unwrap().rows;
    let live = row_text(&find(&store).pieces[0].chunk);
    store.start(Arc::new(FakeLog(store.clone()))).unwrap();
    let flushed = store.clone();
    spawn_blocking(move || flushed.flush()).await.unwrap().unwrap();

    assert_eq!(store.n_rows(), 0, "no row is live any more");
    assert_eq!(store.sealed_to(), Some(LOG_END), "the log may be shortened up to here");
    let found = find(&store);
    assert_eq!(found.n_spans(), 1);
    assert_eq!(row_text(&found.pieces[0].chunk), live);
    store
}

/// Where the log stands when the block is made.
const LOG_END: Position = Position { segment: 1, offset: 5_000 };

/// Stands where lane and log stand.
struct FakeLog(Store);

impl LogControl for FakeLog {
    fn request_cut(&self) {
        self.0.cut(Some(LOG_END));
    }

    fn truncate(&self, before: Position) {
        assert_eq!(before, LOG_END);
    }

    fn appended_bytes(&self) -> u64 {
        0
    }
}

/// **Answer** (`query`, `api`): rows become the JSON that Grafana expects, straight from columns.
async fn answer(store: Store) {
    let metrics = suyuan_api::Metrics::default();
    let readiness = Readiness::not_yet("starting");
    readiness.set_ready();
    let options = suyuan_api::Options::default();
    let registry = Arc::default();
    let build = BuildInfo::default();
    let state = ApiState::new(store, registry, metrics.clone(), readiness, build, "", options);
    let state = state.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = suyuan_api::router(state);
    let serving = tokio::spawn(suyuan_api::serve(listener, router, metrics, options, async {
        stopped.await.unwrap();
    }));

    let client = Client::new(Addresses { http: address, otlp_grpc: address, otlp_http: address });
    let path = "/api/v2/traces/74726163652d6f662d612d7061796572";
    let answer = client.get(path, "application/json").await.unwrap();
    let one_member_a_line = answer.text().replace(",\"", ",\n\"");
    expect![[r#"
        {"trace":{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name",
        "value":{"stringValue":"payment"}}]},
        "scopeSpans":[{"scope":{},
        "spans":[{"traceId":"dHJhY2Utb2YtYS1wYXllcg==",
        "spanId":"UE9TVC9wYXk=",
        "parentSpanId":"Y2hlY2tvdXQ=",
        "name":"POST /pay",
        "kind":"SPAN_KIND_SERVER",
        "startTimeUnixNano":"1767323045000000001",
        "endTimeUnixNano":"1767323045250000002",
        "attributes":[{"key":"http.route",
        "value":{"stringValue":"/pay/{order}"}},{"key":"http.response.status_code",
        "value":{"intValue":"502"}}],
        "events":[{"timeUnixNano":"1767323045000000008",
        "name":"card declined"}],
        "status":{"message":"没有余额",
        "code":"STATUS_CODE_ERROR"}}]}]}]},
        "metrics":{}}"#]]
    .assert_eq(&one_member_a_line);

    // { span.http.response.status_code >= 500 && event:name = "card declined" }
    let path = "/api/search?q=%7B%20span.http.response.status_code%20%3E%3D%20500%20%26%26%20\
                event%3Aname%20%3D%20%22card%20declined%22%20%7D";
    let found = client.get(path, "application/json").await.unwrap();
    let found: serde_json::Value = serde_json::from_str(&found.text()).unwrap();
    assert_eq!(found["traces"][0]["traceID"], "74726163652d6f662d612d7061796572");
    assert_eq!(found["traces"][0]["spanSets"][0]["matched"], 1);
    drop(client);
    stop.send(()).unwrap();
    serving.await.unwrap();
}

/// A row as a reader of columns sees it.
fn row_text(chunk: &Chunk) -> String {
    let mut out = String::new();
    let resource = chunk.resource.value(0);
    for (key, value) in chunk.resources.attributes.row(resource) {
        out += &format!("resource: {key} = {value:?}\n");
    }
    let (name, kind) = (chunk.name.value(0), chunk.kind.value(0));
    let (code, message) = (chunk.status_code.value(0), chunk.status_message.value(0));
    out += &format!("span: {name}, kind {kind}, status {code} {message:?}\n");
    for (key, value) in chunk.attributes.row(0) {
        out += &format!("attribute: {key} = {value:?}\n");
    }
    for event in chunk.events_of(0) {
        let name = chunk.events.name.value(event as usize);
        let after = chunk.events.time_unix_nanos.value(event as usize) - START_UNIX_NANOS;
        out += &format!("event: {name}, {after} ns after the start\n");
    }
    out
}

/// Stands where the lane stands, to see what the receiver hands over.
#[derive(Clone)]
struct FakeLane(mpsc::UnboundedSender<Submission>);

impl Submit for FakeLane {
    async fn submit(&self, submission: Submission) -> Result<Outcome, Refusal> {
        self.0.send(submission).map_err(|_| Refusal::Stopping)?;
        Ok(Outcome { accepted_spans: 1, ..Outcome::default() })
    }
}

fn fake_lane() -> (FakeLane, mpsc::UnboundedReceiver<Submission>) {
    let (sender, submissions) = mpsc::unbounded_channel();
    (FakeLane(sender), submissions)
}

/// The product has no use for two of the same request; this test looks at one after it was sent.
fn copy_of(submission: &Submission) -> Submission {
    Submission {
        tenant: submission.tenant.clone(),
        format: submission.format,
        compression: submission.compression,
        sent: submission.sent.clone(),
        inflated: submission.inflated.clone(),
    }
}

/// Stands where the store stands, with a clock of its own.
struct FakeStore(mpsc::UnboundedSender<Publication>);

impl Surroundings for FakeStore {
    fn publish(&mut self, publication: Publication) {
        // What is published while the lane closes has no reader any more.
        let _ = self.0.send(publication);
    }

    fn cut(&mut self, _: Option<Position>) {}

    fn trace_rows(&self, _: &Tenant, _: TraceId) -> u64 {
        0
    }

    fn now_unix_nanos(&self) -> u64 {
        RECEIVED_UNIX_NANOS
    }

    fn pressure(&self) -> Duration {
        Duration::ZERO
    }
}

fn surroundings() -> (FakeStore, mpsc::UnboundedReceiver<Publication>) {
    let (sender, publications) = mpsc::unbounded_channel();
    (FakeStore(sender), publications)
}

fn replayer(surroundings: FakeStore) -> Replay {
    Replay::new(LaneOptions::default(), surroundings, Metrics::new())
}

fn lane(replayer: Replay, log: Log) -> Lane {
    replayer.start(log).unwrap()
}

async fn close(lane: Lane) {
    spawn_blocking(move || lane.close()).await.unwrap();
}

fn open_log(data_dir: &Path) -> (Log, Recovered) {
    let disk = LocalDisk::create(data_dir.join("log")).unwrap();
    let options = suyuan_wal::Options {
        segment_bytes_max: 1 << 20,
        record_bytes_max: 1 << 20,
        queue_bytes_max: 1 << 20,
        reserve_bytes: 1 << 16,
    };
    suyuan_wal::open(Arc::new(disk), options).unwrap()
}
