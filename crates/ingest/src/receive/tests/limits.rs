//! What bites: memory in flight, rates, bombs, slow senders, oversized bodies.

use super::*;

/// 64 MiB of zeros in 64 kB: refused at the limit, with less memory than the limit.
#[tokio::test]
async fn bombs_are_stopped_at_the_limit() {
    let zeros = vec![0; 64 << 20];
    let options = Options { inflated_bytes_max: 1 << 20, ..Options::default() };
    let server = Server::start(options).await;
    for (encoding, bomb) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros))] {
        let answer = protobuf(bomb).header("content-encoding", encoding).send(&server).await;
        assert_eq!(answer.status, 413, "{encoding}");
    }
    assert!(server.taken().is_empty());
    server.assert_metric(
        "suyuan_ingest_refused_requests_total{protocol=\"http\",reason=\"inflated_too_large\"} 2",
    );
    server.assert_metric("suyuan_ingest_in_flight_bytes 0");
}

#[tokio::test]
async fn request_larger_than_the_budget_is_admitted_alone() {
    let options = Options { in_flight_bytes_max: 64 << 10, ..Options::default() };
    let server = Server::start(options).await;
    let body = vec![7; 1 << 20];
    assert_eq!(protobuf(body.clone()).send(&server).await.status, 200);
    let packed = protobuf(zstd(&body)).header("content-encoding", "zstd");
    assert_eq!(packed.send(&server).await.status, 200);
    assert!(server.taken().iter().all(|taken| taken.inflated == body));
    server.assert_metric("suyuan_ingest_in_flight_bytes 0");
}

#[tokio::test]
async fn budget_taken_by_others_is_429_until_it_is_given_back() {
    let options = Options {
        in_flight_bytes_max: 64 << 10,
        in_flight_wait_max: Duration::from_millis(10),
        ..Options::default()
    };
    let mut server = Server::start(options).await;
    server.open.send_replace(false);
    let mut holder = server.connect().await;
    holder.write_all(&protobuf(vec![1; 64 << 10]).bytes()).await.unwrap();
    server.arrivals.recv().await.unwrap();
    server.assert_metric("suyuan_ingest_in_flight_bytes 65536");

    let answer = json("{}").send(&server).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
    assert_eq!(
        answer.status(),
        Status {
            code: 8,
            message: "the memory for requests in flight (65536 bytes) is taken by other requests"
                .into(),
            delay: Some("1s".into()),
        }
    );

    server.open.send_replace(true);
    assert_eq!(read_answer(&mut holder).await.unwrap().status, 200);
    assert_eq!(json("{}").send(&server).await.status, 200);
}

/// A body that is announced and does not come holds little.
#[tokio::test]
async fn promises_hold_no_memory() {
    let server = Server::start(Options::default()).await;
    let mut stream = server.connect().await;
    let promise = protobuf("").header("content-length", 20 << 20).header("expect", "100-continue");
    stream.write_all(promise.head().as_bytes()).await.unwrap();
    // "Continue" is sent when the buffer is there and the body is asked for.
    assert_eq!(read_answer(&mut stream).await.unwrap().status, 100);
    server.assert_metric("suyuan_ingest_in_flight_bytes 1048576");
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn rate_of_a_tenant() {
    let rate = Rate { bytes_per_second: 10, burst_bytes: 1_000 };
    let options =
        Options { rate_per_tenant: Some(rate), tenancy: Tenancy::ByHeader, ..Options::default() };
    let server = Server::start(options).await;
    let of = |tenant, bytes| protobuf(vec![0; bytes]).header("x-scope-orgid", tenant);
    assert_eq!(of("shop", 900).send(&server).await.status, 200);
    let answer = of("shop", 500).send(&server).await;
    assert_eq!(answer.status, 429);
    // 400 bytes are missing, less what has come in since.
    let delay: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=40).contains(&delay), "{delay}");
    assert!(answer.status().message.starts_with("RATE_LIMITED: over the rate of 10 bytes/s"));
    assert_eq!(of("mall", 500).send(&server).await.status, 200, "others have rates of their own");
    assert_eq!(server.taken().len(), 2);
}

#[tokio::test]
async fn slow_body_is_cut_off() {
    let options = Options { body_idle_time_max: Duration::from_millis(20), ..Options::default() };
    let server = Server::start(options).await;
    let mut stream = server.connect().await;
    let request = json("").header("content-length", 5);
    stream.write_all(request.head().as_bytes()).await.unwrap();
    stream.write_all(b"{").await.unwrap();
    let answer = read_answer(&mut stream).await.unwrap();
    assert_eq!(answer.status, 408);
    assert_eq!(answer.status().code, 4);
    assert!(read_answer(&mut stream).await.is_none(), "the connection is closed");
    assert!(server.taken().is_empty());
}

/// One byte at a time, never idle, but over the whole time.
#[tokio::test]
async fn dripping_body_is_cut_off() {
    let options = Options { body_time_max: Duration::from_millis(50), ..Options::default() };
    let server = Server::start(options).await;
    let (mut reading, mut writing) = server.connect().await.into_split();
    let head = json("").header("content-length", 1_000_000).head();
    writing.write_all(head.as_bytes()).await.unwrap();
    let drip = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        while writing.write_all(b" ").await.is_ok() {
            tick.tick().await;
        }
    });
    let mut status_line = [0; 12];
    reading.read_exact(&mut status_line).await.unwrap();
    assert_eq!(&status_line, b"HTTP/1.1 408");
    drop(reading);
    drip.await.unwrap();
}

/// Senders that write everything before they read see why they were refused.
#[tokio::test]
async fn answer_to_a_large_body_is_seen() {
    let options = Options { request_bytes_max: 1 << 20, ..Options::default() };
    let server = Server::start(options).await;
    let mut stream = server.connect().await;
    let request = protobuf(vec![0; 8 << 20]);
    stream.write_all(&request.bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.unwrap().status, 413);
    // The connection is still good.
    stream.write_all(&protobuf("x").bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.unwrap().status, 200);
}

#[tokio::test]
async fn who_asks_first_is_told_before_sending() {
    let options = Options { request_bytes_max: 10, ..Options::default() };
    let server = Server::start(options).await;
    let mut stream = server.connect().await;
    let request = protobuf("").header("content-length", 11).header("expect", "100-continue");
    stream.write_all(request.head().as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.unwrap().status, 413);

    let mut stream = server.connect().await;
    let request = protobuf("").header("content-length", 10).header("expect", "100-continue");
    stream.write_all(request.head().as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.unwrap().status, 100);
    stream.write_all(b"0123456789").await.unwrap();
    assert_eq!(read_answer(&mut stream).await.unwrap().status, 200);
    assert_eq!(server.taken()[0].sent, "0123456789");
}

#[tokio::test]
async fn broken_off_body_is_not_stored() {
    let server = Server::start(Options::default()).await;
    let mut stream = server.connect().await;
    let request = json("{").header("content-length", 5);
    stream.write_all(&request.bytes()).await.unwrap();
    drop(stream);
    assert_eq!(json("{}").send(&server).await.status, 200);
    let taken = server.taken();
    server.stop().await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].sent, "{}");
}

/// A rate over a series that begins at one does not see its first event.
#[tokio::test]
async fn every_refusal_is_counted_from_zero() {
    let server = Server::start(Options::default()).await;
    for protocol in ["grpc", "http"] {
        for reason in ["malformed", "log_full", "in_flight", "rate", "stopping"] {
            server.assert_metric(&format!(
                "suyuan_ingest_refused_requests_total{{protocol=\"{protocol}\",reason=\"{reason}\"}} 0"
            ));
        }
    }
    server.assert_metric("suyuan_ingest_refused_spans_total{reason=\"invalid_trace_id\"} 0");
    server.assert_metric("suyuan_ingest_refused_connections_total{reason=\"connections_max\"} 0");
}
