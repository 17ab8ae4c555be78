//! `GET /api/traces/{id}` and `GET /api/v2/traces/{id}` (`tempo.md 1.1`, `1.2`).
//!
//! In: an id of up to 32 hexadecimal digits. Out: the whole trace, in protobuf if `Accept` asks
//! for it and in JSON otherwise. A trace that nobody knows is 404 with an empty body in v1, and an
//! empty trace in v2. Everything is searched always: `start`, `end` and `mode` are checked and
//! then change nothing. What was read is said in headers, because bodies are read strictly.

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use suyuan_ids::{IdError, TraceId};
use suyuan_model::Tenant;
use suyuan_query::Lookup;
use suyuan_store::{Skipped, Store};
use suyuan_wire::answer::{Encoding, Shape, pieces};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::answer_body::{self, Begun, StreamedBody};
use crate::compression::Compression;
use crate::error::ApiError;
use crate::state::ApiState;
use crate::tenancy::tenants;

/// How many spans the answer has.
const SPANS_HEADER: HeaderName = HeaderName::from_static("x-suyuan-spans");
/// How many tables they lay in.
const SOURCES_HEADER: HeaderName = HeaderName::from_static("x-suyuan-sources");
/// How many rows were left out because they repeat others.
const DUPLICATES_HEADER: HeaderName = HeaderName::from_static("x-suyuan-duplicates");
/// Which blocks could not be read, and why; not there if all could.
const INCOMPLETE_HEADER: HeaderName = HeaderName::from_static("x-suyuan-incomplete");
/// Blocks that are named one by one.
const SKIPPED_NAMED_MAX: usize = 8;
const INCOMPLETE_BYTES_MAX: usize = 1_024;

type QueryPairs = Query<Vec<(String, String)>>;

pub(crate) async fn v1(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    query: Result<QueryPairs, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let question = Question::parse(Shape::Trace, id, query, &headers, &state)?;
    answer(state, question).await
}

pub(crate) async fn v2(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    query: Result<QueryPairs, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let question = Question::parse(Shape::TraceById, id, query, &headers, &state)?;
    answer(state, question).await
}

/// What was asked, checked.
struct Question {
    shape: Shape,
    /// `None`: all zero, which is no trace's id.
    id: Option<TraceId>,
    tenants: Vec<Tenant>,
    encoding: Encoding,
    compression: Compression,
}

impl Question {
    fn parse(
        shape: Shape,
        id: Result<Path<String>, PathRejection>,
        query: Result<QueryPairs, QueryRejection>,
        headers: &HeaderMap,
        state: &ApiState,
    ) -> Result<Self, ApiError> {
        let tenants = tenants(state.options.tenancy, headers)?;
        let Path(id) = id.map_err(|rejection| ApiError::Path(rejection.body_text()))?;
        let id = match TraceId::parse(&id) {
            Ok(id) => Some(id),
            Err(IdError::Zero) => None,
            Err(error) => return Err(error.into()),
        };
        let Query(pairs) =
            query.map_err(|rejection| ApiError::QueryString(rejection.body_text()))?;
        check_parameters(shape, &pairs)?;
        if let Some(reason) = state.readiness.incomplete_because() {
            return Err(ApiError::NotReady(reason.to_string()));
        }
        let encoding = encoding_for(headers);
        let compression = Compression::negotiate(headers);
        Ok(Self { shape, id, tenants, encoding, compression })
    }
}

/// By substring, in Tempo's order; whatever else is asked for is answered in JSON.
fn encoding_for(headers: &HeaderMap) -> Encoding {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accept = values.collect::<Vec<_>>().join(",");
    if accept.contains("application/protobuf") { Encoding::Protobuf } else { Encoding::Json }
}

fn check_parameters(shape: Shape, pairs: &[(String, String)]) -> Result<(), ApiError> {
    let value = |name: &str| {
        let found = pairs.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.trim())
    };
    let start = time("start", value("start"))?;
    let end = time("end", value("end"))?;
    if let (Some(start), Some(end)) = (start, end)
        && end <= start
    {
        return Err(ApiError::EndBeforeStart);
    }
    if !["", "all", "ingesters", "blocks", "external"].contains(&value("mode")) {
        return Err(ApiError::Mode);
    }
    if shape == Shape::TraceById && !value("q").is_empty() {
        return Err(ApiError::FilterUnsupported);
    }
    Ok(())
}

/// Seconds since 1970; `None` where none was given, which empty and zero mean too. Numbers of more
/// than ten digits are nanoseconds (`tempo.md 1.0`).
fn time(name: &'static str, text: &str) -> Result<Option<f64>, ApiError> {
    const SECONDS_DIGITS_MAX: usize = 10;
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let n_digits = text.find('.').unwrap_or(text.len());
    if text.is_empty() {
        return Ok(None);
    }
    let (true, Ok(number)) = (is_number, text.parse::<f64>()) else {
        return Err(ApiError::NotATime { name });
    };
    let seconds = if n_digits > SECONDS_DIGITS_MAX { number / 1e9 } else { number };
    Ok((seconds > 0.0).then_some(seconds))
}

async fn answer(state: ApiState, question: Question) -> Result<Response, ApiError> {
    let limit = state.options.request_timeout;
    match timeout(limit, found(state, question)).await {
        Ok(answered) => answered,
        Err(_) => Err(ApiError::TimedOut { seconds: limit.as_secs_f64() }),
    }
}

async fn found(state: ApiState, question: Question) -> Result<Response, ApiError> {
    let permit = state.lookups.clone().acquire_owned().await.map_err(|_| ApiError::Internal)?;
    let (shape, encoding) = (question.shape, question.encoding);
    let store = state.store.clone();
    let work = spawn_blocking(move || {
        let _permit = permit;
        Answer::look_up(&store, question)
    });
    let answer = work.await.unwrap_or_else(|panic| {
        tracing::error!(%panic, "a lookup panicked");
        Err(ApiError::Internal)
    })?;
    answer.into_response(shape, encoding, &state)
}

/// A lookup whose answer has begun.
struct Answer {
    n_spans: usize,
    n_sources: usize,
    n_duplicates: usize,
    /// What is missing, if anything is.
    missing: Option<String>,
    body: Begun,
}

impl Answer {
    /// Reads and encodes: for a thread that may work and wait.
    fn look_up(store: &Store, question: Question) -> Result<Self, ApiError> {
        let lookup = match question.id {
            Some(id) => suyuan_query::trace_by_id(store, &question.tenants, id)?,
            None => Lookup::default(),
        };
        let n_spans = lookup.rows.n_spans();
        let missing = missing(&lookup.skipped);
        if n_spans == 0
            && let Some(missing) = missing
        {
            return Err(ApiError::Incomplete(missing));
        }
        let mut pieces = pieces(lookup.rows, question.shape, question.encoding);
        if let Some(missing) = &missing {
            pieces = pieces.without(missing.clone());
        }
        let body = answer_body::begin(pieces, question.compression).map_err(|error| {
            tracing::error!(%error, "an answer cannot be compressed");
            ApiError::Internal
        })?;
        let (n_sources, n_duplicates) = (lookup.n_sources, lookup.n_duplicates);
        Ok(Self { n_spans, n_sources, n_duplicates, missing, body })
    }

    fn into_response(
        self,
        shape: Shape,
        encoding: Encoding,
        state: &ApiState,
    ) -> Result<Response, ApiError> {
        let mut response = if self.n_spans == 0 && shape == Shape::Trace {
            StatusCode::NOT_FOUND.into_response()
        } else {
            with_body(self.body, encoding, state)?
        };
        let headers = response.headers_mut();
        headers.insert(SPANS_HEADER, self.n_spans.into());
        headers.insert(SOURCES_HEADER, self.n_sources.into());
        headers.insert(DUPLICATES_HEADER, self.n_duplicates.into());
        if let Some(missing) = &self.missing {
            headers.insert(INCOMPLETE_HEADER, header_text(missing));
        }
        headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
        Ok(response)
    }
}

/// The blocks that were left out, for people.
fn missing(skipped: &[Skipped]) -> Option<String> {
    if skipped.is_empty() {
        return None;
    }
    let named = skipped.iter().take(SKIPPED_NAMED_MAX);
    let mut named: Vec<String> =
        named.map(|skipped| format!("block {}: {}", skipped.block, skipped.reason)).collect();
    if skipped.len() > SKIPPED_NAMED_MAX {
        named.push(format!("and {} more", skipped.len() - SKIPPED_NAMED_MAX));
    }
    Some(named.join("; "))
}

/// As much of a text as a header can say.
fn header_text(text: &str) -> HeaderValue {
    let bytes: Vec<u8> = (text.bytes().take(INCOMPLETE_BYTES_MAX))
        .map(|byte| if matches!(byte, b' '..=b'~') { byte } else { b'?' })
        .collect();
    HeaderValue::from_bytes(&bytes).expect("printable ASCII can stand in a header")
}

fn with_body(begun: Begun, encoding: Encoding, state: &ApiState) -> Result<Response, ApiError> {
    let (body, compression) = match begun {
        Begun::Whole { bytes, compression } => (Body::from(bytes), compression),
        Begun::Partly { first, rest, compression } => {
            let streams = state.streams.clone();
            let permit = streams.try_acquire_owned().map_err(|_| ApiError::TooManyStreams)?;
            let stall_timeout = state.options.request_timeout;
            (Body::new(StreamedBody::spawn(first, rest, stall_timeout, permit)), compression)
        }
    };
    let content_type = match encoding {
        Encoding::Protobuf => "application/protobuf",
        Encoding::Json => "application/json",
    };
    let mut response = ([(CONTENT_TYPE, content_type)], body).into_response();
    if let Some(content_encoding) = compression.content_encoding() {
        response.headers_mut().insert(CONTENT_ENCODING, content_encoding);
    }
    Ok(response)
}
