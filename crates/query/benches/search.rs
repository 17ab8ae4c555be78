//! What searches cost over live data and over one block of it:
//! `cargo bench -p suyuan-query --bench search FOLDER [blocks] [NAME…]`, where the folder holds OTLP requests
//! in protobuf, of the shop for the questions to find something. With `PARTS=8` seven parts of them
//! become blocks before the eighth comes. Shown for each question: the
//! least and the median with one thread, the same with two, what was found, and what was read.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use suyuan_model::{Publication, TableBuilder, Tenant, UnixNanosRange};
use suyuan_objects::LocalObjects;
use suyuan_query::parallel::Threads;
use suyuan_query::search::{Budget, Explain, SearchAnswer, SearchRequest, search};
use suyuan_store::{LogControl, Options, Store};
use suyuan_wal::{LocalDisk, Position, Uuid};
use suyuan_wire::otlp::{Verdicts, decode};
use suyuan_wire::record::{Format, Limits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHUNK_ROWS: u32 = 16_384;
/// Unless `RUNS` says how many.
const RUNS: usize = 15;

/// Name, query, traces wanted.
const QUESTIONS: &[(&str, &str, usize)] = &[
    (
        "svc_and_500",
        "{ resource.service.name = `payment` && span.http.response.status_code = 500 }",
        20,
    ),
    ("all_500_l10000", "{ span.http.response.status_code = 500 }", 10_000),
    ("needle_int", "{ span.app.user.id = USER }", 20),
    ("needle_absent", "{ span.app.user.id = 9123456789 }", 20),
    ("regex_name_dur", "{ name =~ `GET /api/v1/items.*` && duration > 50ms }", 20),
    ("regex_statement", "{ span.db.statement =~ `.*FROM orders WHERE id = 1234[0-9]* .*` }", 20),
    ("no_match", "{ span.no.such.attribute = `x` }", 20),
    ("everything", "{ }", 20),
    ("everything_l10000", "{ }", 10_000),
    ("root_name", "{ rootName =~ `GET .*` && status = error }", 20),
    ("roots", "{ nestedSetParent < 0 && duration > 500ms }", 20),
    ("count_client", "{ kind = client }", 10_000),
];

/// Ends live data where it is told to.
struct MadeUpLog {
    store: Mutex<Option<Store>>,
    n_cuts: AtomicU64,
}

impl LogControl for MadeUpLog {
    fn request_cut(&self) {
        let store = self.store.lock().expect("not poisoned").clone();
        if let Some(store) = store {
            let offset = self.n_cuts.fetch_add(1, Relaxed) + 1;
            store.cut(Some(Position { segment: 0, offset }));
        }
    }

    fn truncate(&self, _before: Position) {}

    fn appended_bytes(&self) -> u64 {
        0
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let Some(folder) = arguments.next() else { return println!("name a folder with requests") };
    // `blocks`: live data is not asked.
    let names: Vec<String> = arguments.collect();
    let scratch = tempfile::tempdir().expect("a folder");
    let disk = LocalDisk::create(scratch.path().join("objects")).expect("a folder");
    let objects = LocalObjects::open(Arc::new(disk)).expect("a folder");
    let options = Options::new(scratch.path().join("live"), Arc::new(objects), Uuid([1; 16]));
    let store = Store::open(options).expect("opens");
    let log =
        Arc::new(MadeUpLog { store: Mutex::new(Some(store.clone())), n_cuts: AtomicU64::new(0) });
    store.start(log.clone()).expect("starts");
    let paths = paths(Path::new(&folder));
    let n_parts: usize = std::env::var("PARTS").map_or(1, |parts| parts.parse().expect("a number"));
    for (number, part) in paths.chunks(paths.len().div_ceil(n_parts)).enumerate() {
        if number > 0 {
            store.flush().expect("a block");
        }
        publish(&store, part);
    }
    println!("live: {} spans of {n_parts} parts", store.n_rows());
    if !names.iter().any(|name| name == "blocks") {
        measure(&store, &names);
    }
    store.flush().expect("a block");
    let totals = store.totals();
    println!("{} blocks, {:.1} MB", totals.blocks, totals.bytes as f64 / 1e6);
    measure(&store, &names);
    store.stop();
    *log.store.lock().expect("not poisoned") = None;
}

/// Requests of a folder, and of the folders in it.
fn paths(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let is_request = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "pb");
    let of_entry = |path: PathBuf| if path.is_dir() { paths(&path) } else { vec![path] };
    entries.into_iter().flat_map(of_entry).filter(is_request).collect()
}

fn publish(store: &Store, paths: &[PathBuf]) {
    let mut table = TableBuilder::default();
    let mut chunk_number = 0;
    let mut publish = |table: &mut TableBuilder| {
        store.publish(Publication {
            tenant: Tenant::single(),
            chunk_number,
            visible_rows: table.n_rows(),
            chunk: Arc::new(table.freeze()),
            received_unix_nanos: UnixNanosRange::of(now_unix_nanos()),
            is_final: true,
        });
        chunk_number += 1;
        table.clear();
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

fn now_unix_nanos() -> u64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_epoch.map_or(0, |since| since.as_nanos() as u64)
}

fn measure(store: &Store, names: &[String]) {
    let user = std::env::var("NEEDLE_USER").unwrap_or_else(|_| "48526".to_owned());
    for (name, query, limit) in QUESTIONS {
        let mut wanted = names.iter().filter(|wanted| *wanted != "blocks").peekable();
        if wanted.peek().is_some() && !wanted.any(|wanted| wanted == name) {
            continue;
        }
        let query = suyuan_traceql::parse(&query.replace("USER", &user)).expect("a query");
        let request = SearchRequest {
            filter: query.span_filter().expect("a filter").filter.clone(),
            selected: Vec::new(),
            range: None,
            duration_nanos_min: None,
            duration_nanos_max: None,
            limit: *limit,
            spans_per_set: 3,
            explain: Explain::No,
        };
        let (one, answer) = times(store, &request, 1);
        let (two, _) = times(store, &request, 2);
        let done = &answer.accounting;
        println!(
            "  {name:18} {:8.2} {:8.2} ms  {:8.2} {:8.2} ms  {} traces, {} spans; {} units read, {} pruned, {} not needed; {:.2} MB in {} requests",
            one.0,
            one.1,
            two.0,
            two.1,
            answer.traces.len(),
            answer.traces.iter().map(|trace| trace.n_matched).sum::<u64>(),
            done.units_read,
            done.units_pruned,
            done.units_not_needed,
            done.bytes_read as f64 / 1e6,
            done.requests,
        );
    }
}

fn times(store: &Store, request: &SearchRequest, threads: usize) -> ((f64, f64), SearchAnswer) {
    let n_runs = std::env::var("RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let mut times = Vec::with_capacity(n_runs);
    let mut last = SearchAnswer::default();
    for _ in 0..=n_runs {
        let budget = Budget {
            deadline: Instant::now() + Duration::from_secs(60),
            memory_bytes: 256 << 20,
            threads: Threads::new(threads),
            cancelled: Arc::new(AtomicBool::new(false)),
        };
        let started_at = Instant::now();
        let snapshot = Arc::new(store.snapshot(&Tenant::single()));
        last = search(&snapshot, request, &budget).expect("answers");
        times.push(started_at.elapsed().as_secs_f64() * 1e3);
    }
    // The first finds caches cold.
    times.remove(0);
    times.sort_by(f64::total_cmp);
    ((times[0], times[n_runs / 2]), last)
}
