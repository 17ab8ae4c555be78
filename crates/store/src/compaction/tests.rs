//! Compaction against the obvious merge: all spans of all blocks, the last of each key.

use std::sync::Arc;

use suyuan_objects::Objects;
use suyuan_objects::faulty::{FaultyObjects, MemoryObjects, Plan};

use crate::tests::driver::{Driver, Random, TestSpan, keep_nothing_but_order, tenant};

/// Spans of some traces, some of them sent before, as they were or ended later.
fn random_spans(random: &mut Random, n_spans: u64, n_traces: u64, n_keys: u64) -> Vec<TestSpan> {
    let span = |random: &mut Random| {
        let mut attributes: Vec<(String, i64)> = (0..random.below(6))
            .map(|_| (format!("key.{}", random.below(n_keys)), random.below(1_000) as i64))
            .collect();
        if random.below(10) == 0 && !attributes.is_empty() {
            attributes.push(attributes[0].clone());
        }
        let id = random.below(12) + 1;
        TestSpan {
            trace: random.below(n_traces) as u32,
            id,
            parent: (random.below(4) > 0).then(|| random.below(12) + 1),
            start: id as i64 * 1_000_000,
            // Two that end at once are one sent twice: what they say is the same.
            end: random.below(1 << 40) as i64,
            kind: random.below(3) as i32,
            attributes,
            n_events: (random.below(8) == 0).into(),
            n_links: (random.below(16) == 0).into(),
            service: random.below(5) as u32,
        }
    };
    let mut spans: Vec<TestSpan> = (0..n_spans).map(|_| span(random)).collect();
    for at in 0..spans.len() {
        if random.below(10) == 0 {
            let again = spans[at].clone();
            spans.push(again);
        }
    }
    spans
}

fn random_blocks(driver: &mut Driver, seed: u64, n_blocks: u64, n_spans: u64, n_keys: u64) {
    let mut random = Random(seed);
    for _ in 0..n_blocks {
        for name in ["anna", "berta", "carla"] {
            if random.below(4) > 0 {
                let n_spans = random.below(n_spans);
                let spans = random_spans(&mut random, n_spans, 60, n_keys);
                driver.publish(&tenant(name), &spans);
            }
        }
        driver.flush();
    }
}

#[test]
fn small_blocks_become_one_that_holds_what_they_held_once() {
    for seed in 0..12 {
        eprintln!("seed {seed}");
        let mut driver = Driver::new();
        random_blocks(&mut driver, seed, 5, 300, 40);
        driver.check_lookups();
        let rows_before = driver.block_rows();
        let report = driver.store.compact().expect("compacts");
        assert_eq!((report.compactions, driver.n_blocks()), (1, 1));
        assert_eq!(report.rows_in, rows_before);
        assert_eq!(report.rows_in - report.duplicates_removed, report.rows_out);
        assert!(report.split_traces_merged > 0);
        driver.check_exactly();
        assert_eq!(driver.store.compact().expect("nothing to do").compactions, 0);
    }
}

#[test]
fn blocks_with_columns_and_with_lists_and_20_000_keys_become_one() {
    let mut driver = Driver::new();
    let mut random = Random(77);
    let anna = tenant("anna");
    for (n_spans, n_keys) in [(12_000, 20_000), (900, 20_000), (11_000, 30), (10_500, 20_000)] {
        let mut spans = random_spans(&mut random, n_spans, 150, n_keys);
        for (at, span) in spans.iter_mut().enumerate() {
            // Otherwise most of them repeat each other.
            span.id = at as u64 + 1;
        }
        driver.publish(&anna, &spans);
        driver.flush();
    }
    // The list has no overflow columns and counts as one of 16, the third has keys in all of 16.
    assert_eq!(overflow_columns(&driver), [64, 16, 16, 64]);
    assert_eq!(driver.store.compact().expect("compacts").compactions, 1);
    assert_eq!(overflow_columns(&driver), [64]);
    driver.check_exactly();
}

/// Of each block, the oldest first.
fn overflow_columns(driver: &Driver) -> Vec<u32> {
    let view = driver.store.0.view();
    let mut metas: Vec<_> = view.blocks.values().filter_map(|block| block.meta()).collect();
    metas.sort_by_key(|meta| meta.id);
    metas.iter().map(|meta| meta.overflow_columns.count()).collect()
}

#[test]
fn blocks_of_16_overflow_columns_become_one_of_64_when_together_they_have_the_keys() {
    let mut driver = Driver::new();
    let mut random = Random(78);
    let anna = tenant("anna");
    for part in 0..2u64 {
        // 130 keys of seven types in each, 128 of which have a column.
        let mut spans = random_spans(&mut random, 10_500, 150, 130);
        for (at, span) in (0..).zip(&mut spans) {
            span.id = part * 100_000 + at + 1;
            for (key, _) in &mut span.attributes {
                *key = format!("part.{part}.{key}");
            }
        }
        driver.publish(&anna, &spans);
        driver.flush();
    }
    assert_eq!(overflow_columns(&driver), [16, 16]);
    assert_eq!(driver.store.compact().expect("compacts").compactions, 1);
    assert_eq!(overflow_columns(&driver), [64]);
    driver.check_exactly();
}

#[test]
fn a_compacted_block_is_compacted_again_and_keeps_when_spans_were_received() {
    let mut driver = Driver::new();
    let anna = tenant("anna");
    for round in 0..4u32 {
        for part in 0..4u32 {
            driver.set_received(u64::from(round * 4 + part + 1) * 1_500_000_000);
            let spans = |span: u64| TestSpan { trace: round, id: span + 1, ..TestSpan::default() };
            driver.publish(&anna, &[spans(part.into()), spans(100 + u64::from(part))]);
            driver.flush();
        }
        driver.store.compact().expect("compacts");
    }
    driver.check_exactly();
    let view = driver.store.0.view();
    let received = view.blocks.values().filter_map(|block| block.meta());
    let received = received.map(|meta| meta.received_unix_nanos);
    let all = received.reduce(suyuan_model::UnixNanosRange::union).expect("blocks");
    assert_eq!((all.min, all.max), (1_500_000_000, 24_000_000_000));
    let levels = view.blocks.values().filter_map(|block| block.meta());
    assert!(levels.map(|meta| meta.compaction_level).max() > Some(1));
}

#[test]
fn two_that_compact_the_same_blocks_do_it_once() {
    let objects = MemoryObjects::new();
    let mut one = Driver::on(objects.clone(), 1, keep_nothing_but_order());
    let mut other = Driver::on(objects.clone(), 2, keep_nothing_but_order());
    random_blocks(&mut one, 5, 2, 200, 20);
    random_blocks(&mut other, 6, 3, 200, 20);
    let (one_store, other_store) = (one.store.clone(), other.store.clone());
    std::thread::scope(|scope| {
        let one = scope.spawn(move || one_store.compact());
        let other = scope.spawn(move || other_store.compact());
        let compactions = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            let report: Result<crate::CompactionReport, crate::CompactError> =
                thread.join().expect("does not panic");
            report.expect("compacts").compactions
        };
        assert_eq!(compactions(one) + compactions(other), 1);
    });
    let expected = std::mem::take(&mut other.expected);
    let mut both = std::mem::take(&mut one.expected);
    both.add_all(&expected);
    for store in [&one.store, &other.store] {
        store.keep_once().expect("looks at the catalog");
        both.check(store);
    }
    assert_eq!(one.n_blocks(), 1);
    let folders = objects.list("blocks").expect("listed");
    let n_spans_files = folders.iter().filter(|object| object.path.ends_with("spans.parquet"));
    // The five that were merged wait for their readers; the loser's is gone.
    assert_eq!(n_spans_files.count(), 6);
}

#[test]
fn who_holds_an_old_view_reads_on_until_the_grace_is_over() {
    let mut driver = Driver::new();
    random_blocks(&mut driver, 9, 4, 200, 20);
    let old = driver.store.0.view();
    driver.store.compact().expect("compacts");
    driver.store.keep_once().expect("cleans");
    let rows = |block: &crate::blocks::Block| {
        let inner = &driver.store.0;
        let reader = block.reader(&inner.options.objects, &inner.read_cache).expect("opens");
        let slice = |tenant| reader.slice(tenant, 0).map(|chunk| chunk.n_rows());
        (0..reader.meta().tenants.len() as u32).map(slice).collect::<Result<Vec<_>, _>>()
    };
    assert!(old.blocks.values().all(|block| rows(block).is_ok()));

    driver.objects.advance_clock(
        u64::try_from(std::time::Duration::from_secs(3_600).as_nanos()).expect("an hour"),
    );
    driver.store.keep_once().expect("cleans");
    assert!(old.blocks.values().all(|block| rows(block).is_err()));
    assert!(driver.store.0.catalog.state().removed.is_empty());
    driver.check_exactly();
}

#[test]
fn a_store_that_fails_at_any_call_loses_and_doubles_nothing() {
    let seeds = 40;
    let mut n_failures = 0;
    for seed in 0..seeds {
        let objects = MemoryObjects::new();
        let mut filler = Driver::on(objects.clone(), 1, keep_nothing_but_order());
        random_blocks(&mut filler, 3, 4, 60, 10);
        let expected = std::mem::take(&mut filler.expected);
        drop(filler);
        let faulty = FaultyObjects::new(objects.clone(), Plan::default());
        let driver = Driver::over(objects, Arc::new(faulty.clone()), 2, keep_nothing_but_order());
        faulty.set_plan(Plan::random(seed, 12));
        for _ in 0..200 {
            match driver.store.compact() {
                Ok(_) => break,
                Err(_) => n_failures += 1,
            }
        }
        faulty.set_plan(Plan::default());
        driver.store.compact().expect("compacts at last");
        assert_eq!(driver.n_blocks(), 1, "seed {seed}");
        expected.check(&driver.store);
        assert_eq!(driver.block_rows(), expected.n_spans(), "seed {seed}");
    }
    assert!(n_failures > seeds / 4, "faults were met: {n_failures}");
}
