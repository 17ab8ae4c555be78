//! What columns of live data cost, in memory and in scratch files:
//! `cargo bench -p suyuan-store --bench scan FOLDER`, where the folder holds OTLP
//! requests in protobuf. Shown: what it takes to take the rows in, to list units, to read a column
//! of all of them, to name the traces of rows, and to put traces together.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use suyuan_model::{Columns, Field, Publication, TableBuilder, Tenant, UnixNanosRange};
use suyuan_objects::ReadMeter;
use suyuan_objects::faulty::MemoryObjects;
use suyuan_store::{Options, Snapshot, SplitSet, Store, TraceRef};
use suyuan_wal::Uuid;
use suyuan_wire::otlp::{Verdicts, decode};
use suyuan_wire::record::{Format, Limits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHUNK_ROWS: u32 = 16_384;
const RUNS: usize = 9;
/// Traces that are put together.
const N_ASSEMBLED: usize = 2_000;

fn main() {
    let Some(folder) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        return println!("name a folder with requests");
    };
    for (name, resident_bytes_max) in [("in memory", u64::MAX), ("in scratch files", 0)] {
        let scratch = tempfile::tempdir().expect("a folder");
        let live = scratch.path().join("live");
        let objects = Arc::new(MemoryObjects::new());
        let options =
            Options { resident_bytes_max, ..Options::new(live.clone(), objects, Uuid([1; 16])) };
        let store = Store::open(options).expect("opens");
        let (n_chunks, time) = publish(&store, Path::new(&folder));
        println!(
            "{name}: {} spans in {n_chunks} chunks, published in {:.1} ms",
            store.n_rows(),
            millis(time)
        );
        let n_files = || std::fs::read_dir(&live).expect("a folder").count();
        while resident_bytes_max == 0 && n_files() < n_chunks as usize {
            std::thread::yield_now();
        }
        measure(&Arc::new(store.snapshot(&Tenant::single())));
    }
}

/// Returns how many chunks there are, and the time that the store took for them.
fn publish(store: &Store, folder: &Path) -> (u32, Duration) {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pb"));
    paths.sort();
    let mut table = TableBuilder::default();
    let (mut chunk_number, mut time) = (0, Duration::ZERO);
    let mut publish = |table: &mut TableBuilder| {
        let publication = Publication {
            tenant: Tenant::single(),
            chunk_number,
            visible_rows: table.n_rows(),
            chunk: Arc::new(table.freeze()),
            received_unix_nanos: UnixNanosRange::of(1),
            is_final: true,
        };
        let started_at = Instant::now();
        store.publish(publication);
        time += started_at.elapsed();
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
    (chunk_number, time)
}

fn measure(snapshot: &Arc<Snapshot>) {
    let split = snapshot.split().expect("readable");
    let time = median(|_| drop(snapshot.units(&split, None)));
    println!("  units: {:.3} ms", millis(time));
    let key = |key: &str| {
        let mut columns = Columns::default();
        columns.add_span_key(&Arc::from(key));
        columns
    };
    let field = |field| Columns::default().with(field);
    for (name, columns) in [
        ("status code of HTTP, a number", key("http.response.status_code")),
        ("statement, a text", key("db.statement")),
        ("name", field(Field::Name)),
        ("duration", field(Field::Duration)),
        ("resource", field(Field::Resource)),
        ("a key that nobody has", key("nobody.has.it")),
    ] {
        let mut bytes = 0;
        let time = median(|meter| {
            read_all(snapshot, &split, &columns, meter);
            bytes = meter.bytes();
        });
        println!("  {name}: {:.2} ms, {:.1} MB", millis(time), bytes as f64 / 1e6);
    }
    let mut traces = Vec::new();
    let time = median(|meter| traces = traces_of(snapshot, &split, meter));
    println!("  traces of one row in 100: {:.2} ms", millis(time));
    let mut keys = HashSet::new();
    traces.retain(|trace| keys.insert(trace.key()));
    traces.sort_by_key(|trace| std::cmp::Reverse(trace.start_unix_nanos));
    let step = (traces.len() / N_ASSEMBLED).max(1);
    let traces: Vec<TraceRef> = traces.into_iter().step_by(step).take(N_ASSEMBLED).collect();
    for n_traces in [20, traces.len()] {
        let time = median(|meter| assemble(snapshot, &split, &traces[..n_traces], meter));
        println!("  {n_traces} traces put together: {:.2} ms", millis(time));
    }
}

fn read_all(snapshot: &Arc<Snapshot>, split: &Arc<SplitSet>, columns: &Columns, meter: &ReadMeter) {
    for unit in snapshot.units(split, None).0 {
        let unit = unit.open(meter).expect("opens");
        for piece in unit.pieces() {
            std::hint::black_box(unit.read(&[piece], columns, meter).expect("readable"));
        }
    }
}

fn traces_of(snapshot: &Arc<Snapshot>, split: &Arc<SplitSet>, meter: &ReadMeter) -> Vec<TraceRef> {
    let mut traces = Vec::new();
    for unit in snapshot.units(split, None).0 {
        let rows: Vec<u32> = (0..unit.n_rows()).step_by(100).collect();
        let unit = unit.open(meter).expect("opens");
        traces.extend(unit.traces_of(&rows, meter).expect("readable").into_iter().flatten());
    }
    traces
}

fn assemble(
    snapshot: &Arc<Snapshot>,
    split: &Arc<SplitSet>,
    traces: &[TraceRef],
    meter: &ReadMeter,
) {
    let mut n_spans = 0;
    let columns = Columns::default();
    let skipped = snapshot.assemble(split, traces, &columns, meter, &mut |trace| {
        n_spans += trace.summary().n_spans;
        ControlFlow::Continue(())
    });
    assert!(skipped.expect("readable").is_empty() && n_spans as usize >= traces.len());
}

/// The time that work takes, in the middle of some runs.
fn median(mut work: impl FnMut(&ReadMeter)) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let meter = ReadMeter::default();
            let started_at = Instant::now();
            work(&meter);
            started_at.elapsed()
        })
        .collect();
    times.sort();
    times[RUNS / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
