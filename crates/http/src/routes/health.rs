//! Health and readiness: public, without internals.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cenote_ingest::State as Log;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use crate::NodeState;
use crate::app::App;

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Set by the build of a release.
pub(super) const COMMIT: &str = match option_env!("CENOTE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// 200 while the process can answer.
#[utoipa::path(get, path = "/health", tag = "node", responses((status = 200, description = "alive", body = Object)))]
pub(super) async fn health(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    alive(&app, &headers)
}

/// The same as `/health`.
#[utoipa::path(get, path = "/healthz", tag = "node", responses((status = 200, description = "alive")))]
pub(super) async fn healthz(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    alive(&app, &headers)
}

/// The same as `/health`.
#[utoipa::path(get, path = "/livez", tag = "node", responses((status = 200, description = "alive")))]
pub(super) async fn livez(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    alive(&app, &headers)
}

/// 200 if requests are taken, else 503 with the reason.
#[utoipa::path(
    get, path = "/ready", tag = "node",
    responses((status = 200, description = "ready"), (status = 503, description = "not ready, with the reason"))
)]
pub(super) async fn ready(State(app): State<App>) -> Response {
    readiness(&app)
}

/// The same as `/ready`.
#[utoipa::path(
    get, path = "/readyz", tag = "node",
    responses((status = 200, description = "ready"), (status = 503, description = "not ready, with the reason"))
)]
pub(super) async fn readyz(State(app): State<App>) -> Response {
    readiness(&app)
}

fn alive(app: &App, headers: &HeaderMap) -> Json<Value> {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("");
    // InfluxDB's clients test for this word
    let status = if agent.starts_with("influxdb") { "pass" } else { "ok" };
    let (now, uptime) = (app.http.clock.now().rfc3339(), app.uptime());
    Json(json!({
        "status": status,
        "name": "cenote",
        "service": "cenote",
        "message": "ready for queries and writes",
        "version": VERSION,
        "commit": COMMIT,
        "time": now,
        "timestamp": now,
        "uptime": spoken(uptime),
        "uptime_sec": uptime.as_secs(),
        "checks": [],
    }))
}

fn readiness(app: &App) -> Response {
    let state = app.state();
    let log = app.http.services.get().map(|services| services.ingest.state());
    let (reason, message) = match (&state, &log) {
        (NodeState::Ready, Some(Log::Ready)) => ("ready", "serving"),
        (NodeState::Ready, Some(Log::Replaying)) => ("recovering", "the write-ahead log is being read"),
        (NodeState::Ready, Some(Log::DiskFull)) => {
            ("disk_full", "writes are refused until there is space; reads go on")
        }
        (NodeState::Ready, Some(Log::Closed(_))) => {
            ("log_closed", "the process must be restarted; reads go on")
        }
        (NodeState::Ready, Some(Log::Draining)) | (NodeState::Draining, _) => {
            ("draining", "the node is stopping")
        }
        (NodeState::Ready, None) | (NodeState::Starting, _) => {
            ("starting", "catalog and storage are being opened")
        }
        (NodeState::Replaying, _) => ("recovering", "the write-ahead log is being read"),
        (NodeState::Standby, _) => ("standby", "another process is active"),
    };
    let ready = reason == "ready";
    let opened = log.is_some();
    let word = |good: bool| if good { "ok" } else { "waiting" };
    let wal = match &log {
        Some(Log::Ready | Log::Replaying | Log::Draining) => "ok",
        Some(Log::DiskFull) => "full",
        Some(Log::Closed(_)) => "closed",
        None => "waiting",
    };
    let uptime = app.uptime();
    let body = json!({
        "status": if ready { "ready" } else { "not_ready" },
        "ready": ready,
        "reason": reason,
        "message": message,
        "checks": {
            "catalog": word(opened),
            "lease": word(matches!(state, NodeState::Ready | NodeState::Draining)),
            "wal": wal,
            "recovery": word(opened && log != Some(Log::Replaying)),
            "disk": if log == Some(Log::DiskFull) { "full" } else { "ok" },
            "storage": word(opened),
        },
        "time": app.http.clock.now().rfc3339(),
        "uptime_sec": uptime.as_secs(),
        "started": app.started.rfc3339(),
        "up": spoken(uptime),
    });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// `1h2m3s`
pub(super) fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_stop_watch() {
        assert_eq!(spoken(Duration::from_secs(3723)), "1h2m3s");
        assert_eq!(spoken(Duration::from_secs(61)), "1m1s");
        assert_eq!(spoken(Duration::ZERO), "0s");
    }
}
