//! The reader against files of the stock writer: every kind, encoding and page border.

mod damage;
mod lookup;
mod own;
mod prune;
mod random;

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int32Array,
    Int64Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use suyuan_objects::Objects;
use suyuan_objects::faulty::MemoryObjects;

use super::cache::{Cached, Key, Part};
use super::damage::damaged;
use super::page::PageHeader;
use super::present::Present;
use super::values::{Expected, PageValues, ValuesBuilder};
use super::*;
use crate::column::{Kind, Values};

const PATH: &str = "blocks/one/spans.parquet";

/// A value as its plain bytes.
type Cell = Option<Vec<u8>>;

fn store(bytes: Vec<u8>) -> (Arc<dyn Objects>, u64) {
    let objects = MemoryObjects::new();
    let n_bytes = bytes.len() as u64;
    objects.put(PATH, bytes.into()).expect("in memory");
    (Arc::new(objects), n_bytes)
}

fn open(bytes: Vec<u8>) -> FileReader {
    let (objects, n_bytes) = store(bytes);
    FileReader::open(objects, PATH, n_bytes).expect("a whole file")
}

fn write(batch: &RecordBatch, properties: WriterProperties) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).expect("a schema");
    writer.write(batch).expect("in memory");
    writer.close().expect("in memory");
    bytes
}

fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::try_new(1).expect("a level"))
}

/// Required columns where no value is missing.
fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

/// Row groups as the stock reader sees them: of each column its cells.
fn read_stock(bytes: &[u8], row_group: usize) -> Vec<Vec<Cell>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(bytes))
        .expect("a whole file")
        .with_row_groups(vec![row_group])
        .with_batch_size(1 << 20)
        .build()
        .expect("a whole file");
    let mut columns: Vec<Vec<Cell>> = Vec::new();
    for batch in reader {
        let batch = batch.expect("a whole file");
        columns.resize(batch.num_columns(), Vec::new());
        for (column, array) in columns.iter_mut().zip(batch.columns()) {
            column.extend((0..array.len()).map(|row| cell_of_array(array, row)));
        }
    }
    columns
}

fn cell_of_array(array: &dyn Array, row: usize) -> Cell {
    if array.is_null(row) {
        return None;
    }
    let any = array.as_any();
    macro_rules! try_kinds {
        ($($array:ty => $bytes:expr),* $(,)?) => {
            $(if let Some(array) = any.downcast_ref::<$array>() {
                return Some($bytes(array.value(row)));
            })*
        };
    }
    try_kinds! {
        StringArray => |value: &str| value.as_bytes().to_vec(),
        BinaryArray => |value: &[u8]| value.to_vec(),
        FixedSizeBinaryArray => |value: &[u8]| value.to_vec(),
        UInt64Array => |value: u64| value.to_le_bytes().to_vec(),
        Int64Array => |value: i64| value.to_le_bytes().to_vec(),
        UInt32Array => |value: u32| value.to_le_bytes().to_vec(),
        Int32Array => |value: i32| value.to_le_bytes().to_vec(),
        Float64Array => |value: f64| value.to_le_bytes().to_vec(),
        BooleanArray => |value: bool| vec![u8::from(value)],
    }
    panic!("no kind of ours: {:?}", array.data_type());
}

fn cell_of_values(values: &Values, place: usize) -> Vec<u8> {
    match values {
        Values::Text(values) => values.value(place).as_bytes().to_vec(),
        Values::Bytes(values) => values.value(place).to_vec(),
        Values::Id(values) => values.value(place).to_vec(),
        Values::U64(values) => values[place].to_le_bytes().to_vec(),
        Values::I64(values) => values[place].to_le_bytes().to_vec(),
        Values::U32(values) => values[place].to_le_bytes().to_vec(),
        Values::I32(values) => values[place].to_le_bytes().to_vec(),
        Values::F64(values) => values[place].to_le_bytes().to_vec(),
        Values::Bool(values) => vec![u8::from(values.value(place))],
    }
}

/// The cells of a column of `n_rows` rows, which must keep what [`Column`] promises.
fn cells(column: &Column, n_rows: usize) -> Vec<Cell> {
    let mut cells = vec![None; n_rows];
    match &column.rows {
        None => {
            assert_eq!(column.values.len(), n_rows, "every row has a value");
            for (row, cell) in cells.iter_mut().enumerate() {
                *cell = Some(cell_of_values(&column.values, row));
            }
        }
        Some(rows) => {
            assert_eq!(column.values.len(), rows.len(), "a row for each value");
            assert!(rows.is_sorted_by(|left, right| left < right), "rows ascend");
            for (place, row) in rows.iter().enumerate() {
                cells[*row as usize] = Some(cell_of_values(&column.values, place));
            }
        }
    }
    cells
}

/// Texts of `n_distinct` values, in turn.
fn texts(n_rows: usize, n_distinct: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..n_rows).map(|row| format!("/{}", row % n_distinct))))
}

#[test]
fn what_the_footer_says() {
    let columns = batch(vec![
        ("name", texts(2_500, 7)),
        ("id", Arc::new(UInt64Array::from_iter_values(0..2_500))),
        ("empty", Arc::new(Int32Array::new_null(2_500))),
    ]);
    let properties = WriterProperties::builder()
        .set_compression(zstd())
        .set_max_row_group_row_count(Some(1_000))
        .set_key_value_metadata(Some(vec![parquet::file::metadata::KeyValue::new(
            "suyuan".to_owned(),
            "1".to_owned(),
        )]))
        .build();
    let reader = open(write(&columns, properties));
    let column =
        |name: &str, kind, is_optional| FileColumn { name: name.into(), kind, is_optional };
    assert_eq!(
        reader.columns(),
        [
            column("name", Kind::Text, false),
            column("id", Kind::U64, false),
            column("empty", Kind::I32, true)
        ]
    );
    assert_eq!(reader.column("empty"), Some(2));
    assert_eq!(reader.column("absent"), None);
    assert_eq!((reader.n_row_groups(), reader.n_rows_total()), (3, 2_500));
    assert_eq!((reader.n_rows(0), reader.n_rows(2), reader.n_rows(3)), (1_000, 500, 0));
    assert_eq!((reader.key_value("suyuan"), reader.key_value("other")), (Some("1"), None));
    assert!(reader.is_null(0, 2) && !reader.is_null(0, 1));
}

#[test]
fn a_dictionary_column_stays_codes_and_shares_what_was_kept() {
    let properties = WriterProperties::builder().set_data_page_row_count_limit(100).build();
    let reader = open(write(&batch(vec![("name", texts(4_000, 7))]), properties));
    let dictionary = |rows: Range<u32>| {
        let column = reader.read(0, rows, &[0]).expect("a whole file").remove(0);
        let Values::Text(suyuan_model::Strings::Dictionary { codes, values }) = column.values
        else {
            panic!("codes were expected");
        };
        assert!(column.rows.is_none());
        (codes.to_vec(), values)
    };
    let (codes, first) = dictionary(1_022..1_025);
    assert_eq!(codes, [0, 1, 2]);
    let (codes, second) = dictionary(1..2);
    assert_eq!((codes, second.len()), (vec![1], 7));
    assert!(first.value_data().as_ptr() == second.value_data().as_ptr(), "kept and not read again");
}

#[test]
fn asking_beyond_the_file_is_an_error() {
    let reader = open(write(&batch(vec![("name", texts(10, 3))]), WriterProperties::default()));
    let text = |row_group, rows, columns: &[usize]| {
        reader.read(row_group, rows, columns).expect_err("beyond").to_string()
    };
    assert_eq!(text(1, 0..1, &[0]), "blocks/one/spans.parquet has no row group 1");
    assert_eq!(text(0, 0..11, &[0]), "blocks/one/spans.parquet has no rows 0..11 in row group 0");
    #[expect(clippy::reversed_empty_ranges, reason = "a mistake of the caller")]
    let reversed = text(0, 3..2, &[0]);
    assert_eq!(reversed, "blocks/one/spans.parquet has no rows 3..2 in row group 0");
    assert_eq!(text(0, 0..1, &[1]), "blocks/one/spans.parquet has no column 1");
}
