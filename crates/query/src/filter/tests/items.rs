//! Events and links: one of each for which the whole filter holds.

use suyuan_model::SpanHead;

use super::fixture::{Sent, SentSpan, check, span};

#[test]
fn one_event_must_fulfil_everything_that_reads_events() {
    let mut spans = [span(&[("s", Sent::Int(1))]), span(&[("s", Sent::Int(2))]), span(&[])];
    spans[0].events =
        vec![(0, "start", vec![("a", Sent::Int(1))]), (0, "stop", vec![("b", Sent::Int(2))])];
    spans[1].events = vec![(0, "start", vec![("a", Sent::Int(1)), ("b", Sent::Int(2))])];
    check(
        &spans,
        &[
            (r#"event:name = "start""#, &[0, 1]),
            (r#"event:name = "stop""#, &[0]),
            (r#"event:name =~ "st.*""#, &[0, 1]),
            ("event.a = 1", &[0, 1]),
            ("event.a = 1 && event.b = 2", &[1]),
            ("event.a = 1 && span.s = 1 && event.b = 2", &[]),
            ("event.a = 1 || event.b = 2", &[0, 1]),
            ("event.a = nil", &[0]),
            ("event.a != nil", &[0, 1]),
            ("event.c = nil", &[0, 1]),
            ("event.b = 2 && event.a = nil", &[0]),
            // Without events a comparison is false, and its opposite true.
            ("!(event.a = 1)", &[0, 2]),
            ("!(event.c = nil)", &[2]),
            ("event.a = 1 && span.s = 2", &[1]),
            ("event.a = 1 || span.s = nil", &[0, 1, 2]),
            ("event.a = span.s", &[0]),
            ("event.a < event.b", &[1]),
            ("(event.a = 1 || span.s = 2) && event.b = 2", &[1]),
            ("(event.a = 1 || span.s = 1) && event.b = 2", &[0, 1]),
        ],
    );
}

#[test]
fn times_of_events_count_from_the_spans_start() {
    let mut early =
        SentSpan { head: SpanHead { start_unix_nanos: 1_000, ..SpanHead::default() }, ..span(&[]) };
    early.events = vec![(1_500, "a", vec![]), (900, "b", vec![])];
    let mut late = early.clone();
    late.head.start_unix_nanos = 1_400;
    check(
        &[early, late, span(&[])],
        &[
            ("event:timeSinceStart = 500ns", &[0]),
            ("event:timeSinceStart > 90", &[0, 1]),
            ("event:timeSinceStart < 0", &[0, 1]),
            (r#"event:timeSinceStart < 0 && event:name = "a""#, &[]),
            ("event:timeSinceStart != nil", &[0, 1]),
        ],
    );
}

#[test]
fn links_are_asked_like_events_and_apart_from_them() {
    let mut spans = [span(&[]), span(&[]), span(&[])];
    spans[0].links = vec![
        (&[0, 0xab], &[0x01], vec![("a", Sent::Int(1))]),
        (&[0xcd], &[0, 2], vec![("a", Sent::Int(2))]),
    ];
    spans[0].events = vec![(0, "e", vec![])];
    spans[1].events = vec![(0, "e", vec![])];
    check(
        &spans,
        &[
            (r#"link:traceID = "AB""#, &[0]),
            (r#"link:traceID = "ab" && link:spanID = "2""#, &[]),
            (r#"link:traceID = "cd" && link:spanID = "2""#, &[0]),
            (r#"link:traceID =~ "00ab""#, &[0]),
            ("link.a = 2", &[0]),
            ("link.a != nil", &[0]),
            ("link.b = nil", &[0]),
            (r#"link.a = 2 && event:name = "e""#, &[0]),
            (r#"link.a = 2 || event:name = "e""#, &[0, 1]),
            (r#"(link.a = 2 || event:name = "e") && event:name != "x""#, &[0, 1]),
            ("!(link.a = 2)", &[0, 1, 2]),
            (r#"!(link.a = 2 && event:name = "e")"#, &[0, 1, 2]),
        ],
    );
}
