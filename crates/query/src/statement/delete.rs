//! `DELETE FROM t [USING …] [WHERE …]`, `TRUNCATE`.

use cenote_catalog::Privilege;
use cenote_vocab::{ErrorKind, Fault};
use sqlparser::ast::{Delete, FromTable, Ident, ObjectName, SelectItem, TableFactor, Truncate};

use super::create_table::parts;
use super::{Answer, Guard, Prepared};
use crate::Error;
use crate::change::{
    self, Act, Answers, Change, Clause, NewRows, Returning, RowChange, Source, Verb, When, last_part,
};
use crate::parse::unsupported;
use crate::session::Inner;

/// What a DELETE does.
pub(crate) fn verb(delete: &Delete) -> Result<Verb<'_>, Error> {
    let refused = [
        ("DELETE … OUTPUT", delete.output.is_some()),
        ("DELETE … ORDER BY and LIMIT", !delete.order_by.is_empty() || delete.limit.is_some()),
        ("DELETE of several tables", !delete.tables.is_empty()),
    ];
    if let Some((what, _)) = refused.iter().find(|(_, present)| *present) {
        return Err(unsupported(what));
    }
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [from] = from.as_slice() else { return Err(unsupported("DELETE of several tables")) };
    if !from.joins.is_empty() {
        return Err(unsupported("DELETE of a join"));
    }
    let (name, target) = target(&from.relation, "DELETE")?;
    Ok(Verb {
        command: "DELETE",
        operation: "delete",
        target: parts(name),
        privileges: vec![Privilege::Delete],
        rows: NewRows::None,
        returning: returning(delete.returning.as_deref(), &target),
        change: Box::new(move |_| {
            if delete.selection.is_none() && delete.using.is_none() && delete.returning.is_none() {
                return Ok(Change::DeleteAll);
            }
            Ok(Change::Rows(Box::new(RowChange {
                target: target.clone(),
                source: Source::Beside(delete.using.clone().unwrap_or_default()),
                condition: delete.selection.clone(),
                clauses: vec![Clause { when: When::Matched, predicate: None, act: Act::Delete }],
                answers: answers(delete.returning.as_deref()),
            })))
        }),
    })
}

/// What a statement answers, if anything.
pub(crate) fn returning<'a>(items: Option<&'a [SelectItem]>, target: &Ident) -> Option<Returning<'a>> {
    items.map(|items| Returning { items, target: target.clone() })
}

/// Whether the changed rows are wanted.
pub(crate) fn answers(items: Option<&[SelectItem]>) -> Answers {
    if items.is_some() { Answers::ChangedRows } else { Answers::Nothing }
}

/// Name of the table that a statement changes, and the name by which its expressions mean it.
pub(crate) fn target<'a>(factor: &'a TableFactor, verb: &str) -> Result<(&'a ObjectName, Ident), Error> {
    let refused = || unsupported(&format!("{verb} of anything but a table"));
    match factor {
        TableFactor::Table { name, alias, version: None, args: None, .. } => {
            let named = match alias {
                Some(alias) if !alias.columns.is_empty() => {
                    return Err(unsupported(&format!("{verb} with names for the table's columns")));
                }
                Some(alias) => Some(alias.name.clone()),
                None => last_part(name),
            };
            Ok((name, named.ok_or_else(refused)?))
        }
        _ => Err(refused()),
    }
}

/// Deletes all rows of a table.
pub(crate) async fn truncate(
    session: &Inner,
    truncate: &Truncate,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    if truncate.partitions.is_some()
        || truncate.on_cluster.is_some()
        || truncate.identity.is_some()
        || truncate.cascade.is_some()
    {
        return Err(unsupported("TRUNCATE with PARTITION, IDENTITY or CASCADE"));
    }
    let [target] = truncate.table_names.as_slice() else {
        return Err(unsupported("TRUNCATE of several tables"));
    };
    let verb = Verb {
        command: "TRUNCATE TABLE",
        operation: "truncate",
        target: parts(&target.name),
        privileges: vec![Privilege::Delete],
        rows: NewRows::None,
        returning: None,
        change: Box::new(|_| Ok(Change::DeleteAll)),
    };
    match change::run(session, &verb, prepared, Vec::new(), guard).await {
        Ok(answer) => Ok(Answer { rows: 0, counts_rows: false, ..answer }),
        Err(error) if truncate.if_exists && error.kind() == ErrorKind::NotFound => {
            Ok(Answer::done("TRUNCATE TABLE").with_notice(format!("{error}, skipping")))
        }
        Err(error) => Err(error),
    }
}
