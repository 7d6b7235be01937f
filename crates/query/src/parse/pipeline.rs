//! Statements about pipelines.

use std::collections::BTreeMap;

use cenote_vocab::ErrorKind;
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Token;

use super::command::unsupported;
use super::tokens::{text_from, word_is};
use super::words::Words;
use crate::Error;

/// A statement about a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PipelineStatement {
    /// `CREATE PIPELINE [IF NOT EXISTS] p [WITH (…)] AS { INSERT … | $$ script $$ }`
    Create { name: Vec<Ident>, if_not_exists: bool, options: BTreeMap<String, String>, script: String },
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
    /// `DROP MATERIALIZED VIEW [IF EXISTS] v`
    DropView { name: Vec<Ident>, if_exists: bool },
    /// `REFRESH MATERIALIZED VIEW v [FULL]`
    RefreshView { name: Vec<Ident>, full: bool },
}

impl PipelineStatement {
    /// First words of its tag.
    pub(crate) fn command(&self) -> &'static str {
        match self {
            Self::Create { .. } => "CREATE PIPELINE",
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
    let later = [
        &["CREATE", "OR", "REPLACE", "PIPELINE"][..],
        &["ALTER", "PIPELINE"],
        &["RESTART", "PIPELINE"],
        &["CHECKPOINT", "PIPELINE"],
        &["EXPLAIN", "PIPELINE"],
        &["ALTER", "MATERIALIZED", "VIEW"],
    ];
    if let Some(phrase) = later.iter().find(|phrase| words.take(phrase)) {
        return Err(unsupported(&phrase.join(" ")));
    }
    Ok(Some(match () {
        () if words.take(&["CREATE", "PIPELINE"]) => create(words)?,
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
            PipelineStatement::DropView { name: words.object_name()?, if_exists }
        }
        () if words.take(&["REFRESH", "MATERIALIZED", "VIEW"]) => {
            PipelineStatement::RefreshView { name: words.object_name()?, full: words.take(&["FULL"]) }
        }
        () => return Ok(None),
    }))
}

fn create(words: &mut Words<'_>) -> Result<PipelineStatement, Error> {
    let if_not_exists = words.take(&["IF", "NOT", "EXISTS"]);
    let name = words.object_name()?;
    let options = if words.take(&["WITH"]) { options(words)? } else { BTreeMap::new() };
    words.expect(&["AS"])?;
    let script = match words.peek() {
        Some(token) if word_is(token, "INSERT") => {
            let text = text_from(words.sql(), token).to_owned();
            words.skip(words.rest().len());
            text
        }
        Some(token) => match &token.token {
            Token::DollarQuotedString(quoted) => {
                words.next();
                quoted.value.clone()
            }
            _ => return Err(words.unexpected("INSERT or a script in $$")),
        },
        None => return Err(words.unexpected("INSERT or a script in $$")),
    };
    Ok(PipelineStatement::Create { name, if_not_exists, options, script })
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
        let Some(PipelineStatement::Create { name, if_not_exists, options, script }) = read(sql).unwrap()
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
    fn what_is_left_out_or_comes_later_is_named() {
        for (sql, expected) in [
            ("CREATE PIPELINE p", "expected AS"),
            ("CREATE PIPELINE p AS SELECT 1", "expected INSERT or a script in $$"),
            (
                "CREATE PIPELINE p WITH (a = 1, A = 2) AS INSERT INTO t SELECT 1",
                "option \"a\" is given twice",
            ),
            ("CREATE PIPELINE p WITH (a) AS INSERT INTO t SELECT 1", "expected ="),
            ("ALTER PIPELINE p SET (a = 1)", "ALTER PIPELINE is not supported yet"),
            ("RESTART PIPELINE p", "RESTART PIPELINE is not supported yet"),
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
