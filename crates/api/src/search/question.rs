//! What a search asks, read from its parameters (`tempo.md 1.4`).
//!
//! In: parameters and the server's clock. Out: a [`SearchRequest`], or what is wrong and how to
//! mend it. Nothing is read here.

use suyuan_query::search::{Explain, SearchRequest};
use suyuan_traceql::ast::{FieldExpr, FieldKind, Place, Query, Root, Value};
use suyuan_traceql::{Position, SpanFilter, TEXT_BYTES_MAX, parse};

use crate::error::ApiError;
use crate::legacy_tags;
use crate::parameters::{Parameters, QueryPairs};
use crate::time_range::{duration, time_range};

/// As Tempo's `default_result_limit` and `max_result_limit`.
const LIMIT: u32 = 20;
const LIMIT_MAX: u32 = 262_144;
/// Spans of each trace.
const SPANS: u32 = 3;
const SPANS_MAX: u32 = 100;

/// Whether a query string, what stands behind the `?`, is a search that can be asked, and why not.
///
/// # Errors
/// What a client would be told.
pub fn check_search(query_string: &str) -> Result<(), String> {
    let uri = http::Uri::try_from(format!("/api/search?{query_string}"));
    let uri = uri.map_err(|error| error.to_string())?;
    let checked = Parameters::new(QueryPairs::try_from_uri(&uri))
        .and_then(|parameters| question(&parameters, Explain::No, 0));
    checked.map(drop).map_err(|error| error.to_string())
}

/// Reads the parameters of a search.
pub(crate) fn question(
    parameters: &Parameters,
    explain: Explain,
    now_unix_nanos: i64,
) -> Result<SearchRequest, ApiError> {
    let range = time_range(parameters, now_unix_nanos)?;
    let limit = parameters.count_up_to("limit", LIMIT_MAX)?.unwrap_or(LIMIT);
    let spans_per_set = parameters.count_up_to("spss", SPANS_MAX)?.unwrap_or(SPANS);
    let (duration_nanos_min, duration_nanos_max) = durations(parameters)?;
    let asked = |request: SearchRequest| SearchRequest {
        range,
        limit: limit as usize,
        spans_per_set: spans_per_set as usize,
        explain,
        ..request
    };
    match (parameters.text("q"), parameters.text("tags")) {
        (Some(_), Some(_)) => Err(ApiError::QueryAndTags),
        // As in Tempo, bounds of durations go with tags alone.
        (Some(text), None) => Ok(asked(traceql(text)?)),
        (None, tags) => {
            let filter = match tags {
                Some(tags) => legacy_tags::filter(tags)?,
                None => anything(),
            };
            Ok(SearchRequest { duration_nanos_min, duration_nanos_max, ..asked(plain(filter)) })
        }
    }
}

/// The filter of spans that a query is.
fn traceql(text: &str) -> Result<SearchRequest, ApiError> {
    let query = parsed(text)?;
    let asked = span_filter(&query, text)?;
    let selected = asked.selected.into_iter().cloned().collect();
    Ok(SearchRequest { selected, ..plain(asked.filter.clone()) })
}

/// The filter for the spans of one trace: `{ … }` and no more (`tempo.md 1.2`).
pub(crate) fn one_filter(text: &str) -> Result<FieldExpr, ApiError> {
    let query = parsed(text)?;
    let asked = span_filter(&query, text)?;
    match &query.root {
        Root::Spansets(pipeline) if pipeline.stages.len() == 1 => Ok(asked.filter.clone()),
        _ => Err(ApiError::NotOneFilter),
    }
}

fn parsed(text: &str) -> Result<Query, ApiError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ApiError::QueryTooLong { n_bytes: text.len() });
    }
    parse(text).map_err(|error| ApiError::TraceQl { drawing: error.draw(text), error })
}

fn span_filter<'a>(query: &'a Query, text: &str) -> Result<SpanFilter<'a>, ApiError> {
    query.span_filter().map_err(|error| {
        let drawing = Position::of(text, error.place).draw(text);
        ApiError::NotExecuted { drawing, error }
    })
}

fn plain(filter: FieldExpr) -> SearchRequest {
    SearchRequest {
        filter,
        selected: Vec::new(),
        range: None,
        duration_nanos_min: None,
        duration_nanos_max: None,
        limit: LIMIT as usize,
        spans_per_set: SPANS as usize,
        explain: Explain::No,
    }
}

/// `{}`
fn anything() -> FieldExpr {
    FieldExpr { kind: FieldKind::Literal(Value::Bool(true)), place: Place::default() }
}

/// `minDuration` and `maxDuration`.
fn durations(parameters: &Parameters) -> Result<(Option<u64>, Option<u64>), ApiError> {
    let nanos = |name: &'static str| -> Result<Option<u64>, ApiError> {
        let Some(text) = parameters.text(name) else { return Ok(None) };
        Ok(Some(duration(name, text)?).filter(|nanos| *nanos > 0))
    };
    match (nanos("minDuration")?, nanos("maxDuration")?) {
        (Some(min), Some(max)) if max < min => Err(ApiError::DurationsReversed),
        durations => Ok(durations),
    }
}

#[cfg(test)]
mod tests;
