//! Statements about what a table was: tags, `RESTORE`, `UNDROP`; and `DROP PRODUCER`.

use std::time::Duration;

use sqlparser::ast::Ident;

use super::words::Words;
use crate::Error;

/// A statement about versions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum History {
    /// `CREATE [OR REPLACE] TAG x ON … [AS OF …] [RETAIN n DAYS]`; a table of `None` is the catalog.
    CreateTag {
        name: String,
        table: Option<Vec<Ident>>,
        at: Option<At>,
        retain: Option<Duration>,
        or_replace: bool,
    },
    /// `DROP TAG [IF EXISTS] x ON …`
    DropTag { name: String, table: Option<Vec<Ident>>, if_exists: bool },
    /// `RESTORE TABLE t TO …`
    Restore { table: Vec<Ident>, to: At },
    /// `UNDROP TABLE t`
    Undrop(Vec<Ident>),
    /// `DROP PRODUCER 'name'`
    DropProducer(String),
}

/// A version of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum At {
    Version(i64),
    /// A constant expression.
    Time(String),
    Tag(String),
}

impl History {
    /// First words of its tag.
    pub(crate) fn command(&self) -> &'static str {
        match self {
            Self::CreateTag { .. } => "CREATE TAG",
            Self::DropTag { .. } => "DROP TAG",
            Self::Restore { .. } => "RESTORE TABLE",
            Self::Undrop(_) => "UNDROP TABLE",
            Self::DropProducer(_) => "DROP PRODUCER",
        }
    }
}

/// The statement, if it is one of these.
pub(super) fn history(words: &mut Words<'_>) -> Result<Option<History>, Error> {
    let or_replace = words.take(&["CREATE", "OR", "REPLACE", "TAG"]);
    Ok(Some(match () {
        () if or_replace || words.take(&["CREATE", "TAG"]) => create_tag(words, or_replace)?,
        () if words.take(&["DROP", "TAG"]) => {
            let if_exists = words.take(&["IF", "EXISTS"]);
            History::DropTag { name: tag_name(words)?, table: tagged(words)?, if_exists }
        }
        () if words.take(&["RESTORE"]) => {
            let _ = words.take(&["TABLE"]);
            let table = words.object_name()?;
            words.expect(&["TO"])?;
            let to = match () {
                () if words.take(&["TAG"]) => At::Tag(tag_name(words)?),
                () => at(words)?,
            };
            History::Restore { table, to }
        }
        () if words.take(&["UNDROP"]) => {
            let _ = words.take(&["TABLE"]);
            History::Undrop(words.object_name()?)
        }
        () if words.take(&["DROP", "PRODUCER"]) => History::DropProducer(words.text()?),
        () => return Ok(None),
    }))
}

fn create_tag(words: &mut Words<'_>, or_replace: bool) -> Result<History, Error> {
    let name = tag_name(words)?;
    let table = tagged(words)?;
    let at = if words.take(&["AS", "OF"]) { Some(at(words)?) } else { None };
    let retain = if words.take(&["RETAIN"]) {
        let count = words.number()?;
        let hours = match () {
            () if words.take(&["DAYS"]) || words.take(&["DAY"]) => 24,
            () if words.take(&["HOURS"]) || words.take(&["HOUR"]) => 1,
            () => return Err(words.unexpected("DAYS or HOURS")),
        };
        Some(Duration::from_secs(count.saturating_mul(hours).saturating_mul(3600)))
    } else {
        None
    };
    Ok(History::CreateTag { name, table, at, retain, or_replace })
}

/// A name, or a text.
fn tag_name(words: &mut Words<'_>) -> Result<String, Error> {
    match words.text() {
        Ok(text) => Ok(text),
        Err(_) => Ok(super::folded(&words.ident()?)),
    }
}

/// `ON TABLE t`, `ON CATALOG`
fn tagged(words: &mut Words<'_>) -> Result<Option<Vec<Ident>>, Error> {
    words.expect(&["ON"])?;
    if words.take(&["CATALOG"]) {
        return Ok(None);
    }
    words.expect(&["TABLE"])?;
    words.object_name().map(Some)
}

/// `VERSION n`, `TIMESTAMP e`
fn at(words: &mut Words<'_>) -> Result<At, Error> {
    if words.take(&["VERSION"]) {
        return Ok(At::Version(i64::try_from(words.number()?).unwrap_or(i64::MAX)));
    }
    words.expect(&["TIMESTAMP"])?;
    words.expression(&["RETAIN"]).map(At::Time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tokens::tokenize;

    fn read(sql: &str) -> Result<Option<History>, Error> {
        let tokens = tokenize(sql)?;
        let mut words = Words::new(sql, &tokens);
        let read = history(&mut words)?;
        words.end()?;
        Ok(read)
    }

    fn name(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    #[test]
    fn tags_say_what_they_keep_and_for_how_long() {
        let sql = "CREATE OR REPLACE TAG \"Q1\" ON TABLE s.t AS OF TIMESTAMP now() - INTERVAL '1 day' RETAIN 90 DAYS";
        let Some(History::CreateTag { name: tag, table, at, retain, or_replace }) = read(sql).unwrap() else {
            panic!("a tag")
        };
        assert_eq!((tag.as_str(), or_replace, retain), ("Q1", true, Some(Duration::from_secs(90 * 86_400))));
        let parts: Vec<String> = table.unwrap().into_iter().map(|part| part.value).collect();
        assert_eq!(parts, name(&["s", "t"]));
        let Some(At::Time(text)) = at else { panic!("a time") };
        assert!(text.starts_with("now") && text.ends_with("'1 day'"), "{text}");
        let whole = read("CREATE TAG x ON CATALOG").unwrap();
        assert!(matches!(whole, Some(History::CreateTag { table: None, at: None, retain: None, .. })));
        let dropped = read("DROP TAG IF EXISTS 'my tag' ON CATALOG").unwrap();
        assert!(matches!(dropped, Some(History::DropTag { name, if_exists: true, .. }) if name == "my tag"));
    }

    #[test]
    fn a_table_goes_back_to_a_version_a_time_or_a_tag() {
        let to = |sql: &str| match read(sql).unwrap() {
            Some(History::Restore { to, .. }) => to,
            other => panic!("{other:?}"),
        };
        assert_eq!(to("RESTORE TABLE t TO VERSION 12"), At::Version(12));
        assert_eq!(to("RESTORE t TO TAG 'x'"), At::Tag("x".into()));
        assert_eq!(to("RESTORE TABLE t TO TIMESTAMP '2026-01-01'"), At::Time("'2026-01-01'".into()));
    }

    #[test]
    fn what_is_left_out_is_named() {
        for (sql, expected) in [
            ("CREATE TAG x", "expected ON"),
            ("CREATE TAG x ON t", "expected TABLE"),
            ("CREATE TAG x ON CATALOG RETAIN 3", "expected DAYS or HOURS"),
            ("RESTORE TABLE t TO 12", "expected TIMESTAMP"),
            ("RESTORE TABLE t TO TIMESTAMP", "expected an expression"),
            ("DROP PRODUCER x", "expected a text"),
        ] {
            let error = read(sql).unwrap_err().to_string();
            assert!(error.contains(expected), "{sql}: {error}");
        }
    }
}
