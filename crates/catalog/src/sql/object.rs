//! Rows of schemas, tables and columns.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use cenote_vocab::{
    CatalogId, Field, FieldId, FieldType, LIVE, PartitionField, PartitionSpec, SchemaId, SortField,
    SortOrder, TableId, TableSchema, Transform, Txn, WriteDefault,
};
use serde::{Deserialize, Serialize};

use super::{Cell, Failure, Kind, Row, Transaction};
use crate::committer::{FieldRow, SchemaRow, TableRow, Writes};
use crate::evolution::Layouts;
use crate::registry::{FIELD, SCHEMA, SORT_FIELD, SPEC_FIELD, TABLE, TABLE_SCHEMA};
use crate::{Error, Names, SchemaDef, TableDef, TableKind};

/// The parent of columns.
const ROOT: FieldId = FieldId(0);

/// The query of a view, as stored.
#[derive(Serialize, Deserialize)]
struct ViewDefinition {
    sql: String,
    search_path: String,
}

/// The table of this name that was dropped last, also with its schema, and when; `None` if there is none, or a purge has taken it.
pub(crate) async fn last_dropped(
    transaction: &mut Transaction,
    catalog: CatalogId,
    schema: &str,
    name: &str,
) -> Result<Option<(TableId, Txn)>, Failure> {
    // A row that another one of the same table follows was altered, not dropped.
    let statement = transaction
        .statement(&format!(
            "SELECT t.table_id, t.end_txn FROM cn_table t WHERE t.catalog_id = ? AND t.schema_id IN \
             (SELECT s.schema_id FROM cn_schema s WHERE s.catalog_id = t.catalog_id AND s.name = ?) \
             AND t.name = ? AND t.end_txn < {LIVE} AND NOT EXISTS (SELECT 1 FROM cn_table n \
             WHERE n.table_id = t.table_id AND n.begin_txn >= t.end_txn) ORDER BY t.end_txn DESC LIMIT 1"
        ))
        .bind(catalog.0)
        .bind(schema)
        .bind(name);
    let Some(mut row) = transaction.row(statement).await? else { return Ok(None) };
    Ok(Some((TableId(row.int()?), Txn(row.int()?))))
}

/// All names visible at `at`; `ddl_txn` is the caller's to say.
pub(crate) async fn names(
    transaction: &mut Transaction,
    catalog: CatalogId,
    at: Txn,
    ddl_txn: Txn,
) -> Result<Names, Failure> {
    let visible =
        |transaction: &Transaction, text: &str| transaction.statement(text).bind(catalog.0).bind(at).bind(at);
    let statement = visible(
        transaction,
        "SELECT schema_id, schema_uuid, name, properties FROM cn_schema WHERE catalog_id = ? AND begin_txn <= ? AND end_txn > ?",
    );
    let mut schemas = BTreeMap::new();
    let mut schema_names = HashMap::new();
    for mut row in transaction.query(statement).await? {
        let (id, uuid, name) = (SchemaId(row.int()?), row.uuid()?, row.text()?);
        let schema = SchemaDef { id, uuid, name, properties: json(&row.text()?)? };
        schema_names.insert(schema.id, schema.name.clone());
        schemas.insert(schema.name.clone(), (schema, BTreeMap::new()));
    }
    let statement = visible(
        transaction,
        "SELECT t.table_id, f.field_id, f.parent_id, f.name, f.type, f.required, f.initial_default, f.write_default, \
         f.comment FROM cn_table t \
         JOIN cn_field f ON f.table_id = t.table_id AND f.begin_no <= t.schema_no AND f.end_no > t.schema_no \
         WHERE t.catalog_id = ? AND t.begin_txn <= ? AND t.end_txn > ? ORDER BY t.table_id, f.ordinal",
    );
    let mut fields: HashMap<TableId, Vec<StoredField>> = HashMap::new();
    for mut row in transaction.query(statement).await? {
        fields.entry(TableId(row.int()?)).or_default().push(StoredField::decode(&mut row)?);
    }
    let statement = visible(
        transaction,
        "SELECT t.table_id, p.part_field_id, p.source_field, p.transform FROM cn_table t \
         JOIN cn_spec_field p ON p.table_id = t.table_id AND p.spec_no = t.spec_no \
         WHERE t.catalog_id = ? AND t.begin_txn <= ? AND t.end_txn > ? ORDER BY t.table_id, p.ordinal",
    );
    let mut specs: HashMap<TableId, Vec<PartitionField>> = HashMap::new();
    for mut row in transaction.query(statement).await? {
        specs.entry(TableId(row.int()?)).or_default().push(PartitionField {
            part_field_id: row.small()?,
            source: FieldId(row.small()?),
            transform: parse::<Transform>(&row.text()?)?,
        });
    }
    let statement = visible(
        transaction,
        "SELECT t.table_id, o.source_field, o.descending, o.nulls_first FROM cn_table t \
         JOIN cn_sort_field o ON o.table_id = t.table_id AND o.sort_no = t.sort_no \
         WHERE t.catalog_id = ? AND t.begin_txn <= ? AND t.end_txn > ? ORDER BY t.table_id, o.ordinal",
    );
    let mut sorts: HashMap<TableId, Vec<SortField>> = HashMap::new();
    for mut row in transaction.query(statement).await? {
        sorts.entry(TableId(row.int()?)).or_default().push(SortField {
            source: FieldId(row.small()?),
            descending: row.flag()?,
            nulls_first: row.flag()?,
        });
    }
    let statement = visible(
        transaction,
        "SELECT table_id, begin_txn, schema_id, table_uuid, name, kind, location, schema_no, spec_no, sort_no, \
         time_field, key_fields, definition, comment, properties FROM cn_table \
         WHERE catalog_id = ? AND begin_txn <= ? AND end_txn > ?",
    );
    for mut row in transaction.query(statement).await? {
        let id = TableId(row.int()?);
        let (begin_txn, schema_id) = (Txn(row.int()?), SchemaId(row.int()?));
        let schema_name = schema_names.get(&schema_id).ok_or_else(|| {
            Error::Corrupt(format!("table {id} is in schema {schema_id}, which does not exist"))
        })?;
        let (uuid, name, kind) = (row.uuid()?, row.text()?, row.text()?);
        let location = row.text()?;
        let columns = tree(id, fields.remove(&id).unwrap_or_default())?;
        let schema = Arc::new(TableSchema { no: row.small()?, fields: columns });
        let spec = PartitionSpec { no: row.small()?, fields: specs.remove(&id).unwrap_or_default() };
        let sort = SortOrder { no: row.small()?, fields: sorts.remove(&id).unwrap_or_default() };
        let def = TableDef {
            id,
            uuid,
            schema_id,
            schema_name: schema_name.clone(),
            name,
            time_field: row.optional_small()?.map(FieldId),
            key_fields: decode_key(row.optional_text()?)?,
            kind: decode_kind(&kind, row.optional_text()?)?,
            schema,
            spec,
            sort,
            location,
            comment: row.optional_text()?,
            properties: json(&row.text()?)?,
            begin_txn,
        };
        if let Some((_, tables)) = schemas.get_mut(schema_name) {
            tables.insert(def.name.clone(), Arc::new(def));
        }
    }
    Ok(Names { ddl_txn, schemas })
}

/// A row of `cn_field`.
#[derive(Clone)]
struct StoredField {
    parent: FieldId,
    /// Without the fields in it.
    type_text: String,
    field: Field,
}

impl StoredField {
    /// `field_id, parent_id, name, type, required, initial_default, write_default, comment`
    fn decode(row: &mut Row) -> Result<Self, Error> {
        let id = FieldId(row.small()?);
        let parent = FieldId(row.small()?);
        let (name, type_text) = (row.text()?, row.text()?);
        let required = row.flag()?;
        let initial_default = row.optional_text()?;
        let write_default = row.optional_text()?.map(|text| parse::<WriteDefault>(&text)).transpose()?;
        let comment = row.optional_text()?;
        let plain = Field::new(id, name, FieldType::Unknown);
        let field = Field { required, initial_default, write_default, comment, ..plain };
        Ok(Self { parent, type_text, field })
    }
}

/// Columns with the fields in them, from rows in order of their places.
fn tree(table: TableId, rows: Vec<StoredField>) -> Result<Vec<Field>, Error> {
    let mut by_parent: HashMap<FieldId, Vec<StoredField>> = HashMap::new();
    for row in rows {
        by_parent.entry(row.parent).or_default().push(row);
    }
    let columns = grow(&mut by_parent, ROOT)?;
    match by_parent.keys().next() {
        Some(lost) => {
            Err(Error::Corrupt(format!("table {table} has fields in column {lost}, which does not exist")))
        }
        None => Ok(columns),
    }
}

fn grow(by_parent: &mut HashMap<FieldId, Vec<StoredField>>, parent: FieldId) -> Result<Vec<Field>, Error> {
    let rows = by_parent.remove(&parent).unwrap_or_default();
    let grown = |row: StoredField| {
        let children = grow(by_parent, row.field.id)?;
        let field_type = FieldType::stored(&row.type_text, children);
        let field_type = field_type.map_err(|error| Error::Corrupt(error.to_string()))?;
        Ok(Field { field_type, ..row.field })
    };
    rows.into_iter().map(grown).collect()
}

fn decode_key(text: Option<String>) -> Result<Vec<FieldId>, Error> {
    let ids: Vec<i32> = text.map_or(Ok(Vec::new()), |text| json(&text))?;
    Ok(ids.into_iter().map(FieldId).collect())
}

fn decode_kind(kind: &str, definition: Option<String>) -> Result<TableKind, Error> {
    match (kind, definition) {
        ("table", _) => Ok(TableKind::Table),
        ("view", Some(definition)) => {
            let ViewDefinition { sql, search_path } = json(&definition)?;
            Ok(TableKind::View { sql, search_path })
        }
        _ => Err(Error::Corrupt(format!("table kind {kind:?}"))),
    }
}

fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: T::Err| Error::Corrupt(error.to_string()))
}

fn json<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Corrupt(error.to_string()))
}

/// All schemas that the table ever had, by number; `None` if it has no row.
pub(crate) async fn table_schemas(
    transaction: &mut Transaction,
    table: TableId,
) -> Result<HashMap<i32, Arc<TableSchema>>, Failure> {
    let statement = transaction
        .statement("SELECT schema_no FROM cn_table_schema WHERE table_id = ? ORDER BY schema_no")
        .bind(table);
    let numbers: Vec<i32> =
        transaction.query(statement).await?.iter_mut().map(|row| row.small()).collect::<Result<_, _>>()?;
    let statement = transaction
        .statement(
            "SELECT begin_no, end_no, field_id, parent_id, name, type, required, initial_default, write_default, comment \
             FROM cn_field WHERE table_id = ? ORDER BY ordinal",
        )
        .bind(table);
    let mut fields = Vec::new();
    for mut row in transaction.query(statement).await? {
        fields.push((row.small()?, row.small()?, StoredField::decode(&mut row)?));
    }
    let schema = |no: i32| {
        let current = fields.iter().filter(|(begin, end, _)| *begin <= no && no < *end);
        let fields = tree(table, current.map(|(_, _, field)| field.clone()).collect())?;
        Ok((no, Arc::new(TableSchema { no, fields })))
    };
    Ok(numbers.into_iter().map(schema).collect::<Result<_, Error>>()?)
}

/// All partition specs and the newest sort order that the table ever had.
pub(crate) async fn layouts(transaction: &mut Transaction, table: TableId) -> Result<Layouts, Failure> {
    let statement = transaction
        .statement(
            "SELECT spec_no, part_field_id, source_field, transform FROM cn_spec_field \
             WHERE table_id = ? ORDER BY spec_no, ordinal",
        )
        .bind(table);
    let mut layouts = Layouts::default();
    for mut row in transaction.query(statement).await? {
        let no = row.small()?;
        let spec = layouts.specs.entry(no).or_insert(PartitionSpec { no, fields: Vec::new() });
        spec.fields.push(PartitionField {
            part_field_id: row.small()?,
            source: FieldId(row.small()?),
            transform: parse::<Transform>(&row.text()?)?,
        });
    }
    let text = "SELECT MAX(sort_no) FROM cn_sort_field WHERE table_id = ?";
    let statement = transaction.statement(text).bind(table);
    for mut row in transaction.query(statement).await? {
        layouts.sort_no_max = row.optional_small()?.unwrap_or(0);
    }
    Ok(layouts)
}

/// Ends old versions and adds new ones.
pub(crate) async fn write(
    transaction: &mut Transaction,
    catalog: CatalogId,
    writes: &Writes,
) -> Result<(), Failure> {
    let ends: Vec<Vec<Cell>> =
        writes.schema_ends.iter().map(|(id, end)| vec![(*id).into(), (*end).into()]).collect();
    end(transaction, "cn_schema", "schema_id", &ends).await?;
    let ends: Vec<Vec<Cell>> =
        writes.table_ends.iter().map(|(id, end)| vec![(*id).into(), (*end).into()]).collect();
    end(transaction, "cn_table", "table_id", &ends).await?;
    let rows = writes.schemas.iter().map(|row| schema_cells(catalog, row)).collect::<Result<Vec<_>, _>>()?;
    transaction.insert(&SCHEMA, &rows).await?;
    let rows = writes.tables.iter().map(|row| table_cells(catalog, row)).collect::<Result<Vec<_>, _>>()?;
    transaction.insert(&TABLE, &rows).await?;
    let numbers = writes.table_schemas.iter();
    let rows: Vec<Vec<Cell>> =
        numbers.map(|(table, no, txn)| vec![(*table).into(), (*no).into(), (*txn).into()]).collect();
    transaction.insert(&TABLE_SCHEMA, &rows).await?;
    write_fields(transaction, writes).await?;
    let specs = writes.specs.iter().flat_map(|(table, spec)| {
        spec.fields.iter().zip(0_i64..).map(move |(field, ordinal)| {
            vec![
                (*table).into(),
                spec.no.into(),
                ordinal.into(),
                field.part_field_id.into(),
                field.source.into(),
                format!("{}_{}", field.source, field.transform).into(),
                field.transform.to_string().into(),
            ]
        })
    });
    transaction.insert(&SPEC_FIELD, &specs.collect::<Vec<_>>()).await?;
    let sorts = writes.sorts.iter().flat_map(|(table, sort)| {
        sort.fields.iter().zip(0_i64..).map(move |(field, ordinal)| {
            vec![
                (*table).into(),
                sort.no.into(),
                ordinal.into(),
                field.source.into(),
                "identity".into(),
                field.descending.into(),
                field.nulls_first.into(),
            ]
        })
    });
    transaction.insert(&SORT_FIELD, &sorts.collect::<Vec<_>>()).await
}

async fn end(
    transaction: &mut Transaction,
    table: &str,
    key: &str,
    ends: &[Vec<Cell>],
) -> Result<(), Failure> {
    if ends.is_empty() {
        return Ok(());
    }
    let text = format!(
        "UPDATE {table} SET end_txn = v.txn FROM v WHERE {table}.{key} = v.id AND {table}.end_txn = {}",
        i64::MAX
    );
    let changed = transaction.execute_with(&[("id", Kind::Int), ("txn", Kind::Int)], ends, &text).await?;
    expect(table, changed, ends.len())
}

/// Every row that is to be ended must be there.
pub(crate) fn expect(table: &str, changed: u64, asked: usize) -> Result<(), Failure> {
    if usize::try_from(changed) == Ok(asked) {
        return Ok(());
    }
    Err(Failure::Inconsistent(format!("{asked} live rows of {table} were to be ended, {changed} were")))
}

async fn write_fields(transaction: &mut Transaction, writes: &Writes) -> Result<(), Failure> {
    let ends = writes.field_ends.iter();
    let ends: Vec<Vec<Cell>> =
        ends.map(|(table, field, no)| vec![(*table).into(), (*field).into(), (*no).into()]).collect();
    let columns = [("id", Kind::Int), ("field", Kind::Int), ("no", Kind::Int)];
    let text = format!(
        "UPDATE cn_field SET end_no = v.no FROM v \
         WHERE cn_field.table_id = v.id AND cn_field.field_id = v.field AND cn_field.end_no = {}",
        i32::MAX
    );
    let changed = transaction.execute_with(&columns, &ends, &text).await?;
    expect("cn_field", changed, ends.len())?;
    let rows: Vec<Vec<Cell>> = writes.fields.iter().map(field_cells).collect();
    transaction.insert(&FIELD, &rows).await
}

fn schema_cells(catalog: CatalogId, row: &SchemaRow) -> Result<Vec<Cell>, Error> {
    let schema = &row.schema;
    Ok(vec![
        schema.id.into(),
        row.begin.into(),
        row.end.into(),
        catalog.0.into(),
        schema.uuid.into(),
        schema.name.as_str().into(),
        Cell::Null,
        Cell::Null,
        serde_json::to_string(&schema.properties).map_err(|error| Error::Internal(error.to_string()))?.into(),
    ])
}

fn table_cells(catalog: CatalogId, row: &TableRow) -> Result<Vec<Cell>, Error> {
    let def = &row.def;
    let text = |error: serde_json::Error| Error::Internal(error.to_string());
    let (kind, definition) = match &def.kind {
        TableKind::Table => ("table", None),
        TableKind::View { sql, search_path } => {
            let definition = ViewDefinition { sql: sql.clone(), search_path: search_path.clone() };
            ("view", Some(serde_json::to_string(&definition).map_err(text)?))
        }
    };
    let key: Vec<i32> = def.key_fields.iter().map(|id| id.0).collect();
    let key = if key.is_empty() { None } else { Some(serde_json::to_string(&key).map_err(text)?) };
    Ok(vec![
        def.id.into(),
        def.begin_txn.into(),
        row.end.into(),
        catalog.0.into(),
        def.schema_id.into(),
        def.uuid.into(),
        def.name.as_str().into(),
        kind.into(),
        def.location.as_str().into(),
        def.schema.no.into(),
        def.spec.no.into(),
        def.sort.no.into(),
        def.time_field.into(),
        key.into(),
        definition.into(),
        def.comment.clone().into(),
        serde_json::to_string(&def.properties).map_err(text)?.into(),
        false.into(),
        1_i64.into(),
        1_i64.into(),
    ])
}

fn field_cells(row: &FieldRow) -> Vec<Cell> {
    let field = &row.field;
    vec![
        row.table.into(),
        field.id.into(),
        row.begin_no.into(),
        row.end_no.into(),
        field.parent.unwrap_or(ROOT).into(),
        field.ordinal.into(),
        field.name.as_str().into(),
        field.field_type.as_str().into(),
        field.required.into(),
        field.initial_default.clone().into(),
        field.write_default.clone().into(),
        field.comment.clone().into(),
    ]
}
