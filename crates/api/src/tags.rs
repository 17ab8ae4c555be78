//! Names and values of attributes, as editors ask for them while a query is typed (`tempo.md 1.5`,
//! `1.6`).
//!
//! In: a scope or a name, a range of time, a half-typed query. Out: what occurs, in JSON or
//! protobuf. A half-typed query is never an error; what of it is complete narrows the answer.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use suyuan_model::Tenant;
use suyuan_query::search::{Accounting, Budget, QueryError};
use suyuan_query::tags::{
    LegacyTag, TAG_BYTES_MAX, TAG_LIMIT, TagNames, TagNamesRequest, TagScope, TagValues,
    TagValuesRequest, legacy_tag, tag_names, tag_values,
};
use suyuan_store::{Snapshot, Store};
use suyuan_traceql::ast::Attribute;
use suyuan_traceql::lenient::{self, Alternatives};
use suyuan_traceql::{TEXT_BYTES_MAX, parse_attribute};
use suyuan_wire::answer::Encoding;
use suyuan_wire::answer::tags::{MetadataMetrics, names, scoped_names, typed_values, values};

use crate::accounting::accounting_headers;
use crate::answer_body::{self, Whole, encoding_for, with_body};
use crate::compression::Compression;
use crate::error::ApiError;
use crate::metrics::QueryKind;
use crate::parameters::{Parameters, QueryPairs, shortened};
use crate::questions::Answered;
use crate::state::ApiState;
use crate::tenancy::tenants;
use crate::time_range::time_range;

/// There are more names or values than the limits let through.
const CUT_HEADER: HeaderName = HeaderName::from_static("x-suyuan-cut");

/// Which message an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

type QueryResult = Result<QueryPairs, QueryRejection>;
type PathResult = Result<Path<String>, PathRejection>;

pub(crate) async fn names_v1(
    State(state): State<ApiState>,
    query: QueryResult,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    answer_names(state, query, headers, Version::V1).await
}

pub(crate) async fn names_v2(
    State(state): State<ApiState>,
    query: QueryResult,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    answer_names(state, query, headers, Version::V2).await
}

pub(crate) async fn values_v1(
    State(state): State<ApiState>,
    tag: PathResult,
    query: QueryResult,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let name = tag_of(tag)?;
    match legacy_tag(&name) {
        LegacyTag::Fixed(fixed) => {
            tenants(state.options.tenancy, &headers)?;
            Ok(fixed_values(fixed, &headers))
        }
        LegacyTag::Attribute(attribute) => {
            answer_values(state, attribute, query, headers, Version::V1).await
        }
    }
}

pub(crate) async fn values_v2(
    State(state): State<ApiState>,
    tag: PathResult,
    query: QueryResult,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let name = tag_of(tag)?;
    let attribute = parse_attribute(&name)
        .map_err(|error| ApiError::TagName { name: shortened(&name).to_owned(), error })?;
    answer_values(state, attribute, query, headers, Version::V2).await
}

/// Everything between `tag/` and `/values`: names may have slashes in them.
fn tag_of(path: PathResult) -> Result<String, ApiError> {
    let Path(rest) = path.map_err(|rejection| ApiError::Path(rejection.body_text()))?;
    match rest.strip_suffix("/values") {
        Some(tag) if !tag.is_empty() => Ok(tag.to_owned()),
        _ => Err(ApiError::NoTag),
    }
}

fn fixed_values(fixed: &[&str], headers: &HeaderMap) -> Response {
    let encoding = encoding_for(headers);
    let bytes = values(fixed.iter().copied(), &MetadataMetrics::default(), encoding);
    let content_type = match encoding {
        Encoding::Protobuf => "application/protobuf",
        Encoding::Json => "application/json",
    };
    ([(CONTENT_TYPE, content_type)], bytes).into_response()
}

async fn answer_names(
    state: ApiState,
    query: QueryResult,
    headers: HeaderMap,
    version: Version,
) -> Result<Response, ApiError> {
    let parameters = Parameters::new(query)?;
    let request = TagNamesRequest {
        scope: scope(&parameters)?,
        range: time_range(&parameters, state.now_unix_nanos())?,
        filter: filter(&parameters)?,
        limit: parameters.count("limit")?.map_or(TAG_LIMIT, |limit| limit as usize),
        bytes_max: TAG_BYTES_MAX,
    };
    let work = move |store: &Store, tenants: &[Tenant], encoding, budget: &Budget| {
        let answer = |snapshot: &Arc<Snapshot>| tag_names(snapshot, &request, budget);
        let merge = |others: TagNames, found| others.merge(found, &request);
        let found = of_tenants(store, tenants, answer, merge)?;
        let bytes = names_bytes(&found, request.scope, version, encoding);
        Ok(Found { bytes, is_cut: found.is_cut, accounting: found.accounting })
    };
    answer(state, QueryKind::TagNames, headers, work).await
}

async fn answer_values(
    state: ApiState,
    attribute: Attribute,
    query: QueryResult,
    headers: HeaderMap,
    version: Version,
) -> Result<Response, ApiError> {
    let parameters = Parameters::new(query)?;
    let request = TagValuesRequest {
        attribute,
        range: time_range(&parameters, state.now_unix_nanos())?,
        filter: filter(&parameters)?,
        limit: parameters.count("limit")?.map_or(TAG_LIMIT, |limit| limit as usize),
        bytes_max: TAG_BYTES_MAX,
    };
    let work = move |store: &Store, tenants: &[Tenant], encoding, budget: &Budget| {
        let answer = |snapshot: &Arc<Snapshot>| tag_values(snapshot, &request, budget);
        let merge = |others: TagValues, found| others.merge(found, &request);
        let found = of_tenants(store, tenants, answer, merge)?;
        let bytes = values_bytes(&found, version, encoding);
        Ok(Found { bytes, is_cut: found.is_cut, accounting: found.accounting })
    };
    answer(state, QueryKind::TagValues, headers, work).await
}

/// An answer, and what is said of it in headers.
struct Found {
    bytes: Vec<u8>,
    is_cut: bool,
    accounting: Accounting,
}

async fn answer(
    state: ApiState,
    kind: QueryKind,
    headers: HeaderMap,
    work: impl FnOnce(&Store, &[Tenant], Encoding, &Budget) -> Result<Found, QueryError>
    + Send
    + 'static,
) -> Result<Response, ApiError> {
    let started_at = Instant::now();
    let tenants = tenants(state.options.tenancy, &headers)?;
    state.check_complete()?;
    let (encoding, compression) = (encoding_for(&headers), Compression::negotiate(&headers));
    let store = state.store.clone();
    let work = move |budget: &Budget| {
        let found = work(&store, &tenants, encoding, budget)?;
        let body = answer_body::begin(Box::new(Whole::new(found.bytes)), compression)?;
        Ok(Answered { answer: (body, found.is_cut), accounting: found.accounting })
    };
    let Answered { answer: (body, is_cut), accounting } = state.questions.ask(kind, work).await?;
    let mut response = with_body(body, encoding, &state)?;
    let headers = response.headers_mut();
    accounting_headers(headers, &accounting, started_at.elapsed());
    if is_cut {
        headers.insert(CUT_HEADER, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// What several tenants answer, put together.
fn of_tenants<T: Default>(
    store: &Store,
    tenants: &[Tenant],
    answer: impl Fn(&Arc<Snapshot>) -> Result<T, QueryError>,
    merge: impl Fn(T, T) -> T,
) -> Result<T, QueryError> {
    let mut all: Option<T> = None;
    for tenant in tenants {
        let found = answer(&Arc::new(store.snapshot(tenant)))?;
        all = Some(match all {
            Some(others) => merge(others, found),
            None => found,
        });
    }
    Ok(all.unwrap_or_default())
}

/// v1 lists names without their scopes, each once, and intrinsics only for whoever asks for them.
fn names_bytes(
    found: &TagNames,
    scope: Option<TagScope>,
    version: Version,
    encoding: Encoding,
) -> Vec<u8> {
    let metrics = metrics(&found.accounting);
    let has_intrinsics = scope == Some(TagScope::Intrinsic);
    match version {
        Version::V1 => {
            let scopes = found
                .scopes
                .iter()
                .filter(|(scope, _)| has_intrinsics || *scope != TagScope::Intrinsic);
            let mut all: Vec<&str> =
                scopes.flat_map(|(_, names)| names.iter().map(|name| &**name)).collect();
            all.sort_unstable();
            all.dedup();
            names(all.into_iter(), &metrics, encoding)
        }
        Version::V2 => {
            let scopes = found
                .scopes
                .iter()
                .map(|(scope, names)| (scope.name(), names.iter().map(|name| &**name)));
            scoped_names(scopes, &metrics, encoding)
        }
    }
}

fn values_bytes(found: &TagValues, version: Version, encoding: Encoding) -> Vec<u8> {
    let metrics = metrics(&found.accounting);
    let texts: Vec<String> = found.values.iter().map(ToString::to_string).collect();
    match version {
        Version::V1 => {
            let mut all: Vec<&str> = texts.iter().map(String::as_str).collect();
            all.sort_unstable();
            all.dedup();
            values(all.into_iter(), &metrics, encoding)
        }
        Version::V2 => {
            let types = found.values.iter().map(|value| value.type_name());
            typed_values(types.zip(texts.iter().map(String::as_str)), &metrics, encoding)
        }
    }
}

fn metrics(accounting: &Accounting) -> MetadataMetrics {
    let units = u32::try_from(accounting.units_total).unwrap_or(u32::MAX);
    MetadataMetrics {
        inspected_bytes: accounting.bytes_read,
        total_jobs: units,
        completed_jobs: units,
    }
}

/// `None`: all.
fn scope(parameters: &Parameters) -> Result<Option<TagScope>, ApiError> {
    match parameters.text("scope") {
        None | Some("none") => Ok(None),
        Some(text) => match TagScope::parse(text) {
            Some(scope) => Ok(Some(scope)),
            None => Err(ApiError::Scope { scope: shortened(text).to_owned() }),
        },
    }
}

/// What is complete of `q`.
fn filter(parameters: &Parameters) -> Result<Alternatives, ApiError> {
    let text = parameters.text("q").unwrap_or_default();
    if text.len() > TEXT_BYTES_MAX {
        return Err(ApiError::QueryTooLong { n_bytes: text.len() });
    }
    Ok(lenient::parse(text)?)
}
