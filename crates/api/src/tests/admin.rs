//! Flush and erase over HTTP, what operators read; answers over blocks that are damaged.

use suyuan_objects::Objects as _;
use suyuan_store::LogControl;
use suyuan_wal::Position;

use super::*;

/// A log that ends where it is asked to.
struct Control {
    store: Store,
    cuts: std::sync::atomic::AtomicU64,
}

impl LogControl for Control {
    fn request_cut(&self) {
        let cut = 1 + self.cuts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.store.cut(Some(Position { segment: 1, offset: cut * 100 }));
    }

    fn truncate(&self, _: Position) {}

    fn appended_bytes(&self) -> u64 {
        0
    }
}

impl Server {
    /// With the thread that makes blocks.
    fn sealing(options: Options) -> Self {
        let server = Self::with(options);
        server.start_sealing();
        server
    }

    pub(super) fn start_sealing(&self) {
        let control = Control { store: self.store.clone(), cuts: 0.into() };
        self.store.start(Arc::new(control)).expect("a thread");
    }

    pub(super) async fn post(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    /// Every block's filter becomes something else.
    fn damage_blocks(&self) -> usize {
        let found = self.objects.list("blocks").expect("a store in memory");
        let filters = found.iter().filter(|object| object.path.ends_with("/ids.filter"));
        for filter in filters.clone() {
            self.objects.put(&filter.path, "rot".into()).expect("a store in memory");
        }
        filters.count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.store.stop();
    }
}

/// Without the times and sizes, which differ from run to run.
fn steady(answer: &Answer) -> String {
    let mut value: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    for part in value.as_object_mut().expect("an object").values_mut() {
        let part = part.as_object_mut().expect("an object");
        for (name, figure) in part {
            let is_zero = figure.as_f64() == Some(0.0);
            if !is_zero && (name == "seconds" || name.starts_with("bytes")) {
                *figure = "some".into();
            }
        }
    }
    value.to_string()
}

#[tokio::test]
async fn a_flush_makes_blocks_and_a_compaction_makes_them_fewer() {
    let server = Server::sealing(Options::default());
    for (number, name) in (1..).zip(["root", "child", "late"]) {
        server.publish_spans(&Tenant::single(), 0, number, &[name]);
        let flushed = server.post("/api/admin/flush", &[]).await;
        assert_eq!(flushed.status, StatusCode::OK, "{}", flushed.text());
    }
    server.publish_spans(&Tenant::single(), 0, 4, &["last"]);
    let answer = server.post("/api/admin/flush?compact=true", &[]).await;
    expect![[r#"{"compacted":{"blocksAdded":1,"blocksRemoved":4,"bytesRead":"some","bytesWritten":"some","compactions":1,"duplicatesRemoved":0,"erasedOrExpired":0,"seconds":"some","spansRead":4,"spansWritten":4,"splitTracesMerged":1},"flushed":{"blocks":1,"bytes":"some","duplicatesRemoved":0,"seconds":"some","spans":1},"total":{"blocks":1,"bytes":"some","spans":4}}"#]].assert_eq(&steady(&answer));
    let trace = server.get(&format!("/api/v2/traces/{ID}")).await;
    assert_eq!((trace.header("x-suyuan-spans"), trace.header("x-suyuan-sources")), ("4", "1"));
    expect![[r#"
        api: running
        live spans: 0
        blocks: 1, 4 spans, 5427 bytes
        tenants: off
    "#]]
    .assert_eq(server.get("/status/services").await.text());
}

#[tokio::test]
async fn a_misspelt_wish_is_refused() {
    let server = Server::sealing(Options::default());
    for path in [
        "/api/admin/flush?compacted=true",
        "/api/admin/flush?compact=yes",
        "/api/admin/erase",
        "/api/admin/erase?tenant=mall",
        "/api/admin/erase?trace=",
        "/api/admin/erase?trace=0",
        "/api/admin/erase?trace=1&tenant=all",
    ] {
        let answer = server.post(path, &[]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(answer.text().lines().count(), 1, "{path}");
    }
    let answer = server.get("/api/admin/flush").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn an_erased_trace_is_gone_and_what_comes_later_stays() {
    let server = Server::sealing(Options::default());
    server.publish(&Tenant::single(), 0, &["sealed"]);
    server.post("/api/admin/flush", &[]).await;
    server.publish_spans(&Tenant::single(), 0, 2, &["live"]);
    let answer = server.post(&format!("/api/admin/erase?trace={ID}"), &[]).await;
    expect![[r#"{"erased":{"blockSpans":1,"blocks":1,"liveSpans":1,"tenant":"single-tenant","trace":"000000000000000000000000000000ab"}}"#]].assert_eq(answer.text());
    let trace = server.get(&format!("/api/traces/{ID}")).await;
    assert_eq!(trace.status, StatusCode::NOT_FOUND);
    // The erasure has cut live data, which becomes a block by itself: sooner or later, so wait.
    server.post("/api/admin/flush", &[]).await;
    server.publish_spans(&Tenant::single(), 0, 3, &["later"]);
    let trace = server.get(&format!("/api/traces/{ID}")).await;
    assert_eq!(trace.header("x-suyuan-spans"), "1");
    let answer = server.post("/api/admin/flush?compact=true", &[]).await;
    expect![[r#"{"compacted":{"blocksAdded":0,"blocksRemoved":2,"bytesRead":"some","bytesWritten":0,"compactions":2,"duplicatesRemoved":0,"erasedOrExpired":2,"seconds":"some","spansRead":2,"spansWritten":0,"splitTracesMerged":0},"flushed":{"blocks":1,"bytes":"some","duplicatesRemoved":0,"seconds":"some","spans":1},"total":{"blocks":1,"bytes":"some","spans":1}}"#]].assert_eq(&steady(&answer));
}

#[tokio::test]
async fn a_tenant_is_erased_by_its_own_name_alone() {
    let options = Options { tenancy: Tenancy::On, ..Options::default() };
    let server = Server::sealing(options);
    let [a, b] = ["a", "b"].map(|name| Tenant::parse(name).expect("a tenant"));
    server.publish(&a, 0, &["of a"]);
    server.publish(&b, 0, &["of b"]);
    let path = "/api/admin/erase?tenant=all";
    assert_eq!(server.post(path, &[]).await.status, StatusCode::UNAUTHORIZED);
    let two = server.post(path, &[("x-scope-orgid", "a|b")]).await;
    assert_eq!(two.drawn(), "400 text/plain; charset=utf-8\none org id at a time can be erased\n");
    let one = server.post(path, &[("x-scope-orgid", "a")]).await;
    assert_eq!(one.status, StatusCode::OK, "{}", one.text());
    for (tenant, n_spans) in [("a", ""), ("b", "1")] {
        let path = format!("/api/v2/traces/{ID}");
        let trace = server.get_with(&path, &[("x-scope-orgid", tenant)]).await;
        let expected = if n_spans.is_empty() { "0" } else { n_spans };
        assert_eq!(trace.header("x-suyuan-spans"), expected, "{tenant}");
    }
}

#[tokio::test]
async fn a_damaged_block_is_said_in_the_answer() {
    let server = Server::sealing(Options::default());
    server.publish(&Tenant::single(), 0, &["sealed"]);
    server.post("/api/admin/flush", &[]).await;
    assert_eq!(server.damage_blocks(), 1);

    let path = format!("/api/v2/traces/{ID}");
    let nothing = server.get(&path).await;
    assert_eq!(nothing.status, StatusCode::INTERNAL_SERVER_ERROR);
    let reason = "nothing of the trace was found, and a part of the store cannot be read: block ";
    assert!(nothing.text().starts_with(reason), "{}", nothing.text());
    let v1 = server.get(&format!("/api/traces/{ID}")).await;
    assert_eq!(v1.status, StatusCode::INTERNAL_SERVER_ERROR, "and not 404");

    server.publish_spans(&Tenant::single(), 0, 2, &["live"]);
    let part = server.get(&path).await;
    assert_eq!((part.status, part.header("x-suyuan-spans")), (StatusCode::OK, "1"));
    let missing = part.header("x-suyuan-incomplete").to_owned();
    assert!(missing.starts_with("block ") && missing.contains("id filter"), "{missing}");
    let value: serde_json::Value = serde_json::from_slice(&part.body).expect("JSON");
    assert_eq!((&value["status"], &value["message"]), (&"PARTIAL".into(), &missing.into()));
}

#[tokio::test]
async fn a_server_whose_log_was_taken_over_is_not_ready() {
    let server = Server::sealing(Options::default());
    let folder = tempfile::tempdir().expect("a directory");
    let options = suyuan_store::Options::new(folder.path().to_owned(), server.objects.clone(), LOG);
    let other = Store::open(options).expect("the same store");
    server.publish(&Tenant::single(), 0, &["root"]);
    let answer = server.post("/api/admin/flush", &[]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text().starts_with("another server has taken over the log"));
    let ready = server.get("/ready").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    let reason = "not ready: another server has taken over the log, so this one must be stopped: ";
    assert!(ready.text().starts_with(reason), "{}", ready.text());
    other.stop();
}
