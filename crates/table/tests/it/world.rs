//! A lake with one table `default.cpu (time, host, value)`, by day, sorted by (host, time).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{
    Alter, Commit, Committed, Facts, NewTable, ObjectChange, Op, ReadSet, RowChange, TableChange, TableDef,
};
use cenote_datafile::{DeletionVector, Level, RowSet, arrow_schema};
use cenote_table::{Lake, OptimizeMode, OptimizeOutcome, Predicate, Scan, ScanFile};
use cenote_testkit::lake::TestLake;
use cenote_vocab::{
    Clock, Field, FieldId, FieldType, FileId, Ids, PartitionField, PartitionSpec, Scope, SortField,
    SortOrder, TableSchema, TimeUnit, Transform, Txn,
};
use futures::TryStreamExt;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

pub(crate) const DAY: i64 = 86_400_000_000;
pub(crate) const TIME: FieldId = FieldId(1);
pub(crate) const HOST: FieldId = FieldId(2);
pub(crate) const VALUE: FieldId = FieldId(3);

/// (time in µs, host, value); a NULL value is none.
pub(crate) type Row = (i64, String, Option<f64>);

pub(crate) fn row(time: i64, host: &str, value: f64) -> Row {
    (time, host.to_owned(), Some(value))
}

/// Crash points are the whole process's: tests that set some run alone.
static CRASH_POINTS: LazyLock<Arc<RwLock<()>>> = LazyLock::new(Arc::default);

#[expect(dead_code, reason = "held, not read")]
enum Turn {
    Shared(OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
}

pub(crate) struct World {
    pub(crate) lake: Lake,
    pub(crate) scope: Scope,
    pub(crate) clock: Clock,
    _disk: TestLake,
    _turn: Turn,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_memory(1 << 30).await
    }

    /// With so many bytes for writing and compaction.
    pub(crate) async fn with_memory(bytes: u64) -> Self {
        let turn = Turn::Shared(CRASH_POINTS.clone().read_owned().await);
        Self::build(bytes, turn).await
    }

    /// While no other test runs.
    #[cfg(feature = "failpoints")]
    pub(crate) async fn alone() -> Self {
        let turn = Turn::Alone(CRASH_POINTS.clone().write_owned().await);
        Self::build(1 << 30, turn).await
    }

    async fn build(memory: u64, turn: Turn) -> Self {
        // Near the time that the store's clock gives to objects.
        let clock = Clock::manual(Clock::system().now());
        let ids = Ids::seeded(7, clock.clone());
        let disk = TestLake::with(clock.clone(), ids, memory).await;
        let (mut lake, scope) = (disk.lake.clone(), disk.scope.clone());
        lake.options.inline_bytes_max = 0;
        let world = Self { lake, scope, clock, _disk: disk, _turn: turn };
        world.create("cpu", BTreeMap::new()).await;
        world
    }

    /// From now on few rows become inline batches.
    pub(crate) fn inline(mut self) -> Self {
        self.lake.options.inline_bytes_max = 64 << 10;
        self
    }

    pub(crate) async fn create(&self, name: &str, properties: BTreeMap<String, String>) -> Committed {
        let id = self.lake.catalog.reserve_table(&self.scope).await.unwrap();
        let uuid = self.lake.ids.uuid();
        let field =
            |id, name: &str, field_type, required| Field { required, ..Field::new(id, name, field_type) };
        let sort = |source| SortField { source, descending: false, nulls_first: false };
        let columns = TableSchema {
            no: 1,
            fields: vec![
                field(TIME, "time", FieldType::Timestamp(TimeUnit::Micro), true),
                field(HOST, "host", FieldType::String, false),
                field(VALUE, "value", FieldType::Double, false),
            ],
        };
        let table = NewTable {
            spec: PartitionSpec {
                no: 1,
                fields: vec![PartitionField { part_field_id: 1000, source: TIME, transform: Transform::Day }],
            },
            sort: SortOrder { no: 1, fields: vec![sort(HOST), sort(TIME)] },
            time_field: Some(TIME),
            properties,
            ..NewTable::plain(self.scope.tenant(), (id, uuid), ("default", name), columns)
        };
        self.commit(Vec::new(), vec![ObjectChange::CreateTable(Box::new(table))]).await.unwrap()
    }

    pub(crate) async fn commit(
        &self,
        tables: Vec<TableChange>,
        objects: Vec<ObjectChange>,
    ) -> Result<Committed, cenote_catalog::Error> {
        let facts = Facts { operation: "test".into(), ..Facts::default() };
        let commit = Commit {
            commit_id: self.lake.ids.uuid(),
            scope: self.scope.clone(),
            producers: Vec::new(),
            facts,
            tables,
            objects,
        };
        self.lake.catalog.apply(commit).await
    }

    pub(crate) async fn change(&self, op: Op) -> Result<Committed, cenote_catalog::Error> {
        let (table, base) = (self.table().await.id, self.head().await);
        self.commit(vec![TableChange { table, base, read: ReadSet::None, ops: vec![op] }], Vec::new()).await
    }

    pub(crate) async fn head(&self) -> Txn {
        self.lake.catalog.head(&self.scope).await.unwrap().txn
    }

    pub(crate) async fn table(&self) -> Arc<TableDef> {
        let names = self.lake.catalog.names(&self.scope, self.head().await).await.unwrap();
        names.table("default", "cpu").unwrap().clone()
    }

    /// Writes rows and commits them.
    pub(crate) async fn append(&self, rows: &[Row]) -> Txn {
        let table = self.table().await;
        let mut writer = self.lake.writer(&self.scope, table.clone(), Level::Fresh);
        writer.write(batch(&table, rows)).await.unwrap();
        let files = writer.finish().await.unwrap().into_files();
        self.change(Op::Append { files }).await.unwrap().txn
    }

    /// Deletes these positions of a file that was seen at the head.
    pub(crate) async fn delete(&self, file: FileId, positions: impl IntoIterator<Item = u64>) -> Txn {
        let scan = self.scan(&Predicate::True).await;
        let entry = scan.files.iter().find(|found| found.entry.id == file).expect("live").entry.clone();
        let seen = entry.vector.as_ref().map(|visible| visible.begin_txn);
        let positions: DeletionVector = positions.into_iter().collect();
        self.change(Op::DeleteRows { file, seen, positions, kind: RowChange::Delete }).await.unwrap().txn
    }

    pub(crate) async fn add_tag(&self, name: &str) {
        let alter = Alter::AddColumns {
            columns: vec![(name.to_owned(), FieldType::String)],
            tags: vec![name.to_owned()],
            if_not_exists: false,
        };
        self.change(Op::Alter(alter)).await.unwrap();
    }

    pub(crate) async fn scan(&self, predicate: &Predicate) -> Scan {
        let head = self.head().await;
        self.lake.scan(&self.scope, &*self.table().await, head, predicate).await.unwrap()
    }

    /// Rows of one file in its order, deleted ones left out; columns as of now.
    pub(crate) async fn read(&self, file: &ScanFile) -> Vec<Row> {
        let table = self.table().await;
        let rows = RowSet::live(file.entry.vector.as_ref().map(|visible| visible.vector.clone()));
        let batches =
            self.lake.read_file(&self.scope, &table, &file.entry, rows, &table.schema).await.unwrap();
        let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
        batches.iter().flat_map(rows_of).collect()
    }

    /// All rows as of a version, sorted.
    pub(crate) async fn rows_at(&self, at: Txn) -> Result<Vec<Row>, cenote_table::Error> {
        let scan = self.lake.scan(&self.scope, &*self.table().await, at, &Predicate::True).await?;
        let mut rows = Vec::new();
        for file in &scan.files {
            rows.extend(self.read(file).await);
        }
        Ok(sorted(rows))
    }

    pub(crate) async fn rows(&self) -> Vec<Row> {
        self.rows_at(self.head().await).await.unwrap()
    }

    pub(crate) async fn optimize(&self, mode: OptimizeMode) -> Vec<OptimizeOutcome> {
        self.lake.optimize(&self.scope, &self.table().await, mode, &Predicate::True, false).await.unwrap()
    }

    /// Paths of all objects in the store.
    pub(crate) async fn objects(&self) -> BTreeSet<String> {
        let all = self.lake.store.list(&object_store::path::Path::from(self.scope.tenant()));
        all.map_ok(|object| object.path.to_string()).try_collect().await.unwrap()
    }

    /// Paths of the files of the newest version.
    pub(crate) async fn live(&self) -> BTreeSet<String> {
        self.scan(&Predicate::True).await.files.iter().map(|file| file.path.to_string()).collect()
    }
}

/// A batch of the table's present columns; those that were added are NULL.
pub(crate) fn batch(table: &TableDef, rows: &[Row]) -> RecordBatch {
    let schema = arrow_schema(&table.schema);
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1.as_str()))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.2))),
    ];
    for field in &schema.fields()[3..] {
        columns.push(arrow::array::new_null_array(field.data_type(), rows.len()));
    }
    RecordBatch::try_new(schema, columns).unwrap()
}

pub(crate) fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let time = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    let host = batch.column(1).as_string::<i32>();
    let value = batch.column(2).as_primitive::<Float64Type>();
    let value = |row| value.is_valid(row).then(|| value.value(row));
    (0..batch.num_rows()).map(|row| (time.value(row), host.value(row).to_owned(), value(row))).collect()
}

pub(crate) fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    rows
}

/// `count` rows of day `day`, in an order that is not the table's.
pub(crate) fn day_of_rows(day: i64, count: i64) -> Vec<Row> {
    let row = |at: i64| row(day * DAY + (at * 7_919) % DAY, &format!("host-{}", at * 31 % 17), at as f64);
    (0..count).map(row).collect()
}
