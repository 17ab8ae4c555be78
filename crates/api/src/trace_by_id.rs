//! `GET /api/traces/{id}` and `GET /api/v2/traces/{id}` (`tempo.md 1.1`, `1.2`).
//!
//! In: an id of up to 32 hexadecimal digits. Out: the whole trace, in protobuf if `Accept` asks
//! for it and in JSON otherwise. A trace that nobody knows is 404 with an empty body in v1, and an
//! empty trace in v2. With `q` v2 shows the spans that fulfil a filter, and those around them if
//! wanted. Everything is searched always: `start`, `end` and `mode` are checked and then change
//! nothing. What was read is said in headers, because bodies are read strictly.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::VARY;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use suyuan_ids::{IdError, TraceId};
use suyuan_model::Tenant;
use suyuan_query::Lookup;
use suyuan_query::search::{KeepHierarchy, filter_trace};
use suyuan_store::Store;
use suyuan_traceql::ast::FieldExpr;
use suyuan_wire::answer::{Encoding, Shape, pieces};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::accounting::{INCOMPLETE_HEADER, header_text, missing};
use crate::answer_body::{self, Begun, encoding_for, with_body};
use crate::compression::Compression;
use crate::error::ApiError;
use crate::parameters::{Parameters, QueryPairs};
use crate::search::question;
use crate::state::ApiState;
use crate::tenancy::tenants;
use crate::time_range::bounds;

/// How many spans the answer has.
const SPANS_HEADER: HeaderName = HeaderName::from_static("x-suyuan-spans");
/// How many tables they lay in.
const SOURCES_HEADER: HeaderName = HeaderName::from_static("x-suyuan-sources");
/// How many rows were left out because they repeat others.
const DUPLICATES_HEADER: HeaderName = HeaderName::from_static("x-suyuan-duplicates");
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
    narrowing: Option<Narrowing>,
    encoding: Encoding,
    compression: Compression,
}

/// Which spans of the trace are wanted.
struct Narrowing {
    filter: FieldExpr,
    keep: KeepHierarchy,
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
        let narrowing = narrowing(shape, &Parameters::new(query)?)?;
        state.check_complete()?;
        let encoding = encoding_for(headers);
        let compression = Compression::negotiate(headers);
        Ok(Self { shape, id, tenants, narrowing, encoding, compression })
    }
}

/// `q`, `keep_hierarchy`, `match_depth`, `ancestor_depth`, and whether the others are what they
/// should be, though they change nothing.
fn narrowing(shape: Shape, parameters: &Parameters) -> Result<Option<Narrowing>, ApiError> {
    bounds(parameters)?;
    let mode = parameters.text("mode").unwrap_or("all");
    if !["all", "ingesters", "blocks", "external"].contains(&mode) {
        return Err(ApiError::Mode);
    }
    if shape != Shape::TraceById {
        return Ok(None);
    }
    let keep_hierarchy = parameters.switch("keep_hierarchy")?;
    let match_depth = parameters.depth("match_depth")?.unwrap_or(0);
    let ancestor_depth = match parameters.depth("ancestor_depth")? {
        _ if !keep_hierarchy => 0,
        depth => depth.unwrap_or(-1),
    };
    let Some(text) = parameters.text("q") else { return Ok(None) };
    // -1 is no number of levels: all of them.
    let keep = KeepHierarchy {
        match_depth: u32::try_from(match_depth).ok(),
        ancestor_depth: u32::try_from(ancestor_depth).ok(),
    };
    Ok(Some(Narrowing { filter: question::one_filter(text)?, keep }))
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
        let missing = missing(&lookup.skipped);
        if lookup.rows.n_spans() == 0
            && let Some(missing) = missing
        {
            return Err(ApiError::Incomplete(missing));
        }
        let (n_sources, n_duplicates) = (lookup.n_sources, lookup.n_duplicates);
        let (rows, left_out) = match &question.narrowing {
            Some(narrowing) => {
                let kept = filter_trace(&lookup.rows, &narrowing.filter, narrowing.keep)?;
                let n_left_out = lookup.rows.n_spans() - kept.n_spans();
                (kept, (n_left_out > 0).then(|| left_out_by_filter(n_left_out)))
            }
            None => (lookup.rows, None),
        };
        let n_spans = rows.n_spans();
        let mut pieces = pieces(rows, question.shape, question.encoding);
        let reasons: Vec<String> = missing.iter().cloned().chain(left_out).collect();
        if !reasons.is_empty() {
            pieces = pieces.without(reasons.join("; "));
        }
        let body = answer_body::begin(Box::new(pieces), question.compression)?;
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

fn left_out_by_filter(n_spans: usize) -> String {
    match n_spans {
        1 => "1 span of the trace is not shown: it does not fulfil `q`".to_owned(),
        _ => format!("{n_spans} spans of the trace are not shown: they do not fulfil `q`"),
    }
}
