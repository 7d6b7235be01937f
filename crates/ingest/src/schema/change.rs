//! Makes tables and columns before the rows that need them: one commit for a request.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cenote_catalog::{
    Alter, Commit, Committed, Error as CatalogError, Facts, Names, ObjectChange, Op, ReadSet, TableChange,
};
use cenote_table::Form;
use cenote_vocab::{ErrorKind, Fault, FieldId, FieldType, Micros, Scope, TableId, Txn};
use parking_lot::Mutex;
use tokio::sync::OwnedRwLockWriteGuard;

use super::creation::Creation;
use super::resolve::Change;
use crate::ingest::Inner;
use crate::tables::TableState;
use crate::write::Work;
use crate::{Error, Ingest};

/// Schema changes of one table within [`WINDOW`].
const CHANGES_MAX: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);

/// How often the columns of each table changed of late.
#[derive(Debug, Default)]
pub(crate) struct ChangeRates(Mutex<HashMap<TableId, (Micros, u32)>>);

impl ChangeRates {
    /// Counts a change of `table`. `SchemaChanges` if there were too many within a minute.
    pub(crate) fn count(&self, table: TableId, name: &str, now: Micros) -> Result<(), Error> {
        let mut rates = self.0.lock();
        rates.retain(|_, (begun, _)| now.since(*begun) < WINDOW);
        let (begun, changes) = rates.entry(table).or_insert((now, 0));
        if *changes >= CHANGES_MAX {
            let retry_after = WINDOW.saturating_sub(now.since(*begun));
            return Err(Error::SchemaChanges {
                table: name.to_owned(),
                changes_max: CHANGES_MAX,
                retry_after,
            });
        }
        *changes += 1;
        Ok(())
    }
}

impl Inner {
    /// Applies what the rows of a request need. `Ok` also if another request was first: the caller reads the names again.
    pub(crate) async fn change_schemas(
        self: &Arc<Self>,
        work: &Work,
        names: &Names,
        base: Txn,
        changes: Vec<Change>,
    ) -> Result<(), Error> {
        let (identity, database) = (&work.identity, work.database.as_str());
        let now = self.lake.clock.now();
        let mut commit = Commit {
            commit_id: self.lake.ids.uuid(),
            scope: identity.scope.clone(),
            producers: Vec::new(),
            facts: Facts {
                operation: "ingest".to_owned(),
                caller: work.caller.clone(),
                message: Some("schema on write".to_owned()),
                ..Facts::default()
            },
            tables: Vec::new(),
            objects: Vec::new(),
        };
        let creation = Creation {
            scope: &identity.scope,
            ids: &self.lake.ids,
            database,
            partition: &self.options.partition,
            dedup: self.lake.options.dedup,
        };
        let mut held = Vec::new();
        for change in changes {
            match change {
                Change::Create { name, columns, tags } => {
                    if commit.objects.is_empty() && !names.schemas.contains_key(database) {
                        let name = database.to_owned();
                        commit.objects.push(ObjectChange::CreateSchema { name, if_not_exists: true });
                    }
                    let id = self.lake.catalog.reserve_table(&identity.scope).await?;
                    let table = creation.table(id, &name, columns, &tags)?;
                    commit.objects.push(ObjectChange::CreateTable(Box::new(table)));
                }
                Change::Alter { table, add, tags, widen } => {
                    self.rates.count(table.id, &table.full_name(), now)?;
                    if widen.iter().any(|(column, _)| needs_statistics(table.schema.field_by_id(*column))) {
                        held.push(table.id);
                    }
                    commit.tables.push(alter(table.id, base, add, tags, widen));
                }
            }
        }
        self.commit_change(commit, held).await
    }

    /// `held`: tables whose buffered values decide. No row is added to them until the commit, and all are in files.
    async fn commit_change(self: &Arc<Self>, commit: Commit, mut held: Vec<TableId>) -> Result<(), Error> {
        held.sort();
        let hold = self.hold(held).await?;
        match self.lake.catalog.apply(commit).await {
            Ok(committed) => {
                hold.changed(&committed);
                Ok(())
            }
            Err(error) if was_overtaken(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Holds tables, which are in order of their ids: two holders could wait for each other else.
    async fn hold(self: &Arc<Self>, tables: Vec<TableId>) -> Result<Hold, Error> {
        let mut held = Vec::with_capacity(tables.len());
        for table in tables {
            let state = self.tables.of(table);
            held.push((table, state.appends.clone().write_owned().await, state));
        }
        if !held.is_empty() {
            self.log_barrier().await;
        }
        for (table, _, _) in &held {
            self.flush_table(*table, Form::Any).await?;
        }
        Ok(Hold { tables: held })
    }
}

/// Tables whose rows are all in files, and to which ingest adds none until this is dropped.
pub struct Hold {
    tables: Vec<(TableId, OwnedRwLockWriteGuard<()>, Arc<TableState>)>,
}

impl Hold {
    /// Rows that were read into the columns as they were before are read anew, because values decided about the change.
    pub fn changed(&self, committed: &Committed) {
        for (table, _, state) in &self.tables {
            if let Some(schema) = committed.schemas.get(table) {
                state.schema_floor.store(schema.no, Ordering::Release);
            }
        }
    }
}

impl Ingest {
    /// Flushes the table and lets ingest add no row to it until the hold is dropped: for a change of columns about which the values
    /// of all rows decide.
    pub async fn hold(&self, scope: &Scope, table: TableId) -> Result<Hold, Error> {
        self.inner.tenants.know(scope);
        self.inner.hold(vec![table]).await
    }
}

fn alter(
    table: TableId,
    base: Txn,
    columns: Vec<(String, FieldType)>,
    tags: Vec<String>,
    widen: Vec<(FieldId, FieldType)>,
) -> TableChange {
    let widen = widen.into_iter().map(|(column, field_type)| Alter::WidenColumn { column, field_type });
    let mut ops: Vec<Op> = widen.map(Op::Alter).collect();
    if !(columns.is_empty() && tags.is_empty()) {
        ops.push(Op::Alter(Alter::AddColumns { columns, tags, if_not_exists: true }));
    }
    TableChange { table, base, read: ReadSet::None, ops }
}

/// True for a widening that stored values may forbid; a column of only NULLs has none.
fn needs_statistics(field: Option<&cenote_vocab::Field>) -> bool {
    field.is_some_and(|field| field.field_type != FieldType::Unknown)
}

/// True if reading the names again shows what is to be done now.
fn was_overtaken(error: &CatalogError) -> bool {
    matches!(error, CatalogError::OutcomeUnknown(_))
        || matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound)
            && !matches!(error, CatalogError::Fenced { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_changes_a_minute_and_no_more() {
        let rates = ChangeRates::default();
        let second = |n: i64| Micros(n * 1_000_000);
        for _ in 0..CHANGES_MAX {
            rates.count(TableId(1), "t", second(0)).expect("allowed");
        }
        let refused = rates.count(TableId(1), "t", second(20)).expect_err("too many");
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(40)));
        rates.count(TableId(2), "u", second(20)).expect("another table");
        rates.count(TableId(1), "t", second(60)).expect("a new minute");
    }
}
