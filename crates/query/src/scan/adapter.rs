//! Columns of the table found in a file by field id: renamed, widened and missing ones read as they should.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use cenote_datafile::FIELD_ID_KEY;
use cenote_vocab::{FieldId, TableSchema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};

/// Makes the adapter of each file of one table.
#[derive(Debug)]
pub(crate) struct FieldIdAdapterFactory {
    ids: Arc<HashMap<String, FieldId>>,
}

impl FieldIdAdapterFactory {
    pub(crate) fn new(schema: &TableSchema) -> Self {
        Self { ids: Arc::new(schema.fields.iter().map(|field| (field.name.clone(), field.id)).collect()) }
    }
}

impl PhysicalExprAdapterFactory for FieldIdAdapterFactory {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        Ok(Arc::new(FieldIdAdapter { ids: self.ids.clone(), places: places(&physical), logical, physical }))
    }
}

/// Field id → index in a schema that carries ids.
pub(crate) fn places(schema: &Schema) -> HashMap<FieldId, usize> {
    schema
        .fields()
        .iter()
        .enumerate()
        .filter_map(|(at, field)| Some((FieldId(field.metadata().get(FIELD_ID_KEY)?.parse().ok()?), at)))
        .collect()
}

#[derive(Debug)]
struct FieldIdAdapter {
    ids: Arc<HashMap<String, FieldId>>,
    places: HashMap<FieldId, usize>,
    logical: SchemaRef,
    physical: SchemaRef,
}

impl PhysicalExprAdapter for FieldIdAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        expr.transform(|expr| match expr.downcast_ref::<Column>() {
            Some(column) => self.column(column).map(Transformed::yes),
            None => Ok(Transformed::no(expr)),
        })
        .data()
    }
}

impl FieldIdAdapter {
    fn column(&self, column: &Column) -> Result<Arc<dyn PhysicalExpr>> {
        let Some(id) = self.ids.get(column.name()) else {
            // the row number, which the reader adds under its own name
            return Ok(Arc::new(Column::new_with_schema(column.name(), &self.physical)?));
        };
        let wanted = self.logical.field_with_name(column.name())?;
        let Some(at) = self.places.get(id) else {
            return Ok(Arc::new(Literal::new(ScalarValue::try_new_null(wanted.data_type())?)));
        };
        let stored = self.physical.field(*at);
        let found = Arc::new(Column::new(stored.name(), *at));
        if stored.data_type() == wanted.data_type() {
            return Ok(found);
        }
        Ok(Arc::new(CastExpr::new(found, wanted.data_type().clone(), None)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};
    use cenote_vocab::{Field as TableField, FieldType};

    use super::*;

    #[test]
    fn a_column_is_found_by_id_under_any_name() {
        let field = |id: i32, name: &str, field_type: FieldType| TableField {
            id: FieldId(id),
            name: name.into(),
            field_type,
            required: false,
            comment: None,
        };
        let table = TableSchema {
            no: 2,
            fields: vec![
                field(2, "a", FieldType::Double),
                field(1, "b", FieldType::String),
                field(3, "new", FieldType::Int32),
            ],
        };
        let stored = |id: i32, name: &str, data_type: DataType| {
            Field::new(name, data_type, true)
                .with_metadata(HashMap::from([(FIELD_ID_KEY.to_owned(), id.to_string())]))
        };
        // the names were swapped since, and field 2 was an integer
        let file = Schema::new(vec![stored(1, "a", DataType::Utf8), stored(2, "b", DataType::Int64)]);
        let adapter = FieldIdAdapterFactory::new(&table)
            .create(crate::scan::sql_schema(&table), Arc::new(file))
            .unwrap();
        let rewritten =
            |name: &str, at: usize| adapter.rewrite(Arc::new(Column::new(name, at))).unwrap().to_string();
        assert_eq!(rewritten("a", 0), "CAST(b@1 AS Float64)");
        assert_eq!(rewritten("b", 1), "a@0");
        assert_eq!(rewritten("new", 2), "NULL");
    }
}
