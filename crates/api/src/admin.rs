//! What operators ask the server to do.
//!
//! `POST /api/admin/flush` makes a block of everything acknowledged before, and answers when it is
//! durable and in the catalog; with `compact=true` blocks are then merged as the policy would, and
//! what was erased leaves the files. `POST /api/admin/erase` takes a trace, or all that a tenant
//! has, out of every answer. Both do their work to the end, whether the client waits or not.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use http::HeaderMap;
use serde_json::{Value, json};
use suyuan_ids::TraceId;
use suyuan_model::Tenant;
use tokio::task::spawn_blocking;

use crate::error::ApiError;
use crate::state::ApiState;
use crate::tenancy::tenants;

type QueryPairs = Query<Vec<(String, String)>>;

pub(crate) async fn flush(
    State(state): State<ApiState>,
    query: Result<QueryPairs, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let compact = wants_compaction(&pairs(query)?)?;
    state.check_complete()?;
    let store = state.store.clone();
    // The wait is as long as writing a block is, which may be longer than a question may take.
    let work = spawn_blocking(move || {
        let flushed = store.flush()?;
        let compacted = if compact { Some(store.compact()?) } else { None };
        Ok::<_, ApiError>((flushed, compacted, store.totals()))
    });
    let (flushed, compacted, totals) = work.await.map_err(|_| ApiError::Internal)??;
    let mut answer = json!({
        "flushed": {
            "blocks": flushed.blocks,
            "spans": flushed.rows,
            "bytes": flushed.bytes,
            "duplicatesRemoved": flushed.duplicates_removed,
            "seconds": flushed.time.as_secs_f64(),
        },
        "total": { "blocks": totals.blocks, "spans": totals.rows, "bytes": totals.bytes },
    });
    if let Some(compacted) = compacted {
        answer["compacted"] = json!({
            "compactions": compacted.compactions,
            "blocksRemoved": compacted.blocks_removed,
            "blocksAdded": compacted.blocks_added,
            "spansRead": compacted.rows_in,
            "spansWritten": compacted.rows_out,
            "bytesRead": compacted.bytes_in,
            "bytesWritten": compacted.bytes_out,
            "duplicatesRemoved": compacted.duplicates_removed,
            "erasedOrExpired": compacted.dead_rows_removed,
            "splitTracesMerged": compacted.split_traces_merged,
            "seconds": compacted.time.as_secs_f64(),
        });
    }
    Ok(Json(answer))
}

pub(crate) async fn erase(
    State(state): State<ApiState>,
    query: Result<QueryPairs, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    let trace = what_to_erase(&pairs(query)?)?;
    let tenant = one_tenant(&state, &headers)?;
    state.check_complete()?;
    let (store, name) = (state.store.clone(), tenant.to_string());
    let work = spawn_blocking(move || store.erase(&tenant, trace));
    let erased = work.await.map_err(|_| ApiError::Internal)??;
    let trace = trace.map(|trace| trace.to_string());
    tracing::warn!(tenant = name, trace = trace.as_deref().unwrap_or("all"), "erased on request");
    Ok(Json(json!({
        "erased": {
            "tenant": name,
            "trace": trace,
            "liveSpans": erased.live_rows,
            "blockSpans": erased.block_rows,
            "blocks": erased.blocks,
        },
    })))
}

fn pairs(query: Result<QueryPairs, QueryRejection>) -> Result<Vec<(String, String)>, ApiError> {
    let Query(pairs) = query.map_err(|rejection| ApiError::QueryString(rejection.body_text()))?;
    Ok(pairs)
}

/// A parameter that is misspelt must not look as if it were obeyed.
fn wants_compaction(pairs: &[(String, String)]) -> Result<bool, ApiError> {
    let mut compact = false;
    for (name, value) in pairs {
        compact = match (name.as_str(), value.as_str()) {
            ("compact", "true" | "1") => true,
            ("compact", "false" | "0" | "") => false,
            _ => return Err(ApiError::FlushParameter),
        };
    }
    Ok(compact)
}

/// `None`: all traces of the tenant, which has to be said in so many words.
fn what_to_erase(pairs: &[(String, String)]) -> Result<Option<TraceId>, ApiError> {
    match pairs {
        [(name, id)] if name == "trace" => Ok(Some(TraceId::parse(id.trim())?)),
        [(name, all)] if name == "tenant" && all == "all" => Ok(None),
        _ => Err(ApiError::EraseParameter),
    }
}

fn one_tenant(state: &ApiState, headers: &HeaderMap) -> Result<Tenant, ApiError> {
    let mut tenants = tenants(state.options.tenancy, headers)?;
    match (tenants.pop(), tenants.is_empty()) {
        (Some(tenant), true) => Ok(tenant),
        _ => Err(ApiError::EraseTenants),
    }
}
