//! Rows of traces by hand and at random, through columns and back, and from pieces.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use suyuan_model::{AttributeOwner, Chunk, SpanHead, TableBuilder, TracePiece, TraceRows};

use super::*;
use crate::tree::TreeBuilder;

const TRACE: [u8; 16] = [1; 16];

#[derive(Clone, Debug)]
struct Sent {
    span_id: u64,
    parent: Option<u64>,
    start: i64,
    end: i64,
    status: i32,
    /// Number of its service; none for 0.
    service: u8,
}

fn sent(span_id: u64, parent: Option<u64>, start: i64, end: i64, status: i32) -> Sent {
    Sent { span_id, parent, start, end, status, service: 1 }
}

fn name(span_id: u64) -> String {
    format!("span {span_id}")
}

fn service(number: u8) -> Option<String> {
    (number > 0).then(|| format!("service {number}"))
}

fn chunk(spans: &[Sent]) -> Arc<Chunk> {
    let mut table = TableBuilder::default();
    table.finish_scope(b"", b"", b"", b"", 0);
    for span in spans {
        let message = [span.service];
        let resource = table.find_resource(&message, b"").unwrap_or_else(|| {
            if let Some(service) = service(span.service) {
                table.push_string(AttributeOwner::Resource, b"service.name", service.as_bytes());
            }
            table.finish_resource(&message, b"", 0, b"")
        });
        table.finish_span(&SpanHead {
            trace_id: TRACE,
            span_id: span.span_id,
            parent_span_id: span.parent,
            start_unix_nanos: span.start,
            end_unix_nanos: span.end,
            name: name(span.span_id).as_bytes(),
            status_code: span.status,
            resource,
            ..SpanHead::default()
        });
    }
    Arc::new(table.freeze())
}

fn piece(spans: &[Sent]) -> TracePiece {
    TracePiece { chunk: chunk(spans), rows: (0..spans.len() as u32).collect() }
}

/// (spans, errors, start, end, service of the root, name of the root).
type Summary = (u32, u32, i64, i64, Option<String>, Option<String>);

fn as_text(summary: TraceSummary<'_>) -> Summary {
    let service = summary.root.and_then(|root| root.service).map(str::to_owned);
    let name = summary.root.map(|root| root.name.to_owned());
    let (start, end) = (summary.start_unix_nanos, summary.end_unix_nanos);
    (summary.n_spans, summary.n_errors, start, end, service, name)
}

/// The obvious answer, from spans that stand once.
fn expected(spans: &[Sent]) -> Summary {
    let roots = spans.iter().filter(|span| span.parent.is_none());
    let root = roots.min_by_key(|span| (span.start, span.span_id));
    (
        spans.len() as u32,
        spans.iter().filter(|span| span.status == 2).count() as u32,
        spans.iter().map(|span| span.start).min().unwrap(),
        spans.iter().map(|span| span.end).max().unwrap(),
        root.and_then(|root| service(root.service)),
        root.map(|root| name(root.span_id)),
    )
}

#[test]
fn the_root_is_the_earliest_span_that_names_no_parent() {
    let spans = [
        sent(1, Some(9), 1, 5, 0),
        sent(3, None, 3, 9, 2),
        sent(2, None, 2, 4, 1),
        sent(4, Some(2), 0, 7, 2),
    ];
    let rows = TraceRows { pieces: vec![piece(&spans)] };
    let summary = as_text(merged(&rows).unwrap());
    assert_eq!(summary, (4, 2, 0, 9, Some("service 1".into()), Some("span 2".into())));
}

#[test]
fn a_fragment_has_no_root_and_a_nameless_service_none() {
    let fragment = TraceRows { pieces: vec![piece(&[sent(1, Some(9), 1, 5, 0)])] };
    assert_eq!(as_text(merged(&fragment).unwrap()), (1, 0, 1, 5, None, None));
    let nameless = Sent { service: 0, ..sent(1, None, 1, 5, 0) };
    let nameless = TraceRows { pieces: vec![piece(&[nameless])] };
    assert_eq!(as_text(merged(&nameless).unwrap()), (1, 0, 1, 5, None, Some("span 1".into())));
    assert_eq!(merged(&TraceRows::default()), None);
}

#[test]
fn a_trace_may_end_before_it_starts() {
    let rows = TraceRows { pieces: vec![piece(&[sent(1, None, i64::MAX, 3, 0)])] };
    assert_eq!(merged(&rows).unwrap().end_unix_nanos, 3);
}

/// Spans with ids of their own, at least one.
fn arbitrary_trace() -> impl Strategy<Value = Vec<Sent>> {
    let id = || 0..30u64;
    let span = (proptest::option::of(id()), 0..9i64, 0..9i64, 0..3i32, 0..3u8);
    proptest::collection::btree_map(id(), span, 1..12).prop_map(|spans| {
        let sent = |(span_id, (parent, start, end, status, service))| Sent {
            span_id,
            parent,
            start,
            end,
            status,
            service,
        };
        spans.into_iter().map(sent).collect()
    })
}

/// The columns of the traces of a slice, written and read again.
fn through_columns(traces: &[Vec<Sent>], first_row: u32) -> TraceTable {
    let mut tree = TreeBuilder::default();
    let mut rows = Vec::new();
    let (mut names, mut services) = (Vec::new(), Vec::new());
    for (spans, number) in traces.iter().zip(0u64..) {
        let chunk = chunk(spans);
        let outlines: Vec<SpanOutline> =
            (0..spans.len() as u32).map(|row| SpanOutline::of_row(&chunk, row)).collect();
        let ordered = tree.order(&outlines, |_| unreachable!("there are no duplicates"));
        let received = UnixNanosRange { min: number, max: NANOS_PER_SECOND + number };
        let status = |number: u32| spans[number as usize].status;
        rows.push(TraceRow::of(names.len() as u32, &outlines, &ordered, status, received));
        for number in ordered.order {
            let span = &spans[*number as usize];
            services.push(service(span.service));
            names.push(name(span.span_id));
        }
    }
    let names = Column {
        rows: None,
        values: Values::Text(Strings::Plain(StringArray::from_iter_values(names))),
    };
    let present = (0u32..).zip(&services).filter(|(_, service)| service.is_some());
    let services = Column {
        rows: Some(present.map(|(row, _)| row).collect()),
        values: Values::Text(Strings::Dictionary {
            codes: services.iter().flatten().map(|text| u32::from(text.ends_with('2'))).collect(),
            values: StringArray::from_iter_values(["service 1", "service 2"]),
        }),
    };
    let columns = trace_values(&rows, &services, &names);
    for (column, spec) in columns.iter().zip(trace_columns()) {
        assert_eq!((column.values.kind(), column.rows.is_some()), (spec.kind, spec.is_optional));
    }
    TraceTable::read(columns, first_row).unwrap()
}

proptest! {
    #[test]
    fn a_trace_table_says_what_its_spans_say(traces in vec(arbitrary_trace(), 0..6)) {
        let table = through_columns(&traces, 700);
        prop_assert_eq!(table.len(), traces.len());
        let mut first_row = 700;
        for (number, spans) in traces.iter().enumerate() {
            prop_assert_eq!(as_text(table.summary(number)), expected(spans));
            prop_assert_eq!(table.first_rows[number], first_row);
            prop_assert_eq!(table.first_seen_unix_seconds[number], 0);
            let last_seen = if number == 0 { 1 } else { 2 };
            prop_assert_eq!(table.last_seen_unix_seconds[number], last_seen);
            first_row += spans.len() as u32;
        }
    }

    /// In pieces, some spans in several of them, in any order.
    #[test]
    fn a_merged_trace_says_what_the_whole_one_says(
        spans in arbitrary_trace(),
        pieces in vec(any::<u16>(), 0..3),
    ) {
        let mut pieces: Vec<TracePiece> = pieces
            .iter()
            .map(|mask| {
                let is_in = |number: usize| mask >> number & 1 == 1;
                let spans = spans.iter().enumerate().filter(|(number, _)| is_in(*number));
                let spans: Vec<Sent> = spans.map(|(_, span)| span.clone()).collect();
                piece(&spans)
            })
            .collect();
        pieces.push(piece(&spans));
        let rows = TraceRows { pieces };
        prop_assert_eq!(as_text(merged(&rows).unwrap()), expected(&spans));
    }
}

#[test]
fn columns_that_are_no_trace_table_are_refused() {
    let read = |change: fn(&mut Vec<Column>)| {
        let rows = [trace_of(3), trace_of(4)];
        let mut columns = trace_values(&rows, &no_texts(), &no_texts());
        change(&mut columns);
        TraceTable::read(columns, 0).map(|table| table.len())
    };
    assert_eq!(read(|_| ()), Ok(2));
    let error = |result: Result<usize, TraceTableError>| result.unwrap_err().to_string();
    assert_eq!(error(read(|columns| columns.truncate(7))), "traces have 7 columns instead of 8");
    assert_eq!(error(read(|columns| columns.swap(0, 2))), "traces: column `n_spans` holds I64");
    assert_eq!(
        error(read(|columns| columns[3] = dense(Values::I64(vec![1].into())))),
        "traces: column `duration_nanos` has 1 rows of 2"
    );
    assert_eq!(
        error(read(|columns| columns[0] = dense(Values::U32(vec![u32::MAX, 2].into())))),
        "traces: more spans than a block has rows"
    );
    assert_eq!(
        error(read(|columns| columns[4].rows = Some(vec![0].into()))),
        "traces: column `root_service` has 0 rows of 2"
    );
}

fn trace_of(n_spans: u32) -> TraceRow {
    TraceRow {
        n_spans,
        n_errors: 0,
        start_unix_nanos: 1,
        end_unix_nanos: 2,
        root_row: None,
        received_unix_nanos: UnixNanosRange::of(0),
    }
}
