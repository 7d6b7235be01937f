//! The audit: who did what, and what was refused (admin).

use axum::Json;
use axum::extract::State;
use cenote_catalog::{AuditFilter, AuditOutcome, AuditRow, Privilege};
use cenote_vocab::Micros;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::call::Call;
use crate::parameters::instant;
use crate::problem::Problem;
use crate::routes::page::{self, Limits};

/// Rows of one answer; at most: `audit_page_max`.
const LIMITS: Limits = Limits { usual: 100, max: 1_000 };

const OUTCOMES: [AuditOutcome; 2] = [AuditOutcome::Allow, AuditOutcome::Deny];

/// Entries of the audit, newest first.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "tokens",
    params(
        ("since" = Option<String>, Query, description = "RFC 3339"), ("actor" = Option<String>, Query),
        ("action" = Option<String>, Query, description = "auth_deny, grant, ddl, url_mint_deny, …"),
        ("outcome" = Option<String>, Query, description = "allow or deny"),
        ("limit" = Option<u64>, Query, description = "1 to 1000, default 100"), ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, description = "`entries` and `next_cursor`", body = Object))
)]
pub(super) async fn list(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.require(Privilege::Manage)?;
    call.parameters.only(&["since", "actor", "action", "outcome", "limit", "cursor", "u", "p"])?;
    let limit = page::limit_within(&call, LIMITS)?;
    let text = |name: &str| call.parameters.first(&[name]).map(str::to_owned);
    let filter = AuditFilter {
        since: call.parameters.first(&["since"]).map(|text| instant("since", text)).transpose()?,
        actor: text("actor"),
        action: text("action"),
        outcome: page::one_of(&call, "outcome", &OUTCOMES.map(AuditOutcome::word))?
            .and_then(|word| OUTCOMES.into_iter().find(|outcome| outcome.word() == word)),
        after: page::after::<(i64, Uuid)>(&call)?.map(|(at, id)| (Micros(at), id)),
        // one more tells whether there is more
        limit: limit + 1,
    };
    let mut rows = app.services()?.catalog.audit_rows(&call.identity.scope, &filter).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| page::behind(&(row.at.0, row.id))).transpose()?;
    let entries: Vec<Value> = rows.iter().map(shown).collect();
    Ok(Json(json!({"success": true, "count": entries.len(), "entries": entries, "next_cursor": next})))
}

fn shown(row: &AuditRow) -> Value {
    let entry = &row.entry;
    json!({
        "id": row.id,
        "at": row.at.rfc3339(),
        "actor": entry.caller.actor,
        "address": entry.caller.address,
        "protocol": entry.caller.protocol,
        "action": entry.action,
        "object": entry.object,
        "outcome": entry.outcome.word(),
        "reason": entry.reason,
        "request_id": entry.caller.request_id,
        "detail": entry.detail,
        "times": row.times,
    })
}
