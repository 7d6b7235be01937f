//! `INSERT INTO t … ON CONFLICT [(key)] DO NOTHING | DO UPDATE SET … [WHERE …]`: a MERGE of the new rows on the declared key.
//!
//! Of new rows with one key the last counts where it replaces what is there, the first where nothing is replaced.

use cenote_catalog::TableDef;
use cenote_vocab::{ErrorKind, Permission};
use sqlparser::ast::{
    BinaryOperator, ConflictTarget, Expr, Ident, Insert, OnConflict, OnConflictAction, OnInsert, TableObject,
};

use super::create_table::parts;
use super::delete::{answers, returning};
use super::update::assigned;
use crate::Error;
use crate::change::{
    Act, Change, Clause, NewRows, NewValue, RowChange, Source, Verb, When, last_part, one_row_per_key,
};
use crate::parse::unsupported;
use crate::plan::{column_of, exact};

/// The name by which expressions mean the row that was to be inserted.
const EXCLUDED: &str = "excluded";

/// What it does.
pub(crate) fn verb<'a>(insert: &'a Insert, on: &'a OnInsert) -> Result<Verb<'a>, Error> {
    let OnInsert::OnConflict(conflict) = on else { return Err(unsupported("ON DUPLICATE KEY UPDATE")) };
    let TableObject::TableName(name) = &insert.table else {
        return Err(unsupported("INSERT INTO a function or a query"));
    };
    let target = insert.table_alias.as_ref().map(|alias| alias.alias.clone()).or_else(|| last_part(name));
    let target = target.ok_or_else(|| unsupported("this name of a table"))?;
    Ok(Verb {
        command: "INSERT",
        operation: "upsert",
        target: parts(name),
        permissions: vec![Permission::Write],
        rows: NewRows::Merged(insert),
        returning: returning(insert.returning.as_deref(), &target),
        change: Box::new(move |table| {
            let key = key(table, conflict)?;
            let mut clauses = Vec::with_capacity(2);
            let mut keeps_last = false;
            if let OnConflictAction::DoUpdate(update) = &conflict.action {
                keeps_last = true;
                let act = Act::Update(assigned(&update.assignments, table)?);
                clauses.push(Clause { when: When::Matched, predicate: update.selection.clone(), act });
            }
            clauses.push(Clause {
                when: When::NotMatched,
                predicate: None,
                act: Act::Insert(excluded(table)),
            });
            Ok(Change::Rows(Box::new(RowChange {
                target: target.clone(),
                source: Source::Against(Box::new(one_row_per_key(
                    table,
                    &key,
                    keeps_last,
                    &exact(EXCLUDED),
                )?)),
                condition: equal(&key, &target),
                clauses,
                answers: answers(insert.returning.as_deref()),
            })))
        }),
    })
}

/// Columns of the table's key, which must be those that the statement names.
fn key<'t>(table: &'t TableDef, conflict: &OnConflict) -> Result<Vec<&'t str>, Error> {
    let key: Vec<&str> = table.key().map(|field| field.name.as_str()).collect();
    let no_key = |why: String| {
        Error::new(ErrorKind::Invalid, why)
            .with_sqlstate("42P10")
            .with_hint("declare one: ALTER TABLE … ADD PRIMARY KEY (…) NOT ENFORCED")
    };
    if key.is_empty() {
        return Err(no_key(format!("table {} has no primary key for ON CONFLICT", table.full_name())));
    }
    match &conflict.conflict_target {
        Some(ConflictTarget::Columns(columns)) => {
            let mut named = Vec::with_capacity(columns.len());
            for column in columns {
                named.push(column_of(table, column)?.name.as_str());
            }
            let same = named.len() == key.len() && key.iter().all(|column| named.contains(column));
            if !same {
                return Err(no_key(format!(
                    "ON CONFLICT ({}) does not name the primary key of {}, ({})",
                    named.join(", "),
                    table.full_name(),
                    key.join(", ")
                )));
            }
        }
        Some(ConflictTarget::OnConstraint(_)) => return Err(unsupported("ON CONFLICT ON CONSTRAINT")),
        None if matches!(conflict.action, OnConflictAction::DoUpdate(_)) => {
            return Err(Error::new(ErrorKind::Invalid, "ON CONFLICT DO UPDATE needs the columns of the key")
                .with_sqlstate("42601"));
        }
        None => {}
    }
    Ok(key)
}

/// Each column takes its value of the new row.
fn excluded(table: &TableDef) -> Vec<NewValue> {
    let value = |name: &str| NewValue::Given(Box::new(of(&exact(EXCLUDED), name)));
    table.schema.fields.iter().map(|field| value(&field.name)).collect()
}

fn equal(key: &[&str], target: &Ident) -> Option<Expr> {
    let both = |left, op, right| Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) };
    let equal = |column: &&str| both(of(target, column), BinaryOperator::Eq, of(&exact(EXCLUDED), column));
    key.iter().map(equal).reduce(|all, one| both(all, BinaryOperator::And, one))
}

fn of(table: &Ident, column: &str) -> Expr {
    Expr::CompoundIdentifier(vec![table.clone(), exact(column)])
}
