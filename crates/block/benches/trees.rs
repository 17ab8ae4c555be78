//! What a million spans cost beside their own columns: `cargo bench -p suyuan-block --bench trees
//! FOLDER`, where the folder holds OTLP requests in protobuf (`suyuan generate` writes some).
//!
//! CPU seconds per million spans on one thread, for the order of the spans, the trace table and the
//! roll-up; then the bytes per span of every column of the two tables' files.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::collections::HashMap;
use std::time::Duration;

use arrow_array::StringArray;
use bytes::Bytes;
use parquet::file::metadata::ParquetMetaDataReader;
use suyuan_block::file::write::{FileOptions, FileWriter};
use suyuan_block::rollup::{Rollup, RollupBuilder, RollupSpan, rollup_columns};
use suyuan_block::traces::{TraceRow, trace_columns, trace_values};
use suyuan_block::tree::TreeBuilder;
use suyuan_block::{Column, ColumnSpec, Values};
use suyuan_model::{Chunk, OutlineSorter, SpanOutline, Strings, TableBuilder, UnixNanosRange};
use suyuan_wire::otlp::{Verdicts, decode};
use suyuan_wire::record::{Format, Limits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHUNK_ROWS: u32 = 16_384;
const SLICE_ROWS: usize = 49_152;
const ROUNDS: usize = 4;

/// What is known of a span beside its outline.
#[derive(Clone, Copy)]
struct Said {
    service: u32,
    name: u32,
    status_code: i32,
}

/// Traces in the order of a block, their spans as they came.
#[derive(Default)]
struct Block {
    outlines: Vec<SpanOutline>,
    said: Vec<Said>,
    /// For each slice the number of spans of each trace.
    slices: Vec<Vec<usize>>,
    services: Texts,
    names: Texts,
}

#[derive(Default)]
struct Texts {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
}

/// A slice in the order of its rows.
struct Ready {
    traces: Vec<TraceRow>,
    services: Column,
    names: Column,
}

fn main() {
    let Some(folder) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        return println!("name a folder with OTLP requests");
    };
    let block = block_of(&chunks_of(&folder));
    let n_spans = block.outlines.len();
    println!("{n_spans} spans in {} slices", block.slices.len());
    println!("{:<10}{:>8}{:>8}{:>8}{:>8}{:>8}", "", "sort", "+ tree", "+ rows", "count", "finish");
    let mut ready = (Vec::new(), RollupBuilder::default());
    for round in 1..=ROUNDS {
        let costs;
        (costs, ready) = round_of(&block);
        let shown = costs.map(|cpu| format!("{:>8.3}", cpu.as_secs_f64() * 1e6 / n_spans as f64));
        println!("round {round:<4}{}", shown.concat());
    }
    let (slices, _) = ready;
    describe("traces.parquet", &write_traces(&slices), n_spans);
    for share in [u64::MAX, 50, 100, 200] {
        let (_, (_, builder)) = round_of(&block);
        let bytes_max = if share == u64::MAX { share } else { n_spans as u64 * 30 / share };
        let rollup = builder.finish(&block.services.texts, &block.names.texts, bytes_max);
        match rollup {
            Some(rollup) => {
                println!("{bytes_max} bytes: {} rows, {:?}", rollup.n_rows, rollup.step);
                describe("rollup.parquet", &write_rollup(&rollup), n_spans);
            }
            None => println!("{bytes_max} bytes: no roll-up"),
        }
    }
}

fn round_of(block: &Block) -> ([Duration; 5], (Vec<Ready>, RollupBuilder)) {
    let mut costs = [Duration::ZERO; 5];
    let traces = || {
        let lengths = block.slices.iter().flatten();
        lengths.scan(0, |end, length| {
            *end += length;
            Some(*end - length..*end)
        })
    };
    let mut sorter = OutlineSorter::default();
    measured(&mut costs[0], || {
        for trace in traces() {
            sorter.without_duplicates(&block.outlines[trace], |_| 0);
        }
    });
    let mut tree = TreeBuilder::default();
    measured(&mut costs[1], || {
        for trace in traces() {
            tree.order(&block.outlines[trace], |_| 0);
        }
    });
    measured(&mut costs[2], || {
        for trace in traces() {
            let (outlines, said) = (&block.outlines[trace.clone()], &block.said[trace]);
            let ordered = tree.order(outlines, |_| 0);
            let status_code = |number: u32| said[number as usize].status_code;
            TraceRow::of(0, outlines, &ordered, status_code, UnixNanosRange::of(0));
        }
    });
    let (slices, spans) = ordered(block, &mut tree);
    let mut builder = RollupBuilder::default();
    measured(&mut costs[3], || spans.iter().for_each(|span| builder.push(span)));
    let mut again = RollupBuilder::default();
    spans.iter().for_each(|span| again.push(span));
    let (services, names) = (&block.services.texts, &block.names.texts);
    measured(&mut costs[4], || again.finish(services, names, u64::MAX));
    (costs, (slices, builder))
}

/// Slices and spans in the order of their rows.
fn ordered(block: &Block, tree: &mut TreeBuilder) -> (Vec<Ready>, Vec<RollupSpan>) {
    let mut spans = Vec::with_capacity(block.outlines.len());
    let mut slices = Vec::new();
    let mut begin = 0;
    for lengths in &block.slices {
        let (mut traces, mut rows) = (Vec::new(), Vec::new());
        for length in lengths {
            let outlines = &block.outlines[begin..begin + length];
            let said = &block.said[begin..begin + length];
            begin += length;
            let ordered = tree.order(outlines, |_| 0);
            let status_code = |number: u32| said[number as usize].status_code;
            let received = UnixNanosRange::of(outlines[0].end_unix_nanos as u64);
            let first_row = rows.len() as u32;
            traces.push(TraceRow::of(first_row, outlines, &ordered, status_code, received));
            for (number, depth) in ordered.order.iter().zip(ordered.depth) {
                let (outline, said) = (&outlines[*number as usize], said[*number as usize]);
                rows.push(said);
                spans.push(RollupSpan {
                    tenant: 0,
                    service: said.service,
                    name: said.name,
                    kind: outline.kind,
                    status_code: said.status_code,
                    is_root: *depth == 0 && outline.parent_span_id.is_none(),
                    start_unix_nanos: outline.start_unix_nanos,
                    duration_nanos: outline.end_unix_nanos - outline.start_unix_nanos,
                    row: spans.len() as u32,
                });
            }
        }
        let services = block.services.column(rows.iter().map(|said| said.service));
        let names = block.names.column(rows.iter().map(|said| said.name));
        slices.push(Ready { traces, services, names });
    }
    (slices, spans)
}

impl Texts {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn column(&self, codes: impl Iterator<Item = u32>) -> Column {
        let values = StringArray::from_iter_values(&self.texts);
        let texts = Strings::Dictionary { codes: codes.collect(), values };
        Column { rows: None, values: Values::Text(texts) }
    }
}

fn write_traces(slices: &[Ready]) -> Bytes {
    let mut file = writer(trace_columns());
    for slice in slices {
        let columns = trace_values(&slice.traces, &slice.services, &slice.names);
        let n_rows = slice.traces.len() as u32;
        file.write_row_group(n_rows, &columns).expect("columns are as specified");
    }
    file.finish().expect("memory is written to").sink.into()
}

fn write_rollup(rollup: &Rollup) -> Bytes {
    let mut file = writer(rollup_columns());
    file.write_row_group(rollup.n_rows, &rollup.columns).expect("columns are as specified");
    file.finish().expect("memory is written to").sink.into()
}

fn writer(columns: Vec<ColumnSpec>) -> FileWriter<Vec<u8>> {
    FileWriter::new(Vec::new(), columns, FileOptions::default()).expect("specifications are sound")
}

/// Bytes per span, of the file and of its columns.
fn describe(name: &str, file: &Bytes, n_spans: usize) {
    let meta = ParquetMetaDataReader::new().parse_and_finish(file).expect("it was just written");
    println!("{name:<28}{:>8.3} bytes per span", file.len() as f64 / n_spans as f64);
    let mut bytes: Vec<(String, i64)> = Vec::new();
    for group in meta.row_groups() {
        for (number, column) in group.columns().iter().enumerate() {
            if number == bytes.len() {
                bytes.push((column.column_path().string(), 0));
            }
            bytes[number].1 += column.compressed_size();
        }
    }
    for (column, bytes) in bytes {
        println!("  {column:<26}{:>8.3}", bytes as f64 / n_spans as f64);
    }
}

fn chunks_of(folder: &str) -> Vec<Chunk> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pb"));
    paths.sort();
    let mut table = TableBuilder::default();
    let mut chunks = Vec::new();
    for path in paths {
        let body = std::fs::read(path).expect("the file can be read");
        let limits = Limits::default();
        decode(Format::OtlpProtobuf, &body, &limits, Verdicts::Judge, &mut table).expect("OTLP");
        if table.n_rows() >= CHUNK_ROWS {
            chunks.push(table.freeze());
            table.clear();
        }
    }
    chunks.push(table.freeze());
    chunks
}

fn block_of(chunks: &[Chunk]) -> Block {
    let mut traces: HashMap<[u8; 16], Vec<(usize, u32)>> = HashMap::new();
    for (n, chunk) in chunks.iter().enumerate() {
        for row in 0..chunk.n_rows() as u32 {
            traces.entry(*chunk.trace_id(row).as_bytes()).or_default().push((n, row));
        }
    }
    let start = |(n, row): &(usize, u32)| chunks[*n].start_unix_nanos.value(*row as usize);
    let mut traces: Vec<_> = traces
        .into_iter()
        .map(|(id, rows)| (rows.iter().map(start).min().unwrap_or_default(), id, rows))
        .collect();
    traces.sort_unstable();
    let mut block = Block::default();
    block.services.number("");
    let mut begin = 0;
    while begin < traces.len() {
        let (mut end, mut n_rows) = (begin, 0);
        while end < traces.len() && n_rows < SLICE_ROWS {
            n_rows += traces[end].2.len();
            end += 1;
        }
        let slice = &mut traces[begin..end];
        slice.sort_unstable_by_key(|(_, id, _)| *id);
        block.slices.push(slice.iter().map(|(_, _, rows)| rows.len()).collect());
        for (n, row) in slice.iter().flat_map(|(_, _, rows)| rows) {
            block.push(&chunks[*n], *row);
        }
        begin = end;
    }
    block
}

impl Block {
    fn push(&mut self, chunk: &Chunk, row: u32) {
        let at = row as usize;
        self.outlines.push(SpanOutline::of_row(chunk, row));
        let service = chunk.resources.service_name(chunk.resource.value(at)).unwrap_or_default();
        self.said.push(Said {
            service: self.services.number(service),
            name: self.names.number(chunk.name.value(at)),
            status_code: chunk.status_code.value(at),
        });
    }
}

fn measured<T>(cost: &mut Duration, work: impl FnOnce() -> T) -> T {
    let before = cpu();
    let result = work();
    *cost += cpu() - before;
    result
}

/// What this thread has run for.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("a number of nanoseconds"))
}
