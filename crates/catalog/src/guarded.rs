//! Changes of states under the head lock, beside the commits: what is told of takes a number, all else none.

use cenote_vocab::{CatalogId, Micros, Scope, Txn};
use uuid::Uuid;

use crate::committer::{EventRow, HeadRow, check_active, next_txn};
use crate::inner::Inner;
use crate::sql::{Transaction, event, head, history};
use crate::{Error, Facts, Head, RunOf};

/// A database transaction that holds the head lock.
pub(crate) struct Guarded<'a> {
    inner: &'a Inner,
    catalog: CatalogId,
    head: HeadRow,
    has_told: bool,
    pub(crate) transaction: Transaction,
}

impl<'a> Guarded<'a> {
    /// `Fenced` if this process lost the lease `active`.
    pub(crate) async fn begin(inner: &'a Inner, scope: &Scope) -> Result<Self, Error> {
        let catalog = scope.catalog();
        let mut transaction = inner.database.write().await?;
        let head = head::lock(&mut transaction, catalog).await?;
        inner.check_locked_head(catalog, head.txn)?;
        check_active(inner, &mut transaction).await?;
        Ok(Self { inner, catalog, head, has_told: false, transaction })
    }

    /// The number that is told with next, and the time.
    pub(crate) fn next(&self) -> (Txn, Micros) {
        (Txn(self.head.txn.0 + 1), self.inner.clock.now())
    }

    /// Tells of these under a number of their own, as part of a run if they are; nothing if there are none.
    pub(crate) async fn tell(
        &mut self,
        operation: &str,
        run: Option<Uuid>,
        told: Vec<EventRow>,
    ) -> Result<(), Error> {
        if told.is_empty() {
            return Ok(());
        }
        let facts = Facts { operation: operation.to_owned(), run: run.map(RunOf::Open), ..Facts::default() };
        let row = next_txn(&mut self.head, self.inner, facts);
        let events: Vec<EventRow> =
            told.into_iter().zip(0..).map(|(event, n)| EventRow { txn: row.txn, n, ..event }).collect();
        history::insert(&mut self.transaction, self.catalog, &[row], &[]).await?;
        event::insert(&mut self.transaction, self.catalog, &events).await?;
        self.has_told = true;
        Ok(())
    }

    /// Makes it so, and shows readers what was told.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        if !self.has_told {
            return Ok(self.transaction.commit().await?);
        }
        head::write(&mut self.transaction, self.catalog, &self.head).await?;
        self.transaction.commit().await?;
        let (txn, committed, ddl_txn) = (self.head.txn, self.head.committed, self.head.ddl_txn);
        self.inner.memory(self.catalog).note_head(Head { txn, committed, ddl_txn });
        Ok(())
    }
}
