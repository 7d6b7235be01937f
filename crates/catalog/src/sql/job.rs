//! Rows of `cn_job`.

use cenote_vocab::{CatalogId, Micros};
use uuid::Uuid;

use super::{Cell, Failure, Transaction};
use crate::Job;
use crate::registry::JOB;

/// All jobs by name.
pub(crate) async fn list(transaction: &mut Transaction, catalog: CatalogId) -> Result<Vec<Job>, Failure> {
    let statement = transaction
        .statement(
            "SELECT job_id, name, paused, failures, next_us, checked_us, version FROM cn_job \
             WHERE catalog_id = ? ORDER BY name",
        )
        .bind(catalog.0);
    let mut jobs = Vec::new();
    for mut row in transaction.query(statement).await? {
        jobs.push(Job {
            id: row.uuid()?,
            name: row.text()?,
            paused: row.flag()?,
            failures: row.small()?,
            next: row.optional_int()?.map(Micros),
            checked: row.optional_int()?.map(Micros),
            version: row.int()?,
        });
    }
    Ok(jobs)
}

/// Adds a built-in job, which is due at once.
pub(crate) async fn create(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
    name: &str,
) -> Result<(), Failure> {
    let row = vec![
        catalog.0.into(),
        id.into(),
        name.into(),
        "built-in".into(),
        "{}".into(),
        false.into(),
        0_i32.into(),
        Cell::Null,
        Cell::Null,
        1_i64.into(),
    ];
    transaction.insert(&JOB, &[row]).await
}

/// Locks a job's row until the transaction ends; false if there is none.
pub(crate) async fn lock(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
) -> Result<bool, Failure> {
    let lock = transaction.dialect().for_update();
    let text = format!("SELECT version FROM cn_job WHERE catalog_id = ? AND job_id = ?{lock}");
    let statement = transaction.statement(&text).bind(catalog.0).bind(id);
    Ok(transaction.row(statement).await?.is_some())
}

/// Holds a job, or lets it go; nothing if it is so already. A job that goes on is due at once.
pub(crate) async fn set_paused(
    transaction: &mut Transaction,
    catalog: CatalogId,
    name: &str,
    paused: bool,
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_job SET paused = ?, failures = 0, next_us = NULL, version = version + 1 \
             WHERE catalog_id = ? AND name = ? AND paused <> ?",
        )
        .bind(paused)
        .bind(catalog.0)
        .bind(name)
        .bind(paused);
    transaction.execute(statement).await?;
    Ok(())
}

/// Notes when a job looked for work, and when it will again.
pub(crate) async fn note_checked(
    transaction: &mut Transaction,
    catalog: CatalogId,
    id: Uuid,
    at: Micros,
    next: Option<Micros>,
    failures: i32,
) -> Result<(), Failure> {
    let statement = transaction
        .statement(
            "UPDATE cn_job SET checked_us = ?, next_us = ?, failures = ? WHERE catalog_id = ? AND job_id = ?",
        )
        .bind(at.0)
        .bind(next.map(|next| next.0))
        .bind(failures)
        .bind(catalog.0)
        .bind(id);
    transaction.execute(statement).await?;
    Ok(())
}
