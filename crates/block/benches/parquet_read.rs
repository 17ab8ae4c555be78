//! What it costs to read one trace out of a row group of 50,000 spans in 40 columns, beside the
//! stock reader on the same file: `cargo bench -p suyuan-block --bench parquet_read`.
//!
//! Footer and page index are read before, the file lies in memory: what is measured is finding
//! pages, inflating and decoding. The traces lie all over the row group, so that no page stays warm.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::sync::Arc;

use arrow_array::{FixedSizeBinaryArray, StringArray};
use arrow_buffer::ScalarBuffer;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::file::metadata::PageIndexPolicy;
use rustix::time::{ClockId, clock_gettime};
use suyuan_block::file::read::FileReader;
use suyuan_block::file::write::{FileOptions, FileWriter};
use suyuan_block::{Column, ColumnSpec, Compression, Encoding, Kind, Values};
use suyuan_model::Strings;
use suyuan_objects::Objects;
use suyuan_objects::faulty::MemoryObjects;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PATH: &str = "blocks/one/spans.parquet";
const N_ROWS: u32 = 50_000;
const ROUNDS: u32 = 300;

fn main() {
    let (specs, columns): (Vec<_>, Vec<_>) = columns().into_iter().unzip();
    let mut writer = FileWriter::new(Vec::new(), specs.clone(), FileOptions::default()).unwrap();
    writer.write_row_group(N_ROWS, &columns).unwrap();
    let bytes = Bytes::from(writer.finish().unwrap().sink);
    println!("{} columns, {:.1} bytes a row", specs.len(), bytes.len() as f64 / f64::from(N_ROWS));

    let objects = MemoryObjects::new();
    objects.put(PATH, bytes.clone()).unwrap();
    let objects: Arc<dyn Objects> = Arc::new(objects);
    let open = || FileReader::open(Arc::clone(&objects), PATH, bytes.len() as u64).unwrap();
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let stock_open = || ArrowReaderMetadata::load(&bytes, options.clone()).unwrap();

    println!("{:<24} {:>12} {:>12}", "microseconds of CPU", "ours", "stock");
    line("open", time(|_| drop(open())), time(|_| drop(stock_open())));
    let reader = open();
    let all: Vec<usize> = (0..specs.len()).collect();
    let metadata = stock_open();
    for n_rows in [46, 3_000, N_ROWS] {
        let start = |round: u32| round * 7_919 % (N_ROWS - n_rows + 1);
        let ours = time(|round| {
            let rows = start(round)..start(round) + n_rows;
            let read = reader.read(0, rows, &all).unwrap();
            assert_eq!(read.len(), all.len());
        });
        let stock = time(|round| read_stock(&bytes, &metadata, start(round), n_rows));
        line(&format!("{n_rows} rows"), ours, stock);
        line("  of one column", ours / all.len() as f64, stock / all.len() as f64);
    }
    find_ids(&reader, &columns[0]);
    by_column(&reader, &specs);
}

/// Every kind of column alone, in the 46 rows of a trace.
fn by_column(reader: &FileReader, specs: &[ColumnSpec]) {
    for (column, spec) in specs.iter().enumerate().take(16) {
        let ours = time(|round| {
            let start = round * 7_919 % (N_ROWS - 46);
            reader.read(0, start..start + 46, &[column]).unwrap();
        });
        println!("  {:<22} {ours:>12.1}", spec.name);
    }
}

fn find_ids(reader: &FileReader, trace_ids: &Column) {
    let Values::Id(ids) = &trace_ids.values else { panic!("ids") };
    let find = |id: &[u8; 16]| reader.find_id(0, 0, 0..N_ROWS, id).unwrap();
    let present = time(|round| {
        let id = ids.value((round * 7_919 % N_ROWS) as usize).try_into().unwrap();
        assert!(find(id).is_some());
    });
    let absent = time(|round| {
        let mut id: [u8; 16] = ids.value((round * 7_919 % N_ROWS) as usize).try_into().unwrap();
        id[15] ^= 1;
        assert!(find(&id).is_none());
    });
    println!("{:<24} {present:>12.1}", "find an id");
    println!("{:<24} {absent:>12.1}", "find an absent id");
}

fn read_stock(bytes: &Bytes, metadata: &ArrowReaderMetadata, start: u32, n_rows: u32) {
    let selection = vec![
        RowSelector::skip(start as usize),
        RowSelector::select(n_rows as usize),
        RowSelector::skip((N_ROWS - start - n_rows) as usize),
    ];
    let builder =
        ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), metadata.clone());
    let reader = builder
        .with_row_selection(RowSelection::from(selection))
        .with_batch_size(N_ROWS as usize)
        .build()
        .unwrap();
    let n_read: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(n_read, n_rows as usize);
}

fn line(what: &str, ours: f64, stock: f64) {
    println!("{what:<24} {ours:>12.1} {stock:>12.1}");
}

/// Microseconds of this process's CPU for each round.
fn time(mut work: impl FnMut(u32)) -> f64 {
    (0..ROUNDS / 10).for_each(&mut work);
    let started_at = cpu_micros();
    (0..ROUNDS).for_each(&mut work);
    (cpu_micros() - started_at) / f64::from(ROUNDS)
}

fn cpu_micros() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

/// One of many numbers, from its place.
fn scramble(place: u64) -> u64 {
    let mut x = place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 27)
}

/// Columns like those of a shop's spans: 15 that every span has, 25 attributes.
fn columns() -> Vec<(ColumnSpec, Column)> {
    let all: Vec<u32> = (0..N_ROWS).collect();
    let numbers = |salt: u64| -> Vec<u64> {
        all.iter().map(|row| scramble(u64::from(*row) + (salt << 32))).collect()
    };
    let small = |salt: u64, n: u64| -> ScalarBuffer<u32> {
        numbers(salt).iter().map(|number| (number % n) as u32).collect()
    };
    let start = |row: &u32| 1_790_000_000_000_000_000 + i64::from(*row) * 1_000_003;
    let ids = all.iter().map(|row| {
        let trace = u64::from(row / 15);
        [(trace << 48).to_be_bytes(), scramble(trace).to_be_bytes()].concat()
    });
    let texts = |salt: u64, n: u64, text: fn(u64) -> String| {
        Values::Text(Strings::Dictionary {
            codes: small(salt, n),
            values: StringArray::from_iter_values((0..n).map(text)),
        })
    };
    let plain = |salt: u64, text: fn(u64) -> String| {
        Values::Text(Strings::Plain(StringArray::from_iter_values(
            numbers(salt).into_iter().map(text),
        )))
    };
    let statement = |n: u64| {
        let (id, limit) = (n % 99_991, n >> 60);
        format!("SELECT id, sku, price FROM catalog WHERE id = {id} ORDER BY price LIMIT {limit}")
    };
    let path = |n: u64| format!("/api/v1/products/{}", n % 9_973);
    let name = |n: u64| format!("GET /api/v1/route-{n}");
    let required = [
        (
            "trace_id",
            Values::Id(FixedSizeBinaryArray::try_from_iter(ids).unwrap()),
            Encoding::Plain,
        ),
        ("span_id", Values::U64(numbers(1).into()), Encoding::Plain),
        ("depth", Values::U32(small(2, 6)), Encoding::Dictionary),
        ("start_unix_nanos", Values::I64(all.iter().map(start).collect()), Encoding::Split),
        (
            "duration_nanos",
            Values::I64(numbers(3).iter().map(|n| (n % 100_000_000) as i64).collect()),
            Encoding::Split,
        ),
        ("name", texts(4, 90, name), Encoding::Dictionary),
        (
            "kind",
            Values::I32(numbers(5).iter().map(|n| (n % 5) as i32).collect()),
            Encoding::Dictionary,
        ),
        ("resource", Values::U32(small(6, 92)), Encoding::Dictionary),
        ("service_name", texts(7, 18, |n| format!("service-{n}")), Encoding::Dictionary),
    ];
    let mut columns: Vec<(ColumnSpec, Column)> = required
        .into_iter()
        .map(|(name, values, encoding)| {
            (spec(name.to_owned(), &values, encoding, false), Column { rows: None, values })
        })
        .collect();
    let texts_of_some = [
        ("statement", 4, plain(8, statement)),
        ("path", 3, plain(9, path)),
        ("address", 3, plain(10, |n| format!("10.{}.{}.7", n % 256, n >> 56))),
    ];
    for (name, every, values) in texts_of_some {
        let rows: Vec<u32> = all.iter().copied().filter(|row| row % every == 0).collect();
        let Values::Text(Strings::Plain(texts)) = &values else { panic!("plain texts") };
        let texts = rows.iter().map(|row| texts.value(*row as usize));
        let values = Values::Text(Strings::Plain(StringArray::from_iter_values(texts)));
        let column = Column { rows: Some(rows.into()), values };
        columns.push((spec(name.to_owned(), &column.values, Encoding::Plain, true), column));
    }
    for attribute in columns.len() as u64..40 {
        let rows: Vec<u32> = all
            .iter()
            .copied()
            .filter(|row| scramble(u64::from(*row) / 3 + (attribute << 32)) % 8 < attribute % 7)
            .collect();
        let codes = rows.iter().map(|row| (scramble(u64::from(*row)) % (attribute * 3)) as u32);
        let values = match attribute % 3 {
            0 => Values::I64(rows.iter().map(|row| i64::from(*row % 500)).collect()),
            _ => Values::Text(Strings::Dictionary {
                codes: codes.collect(),
                values: StringArray::from_iter_values(
                    (0..attribute * 3).map(|n| format!("value {n} of {attribute}")),
                ),
            }),
        };
        let name = format!("attr:{attribute}");
        let column = Column { rows: Some(rows.into()), values };
        columns.push((spec(name, &column.values, Encoding::Dictionary, true), column));
    }
    columns
}

fn spec(name: String, values: &Values, encoding: Encoding, is_optional: bool) -> ColumnSpec {
    let compression = if name == "span_id" { Compression::None } else { Compression::Zstd };
    let has_bloom = values.kind() == Kind::Id;
    ColumnSpec { name, kind: values.kind(), is_optional, encoding, compression, has_bloom }
}
