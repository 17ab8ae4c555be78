//! Answers of many traces: the same bytes, whoever encodes them.

use std::sync::Arc;

use suyuan_ids::{SpanId, TraceId};
use suyuan_query::search::ServiceStats;

use super::*;

/// Traces of about 900 bytes of JSON each.
fn answer(n_traces: usize) -> SearchAnswer {
    let name: Arc<str> = "n".repeat(300).into();
    let trace = |number: usize| FoundTrace {
        id: TraceId::from_bytes((number as u128 + 1).to_be_bytes()),
        root_service: Some("shop".into()),
        root_name: None,
        start_unix_nanos: 1_000 - number as i64,
        end_unix_nanos: 2_000,
        n_matched: 1,
        spans: vec![FoundSpan {
            id: SpanId::from_bytes((number as u64 + 1).to_be_bytes()),
            name: Some(name.clone()),
            start_unix_nanos: 1_000,
            duration_nanos: 5,
            attributes: vec![("key".into(), AnswerValue::Int(number as i64))],
        }],
        services: vec![ServiceStats { service: "shop".into(), n_spans: 1, n_errors: 0 }],
    };
    SearchAnswer { traces: (0..n_traces).map(trace).collect(), ..SearchAnswer::default() }
}

fn pieces(n_traces: usize, encoding: Encoding, n_threads: usize) -> Vec<Vec<u8>> {
    let mut traces =
        FoundTraces::begin(answer(n_traces), encoding, &Threads::new(n_threads)).expect("encoded");
    let pieces = std::iter::from_fn(|| traces.next_piece()).collect();
    assert!(traces.is_done());
    pieces
}

#[test]
fn an_answer_has_the_same_bytes_whoever_encodes_it() {
    let one_task = TRACES_PER_TASK;
    let parallel = TASKS_MIN * TRACES_PER_TASK;
    for n_traces in [0, 1, one_task + 1, parallel - one_task + 1, parallel + 1, 5_000] {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let alone = pieces(n_traces, encoding, 1).concat();
            let together = pieces(n_traces, encoding, 4).concat();
            assert!(alone == together, "{n_traces} traces in {encoding:?}");
        }
    }
}

#[test]
fn what_several_threads_encode_at_once_is_bounded() {
    let pieces = pieces(5_000, Encoding::Json, 4);
    let first = pieces[0].len();
    assert!((FIRST_TRACES_BYTES_MAX..2 * FIRST_TRACES_BYTES_MAX).contains(&first), "{first}");
    assert!(pieces[1].len() < 2 * PIECE_BYTES_MIN);
}

#[test]
fn traces_of_long_values_are_encoded_piece_by_piece() {
    let mut long = answer(5 * TASKS_MIN * TRACES_PER_TASK);
    let value: Arc<str> = "v".repeat(64 << 10).into();
    for trace in &mut long.traces {
        trace.spans[0].attributes[0].1 = AnswerValue::String(value.clone());
    }
    let mut traces = FoundTraces::begin(long, Encoding::Json, &Threads::new(4)).expect("encoded");
    assert_eq!(traces.first_piece_bytes, 0);
    assert!(traces.next_piece().is_some_and(|piece| piece.len() < 2 * PIECE_BYTES_MIN));
}

#[test]
fn an_answer_of_few_bytes_is_one_piece() {
    assert_eq!(pieces(10, Encoding::Json, 4).len(), 1);
    let short = |n_traces| {
        let mut short = answer(n_traces);
        short.traces.iter_mut().for_each(|trace| trace.spans.clear());
        short
    };
    let n_traces = TASKS_MIN * TRACES_PER_TASK;
    let mut traces =
        FoundTraces::begin(short(n_traces), Encoding::Json, &Threads::new(4)).expect("encoded");
    assert!(traces.next_piece().is_some_and(|piece| piece.len() < PIECE_BYTES_MIN));
    assert!(traces.is_done());
}
