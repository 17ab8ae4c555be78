//! What the writer writes, read by the `parquet` crate's own Arrow reader.

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow_buffer::{BooleanBuffer, ScalarBuffer};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::basic::BoundaryOrder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use proptest::prelude::*;
use suyuan_model::Strings;

use super::*;
use crate::column::{Compression, Encoding, Values};

mod refusals;

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
const ENCODINGS: [Encoding; 3] = [Encoding::Plain, Encoding::Split, Encoding::Dictionary];
const COMPRESSIONS: [Compression; 2] = [Compression::None, Compression::Zstd];

/// A value as bits or bytes, so that every kind is made and compared in the same way.
type Cell = Option<Vec<u8>>;

fn spec(kind: Kind, encoding: Encoding) -> ColumnSpec {
    ColumnSpec {
        name: format!("{kind:?}.{encoding:?}"),
        kind,
        is_optional: true,
        encoding,
        compression: Compression::Zstd,
        has_bloom: false,
    }
}

/// A cell that holds a number, as a value of a kind.
fn cell(kind: Kind, number: u64) -> Vec<u8> {
    match kind {
        Kind::Text => format!("text {number}").into_bytes(),
        Kind::Bytes => [&[0xff, 0], &number.to_le_bytes()[..]].concat(),
        Kind::Id => (u128::from(number) << 40).to_be_bytes().to_vec(),
        Kind::U64 | Kind::I64 | Kind::F64 => number.to_le_bytes().to_vec(),
        Kind::U32 | Kind::I32 => (number as u32).to_le_bytes().to_vec(),
        Kind::Bool => vec![(number & 1) as u8],
    }
}

fn column(kind: Kind, cells: &[Cell], texts_as: TextsAs) -> Column {
    let present = || cells.iter().flatten();
    let rows = || (0u32..).zip(cells).filter(|(_, cell)| cell.is_some()).map(|(row, _)| row);
    let eight = |cell: &Vec<u8>| <[u8; 8]>::try_from(&cell[..]).unwrap();
    let four = |cell: &Vec<u8>| <[u8; 4]>::try_from(&cell[..]).unwrap();
    let text = |cell: &Vec<u8>| String::from_utf8(cell.clone()).unwrap();
    let values = match kind {
        Kind::Text => Values::Text(match texts_as {
            TextsAs::Plain => Strings::Plain(StringArray::from_iter_values(present().map(text))),
            TextsAs::Codes => {
                // A value that no row has and one that stands before its first use.
                let mut distinct: Vec<String> = present().map(text).collect();
                distinct.push("nobody has this".into());
                distinct.sort();
                distinct.dedup();
                let code = |cell| distinct.binary_search(&text(cell)).unwrap() as u32;
                Strings::Dictionary {
                    codes: present().map(code).collect(),
                    values: StringArray::from_iter_values(&distinct),
                }
            }
        }),
        Kind::Bytes => Values::Bytes(BinaryArray::from_iter_values(present())),
        Kind::Id => {
            let mut ids = FixedSizeBinaryBuilder::new(16);
            present().for_each(|id| ids.append_value(id).unwrap());
            Values::Id(ids.finish())
        }
        Kind::U64 => Values::U64(present().map(|cell| u64::from_le_bytes(eight(cell))).collect()),
        Kind::I64 => Values::I64(present().map(|cell| i64::from_le_bytes(eight(cell))).collect()),
        Kind::F64 => Values::F64(present().map(|cell| f64::from_le_bytes(eight(cell))).collect()),
        Kind::U32 => Values::U32(present().map(|cell| u32::from_le_bytes(four(cell))).collect()),
        Kind::I32 => Values::I32(present().map(|cell| i32::from_le_bytes(four(cell))).collect()),
        Kind::Bool => Values::Bool(present().map(|cell| cell[0] == 1).collect()),
    };
    let has_all = cells.iter().all(Option::is_some);
    Column { rows: (!has_all).then(|| rows().collect()), values }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum TextsAs {
    Plain,
    Codes,
}

fn cells_of(kind: Kind, array: &ArrayRef) -> Vec<Cell> {
    let cell = |row: usize| match kind {
        Kind::Text => array.as_string::<i32>().value(row).as_bytes().to_vec(),
        Kind::Bytes => array.as_binary::<i32>().value(row).to_vec(),
        Kind::Id => array.as_fixed_size_binary().value(row).to_vec(),
        Kind::U64 => array.as_primitive::<UInt64Type>().value(row).to_le_bytes().to_vec(),
        Kind::I64 => array.as_primitive::<Int64Type>().value(row).to_le_bytes().to_vec(),
        Kind::U32 => array.as_primitive::<UInt32Type>().value(row).to_le_bytes().to_vec(),
        Kind::I32 => array.as_primitive::<Int32Type>().value(row).to_le_bytes().to_vec(),
        Kind::F64 => array.as_primitive::<Float64Type>().value(row).to_le_bytes().to_vec(),
        Kind::Bool => vec![u8::from(array.as_boolean().value(row))],
    };
    (0..array.len()).map(|row| array.is_valid(row).then(|| cell(row))).collect()
}

fn write(specs: &[ColumnSpec], options: FileOptions, groups: &[(u32, Vec<Column>)]) -> Bytes {
    let mut writer = FileWriter::new(Vec::new(), specs.to_vec(), options).unwrap();
    for (n_rows, columns) in groups {
        writer.write_row_group(*n_rows, columns).unwrap();
    }
    let written = writer.finish().unwrap();
    assert_eq!(written.bytes, written.sink.len() as u64);
    assert_eq!(written.crc32c, crc32c::crc32c(&written.sink));
    written.sink.into()
}

fn reader(file: &Bytes) -> ParquetRecordBatchReaderBuilder<Bytes> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).unwrap()
}

fn metadata(file: &Bytes) -> Arc<ParquetMetaData> {
    reader(file).metadata().clone()
}

fn read(file: &Bytes) -> Vec<RecordBatch> {
    reader(file).with_batch_size(1_000).build().unwrap().map(Result::unwrap).collect()
}

/// Writes groups of cells of one kind and reads the same cells back.
fn check_groups(spec: &ColumnSpec, options: FileOptions, texts_as: TextsAs, groups: &[Vec<Cell>]) {
    let columns: Vec<_> = groups
        .iter()
        .map(|cells| (cells.len() as u32, vec![column(spec.kind, cells, texts_as)]))
        .collect();
    let file = write(std::slice::from_ref(spec), options, &columns);
    let found: Vec<Cell> =
        read(&file).iter().flat_map(|batch| cells_of(spec.kind, batch.column(0))).collect();
    let expected = groups.concat();
    let differs = expected.iter().zip(&found).position(|(a, b)| a != b);
    assert_eq!(differs, None, "{spec:?}, {texts_as:?}");
    assert_eq!(found.len(), expected.len(), "{spec:?}, {texts_as:?}");
}

/// The same with every encoding, codec and form of texts.
fn check(kind: Kind, cells: &[Cell]) {
    for encoding in ENCODINGS {
        for compression in COMPRESSIONS {
            for texts_as in [TextsAs::Plain, TextsAs::Codes] {
                let mut spec = ColumnSpec { compression, ..spec(kind, encoding) };
                let groups = [cells.to_vec()];
                check_groups(&spec, FileOptions::default(), texts_as, &groups);
                if cells.iter().all(Option::is_some) {
                    spec.is_optional = false;
                    check_groups(&spec, FileOptions::default(), texts_as, &groups);
                }
            }
        }
    }
}

fn column_of_texts(texts: &[&str]) -> Column {
    let texts = StringArray::from_iter_values(texts);
    Column { rows: None, values: Values::Text(Strings::Plain(texts)) }
}

fn column_of_u32s(rows: Option<Vec<u32>>, values: Vec<u32>) -> Column {
    Column { rows: rows.map(ScalarBuffer::from), values: Values::U32(values.into()) }
}

/// The error of writing one column of two rows.
fn refusal(spec: ColumnSpec, column: Column) -> String {
    let mut writer = FileWriter::new(Vec::new(), vec![spec], FileOptions::default()).unwrap();
    match writer.write_row_group(2, &[column]).unwrap_err() {
        WriteError::Column { column, source } => format!("{column} {source}"),
        other => other.to_string(),
    }
}

#[test]
fn no_row_has_a_value() {
    for kind in KINDS {
        for n_rows in [1, 8, 8_193] {
            check(kind, &vec![None; n_rows]);
        }
    }
}

#[test]
fn one_row() {
    for kind in KINDS {
        check(kind, &[Some(cell(kind, 7))]);
    }
}

#[test]
fn all_equal_and_all_distinct_at_page_borders() {
    for kind in KINDS {
        for n_rows in [8_191, 8_192, 8_193] {
            check(kind, &vec![Some(cell(kind, 9)); n_rows]);
            let distinct: Vec<_> = (0..n_rows as u64).map(|n| Some(cell(kind, n * 77))).collect();
            check(kind, &distinct);
        }
    }
}

#[test]
fn few_values_in_runs_of_every_length() {
    for kind in KINDS {
        let mut cells = Vec::new();
        for length in (1..20).chain([255, 256, 257, 600, 3_000, 9_000]) {
            for number in 0..3 {
                cells.extend(vec![Some(cell(kind, number)); length]);
                cells.extend(vec![None; length / 2]);
            }
        }
        check(kind, &cells);
    }
}

#[test]
fn dictionaries_of_every_width() {
    for n_distinct in [1, 2, 3, 4, 5, 16, 17, 256, 257, 65_536, 65_537] {
        // Codes of 24 bits save nothing on numbers of 32.
        let u32s = (n_distinct <= 65_536).then_some(Kind::U32);
        for kind in [Kind::Text, Kind::I64].into_iter().chain(u32s) {
            let numbers = (0..n_distinct * 10).map(|n| n * 7_919 % n_distinct);
            let cells: Vec<_> = numbers.map(|n| Some(cell(kind, n))).collect();
            let spec = spec(kind, Encoding::Dictionary);
            let columns = vec![column(kind, &cells, TextsAs::Codes)];
            let file = write(&[spec], FileOptions::default(), &[(cells.len() as u32, columns)]);
            let chunk = metadata(&file).row_group(0).column(0).clone();
            assert!(chunk.dictionary_page_offset().is_some(), "{n_distinct} of {kind:?}");
            let found: Vec<_> =
                read(&file).iter().flat_map(|batch| cells_of(kind, batch.column(0))).collect();
            assert!(found == cells, "{n_distinct} of {kind:?}");
        }
    }
}

#[test]
fn empty_and_huge_texts() {
    let huge = "long".repeat(1 << 18);
    for kind in [Kind::Text, Kind::Bytes] {
        let texts = ["", &huge, "", "short", &huge, "x", &huge];
        let cells: Vec<Cell> = texts.iter().map(|text| Some(text.as_bytes().to_vec())).collect();
        check(kind, &cells);
        let with_gaps: Vec<_> = cells.iter().flat_map(|cell| [None, cell.clone()]).collect();
        check(kind, &with_gaps);
    }
}

#[test]
fn numbers_at_their_ends() {
    let doubles =
        [f64::NAN, -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN, f64::MIN_POSITIVE];
    check(Kind::F64, &doubles.map(|value| Some(value.to_le_bytes().to_vec())));
    check(Kind::F64, &vec![Some(f64::NAN.to_le_bytes().to_vec()); 9_000]);
    for kind in [Kind::U64, Kind::I64] {
        let ends = [0, u64::MAX, i64::MAX as u64, i64::MIN as u64, 1, 1 << 16];
        check(kind, &ends.map(|bits| Some(bits.to_le_bytes().to_vec())));
    }
    for kind in [Kind::U32, Kind::I32] {
        let ends = [0, u32::MAX, i32::MAX as u32, i32::MIN as u32, 1, 1 << 16];
        check(kind, &ends.map(|bits| Some(bits.to_le_bytes().to_vec())));
    }
    check(Kind::Id, &[[0; 16], [0xff; 16], [0x80; 16]].map(|id| Some(id.to_vec())));
}

#[test]
fn a_dictionary_is_kept_where_it_saves() {
    let has_dictionary = |cells: &[Cell], texts_as| {
        let columns = vec![column(Kind::Text, cells, texts_as)];
        let specs = [spec(Kind::Text, Encoding::Dictionary)];
        let file = write(&specs, FileOptions::default(), &[(cells.len() as u32, columns)]);
        metadata(&file).row_group(0).column(0).dictionary_page_offset().is_some()
    };
    let few: Vec<_> = (0..5_000).map(|n| Some(cell(Kind::Text, n % 50))).collect();
    let many: Vec<_> = (0..5_000).map(|n| Some(cell(Kind::Text, n / 2))).collect();
    for texts_as in [TextsAs::Plain, TextsAs::Codes] {
        assert!(has_dictionary(&few, texts_as));
        assert!(!has_dictionary(&many, texts_as));
    }
}

#[test]
fn an_empty_column_is_one_small_page() {
    let n_rows = 200_000;
    let specs = [spec(Kind::Text, Encoding::Dictionary), spec(Kind::U32, Encoding::Plain)];
    let empty = column(Kind::Text, &vec![None; n_rows], TextsAs::Codes);
    let full = column_of_u32s(None, (0..n_rows as u32).collect());
    let file = write(&specs, FileOptions::default(), &[(n_rows as u32, vec![empty, full])]);
    let metadata = metadata(&file);
    let chunk = metadata.row_group(0).column(0);
    assert!(chunk.compressed_size() < 48, "{}", chunk.compressed_size());
    let index = metadata.offset_index().unwrap();
    assert_eq!(index[0][0].page_locations().len(), 1);
    assert_eq!(index[0][1].page_locations().len(), n_rows.div_ceil(8_192));
}

#[test]
fn pages_have_their_borders_at_multiples() {
    let n_rows = 40_000;
    let sparse: Vec<_> = (0..n_rows).map(|n| (n % 37 == 0).then(|| cell(Kind::I64, n))).collect();
    let full: Vec<_> = (0..n_rows).map(|n| Some(cell(Kind::Text, n))).collect();
    let codes: Vec<_> = (0..n_rows).map(|n| Some(cell(Kind::U32, n % 99))).collect();
    let specs = [
        spec(Kind::I64, Encoding::Split),
        spec(Kind::Text, Encoding::Dictionary),
        spec(Kind::U32, Encoding::Dictionary),
    ];
    let columns = vec![
        column(Kind::I64, &sparse, TextsAs::Plain),
        column(Kind::Text, &full, TextsAs::Codes),
        column(Kind::U32, &codes, TextsAs::Plain),
    ];
    let file = write(&specs, FileOptions::default(), &[(n_rows as u32, columns)]);
    let metadata = metadata(&file);
    let index = &metadata.offset_index().unwrap()[0];
    let borders = |column: usize| -> Vec<_> {
        index[column].page_locations().iter().map(|page| page.first_row_index).collect()
    };
    // 1 kB of levels and 2 kB of values, 90 kB of texts, 8 kB of codes for 8,192 rows.
    assert_eq!(borders(0), [0, 32_768]);
    assert_eq!(borders(1), [0, 8_192, 16_384, 24_576, 32_768]);
    assert_eq!(borders(2), [0, 16_384, 32_768]);
    // A row from the middle of a page, found by way of the page index.
    let selection = vec![RowSelector::skip(20_017), RowSelector::select(2)];
    let batches: Vec<_> = reader(&file)
        .with_row_selection(RowSelection::from(selection))
        .build()
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let found: Vec<_> = batches.iter().flat_map(|b| cells_of(Kind::I64, b.column(0))).collect();
    assert_eq!(found, sparse[20_017..20_019]);
    let found: Vec<_> = batches.iter().flat_map(|b| cells_of(Kind::Text, b.column(1))).collect();
    assert_eq!(found, full[20_017..20_019]);
}

#[test]
fn a_page_ends_at_its_bytes() {
    let options = FileOptions { page_bytes_max: 1_000, ..FileOptions::default() };
    for kind in KINDS {
        let cells: Vec<_> = (0..2_000).map(|n| (n % 3 > 0).then(|| cell(kind, n))).collect();
        let spec = spec(kind, Encoding::Plain);
        check_groups(&spec, options.clone(), TextsAs::Plain, std::slice::from_ref(&cells));
        let columns = vec![column(kind, &cells, TextsAs::Plain)];
        let file = write(&[spec], options.clone(), &[(2_000, columns)]);
        let index = &metadata(&file).offset_index().unwrap()[0][0].clone();
        assert!(index.page_locations().len() > 1, "{kind:?}");
        assert!(index.page_locations().iter().all(|page| page.compressed_page_size < 1_100));
    }
}

#[test]
fn ids_can_be_searched_by_page() {
    let cells: Vec<_> = (0..20_000).map(|n| Some(cell(Kind::Id, n / 10))).collect();
    let specs = [ColumnSpec { has_bloom: true, ..spec(Kind::Id, Encoding::Plain) }];
    let columns = vec![column(Kind::Id, &cells, TextsAs::Plain)];
    let file = write(&specs, FileOptions::default(), &[(20_000, columns)]);
    let metadata = metadata(&file);
    let index = &metadata.column_index().unwrap()[0][0];
    assert_eq!(index.get_boundary_order(), Some(BoundaryOrder::ASCENDING));
    let ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index) = index else {
        panic!("an index of ids");
    };
    let mins: Vec<_> = index.min_values_iter().map(|id| id.unwrap().to_vec()).collect();
    assert_eq!(mins, [0, 819, 1_638].map(|n| cell(Kind::Id, n)));
    let maxs: Vec<_> = index.max_values_iter().map(|id| id.unwrap().to_vec()).collect();
    assert_eq!(maxs, [819, 1_638, 1_999].map(|n| cell(Kind::Id, n)));

    let bloom = reader(&file).get_row_group_column_bloom_filter(0, 0).unwrap().unwrap();
    assert!((0..2_000).all(|n| bloom.check(&cell(Kind::Id, n)[..])));
    let n_wrong = (2_000..12_000).filter(|n| bloom.check(&cell(Kind::Id, *n)[..])).count();
    assert!(n_wrong < 1_000, "{n_wrong} of 10000");
}

#[test]
fn blooms_of_every_kind_hold_what_is_there() {
    for kind in KINDS {
        for encoding in ENCODINGS {
            let cells: Vec<_> = (0..500).map(|n| Some(cell(kind, n / 5))).collect();
            let specs = [ColumnSpec { has_bloom: true, ..spec(kind, encoding) }];
            for texts_as in [TextsAs::Plain, TextsAs::Codes] {
                let groups = [(500, vec![column(kind, &cells, texts_as)])];
                let file = write(&specs, FileOptions::default(), &groups);
                let bloom = reader(&file).get_row_group_column_bloom_filter(0, 0).unwrap().unwrap();
                for cell in cells.iter().flatten() {
                    assert!(bloom.check(&cell[..]), "{kind:?} {encoding:?}");
                }
            }
        }
    }
}

#[test]
fn a_bloom_is_as_large_as_its_distinct_values_need() {
    let bytes = |n_distinct: u64| {
        let cells: Vec<_> = (0..20_000).map(|n| Some(cell(Kind::I64, n % n_distinct))).collect();
        let specs = [ColumnSpec { has_bloom: true, ..spec(Kind::I64, Encoding::Plain) }];
        let groups = [(20_000, vec![column(Kind::I64, &cells, TextsAs::Plain)])];
        let file = write(&specs, FileOptions::default(), &groups);
        let bloom = reader(&file).get_row_group_column_bloom_filter(0, 0).unwrap().unwrap();
        assert!((0..n_distinct).all(|n| bloom.check(&n.cast_signed())));
        bloom.num_blocks() * 32
    };
    assert_eq!(bytes(1), 32);
    assert_eq!(bytes(2_000), 2_048);
    assert_eq!(bytes(20_000), 16_384);
}

#[test]
fn bounds_of_numbers_are_those_of_their_kind() {
    let numbers = [3, u64::MAX, 8];
    let bounds = |kind| {
        let cells = numbers.map(|n| Some(cell(kind, n)));
        let groups = [(3, vec![column(kind, &cells, TextsAs::Plain)])];
        let file = write(&[spec(kind, Encoding::Plain)], FileOptions::default(), &groups);
        let statistics = metadata(&file).row_group(0).column(0).statistics().unwrap().clone();
        let of = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        (of(statistics.min_bytes_opt()), of(statistics.max_bytes_opt()))
    };
    for (kind, min, max) in [
        (Kind::U64, 3, u64::MAX),
        (Kind::U32, 3, u64::MAX),
        (Kind::I64, u64::MAX, 8),
        (Kind::I32, u64::MAX, 8),
    ] {
        assert_eq!(bounds(kind), (Some(cell(kind, min)), Some(cell(kind, max))), "{kind:?}");
    }
    // NaN is outside every order.
    assert_eq!(bounds(Kind::F64), (Some(cell(Kind::F64, 3)), Some(cell(Kind::F64, 8))));
}

#[test]
fn bounds_of_texts_are_short_and_hold_all() {
    let bounds = |texts: &[&str]| {
        let specs = [ColumnSpec { is_optional: false, ..spec(Kind::Text, Encoding::Plain) }];
        let groups = [(texts.len() as u32, vec![column_of_texts(texts)])];
        let file = write(&specs, FileOptions::default(), &groups);
        let statistics = metadata(&file).row_group(0).column(0).statistics().unwrap().clone();
        let of = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8(b.to_vec()).unwrap());
        (of(statistics.min_bytes_opt()), of(statistics.max_bytes_opt()))
    };
    let some = |min: &str, max: &str| (Some(min.to_string()), Some(max.to_string()));
    assert_eq!(bounds(&["b", "a"]), some("a", "b"));
    assert_eq!(bounds(&["select every row of"]), some("select every row", "select every rox"));
    assert_eq!(bounds(&["é".repeat(20).as_str()]), (Some("é".repeat(8)), None));
    let mixed = format!("a{}", "é".repeat(20));
    assert_eq!(bounds(&[&mixed]), some(&format!("a{}", "é".repeat(7)), "b"));
}

#[test]
fn key_values_and_names_stand_in_the_footer() {
    let options = FileOptions {
        key_values: vec![("suyuan.block".into(), "1".into())],
        ..FileOptions::default()
    };
    let specs = [ColumnSpec {
        name: "attr:string:http.method".into(),
        ..spec(Kind::Text, Encoding::Plain)
    }];
    let file = write(&specs, options, &[(1, vec![column_of_texts(&["GET"])])]);
    let metadata = metadata(&file);
    let key_values = metadata.file_metadata().key_value_metadata().unwrap();
    assert_eq!(key_values[0].key, "suyuan.block");
    assert_eq!(key_values[0].value.as_deref(), Some("1"));
    assert_eq!(read(&file)[0].schema().field(0).name(), "attr:string:http.method");
}

#[test]
fn a_file_without_rows_or_columns() {
    let file = write(&[spec(Kind::Text, Encoding::Plain)], FileOptions::default(), &[]);
    assert!(read(&file).is_empty());
    let file = write(&[], FileOptions::default(), &[(5, Vec::new())]);
    assert_eq!(metadata(&file).file_metadata().num_rows(), 5);
}

/// Cells with gaps and repetitions of every extent.
fn any_cells(kind: Kind) -> impl Strategy<Value = Vec<Cell>> {
    let piece = (any::<Option<u64>>(), 1..5u64, 1..40usize);
    proptest::collection::vec(piece, 1..40).prop_map(move |pieces| {
        let mut cells = Vec::new();
        for (number, step, n) in pieces {
            for at in 0..n as u64 {
                let value = |number: u64| cell(kind, number.wrapping_add(at * step / 3));
                cells.push(number.map(value));
            }
        }
        cells
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_column_comes_back(
        (kind, first, second) in proptest::sample::select(&KINDS[..])
            .prop_flat_map(|kind| (Just(kind), any_cells(kind), any_cells(kind))),
        encoding in proptest::sample::select(&ENCODINGS[..]),
        compression in proptest::sample::select(&COMPRESSIONS[..]),
        texts_as in proptest::sample::select(&[TextsAs::Plain, TextsAs::Codes][..]),
        page_rows in 1..300usize,
        page_bytes_max in 1..3_000usize,
    ) {
        let options = FileOptions { page_rows, page_bytes_max, ..FileOptions::default() };
        let spec = ColumnSpec { compression, ..spec(kind, encoding) };
        check_groups(&spec, options, texts_as, &[first, second]);
    }
}

#[test]
fn booleans_from_the_middle_of_a_buffer() {
    let all: BooleanBuffer = (0..100).map(|n| n % 3 == 0).collect();
    let column = Column { rows: None, values: Values::Bool(all.slice(5, 50)) };
    let file =
        write(&[spec(Kind::Bool, Encoding::Plain)], FileOptions::default(), &[(50, vec![column])]);
    let found = cells_of(Kind::Bool, read(&file)[0].column(0));
    let expected: Vec<_> = (5..55).map(|n| Some(vec![u8::from(n % 3 == 0)])).collect();
    assert_eq!(found, expected);
}
