//! Files that are cut, bent or made up: an error that says where, never a panic.

use proptest::prelude::*;

use super::super::page::PageEncoding;
use super::super::thrift::{Fields, Thrift};
use super::own::{column_of, spec, write_own};
use super::*;
use crate::column::Encoding;

fn bytes_of_all_kinds() -> Vec<u8> {
    let n_rows = 300;
    let sparse = (0..n_rows).map(|row| (row % 5 == 0).then(|| format!("value {}", row % 40)));
    let ids = (0..n_rows).map(|row| [row as u8; 16]);
    let columns = batch(vec![
        ("id", Arc::new(FixedSizeBinaryArray::try_from_iter(ids).expect("16 bytes each"))),
        ("name", texts(n_rows, 7)),
        ("sparse", Arc::new(StringArray::from_iter(sparse))),
        ("number", Arc::new(Int64Array::from_iter_values(0..n_rows as i64))),
        ("truth", Arc::new(BooleanArray::from_iter((0..n_rows).map(|row| Some(row % 3 == 0))))),
    ]);
    let properties = WriterProperties::builder()
        .set_compression(zstd())
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(100)
        .set_bloom_filter_enabled(true)
        .build();
    write(&columns, properties)
}

/// Asks everything that can be asked; true if all of it was answered.
fn read_everything(bytes: Vec<u8>) -> bool {
    let (objects, n_bytes) = store(bytes);
    let Ok(reader) = FileReader::open(objects, PATH, n_bytes) else { return false };
    let meter = ReadMeter::default();
    let mut is_whole = true;
    for row_group in 0..reader.n_row_groups() {
        let n_rows = reader.n_rows(row_group).min(1 << 16);
        for column in 0..reader.columns().len() {
            is_whole &= reader.read(row_group, 0..n_rows, &[column]).is_ok();
            is_whole &= reader.read(row_group, n_rows / 2..n_rows / 2, &[column]).is_ok();
            let some = [0..n_rows / 3, n_rows / 3..n_rows / 2, n_rows - n_rows / 4..n_rows];
            is_whole &= reader.read_rows(row_group, &some, &[column], Keep::Small, &meter).is_ok();
            is_whole &= reader.page_bounds(row_group, column, &meter).is_ok();
            is_whole &= reader.may_contain(row_group, column, b"any value of 16 ", &meter).is_ok();
            is_whole &= reader.distinct_values(row_group, column, &meter).is_ok();
            let rows = n_rows / 3..n_rows;
            let left = reader.rows_where(row_group, column, &rows, &meter, |[min, _]| min & 1 == 0);
            is_whole &= left.is_ok_and(|left| {
                left.iter().all(|left| rows.start <= left.start && left.end <= rows.end)
            });
            let required = Required { column, literal: Finder::new("value 20") };
            is_whole &= reader
                .read_rows_with(
                    row_group,
                    &some,
                    &[column],
                    std::slice::from_ref(&required),
                    Keep::All,
                    &meter,
                )
                .is_ok();
            if reader.columns()[column].kind == Kind::Id {
                is_whole &= reader.find_id(row_group, column, 0..n_rows, &[99; 16]).is_ok();
                let between = (&[50; 16], &[99; 16]);
                let all = 0..n_rows;
                is_whole &= reader.rows_between_ids(row_group, column, &all, between).is_ok();
            }
        }
    }
    is_whole
}

#[test]
fn every_bent_byte_is_an_answer_or_an_error() {
    let bytes = bytes_of_all_kinds();
    assert!(read_everything(bytes.clone()));
    let mut n_found = 0;
    for place in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[place] ^= 1 << (place % 8);
        n_found += usize::from(!read_everything(bent));
    }
    // The stock writer sets no checksums: the rest is statistics, names, values, bloom filters.
    assert!(n_found * 4 > bytes.len(), "{n_found} of {} found", bytes.len());
}

/// A dictionary, bounds and levels as our writer makes them.
fn bytes_of_ours() -> Vec<u8> {
    let n_rows = 300;
    let kinds = [
        (Kind::Id, Encoding::Plain, 1, 1 << 40),
        (Kind::Text, Encoding::Dictionary, 3, 7),
        (Kind::Text, Encoding::Plain, 2, 1 << 40),
        (Kind::I64, Encoding::Split, 1, 1 << 40),
        (Kind::I64, Encoding::Dictionary, 2, 5),
        (Kind::F64, Encoding::Plain, 2, 1 << 40),
        (Kind::Bool, Encoding::Plain, 1, 2),
    ];
    let spec_of = |(number, (kind, encoding, every, _))| {
        spec(format!("column {number}"), kind, encoding, every > 1)
    };
    let specs: Vec<_> = kinds.into_iter().enumerate().map(spec_of).collect();
    let column = |(kind, _, every, n_distinct)| column_of(kind, n_rows, every, n_distinct);
    let columns: Vec<Column> = kinds.into_iter().map(column).collect();
    write_own(&specs, n_rows, &columns, 100)
}

#[test]
fn every_bent_byte_of_ours_is_an_answer_or_an_error() {
    let bytes = bytes_of_ours();
    assert!(read_everything(bytes.clone()));
    let mut n_found = 0;
    for place in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[place] ^= 1 << (place % 8);
        n_found += usize::from(!read_everything(bent));
    }
    // Pages have checksums.
    assert!(n_found * 2 > bytes.len(), "{n_found} of {} found", bytes.len());
}

/// As a footer or a column index says a bound that has no bytes.
#[test]
fn a_bound_without_bytes_is_none() {
    assert_eq!(footer::short_number(&[]), None);
    assert_eq!(footer::short_number(&[1]), Some(1));
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = bytes_of_all_kinds();
    for len in (0..bytes.len()).step_by(7) {
        assert!(!read_everything(bytes[..len].to_vec()), "{len} bytes");
    }
}

#[test]
fn a_file_of_something_else() {
    let error = |bytes: &[u8]| {
        let (objects, n_bytes) = store(bytes.to_vec());
        FileReader::open(objects, PATH, n_bytes).err().expect("no file of ours").to_string()
    };
    let place = "blocks/one/spans.parquet is not a Parquet file that can be read here: ";
    assert_eq!(error(b"PAR1"), format!("{place}4 bytes are too few"));
    assert_eq!(error(b"an essay about traces"), format!("{place}it does not end as one"));
    let endless = b"PAR1    \xff\xff\xff\x7fPAR1";
    assert_eq!(error(endless), format!("{place}its footer is longer than itself"));
}

#[test]
fn a_codec_of_others_is_named() {
    let columns = batch(vec![("name", texts(10, 2))]);
    let mut bytes = write(&columns, WriterProperties::default());
    let reader = open(bytes.clone());
    assert_eq!(reader.n_rows(0), 10);
    // The codec in the chunk's metadata stands behind the column's name: field 4, an i32, 0.
    let footer = bytes.len()
        - 8
        - u32::from_le_bytes(*bytes[..bytes.len() - 4].last_chunk().expect("a length")) as usize;
    let name = b"\x19\x18\x04name\x15\x00";
    let places = bytes[footer..].windows(name.len());
    let place = places.enumerate().find(|(_, window)| window == name).expect("the codec").0;
    bytes[footer + place + name.len() - 1] = 2;
    let (objects, n_bytes) = store(bytes);
    let error = FileReader::open(objects, PATH, n_bytes).err().expect("snappy").to_string();
    assert_eq!(
        error,
        "blocks/one/spans.parquet: column `name` of row group 0 is damaged: compressed by codec 1, \
         which is not read here"
    );
}

#[test]
fn a_page_cannot_claim_more_than_its_bytes_can_hold() {
    // Data page, 1 GiB inflated, 4 bytes stored, 1 value, plain.
    let header =
        b"\x15\x00\x15\x80\x80\x80\x80\x08\x15\x08\x2c\x15\x02\x15\x00\x15\x06\x15\x06\x00\x00";
    let page = [&header[..], b"\x28\xb5\x2f\xfd"].concat();
    let (header, body) = PageHeader::parse(&page).expect("a header");
    with_scratch(|scratch| {
        let opened = header.open_data(body, page::Codec::Zstd, false, &mut scratch.inflater);
        let damage = opened.err().expect("too much");
        assert_eq!(damage.0, "4 bytes that claim 1073741824");
    });
}

#[test]
fn structs_without_end_are_left() {
    let nested = [0x1c; 1_000];
    let mut thrift = Thrift::new(&nested);
    let field = thrift.field(&mut Fields::default()).expect("a field").expect("a field");
    assert_eq!(thrift.skip(field), damaged("thrift: nested too deeply"));
    let list = [0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x0f];
    let mut thrift = Thrift::new(&list);
    let field = thrift.field(&mut Fields::default()).expect("a field").expect("a field");
    assert_eq!(thrift.skip(field), damaged("thrift: a list is longer than its bytes"));
}

/// What a dictionary of five values decodes to.
fn dictionary(kind: Kind) -> Values {
    let bytes = match kind {
        Kind::Text | Kind::Bytes => b"\x01\0\0\0a".repeat(5),
        _ => vec![1; 80],
    };
    let mut values = ValuesBuilder::new(kind, Expected::default());
    let page = PageValues { encoding: PageEncoding::Plain, bytes: &bytes, dictionary: None };
    values.append(page, std::slice::from_ref(&(0..5)), &mut Vec::new()).expect("five values");
    values.finish().expect("five values")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Behind the checksum: pages of any bytes, of every kind and encoding.
    #[test]
    fn a_page_of_any_bytes_gives_what_was_asked_or_an_error(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0..8_u8], 0..80),
        steps in prop::collection::vec((0..20_usize, 1..20_usize), 0..4),
    ) {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (gap, len) in steps {
            let start = ranges.last().map_or(0, |last| last.end) + gap;
            ranges.push(start..start + len);
        }
        let len: usize = ranges.iter().map(Range::len).sum();
        let (mut present, mut selected) = (Present::default(), Vec::new());
        if runs::select(&bytes, &ranges, 0, &mut present, &mut selected).is_ok() {
            let rows = present.finish(len as u32).unwrap_or_else(|| (0..len as u32).collect());
            prop_assert_eq!(rows.len(), selected.iter().map(Range::len).sum::<usize>());
            prop_assert!(rows.is_sorted_by(|left, right| left < right));
            prop_assert!(rows.last().is_none_or(|last| (*last as usize) < len));
            prop_assert!(selected.is_sorted_by(|left, right| left.end < right.start));
        }
        let kinds = [
            Kind::Text, Kind::Bytes, Kind::Id, Kind::U64, Kind::I64, Kind::U32, Kind::I32,
            Kind::F64, Kind::Bool,
        ];
        for kind in kinds {
            let dictionary = Arc::new(dictionary(kind));
            for encoding in [
                PageEncoding::Plain, PageEncoding::Codes, PageEncoding::RunLengths, PageEncoding::Split,
            ] {
                let page =
                    PageValues { encoding, bytes: &bytes, dictionary: Some(&dictionary) };
                let mut values = ValuesBuilder::new(kind, Expected::default());
                if values.append(page, &ranges, &mut Vec::new()).is_ok()
                    && let Ok(values) = values.finish()
                {
                    prop_assert_eq!(values.len(), len, "{:?} {:?}", kind, encoding);
                }
            }
        }
    }
}
