//! A store with a log that is made up, driven step by step.
//!
//! In: spans in plain words. Out: a store that holds them, and what it should answer: of spans with
//! equal (trace, span id, kind, start) the one that ends last.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use suyuan_ids::TraceId;
use suyuan_model::{
    AttributeOwner, Chunk, EventHead, LinkHead, Publication, SpanHead, TableBuilder, Tenant,
    UnixNanosRange,
};
use suyuan_objects::faulty::MemoryObjects;
use suyuan_objects::{Created, ObjectError, ObjectInfo, ObjectWriter, Objects};
use suyuan_wal::{Position, Uuid};

use crate::{
    CompactionPolicy, CompactionStart, Inner, KeepPolicy, LogControl, Options, RetentionPolicy,
    Store,
};

/// A span, as far as tests tell spans apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestSpan {
    pub(crate) trace: u32,
    pub(crate) id: u64,
    pub(crate) parent: Option<u64>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) kind: i32,
    pub(crate) attributes: Vec<(String, i64)>,
    pub(crate) n_events: u32,
    pub(crate) n_links: u32,
    pub(crate) service: u32,
}

/// A span's key: trace, span id, kind, start.
type Key = (u32, u64, i32, i64);

/// What the store should hold of each tenant: by key the greatest end and all that was said.
#[derive(Default)]
pub(crate) struct Expected(BTreeMap<Tenant, BTreeMap<Key, (i64, String)>>);

pub(crate) struct Driver {
    pub(crate) store: Store,
    pub(crate) objects: MemoryObjects,
    pub(crate) expected: Expected,
    log: Arc<FakeLog>,
    chunk_numbers: HashMap<Tenant, u32>,
    received_unix_nanos: u64,
    _folder: tempfile::TempDir,
    log_id: Uuid,
    gate: Option<Arc<Gate>>,
}

/// An object store that may refuse the files of blocks.
struct Gate {
    objects: MemoryObjects,
    is_shut: AtomicBool,
}

impl Gate {
    fn check(&self, path: &str) -> Result<(), ObjectError> {
        if !self.is_shut.load(Relaxed) || !path.starts_with("blocks/") {
            return Ok(());
        }
        Err(ObjectError::Failed { action: "write", path: path.to_owned(), source: "shut".into() })
    }
}

impl Objects for Gate {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), ObjectError> {
        self.check(path)?;
        self.objects.put(path, bytes)
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, ObjectError> {
        self.objects.create(path, bytes)
    }

    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>, ObjectError> {
        self.check(path)?;
        self.objects.writer(path)
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, ObjectError> {
        self.objects.get(path)
    }

    fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ObjectError> {
        self.objects.get_ranges(path, ranges)
    }

    fn head(&self, path: &str) -> Result<Option<ObjectInfo>, ObjectError> {
        self.objects.head(path)
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, ObjectError> {
        self.objects.list(folder)
    }

    fn delete(&self, path: &str) -> Result<(), ObjectError> {
        self.objects.delete(path)
    }

    fn delete_folder(&self, folder: &str) -> Result<(), ObjectError> {
        self.objects.delete_folder(folder)
    }

    fn now_unix_nanos(&self) -> Result<u64, ObjectError> {
        self.objects.now_unix_nanos()
    }
}

/// Ends live data where it is told to.
struct FakeLog {
    store: Weak<Inner>,
    end: Mutex<Position>,
    cut_at: Mutex<Position>,
}

impl LogControl for FakeLog {
    fn request_cut(&self) {
        let Some(inner) = self.store.upgrade() else { return };
        let end = *self.end.lock().expect("not poisoned");
        let cut_at = std::mem::replace(&mut *self.cut_at.lock().expect("not poisoned"), end);
        Store(inner).cut((cut_at < end).then_some(end));
    }

    fn truncate(&self, _before: Position) {}

    fn appended_bytes(&self) -> u64 {
        0
    }
}

pub(crate) fn tenant(name: &str) -> Tenant {
    Tenant::parse(name).expect("a name")
}

pub(crate) fn trace_id(trace: u32) -> TraceId {
    // As random ids are: neighbours are not.
    let high = u64::from(trace).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let low = u64::from(trace) + 1;
    TraceId::from_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
}

/// Nothing happens by itself, nothing expires.
pub(crate) fn keep_nothing_but_order() -> KeepPolicy {
    KeepPolicy {
        compaction: CompactionPolicy {
            start: CompactionStart::OnRequest,
            ..CompactionPolicy::default()
        },
        retention: RetentionPolicy::keep_all(),
        ..KeepPolicy::default()
    }
}

impl Driver {
    pub(crate) fn new() -> Self {
        Self::on(MemoryObjects::new(), 1, keep_nothing_but_order())
    }

    pub(crate) fn on(objects: MemoryObjects, log: u8, keep: KeepPolicy) -> Self {
        let gate = Arc::new(Gate { objects: objects.clone(), is_shut: AtomicBool::new(false) });
        let mut driver = Self::over(objects, gate.clone(), log, keep);
        driver.gate = Some(gate);
        driver
    }

    /// From now on the object store takes no blocks, but entries of the catalog.
    pub(crate) fn pause_seals(&self) {
        let gate = self.gate.as_ref().expect("a store with a gate");
        gate.is_shut.store(true, Relaxed);
    }

    /// `shown`: the store that is looked at; the other one is what the program sees of it.
    pub(crate) fn over(
        shown: MemoryObjects,
        seen: Arc<dyn Objects>,
        log: u8,
        keep: KeepPolicy,
    ) -> Self {
        Self::with_options(shown, seen, log, |options| options.keep = keep)
    }

    pub(crate) fn with_options(
        shown: MemoryObjects,
        seen: Arc<dyn Objects>,
        log: u8,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log_id = Uuid([log; 16]);
        let mut options = Options::new(folder.path().join("live"), seen, log_id);
        change(&mut options);
        let store = Store::open(options).expect("opens");
        let start = store.sealed_to().unwrap_or(Position { segment: 0, offset: 0 });
        let log = Arc::new(FakeLog {
            store: Arc::downgrade(&store.0),
            end: Mutex::new(start),
            cut_at: Mutex::new(start),
        });
        store.start(log.clone()).expect("starts");
        Self {
            store,
            objects: shown,
            expected: Expected::default(),
            log,
            chunk_numbers: HashMap::new(),
            received_unix_nanos: 1_000_000_000,
            _folder: folder,
            log_id,
            gate: None,
        }
    }

    /// When what is published from now on was received.
    pub(crate) fn set_received(&mut self, unix_nanos: u64) {
        self.received_unix_nanos = unix_nanos;
    }

    pub(crate) fn publish(&mut self, tenant: &Tenant, spans: &[TestSpan]) {
        let chunk = Arc::new(chunk(spans));
        self.expected.add(tenant, spans, &chunk);
        self.publish_chunk(tenant, chunk);
    }

    /// As a replay does: what was sent before.
    pub(crate) fn publish_again(&mut self, tenant: &Tenant, spans: &[TestSpan]) {
        self.publish_chunk(tenant, Arc::new(chunk(spans)));
    }

    /// Where the next record of the log would stand.
    pub(crate) fn log_end(&self) -> Position {
        *self.log.end.lock().expect("not poisoned")
    }

    /// Publishes a chunk that grows: only its first spans are seen. [`Self::publish_rest`] comes
    /// next.
    pub(crate) fn publish_first(&mut self, tenant: &Tenant, spans: &[TestSpan], n_seen: u32) {
        let chunk = Arc::new(chunk(spans));
        self.expected.add(tenant, &spans[..n_seen as usize], &chunk);
        let number = self.chunk_numbers.get(tenant).copied().unwrap_or_default();
        self.store.publish(Publication {
            tenant: tenant.clone(),
            chunk_number: number,
            visible_rows: n_seen,
            chunk,
            received_unix_nanos: UnixNanosRange::of(self.received_unix_nanos),
            is_final: false,
        });
    }

    /// The same chunk, of which all is seen now.
    pub(crate) fn publish_rest(&mut self, tenant: &Tenant, spans: &[TestSpan]) {
        self.publish(tenant, spans);
    }

    /// Returns when all live chunks of a tenant lie in scratch files: the store has no memory for
    /// them.
    pub(crate) fn wait_until_spilled(&self, tenant: &Tenant) {
        let is_spilled = |window: crate::live::TenantWindow| {
            let window = window.read().expect("not poisoned");
            let mut chunks = (0..window.n_chunks()).map(|number| window.chunk(number));
            chunks.all(|place| matches!(place, crate::window::ChunkPlace::Spilled(_)))
        };
        let view = self.store.0.view();
        while !view.live.iter().filter_map(|live| live.window(tenant)).all(is_spilled) {
            std::thread::yield_now();
        }
    }

    fn publish_chunk(&mut self, tenant: &Tenant, chunk: Arc<Chunk>) {
        let number = self.chunk_numbers.entry(tenant.clone()).or_default();
        let publication = Publication {
            tenant: tenant.clone(),
            chunk_number: *number,
            visible_rows: chunk.n_rows() as u32,
            chunk,
            received_unix_nanos: UnixNanosRange::of(self.received_unix_nanos),
            is_final: true,
        };
        *number += 1;
        self.store.publish(publication);
        self.log.end.lock().expect("not poisoned").offset += 100;
    }

    /// Makes a block of what was published.
    pub(crate) fn flush(&mut self) {
        self.chunk_numbers.clear();
        self.store.flush().expect("becomes a block");
    }

    /// Ends live data without a block.
    pub(crate) fn end_live(&mut self) {
        self.chunk_numbers.clear();
        self.log.request_cut();
    }

    pub(crate) fn erase(&mut self, tenant: &Tenant, trace: Option<u32>) -> crate::EraseReport {
        self.chunk_numbers.clear();
        self.expected.erase(tenant, trace);
        self.store.erase(tenant, trace.map(trace_id)).expect("erased")
    }

    pub(crate) fn n_blocks(&self) -> usize {
        self.store.0.view().blocks.len()
    }

    /// All that the blocks hold, erased rows included.
    pub(crate) fn block_rows(&self) -> u64 {
        let view = self.store.0.view();
        view.blocks.values().filter_map(|block| block.meta()).map(|meta| meta.n_spans()).sum()
    }

    /// Ends the store and opens it again; live data is lost, as if the log were empty.
    pub(crate) fn reopen(self, keep: KeepPolicy) -> Self {
        let Self { store, objects, expected, log_id, .. } = self;
        store.stop();
        drop(store);
        let mut reopened = Self::on(objects, log_id.0[0], keep);
        reopened.expected = expected;
        reopened
    }

    /// Every trace is found as it should be, and no other.
    pub(crate) fn check_lookups(&self) {
        self.expected.check(&self.store);
    }

    /// Besides, the blocks hold nothing twice and nothing more.
    pub(crate) fn check_exactly(&self) {
        self.check_lookups();
        assert_eq!(self.block_rows(), self.expected.n_spans(), "spans in blocks");
    }
}

impl Expected {
    pub(crate) fn add(&mut self, tenant: &Tenant, spans: &[TestSpan], chunk: &Chunk) {
        let of_tenant = self.0.entry(tenant.clone()).or_default();
        for (row, span) in (0..).zip(spans) {
            let key = (span.trace, span.id, span.kind, span.start);
            let said = (span.end, text_of_row(chunk, row));
            let best = of_tenant.entry(key).or_insert_with(|| said.clone());
            if *best < said {
                *best = said;
            }
        }
    }

    /// Takes over what another store of the same bucket holds.
    pub(crate) fn add_all(&mut self, other: &Self) {
        for (tenant, spans) in &other.0 {
            let of_tenant = self.0.entry(tenant.clone()).or_default();
            for (key, said) in spans {
                let best = of_tenant.entry(*key).or_insert_with(|| said.clone());
                if *best < *said {
                    best.clone_from(said);
                }
            }
        }
    }

    pub(crate) fn erase(&mut self, tenant: &Tenant, trace: Option<u32>) {
        if let Some(of_tenant) = self.0.get_mut(tenant) {
            of_tenant.retain(|key, _| trace.is_some_and(|trace| key.0 != trace));
        }
    }

    /// The traces of a tenant.
    pub(crate) fn traces(&self, tenant: &Tenant) -> BTreeSet<u32> {
        self.0.get(tenant).into_iter().flat_map(|spans| spans.keys().map(|key| key.0)).collect()
    }

    /// All that the spans of a tenant say, sorted.
    pub(crate) fn texts(&self, tenant: &Tenant) -> Vec<String> {
        let spans = self.0.get(tenant).into_iter().flatten();
        let mut texts: Vec<String> =
            spans.map(|(key, (_, text))| format!("{} {text}", trace_id(key.0))).collect();
        texts.sort();
        texts
    }

    pub(crate) fn n_spans(&self) -> u64 {
        self.0.values().map(|spans| spans.len() as u64).sum()
    }

    pub(crate) fn check(&self, store: &Store) {
        let traces: BTreeSet<u32> =
            self.0.values().flat_map(|spans| spans.keys().map(|key| key.0)).collect();
        for (tenant, spans) in &self.0 {
            for trace in &traces {
                let wanted: Vec<&String> = spans
                    .range((*trace, 0, i32::MIN, i64::MIN)..=(*trace, u64::MAX, i32::MAX, i64::MAX))
                    .map(|(_, (_, text))| text)
                    .collect();
                let wanted: BTreeSet<&String> = wanted.into_iter().collect();
                let found = found(store, tenant, *trace);
                let found: BTreeSet<&String> = found.iter().collect();
                assert_eq!(found, wanted, "trace {trace} of {}", tenant.as_str());
            }
        }
    }
}

/// The spans of a trace, of each key the one that ends last.
fn found(store: &Store, tenant: &Tenant, trace: u32) -> Vec<String> {
    let found = store.find_trace(tenant, trace_id(trace)).expect("readable");
    assert_eq!(found.skipped, []);
    let mut spans: BTreeMap<(u64, i32, i64), (i64, String)> = BTreeMap::new();
    for piece in &found.rows.pieces {
        for row in &piece.rows {
            let chunk = &piece.chunk;
            let at = *row as usize;
            let key =
                (chunk.span_id.value(at), chunk.kind.value(at), chunk.start_unix_nanos.value(at));
            let said = (chunk.end_unix_nanos.value(at), text_of_row(chunk, *row));
            let best = spans.entry(key).or_insert_with(|| said.clone());
            if *best < said {
                *best = said;
            }
        }
    }
    spans.into_values().map(|(_, text)| text).collect()
}

/// All that a span says.
pub(crate) fn text_of_row(chunk: &Chunk, row: u32) -> String {
    let at = row as usize;
    let (resource, scope) = (chunk.resource.value(at), chunk.scope.value(at));
    let mut text = format!(
        "{} {:?} {}..{} {} kind {} status {} {:?}",
        chunk.span_id(row),
        chunk.parent_span_id(row),
        chunk.start_unix_nanos.value(at),
        chunk.end_unix_nanos.value(at),
        chunk.name.value(at),
        chunk.kind.value(at),
        chunk.status_code.value(at),
        chunk.attributes.row(row).collect::<Vec<_>>(),
    );
    for event in chunk.events_of(row) {
        let attributes: Vec<_> = chunk.events.attributes.row(event).collect();
        let name = chunk.events.name.value(event as usize);
        text += &format!(" event {name} {attributes:?}");
    }
    for link in chunk.links_of(row) {
        let attributes: Vec<_> = chunk.links.attributes.row(link).collect();
        let id = chunk.links.span_id.value(link as usize);
        text += &format!(" link {id:?} {attributes:?}");
    }
    let resource: Vec<_> = chunk.resources.attributes.row(resource).collect();
    text + &format!(" resource {resource:?} scope {}", chunk.scopes.name.value(scope as usize))
}

pub(crate) fn chunk(spans: &[TestSpan]) -> Chunk {
    let mut table = TableBuilder::default();
    table.push_bool(AttributeOwner::Scope, b"debug", true);
    let scope = table.finish_scope(b"raw", b"", b"lib", b"1.2", 0);
    for span in spans {
        let service = format!("service-{}", span.service);
        let resource = match table.find_resource(service.as_bytes(), b"") {
            Some(resource) => resource,
            None => {
                table.push_string(AttributeOwner::Resource, b"service.name", service.as_bytes());
                table.finish_resource(service.as_bytes(), b"", 0, b"")
            }
        };
        for (key, value) in &span.attributes {
            push_value(&mut table, key.as_bytes(), *value);
        }
        for event in 0..span.n_events {
            table.push_int(AttributeOwner::Event, b"n", event.into());
            table.finish_event(EventHead {
                time_unix_nanos: event.into(),
                name: b"e",
                ..EventHead::default()
            });
        }
        for link in 0..span.n_links {
            table.push_string(AttributeOwner::Link, b"why", b"follows");
            table.finish_link(LinkHead {
                span_id: &u64::from(link).to_be_bytes(),
                ..LinkHead::default()
            });
        }
        table.finish_span(&SpanHead {
            trace_id: *trace_id(span.trace).as_bytes(),
            span_id: span.id,
            parent_span_id: span.parent,
            start_unix_nanos: span.start,
            end_unix_nanos: span.end,
            name: b"work",
            kind: span.kind,
            status_code: span.kind % 3,
            resource,
            scope,
            ..SpanHead::default()
        });
    }
    table.freeze()
}

/// An attribute of a type that its value decides.
fn push_value(table: &mut TableBuilder, key: &[u8], value: i64) {
    let owner = AttributeOwner::Span;
    match value % 7 {
        0 => table.push_int(owner, key, value),
        1 => table.push_string(owner, key, value.to_string().as_bytes()),
        2 => table.push_double(owner, key, value as f64),
        3 => table.push_bool(owner, key, value % 2 == 0),
        4 => table.push_bytes(owner, key, &value.to_le_bytes()),
        // A list of one number.
        5 => table.push_array(owner, key, &[0x0a, 0x02, 0x18, (value % 100) as u8]),
        _ => table.push_empty(owner, key),
    }
}

/// Numbers that a seed decides.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end.max(1)
    }
}
