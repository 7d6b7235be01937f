use std::time::Duration;

use cenote_datafile::FileStatistics;
use cenote_store::Secret;
use cenote_vocab::{Clock, Field, FieldId, FieldType, Ids, Micros, TableSchema, TimeUnit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    Catalog, CatalogOptions, Commit, Content, Facts, NewFile, NewTable, ObjectChange, Op, ReadSet,
    RetireKind, RowChange, TableChange,
};

/// A table that changes at random, in a catalog in memory.
struct Changing {
    catalog: Catalog,
    scope: Scope,
    ids: Ids,
    table: TableId,
}

impl Changing {
    async fn new() -> Self {
        let clock = Clock::manual(Micros(0));
        let ids = Ids::seeded(11, clock.clone());
        let options = CatalogOptions {
            url: Secret::new("sqlite::memory:"),
            data_dir: ".".into(),
            pool_size: 2,
            statement_cache: 100,
            auto_migrate: None,
            audit_keep: std::time::Duration::from_secs(90 * 86_400),
            holder: "test".into(),
        };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let catalog = Catalog::open(options, clock, ids.clone(), &tasks, stop).await.unwrap();
        catalog.take_active(Duration::from_secs(3600)).await.unwrap().unwrap();
        let scope = catalog.tenant("default").await.unwrap().unwrap();
        let table = catalog.reserve_table(&scope).await.unwrap();
        Self { catalog, scope, ids, table }
    }

    fn commit_of(&self, tables: Vec<TableChange>) -> Commit {
        Commit {
            commit_id: self.ids.uuid(),
            scope: self.scope.clone(),
            producers: vec![],
            facts: Facts { operation: "test".into(), ..Facts::default() },
            tables,
            objects: vec![],
        }
    }

    async fn create(&self) -> Arc<TableDef> {
        let time = Field::new(FieldId(1), "time", FieldType::Timestamp(TimeUnit::Micro));
        let columns = TableSchema { no: 1, fields: vec![time] };
        let new = NewTable::plain("default", (self.table, self.ids.uuid()), ("default", "cpu"), columns);
        let objects = vec![ObjectChange::CreateTable(Box::new(new))];
        self.catalog.apply(Commit { objects, ..self.commit_of(vec![]) }).await.unwrap();
        let names = self.catalog.names(&self.scope, self.head().await).await.unwrap();
        names.table("default", "cpu").unwrap().clone()
    }

    async fn head(&self) -> Txn {
        self.catalog.head(&self.scope).await.unwrap().txn
    }

    fn file(&self) -> NewFile {
        let low = self.ids.below(1_000) as i64;
        NewFile {
            content: Content::Parquet,
            path: format!("data/{}.parquet", self.ids.uuid()),
            rows: 100,
            bytes: 1,
            footer_bytes: 1,
            schema_no: 1,
            spec_no: 0,
            partition: vec![],
            sort_no: 0,
            level: 0,
            time_range: (self.ids.below(10) > 0).then_some((low, low + self.ids.below(50) as i64)),
            statistics: FileStatistics::default(),
            row_ids_stored: false,
        }
    }

    /// Some files come, and rows of one that is there go, or all of it.
    async fn step(&self, def: &TableDef) {
        let base = self.head().await;
        let visible = self.catalog.visible_files(&self.scope, def, base, None).await.unwrap().files;
        let mut ops = vec![Op::Append { files: (0..3).map(|_| self.file()).collect() }];
        if let Some(file) = visible.get(self.ids.below(20) as usize) {
            let seen = file.deleted.map(|(begin, _)| begin);
            let position = self.ids.below(100);
            ops.push(match self.ids.below(2) {
                0 => Op::Retire { files: vec![file.id], kind: RetireKind::Delete },
                _ => Op::DeleteRows {
                    file: file.id,
                    seen,
                    positions: [position].into_iter().collect(),
                    kind: RowChange::Delete,
                },
            });
        }
        let change = TableChange { table: self.table, base, read: ReadSet::None, ops };
        self.catalog.apply(self.commit_of(vec![change])).await.unwrap();
    }
}

#[tokio::test]
async fn the_database_the_index_and_one_that_is_read_anew_show_the_same() {
    let changing = Changing::new().await;
    let def = changing.create().await;
    let (inner, table) = (changing.catalog.inner(), changing.table);
    for _ in 0..60 {
        changing.step(&def).await;
    }
    let found = state::state(&inner.database, table).await.unwrap().unwrap();
    let (first, head) = (def.begin_txn, changing.head().await);
    for at in (first.0..=head.0).map(Txn) {
        let from = changing.ids.below(1_000) as i64;
        for window in [TimeWindow { from, to: from + 30 }, TimeWindow::ALL] {
            let known = inner.files.view(table, at, None).expect("known").visible(at, window).files;
            let asked = ask(inner, table, at, window, &found).await.unwrap().files;
            assert_eq!(known, asked, "asked at {at}");
            let mut transaction = inner.database.read().await.unwrap();
            let anew = load(&mut transaction, table, &found).await.unwrap();
            transaction.rollback().await.unwrap();
            inner.files.keep(table, inner.files.ticket(), anew);
            let anew = inner.files.view(table, at, None).expect("kept").visible(at, window).files;
            assert_eq!(known, anew, "read anew at {at}");
        }
    }
}

#[tokio::test]
async fn the_first_question_about_a_large_table_is_the_databases_and_the_next_is_not() {
    let changing = Changing::new().await;
    let def = changing.create().await;
    for _ in 0..20 {
        changing.step(&def).await;
    }
    let (inner, scope, head) = (changing.catalog.inner(), &changing.scope, changing.head().await);
    let window = Some(TimeWindow { from: 300, to: 500 });
    let known = changing.catalog.visible_files(scope, &def, head, window).await.unwrap().files;
    inner.files.forget();
    let loading = inner.files.lock_loading(def.id).await;
    assert_eq!(visible_of(inner, scope, &def, head, window, 0).await.unwrap().files, known);
    assert!(inner.files.view(def.id, head, None).is_none(), "answered before the index was there");
    drop(loading);
    while inner.files.view(def.id, head, None).is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(visible_of(inner, scope, &def, head, window, 0).await.unwrap().files, known);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_shows_once_it_is_offered_again() {
    let changing = Changing::new().await;
    let def = changing.create().await;
    changing.step(&def).await;
    let (inner, table) = (changing.catalog.inner(), changing.table);
    let memory = inner.memory(changing.scope.catalog());
    let (head, found) = (memory.head(), state::state(&inner.database, table).await.unwrap().unwrap());
    let mut transaction = inner.database.read().await.unwrap();
    let index = load(&mut transaction, table, &found).await.unwrap();
    transaction.rollback().await.unwrap();

    let ops = vec![Op::Append { files: vec![changing.file()] }];
    let change = TableChange { table, base: found.last_txn, read: ReadSet::None, ops };
    let commit = changing.commit_of(vec![change]);
    let committed = changing.catalog.apply(commit.clone()).await.unwrap();
    memory.forget();
    memory.note_head(head.expect("known"));
    inner.files.forget();
    inner.files.keep(table, inner.files.ticket(), index);
    assert!(changing.head().await < committed.txn, "nobody has heard of it");

    let again = changing.catalog.apply(commit).await.unwrap();
    assert_eq!((again.txn, again.replayed, changing.head().await), (committed.txn, true, committed.txn));
    let files =
        changing.catalog.visible_files(&changing.scope, &def, committed.txn, None).await.unwrap().files;
    assert!(files.iter().any(|file| file.begin_txn == committed.txn));
}
