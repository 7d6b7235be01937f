//! The table that the engine's planner sees.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cenote_catalog::TableDef;
use cenote_datafile::{ROW_ID, literal};
use cenote_ingest::Pin;
use cenote_table::{Lake, Scan, ScanFile, Staging};
use cenote_vocab::{Epoch, Field as StoredField, FieldId, FieldType, Scope, TableId, Txn, WriteDefault};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue, Statistics, project_schema};
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Cast, Expr, TableProviderFilterPushDown};
use datafusion::parquet::arrow::RowNumber;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{BinaryOperator, CaseWhen, Expr as SqlExpr, Ident};

use super::adapter::FieldIdAdapterFactory;
use super::buffer::{by_field_id, conform};
use super::files::{Shown, partitioned_file};
use super::inline::inline_rows;
use super::keyed::KeyedBuffer;
use super::notes::{ScanNote, ScanNotes};
use super::predicate::lower_all;
use super::readers::LakeReaders;
use super::sql_schema;
use super::text_views::text_views;
use crate::Error;
use crate::plan::exact;
use crate::plan::fault::outward;

/// Extra column of an addressed scan: the file's id.
pub(crate) const FILE_COLUMN: &str = "__cenote_file";
/// Extra column of an addressed scan: the row's place in the file, from 0.
pub(crate) const POSITION_COLUMN: &str = "__cenote_position";

/// Extra column of an addressed scan: the row's id, where it is stored with the row.
pub(super) const STORED_ROW_ID: &str = "__cenote_stored_row_id";
/// Extra column of an addressed scan: the row id of the file's first row; NULL for a file that is not committed.
pub(super) const FIRST_ROW_ID: &str = "__cenote_first_row_id";

/// Rows in memory of one partition of the plan; more are spread over threads.
const MEMORY_ROWS_PER_PARTITION: usize = 64 * 1024;

/// One table at one snapshot.
pub(crate) struct LakeTable {
    lake: Lake,
    scope: Scope,
    table: Arc<TableDef>,
    at: Txn,
    columns: SchemaRef,
    source: TableSchema,
    buffer: Option<(Arc<Pin>, Epoch)>,
    staging: Option<Arc<Staging>>,
    addressed: bool,
    text_views: bool,
    notes: ScanNotes,
    /// Of columns that have one, for rows that are written without them.
    defaults: HashMap<String, Expr>,
}

impl LakeTable {
    /// The table's files at `at`, and of the buffer what is not in them: the pinned batches above the epoch.
    pub(crate) fn new(
        lake: Lake,
        scope: Scope,
        table: Arc<TableDef>,
        at: Txn,
        buffer: Option<(Arc<Pin>, Epoch)>,
        notes: ScanNotes,
    ) -> Self {
        let columns = sql_schema(&table.schema);
        let source = TableSchema::from(&columns);
        let defaults = defaults(&table, &columns);
        Self {
            lake,
            scope,
            table,
            at,
            columns,
            source,
            buffer,
            staging: None,
            addressed: false,
            text_views: false,
            notes,
            defaults,
        }
    }

    pub(crate) fn id(&self) -> TableId {
        self.table.id
    }

    /// Ids of its columns, in their order.
    pub(crate) fn field_ids(&self) -> impl Iterator<Item = FieldId> {
        self.table.schema.fields.iter().map(|field| field.id)
    }

    /// With what the transaction has done to its rows.
    #[must_use]
    pub(crate) fn staged(mut self, staging: Arc<Staging>) -> Self {
        self.staging = Some(staging);
        self
    }

    /// Also answers where each row is, [`FILE_COLUMN`] and [`POSITION_COLUMN`], and what [`row_id`] reads. Buffered rows have no
    /// place and are left out.
    #[must_use]
    pub(crate) fn addressed(mut self) -> Self {
        let stored = Field::new(STORED_ROW_ID, DataType::Int64, true);
        let columns = self.columns.fields().iter().map(|field| field.as_ref().clone()).chain([stored]);
        let file = Arc::new(Field::new(FILE_COLUMN, DataType::Int64, false));
        let first = Arc::new(Field::new(FIRST_ROW_ID, DataType::Int64, true));
        let position =
            Arc::new(Field::new(POSITION_COLUMN, DataType::Int64, false).with_extension_type(RowNumber));
        self.source = TableSchema::builder(Arc::new(Schema::new(columns.collect::<Vec<_>>())))
            .with_table_partition_cols(vec![file, first])
            .with_virtual_columns(vec![position])
            .build();
        self.buffer = None;
        self.addressed = true;
        self.text_views = false;
        self
    }

    /// As [`LakeTable::addressed`], with the buffered rows: what says their places is NULL.
    #[must_use]
    pub(super) fn addressed_with_buffer(self) -> Self {
        let buffer = self.buffer.clone();
        Self { buffer, ..self.addressed() }
    }

    /// The table's own columns.
    pub(super) fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// Answers texts as views, which are read from a file and compared without copies of them. For queries: what is written, and
    /// what a pipeline keeps, has the plain types.
    #[must_use]
    pub(crate) fn with_text_views(mut self) -> Self {
        self.source = TableSchema::from(&text_views(&self.columns));
        self.text_views = true;
        self
    }

    fn buffered(&self) -> Result<Vec<RecordBatch>> {
        let Some((pin, flushed)) = &self.buffer else { return Ok(Vec::new()) };
        pin.batches(self.table.id, *flushed)
            .iter()
            .filter(|batch| batch.num_rows() > 0)
            .map(|batch| by_field_id(batch, &self.table.schema, &self.columns))
            .collect()
    }

    /// True unless it is known of every file that no float column of it holds a NaN.
    fn may_hold_nan(&self, scan: &Scan) -> bool {
        let floats: Vec<FieldId> = self
            .table
            .schema
            .fields
            .iter()
            .filter(|field| matches!(field.field_type, FieldType::Float | FieldType::Double))
            .map(|field| field.id)
            .collect();
        scan.files.iter().any(|file| {
            let of_file = |id: &FieldId| file.schema.field_by_id(*id).is_some();
            let clean = |id: &FieldId| {
                file.entry.file.statistics.column(*id).is_some_and(|known| known.nan_count.unwrap_or(0) == 0)
            };
            floats.iter().any(|id| of_file(id) && !clean(id))
        })
    }

    fn file_scan(
        &self,
        session: &dyn Session,
        scan: &Scan,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let runtime = session.runtime_env();
        let store = self.lake.store.objects();
        let known = runtime.cache_manager.get_file_metadata_cache();
        let readers = LakeReaders::new(store, known, self.table.full_name());
        let mut options = session.table_options().parquet.clone();
        if self.may_hold_nan(scan) {
            // Parquet's own statistics leave NaN out, and the engine orders it above every number
            options.global.pruning = false;
            options.global.enable_page_index = false;
        }
        let source = ParquetSource::new(self.source.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let files: Vec<_> =
            scan.files.iter().map(|file| partitioned_file(file, &self.table, self.shown())).collect();
        let statistics = if self.addressed {
            Statistics::new_unknown(self.source.table_schema())
        } else {
            let known = files.iter().filter_map(|file| file.statistics.as_deref());
            Statistics::try_merge_iter(known, self.source.table_schema())?
        };
        let groups = FileGroup::new(files).split_files(session.config().target_partitions());
        let config = FileScanConfigBuilder::new(lake_url()?, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_expr_adapter(Some(Arc::new(self.adapter())))
            .with_limit(limit)
            .with_projection_indices(projection.cloned())?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// The rows of the scan's objects and of its inline batches.
    async fn stored(
        &self,
        session: &dyn Session,
        mut scan: Scan,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let inline: Vec<ScanFile> = scan.files.extract_if(.., |file| file.entry.file.is_inline()).collect();
        let schema = if self.text_views { &self.columns } else { self.source.table_schema() };
        let inline =
            inline_rows((&self.lake, &self.scope), &self.table, &inline, (&self.columns, schema)).await?;
        let mut plans = Vec::with_capacity(3);
        if !scan.files.is_empty() {
            plans.push(self.file_scan(session, &scan, projection, limit)?);
        }
        if !inline.is_empty() {
            plans.push(self.memory_scan(session, inline, self.source.table_schema(), projection)?);
        }
        Ok(plans)
    }

    fn shown(&self) -> Shown {
        match (self.addressed, self.text_views) {
            (true, _) => Shown::Addressed,
            (false, true) => Shown::TextViews,
            (false, false) => Shown::Plain,
        }
    }

    /// Buffered rows; they have no place.
    fn buffer_scan(
        &self,
        session: &dyn Session,
        batches: Vec<RecordBatch>,
        projection: Option<&Vec<usize>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.source.table_schema();
        if !self.addressed {
            return self.memory_scan(session, batches, schema, projection);
        }
        let all = (0..schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let own: Vec<usize> = wanted.iter().copied().filter(|at| *at < self.columns.fields().len()).collect();
        let rows = self.memory_scan(session, batches, &self.columns, Some(&own))?;
        if own.len() == wanted.len() {
            return Ok(rows);
        }
        let shown = wanted.iter().map(|at| {
            let name = schema.field(*at).name();
            let value: Arc<dyn PhysicalExpr> = match own.iter().position(|own| own == at) {
                Some(place) => Arc::new(Column::new(name, place)),
                None => Arc::new(Literal::new(ScalarValue::Int64(None))),
            };
            (value, name.clone())
        });
        Ok(Arc::new(ProjectionExec::try_new(shown, rows)?))
    }

    /// Rows that are in memory: buffered ones, inline batches.
    fn memory_scan(
        &self,
        session: &dyn Session,
        mut batches: Vec<RecordBatch>,
        schema: &SchemaRef,
        projection: Option<&Vec<usize>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.text_views {
            batches = batches.iter().map(|batch| conform(batch, schema)).collect::<Result<_>>()?;
        }
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let threads =
            (rows / MEMORY_ROWS_PER_PARTITION).clamp(1, session.config().target_partitions().max(1));
        let mut partitions = vec![Vec::new(); threads];
        for (at, batch) in batches.into_iter().enumerate() {
            partitions[at % threads].push(batch);
        }
        let memory = MemorySourceConfig::try_new(&partitions, schema.clone(), projection.cloned())?;
        Ok(DataSourceExec::from_data_source(memory))
    }

    fn adapter(&self) -> FieldIdAdapterFactory {
        let factory = FieldIdAdapterFactory::new(&self.table.schema);
        if !self.addressed {
            return factory;
        }
        factory.with(StoredField::new(ROW_ID, STORED_ROW_ID, FieldType::Int64))
    }
}

/// What rows get that are written without a column.
fn defaults(table: &TableDef, columns: &SchemaRef) -> HashMap<String, Expr> {
    let fields = table.schema.fields.iter().zip(columns.fields());
    let defaults =
        fields.filter_map(|(field, shown)| Some((field.name.clone(), column_default(field, shown)?)));
    defaults.collect()
}

/// What a row gets that is written without the column; `None` is NULL.
pub(crate) fn column_default(column: &StoredField, shown: &Field) -> Option<Expr> {
    Some(match column.write_default.as_ref()? {
        WriteDefault::Literal(text) => {
            // checked when it was declared
            let value = literal(&column.field_type, text).ok()?;
            Expr::Literal(ScalarValue::try_from_array(&value, 0).ok()?, None)
        }
        WriteDefault::Now => {
            let now = datafusion::functions::datetime::expr_fn::now();
            Expr::Cast(Cast::new(Box::new(now), shown.data_type().clone()))
        }
        WriteDefault::Uuid => {
            cenote_functions::to_uuid().call(vec![datafusion::functions::string::expr_fn::uuid()])
        }
    })
}

/// The id of a row of an addressed scan, in the words of SQL; NULL for one that no commit has.
pub(crate) fn row_id(table: &Ident) -> SqlExpr {
    let column = |name: &str| Box::new(SqlExpr::CompoundIdentifier(vec![table.clone(), exact(name)]));
    let counted = SqlExpr::BinaryOp {
        left: column(FIRST_ROW_ID),
        op: BinaryOperator::Plus,
        right: column(POSITION_COLUMN),
    };
    let stored = SqlExpr::IsNotNull(column(STORED_ROW_ID));
    SqlExpr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition: stored, result: *column(STORED_ROW_ID) }],
        else_result: Some(Box::new(counted)),
    }
}

/// The name by which plans know the lake's store.
pub(crate) fn lake_url() -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse("cenote://lake")
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        self.source.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.defaults.get(column)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let predicate = lower_all(filters, &self.table);
        let (scope, table) = (&self.scope, &self.table);
        let scan = match &self.staging {
            Some(staging) => self.lake.scan_staged(scope, staging, table, self.at, &predicate).await,
            None => self.lake.scan(scope, table, self.at, &predicate).await,
        };
        let scan = scan.map_err(|error| outward(Error::from(error)))?;
        let mut buffered = self.buffered()?;
        let keyed = KeyedBuffer::of(&self.table, &mut buffered)?;
        self.notes.add(ScanNote {
            table: self.table.full_name(),
            snapshot: scan.txn,
            files: scan.files.len(),
            pruned_by_partition: scan.pruned.by_partition,
            pruned_by_statistics: scan.pruned.by_statistics,
            buffered_rows: buffered.iter().map(RecordBatch::num_rows).sum(),
        });
        let (plain, overlapped) = match &keyed {
            Some(keyed) => keyed.split(scan, &self.table),
            None => (scan, None),
        };
        let mut inputs = self.stored(session, plain, projection, limit).await?;
        if let (Some(keyed), Some(overlapped)) = (&keyed, overlapped) {
            let more = keyed.projection(projection);
            for rows in self.stored(session, overlapped, more.as_ref(), None).await? {
                inputs.push(keyed.hide(rows, projection)?);
            }
        }
        if !buffered.is_empty() {
            inputs.push(self.buffer_scan(session, buffered, projection)?);
        }
        match inputs.len() {
            0 => Ok(Arc::new(EmptyExec::new(project_schema(self.source.table_schema(), projection)?))),
            1 => Ok(inputs.remove(0)),
            _ => UnionExec::try_new(inputs),
        }
    }
}

impl std::fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LakeTable({} at {})", self.table.full_name(), self.at)
    }
}
