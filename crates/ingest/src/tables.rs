//! What ingest keeps in memory of each table that it writes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32};
use std::time::Duration;

use cenote_catalog::TableDef;
use cenote_vocab::{CatalogId, Ids, Micros, TableId};
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, RwLock};

use crate::Error;
use crate::flush::Offered;
use crate::schema::Change;
use crate::wal::Shape;

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// All of them.
#[derive(Default)]
pub(crate) struct Tables {
    states: Mutex<HashMap<TableId, Arc<TableState>>>,
    /// By name, because a table may not be there yet.
    changing: Mutex<HashMap<TableName, Arc<tokio::sync::Mutex<()>>>>,
}

type TableName = (CatalogId, String, String);

/// Who holds them changes the schemas of these tables alone, as far as writes go.
#[derive(Default)]
pub(crate) struct SchemaLocks {
    names: BTreeSet<String>,
    guards: Vec<OwnedMutexGuard<()>>,
}

impl SchemaLocks {
    /// True if all that the changes are about is locked.
    pub(crate) fn cover(&self, changes: &[Change]) -> bool {
        self.names.len() == self.guards.len()
            && changes.iter().all(|change| self.names.contains(change.table()))
    }
}

/// One table's locks and memory.
#[derive(Default)]
pub(crate) struct TableState {
    /// Shared by requests from the check of [`TableState::schema_floor`] until their record is queued; alone for a change of the
    /// schema that depends on all values.
    pub(crate) appends: Arc<RwLock<()>>,
    /// Rows of older schemas are resolved again.
    pub(crate) schema_floor: AtomicI32,
    /// Held by the table's flush, and by direct writes of keyed rows: the commit whose outcome is not known yet.
    pub(crate) flushing: tokio::sync::Mutex<Option<Offered>>,
    /// The flush loop has started a flush that has not ended.
    pub(crate) busy: AtomicBool,
    /// Failed flushes in a row, and when the next may start.
    retry: Mutex<(u32, Micros)>,
    shape: Mutex<Option<Arc<Shape>>>,
}

impl Tables {
    /// The table's state, made at its first use.
    pub(crate) fn of(&self, table: TableId) -> Arc<TableState> {
        self.states.lock().entry(table).or_default().clone()
    }

    /// Waits until nobody else changes these tables' schemas.
    pub(crate) async fn lock_schemas(
        &self,
        catalog: CatalogId,
        database: &str,
        changes: &[Change],
    ) -> SchemaLocks {
        let names: BTreeSet<String> = changes.iter().map(|change| change.table().to_owned()).collect();
        let mut guards = Vec::with_capacity(names.len());
        // In the order of names, or two requests could wait for each other.
        for name in &names {
            let key = (catalog, database.to_owned(), name.clone());
            let lock = self.changing.lock().entry(key).or_default().clone();
            guards.push(lock.lock_owned().await);
        }
        SchemaLocks { names, guards }
    }

    /// The columns of the table at the schema number of `table`.
    pub(crate) fn shape(&self, tenant: &str, table: &TableDef) -> Result<Arc<Shape>, Error> {
        let state = self.of(table.id);
        let mut kept = state.shape.lock();
        if let Some(shape) = kept.as_ref().filter(|shape| shape.schema_no == table.schema.no) {
            return Ok(Arc::clone(shape));
        }
        let names = [tenant, &table.schema_name, &table.name];
        let shape =
            Shape::new(table.id, table.schema.no, names, cenote_datafile::arrow_schema(&table.schema))
                .map_err(|error| {
                    Error::Internal(format!("schema of table {}: {error}", table.full_name()))
                })?;
        let shape = Arc::new(shape);
        if kept.as_ref().is_none_or(|kept| kept.schema_no < shape.schema_no) {
            *kept = Some(Arc::clone(&shape));
        }
        Ok(shape)
    }
}

impl TableState {
    /// True if a failed flush should not be repeated yet.
    pub(crate) fn rests(&self, now: Micros) -> bool {
        now < self.retry.lock().1
    }

    /// A flush ended well.
    pub(crate) fn succeeded(&self) {
        *self.retry.lock() = (0, Micros(i64::MIN));
    }

    /// A flush failed: the next waits 100 ms · 2ⁿ, at most 30 s, less up to half of it by chance.
    pub(crate) fn failed(&self, now: Micros, ids: &Ids) {
        let mut retry = self.retry.lock();
        let pause = RETRY_FIRST.saturating_mul(1 << retry.0.min(16)).min(RETRY_MAX);
        let spread = Duration::from_micros(ids.below(pause.as_micros() as u64 / 2));
        *retry = (retry.0.saturating_add(1), now.plus(pause.saturating_sub(spread)));
    }
}
