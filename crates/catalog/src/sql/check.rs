//! Checks, and what they said.

use cenote_vocab::{CatalogId, Micros, TableId, Txn};

use super::asset::lines;
use super::{Cell, Failure, Transaction};
use crate::Error;
use crate::asset::{Check, Severity};
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
        let severity = Severity::of(&severity)
            .ok_or_else(|| Error::Corrupt(format!("check {id} has severity {severity}")))?;
        let (rule, path) = (row.text()?, row.text()?);
        let created = Micros(row.int()?);
        checks.push(Check { id, table, name, severity, rule, search_path: lines(&path), created });
    }
    Ok(checks)
}
