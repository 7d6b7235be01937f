//! `INSERT INTO t … ON CONFLICT [(key)] DO NOTHING | DO UPDATE SET … [WHERE …]`: a MERGE of the new rows on the declared key.
//!
//! Of new rows with one key the last counts where it replaces what is there, the first where nothing is replaced.

use cenote_catalog::{Privilege, TableDef};
use cenote_table::RowKey;
use cenote_vocab::ErrorKind;
use sqlparser::ast::{
    BinaryOperator, ConflictTarget, Expr, Ident, Insert, OnConflict, OnConflictAction, OnInsert, TableFactor,
    TableObject,
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
    merging(
        insert,
        "upsert",
        Box::new(move |table, target| {
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
            Merging::new(table, target, &key, keeps_last, clauses)
        }),
    )
}

/// What a plain INSERT does in a table whose rows replace each other: the newest row of each key stays.
pub(crate) fn replacing(insert: &Insert) -> Result<Verb<'_>, Error> {
    merging(
        insert,
        "insert",
        Box::new(|table, target| {
            let key =
                RowKey::of_dedup(table)?.ok_or_else(|| cenote_table::Error::NoKey(table.full_name()))?;
            let key: Vec<&str> = key
                .fields()
                .iter()
                .filter_map(|field| table.schema.field_by_id(field.id))
                .map(|field| field.name.as_str())
                .collect();
            let clauses = vec![
                Clause { when: When::Matched, predicate: None, act: Act::Update(excluded(table)) },
                Clause { when: When::NotMatched, predicate: None, act: Act::Insert(excluded(table)) },
            ];
            Merging::new(table, target, &key, true, clauses)
        }),
    )
}

/// How new rows meet those that are there.
struct Merging {
    source: TableFactor,
    condition: Option<Expr>,
    clauses: Vec<Clause>,
}

impl Merging {
    fn new(
        table: &TableDef,
        target: &Ident,
        key: &[&str],
        keeps_last: bool,
        clauses: Vec<Clause>,
    ) -> Result<Self, Error> {
        let source = one_row_per_key(table, key, keeps_last, &exact(EXCLUDED))?;
        Ok(Self { source, condition: equal(table, key, target), clauses })
    }
}

type Merger<'a> = Box<dyn Fn(&TableDef, &Ident) -> Result<Merging, Error> + Send + Sync + 'a>;

fn merging<'a>(insert: &'a Insert, operation: &'static str, merger: Merger<'a>) -> Result<Verb<'a>, Error> {
    let TableObject::TableName(name) = &insert.table else {
        return Err(unsupported("INSERT INTO a function or a query"));
    };
    let target = insert.table_alias.as_ref().map(|alias| alias.alias.clone()).or_else(|| last_part(name));
    let target = target.ok_or_else(|| unsupported("this name of a table"))?;
    Ok(Verb {
        command: "INSERT",
        operation,
        target: parts(name),
        privileges: vec![Privilege::Insert, Privilege::Update],
        rows: NewRows::Merged(insert),
        returning: returning(insert.returning.as_deref(), &target),
        change: Box::new(move |table| {
            let Merging { source, condition, clauses } = merger(table, &target)?;
            Ok(Change::Rows(Box::new(RowChange {
                target: target.clone(),
                source: Source::Against(Box::new(source)),
                condition,
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

/// A key of tags may have NULLs, and they are equal.
fn equal(table: &TableDef, key: &[&str], target: &Ident) -> Option<Expr> {
    let both = |left, op, right| Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) };
    let equal = |column: &&str| {
        let (old, new) = (of(target, column), of(&exact(EXCLUDED), column));
        match table.schema.field(column) {
            Some(field) if !field.required => Expr::IsNotDistinctFrom(Box::new(old), Box::new(new)),
            _ => both(old, BinaryOperator::Eq, new),
        }
    };
    key.iter().map(equal).reduce(|all, one| both(all, BinaryOperator::And, one))
}

fn of(table: &Ident, column: &str) -> Expr {
    Expr::CompoundIdentifier(vec![table.clone(), exact(column)])
}
