//! The oracle, held against examples that a reader can check by eye.

use super::*;
use crate::equality::spans;
use crate::sample::{plain_span, request, trace_id};

#[test]
fn refuses_a_bad_span_and_keeps_its_neighbours() {
    let mut oracle = Oracle::new();
    let good = plain_span(1, 1);
    let bad = [
        Span { trace_id: vec![1; 15], ..good.clone() },
        Span { trace_id: vec![0; 16], ..good.clone() },
        Span { span_id: vec![0; 8], ..good.clone() },
        Span { span_id: Vec::new(), ..good.clone() },
        Span { parent_span_id: vec![1; 7], ..good.clone() },
        Span { start_time_unix_nano: 1 << 63, ..good.clone() },
        Span { end_time_unix_nano: u64::MAX, ..good.clone() },
    ];
    let mut all = bad.to_vec();
    all.insert(3, good.clone());
    let admission = oracle.accept(SINGLE_TENANT, &request("shop", all));
    let refusals = vec![
        RefusalReason::TraceId,
        RefusalReason::TraceId,
        RefusalReason::SpanId,
        RefusalReason::SpanId,
        RefusalReason::ParentSpanId,
        RefusalReason::Time,
        RefusalReason::Time,
    ];
    assert_eq!(admission, Admission { n_accepted: 1, refusals });
    assert_eq!(spans(&oracle.trace(SINGLE_TENANT, &trace_id(1))).collect::<Vec<_>>(), [&good]);
}

#[test]
fn the_longest_of_equal_spans_wins_whatever_the_order() {
    let short = plain_span(1, 1);
    let long = Span { end_time_unix_nano: short.end_time_unix_nano + 1, ..short.clone() };
    let server = Span { kind: 2, ..short.clone() };
    let later = Span { start_time_unix_nano: short.start_time_unix_nano + 1, ..short.clone() };
    for order in [[&short, &long], [&long, &short]] {
        let mut oracle = Oracle::new();
        for span in order.into_iter().chain([&server, &later, &server]) {
            oracle.accept(SINGLE_TENANT, &request("shop", vec![span.clone()]));
        }
        let trace = oracle.trace(SINGLE_TENANT, &trace_id(1));
        assert_eq!(spans(&trace).collect::<Vec<_>>(), [&long, &server, &later]);
    }
}

#[test]
fn tenants_do_not_see_each_other() {
    let mut oracle = Oracle::new();
    oracle.accept("one", &request("shop", vec![plain_span(1, 1), plain_span(2, 2)]));
    oracle.accept("two", &request("shop", vec![plain_span(2, 3)]));
    assert_eq!(oracle.trace_ids("one"), [trace_id(1), trace_id(2)]);
    assert_eq!(oracle.trace_ids("two"), [trace_id(2)]);
    assert_eq!(oracle.trace_ids("three"), Vec::<Vec<u8>>::new());
    assert_eq!(spans(&oracle.trace("two", &trace_id(2))).count(), 1);
    assert_eq!(oracle.trace("two", &trace_id(1)), TracesData::default());
}
