//! Why a question has no answer, and how that is said: a status code and plain text, a line or,
//! for a query, its place below.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};
use suyuan_ids::IdError;
use suyuan_model::TenantError;
use suyuan_query::search::QueryError;
use suyuan_store::{CompactError, EraseError, FindError, FlushError};
use suyuan_traceql::lenient::LenientError;
use suyuan_traceql::{NotExecuted, TEXT_BYTES_MAX};

use crate::legacy_tags::TagsError;

/// How long a client should wait for a server that is replaying its log, or busy.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("trace id: {0}")]
    TraceId(#[from] IdError),
    #[error("path is not valid: {0}")]
    Path(String),
    #[error("query string is not valid: {0}")]
    QueryString(String),
    #[error(
        "parameter `{name}` is not a time: give seconds or nanoseconds since 1970 as a number, or \
         a date such as 2026-11-22T22:30:00Z"
    )]
    NotATime { name: &'static str },
    #[error(
        "parameter `{name}` is `{value}`, which is not a duration: write one such as 250ms, 1.5s or 1h30m"
    )]
    NotADuration { name: &'static str, value: String },
    #[error("parameter `{name}` is `{value}`, which is not a whole number")]
    NotACount { name: &'static str, value: String },
    #[error("parameter `{name}` is {count}, at most {max} is allowed")]
    AboveMost { name: &'static str, count: u32, max: u32 },
    #[error("parameter `{name}` is `{value}`: write a number of levels, or -1 for all")]
    NotADepth { name: &'static str, value: String },
    #[error("parameter `{name}` must be true or false")]
    NotASwitch { name: &'static str },
    #[error("only one of start and end is given: give both, or neither to search any time")]
    HalfARange,
    #[error("maxDuration must not be less than minDuration")]
    DurationsReversed,
    #[error("give either `q` or `tags`, not both")]
    QueryAndTags,
    #[error("the query has {n_bytes} bytes, at most {TEXT_BYTES_MAX} are allowed")]
    QueryTooLong { n_bytes: usize },
    #[error("{error}\n{drawing}")]
    TraceQl { error: suyuan_traceql::Error, drawing: String },
    #[error("{error}; it searches by one filter of spans, {{ ... }}\n{drawing}")]
    NotExecuted { error: NotExecuted, drawing: String },
    #[error(transparent)]
    Tags(#[from] TagsError),
    #[error("parameter `q`: {0}")]
    Lenient(#[from] LenientError),
    #[error("parameter `q` of a trace is one filter of spans, {{ ... }}, and no more")]
    NotOneFilter,
    #[error(
        "parameter `scope` is `{scope}`: use one of resource, span, event, link, instrumentation, intrinsic, none"
    )]
    Scope { scope: String },
    #[error("`{name}` is no tag: {error}")]
    TagName { name: String, error: suyuan_traceql::Error },
    #[error("the path ends in /api/v2/search/tag/{{tag}}/values, with the name of a tag in it")]
    NoTag,
    #[error("too many questions wait already ({n_waiting}): try again in a moment")]
    Busy { n_waiting: usize },
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("an answer cannot be compressed: {0}")]
    Compression(#[from] std::io::Error),
    #[error("end must be after start")]
    EndBeforeStart,
    #[error("parameter `mode` must be one of: all, ingesters, blocks, external")]
    Mode,
    #[error("no org id")]
    NoTenant,
    #[error("org id: {0}")]
    Tenant(#[from] TenantError),
    #[error("header X-Scope-OrgID is given several times with different values")]
    SeveralTenantHeaders,
    #[error("{n_tenants} org ids in one request, at most {n_tenants_max} are allowed")]
    TooManyTenants { n_tenants: usize, n_tenants_max: usize },
    #[error("not ready: {0}")]
    NotReady(String),
    #[error("too many large answers are on their way: try again")]
    TooManyStreams,
    #[error("no answer within {seconds} s")]
    TimedOut { seconds: f64 },
    #[error("the trace cannot be read: {0}")]
    Find(#[from] FindError),
    #[error("nothing of the trace was found, and a part of the store cannot be read: {0}")]
    Incomplete(String),
    #[error(transparent)]
    Flush(#[from] FlushError),
    #[error("flushed, and then: {0}")]
    Compact(#[from] CompactError),
    #[error(transparent)]
    Erase(#[from] EraseError),
    #[error("flush takes one parameter: compact=true or compact=false")]
    FlushParameter,
    #[error("say what to erase: trace=<id>, or tenant=all for all traces of the tenant")]
    EraseParameter,
    #[error("one org id at a time can be erased")]
    EraseTenants,
    #[error("internal error; the server's log says more")]
    Internal,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoTenant => StatusCode::UNAUTHORIZED,
            Self::NotReady(_) | Self::Flush(_) | Self::Compact(_) | Self::Erase(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::TooManyStreams | Self::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TimedOut { .. } | Self::Query(QueryError::TimedOut { .. }) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            // What can be mended by asking for less is the client's.
            Self::Query(QueryError::TooMuchMemory { .. } | QueryError::Filter(_)) => {
                StatusCode::BAD_REQUEST
            }
            Self::Query(_)
            | Self::Find(_)
            | Self::Incomplete(_)
            | Self::Compression(_)
            | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Which kind of query was refused, for programs: `parse`, `validation`, `not-executed`.
const ERROR_HEADER: HeaderName = HeaderName::from_static("x-suyuan-error");

impl ApiError {
    /// What programs are told of the error.
    fn kind(&self) -> Option<&'static str> {
        match self {
            Self::TraceQl { error: suyuan_traceql::Error::Parse(_), .. } => Some("parse"),
            Self::TraceQl { error: suyuan_traceql::Error::Validation(_), .. } => Some("validation"),
            Self::NotExecuted { .. } => Some("not-executed"),
            _ => None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = %self, "a question was not answered");
        }
        let mut response = plain_text(status, format!("{self}\n"));
        if let Self::NotReady(_) | Self::TooManyStreams | Self::Busy { .. } = self {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S);
        }
        if let Some(kind) = self.kind() {
            response.headers_mut().insert(ERROR_HEADER, HeaderValue::from_static(kind));
        }
        response
    }
}

pub(crate) fn plain_text(status: StatusCode, text: impl Into<String>) -> Response {
    let headers =
        [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, text.into()).into_response()
}
