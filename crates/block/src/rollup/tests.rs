//! Roll-ups against the obvious count, and the spans that would make them too large.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::column::{Column, Values};

const SECOND: i64 = 1_000_000_000;
const SERVICES: &[&str] = &["", "mall", "cart"];
const NAMES: &[&str] = &["GET /", "pay", "溯源"];

fn span(start_unix_nanos: i64, duration_nanos: i64, row: u32) -> RollupSpan {
    RollupSpan {
        tenant: 0,
        service: 1,
        name: 0,
        kind: 2,
        status_code: 0,
        is_root: false,
        start_unix_nanos,
        duration_nanos,
        row,
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn rollup_of(spans: &[RollupSpan], bytes_max: u64) -> Option<(Step, RollupTable)> {
    let mut builder = RollupBuilder::default();
    spans.iter().for_each(|span| builder.push(span));
    finish(builder, bytes_max)
}

fn finish(builder: RollupBuilder, bytes_max: u64) -> Option<(Step, RollupTable)> {
    let rollup = builder.finish(&texts(SERVICES), &texts(NAMES), bytes_max)?;
    assert_eq!(rollup.columns.len(), rollup_columns().len());
    for (column, spec) in rollup.columns.iter().zip(rollup_columns()) {
        assert_eq!((column.values.kind(), column.rows.is_some()), (spec.kind, spec.is_optional));
    }
    let table = RollupTable::read(rollup.columns).unwrap();
    assert_eq!(table.len(), rollup.n_rows as usize);
    Some((rollup.step, table))
}

/// (end of the cell, bucket, spans, exemplar) of spans of one series.
#[track_caller]
fn check(spans: &[RollupSpan], expected: &[(i64, u32, u32, Option<u32>)]) {
    let (step, table) = rollup_of(spans, u64::MAX).unwrap();
    assert_eq!(step, Step::Seconds15);
    let rows: Vec<_> = (0..table.len())
        .map(|row| table.row(row))
        .map(|row| (row.cell_end_unix_seconds, row.duration_bucket, row.n_spans, row.exemplar_row))
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn a_cell_is_closed_on_the_right() {
    let ends = [(0, 3, 1, Some(0)), (15, 3, 2, Some(1)), (30, 3, 1, Some(3))];
    let starts = [0, 1, 15 * SECOND, 15 * SECOND + 1];
    let spans: Vec<RollupSpan> =
        starts.into_iter().zip(0..).map(|(start, row)| span(start, 5, row)).collect();
    check(&spans, &ends);
}

#[test]
fn the_exemplar_is_the_first_span_of_the_slowest_bucket() {
    let durations = [3, 900, 1_000, 4];
    let spans: Vec<RollupSpan> =
        durations.into_iter().zip(0..).map(|(nanos, row)| span(SECOND, nanos, row)).collect();
    check(&spans, &[(15, 2, 2, None), (15, 10, 2, Some(1))]);
}

#[test]
fn times_of_any_clock_have_a_cell() {
    let spans = [span(i64::MIN, i64::MIN, 0), span(-1, -1, 1), span(i64::MAX, i64::MAX, 2)];
    let first = i64::MIN / (15 * SECOND) * 15;
    let last = (i64::MAX / (15 * SECOND) + 1) * 15;
    check(&spans, &[(first, 0, 1, Some(0)), (0, 0, 1, Some(1)), (last, 63, 1, Some(2))]);
}

#[test]
fn a_bucket_ends_at_a_power_of_two() {
    let buckets = [0, 1, 2, 3, 4, 5, 1 << 62, (1 << 62) + 1].map(duration_bucket);
    assert_eq!(buckets, [0, 0, 1, 2, 2, 3, 62, 63]);
}

#[test]
fn cells_grow_until_they_fit() {
    // A span every 15 s for ten hours.
    let spans: Vec<RollupSpan> =
        (0..2_400).map(|n| span(i64::from(n) * 15 * SECOND, 5, n as u32)).collect();
    let step = |bytes_max| rollup_of(&spans, bytes_max).map(|(step, table)| (step, table.len()));
    assert_eq!(step(20_000), Some((Step::Seconds15, 2_400)));
    assert_eq!(step(8_000), Some((Step::Seconds60, 601)));
    assert_eq!(step(4_000), Some((Step::Seconds300, 121)));
    assert_eq!(step(1_000), None);
    assert_eq!(rollup_of(&[], u64::MAX).map(|(step, _)| step), None);
}

#[test]
fn clocks_that_lie_in_every_span_make_no_rollup_and_take_no_memory() {
    let mut builder = RollupBuilder::default();
    for row in 0..600_000 {
        builder.push(&span(i64::from(row) * 3_600 * SECOND, 5, row));
    }
    assert!(builder.finish(&texts(SERVICES), &texts(NAMES), u64::MAX).is_none());
}

#[test]
fn a_name_for_every_span_makes_no_rollup() {
    let mut builder = RollupBuilder::default();
    for row in 0..200_000 {
        builder.push(&RollupSpan { name: row, ..span(SECOND, 5, row) });
    }
    assert!(builder.finish(&[], &[], u64::MAX).is_none());
}

fn arbitrary_spans() -> impl Strategy<Value = Vec<RollupSpan>> {
    let what = (0..2u32, 0..3u32, 0..3u32, 1..3i32, 0..3i32, any::<bool>());
    let when = (-40..400i64, -1..2i64, prop_oneof![0..40i64, any::<i64>()]);
    vec((what, when), 0..200).prop_map(|spans| {
        let of = |((what, when), row)| {
            let (tenant, service, name, kind, status_code, is_root) = what;
            let (steps, nanos, duration_nanos): (i64, i64, i64) = when;
            RollupSpan {
                tenant,
                service,
                name,
                kind,
                status_code,
                is_root,
                start_unix_nanos: steps * 5 * SECOND + nanos,
                duration_nanos,
                row,
            }
        };
        spans.into_iter().zip(0..).map(of).collect()
    })
}

/// Spans by series, end of the cell and bucket.
type Counts = BTreeMap<(u32, u32, u32, i32, i32, bool, i64, u32), u32>;

fn count(spans: &[RollupSpan], step: Step) -> Counts {
    let mut counts = Counts::new();
    for span in spans {
        let ends = (-200..).map(|n| step.seconds() * n);
        let end = ends.clone().find(|end| end * SECOND >= span.start_unix_nanos).unwrap();
        let nanos = span.duration_nanos;
        let bucket = (0..63).find(|bucket| nanos <= 1 << bucket).unwrap_or(63);
        let (kind, status) = (span.kind, span.status_code);
        let series = (span.tenant, span.service, span.name, kind, status, span.is_root);
        *counts.entry(key(series, end, bucket)).or_default() += 1;
    }
    counts
}

fn key(
    (tenant, service, name, kind, status, is_root): (u32, u32, u32, i32, i32, bool),
    end: i64,
    bucket: u32,
) -> (u32, u32, u32, i32, i32, bool, i64, u32) {
    (tenant, service, name, kind, status, is_root, end, bucket)
}

/// What a roll-up says, and that its exemplars are spans of their cells.
fn counts_of(table: &RollupTable, spans: &[RollupSpan]) -> Counts {
    let mut counts = Counts::new();
    let number =
        |texts: &[&str], text: &str| texts.iter().position(|other| *other == text).unwrap() as u32;
    for row in (0..table.len()).map(|row| table.row(row)) {
        let service = row.service_name.map_or(0, |service| number(SERVICES, service));
        let name = number(NAMES, row.name);
        let series = (row.tenant, service, name, row.kind, row.status_code, row.is_root);
        let key = key(series, row.cell_end_unix_seconds, row.duration_bucket);
        assert_eq!(counts.insert(key, row.n_spans), None, "a row stands once");
        if let Some(exemplar) = row.exemplar_row {
            let span = &spans[exemplar as usize];
            assert_eq!((span.tenant, span.service, span.name), (row.tenant, service, name));
            assert_eq!(duration_bucket(span.duration_nanos), row.duration_bucket);
        }
    }
    counts
}

proptest! {
    /// Wherever among the spans the builder makes room and lengthens its cells.
    #[test]
    fn every_span_is_counted_once_where_it_belongs(
        spans in arbitrary_spans(),
        emptied_at in vec(0..200usize, 0..4),
        coarsened_at in vec(0..200usize, 0..3),
    ) {
        let mut builder = RollupBuilder::default();
        let mut step = 0;
        for (at, span) in spans.iter().enumerate() {
            if emptied_at.contains(&at) {
                builder.empty_recent();
            }
            if coarsened_at.contains(&at) {
                builder.empty_recent();
                builder.add_up();
                builder.coarsen();
                step += 1;
            }
            builder.push(span);
        }
        match finish(builder, u64::MAX) {
            None => prop_assert!(spans.is_empty()),
            Some((found, table)) => {
                prop_assert_eq!(found, Step::ALL[step]);
                prop_assert_eq!(counts_of(&table, &spans), count(&spans, found));
            }
        }
    }
}

#[test]
fn columns_that_are_no_rollup_are_refused() {
    let read = |change: fn(&mut Vec<Column>)| {
        let mut builder = RollupBuilder::default();
        builder.push(&span(SECOND, 5, 0));
        let rollup = builder.finish(&texts(SERVICES), &texts(NAMES), u64::MAX).unwrap();
        let mut columns = rollup.columns;
        change(&mut columns);
        RollupTable::read(columns).map(|table| table.len())
    };
    let error = |change| read(change).unwrap_err().to_string();
    assert_eq!(read(|_| ()), Ok(1));
    assert_eq!(error(|columns| columns.truncate(9)), "roll-up has 9 columns instead of 10");
    assert_eq!(error(|columns| columns.clear()), "roll-up has 0 columns instead of 10");
    assert_eq!(error(|columns| columns.swap(2, 3)), "roll-up: column 2 holds I32");
    assert_eq!(
        error(|columns| columns[8].values = Values::U32(Vec::new().into())),
        "roll-up: column 8 has 0 values for 1 rows"
    );
    assert_eq!(
        error(|columns| columns[9].rows = Some(Vec::new().into())),
        "roll-up: column 9 has 1 values for 1 rows"
    );
}
