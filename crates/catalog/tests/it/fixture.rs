//! A catalog on a database of its own, and short words for what tests do with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cenote_catalog::{
    Catalog, CatalogOptions, Commit, Committed, Content, DataFile, Error, Facts, NewFile, NewTable,
    ObjectChange, Op, Producer, ReadSet, TableChange, TableDef,
};
use cenote_datafile::{ColumnStatistics, FileStatistics, Value};
use cenote_store::Secret;
use cenote_vocab::{
    Clock, Epoch, Fence, Field, FieldId, FieldType, FileId, Ids, Micros, Scope, SortField, SortOrder,
    TableId, TableSchema, TimeUnit, Txn,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A catalog under test.
pub(crate) struct Fixture {
    pub(crate) catalog: Catalog,
    pub(crate) scope: Scope,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    url: String,
    data_dir: PathBuf,
    /// Whether a second handle sees the same database.
    pub(crate) durable: bool,
    _directory: Option<tempfile::TempDir>,
}

impl Fixture {
    pub(crate) async fn new(url: String, directory: Option<tempfile::TempDir>, seed: u64) -> Self {
        let clock = Clock::manual(Micros(1_700_000_000_000_000));
        let ids = Ids::seeded(seed, clock.clone());
        let data_dir = directory.as_ref().map(|directory| directory.path().to_owned()).unwrap_or_default();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let durable = url != "sqlite::memory:";
        let catalog = open(&url, &data_dir, &clock, &ids, &tasks, &stop, "node-1").await;
        let scope = catalog.tenant("default").await.expect("read").expect("the first tenant");
        Self { catalog, scope, clock, ids, tasks, stop, url, data_dir, durable, _directory: directory }
    }

    /// Another process's handle on the same database.
    pub(crate) async fn other(&self, holder: &str) -> Catalog {
        open(&self.url, &self.data_dir, &self.clock, &self.ids, &self.tasks, &self.stop, holder).await
    }

    /// The same database after a stop and a start.
    pub(crate) async fn restart(self) -> Self {
        self.restart_after(&[]).await
    }

    /// The same database after a stop, these statements of a stranger, and a start that may change its layout.
    pub(crate) async fn restart_after(mut self, statements: &[&str]) -> Self {
        if !self.durable {
            return self;
        }
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.catalog.close().await;
        if !statements.is_empty() {
            self.run_directly(statements).await;
        }
        (self.tasks, self.stop) = (TaskTracker::new(), CancellationToken::new());
        let options =
            CatalogOptions { auto_migrate: Some(true), ..options(&self.url, &self.data_dir, "node-1") };
        let (clock, ids) = (self.clock.clone(), self.ids.clone());
        self.catalog =
            Catalog::open(options, clock, ids, &self.tasks, self.stop.clone()).await.expect("open");
        self
    }

    async fn run_directly(&self, statements: &[&str]) {
        use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
        let text = statements.join(";");
        if self.url == "sqlite" {
            let url = format!("sqlite://{}", self.data_dir.join("catalog.db").display());
            let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("the file");
            connection.execute(AssertSqlSafe(text)).await.expect("ran");
            connection.close().await.expect("closed");
        } else {
            let mut connection = sqlx::PgConnection::connect(&self.url).await.expect("the server");
            for statement in statements {
                connection.execute(AssertSqlSafe((*statement).to_owned())).await.expect("ran");
            }
            connection.close().await.expect("closed");
        }
    }

    /// Another view of the same catalog, whose scope may be changed.
    pub(crate) fn borrowed(&self) -> Self {
        Self {
            catalog: self.catalog.clone(),
            scope: self.scope.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            tasks: self.tasks.clone(),
            stop: self.stop.clone(),
            url: self.url.clone(),
            data_dir: self.data_dir.clone(),
            durable: self.durable,
            _directory: None,
        }
    }

    pub(crate) fn commit(&self) -> Commit {
        Commit {
            commit_id: self.ids.uuid(),
            scope: self.scope.clone(),
            producers: Vec::new(),
            facts: Facts { operation: "test".into(), ..Facts::default() },
            tables: Vec::new(),
            objects: Vec::new(),
        }
    }

    pub(crate) async fn change_object(&self, change: ObjectChange) -> Result<Committed, Error> {
        self.catalog.apply(Commit { objects: vec![change], ..self.commit() }).await
    }

    pub(crate) async fn change(&self, table: TableId, ops: Vec<Op>) -> Result<Committed, Error> {
        self.change_at(table, self.head().await, ops).await
    }

    pub(crate) async fn change_at(
        &self,
        table: TableId,
        base: Txn,
        ops: Vec<Op>,
    ) -> Result<Committed, Error> {
        let change = TableChange { table, base, read: ReadSet::None, ops };
        self.catalog.apply(Commit { tables: vec![change], ..self.commit() }).await
    }

    pub(crate) async fn append(&self, table: TableId, rows: u64) -> FileId {
        let committed =
            self.change(table, vec![Op::Append { files: vec![self.file(rows)] }]).await.expect("append");
        let def = self.by_id(table).await;
        let files = self.catalog.files(&self.scope, &def, committed.txn, None).await.expect("files");
        files.iter().find(|file| file.begin_txn == committed.txn).expect("the new file").id
    }

    pub(crate) async fn head(&self) -> Txn {
        self.catalog.head(&self.scope).await.expect("head").txn
    }

    pub(crate) fn file(&self, rows: u64) -> NewFile {
        file(&format!("data/{}.parquet", self.ids.uuid()), rows)
    }

    pub(crate) async fn new_table(&self, name: &str) -> NewTable {
        let id = self.catalog.reserve_table(&self.scope).await.expect("id");
        new_table(id, self.ids.uuid(), self.scope.tenant(), name)
    }

    pub(crate) async fn create(&self, name: &str) -> TableId {
        let new = self.new_table(name).await;
        let id = new.id;
        self.change_object(ObjectChange::CreateTable(Box::new(new))).await.expect("create");
        id
    }

    pub(crate) async fn table(&self, name: &str) -> Result<Arc<TableDef>, Error> {
        let names = self.catalog.names(&self.scope, self.head().await).await.expect("names");
        names.table("default", name).cloned()
    }

    pub(crate) async fn by_id(&self, table: TableId) -> Arc<TableDef> {
        let names = self.catalog.names(&self.scope, self.head().await).await.expect("names");
        names.table_by_id(table).expect("the table").clone()
    }

    pub(crate) async fn files(&self, table: TableId) -> Vec<Arc<DataFile>> {
        let def = self.by_id(table).await;
        self.catalog.files(&self.scope, &def, self.head().await, None).await.expect("files")
    }

    pub(crate) async fn live_rows(&self, table: TableId) -> u64 {
        self.files(table).await.iter().map(|file| file.live_rows()).sum()
    }
}

async fn open(
    url: &str,
    data_dir: &std::path::Path,
    clock: &Clock,
    ids: &Ids,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    holder: &str,
) -> Catalog {
    let options = options(url, data_dir, holder);
    Catalog::open(options, clock.clone(), ids.clone(), tasks, stop.clone()).await.expect("open")
}

fn options(url: &str, data_dir: &std::path::Path, holder: &str) -> CatalogOptions {
    CatalogOptions {
        url: Secret::new(url),
        data_dir: data_dir.to_owned(),
        pool_size: 8,
        statement_cache: 100,
        auto_migrate: None,
        audit_keep: std::time::Duration::from_secs(90 * 86_400),
        holder: holder.to_owned(),
    }
}

pub(crate) fn field(id: i32, name: &str, field_type: FieldType) -> Field {
    Field::new(FieldId(id), name, field_type)
}

/// `time`, `host` and `value`, in the order that ingest makes.
pub(crate) fn new_table(id: TableId, uuid: uuid::Uuid, tenant: &str, name: &str) -> NewTable {
    let sorted = |source| SortField { source: FieldId(source), descending: false, nulls_first: false };
    let columns = TableSchema {
        no: 1,
        fields: vec![
            field(1, "time", FieldType::Timestamp(TimeUnit::Micro)),
            field(2, "host", FieldType::String),
            field(3, "value", FieldType::Int64),
        ],
    };
    NewTable {
        sort: SortOrder { no: 1, fields: vec![sorted(2), sorted(1)] },
        time_field: Some(FieldId(1)),
        properties: [("row_lineage", "off"), ("tags", "host")]
            .map(|(option, value)| (option.to_owned(), value.to_owned()))
            .into(),
        ..NewTable::plain(tenant, (id, uuid), ("default", name), columns)
    }
}

pub(crate) fn file(path: &str, rows: u64) -> NewFile {
    NewFile {
        content: Content::Parquet,
        path: path.into(),
        rows,
        bytes: rows * 100,
        footer_bytes: 512,
        schema_no: 1,
        spec_no: 0,
        partition: Vec::new(),
        sort_no: 1,
        level: 0,
        time_range: Some((0, 1_000)),
        statistics: statistics(rows, 0, 100),
        row_ids_stored: false,
    }
}

/// What is known of column `value`.
pub(crate) fn statistics(rows: u64, min: i128, max: i128) -> FileStatistics {
    FileStatistics {
        columns: vec![ColumnStatistics {
            field_id: FieldId(3),
            value_count: rows,
            null_count: 0,
            nan_count: None,
            min: Some(Value::Integer(min)),
            max: Some(Value::Integer(max)),
            min_exact: true,
            max_exact: true,
        }],
    }
}

pub(crate) fn producer(
    name: &str,
    epoch: i64,
    fence: Option<Fence>,
    tables: Option<Vec<TableId>>,
) -> Producer {
    Producer { name: name.into(), epoch: Epoch(epoch), fence, state: None, tables }
}

/// Nothing takes this long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
