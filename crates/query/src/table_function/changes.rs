//! `table_changes('t', from [, to] [, types => …, columns => …, preimages => …, expired => …])`

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use cenote_catalog::TableDef;
use cenote_table::{CHANGE_COLUMNS, ChangePosition, ChangeRequest, ChangeType, Expired, change_fields};
use cenote_vocab::{Field as Column, FieldId, Txn, nearest};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator};
use futures::{StreamExt, TryStreamExt};

use super::arguments::Arguments;
use super::{Context, Relation};
use crate::Error;
use crate::parse::object_name;
use crate::plan::column_of;
use crate::scan::sql_schema;

/// The feed of `table`, which is as of `to`.
pub(super) fn relation(
    context: &Context<'_>,
    table: &Arc<TableDef>,
    after: ChangePosition,
    to: Txn,
    arguments: &Arguments<'_>,
) -> Result<Relation, Error> {
    let types = types(arguments)?;
    let expired = if arguments.flag("expired", false)? { Expired::Shown } else { Expired::Hidden };
    let columns = columns(table, arguments)?;
    let ids: Vec<FieldId> = columns.iter().map(|column| column.id).collect();
    let mut fields = change_fields();
    let all = sql_schema(&table.schema);
    let field = |column: &&Column| all.field_with_name(&column.name).ok().map(nullable);
    fields.extend(columns.iter().filter_map(field));
    let (lake, scope, table) = (context.engine.lake().clone(), context.scope().clone(), table.clone());
    let name = format!("table_changes({}, after {after}, to {to})", table.full_name());
    Ok(Relation::new(name, Arc::new(Schema::new(fields)), move |places, filters| {
        let (after, to) = narrowed(after, to, filters);
        if after.txn > to && !filters.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        // the feed answers its own columns, then those of the table that are wanted
        let own = CHANGE_COLUMNS.len();
        let wanted: Vec<usize> = places.iter().copied().filter(|place| *place >= own).collect();
        let order: Vec<usize> = places
            .iter()
            .map(|place| wanted.iter().position(|wanted| wanted == place).map_or(*place, |at| own + at))
            .collect();
        let request = ChangeRequest {
            after,
            to,
            types: types.clone(),
            expired,
            columns: wanted.iter().map(|place| ids[place - own]).collect(),
        };
        let batches = lake.changes(&scope, &table, request)?;
        Ok(batches
            .map_err(Error::from)
            .map(move |batch| {
                batch?.project(&order).map_err(|error| Error::from(cenote_table::Error::from(error)))
            })
            .boxed())
    }))
}

/// A row that is gone may lack what is required by now.
fn nullable(field: &Field) -> Field {
    field.clone().with_nullable(true)
}

fn types(arguments: &Arguments<'_>) -> Result<Vec<ChangeType>, Error> {
    let mut types = match arguments.list("types")? {
        None => ChangeType::ALL.to_vec(),
        Some(words) => words.iter().map(|word| change_type(arguments, word)).collect::<Result<_, _>>()?,
    };
    if !arguments.flag("preimages", true)? {
        types.retain(|kind| *kind != ChangeType::UpdatePreimage);
    }
    Ok(types)
}

fn change_type(arguments: &Arguments<'_>, word: &str) -> Result<ChangeType, Error> {
    let names = ChangeType::ALL.map(ChangeType::name);
    ChangeType::ALL.into_iter().find(|kind| kind.name() == word).ok_or_else(|| {
        let error = arguments.wrong(format!("\"{word}\" is no kind of change")).with_sqlstate("22023");
        match nearest(word, names) {
            Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
            None => error.with_hint(format!("kinds are {}", names.join(", "))),
        }
    })
}

fn columns<'t>(table: &'t TableDef, arguments: &Arguments<'_>) -> Result<Vec<&'t Column>, Error> {
    let Some(names) = arguments.list("columns")? else { return Ok(table.schema.fields.iter().collect()) };
    let mut columns: Vec<&Column> = Vec::with_capacity(names.len());
    for name in names {
        let parts = object_name(&name)?;
        let [ident] = parts.as_slice() else {
            return Err(arguments.wrong(format!("\"{name}\" is no column")));
        };
        let column = column_of(table, ident)?;
        if columns.iter().any(|known| known.id == column.id) {
            return Err(arguments.wrong(format!("column \"{}\" is named twice", column.name)));
        }
        columns.push(column);
    }
    Ok(columns)
}

/// The range that comparisons of `_txn` with numbers leave.
fn narrowed(after: ChangePosition, to: Txn, filters: &[Expr]) -> (ChangePosition, Txn) {
    let mut range = (after, to);
    for filter in filters {
        let Some((operator, number)) = bound(filter) else { continue };
        let above = |number: i64| ChangePosition::end_of(Txn(number));
        let (low, high) = match operator {
            Operator::Eq => (Some(above(number.saturating_sub(1))), Some(Txn(number))),
            Operator::Gt => (Some(above(number)), None),
            Operator::GtEq => (Some(above(number.saturating_sub(1))), None),
            Operator::Lt => (None, Some(Txn(number.saturating_sub(1)))),
            Operator::LtEq => (None, Some(Txn(number))),
            _ => (None, None),
        };
        range.0 = low.map_or(range.0, |low| range.0.max(low));
        range.1 = high.map_or(range.1, |high| range.1.min(high));
    }
    range
}

/// `_txn` operator number.
fn bound(filter: &Expr) -> Option<(Operator, i64)> {
    let Expr::BinaryExpr(comparison) = filter else { return None };
    let column = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == CHANGE_COLUMNS[0]);
    let number = |expr: &Expr| match expr {
        Expr::Literal(ScalarValue::Int64(number), _) => *number,
        _ => None,
    };
    if column(&comparison.left) {
        return Some((comparison.op, number(&comparison.right)?));
    }
    if column(&comparison.right) {
        return Some((comparison.op.swap()?, number(&comparison.left)?));
    }
    None
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn comparisons_of_the_transaction_narrow_the_range() {
        let start: ChangePosition = "3:7:9".parse().unwrap();
        let range = |filters: &[Expr]| {
            let (after, to) = narrowed(start, Txn(20), filters);
            (after.to_string(), to.0)
        };
        assert_eq!(range(&[]), ("3:7:9".into(), 20));
        assert_eq!(range(&[col("_txn").gt(lit(2_i64))]), ("3:7:9".into(), 20));
        assert_eq!(range(&[col("_txn").gt(lit(3_i64)), col("_txn").lt(lit(9_i64))]), ("3".into(), 8));
        assert_eq!(range(&[lit(6_i64).lt_eq(col("_txn"))]), ("5".into(), 20));
        assert_eq!(range(&[col("_txn").eq(lit(7_i64))]), ("6".into(), 7));
        assert_eq!(
            range(&[col("_pos").eq(lit(7_i64)), col("_txn").not_eq(lit(7_i64))]),
            ("3:7:9".into(), 20)
        );
    }
}
