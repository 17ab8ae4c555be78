//! What writing a Parquet file costs, in CPU seconds and bytes per million rows, beside the stock
//! writer with the same settings: `cargo bench -p suyuan-block --bench parquet_write [ROWS]`.
//!
//! The columns are like those of a shop's spans: ids, times, codes, statements, hex, and attributes
//! that most rows leave empty. One thread, everything in memory. The first round is that of a fresh
//! process, which pays for its memory; the last one is quoted.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::sync::Arc;
use std::time::Duration;

use arrow_array::types::UInt32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Encoding as PageEncoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use rustix::time::{ClockId, clock_gettime};
use suyuan_block::file::write::{FileOptions, FileWriter};
use suyuan_block::{Column, ColumnSpec, Compression, Encoding, Kind, Values};
use suyuan_model::Strings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SLICE_ROWS: u64 = 50_000;
const ROUNDS: usize = 4;

fn main() {
    let n_rows = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let specs = specs();
    let firsts = (0..n_rows).step_by(SLICE_ROWS as usize);
    let slices: Vec<_> = firsts.map(|first| slice(first, SLICE_ROWS.min(n_rows - first))).collect();
    println!("{:<10} {:>22} {:>22}", "per M rows", "ours", "stock");
    println!("{:<10} {:>10} {:>11} {:>10} {:>11}", "", "CPU s", "MB", "CPU s", "MB");
    let mut sink = Vec::new();
    for round in 1..=ROUNDS {
        let started_at = cpu();
        sink = ours(&specs, &slices, sink);
        let our_cpu = cpu() - started_at;
        let our_bytes = sink.len();
        // Arrays are made outside the measured time: the stock writer starts from them.
        let batches: Vec<_> = slices.iter().map(|columns| batch(&specs, columns)).collect();
        let started_at = cpu();
        sink = stock(&batches, sink);
        let stock_cpu = cpu() - started_at;
        let per_million = 1e6 / n_rows as f64;
        println!(
            "round {round:<4} {:>10.3} {:>11.3} {:>10.3} {:>11.3}",
            our_cpu.as_secs_f64() * per_million,
            our_bytes as f64 * per_million / 1e6,
            stock_cpu.as_secs_f64() * per_million,
            sink.len() as f64 * per_million / 1e6,
        );
    }
    println!("{:<16} {:>11} {:>11}", "MB per M rows", "ours", "stock");
    for (place, spec) in specs.iter().enumerate() {
        let column = |columns: &Vec<Column>| vec![columns[place].clone()];
        let slices: Vec<_> = slices.iter().map(column).collect();
        let specs = std::slice::from_ref(spec);
        let our_bytes = ours(specs, &slices, Vec::new()).len();
        let batches: Vec<_> = slices.iter().map(|columns| batch(specs, columns)).collect();
        let stock_bytes = stock(&batches, Vec::new()).len();
        let per_row = |bytes: usize| bytes as f64 / n_rows as f64;
        println!("{:<16} {:>11.3} {:>11.3}", spec.name, per_row(our_bytes), per_row(stock_bytes));
    }
}

fn ours(specs: &[ColumnSpec], slices: &[Vec<Column>], mut sink: Vec<u8>) -> Vec<u8> {
    sink.clear();
    let mut writer = FileWriter::new(sink, specs.to_vec(), FileOptions::default()).unwrap();
    for columns in slices {
        let n_rows = columns.iter().filter(|column| column.rows.is_none());
        let n_rows = n_rows.map(|column| column.values.len()).max().unwrap_or(SLICE_ROWS as usize);
        writer.write_row_group(n_rows as u32, columns).unwrap();
    }
    writer.finish().unwrap().sink
}

fn stock(batches: &[RecordBatch], mut sink: Vec<u8>) -> Vec<u8> {
    sink.clear();
    let zstd = parquet::basic::Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
    let of = |name: &str| ColumnPath::from(name);
    let mut properties = WriterProperties::builder()
        .set_compression(zstd)
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_data_page_row_count_limit(8_192)
        .set_write_batch_size(8_192)
        .set_max_row_group_row_count(Some(SLICE_ROWS as usize))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_column_compression(of("span_id"), parquet::basic::Compression::UNCOMPRESSED)
        .set_column_statistics_enabled(of("span_id"), EnabledStatistics::None);
    for name in ["trace_id", "span_id", "statement", "path", "session", "total", "user"] {
        properties = properties.set_column_dictionary_enabled(of(name), false);
    }
    for name in ["start", "duration"] {
        properties = properties
            .set_column_dictionary_enabled(of(name), false)
            .set_column_encoding(of(name), PageEncoding::BYTE_STREAM_SPLIT);
    }
    for name in ["trace_id", "statement", "path", "session", "total", "user"] {
        properties = properties.set_column_encoding(of(name), PageEncoding::PLAIN);
    }
    let schema = batches[0].schema();
    let mut writer = ArrowWriter::try_new(sink, schema, Some(properties.build())).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

fn specs() -> Vec<ColumnSpec> {
    let spec = |name: &str, kind, is_optional, encoding| ColumnSpec {
        name: name.into(),
        kind,
        is_optional,
        encoding,
        compression: if name == "span_id" { Compression::None } else { Compression::Zstd },
        has_bloom: false,
    };
    let mut specs = vec![
        spec("trace_id", Kind::Id, false, Encoding::Plain),
        spec("span_id", Kind::U64, false, Encoding::Plain),
        spec("start", Kind::I64, false, Encoding::Split),
        spec("duration", Kind::I64, false, Encoding::Split),
        spec("depth", Kind::U32, false, Encoding::Dictionary),
        spec("kind", Kind::I32, false, Encoding::Dictionary),
        spec("resource", Kind::U32, false, Encoding::Dictionary),
        spec("name", Kind::Text, false, Encoding::Dictionary),
        spec("statement", Kind::Text, true, Encoding::Dictionary),
        spec("path", Kind::Text, true, Encoding::Dictionary),
        spec("session", Kind::Text, true, Encoding::Dictionary),
        spec("total", Kind::F64, true, Encoding::Plain),
        spec("user", Kind::I64, true, Encoding::Plain),
    ];
    for number in 0..20 {
        specs.push(spec(&format!("few_{number}"), Kind::Text, true, Encoding::Dictionary));
    }
    specs
}

/// The columns of `n_rows` rows, in the order of [`specs`]. Fifteen rows are a trace.
fn slice(first_row: u64, n_rows: u64) -> Vec<Column> {
    let rows = || first_row..first_row + n_rows;
    let trace = |row: u64| row / 15;
    let ids = rows().map(|row| {
        let high = (u128::from(trace(row)) << 96) | u128::from(random(trace(row), 1)) << 32;
        (high | u128::from(random(trace(row), 2) >> 32)).to_be_bytes()
    });
    let start = |row| (1_741_392_000_000_000_000 + random(row, 3) % 200_000_000) as i64;
    let duration = |row| 20_000 + (random(row, 4) >> (random(row, 5) % 12 + 40)) as i64;
    // What kind of span a row is decides what it has.
    let shape = |row: u64| (random(trace(row), 6) + row % 15 * 7) % 40;
    let mut columns = vec![
        all(Values::Id(FixedSizeBinaryArray::try_from_iter(ids).unwrap())),
        all(Values::U64(rows().map(|row| random(row, 0)).collect())),
        all(Values::I64(rows().map(start).collect())),
        all(Values::I64(rows().map(duration).collect())),
        all(Values::U32(rows().map(|row| (row % 15).min(5) as u32).collect())),
        all(Values::I32(rows().map(|row| (shape(row) % 4) as i32 + 1).collect())),
        all(Values::U32(rows().map(|row| (random(row, 7) % 92) as u32).collect())),
        codes(None, rows().map(|row| shape(row) as u32).collect(), 40, "GET /api/v1/name"),
    ];
    let some = |is_there: &dyn Fn(u64) -> bool| -> Vec<u32> {
        rows().filter(|row| is_there(*row)).map(|row| (row - first_row) as u32).collect()
    };
    let row_of = |row: &u32| first_row + u64::from(*row);
    let calls = some(&|row| shape(row).is_multiple_of(5));
    let requests = some(&|row| shape(row) % 5 == 1);
    let texts = |rows: &[u32], text: &dyn Fn(u64) -> String| {
        let texts = StringArray::from_iter_values(rows.iter().map(row_of).map(text));
        Values::Text(Strings::Plain(texts))
    };
    let statement = |row| {
        let table = ["orders", "users", "stock", "payments"][(random(row, 8) % 4) as usize];
        let (id, shard) = (random(row, 9) % 2_000_000, random(row, 10) % 64);
        format!("SELECT id, state FROM {table} WHERE id = {id} AND shard = {shard} LIMIT 50")
    };
    let path = |row| format!("/api/v1/items/{}", random(row, 11) % 400_000);
    let session = |row| format!("{:016x}", random(row, 12));
    columns.push(at(&calls, texts(&calls, &statement)));
    columns.push(at(&requests, texts(&requests, &path)));
    let roots = some(&|row| row.is_multiple_of(15));
    columns.push(at(&roots, texts(&roots, &session)));
    let total = |row| (random(row, 13) % 1_000_000) as f64 / 100.0;
    columns.push(at(&roots, Values::F64(roots.iter().map(row_of).map(total).collect())));
    let user = |row| (random(trace(row), 14) % 2_000_000) as i64;
    columns.push(at(&requests, Values::I64(requests.iter().map(row_of).map(user).collect())));
    for number in 0..20u64 {
        let there = some(&|row| shape(row) % 20 >= number);
        let of = |row| (random(row, 20 + number) % (number + 1) * shape(row) % 23) as u32;
        let values = there.iter().map(row_of).map(of).collect();
        columns.push(codes(Some(there), values, 23, "a value of few"));
    }
    columns
}

fn all(values: Values) -> Column {
    Column { rows: None, values }
}

fn at(rows: &[u32], values: Values) -> Column {
    Column { rows: Some(ScalarBuffer::from(rows.to_vec())), values }
}

fn codes(rows: Option<Vec<u32>>, codes: Vec<u32>, n_distinct: u32, prefix: &str) -> Column {
    let values = (0..n_distinct).map(|number| format!("{prefix} {number}"));
    let values = StringArray::from_iter_values(values);
    let values = Values::Text(Strings::Dictionary { codes: codes.into(), values });
    Column { rows: rows.map(ScalarBuffer::from), values }
}

/// The same columns as the arrays that the stock writer takes.
fn batch(specs: &[ColumnSpec], columns: &[Column]) -> RecordBatch {
    let dense = columns.iter().filter(|column| column.rows.is_none());
    let n_rows = dense.map(|column| column.values.len()).max().unwrap_or(SLICE_ROWS as usize);
    let arrays = specs
        .iter()
        .zip(columns)
        .map(|(spec, column)| (spec.name.clone(), array(column, n_rows), spec.is_optional));
    RecordBatch::try_from_iter_with_nullable(arrays).unwrap()
}

fn array(column: &Column, n_rows: usize) -> ArrayRef {
    let Some(rows) = &column.rows else {
        return match &column.values {
            Values::Id(values) => Arc::new(values.clone()),
            Values::U64(values) => Arc::new(UInt64Array::new(values.clone(), None)),
            Values::I64(values) => Arc::new(Int64Array::new(values.clone(), None)),
            Values::U32(values) => Arc::new(UInt32Array::new(values.clone(), None)),
            Values::I32(values) => Arc::new(Int32Array::new(values.clone(), None)),
            Values::Text(Strings::Dictionary { codes, values }) => {
                dictionary(UInt32Array::new(codes.clone(), None), values)
            }
            other => unreachable!("no dense column holds {:?}", other.kind()),
        };
    };
    let mut place = vec![None; n_rows];
    for (at, row) in rows.iter().enumerate() {
        place[*row as usize] = Some(at);
    }
    let nulls = NullBuffer::from_iter(place.iter().map(Option::is_some));
    let spread = place.iter().map(|at| at.unwrap_or(0));
    match &column.values {
        Values::Text(Strings::Plain(values)) => {
            Arc::new(StringArray::from_iter(place.iter().map(|at| at.map(|at| values.value(at)))))
        }
        Values::Text(Strings::Dictionary { codes, values }) => {
            let codes = spread.map(|at| codes[at]).collect();
            dictionary(UInt32Array::new(codes, Some(nulls)), values)
        }
        Values::F64(values) => {
            Arc::new(Float64Array::new(spread.map(|at| values[at]).collect(), Some(nulls)))
        }
        Values::I64(values) => {
            Arc::new(Int64Array::new(spread.map(|at| values[at]).collect(), Some(nulls)))
        }
        other => unreachable!("no sparse column holds {:?}", other.kind()),
    }
}

fn dictionary(codes: UInt32Array, values: &StringArray) -> ArrayRef {
    Arc::new(DictionaryArray::<UInt32Type>::new(codes, Arc::new(values.clone())))
}

/// The same number for the same arguments.
fn random(number: u64, salt: u64) -> u64 {
    let mut bits =
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd1b5_4a32_d192_ed03);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
