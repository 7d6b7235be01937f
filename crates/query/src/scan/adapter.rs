//! Columns of the table found in a file by field id: renamed, widened and missing ones read as they should.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use cenote_datafile::{absent, arrow_field, field_id};
use cenote_vocab::{Field, FieldId, TableSchema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue, plan_datafusion_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};

use super::adapted::Adapted;

/// Makes the adapter of each file of one table.
#[derive(Debug)]
pub(crate) struct FieldIdAdapterFactory {
    fields: Arc<HashMap<String, Field>>,
}

impl FieldIdAdapterFactory {
    pub(crate) fn new(schema: &TableSchema) -> Self {
        let fields = schema.fields.iter().map(|field| (field.name.clone(), field.clone()));
        Self { fields: Arc::new(fields.collect()) }
    }

    /// With a column that is none of the table's.
    #[must_use]
    pub(crate) fn with(mut self, field: Field) -> Self {
        Arc::make_mut(&mut self.fields).insert(field.name.clone(), field);
        self
    }
}

impl PhysicalExprAdapterFactory for FieldIdAdapterFactory {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let (fields, places) = (self.fields.clone(), places(&physical));
        Ok(Arc::new(FieldIdAdapter { fields, places, logical, physical }))
    }
}

/// Field id → index in a schema that carries ids.
pub(crate) fn places(schema: &Schema) -> HashMap<FieldId, usize> {
    let fields = schema.fields().iter().enumerate();
    fields.filter_map(|(at, field)| Some((field_id(field)?, at))).collect()
}

#[derive(Debug)]
struct FieldIdAdapter {
    fields: Arc<HashMap<String, Field>>,
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
        let Some(field) = self.fields.get(column.name()) else {
            // the row number, which the reader adds under its own name
            return Ok(Arc::new(Column::new_with_schema(column.name(), &self.physical)?));
        };
        let wanted = self.logical.fields().find(column.name());
        let (_, wanted) = wanted.ok_or_else(|| plan_datafusion_err!("no column {}", column.name()))?;
        let Some(at) = self.places.get(&field.id) else {
            let value = ScalarValue::try_from_array(&absent(field, 1)?, 0)?;
            return Ok(Arc::new(Literal::new(value.cast_to(wanted.data_type())?)));
        };
        let stored = &self.physical.fields()[*at];
        let found = Arc::new(Column::new(stored.name(), *at));
        if stored.data_type() == wanted.data_type() {
            return Ok(found);
        }
        if field.field_type.is_nested() {
            let with_ids = Arc::new(arrow_field(field));
            return Ok(Arc::new(Adapted::new(found, stored.clone(), with_ids, wanted.clone())));
        }
        Ok(Arc::new(CastExpr::new(found, wanted.data_type().clone(), None)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field as ArrowField};
    use cenote_datafile::FIELD_ID_KEY;
    use cenote_vocab::FieldType;

    use super::*;

    #[test]
    fn a_column_is_found_by_id_under_any_name() {
        let field = |id: i32, name: &str, field_type: FieldType| Field::new(FieldId(id), name, field_type);
        let table = TableSchema {
            no: 2,
            fields: vec![
                field(2, "a", FieldType::Double),
                field(1, "b", FieldType::String),
                field(3, "new", FieldType::Int32),
                Field { initial_default: Some("7".into()), ..field(4, "given", FieldType::Int32) },
            ],
        };
        let stored = |id: i32, name: &str, data_type: DataType| {
            ArrowField::new(name, data_type, true)
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
        assert_eq!(rewritten("given", 3), "7");
    }
}
