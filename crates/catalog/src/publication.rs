//! Metadata as files: what was published, and the one state of the database that the next publication is made of.
//!
//! A publication takes no transaction number: it changes nothing that a reader of any version sees, and one that took a number
//! would itself be something to publish. Its row is what makes a manifest visible.

use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatchOptions};
use arrow::compute::{SortColumn, lexsort_to_indices, take};
use arrow::record_batch::RecordBatch;
use cenote_vocab::{Fence, Micros, Scope, Txn};
use tokio::time::{Instant, timeout_at};

use crate::committer::{HeadRow, check_active};
use crate::inner::Inner;
use crate::registry::{PublishedKind, PublishedTable};
use crate::sql::{Statement, Transaction, head, lease, publication};
use crate::{Catalog, Error, Head, Lease, system};

/// A manifest that readers may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Dense per catalog, from 1.
    pub manifest_id: i64,
    /// What it shows: everything up to this transaction.
    pub txn: Txn,
    /// The manifest's path below the storage root.
    pub path: String,
    /// Of the manifest, in hex.
    pub sha256: String,
    /// Files that it names.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When.
    pub published: Micros,
}

/// One state of the catalog while it is read for publication; dropping it ends it.
pub struct PublicationReader {
    transaction: Transaction,
    scope: Scope,
    head: HeadRow,
}

impl Catalog {
    /// Takes the lease of publishing this catalog; `None` while another process holds it. Who held it in this process before
    /// publishes nothing any more.
    pub async fn take_publisher(&self, scope: &Scope, ttl: Duration) -> Result<Option<Lease>, Error> {
        Ok(lease::take(&self.inner.database, &lease_name(scope), &self.inner.holder, ttl).await?)
    }

    /// Ends the lease now, so that nobody need wait for it.
    pub async fn release_publisher(&self, lease: &Lease) -> Result<(), Error> {
        let inner = &self.inner;
        Ok(lease::release(&inner.database, &lease.name, &inner.holder, lease.fence).await?)
    }

    /// Begins to read what a publication is made of: all of it as of one head.
    pub async fn read_for_publication(&self, scope: &Scope) -> Result<PublicationReader, Error> {
        let mut transaction = self.inner.database.read().await?;
        let head = head::read_in(&mut transaction, scope.catalog()).await?;
        Ok(PublicationReader { transaction, scope: scope.clone(), head })
    }

    /// Makes a manifest visible. `Fenced` if the lease was lost, or another publisher was first.
    pub async fn publish(&self, scope: &Scope, new: &Publication, lease: &Lease) -> Result<(), Error> {
        let inner = &self.inner;
        let mut transaction = begin(inner, scope, lease).await?;
        let newest = publication::newest(&mut transaction, scope.catalog()).await?;
        if newest.map_or(0, |newest| newest.manifest_id) + 1 != new.manifest_id {
            return Err(Error::Fenced { name: lease.name.clone() });
        }
        publication::insert(&mut transaction, scope.catalog(), new).await?;
        transaction.commit().await?;
        inner.published.notify_waiters();
        Ok(())
    }

    /// Forgets manifests: from here on readers are told that they were collected.
    pub async fn forget_publications(&self, scope: &Scope, ids: &[i64], lease: &Lease) -> Result<(), Error> {
        let mut transaction = begin(&self.inner, scope, lease).await?;
        for id in ids {
            publication::delete(&mut transaction, scope.catalog(), *id).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// All manifests that are kept, newest first.
    pub async fn publications(&self, scope: &Scope) -> Result<Vec<Publication>, Error> {
        let mut transaction = self.inner.database.read().await?;
        let all = publication::all(&mut transaction, scope.catalog()).await?;
        transaction.rollback().await?;
        Ok(all)
    }

    /// The newest manifest; `None` if nothing was published so far.
    pub async fn newest_publication(&self, scope: &Scope) -> Result<Option<Publication>, Error> {
        let mut transaction = self.inner.database.read().await?;
        let newest = publication::newest(&mut transaction, scope.catalog()).await?;
        transaction.rollback().await?;
        Ok(newest)
    }

    /// The newest manifest once it shows `txn`; what there is after `wait`.
    pub async fn wait_for_publication(
        &self,
        scope: &Scope,
        txn: Txn,
        wait: Duration,
    ) -> Result<Option<Publication>, Error> {
        let until = Instant::now() + wait;
        loop {
            let news = self.inner.published.notified();
            tokio::pin!(news);
            news.as_mut().enable(); // before the look, or a publication in between would be missed
            let newest = self.newest_publication(scope).await?;
            let shown = newest.as_ref().is_some_and(|newest| newest.txn >= txn);
            if shown || timeout_at(until, news).await.is_err() {
                return Ok(newest);
            }
        }
    }
}

impl PublicationReader {
    /// The newest transaction that is seen.
    pub fn head(&self) -> Head {
        Head { txn: self.head.txn, committed: self.head.committed, ddl_txn: self.head.ddl_txn }
    }

    /// The rows as files have them, sorted by their key; of a log, those made in `from < txn <= to`.
    pub async fn rows(
        &mut self,
        table: &PublishedTable,
        range: Option<(Txn, Txn)>,
    ) -> Result<RecordBatch, Error> {
        let Some(live) = table.live() else {
            return Err(Error::Internal(format!("{} is published and not declared", table.name)));
        };
        let columns = live.columns.iter().map(|column| format!("\"{}\"", column.name));
        let names = columns.collect::<Vec<_>>().join(", ");
        let shown = live.columns.iter().map(|column| match table.redacted.contains(&column.name) {
            true => "NULL".to_owned(),
            false => format!("q.\"{}\"", column.name),
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        let statement = Statement::new(self.transaction.dialect(), &format!("WITH q({names}) AS ("));
        let mut statement = system::push_query(statement, live, &self.scope);
        statement.push(&format!(") SELECT {shown} FROM q"));
        if let (Some((from, to)), PublishedKind::Log { txn, only }) = (range, table.kind) {
            statement.push(&format!(" WHERE q.\"{txn}\" > ? AND q.\"{txn}\" <= ?"));
            statement = statement.bind(from).bind(to);
            if let Some(condition) = only {
                statement.push(&format!(" AND {condition}"));
            }
        }
        let rows = self.transaction.query(statement).await?;
        sorted(table, &system::batch(live, rows)?)
    }

    /// Ends it.
    pub async fn close(self) -> Result<(), Error> {
        Ok(self.transaction.rollback().await?)
    }
}

/// The rows by their key, in the columns of files.
fn sorted(table: &PublishedTable, batch: &RecordBatch) -> Result<RecordBatch, Error> {
    let internal = |error: arrow::error::ArrowError| Error::Internal(error.to_string());
    let missing = || Error::Internal(format!("{} lacks a column of its key", table.name));
    let key = table.key.iter().map(|name| {
        let values = batch.column_by_name(name).ok_or_else(missing)?.clone();
        Ok(SortColumn { values, options: None })
    });
    let key = key.collect::<Result<Vec<_>, Error>>()?;
    let order = lexsort_to_indices(&key, None).map_err(internal)?;
    let columns = batch.columns().iter().map(|column| take(column, &order, None));
    let columns = columns.collect::<Result<Vec<ArrayRef>, _>>().map_err(internal)?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(table.schema(), columns, &options).map_err(internal)
}

/// A change under the lease.
async fn begin(inner: &Inner, scope: &Scope, lease: &Lease) -> Result<Transaction, Error> {
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    let fence: Fence = lease.fence;
    let own = lease.name == lease_name(scope);
    if own && lease::holds(&mut transaction, &lease.name, &inner.holder, fence).await? {
        return Ok(transaction);
    }
    Err(Error::Fenced { name: lease.name.clone() })
}

fn lease_name(scope: &Scope) -> String {
    format!("publisher/{}", scope.catalog())
}
