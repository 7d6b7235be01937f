//! `CREATE [OR REPLACE] VIEW v [(columns)] AS query`.

use std::sync::Arc;

use cenote_catalog::{NewTable, ObjectChange, Privilege, TableKind};
use cenote_vocab::{ErrorKind, Field, FieldId, FieldType, TableSchema};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::{CreateTableOptions, CreateView, Statement as SqlStatement};

use super::create_table::{check_output_names, parts};
use super::drop::{depended_on, dependents};
use super::{Answer, Guard, Prepared};
use crate::Error;
use crate::parse::{folded, text_from, tokenize, unsupported, word_is};
use crate::plan::{Binder, Resolver, fault, refuse_materialized, visible};
use crate::session::Inner;
use crate::transaction::{Staged, with_table};

/// Creates the view after planning its query once.
pub(crate) async fn create_view(
    session: &Inner,
    create: &CreateView,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    let refused = [
        ("CREATE MATERIALIZED VIEW", create.materialized),
        ("CREATE TEMPORARY VIEW", create.temporary),
        ("CREATE OR ALTER VIEW", create.or_alter),
        (
            "options of CREATE VIEW",
            create.options != CreateTableOptions::None || create.with_no_schema_binding,
        ),
        ("CLUSTER BY", !create.cluster_by.is_empty()),
        ("CREATE VIEW … TO", create.to.is_some()),
    ];
    if let Some((what, _)) = refused.iter().find(|(_, present)| *present) {
        return Err(unsupported(what));
    }
    let sql = prepared.sql.as_str();
    let path = session.search_path();
    let query = AnyStatement::Statement(Box::new(SqlStatement::Query(create.query.clone())));
    let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let (schema, name) = resolver.creatable(&parts(&create.name), Privilege::Create)?;
    let taken = snapshot.names.schemas.get(&schema).and_then(|(_, tables)| tables.get(&name));
    if let Some(taken) = taken {
        if create.if_not_exists {
            return Ok(
                Answer::done("CREATE VIEW").with_notice(format!("view \"{name}\" already exists, skipping"))
            );
        }
        if !create.or_replace {
            return Err(Error::from(cenote_catalog::Error::TableExists(taken.full_name())));
        }
        session.require(Privilege::Alter, taken.object())?;
        let readers = dependents(&snapshot.names, taken);
        if !readers.is_empty() && taken.materialized().is_none() {
            return Err(
                depended_on(session, taken, &readers).with_hint("drop what reads it, then replace it")
            );
        }
        if taken.kind == TableKind::Table {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("\"{}\" is a table, not a view", taken.full_name()),
            )
            .with_sqlstate("42809"));
        }
        refuse_materialized(taken)
            .map_err(|error| error.with_hint("use CREATE OR REPLACE MATERIALIZED VIEW"))?;
    }
    let mut binder: Binder<'_> = session.binder(snapshot.clone());
    let plan = binder.plan(query, sql, &path).await?;
    refuse_parameters(&plan, "a view", sql)?;
    if taken.is_some_and(|taken| binder.views().contains(&taken.id)) {
        return Err(Error::new(ErrorKind::Invalid, format!("view \"{name}\" would read itself"))
            .with_sqlstate("42P17")
            .with_hint("read an earlier version of it, or the tables below it"));
    }
    let plan = binder.optimized(plan, sql).await?;
    let columns = columns(create, plan.schema().inner())?;

    let lake = session.engine().lake();
    let scope = &session.identity().scope;
    let ids = (lake.catalog.reserve_table(scope).await?, lake.ids.uuid());
    let view = NewTable {
        kind: TableKind::View { sql: query_text(sql)?, search_path: path.join(", ") },
        location: String::new(),
        comment: create.comment.clone(),
        if_not_exists: create.if_not_exists,
        or_replace: create.or_replace,
        ..NewTable::plain(scope.tenant(), ids, (schema, name), columns)
    };
    let staged = Staged {
        names: Some(Arc::new(with_table(&snapshot.names, &view))),
        objects: session.identity().owning(vec![ObjectChange::CreateTable(Box::new(view))]),
        sql: vec![sql.to_owned()],
        operation: "create_view",
        ..Staged::default()
    };
    let txn = session.finish(staged, guard).await?;
    Ok(Answer::done("CREATE VIEW").with_txn(txn))
}

/// What is kept as a text has nobody who could bind a parameter.
pub(crate) fn refuse_parameters(plan: &LogicalPlan, of: &str, sql: &str) -> Result<(), Error> {
    let parameters = plan.get_parameter_types().map_err(|error| fault::of(error, sql))?;
    match parameters.keys().min() {
        None => Ok(()),
        Some(parameter) => {
            let text = format!("there is no parameter {parameter}: {of} has none");
            Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42P02"))
        }
    }
}

/// The output columns; a type that no table stores is shown as unknown.
fn columns(create: &CreateView, outputs: &arrow::datatypes::Schema) -> Result<TableSchema, Error> {
    if create.columns.len() > outputs.fields().len() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("{} column names are given for {} columns", create.columns.len(), outputs.fields().len()),
        )
        .with_sqlstate("42601"));
    }
    let mut fields: Vec<Field> = Vec::new();
    for (at, output) in outputs.fields().iter().enumerate() {
        let name = create
            .columns
            .get(at)
            .map_or_else(|| visible(output.name()).to_owned(), |column| folded(&column.name));
        fields.push(Field::new(
            FieldId(i32::try_from(at + 1).unwrap_or(i32::MAX)),
            name,
            cenote_datafile::field_type(output).unwrap_or(FieldType::Unknown),
        ));
    }
    check_output_names(&fields)?;
    Ok(cenote_catalog::first_schema(fields)?)
}

/// The text of the query: what stands after the first AS outside of parentheses.
fn query_text(sql: &str) -> Result<String, Error> {
    let tokens = tokenize(sql)?;
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            sqlparser::tokenizer::Token::LParen => depth += 1,
            sqlparser::tokenizer::Token::RParen => depth = depth.saturating_sub(1),
            _ if depth == 0 && word_is(token, "AS") => {
                if let Some(next) = tokens.get(at + 1) {
                    return Ok(text_from(sql, next).to_owned());
                }
            }
            _ => {}
        }
    }
    Err(Error::new(ErrorKind::Invalid, "CREATE VIEW has no query"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_view_is_kept_as_it_was_written() {
        let sql = "CREATE VIEW v (a, b) AS SELECT x AS a,\n  y // 2 FROM t FOR VERSION AS OF 3;";
        assert_eq!(query_text(sql).unwrap(), "SELECT x AS a,\n  y // 2 FROM t FOR VERSION AS OF 3");
    }
}
