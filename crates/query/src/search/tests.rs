//! Searches over small stores: what is found, in what order, and what is shown of it.

mod answers;
mod limits;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use suyuan_model::{AttributeOwner, Publication, SpanHead, TableBuilder, UnixNanosRange};
use suyuan_objects::Objects;
use suyuan_objects::faulty::MemoryObjects;
use suyuan_store::{CompactionStart, LogControl, Options, RetentionPolicy};
use suyuan_wal::{Position, Uuid};

use super::*;

const SERVICES: [&str; 3] = ["", "cart", "mall"];
const LOG: Uuid = Uuid([1; 16]);

/// A span, as far as these tests tell spans apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) trace: u64,
    pub(super) id: u64,
    pub(super) parent: Option<u64>,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) status: i32,
    /// A place in [`SERVICES`].
    pub(super) service: usize,
    pub(super) name: &'static str,
    pub(super) user: Option<i64>,
    /// As text, under the same key.
    pub(super) user_text: Option<&'static str>,
}

/// A span without a parent.
pub(super) fn span(trace: u64, id: u64, start: i64, end: i64) -> Span {
    Span { trace, id, start, end, name: "op", service: 1, ..Span::default() }
}

pub(super) struct TestStore {
    pub(super) store: Store,
    pub(super) objects: MemoryObjects,
    log: Arc<MadeUpLog>,
    /// Of each tenant, since the last flush.
    n_chunks: HashMap<Tenant, u32>,
    _folder: tempfile::TempDir,
}

/// Ends live data where it is told to.
struct MadeUpLog {
    store: Mutex<Option<Store>>,
    /// Where live data began, and where the log ends.
    ends: Mutex<(Position, Position)>,
}

impl LogControl for MadeUpLog {
    fn request_cut(&self) {
        let Some(store) = self.store.lock().expect("not poisoned").clone() else { return };
        let (begin, end) = {
            let mut ends = self.ends.lock().expect("not poisoned");
            let before = *ends;
            ends.0 = ends.1;
            before
        };
        store.cut((begin < end).then_some(end));
    }

    fn truncate(&self, _before: Position) {}

    fn appended_bytes(&self) -> u64 {
        0
    }
}

impl TestStore {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = MemoryObjects::new();
        let seen: Arc<dyn Objects> = Arc::new(objects.clone());
        let mut options = Options::new(folder.path().join("live"), seen, LOG);
        options.keep.retention = RetentionPolicy::keep_all();
        options.keep.compaction.start = CompactionStart::OnRequest;
        let store = Store::open(options).expect("opens");
        let begin = Position { segment: 0, offset: 0 };
        let log = Arc::new(MadeUpLog {
            store: Mutex::new(Some(store.clone())),
            ends: Mutex::new((begin, begin)),
        });
        store.start(log.clone()).expect("starts");
        Self { store, objects, log, n_chunks: HashMap::new(), _folder: folder }
    }

    pub(super) fn publish(&mut self, spans: &[Span]) {
        self.publish_for(&Tenant::single(), spans);
    }

    pub(super) fn publish_for(&mut self, tenant: &Tenant, spans: &[Span]) {
        let mut table = TableBuilder::default();
        table.finish_scope(b"", b"", b"", b"", 0);
        for span in spans {
            push(&mut table, span);
        }
        let chunk = Arc::new(table.freeze());
        let n_chunks = self.n_chunks.entry(tenant.clone()).or_default();
        self.store.publish(Publication {
            tenant: tenant.clone(),
            chunk_number: *n_chunks,
            visible_rows: chunk.n_rows() as u32,
            chunk,
            received_unix_nanos: UnixNanosRange::of(1_000_000_000),
            is_final: true,
        });
        *n_chunks += 1;
        self.log.ends.lock().expect("not poisoned").1.offset += 100;
    }

    pub(super) fn flush(&mut self) {
        self.n_chunks.clear();
        self.store.flush().expect("becomes a block");
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(self.store.snapshot(&Tenant::single()))
    }

    pub(super) fn ask(&self, request: &SearchRequest) -> SearchAnswer {
        let one = search(&self.snapshot(), request, &budget(1)).expect("answers");
        let two = search(&self.snapshot(), request, &budget(2)).expect("answers");
        assert_eq!(one.traces, two.traces, "threads change nothing");
        one
    }

    /// The answer in words: trace, start, end, spans that match, and those shown.
    pub(super) fn find(&self, query: &str) -> Vec<String> {
        self.ask(&request(query)).traces.iter().map(line).collect()
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        self.store.stop();
        *self.log.store.lock().expect("not poisoned") = None;
    }
}

fn push(table: &mut TableBuilder, span: &Span) {
    let service = SERVICES[span.service].as_bytes();
    let message = [span.service as u8];
    let resource = table.find_resource(&message, b"").unwrap_or_else(|| {
        if !service.is_empty() {
            table.push_string(AttributeOwner::Resource, b"service.name", service);
        }
        table.finish_resource(&message, b"", 0, b"")
    });
    if let Some(user) = span.user {
        table.push_int(AttributeOwner::Span, b"user", user);
    }
    if let Some(user) = span.user_text {
        table.push_string(AttributeOwner::Span, b"user", user.as_bytes());
    }
    table.finish_span(&SpanHead {
        trace_id: u128::from(span.trace).to_be_bytes(),
        span_id: span.id,
        parent_span_id: span.parent,
        start_unix_nanos: span.start,
        end_unix_nanos: span.end,
        name: span.name.as_bytes(),
        kind: 2,
        status_code: span.status,
        resource,
        ..SpanHead::default()
    });
}

pub(super) fn request(query: &str) -> SearchRequest {
    let query = suyuan_traceql::parse(query).expect("a query");
    let filter = query.span_filter().expect("a filter").filter.clone();
    SearchRequest {
        filter,
        selected: Vec::new(),
        range: None,
        duration_nanos_min: None,
        duration_nanos_max: None,
        limit: 20,
        spans_per_set: 3,
        explain: Explain::No,
    }
}

pub(super) fn budget(threads: usize) -> Budget {
    Budget {
        deadline: Instant::now() + Duration::from_secs(600),
        memory_bytes: 256 << 20,
        threads: Threads::new(threads),
        cancelled: Arc::new(AtomicBool::new(false)),
    }
}

fn line(trace: &FoundTrace) -> String {
    let id = u128::from_be_bytes(*trace.id.as_bytes());
    let spans: Vec<String> = (trace.spans.iter())
        .map(|span| u64::from_be_bytes(*span.id.as_bytes()).to_string())
        .collect();
    let (start, end) = (trace.start_unix_nanos, trace.end_unix_nanos);
    format!("{id} [{start}, {end}] {}: {}", trace.n_matched, spans.join(" "))
}
