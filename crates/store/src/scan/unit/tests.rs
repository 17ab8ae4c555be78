//! Units against scans of everything: what is read piece by piece is what the store holds.

mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use suyuan_block::TimeRange;
use suyuan_ids::TraceId;
use suyuan_model::{AttributeTable, Chunk, Columns, Field, Tenant};
use suyuan_objects::faulty::MemoryObjects;
use suyuan_objects::{Objects, ReadMeter};

use super::slice::in_both;
use super::{OpenUnit, SpanStructure, TraceKey, TraceRef, Unit, UnitPresence};
use crate::split::SplitSet;
use crate::tests::driver::{Driver, Random, TestSpan, keep_nothing_but_order, tenant, trace_id};
use crate::tests::fixtures;
use crate::{Between, Probe, Snapshot};

const KEYS: [&str; 6] = ["a", "b", "c", "rare", "n", "why"];

/// Everything a question may ask for.
fn all_columns() -> Columns {
    let fields = [
        Field::TraceId,
        Field::SpanId,
        Field::Start,
        Field::End,
        Field::Duration,
        Field::Name,
        Field::Kind,
        Field::StatusCode,
        Field::Resource,
        Field::Scope,
        Field::EventName,
        Field::EventTime,
        Field::LinkIds,
    ];
    let mut columns = fields.into_iter().fold(Columns::default(), Columns::with);
    for key in KEYS {
        columns.add_span_key(&Arc::from(key));
        columns.add_event_key(&Arc::from(key));
        columns.add_link_key(&Arc::from(key));
    }
    for number in 0..fixtures::N_KEYS {
        columns.add_span_key(&format!("key.{number}").into());
    }
    columns
}

/// The first value of each key and type of a row.
fn attributes(table: &AttributeTable, row: u32) -> BTreeSet<String> {
    let columns = table.columns.iter().filter_map(|column| {
        let position = column.rows.binary_search(&row).ok()?;
        let first = column.rows[..=position].partition_point(|other| *other < row);
        Some(format!("{} {:?}", column.key, column.value(first)))
    });
    columns.collect()
}

/// What a span says, told from the columns that a question may ask for.
fn text(chunk: &Chunk, row: u32) -> String {
    let at = row as usize;
    let mut text = format!(
        "{} {} {}..{} {} {} {} {:?}",
        chunk.trace_id(row),
        chunk.span_id(row),
        chunk.start_unix_nanos.value(at),
        chunk.end_unix_nanos.value(at),
        chunk.name.value(at),
        chunk.kind.value(at),
        chunk.status_code.value(at),
        attributes(&chunk.attributes, row),
    );
    for event in chunk.events_of(row) {
        let name = chunk.events.name.value(event as usize);
        let time = chunk.events.time_unix_nanos.value(event as usize);
        text += &format!(" event {name} {time} {:?}", attributes(&chunk.events.attributes, event));
    }
    for link in chunk.links_of(row) {
        let id = chunk.links.span_id.value(link as usize);
        text += &format!(" link {id:?} {:?}", attributes(&chunk.links.attributes, link));
    }
    let service = chunk.resources.service_name(chunk.resource.value(at));
    let scope = chunk.scopes.name.value(chunk.scope.value(at) as usize);
    format!("{text} {service:?} {scope}")
}

/// What the spans of each trace say, each span once, and what is said of the trace. By id: pieces
/// of these tests lie near enough to be one trace.
type Traces = BTreeMap<TraceId, (BTreeSet<String>, String)>;

/// As scans of everything say it.
fn scanned(snapshot: &Snapshot) -> Traces {
    let mut traces = Traces::new();
    let report = snapshot.trace_rows(None, |id, summary| {
        traces.entry(id).or_default().1 = format!("{summary:?}");
        ControlFlow::Continue(())
    });
    assert_eq!(report.expect("readable").skipped, []);
    let report = snapshot.spans(None, |pieces| {
        for piece in pieces {
            for row in &piece.rows {
                let spans = &mut traces.entry(piece.chunk.trace_id(*row)).or_default().0;
                assert!(spans.insert(text(&piece.chunk, *row)), "a span twice");
            }
        }
        ControlFlow::Continue(())
    });
    assert_eq!(report.expect("readable").skipped, []);
    traces
}

/// Rows of a unit with their traces, and what they say: all of them in pieces of any size, or those
/// of a range of time together.
fn rows_of(
    unit: &OpenUnit<'_>,
    range: Option<TimeRange>,
    random: &mut Random,
) -> Vec<(TraceRef, String)> {
    let meter = ReadMeter::default();
    let mut reads: Vec<Vec<Range<u32>>> = Vec::new();
    if let Some(range) = range
        && random.below(2) == 0
    {
        let rows = unit.rows_within(range, &meter).expect("readable");
        assert!(rows.windows(2).all(|pair| pair[0].end < pair[1].start), "{rows:?}");
        reads.push(rows);
    } else {
        for piece in unit.pieces() {
            let middle = piece.start + random.below(u64::from(piece.end - piece.start) + 1) as u32;
            let parts = [piece.start..middle, middle..piece.end];
            reads.extend(parts.into_iter().filter(|part| !part.is_empty()).map(|part| vec![part]));
        }
    }
    let mut found = Vec::new();
    for ranges in reads {
        let batch = unit.read(&ranges, &all_columns(), &meter).expect("readable");
        let rows: Vec<u32> = ranges.into_iter().flatten().collect();
        let traces = unit.traces_of(&rows, &meter).expect("readable");
        for (row, trace) in rows.into_iter().zip(traces) {
            let at = batch.row_of(row).expect("it was read");
            assert_eq!(batch.unit_row(at), row);
            let chunk = &batch.chunk;
            let duration =
                chunk.end_unix_nanos.value(at as usize) - chunk.start_unix_nanos.value(at as usize);
            assert_eq!(batch.duration_nanos(at), duration);
            found.extend(trace.map(|trace| (trace, text(chunk, at))));
        }
    }
    found
}

struct Read {
    snapshot: Arc<Snapshot>,
    split: Arc<SplitSet>,
    /// What raw rows of each trace say, and what is said of the trace, where units know it.
    traces: BTreeMap<TraceId, (TraceRef, BTreeSet<String>, Option<String>)>,
}

fn read(snapshot: &Arc<Snapshot>, range: Option<TimeRange>, random: &mut Random) -> Read {
    let snapshot = snapshot.clone();
    let split = snapshot.split().expect("readable");
    assert_eq!(snapshot.missing(&split), []);
    let (units, _) = snapshot.units(&split, range);
    assert!(units.is_sorted_by_key(|unit| std::cmp::Reverse(unit.newest_start_unix_nanos())));
    let mut traces = BTreeMap::new();
    for unit in &units {
        let open = unit.open(&ReadMeter::default()).expect("opens");
        let rows = rows_of(&open, range, random);
        if range.is_none() && !unit.has_erased() {
            assert_eq!(rows.len(), unit.n_rows() as usize);
        }
        check_keys(unit, &rows);
        for (trace, text) in rows {
            assert!(trace.start_unix_nanos <= unit.newest_start_unix_nanos());
            check_probes(&open, &trace);
            let summary = open.summary(&trace).map(|summary| format!("{summary:?}"));
            assert!(summary.is_some() || !trace.is_whole);
            let known = traces.entry(trace.id).or_insert((trace, BTreeSet::new(), summary));
            // The same, whichever unit and row is asked.
            assert_eq!(known.0, trace);
            let is_new = known.1.insert(text);
            assert!(is_new || !trace.is_whole);
        }
    }
    Read { snapshot, split, traces }
}

/// What a unit has is not ruled out.
fn check_probes(open: &OpenUnit<'_>, trace: &TraceRef) {
    let meter = ReadMeter::default();
    assert!(open.may_contain(&Probe::TraceId(trace.id), &meter).expect("readable"));
    if trace.is_whole {
        let start = trace.start_unix_nanos;
        let between = Between::StartUnixNanos { min: start, max: start };
        let found = open.candidates(&between, &meter).expect("readable");
        let rows = open.rows_of(trace).expect("it was named");
        assert!(found.iter().any(|found| found.start < rows.end && rows.start < found.end));
    }
}

/// What a unit says of keys is true of its rows.
fn check_keys(unit: &Unit, rows: &[(TraceRef, String)]) {
    let mut listed = BTreeSet::new();
    let is_complete = unit.for_each_key(&mut |owner, key, value_type| {
        assert_eq!(unit.presence(owner, key, value_type), UnitPresence::Maybe);
        listed.insert(format!("{key} {value_type:?}("));
    });
    let absent = unit.presence(
        suyuan_model::AttributeOwner::Span,
        "nobody has it",
        suyuan_model::ValueType::Int,
    );
    assert!(is_complete && absent == UnitPresence::Absent);
    for (_, text) in rows {
        for key in KEYS.iter().filter(|key| text.contains(&format!("\"{key} "))) {
            let is_it = |listed: &&String| listed.starts_with(&format!("{key} "));
            assert!(listed.iter().any(|listed| is_it(&listed)), "{key} of {text}: {listed:?}");
        }
    }
}

fn check(driver: &Driver, tenant: &Tenant, random: &mut Random) {
    let snapshot = Arc::new(driver.store.snapshot(tenant));
    let scanned = scanned(&snapshot);
    let read = read(&snapshot, None, random);
    let ids = |traces: &Traces| traces.keys().copied().collect::<Vec<_>>();
    assert_eq!(read.traces.keys().copied().collect::<Vec<_>>(), ids(&scanned));
    for (id, (trace, texts, summary)) in &read.traces {
        let (spans, line) = &scanned[id];
        assert!(spans.is_subset(texts));
        assert!(!trace.is_whole || spans == texts);
        assert!(summary.as_ref().is_none_or(|summary| summary == line), "{summary:?} {line}");
    }
    check_assembled(&read, &scanned, random);
    check_ranges(&read, random);
}

/// Traces in any order are put together as scans say them.
fn check_assembled(read: &Read, scanned: &Traces, random: &mut Random) {
    let mut traces: Vec<TraceRef> = read.traces.values().map(|(trace, ..)| *trace).collect();
    traces.sort_by_cached_key(|_| random.below(1 << 40));
    let mut assembled: Vec<TraceKey> = Vec::new();
    let columns = all_columns().with(Field::ParentSpanId);
    let skipped = read.snapshot.assemble(
        &read.split,
        &traces,
        &columns,
        &ReadMeter::default(),
        &mut |trace| {
            assembled.push(trace.trace.key());
            let (spans, line) = &scanned[&trace.trace.id];
            let mut texts = BTreeSet::new();
            for piece in &trace.pieces {
                assert!(piece.rows.is_sorted() && !piece.rows.is_empty());
                for row in &piece.rows {
                    assert!(texts.insert(text(&piece.batch.chunk, *row)), "a span twice");
                }
            }
            assert_eq!(&texts, spans);
            let summary = trace.summary();
            assert_eq!(&format!("{summary:?}"), line);
            assert_eq!(trace.trace.start_unix_nanos, summary.start_unix_nanos);
            assert_eq!(trace.trace.end_unix_nanos, summary.end_unix_nanos);
            check_structure(&trace);
            ControlFlow::Continue(())
        },
    );
    assert_eq!(skipped.expect("readable"), []);
    assert_eq!(assembled, traces.iter().map(TraceRef::key).collect::<Vec<_>>());
}

/// The numbers are those of nested sets.
fn check_structure(trace: &super::Assembled) {
    let of_pieces = trace.structure();
    let pieces = trace.pieces.iter().zip(&of_pieces);
    let spans: Vec<(Option<u64>, u64, SpanStructure)> = pieces
        .flat_map(|(piece, structures)| {
            assert_eq!(piece.rows.len(), structures.len());
            piece.rows.iter().zip(structures).map(|(row, structure)| {
                let chunk = &piece.batch.chunk;
                let parent = chunk.parent_span_id(*row).map(u64::from_be_bytes);
                (parent, chunk.span_id.value(*row as usize), *structure)
            })
        })
        .collect();
    let mut numbers = BTreeSet::new();
    for (parent, _, structure) in &spans {
        assert_eq!(structure.parent == -1, parent.is_none());
        assert_eq!(structure.left == 0, structure.right == 0);
        if structure.left > 0 {
            assert!(numbers.insert(structure.left) && numbers.insert(structure.right));
        }
        let is_child = |other: &&(Option<u64>, u64, SpanStructure)| {
            other.2.parent == i64::from(structure.left)
        };
        if structure.left > 0 {
            assert_eq!(spans.iter().filter(is_child).count(), structure.n_children as usize);
        }
        if let Some(above) = spans
            .iter()
            .find(|other| other.2.left > 0 && i64::from(other.2.left) == structure.parent)
        {
            assert_eq!((Some(above.1), above.2.depth + 1), (*parent, structure.depth));
            assert!(above.2.left < structure.left && structure.right < above.2.right);
        }
    }
    assert!(
        numbers.into_iter().eq(1..=2 * spans.iter().filter(|span| span.2.left > 0).count() as u32)
    );
}

/// Of every trace that has a moment in a range all rows are in the units that are left.
fn check_ranges(whole: &Read, random: &mut Random) {
    for _ in 0..3 {
        let start = random.below(60_000) as i64;
        let range =
            TimeRange { min_unix_nanos: start, max_unix_nanos: start + random.below(9_000) as i64 };
        let read = read(&whole.snapshot, Some(range), random);
        for (id, (trace, texts, _)) in &whole.traces {
            let end = trace.end_unix_nanos.max(trace.start_unix_nanos);
            let moments = TimeRange { min_unix_nanos: trace.start_unix_nanos, max_unix_nanos: end };
            if moments.overlaps(range) {
                assert_eq!(&read.traces[id].1, texts);
            }
        }
    }
}

/// Spans of few traces, many of them copies, some of which end at once and say different things.
fn random_spans(random: &mut Random, n_spans: u64) -> Vec<TestSpan> {
    let span = |random: &mut Random| {
        let (trace, id) = (random.below(25) as u32, random.below(6) + 1);
        // Traces begin all over the time.
        let start = i64::from(trace) * 2_000 + id as i64 * 10;
        let n_attributes = random.below(4);
        TestSpan {
            trace,
            id,
            parent: (random.below(3) > 0).then(|| random.below(7) + 1),
            start,
            end: start + random.below(5) as i64 * 700 - 500,
            kind: random.below(2) as i32 + 1,
            attributes: (0..n_attributes)
                .map(|_| (KEYS[random.below(4) as usize].to_owned(), random.below(40) as i64))
                .collect(),
            n_events: u32::from(random.below(8) == 0) * 2,
            n_links: u32::from(random.below(9) == 0),
            service: random.below(5) as u32,
        }
    };
    (0..n_spans).map(|_| span(random)).collect()
}

fn driver(resident_bytes_max: u64) -> Driver {
    let objects = MemoryObjects::new();
    let seen: Arc<dyn Objects> = Arc::new(objects.clone());
    Driver::with_options(objects, seen, 1, |options| {
        options.keep = keep_nothing_but_order();
        options.resident_bytes_max = resident_bytes_max;
    })
}

#[test]
fn whatever_happens_units_say_what_scans_say() {
    for seed in 0..10 {
        eprintln!("seed {seed}");
        let mut random = Random(seed);
        let is_spilled = seed % 2 == 0;
        let mut driver = driver(if is_spilled { 0 } else { 1 << 30 });
        let names = [tenant("anna"), tenant("berta")];
        for _ in 0..12 {
            let name = &names[random.below(2) as usize];
            let n_spans = random.below(40) + 1;
            match random.below(12) {
                0..=6 => driver.publish(name, &random_spans(&mut random, n_spans)),
                7..=8 => driver.flush(),
                9 => drop(driver.store.compact().expect("compacts")),
                10 => drop(driver.erase(name, Some(random.below(25) as u32))),
                _ => driver.end_live(),
            }
            for name in &names {
                if is_spilled {
                    driver.wait_until_spilled(name);
                }
                check(&driver, name, &mut random);
            }
        }
    }
}

#[test]
fn a_block_with_attribute_columns_gives_what_scans_say() {
    let mut random = Random(7);
    let mut driver = driver(1 << 30);
    let (anna, berta) = (tenant("anna"), tenant("berta"));
    let many = |random: &mut Random, first_trace: u32| -> Vec<TestSpan> {
        let spans = random_spans(random, 12_000).into_iter().zip(0..);
        let spread = |(span, number): (TestSpan, u32)| TestSpan {
            trace: first_trace + number / 10,
            id: u64::from(number % 10) + 1,
            ..span
        };
        spans.map(spread).collect()
    };
    driver.publish(&anna, &many(&mut random, 0));
    driver.publish(&berta, &random_spans(&mut random, 30));
    driver.flush();
    check(&driver, &anna, &mut random);
    // Some of these traces begin in the block.
    driver.publish(&anna, &random_spans(&mut random, 300));
    driver.publish(&berta, &many(&mut random, 5));
    for name in [&anna, &berta] {
        check(&driver, name, &mut random);
    }
}

#[test]
fn a_snapshot_does_not_see_what_a_chunk_and_its_traces_grow_by() {
    let anna = tenant("anna");
    for resident_bytes_max in [0, 1 << 30] {
        let mut driver = driver(resident_bytes_max);
        let span =
            |trace, id, start, end| TestSpan { trace, id, start, end, ..TestSpan::default() };
        driver.publish(&anna, &[span(1, 1, 500, 600), span(2, 1, 500, 700)]);
        let grows = [span(1, 2, 550, 650), span(3, 1, 900, 950), span(1, 3, 1, 9_000)];
        driver.publish_first(&anna, &grows, 2);
        let before = Arc::new(driver.store.snapshot(&anna));
        driver.publish_rest(&anna, &grows);
        if resident_bytes_max == 0 {
            driver.wait_until_spilled(&anna);
        }
        let mut random = Random(3);
        let times = |snapshot: &Arc<Snapshot>| {
            let read = read(snapshot, None, &mut Random(3));
            let times = read.traces.iter().map(|(id, (trace, texts, _))| {
                (*id, trace.start_unix_nanos, trace.end_unix_nanos, texts.len())
            });
            times.collect::<BTreeSet<_>>()
        };
        let trace = |trace, start, end, n_rows| (trace_id(trace), start, end, n_rows);
        let others = [trace(2, 500, 700, 1), trace(3, 900, 950, 1)];
        let expected = |first| others.into_iter().chain([first]).collect::<BTreeSet<_>>();
        assert_eq!(times(&before), expected(trace(1, 500, 650, 2)));
        assert_eq!(times(&Arc::new(driver.store.snapshot(&anna))), expected(trace(1, 1, 9_000, 3)));
        check(&driver, &anna, &mut random);
    }
}

#[test]
fn units_without_a_trace_in_the_range_are_left_out_and_counted() {
    let anna = tenant("anna");
    let mut driver = driver(1 << 30);
    let span = |trace, id, start, end| TestSpan { trace, id, start, end, ..TestSpan::default() };
    driver.publish(&anna, &[span(1, 1, 100, 200)]);
    driver.flush();
    driver.publish(&anna, &[span(2, 1, 1_000, 1_100), span(3, 1, 5_000, 5_100)]);
    driver.flush();
    // A trace that goes on in the next chunk, and one that began in the first block.
    driver.publish(&anna, &[span(4, 1, 10_000, 10_100)]);
    driver.publish(&anna, &[span(4, 2, 12_000, 12_100), span(1, 2, 11_000, 11_100)]);
    driver.publish(&anna, &[span(5, 1, 20_000, 20_100)]);
    let snapshot = Arc::new(driver.store.snapshot(&anna));
    let split = snapshot.split().expect("readable");
    let n_units = |min_unix_nanos, max_unix_nanos| {
        let range = TimeRange { min_unix_nanos, max_unix_nanos };
        let (units, n_outside) = snapshot.units(&split, Some(range));
        assert_eq!(units.len() as u64 + n_outside, 5);
        units.len()
    };
    assert_eq!(n_units(0, 50), 0);
    // The first block, and the chunk with the other piece of its trace.
    assert_eq!(n_units(0, 150), 2);
    assert_eq!(n_units(1_050, 1_060), 3);
    // Both chunks of the trace.
    assert_eq!(n_units(10_050, 10_060), 3);
    assert_eq!(n_units(12_050, 12_060), 2);
    assert_eq!(n_units(20_050, 30_000), 1);
}

#[test]
fn ranges_in_both_lists_are_what_they_have_in_common() {
    let check = |ones: &[Range<u32>], others: &[Range<u32>], wanted: &[Range<u32>]| {
        assert_eq!(in_both(ones, others), wanted);
        assert_eq!(in_both(others, ones), wanted);
    };
    check(&[0..10, 20..30], &[5..25, 28..40], &[5..10, 20..25, 28..30]);
    check(&[0..10, 20..30], &[10..20, 30..31], &[]);
    check(&[], &[1..2, 3..4], &[]);
}

#[test]
fn a_block_that_breaks_is_named_and_the_other_pieces_are_put_together() {
    let anna = tenant("anna");
    let mut driver = driver(1 << 30);
    let span = |trace, id| TestSpan { trace, id, start: 10, end: 20, ..TestSpan::default() };
    driver.publish(&anna, &[span(1, 1), span(2, 1)]);
    driver.flush();
    driver.publish(&anna, &[span(1, 2), span(3, 1)]);
    let read = read(&Arc::new(driver.store.snapshot(&anna)), None, &mut Random(1));
    let block = *driver.store.0.view().blocks.keys().next().expect("a block");
    let source = read.snapshot.blocks.first().expect("a block");
    source.block.break_for_test("somebody sat on the disk");
    let traces: Vec<TraceRef> = read.traces.values().map(|(trace, ..)| *trace).collect();
    let mut n_rows = BTreeMap::new();
    let columns = Columns::default();
    let skipped = read
        .snapshot
        .assemble(&read.split, &traces, &columns, &ReadMeter::default(), &mut |trace| {
            let rows: usize = trace.pieces.iter().map(|piece| piece.rows.len()).sum();
            n_rows.insert(trace.trace.id, rows);
            ControlFlow::Continue(())
        })
        .expect("the rest goes on");
    assert_eq!(skipped.iter().map(|skipped| skipped.block).collect::<Vec<_>>(), [block]);
    assert_eq!(n_rows, BTreeMap::from([(trace_id(1), 1), (trace_id(2), 0), (trace_id(3), 1)]));
    let (units, _) = read.snapshot.units(&read.split, None);
    let failed = units.iter().filter(|unit| unit.open(&ReadMeter::default()).is_err());
    assert_eq!(failed.count(), 1);
}

#[test]
fn live_chunks_know_between_which_integers_values_lie() {
    let anna = tenant("anna");
    for resident_bytes_max in [0, 1 << 30] {
        let mut driver = driver(resident_bytes_max);
        let span = |id, value| TestSpan {
            trace: 1,
            id,
            start: 10,
            end: 20,
            attributes: vec![("n".to_owned(), value)],
            ..TestSpan::default()
        };
        let grows = [span(1, 7), span(2, -21), span(3, 42)];
        let unit_of = |driver: &Driver| {
            let snapshot = Arc::new(driver.store.snapshot(&anna));
            let split = snapshot.split().expect("readable");
            snapshot.units(&split, None).0.pop().expect("a chunk")
        };
        let check = |unit: &Unit, value: i64, is_possible: bool| {
            assert_eq!(unit.may_contain(&Probe::SpanInt { key: "n", value }), is_possible);
            let above = Between::SpanInt { key: "n", min: value, max: i64::MAX };
            assert_eq!(unit.may_lie_between(&above), value <= 42);
            assert!(unit.may_contain(&Probe::SpanText { key: "n", text: "7" }));
        };
        driver.publish_first(&anna, &grows, 2);
        let before = unit_of(&driver);
        // What is not seen yet is not ruled out, and what comes is not either.
        for value in [7, -21] {
            check(&before, value, true);
        }
        driver.publish_rest(&anna, &grows);
        if resident_bytes_max == 0 {
            driver.wait_until_spilled(&anna);
        }
        for unit in [&before, &unit_of(&driver)] {
            for value in [7, -21, 42] {
                check(unit, value, true);
            }
            for value in [-22, 43, i64::MIN, i64::MAX] {
                check(unit, value, false);
            }
        }
        assert!(!before.may_contain(&Probe::SpanInt { key: "nobody has it", value: 7 }));
    }
}
