//! Rows of `cn_staged`: files of rows that a check kept out of their table.

use cenote_vocab::{CatalogId, Micros, TableId, Tuple};
use uuid::Uuid;

use super::file::{object_hash, object_path};
use super::{Cell, Database, Failure, Transaction};
use crate::registry::{STAGED, TRASH};
use crate::task::{StagedRows, TaskEnd};
use crate::{Content, NewFile};

/// Keeps the files that come with the end of a task until an instant.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    catalog: CatalogId,
    (end, staged): (&TaskEnd, &StagedRows),
    expires: Micros,
) -> Result<(), Failure> {
    let row = |(n, file): (i64, &NewFile)| -> Vec<Cell> {
        let payload = match &file.content {
            Content::Inline(Some(payload)) => Cell::Bytes(payload.to_vec()),
            _ => Cell::Null,
        };
        let path = (!file.is_inline()).then(|| object_path(&staged.location, &file.path));
        vec![
            catalog.0.into(),
            end.run.into(),
            end.key.as_str().into(),
            n.into(),
            staged.table.into(),
            file.path.as_str().into(),
            path.as_deref().into(),
            path.as_deref().map(object_hash).into(),
            file.rows.into(),
            file.bytes.into(),
            i64::from(file.footer_bytes).into(),
            file.schema_no.into(),
            file.row_ids_stored.into(),
            payload,
            expires.0.into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = (0..).zip(&staged.files).map(row).collect();
    transaction.insert(&STAGED, &rows).await
}

/// What is kept of a run for a table.
pub(crate) async fn rows(
    database: &Database,
    catalog: CatalogId,
    (table, run): (TableId, Uuid),
    now: Micros,
) -> Result<Vec<NewFile>, Failure> {
    let statement = database
        .statement(
            "SELECT path, row_count, size_bytes, footer_bytes, schema_no, row_ids_stored, payload FROM cn_staged \
             WHERE catalog_id = ? AND run_id = ? AND table_id = ? AND expires_us > ? ORDER BY task_key, n",
        )
        .bind(catalog.0)
        .bind(run)
        .bind(table)
        .bind(now.0);
    let mut files = Vec::new();
    for mut row in database.query(statement).await? {
        let (path, rows, bytes) = (row.text()?, row.count()?, row.count()?);
        let footer_bytes = u32::try_from(row.int()?).unwrap_or(0);
        let (schema_no, row_ids_stored) = (row.small()?, row.flag()?);
        let content = match row.optional_bytes()? {
            Some(payload) => Content::Inline(Some(payload.into())),
            None => Content::Parquet,
        };
        files.push(NewFile {
            content,
            path,
            rows,
            bytes,
            footer_bytes,
            schema_no,
            spec_no: 0,
            partition: Tuple::default(),
            sort_no: 0,
            level: 0,
            time_range: None,
            statistics: Default::default(),
            row_ids_stored,
        });
    }
    Ok(files)
}

/// Forgets what was kept long enough, at most `rows_max`; its objects wait in `cn_trash`. Answers how many.
pub(crate) async fn expire(
    transaction: &mut Transaction,
    catalog: CatalogId,
    now: Micros,
    rows_max: u32,
) -> Result<u64, Failure> {
    let statement = transaction
        .statement(
            "SELECT run_id, task_key, n, object_path, size_bytes FROM cn_staged \
             WHERE catalog_id = ? AND expires_us <= ? ORDER BY run_id, task_key, n LIMIT ?",
        )
        .bind(catalog.0)
        .bind(now.0)
        .bind(i64::from(rows_max));
    let (mut keys, mut trash) = (Vec::new(), Vec::new());
    for mut row in transaction.query(statement).await? {
        keys.push((row.uuid()?, row.text()?, row.int()?));
        let (path, bytes) = (row.optional_text()?, row.count()?);
        trash.extend(path.map(|path| -> Vec<Cell> {
            vec![
                catalog.0.into(),
                object_hash(&path).into(),
                path.as_str().into(),
                bytes.into(),
                now.0.into(),
                now.0.into(),
                "staged".into(),
            ]
        }));
    }
    transaction.insert_missing(&TRASH, &trash).await?;
    let expired = keys.len() as u64;
    for (run, key, n) in keys {
        let statement = transaction
            .statement("DELETE FROM cn_staged WHERE catalog_id = ? AND run_id = ? AND task_key = ? AND n = ?")
            .bind(catalog.0)
            .bind(run)
            .bind(key)
            .bind(n);
        transaction.execute(statement).await?;
    }
    Ok(expired)
}

/// True if a path is of a file that is kept.
pub(crate) async fn is_kept(database: &Database, catalog: CatalogId, path: &str) -> Result<bool, Failure> {
    let statement = database
        .statement("SELECT 1 FROM cn_staged WHERE path_hash = ? AND catalog_id = ? LIMIT 1")
        .bind(object_hash(path))
        .bind(catalog.0);
    Ok(database.row(statement).await?.is_some())
}
