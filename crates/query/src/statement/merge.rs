//! `MERGE INTO t USING s ON c WHEN [NOT] MATCHED [BY SOURCE | BY TARGET] [AND p] THEN …`

use std::ops::ControlFlow;

use cenote_catalog::{Privilege, TableDef};
use cenote_vocab::ErrorKind;
use sqlparser::ast::{
    Assignment, AssignmentTarget, Expr, Ident, Merge, MergeAction, MergeClause, MergeClauseKind,
    MergeInsertExpr, MergeInsertKind, visit_expressions,
};

use super::create_table::parts;
use super::delete::target;
use super::update::{assigned, column_name, new_value};
use crate::Error;
use crate::change::{
    Act, Answers, Change, Clause, NewRows, NewValue, RowChange, Source, Verb, When, source_name,
};
use crate::parse::{ALL, NOTHING, unsupported};
use crate::plan::{column_of, exact};

/// What a MERGE does.
pub(crate) fn verb(merge: &Merge) -> Result<Verb<'_>, Error> {
    if merge.output.is_some() {
        return Err(unsupported("MERGE … RETURNING"));
    }
    let (name, target) = target(&merge.table, "MERGE")?;
    let source = source_name(&merge.source)?;
    let privilege = |clause: &MergeClause| match clause.action {
        MergeAction::Insert(_) => Privilege::Insert,
        MergeAction::Delete { .. } => Privilege::Delete,
        _ => Privilege::Update,
    };
    let mut privileges: Vec<Privilege> = merge.clauses.iter().map(privilege).collect();
    privileges.sort_unstable();
    privileges.dedup();
    if privileges.is_empty() {
        privileges.push(Privilege::Insert);
    }
    Ok(Verb {
        command: "MERGE",
        operation: "merge",
        target: parts(name),
        privileges,
        rows: NewRows::None,
        returning: None,
        change: Box::new(move |table| {
            let clauses = merge.clauses.iter().map(|clause| translated(clause, table, &source));
            Ok(Change::Rows(Box::new(RowChange {
                target: target.clone(),
                source: Source::Against(Box::new(merge.source.clone())),
                condition: Some((*merge.on).clone()),
                clauses: clauses.collect::<Result<_, Error>>()?,
                answers: Answers::Nothing,
            })))
        }),
    })
}

fn translated(clause: &MergeClause, table: &TableDef, source: &Ident) -> Result<Clause, Error> {
    let when = match clause.clause_kind {
        MergeClauseKind::Matched => When::Matched,
        MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => When::NotMatched,
        MergeClauseKind::NotMatchedBySource => When::NotMatchedBySource,
    };
    let act = match &clause.action {
        MergeAction::Delete { .. } => Act::Delete,
        MergeAction::Update(update) => {
            if update.update_predicate.is_some() || update.delete_predicate.is_some() {
                return Err(unsupported("WHERE in an action of MERGE (write WHEN … AND …)"));
            }
            match short(&update.assignments) {
                Some(NOTHING) => Act::Nothing,
                Some(ALL) => Act::Update(of_source(table, source)),
                _ => Act::Update(assigned(&update.assignments, table)?),
            }
        }
        MergeAction::Insert(insert) => inserted(insert, table, source)?,
    };
    if clause.predicate.as_ref().is_some_and(has_query) {
        return Err(unsupported("a query in WHEN … AND … of MERGE")
            .with_hint("read it in USING, and compare with its column"));
    }
    Ok(Clause { when, predicate: clause.predicate.clone(), act })
}

/// True if the expression holds a query.
fn has_query(expr: &Expr) -> bool {
    visit_expressions(expr, |part| match part {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// The name that stands for a short action.
fn short(assignments: &[Assignment]) -> Option<&str> {
    match assignments {
        [Assignment { target: AssignmentTarget::ColumnName(column), .. }] => {
            column.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.as_str())
        }
        _ => None,
    }
}

/// Each column takes the source's column of its name.
fn of_source(table: &TableDef, source: &Ident) -> Vec<NewValue> {
    let value =
        |name: &str| NewValue::Given(Box::new(Expr::CompoundIdentifier(vec![source.clone(), exact(name)])));
    table.schema.fields.iter().map(|field| value(&field.name)).collect()
}

fn inserted(insert: &MergeInsertExpr, table: &TableDef, source: &Ident) -> Result<Act, Error> {
    if insert.insert_predicate.is_some() {
        return Err(unsupported("WHERE in an action of MERGE (write WHEN … AND …)"));
    }
    let MergeInsertKind::Values(values) = &insert.kind else { return Err(unsupported("INSERT ROW")) };
    let [row] = values.rows.as_slice() else { return Err(unsupported("INSERT of several rows in MERGE")) };
    if let [Expr::Identifier(name)] = row.content.as_slice() {
        match name.value.as_str() {
            NOTHING => return Ok(Act::Nothing),
            ALL => return Ok(Act::Insert(of_source(table, source))),
            _ => {}
        }
    }
    let fields = table.schema.fields.iter();
    let columns: Vec<&str> = if insert.columns.is_empty() {
        fields.clone().map(|field| field.name.as_str()).take(row.content.len()).collect()
    } else {
        let named = insert.columns.iter().map(|column| {
            let field = column_of(table, column_name(column)?)?;
            Ok(field.name.as_str())
        });
        named.collect::<Result<_, Error>>()?
    };
    if columns.len() != row.content.len() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("INSERT has {} expressions for {} target columns", row.content.len(), columns.len()),
        ));
    }
    if let Some(twice) = columns.iter().enumerate().find(|(at, name)| columns[..*at].contains(name)) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("column \"{}\" specified more than once", twice.1),
        )
        .with_sqlstate("42701"));
    }
    let value = |name: &str| match columns.iter().position(|column| *column == name) {
        Some(at) => new_value(&row.content[at]),
        None => NewValue::Default,
    };
    Ok(Act::Insert(fields.map(|field| value(&field.name)).collect()))
}
