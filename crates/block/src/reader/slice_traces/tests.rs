//! What traces of a slice count against the cache.

use arrow_array::StringArray;

use super::*;

fn traces(names: Strings) -> SliceTraces {
    let n_traces = names.len() as u32;
    let dense = |values| Column { rows: None, values };
    let ones = || dense(Values::U32((0..n_traces).map(|_| 1).collect()));
    let nanos = || dense(Values::I64((0..i64::from(n_traces)).collect()));
    let columns = vec![
        ones(),
        ones(),
        nanos(),
        nanos(),
        dense(Values::Text(names.clone())),
        dense(Values::Text(names)),
        nanos(),
        nanos(),
    ];
    let table = TraceTable::read(columns, 0).expect("a table");
    let ids = (0..n_traces).map(|trace| u128::from(trace).to_be_bytes()).collect();
    SliceTraces { ids, table, rows: 0..n_traces, first_row: 0 }
}

#[test]
fn texts_count_as_long_as_they_are() {
    let long = |n: u32| format!("{n:01000}");
    let plain = traces(Strings::Plain(StringArray::from_iter_values((0..100).map(long))));
    assert!(plain.bytes() > 100 * 2_000, "{} bytes", plain.bytes());
    let values = StringArray::from_iter_values((0..2).map(long));
    let codes = (0..100).map(|trace| trace % 2).collect();
    let few = traces(Strings::Dictionary { codes, values });
    assert!(few.bytes() < 20_000, "{} bytes", few.bytes());
}
