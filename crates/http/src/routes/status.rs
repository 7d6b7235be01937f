//! Figures of the node for its operator; what `cenote status` prints.

use axum::Json;
use axum::extract::State;
use cenote_catalog::Privilege;
use serde_json::{Value, json};

use super::health::{COMMIT, VERSION, spoken};
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

/// Version, uptime, tables, buffer and the newest transaction (admin); the log too for operators.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "node",
    responses((status = 200, description = "figures", body = Object), (status = 403, description = "not an admin"))
)]
pub(super) async fn status(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.require(Privilege::Manage)?;
    call.parameters.only(&["u", "p"])?;
    let services = app.services()?;
    let scope = &call.identity.scope;
    let head = services.catalog.head(scope).await?;
    let names = services.catalog.names(scope, head.txn).await?;
    let (mut tables, mut rows, mut bytes) = (0_u64, 0, 0);
    for table in names.tables() {
        let (table_rows, table_bytes) = services.ingest.buffered(table.id);
        tables += 1;
        rows += table_rows;
        bytes += table_bytes;
    }
    let (oldest, newest, log_bytes) = services.ingest.log_status();
    let uptime = app.uptime();
    Ok(Json(json!({
        "version": VERSION,
        "commit": COMMIT,
        "state": app.state().reason(),
        "uptime": spoken(uptime),
        "uptime_sec": uptime.as_secs(),
        "catalog": services.catalog.database(),
        "databases": names.schemas.len(),
        "tables": tables,
        "buffer": {"rows": rows, "bytes": bytes},
        // It is all tenants' log.
        "log": call.identity.operates()
            .then(|| json!({"oldest_lsn": oldest, "newest_lsn": newest, "bytes": log_bytes})),
        "last_txn": head.txn,
        "last_commit": head.committed.rfc3339(),
    })))
}
