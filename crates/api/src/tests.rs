//! The router in process, over a store filled by hand: what clients see, to the letter.

use std::sync::Arc;

use axum::body::Body;
use expect_test::{Expect, expect};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use suyuan_model::{AttributeOwner, Publication, SpanHead, TableBuilder, Tenant, UnixNanosRange};
use suyuan_objects::faulty::MemoryObjects;
use suyuan_store::{CompactionStart, RetentionPolicy, Store};
use suyuan_wal::Uuid;
use tower::ServiceExt;

use super::*;

mod admin;
mod connections;
mod grafana;
mod large;
mod lookup;
mod pages;
mod search;
mod shop;
mod tags;

const LOG: Uuid = Uuid([1; 16]);
const ID: &str = "000000000000000000000000000000ab";

/// A server without a network.
struct Server {
    router: axum::Router,
    state: ApiState,
    store: Store,
    objects: Arc<MemoryObjects>,
    readiness: Readiness,
    _directory: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Server {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let objects = Arc::new(MemoryObjects::new());
        let live_directory = directory.path().join("live");
        let mut store_options = suyuan_store::Options::new(live_directory, objects.clone(), LOG);
        // Everything here was received in 1970.
        store_options.keep.retention = RetentionPolicy::keep_all();
        store_options.keep.compaction.start = CompactionStart::OnRequest;
        let store = Store::open(store_options).expect("an empty store");
        let readiness = Readiness::not_yet("replaying the log");
        readiness.set_ready();
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let build = BuildInfo { version: "0.1.0".to_owned(), ..BuildInfo::default() };
        let state = ApiState::new(
            store.clone(),
            Arc::new(registry),
            metrics,
            readiness.clone(),
            build,
            "[server]\n",
            options,
        )
        .expect("threads");
        let router = router(state.clone());
        Self { router, state, store, objects, readiness, _directory: directory }
    }

    /// Makes one span visible for each name; the first is the parent of the others.
    fn publish(&self, tenant: &Tenant, chunk_number: u32, names: &[&str]) {
        self.publish_spans(tenant, chunk_number, first_span_id(tenant, chunk_number), names);
    }

    /// As above, in spans whose ids begin with `first_id`.
    fn publish_spans(&self, tenant: &Tenant, chunk_number: u32, first_id: u64, names: &[&str]) {
        let mut table = TableBuilder::default();
        table.push_string(AttributeOwner::Resource, b"service.name", b"mall");
        table.finish_resource(b"mall", b"", 0, b"");
        table.finish_scope(b"", b"", b"", b"", 0);
        for (n, name) in names.iter().enumerate() {
            let span_id = first_id + n as u64;
            table.finish_span(&SpanHead {
                trace_id: 0xabu128.to_be_bytes(),
                span_id,
                parent_span_id: (n > 0).then_some(first_id),
                start_unix_nanos: 1_000 + n as i64,
                end_unix_nanos: 2_000,
                name: name.as_bytes(),
                ..SpanHead::default()
            });
        }
        self.store.publish(Publication {
            tenant: tenant.clone(),
            chunk_number,
            chunk: Arc::new(table.freeze()),
            visible_rows: names.len() as u32,
            received_unix_nanos: UnixNanosRange::of(0),
            is_final: false,
        });
    }

    async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("it never fails");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes().to_vec();
        Answer { status: head.status, headers: head.headers, body }
    }
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// Status, type and text, for comparing.
    fn drawn(&self) -> String {
        format!("{} {}\n{}", self.status.as_u16(), self.header("content-type"), self.text())
    }
}

/// Spans of different tenants and chunks have different ids.
fn first_span_id(tenant: &Tenant, chunk_number: u32) -> u64 {
    let letter = tenant.to_string().bytes().next().expect("a name");
    u64::from(letter) << 32 | u64::from(chunk_number) << 20 | 1
}
