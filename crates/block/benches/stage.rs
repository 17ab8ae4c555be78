//! What it costs to scatter a million spans to the columns of slices, and to get them back:
//! `cargo bench -p suyuan-block --bench stage FOLDER`, where the folder holds OTLP requests in
//! protobuf (`suyuan generate` writes some). CPU seconds per million spans, one thread; the order
//! of spans and the files are not part of it.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::collections::HashMap;
use std::time::Duration;

use suyuan_block::ColumnSpec;
use suyuan_block::layout::{self, KeyCounts, Layout, Place};
use suyuan_block::stage::{
    SharedColumns, SharedRows, SideColumns, SliceColumns, SliceStage, Trees,
};
use suyuan_block::tree::TreeBuilder;
use suyuan_block::unstage::{Part, SpanParts, read_shared, unstage};
use suyuan_model::{Chunk, SpanOutline, TableBuilder};
use suyuan_wire::otlp::{Verdicts, decode};
use suyuan_wire::record::{Format, Limits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHUNK_ROWS: u32 = 16_384;
const SLICE_ROWS: usize = 50_000;
const ROUNDS: usize = 4;

/// The rows of a slice, in order.
#[derive(Default)]
struct Slice {
    /// For each chunk that has rows here, those rows and their places.
    rows: Vec<(usize, Vec<(u32, u32)>)>,
    depth: Vec<u32>,
    kept_parents: Vec<(u32, u64)>,
}

fn main() {
    let Some(folder) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        return println!("name a folder with OTLP requests");
    };
    let chunks = chunks_of(&folder);
    let n_spans: usize = chunks.iter().map(Chunk::n_rows).sum();
    let slices = slices_of(&chunks);
    println!("{n_spans} spans, {} chunks, {} slices", chunks.len(), slices.len());
    println!(
        "{:<10} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "count", "decide", "add", "finish", "back"
    );
    for round in 1..=ROUNDS {
        let costs = round_of(&chunks, &slices, round == ROUNDS);
        let shown: Vec<String> = costs
            .iter()
            .map(|cpu| format!("{:>8.3}", cpu.as_secs_f64() * 1e6 / n_spans as f64))
            .collect();
        println!("round {round:<4} {}", shown.join(" "));
    }
}

fn round_of(chunks: &[Chunk], slices: &[Slice], is_last: bool) -> [Duration; 5] {
    let mut costs = [Duration::ZERO; 5];
    let mut counts = KeyCounts::default();
    measured(&mut costs[0], || chunks.iter().for_each(|chunk| counts.add_chunk(chunk)));
    let n_events: usize = chunks.iter().map(|chunk| chunk.events.name.len()).sum();
    let n_links: usize = chunks.iter().map(|chunk| chunk.links.span_row.values().len()).sum();
    let n_spans: usize = chunks.iter().map(Chunk::n_rows).sum();
    let layout = measured(&mut costs[1], || {
        Layout::decide(&counts, n_spans as u64, n_events as u64, n_links as u64)
    });
    let mut stage = SliceStage::new(&layout);
    let mut shared = SharedRows::default();
    let mut staged: Vec<(u32, u32, SliceColumns)> = Vec::new();
    let mut first_row = 0;
    for slice in slices {
        let n_rows = slice.depth.len() as u32;
        measured(&mut costs[2], || {
            stage.begin(first_row, n_rows);
            for (chunk, rows) in &slice.rows {
                stage.add(&chunks[*chunk], 0, rows, &mut shared).expect("one tenant, counted");
            }
        });
        let trees = Trees { depth: &slice.depth, kept_parents: &slice.kept_parents };
        let columns = measured(&mut costs[3], || stage.finish(trees, &mut shared));
        let columns = columns.expect("all rows");
        // Memory that is kept would be paid for in page faults, which a seal does not have.
        if is_last {
            staged.push((first_row, n_rows, columns));
        }
        first_row += n_rows;
    }
    let shared = shared.finish().expect("few resources");
    let (resources, scopes) = read_shared(
        &part(shared.n_resources, &names(&layout::resource_columns()), &shared.resources),
        &part(shared.n_scopes, &names(&layout::scope_columns()), &shared.scopes),
    )
    .expect("what was staged");
    let spans = layout::span_columns(&layout);
    let events = layout::event_columns(&layout);
    let links = layout::link_columns(&layout);
    let (spans, events, links) = (names(&spans), names(&events), names(&links));
    for (first_row, n_rows, columns) in &staged {
        let parts = SpanParts {
            first_row: *first_row,
            spans: part(*n_rows, &spans, &columns.spans),
            events: columns.events.as_ref().map(|side| side_part(side, &events)),
            links: columns.links.as_ref().map(|side| side_part(side, &links)),
        };
        measured(&mut costs[4], || {
            unstage(&layout, &parts, &resources, &scopes).expect("what was staged");
        });
    }
    if is_last {
        describe(&layout, &shared, n_events, n_links);
    }
    costs
}

fn describe(layout: &Layout, shared: &SharedColumns, n_events: usize, n_links: usize) {
    println!(
        "{} resources, {} scopes, {n_events} events, {n_links} links",
        shared.n_resources, shared.n_scopes
    );
    for entry in layout.entries() {
        let bloom = if entry.place == (Place::Column { has_bloom: true }) { " bloom" } else { "" };
        let type_name = layout::type_name(entry.value_type);
        println!("{:?} {} {type_name} {}{bloom}", entry.scope, entry.key, entry.count);
    }
}

fn part<'a>(n_rows: u32, names: &'a [&'a str], columns: &'a [suyuan_block::Column]) -> Part<'a> {
    Part { n_rows, names, columns }
}

fn side_part<'a>(side: &'a SideColumns, names: &'a [&'a str]) -> Part<'a> {
    part(side.n_rows, names, &side.columns)
}

fn names(specs: &[ColumnSpec]) -> Vec<&str> {
    specs.iter().map(|spec| &*spec.name).collect()
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

fn slices_of(chunks: &[Chunk]) -> Vec<Slice> {
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
    let mut slices = Vec::new();
    let mut begin = 0;
    while begin < traces.len() {
        let (mut end, mut n_rows) = (begin, 0);
        while end < traces.len() && n_rows < SLICE_ROWS {
            n_rows += traces[end].2.len();
            end += 1;
        }
        traces[begin..end].sort_unstable_by_key(|(_, id, _)| *id);
        slices.push(slice_of(chunks, traces[begin..end].iter().map(|(_, _, rows)| &rows[..])));
        begin = end;
    }
    slices
}

fn slice_of<'a>(chunks: &[Chunk], traces: impl Iterator<Item = &'a [(usize, u32)]>) -> Slice {
    let mut slice = Slice::default();
    let mut trees = TreeBuilder::default();
    let mut by_chunk: Vec<Vec<(u32, u32)>> = vec![Vec::new(); chunks.len()];
    for origins in traces {
        let outline = |(n, row): &(usize, u32)| SpanOutline::of_row(&chunks[*n], *row);
        let outlines: Vec<SpanOutline> = origins.iter().map(outline).collect();
        let ordered = trees.order(&outlines, |_| 0);
        for (place, number) in ordered.order.iter().enumerate() {
            let (n, row) = origins[*number as usize];
            let slice_row = slice.depth.len() as u32;
            if let Some(parent) = outlines[*number as usize].parent_span_id
                && ordered.keeps_parent[place]
            {
                slice.kept_parents.push((slice_row, parent));
            }
            by_chunk[n].push((row, slice_row));
            slice.depth.push(ordered.depth[place]);
        }
    }
    slice.rows = by_chunk.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()).collect();
    slice
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
