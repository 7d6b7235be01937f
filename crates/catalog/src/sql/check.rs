//! Checks, and what they said.

use cenote_vocab::{CatalogId, Micros, TableId, Txn};
use uuid::Uuid;

use super::asset::lines;
use super::{Cell, Failure, Transaction};
use crate::Error;
use crate::asset::{Check, CheckRecord, Severity};
use crate::registry::{CHECK, CHECK_RESULT};
use crate::task::TaskEnd;

/// Notes what checks said.
pub(crate) async fn insert_results(
    transaction: &mut Transaction,
    catalog: CatalogId,
    end: &TaskEnd,
    (txn, now): (Txn, Micros),
) -> Result<(), Failure> {
    let rows: Vec<Vec<Cell>> = end
        .checks
        .iter()
        .map(|result| {
            vec![
                catalog.0.into(),
                result.check.into(),
                end.attempt_id.into(),
                end.run.into(),
                end.key.as_str().into(),
                now.0.into(),
                txn.into(),
                result.passed.into(),
                result.severity.name().into(),
                result.value.as_deref().map(|text| text.replace('\0', "")).into(),
                result.message.as_deref().map(|text| text.replace('\0', "")).into(),
            ]
        })
        .collect();
    transaction.insert(&CHECK_RESULT, &rows).await
}

/// A page of what a check said, newest first.
pub(crate) async fn results(
    transaction: &mut Transaction,
    catalog: CatalogId,
    check: Uuid,
    (after, limit): (Option<(Micros, Uuid)>, u32),
) -> Result<Vec<CheckRecord>, Failure> {
    let behind = if after.is_some() { " AND (at_us < ? OR (at_us = ? AND attempt_id < ?))" } else { "" };
    let text = format!(
        "SELECT run_id, task_key, attempt_id, at_us, txn, passed, severity, value, message FROM cn_check_result \
         WHERE catalog_id = ? AND check_id = ?{behind} ORDER BY at_us DESC, attempt_id DESC LIMIT ?"
    );
    let mut statement = transaction.statement(&text).bind(catalog.0).bind(check);
    if let Some((at, attempt)) = after {
        statement = statement.bind(at.0).bind(at.0).bind(attempt);
    }
    let mut results = Vec::new();
    for mut row in transaction.query(statement.bind(i64::from(limit))).await? {
        results.push(CheckRecord {
            run: row.uuid()?,
            task: row.text()?,
            attempt: row.uuid()?,
            at: Micros(row.int()?),
            txn: Txn(row.int()?),
            passed: row.flag()?,
            severity: severity_of(check, &row.text()?)?,
            value: row.optional_text()?,
            message: row.optional_text()?,
        });
    }
    Ok(results)
}

fn severity_of(check: Uuid, word: &str) -> Result<Severity, Error> {
    Severity::of(word).ok_or_else(|| Error::Corrupt(format!("check {check} has severity {word}")))
}

/// Adds a check, or changes one. `CheckExists` if another has its name.
pub(crate) async fn put_check(
    transaction: &mut Transaction,
    catalog: CatalogId,
    check: &Check,
) -> Result<(), Failure> {
    let known = checks(transaction, catalog, Some(check.table)).await?;
    if known.iter().any(|other| other.name == check.name && other.id != check.id) {
        return Err(Error::CheckExists(check.name.clone()).into());
    }
    let row = vec![
        catalog.0.into(),
        check.id.into(),
        check.table.into(),
        check.name.as_str().into(),
        check.severity.name().into(),
        "table".into(),
        check.rule.as_str().into(),
        check.search_path.join("\n").into(),
        check.created.0.into(),
        1_i64.into(),
    ];
    transaction.upsert(&CHECK, &["severity", "rule", "search_path"], &[row]).await
}

/// Checks of a table, or of all, by name.
pub(crate) async fn checks(
    transaction: &mut Transaction,
    catalog: CatalogId,
    table: Option<TableId>,
) -> Result<Vec<Check>, Failure> {
    let only = if table.is_some() { " AND table_id = ?" } else { "" };
    let text = format!(
        "SELECT check_id, table_id, name, severity, rule, search_path, created_us FROM cn_check \
         WHERE catalog_id = ?{only} ORDER BY name, check_id"
    );
    let mut statement = transaction.statement(&text).bind(catalog.0);
    if let Some(table) = table {
        statement = statement.bind(table);
    }
    let mut checks = Vec::new();
    for mut row in transaction.query(statement).await? {
        let (id, table, name, severity) = (row.uuid()?, TableId(row.int()?), row.text()?, row.text()?);
        let severity = severity_of(id, &severity)?;
        let (rule, path) = (row.text()?, row.text()?);
        let created = Micros(row.int()?);
        checks.push(Check { id, table, name, severity, rule, search_path: lines(&path), created });
    }
    Ok(checks)
}
