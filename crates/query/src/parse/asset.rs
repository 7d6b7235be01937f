//! Statements about assets, their checks and runs.

use std::collections::BTreeMap;

use cenote_catalog::{Mapping, Partitioning, RerunSelection, Schedule, Severity, Wanted};
use cenote_vocab::ErrorKind;
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Token;

use super::asset_partition::{depends, partitioning, wanted};
use super::command::{job_name, unsupported};
use super::pipeline::options;
use super::quote::{literal, quote};
use super::tokens::text_from;
use super::words::Words;
use crate::Error;

/// A statement about an asset, a check or a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AssetStatement {
    /// `CREATE [OR REPLACE] ASSET [IF NOT EXISTS] a [PARTITION BY …] [DEPENDS ON …] [SCHEDULE …] [EAGER] [WITH (…)] AS query`
    Create(Box<CreateAsset>),
    /// `ALTER ASSET a …, …`
    Alter { name: Vec<Ident>, changes: Vec<AssetChange> },
    /// `DROP ASSET [IF EXISTS] a [CASCADE] [FORCE]`
    Drop { name: Vec<Ident>, if_exists: bool, cascade: bool, force: bool },
    /// `MATERIALIZE ASSET a, b …`
    Materialize(Materialize),
    /// `EXPLAIN ASSET a [PARTITION 'k']`
    ExplainAsset { name: Vec<Ident>, partition: Option<String> },
    /// `EXPLAIN RUN 'id'`
    ExplainRun(String),
    /// `EXPLAIN JOB j`
    ExplainJob(String),
    /// `CANCEL RUN 'id'`
    CancelRun(String),
    /// `PAUSE RUN 'id'`, `RESUME RUN 'id'`
    PauseRun { id: String, paused: bool },
    /// `RERUN RUN 'id' FROM FAILURE`, `RERUN RUN 'id' TASKS ('key', …) [WITH UPSTREAM] [WITH DOWNSTREAM]`
    Rerun { id: String, selection: RerunSelection },
    /// `RERUN RUN 'id' REPLAY [WITH (commit = true)]`
    Replay { id: String, commit: bool },
    /// `CREATE [OR REPLACE] CHECK c ON t [SEVERITY s] AS rule`
    CreateCheck { name: Ident, table: Vec<Ident>, or_replace: bool, severity: Severity, rule: CheckRule },
    /// `DROP CHECK [IF EXISTS] c ON t`
    DropCheck { name: Ident, table: Vec<Ident>, if_exists: bool },
}

/// What CREATE ASSET says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CreateAsset {
    pub(crate) name: Vec<Ident>,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) partition: Option<Partitioning>,
    pub(crate) depends: Vec<(Vec<Ident>, Mapping)>,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) eager: bool,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) query: String,
}

/// What ALTER ASSET changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AssetChange {
    Set(BTreeMap<String, String>),
    Rename(Ident),
    Paused(bool),
}

/// What MATERIALIZE ASSET asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Materialize {
    pub(crate) names: Vec<Vec<Ident>>,
    pub(crate) upstream: bool,
    pub(crate) downstream: bool,
    pub(crate) partitions: Wanted,
    /// `chunk`, `concurrency`, `timeout`, `label.…`
    pub(crate) options: BTreeMap<String, String>,
    /// Text of the logical time.
    pub(crate) at: Option<String>,
    pub(crate) dry_run: bool,
    pub(crate) wait: bool,
}

/// What rows must be like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CheckRule {
    NotNull(Vec<Ident>),
    Unique(Vec<Ident>),
    RowCount {
        min: u64,
        max: Option<u64>,
    },
    /// Rows now by rows before, as written.
    RowCountRatio(String),
    /// Column, and the text of an interval.
    Freshness(Ident, String),
    /// A query whose rows are violations.
    Query(String),
}

impl AssetStatement {
    /// First words of its command tag.
    pub(crate) fn command(&self) -> &'static str {
        match self {
            Self::Create(_) => "CREATE ASSET",
            Self::Alter { .. } => "ALTER ASSET",
            Self::Drop { .. } => "DROP ASSET",
            Self::Materialize(_) => "MATERIALIZE",
            Self::ExplainAsset { .. } | Self::ExplainRun(_) | Self::ExplainJob(_) => "EXPLAIN",
            Self::CancelRun(_) => "CANCEL RUN",
            Self::PauseRun { paused: true, .. } => "PAUSE RUN",
            Self::PauseRun { paused: false, .. } => "RESUME RUN",
            Self::Rerun { .. } | Self::Replay { .. } => "RERUN RUN",
            Self::CreateCheck { .. } => "CREATE CHECK",
            Self::DropCheck { .. } => "DROP CHECK",
        }
    }
}

/// The statement, if it is one of these.
pub(super) fn asset(words: &mut Words<'_>) -> Result<Option<AssetStatement>, Error> {
    Ok(Some(match () {
        () if words.take(&["CREATE", "OR", "REPLACE", "ASSET"]) => create(words, true)?,
        () if words.take(&["CREATE", "ASSET"]) => create(words, false)?,
        () if words.take(&["ALTER", "ASSET"]) => {
            AssetStatement::Alter { name: words.object_name()?, changes: changes(words)? }
        }
        () if words.take(&["DROP", "ASSET"]) => {
            let if_exists = words.take(&["IF", "EXISTS"]);
            let name = words.object_name()?;
            let cascade = words.take(&["CASCADE"]);
            AssetStatement::Drop { name, if_exists, cascade, force: words.take(&["FORCE"]) }
        }
        () if words.take(&["MATERIALIZE", "ASSET"]) => materialize(words)?,
        () if words.take(&["EXPLAIN", "ASSET"]) => {
            let name = words.object_name()?;
            let partition = if words.take(&["PARTITION"]) { Some(words.text()?) } else { None };
            AssetStatement::ExplainAsset { name, partition }
        }
        () if words.take(&["EXPLAIN", "RUN"]) => AssetStatement::ExplainRun(words.text()?),
        () if words.take(&["EXPLAIN", "JOB"]) => AssetStatement::ExplainJob(job_name(words)?),
        () if words.take(&["CANCEL", "RUN"]) => AssetStatement::CancelRun(words.text()?),
        () if words.take(&["PAUSE", "RUN"]) => AssetStatement::PauseRun { id: words.text()?, paused: true },
        () if words.take(&["RESUME", "RUN"]) => AssetStatement::PauseRun { id: words.text()?, paused: false },
        () if words.take(&["RERUN", "RUN"]) => {
            let id = words.text()?;
            if words.take(&["REPLAY"]) {
                let given = if words.take(&["WITH"]) { options(words)? } else { BTreeMap::new() };
                AssetStatement::Replay { id, commit: commits(&given)? }
            } else if words.take(&["TASKS"]) {
                AssetStatement::Rerun { id, selection: subset(words)? }
            } else {
                words.expect(&["FROM", "FAILURE"])?;
                AssetStatement::Rerun { id, selection: RerunSelection::FromFailure }
            }
        }
        () if words.take(&["CREATE", "OR", "REPLACE", "CHECK"]) => create_check(words, true)?,
        () if words.take(&["CREATE", "CHECK"]) => create_check(words, false)?,
        () if words.take(&["DROP", "CHECK"]) => {
            let if_exists = words.take(&["IF", "EXISTS"]);
            let name = words.ident()?;
            words.expect(&["ON"])?;
            AssetStatement::DropCheck { name, table: words.object_name()?, if_exists }
        }
        () => return Ok(None),
    }))
}

/// `('key', …) [WITH UPSTREAM] [WITH DOWNSTREAM]`
fn subset(words: &mut Words<'_>) -> Result<RerunSelection, Error> {
    if !words.take_token(&Token::LParen) {
        return Err(words.unexpected("("));
    }
    let mut tasks = vec![words.text()?];
    while words.take_token(&Token::Comma) {
        tasks.push(words.text()?);
    }
    if !words.take_token(&Token::RParen) {
        return Err(words.unexpected(", or )"));
    }
    let (mut upstream, mut downstream) = (false, false);
    loop {
        if words.take(&["WITH", "UPSTREAM"]) {
            upstream = true;
        } else if words.take(&["WITH", "DOWNSTREAM"]) {
            downstream = true;
        } else {
            return Ok(RerunSelection::Subset { tasks, upstream, downstream });
        }
    }
}

/// What REPLAY is told.
fn commits(given: &BTreeMap<String, String>) -> Result<bool, Error> {
    let wrong = |text: String| Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("22023"));
    if let Some(other) = given.keys().find(|name| *name != "commit") {
        return wrong(format!("option {other} of REPLAY does not exist; there is commit"));
    }
    match given.get("commit").map(String::as_str) {
        None | Some("false" | "off") => Ok(false),
        Some("true" | "on") => Ok(true),
        Some(other) => wrong(format!("option commit = '{other}': true or false")),
    }
}

fn create(words: &mut Words<'_>, or_replace: bool) -> Result<AssetStatement, Error> {
    let if_not_exists = words.take(&["IF", "NOT", "EXISTS"]);
    if or_replace && if_not_exists {
        return Err(Error::new(ErrorKind::Invalid, "OR REPLACE and IF NOT EXISTS exclude each other"));
    }
    let mut create = CreateAsset {
        name: words.object_name()?,
        or_replace,
        if_not_exists,
        partition: None,
        depends: Vec::new(),
        schedule: None,
        eager: false,
        options: BTreeMap::new(),
        query: String::new(),
    };
    loop {
        if words.take(&["SCHEDULE"]) {
            let cron = words.text()?;
            let zone = if words.take(&["TIMEZONE"]) { words.text()? } else { "UTC".to_owned() };
            create.schedule = Some(Schedule { cron, zone, if_stale: words.take(&["IF", "STALE"]) });
        } else if words.take(&["EAGER"]) {
            create.eager = true;
        } else if words.take(&["WITH"]) {
            create.options = options(words)?;
        } else if words.take(&["PARTITION", "BY"]) || words.take(&["PARTITIONED", "BY"]) {
            create.partition = Some(partitioning(words)?);
        } else if words.take(&["DEPENDS", "ON"]) {
            create.depends = depends(words)?;
        } else {
            break;
        }
    }
    words.expect(&["AS"])?;
    create.query = rest(words, "a query")?;
    Ok(AssetStatement::Create(Box::new(create)))
}

/// The text to the end of the statement.
fn rest(words: &mut Words<'_>, expected: &str) -> Result<String, Error> {
    let Some(first) = words.peek() else { return Err(words.unexpected(expected)) };
    let text = text_from(words.sql(), first).trim_end().trim_end_matches(';').to_owned();
    words.skip(words.rest().len());
    Ok(text)
}

/// Changes with commas between, each of another kind.
fn changes(words: &mut Words<'_>) -> Result<Vec<AssetChange>, Error> {
    let mut changes = vec![change(words)?];
    while words.take_token(&Token::Comma) {
        let next = change(words)?;
        if changes.iter().any(|known| std::mem::discriminant(known) == std::mem::discriminant(&next)) {
            let text = "ALTER ASSET says each of SET, RENAME TO, PAUSE and RESUME once";
            return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42601"));
        }
        changes.push(next);
    }
    Ok(changes)
}

fn change(words: &mut Words<'_>) -> Result<AssetChange, Error> {
    Ok(match () {
        () if words.take(&["SET"]) => AssetChange::Set(options(words)?),
        () if words.take(&["RENAME", "TO"]) => AssetChange::Rename(words.ident()?),
        () if words.take(&["PAUSE"]) => AssetChange::Paused(true),
        () if words.take(&["RESUME"]) => AssetChange::Paused(false),
        () => return Err(words.unexpected("SET, RENAME TO, PAUSE or RESUME")),
    })
}

fn materialize(words: &mut Words<'_>) -> Result<AssetStatement, Error> {
    let mut asked = Materialize { names: vec![words.object_name()?], ..Materialize::default() };
    while words.take_token(&Token::Comma) {
        asked.names.push(words.object_name()?);
    }
    loop {
        if words.take(&["WITH", "UPSTREAM"]) {
            asked.upstream = true;
        } else if words.take(&["WITH", "DOWNSTREAM"]) {
            asked.downstream = true;
        } else if words.take(&["AT"]) {
            asked.at = Some(words.text()?);
        } else if words.take(&["DRY", "RUN"]) {
            asked.dry_run = true;
        } else if words.take(&["WAIT"]) {
            asked.wait = true;
        } else if words.take(&["WITH"]) {
            asked.options = options(words)?;
        } else if let Some(partitions) = wanted(words)? {
            if asked.partitions != Wanted::Nothing {
                let text = "partitions are said once: PARTITION, PARTITIONS … TO …, MISSING, STALE or FAILED";
                return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42601"));
            }
            asked.partitions = partitions;
        } else {
            return Ok(AssetStatement::Materialize(asked));
        }
    }
}

fn create_check(words: &mut Words<'_>, or_replace: bool) -> Result<AssetStatement, Error> {
    let name = words.ident()?;
    words.expect(&["ON"])?;
    let table = words.object_name()?;
    let mut severity = Severity::Error;
    loop {
        if words.take(&["SEVERITY"]) {
            let word = words.ident()?.value.to_lowercase();
            severity = Severity::of(&word).ok_or_else(|| {
                let text = format!("severity is info, warning, error or critical, got {word}");
                Error::new(ErrorKind::Invalid, text).with_sqlstate("22023")
            })?;
        } else if words.take(&["SCOPE"]) {
            return Err(unsupported("SCOPE of a check").with_hint("checks look at all rows of the table"));
        } else {
            break;
        }
    }
    words.expect(&["AS"])?;
    let rule = rule(words)?;
    Ok(AssetStatement::CreateCheck { name, table, or_replace, severity, rule })
}

/// A rule as it is written.
pub(super) fn rule(words: &mut Words<'_>) -> Result<CheckRule, Error> {
    Ok(match () {
        () if words.take(&["NOT", "NULL"]) => CheckRule::NotNull(columns(words)?),
        () if words.take(&["UNIQUE"]) => CheckRule::Unique(columns(words)?),
        () if words.take(&["ROW", "COUNT", "RATIO"]) => {
            at_least(words)?;
            let whole = words.next().map(|token| token.token.to_string()).unwrap_or_default();
            if !whole.parse::<f64>().is_ok_and(|ratio| ratio.is_finite() && ratio >= 0.0) {
                let text = format!("ROW COUNT RATIO >= is followed by a number, got {whole:?}");
                return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42601"));
            }
            CheckRule::RowCountRatio(whole)
        }
        () if words.take(&["ROW", "COUNT"]) => {
            at_least(words)?;
            let min = words.number()?;
            let max = if words.take(&["AND"]) {
                if !words.take_token(&Token::LtEq) {
                    return Err(words.unexpected("<="));
                }
                Some(words.number()?)
            } else {
                None
            };
            CheckRule::RowCount { min, max }
        }
        () if words.take(&["FRESHNESS"]) => {
            let mut columns = columns(words)?;
            let (Some(column), true) = (columns.pop(), columns.is_empty()) else {
                return Err(words.unexpected("FRESHNESS of one column"));
            };
            words.expect(&["WITHIN", "INTERVAL"])?;
            CheckRule::Freshness(column, words.text()?)
        }
        () if words.take(&["QUERY"]) => {
            if !words.take_token(&Token::LParen) {
                return Err(words.unexpected("("));
            }
            let Some(first) = words.peek() else { return Err(words.unexpected("a query")) };
            let text = text_from(words.sql(), first).trim_end().trim_end_matches(';').trim_end();
            let Some(query) = text.strip_suffix(')') else { return Err(words.unexpected("a query and )")) };
            words.skip(words.rest().len());
            CheckRule::Query(query.trim_end().to_owned())
        }
        () if words.take(&["SCHEMA"]) => return Err(unsupported("CHECK … AS SCHEMA")),
        () => {
            return Err(words.unexpected("NOT NULL, UNIQUE, ROW COUNT, ROW COUNT RATIO, FRESHNESS or QUERY"));
        }
    })
}

fn at_least(words: &mut Words<'_>) -> Result<(), Error> {
    if words.take_token(&Token::GtEq) { Ok(()) } else { Err(words.unexpected(">=")) }
}

fn columns(words: &mut Words<'_>) -> Result<Vec<Ident>, Error> {
    super::clauses::list(words, |words| words.ident())
}

/// A stored rule.
pub(crate) fn parse_rule(text: &str) -> Result<CheckRule, Error> {
    let tokens = super::tokenize(text)?;
    let mut words = Words::new(text, &tokens);
    let read = rule(&mut words)?;
    words.end().map(|()| read)
}

impl std::fmt::Display for CheckRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |columns: &[Ident]| {
            columns.iter().map(|column| quote(&super::folded(column))).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::NotNull(columns) => write!(f, "NOT NULL ({})", list(columns)),
            Self::Unique(columns) => write!(f, "UNIQUE ({})", list(columns)),
            Self::RowCount { min, max: None } => write!(f, "ROW COUNT >= {min}"),
            Self::RowCount { min, max: Some(max) } => write!(f, "ROW COUNT >= {min} AND <= {max}"),
            Self::RowCountRatio(ratio) => write!(f, "ROW COUNT RATIO >= {ratio}"),
            Self::Freshness(column, within) => {
                let column = quote(&super::folded(column));
                write!(f, "FRESHNESS ({column}) WITHIN INTERVAL {}", literal(within))
            }
            Self::Query(query) => write!(f, "QUERY ({query})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tokens::tokenize;

    fn read(sql: &str) -> Result<Option<AssetStatement>, Error> {
        let tokens = tokenize(sql)?;
        let mut words = Words::new(sql, &tokens);
        let read = asset(&mut words)?;
        words.end()?;
        Ok(read)
    }

    #[test]
    fn clauses_of_an_asset_come_in_any_order_before_its_query() {
        let sql = "CREATE OR REPLACE ASSET mart.daily EAGER WITH (mode = 'append', attempts = 5) \
                   SCHEDULE '0 6 * * *' TIMEZONE 'Europe/Rome' IF STALE AS SELECT ';' AS a FROM t;";
        let Some(AssetStatement::Create(create)) = read(sql).unwrap() else { panic!("an asset") };
        assert!(create.or_replace && create.eager && !create.if_not_exists);
        let schedule = create.schedule.unwrap();
        assert_eq!((schedule.cron.as_str(), schedule.zone.as_str()), ("0 6 * * *", "Europe/Rome"));
        assert!(schedule.if_stale);
        assert_eq!(create.options.get("attempts").map(String::as_str), Some("5"));
        assert_eq!(create.query, "SELECT ';' AS a FROM t");
    }

    #[test]
    fn several_changes_of_an_asset_are_one_statement() {
        let read = read("ALTER ASSET a SET (attempts = 5), PAUSE, RENAME TO b").unwrap();
        let Some(AssetStatement::Alter { changes, .. }) = read else { panic!("a change") };
        let options = BTreeMap::from([("attempts".to_owned(), "5".to_owned())]);
        let renamed = AssetChange::Rename(Ident::new("b"));
        assert_eq!(changes, [AssetChange::Set(options), AssetChange::Paused(true), renamed]);
    }

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for rule in [
            "NOT NULL (\"a\", \"B\")",
            "UNIQUE (\"a\")",
            "ROW COUNT >= 1",
            "ROW COUNT >= 1 AND <= 9",
            "ROW COUNT RATIO >= 0.5",
            "FRESHNESS (\"ts\") WITHIN INTERVAL '24 hours'",
            "QUERY (SELECT * FROM t WHERE f(a) < 0)",
        ] {
            assert_eq!(parse_rule(rule).unwrap().to_string(), rule);
        }
    }

    #[test]
    fn what_is_wrong_or_comes_later_is_named() {
        for (sql, expected) in [
            ("CREATE ASSET a", "expected AS"),
            ("CREATE ASSET a PARTITION BY (day(t)) SELECT 1", "expected AS"),
            ("CREATE OR REPLACE ASSET IF NOT EXISTS a AS SELECT 1", "exclude each other"),
            ("ALTER ASSET a", "expected SET, RENAME TO, PAUSE or RESUME"),
            ("ALTER ASSET a PAUSE, RESUME", "each of SET"),
            ("MATERIALIZE ASSET a MISSING PARTITION 'day=2026-01-01'", "partitions are said once"),
            ("MATERIALIZE ASSET", "expected a name"),
            ("RERUN RUN 'x'", "expected FROM FAILURE"),
            ("RERUN RUN 'x' REPLAY WITH (commit = maybe)", "true or false"),
            ("RERUN RUN 'x' REPLAY WITH (dry = true)", "option dry of REPLAY does not exist"),
            (
                "CREATE CHECK c ON t SEVERITY bad AS NOT NULL (a)",
                "severity is info, warning, error or critical",
            ),
            ("CREATE CHECK c ON t AS ROW COUNT RATIO >= 'x'", "is followed by a number"),
            ("CREATE CHECK c ON t AS ROW COUNT", "expected >="),
        ] {
            let error = read(sql).unwrap_err().to_string();
            assert!(error.contains(expected), "{sql}: {error}");
        }
    }
}
