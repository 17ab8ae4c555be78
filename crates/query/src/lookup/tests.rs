//! Which of two rows for one span stands.

use std::sync::Arc;

use suyuan_model::{AttributeOwner, SpanHead, TableBuilder, TracePiece};

use super::*;

const SERVER: i32 = 2;
const CLIENT: i32 = 3;

fn span(span_id: u64, kind: i32, end: i64, name: &'static str) -> SpanHead<'static> {
    SpanHead {
        trace_id: [1; 16],
        span_id,
        kind,
        start_unix_nanos: 10,
        end_unix_nanos: end,
        name: name.as_bytes(),
        ..SpanHead::default()
    }
}

/// A chunk of one service.
fn piece(service: &str, spans: &[SpanHead<'_>]) -> TracePiece {
    let mut table = TableBuilder::default();
    table.push_string(AttributeOwner::Resource, b"service.name", service.as_bytes());
    table.finish_resource(service.as_bytes(), b"", 0, b"");
    table.finish_scope(b"", b"", b"", b"", 0);
    spans.iter().for_each(|span| table.finish_span(span));
    TracePiece { chunk: Arc::new(table.freeze()), rows: (0..spans.len() as u32).collect() }
}

/// The names that stand, with the piece they stand in, and how many rows were left out; in
/// whatever order the pieces are.
fn check(pieces: &[TracePiece], expected_names: &[&str], expected_duplicates: usize) {
    let mut order: Vec<TracePiece> = pieces.to_vec();
    for _ in 0..pieces.len() {
        order.rotate_left(1);
        for _ in 0..2 {
            order.reverse();
            let (rows, n_duplicates) = without_duplicates(TraceRows { pieces: order.clone() });
            let mut names: Vec<&str> = Vec::new();
            for piece in &rows.pieces {
                assert!(piece.rows.is_sorted());
                names.extend(piece.rows.iter().map(|row| piece.chunk.name.value(*row as usize)));
            }
            names.sort_unstable();
            assert_eq!((names.as_slice(), n_duplicates), (expected_names, expected_duplicates));
        }
    }
}

#[test]
fn a_span_that_was_sent_twice_stands_once() {
    let sent = [span(1, SERVER, 20, "one"), span(2, SERVER, 20, "two")];
    let again = piece("mall", &sent);
    check(&[piece("mall", &sent), again.clone(), again], &["one", "two"], 4);
}

#[test]
fn the_later_end_wins_whichever_came_first() {
    let early = piece("mall", &[span(1, SERVER, 20, "early")]);
    let late = piece("mall", &[span(1, SERVER, 21, "late"), span(1, SERVER, 19, "earliest")]);
    check(&[early, late], &["late"], 2);
}

#[test]
fn of_equal_ends_the_content_decides_whichever_came_first() {
    let a = piece("mall", &[span(1, SERVER, 20, "a")]);
    let b = piece("mall", &[span(1, SERVER, 20, "b")]);
    let winner = if content_hash(&a.chunk, 0) > content_hash(&b.chunk, 0) { "a" } else { "b" };
    check(&[a, b], &[winner], 1);
}

#[test]
fn an_id_that_two_kinds_share_or_that_starts_anew_is_no_duplicate() {
    let halves = [span(1, SERVER, 20, "server"), span(1, CLIENT, 20, "client")];
    let restarted = SpanHead { start_unix_nanos: 11, ..span(1, SERVER, 20, "restarted") };
    let pieces = [piece("mall", &halves), piece("mall", &[restarted])];
    check(&pieces, &["client", "restarted", "server"], 0);
}
