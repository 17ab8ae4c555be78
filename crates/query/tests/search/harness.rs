//! A store for tests, with a log that is made up, filled step by step.
//!
//! In: plain spans, and when live data ends. Out: a store that holds them, and what a search over it
//! answers, as the obvious evaluator says it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use suyuan_block::meta::TimeRange;
use suyuan_ids::TraceId;
use suyuan_model::{Chunk, Publication, Tenant, UnixNanosRange};
use suyuan_objects::faulty::MemoryObjects;
use suyuan_query::parallel::Threads;
use suyuan_query::search::{
    Accounting, AnswerValue, Budget, Explain, FoundSpan, FoundTrace, QueryError, SearchRequest,
    search,
};
use suyuan_store::{
    CompactionPolicy, CompactionStart, KeepPolicy, LogControl, Options, RetentionPolicy, Store,
};
use suyuan_testkit::traceql::search::{RefFound, RefFoundSpan, RefQuestion};
use suyuan_testkit::traceql::shown::RefShown;
use suyuan_testkit::traceql::span::RefSpan;
use suyuan_testkit::traceql::table::chunk;
use suyuan_wal::{Position, Uuid};

/// When the first chunk is received; of any time, as long as the horizon fits behind it.
const RECEIVED_UNIX_NANOS: u64 = 1_767_348_100_000_000_000;
const MEMORY_BYTES: usize = 256 << 20;
const QUERY_SECONDS: u64 = 60;
const LOG: Uuid = Uuid([1; 16]);

/// Where finished chunks of live data lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LiveData {
    InMemory,
    InFiles,
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("not all was read: {0:?}")]
    Incomplete(Accounting),
}

pub(crate) struct TestStore {
    store: Store,
    log: Arc<MadeUpLog>,
    objects: MemoryObjects,
    folder: tempfile::TempDir,
    live_data: LiveData,
    n_chunks: u32,
    n_chunks_other: u32,
    /// What the chunk that grows is going to be.
    growing: Option<Arc<Chunk>>,
    received_unix_nanos: u64,
}

/// Asks a store.
pub(crate) struct Asker(Store);

/// Ends live data where it is told to.
struct MadeUpLog {
    /// Taken out when the store ends: it holds this log.
    store: Mutex<Option<Store>>,
    ends: Mutex<Ends>,
}

struct Ends {
    cut_at: Position,
    log: Position,
}

impl LogControl for MadeUpLog {
    fn request_cut(&self) {
        let store = self.store.lock().expect("not poisoned").clone();
        let Some(store) = store else { return };
        let mut ends = self.ends.lock().expect("not poisoned");
        let log_end = ends.log;
        let cut_at = std::mem::replace(&mut ends.cut_at, log_end);
        drop(ends);
        store.cut((cut_at < log_end).then_some(log_end));
    }

    fn truncate(&self, _before: Position) {}

    fn appended_bytes(&self) -> u64 {
        0
    }
}

impl TestStore {
    pub(crate) fn new(live_data: LiveData) -> Self {
        Self::open(MemoryObjects::new(), live_data)
    }

    fn open(objects: MemoryObjects, live_data: LiveData) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder.path().join("live");
        let mut options = Options::new(directory, Arc::new(objects.clone()), LOG);
        options.keep = KeepPolicy {
            compaction: CompactionPolicy {
                start: CompactionStart::OnRequest,
                ..CompactionPolicy::default()
            },
            retention: RetentionPolicy::keep_all(),
            ..KeepPolicy::default()
        };
        if live_data == LiveData::InFiles {
            options.resident_bytes_max = 0;
        }
        let store = Store::open(options).expect("opens");
        let start = store.sealed_to().unwrap_or(Position { segment: 0, offset: 0 });
        let log = Arc::new(MadeUpLog {
            store: Mutex::new(Some(store.clone())),
            ends: Mutex::new(Ends { cut_at: start, log: start }),
        });
        store.start(log.clone()).expect("starts");
        Self {
            store,
            log,
            objects,
            folder,
            live_data,
            n_chunks: 0,
            n_chunks_other: 0,
            growing: None,
            received_unix_nanos: RECEIVED_UNIX_NANOS,
        }
    }

    /// What comes from now on comes later.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.received_unix_nanos += time.as_nanos() as u64;
    }

    /// A chunk of live data: first it grows, then it is finished.
    pub(crate) fn publish(&mut self, spans: &[RefSpan]) {
        if spans.is_empty() {
            return;
        }
        let chunk = Arc::new(chunk(spans));
        let n_rows = chunk.n_rows() as u32;
        self.publish_chunk(tenant(), self.n_chunks, chunk.clone(), n_rows / 2, false);
        self.publish_chunk(tenant(), self.n_chunks, chunk, n_rows, true);
        self.n_chunks += 1;
    }

    /// A chunk of live data, all at once.
    pub(crate) fn publish_whole(&mut self, spans: &[RefSpan]) {
        let chunk = Arc::new(chunk(spans));
        let n_rows = chunk.n_rows() as u32;
        self.publish_chunk(tenant(), self.n_chunks, chunk, n_rows, true);
        self.n_chunks += 1;
    }

    /// A chunk that is not finished, of which only the first rows may be seen. When live data ends
    /// the other rows turn out not to be in the log.
    pub(crate) fn publish_growing(&mut self, spans: &[RefSpan], unseen: &[RefSpan]) {
        if spans.is_empty() {
            return;
        }
        let grown = Arc::new(chunk(&[spans, unseen].concat()));
        self.publish_chunk(tenant(), self.n_chunks, grown, spans.len() as u32, false);
        self.growing = Some(Arc::new(chunk(spans)));
    }

    fn finish_growing(&mut self) {
        if let Some(chunk) = self.growing.take() {
            let n_rows = chunk.n_rows() as u32;
            self.publish_chunk(tenant(), self.n_chunks, chunk, n_rows, true);
        }
        (self.n_chunks, self.n_chunks_other) = (0, 0);
    }

    /// What another tenant has is nobody's business, but may share a block.
    pub(crate) fn publish_other(&mut self, chunk: Arc<Chunk>) {
        let n_rows = chunk.n_rows() as u32;
        self.publish_chunk(other_tenant(), self.n_chunks_other, chunk, n_rows, true);
        self.n_chunks_other += 1;
    }

    fn publish_chunk(
        &mut self,
        tenant: Tenant,
        chunk_number: u32,
        chunk: Arc<Chunk>,
        visible_rows: u32,
        is_final: bool,
    ) {
        self.store.publish(Publication {
            tenant,
            chunk_number,
            chunk,
            visible_rows,
            received_unix_nanos: UnixNanosRange::of(self.received_unix_nanos),
            is_final,
        });
        self.log.ends.lock().expect("not poisoned").log.offset += 100;
    }

    /// Ends live data; it waits for its block, or has it soon.
    pub(crate) fn end_live(&mut self) {
        self.finish_growing();
        self.log.request_cut();
    }

    /// Makes a block of live data.
    pub(crate) fn flush(&mut self) {
        self.finish_growing();
        self.store.flush().expect("becomes a block");
    }

    /// Erases a trace, as far as it has come. Live data ends here.
    pub(crate) fn erase(&mut self, trace_id: u128) {
        self.finish_growing();
        let trace_id = TraceId::from_bytes(trace_id.to_be_bytes());
        self.store.erase(&tenant(), Some(trace_id)).expect("erased");
    }

    pub(crate) fn compact(&mut self) {
        self.store.compact().expect("compacts");
    }

    /// Ends and opens again. Live data would come from the log, which this one has not.
    pub(crate) fn reopen(mut self) -> Self {
        self.flush();
        let (objects, live_data) = (self.objects.clone(), self.live_data);
        drop(self);
        Self::open(objects, live_data)
    }

    /// Until all finished chunks are in files, or as good as.
    pub(crate) fn wait_for_files(&self) {
        let directory = self.folder.path().join("live");
        let n_files = || std::fs::read_dir(&directory).map_or(0, Iterator::count);
        while n_files() < self.n_chunks as usize {
            std::thread::yield_now();
        }
    }

    /// Who asks while the store is being filled.
    pub(crate) fn asker(&self) -> Asker {
        Asker(self.store.clone())
    }

    pub(crate) fn search(&self, question: &RefQuestion) -> Result<Vec<RefFound>, String> {
        self.asker().search(question)
    }

    pub(crate) fn search_within(
        &self,
        question: &RefQuestion,
        memory_bytes: usize,
    ) -> Result<Vec<RefFound>, SearchError> {
        self.asker().search_within(question, memory_bytes)
    }
}

impl Asker {
    pub(crate) fn search(&self, question: &RefQuestion) -> Result<Vec<RefFound>, String> {
        self.search_within(question, MEMORY_BYTES).map_err(|error| error.to_string())
    }

    /// The answer, all of it, within so much memory.
    pub(crate) fn search_within(
        &self,
        question: &RefQuestion,
        memory_bytes: usize,
    ) -> Result<Vec<RefFound>, SearchError> {
        let request = SearchRequest {
            filter: question.filter.clone(),
            selected: Vec::new(),
            range: question.range_unix_nanos.map(|(min_unix_nanos, max_unix_nanos)| TimeRange {
                min_unix_nanos,
                max_unix_nanos,
            }),
            duration_nanos_min: question.duration_nanos_min,
            duration_nanos_max: question.duration_nanos_max,
            limit: question.limit,
            spans_per_set: question.spans_per_set,
            explain: Explain::No,
        };
        let budget = Budget {
            deadline: Instant::now() + Duration::from_secs(QUERY_SECONDS),
            memory_bytes,
            // Both ways in the same test run.
            threads: Threads::new(1 + question.limit % 2),
            cancelled: Arc::new(AtomicBool::new(false)),
        };
        let snapshot = Arc::new(self.0.snapshot(&tenant()));
        let answer = search(&snapshot, &request, &budget)?;
        if !answer.accounting.skipped.is_empty() || answer.accounting.n_left_in_pieces > 0 {
            return Err(SearchError::Incomplete(answer.accounting));
        }
        Ok(answer.traces.iter().map(found).collect())
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        self.store.stop();
        *self.log.store.lock().expect("not poisoned") = None;
    }
}

fn tenant() -> Tenant {
    Tenant::single()
}

fn other_tenant() -> Tenant {
    Tenant::parse("another").expect("a name")
}

fn found(trace: &FoundTrace) -> RefFound {
    let span = |span: &FoundSpan| RefFoundSpan {
        span_id: u64::from_be_bytes(*span.id.as_bytes()),
        name: span.name.as_deref().map(str::to_owned),
        start_unix_nanos: span.start_unix_nanos,
        duration_nanos: span.duration_nanos,
        attributes: span.attributes.iter().map(|(key, v)| (key.to_string(), shown(v))).collect(),
    };
    let services = trace.services.iter();
    RefFound {
        trace_id: u128::from_be_bytes(*trace.id.as_bytes()),
        root_service: trace.root_service.as_deref().map(str::to_owned),
        root_name: trace.root_name.as_deref().map(str::to_owned),
        start_unix_nanos: trace.start_unix_nanos,
        end_unix_nanos: trace.end_unix_nanos,
        n_matched: trace.n_matched,
        spans: trace.spans.iter().map(span).collect(),
        services: services
            .map(|stats| (stats.service.to_string(), stats.n_spans, stats.n_errors))
            .collect(),
    }
}

fn shown(value: &AnswerValue) -> RefShown {
    match value {
        AnswerValue::String(text) => RefShown::Text(text.to_string()),
        AnswerValue::Bool(value) => RefShown::Bool(*value),
        AnswerValue::Int(value) => RefShown::Int(*value),
        AnswerValue::Double(value) => RefShown::Double(value.to_bits()),
    }
}
