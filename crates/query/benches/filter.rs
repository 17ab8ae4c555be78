//! What filters cost once their columns are read: `cargo bench -p suyuan-query --bench filter`.
//!
//! A million rows in batches of a page, one thread. Rows are made up: a status code on two rows in
//! five, routes with a dictionary of 3,000 values on three in five, statements of which no two are
//! equal on one in four, 24 resources, an event on one row in ten. Shown: milliseconds, median of
//! several runs, and how many rows were found.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::sync::Arc;
use std::time::Instant;

use arrow_array::{Int32Array, Int64Array, StringArray, UInt32Array};
use arrow_buffer::ScalarBuffer;
use suyuan_model::{
    AttributeColumn, AttributeOwner, Batch, Chunk, SpanHead, Strings, TableBuilder, ValueType,
    Values,
};
use suyuan_query::filter::{Filter, RowSet, SourceState};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PAGE_ROWS: u32 = 8_192;
const PAGES_PER_SLICE: u32 = 6;
const SLICES: u32 = 20;
const RUNS: usize = 15;
const RESOURCES: u32 = 24;

const FILTERS: [(&str, &str); 14] = [
    ("svc_and_500", r#"resource.service.name = "service-3" && span.http.status_code = 500"#),
    ("status code alone", "span.http.status_code = 500"),
    ("float literal", "span.http.status_code >= 499.5"),
    ("duration", "duration > 900ms"),
    ("status = error", "status = error"),
    ("name", r#"name = "GET /route/17""#),
    ("name, some", r#"name =~ "GET /route/(1|2|3)""#),
    ("route, regex", r#"span.http.route =~ "/api/v[0-9]+/.*/17\\d""#),
    ("route, contains", r#"span.http.route =~ ".*/177.*""#),
    ("statement, regex", r#"span.db.statement =~ "SELECT .* FROM orders WHERE .*= 77[0-9]+ .*""#),
    ("statement, contains", r#"span.db.statement =~ ".*orders WHERE id = 777.*""#),
    ("statement, not", r#"span.db.statement !~ "SELECT .* FROM orders .*""#),
    ("nothing of a key", "span.http.status_code = nil"),
    ("row by row", "span.http.status_code + 1 = 501"),
];

fn main() {
    let slices: Vec<Vec<Batch>> = (0..SLICES).map(slice).collect();
    let n_rows: u32 = slices.iter().flatten().map(|batch| batch.n_rows).sum();
    println!("{n_rows} rows, milliseconds");
    for (name, text) in FILTERS {
        let query = suyuan_traceql::parse(&format!("{{ {text} }}")).expect("a valid query");
        let expr = query.span_filter().expect("one filter").filter;
        let filter = Filter::compile(expr).expect("the filter compiles");
        let mut found = 0;
        let mut millis: Vec<f64> = (0..RUNS)
            .map(|_| {
                let started = Instant::now();
                found = slices.iter().map(|slice| count(&filter, slice)).sum();
                started.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        millis.sort_by(f64::total_cmp);
        println!("{name:20} {:8.2}  {found:7} rows", millis[RUNS / 2]);
    }
}

fn count(filter: &Filter, slice: &[Batch]) -> u32 {
    let mut source = SourceState::default();
    let of_batch = |batch: &Batch| {
        let mut rows = RowSet::all(batch.n_rows);
        for condition in filter.conditions() {
            if rows.is_empty() {
                break;
            }
            rows = condition.evaluate(&rows, batch, &mut source, None).yes;
        }
        rows.count()
    };
    slice.iter().map(of_batch).sum()
}

/// Batches as a block gives them: pages that share the dictionaries of their slice.
fn slice(number: u32) -> Vec<Batch> {
    let names = texts((0..200).map(|n| format!("GET /route/{n}")));
    let routes = texts((0..3_000).map(|n| format!("/api/v{}/things/{n}", n % 3)));
    let empty = shared();
    (0..PAGES_PER_SLICE)
        .map(|page| {
            let first = (number * PAGES_PER_SLICE + page) * PAGE_ROWS;
            batch(first, &empty, &names, &routes)
        })
        .collect()
}

fn batch(first: u32, empty: &Chunk, names: &StringArray, routes: &StringArray) -> Batch {
    let rows = || 0..PAGE_ROWS;
    let of = move |row: u32| mixed(first + row);
    let mut chunk = empty.clone();
    let codes: ScalarBuffer<u32> = rows().map(|row| of(row) % 200).collect();
    chunk.name = Strings::Dictionary { codes, values: names.clone() };
    chunk.status_code =
        Int32Array::from_iter_values(rows().map(|row| if of(row) % 50 == 0 { 2 } else { 0 }));
    chunk.resource = UInt32Array::from_iter_values(rows().map(|row| of(row) / 7 % RESOURCES));
    let with = |share: u32| rows().filter(move |row| of(*row) / 11 % 20 < share);
    let status_codes = with(8).map(|row| if of(row) % 33 == 0 { 500 } else { 200 });
    let route_codes: ScalarBuffer<u32> = with(12).map(|row| of(row) / 13 % 3_000).collect();
    let statements = with(5).map(|row| {
        format!(
            "SELECT id, owner, total FROM {} WHERE id = {} AND owner = 'someone else' LIMIT 10",
            ["orders", "customers", "carts"][(of(row) % 3) as usize],
            of(row)
        )
    });
    let column = |key: &str, share: u32, value_type, values| AttributeColumn {
        key: key.into(),
        value_type,
        rows: with(share).collect(),
        values,
    };
    chunk.attributes.columns = vec![
        column(
            "http.status_code",
            8,
            ValueType::Int,
            Values::Int(Int64Array::from_iter_values(status_codes)),
        ),
        column(
            "http.route",
            12,
            ValueType::String,
            Values::String(Strings::Dictionary { codes: route_codes, values: routes.clone() }),
        ),
        column(
            "db.statement",
            5,
            ValueType::String,
            Values::String(Strings::Plain(texts(statements))),
        ),
    ];
    let mut batch = Batch::of_chunk(Arc::new(chunk), PAGE_ROWS);
    batch.duration_nanos = Some(rows().map(|row| i64::from(of(row) % 1_000_000) * 1_000).collect());
    batch
}

/// A chunk without spans: resources and a scope.
fn shared() -> Chunk {
    let mut table = TableBuilder::default();
    for number in 0..RESOURCES {
        let name = format!("service-{number}");
        table.push_string(AttributeOwner::Resource, b"service.name", name.as_bytes());
        table.push_string(AttributeOwner::Resource, b"k8s.pod.name", name.as_bytes());
        table.finish_resource(name.as_bytes(), b"", 0, b"");
    }
    let scope = table.finish_scope(b"scope", b"", b"scope", b"1", 0);
    table.finish_span(&SpanHead { scope, ..SpanHead::default() });
    table.freeze()
}

fn texts(texts: impl Iterator<Item = String>) -> StringArray {
    StringArray::from_iter_values(texts)
}

/// Numbers without a pattern that processors could learn.
fn mixed(number: u32) -> u32 {
    let mixed = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}
