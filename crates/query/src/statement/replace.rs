//! `INSERT INTO t REPLACE WHERE p …`: the rows that match go, those of the statement come, in one commit.

use cenote_catalog::Privilege;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Insert, TableObject, visit_expressions};

use super::create_table::parts;
use crate::Error;
use crate::change::{Act, Answers, Change, Clause, NewRows, RowChange, Source, Verb, When, last_part};
use crate::parse::unsupported;

/// What it does.
pub(crate) fn verb<'a>(insert: &'a Insert, predicate: &'a Expr) -> Result<Verb<'a>, Error> {
    let TableObject::TableName(name) = &insert.table else {
        return Err(unsupported("INSERT INTO a function or a query"));
    };
    if insert.on.is_some() {
        return Err(unsupported("REPLACE WHERE with ON CONFLICT"));
    }
    if insert.returning.is_some() {
        return Err(unsupported("REPLACE WHERE with RETURNING"));
    }
    if has_subquery(predicate) {
        return Err(unsupported("REPLACE WHERE with a subquery"));
    }
    let target = last_part(name).ok_or_else(|| unsupported("this name of a table"))?;
    Ok(Verb {
        command: "INSERT",
        operation: "replace",
        target: parts(name),
        privileges: vec![Privilege::Insert, Privilege::Delete],
        rows: NewRows::Replacing(insert, predicate),
        returning: None,
        change: Box::new(move |_| {
            Ok(Change::Rows(Box::new(RowChange {
                target: target.clone(),
                source: Source::Beside(Vec::new()),
                condition: Some(predicate.clone()),
                clauses: vec![Clause { when: When::Matched, predicate: None, act: Act::Delete }],
                answers: Answers::Nothing,
            })))
        }),
    })
}

fn has_subquery(predicate: &Expr) -> bool {
    let found = visit_expressions(predicate, |expr| match expr {
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
