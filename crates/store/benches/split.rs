//! What traces cost that lie in several blocks and live data:
//! `cargo bench -p suyuan-store --bench split FOLDER`, where the folder holds folders `part-0`,
//! `part-1`, ... of OTLP requests in protobuf. Each part but the last becomes a block. Shown: when
//! the split set is there after each part, what scans of everything take, and that they say of
//! traces what lookups say.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use suyuan_block::traces::merged;
use suyuan_ids::TraceId;
use suyuan_model::{Publication, TableBuilder, Tenant, UnixNanosRange};
use suyuan_objects::faulty::MemoryObjects;
use suyuan_store::{CompactionStart, LogControl, Options, Store};
use suyuan_wal::{Position, Uuid};
use suyuan_wire::otlp::{Verdicts, decode};
use suyuan_wire::record::{Format, Limits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHUNK_ROWS: u32 = 16_384;
/// Of so many traces one is looked up.
const TRACES_PER_LOOKUP: usize = 32;

/// Ends live data when it is told to; positions count chunks.
struct Cuts {
    store: Store,
    n_chunks: Mutex<u64>,
}

impl LogControl for Cuts {
    fn request_cut(&self) {
        let offset = *self.n_chunks.lock().expect("not poisoned");
        self.store.cut(Some(Position { segment: 0, offset }));
    }

    fn truncate(&self, _before: Position) {}

    fn appended_bytes(&self) -> u64 {
        0
    }
}

fn main() {
    let Some(folder) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        return println!("name a folder with parts");
    };
    let parts = (0..).map(|n| Path::new(&folder).join(format!("part-{n}")));
    let parts: Vec<_> = parts.take_while(|part| part.is_dir()).collect();
    let scratch = tempfile::tempdir().expect("a folder");
    let objects = Arc::new(MemoryObjects::new());
    let mut options = Options::new(scratch.path().join("live"), objects, Uuid([1; 16]));
    // Else blocks would become one while they are looked at.
    options.keep.compaction.start = CompactionStart::OnRequest;
    let store = Store::open(options).expect("opens");
    let control = Arc::new(Cuts { store: store.clone(), n_chunks: Mutex::new(0) });
    store.start(control.clone()).expect("starts");
    let tenant = Tenant::single();
    for (number, part) in parts.iter().enumerate() {
        let is_last = number + 1 == parts.len();
        let mut times = Vec::new();
        publish(&store, &control, &tenant, part, || {
            if is_last {
                times.push(timed(|| store.snapshot(&tenant).split().expect("readable")).1);
            }
        });
        times.sort();
        if let Some(middle) = times.get(times.len() / 2) {
            println!("after each of {} chunks: {:.1} ms until known", times.len(), millis(*middle));
        }
        if !is_last {
            store.flush().expect("becomes a block");
        }
        let (split, time) = timed(|| store.snapshot(&tenant).split().expect("readable"));
        println!("part {number}: {} split traces, {:.1} ms until known", split.len(), millis(time));
    }
    let (rows, time) = timed(|| trace_rows(&store, &tenant));
    let n_spans: u64 = rows.values().map(|row| u64::from(row.0)).sum();
    let n_errors: u64 = rows.values().map(|row| u64::from(row.1)).sum();
    println!(
        "{} traces, {n_spans} spans, {n_errors} errors: trace rows in {:.1} ms",
        rows.len(),
        millis(time)
    );
    let (n_spans, time) = timed(|| n_spans_of(&store, &tenant));
    println!("{n_spans} spans, each once: in {:.1} ms", millis(time));
    let wrong = check(&store, &tenant, &rows);
    println!("{wrong} of {} traces are not as looked up", rows.len() / TRACES_PER_LOOKUP);
    let split = store.snapshot(&tenant).split().expect("readable");
    let wrong = split.iter().filter(|trace| !is_as_looked_up(&store, &tenant, trace.id(), &rows));
    println!("{} of {} split traces are not as looked up", wrong.count(), split.len());
    let mut registry = prometheus_client::registry::Registry::default();
    store.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
    for line in text.lines().filter(|line| line.starts_with("suyuan_store_split")) {
        println!("{line}");
    }
}

/// `then`: called when a chunk is there.
fn publish(store: &Store, control: &Cuts, tenant: &Tenant, folder: &Path, mut then: impl FnMut()) {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pb"));
    paths.sort();
    let mut table = TableBuilder::default();
    let mut chunk_number = 0;
    let mut publish = |table: &mut TableBuilder| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        *control.n_chunks.lock().expect("not poisoned") += 1;
        store.publish(Publication {
            tenant: tenant.clone(),
            chunk_number,
            visible_rows: table.n_rows(),
            chunk: Arc::new(table.freeze()),
            received_unix_nanos: UnixNanosRange::of(now.as_nanos() as u64),
            is_final: true,
        });
        chunk_number += 1;
        table.clear();
        then();
    };
    for path in paths {
        let body = std::fs::read(path).expect("the file can be read");
        let limits = Limits::default();
        decode(Format::OtlpProtobuf, &body, &limits, Verdicts::Judge, &mut table).expect("OTLP");
        if table.n_rows() >= CHUNK_ROWS {
            publish(&mut table);
        }
    }
    publish(&mut table);
}

type Row = (u32, u32, i64, i64);

fn trace_rows(store: &Store, tenant: &Tenant) -> HashMap<TraceId, Row> {
    let mut rows = HashMap::new();
    let report = store.snapshot(tenant).trace_rows(None, |id, row| {
        let row = (row.n_spans, row.n_errors, row.start_unix_nanos, row.end_unix_nanos);
        assert!(rows.insert(id, row).is_none(), "{id} has two rows");
        ControlFlow::Continue(())
    });
    println!("{:?}", report.expect("readable"));
    rows
}

fn n_spans_of(store: &Store, tenant: &Tenant) -> usize {
    let mut n_spans = 0;
    let report = store.snapshot(tenant).spans(None, |pieces| {
        n_spans += pieces.iter().map(|piece| piece.rows.len()).sum::<usize>();
        ControlFlow::Continue(())
    });
    println!("{:?}", report.expect("readable"));
    n_spans
}

fn check(store: &Store, tenant: &Tenant, rows: &HashMap<TraceId, Row>) -> usize {
    let asked = rows.keys().step_by(TRACES_PER_LOOKUP);
    asked.filter(|id| !is_as_looked_up(store, tenant, **id, rows)).count()
}

fn is_as_looked_up(
    store: &Store,
    tenant: &Tenant,
    id: TraceId,
    rows: &HashMap<TraceId, Row>,
) -> bool {
    let found = store.find_trace(tenant, id).expect("readable").rows;
    let whole = merged(&found)
        .map(|row| (row.n_spans, row.n_errors, row.start_unix_nanos, row.end_unix_nanos));
    whole.as_ref() == rows.get(&id)
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started_at = Instant::now();
    let result = work();
    (result, started_at.elapsed())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
