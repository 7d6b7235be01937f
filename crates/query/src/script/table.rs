//! `CREATE TABLE` of a script: columns that are read, made or told by the connector, and when a row happened.

use std::collections::BTreeMap;

use cenote_vocab::{ErrorKind, Field, FieldId};
use sqlparser::tokenizer::Token;

use crate::Error;
use crate::parse::{Words, column_type, options};

/// Begins names that Arroyo keeps for itself.
const RESERVED: &str = "__arroyo";

/// A table of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptTable {
    /// As written.
    pub name: String,
    /// `TEMPORARY`: a lookup table.
    pub temporary: bool,
    /// In order; none: the connector, or what is written first, says which.
    pub columns: Vec<ScriptColumn>,
    /// Names of its columns.
    pub primary_key: Vec<String>,
    /// Where event time comes from.
    pub watermark: Option<ScriptWatermark>,
    /// Names in lower case, values as texts; `None` without WITH.
    pub options: Option<BTreeMap<String, String>>,
    /// `PARTITIONED BY` columns.
    pub partitioned: Vec<String>,
}

/// A column of a table of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptColumn {
    /// Name as written, type, NOT NULL; ids are 0.
    pub field: Field,
    /// Where its values come from.
    pub value: ScriptValue,
}

/// Where values of a column come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptValue {
    /// The row.
    Stored,
    /// `GENERATED ALWAYS AS (expression)`
    Generated(String),
    /// `METADATA FROM 'key'`
    Metadata(String),
}

/// `WATERMARK FOR column [AS expression]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptWatermark {
    /// When a row happened.
    pub column: String,
    /// Event time that is over when the row is seen; `None`: the column.
    pub expression: Option<String>,
}

/// Reads what stands behind the name.
pub(super) fn table(words: &mut Words<'_>, name: String, temporary: bool) -> Result<ScriptTable, Error> {
    let mut table = ScriptTable {
        name,
        temporary,
        columns: Vec::new(),
        primary_key: Vec::new(),
        watermark: None,
        options: None,
        partitioned: Vec::new(),
    };
    if words.take_token(&Token::LParen) {
        while !words.take_token(&Token::RParen) {
            element(words, &mut table)?;
            if words.take_token(&Token::RParen) {
                break;
            }
            if !words.take_token(&Token::Comma) {
                return Err(words.unexpected(", or )"));
            }
        }
    } else if words.peek().is_none() {
        return Err(words.unexpected("columns or WITH"));
    }
    loop {
        if table.options.is_none() && words.take(&["WITH"]) {
            table.options = Some(options(words)?);
        } else if words.take(&["PARTITIONED", "BY"]) {
            table.partitioned = names(words)?;
        } else {
            words.end()?;
            return Ok(table);
        }
    }
}

fn element(words: &mut Words<'_>, table: &mut ScriptTable) -> Result<(), Error> {
    if words.take(&["WATERMARK", "FOR"]) {
        let column = words.ident()?.value;
        let ends = |token: &Token| matches!(token, Token::Comma | Token::RParen);
        let expression = if words.take(&["AS"]) { Some(words.expression_until(ends)?) } else { None };
        if table.watermark.replace(ScriptWatermark { column, expression }).is_some() {
            return Err(invalid(format!("table {} has several WATERMARK clauses", table.name)));
        }
        return Ok(());
    }
    if words.take(&["PRIMARY", "KEY"]) {
        table.primary_key.extend(names(words)?);
        return Ok(());
    }
    let name = words.ident()?.value;
    if name.to_lowercase().starts_with(RESERVED) {
        let table = &table.name;
        return Err(invalid(format!(
            "column name '{name}' in table '{table}' is invalid; names starting with '{RESERVED}' are reserved"
        )));
    }
    if table.columns.iter().any(|column| column.field.name.eq_ignore_ascii_case(&name)) {
        return Err(invalid(format!("column \"{name}\" of table {} is given twice", table.name)));
    }
    let field_type = column_type(words, &name)?;
    let mut column =
        ScriptColumn { field: Field::new(FieldId(0), &name, field_type), value: ScriptValue::Stored };
    loop {
        if words.take(&["NOT", "NULL"]) {
            column.field.required = true;
        } else if words.take(&["NULL"]) || words.take(&["STORED"]) || words.take(&["VIRTUAL"]) {
            // nothing is stored either way
        } else if words.take(&["PRIMARY", "KEY"]) {
            table.primary_key.push(name.clone());
        } else if words.take(&["GENERATED", "ALWAYS", "AS"]) {
            column.value = generated(words)?;
        } else if words.take(&["METADATA", "FROM"]) {
            column.value = ScriptValue::Metadata(words.text()?);
        } else {
            break;
        }
    }
    table.columns.push(column);
    Ok(())
}

/// `(expression)`; `(metadata('key'))` is how the same was said before there was METADATA FROM.
fn generated(words: &mut Words<'_>) -> Result<ScriptValue, Error> {
    if !words.take_token(&Token::LParen) {
        return Err(words.unexpected("("));
    }
    let text = words.expression_until(|token| *token == Token::RParen)?;
    words.next();
    let key = text.strip_prefix("metadata ( '").and_then(|rest| rest.strip_suffix("' )"));
    Ok(match key {
        Some(key) => ScriptValue::Metadata(key.to_owned()),
        None => ScriptValue::Generated(text),
    })
}

/// `(a, b)`
fn names(words: &mut Words<'_>) -> Result<Vec<String>, Error> {
    if !words.take_token(&Token::LParen) {
        return Err(words.unexpected("("));
    }
    let mut names = vec![words.ident()?.value];
    while words.take_token(&Token::Comma) {
        names.push(words.ident()?.value);
    }
    if words.take_token(&Token::RParen) { Ok(names) } else { Err(words.unexpected(", or )")) }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use cenote_vocab::{FieldType, TimeUnit};

    use super::*;
    use crate::parse::tokenize;

    fn read(text: &str) -> Result<ScriptTable, Error> {
        let tokens = tokenize(text)?;
        table(&mut Words::new(text, &tokens), "t".to_owned(), false)
    }

    #[test]
    fn columns_are_read_with_their_origin_and_the_watermark() {
        let table = read(
            "(id BIGINT UNSIGNED NOT NULL, \"userId\" TEXT PRIMARY KEY, end TIMESTAMP, watermark INT, topic TEXT METADATA FROM 'topic', \
             place TEXT GENERATED ALWAYS AS (metadata('path')) STORED, later TIMESTAMP GENERATED ALWAYS AS (end + INTERVAL '1 minute') STORED, \
             WATERMARK FOR later AS later - INTERVAL '5 seconds',) \
             WITH (connector = 'filesystem', 'json.unstructured' = 'true', partition_fields = [id, end]) PARTITIONED BY (id)",
        )
        .unwrap();
        let names: Vec<&str> = table.columns.iter().map(|column| column.field.name.as_str()).collect();
        assert_eq!(names, ["id", "userId", "end", "watermark", "topic", "place", "later"]);
        assert_eq!(table.columns[0].field.field_type, FieldType::UInt64);
        assert!(table.columns[0].field.required && !table.columns[1].field.required);
        assert_eq!(table.columns[2].field.field_type, FieldType::Timestamp(TimeUnit::Micro));
        assert_eq!(table.columns[4].value, ScriptValue::Metadata("topic".into()));
        assert_eq!(table.columns[5].value, ScriptValue::Metadata("path".into()));
        assert!(matches!(&table.columns[6].value, ScriptValue::Generated(text) if text.starts_with("end +")));
        assert_eq!(table.primary_key, ["userId"]);
        let watermark = table.watermark.unwrap();
        assert_eq!(
            (watermark.column.as_str(), watermark.expression.as_deref()),
            ("later", Some("later - INTERVAL '5 seconds'"))
        );
        let options = table.options.unwrap();
        assert_eq!(
            (options["json.unstructured"].as_str(), options["partition_fields"].as_str()),
            ("true", "id,end")
        );
        assert_eq!(table.partitioned, ["id"]);
    }

    #[test]
    fn what_is_wrong_with_a_table_is_named() {
        for (text, expected) in [
            (
                "(__arroyo_x INT)",
                "column name '__arroyo_x' in table 't' is invalid; names starting with '__arroyo' are reserved",
            ),
            ("(a INT, A TEXT)", "column \"A\" of table t is given twice"),
            ("(a INT, WATERMARK FOR a, WATERMARK FOR a)", "several WATERMARK clauses"),
            ("(a INT DEFAULT 1)", "expected , or )"),
            ("(a INT) AS x", "expected end of statement"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
