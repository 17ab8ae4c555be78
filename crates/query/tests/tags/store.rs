//! A store of drawn traces, with a log that is made up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use suyuan_ids::TraceId;
use suyuan_model::{Publication, Tenant, UnixNanosRange};
use suyuan_objects::faulty::MemoryObjects;
use suyuan_store::{
    CompactionPolicy, CompactionStart, KeepPolicy, LogControl, Options, RetentionPolicy, Snapshot,
    Store,
};
use suyuan_testkit::traceql::span::RefSpan;
use suyuan_testkit::traceql::{drawing, table};
use suyuan_wal::{Position, Uuid};

pub(crate) struct TestStore {
    store: Store,
    log: Arc<FakeLog>,
    chunk_numbers: Mutex<HashMap<Tenant, u32>>,
    _folder: tempfile::TempDir,
}

/// Ends live data where it is told to.
struct FakeLog {
    store: OnceLock<Store>,
    end: Mutex<Position>,
    cut_at: Mutex<Position>,
}

impl LogControl for FakeLog {
    fn request_cut(&self) {
        let Some(store) = self.store.get() else { return };
        let end = *self.end.lock().expect("not poisoned");
        let cut_at = std::mem::replace(&mut *self.cut_at.lock().expect("not poisoned"), end);
        store.cut((cut_at < end).then_some(end));
    }

    fn truncate(&self, _before: Position) {}

    fn appended_bytes(&self) -> u64 {
        0
    }
}

impl TestStore {
    /// In which nothing happens by itself.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Arc::new(MemoryObjects::new());
        let mut options = Options::new(folder.path().join("live"), objects, Uuid([1; 16]));
        options.keep = KeepPolicy {
            compaction: CompactionPolicy {
                start: CompactionStart::OnRequest,
                ..CompactionPolicy::default()
            },
            retention: RetentionPolicy::keep_all(),
            ..KeepPolicy::default()
        };
        let store = Store::open(options).expect("opens");
        let begin = Position { segment: 0, offset: 0 };
        let log = Arc::new(FakeLog {
            store: OnceLock::new(),
            end: Mutex::new(begin),
            cut_at: Mutex::new(begin),
        });
        log.store.get_or_init(|| store.clone());
        store.start(log.clone()).expect("starts");
        Self { store, log, chunk_numbers: Mutex::default(), _folder: folder }
    }

    /// Adds drawn traces (`suyuan_testkit::traceql::drawing`).
    pub(crate) fn publish(&self, tenant: &Tenant, text: &str) {
        self.publish_spans(tenant, &drawing::parse(text).expect("a drawing").spans);
    }

    pub(crate) fn publish_spans(&self, tenant: &Tenant, spans: &[RefSpan]) {
        let chunk = Arc::new(table::chunk(spans));
        let mut numbers = self.chunk_numbers.lock().expect("not poisoned");
        let number = numbers.entry(tenant.clone()).or_default();
        self.store.publish(Publication {
            tenant: tenant.clone(),
            chunk_number: *number,
            visible_rows: chunk.n_rows() as u32,
            chunk,
            received_unix_nanos: UnixNanosRange::of(1_000_000_000),
            is_final: true,
        });
        *number += 1;
        self.log.end.lock().expect("not poisoned").offset += 100;
    }

    /// Makes a block of what was published.
    pub(crate) fn flush(&self) {
        self.chunk_numbers.lock().expect("not poisoned").clear();
        self.store.flush().expect("becomes a block");
    }

    /// Erases a trace; drawn ones have the id `drawing::trace_id(number)`.
    pub(crate) fn erase(&self, tenant: &Tenant, trace: u128) {
        self.chunk_numbers.lock().expect("not poisoned").clear();
        let id = TraceId::from_bytes(trace.to_be_bytes());
        self.store.erase(tenant, Some(id)).expect("erased");
    }

    pub(crate) fn compact(&self) {
        self.store.compact().expect("compacts");
    }

    pub(crate) fn snapshot(&self, tenant: &Tenant) -> Arc<Snapshot> {
        Arc::new(self.store.snapshot(tenant))
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        self.store.stop();
    }
}
