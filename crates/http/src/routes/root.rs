//! What this is, and how to use it.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header;
use serde_json::{Value, json};

use super::health::VERSION;
use crate::call::Call;

/// What this is.
#[utoipa::path(get, path = "/", tag = "node", responses((status = 200, description = "name, version, where to go", body = Object)))]
pub(super) async fn root() -> Json<Value> {
    Json(json!({
        "service": "Cenote",
        "version": VERSION,
        "status": "running",
        "docs": "/openapi.json",
        "health": "/health",
    }))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "node", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], super::openapi()).into_response()
}

/// There is no result cache.
#[utoipa::path(get, path = "/api/v1/cache/stats", tag = "query", responses((status = 200, description = "not enabled", body = Object)))]
pub(super) async fn cache_stats(_call: Call) -> Json<Value> {
    Json(json!({"enabled": false, "message": "this release has no result cache"}))
}
