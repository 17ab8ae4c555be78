//! Values so long that a slice of the usual number of rows would not fit into memory.

use super::*;

const VALUE_BYTES: usize = 64 << 10;
const CHUNKS: u32 = 12;
const ROWS_PER_CHUNK: u32 = 200;

/// Rows of one trace, but for the first, each with a long value of its own.
fn chunk_of_long_values(number: u32) -> Arc<Chunk> {
    let mut table = TableBuilder::default();
    let resource = table.finish_resource(b"", b"", 0, b"");
    let scope = table.finish_scope(b"", b"", b"", b"", 0);
    for row in 0..ROWS_PER_CHUNK {
        let span = u64::from(number * ROWS_PER_CHUNK + row);
        let mut value = vec![b'x'; VALUE_BYTES];
        value[..8].copy_from_slice(format!("{span:08}").as_bytes());
        table.push_string(AttributeOwner::Span, b"body", &value);
        table.finish_span(&SpanHead {
            trace_id: [if row == 0 { 2 } else { 1 }; 16],
            span_id: span + 1,
            start_unix_nanos: span as i64,
            name: b"n",
            resource,
            scope,
            ..SpanHead::default()
        });
    }
    Arc::new(table.freeze())
}

#[test]
fn a_trace_of_long_values_is_cut_into_slices_and_is_one_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(options(folder.path())).expect("opens");
    for number in 0..CHUNKS {
        store.publish(Publication {
            chunk: chunk_of_long_values(number),
            visible_rows: ROWS_PER_CHUNK,
            ..publication(number, "", 0, true)
        });
    }
    store.cut(Some(Position { segment: 1, offset: 9 }));
    store.seal_once().expect("a block is written");

    assert_eq!((store.n_rows(), store.totals().rows), (0, u64::from(CHUNKS * ROWS_PER_CHUNK)));
    let view = store.0.view();
    let slices = &view.blocks.values().next().expect("a block").meta().expect("readable").slices;
    let value_bytes = slices.iter().map(|slice| slice.n_rows as usize * VALUE_BYTES);
    assert!(slices.len() >= 2 && value_bytes.max() <= Some(128 << 20), "{slices:?}");
    let n_spans_cut = CHUNKS * (ROWS_PER_CHUNK - 1);
    let snapshot = store.snapshot(&tenant());
    let split = snapshot.split().expect("readable");
    let cut: Vec<_> = split.traces().iter().map(|cut| (cut.id(), cut.summary().n_spans)).collect();
    assert_eq!(cut, [(id(1), n_spans_cut)], "of all traces one lies in several slices");
    let n_continued = slices.iter().filter(|slice| slice.continues == Some(id(1))).count();
    assert_eq!((n_continued, split.traces()[0].n_pieces()), (1, 2));

    for (trace, n_spans) in [(1, n_spans_cut), (2, CHUNKS)] {
        let found = store.find_trace(&tenant(), id(trace)).expect("readable").rows;
        let mut values: Vec<(u64, String)> = Vec::new();
        for piece in &found.pieces {
            for row in &piece.rows {
                let (_, value) = piece.chunk.attributes.row(*row).next().expect("a value");
                let ValueRef::String(value) = value else { panic!("a text") };
                assert_eq!(value.len(), VALUE_BYTES);
                values.push((piece.chunk.span_id.value(*row as usize), value[..8].to_owned()));
            }
        }
        values.sort();
        values.dedup();
        assert_eq!(values.len(), n_spans as usize, "trace {trace}");
        assert!(values.iter().all(|(span, value)| *value == format!("{:08}", span - 1)));
    }
}
