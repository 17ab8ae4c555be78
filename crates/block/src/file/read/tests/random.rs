//! Random files and random questions: the answers are the stock reader's.

use arrow_schema::{DataType, Field, Schema};
use parquet::basic::Encoding;
use parquet::file::properties::WriterVersion;
use parquet::schema::types::ColumnPath;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct FileCase {
    n_rows: usize,
    row_group_rows: usize,
    page_rows: usize,
    is_version_2: bool,
    columns: Vec<ColumnCase>,
}

#[derive(Clone, Debug)]
struct ColumnCase {
    kind: Kind,
    encoding: Option<Encoding>,
    is_compressed: bool,
    /// A dictionary of so many bytes, then plain pages.
    dictionary_bytes: Option<usize>,
    /// Of 16 rows so many have a value; `None`: required.
    filled: Option<u64>,
    /// Rows that lie together have a value or have none.
    run: u64,
    n_distinct: u64,
    seed: u64,
}

/// One of many numbers, from its place.
fn scramble(seed: u64, place: u64) -> u64 {
    let mut x = seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl ColumnCase {
    /// The value of a row as a number from which the kind's value is made.
    fn number(&self, row: usize) -> Option<u64> {
        let row = row as u64;
        let is_there =
            self.filled.is_none_or(|filled| scramble(self.seed, row / self.run) % 16 < filled);
        is_there.then(|| scramble(self.seed ^ 1, scramble(self.seed, row + 7) % self.n_distinct))
    }

    fn array(&self, n_rows: usize) -> ArrayRef {
        let numbers = || (0..n_rows).map(|row| self.number(row));
        let text = |n: u64| match n % 9 {
            0 => String::new(),
            1 => "päron".repeat((n >> 8) as usize % 40),
            _ => format!("{:x}", n >> (n % 60)),
        };
        let id = |n: u64| [n.to_be_bytes(), scramble(n, 1).to_be_bytes()].concat();
        match self.kind {
            Kind::Text => {
                Arc::new(StringArray::from_iter(numbers().map(|n| n.map(text)))) as ArrayRef
            }
            Kind::Bytes => Arc::new(BinaryArray::from_iter(
                numbers().map(|n| n.map(|n| text(n).into_bytes().repeat(2))),
            )),
            Kind::Id => Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                    numbers().map(|n| n.map(id)),
                    16,
                )
                .expect("16 bytes each"),
            ),
            Kind::U64 => Arc::new(UInt64Array::from_iter(numbers())),
            Kind::I64 => Arc::new(Int64Array::from_iter(numbers().map(|n| n.map(|n| n as i64)))),
            Kind::U32 => Arc::new(UInt32Array::from_iter(numbers().map(|n| n.map(|n| n as u32)))),
            Kind::I32 => Arc::new(Int32Array::from_iter(numbers().map(|n| n.map(|n| n as i32)))),
            Kind::F64 => {
                Arc::new(Float64Array::from_iter(numbers().map(|n| n.map(f64::from_bits))))
            }
            Kind::Bool => {
                Arc::new(BooleanArray::from_iter(numbers().map(|n| n.map(|n| n % 2 == 0))))
            }
        }
    }

    fn data_type(&self) -> DataType {
        match self.kind {
            Kind::Text => DataType::Utf8,
            Kind::Bytes => DataType::Binary,
            Kind::Id => DataType::FixedSizeBinary(16),
            Kind::U64 => DataType::UInt64,
            Kind::I64 => DataType::Int64,
            Kind::U32 => DataType::UInt32,
            Kind::I32 => DataType::Int32,
            Kind::F64 => DataType::Float64,
            Kind::Bool => DataType::Boolean,
        }
    }
}

impl FileCase {
    fn write(&self) -> Vec<u8> {
        let named = |(number, column): (usize, &ColumnCase)| {
            Field::new(format!("column {number}"), column.data_type(), column.filled.is_some())
        };
        let fields: Vec<Field> = self.columns.iter().enumerate().map(named).collect();
        let arrays = self.columns.iter().map(|column| column.array(self.n_rows)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("a table");
        write(&batch, self.properties())
    }

    fn properties(&self) -> WriterProperties {
        let version =
            if self.is_version_2 { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
        let mut properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_max_row_group_row_count(Some(self.row_group_rows))
            .set_data_page_row_count_limit(self.page_rows)
            .set_write_batch_size(self.page_rows.min(64));
        for (number, column) in self.columns.iter().enumerate() {
            let path = || ColumnPath::from(format!("column {number}"));
            if column.is_compressed {
                properties = properties.set_column_compression(path(), zstd());
            }
            if let Some(encoding) = column.encoding {
                properties = properties.set_column_encoding(path(), encoding);
            }
            let has_dictionary = column.dictionary_bytes.is_some();
            properties = properties
                .set_column_dictionary_enabled(path(), has_dictionary)
                .set_column_dictionary_page_size_limit(
                    path(),
                    column.dictionary_bytes.unwrap_or(0),
                );
        }
        properties.build()
    }
}

fn any_column() -> impl Strategy<Value = ColumnCase> {
    let kinds = vec![
        (Kind::Text, &[Encoding::PLAIN][..]),
        (Kind::Bytes, &[Encoding::PLAIN]),
        (Kind::Id, &[Encoding::PLAIN, Encoding::BYTE_STREAM_SPLIT]),
        (Kind::U64, &[Encoding::PLAIN, Encoding::BYTE_STREAM_SPLIT]),
        (Kind::I64, &[Encoding::PLAIN, Encoding::BYTE_STREAM_SPLIT]),
        (Kind::U32, &[Encoding::PLAIN, Encoding::BYTE_STREAM_SPLIT]),
        (Kind::I32, &[Encoding::PLAIN, Encoding::BYTE_STREAM_SPLIT]),
        (Kind::F64, &[Encoding::PLAIN, Encoding::BYTE_STREAM_SPLIT]),
        (Kind::Bool, &[Encoding::PLAIN, Encoding::RLE]),
    ];
    let fill = prop_oneof![Just(None), (0..=16_u64).prop_map(Some)];
    let dictionary = prop_oneof![Just(None), Just(Some(200)), Just(Some(1 << 20))];
    let shape = (fill, 1..100_u64, prop_oneof![1..6_u64, 1..5_000_u64], any::<u64>());
    (prop::sample::select(kinds), any::<prop::sample::Index>(), any::<bool>(), dictionary, shape)
        .prop_map(|((kind, encodings), encoding, is_compressed, dictionary_bytes, shape)| {
            let (filled, run, n_distinct, seed) = shape;
            ColumnCase {
                kind,
                encoding: Some(*encoding.get(encodings)),
                is_compressed,
                dictionary_bytes,
                filled,
                run,
                n_distinct,
                seed,
            }
        })
}

fn any_file() -> impl Strategy<Value = FileCase> {
    let columns = prop::collection::vec(any_column(), 1..6);
    (0..2_500_usize, 1..2_500_usize, 1..700_usize, any::<bool>(), columns).prop_map(
        |(n_rows, row_group_rows, page_rows, is_version_2, columns)| FileCase {
            n_rows,
            row_group_rows: row_group_rows.max(n_rows / 8 + 1),
            page_rows,
            is_version_2,
            columns,
        },
    )
}

/// Rows here and there: single ones, short runs, whole pages, ranges that touch.
fn some_rows(n_rows: u32, seed: u64) -> Vec<Range<u32>> {
    let (mut rows, mut at) = (Vec::new(), 0);
    for step in 0.. {
        let number = scramble(seed, step);
        let gap = [0, 1, 3, 40, 900][(number % 5) as usize];
        let len = [1, 1, 2, 30, 700][(number / 5 % 5) as usize];
        let start = at + gap;
        if start >= n_rows {
            break;
        }
        at = (start + len).min(n_rows);
        rows.push(start..at);
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_answer_is_that_of_the_stock_reader(
        case in any_file(),
        questions in prop::collection::vec((any::<prop::sample::Index>(), 0.0..1.0, 0.0..1.0), 1..8),
    ) {
        let bytes = case.write();
        let reader = open(bytes.clone());
        let columns: Vec<usize> = (0..case.columns.len()).rev().collect();
        for row_group in 0..reader.n_row_groups() {
            let n_rows = reader.n_rows(row_group);
            let expected_whole = read_stock(&bytes, row_group);
            let whole = reader.read(row_group, 0..n_rows, &columns).expect("a whole file");
            for (read, column) in whole.iter().zip(&columns) {
                prop_assert_eq!(&cells(read, n_rows as usize), &expected_whole[*column]);
            }
            for (which, from, len) in &questions {
                let start = (f64::from(n_rows) * from) as u32;
                let rows = start..start + (f64::from(n_rows - start) * len * len) as u32;
                let column = which.index(columns.len());
                let read = reader.read(row_group, rows.clone(), &[column]).expect("a whole file");
                let expected = &expected_whole[column][rows.start as usize..rows.end as usize];
                prop_assert_eq!(&cells(&read[0], rows.len())[..], expected, "rows {:?}", rows);
                let some = some_rows(n_rows, (f64::from(n_rows) * from) as u64 + 1);
                let meter = ReadMeter::default();
                let chosen = reader
                    .read_rows(row_group, &some, &columns, Keep::Small, &meter)
                    .expect("a whole file");
                let n_chosen = some.iter().map(|rows| rows.len()).sum();
                for (read, column) in chosen.iter().zip(&columns) {
                    let places = some.iter().flat_map(Range::clone);
                    let of_rows: Vec<Cell> =
                        places.map(|row| expected_whole[*column][row as usize].clone()).collect();
                    prop_assert_eq!(cells(read, n_chosen), of_rows, "rows {:?}", some);
                }
                if case.columns[column].filled.is_some() && expected.iter().all(Option::is_none) {
                    prop_assert!(read[0].rows.as_ref().is_some_and(|rows| rows.is_empty()));
                }
            }
        }
    }
}
