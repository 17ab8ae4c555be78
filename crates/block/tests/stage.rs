//! Chunks to the columns of slices and back: every row says what it said before.
//!
//! Random tables, cut into chunks, ordered as a block orders them, staged slice by slice, read back
//! in pieces. Equal are: what [`content_hash`] covers (everything an answer shows), the times and
//! counts that it does not, and the attributes as text.

#[path = "stage/columns.rs"]
mod columns;
#[path = "stage/pruning.rs"]
mod pruning;
#[path = "stage/support.rs"]
mod support;

use suyuan_block::layout::{KeyCounts, Layout, OverflowColumns};
use suyuan_block::stage::{SharedRows, SliceColumns, SliceStage, Trees};
use suyuan_block::unstage::{SpanParts, unstage};
use suyuan_block::{Column, Values};
use suyuan_testkit::random::Random;

use support::{Block, Shape, chunks_of, corpus, names, stage};

/// Rows of which a block has so many that its attributes are columns.
const MANY: u64 = 10_000;

fn check(shape: Shape, n_rows_told: u64, seed: u64) {
    let mut random = Random::new(seed);
    let chunks = chunks_of(&mut random, shape);
    let block = stage(&chunks, n_rows_told, &mut random);
    assert_eq!(block.layout.overflow_columns(), overflow_columns_of(shape), "seed {seed}");
    block.check_rows(&chunks, seed);
}

/// How many overflow columns blocks of random tables have.
fn overflow_columns_of(shape: Shape) -> OverflowColumns {
    match shape {
        Shape::KeysWithoutEnd => OverflowColumns::SixtyFour,
        Shape::FewKeys | Shape::ManyKeys | Shape::DistinctTexts => OverflowColumns::Sixteen,
    }
}

#[test]
fn attributes_as_a_list_come_back() {
    (0..40).for_each(|seed| check(Shape::FewKeys, 100, seed));
}

#[test]
fn attributes_as_columns_come_back() {
    (0..40).for_each(|seed| check(Shape::FewKeys, MANY, seed));
}

#[test]
fn columns_rank_with_overflow_and_keys_that_come_twice() {
    (0..20).for_each(|seed| check(Shape::ManyKeys, MANY, seed));
    // Most keys are too rare for a column of so many rows.
    (20..40).for_each(|seed| check(Shape::ManyKeys, 200_000, seed));
}

#[test]
fn keys_beyond_the_directory_come_back() {
    (0..2).for_each(|seed| check(Shape::KeysWithoutEnd, MANY, seed));
}

#[test]
fn columns_without_a_dictionary_come_back() {
    (0..4).for_each(|seed| check(Shape::DistinctTexts, MANY, seed));
}

#[test]
fn requests_of_every_shape_come_back() {
    for seed in 0..30 {
        let chunks = corpus(seed);
        for n_rows_told in [100, MANY] {
            let mut random = Random::new(seed);
            stage(&chunks, n_rows_told, &mut random).check_rows(&chunks, seed);
        }
    }
}

#[test]
fn a_layout_that_comes_from_its_own_entries_reads_the_same() {
    let check = |shape: Shape, seed: u64| {
        let mut random = Random::new(seed);
        let chunks = chunks_of(&mut random, shape);
        let mut block = stage(&chunks, 200_000, &mut random);
        let entries: Vec<_> = block.layout.entries().cloned().collect();
        block.layout = Layout::from_entries(&entries, block.layout.overflow_columns());
        block.check_rows(&chunks, seed);
    };
    (0..10).for_each(|seed| check(Shape::ManyKeys, seed));
    check(Shape::KeysWithoutEnd, 10);
}

#[test]
fn overflow_that_is_read_as_another_number_of_columns_is_refused() {
    let check = |shape: Shape, wrong: OverflowColumns, expected: &str| {
        let mut random = Random::new(4);
        let chunks = chunks_of(&mut random, shape);
        let mut block = stage(&chunks, 200_000, &mut random);
        let entries: Vec<_> = block.layout.entries().cloned().collect();
        block.layout = Layout::from_entries(&entries, wrong);
        let error = block.read(0).expect_err("there is something in the overflow").to_string();
        assert!(error.contains(expected), "{error}");
    };
    let expected = "column `overflow_16` is none of the block's 16 overflow columns";
    check(Shape::KeysWithoutEnd, OverflowColumns::Sixteen, expected);
    check(Shape::ManyKeys, OverflowColumns::SixtyFour, "belongs elsewhere");
}

#[test]
fn columns_that_were_not_asked_for_are_as_if_nobody_had_them() {
    let mut random = Random::new(7);
    let chunks = chunks_of(&mut random, Shape::FewKeys);
    let block = stage(&chunks, MANY, &mut random);
    let slice = block.slices.iter().max_by_key(|slice| slice.n_rows).expect("there are slices");
    let all = names(&slice.specs);
    let attribute = all.iter().zip(&slice.columns.spans).find_map(|(name, column)| {
        let is_there = name.starts_with("attr:") && !column.values.is_empty();
        is_there.then_some(*name)
    });
    let kept = ["span_id", "start_unix_nanos", attribute.expect("some row has attributes")];
    let places: Vec<usize> =
        kept.iter().filter_map(|name| all.iter().position(|other| other == name)).collect();
    assert_eq!(places.len(), kept.len(), "{all:?}");
    let columns: Vec<Column> =
        places.iter().map(|place| slice.columns.spans[*place].clone()).collect();
    let parts = SpanParts {
        first_row: slice.first_row,
        spans: support::part(slice.n_rows, &kept, &columns),
        events: None,
        links: None,
    };
    let chunk = unstage(&block.layout, &parts, &block.resources, &block.scopes).expect("fits");
    assert_eq!(chunk.n_rows() as u32, slice.n_rows);
    assert_eq!((chunk.name.value(0), chunk.kind.value(0)), ("", 0));
    assert_eq!(chunk.end_unix_nanos, chunk.start_unix_nanos);
    assert_eq!(chunk.parent_span_id(0), None);
    let [column] = &chunk.attributes.columns[..] else { panic!("one column") };
    assert_eq!(column.rows.len(), columns[2].values.len());
}

#[test]
fn damaged_columns_are_errors_or_rows_never_a_panic() {
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let chunks = chunks_of(&mut random, Shape::FewKeys);
        let mut block = stage(&chunks, MANY, &mut random);
        for slice in &mut block.slices {
            let events = slice.columns.events.iter_mut().flat_map(|side| &mut side.columns);
            let links = slice.columns.links.iter_mut().flat_map(|side| &mut side.columns);
            let mut columns: Vec<&mut Column> =
                slice.columns.spans.iter_mut().chain(events).chain(links).collect();
            for _ in 0..random.below(4) {
                let place = random.below(columns.len() as u64) as usize;
                damage(columns[place], &mut random);
            }
        }
        let n_slices = block.slices.len();
        for n in 0..n_slices {
            if let Ok(chunk) = block.read(n) {
                (0..chunk.n_rows() as u32).for_each(|row| drop(support::line(&chunk, row)));
            }
        }
    }
}

/// Changes a column to something that a reader might yet hand out.
fn damage(column: &mut Column, random: &mut Random) {
    match random.below(4) {
        0 => column.rows = Some((0..column.values.len() as u32).collect()),
        1 => {
            let n_rows = random.below(80) as u32;
            column.rows =
                Some((0..column.values.len() as u32).map(|row| row * 3 + n_rows).collect());
        }
        2 => {
            let n = column.values.len();
            column.values = match random.below(3) {
                0 => Values::U32((0..n).map(|_| random.below(9) as u32).collect()),
                1 => Values::I64((0..n).map(|_| random.bits() as i64).collect()),
                _ => Values::Bytes(
                    (0..n).map(|_| Some(random.list(9, |r| r.bits() as u8))).collect(),
                ),
            };
        }
        _ => column.rows = None,
    }
}

#[test]
fn tenants_have_ranges_of_their_own() {
    let mut random = Random::new(3);
    let chunks = chunks_of(&mut random, Shape::FewKeys);
    let Block { shared, .. } = stage(&chunks, MANY, &mut random);
    assert_eq!(shared.tenants.len(), 2);
    let [first, second] = &shared.tenants[..] else { panic!("two tenants") };
    assert_eq!((first.resources.start, second.resources.end), (0, shared.n_resources));
    assert_eq!(first.resources.end, second.resources.start);
    assert_eq!((first.scopes.start, second.scopes.end), (0, shared.n_scopes));
    assert_eq!(first.scopes.end, second.scopes.start);
    assert!(first.resources.end > 0 && second.resources.len() > 1);
}

#[test]
fn a_key_that_was_not_counted_is_refused_and_so_are_missing_rows() {
    let mut random = Random::new(1);
    let chunks = chunks_of(&mut random, Shape::ManyKeys);
    let layout = Layout::decide(&KeyCounts::default(), MANY, MANY, MANY);
    let mut slice = SliceStage::new(&layout);
    let mut shared = SharedRows::default();
    let n_rows = chunks[0].n_rows() as u32;
    slice.begin(0, n_rows);
    let rows: Vec<(u32, u32)> = (0..n_rows).map(|row| (row, row)).collect();
    let error = slice.add(&chunks[0], 0, &rows, &mut shared).expect_err("no column takes it");
    assert!(error.to_string().contains("was not counted"), "{error}");
    slice.begin(0, n_rows);
    let trees = Trees { depth: &vec![0; n_rows as usize], kept_parents: &[] };
    let error: Result<SliceColumns, _> = slice.finish(trees, &mut shared);
    assert!(error.expect_err("no rows").to_string().contains("was given 0"));
}
