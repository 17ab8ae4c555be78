//! What a user reads when a server does not give a trace, each case once.

use expect_test::{Expect, expect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server for one request: answers these bytes, closes, and gives back what it was asked.
async fn server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (address, asked)
}

async fn fetch(server: &str) -> Result<Bytes, FetchError> {
    trace_json(server, TraceId::parse("1f").unwrap(), Some("shop")).await
}

/// The error, with the server's address left out.
async fn check(answer: &'static str, expected: Expect) {
    let (address, _) = server(answer).await;
    let error = fetch(&address).await.unwrap_err().to_string();
    expected.assert_eq(&error.replace(&address, "SERVER"));
}

#[tokio::test]
async fn the_body_of_a_good_answer_is_returned_whole() {
    let (address, asked) = server(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"t\r\n2\r\n\"}\r\n0\r\n\r\n",
    )
    .await;
    assert_eq!(fetch(&format!("{address}/tempo/")).await.unwrap(), "{\"t\"}");
    let asked = asked.await.unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("get /tempo/api/v2/traces/0000000000000000000000000000001f "));
    assert!(asked.contains("\r\naccept: application/json\r\n"), "{asked}");
    assert!(asked.contains("\r\nx-scope-orgid: shop\r\n"), "{asked}");
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason() {
    check(
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 10\r\n\r\nno org id\n",
        expect!["SERVER answered 401 Unauthorized: no org id"],
    )
    .await;
    check(
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 9\r\n\r\n\u{1b}[2Jboom\n",
        expect!["SERVER answered 500 Internal Server Error: ·[2Jboom"],
    )
    .await;
}

#[tokio::test]
async fn a_refusal_of_several_lines_keeps_them() {
    check(
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 20\r\n\r\nwrong\n{ \u{1b}a }\n  ^\n\n\n",
        expect!["the answer of SERVER broke off: end of file before message length reached"],
    )
    .await;
}

#[tokio::test]
async fn what_is_asked_is_escaped() {
    let (address, asked) =
        server("HTTP/1.1 200 OK\r\nx-suyuan-exact: true\r\ncontent-length: 2\r\n\r\n{}").await;
    let parameters = [("q", "{ .a = \"é&b\" }".to_owned()), ("limit", "5".to_owned())];
    let answer = get(&address, "/api/search", &parameters, None).await.unwrap();
    assert_eq!(
        (&answer.body[..], &answer.headers["x-suyuan-exact"]),
        (&b"{}"[..], &http::HeaderValue::from_static("true"))
    );
    let asked = asked.await.unwrap();
    let line = "GET /api/search?q=%7B%20.a%20%3D%20%22%C3%A9%26b%22%20%7D&limit=5 HTTP/1.1";
    assert!(asked.starts_with(line), "{asked}");
}

#[tokio::test]
async fn who_names_no_tenant_hears_how_to_name_one() {
    let (address, _) =
        server("HTTP/1.1 401 Unauthorized\r\ncontent-length: 10\r\n\r\nno org id\n").await;
    let asked = trace_json(&address, TraceId::parse("1f").unwrap(), None).await;
    expect!["SERVER keeps tenants apart (no org id): name yours with --tenant"]
        .assert_eq(&asked.unwrap_err().to_string().replace(&address, "SERVER"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_trace() {
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}",
        expect!["the answer of SERVER broke off: end of file before message length reached"],
    )
    .await;
    check("SSH-2.0-OpenSSH_9.6\r\n", expect!["what listens at SERVER does not answer as a server of traces does: invalid HTTP version parsed"]).await;
}

#[tokio::test]
async fn where_nothing_listens_the_fix_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = fetch(&address).await.unwrap_err().to_string();
    expect!["nothing answers at SERVER (Connection refused (os error 111)): start a server with `suyuan serve`, or name another one with --server"].assert_eq(&error.replace(&address, "SERVER"));
}

#[tokio::test]
async fn what_is_no_address_is_refused_with_an_example() {
    for server in ["", "http://", "ftp://host", "http://a b"] {
        let error = fetch(server).await.unwrap_err().to_string();
        assert!(error.ends_with("write it like http://127.0.0.1:3200"), "{server}: {error}");
    }
}
