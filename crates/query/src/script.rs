//! Scripts of pipelines: statements that make tables and views of their own, and write. The dialect is Arroyo's.

mod table;

use sqlparser::tokenizer::Token;

use crate::Error;
use crate::parse::{Words, option_value, split, text_from, tokenize, unsupported};

pub use table::{ScriptColumn, ScriptTable, ScriptValue, ScriptWatermark};

/// A statement of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptStatement {
    /// `CREATE [TEMPORARY] TABLE t [(columns)] [WITH (…)]`
    Table(ScriptTable),
    /// `CREATE VIEW v AS query`, `CREATE TABLE v AS query`
    View {
        /// As written.
        name: String,
        /// The query.
        sql: String,
    },
    /// `SET name = value`
    Set {
        /// In lower case.
        name: String,
        /// As text.
        value: String,
    },
    /// `INSERT INTO …`
    Insert {
        /// The target, if its name has one part; as written.
        target: Option<String>,
        /// Columns of the target are named.
        has_columns: bool,
        /// Behind the target.
        query: String,
        /// The whole statement.
        sql: String,
    },
    /// A query whose rows are shown.
    Query(String),
}

/// The statements of a pipeline's script, in order. Errors name the statement's place in the text of its own.
pub fn parse_script(script: &str) -> Result<Vec<ScriptStatement>, Error> {
    split(script)?.iter().map(|sql| statement(sql)).collect()
}

/// The texts of a script's statements, in order.
pub fn split_script(script: &str) -> Result<Vec<String>, Error> {
    split(script)
}

fn statement(sql: &str) -> Result<ScriptStatement, Error> {
    let tokens = tokenize(sql)?;
    let mut words = Words::new(sql, &tokens);
    if words.take(&["INSERT"]) {
        return insert(sql, &mut words);
    }
    if words.take(&["SET"]) {
        return set(&mut words);
    }
    if words.take(&["CREATE"]) {
        return create(sql, &mut words);
    }
    let is_query = |token: &Token| match token {
        Token::Word(word) => {
            ["select", "with", "values", "from"].contains(&word.value.to_lowercase().as_str())
        }
        token => *token == Token::LParen,
    };
    match words.peek() {
        Some(first) if is_query(&first.token) => Ok(ScriptStatement::Query(sql.to_owned())),
        first => {
            let first = first.map_or_else(String::new, |token| token.token.to_string().to_uppercase());
            Err(unsupported(&format!("{first} in a pipeline")))
        }
    }
}

fn create(sql: &str, words: &mut Words<'_>) -> Result<ScriptStatement, Error> {
    let temporary = words.take(&["TEMPORARY"]) || words.take(&["TEMP"]);
    let view = !temporary && words.take(&["VIEW"]);
    if !view && !words.take(&["TABLE"]) {
        let what = words.peek().map_or_else(String::new, |token| token.token.to_string().to_uppercase());
        return Err(unsupported(&format!("CREATE {what} in a pipeline")));
    }
    let _ = words.take(&["IF", "NOT", "EXISTS"]);
    let name = words.ident()?.value;
    if words.take(&["AS"]) {
        let Some(first) = words.peek() else { return Err(words.unexpected("a query")) };
        return Ok(ScriptStatement::View { name, sql: text_from(sql, first).to_owned() });
    }
    if view {
        return Err(words.unexpected("AS"));
    }
    table::table(words, name, temporary).map(ScriptStatement::Table)
}

fn set(words: &mut Words<'_>) -> Result<ScriptStatement, Error> {
    let parts = words.object_name()?;
    let name = parts.iter().map(|part| part.value.to_lowercase()).collect::<Vec<_>>().join(".");
    if !words.take_token(&Token::Eq) {
        words.expect(&["TO"])?;
    }
    let value = option_value(words)?;
    words.end()?;
    Ok(ScriptStatement::Set { name, value })
}

fn insert(sql: &str, words: &mut Words<'_>) -> Result<ScriptStatement, Error> {
    words.expect(&["INTO"])?;
    let parts = words.object_name()?;
    let target = match parts.as_slice() {
        [name] => Some(name.value.clone()),
        _ => None,
    };
    let is_rows = |token: &Token| {
        *token == Token::LParen
            || matches!(token, Token::Word(word) if ["select", "with"].contains(&word.value.to_lowercase().as_str()))
    };
    let rest = words.rest();
    let has_columns = match rest {
        [paren, inner, ..] if paren.token == Token::LParen => !is_rows(&inner.token),
        _ => false,
    };
    let Some(first) = words.peek() else { return Err(words.unexpected("a query")) };
    let query = text_from(sql, first).to_owned();
    Ok(ScriptStatement::Insert { target, has_columns, query, sql: sql.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert_of(target: Option<&str>, has_columns: bool, query: &str, sql: &str) -> ScriptStatement {
        ScriptStatement::Insert {
            target: target.map(str::to_owned),
            has_columns,
            query: query.to_owned(),
            sql: sql.to_owned(),
        }
    }

    #[test]
    fn a_script_makes_tables_and_views_and_writes() {
        let script = "CREATE TABLE s WITH (connector = 'impulse', event_rate = 10);\n\
                      CREATE VIEW V AS SELECT ';' FROM s; SET updating_ttl = INTERVAL '1' hour; INSERT INTO t SELECT * FROM v; \
                      INSERT INTO a.t (b) SELECT 1; INSERT INTO t (SELECT 1); WITH x AS (SELECT 1) SELECT * FROM x";
        let statements = parse_script(script).unwrap();
        assert!(matches!(&statements[0], ScriptStatement::Table(table) if table.name == "s"));
        assert_eq!(
            statements[1..],
            [
                ScriptStatement::View { name: "V".into(), sql: "SELECT ';' FROM s".into() },
                ScriptStatement::Set { name: "updating_ttl".into(), value: "1 hour".into() },
                insert_of(Some("t"), false, "SELECT * FROM v", "INSERT INTO t SELECT * FROM v"),
                insert_of(None, true, "(b) SELECT 1", "INSERT INTO a.t (b) SELECT 1"),
                insert_of(Some("t"), false, "(SELECT 1)", "INSERT INTO t (SELECT 1)"),
                ScriptStatement::Query("WITH x AS (SELECT 1) SELECT * FROM x".into()),
            ]
        );
    }

    #[test]
    fn what_a_script_may_not_hold_is_named() {
        for (script, expected) in [
            ("DELETE FROM t", "DELETE in a pipeline is not supported yet"),
            ("CREATE SCHEMA s", "CREATE SCHEMA in a pipeline is not supported yet"),
            ("CREATE TABLE t", "expected columns or WITH"),
            ("CREATE VIEW v SELECT 1", "expected AS"),
            ("INSERT t SELECT 1", "expected INTO"),
            ("INSERT INTO t", "expected a query"),
        ] {
            let error = parse_script(script).unwrap_err().to_string();
            assert!(error.contains(expected), "{script}: {error}");
        }
    }
}
