//! Opens arbitrary bytes as a Parquet file, and a whole file with bytes of it changed, and reads
//! everything: an error or an answer, never a panic, never more memory than the file can fill.

#![no_main]

use std::sync::{Arc, LazyLock};

use arrow_array::{BinaryArray, FixedSizeBinaryArray, StringArray};
use libfuzzer_sys::fuzz_target;
use suyuan_block::file::read::{FileReader, Keep};
use suyuan_block::file::write::{FileOptions, FileWriter};
use suyuan_block::{Column, ColumnSpec, Compression, Encoding, Kind, Values};
use suyuan_model::Strings;
use suyuan_objects::{Objects, ReadMeter};
use suyuan_objects::faulty::MemoryObjects;

const PATH: &str = "file";
const N_ROWS: u32 = 200;
/// Rows of one answer: a hostile file may have millions in a few bytes.
const ROWS_MAX: u32 = 1_000;

/// A file with every kind and encoding.
static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let texts = || StringArray::from_iter_values((0..10).map(|n| format!("text {n}")));
    let all = [
        Values::Id(
            FixedSizeBinaryArray::try_from_iter((0..N_ROWS).map(|n| [n as u8; 16])).expect("ids"),
        ),
        Values::Text(Strings::Dictionary {
            codes: (0..N_ROWS).map(|n| n % 10).collect(),
            values: texts(),
        }),
        Values::Text(Strings::Plain(StringArray::from_iter_values(
            (0..N_ROWS).map(|n| n.to_string()),
        ))),
        Values::Bytes(BinaryArray::from_iter_values((0..N_ROWS).map(|n| n.to_le_bytes()))),
        Values::U64((0..u64::from(N_ROWS)).collect()),
        Values::I64((0..i64::from(N_ROWS)).collect()),
        Values::U32((0..N_ROWS).map(|n| n % 4).collect()),
        Values::I32((0..N_ROWS as i32).collect()),
        Values::F64((0..N_ROWS).map(f64::from).collect()),
        Values::Bool((0..N_ROWS).map(|n| n % 3 == 0).collect()),
    ];
    let mut specs = Vec::new();
    let mut columns = Vec::new();
    for (number, values) in all.into_iter().enumerate() {
        for encoding in [Encoding::Plain, Encoding::Split, Encoding::Dictionary] {
            let is_optional = number % 2 == 0;
            specs.push(ColumnSpec {
                name: format!("{number} {encoding:?}"),
                kind: values.kind(),
                is_optional,
                encoding,
                compression: if number % 3 == 0 { Compression::None } else { Compression::Zstd },
                has_bloom: values.kind() == Kind::Id,
            });
            columns.push(Column { rows: None, values: values.clone() });
        }
    }
    let options = FileOptions { page_rows: 64, page_bytes_min: 0, ..FileOptions::default() };
    let mut writer = FileWriter::new(Vec::new(), specs, options).expect("a schema");
    writer.write_row_group(N_ROWS, &columns).expect("a table");
    writer.finish().expect("in memory").sink
});

/// How the bytes of the fuzzer are taken: the first one says it.
fn file_of(bytes: &[u8]) -> Vec<u8> {
    match bytes.split_first() {
        Some((b'b', changes)) => {
            let mut file = WHOLE.clone();
            for change in changes.chunks_exact(3) {
                let place = usize::from(change[0]) | usize::from(change[1]) << 8;
                // Counted from the end, where the footer is.
                if let Some(place) = file.len().checked_sub(place + 1) {
                    file[place] ^= change[2];
                }
            }
            file
        }
        // The thrift part of a footer, with its end.
        Some((b'f', footer)) => {
            let len = (footer.len() as u32).to_le_bytes();
            [b"PAR1", footer, &len, b"PAR1"].concat()
        }
        _ => bytes.to_vec(),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let file = file_of(bytes);
    let n_bytes = file.len() as u64;
    let objects = MemoryObjects::new();
    objects.put(PATH, file.into()).expect("in memory");
    let Ok(reader) = FileReader::open(Arc::new(objects), PATH, n_bytes) else { return };
    let meter = ReadMeter::default();
    let row_groups = 0..reader.n_row_groups().min(4);
    for (row_group, column) in row_groups.flat_map(|row_group| {
        (0..reader.columns().len().min(64)).map(move |column| (row_group, column))
    }) {
        let rows = 0..reader.n_rows(row_group).min(ROWS_MAX);
        if let Ok(read) = reader.read(row_group, rows.clone(), &[column]) {
            assert_eq!(read.len(), 1);
            let n_values = read[0].values.len();
            match &read[0].rows {
                Some(row_numbers) => {
                    assert_eq!(row_numbers.len(), n_values);
                    assert!(row_numbers.iter().all(|row| *row < rows.end));
                }
                None => assert_eq!(n_values, rows.len()),
            }
        }
        let n_third = rows.end / 3;
        let some = [0..n_third / 2, n_third..n_third, n_third..rows.end - n_third / 2];
        let n_some: usize = some.iter().map(|rows| rows.len()).sum();
        if let Ok(read) = reader.read_rows(row_group, &some, &[column], Keep::Small, &meter) {
            let n_values = read[0].values.len();
            match &read[0].rows {
                Some(row_numbers) => {
                    assert_eq!(row_numbers.len(), n_values);
                    assert!(row_numbers.is_sorted_by(|one, next| one < next));
                    assert!(row_numbers.last().is_none_or(|row| (*row as usize) < n_some));
                }
                None => assert_eq!(n_values, n_some),
            }
        }
        let _ = reader.page_bounds(row_group, column, &meter);
        let _ = reader.may_contain(row_group, column, &[7; 16], &meter);
        if reader.columns()[column].kind == Kind::Id {
            let found = reader.find_id(row_group, column, rows.clone(), &[7; 16]);
            assert!(found.ok().flatten().is_none_or(|found| found.end <= rows.end));
        }
    }
});
