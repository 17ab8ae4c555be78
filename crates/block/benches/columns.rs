//! What it costs to read columns of a million spans out of a block:
//! `cargo bench -p suyuan-block --bench columns FOLDER`, where the folder holds OTLP requests in
//! protobuf (`suyuan generate` writes some). A second argument names one of the questions, which is
//! then asked a hundred times as often, for a profiler.
//!
//! Milliseconds of CPU, one thread, the files warm on a local disk, the best of some rounds: whole
//! slices, and the same in pages as a search with a limit reads them. Then what it costs to learn
//! that a value is in no slice, or in few.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
use suyuan_block::file::read::ReadCache;
use suyuan_block::layout::{KeyCounts, Layout};
use suyuan_block::reader::{BlockReader, Probe};
use suyuan_block::writer::{
    BlockWriter, Chunks, ChunksError, Origin, RowRef, SliceTrace, WriterOptions,
};
use suyuan_block::{BlockId, BlockMeta};
use suyuan_model::{
    Batch, Chunk, Columns, Field, TableBuilder, Tenant, UnixNanosRange, ValueRef, ValueType,
};
use suyuan_objects::{LocalObjects, Objects, ReadMeter};
use suyuan_wal::LocalDisk;
use suyuan_wire::otlp::{Verdicts, decode};
use suyuan_wire::record::{Format, Limits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHUNK_ROWS: u32 = 16_384;
const SLICE_ROWS: usize = 49_152;
const ROUNDS: usize = 9;
const CACHE_BYTES: usize = 64 << 20;

struct Source(Vec<Arc<Chunk>>);

impl Chunks for Source {
    fn chunk(&mut self, number: u32) -> Result<Arc<Chunk>, ChunksError> {
        Ok(self.0[number as usize].clone())
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let (Some(folder), only) = (arguments.next(), arguments.next()) else {
        return println!("name a folder with OTLP requests");
    };
    let place = std::env::temp_dir().join(format!("suyuan-bench-columns-{}", std::process::id()));
    let disk = LocalDisk::create(&place).expect("a folder for temporary files");
    let objects: Arc<dyn Objects> =
        Arc::new(LocalObjects::open(Arc::new(disk)).expect("an empty folder"));
    let meta = write(&folder, objects.clone());
    let reader = BlockReader::new(objects, meta, Arc::new(ReadCache::new(CACHE_BYTES)));
    println!(
        "{} spans, {} slices, {:.1} bytes per span",
        reader.meta().n_spans(),
        reader.meta().slices.len(),
        reader.meta().bytes() as f64 / reader.meta().n_spans() as f64
    );
    if let Some(only) = only {
        let mut questions = questions().into_iter().filter(|(name, _)| *name == only);
        let (_, columns) = questions.next().expect("one of the questions");
        (0..100 * ROUNDS).for_each(|_| scan(&reader, &columns, false));
        return std::fs::remove_dir_all(&place).expect("our own folder");
    }
    println!("{:<36} {:>10} {:>10} {:>10}", "", "slices, ms", "pages, ms", "MB");
    for (name, columns) in questions() {
        let whole = time(|| scan(&reader, &columns, false));
        let pages = time(|| scan(&reader, &columns, true));
        let meter = ReadMeter::default();
        scan_with(&reader, &columns, false, &meter);
        println!("{name:<36} {whole:>10.2} {pages:>10.2} {:>10.2}", meter.bytes() as f64 / 1e6);
    }
    probe(&reader);
    let traces = || {
        let meter = ReadMeter::default();
        (0..reader.meta().slices.len() as u32).for_each(|slice| {
            reader.slice_traces(0, slice, &meter).expect("a whole block");
        });
    };
    println!("{:<36} {:>10.2}", "traces, first time", time_of(traces));
    println!("{:<36} {:>10.3}", "traces, kept", time(traces));
    std::fs::remove_dir_all(&place).expect("our own folder");
}

fn questions() -> Vec<(String, Columns)> {
    let fields = [
        ("trace id", Field::TraceId),
        ("start", Field::Start),
        ("duration", Field::Duration),
        ("name", Field::Name),
        ("kind", Field::Kind),
        ("status", Field::StatusCode),
        ("resource", Field::Resource),
    ];
    let mut questions: Vec<(String, Columns)> = fields
        .into_iter()
        .map(|(name, field)| (name.to_owned(), Columns::default().with(field)))
        .collect();
    for key in [
        "http.response.status_code",
        "app.user.id",
        "db.statement",
        "url.path",
        "http.route",
        "client.address",
    ] {
        let mut columns = Columns::default();
        columns.add_span_key(&Arc::from(key));
        questions.push((key.to_owned(), columns));
    }
    questions
}

fn scan(reader: &BlockReader, columns: &Columns, is_by_pages: bool) {
    scan_with(reader, columns, is_by_pages, &ReadMeter::default());
}

fn scan_with(reader: &BlockReader, columns: &Columns, is_by_pages: bool, meter: &ReadMeter) {
    for slice in 0..reader.meta().slices.len() as u32 {
        let read = |rows: Range<u32>| -> Batch {
            let rows = std::slice::from_ref(&rows);
            reader.columns(0, slice, rows, columns, meter).expect("a whole block")
        };
        match is_by_pages {
            true => reader
                .pieces(0, slice)
                .expect("a slice")
                .into_iter()
                .for_each(|rows| drop(std::hint::black_box(read(rows)))),
            false => {
                drop(std::hint::black_box(read(reader.slice_rows(0, slice).expect("a slice"))))
            }
        }
    }
}

/// A value that some spans have, and one that none has.
fn probe(reader: &BlockReader) {
    let key = "app.user.id";
    let mut columns = Columns::default();
    columns.add_span_key(&Arc::from(key));
    let meter = ReadMeter::default();
    let rows = reader.slice_rows(0, 0).expect("a slice");
    let batch =
        reader.columns(0, 0, std::slice::from_ref(&rows), &columns, &meter).expect("a whole block");
    let Some(column) = batch.chunk.attributes.column(key, ValueType::Int) else { return };
    let ValueRef::Int(value) = column.value(column.rows.len() / 2) else { return };
    let slices = 0..reader.meta().slices.len() as u32;
    let n_hits = |probe: &Probe<'_>| {
        let may =
            |slice: &u32| reader.may_contain(0, *slice, probe, &meter).expect("a whole block");
        slices.clone().filter(may).count()
    };
    let nowhere = "no such text";
    for (name, probe) in [
        ("an integer that is there", Probe::SpanInt { key, value }),
        ("an integer beyond all", Probe::SpanInt { key, value: 9_123_456_789 }),
        ("an integer between others", Probe::SpanInt { key, value: value ^ 0x2a55 }),
        ("a name that is not there", Probe::Name(nowhere)),
        ("a text that is not there", Probe::SpanText { key: "db.statement", text: nowhere }),
    ] {
        let millis = time(|| {
            std::hint::black_box(n_hits(&probe));
        });
        println!("{name:<36} {millis:>10.3} {:>10} slices", n_hits(&probe));
    }
}

/// Milliseconds of the best of some rounds.
fn time(mut work: impl FnMut()) -> f64 {
    (0..ROUNDS).map(|_| time_of(&mut work)).fold(f64::INFINITY, f64::min)
}

fn time_of(mut work: impl FnMut()) -> f64 {
    let started_at = cpu_millis();
    work();
    cpu_millis() - started_at
}

fn cpu_millis() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}

/// A block of all requests of a folder, cut into slices of trace start.
fn write(folder: &str, objects: Arc<dyn Objects>) -> BlockMeta {
    let chunks = chunks_of(folder);
    let mut counts = KeyCounts::default();
    chunks.iter().for_each(|chunk| counts.add_chunk(chunk));
    let count = |n: fn(&Chunk) -> usize| chunks.iter().map(|chunk| n(chunk) as u64).sum();
    let layout = Layout::decide(
        &counts,
        count(Chunk::n_rows),
        count(|chunk| chunk.events.name.len()),
        count(|chunk| chunk.links.span_row.values().len()),
    );
    let mut traces: BTreeMap<[u8; 16], (i64, Vec<RowRef>)> = BTreeMap::new();
    for (number, chunk) in chunks.iter().enumerate() {
        for row in 0..chunk.n_rows() as u32 {
            let start = chunk.start_unix_nanos.value(row as usize);
            let trace = traces.entry(*chunk.trace_id(row).as_bytes());
            let (first_start, rows) = trace.or_insert((start, Vec::new()));
            *first_start = start.min(*first_start);
            rows.push(RowRef { chunk: number as u32, row });
        }
    }
    let n_traces = traces.len() as u64;
    let mut by_start: Vec<_> = traces.into_iter().collect();
    by_start.sort_by_key(|(_, (start, _))| *start);
    let tenant = Tenant::parse("shop").expect("a tenant's name");
    let (id, options) = (BlockId::new(1_767_323_045_000, [7; 10]), WriterOptions::default());
    let mut writer = BlockWriter::begin(objects, id, vec![tenant], layout, n_traces, options)
        .expect("a block begins");
    let mut source = Source(chunks.into_iter().map(Arc::new).collect());
    let (mut of_slice, mut n_rows) = (Vec::new(), 0);
    for (place, (id, (_, rows))) in by_start.iter().enumerate() {
        of_slice.push((*id, rows));
        n_rows += rows.len();
        if n_rows >= SLICE_ROWS || place + 1 == by_start.len() {
            write_slice(&mut writer, std::mem::take(&mut of_slice), &mut source);
            n_rows = 0;
        }
    }
    let origin = Origin { log_ranges: Vec::new(), compaction_level: 0, content_seq: 0 };
    writer.finish(origin).expect("a block ends")
}

fn write_slice(
    writer: &mut BlockWriter,
    mut traces: Vec<([u8; 16], &Vec<RowRef>)>,
    source: &mut Source,
) {
    traces.sort_by_key(|(id, _)| *id);
    let received_unix_nanos = UnixNanosRange::of(1_767_323_045_000_000_000);
    let of_slice: Vec<SliceTrace> = traces
        .iter()
        .map(|(id, rows)| {
            let n_rows = rows.len() as u32;
            SliceTrace { tenant: 0, id: *id, n_rows, received_unix_nanos }
        })
        .collect();
    let rows: Vec<RowRef> = traces.iter().flat_map(|(_, rows)| rows.iter().copied()).collect();
    writer.write_slice(&of_slice, &rows, source).expect("a slice");
}

fn chunks_of(folder: &str) -> Vec<Chunk> {
    let files = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<_> = files.map(|entry| entry.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "pb"));
    files.sort();
    let (mut table, mut chunks) = (TableBuilder::default(), Vec::new());
    for file in files {
        let body = std::fs::read(&file).expect("a file");
        let limits = Limits::default();
        decode(Format::OtlpProtobuf, &body, &limits, Verdicts::Judge, &mut table)
            .expect("a request");
        if table.n_rows() >= CHUNK_ROWS {
            chunks.push(table.freeze());
            table.clear();
        }
    }
    if table.n_rows() > 0 {
        chunks.push(table.freeze());
    }
    chunks
}
