//! Rows of `cn_publication`.

use cenote_vocab::{CatalogId, Micros, Txn};

use super::{Failure, Row, Transaction};
use crate::registry::PUBLICATION;
use crate::{Error, Publication};

const COLUMNS: &str = "manifest_id, txn, path, sha256, files, bytes, published_us";

fn decode(mut row: Row) -> Result<Publication, Error> {
    Ok(Publication {
        manifest_id: row.int()?,
        txn: Txn(row.int()?),
        path: row.text()?,
        sha256: row.text()?,
        files: row.count()?,
        bytes: row.count()?,
        published: Micros(row.int()?),
    })
}

/// All, newest first.
pub(crate) async fn all(
    transaction: &mut Transaction,
    catalog: CatalogId,
) -> Result<Vec<Publication>, Failure> {
    let text = format!("SELECT {COLUMNS} FROM cn_publication WHERE catalog_id = ? ORDER BY manifest_id DESC");
    let rows = transaction.query(transaction.statement(&text).bind(catalog.0)).await?;
    Ok(rows.into_iter().map(decode).collect::<Result<_, _>>()?)
}

/// The newest one.
pub(crate) async fn newest(
    transaction: &mut Transaction,
    catalog: CatalogId,
) -> Result<Option<Publication>, Failure> {
    let text = format!(
        "SELECT {COLUMNS} FROM cn_publication WHERE catalog_id = ? ORDER BY manifest_id DESC LIMIT 1"
    );
    let row = transaction.row(transaction.statement(&text).bind(catalog.0)).await?;
    Ok(row.map(decode).transpose()?)
}

/// Adds one.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    catalog: CatalogId,
    new: &Publication,
) -> Result<(), Failure> {
    let row = vec![
        catalog.0.into(),
        new.manifest_id.into(),
        new.txn.into(),
        new.path.as_str().into(),
        new.sha256.as_str().into(),
        new.files.into(),
        new.bytes.into(),
        new.published.0.into(),
    ];
    transaction.insert(&PUBLICATION, &[row]).await
}

/// Removes one.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    catalog: CatalogId,
    manifest_id: i64,
) -> Result<(), Failure> {
    let statement = transaction
        .statement("DELETE FROM cn_publication WHERE catalog_id = ? AND manifest_id = ?")
        .bind(catalog.0)
        .bind(manifest_id);
    transaction.execute(statement).await?;
    Ok(())
}
