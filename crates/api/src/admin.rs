//! What operators ask the server to do.
//!
//! `POST /api/admin/flush` makes a block of everything acknowledged before, and answers when it is
//! durable and in the catalog.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::error::ApiError;
use crate::state::ApiState;

pub(crate) async fn flush(State(state): State<ApiState>) -> Result<Json<Value>, ApiError> {
    let store = state.store.clone();
    // The wait is as long as writing a block is, which may be longer than a question may take.
    let flushed = spawn_blocking(move || store.flush()).await.map_err(|_| ApiError::Internal)?;
    flushed?;
    Ok(Json(json!({ "flushed": true })))
}
