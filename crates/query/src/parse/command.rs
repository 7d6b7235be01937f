//! Statements of ours, and those of sessions: told by their first words, before the parser of queries sees them.

use std::time::Duration;

use cenote_table::OptimizeMode;
use cenote_vocab::ErrorKind;
use sqlparser::ast::{DataType, Ident};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::alter::{AlterSchema, AlterTable, Comment, alter_schema, alter_table, comment};
use super::asset::{AssetStatement, asset};
use super::clauses::list;
use super::grant::{GrantStatement, On, Who, grant, on, who};
use super::history::{History, history};
use super::pipeline::{PipelineStatement, pipeline};
use super::prepare;
use super::tenant::{TenantStatement, tenant};
use super::words::Words;
use crate::Error;

/// A statement that the parser of queries never sees.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    Begin(Characteristics),
    Commit,
    Rollback,
    /// `SET TRANSACTION …`
    SetTransaction(Characteristics),
    /// `SET SESSION CHARACTERISTICS AS TRANSACTION …`
    SetCharacteristics(Characteristics),
    /// `value` `None`: back to the default.
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    /// `None`: all.
    Reset(Option<String>),
    DiscardAll,
    /// `PREPARE name (types) AS sql`
    Prepare {
        name: String,
        types: Vec<DataType>,
        sql: String,
    },
    /// `arguments`: the text of each.
    Execute {
        name: String,
        arguments: Vec<String>,
    },
    /// `None`: all.
    Deallocate(Option<String>),
    /// Accepted, and nothing to do.
    Nothing(&'static str),
    Use(Vec<Ident>),
    Show(Show),
    Describe(Vec<Ident>),
    DescribeQuery(String),
    Flush(Target),
    Optimize {
        target: Target,
        mode: OptimizeMode,
        /// Text of the condition.
        only: Option<String>,
        dry_run: bool,
    },
    /// `OPTIMIZE … DEDUP`
    Dedup {
        target: Target,
        dry_run: bool,
    },
    Vacuum {
        target: Target,
        keep: Option<Duration>,
        orphans: bool,
        force: bool,
        dry_run: bool,
    },
    Verify {
        target: Target,
        deep: bool,
    },
    Kill(String),
    RunJob {
        name: String,
        dry_run: bool,
    },
    PublishMetadata,
    /// `ALTER JOB j PAUSE`, `RESUME`
    PauseJob {
        name: String,
        paused: bool,
    },
    AlterTable(AlterTable),
    AlterSchema(AlterSchema),
    Comment(Comment),
    History(History),
    Pipeline(PipelineStatement),
    Asset(Box<AssetStatement>),
    Grant(GrantStatement),
    Tenant(TenantStatement),
}

/// One table, or all of the tenant.
pub(crate) type Target = Option<Vec<Ident>>;

/// `ISOLATION LEVEL …`, `READ ONLY`, `READ WRITE`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Characteristics {
    pub(crate) repeatable_read: Option<bool>,
    pub(crate) read_only: Option<bool>,
}

/// What `SHOW` shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Show {
    Databases,
    Catalogs,
    Schemas,
    Tables {
        database: Option<Ident>,
        like: Option<String>,
    },
    Columns(Vec<Ident>),
    Create {
        name: Vec<Ident>,
        view: bool,
    },
    Functions,
    Snapshots(Vec<Ident>),
    Tags,
    Jobs,
    Assets,
    Runs,
    Pipelines {
        like: Option<String>,
    },
    Pipeline(Vec<Ident>),
    CreatePipeline(Vec<Ident>),
    MaterializedViews {
        like: Option<String>,
    },
    /// `SHOW GRANTS [ON …] [FOR …]`
    Grants {
        on: Option<On>,
        who: Option<Who>,
    },
    Tenants,
    All,
    Setting(String),
}

/// Statements that this version knows by name and cannot do.
const LATER: &[&[&str]] = &[
    &["SAVEPOINT"],
    &["RELEASE"],
    &["DECLARE"],
    &["FETCH"],
    &["MOVE"],
    &["ANALYZE"],
    &["SUMMARIZE"],
    &["ATTACH"],
    &["DETACH"],
    &["LISTEN"],
    &["NOTIFY"],
    &["LOCK"],
    &["MATERIALIZE"],
    &["CALL"],
    &["CREATE", "JOB"],
    &["DROP", "JOB"],
    &["CREATE", "CATALOG"],
    &["DROP", "CATALOG"],
];

/// The command that the statement is; `None` if the parser of queries should read it.
pub(crate) fn parse(sql: &str, tokens: &[TokenWithSpan]) -> Result<Option<Command>, Error> {
    let mut words = Words::new(sql, tokens);
    let command = match () {
        () if words.take(&["BEGIN"]) => {
            let _ = words.take(&["TRANSACTION"]) || words.take(&["WORK"]);
            Command::Begin(characteristics(&mut words)?)
        }
        () if words.take(&["START", "TRANSACTION"]) => Command::Begin(characteristics(&mut words)?),
        () if words.take(&["COMMIT"]) || words.take(&["END"]) => {
            end_of_transaction(&mut words, Command::Commit)
        }
        () if words.take(&["ROLLBACK"]) || words.take(&["ABORT"]) => {
            if words.take(&["TO"]) || words.take(&["TRANSACTION", "TO"]) || words.take(&["WORK", "TO"]) {
                return Err(unsupported("ROLLBACK TO SAVEPOINT"));
            }
            end_of_transaction(&mut words, Command::Rollback)
        }
        () if words.take(&["SET"]) => set(&mut words)?,
        () if words.take(&["RESET"]) => {
            if words.take(&["ALL"]) {
                Command::Reset(None)
            } else if words.take(&["TIME", "ZONE"]) {
                Command::Reset(Some("timezone".into()))
            } else {
                Command::Reset(Some(setting_name(&mut words)?))
            }
        }
        () if words.take(&["DISCARD"]) => {
            words.expect(&["ALL"])?;
            Command::DiscardAll
        }
        () if words.take(&["PREPARE"]) => return prepare::prepare(sql, &mut words).map(Some),
        () if words.take(&["EXECUTE"]) => prepare::execute(sql, &mut words)?,
        () if words.take(&["DEALLOCATE"]) => prepare::deallocate(&mut words)?,
        () if words.take(&["UNLISTEN"]) => {
            words.next();
            Command::Nothing("UNLISTEN")
        }
        () if words.take(&["CLOSE", "ALL"]) => Command::Nothing("CLOSE CURSOR ALL"),
        () if words.take(&["USE"]) => Command::Use(words.object_name()?),
        () if words.take(&["SHOW"]) => Command::Show(show(&mut words)?),
        () if words.take(&["DESCRIBE"]) || words.take(&["DESC"]) => {
            return describe(sql, &mut words).map(Some);
        }
        () if words.take(&["FLUSH"]) => Command::Flush(target(&mut words)?),
        () if words.take(&["OPTIMIZE"]) => optimize(&mut words)?,
        () if words.take(&["VACUUM"]) => vacuum(&mut words)?,
        () if words.take(&["VERIFY"]) => {
            Command::Verify { target: target(&mut words)?, deep: words.take(&["DEEP"]) }
        }
        () if words.take(&["KILL", "QUERY"]) || words.take(&["KILL"]) => Command::Kill(words.text()?),
        () if words.take(&["RUN", "JOB"]) => {
            Command::RunJob { name: job_name(&mut words)?, dry_run: words.take(&["DRY", "RUN"]) }
        }
        () if words.take(&["PUBLISH", "METADATA"]) => Command::PublishMetadata,
        () if words.take(&["ALTER", "JOB"]) => alter_job(&mut words)?,
        () if words.take(&["ALTER", "TABLE"]) => Command::AlterTable(alter_table(&mut words)?),
        () if words.take(&["ALTER", "SCHEMA"]) => Command::AlterSchema(alter_schema(&mut words)?),
        () if words.take(&["COMMENT", "ON"]) => Command::Comment(comment(&mut words)?),
        () if words.take(&["COPY"]) => return Err(copy(&mut words)),
        () if words.take(&["CREATE", "INDEX"]) || words.take(&["CREATE", "UNIQUE", "INDEX"]) => {
            return Err(unsupported("CREATE INDEX").with_hint("declare the order of rows with SORTED BY"));
        }
        () if words.take(&["CREATE", "EXTERNAL"]) || words.take(&["CREATE", "UNBOUNDED"]) => {
            return Err(files_denied("CREATE EXTERNAL TABLE"));
        }
        () => {
            if let Some(statement) = history(&mut words)? {
                words.end()?;
                return Ok(Some(Command::History(statement)));
            }
            if let Some(statement) = grant(&mut words)? {
                words.end()?;
                return Ok(Some(Command::Grant(statement)));
            }
            if let Some(statement) = tenant(&mut words)? {
                words.end()?;
                return Ok(Some(Command::Tenant(statement)));
            }
            if let Some(statement) = pipeline(&mut words)? {
                words.end()?;
                return Ok(Some(Command::Pipeline(statement)));
            }
            if let Some(statement) = asset(&mut words)? {
                words.end()?;
                return Ok(Some(Command::Asset(Box::new(statement))));
            }
            if let Some(phrase) = LATER.iter().find(|phrase| words.take(phrase)) {
                return Err(unsupported(&phrase.join(" ")));
            }
            return Ok(None);
        }
    };
    words.end()?;
    Ok(Some(command))
}

/// The statement is known and this version cannot do it.
pub(crate) fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what} is not supported yet"))
}

/// Files of the server are out of reach.
pub(crate) fn files_denied(what: &str) -> Error {
    Error::new(ErrorKind::Denied, format!("{what}: access to files is not allowed by security.allowed_paths"))
}

fn copy(words: &mut Words<'_>) -> Error {
    while let Some(token) = words.next() {
        if matches!(token.token, Token::SingleQuotedString(_)) {
            return files_denied("COPY");
        }
    }
    unsupported("COPY")
}

fn end_of_transaction(words: &mut Words<'_>, command: Command) -> Command {
    let _ = words.take(&["TRANSACTION"]) || words.take(&["WORK"]);
    let _ = words.take(&["AND", "NO", "CHAIN"]);
    command
}

fn characteristics(words: &mut Words<'_>) -> Result<Characteristics, Error> {
    let mut found = Characteristics::default();
    loop {
        if words.take(&["ISOLATION", "LEVEL"]) {
            found.repeatable_read = Some(if words.take(&["REPEATABLE", "READ"]) {
                true
            } else if words.take(&["READ", "COMMITTED"]) || words.take(&["READ", "UNCOMMITTED"]) {
                false
            } else if words.take(&["SERIALIZABLE"]) {
                return Err(unsupported("isolation level SERIALIZABLE").with_hint("use REPEATABLE READ"));
            } else {
                return Err(words.unexpected("an isolation level"));
            });
        } else if words.take(&["READ", "ONLY"]) {
            found.read_only = Some(true);
        } else if words.take(&["READ", "WRITE"]) {
            found.read_only = Some(false);
        } else if words.take(&["NOT", "DEFERRABLE"])
            || words.take(&["DEFERRABLE"])
            || words.take_token(&Token::Comma)
        {
            // changes nothing below SERIALIZABLE
        } else {
            return Ok(found);
        }
    }
}

fn set(words: &mut Words<'_>) -> Result<Command, Error> {
    if words.take(&["TRANSACTION"]) {
        return Ok(Command::SetTransaction(characteristics(words)?));
    }
    if words.take(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
        return Ok(Command::SetCharacteristics(characteristics(words)?));
    }
    let local = words.take(&["LOCAL"]);
    if !local {
        let _ = words.take(&["SESSION"]);
    }
    if words.take(&["TIME", "ZONE"]) {
        let value =
            if words.take(&["LOCAL"]) || words.take(&["DEFAULT"]) { None } else { Some(value(words)?) };
        return Ok(Command::Set { name: "timezone".into(), value, local });
    }
    if words.take(&["NAMES"]) {
        return Ok(Command::Set { name: "client_encoding".into(), value: Some(value(words)?), local });
    }
    if words.take(&["ROLE"]) {
        words.expect(&["NONE"])?;
        return Ok(Command::Nothing("SET"));
    }
    let name = setting_name(words)?;
    if !words.take_token(&Token::Eq) {
        words.expect(&["TO"])?;
    }
    if words.take(&["DEFAULT"]) {
        return Ok(Command::Set { name, value: None, local });
    }
    let mut values = vec![value(words)?];
    while words.take_token(&Token::Comma) {
        values.push(value(words)?);
    }
    Ok(Command::Set { name, value: Some(values.join(", ")), local })
}

/// `a`, `a.b`
fn setting_name(words: &mut Words<'_>) -> Result<String, Error> {
    let parts = words.object_name()?;
    Ok(parts.iter().map(|part| part.value.to_lowercase()).collect::<Vec<_>>().join("."))
}

/// A word, a text, a number with or without sign.
fn value(words: &mut Words<'_>) -> Result<String, Error> {
    let negative = words.take_token(&Token::Minus);
    let sign = if negative { "-" } else { "" };
    match words.peek().map(|token| &token.token) {
        Some(Token::Number(digits, _)) => {
            words.next();
            Ok(format!("{sign}{digits}"))
        }
        Some(Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_)) if !negative => words.text(),
        Some(Token::Word(word)) if !negative => {
            words.next();
            Ok(word.value.clone())
        }
        _ => Err(words.unexpected("a value")),
    }
}

fn show(words: &mut Words<'_>) -> Result<Show, Error> {
    Ok(if words.take(&["DATABASES"]) {
        Show::Databases
    } else if words.take(&["CATALOGS"]) {
        Show::Catalogs
    } else if words.take(&["SCHEMAS"]) {
        if words.take(&["FROM"]) || words.take(&["IN"]) {
            words.ident()?;
        }
        Show::Schemas
    } else if words.take(&["TABLES"]) || words.take(&["MEASUREMENTS"]) {
        let database = if words.take(&["FROM"]) || words.take(&["IN"]) { Some(words.ident()?) } else { None };
        let like = if words.take(&["LIKE"]) { Some(words.text()?) } else { None };
        Show::Tables { database, like }
    } else if words.take(&["COLUMNS"]) {
        if !words.take(&["IN"]) {
            words.expect(&["FROM"])?;
        }
        Show::Columns(words.object_name()?)
    } else if words.take(&["CREATE", "TABLE"]) {
        Show::Create { name: words.object_name()?, view: false }
    } else if words.take(&["CREATE", "PIPELINE"]) {
        Show::CreatePipeline(words.object_name()?)
    } else if words.take(&["PIPELINES"]) {
        let like = if words.take(&["LIKE"]) { Some(words.text()?) } else { None };
        Show::Pipelines { like }
    } else if words.take(&["MATERIALIZED", "VIEWS"]) {
        let like = if words.take(&["LIKE"]) { Some(words.text()?) } else { None };
        Show::MaterializedViews { like }
    } else if words.take(&["PIPELINE"]) {
        Show::Pipeline(words.object_name()?)
    } else if words.take(&["CREATE", "VIEW"]) {
        Show::Create { name: words.object_name()?, view: true }
    } else if words.take(&["FUNCTIONS"]) {
        Show::Functions
    } else if words.take(&["SNAPSHOTS"]) {
        let _ = words.take(&["FROM"]) || words.take(&["FOR"]);
        Show::Snapshots(words.object_name()?)
    } else if words.take(&["JOBS"]) {
        Show::Jobs
    } else if words.take(&["ASSETS"]) {
        Show::Assets
    } else if words.take(&["RUNS"]) {
        Show::Runs
    } else if words.take(&["GRANTS"]) {
        let on = if words.take(&["ON"]) { Some(on(words)?) } else { None };
        let who = if words.take(&["FOR"]) { Some(who(words)?) } else { None };
        Show::Grants { on, who }
    } else if words.take(&["TENANTS"]) {
        Show::Tenants
    } else if words.take(&["TAGS"]) {
        Show::Tags
    } else if words.take(&["PARTITIONS"]) {
        return Err(unsupported("SHOW PARTITIONS"));
    } else if words.take(&["ALL"]) {
        Show::All
    } else if words.take(&["TIME", "ZONE"]) {
        Show::Setting("timezone".into())
    } else if words.take(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
        Show::Setting("transaction_isolation".into())
    } else {
        Show::Setting(setting_name(words)?)
    })
}

fn describe(sql: &str, words: &mut Words<'_>) -> Result<Command, Error> {
    let query = words.peek().is_some_and(|token| {
        token.token == Token::LParen
            || ["SELECT", "WITH", "VALUES"].iter().any(|word| super::tokens::word_is(token, word))
    });
    if query && let Some(first) = words.rest().first() {
        return Ok(Command::DescribeQuery(super::tokens::text_from(sql, first).to_owned()));
    }
    let _ = words.take(&["TABLE"]);
    let name = words.object_name()?;
    words.end()?;
    Ok(Command::Describe(name))
}

/// `[TABLE] t`, `ALL` or nothing.
fn target(words: &mut Words<'_>) -> Result<Target, Error> {
    let table = words.take(&["TABLE"]);
    if !table && (words.take(&["ALL"]) || words.peek().is_none()) {
        return Ok(None);
    }
    let option = ["FULL", "DELETES", "DEDUP", "DRY", "KEEP", "ORPHANS", "FORCE", "WHERE", "ORDER", "DEEP"];
    if !table
        && words.peek().is_some_and(|token| option.iter().any(|word| super::tokens::word_is(token, word)))
    {
        return Ok(None);
    }
    words.object_name().map(Some)
}

fn optimize(words: &mut Words<'_>) -> Result<Command, Error> {
    let target = target(words)?;
    let mut mode = OptimizeMode::Due;
    let (mut dedup, mut dry_run) = (false, false);
    let mut only = None;
    loop {
        if words.take(&["FULL"]) {
            mode = OptimizeMode::Full;
        } else if words.take(&["DELETES"]) {
            mode = OptimizeMode::Deletes;
        } else if words.take(&["DRY", "RUN"]) {
            dry_run = true;
        } else if words.take(&["WHERE"]) {
            only = Some(words.expression(&["FULL", "DELETES", "DEDUP", "ORDER", "DRY"])?);
        } else if words.take(&["DEDUP"]) {
            dedup = true;
        } else if words.take(&["ORDER", "BY"]) {
            return Err(unsupported("OPTIMIZE with ORDER BY"));
        } else if dedup && (mode != OptimizeMode::Due || only.is_some()) {
            return Err(unsupported("OPTIMIZE with DEDUP beside FULL, DELETES or WHERE"));
        } else if dedup {
            return Ok(Command::Dedup { target, dry_run });
        } else {
            return Ok(Command::Optimize { target, mode, only, dry_run });
        }
    }
}

fn vacuum(words: &mut Words<'_>) -> Result<Command, Error> {
    let target = target(words)?;
    let (mut keep, mut orphans, mut force, mut dry_run) = (None, false, false, false);
    loop {
        if words.take(&["KEEP"]) {
            let hours = words.number()?;
            if !words.take(&["HOURS"]) {
                words.expect(&["HOUR"])?;
            }
            keep = Some(Duration::from_secs(hours.saturating_mul(3600)));
        } else if words.take(&["ORPHANS"]) {
            orphans = true;
        } else if words.take(&["FORCE"]) {
            force = true;
        } else if words.take(&["DRY", "RUN"]) {
            dry_run = true;
        } else {
            return Ok(Command::Vacuum { target, keep, orphans, force, dry_run });
        }
    }
}

/// Jobs have one name, in small letters unless it is quoted.
pub(super) fn job_name(words: &mut Words<'_>) -> Result<String, Error> {
    let name = words.ident()?;
    Ok(if name.quote_style.is_some() { name.value } else { name.value.to_lowercase() })
}

fn alter_job(words: &mut Words<'_>) -> Result<Command, Error> {
    let name = job_name(words)?;
    if words.take(&["PAUSE"]) {
        Ok(Command::PauseJob { name, paused: true })
    } else if words.take(&["RESUME"]) {
        Ok(Command::PauseJob { name, paused: false })
    } else if words.take(&["SET"]) || words.take(&["RENAME"]) {
        Err(unsupported("ALTER JOB other than PAUSE and RESUME"))
    } else {
        Err(words.unexpected("PAUSE or RESUME"))
    }
}

/// `(option = value, …)`, or with no values `(option, …)`.
pub(super) fn option_list(
    words: &mut Words<'_>,
    values: bool,
) -> Result<Vec<(String, Option<String>)>, Error> {
    let option = |words: &mut Words<'_>| {
        let name = match words.peek().map(|token| &token.token) {
            Some(Token::SingleQuotedString(_)) => words.text()?,
            _ => setting_name(words)?,
        };
        if !values {
            return Ok((name, None));
        }
        if !words.take_token(&Token::Eq) {
            return Err(words.unexpected("="));
        }
        Ok((name, Some(value(words)?)))
    };
    list(words, option)
}

#[cfg(test)]
mod tests {
    use super::super::alter::{Action, Position};
    use super::super::tokens::tokenize;
    use super::*;

    fn command(sql: &str) -> Result<Option<Command>, Error> {
        parse(sql, &tokenize(sql).unwrap())
    }

    #[test]
    fn maintenance_without_a_name_means_all() {
        for sql in ["FLUSH", "FLUSH ALL"] {
            assert_eq!(command(sql).unwrap(), Some(Command::Flush(None)));
        }
        let Some(Command::Vacuum { target: Some(name), keep, force: true, .. }) =
            command("VACUUM TABLE default.cpu KEEP 2 HOURS FORCE").unwrap()
        else {
            panic!("a vacuum of one table")
        };
        assert_eq!((name.len(), keep), (2, Some(Duration::from_secs(7200))));
        assert!(matches!(
            command("OPTIMIZE FULL DRY RUN").unwrap(),
            Some(Command::Optimize { target: None, mode: OptimizeMode::Full, only: None, dry_run: true })
        ));
        assert!(matches!(
            command("OPTIMIZE TABLE t DEDUP DRY RUN").unwrap(),
            Some(Command::Dedup { target: Some(_), dry_run: true })
        ));
        assert!(command("OPTIMIZE t DEDUP FULL").is_err());
    }

    #[test]
    fn jobs_are_run_and_held_by_name() {
        let run = |dry_run| Some(Command::RunJob { name: "compact".into(), dry_run });
        assert_eq!(command("RUN JOB Compact").unwrap(), run(false));
        assert_eq!(command("run job \"compact\" dry run").unwrap(), run(true));
        let paused = Some(Command::PauseJob { name: "expire".into(), paused: true });
        assert_eq!(command("ALTER JOB expire PAUSE").unwrap(), paused);
        assert!(command("ALTER JOB expire").unwrap_err().to_string().contains("PAUSE or RESUME"));
        assert_eq!(command("SHOW JOBS").unwrap(), Some(Command::Show(Show::Jobs)));
    }

    #[test]
    fn settings_take_words_texts_and_numbers() {
        let set = |name: &str, value: &str| Command::Set {
            name: name.into(),
            value: Some(value.into()),
            local: false,
        };
        assert_eq!(command("SET search_path TO a, \"B\"").unwrap(), Some(set("search_path", "a, B")));
        assert_eq!(command("SET extra_float_digits = -1").unwrap(), Some(set("extra_float_digits", "-1")));
        assert_eq!(command("SET TIME ZONE 'UTC'").unwrap(), Some(set("timezone", "UTC")));
        assert!(command("SET a = 1 2").unwrap_err().to_string().contains("end of statement"));
    }

    #[test]
    fn queries_are_left_to_the_parser() {
        for sql in ["SELECT 1", "(SELECT 1)", ""] {
            assert_eq!(command(sql).unwrap(), None, "{sql}");
        }
    }

    #[test]
    fn actions_of_alter_table_are_read_in_order() {
        let sql = "ALTER TABLE IF EXISTS s.t ADD COLUMN a.b STRUCT(x INT, \"Y\" MAP(TEXT, INT[])[2]) DEFAULT NULL AFTER c, \
                   ALTER n SET DATA TYPE DECIMAL(10, 2), SET PARTITIONED BY (bucket(k, 4), d), ADD PRIMARY KEY (n) NOT ENFORCED";
        let Some(Command::AlterTable(alter)) = command(sql).unwrap() else { panic!("ALTER TABLE") };
        assert!(alter.if_exists);
        let [Action::Add(column), Action::SetType { field_type, .. }, Action::SetPartition(parts), key] =
            alter.actions.as_slice()
        else {
            panic!("{:?}", alter.actions)
        };
        let (name, position) = (column.path.len(), &column.position);
        assert_eq!((name, position), (2, &Position::After(Ident::new("c"))));
        assert_eq!(column.field_type.sql_name(), "STRUCT(\"x\" INTEGER, \"Y\" MAP(VARCHAR, INTEGER[])[2])");
        assert_eq!(field_type.sql_name(), "DECIMAL(10,2)");
        assert_eq!(parts[0].transform.to_string(), "bucket[4]");
        assert!(matches!(key, Action::AddKey { enforced: false, .. }));
        let error = command("ALTER TABLE t SET PARTITIONED BY (week(d))").unwrap_err();
        assert_eq!(cenote_vocab::Fault::sqlstate(&error).0, "22023", "{error}");
    }

    #[test]
    fn what_is_known_and_not_built_says_so() {
        for (sql, code) in [
            ("SAVEPOINT a", "0A000"),
            ("ALTER JOB a RENAME TO b", "0A000"),
            ("DROP JOB a", "0A000"),
            ("BEGIN ISOLATION LEVEL SERIALIZABLE", "0A000"),
            ("CREATE INDEX i ON t (a)", "0A000"),
            ("COPY t TO '/tmp/x'", "42501"),
            ("COPY t FROM STDIN", "0A000"),
        ] {
            let error = command(sql).unwrap_err();
            assert_eq!(cenote_vocab::Fault::sqlstate(&error).0, code, "{sql}: {error}");
        }
    }
}
