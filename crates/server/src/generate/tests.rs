//! `generate` against servers that answer well, badly, late and not at all.

mod receiver;

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use clap::Parser;
use expect_test::{Expect, expect};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::io::AsyncWriteExt;

use super::*;
use receiver::{Lookups, Receiver, Reply};

const FOR_EVER: Duration = Duration::from_secs(3600);

/// As fast as it goes, on one connection, without a pause that would be felt.
fn options(endpoint: String, protocol: Protocol) -> Options {
    Options {
        endpoint,
        protocol,
        compression: Compression::None,
        headers: vec![("x-scope-orgid".to_owned(), "shop".to_owned())],
        connections: 1,
        seed: 7,
        batch_spans_max: 300,
        spans_per_second: None,
        spans_max: Some(2_000),
        duration_max: None,
        patience: Patience { pause: Duration::from_millis(1), ..Patience::default() },
        verify: None,
    }
}

async fn run_to_end(options: Options) -> Report {
    // The sender is kept: without it nobody could say stop, which is not the same as "stop".
    let (_stop, stopped) = watch::channel(false);
    send(options, Arc::default(), stopped).await.unwrap()
}

async fn accepting(script: Vec<Reply>) -> Receiver {
    Receiver::start(script, Reply::Accept, Lookups::LateByOne).await
}

/// How often each request was tried, and what came of it.
fn attempts(report: &Report) -> String {
    let n_attempts: u64 = report.answers.values().sum();
    let n_requests = n_attempts - report.retries;
    let statuses: Vec<_> = report.answers.keys().map(String::as_str).collect();
    format!("{} x {}", n_attempts / n_requests, statuses.join(", "))
}

#[tokio::test]
async fn every_span_arrives_once_over_every_protocol() {
    for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson, Protocol::Grpc] {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let receiver = accepting(vec![]).await;
            let options =
                Options { compression, connections: 3, ..options(receiver.url(), protocol) };
            let report = run_to_end(options).await;
            let received = receiver.received();
            let ids: HashSet<_> =
                received.spans.iter().map(|span| (&span.trace_id, &span.span_id)).collect();

            let what = format!("{protocol:?} {compression:?}: {report:?}");
            assert!(report.is_whole(), "{what}");
            let example = report.example.as_ref().expect("a trace was acknowledged");
            assert!(report.text().contains(&format!("trace {}", example.trace_id)), "{what}");
            assert!(report.spans_sent >= 2_000, "{what}");
            assert_eq!(report.spans_acknowledged, report.spans_sent, "{what}");
            assert_eq!(received.spans.len() as u64, report.spans_acknowledged, "{what}");
            assert_eq!(ids.len(), received.spans.len(), "{what}");
            assert_eq!(received.n_exports as u64, report.requests, "{what}");
            assert!(received.headers.iter().all(|headers| headers["x-scope-orgid"] == "shop"));
        }
    }
}

#[tokio::test]
async fn what_partial_success_refuses_is_counted_and_told() {
    let partial = Reply::Partial { n_refused: 3, why: "trace has too many spans" };
    for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson, Protocol::Grpc] {
        let receiver = accepting(vec![partial.clone(), partial.clone()]).await;
        let report = run_to_end(options(receiver.url(), protocol)).await;
        assert_eq!(report.spans_refused, 6);
        assert_eq!(report.spans_acknowledged + 6, report.spans_sent);
        assert_eq!(report.retries, 0);
        assert!(!report.is_whole());
        assert_eq!(report.reasons, BTreeMap::from([("trace has too many spans".to_owned(), 2)]));
    }
}

/// The client's own pause is an hour: only who obeys the server comes to an end.
#[tokio::test]
async fn the_server_says_when_to_try_again() {
    let patience = Patience { pause: FOR_EVER, ..Patience::default() };
    let busy = |status| Reply::Status { status, retry_after: Some("0"), body: "busy" };
    let receiver = accepting(vec![busy(429), busy(503)]).await;
    let options = Options { patience, ..options(receiver.url(), Protocol::HttpProtobuf) };
    let report = run_to_end(options.clone()).await;
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.retries, 2);
    assert_eq!(report.answers["429"], 1);
    assert_eq!(report.answers["503"], 1);

    let exhausted = Reply::Grpc { code: 8, retry_after_millis: Some(1) };
    let receiver = accepting(vec![exhausted]).await;
    let options = Options { endpoint: receiver.url(), protocol: Protocol::Grpc, ..options };
    let report = run_to_end(options).await;
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.retries, 1);
}

#[tokio::test]
async fn patience_ends() {
    let check = async |protocol, reply: Reply, expected: Expect| {
        let receiver = Receiver::start(vec![], reply, Lookups::Never).await;
        let patience =
            Patience { pause: Duration::from_millis(1), attempts_max: 3, ..Patience::default() };
        let options =
            Options { patience, spans_max: Some(200), ..options(receiver.url(), protocol) };
        let report = run_to_end(options).await;
        assert_eq!(report.spans_acknowledged, 0);
        assert_eq!(report.spans_failed, report.spans_sent);
        assert!(report.spans_failed >= 200);
        assert!(!report.is_whole());
        expected.assert_eq(&attempts(&report));
    };
    let status = |status| Reply::Status { status, retry_after: None, body: "no" };
    let grpc = |code| Reply::Grpc { code, retry_after_millis: None };
    check(Protocol::HttpProtobuf, status(503), expect!["3 x 503"]).await;
    check(Protocol::HttpJson, status(429), expect!["3 x 429"]).await;
    check(Protocol::HttpProtobuf, status(400), expect!["1 x 400"]).await;
    check(Protocol::HttpProtobuf, status(404), expect!["1 x 404"]).await;
    check(Protocol::Grpc, grpc(14), expect!["3 x grpc UNAVAILABLE"]).await;
    check(Protocol::Grpc, grpc(8), expect!["1 x grpc RESOURCE_EXHAUSTED"]).await;
    check(Protocol::Grpc, grpc(16), expect!["1 x grpc UNAUTHENTICATED"]).await;
}

#[tokio::test]
async fn garbage_in_an_answer_changes_nothing() {
    let garbage = Reply::AcceptWith(Bytes::from_static(b"\xff\xfe\x00 not protobuf, not JSON"));
    for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson] {
        let receiver = Receiver::start(vec![], garbage.clone(), Lookups::Never).await;
        let report = run_to_end(options(receiver.url(), protocol)).await;
        assert!(report.is_whole(), "{report:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_none_is_told_apart() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let babbling = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The client may have gone already.
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    let patience =
        Patience { pause: Duration::from_millis(1), attempts_max: 2, ..Patience::default() };
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let options =
            Options { patience, spans_max: Some(200), ..options(endpoint.clone(), protocol) };
        let report = run_to_end(options).await;
        assert_eq!(report.spans_failed, report.spans_sent);
        assert_eq!(attempts(&report), "2 x no answer");
        assert!(!report.reasons.is_empty());
    }
    babbling.abort();
    let _ = babbling.await;
    let options =
        Options { patience, spans_max: Some(200), ..options(endpoint, Protocol::HttpProtobuf) };
    let report = run_to_end(options).await;
    assert_eq!(attempts(&report), "2 x no answer");
    assert_eq!(report.spans_failed, report.spans_sent);
}

#[tokio::test]
async fn acknowledged_traces_are_looked_up_until_they_are_there() {
    let receiver = accepting(vec![]).await;
    let verify = Some(receiver.url());
    let options = Options { verify, ..options(receiver.url(), Protocol::HttpProtobuf) };
    let report = run_to_end(options).await;
    let verified = report.verified.as_ref().expect("lookups");
    assert!(verified.traces > 0);
    assert_eq!(verified.traces_found, verified.traces, "{verified:?}");
    assert!(receiver.received().n_lookups as u64 > verified.traces, "the first was too early");
    assert!(verified.visible_after_ms.max > 0.0);
    assert!(report.is_whole());
}

#[tokio::test]
async fn what_is_lost_or_doubled_is_seen() {
    let run = async |lookups| {
        let receiver = Receiver::start(vec![], Reply::Accept, lookups).await;
        let mut options = options(receiver.url(), Protocol::HttpProtobuf);
        options.verify = Some(receiver.url());
        options.patience.visible_wait_max = Duration::ZERO;
        let report = run_to_end(options).await;
        assert!(!report.is_whole());
        report.verified.expect("lookups")
    };
    let lost = run(Lookups::Never).await;
    assert_eq!((lost.traces_missing, lost.traces_found), (lost.traces, 0));
    assert!(lost.examples[0].contains(": 0 spans instead of"), "{:?}", lost.examples);
    let doubled = run(Lookups::Twice).await;
    assert_eq!((doubled.traces_wrong, doubled.traces_found), (doubled.traces, 0));
    assert!(doubled.traces > 0);
}

#[tokio::test]
async fn stop_brings_what_is_under_way_to_its_end() {
    let receiver = accepting(vec![]).await;
    let (stop, stopped) = watch::channel(false);
    let tally = Arc::<Tally>::default();
    let mut endless = options(receiver.url(), Protocol::HttpProtobuf);
    endless.spans_max = None;
    let sending = tokio::spawn(send(endless, Arc::clone(&tally), stopped));
    while tally.counts().requests < 3 {
        tokio::task::yield_now().await;
    }
    stop.send_replace(true);
    let report = sending.await.unwrap().unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert!(report.requests >= 3);
    assert_eq!(receiver.received().spans.len() as u64, report.spans_acknowledged);
}

#[tokio::test]
async fn a_good_example_is_offered() {
    let receiver = accepting(vec![]).await;
    let tally = Arc::<Tally>::default();
    let (_stop, stopped) = watch::channel(false);
    let many = Options { spans_max: Some(60_000), ..options(receiver.url(), Protocol::Grpc) };
    send(many, Arc::clone(&tally), stopped).await.unwrap();
    let example = tally.example().expect("an example");
    assert!((15..=60).contains(&example.n_spans), "{example:?}");
    let spans = receiver.received().spans;
    let found = spans.iter().filter(|span| span.trace_id == example.trace_id.as_bytes());
    assert_eq!(found.count(), example.n_spans);
}

#[test]
fn a_folder_holds_requests_and_the_truth_about_them() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str, extra: &[&str]| {
        let path = folder.path().join(name);
        let mut words =
            vec!["--count", "5000", "--minutes", "5", "--end", "1764072000", "--batch", "700"];
        words.extend(["--out", path.to_str().unwrap()]);
        words.extend(extra);
        folder::write(&parse(&words).unwrap().out().unwrap().expect("a folder")).unwrap();
        let mut files: Vec<_> =
            std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
            .into_iter()
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect::<Vec<_>>()
    };
    let (first, again) = (out("first", &[]), out("again", &[]));
    let bytes = |files: &[(std::path::PathBuf, Vec<u8>)]| {
        files.iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
    };
    assert!(bytes(&first) == bytes(&again), "the same options give the same bytes");

    let (truth, requests) = first.split_last().expect("files");
    assert!(truth.0.ends_with("truth.json"));
    assert!(requests[0].0.ends_with("000000.pb"));
    let truth: serde_json::Value = serde_json::from_slice(&truth.1).unwrap();
    let n_spans: usize = requests
        .iter()
        .flat_map(|(_, bytes)| {
            ExportTraceServiceRequest::decode(&bytes[..]).unwrap().resource_spans
        })
        .flat_map(|resource_spans| resource_spans.scope_spans)
        .map(|scope_spans| scope_spans.spans.len())
        .sum();
    assert_eq!(truth["spans"], n_spans);
    assert_eq!(truth["requests"], requests.len());
    let n_bytes: usize = requests.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(truth["bytes"], n_bytes);
    assert_eq!(truth["end_ns"], 1_764_072_000_000_000_000_u64, "no span ends after the end");

    let smaller = out("first", &["--count", "1000"]);
    assert!(smaller.len() < first.len(), "files of before are gone");
}

#[derive(Debug, Parser)]
struct TestCommand {
    #[command(flatten)]
    args: GenerateArgs,
}

/// Arguments given twice: the last counts.
fn parse(words: &[&str]) -> Result<GenerateArgs, clap::Error> {
    use clap::CommandFactory;
    let command = TestCommand::command().args_override_self(true);
    let matches = command.try_get_matches_from([&["generate"], words].concat())?;
    Ok(<TestCommand as clap::FromArgMatches>::from_arg_matches(&matches)?.args)
}

#[test]
fn arguments_that_make_no_sense_are_named() {
    let check = |words: &[&str], expected: Expect| {
        let args = parse(words).expect("clap takes it");
        let error = args.out().map(drop).and_then(|()| args.options().map(drop)).unwrap_err();
        expected.assert_eq(&format!("{error:#}"));
    };
    check(&["--header", "shop"], expect!["--header shop: write it as KEY=VALUE"]);
    check(
        &["--rate", "0.001"],
        expect![
            "--rate 0.001: write spans per second from 0.01 to 100000000, or 0 for as fast as it goes"
        ],
    );
    check(
        &["--rate=-5"],
        expect![
            "--rate -5: write spans per second from 0.01 to 100000000, or 0 for as fast as it goes"
        ],
    );
    check(
        &["--rate", "NaN"],
        expect![
            "--rate NaN: write spans per second from 0.01 to 100000000, or 0 for as fast as it goes"
        ],
    );
    check(
        &["--out", "x", "--minutes", "1"],
        expect!["--minutes 1: write at least 2 (a trace may last one)"],
    );
    check(
        &["--out", "x", "--end", "99999999999999"],
        expect!["--end 99999999999999: that is beyond the year 2554"],
    );
    check(&["--out", "x", "--end", "60"], expect!["--minutes 20: that begins before 1970"]);
    assert!(parse(&["--batch", "0"]).is_err());
    assert!(parse(&["--connections", "0"]).is_err());
    assert!(parse(&["--minutes", "5"]).is_err(), "only with --out");
}

#[test]
fn endpoints_are_written_as_sdks_take_them() {
    let check = |endpoint: &str, expected: Expect| {
        let text = match target::endpoint_uri(endpoint, "/v1/traces") {
            Ok(uri) => uri.to_string(),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&text);
    };
    check("http://127.0.0.1:4318", expect!["http://127.0.0.1:4318/v1/traces"]);
    check("http://127.0.0.1:4318/", expect!["http://127.0.0.1:4318/v1/traces"]);
    check("collector:4318", expect!["http://collector:4318/v1/traces"]);
    check(
        "https://otlp.example/tenant/v1/traces",
        expect!["https://otlp.example/tenant/v1/traces"],
    );
    check("http://[::1]:4318", expect!["http://[::1]:4318/v1/traces"]);
    check(
        "ftp://otlp.example",
        expect!["`ftp://otlp.example` is not an endpoint: write it like http://127.0.0.1:4318"],
    );
    check("http://", expect!["`http://` is not an endpoint: write it like http://127.0.0.1:4318"]);
    check(
        "not an address",
        expect!["`not an address` is not an endpoint: write it like http://127.0.0.1:4318"],
    );
}

#[test]
fn the_report_is_for_people() {
    let tally = Tally::default();
    tally.count_trace();
    tally.count_sent(1_000);
    tally.count_acknowledged(997, 3, 4_096, Duration::from_micros(1_234));
    tally.count_answer("200", Some("trace has too many spans"));
    let mut options = options("http://127.0.0.1:4318".to_owned(), Protocol::HttpProtobuf);
    options.spans_per_second = Some(1_000.0);
    let now = Instant::now();
    let verified = Verified { traces: 1, traces_found: 1, ..Default::default() };
    let sending = now..now + Duration::from_secs(2);
    let report = Report::new(&options, &tally, sending, Some(verified));
    expect![[r#"
        endpoint      http://127.0.0.1:4318 (http/protobuf)
        sent          1,000 spans of 1 trace
        acknowledged  997 spans in 1 request, 4.0 KiB
        refused       3 spans
        failed        0 spans
        retries       0
        throughput    498 spans/s for 2.0 s
        latency       p50 1.2 ms, p90 1.2 ms, p99 1.2 ms, max 1.2 ms
        answers       1 x 200
        because       1 x trace has too many spans
        looked up     1 trace: 1 found whole, 0 missing, 0 wrong
        visible after p50 0.0 ms, p90 0.0 ms, p99 0.0 ms, max 0.0 ms
    "#]]
    .assert_eq(&report.text());
    expect!["1 trace, 997 spans acknowledged, 498 spans/s, 3 spans refused"]
        .assert_eq(&report::progress_line(&tally.counts(), Duration::from_secs(2)));
}

#[test]
fn the_suggestion_says_where_to_look() {
    let check = |endpoint: &str, verify: Option<&str>, headers: &[(&str, &str)], expected: &str| {
        let mut options = options(endpoint.to_owned(), Protocol::HttpProtobuf);
        options.verify = verify.map(str::to_owned);
        options.headers = headers.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        assert_eq!(report::flags(&options), expected, "{endpoint} {verify:?}");
    };
    check("http://127.0.0.1:4318", None, &[], "");
    check("localhost:4317", None, &[], "");
    check("http://127.0.0.1:4318", Some("http://127.0.0.1:3200"), &[], "");
    check("http://127.0.0.1:4318", Some("http://[::1]:3300"), &[], " --server http://[::1]:3300");
    check("http://collector:4318", None, &[], " --server <its address>");
    check("http://127.0.0.1:4318", None, &[("x-scope-orgid", "a")], " --tenant a");
}
