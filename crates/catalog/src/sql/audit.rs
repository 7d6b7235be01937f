//! Rows of the audit.

use cenote_vocab::{CatalogId, Micros};
use uuid::Uuid;

use super::history::cut;
use super::{Cell, Database, Failure, Row, Transaction};
use crate::Error;
use crate::audit::{AuditEntry, AuditFilter, AuditOutcome, AuditRow, Caller};
use crate::registry::AUDIT;

/// The most bytes of a text.
const TEXT_BYTES_MAX: usize = 4_000;

/// Adds rows.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    rows: &[(CatalogId, AuditRow)],
) -> Result<(), Failure> {
    let rows: Vec<Vec<Cell>> = rows.iter().map(|(catalog, row)| cells(*catalog, row)).collect();
    transaction.insert_missing(&AUDIT, &rows).await
}

fn cells(catalog: CatalogId, row: &AuditRow) -> Vec<Cell> {
    let entry = &row.entry;
    vec![
        catalog.0.into(),
        row.at.0.into(),
        row.id.into(),
        text(entry.caller.actor.as_ref()),
        text(entry.caller.address.as_ref()),
        entry.caller.protocol.as_str().into(),
        entry.action.as_str().into(),
        text(entry.object.as_ref()),
        entry.outcome.word().into(),
        text(entry.reason.as_ref()),
        text(entry.caller.request_id.as_ref()),
        text(entry.detail.as_ref()),
        row.times.into(),
    ]
}

/// What people and clients write is stored as far as both databases can.
fn text(text: Option<&String>) -> Cell {
    text.map(|text| cut(text, TEXT_BYTES_MAX)).into()
}

/// The same was refused so many times more.
pub(crate) async fn count(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
    times: i64,
) -> Result<(), Failure> {
    let statement = transaction
        .statement("UPDATE cn_audit SET times = times + ? WHERE catalog_id = ? AND audit_id = ?")
        .bind(times)
        .bind(catalog.0)
        .bind(id);
    transaction.execute(statement).await?;
    Ok(())
}

/// Forgets what happened to a tenant before `before`, the oldest `rows_max` of it; answers how many.
pub(crate) async fn sweep(
    database: &Database,
    catalog: CatalogId,
    before: Micros,
    rows_max: u32,
) -> Result<u64, Failure> {
    let mut transaction = database.write().await?;
    let text = format!(
        "DELETE FROM cn_audit WHERE catalog_id = ? AND audit_id IN (SELECT audit_id FROM cn_audit \
         WHERE catalog_id = ? AND at_us < ? ORDER BY at_us, audit_id LIMIT {rows_max})"
    );
    let statement = transaction.statement(&text).bind(catalog.0).bind(catalog.0).bind(before.0);
    let gone = transaction.execute(statement).await?;
    transaction.commit().await?;
    Ok(gone)
}

/// Rows of a tenant, newest first.
pub(crate) async fn list(
    database: &Database,
    catalog: CatalogId,
    filter: &AuditFilter,
) -> Result<Vec<AuditRow>, Failure> {
    let mut statement = database
        .statement(
            "SELECT at_us, audit_id, actor, address, protocol, action, object, outcome, reason, request_id, detail, times \
             FROM cn_audit WHERE catalog_id = ?",
        )
        .bind(catalog.0);
    if let Some(since) = filter.since {
        statement.push(" AND at_us >= ?");
        statement = statement.bind(since.0);
    }
    let texts = [
        (" AND actor = ?", filter.actor.as_deref()),
        (" AND action = ?", filter.action.as_deref()),
        (" AND outcome = ?", filter.outcome.map(AuditOutcome::word)),
    ];
    for (condition, text) in texts {
        if let Some(text) = text {
            statement.push(condition);
            statement = statement.bind(text);
        }
    }
    if let Some((at, id)) = filter.after {
        statement.push(" AND (at_us < ? OR (at_us = ? AND audit_id < ?))");
        statement = statement.bind(at.0).bind(at.0).bind(id);
    }
    statement.push(&format!(" ORDER BY at_us DESC, audit_id DESC LIMIT {}", filter.limit));
    let mut rows = database.query(statement).await?;
    Ok(rows.iter_mut().map(decode).collect::<Result<_, _>>()?)
}

fn decode(row: &mut Row) -> Result<AuditRow, Error> {
    let (at, id) = (Micros(row.int()?), row.uuid()?);
    let (actor, address, protocol) = (row.optional_text()?, row.optional_text()?, row.text()?);
    let (action, object, outcome) = (row.text()?, row.optional_text()?, row.text()?);
    let (reason, request_id, detail) = (row.optional_text()?, row.optional_text()?, row.optional_text()?);
    let outcome = match outcome.as_str() {
        "allow" => AuditOutcome::Allow,
        "deny" => AuditOutcome::Deny,
        other => return Err(Error::Corrupt(format!("outcome {other:?} in the audit"))),
    };
    let caller = Caller { actor, address, protocol, request_id };
    let entry = AuditEntry { caller, action, object, outcome, reason, detail };
    Ok(AuditRow { id, at, times: row.int()?, entry })
}
