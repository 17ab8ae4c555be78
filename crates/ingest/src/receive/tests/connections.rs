//! Connections: many, slow, idle, pipelined, and what becomes of them at shutdown.

use super::grpc::{connect, export};
use super::*;

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = Server::start(Options::default()).await;
    let mut stream = server.connect().await;
    for n in 0..100 {
        stream.write_all(&json(n.to_string()).bytes()).await.unwrap();
        assert_eq!(read_answer(&mut stream).await.unwrap().status, 200);
    }
    let taken = server.taken();
    assert!(taken.iter().enumerate().all(|(n, taken)| taken.sent == n.to_string()));
    assert_eq!(taken.len(), 100);
    server.assert_metric("suyuan_ingest_connections{version=\"1.1\"} 1");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(Options::default()).await;
    let mut stream = server.connect().await;
    let requests = [json("1").bytes(), post("2").bytes(), json("3").bytes()].concat();
    stream.write_all(&requests).await.unwrap();
    for status in [200, 415, 200] {
        assert_eq!(read_answer(&mut stream).await.unwrap().status, status);
    }
    assert_eq!(server.taken().len(), 2);
}

#[tokio::test]
async fn many_connections_at_once() {
    let server = Arc::new(Server::start(Options::default()).await);
    let mut senders = tokio::task::JoinSet::new();
    for n in 0..200 {
        let server = server.clone();
        senders.spawn(async move { json(n.to_string()).send(&server).await.status });
    }
    let statuses = senders.join_all().await;
    assert_eq!(statuses, [200; 200]);
    assert_eq!(server.taken().len(), 200);
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_counted() {
    let server = Server::start(Options { connections_max: 2, ..Options::default() }).await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    for stream in [&mut first, &mut second] {
        stream.write_all(&json("{}").bytes()).await.unwrap();
        assert_eq!(read_answer(stream).await.unwrap().status, 200);
    }
    let mut third = server.connect().await;
    assert!(read_answer(&mut third).await.is_none());
    server.assert_metric("suyuan_ingest_refused_connections_total{reason=\"connections_max\"} 1");
    second.write_all(&json("{}").bytes()).await.unwrap();
    assert_eq!(read_answer(&mut second).await.unwrap().status, 200);
}

#[tokio::test]
async fn slow_headers_are_cut_off() {
    let options = Options { header_time_max: Duration::from_millis(20), ..Options::default() };
    let server = Server::start(options).await;
    for part in ["P", "PRI * HTTP/2.0", "POST /v1/traces HTTP/1.1\r\nhost: te"] {
        let mut stream = server.connect().await;
        stream.write_all(part.as_bytes()).await.unwrap();
        assert!(read_answer(&mut stream).await.is_none(), "{part}");
    }
    // The second request of a connection has no more time than the first.
    let mut stream = server.connect().await;
    stream.write_all(&json("{}").bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.unwrap().status, 200);
    stream.write_all(b"POST /v1/tra").await.unwrap();
    assert!(read_answer(&mut stream).await.is_none());
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let options = Options { idle_time_max: Duration::from_millis(20), ..Options::default() };
    let server = Server::start(options).await;
    let mut silent = server.connect().await;
    assert!(read_answer(&mut silent).await.is_none());
    let mut stream = server.connect().await;
    stream.write_all(&json("{}").bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.unwrap().status, 200);
    assert!(read_answer(&mut stream).await.is_none());
}

#[tokio::test]
async fn large_headers_are_refused() {
    let server = Server::start(Options::default()).await;
    let request = json("{}").header("x-filler", "x".repeat(40 << 10));
    assert_eq!(request.send(&server).await.status, 431);
    let answer = json("{}").header("x-filler", "x".repeat(20 << 10)).send(&server).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn noise_is_no_request() {
    let server = Server::start(Options::default()).await;
    let noises: [&[u8]; 4] =
        [b"\x16\x03\x01\x02\x00\x01\x00\x01", b"\r\n\r\n\r\n", &[0; 64], &[0xff; 64]];
    for noise in noises {
        let mut stream = server.connect().await;
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        if let Some(answer) = read_answer(&mut stream).await {
            assert_eq!(answer.status, 400);
        }
    }
    assert_eq!(json("{}").send(&server).await.status, 200);
    assert_eq!(server.taken().len(), 1);
}

#[tokio::test]
async fn requests_in_flight_finish_at_shutdown() {
    let mut server = Server::start(Options::default()).await;
    server.open.send_replace(false);
    let mut idle = server.connect().await;
    let mut stream = server.connect().await;
    stream.write_all(&json("{}").bytes()).await.unwrap();
    server.arrivals.recv().await.unwrap();
    let mut client = connect(&server).await;
    let call = tokio::spawn(client.send_request(export(b"x").request()));
    server.arrivals.recv().await.unwrap();

    let _ = server.stop.send(());
    // Idle connections are closed at once, which also says that the stop has been heard.
    assert!(read_answer(&mut idle).await.is_none());
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody is let in any more");
    assert!(!server.task.is_finished());

    server.open.send_replace(true);
    assert_eq!(read_answer(&mut stream).await.unwrap().status, 200);
    assert!(read_answer(&mut stream).await.is_none());
    let answer = call.await.unwrap().unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
    assert!(client.ready().await.is_err(), "GOAWAY was sent");
    assert_eq!(server.task.await.unwrap(), Drained { connections_cut: 0 });
}

#[tokio::test]
async fn shutdown_does_not_wait_forever() {
    let options = Options { drain_time_max: Duration::from_millis(20), ..Options::default() };
    let mut server = Server::start(options).await;
    server.open.send_replace(false);
    let mut stream = server.connect().await;
    stream.write_all(&json("{}").bytes()).await.unwrap();
    server.arrivals.recv().await.unwrap();
    let mut client = connect(&server).await;
    let call = tokio::spawn(client.send_request(export(b"x").request()));
    server.arrivals.recv().await.unwrap();

    let _ = server.stop.send(());
    assert_eq!(server.task.await.unwrap(), Drained { connections_cut: 2 });
    assert!(read_answer(&mut stream).await.is_none());
    assert!(call.await.unwrap().is_err());
}
