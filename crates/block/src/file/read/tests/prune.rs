//! What bounds and dictionaries rule out holds nothing of what was asked for.

use arrow_buffer::ScalarBuffer;
use proptest::prelude::*;

use super::own::{column_of, spec, write_own};
use super::*;
use crate::column::Encoding;

/// Numbers that rise with the rows, so that pages differ, in every `every`th row.
fn rising(n_rows: u32, every: u32, step: i64) -> Column {
    let rows: Vec<u32> = (0..n_rows).filter(|row| row % every == 0).collect();
    let numbers = rows.iter().map(|row| (i64::from(*row) - 700) * step).collect();
    let values = Values::I64(numbers);
    Column { rows: (every > 1).then(|| ScalarBuffer::from(rows)), values }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pages_that_are_left_out_hold_no_number_between_the_bounds(
        n_rows in 1..3_000_u32,
        page_rows in 1..1_000_usize,
        every in prop_oneof![Just(1), 2..200_u32],
        step in -3..4_i64,
        min in -3_000..9_000_i64,
        len in 0..300_i64,
        from in 0.0..1.0,
    ) {
        let column = rising(n_rows, every, step);
        let specs = [spec("number".to_owned(), Kind::I64, Encoding::Plain, every > 1)];
        let reader = open(write_own(&specs, n_rows, &[column], page_rows));
        let rows = (f64::from(n_rows) * from) as u32..n_rows;
        let meter = ReadMeter::default();
        let max = min + len;
        let may_hold = |[page_min, page_max]: [u64; 2]| {
            page_min.cast_signed() <= max && min <= page_max.cast_signed()
        };
        let left = reader.rows_where(0, 0, &rows, &meter, may_hold).expect("a whole file");
        prop_assert!(left.is_sorted_by(|one, next| one.end < next.start));
        prop_assert!(left.iter().all(|left| left.start >= rows.start && left.end <= rows.end));
        let mut n_held = 0;
        for row in rows.clone().filter(|row| row % every == 0) {
            let number = (i64::from(row) - 700) * step;
            if (min..=max).contains(&number) {
                n_held += 1;
                prop_assert!(left.iter().any(|left| left.contains(&row)), "row {}", row);
            }
        }
        let n_left: usize = left.iter().map(|left| left.len()).sum();
        let is_pruned = n_held > 0 || n_left < n_rows as usize || page_rows >= n_rows as usize;
        prop_assert!(is_pruned || step == 0 || every > 1 || len > 0, "{:?}", left);
    }
}

#[test]
fn a_dictionary_tells_all_values_of_ours_and_nothing_of_others() {
    let columns = [column_of(Kind::Text, 900, 3, 7), column_of(Kind::Text, 900, 3, 4_000)];
    let specs =
        ["few", "many"].map(|name| spec(name.to_owned(), Kind::Text, Encoding::Dictionary, true));
    let reader = open(write_own(&specs, 900, &columns, 100));
    let meter = ReadMeter::default();
    let values = reader.distinct_values(0, 0, &meter).expect("a whole file");
    assert_eq!(values.expect("a dictionary").len(), 7);
    assert_eq!(meter.requests(), 1);
    reader.distinct_values(0, 0, &meter).expect("a whole file");
    assert_eq!(meter.requests(), 1, "it was kept");
    assert!(reader.distinct_values(0, 1, &meter).expect("a whole file").is_none());

    let stock = batch(vec![("name", texts(900, 7))]);
    let stock = open(write(&stock, WriterProperties::builder().build()));
    assert!(stock.distinct_values(0, 0, &meter).expect("a whole file").is_none());
}

#[test]
fn bounds_of_a_chunk_are_in_memory() {
    let columns = [rising(900, 1, 2), column_of(Kind::Text, 900, 1, 4_000)];
    let specs = [
        spec("number".to_owned(), Kind::I64, Encoding::Plain, false),
        spec("text".to_owned(), Kind::Text, Encoding::Plain, false),
    ];
    let reader = open(write_own(&specs, 900, &columns, 100));
    let [min, max] = reader.chunk_bounds(0, 0).expect("bounds");
    assert_eq!((min.cast_signed(), max.cast_signed()), (-1_400, 398));
    assert_eq!(reader.chunk_bounds(0, 1), None);
    let meter = ReadMeter::default();
    let none = reader.rows_where(0, 0, &(0..900), &meter, |_| false).expect("a whole file");
    assert_eq!((none.len(), meter.requests()), (0, 0));
}

#[test]
fn rows_here_and_there_read_their_pages_alone() {
    let columns = [column_of(Kind::U64, 1_000, 1, 1 << 40), column_of(Kind::Text, 1_000, 1, 9)];
    let specs = [
        spec("number".to_owned(), Kind::U64, Encoding::Plain, false),
        spec("text".to_owned(), Kind::Text, Encoding::Dictionary, false),
    ];
    let reader = open(write_own(&specs, 1_000, &columns, 100));
    let bytes_of = |rows: &[Range<u32>], column: usize| {
        let meter = ReadMeter::default();
        reader.read_rows(0, rows, &[column], Keep::All, &meter).expect("a whole file");
        meter.bytes()
    };
    let whole = bytes_of(&[0..500, 500..1_000], 0);
    let page = bytes_of(&[5..6, 50..60, 99..100], 0);
    assert!(page * 8 < whole, "{page} bytes of {whole}");
    let two = bytes_of(&[99..100, 100..101], 0);
    assert!(two < page * 5 / 2, "{two} bytes, {page} a page");
    let one = [0..1, 2..3];
    let (first, again) = (bytes_of(&one, 1), bytes_of(&one, 1));
    assert!(again < first, "the dictionary was kept: {first}, then {again} bytes");
}
