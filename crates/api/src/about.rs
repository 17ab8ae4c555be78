//! Pages about the server itself (`tempo.md 1.9`): plain text, and one JSON that Grafana reads.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode, Uri};
use prometheus_client::encoding::text::encode;
use serde_json::json;

use crate::error::{ApiError, plain_text};
use crate::state::ApiState;
use crate::tenancy::Tenancy;

/// The Tempo whose API this is. Grafana switches features on by it.
const TEMPO_VERSION: &str = "2.10.0";

/// What can be asked, for people; `router` serves these and no others.
const ENDPOINTS: &str = "\
GET /api/v2/traces/{id}     a trace: JSON, or protobuf with `Accept: application/protobuf`
GET /api/traces/{id}        the same in the older shape
GET /api/search             traces that have a span like ?q=, in TraceQL; the newest first
GET /api/v2/search/tags     names that attributes have; /api/search/tags without their scopes
GET /api/v2/search/tag/{tag}/values   values that an attribute has; /api/search/tag/{tag}/values
GET /api/suyuan/explain     what a search reads, and why; with the parameters of a search
GET /api/echo               answers `echo`
GET /api/status/buildinfo   versions, as JSON
GET /ready                  200 when questions are answered, 503 before
GET /metrics                counters, for Prometheus
POST /api/admin/flush       makes a block of live data; with ?compact=true merges blocks too
POST /api/admin/erase       ?trace=ID or ?tenant=all: takes it out of every answer
GET /status                 everything below on one page
GET /status/version
GET /status/services
GET /status/endpoints
GET /status/config
";

pub(crate) async fn index(State(state): State<ApiState>) -> Response {
    let version = &state.build.version;
    let text = format!(
        "Suyuan {version}: distributed tracing.\n\nAsk:\n\n{ENDPOINTS}\n\
         In Grafana add a Tempo data source with this address.\n"
    );
    plain_text(StatusCode::OK, text)
}

pub(crate) async fn echo() -> Response {
    plain_text(StatusCode::OK, "echo\n")
}

pub(crate) async fn build_info(State(state): State<ApiState>) -> Response {
    let build = &state.build;
    Json(json!({
        "version": TEMPO_VERSION,
        "revision": build.revision,
        "branch": format!("suyuan-{}", build.version),
        "buildDate": build.build_date,
        "buildUser": "suyuan",
        "goVersion": "",
    }))
    .into_response()
}

pub(crate) async fn ready(State(state): State<ApiState>) -> Response {
    match state.unready_because() {
        None => plain_text(StatusCode::OK, "ready\n"),
        Some(reason) => plain_text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// In OpenMetrics. A client that does not ask for it by name, such as a browser, hears that it is
/// plain text, and shows it instead of saving it.
pub(crate) async fn metrics(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut text = String::new();
    if let Err(error) = encode(&mut text, &state.registry) {
        tracing::error!(%error, "metrics cannot be written");
        return Err(ApiError::Internal);
    }
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = if accept.contains("application/openmetrics-text") {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    Ok(([(CONTENT_TYPE, content_type)], text).into_response())
}

pub(crate) async fn status(State(state): State<ApiState>) -> Response {
    let pages = ["version", "services", "endpoints", "config"];
    let sections = pages
        .map(|page| format!("## {page}\n\n{}\n", status_text(page, &state).unwrap_or_default()));
    plain_text(StatusCode::OK, sections.concat())
}

pub(crate) async fn status_page(
    State(state): State<ApiState>,
    Path(page): Path<String>,
) -> Response {
    match status_text(&page, &state) {
        Some(text) => plain_text(StatusCode::OK, text),
        None => plain_text(
            StatusCode::NOT_FOUND,
            "no such page: try /status/version, /status/services, /status/endpoints or \
             /status/config\n",
        ),
    }
}

fn status_text(page: &str, state: &ApiState) -> Option<String> {
    Some(match page {
        "version" => {
            let build = &state.build;
            let version = &build.version;
            let revision = if build.revision.is_empty() { "unknown" } else { &build.revision };
            format!("suyuan {version} (revision {revision}), API of Tempo {TEMPO_VERSION}\n")
        }
        "services" => {
            let answers = state.unready_because().unwrap_or_else(|| "running".to_owned());
            let tenancy = match state.options.tenancy {
                Tenancy::Off => "off",
                Tenancy::On => "by X-Scope-OrgID",
            };
            let totals = state.store.totals();
            format!(
                "api: {answers}\nlive spans: {}\nblocks: {}, {} spans, {} bytes\ntenants: {tenancy}\n",
                state.store.n_rows(),
                totals.blocks,
                totals.rows,
                totals.bytes
            )
        }
        "endpoints" => ENDPOINTS.to_owned(),
        "config" => state.configuration.to_string(),
        _ => return None,
    })
}

pub(crate) async fn not_found(uri: Uri) -> Response {
    // Grafana shows this text to whoever searched.
    if uri.path().starts_with("/api/metrics") {
        return plain_text(
            StatusCode::NOT_FOUND,
            "trace metrics are not served yet: traces are searched at /api/search\n",
        );
    }
    plain_text(
        StatusCode::NOT_FOUND,
        "nothing is served at this path: / lists what is. Traces are received on other ports, \
         OTLP over gRPC on 4317 and over HTTP on 4318\n",
    )
}

pub(crate) async fn method_not_allowed() -> Response {
    plain_text(
        StatusCode::METHOD_NOT_ALLOWED,
        "not with this method: / says which path takes what\n",
    )
}
