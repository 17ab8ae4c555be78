//! Writes a block of made-up spans, and what they are: `sample_block FOLDER TRACES SEED KEYS`.
//!
//! Out: `FOLDER/blocks/ID/` and `FOLDER/truth.tsv` with a line for each span: trace id, span id,
//! parent span id or `-`, duration, service, name, and its attributes, sorted. Readers in other
//! languages are tested against it (`tests/blocks`).

#![expect(clippy::print_stdout, reason = "an example says what it has written")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use suyuan_block::layout::{KeyCounts, Layout};
use suyuan_block::writer::{
    BlockWriter, Chunks, ChunksError, Origin, RowRef, SliceTrace, WriterOptions,
};
use suyuan_block::{BlockId, BlockMeta};
use suyuan_model::{
    AttributeOwner, Chunk, EventHead, LinkHead, SpanHead, TableBuilder, Tenant, UnixNanosRange,
};
use suyuan_objects::LocalObjects;
use suyuan_testkit::random::Random;
use suyuan_wal::LocalDisk;

/// 2026-01-02 03:04:05 UTC.
const START_UNIX_NANOS: i64 = 1_767_323_045_000_000_000;
const CHUNK_ROWS: u32 = 4_000;
const SLICES_OF_TENANT: usize = 3;

/// A span as it is sent.
struct Sent {
    span_id: u64,
    parent: Option<u64>,
    start: i64,
    duration: i64,
    kind: i32,
    name: String,
    attributes: Vec<(String, Value)>,
}

#[derive(Clone)]
enum Value {
    Empty,
    Text(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Vec<u8>),
    /// A list of one number.
    Array(u8),
    /// A map of one number, `n`.
    Map(u8),
}

/// Chunks, and the rows of each trace in them.
#[derive(Default)]
struct Sample {
    chunks: Vec<Arc<Chunk>>,
    /// For each tenant the rows of its traces, by id.
    traces: Vec<BTreeMap<[u8; 16], Vec<RowRef>>>,
    truth: String,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, n_traces, seed, n_keys] = &arguments[..] else {
        return println!("sample_block FOLDER TRACES SEED KEYS");
    };
    let n_traces = n_traces.parse().expect("a number of traces");
    let n_keys = n_keys.parse().expect("a number of keys");
    let mut random = Random::new(seed.parse().expect("a number as seed"));
    let tenants = ["mall", "shop"].map(|name| Tenant::parse(name).expect("a tenant's name"));
    let mut sample = Sample::default();
    for tenant in &tenants {
        sample.add_tenant(tenant, n_traces, n_keys, &mut random);
    }
    let meta = sample.write(Path::new(folder), tenants.to_vec());
    std::fs::write(Path::new(folder).join("truth.tsv"), &sample.truth).expect("the truth");
    println!(
        "{} spans, {} overflow columns, {} bytes: {folder}/blocks/{}",
        meta.n_spans(),
        meta.overflow_columns.count(),
        meta.bytes(),
        meta.id
    );
}

impl Sample {
    fn add_tenant(&mut self, tenant: &Tenant, n_traces: usize, n_keys: u64, random: &mut Random) {
        let mut rows: BTreeMap<[u8; 16], Vec<RowRef>> = BTreeMap::new();
        let mut spans = Vec::new();
        for _ in 0..n_traces {
            let id: [u8; 16] = std::array::from_fn(|_| random.bits() as u8);
            spans.extend(trace(n_keys, random).into_iter().map(|span| (id, span)));
        }
        for place in (1..spans.len()).rev() {
            spans.swap(place, random.below(place as u64 + 1) as usize);
        }
        let mut table = TableBuilder::default();
        for (id, span) in &spans {
            let at = RowRef { chunk: self.chunks.len() as u32, row: table.n_rows() };
            rows.entry(*id).or_default().push(at);
            let service = format!("{tenant}-{}", id[0] % 5);
            push(&mut table, *id, span, &service);
            self.note(id, span, &service);
            if table.n_rows() == CHUNK_ROWS {
                self.chunks.push(Arc::new(table.freeze()));
                table = TableBuilder::default();
            }
        }
        self.chunks.push(Arc::new(table.freeze()));
        self.traces.push(rows);
    }

    /// A line of the truth.
    fn note(&mut self, id: &[u8; 16], span: &Sent, service: &str) {
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let parent = span.parent.map_or("-".to_owned(), |parent| parent.to_string());
        let mut attributes: Vec<String> =
            span.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        attributes.sort_unstable();
        let (Sent { span_id, duration, name, .. }, attributes) = (span, attributes.join(" "));
        writeln!(
            self.truth,
            "{id}\t{span_id}\t{parent}\t{duration}\t{service}\t{name}\t{attributes}"
        )
        .expect("a text grows");
    }

    fn write(&mut self, folder: &Path, tenants: Vec<Tenant>) -> BlockMeta {
        let disk = LocalDisk::create(folder).expect("a folder");
        let objects = Arc::new(LocalObjects::open(Arc::new(disk)).expect("objects"));
        let mut counts = KeyCounts::default();
        self.chunks.iter().for_each(|chunk| counts.add_chunk(chunk));
        let count = |n: fn(&Chunk) -> usize| -> u64 {
            self.chunks.iter().map(|chunk| n(chunk) as u64).sum()
        };
        let n_spans = count(Chunk::n_rows);
        let n_events = count(|chunk| chunk.events.name.len());
        let n_links = count(|chunk| chunk.links.span_row.len());
        let layout = Layout::decide(&counts, n_spans, n_events, n_links);
        let id = BlockId::new(START_UNIX_NANOS as u64 / 1_000_000, [7; 10]);
        let options = WriterOptions::default();
        let n_traces = self.traces.iter().map(|traces| traces.len() as u64).sum();
        let mut writer = BlockWriter::begin(objects, id, tenants, layout, n_traces, options)
            .expect("a block begins");
        let n_slices = self.traces.len() * (SLICES_OF_TENANT - 1) + 1;
        for slice in 0..n_slices {
            let (traces, rows) = self.slice(slice);
            writer.write_slice(&traces, &rows, self).expect("a slice");
        }
        let origin = Origin { log_ranges: Vec::new(), compaction_level: 0, content_seq: 0 };
        writer.finish(origin).expect("a block ends")
    }

    /// Tenants follow each other through the file; the last slice of one is the first of the next.
    fn slice(&self, slice: usize) -> (Vec<SliceTrace>, Vec<RowRef>) {
        let (mut traces, mut rows) = (Vec::new(), Vec::new());
        for (number, of_tenant) in self.traces.iter().enumerate() {
            let parts = 0..SLICES_OF_TENANT;
            let Some(part) = slice.checked_sub(number * (SLICES_OF_TENANT - 1)) else { continue };
            let n_skipped = if parts.contains(&part) { part } else { usize::MAX };
            for (id, of_trace) in of_tenant.iter().skip(n_skipped).step_by(SLICES_OF_TENANT) {
                traces.push(SliceTrace {
                    tenant: number as u32,
                    id: *id,
                    n_rows: of_trace.len() as u32,
                    received_unix_nanos: UnixNanosRange::of(START_UNIX_NANOS as u64),
                });
                rows.extend(of_trace);
            }
        }
        (traces, rows)
    }
}

impl Chunks for Sample {
    fn chunk(&mut self, number: u32) -> Result<Arc<Chunk>, ChunksError> {
        Ok(self.chunks[number as usize].clone())
    }
}

/// Up to twenty spans: trees, orphans, spans that name themselves or each other, and now and then
/// the two halves of a call under one id.
fn trace(n_keys: u64, random: &mut Random) -> Vec<Sent> {
    let start = START_UNIX_NANOS + random.below(600_000_000_000) as i64;
    let n_spans = 1 + random.below(20);
    let mut spans: Vec<Sent> = Vec::new();
    for number in 0..n_spans {
        let span_id = random.bits() | 1;
        let parent = match random.below(12) {
            0 => Some(random.bits() | 1),
            1 => Some(span_id),
            2 => None,
            _ => spans.get(random.below(number.max(1)) as usize).map(|span| span.span_id),
        };
        spans.push(Sent {
            span_id,
            parent,
            start: start + number as i64 * 1_000,
            duration: random.below(2_000_000_000) as i64 - 1_000,
            kind: 1 + random.below(5) as i32,
            name: format!("call {}", random.below(30)),
            attributes: attributes(n_keys, random),
        });
    }
    if random.one_in(20) && n_spans > 2 {
        spans[0].parent = Some(spans[1].span_id);
        spans[1].parent = Some(spans[0].span_id);
    }
    if random.one_in(20) {
        let half = &spans[0];
        let (span_id, parent) = (half.span_id, half.parent);
        let (start, duration) = (half.start + 10, half.duration);
        let (kind, name) = (if half.kind == 2 { 3 } else { 2 }, half.name.clone());
        spans.push(Sent { span_id, parent, start, duration, kind, name, attributes: Vec::new() });
    }
    spans
}

fn attributes(n_keys: u64, random: &mut Random) -> Vec<(String, Value)> {
    random.list(9, |random| {
        let key = random.below(n_keys) * random.below(n_keys) / n_keys;
        (format!("key.{key}"), value(random))
    })
}

fn value(random: &mut Random) -> Value {
    match random.below(10) {
        0 => Value::Empty,
        1 => Value::Bool(random.one_in(2)),
        2 => Value::Double(random.below(1_000) as f64 / 8.0),
        3 => Value::Bytes(vec![random.bits() as u8; random.below(4) as usize]),
        4 => Value::Array(random.below(100) as u8),
        5 => Value::Map(random.below(100) as u8),
        6 | 7 => Value::Int(random.bits() as i64 >> random.below(64)),
        _ => Value::Text(format!("value-{}", random.below(5_000))),
    }
}

fn push(table: &mut TableBuilder, trace_id: [u8; 16], span: &Sent, service: &str) {
    let resource = match table.find_resource(service.as_bytes(), b"") {
        Some(resource) => resource,
        None => {
            let owner = AttributeOwner::Resource;
            table.push_string(owner, b"service.name", service.as_bytes());
            table.push_string(owner, b"host.name", b"host-1");
            table.finish_resource(service.as_bytes(), b"", 0, b"")
        }
    };
    let scope = match table.find_scope(b"library", b"") {
        Some(scope) => scope,
        None => table.finish_scope(b"library", b"", b"library", b"1.2", 0),
    };
    for (key, value) in &span.attributes {
        push_value(table, AttributeOwner::Span, key.as_bytes(), value);
    }
    if span.kind == 5 {
        table.push_string(AttributeOwner::Event, b"exception.type", b"Timeout");
        let time_unix_nanos = span.start as u64;
        table.finish_event(EventHead {
            time_unix_nanos,
            name: b"exception",
            dropped_attributes: 0,
        });
        let link = LinkHead { trace_id: &trace_id, span_id: b"12345678", ..LinkHead::default() };
        table.finish_link(link);
    }
    table.finish_span(&SpanHead {
        trace_id,
        span_id: span.span_id,
        parent_span_id: span.parent,
        start_unix_nanos: span.start,
        end_unix_nanos: span.start + span.duration,
        name: span.name.as_bytes(),
        kind: span.kind,
        status_code: span.kind % 3,
        resource,
        scope,
        ..SpanHead::default()
    });
}

fn push_value(table: &mut TableBuilder, owner: AttributeOwner, key: &[u8], value: &Value) {
    match value {
        Value::Empty => table.push_empty(owner, key),
        Value::Text(text) => table.push_string(owner, key, text.as_bytes()),
        Value::Bool(value) => table.push_bool(owner, key, *value),
        Value::Int(value) => table.push_int(owner, key, *value),
        Value::Double(value) => table.push_double(owner, key, *value),
        Value::Bytes(bytes) => table.push_bytes(owner, key, bytes),
        // ArrayValue { values: AnyValue { int_value } }
        Value::Array(n) => table.push_array(owner, key, &[0x0a, 2, 0x18, *n]),
        // KeyValueList { values: KeyValue { key: "n", value: AnyValue { int_value } } }
        Value::Map(n) => table.push_map(owner, key, &[0x0a, 7, 0x0a, 1, b'n', 0x12, 2, 0x18, *n]),
    }
}

/// As the readers in other languages say it.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => write!(f, "empty"),
            Self::Text(text) => write!(f, "text:{text}"),
            Self::Bool(value) => write!(f, "bool:{value}"),
            Self::Int(value) => write!(f, "int:{value}"),
            Self::Double(value) => write!(f, "double:{:016x}", value.to_bits()),
            Self::Bytes(bytes) => {
                write!(f, "bytes:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Array(n) => write!(f, "array:int:{n}"),
            Self::Map(n) => write!(f, "map:n=int:{n}"),
        }
    }
}
