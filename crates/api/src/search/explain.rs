//! `GET /api/suyuan/explain`: what a search reads, what it does not, and why.
//!
//! In: the parameters of a search. Out: JSON about the search, which is carried out; the traces
//! themselves are only counted. For people who wonder why a question takes as long as it does.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use http::HeaderMap;
use serde_json::{Value, json};
use suyuan_query::search::{
    Explain, SearchAnswer, SearchRequest, UNIT_REPORTS_MAX, UnitFate, UnitReport, search_tenants,
};
use suyuan_store::UnitName;
use suyuan_traceql::print;

use super::question;
use crate::accounting::incomplete;
use crate::error::ApiError;
use crate::metrics::QueryKind;
use crate::parameters::{Parameters, QueryPairs};
use crate::questions::Answered;
use crate::state::ApiState;
use crate::tenancy::tenants;

pub(crate) async fn explain(
    State(state): State<ApiState>,
    query: Result<QueryPairs, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    let started_at = Instant::now();
    let tenants = tenants(state.options.tenancy, &headers)?;
    let parameters = Parameters::new(query)?;
    let request = question::question(&parameters, Explain::Yes, state.now_unix_nanos())?;
    state.check_complete()?;
    let store = state.store.clone();
    let asked = asked(&request);
    let work = move |budget: &_| {
        let answer = search_tenants(&store, &tenants, &request, budget)?;
        Ok(Answered { accounting: answer.accounting.clone(), answer })
    };
    let Answered { answer, .. } = state.questions.ask(QueryKind::Explain, work).await?;
    let elapsed_ms = started_at.elapsed().as_secs_f64() * 1e3;
    Ok(Json(json!({
        "asked": asked,
        "found": found(&answer),
        "elapsedMs": elapsed_ms,
        "units": answer.explain.iter().map(unit).collect::<Vec<_>>(),
    })))
}

fn asked(request: &SearchRequest) -> Value {
    let selected: Vec<_> = request.selected.iter().map(print::attribute).collect();
    let range = request.range.map(|range| {
        json!({ "startUnixNanos": range.min_unix_nanos, "endUnixNanos": range.max_unix_nanos })
    });
    json!({
        "filter": format!("{{ {} }}", print::field_expr(&request.filter)),
        "selected": selected,
        "range": range,
        "minDurationNanos": request.duration_nanos_min,
        "maxDurationNanos": request.duration_nanos_max,
        "limit": request.limit,
        "spansPerSpanSet": request.spans_per_set,
    })
}

fn found(answer: &SearchAnswer) -> Value {
    let accounting = &answer.accounting;
    let missing = incomplete(accounting);
    let units = accounting.units_total;
    json!({
        "traces": answer.traces.len(),
        "matchedSpans": answer.traces.iter().map(|trace| trace.n_matched).sum::<u64>(),
        "exact": missing.is_none(),
        "missing": missing,
        "spansInspected": accounting.spans_inspected,
        "tracesInspected": accounting.traces_inspected,
        "bytesRead": accounting.bytes_read,
        "requests": accounting.requests,
        "unitsTotal": units,
        "unitsRead": accounting.units_read,
        "unitsPruned": accounting.units_pruned,
        "unitsOutside": accounting.units_outside,
        "unitsNotNeeded": accounting.units_not_needed,
        "unitsToldOfMax": UNIT_REPORTS_MAX,
    })
}

fn unit(report: &UnitReport) -> Value {
    let mut unit = match report.unit {
        UnitName::Slice { block, slice } => json!({ "block": block.to_string(), "slice": slice }),
        UnitName::Chunk { live, chunk } => json!({ "live": live, "chunk": chunk }),
    };
    let (fate, because) = match &report.fate {
        UnitFate::Read => ("read", None),
        UnitFate::Pruned(reason) => ("pruned", Some(reason.as_str())),
        UnitFate::NotNeeded => {
            ("not needed", Some("older than every trace of the answer, which is full"))
        }
        UnitFate::Failed(reason) => ("failed", Some(reason.as_str())),
    };
    unit["fate"] = fate.into();
    if let Some(because) = because {
        unit["because"] = because.into();
    }
    unit["spans"] = report.n_rows.into();
    if matches!(report.fate, UnitFate::Read | UnitFate::Failed(_)) {
        unit["spansRead"] = report.rows_read.into();
        unit["spansFound"] = report.rows_found.into();
        unit["bytesRead"] = report.bytes_read.into();
        unit["elapsedMs"] = (report.elapsed.as_secs_f64() * 1e3).into();
    }
    unit
}
