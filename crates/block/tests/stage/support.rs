//! Random chunks, and a block of them in memory, without files.

use std::collections::BTreeMap;

use prost::Message as _;
use suyuan_block::layout::{self, KeyCounts, Layout};
use suyuan_block::stage::{SharedColumns, SharedRows, SliceColumns, SliceStage, Trees};
use suyuan_block::tree::TreeBuilder;
use suyuan_block::unstage::{Part, SpanParts, UnstageError, read_shared, unstage};
use suyuan_block::{Column, ColumnSpec};
use suyuan_model::{
    AttributeOwner, AttributeTable, Chunk, EventHead, LinkHead, Resources, Scopes, SpanHead,
    SpanOutline, TableBuilder,
};
use suyuan_testkit::arbitrary::Arbitrary;
use suyuan_testkit::random::Random;
use suyuan_wire::answer::content_hash;
use suyuan_wire::otlp::{Verdicts, decode};
use suyuan_wire::record::{Format, Limits};

/// What random tables are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Keys repeat within rows, orders differ.
    FewKeys,
    /// More keys than there may be columns.
    ManyKeys,
    /// More keys than the directory names.
    KeysWithoutEnd,
    /// Texts are all different: chunks keep them without a dictionary.
    DistinctTexts,
}

/// A chunk and a row of it.
type Origin = (usize, u32);

/// A block without files.
pub(crate) struct Block {
    pub(crate) layout: Layout,
    pub(crate) slices: Vec<Slice>,
    pub(crate) shared: SharedColumns,
    pub(crate) resources: Resources,
    pub(crate) scopes: Scopes,
    pub(crate) event_specs: Vec<ColumnSpec>,
    pub(crate) link_specs: Vec<ColumnSpec>,
    /// For each row of the block the chunk and row it was.
    origins: Vec<Origin>,
}

pub(crate) struct Slice {
    pub(crate) first_row: u32,
    pub(crate) n_rows: u32,
    pub(crate) specs: Vec<ColumnSpec>,
    pub(crate) columns: SliceColumns,
}

/// Two tenants' chunks: the first half of them belongs to the first one.
pub(crate) fn chunks_of(random: &mut Random, shape: Shape) -> Vec<Chunk> {
    let (n_chunks, n_rows_max) = match shape {
        Shape::FewKeys => (4, 40),
        Shape::ManyKeys => (6, 60),
        Shape::KeysWithoutEnd => (4, 700),
        Shape::DistinctTexts => (4, 3_000),
    };
    let mut table = TableBuilder::default();
    let mut n_spans = 0;
    let chunk = |_| {
        let n_rows = 1 + random.below(n_rows_max);
        table.clear();
        for _ in 0..n_rows {
            n_spans += 1;
            span(&mut table, random, shape, n_spans);
        }
        table.freeze()
    };
    (0..n_chunks).map(chunk).collect()
}

/// Chunks out of requests of every shape that OTLP allows.
pub(crate) fn corpus(seed: u64) -> Vec<Chunk> {
    let mut arbitrary = Arbitrary::new(seed);
    let mut table = TableBuilder::default();
    let chunk = |_| {
        table.clear();
        for _ in 0..6 {
            let body = arbitrary.request().encode_to_vec();
            let limits = Limits::default();
            decode(Format::OtlpProtobuf, &body, &limits, Verdicts::Judge, &mut table)
                .expect("a valid request");
        }
        table.freeze()
    };
    (0..4).map(chunk).collect()
}

fn span(table: &mut TableBuilder, random: &mut Random, shape: Shape, n: u64) {
    let message = format!("resource {}", random.below(5));
    let resource = table.find_resource(message.as_bytes(), b"").unwrap_or_else(|| {
        if !random.one_in(4) {
            table.push_string(AttributeOwner::Resource, b"service.name", message.as_bytes());
        }
        push_attributes(table, AttributeOwner::Resource, random, Shape::FewKeys);
        let refs = if random.one_in(2) { &b"\x1a\x02\x0a\x00"[..] } else { b"" };
        table.finish_resource(message.as_bytes(), b"", random.below(2) as u32, refs)
    });
    let message = format!("scope {}", random.below(3));
    let scope = table.find_scope(message.as_bytes(), b"url").unwrap_or_else(|| {
        push_attributes(table, AttributeOwner::Scope, random, Shape::FewKeys);
        table.finish_scope(message.as_bytes(), b"url", message.as_bytes(), b"1", 0)
    });
    push_attributes(table, AttributeOwner::Span, random, shape);
    for _ in 0..random.below(6).saturating_sub(3) {
        push_attributes(table, AttributeOwner::Event, random, shape);
        let name = text(random, shape);
        table.finish_event(EventHead {
            time_unix_nanos: random.bits() >> random.below(64),
            name: name.as_bytes(),
            dropped_attributes: random.below(2) as u32,
        });
    }
    for _ in 0..random.below(6).saturating_sub(4) {
        push_attributes(table, AttributeOwner::Link, random, shape);
        table.finish_link(LinkHead {
            trace_id: random.pick(&[&b""[..], b"short", &[7; 16]]),
            span_id: random.pick(&[&b""[..], &[7; 8]]),
            trace_state: random.pick(&[&b""[..], b"k=v"]),
            flags: random.below(3) as u32,
            dropped_attributes: random.below(2) as u32,
        });
    }
    let name = text(random, shape);
    let mut trace_id = [0; 16];
    trace_id[3] = 1 + random.below(9) as u8;
    table.finish_span(&SpanHead {
        trace_id,
        span_id: n,
        parent_span_id: (!random.one_in(4)).then(|| random.below(n + 3)),
        start_unix_nanos: random.pick(&[0, 1, 1_767_323_045_000_000_000, i64::MAX])
            - random.below(9) as i64,
        end_unix_nanos: random.pick(&[0, 5, 1_767_323_045_000_000_007, i64::MAX]),
        name: name.as_bytes(),
        kind: random.pick(&[0, 1, 2, 3, -1, i32::MAX]),
        status_code: random.pick(&[0, 1, 2, -7]),
        status_message: random.pick(&[&b""[..], b"", b"it broke"]),
        trace_state: random.pick(&[&b""[..], b"", b"k=v"]),
        flags: random.pick(&[0, 0x101, u32::MAX]),
        dropped_attributes: random.below(2) as u32,
        dropped_events: random.below(2) as u32,
        dropped_links: random.below(2) as u32,
        cut_values: random.below(2) as u32,
        resource,
        scope,
    });
}

fn text(random: &mut Random, shape: Shape) -> String {
    match shape {
        Shape::DistinctTexts => format!("GET /items/{:x}", random.bits()),
        _ if random.one_in(5) => String::new(),
        _ => format!("text {}", random.below(20)),
    }
}

fn push_attributes(
    table: &mut TableBuilder,
    owner: AttributeOwner,
    random: &mut Random,
    shape: Shape,
) {
    let n_keys = match shape {
        Shape::FewKeys | Shape::DistinctTexts => 8,
        Shape::ManyKeys => 300,
        Shape::KeysWithoutEnd => 20_000,
    };
    for _ in 0..random.below(7) {
        let n = random.below(n_keys);
        let key = match n {
            0..8 => String::from(b"abcdefgh"[n as usize] as char),
            _ => format!("key.{n}"),
        };
        let key = key.as_bytes();
        match random.below(8) {
            0 => table.push_empty(owner, key),
            1 => table.push_bool(owner, key, random.one_in(2)),
            2 => table.push_int(owner, key, random.bits() as i64 >> random.below(64)),
            3 => table.push_double(owner, key, f64::from_bits(random.bits())),
            4 => table.push_bytes(owner, key, &random.list(5, |random| random.bits() as u8)),
            5 => table.push_array(owner, key, b"\x0a\x02\x18\x07"),
            6 => table.push_map(owner, key, b""),
            _ => table.push_string(owner, key, text(random, shape).as_bytes()),
        }
    }
}

/// Orders the rows of all chunks as a block does and stages them, slice by slice.
pub(crate) fn stage(chunks: &[Chunk], n_rows_told: u64, random: &mut Random) -> Block {
    let mut counts = KeyCounts::default();
    for half in chunks.chunks(2) {
        let mut part = KeyCounts::default();
        half.iter().for_each(|chunk| part.add_chunk(chunk));
        counts.merge(&part);
    }
    let layout = Layout::decide(&counts, n_rows_told, n_rows_told, n_rows_told);
    let tenant_of = |chunk: usize| u32::from(chunk * 2 >= chunks.len());
    let rows = Rows::in_order(chunks, tenant_of);
    let mut slice_stage = SliceStage::new(&layout);
    let mut shared = SharedRows::default();
    let mut slices = Vec::new();
    let mut first_row = 0;
    while first_row < rows.origins.len() {
        let n_traces = 1 + random.below(4) as usize;
        let ends = rows.trace_ends.iter().filter(|end| **end > first_row);
        let end = *ends.take(n_traces).last().expect("there are rows left");
        slice_stage.begin(first_row as u32, (end - first_row) as u32);
        let mut by_chunk: BTreeMap<usize, Vec<(u32, u32)>> = BTreeMap::new();
        for (place, (chunk, row)) in rows.origins[first_row..end].iter().enumerate() {
            by_chunk.entry(*chunk).or_default().push((*row, place as u32));
        }
        for (chunk, pairs) in by_chunk {
            slice_stage
                .add(&chunks[chunk], tenant_of(chunk), &pairs, &mut shared)
                .expect("counted and in order");
        }
        let kept = rows.kept_parents.iter().filter(|(row, _)| (first_row..end).contains(row));
        let kept: Vec<(u32, u64)> =
            kept.map(|(row, parent)| ((row - first_row) as u32, *parent)).collect();
        let trees = Trees { depth: &rows.depth[first_row..end], kept_parents: &kept };
        let columns = slice_stage.finish(trees, &mut shared).expect("all rows");
        let specs = layout::span_columns(&layout);
        let n_rows = (end - first_row) as u32;
        slices.push(Slice { first_row: first_row as u32, n_rows, specs, columns });
        first_row = end;
    }
    let shared = shared.finish().expect("small");
    let resource_specs = layout::resource_columns();
    let scope_specs = layout::scope_columns();
    check_columns(&resource_specs, &shared.resources);
    check_columns(&scope_specs, &shared.scopes);
    let (resources, scopes) = read_shared(
        &part(shared.n_resources, &names(&resource_specs), &shared.resources),
        &part(shared.n_scopes, &names(&scope_specs), &shared.scopes),
    )
    .expect("what was staged");
    let (event_specs, link_specs) = (layout::event_columns(&layout), layout::link_columns(&layout));
    let origins = rows.origins;
    Block { layout, slices, shared, resources, scopes, event_specs, link_specs, origins }
}

#[derive(Default)]
struct Rows {
    origins: Vec<Origin>,
    depth: Vec<u32>,
    kept_parents: Vec<(usize, u64)>,
    trace_ends: Vec<usize>,
}

impl Rows {
    fn in_order(chunks: &[Chunk], tenant_of: impl Fn(usize) -> u32) -> Self {
        let mut traces: BTreeMap<(u32, [u8; 16]), Vec<Origin>> = BTreeMap::new();
        for (n, chunk) in chunks.iter().enumerate() {
            for row in 0..chunk.n_rows() as u32 {
                let id = *chunk.trace_id(row).as_bytes();
                traces.entry((tenant_of(n), id)).or_default().push((n, row));
            }
        }
        let mut rows = Self::default();
        let mut builder = TreeBuilder::default();
        for origins in traces.values() {
            let outline = |(n, row): &(usize, u32)| SpanOutline::of_row(&chunks[*n], *row);
            let outlines: Vec<SpanOutline> = origins.iter().map(outline).collect();
            let ordered = builder.order(&outlines, |number| {
                let (n, row) = origins[number as usize];
                content_hash(&chunks[n], row)
            });
            for (place, number) in ordered.order.iter().enumerate() {
                if ordered.keeps_parent[place] {
                    let parent = outlines[*number as usize].parent_span_id;
                    rows.kept_parents.push((rows.origins.len(), parent.expect("it names one")));
                }
                rows.origins.push(origins[*number as usize]);
            }
            rows.depth.extend_from_slice(ordered.depth);
            rows.trace_ends.push(rows.origins.len());
        }
        rows
    }
}

impl Block {
    /// A slice as a chunk.
    pub(crate) fn read(&self, n: usize) -> Result<Chunk, UnstageError> {
        let slice = &self.slices[n];
        let (events, links) = (names(&self.event_specs), names(&self.link_specs));
        let side = |side: &Option<suyuan_block::stage::SideColumns>| {
            side.as_ref().map(|side| (side.n_rows, side.columns.clone()))
        };
        let (event_columns, link_columns) =
            (side(&slice.columns.events), side(&slice.columns.links));
        let span_names = names(&slice.specs);
        let parts = SpanParts {
            first_row: slice.first_row,
            spans: part(slice.n_rows, &span_names, &slice.columns.spans),
            events: event_columns.as_ref().map(|(n_rows, c)| part(*n_rows, &events, c)),
            links: link_columns.as_ref().map(|(n_rows, c)| part(*n_rows, &links, c)),
        };
        unstage(&self.layout, &parts, &self.resources, &self.scopes)
    }

    /// Every row equals the one it was.
    pub(crate) fn check_rows(&self, chunks: &[Chunk], seed: u64) {
        for (n, slice) in self.slices.iter().enumerate() {
            check_columns(&slice.specs, &slice.columns.spans);
            for side in slice.columns.events.iter() {
                check_columns(&self.event_specs, &side.columns);
            }
            for side in slice.columns.links.iter() {
                check_columns(&self.link_specs, &side.columns);
            }
            let found = self.read(n).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(found.n_rows() as u32, slice.n_rows, "seed {seed}");
            for row in 0..slice.n_rows {
                let (chunk, sent_row) = self.origins[(slice.first_row + row) as usize];
                let sent = &chunks[chunk];
                assert_eq!(line(&found, row), line(sent, sent_row), "seed {seed}, row {row}");
                assert_eq!(
                    content_hash(&found, row),
                    content_hash(sent, sent_row),
                    "seed {seed}, row {row}"
                );
                let services = &self.shared.services;
                let service = &services[slice.columns.service_codes[row as usize] as usize];
                assert_eq!(service, &service_of(sent, sent_row), "seed {seed}, row {row}");
                if let Some(codes) = &slice.columns.name_codes {
                    let name = &self.shared.names[codes[row as usize] as usize];
                    assert_eq!(name, sent.name.value(sent_row as usize), "seed {seed}, row {row}");
                }
            }
        }
    }
}

/// Columns are what their specs say.
fn check_columns(specs: &[ColumnSpec], columns: &[Column]) {
    assert_eq!(specs.len(), columns.len());
    for (spec, column) in specs.iter().zip(columns) {
        assert_eq!(spec.kind, column.values.kind(), "{}", spec.name);
        assert!(spec.is_optional || column.rows.is_none(), "{}", spec.name);
        let Some(rows) = &column.rows else { continue };
        assert_eq!(rows.len(), column.values.len(), "{}", spec.name);
        assert!(rows.windows(2).all(|pair| pair[0] < pair[1]), "{}", spec.name);
    }
}

fn service_of(chunk: &Chunk, row: u32) -> String {
    let resource = chunk.resource.value(row as usize);
    let name = chunk.resources.attributes.row(resource).find_map(|(key, value)| match value {
        suyuan_model::ValueRef::String(name) if key == "service.name" => Some(name.to_owned()),
        _ => None,
    });
    name.unwrap_or_default()
}

/// What a row says, attributes of every owner in order.
pub(crate) fn line(chunk: &Chunk, row: u32) -> String {
    let at = row as usize;
    let event = |event: u32| {
        let (events, at) = (&chunk.events, event as usize);
        let attributes = attributes(&events.attributes, event);
        format!("{} {} {attributes}", events.time_unix_nanos.value(at), events.name.value(at))
    };
    let link = |link: u32| {
        let (links, at) = (&chunk.links, link as usize);
        let attributes = attributes(&links.attributes, link);
        format!("{:?} {:?} {attributes}", links.trace_id.value(at), links.flags.value(link))
    };
    format!(
        "{:?} cut {} start {} end {} [{}] events {:?} links {:?} resource {} [{}] scope {} [{}]",
        chunk.parent_span_id(row),
        chunk.cut_values.value(row),
        chunk.start_unix_nanos.value(at),
        chunk.end_unix_nanos.value(at),
        attributes(&chunk.attributes, row),
        chunk.events_of(row).map(event).collect::<Vec<_>>(),
        chunk.links_of(row).map(link).collect::<Vec<_>>(),
        chunk.resources.dropped_attributes.value(chunk.resource.value(at)),
        attributes(&chunk.resources.attributes, chunk.resource.value(at)),
        chunk.scopes.version.value(chunk.scope.value(at) as usize),
        attributes(&chunk.scopes.attributes, chunk.scope.value(at)),
    )
}

fn attributes(table: &AttributeTable, row: u32) -> String {
    let shown = table.row(row).map(|(key, value)| format!("{key}={value:?}"));
    shown.collect::<Vec<_>>().join(" ")
}

pub(crate) fn part<'a>(n_rows: u32, names: &'a [&'a str], columns: &'a [Column]) -> Part<'a> {
    Part { n_rows, names, columns }
}

pub(crate) fn names(specs: &[ColumnSpec]) -> Vec<&str> {
    specs.iter().map(|spec| &*spec.name).collect()
}
