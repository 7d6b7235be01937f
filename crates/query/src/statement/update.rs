//! `UPDATE t SET column = value, … [FROM …] [WHERE …]`

use std::collections::BTreeMap;

use cenote_catalog::{Privilege, TableDef};
use cenote_vocab::ErrorKind;
use sqlparser::ast::{Assignment, AssignmentTarget, Expr, Ident, ObjectName, Update, UpdateTableFromKind};

use super::create_table::parts;
use super::delete::{answers, returning, target};
use crate::Error;
use crate::change::{Act, Change, Clause, NewRows, NewValue, RowChange, Source, Verb, When};
use crate::parse::{folded, unsupported};
use crate::plan::column_of;

/// What an UPDATE does.
pub(crate) fn verb(update: &Update) -> Result<Verb<'_>, Error> {
    let refused = [
        ("UPDATE … OUTPUT", update.output.is_some()),
        ("UPDATE OR …", update.or.is_some()),
        ("UPDATE … ORDER BY and LIMIT", !update.order_by.is_empty() || update.limit.is_some()),
    ];
    if let Some((what, _)) = refused.iter().find(|(_, present)| *present) {
        return Err(unsupported(what));
    }
    if !update.table.joins.is_empty() {
        return Err(unsupported("UPDATE of a join"));
    }
    let (name, target) = target(&update.table.relation, "UPDATE")?;
    Ok(Verb {
        command: "UPDATE",
        operation: "update",
        target: parts(name),
        privileges: vec![Privilege::Update],
        rows: NewRows::None,
        returning: returning(update.returning.as_deref(), &target),
        change: Box::new(move |table| {
            let others = match &update.from {
                Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => {
                    from.clone()
                }
                None => Vec::new(),
            };
            let act = Act::Update(assigned(&update.assignments, table)?);
            Ok(Change::Rows(Box::new(RowChange {
                target: target.clone(),
                source: Source::Beside(others),
                condition: update.selection.clone(),
                clauses: vec![Clause { when: When::Matched, predicate: None, act }],
                answers: answers(update.returning.as_deref()),
            })))
        }),
    })
}

/// The new row of `SET column = value, …`: what is not assigned stays.
pub(crate) fn assigned(assignments: &[Assignment], table: &TableDef) -> Result<Vec<NewValue>, Error> {
    let mut given: BTreeMap<&str, NewValue> = BTreeMap::new();
    for assignment in assignments {
        for (column, value) in pairs(assignment)? {
            let field = column_of(table, column_name(column)?)?;
            if given.insert(&field.name, value).is_some() {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("multiple assignments to same column \"{}\"", field.name),
                )
                .with_sqlstate("42601"));
            }
        }
    }
    let values = table.schema.fields.iter();
    Ok(values.map(|field| given.remove(field.name.as_str()).unwrap_or(NewValue::Kept)).collect())
}

/// A column that is written by its bare name.
pub(crate) fn column_name(column: &ObjectName) -> Result<&Ident, Error> {
    match column.0.as_slice() {
        [name] => name.as_ident(),
        _ => None,
    }
    .ok_or_else(|| unsupported(&format!("assignment to {column}: a bare column name is expected")))
}

/// `(a, b) = (1, 2)` is `a = 1, b = 2`.
fn pairs(assignment: &Assignment) -> Result<Vec<(&ObjectName, NewValue)>, Error> {
    match (&assignment.target, &assignment.value) {
        (AssignmentTarget::ColumnName(column), value) => Ok(vec![(column, new_value(value))]),
        (AssignmentTarget::Tuple(columns), Expr::Tuple(values)) if columns.len() == values.len() => {
            Ok(columns.iter().zip(values.iter().map(new_value)).collect())
        }
        (AssignmentTarget::Tuple(_), Expr::Tuple(_)) => {
            Err(Error::new(ErrorKind::Invalid, "number of columns does not match number of values"))
        }
        (AssignmentTarget::Tuple(_), _) => Err(unsupported("assignment of a query to several columns")),
    }
}

/// `DEFAULT`, or an expression.
pub(crate) fn new_value(expr: &Expr) -> NewValue {
    match expr {
        Expr::Identifier(ident) if ident.quote_style.is_none() && folded(ident) == "default" => {
            NewValue::Default
        }
        other => NewValue::Given(Box::new(other.clone())),
    }
}
