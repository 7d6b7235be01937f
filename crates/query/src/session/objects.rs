//! Changes of what exists, for protocols that have no SQL for them. Each becomes the tree of the statement that says the same, and runs
//! as that statement does: one implementation, with its rights and rules. Names are exact.

use std::collections::BTreeMap;

use cenote_catalog::Expected;
use cenote_vocab::{ErrorKind, Txn};
use datafusion::sql::parser::Statement as AnyStatement;
use futures::TryStreamExt;
use sqlparser::ast::helpers::stmt_create_table::CreateTableBuilder;
use sqlparser::ast::{
    ColumnDef, ColumnOption, ColumnOptionDef, CreateTableOptions, DataType, Expr, Ident, ObjectName,
    ObjectType, SchemaName, SqlOption, Statement as SqlStatement, Value,
};

use super::Session;
use crate::parse::{
    Action, AlterSchema, AlterTable, Command, History, NewColumn, Parsed, Position, TableClauses, call_of,
    partition_of, sort_of, type_of,
};
use crate::plan::CATALOG;
use crate::{Bounds, Error, Prepared};

/// What is done to an object. Tables are named by schema and name.
#[derive(Clone, Debug)]
pub enum ObjectEdit {
    /// `CREATE SCHEMA`
    CreateSchema {
        /// Its name.
        name: String,
        /// Its options.
        properties: BTreeMap<String, String>,
    },
    /// `ALTER SCHEMA`
    AlterSchema {
        /// Its name.
        name: String,
        /// Options that are set; `None`: the option goes.
        properties: BTreeMap<String, Option<String>>,
    },
    /// `DROP SCHEMA`
    DropSchema {
        /// Its name.
        name: String,
        /// Also what is in it.
        cascade: bool,
    },
    /// `CREATE TABLE`
    CreateTable {
        /// Its schema and name.
        table: (String, String),
        /// What it is.
        spec: TableSpec,
    },
    /// `ALTER TABLE`
    AlterTable {
        /// Its schema and name.
        table: (String, String),
        /// All of it, or nothing.
        edits: Vec<TableEdit>,
    },
    /// `DROP TABLE`, `DROP VIEW`
    DropTable {
        /// Its schema and name.
        table: (String, String),
        /// It is a view.
        is_view: bool,
        /// Also the materialized views that read it.
        cascade: bool,
    },
    /// `UNDROP TABLE`
    UndropTable {
        /// Its schema and name.
        table: (String, String),
    },
}

/// A table to be.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// In order.
    pub columns: Vec<ColumnSpec>,
    /// Columns and transforms of them: `day(ts)`.
    pub partition_by: Vec<String>,
    /// Columns with their directions: `ts DESC`.
    pub sort_by: Vec<String>,
    /// Options.
    pub properties: BTreeMap<String, String>,
    /// What it is for.
    pub description: Option<String>,
}

/// A column to be.
#[derive(Clone, Debug)]
pub struct ColumnSpec {
    /// Its name.
    pub name: String,
    /// Its type as SQL writes it.
    pub data_type: String,
    /// It may be NULL.
    pub nullable: bool,
    /// What rows get that are written without it.
    pub default: Option<DefaultSpec>,
    /// What it is for.
    pub description: Option<String>,
}

/// What rows get that are written without a column.
#[derive(Clone, Debug)]
pub enum DefaultSpec {
    /// A value, as text that casts to the column's type.
    Literal(String),
    /// The instant of the statement.
    Now,
    /// A random UUID.
    Uuid,
}

/// One change of a table.
#[derive(Clone, Debug)]
pub enum TableEdit {
    /// A new column.
    AddColumn {
        /// Struct columns that it goes into, from the outermost; none: the table.
        parent: Vec<String>,
        /// What it is.
        column: ColumnSpec,
        /// Where.
        place: ColumnPlace,
    },
    /// A column goes.
    DropColumn(Vec<String>),
    /// A column gets another name.
    RenameColumn {
        /// Its path.
        path: Vec<String>,
        /// Its name then.
        to: String,
    },
    /// A column gets a type that holds all of its values.
    AlterType {
        /// Its path.
        path: Vec<String>,
        /// The type as SQL writes it.
        data_type: String,
    },
    /// A column may be NULL from now on, or may not.
    SetNullable {
        /// Its path.
        path: Vec<String>,
        /// Whether it may.
        nullable: bool,
    },
    /// A column goes elsewhere.
    MoveColumn {
        /// Its path.
        path: Vec<String>,
        /// Where.
        place: ColumnPlace,
    },
    /// What a column is for.
    DescribeColumn {
        /// Its path.
        path: Vec<String>,
        /// `None` takes it off.
        description: Option<String>,
    },
    /// What the table is for; `None` takes it off.
    Describe(Option<String>),
    /// Options that are set; `None`: the option goes.
    SetProperties(BTreeMap<String, Option<String>>),
    /// Another name in its schema.
    Rename(String),
}

/// Where a column goes.
#[derive(Clone, Debug, Default)]
pub enum ColumnPlace {
    /// Behind all.
    #[default]
    Last,
    /// Before all.
    First,
    /// Behind this one.
    After(String),
}

impl Session {
    /// Makes a change, in one commit, and answers its number; `None` if nothing had to be changed. `said`: what was asked for, for
    /// those who look at statements. `expected`: the change is made only if this is still so, else `Conflict` with P0004.
    pub async fn change_object(
        &self,
        said: &str,
        edit: &ObjectEdit,
        expected: Option<Expected>,
    ) -> Result<Option<Txn>, Error> {
        let prepared = Prepared::of_parsed(said, parsed(edit)?);
        self.inner().expect(expected);
        let done = self.execute(&prepared, Vec::new(), Bounds::default()).await;
        self.inner().expect(None);
        let mut done = done?;
        while done.batches.try_next().await?.is_some() {} // it answers no rows: this is its end
        Ok(done.outcome().txn)
    }
}

fn parsed(edit: &ObjectEdit) -> Result<Parsed, Error> {
    Ok(match edit {
        ObjectEdit::CreateSchema { name, properties } => sql(SqlStatement::CreateSchema {
            schema_name: SchemaName::Simple(ObjectName::from(vec![exact(name)])),
            if_not_exists: false,
            with: Some(options(properties)),
            options: None,
            default_collate_spec: None,
            clone: None,
        }),
        ObjectEdit::AlterSchema { name, properties } => {
            let options = properties.clone().into_iter().collect();
            Parsed::Command(Command::AlterSchema(AlterSchema { schema: vec![exact(name)], options }))
        }
        ObjectEdit::DropSchema { name, cascade } => {
            dropped(ObjectType::Schema, ObjectName::from(vec![exact(name)]), *cascade)
        }
        ObjectEdit::CreateTable { table, spec } => create(table, spec)?,
        ObjectEdit::AlterTable { table, edits } => {
            let actions = edits.iter().map(action).collect::<Result<_, _>>()?;
            Parsed::Command(Command::AlterTable(AlterTable {
                table: named(table),
                if_exists: false,
                actions,
            }))
        }
        ObjectEdit::DropTable { table, is_view, cascade } => {
            let kind = if *is_view { ObjectType::View } else { ObjectType::Table };
            dropped(kind, ObjectName::from(named(table)), *cascade)
        }
        ObjectEdit::UndropTable { table } => Parsed::Command(Command::History(History::Undrop(named(table)))),
    })
}

fn sql(statement: SqlStatement) -> Parsed {
    let statement = Box::new(AnyStatement::Statement(Box::new(statement)));
    Parsed::Sql { statement, clauses: TableClauses::default() }
}

fn dropped(object_type: ObjectType, name: ObjectName, cascade: bool) -> Parsed {
    sql(SqlStatement::Drop {
        object_type,
        if_exists: false,
        names: vec![name],
        cascade,
        restrict: !cascade,
        purge: false,
        temporary: false,
        table: None,
    })
}

fn create(table: &(String, String), spec: &TableSpec) -> Result<Parsed, Error> {
    let mut clauses = TableClauses {
        partition: spec.partition_by.iter().map(|part| partition_of(part)).collect::<Result<_, _>>()?,
        sort: spec.sort_by.iter().map(|part| sort_of(part)).collect::<Result<_, _>>()?,
        comment: spec.description.clone(),
        ..TableClauses::default()
    };
    let column = |column: &ColumnSpec| {
        let word = clauses.word_for(type_of(&column.name, &column.data_type)?);
        let mut options = Vec::new();
        if !column.nullable {
            options.push(ColumnOption::NotNull);
        }
        options.extend(column.description.clone().map(ColumnOption::Comment));
        if let Some(default) = &column.default {
            options.push(ColumnOption::Default(value(default)?));
        }
        Ok(ColumnDef {
            name: exact(&column.name),
            data_type: DataType::Custom(ObjectName::from(vec![Ident::new(word)]), Vec::new()),
            options: options.into_iter().map(|option| ColumnOptionDef { name: None, option }).collect(),
        })
    };
    let columns = spec.columns.iter().map(column).collect::<Result<Vec<_>, Error>>()?;
    let create = CreateTableBuilder::new(ObjectName::from(named(table)))
        .columns(columns)
        .table_options(CreateTableOptions::With(options(&spec.properties)))
        .build();
    let statement = Box::new(AnyStatement::Statement(Box::new(SqlStatement::CreateTable(create))));
    Ok(Parsed::Sql { statement, clauses })
}

fn action(edit: &TableEdit) -> Result<Action, Error> {
    Ok(match edit {
        TableEdit::AddColumn { parent, column, place } => {
            let path = parent.iter().chain([&column.name]).map(|name| exact(name));
            Action::Add(Box::new(NewColumn {
                path: path.collect(),
                field_type: type_of(&column.name, &column.data_type)?,
                not_null: !column.nullable,
                default: column.default.as_ref().map(value).transpose()?,
                comment: column.description.clone(),
                position: position(place),
                if_not_exists: false,
            }))
        }
        TableEdit::DropColumn(path) => Action::Drop { path: exact_path(path)?, if_exists: false },
        TableEdit::RenameColumn { path, to } => Action::Rename { path: exact_path(path)?, to: exact(to) },
        TableEdit::AlterType { path, data_type } => {
            let name = path.last().map_or("", String::as_str);
            Action::SetType { path: exact_path(path)?, field_type: type_of(name, data_type)? }
        }
        TableEdit::SetNullable { path, nullable: true } => Action::DropNotNull(exact_path(path)?),
        TableEdit::SetNullable { path, nullable: false } => Action::SetNotNull(exact_path(path)?),
        TableEdit::MoveColumn { path, place } => {
            Action::Move { path: exact_path(path)?, position: position(place) }
        }
        TableEdit::DescribeColumn { path, description } => {
            Action::SetColumnComment { path: exact_path(path)?, comment: description.clone() }
        }
        TableEdit::Describe(description) => Action::SetComment(description.clone()),
        TableEdit::SetProperties(properties) => Action::SetOptions(properties.clone().into_iter().collect()),
        TableEdit::Rename(name) => Action::RenameTo(vec![exact(name)]),
    })
}

/// As it is: no folding of letters.
fn exact(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

fn exact_path(path: &[String]) -> Result<Vec<Ident>, Error> {
    if path.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "a column has a name").with_sqlstate("42602"));
    }
    Ok(path.iter().map(|name| exact(name)).collect())
}

fn named((schema, name): &(String, String)) -> Vec<Ident> {
    [CATALOG, schema, name].map(exact).into()
}

fn position(place: &ColumnPlace) -> Position {
    match place {
        ColumnPlace::Last => Position::Last,
        ColumnPlace::First => Position::First,
        ColumnPlace::After(name) => Position::After(exact(name)),
    }
}

fn options(properties: &BTreeMap<String, String>) -> Vec<SqlOption> {
    let option = |(name, value): (&String, &String)| SqlOption::KeyValue {
        key: exact(name),
        value: Expr::value(Value::SingleQuotedString(value.clone())),
    };
    properties.iter().map(option).collect()
}

fn value(default: &DefaultSpec) -> Result<Expr, Error> {
    match default {
        DefaultSpec::Literal(text) => Ok(Expr::value(Value::SingleQuotedString(text.clone()))),
        DefaultSpec::Now => call_of("now()"),
        DefaultSpec::Uuid => call_of("uuid()"),
    }
}
