//! Requests in, publications out; the log is a real one in a temporary folder.

use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use suyuan_wire::record::RecordHeader;

use super::*;

/// What a store would show: for each chunk the names of its visible rows.
#[derive(Clone, Default)]
pub(super) struct Shown(Arc<Mutex<BTreeMap<ChunkKey, Vec<String>>>>);

/// Tenant and chunk number.
type ChunkKey = (String, u32);

impl Surroundings for Shown {
    fn publish(&mut self, publication: Publication) {
        let names = (0..publication.visible_rows as usize)
            .map(|row| publication.chunk.name.value(row).to_owned())
            .collect();
        let key = (publication.tenant.to_string(), publication.chunk_number);
        self.0.lock().expect("not poisoned").insert(key, names);
    }

    fn trace_rows(&self, tenant: &Tenant, trace_id: TraceId) -> u64 {
        // In these tests a span's name begins with its trace's number.
        let prefix = format!("{}.", trace_id.as_bytes()[0]);
        let is_of = |(key, names): (&(String, u32), &Vec<String>)| {
            let n = names.iter().filter(|name| name.starts_with(&prefix)).count();
            if key.0 == tenant.as_str() { n as u64 } else { 0 }
        };
        self.0.lock().expect("not poisoned").iter().map(is_of).sum()
    }

    fn now_unix_nanos(&self) -> u64 {
        7
    }
}

impl Shown {
    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().expect("not poisoned").values().flatten().cloned().collect()
    }
}

pub(super) fn body(names: &[&str]) -> Bytes {
    let span = |name: &&str| Span {
        trace_id: vec![name.split('.').next().expect("a trace").parse().expect("a number"); 16],
        span_id: vec![1; 8],
        name: (*name).to_owned(),
        ..Span::default()
    };
    let scope_spans =
        vec![ScopeSpans { spans: names.iter().map(span).collect(), ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

pub(super) fn submission(names: &[&str]) -> Submission {
    let sent = body(names);
    Submission {
        tenant: Tenant::single(),
        format: Format::OtlpProtobuf,
        compression: Compression::None,
        inflated: sent.clone(),
        sent,
    }
}

fn tables(chunk_rows: u32, spans_per_trace_max: u32) -> (Tables, Shown) {
    let shown = Shown::default();
    let limits = Limits { spans_per_trace_max, ..Limits::default() };
    let options = LaneOptions { chunk_rows, limits, ..LaneOptions::default() };
    (Tables::new(options, Box::new(shown.clone())), shown)
}

fn stage(tables: &mut Tables, names: &[&str]) -> Ticket {
    let staged = tables.stage(submission(names)).expect("well-formed");
    staged.record.expect("spans were accepted").0
}

#[test]
fn rows_are_seen_when_they_are_committed_and_not_before() {
    let (mut tables, shown) = tables(100, 100);
    let first = stage(&mut tables, &["1.a", "1.b"]);
    let second = stage(&mut tables, &["2.c"]);
    tables.publish_due();
    assert_eq!(shown.names(), [""; 0]);
    tables.commit(&Tenant::single(), first);
    tables.publish_due();
    assert_eq!(shown.names(), ["1.a", "1.b"]);
    tables.commit(&Tenant::single(), second);
    tables.publish_due();
    assert_eq!(shown.names(), ["1.a", "1.b", "2.c"]);
}

#[test]
fn a_failed_request_is_taken_back_from_between_its_neighbours() {
    // Chunks of two rows: the failed request stands in a full table, others in later ones.
    for chunk_rows in [1, 2, 3, 100] {
        let (mut tables, shown) = tables(chunk_rows, 100);
        let tenant = Tenant::single();
        let tickets: Vec<Ticket> =
            [&["1.a"][..], &["1.b", "1.c"], &["2.d"], &["2.e", "2.f", "2.g"]]
                .map(|names| stage(&mut tables, names))
                .to_vec();
        tables.commit(&tenant, tickets[0]);
        tables.fail(&tenant, tickets[1]);
        let last = stage(&mut tables, &["3.h"]);
        tables.commit(&tenant, tickets[2]);
        tables.fail(&tenant, tickets[3]);
        tables.commit(&tenant, last);
        tables.publish_due();
        assert_eq!(shown.names(), ["1.a", "2.d", "3.h"], "chunks of {chunk_rows} rows");
    }
}

#[test]
fn spans_over_the_size_of_a_trace_are_refused_alone() {
    let (mut tables, shown) = tables(100, 3);
    let tenant = Tenant::single();
    let first = stage(&mut tables, &["1.a", "1.b", "2.x"]);
    tables.commit(&tenant, first);
    tables.publish_due();
    let second = stage(&mut tables, &["1.c"]);
    let staged = tables.stage(submission(&["2.y", "1.d", "2.z", "1.e"])).expect("well-formed");
    let refused: Vec<u32> = staged.decoded.refused.iter().map(|r| r.place).collect();
    assert_eq!((refused, staged.decoded.accepted_spans), (vec![1, 3], 2));
    assert_eq!(outcome(&staged).message, "2 refused: trace has more spans than are allowed");
    let (third, header) = staged.record.expect("some were accepted");
    let header = RecordHeader::decode(&header).expect("a header").0;
    assert_eq!(header.refused, [1, 3]);
    tables.commit(&tenant, second);
    tables.commit(&tenant, third);
    tables.publish_due();
    assert_eq!(shown.names(), ["1.a", "1.b", "2.x", "1.c", "2.y", "2.z"]);
}

#[test]
fn limits_on_tenants_and_rows_refuse_with_the_number() {
    let options = LaneOptions { tenants_max: 1, window_rows_max: 2, ..LaneOptions::default() };
    let mut tables = Tables::new(options, Box::new(Shown::default()));
    stage(&mut tables, &["1.a"]);
    let other = Submission { tenant: Tenant::parse("b").expect("valid"), ..submission(&["1.a"]) };
    assert!(matches!(tables.stage(other), Err(StageError::TooManyTenants { tenants_max: 1 })));
    stage(&mut tables, &["1.b"]);
    assert!(matches!(tables.stage(submission(&["1.c"])), Err(StageError::WindowFull { rows: 2 })));
}

#[test]
fn a_tenant_is_one_who_sent_a_span_that_was_kept() {
    let options = LaneOptions { tenants_max: 1, ..LaneOptions::default() };
    let mut tables = Tables::new(options, Box::new(Shown::default()));
    let of = |tenant: &str, submission| Submission {
        tenant: Tenant::parse(tenant).expect("valid"),
        ..submission
    };
    let malformed = Submission { inflated: Bytes::from_static(b"x"), ..submission(&[]) };
    assert!(matches!(tables.stage(of("a", malformed)), Err(StageError::Malformed(_))));
    let refused = tables.stage(of("b", submission(&["0.bad id"]))).expect("well-formed");
    assert_eq!(refused.decoded.accepted_spans, 0);
    assert!(tables.stage(of("c", submission(&["1.a"]))).is_ok());
    assert!(matches!(
        tables.stage(of("d", submission(&["1.a"]))),
        Err(StageError::TooManyTenants { .. })
    ));
}

#[tokio::test]
async fn what_was_answered_is_replayed_to_the_same_rows_under_other_limits() {
    let folder = tempfile::tempdir().expect("a folder");
    let shown = Shown::default();
    let lane = start(folder.path(), Limits { spans_per_trace_max: 2, ..Limits::default() }, &shown);
    let outcome = lane.submit(submission(&["1.a", "1.b", "1.c"])).await.expect("taken");
    assert_eq!((outcome.accepted_spans, outcome.refused_spans), (2, 1));
    let refusal =
        lane.submit(Submission { inflated: Bytes::from_static(b"x"), ..submission(&["1.a"]) });
    assert!(matches!(refusal.await, Err(Refusal::Malformed(_))));
    lane.submit(submission(&["2.d"])).await.expect("taken");
    lane.close();
    assert_eq!(lane.submit(submission(&["9.z"])).await, Err(Refusal::Stopping));
    assert_eq!(shown.names(), ["1.a", "1.b", "2.d"]);

    let replayed = Shown::default();
    start(folder.path(), Limits { spans_per_trace_max: 1, ..Limits::default() }, &replayed).close();
    assert_eq!(replayed.names(), ["1.a", "1.b", "2.d"]);
}

fn start(folder: &std::path::Path, limits: Limits, shown: &Shown) -> Lane {
    let (log, mut recovered) = suyuan_wal::open(
        Arc::new(suyuan_wal::LocalDisk::create(folder).expect("a folder")),
        suyuan_wal::Options {
            segment_bytes_max: 1 << 20,
            record_bytes_max: 1 << 20,
            queue_bytes_max: 1 << 24,
            reserve_bytes: 4096,
        },
    )
    .expect("the log opens");
    let options = LaneOptions { limits, ..LaneOptions::default() };
    let mut replay = Replay::new(options, shown.clone(), Metrics::new());
    recovered
        .replay(|_, record| match replay.record(record) {
            Ok(()) => suyuan_wal::Verdict::Taken,
            Err(error) => suyuan_wal::Verdict::Quarantine(error.to_string()),
        })
        .expect("the log is readable");
    replay.start(log).expect("a thread starts")
}
