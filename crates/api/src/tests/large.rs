//! Answers that are streamed and compressed.

use std::io::Read;

use http_body_util::BodyExt;

use super::*;

const N_SPANS: usize = 20_000;

fn with_a_large_trace(options: Options) -> Server {
    let server = Server::with(options);
    let names: Vec<String> = (0..N_SPANS).map(|n| format!("span {n} {:0>200}", n)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    server.publish(&Tenant::single(), 0, &names);
    server
}

fn n_spans(json: &[u8]) -> usize {
    let answer: serde_json::Value = serde_json::from_slice(json).expect("valid JSON");
    let groups = answer["trace"]["resourceSpans"].as_array().expect("a list");
    let spans = groups.iter().map(|group| group["scopeSpans"][0]["spans"].as_array());
    spans.map(|spans| spans.map_or(0, Vec::len)).sum()
}

#[tokio::test]
async fn a_large_answer_is_streamed_and_a_small_one_has_its_length() {
    let server = with_a_large_trace(Options::default());
    let response = begin(&server).await;
    assert_eq!(http_body::Body::size_hint(response.body()).exact(), None);
    let mut body = response.into_body();
    let (mut whole, mut n_frames) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        whole.extend_from_slice(&frame.expect("a frame").into_data().expect("data"));
        n_frames += 1;
    }
    assert!(n_frames > 4, "{n_frames}");
    assert_eq!(n_spans(&whole), N_SPANS);

    let request = Request::get("/api/v2/traces/1").body(Body::empty()).expect("a request");
    let response = server.router.clone().oneshot(request).await.expect("it never fails");
    assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(25));
}

#[tokio::test]
async fn answers_are_compressed_as_the_client_takes_them_zstd_first() {
    let server = with_a_large_trace(Options::default());
    let path = format!("/api/v2/traces/{ID}");
    for (accept, encoding) in [
        ("", ""),
        ("br", ""),
        ("identity;q=1, gzip;q=0", ""),
        ("gzip", "gzip"),
        ("gzip, zstd", "zstd"),
        ("GZIP;q=0.5, zstd;q=0", "gzip"),
        ("deflate, zstd ; q=0.1", "zstd"),
    ] {
        let answer = server.get_with(&path, &[("accept-encoding", accept)]).await;
        assert_eq!(answer.header("content-encoding"), encoding, "{accept}");
        let mut inflated = Vec::new();
        match encoding {
            "gzip" => drop(
                flate2::read::GzDecoder::new(&*answer.body)
                    .read_to_end(&mut inflated)
                    .expect("gzip"),
            ),
            "zstd" => inflated = zstd::decode_all(&*answer.body).expect("zstd"),
            _ => inflated.clone_from(&answer.body),
        }
        assert_eq!(n_spans(&inflated), N_SPANS, "{accept}");
        assert!(encoding.is_empty() || answer.body.len() * 5 < inflated.len());
    }
    let small = server.get_with("/api/v2/traces/1", &[("accept-encoding", "gzip")]).await;
    assert_eq!(small.header("content-encoding"), "");
}

/// A response of which nothing has been read yet.
async fn begin(server: &Server) -> http::Response<Body> {
    let path = format!("/api/v2/traces/{ID}");
    let request = Request::get(&path).body(Body::empty()).expect("a request");
    server.router.clone().oneshot(request).await.expect("it never fails")
}

#[tokio::test]
async fn large_answers_at_the_same_time_have_a_limit_and_a_client_that_leaves_makes_room() {
    let server = with_a_large_trace(Options { streams_max: 1, ..Options::default() });
    let held = begin(&server).await;
    let refused = server.get(&format!("/api/v2/traces/{ID}")).await;
    assert_eq!(refused.header("retry-after"), "1");
    expect![[r#"
        429 text/plain; charset=utf-8
        too many large answers are on their way: try again
    "#]]
    .assert_eq(&refused.drawn());
    assert_eq!(server.get("/api/v2/traces/1").await.status, StatusCode::OK);
    drop(held);
    drop(server.state.streams.acquire().await.expect("it stays open"));
    assert_eq!(n_spans(&server.get(&format!("/api/v2/traces/{ID}")).await.body), N_SPANS);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_is_given_up_and_its_answer_breaks_off() {
    let server = with_a_large_trace(Options { streams_max: 1, ..Options::default() });
    let held = begin(&server).await;
    // Given back only when the time for reading is over: the clock runs as soon as all wait.
    drop(server.state.streams.acquire().await.expect("it stays open"));
    let error = held.into_body().collect().await.expect_err("it was given up");
    assert_eq!(error.to_string(), "the client stopped reading");
}
