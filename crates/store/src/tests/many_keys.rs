//! Live chunks of more keys than are looked through: what is read by key is what rows have.

use suyuan_model::{Columns, Values};
use suyuan_objects::ReadMeter;

use super::*;

const KEYS: u32 = 300;

/// Row `n` has the key `key.n`, rows of even number with a second type under it, and `shared`.
fn chunk_of_many_keys(n_rows: u32) -> Arc<Chunk> {
    let mut table = TableBuilder::default();
    let resource = table.finish_resource(b"", b"", 0, b"");
    let scope = table.finish_scope(b"", b"", b"", b"", 0);
    for row in 0..n_rows {
        let key = format!("key.{row}");
        table.push_int(AttributeOwner::Span, key.as_bytes(), row.into());
        if row % 2 == 0 {
            table.push_string(AttributeOwner::Span, key.as_bytes(), b"text");
        }
        table.push_int(AttributeOwner::Span, b"shared", 7);
        table.finish_span(&SpanHead {
            trace_id: [1; 16],
            span_id: u64::from(row) + 1,
            start_unix_nanos: row.into(),
            name: b"n",
            resource,
            scope,
            ..SpanHead::default()
        });
    }
    Arc::new(table.freeze())
}

/// Of the columns that a question about keys gets: key, rows, and the first number if it has any.
fn columns_of(store: &Store, keys: &[&str]) -> Vec<(String, usize, Option<i64>)> {
    let snapshot = Arc::new(store.snapshot(&tenant()));
    let split = snapshot.split().expect("readable");
    let (units, _) = snapshot.units(&split, None);
    let mut columns = Columns::default();
    keys.iter().for_each(|key| columns.add_span_key(&Arc::from(*key)));
    let meter = ReadMeter::default();
    let unit = units[0].open(&meter).expect("readable");
    let batch = unit.read(&unit.pieces(), &columns, &meter).expect("readable");
    let columns = batch.chunk.attributes.columns.iter().map(|column| {
        let number = match &column.values {
            Values::Int(numbers) => Some(numbers.value(0)),
            _ => None,
        };
        (column.key.to_string(), column.rows.len(), number)
    });
    columns.collect()
}

#[test]
fn a_key_among_many_is_found_with_all_its_types_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(options(folder.path())).expect("opens");
    let publish = |n_rows: u32, is_final: bool| {
        store.publish(Publication {
            chunk: chunk_of_many_keys(n_rows),
            visible_rows: n_rows,
            ..publication(0, "", 0, is_final)
        });
    };
    publish(KEYS, false);
    let of = |key: &str, n_rows: usize, number: Option<i64>| (key.to_owned(), n_rows, number);
    let all = KEYS as usize;
    for _ in ["a chunk that grows", "one that is full"] {
        assert_eq!(columns_of(&store, &["key.17"]), [of("key.17", 1, Some(17))]);
        assert_eq!(
            columns_of(&store, &["key.18", "nobody has it", "shared"]),
            [of("shared", all, Some(7)), of("key.18", 1, Some(18)), of("key.18", 1, None)]
        );
        assert_eq!(columns_of(&store, &[]), []);
        publish(KEYS, true);
    }
}
