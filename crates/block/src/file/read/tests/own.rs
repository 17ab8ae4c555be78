//! Files of our own writer: what was written comes back, and no bent page passes.

use arrow_buffer::{BooleanBuffer, ScalarBuffer};
use proptest::prelude::*;
use suyuan_model::Strings;

use super::*;
use crate::column::{ColumnSpec, Compression, Encoding};
use crate::file::write::{FileOptions, FileWriter};

const KINDS: [Kind; 9] = [
    Kind::Text,
    Kind::Bytes,
    Kind::Id,
    Kind::U64,
    Kind::I64,
    Kind::U32,
    Kind::I32,
    Kind::F64,
    Kind::Bool,
];

/// Values of a kind from numbers; a dictionary if the numbers are few.
fn values(kind: Kind, numbers: &[u64], n_distinct: u64) -> Values {
    let text = |number: &u64| format!("number {number} of many");
    match kind {
        Kind::Text if n_distinct < 100 => Values::Text(Strings::Dictionary {
            codes: numbers.iter().map(|number| *number as u32).collect(),
            values: StringArray::from_iter_values((0..n_distinct).map(|number| text(&number))),
        }),
        Kind::Text => {
            Values::Text(Strings::Plain(StringArray::from_iter_values(numbers.iter().map(text))))
        }
        Kind::Bytes => Values::Bytes(BinaryArray::from_iter_values(
            numbers.iter().map(|number| number.to_le_bytes()),
        )),
        Kind::Id => {
            let id = |number: &u64| u128::from(*number).to_be_bytes();
            let bytes: Vec<u8> = numbers.iter().flat_map(id).collect();
            Values::Id(FixedSizeBinaryArray::new(16, bytes.into(), None))
        }
        Kind::U64 => Values::U64(numbers.iter().copied().collect()),
        Kind::I64 => Values::I64(numbers.iter().map(|number| !*number as i64).collect()),
        Kind::U32 => Values::U32(numbers.iter().map(|number| *number as u32).collect()),
        Kind::I32 => Values::I32(numbers.iter().map(|number| -(*number as i32)).collect()),
        Kind::F64 => Values::F64(numbers.iter().map(|number| *number as f64 / 3.0).collect()),
        Kind::Bool => {
            Values::Bool(numbers.iter().map(|number| number % 3 == 0).collect::<BooleanBuffer>())
        }
    }
}

pub(super) fn spec(name: String, kind: Kind, encoding: Encoding, is_optional: bool) -> ColumnSpec {
    let compression = Compression::Zstd;
    ColumnSpec { name, kind, is_optional, encoding, compression, has_bloom: kind == Kind::Id }
}

pub(super) fn write_own(
    specs: &[ColumnSpec],
    n_rows: u32,
    columns: &[Column],
    page_rows: usize,
) -> Vec<u8> {
    let options = FileOptions { page_rows, page_bytes_min: 0, ..FileOptions::default() };
    let mut writer = FileWriter::new(Vec::new(), specs.to_vec(), options).expect("a schema");
    writer.write_row_group(n_rows, columns).expect("a table");
    writer.finish().expect("in memory").sink
}

pub(super) fn column_of(kind: Kind, n_rows: u32, every: u32, n_distinct: u64) -> Column {
    let rows: Vec<u32> = (0..n_rows).filter(|row| row % every == 0).collect();
    let numbers: Vec<u64> =
        rows.iter().map(|row| u64::from(*row).wrapping_mul(0x9e37_79b9) % n_distinct).collect();
    let values = values(kind, &numbers, n_distinct);
    Column { rows: (every > 1).then(|| ScalarBuffer::from(rows)), values }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_comes_back(
        n_rows in 1..3_000_u32,
        page_rows in 1..1_000_usize,
        n_distinct in prop_oneof![1..5_u64, 1..3_000_u64],
        every in prop_oneof![Just(1), 1..20_u32, Just(10_000)],
        from in 0.0..1.0,
        len in 0.0..1.0,
    ) {
        let mut specs = Vec::new();
        let mut columns = Vec::new();
        for kind in KINDS {
            for encoding in [Encoding::Plain, Encoding::Split, Encoding::Dictionary] {
                specs.push(spec(format!("{kind:?} {encoding:?}"), kind, encoding, every > 1));
                columns.push(column_of(kind, n_rows, every, n_distinct));
            }
        }
        let reader = open(write_own(&specs, n_rows, &columns, page_rows));
        let all: Vec<usize> = (0..specs.len()).collect();
        let start = (f64::from(n_rows) * from) as u32;
        let rows = start..start + (f64::from(n_rows - start) * len) as u32;
        for rows in [0..n_rows, rows] {
            let read = reader.read(0, rows.clone(), &all).expect("a whole file");
            for (place, read) in read.iter().enumerate() {
                let expected = cells(&columns[place], n_rows as usize);
                let expected = &expected[rows.start as usize..rows.end as usize];
                prop_assert_eq!(&cells(read, rows.len())[..], expected, "{}", specs[place].name);
            }
        }
    }
}

#[test]
fn no_bent_page_passes() {
    let mut specs = Vec::new();
    let mut columns = Vec::new();
    for kind in KINDS {
        specs.push(spec(format!("{kind:?}"), kind, Encoding::Dictionary, true));
        columns.push(column_of(kind, 300, 2, 20));
    }
    let bytes = write_own(&specs, 300, &columns, 100);
    let reader = open(bytes.clone());
    let expected = reader.read(0, 0..300, &[0, 1, 2, 3, 4, 5, 6, 7, 8]).expect("a whole file");
    for (column, expected) in expected.iter().enumerate() {
        let chunk = reader.footer.chunks[reader.footer.chunk_number(0, column)];
        let end = reader.footer.page_range(&chunk, 2).end;
        let mut n_passed = 0;
        for place in chunk.start..end {
            let mut bent = bytes.clone();
            bent[place as usize] ^= 0x10;
            if let Ok(read) = open(bent).read(0, 0..300, &[column]) {
                n_passed += 1;
                // Of a page's header not every bit says something that is asked for.
                assert_eq!(cells(&read[0], 300), cells(expected, 300), "byte {place}");
            }
        }
        assert!(n_passed < 40, "column {column}: {n_passed} bent bytes changed nothing");
    }
}

#[test]
fn an_error_says_where() {
    let columns = [column_of(Kind::U64, 300, 1, 1_000_000)];
    let specs = [spec("number".to_owned(), Kind::U64, Encoding::Plain, false)];
    let mut bytes = write_own(&specs, 300, &columns, 100);
    let reader = open(bytes.clone());
    let page = reader.footer.page_range(&reader.footer.chunks[0], 1);
    bytes[page.end as usize - 10] ^= 0xff;
    let bent = open(bytes);
    assert_eq!(
        bent.read(0, 0..300, &[0]).expect_err("a bent page").to_string(),
        "blocks/one/spans.parquet: column `number` of row group 0 is damaged: a page's checksum is \
         not that of its bytes"
    );
    bent.read(0, 0..100, &[0]).expect("the other pages are whole");
}
