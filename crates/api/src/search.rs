//! `GET /api/search` (`tempo.md 1.4`): which traces have a span like this, the newest first.
//!
//! In: a question in TraceQL or in tags. Out: traces, each with some of the spans that were asked
//! for, in JSON or protobuf. A question that cannot be answered is told where its text is wrong.
//! What was read, and whether anything is missing, is said in headers.

mod answer;
mod explain;
pub(crate) mod question;

use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::response::Response;
use http::HeaderMap;
use suyuan_query::search::{Budget, Explain, search_tenants};

use crate::accounting::accounting_headers;
use crate::answer_body::{self, encoding_for, with_body};
use crate::compression::Compression;
use crate::error::ApiError;
use crate::metrics::QueryKind;
use crate::parameters::{Parameters, QueryPairs};
use crate::questions::Answered;
use crate::state::ApiState;
use crate::tenancy::tenants;
use answer::FoundTraces;

pub(crate) use explain::explain;

pub(crate) async fn search(
    State(state): State<ApiState>,
    query: Result<QueryPairs, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let started_at = std::time::Instant::now();
    let tenants = tenants(state.options.tenancy, &headers)?;
    let parameters = Parameters::new(query)?;
    let request = question::question(&parameters, Explain::No, state.now_unix_nanos())?;
    state.check_complete()?;
    let (encoding, compression) = (encoding_for(&headers), Compression::negotiate(&headers));
    let store = state.store.clone();
    let work = move |budget: &Budget| {
        let found = search_tenants(&store, &tenants, &request, budget)?;
        let accounting = found.accounting.clone();
        let traces = FoundTraces::begin(found, encoding, &budget.threads)?;
        let answer = answer_body::begin(Box::new(traces), compression)?;
        Ok(Answered { answer, accounting })
    };
    let Answered { answer, accounting } = state.questions.ask(QueryKind::Search, work).await?;
    let mut response = with_body(answer, encoding, &state)?;
    accounting_headers(response.headers_mut(), &accounting, started_at.elapsed());
    Ok(response)
}
