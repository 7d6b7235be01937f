//! The query of a change: where the target's rows are, which conditions hold, what the new values are.

use std::ops::ControlFlow;

use cenote_catalog::TableDef;
use cenote_vocab::ErrorKind;
use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Select, SelectItem, SetExpr,
    Statement as SqlStatement, TableAlias, TableFactor, TableWithJoins, Value, visit_expressions,
};

use super::{Act, Answers, Clause, NewValue, RowChange, Source, When};
use crate::Error;
use crate::parse::{Parsed, folded, parse, unsupported};
use crate::plan::{addressed_name, changed_rows_name, exact, new_rows_name};
use crate::scan::{FILE_COLUMN, POSITION_COLUMN, row_id};

/// The column by which a row of the source is told from no row.
const PRESENT: &str = "__cenote_present";

/// A query and what its columns are, by their number.
pub(super) struct RowQuery {
    pub(super) statement: AnyStatement,
    /// Whether there is a row of the source; `None` if there always is.
    pub(super) present: Option<usize>,
    /// The id of the target's row; `None` if nobody keeps it.
    pub(super) row_id: Option<usize>,
    /// The target's columns, in order, from here; `None` if no clause keeps a value.
    pub(super) kept: Option<usize>,
    pub(super) clauses: Vec<ClauseColumns>,
}

/// The columns of one clause.
pub(super) struct ClauseColumns {
    pub(super) predicate: Option<usize>,
    /// Of each column of the target the number of its new value, if one is given.
    pub(super) values: Vec<Option<usize>>,
}

/// Number of the column that says in which file a row of the target is.
pub(super) const FILE: usize = 0;
/// Number of the column that says where in its file.
pub(super) const POSITION: usize = 1;

impl RowQuery {
    pub(super) fn of(change: &RowChange, table: &TableDef) -> Result<Self, Error> {
        let mut items = Items::default();
        let own = |column: &str| Expr::CompoundIdentifier(vec![change.target.clone(), exact(column)]);
        items.add(own(FILE_COLUMN));
        items.add(own(POSITION_COLUMN));
        let writes = change.clauses.iter().any(|clause| clause.act.values().is_some());
        let row_id = (writes && table.row_lineage()).then(|| items.add(row_id(&change.target)));
        let from = match &change.source {
            Source::Beside(others) => {
                let mut from = vec![relation(addressed(table, &change.target))];
                from.extend(others.iter().cloned());
                from
            }
            Source::Against(source) => vec![merged(change, table, source)?],
        };
        let present = match &change.source {
            Source::Beside(_) => None,
            Source::Against(source) => {
                Some(items.add(Expr::CompoundIdentifier(vec![source_name(source)?, exact(PRESENT)])))
            }
        };
        let keeps = |clause: &Clause| match clause.act.values() {
            Some(values) => values.iter().any(|value| matches!(value, NewValue::Kept)),
            None => change.answers == Answers::ChangedRows && matches!(clause.act, Act::Delete),
        };
        let kept = change.clauses.iter().any(keeps).then(|| items.next());
        if kept.is_some() {
            for field in &table.schema.fields {
                items.add(own(&field.name));
            }
        }
        let clauses = change.clauses.iter().map(|clause| ClauseColumns {
            predicate: clause.predicate.clone().map(|predicate| items.add(predicate)),
            values: clause
                .act
                .values()
                .unwrap_or_default()
                .iter()
                .map(|value| match value {
                    NewValue::Given(expr) => Some(items.add(expr.as_ref().clone())),
                    NewValue::Kept | NewValue::Default => None,
                })
                .collect(),
        });
        let clauses = clauses.collect();
        let selection = match change.source {
            Source::Beside(_) => change.condition.clone(),
            Source::Against(_) => None, // it is the ON of the join
        };
        let statement = select(|select| {
            select.projection = items.0;
            select.from = from;
            select.selection = selection;
        })?;
        Ok(Self { statement, present, row_id, kept, clauses })
    }
}

/// The rows that the statement brings along, and of each whether it fulfils a predicate about the target.
pub(super) fn checked_rows(
    table: &TableDef,
    target: &Ident,
    predicate: &Expr,
) -> Result<AnyStatement, Error> {
    select(|select| {
        let holds = Expr::IsTrue(Box::new(Expr::Nested(Box::new(predicate.clone()))));
        select.projection = vec![
            SelectItem::Wildcard(Default::default()),
            SelectItem::ExprWithAlias { expr: holds, alias: exact(PRESENT) },
        ];
        select.from = vec![relation(named(new_rows_name(table), target.clone()))];
    })
}

/// The rows that the statement brings along, of those with the same key only the last or the first.
pub(crate) fn one_row_per_key(
    table: &TableDef,
    key: &[&str],
    last: bool,
    alias: &Ident,
) -> Result<TableFactor, Error> {
    let (rows, order) = (new_rows_name(table), if last { "DESC" } else { "ASC" });
    let key = key.iter().map(|column| exact(column).to_string()).collect::<Vec<_>>().join(", ");
    let text = format!(
        "SELECT * FROM (SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY __cenote_arrival {order}) \
         AS __cenote_rank FROM (SELECT *, row_number() OVER () AS __cenote_arrival FROM {rows}) AS numbered) AS ranked \
         WHERE __cenote_rank = 1) AS {alias}"
    );
    let mut source = None;
    if let Parsed::Sql { statement, .. } = parse(&text)?
        && let AnyStatement::Statement(statement) = *statement
        && let SqlStatement::Query(query) = *statement
        && let SetExpr::Select(select) = *query.body
    {
        source = select.from.into_iter().next().map(|from| from.relation);
    }
    source.ok_or_else(|| Error::new(ErrorKind::Internal, "internal error: the new rows are not a query"))
}

/// What a statement answers about the rows that it changed.
pub(super) fn answer_of(
    table: &TableDef,
    target: &Ident,
    items: &[SelectItem],
) -> Result<AnyStatement, Error> {
    let foreign = |expr: &Expr| match expr {
        Expr::CompoundIdentifier(parts) if parts.len() == 2 => {
            let relation = folded(&parts[0]);
            let is_own = relation == folded(target) || table.schema.field(&relation).is_some();
            if is_own { ControlFlow::Continue(()) } else { ControlFlow::Break(relation) }
        }
        _ => ControlFlow::Continue(()),
    };
    if let ControlFlow::Break(relation) = visit_expressions(&items.to_vec(), foreign) {
        return Err(unsupported(&format!("RETURNING {relation}.…"))
            .with_hint(format!("it answers columns of {}, as the statement leaves them", target.value)));
    }
    select(|select| {
        select.projection = items.to_vec();
        select.from = vec![relation(named(changed_rows_name(table), target.clone()))];
    })
}

/// The items of the SELECT list, each under a name of its own.
#[derive(Default)]
struct Items(Vec<SelectItem>);

impl Items {
    fn next(&self) -> usize {
        self.0.len()
    }

    fn add(&mut self, expr: Expr) -> usize {
        let at = self.next();
        self.0.push(SelectItem::ExprWithAlias { expr, alias: exact(&format!("__cenote_{at}")) });
        at
    }
}

/// `target JOIN (SELECT *, TRUE FROM source) ON condition`, outer where a clause wants rows without a match.
fn merged(change: &RowChange, table: &TableDef, source: &TableFactor) -> Result<TableWithJoins, Error> {
    let alias = source_name(source)?;
    if folded(&alias) == folded(&change.target) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("table name \"{}\" specified more than once", alias.value),
        )
        .with_sqlstate("42712"));
    }
    let query = select(|select| {
        select.projection = vec![
            SelectItem::Wildcard(Default::default()),
            SelectItem::ExprWithAlias { expr: Expr::value(Value::Boolean(true)), alias: exact(PRESENT) },
        ];
        select.from = vec![relation(source.clone())];
    })?;
    let AnyStatement::Statement(query) = query else { return Err(unsupported("this source of MERGE")) };
    let SqlStatement::Query(subquery) = *query else { return Err(unsupported("this source of MERGE")) };
    let derived =
        TableFactor::Derived { lateral: false, subquery, alias: Some(plain_alias(alias)), sample: None };
    let on = change.condition.clone().unwrap_or(Expr::value(Value::Boolean(true)));
    let on = JoinConstraint::On(on);
    let wants = |when: When| change.clauses.iter().any(|clause| clause.when == when);
    let join_operator = match (wants(When::NotMatched), wants(When::NotMatchedBySource)) {
        (false, false) => JoinOperator::Inner(on),
        (true, false) => JoinOperator::RightOuter(on),
        (false, true) => JoinOperator::LeftOuter(on),
        (true, true) => JoinOperator::FullOuter(on),
    };
    let joins = vec![Join { relation: derived, global: false, join_operator }];
    Ok(TableWithJoins { relation: addressed(table, &change.target), joins })
}

/// The name by which expressions mean the source.
pub(crate) fn source_name(source: &TableFactor) -> Result<Ident, Error> {
    let alias = match source {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident().cloned()),
        _ => None,
    };
    alias.ok_or_else(|| unsupported("a source of MERGE without a name"))
}

/// The target with the places of its rows.
fn addressed(table: &TableDef, target: &Ident) -> TableFactor {
    named(addressed_name(table), target.clone())
}

fn named(name: ObjectName, alias: Ident) -> TableFactor {
    TableFactor::Table {
        name,
        alias: Some(plain_alias(alias)),
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

fn plain_alias(name: Ident) -> TableAlias {
    TableAlias { explicit: true, name, columns: Vec::new(), at: None }
}

fn relation(relation: TableFactor) -> TableWithJoins {
    TableWithJoins { relation, joins: Vec::new() }
}

/// A SELECT, from a text that the parser knows: its tree has many more parts than matter here.
fn select(fill: impl FnOnce(&mut Select)) -> Result<AnyStatement, Error> {
    let Parsed::Sql { statement, .. } = parse("SELECT 1")? else { return Err(unsupported("SELECT")) };
    let AnyStatement::Statement(mut statement) = *statement else { return Err(unsupported("SELECT")) };
    let SqlStatement::Query(query) = statement.as_mut() else { return Err(unsupported("SELECT")) };
    let SetExpr::Select(select) = query.body.as_mut() else { return Err(unsupported("SELECT")) };
    fill(select);
    Ok(AnyStatement::Statement(statement))
}

/// The last part of a name.
pub(crate) fn last_part(name: &ObjectName) -> Option<Ident> {
    name.0.last().and_then(|part| part.as_ident().cloned())
}
