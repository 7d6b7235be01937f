//! A parsed statement that is ready to run.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use cenote_vocab::ErrorKind;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::{ObjectType, Statement as SqlStatement};

use super::{asset, describe as describes, explain_pipeline, maintain, publish, select, show};
use crate::Error;
use crate::parse::{AssetStatement, Command, CopyFormat, Parsed, PipelineStatement};
use crate::plan::fault;
use crate::scan::plain;
use crate::session::Inner;

/// Most bind parameters of one statement.
const PARAMETERS_MAX: usize = 10_000;

/// What a statement does, for rights and doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// SELECT, EXPLAIN, SHOW, DESCRIBE
    Read,
    /// INSERT, UPDATE, DELETE, MERGE, TRUNCATE, CREATE TABLE AS
    Write,
    /// CREATE, ALTER, DROP, COMMENT
    Ddl,
    /// SET, BEGIN, PREPARE, …
    Session,
    /// FLUSH, OPTIMIZE, VACUUM, KILL
    Admin,
}

/// One statement, parsed and described. Reused while the catalog's DDL does not change.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Its text.
    pub sql: String,
    /// What it does.
    pub class: Class,
    /// Types of `$1`, `$2`, …
    pub parameters: Vec<DataType>,
    /// Columns of its answer; `None` if it answers no rows, or was not described.
    pub columns: Option<SchemaRef>,
    /// First words of its command tag.
    pub command: String,
    parsed: Arc<Parsed>,
}

impl Prepared {
    pub(crate) fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// A statement that nobody wrote: `said` is what was asked for instead. It has no parameters and answers no rows.
    pub(crate) fn of_parsed(said: &str, parsed: Parsed) -> Self {
        let (class, command) = classify(&parsed);
        Self {
            sql: said.to_owned(),
            class,
            parameters: Vec::new(),
            columns: None,
            command: command.to_owned(),
            parsed: Arc::new(parsed),
        }
    }

    /// How its rows go out, if it is a `COPY … TO STDOUT`.
    pub fn copies(&self) -> Option<&CopyFormat> {
        match self.parsed() {
            Parsed::CopyOut { format, .. } => Some(format),
            _ => None,
        }
    }

    /// The name that `DEALLOCATE` forgets: a protocol may know a statement under it that the session does not.
    pub fn deallocates(&self) -> Option<&str> {
        match self.parsed() {
            Parsed::Command(Command::Deallocate(name)) => name.as_deref(),
            _ => None,
        }
    }
}

/// What the statement is, and the first words of its command tag.
pub(crate) fn classify(parsed: &Parsed) -> (Class, &'static str) {
    match parsed {
        Parsed::Command(command) => match command {
            Command::Begin(_) => (Class::Session, "BEGIN"),
            Command::Commit => (Class::Session, "COMMIT"),
            Command::Rollback => (Class::Session, "ROLLBACK"),
            Command::SetTransaction(_)
            | Command::SetCharacteristics(_)
            | Command::Set { .. }
            | Command::Use(_) => (Class::Session, "SET"),
            Command::Reset(_) => (Class::Session, "RESET"),
            Command::DiscardAll => (Class::Session, "DISCARD ALL"),
            Command::Prepare { .. } => (Class::Session, "PREPARE"),
            Command::Execute { .. } => (Class::Session, "EXECUTE"),
            Command::Deallocate(_) => (Class::Session, "DEALLOCATE"),
            Command::Nothing(command) => (Class::Session, command),
            Command::Show(_) => (Class::Read, "SHOW"),
            Command::Describe(_) | Command::DescribeQuery(_) => (Class::Read, "DESCRIBE"),
            Command::Flush(_) => (Class::Admin, "FLUSH"),
            Command::Optimize { .. } | Command::Dedup { .. } => (Class::Admin, "OPTIMIZE"),
            Command::Vacuum { .. } => (Class::Admin, "VACUUM"),
            Command::Verify { .. } => (Class::Read, "VERIFY"),
            Command::Kill(_) => (Class::Admin, "KILL"),
            Command::History(statement) => (Class::Ddl, statement.command()),
            Command::Pipeline(PipelineStatement::Explain { .. }) => (Class::Read, "EXPLAIN"),
            Command::Pipeline(statement) => (Class::Ddl, statement.command()),
            Command::Asset(statement) => match statement.as_ref() {
                AssetStatement::ExplainAsset { .. }
                | AssetStatement::ExplainRun(_)
                | AssetStatement::ExplainJob(_) => (Class::Read, statement.command()),
                AssetStatement::Replay { commit: false, .. } => (Class::Admin, statement.command()),
                _ => (Class::Ddl, statement.command()),
            },
            Command::Grant(statement) => (Class::Ddl, statement.command()),
            Command::Tenant(statement) => (Class::Ddl, statement.command()),
            Command::RunJob { .. } => (Class::Admin, "RUN JOB"),
            Command::PublishMetadata => (Class::Admin, "PUBLISH METADATA"),
            Command::PauseJob { .. } => (Class::Admin, "ALTER JOB"),
            Command::AlterTable(_) => (Class::Ddl, "ALTER TABLE"),
            Command::AlterSchema(_) => (Class::Ddl, "ALTER SCHEMA"),
            Command::Comment(_) => (Class::Ddl, "COMMENT"),
        },
        Parsed::CopyOut { .. } => (Class::Read, "COPY"),
        Parsed::Sql { statement, .. } => match statement.as_ref() {
            AnyStatement::Explain(_) => (Class::Read, "EXPLAIN"),
            AnyStatement::Statement(statement) => match statement.as_ref() {
                SqlStatement::Query(_) => (Class::Read, "SELECT"),
                SqlStatement::Insert(_) => (Class::Write, "INSERT"),
                SqlStatement::Delete(_) => (Class::Write, "DELETE"),
                SqlStatement::Update(_) => (Class::Write, "UPDATE"),
                SqlStatement::Merge(_) => (Class::Write, "MERGE"),
                SqlStatement::Truncate(_) => (Class::Write, "TRUNCATE TABLE"),
                SqlStatement::CreateTable(create) if create.query.is_some() => (Class::Write, "SELECT"),
                SqlStatement::CreateTable(_) => (Class::Ddl, "CREATE TABLE"),
                SqlStatement::CreateView(_) => (Class::Ddl, "CREATE VIEW"),
                SqlStatement::CreateSchema { .. } | SqlStatement::CreateDatabase { .. } => {
                    (Class::Ddl, "CREATE SCHEMA")
                }
                SqlStatement::Drop { object_type: ObjectType::View, .. } => (Class::Ddl, "DROP VIEW"),
                SqlStatement::Drop { object_type: ObjectType::Schema | ObjectType::Database, .. } => {
                    (Class::Ddl, "DROP SCHEMA")
                }
                SqlStatement::Drop { .. } => (Class::Ddl, "DROP TABLE"),
                _ => (Class::Ddl, "OK"),
            },
            _ => (Class::Ddl, "OK"),
        },
    }
}

/// A query as it is; the statement back if it is none.
pub(crate) fn undescribed(sql: &str, parsed: Parsed) -> Result<Prepared, Parsed> {
    let is_query = match &parsed {
        Parsed::Sql { statement, .. } => match statement.as_ref() {
            AnyStatement::Statement(statement) => matches!(statement.as_ref(), SqlStatement::Query(_)),
            _ => false,
        },
        _ => false,
    };
    if !is_query {
        return Err(parsed);
    }
    let (class, command) = classify(&parsed);
    Ok(Prepared {
        sql: sql.to_owned(),
        class,
        parameters: Vec::new(),
        columns: None,
        command: command.to_owned(),
        parsed: Arc::new(parsed),
    })
}

/// Types a parsed statement: its parameters and its columns, without running it.
pub(crate) async fn describe(
    session: &Inner,
    sql: &str,
    parsed: Parsed,
    declared: &[Option<DataType>],
) -> Result<Prepared, Error> {
    if let Parsed::Command(Command::Execute { name, .. }) = &parsed {
        // it answers what the kept statement answers
        let kept = session.statements().get(name)?;
        let (sql, parameters, parsed) = (sql.to_owned(), Vec::new(), Arc::new(parsed));
        return Ok(Prepared { sql, parameters, parsed, ..kept.as_ref().clone() });
    }
    let (class, command) = classify(&parsed);
    let (parameters, columns) = match &parsed {
        Parsed::Command(command) => {
            let columns = match command {
                Command::Show(shown) => Some(show::columns(shown)),
                Command::Describe(_) | Command::DescribeQuery(_) => Some(describes::columns()),
                Command::Optimize { .. } | Command::Dedup { .. } | Command::RunJob { .. } => {
                    Some(maintain::optimize_columns())
                }
                Command::PublishMetadata => Some(publish::columns()),
                Command::Vacuum { .. } => Some(maintain::vacuum_columns()),
                Command::Verify { .. } => Some(maintain::verify_columns()),
                Command::Pipeline(statement) => explain_pipeline::columns(statement),
                Command::Asset(statement) => asset::columns(statement),
                _ => None,
            };
            (Vec::new(), columns)
        }
        Parsed::CopyOut { .. } if session.options().protocol != "postgres" => {
            return Err(crate::parse::unsupported("COPY TO STDOUT outside of the Postgres wire")
                .with_hint("send the query itself: formats are csv, ndjson, arrow"));
        }
        Parsed::Sql { .. } | Parsed::CopyOut { .. } => {
            let plan = select::describable(session, &parsed, sql).await?;
            match plan {
                Some(planned) => {
                    let parameters = parameter_types(&planned.plans, declared, sql)?;
                    (parameters, planned.columns)
                }
                None => (Vec::new(), None),
            }
        }
    };
    let parameters = if parameters.len() < declared.len() {
        let missing =
            declared[parameters.len()..].iter().map(|declared| declared.clone().unwrap_or(DataType::Utf8));
        parameters.into_iter().chain(missing).collect()
    } else {
        parameters
    };
    Ok(Prepared {
        sql: sql.to_owned(),
        class,
        parameters,
        columns,
        command: command.to_owned(),
        parsed: Arc::new(parsed),
    })
}

/// The types of `$1`, `$2`, …: declared, else of their context, else text.
fn parameter_types(
    plans: &[LogicalPlan],
    declared: &[Option<DataType>],
    sql: &str,
) -> Result<Vec<DataType>, Error> {
    let mut inferred = Vec::new();
    for plan in plans {
        inferred.extend(plan.get_parameter_types().map_err(|error| {
            let error = fault::of(error, sql);
            if error.to_string().contains("onflicting types") { error.with_sqlstate("42P08") } else { error }
        })?);
    }
    let mut types = Vec::new();
    for (name, inferred) in inferred {
        let number = name.trim_start_matches('$').parse::<usize>().ok().filter(|number| *number > 0);
        let Some(number) = number else {
            return Err(crate::parse::unsupported(&format!("parameter {name}: only $1, $2, …")));
        };
        if number > PARAMETERS_MAX {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("parameter {name} is beyond the limit of {PARAMETERS_MAX} parameters"),
            )
            .with_sqlstate("54000"));
        }
        if types.len() < number {
            types.resize(number, DataType::Utf8);
        }
        let wanted = declared.get(number - 1).cloned().flatten().or(inferred);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != DataType::Null) {
            types[number - 1] = plain(&wanted);
        }
    }
    Ok(types)
}
