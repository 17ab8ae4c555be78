//! Which path is answered by what.
//!
//! In: [`ApiState`]. Out: a router in which every request is counted and every answer, errors
//! included, is what a client of Tempo can read.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};

use crate::state::ApiState;
use crate::{about, admin, grpc, search, tags, trace_by_id};

/// The label of requests for paths that do not exist.
const UNKNOWN_ROUTE: &str = "unknown";

/// Everything that port 3200 answers.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/", get(about::index))
        .route("/api/traces/{id}", get(trace_by_id::v1))
        .route("/api/v2/traces/{id}", get(trace_by_id::v2))
        .route("/api/search", get(search::search))
        .route("/api/suyuan/explain", get(search::explain))
        .route("/api/search/tags", get(tags::names_v1))
        .route("/api/v2/search/tags", get(tags::names_v2))
        .route("/api/search/tag/{*tag}", get(tags::values_v1))
        .route("/api/v2/search/tag/{*tag}", get(tags::values_v2))
        .route("/api/admin/flush", post(admin::flush))
        .route("/api/admin/erase", post(admin::erase))
        .route("/api/echo", get(about::echo))
        .route("/api/status/buildinfo", get(about::build_info))
        .route("/ready", get(about::ready))
        .route("/metrics", get(about::metrics))
        .route("/status", get(about::status))
        .route("/status/{page}", get(about::status_page))
        .fallback(about::not_found)
        .method_not_allowed_fallback(about::method_not_allowed)
        .layer(from_fn_with_state(state.clone(), watched))
        .with_state(state)
}

/// Counts the request, and keeps gRPC's away from paths that are not meant for it.
async fn watched(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().to_owned(),
        None => UNKNOWN_ROUTE.to_owned(),
    };
    let (route, response) = if grpc::is_grpc(request.headers()) {
        ("grpc".to_owned(), grpc::unimplemented())
    } else {
        (route, next.run(request).await)
    };
    state.metrics.answered(&route, response.status().as_u16(), start.elapsed());
    response
}
