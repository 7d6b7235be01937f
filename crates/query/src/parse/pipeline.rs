//! Statements about pipelines.

use std::collections::BTreeMap;

use cenote_vocab::ErrorKind;
use sqlparser::ast::Ident;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::unsupported;
use super::tokens::{text_from, text_of, word_is};
use super::words::Words;
use crate::Error;
use crate::pipeline::{RestartSinks, StateChoice};

/// A statement about a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PipelineStatement {
    /// `CREATE [OR REPLACE] PIPELINE [IF NOT EXISTS] p [WITH (…)] AS { INSERT … | $$ script $$ }`
    Create {
        name: Vec<Ident>,
        or_replace: bool,
        if_not_exists: bool,
        options: BTreeMap<String, String>,
        script: String,
    },
    /// `ALTER PIPELINE p …`
    Alter { name: Vec<Ident>, change: PipelineChange },
    /// `RESTART PIPELINE p [WITH (sinks = 'keep'|'truncate')]`
    Restart { name: Vec<Ident>, sinks: Option<RestartSinks> },
    /// `EXPLAIN [(FORMAT TEXT|JSON)] …`
    Explain { what: Explained, format: ExplainFormat },
    /// `DROP PIPELINE [IF EXISTS] p`
    Drop { name: Vec<Ident>, if_exists: bool },
    /// `PAUSE PIPELINE p`
    Pause(Vec<Ident>),
    /// `RESUME PIPELINE p`
    Resume(Vec<Ident>),
    /// `CREATE [OR REPLACE] MATERIALIZED VIEW [IF NOT EXISTS] v [WITH (…)] AS query`
    CreateView {
        name: Vec<Ident>,
        or_replace: bool,
        if_not_exists: bool,
        options: BTreeMap<String, String>,
        query: String,
    },
    /// `DROP MATERIALIZED VIEW [IF EXISTS] v [CASCADE | RESTRICT]`
    DropView { name: Vec<Ident>, if_exists: bool, cascade: bool },
    /// `REFRESH MATERIALIZED VIEW v [FULL]`
    RefreshView { name: Vec<Ident>, full: bool },
}

/// What an ALTER PIPELINE changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PipelineChange {
    /// `SET (option = value, …)`
    Set(BTreeMap<String, String>),
    /// `RESET (option, …)`
    Reset(Vec<String>),
    /// `RENAME TO q`
    Rename(Ident),
    /// `OWNER TO u`
    Owner(Ident),
    /// `AS { INSERT … | $$ script $$ } [WITH (state = 'keep'|'reset')]`
    As { script: String, state: StateChoice },
}

/// What an EXPLAIN is of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Explained {
    /// `PIPELINE p`
    Pipeline(Vec<Ident>),
    /// `PIPELINE $$ script $$`
    Script(String),
    /// `ALTER PIPELINE p …`
    Alter { name: Vec<Ident>, change: PipelineChange },
}

/// How it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExplainFormat {
    Text,
    Json,
}

impl PipelineStatement {
    /// First words of its tag.
    pub(crate) fn command(&self) -> &'static str {
        match self {
            Self::Create { .. } => "CREATE PIPELINE",
            Self::Alter { .. } => "ALTER PIPELINE",
            Self::Restart { .. } => "RESTART PIPELINE",
            Self::Explain { .. } => "EXPLAIN",
            Self::Drop { .. } => "DROP PIPELINE",
            Self::Pause(_) => "PAUSE PIPELINE",
            Self::Resume(_) => "RESUME PIPELINE",
            Self::CreateView { .. } => "CREATE MATERIALIZED VIEW",
            Self::DropView { .. } => "DROP MATERIALIZED VIEW",
            Self::RefreshView { .. } => "REFRESH MATERIALIZED VIEW",
        }
    }
}

/// The statement, if it is one of these.
pub(super) fn pipeline(words: &mut Words<'_>) -> Result<Option<PipelineStatement>, Error> {
    let later = [&["CHECKPOINT", "PIPELINE"][..], &["ALTER", "MATERIALIZED", "VIEW"]];
    if let Some(phrase) = later.iter().find(|phrase| words.take(phrase)) {
        return Err(unsupported(&phrase.join(" ")));
    }
    if let Some(format) = explains(words)? {
        return Ok(Some(PipelineStatement::Explain { what: explained(words)?, format }));
    }
    Ok(Some(match () {
        () if words.take(&["CREATE", "OR", "REPLACE", "PIPELINE"]) => create(words, true)?,
        () if words.take(&["CREATE", "PIPELINE"]) => create(words, false)?,
        () if words.take(&["ALTER", "PIPELINE"]) => {
            PipelineStatement::Alter { name: words.object_name()?, change: change(words)? }
        }
        () if words.take(&["RESTART", "PIPELINE"]) => restart(words)?,
        () if words.take(&["DROP", "PIPELINE"]) => {
            let if_exists = words.take(&["IF", "EXISTS"]);
            PipelineStatement::Drop { name: words.object_name()?, if_exists }
        }
        () if words.take(&["PAUSE", "PIPELINE"]) => PipelineStatement::Pause(words.object_name()?),
        () if words.take(&["RESUME", "PIPELINE"]) => PipelineStatement::Resume(words.object_name()?),
        () if words.take(&["CREATE", "OR", "REPLACE", "MATERIALIZED", "VIEW"]) => create_view(words, true)?,
        () if words.take(&["CREATE", "MATERIALIZED", "VIEW"]) => create_view(words, false)?,
        () if words.take(&["DROP", "MATERIALIZED", "VIEW"]) => {
            let if_exists = words.take(&["IF", "EXISTS"]);
            let name = words.object_name()?;
            let cascade = words.take(&["CASCADE"]);
            let _ = !cascade && words.take(&["RESTRICT"]);
            PipelineStatement::DropView { name, if_exists, cascade }
        }
        () if words.take(&["REFRESH", "MATERIALIZED", "VIEW"]) => {
            PipelineStatement::RefreshView { name: words.object_name()?, full: words.take(&["FULL"]) }
        }
        () => return Ok(None),
    }))
}

/// True of an EXPLAIN that is about pipelines: how it is to be told. Others are left as they are.
fn explains(words: &mut Words<'_>) -> Result<Option<ExplainFormat>, Error> {
    let mut ahead = words.clone();
    if !ahead.take(&["EXPLAIN"]) {
        return Ok(None);
    }
    let mut format = None;
    if ahead.take_token(&Token::LParen) {
        if !ahead.take(&["FORMAT"]) {
            return Ok(None);
        }
        format = ahead.ident().ok().map(|name| name.value.to_lowercase());
        if !ahead.take_token(&Token::RParen) {
            return Ok(None);
        }
    }
    let mut behind = ahead.clone();
    if !behind.take(&["PIPELINE"]) && !behind.take(&["ALTER", "PIPELINE"]) {
        return Ok(None);
    }
    *words = ahead;
    match format.as_deref() {
        None | Some("text") => Ok(Some(ExplainFormat::Text)),
        Some("json") => Ok(Some(ExplainFormat::Json)),
        Some(other) => Err(unsupported(&format!("EXPLAIN (FORMAT {}) PIPELINE", other.to_uppercase()))
            .with_hint("formats are TEXT, JSON")),
    }
}

fn explained(words: &mut Words<'_>) -> Result<Explained, Error> {
    if words.take(&["ALTER", "PIPELINE"]) {
        return Ok(Explained::Alter { name: words.object_name()?, change: change(words)? });
    }
    words.expect(&["PIPELINE"])?;
    match words.peek().map(|token| &token.token) {
        Some(Token::DollarQuotedString(quoted)) => {
            words.next();
            Ok(Explained::Script(quoted.value.clone()))
        }
        _ => words.object_name().map(Explained::Pipeline),
    }
}

fn change(words: &mut Words<'_>) -> Result<PipelineChange, Error> {
    if words.take(&["SET"]) {
        return options(words).map(PipelineChange::Set);
    }
    if words.take(&["RESET"]) {
        return option_names(words).map(PipelineChange::Reset);
    }
    if words.take(&["RENAME"]) {
        words.expect(&["TO"])?;
        return words.ident().map(PipelineChange::Rename);
    }
    if words.take(&["OWNER"]) {
        words.expect(&["TO"])?;
        return words.ident().map(PipelineChange::Owner);
    }
    words.expect(&["AS"]).map_err(|_| words.unexpected("SET, RESET, RENAME TO, OWNER TO or AS"))?;
    let rest: Vec<_> = words
        .rest()
        .iter()
        .take_while(|token| !matches!(token.token, Token::EOF | Token::SemiColon))
        .collect();
    // the choice stands behind the query, which may hold WITH itself
    let tail = rest.len().checked_sub(6).filter(|at| {
        word_is(rest[*at], "WITH") && rest[at + 1].token == Token::LParen && word_is(rest[at + 2], "STATE")
    });
    let Some(tail) = tail else {
        return Ok(PipelineChange::As { script: script(words)?, state: StateChoice::Keep });
    };
    let state = state_choice(rest[tail + 4])?;
    let script = match words.peek() {
        Some(first) if word_is(first, "INSERT") => text_of(words.sql(), &words.rest()[..tail]).to_owned(),
        _ if tail == 1 => script(words)?,
        _ => return Err(words.unexpected("INSERT or a script in $$")),
    };
    words.skip(words.rest().len());
    Ok(PipelineChange::As { script, state })
}

fn state_choice(value: &TokenWithSpan) -> Result<StateChoice, Error> {
    let text = match &value.token {
        Token::SingleQuotedString(text) => text.to_lowercase(),
        Token::Word(word) => word.value.to_lowercase(),
        other => other.to_string(),
    };
    StateChoice::parse(&text)
        .ok_or_else(|| Error::new(ErrorKind::Invalid, format!("state is 'keep' or 'reset', got '{text}'")))
}

fn restart(words: &mut Words<'_>) -> Result<PipelineStatement, Error> {
    let name = words.object_name()?;
    if words.take(&["AT"]) {
        return Err(unsupported("RESTART PIPELINE … AT CHECKPOINT"));
    }
    let mut given = if words.take(&["WITH"]) { options(words)? } else { BTreeMap::new() };
    let sinks = match given.remove("sinks").as_deref() {
        None => None,
        Some("keep") => Some(RestartSinks::Keep),
        Some("truncate") => Some(RestartSinks::Truncate),
        Some(other) => {
            let text = format!("sinks is 'keep' or 'truncate', got '{other}'");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
    };
    match given.keys().next() {
        None => Ok(PipelineStatement::Restart { name, sinks }),
        Some(other) => Err(Error::new(ErrorKind::Invalid, format!("RESTART has no option '{other}'"))),
    }
}

/// `(name, …)`, in lower case.
fn option_names(words: &mut Words<'_>) -> Result<Vec<String>, Error> {
    if !words.take_token(&Token::LParen) {
        return Err(words.unexpected("("));
    }
    let mut names = vec![option_name(words)?];
    while words.take_token(&Token::Comma) {
        names.push(option_name(words)?);
    }
    if words.take_token(&Token::RParen) { Ok(names) } else { Err(words.unexpected(", or )")) }
}

fn create(words: &mut Words<'_>, or_replace: bool) -> Result<PipelineStatement, Error> {
    let if_not_exists = words.take(&["IF", "NOT", "EXISTS"]);
    if or_replace && if_not_exists {
        return Err(Error::new(ErrorKind::Invalid, "OR REPLACE and IF NOT EXISTS exclude each other"));
    }
    let name = words.object_name()?;
    let options = if words.take(&["WITH"]) { options(words)? } else { BTreeMap::new() };
    words.expect(&["AS"])?;
    Ok(PipelineStatement::Create { name, or_replace, if_not_exists, options, script: script(words)? })
}

/// `INSERT …` to the end of the statement, or a script in `$$`.
fn script(words: &mut Words<'_>) -> Result<String, Error> {
    match words.peek() {
        Some(token) if word_is(token, "INSERT") => {
            let text = text_from(words.sql(), token).to_owned();
            words.skip(words.rest().len());
            Ok(text)
        }
        Some(TokenWithSpan { token: Token::DollarQuotedString(quoted), .. }) => {
            words.next();
            Ok(quoted.value.clone())
        }
        _ => Err(words.unexpected("INSERT or a script in $$")),
    }
}

fn create_view(words: &mut Words<'_>, or_replace: bool) -> Result<PipelineStatement, Error> {
    let if_not_exists = words.take(&["IF", "NOT", "EXISTS"]);
    if or_replace && if_not_exists {
        return Err(Error::new(ErrorKind::Invalid, "OR REPLACE and IF NOT EXISTS exclude each other"));
    }
    let name = words.object_name()?;
    let options = if words.take(&["WITH"]) { options(words)? } else { BTreeMap::new() };
    words.expect(&["AS"])?;
    let Some(first) = words.peek() else { return Err(words.unexpected("a query")) };
    let query = text_from(words.sql(), first).trim_end().trim_end_matches(';').to_owned();
    words.skip(words.rest().len());
    Ok(PipelineStatement::CreateView { name, or_replace, if_not_exists, options, query })
}

/// `(name = value, …)`; names in lower case, values as texts.
pub(crate) fn options(words: &mut Words<'_>) -> Result<BTreeMap<String, String>, Error> {
    if !words.take_token(&Token::LParen) {
        return Err(words.unexpected("("));
    }
    let mut options = BTreeMap::new();
    loop {
        let name = option_name(words)?;
        if !words.take_token(&Token::Eq) {
            return Err(words.unexpected("="));
        }
        if options.insert(name.clone(), option_value(words)?).is_some() {
            return Err(Error::new(ErrorKind::Invalid, format!("option \"{name}\" is given twice")));
        }
        if words.take_token(&Token::RParen) {
            return Ok(options);
        }
        if !words.take_token(&Token::Comma) {
            return Err(words.unexpected(", or )"));
        }
    }
}

/// `a`, `a.b`, `'a.b'`
fn option_name(words: &mut Words<'_>) -> Result<String, Error> {
    if let Ok(text) = words.text() {
        return Ok(text.to_lowercase());
    }
    let parts = words.object_name()?;
    Ok(parts.iter().map(|part| part.value.to_lowercase()).collect::<Vec<_>>().join("."))
}

/// A text, a number, a word, an interval as its text, or a list of them with commas between.
pub(crate) fn option_value(words: &mut Words<'_>) -> Result<String, Error> {
    if words.take_token(&Token::LBracket) {
        let mut values = vec![option_value(words)?];
        while words.take_token(&Token::Comma) {
            values.push(option_value(words)?);
        }
        let ended = words.take_token(&Token::RBracket);
        return if ended { Ok(values.join(",")) } else { Err(words.unexpected(", or ]")) };
    }
    if words.take(&["INTERVAL"]) {
        let length = words.text()?;
        return Ok(match words.peek().map(|token| &token.token) {
            Some(Token::Word(unit)) => {
                words.next();
                format!("{length} {}", unit.value)
            }
            _ => length,
        });
    }
    let sign = if words.take_token(&Token::Minus) { "-" } else { "" };
    match words.peek().map(|token| &token.token) {
        Some(Token::Number(digits, _)) => {
            words.next();
            Ok(format!("{sign}{digits}"))
        }
        Some(Token::Word(word)) if sign.is_empty() => {
            words.next();
            Ok(word.value.clone())
        }
        _ if sign.is_empty() => words.text(),
        _ => Err(words.unexpected("a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tokens::tokenize;

    fn read(sql: &str) -> Result<Option<PipelineStatement>, Error> {
        let tokens = tokenize(sql)?;
        let mut words = Words::new(sql, &tokens);
        let read = pipeline(&mut words)?;
        words.end()?;
        Ok(read)
    }

    #[test]
    fn a_pipeline_is_one_insert_or_a_script() {
        let sql = "CREATE PIPELINE IF NOT EXISTS app.p WITH (watermark_delay = INTERVAL '5 seconds', parallelism = 1) \
                   AS INSERT INTO t SELECT ';' FROM s";
        let Some(PipelineStatement::Create { name, if_not_exists, options, script, .. }) = read(sql).unwrap()
        else {
            panic!("a pipeline")
        };
        assert_eq!(name.iter().map(|part| part.value.as_str()).collect::<Vec<_>>(), ["app", "p"]);
        assert!(if_not_exists);
        let options: Vec<_> = options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(options, [("parallelism", "1"), ("watermark_delay", "5 seconds")]);
        assert_eq!(script, "INSERT INTO t SELECT ';' FROM s");
        let script = read("CREATE PIPELINE p AS $$ SET x = 1; INSERT INTO t SELECT 1 $$").unwrap();
        assert!(
            matches!(script, Some(PipelineStatement::Create { script, .. }) if script == " SET x = 1; INSERT INTO t SELECT 1 ")
        );
    }

    #[test]
    fn a_change_ends_before_what_becomes_of_the_state() {
        let as_of = |sql: &str| match read(sql).unwrap() {
            Some(PipelineStatement::Alter { change: PipelineChange::As { script, state }, .. }) => {
                (script, state)
            }
            other => panic!("{other:?}"),
        };
        let insert = "INSERT INTO t WITH (state) AS (SELECT 1) SELECT 2";
        for (text, script) in [(insert.to_owned(), insert), (" $$ a; b $$".to_owned(), " a; b ")] {
            let sql = format!("ALTER PIPELINE p AS {text}");
            assert_eq!(as_of(&sql), (script.to_owned(), StateChoice::Keep));
            assert_eq!(
                as_of(&format!("{sql} WITH (state = 'reset');")),
                (script.to_owned(), StateChoice::Reset)
            );
        }
        let set = read("ALTER PIPELINE s.p RESET (idle_timeout, 'bad_data.table')").unwrap();
        let Some(PipelineStatement::Alter { change: PipelineChange::Reset(names), .. }) = set else {
            panic!("{set:?}")
        };
        assert_eq!(names, ["idle_timeout", "bad_data.table"]);
    }

    #[test]
    fn only_explains_of_pipelines_are_taken() {
        for (sql, json) in [
            ("EXPLAIN PIPELINE p", false),
            ("EXPLAIN (FORMAT JSON) PIPELINE $$x$$", true),
            ("EXPLAIN (FORMAT text) ALTER PIPELINE p RENAME TO q", false),
        ] {
            let wanted = if json { ExplainFormat::Json } else { ExplainFormat::Text };
            let statement = read(sql).unwrap();
            assert!(
                matches!(&statement, Some(PipelineStatement::Explain { format, .. }) if *format == wanted),
                "{sql}: {statement:?}"
            );
        }
        for sql in
            ["EXPLAIN SELECT 1", "EXPLAIN (FORMAT JSON) SELECT 1", "EXPLAIN (ANALYZE, FORMAT JSON) SELECT 1"]
        {
            let tokens = tokenize(sql).unwrap();
            assert_eq!(pipeline(&mut Words::new(sql, &tokens)).unwrap(), None, "{sql}");
        }
    }

    #[test]
    fn what_is_left_out_or_comes_later_is_named() {
        for (sql, expected) in [
            ("CREATE PIPELINE p", "expected AS"),
            ("CREATE PIPELINE p AS SELECT 1", "expected INSERT or a script in $$"),
            (
                "CREATE PIPELINE p WITH (a = 1, A = 2) AS INSERT INTO t SELECT 1",
                "option \"a\" is given twice",
            ),
            ("CREATE PIPELINE p WITH (a) AS INSERT INTO t SELECT 1", "expected ="),
            ("ALTER PIPELINE p", "expected SET, RESET, RENAME TO, OWNER TO or AS, found end of statement"),
            ("ALTER PIPELINE p SET a = 1", "expected (, found a"),
            ("ALTER PIPELINE p OWNER q", "expected TO"),
            ("ALTER PIPELINE p AS SELECT 1", "expected INSERT or a script in $$"),
            ("ALTER PIPELINE p AS $$x$$ WITH (state = 'drop')", "state is 'keep' or 'reset', got 'drop'"),
            ("RESTART PIPELINE p WITH (sinks = 'drop')", "sinks is 'keep' or 'truncate', got 'drop'"),
            ("RESTART PIPELINE p WITH (all = 'keep')", "RESTART has no option 'all'"),
            ("RESTART PIPELINE p AT CHECKPOINT c", "RESTART PIPELINE … AT CHECKPOINT is not supported yet"),
            ("EXPLAIN (FORMAT YAML) PIPELINE p", "EXPLAIN (FORMAT YAML) PIPELINE is not supported yet"),
            ("CHECKPOINT PIPELINE p", "CHECKPOINT PIPELINE is not supported yet"),
            ("PAUSE PIPELINE p now", "expected end of statement"),
            ("CREATE MATERIALIZED VIEW v", "expected AS"),
            ("CREATE OR REPLACE MATERIALIZED VIEW IF NOT EXISTS v AS SELECT 1", "exclude each other"),
            ("REFRESH MATERIALIZED VIEW v now", "expected end of statement"),
        ] {
            let error = read(sql).unwrap_err().to_string();
            assert!(error.contains(expected), "{sql}: {error}");
        }
    }
}
