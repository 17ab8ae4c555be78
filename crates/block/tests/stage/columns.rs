//! Blocks in a store: some columns of some rows say what all columns of all rows say.
//!
//! The oracle is [`BlockReader::rows`] with every column. What was not asked for is empty.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use suyuan_block::BlockId;
use suyuan_block::file::read::ReadCache;
use suyuan_block::layout::{KeyCounts, Layout, Scope};
use suyuan_block::reader::{BlockReader, KeyPlace, Projection};
use suyuan_block::writer::{
    BlockWriter, Chunks, ChunksError, Origin, RowRef, SliceTrace, WriterOptions,
};
use suyuan_model::{
    AttributeColumn, AttributeTable, Batch, Chunk, Columns, Field, Strings, Tenant, UnixNanosRange,
    ValueRef, ValueType,
};
use suyuan_objects::ReadMeter;
use suyuan_objects::faulty::MemoryObjects;
use suyuan_testkit::random::Random;

use super::support::{Shape, chunks_of};
use super::{MANY, overflow_columns_of};

/// Every field but the parent, which asks for whole traces.
const FIELDS: [Field; 16] = [
    Field::TraceId,
    Field::SpanId,
    Field::Depth,
    Field::Start,
    Field::End,
    Field::Duration,
    Field::Name,
    Field::Kind,
    Field::StatusCode,
    Field::StatusMessage,
    Field::TraceState,
    Field::Resource,
    Field::Scope,
    Field::EventName,
    Field::EventTime,
    Field::LinkIds,
];

struct Source(Vec<Arc<Chunk>>);

impl Chunks for Source {
    fn chunk(&mut self, number: u32) -> Result<Arc<Chunk>, ChunksError> {
        Ok(self.0[number as usize].clone())
    }
}

/// Writes chunks, of which the first half is one tenant's, as a block of several slices. Tenants
/// share some of them.
pub(super) fn write(chunks: Vec<Chunk>, n_rows_told: u64, random: &mut Random) -> BlockReader {
    let mut counts = KeyCounts::default();
    chunks.iter().for_each(|chunk| counts.add_chunk(chunk));
    let layout = Layout::decide(&counts, n_rows_told, n_rows_told, n_rows_told);
    let mut traces: BTreeMap<(u32, [u8; 16]), Vec<RowRef>> = BTreeMap::new();
    for (number, chunk) in chunks.iter().enumerate() {
        let tenant = u32::from(number * 2 >= chunks.len());
        for row in 0..chunk.n_rows() as u32 {
            let id = *chunk.trace_id(row).as_bytes();
            let at = RowRef { chunk: number as u32, row };
            traces.entry((tenant, id)).or_default().push(at);
        }
    }
    let tenants = ["mall", "shop"].map(|name| Tenant::parse(name).expect("a tenant's name"));
    let objects = Arc::new(MemoryObjects::new());
    let id = BlockId::new(1_767_323_045_000, [7; 10]);
    let (n_traces, options) = (traces.len() as u64, WriterOptions::default());
    let mut writer =
        BlockWriter::begin(objects.clone(), id, tenants.to_vec(), layout, n_traces, options)
            .expect("a block begins");
    let mut source = Source(chunks.into_iter().map(Arc::new).collect());
    let mut left = traces.into_iter().peekable();
    while left.peek().is_some() {
        let (mut of_slice, mut rows) = (Vec::new(), Vec::new());
        for ((tenant, id), of_trace) in left.by_ref().take(1 + random.below(7) as usize) {
            let received_unix_nanos = UnixNanosRange::of(1_767_323_045_000_000_000);
            let n_rows = of_trace.len() as u32;
            of_slice.push(SliceTrace { tenant, id, n_rows, received_unix_nanos });
            rows.extend(of_trace);
        }
        writer.write_slice(&of_slice, &rows, &mut source).expect("a slice");
    }
    let origin = Origin { log_ranges: Vec::new(), compaction_level: 0, content_seq: 0 };
    let meta = writer.finish(origin).expect("a block ends");
    BlockReader::new(objects, meta, Arc::new(ReadCache::new(1 << 20)))
}

fn check(shape: Shape, n_rows_told: u64, seed: u64) {
    let mut random = Random::new(seed);
    let reader = write(chunks_of(&mut random, shape), n_rows_told, &mut random);
    assert_eq!(reader.meta().overflow_columns, overflow_columns_of(shape), "seed {seed}");
    for (tenant, meta) in reader.meta().tenants.iter().enumerate() {
        for range in &meta.ranges {
            let place = (tenant as u32, range.slice);
            let whole = reader.slice(place.0, place.1).expect("a slice");
            check_traces(&reader, place, &whole);
            for _ in 0..4 {
                check_columns(&reader, place, &whole, &mut random, seed);
                check_required_text(&reader, place, &whole, &mut random, seed);
            }
            check_parents(&reader, place, &whole, &mut random);
        }
    }
}

fn check_columns(
    reader: &BlockReader,
    (tenant, slice): (u32, u32),
    whole: &Chunk,
    random: &mut Random,
    seed: u64,
) {
    let within = reader.slice_rows(tenant, slice).expect("its rows");
    let rows = some_rows(&within, random);
    let columns = some_columns(whole, random);
    let meter = ReadMeter::default();
    let batch = reader.columns(tenant, slice, &rows, &columns, &meter).expect("some columns");
    let expected: Vec<u32> =
        rows.iter().flat_map(Range::clone).map(|row| row - within.start).collect();
    let what = format!("seed {seed}, rows {rows:?}, {columns:?}");
    assert_eq!(batch.n_rows as usize, expected.len(), "{what}");
    for (row, unit_row) in rows.iter().flat_map(Range::clone).enumerate() {
        assert_eq!(batch.unit_row(row as u32), unit_row, "{what}");
    }
    for field in FIELDS {
        match columns.has(field) {
            true => assert_eq!(
                field_of(field, &batch, None),
                field_of(field, &Batch::of_chunk(Arc::new(whole.clone()), 0), Some(&expected)),
                "{field:?}, {what}"
            ),
            false => assert!(is_empty(field, &batch, &columns), "{field:?}, {what}"),
        }
    }
    let keys = columns.span_keys();
    let found = picked(&batch.chunk.attributes);
    assert_eq!(found, expected_attributes(&whole.attributes, &expected, keys), "{what}");
    let events = side_rows(&expected, |row| whole.events_of(row));
    let found = picked(&batch.chunk.events.attributes);
    let of_events = &whole.events.attributes;
    assert_eq!(found, expected_attributes(of_events, &events, columns.event_keys()), "{what}");
    let links = side_rows(&expected, |row| whole.links_of(row));
    let found = picked(&batch.chunk.links.attributes);
    let of_links = &whole.links.attributes;
    assert_eq!(found, expected_attributes(of_links, &links, columns.link_keys()), "{what}");
    for (row, whole_row) in expected.iter().enumerate() {
        if columns.has_events() {
            let n_events = whole.events_of(*whole_row).len();
            assert_eq!(batch.chunk.events_of(row as u32).len(), n_events, "{what}");
        }
        if columns.has_links() {
            let n_links = whole.links_of(*whole_row).len();
            assert_eq!(batch.chunk.links_of(row as u32).len(), n_links, "{what}");
        }
    }
    if !columns.is_empty() && !expected.is_empty() {
        assert!(meter.requests() > 0 && meter.bytes() > 0, "{what}");
    }
}

/// Values without what texts must contain may be missing, everything else is there.
fn check_required_text(
    reader: &BlockReader,
    (tenant, slice): (u32, u32),
    whole: &Chunk,
    random: &mut Random,
    seed: u64,
) {
    let is_text = |column: &&AttributeColumn| column.value_type == ValueType::String;
    let texts: Vec<_> = whole.attributes.columns.iter().filter(is_text).collect();
    let Some(column) = texts.get(random.below(texts.len().max(1) as u64) as usize) else { return };
    let position = random.below(column.rows.len() as u64) as usize;
    let ValueRef::String(text) = column.value(position) else { return };
    let literal: String = text.chars().take(1 + random.below(20) as usize).collect();
    let within = reader.slice_rows(tenant, slice).expect("its rows");
    let rows = some_rows(&within, random);
    let mut columns = Columns::default();
    columns.add_span_key(&column.key);
    columns.require_text(&column.key, &literal);
    let meter = ReadMeter::default();
    let batch = reader.columns(tenant, slice, &rows, &columns, &meter).expect("a column");
    let whole_rows: Vec<u32> =
        rows.iter().flat_map(Range::clone).map(|row| row - within.start).collect();
    let expected = expected_attributes(&whole.attributes, &whole_rows, columns.span_keys());
    let found = picked(&batch.chunk.attributes);
    for (place, value) in &expected {
        let is_there = found.get(place) == Some(value);
        assert!(
            is_there || !value.contains(&literal),
            "seed {seed}, rows {rows:?}, {columns:?}: {place:?}"
        );
    }
    let is_expected = |(place, value): (_, &String)| expected.get(place) == Some(value);
    assert!(found.iter().all(is_expected), "seed {seed}, rows {rows:?}, {columns:?}");
}

/// Rows of a side table that belong to some spans.
fn side_rows(spans: &[u32], rows_of: impl Fn(u32) -> Range<u32>) -> Vec<u32> {
    spans.iter().flat_map(|row| rows_of(*row)).collect()
}

fn some_rows(within: &Range<u32>, random: &mut Random) -> Vec<Range<u32>> {
    if random.one_in(3) {
        return vec![within.clone()];
    }
    let (mut rows, mut at) = (Vec::new(), within.start);
    loop {
        let (gap_max, len_max) = (random.pick(&[1, 3, 30]), random.pick(&[1, 3, 30]));
        let start = at + random.below(gap_max) as u32;
        let end = start + 1 + random.below(len_max) as u32;
        if end > within.end {
            return rows;
        }
        rows.push(start..end);
        at = end + 1;
    }
}

fn some_columns(whole: &Chunk, random: &mut Random) -> Columns {
    let mut columns = Columns::default();
    for field in FIELDS {
        if random.one_in(3) {
            columns.add(field);
        }
    }
    let n_keys = random.below(4);
    for _ in 0..n_keys {
        let tables = [&whole.attributes, &whole.events.attributes, &whole.links.attributes];
        let [span, event, link] = tables.map(|table| {
            let n_columns = table.columns.len() as u64;
            match random.one_in(9) || n_columns == 0 {
                true => Arc::from("no such key"),
                false => table.columns[random.below(n_columns) as usize].key.clone(),
            }
        });
        columns.add_span_key(&span);
        if random.one_in(2) {
            columns.add_event_key(&event);
            columns.add_link_key(&link);
        }
    }
    columns
}

/// What a batch says of a field, row by row, or what a chunk says of some of its rows.
fn field_of(field: Field, batch: &Batch, rows: Option<&[u32]>) -> Vec<String> {
    let chunk = &batch.chunk;
    let all: Vec<u32> = (0..batch.n_rows).collect();
    let rows = rows.unwrap_or(&all);
    let events = side_rows(rows, |row| chunk.events_of(row));
    let links = side_rows(rows, |row| chunk.links_of(row));
    let each = |rows: &[u32], value: &dyn Fn(u32, usize) -> String| -> Vec<String> {
        rows.iter().map(|row| value(*row, *row as usize)).collect()
    };
    match field {
        Field::TraceId => each(rows, &|row, _| format!("{:?}", chunk.trace_id(row))),
        Field::SpanId => each(rows, &|row, _| format!("{:?}", chunk.span_id(row))),
        Field::ParentSpanId => each(rows, &|row, _| format!("{:?}", chunk.parent_span_id(row))),
        // The oracle knows none: that they give the right parents is seen by whole traces.
        Field::Depth => each(rows, &|_, _| String::new()),
        Field::Start => each(rows, &|_, at| chunk.start_unix_nanos.value(at).to_string()),
        Field::End => each(rows, &|_, at| chunk.end_unix_nanos.value(at).to_string()),
        Field::Duration => each(rows, &|row, _| batch.duration_nanos(row).to_string()),
        Field::Name => each(rows, &|_, at| chunk.name.value(at).to_owned()),
        Field::Kind => each(rows, &|_, at| chunk.kind.value(at).to_string()),
        Field::StatusCode => each(rows, &|_, at| chunk.status_code.value(at).to_string()),
        Field::StatusMessage => each(rows, &|row, _| chunk.status_message.value(row).to_owned()),
        Field::TraceState => each(rows, &|row, _| chunk.trace_state.value(row).to_owned()),
        Field::Resource => each(rows, &|_, at| chunk.resource.value(at).to_string()),
        Field::Scope => each(rows, &|_, at| chunk.scope.value(at).to_string()),
        Field::EventName => each(&events, &|_, at| chunk.events.name.value(at).to_owned()),
        Field::EventTime => {
            each(&events, &|_, at| chunk.events.time_unix_nanos.value(at).to_string())
        }
        Field::LinkIds => each(&links, &|_, at| {
            let links = &chunk.links;
            format!("{:?} {:?}", links.trace_id.value(at), links.span_id.value(at))
        }),
    }
}

/// Whether a field that was not asked for has no values. Columns that other fields are made of are
/// there as well.
fn is_empty(field: Field, batch: &Batch, columns: &Columns) -> bool {
    let chunk = &batch.chunk;
    let has = |field| columns.has(field);
    let is_empty = |strings: &Strings| strings.is_empty();
    match field {
        Field::TraceId => chunk.trace_id.value_data().is_empty(),
        Field::SpanId => chunk.span_id.values().is_empty(),
        Field::ParentSpanId => chunk.parent_span_id.values().is_empty(),
        Field::Depth => batch.depth.is_none(),
        Field::Start => chunk.start_unix_nanos.values().is_empty() || has(Field::End),
        Field::End => chunk.end_unix_nanos.values().is_empty(),
        Field::Duration => batch.duration_nanos.is_none() || has(Field::End),
        Field::Name => is_empty(&chunk.name),
        Field::Kind => chunk.kind.values().is_empty(),
        Field::StatusCode => chunk.status_code.values().is_empty(),
        Field::StatusMessage => chunk.status_message.rows.is_empty(),
        Field::TraceState => chunk.trace_state.rows.is_empty(),
        Field::Resource => chunk.resource.values().is_empty(),
        Field::Scope => chunk.scope.values().is_empty(),
        Field::EventName => is_empty(&chunk.events.name),
        Field::EventTime => chunk.events.time_unix_nanos.values().is_empty(),
        Field::LinkIds => chunk.links.trace_id.values().is_empty(),
    }
}

/// Key, type and row to value.
type Picked = BTreeMap<(String, ValueType, u32), String>;

fn picked(table: &AttributeTable) -> Picked {
    let mut picked = Picked::new();
    for column in &table.columns {
        assert!(column.rows.is_sorted_by(|one, next| one < next), "{column:?}");
        for (position, row) in column.rows.iter().enumerate() {
            let value = column.value(position);
            assert_eq!(value.value_type(), column.value_type);
            picked.insert((column.key.to_string(), column.value_type, *row), shown(value));
        }
    }
    picked
}

/// The first value of each key and type, of the keys asked for.
fn expected_attributes(table: &AttributeTable, rows: &[u32], keys: &[Arc<str>]) -> Picked {
    let mut expected = Picked::new();
    for (row, whole_row) in rows.iter().enumerate() {
        for (key, value) in table.row(*whole_row) {
            if keys.iter().any(|asked| &**asked == key) {
                let place = (key.to_owned(), value.value_type(), row as u32);
                expected.entry(place).or_insert_with(|| shown(value));
            }
        }
    }
    expected
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Double(number) => format!("{:x}", number.to_bits()),
        value => format!("{value:?}"),
    }
}

fn check_traces(reader: &BlockReader, (tenant, slice): (u32, u32), whole: &Chunk) {
    let meter = ReadMeter::default();
    let traces = reader.slice_traces(tenant, slice, &meter).expect("traces");
    let n_requests = meter.requests();
    assert!(n_requests > 0);
    let again = reader.slice_traces(tenant, slice, &meter).expect("traces");
    assert!(Arc::ptr_eq(&traces, &again));
    assert_eq!(meter.requests(), n_requests, "kept");
    let places = reader.trace_places(tenant, slice).expect("traces");
    let table = reader.traces(tenant, slice).expect("traces");
    assert_eq!(traces.len(), places.len());
    for (trace, (id, rows)) in places.iter().enumerate() {
        let number = trace as u32;
        assert_eq!(traces.id(number).as_bytes(), id);
        assert_eq!(traces.find(traces.id(number)), Some(number));
        assert_eq!(traces.rows(number), *rows);
        assert_eq!(traces.summary(number), table.summary(trace));
        assert!(rows.clone().all(|row| traces.trace_of(row) == Some(number)));
    }
    let within = reader.slice_rows(tenant, slice).expect("its rows");
    assert_eq!(within.len(), whole.n_rows());
    assert_eq!(traces.trace_of(within.end), None);
    assert_eq!(within.start.checked_sub(1).and_then(|row| traces.trace_of(row)), None);
    let pieces = reader.pieces(tenant, slice).expect("its rows");
    let rows: Vec<u32> = pieces.iter().flat_map(Range::clone).collect();
    assert_eq!(rows, within.collect::<Vec<_>>());
}

fn check_parents(
    reader: &BlockReader,
    (tenant, slice): (u32, u32),
    whole: &Chunk,
    random: &mut Random,
) {
    let meter = ReadMeter::default();
    let within = reader.slice_rows(tenant, slice).expect("its rows");
    let places = reader.trace_places(tenant, slice).expect("traces");
    let chosen = places.into_iter().filter(|_| random.one_in(2));
    let mut rows: Vec<Range<u32>> = Vec::new();
    for (_, of_trace) in chosen {
        match rows.last_mut() {
            Some(last) if last.end == of_trace.start => last.end = of_trace.end,
            _ => rows.push(of_trace),
        }
    }
    let columns = Columns::default().with(Field::ParentSpanId).with(Field::Depth);
    let batch = reader.columns(tenant, slice, &rows, &columns, &meter).expect("whole traces");
    let expected: Vec<u32> =
        rows.iter().flat_map(Range::clone).map(|row| row - within.start).collect();
    let all = Batch::of_chunk(Arc::new(whole.clone()), 0);
    assert_eq!(
        field_of(Field::ParentSpanId, &batch, None),
        field_of(Field::ParentSpanId, &all, Some(&expected))
    );
    let depth = batch.depth.expect("it was asked for");
    assert_eq!(depth.len(), expected.len());
    let inner = depth.iter().position(|depth| *depth > 0);
    if let Some(inner) = inner.filter(|_| rows.len() == 1) {
        let cut = rows[0].start + inner as u32..rows[0].end;
        let error = reader.columns(tenant, slice, &[cut], &columns, &meter);
        assert!(error.expect_err("half a trace").to_string().contains("depth"));
    }
}

#[test]
fn some_columns_of_lists() {
    (0..25).for_each(|seed| check(Shape::FewKeys, 100, seed));
}

#[test]
fn some_columns_of_blocks_whose_keys_have_columns() {
    (40..65).for_each(|seed| check(Shape::FewKeys, MANY, seed));
}

#[test]
fn some_columns_of_blocks_with_overflow() {
    (80..92).for_each(|seed| check(Shape::ManyKeys, MANY, seed));
    (100..112).for_each(|seed| check(Shape::ManyKeys, 200_000, seed));
    (120..121).for_each(|seed| check(Shape::KeysWithoutEnd, MANY, seed));
}

#[test]
fn some_columns_without_a_dictionary() {
    (122..124).for_each(|seed| check(Shape::DistinctTexts, MANY, seed));
}

#[test]
fn keys_have_the_places_that_the_directory_names() {
    let mut random = Random::new(5);
    let reader = write(chunks_of(&mut random, Shape::ManyKeys), MANY, &mut random);
    let mut n_of_place = [0, 0];
    for entry in reader.meta().keys.entries_of(0).filter(|entry| entry.scope == Scope::Span) {
        match reader.key_place(0, Scope::Span, &entry.key, entry.value_type) {
            KeyPlace::Column { .. } => n_of_place[0] += 1,
            KeyPlace::Mixed => n_of_place[1] += 1,
            KeyPlace::Absent => panic!("{entry:?}"),
        }
    }
    assert!(n_of_place.iter().all(|n| *n > 0), "{n_of_place:?}");
    let absent = reader.key_place(0, Scope::Span, "no such key", ValueType::String);
    assert_eq!(absent, KeyPlace::Absent);
}

#[test]
fn rows_of_other_tenants_and_rows_out_of_order_are_refused() {
    let mut random = Random::new(5);
    let reader = write(chunks_of(&mut random, Shape::FewKeys), MANY, &mut random);
    let columns = Columns::default().with(Field::Name);
    let meter = ReadMeter::default();
    let within = reader.slice_rows(0, 0).expect("rows");
    let read = |rows: &[Range<u32>]| reader.columns(0, 0, rows, &columns, &meter);
    let too_many = within.start..within.end + 1;
    assert!(read(std::slice::from_ref(&too_many)).is_err());
    let (first, second) = (within.start..within.start + 1, within.start + 1..within.start + 2);
    assert!(read(&[second, first.clone()]).is_err());
    assert!(read(&[first.clone(), first]).is_err());
    assert_eq!(read(&[]).expect("no rows").n_rows, 0);
}

#[test]
fn projections_stay_what_they_were() {
    let mut random = Random::new(8);
    let reader = write(chunks_of(&mut random, Shape::FewKeys), MANY, &mut random);
    let rows = reader.slice_rows(0, 0).expect("rows");
    let all = reader.rows(0, 0, rows.clone(), Projection::All).expect("rows");
    let outline = reader.rows(0, 0, rows, Projection::Outline).expect("rows");
    assert_eq!(all.span_id, outline.span_id);
    assert_eq!(all.parent_span_id, outline.parent_span_id);
}
