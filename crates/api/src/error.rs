//! Why a question has no answer, and how that is said: a status code and a line of plain text.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use suyuan_ids::IdError;
use suyuan_model::TenantError;
use suyuan_store::{CompactError, EraseError, FindError, FlushError};

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
    #[error("parameter `{name}` is not a time: give seconds or nanoseconds since 1970 as a number")]
    NotATime { name: &'static str },
    #[error("end must be after start")]
    EndBeforeStart,
    #[error("parameter `mode` must be one of: all, ingesters, blocks, external")]
    Mode,
    #[error("parameter `q` is not supported here yet: ask for the whole trace without it")]
    FilterUnsupported,
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
            Self::TooManyStreams => StatusCode::TOO_MANY_REQUESTS,
            Self::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Find(_) | Self::Incomplete(_) | Self::Internal => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::BAD_REQUEST,
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
        if let Self::NotReady(_) | Self::TooManyStreams = self {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S);
        }
        response
    }
}

pub(crate) fn plain_text(status: StatusCode, text: impl Into<String>) -> Response {
    let headers =
        [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, text.into()).into_response()
}
