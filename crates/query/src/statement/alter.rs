//! `ALTER TABLE`, `COMMENT ON`: all actions of a statement are one commit, planned on one version of the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_catalog::{
    Alter, ColumnPath, Commit, Committed, Error as CatalogError, Evolution, Object, ObjectChange, Op, Place,
    Privilege, ReadSet, Reruns, SortColumn, TableChange, TableDef, TableKind,
};
use cenote_table::Predicate;
use cenote_vocab::{ErrorKind, Fault, Field, FieldId, FieldType, TableSchema, Txn};
use futures::TryStreamExt;
use sqlparser::ast::Ident;

use super::default_value::{initial_default, write_default};
use super::drop::{depended_on, dependents};
use super::{Answer, Guard, Prepared, table_options};
use crate::Error;
use crate::parse::{
    Action, AlterTable, Comment, NewColumn, Parsed, Position, folded, parse, quote, unsupported,
};
use crate::plan::{Found, Resolver, column_of, denied, fault, refuse_materialized};
use crate::session::Inner;
use crate::transaction::{Staged, facts, with_definition};

/// The option that lets rows keep their ids.
const ROW_LINEAGE: &str = "row_lineage";

/// Changes a table in one commit.
pub(crate) async fn alter_table(
    session: &Inner,
    alter: &AlterTable,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    let done = Answer::done("ALTER TABLE");
    if session.in_transaction() {
        return stage_rename(session, alter, prepared, guard).await;
    }
    let mut reruns = Reruns::new(session.engine().lake().ids.clone());
    loop {
        guard.check()?;
        let Some((mut table, mut base)) = find(session, &alter.table, alter.if_exists).await? else {
            return Ok(done.with_notice("table does not exist, skipping"));
        };
        check_may_lose(session, &table, &alter.actions)?;
        check_views(session, &table, &alter.actions).await?;
        let mut change = Change::plan(session, &table, &alter.actions)?;
        // values decide: no row comes in between the look at them and the commit
        let hold = if change.values_decide {
            let hold = session.engine().ingest().hold(&session.identity().scope, table.id).await?;
            let Some((held, at)) = find(session, &alter.table, alter.if_exists).await? else { continue };
            change = Change::plan(session, &held, &alter.actions)?;
            (table, base) = (held, at);
            for column in &change.not_null {
                check_no_nulls(session, &table, column, guard).await?;
            }
            Some(hold)
        } else {
            None
        };
        let notices = std::mem::take(&mut change.notices);
        if change.is_empty() {
            return Ok(notices.into_iter().fold(done, Answer::with_notice));
        }
        match change.commit(session, &table, base, prepared).await {
            Ok(committed) => {
                if let Some(hold) = hold {
                    hold.changed(&committed);
                }
                let done = notices.into_iter().fold(done, Answer::with_notice);
                return Ok(done.with_txn(Some(committed.txn)));
            }
            Err(error) => {
                drop(hold);
                guard.pause(&session.engine().lake().clock, reruns.pause_after(error)?).await?;
            }
        }
    }
}

/// Values, rows or versions go by some actions: who may only write may not do that.
fn check_may_lose(session: &Inner, table: &TableDef, actions: &[Action]) -> Result<(), Error> {
    let loses = |action: &Action| match action {
        Action::Drop { .. } => true,
        Action::SetOptions(options) => {
            options.iter().any(|(name, _)| matches!(name.as_str(), "retention" | "history_keep"))
        }
        _ => false,
    };
    match actions.iter().any(loses) {
        true => session.require(Privilege::Delete, table.object()),
        false => Ok(()),
    }
}

/// A materialized view changes by its own statements, and what it reads keeps row ids: by them it finds what was taken back.
async fn check_views(session: &Inner, table: &TableDef, actions: &[Action]) -> Result<(), Error> {
    refuse_materialized(table)?;
    let touches = |action: &Action| match action {
        Action::SetOptions(options) => options.iter().any(|(name, _)| name == ROW_LINEAGE),
        _ => false,
    };
    if table.row_lineage() && actions.iter().any(touches) {
        let readers = dependents(&*session.names().await?, table);
        if !readers.is_empty() {
            return Err(
                depended_on(session, table, &readers).with_hint("a materialized view needs row_lineage")
            );
        }
    }
    Ok(())
}

/// A new name is the one change of a definition that a transaction can stage.
async fn stage_rename(
    session: &Inner,
    alter: &AlterTable,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    let done = Answer::done("ALTER TABLE");
    let [rename @ Action::RenameTo(to)] = alter.actions.as_slice() else {
        session.refuse_in_transaction("ALTER TABLE with changes other than RENAME TO")?;
        return Ok(done);
    };
    let Some((table, _)) = find(session, &alter.table, alter.if_exists).await? else {
        return Ok(done.with_notice("table does not exist, skipping"));
    };
    check_views(session, &table, std::slice::from_ref(rename)).await?;
    let change = Change::plan(session, &table, std::slice::from_ref(rename))?;
    let names = session.names().await?;
    let name = to.first().map(folded).unwrap_or_default();
    if names.table(&table.schema_name, &name).is_ok() {
        return Err(Error::from(CatalogError::TableExists(name)));
    }
    let renamed = TableDef { name, ..TableDef::clone(&table) };
    let staged = Staged {
        names: Some(Arc::new(with_definition(&names, &table, renamed))),
        objects: change.objects,
        sql: vec![prepared.sql.clone()],
        operation: "rename_table",
        ..Staged::default()
    };
    Ok(done.with_txn(session.finish(staged, guard).await?))
}

/// `COMMENT ON TABLE | VIEW | COLUMN … IS …`
pub(crate) async fn comment(
    session: &Inner,
    comment: &Comment,
    prepared: &Prepared,
) -> Result<Answer, Error> {
    session.check_writable()?;
    session.refuse_in_transaction("COMMENT")?;
    let (table, base, evolution) = if comment.on_column {
        let (table, base, path) = commented_column(session, &comment.name).await?;
        (table, base, Evolution::SetColumnComment { path, comment: comment.text.clone() })
    } else {
        let Some((table, base)) = find(session, &comment.name, false).await? else {
            return Err(unsupported("COMMENT ON this object"));
        };
        (table, base, Evolution::SetComment(comment.text.clone()))
    };
    let mut change = Change::default();
    change.evolve(evolution);
    let committed = change.commit(session, &table, base, prepared).await?;
    Ok(Answer::done("COMMENT").with_txn(Some(committed.txn)))
}

/// The table of `[schema.]table.column[.field …]`, and the column's path.
async fn commented_column(
    session: &Inner,
    name: &[Ident],
) -> Result<(Arc<TableDef>, Txn, ColumnPath), Error> {
    let mut missing = None;
    for length in (1..name.len().min(4)).rev() {
        match find(session, &name[..length], false).await {
            Ok(Some((table, base))) => {
                let path = column_path(&table, &name[length..]);
                return Ok((table, base, path));
            }
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => missing = missing.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    Err(missing.unwrap_or_else(|| {
        Error::new(ErrorKind::Invalid, "COMMENT ON COLUMN needs a table and a column").with_sqlstate("42601")
    }))
}

async fn find(
    session: &Inner,
    name: &[Ident],
    if_exists: bool,
) -> Result<Option<(Arc<TableDef>, Txn)>, Error> {
    let path = session.search_path();
    let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &path };
    let found = resolver.find(name, Privilege::Alter).and_then(|found| match found {
        Found::Table(table) => Ok(table),
        _ => Err(Error::new(ErrorKind::Denied, "system tables are read-only")),
    });
    match found {
        Ok(table) => Ok(Some((table, snapshot.txn))),
        Err(error) if if_exists && error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a statement does to a table.
#[derive(Default)]
struct Change {
    ops: Vec<Op>,
    objects: Vec<ObjectChange>,
    notices: Vec<String>,
    /// The values of all rows decide.
    values_decide: bool,
    /// Columns of the table as it is that must not be NULL anywhere.
    not_null: Vec<String>,
}

impl Change {
    fn plan(session: &Inner, table: &TableDef, actions: &[Action]) -> Result<Self, Error> {
        let mut change = Self::default();
        for action in actions {
            change.add(session, table, action)?;
        }
        change.check_dedup(table)?;
        Ok(change)
    }

    /// Fails if the actions leave a table whose rows replace each other without a key.
    fn check_dedup(&self, table: &TableDef) -> Result<(), Error> {
        let mut after = table.clone();
        let time = after.time_column().map(|time| time.name.clone());
        for op in &self.ops {
            match op {
                Op::Alter(Alter::SetProperties(options)) => {
                    for (option, value) in options {
                        match value {
                            Some(value) => after.properties.insert(option.clone(), value.clone()),
                            None => after.properties.remove(option),
                        };
                    }
                }
                // a column of this very statement has no id yet
                Op::Alter(Alter::Evolve(Evolution::SetKey(columns))) => {
                    let id = |name: &String| table.schema.field(name).map_or(FieldId(0), |field| field.id);
                    after.key_fields = columns.iter().map(id).collect();
                }
                Op::Alter(Alter::Evolve(Evolution::DropColumn { path, .. }))
                    if path.len() == 1 && path.first() == time.as_ref() =>
                {
                    after.time_field = None;
                }
                _ => {}
            }
        }
        Ok(cenote_table::check_dedup(&after)?)
    }

    fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.objects.is_empty()
    }

    fn evolve(&mut self, evolution: Evolution) {
        self.ops.push(Op::Alter(Alter::Evolve(evolution)));
    }

    fn add(&mut self, session: &Inner, table: &TableDef, action: &Action) -> Result<(), Error> {
        let view = !matches!(table.kind, TableKind::Table);
        if view && !matches!(action, Action::RenameTo(_) | Action::SetSchema(_) | Action::SetComment(_)) {
            return Err(Error::new(ErrorKind::Invalid, format!("\"{}\" is a view, not a table", table.name))
                .with_sqlstate("42809"));
        }
        let path = |path: &[Ident]| column_path(table, path);
        match action {
            Action::Add(column) => self.add_column(session, table, column)?,
            Action::Drop { path: column, if_exists } => {
                self.evolve(Evolution::DropColumn { path: path(column), if_exists: *if_exists });
            }
            Action::Rename { path: column, to } => {
                self.evolve(Evolution::RenameColumn { path: path(column), name: folded(to) });
            }
            Action::RenameTo(name) => self.rename(session, table, name)?,
            Action::SetSchema(schema) => self.move_to(session, table, &folded(schema), None)?,
            Action::SetType { path: column, field_type } => {
                self.values_decide = true;
                self.evolve(Evolution::SetType { path: path(column), field_type: field_type.clone() });
            }
            Action::SetNotNull(column) => self.set_not_null(table, path(column)),
            Action::DropNotNull(column) => self.evolve(Evolution::DropNotNull(path(column))),
            Action::SetDefault { path: column, value } => {
                let path = path(column);
                let default = match value {
                    None => None,
                    Some(value) => {
                        let field = declared(table, &self.ops, &path);
                        let (name, field_type) = field.ok_or_else(|| missing(table, &path))?;
                        write_default(&name, &field_type, value)?
                    }
                };
                if path.len() > 1 && default.is_some() {
                    return Err(unsupported("DEFAULT of a nested column"));
                }
                self.evolve(Evolution::SetDefault { path, default });
            }
            Action::Move { path: column, position } => {
                self.evolve(Evolution::MoveColumn {
                    path: path(column),
                    place: place(table, column, position),
                });
            }
            Action::SetPartition(items) => {
                let part =
                    |item: &crate::parse::PartitionItem| (column_name(table, &item.column), item.transform);
                self.evolve(Evolution::SetPartition(items.iter().map(part).collect()));
            }
            Action::SetSort(items) => {
                let column = |item: &crate::parse::SortItem| SortColumn {
                    column: column_name(table, &item.column),
                    descending: item.descending,
                    nulls_first: item.nulls_first,
                };
                self.evolve(Evolution::SetSort(items.iter().map(column).collect()));
            }
            Action::AddKey { columns, enforced } => {
                let columns: Vec<String> = columns.iter().map(|column| column_name(table, column)).collect();
                for column in &columns {
                    self.set_not_null(table, vec![column.clone()]);
                }
                self.evolve(Evolution::SetKey(columns));
                if *enforced {
                    self.notices.push(KEY_NOTICE.to_owned());
                }
            }
            Action::DropKey => self.evolve(Evolution::SetKey(Vec::new())),
            Action::SetOptions(options) => self.set_options(options)?,
            Action::SetComment(comment) => self.evolve(Evolution::SetComment(comment.clone())),
            Action::SetColumnComment { path: column, comment } => {
                self.evolve(Evolution::SetColumnComment { path: path(column), comment: comment.clone() });
            }
        }
        Ok(())
    }

    fn add_column(&mut self, session: &Inner, table: &TableDef, column: &NewColumn) -> Result<(), Error> {
        let Some((name, parent)) = column.path.split_last() else { return Ok(()) };
        let name = folded(name);
        let default = match &column.default {
            None => None,
            Some(value) => write_default(&name, &column.field_type, value)?,
        };
        if !parent.is_empty() && (column.not_null || default.is_some()) {
            return Err(unsupported("NOT NULL and DEFAULT of a new nested column"));
        }
        let now = session.engine().lake().clock.now();
        let field = Field {
            required: column.not_null,
            initial_default: initial_default(&column.field_type, default.as_ref(), now),
            write_default: default,
            comment: column.comment.clone(),
            ..Field::new(FieldId(0), name, column.field_type.clone())
        };
        self.evolve(Evolution::AddColumn {
            parent: column_path(table, parent),
            column: field,
            place: place(table, &column.path, &column.position),
            if_not_exists: column.if_not_exists,
        });
        Ok(())
    }

    fn set_not_null(&mut self, table: &TableDef, path: ColumnPath) {
        self.values_decide = true;
        if let [name] = path.as_slice()
            && table.schema.field(name).is_some_and(|field| !field.required)
        {
            self.not_null.push(name.clone());
        }
        self.evolve(Evolution::SetNotNull(path));
    }

    fn rename(&mut self, session: &Inner, table: &TableDef, name: &[Ident]) -> Result<(), Error> {
        let [name] = name else {
            return Err(unsupported("RENAME TO into another schema").with_hint("use SET SCHEMA"));
        };
        let name = folded(name);
        cenote_vocab::check_table(&name)?;
        self.move_to(session, table, &table.schema_name, Some(name))
    }

    /// One move, whether by one action or two.
    fn move_to(
        &mut self,
        session: &Inner,
        table: &TableDef,
        schema: &str,
        name: Option<String>,
    ) -> Result<(), Error> {
        let before = self.objects.pop();
        let (schema, name) = match (before, name) {
            (Some(ObjectChange::RenameTable { schema: before, .. }), Some(name)) => (before, name),
            (Some(ObjectChange::RenameTable { name, .. }), None) => (Some(schema.to_owned()), name),
            (_, Some(name)) => (None, name),
            (_, None) => (Some(schema.to_owned()), table.name.clone()),
        };
        let target = schema.as_deref().unwrap_or(&table.schema_name);
        check_move(session, table, (target, &name))?;
        self.objects.push(ObjectChange::RenameTable { table: table.id, schema, name });
        Ok(())
    }

    fn set_options(&mut self, options: &[(String, Option<String>)]) -> Result<(), Error> {
        for (option, value) in options {
            // rows that wait are written as it was when they came
            self.values_decide |= option == "dedup";
            match (option.as_str(), value) {
                ("time_column" | "tags" | "format", _) => {
                    return Err(unsupported(&format!("changing option {option}")));
                }
                (_, Some(value)) => table_options::check(option, value)?,
                (_, None) => {}
            }
        }
        let properties: BTreeMap<String, Option<String>> = options.iter().cloned().collect();
        self.ops.push(Op::Alter(Alter::SetProperties(properties)));
        Ok(())
    }

    async fn commit(
        self,
        session: &Inner,
        table: &TableDef,
        base: Txn,
        prepared: &Prepared,
    ) -> Result<Committed, CatalogError> {
        let lake = session.engine().lake();
        let operation = if self.ops.is_empty() { "rename_table" } else { "alter_table" };
        let sql = std::slice::from_ref(&prepared.sql);
        let change = TableChange { table: table.id, base, read: ReadSet::None, ops: self.ops };
        let commit = Commit {
            commit_id: lake.ids.uuid(),
            scope: session.identity().scope.clone(),
            producers: session.client_producer().into_iter().collect(),
            facts: facts(session.caller(), operation, sql, &BTreeMap::new()),
            tables: if change.ops.is_empty() { Vec::new() } else { vec![change] },
            objects: session.expected().into_iter().chain(self.objects).collect(),
        };
        let committed = lake.catalog.apply(commit).await?;
        session.idempotency_key_used().map_err(|error| CatalogError::Internal(error.to_string()))?;
        Ok(committed)
    }
}

/// Fails unless the asker may make an object of the new name, and gains nothing on this one by that: what was granted on a schema, or
/// by a pattern, holds for all that comes there.
pub(super) fn check_move(
    session: &Inner,
    table: &TableDef,
    (schema, name): (&str, &str),
) -> Result<(), Error> {
    let to = Object::Table(schema, name);
    session.require(Privilege::Create, to)?;
    match session.identity().gains(table.object(), to) {
        Some(gained) => {
            Err(denied(gained, &table.full_name()).with_hint(format!("as {schema}.{name} you would have it")))
        }
        None => Ok(()),
    }
}

/// Said when a key is declared without NOT ENFORCED.
pub(super) const KEY_NOTICE: &str = "PRIMARY KEY is not enforced";

/// The exact names of a path: the column's as the table has it, those in it as they are written.
fn column_path(table: &TableDef, path: &[Ident]) -> ColumnPath {
    let Some((first, rest)) = path.split_first() else { return Vec::new() };
    std::iter::once(column_name(table, first)).chain(rest.iter().map(folded)).collect()
}

/// The column that a name means; one that the table does not have may be made by an earlier action.
fn column_name(table: &TableDef, name: &Ident) -> String {
    column_of(table, name).map_or_else(|_| folded(name), |field| field.name.clone())
}

fn place(table: &TableDef, path: &[Ident], position: &Position) -> Place {
    match position {
        Position::Last => Place::Last,
        Position::First => Place::First,
        Position::After(name) if path.len() == 1 => Place::After(column_name(table, name)),
        Position::After(name) => Place::After(folded(name)),
    }
}

/// Name and type of a column as earlier actions leave it.
fn declared(table: &TableDef, ops: &[Op], path: &ColumnPath) -> Option<(String, FieldType)> {
    let changed = ops.iter().rev().find_map(|op| match op {
        Op::Alter(Alter::Evolve(Evolution::SetType { path: changed, field_type })) if changed == path => {
            Some(field_type.clone())
        }
        Op::Alter(Alter::Evolve(Evolution::AddColumn { parent, column, .. }))
            if path.split_last().is_some_and(|(name, rest)| rest == parent && *name == column.name) =>
        {
            Some(column.field_type.clone())
        }
        _ => None,
    });
    let (first, rest) = path.split_first()?;
    let known = rest.iter().try_fold(table.schema.field(first), |field, name| {
        Some(field?.field_type.children().into_iter().find(|child| child.name == *name))
    });
    let known = known.flatten().map(|field| field.field_type.clone());
    Some((path.join("."), changed.or(known)?))
}

fn missing(table: &TableDef, path: &ColumnPath) -> Error {
    let TableSchema { fields, .. } = table.schema.as_ref();
    let nearest = cenote_vocab::nearest(&path.join("."), fields.iter().map(|field| field.name.as_str()));
    CatalogError::ColumnNotFound {
        table: table.full_name(),
        column: path.join("."),
        nearest: nearest.map(str::to_owned),
    }
    .into()
}

/// Looks at the statistics of all files, and where they leave a doubt at the rows.
async fn check_no_nulls(
    session: &Inner,
    table: &Arc<TableDef>,
    name: &str,
    guard: &Guard,
) -> Result<(), Error> {
    let Some(field) = table.schema.field(name) else { return Ok(()) };
    let snapshot = session.snapshot(true, |_| Ok(Vec::new())).await?;
    let (lake, scope) = (session.engine().lake(), &session.identity().scope);
    let doubtful = lake.scan(scope, table, snapshot.txn, &Predicate::IsNull(field.id)).await?;
    if doubtful.files.is_empty() {
        return Ok(());
    }
    let (schema, table_name) = (quote(&table.schema_name), quote(&table.name));
    let sql = format!("SELECT 1 FROM {schema}.{table_name} WHERE {} IS NULL LIMIT 1", quote(name));
    let Parsed::Sql { statement, .. } = parse(&sql)? else {
        return Err(Error::new(ErrorKind::Internal, "internal error: the look for NULLs is no query"));
    };
    let found = guard.run(Box::pin(async {
        let mut binder = session.binder(snapshot);
        let plan = binder.plan(*statement, &sql, &session.search_path()).await?;
        let physical = binder.physical(plan, &sql).await?;
        let stream = session
            .engine()
            .base()
            .stream(binder.state(), physical)
            .map_err(|error| fault::of(error, &sql))?;
        let rows = stream.try_fold(0, |rows, batch| async move { Ok(rows + batch.num_rows()) });
        rows.await.map_err(fault::while_running)
    }));
    if found.await? == 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!("column \"{name}\" of table {} has rows that are NULL", table.full_name()),
    )
    .with_sqlstate("23502"))
}
