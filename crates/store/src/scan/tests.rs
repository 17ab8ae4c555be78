//! Scans against lookups, trace by trace, and against all that was ever sent.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use suyuan_block::TimeRange;
use suyuan_block::traces::{TraceSummary, merged};
use suyuan_ids::TraceId;
use suyuan_model::{Tenant, TraceRows};
use suyuan_objects::Objects;
use suyuan_objects::faulty::MemoryObjects;

use super::rows_without;
use crate::split::SHARED_TRACE_BYTES;
use crate::tests::driver::{
    Driver, Random, TestSpan, keep_nothing_but_order, tenant, text_of_row, trace_id,
};
use crate::{ScanReport, Snapshot, Store};

const HOUR_NANOS: u64 = 3_600_000_000_000;

/// What a scan says of each trace, in words; sorted.
fn rows_of(snapshot: &Snapshot, range: Option<TimeRange>) -> (Vec<String>, ScanReport) {
    let mut rows = Vec::new();
    let report = snapshot.trace_rows(range, |id, summary| {
        rows.push(row_text(id, &summary));
        ControlFlow::Continue(())
    });
    rows.sort();
    (rows, report.expect("readable"))
}

fn row_text(id: TraceId, summary: &TraceSummary<'_>) -> String {
    format!("{id} {summary:?}")
}

/// What the spans of a scan say; sorted. No batch holds a part of a trace.
fn spans_of(snapshot: &Snapshot) -> (Vec<String>, ScanReport) {
    let mut spans = Vec::new();
    let mut batches: BTreeMap<TraceId, u32> = BTreeMap::new();
    let mut number = 0;
    let report = snapshot.spans(None, |pieces| {
        number += 1;
        for piece in pieces {
            assert!(piece.rows.is_sorted());
            for row in &piece.rows {
                let id = piece.chunk.trace_id(*row);
                assert_eq!(*batches.entry(id).or_insert(number), number, "batches of {id}");
                spans.push(format!("{id} {}", text_of_row(&piece.chunk, *row)));
            }
        }
        ControlFlow::Continue(())
    });
    spans.sort();
    (spans, report.expect("readable"))
}

/// What lookups say of all traces of a tenant.
fn looked_up(driver: &Driver, tenant: &Tenant) -> Vec<String> {
    let mut rows: Vec<String> = (driver.expected.traces(tenant).into_iter())
        .map(|trace| {
            let found = driver.store.find_trace(tenant, trace_id(trace)).expect("readable");
            row_text(trace_id(trace), &merged(&found.rows).expect("known"))
        })
        .collect();
    rows.sort();
    rows
}

/// Scans say of every trace what a lookup says, and give every span once.
fn check(driver: &Driver, tenant: &Tenant) {
    check_snapshot(&driver.store.snapshot(tenant), driver, tenant);
}

fn check_snapshot(snapshot: &Snapshot, driver: &Driver, tenant: &Tenant) {
    let (rows, report) = rows_of(snapshot, None);
    assert_eq!(report.skipped, []);
    assert_eq!(rows, looked_up(driver, tenant));
    let (spans, report) = spans_of(snapshot);
    assert_eq!(report.skipped, []);
    assert_eq!(spans, driver.expected.texts(tenant));
}

fn span(trace: u32, id: u64) -> TestSpan {
    TestSpan {
        trace,
        id,
        parent: (id > 1).then_some(1),
        start: 1_000 + id as i64,
        end: 2_000 + id as i64,
        kind: 1,
        ..TestSpan::default()
    }
}

fn split_ids(store: &Store, tenant: &Tenant) -> Vec<TraceId> {
    let split = store.snapshot(tenant).split().expect("readable");
    split.iter().map(|trace| trace.id()).collect()
}

#[test]
fn pieces_in_live_data_and_three_blocks_are_one_trace_in_every_combination() {
    let anna = tenant("anna");
    let mut driver = Driver::new();
    for source in 0..4u32 {
        let in_source = (1..16u32).filter(|trace| trace & (1 << source) != 0);
        let spans: Vec<TestSpan> = in_source
            .flat_map(|trace| {
                // One of its own, one that every source has, and one that ends later and later.
                let own = span(trace, 10 + u64::from(source));
                let update = TestSpan { end: 5_000 + i64::from(source), ..span(trace, 3) };
                [own, span(trace, 1), update]
            })
            .collect();
        driver.publish(&anna, &spans);
        if source < 3 {
            driver.flush();
        }
        check(&driver, &anna);
    }
    let mut shared: Vec<TraceId> =
        (1..16u32).filter(|trace| trace.count_ones() > 1).map(trace_id).collect();
    shared.sort();
    assert_eq!(split_ids(&driver.store, &anna), shared);
    let split = driver.store.snapshot(&anna).split().expect("readable");
    let n_pieces = |trace: u32| {
        let found = split.iter().find(|split| split.id() == trace_id(trace));
        found.map_or(1, |split| split.n_pieces())
    };
    assert!((1..16u32).all(|trace| n_pieces(trace) == trace.count_ones() as usize));
    assert!(split.contains(trace_id(3)) && !split.contains(trace_id(4)));
}

#[test]
fn copies_that_end_at_once_and_say_different_things_are_settled_by_their_content() {
    let anna = tenant("anna");
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut driver = Driver::new();
        for (service, is_last) in order.into_iter().zip([false, false, true]) {
            let copy = TestSpan { service, ..span(7, 1) };
            driver.publish(&anna, &[copy, span(7, 2 + u64::from(service))]);
            if !is_last {
                driver.flush();
            }
        }
        // The rule of this test's expectation is another one than the store's: ask lookups.
        let (rows, _) = rows_of(&driver.store.snapshot(&anna), None);
        assert_eq!(rows, looked_up(&driver, &anna));
        let (spans, _) = spans_of(&driver.store.snapshot(&anna));
        let found = driver.store.find_trace(&anna, trace_id(7)).expect("readable").rows;
        let standing = suyuan_block::traces::standing(&found);
        assert_eq!(spans, texts(&standing));
        assert_eq!(spans.len(), 4);
    }
}

fn texts(rows: &TraceRows) -> Vec<String> {
    let mut texts: Vec<String> = (rows.places())
        .map(|(piece, row)| {
            let chunk = &rows.pieces[piece].chunk;
            format!("{} {}", chunk.trace_id(row), text_of_row(chunk, row))
        })
        .collect();
    texts.sort();
    texts
}

#[test]
fn pieces_beyond_the_horizon_stay_pieces_in_scans_and_are_whole_in_lookups() {
    let anna = tenant("anna");
    let mut driver = Driver::new();
    // The second is near the first, the third near nobody, the fourth near the third.
    for (piece, hours) in [(1, 10), (2, 11), (3, 13), (4, 14)] {
        driver.set_received(hours * HOUR_NANOS);
        driver.publish(&anna, &[span(7, piece)]);
        if piece < 4 {
            driver.flush();
        }
    }
    let snapshot = driver.store.snapshot(&anna);
    let split = snapshot.split().expect("readable");
    assert_eq!((split.len(), split.n_left_out()), (2, 0));
    assert!(split.iter().all(|trace| trace.n_pieces() == 2 && trace.summary().n_spans == 2));
    assert_eq!(rows_of(&snapshot, None).0.len(), 2);
    driver.check_lookups();
    let pieces: u32 = split.iter().map(|trace| trace.summary().n_spans).sum();
    assert_eq!(pieces, 4);
}

#[test]
fn a_snapshot_stays_as_it_is_while_rows_come_and_blocks_change() {
    let anna = tenant("anna");
    let mut driver = Driver::new();
    driver.publish(&anna, &[span(1, 1), span(2, 1), span(3, 1)]);
    driver.flush();
    driver.publish(&anna, &[span(1, 2), span(4, 1)]);
    driver.flush();
    driver.publish(&anna, &[span(2, 2), span(5, 1)]);
    let (held, late) = (driver.store.snapshot(&anna), driver.store.snapshot(&anna));
    let (rows, spans) = (rows_of(&held, None).0, spans_of(&held).0);
    check_snapshot(&held, &driver, &anna);
    let changes: [&dyn Fn(&mut Driver); 4] = [
        &|driver| driver.publish(&anna, &[span(1, 3), span(5, 2), span(6, 1)]),
        &|driver| driver.flush(),
        &|driver| driver.publish(&anna, &[span(1, 4), span(6, 2)]),
        &|driver| assert!(driver.store.compact().expect("compacts").compactions > 0),
    ];
    for change in changes {
        change(&mut driver);
        assert_eq!((rows_of(&held, None).0, spans_of(&held).0), (rows.clone(), spans.clone()));
        check(&driver, &anna);
    }
    // The same, though it asks for its split set only now.
    assert_eq!((rows_of(&late, None).0, spans_of(&late).0), (rows, spans));
}

#[test]
fn a_range_of_time_leaves_out_traces_that_have_no_moment_in_it() {
    let anna = tenant("anna");
    let mut driver = Driver::new();
    let at = |trace: u32, id, start, end| TestSpan { start, end, ..span(trace, id) };
    driver.publish(&anna, &[at(1, 1, 10, 20), at(2, 1, 30, 5), at(3, 1, 100, 110)]);
    driver.flush();
    driver.publish(&anna, &[at(3, 2, 200, 300), at(4, 1, 50, 60)]);
    driver.flush();
    driver.publish(&anna, &[at(1, 2, 15, 40), at(5, 1, 70, 70)]);
    let all = looked_up(&driver, &anna);
    let snapshot = driver.store.snapshot(&anna);
    for (min_unix_nanos, max_unix_nanos, wanted) in [
        (0, 4, vec![]),
        (5, 5, vec![]),
        (30, 30, vec![1, 2]),
        (31, 40, vec![1]),
        (41, 49, vec![]),
        (70, 70, vec![5]),
        (120, 130, vec![3]),
        (0, 400, vec![1, 2, 3, 4, 5]),
    ] {
        let range = TimeRange { min_unix_nanos, max_unix_nanos };
        let (rows, report) = rows_of(&snapshot, Some(range));
        let is_wanted = |row: &&String| {
            wanted.iter().any(|trace| row.starts_with(&trace_id(*trace).to_string()))
        };
        assert_eq!(
            rows.iter().collect::<Vec<_>>(),
            all.iter().filter(is_wanted).collect::<Vec<_>>()
        );
        assert_eq!(report.n_slices_read + report.n_slices_skipped, 2);
    }
    assert_eq!(rows_of(&snapshot, Some(TimeRange::of(400))).1.n_slices_read, 0);
}

#[test]
fn a_scan_ends_when_the_visitor_has_enough() {
    let anna = tenant("anna");
    let mut driver = Driver::new();
    driver.publish(&anna, &[span(1, 1), span(2, 1), span(3, 1)]);
    driver.flush();
    driver.publish(&anna, &[span(1, 2), span(4, 1)]);
    for n_wanted in 1..=4 {
        let mut n_seen = 0;
        let report = driver.store.snapshot(&anna).trace_rows(None, |_, _| {
            n_seen += 1;
            if n_seen < n_wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        assert_eq!((n_seen, report.expect("readable").is_stopped), (n_wanted, true));
    }
}

#[test]
fn a_block_that_cannot_be_read_is_named_and_all_others_are_served() {
    let anna = tenant("anna");
    let mut driver = Driver::new();
    for piece in 1..=3 {
        driver.publish(&anna, &[span(1, piece), span(10 + piece as u32, 1)]);
        driver.flush();
    }
    let mut driver = driver.reopen(keep_nothing_but_order());
    driver.publish(&anna, &[span(1, 4)]);
    let middle = *driver.store.0.view().blocks.keys().nth(1).expect("three blocks");
    driver.objects.delete(&format!("blocks/{middle}/spans.parquet")).expect("deleted");
    // The thread in the background may have opened the file before.
    let driver = reread(driver, &anna);
    let snapshot = driver.store.snapshot(&anna);
    let (rows, report) = rows_of(&snapshot, None);
    assert_eq!(report.skipped.iter().map(|s| s.block).collect::<Vec<_>>(), [middle]);
    assert_eq!(rows.len(), 3, "{rows:?}");
    let (spans, report) = spans_of(&snapshot);
    assert_eq!(report.skipped.iter().map(|s| s.block).collect::<Vec<_>>(), [middle]);
    assert_eq!(spans.len(), 5);
}

/// Opens the store again, with the live data it had.
fn reread(driver: Driver, tenant: &Tenant) -> Driver {
    let mut driver = driver.reopen(keep_nothing_but_order());
    driver.publish(tenant, &[span(1, 4)]);
    driver
}

#[test]
fn what_does_not_fit_into_memory_is_answered_as_pieces_and_counted() {
    let anna = tenant("anna");
    let objects = MemoryObjects::new();
    let seen: Arc<dyn Objects> = Arc::new(objects.clone());
    let mut driver = Driver::with_options(objects, seen, 1, |options| {
        options.keep = keep_nothing_but_order();
        options.split_bytes_max = 3 * SHARED_TRACE_BYTES;
    });
    for piece in 1..=3 {
        let spans: Vec<TestSpan> = (1..=10).map(|trace| span(trace, piece)).collect();
        driver.publish(&anna, &spans);
        if piece < 3 {
            driver.flush();
        }
    }
    let snapshot = driver.store.snapshot(&anna);
    let split = snapshot.split().expect("readable");
    // Three of live data and a block, three of two blocks; they may be the same traces.
    assert!((3..=6).contains(&split.len()), "{}", split.len());
    assert_eq!(split.n_left_out(), 7 + 20 - 3);
    let (spans, report) = {
        let mut n_spans = 0;
        let report = snapshot.spans(None, |pieces| {
            n_spans += pieces.iter().map(|piece| piece.rows.len()).sum::<usize>();
            ControlFlow::Continue(())
        });
        (n_spans, report.expect("readable"))
    };
    assert_eq!((spans, report.n_left_out), (30, split.n_left_out()));
    driver.check_lookups();
}

#[test]
fn versions_change_with_what_is_split_and_not_otherwise() {
    let anna = tenant("anna");
    let mut driver = Driver::new();
    driver.publish(&anna, &[span(1, 1), span(2, 1)]);
    driver.flush();
    driver.publish(&anna, &[span(1, 2), span(3, 1)]);
    driver.flush();
    let split = || driver.store.snapshot(&anna).split().expect("readable");
    let first = split();
    let blocks: Vec<_> = driver.store.0.view().blocks.keys().copied().collect();
    let versions = blocks.iter().map(|block| first.version_of(*block)).collect::<Vec<_>>();
    assert!(versions.iter().all(|version| *version != 0));
    assert_eq!(split().version(), first.version());
    driver.publish(&anna, &[span(2, 2)]);
    let second = driver.store.snapshot(&anna).split().expect("readable");
    assert_ne!(second.version(), first.version());
    assert_ne!(second.version_of(blocks[0]), versions[0]);
    assert_eq!(second.version_of(blocks[1]), versions[1]);
}

/// Spans of few traces, many of them sent before, as they were or ended later.
fn random_spans(random: &mut Random) -> Vec<TestSpan> {
    let n_spans = random.below(40) + 1;
    (0..n_spans)
        .map(|_| {
            let id = random.below(6) + 1;
            TestSpan {
                trace: random.below(25) as u32,
                id,
                parent: (random.below(3) > 0).then(|| random.below(6) + 1),
                start: id as i64 * 1_000,
                // Two that end at once are one sent twice: what they say is the same.
                end: random.below(1 << 40) as i64,
                kind: random.below(2) as i32,
                n_events: (random.below(8) == 0).into(),
                service: random.below(5) as u32,
                ..TestSpan::default()
            }
        })
        .collect()
}

#[test]
fn whatever_happens_scans_say_what_lookups_say() {
    for seed in 0..12 {
        eprintln!("seed {seed}");
        let mut random = Random(seed);
        let mut driver = Driver::new();
        let names = [tenant("anna"), tenant("berta")];
        let mut sent: Vec<TestSpan> = Vec::new();
        for step in 0..14 {
            let name = &names[random.below(2) as usize];
            match random.below(12) {
                0..=5 => {
                    let mut spans = random_spans(&mut random);
                    let again = random.below(10).min(sent.len() as u64) as usize;
                    spans.extend_from_slice(&sent[sent.len() - again..]);
                    sent.extend_from_slice(&spans);
                    driver.publish(name, &spans);
                }
                6..=8 if step <= 9 => driver.flush(),
                9 if step > 9 => {
                    driver.pause_seals();
                    driver.end_live();
                }
                10 if step <= 9 => {
                    driver.store.compact().expect("compacts");
                }
                11 if step <= 9 => {
                    let trace = random.below(25) as u32;
                    driver.erase(name, Some(trace));
                }
                _ => {
                    let spans = random_spans(&mut random);
                    driver.publish(name, &spans);
                }
            }
            for name in &names {
                check(&driver, name);
            }
            if step > 9 {
                continue;
            }
            driver.check_lookups();
        }
    }
}

#[test]
fn rows_of_others_are_left_out() {
    let check = |within, others: &[std::ops::Range<u32>], wanted: &[u32]| {
        assert_eq!(rows_without(within, others), wanted);
    };
    check(5..9, &[], &[0, 1, 2, 3]);
    check(5..9, &[5..6, 8..9], &[1, 2]);
    check(5..9, &[5..7, 7..9], &[]);
    check(0..4, &[1..2, 2..3], &[0, 3]);
}

#[test]
fn a_tenant_who_has_nothing_takes_no_memory() {
    let mut driver = Driver::new();
    // Only who asks shall compute anything.
    driver.store.0.splitter.stop();
    let n_known = |driver: &Driver| driver.store.0.splits.n_tenants();
    for name in ["nobody", "nemo"] {
        assert!(driver.store.snapshot(&tenant(name)).split().expect("known").is_empty());
    }
    assert_eq!(n_known(&driver), 0);
    let anna = tenant("anna");
    driver.publish(&anna, &[span(1, 1)]);
    driver.flush();
    driver.publish(&anna, &[span(1, 2)]);
    assert_eq!(driver.store.snapshot(&anna).split().expect("readable").len(), 1);
    assert_eq!(n_known(&driver), 1);
    driver.erase(&anna, None);
    driver.flush();
    driver.store.compact().expect("compacts");
    driver.store.0.splits.retain(&driver.store.0.view());
    assert_eq!(n_known(&driver), 0);
}
