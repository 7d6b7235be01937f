//! Types, defaults and paths of columns, as our own statements write them.

use cenote_datafile::LIST_ELEMENT;
use cenote_vocab::{ErrorKind, Field, FieldId, FieldType};
use sqlparser::ast::{Expr, Ident};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::dialect::DIALECT;
use super::tokens::{folded, word_is};
use super::words::Words;
use crate::Error;
use crate::plan::fault;
use crate::statement::leaf_type;

/// Structs in structs, at most, that one type spells out.
const NESTING_MAX: usize = 32;

/// `a`, `a.b.c`
pub(super) fn path(words: &mut Words<'_>) -> Result<Vec<Ident>, Error> {
    let mut path = vec![words.ident()?];
    while words.take_token(&Token::Period) {
        path.push(words.ident()?);
    }
    Ok(path)
}

/// A type: one of SQL, `STRUCT(a T [NOT NULL], …)`, `MAP(K, V)`, both in angle brackets too, and lists of it, `T[]` and `T[n]`. Ids are 0.
pub(crate) fn field_type(words: &mut Words<'_>, column: &str) -> Result<FieldType, Error> {
    let mut owed = 0;
    let found = nested(words, column, (1, &mut owed))?;
    if owed > 0 { Err(words.unexpected("one > less")) } else { Ok(found) }
}

/// True where a type begins that the parser of queries cannot read.
pub(super) fn begins_nested(tokens: &[TokenWithSpan]) -> bool {
    let [word, bracket, ..] = tokens else { return false };
    (word_is(word, "STRUCT") || word_is(word, "MAP")) && matches!(bracket.token, Token::LParen | Token::Lt)
}

/// `owed`: angle brackets that were closed and not asked for yet, since `>>` is one token.
fn nested(
    words: &mut Words<'_>,
    column: &str,
    (depth, owed): (usize, &mut usize),
) -> Result<FieldType, Error> {
    if depth > NESTING_MAX {
        let text = format!("column \"{column}\": the type is nested deeper than {NESTING_MAX}");
        return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("54001"));
    }
    let mut found = if begins_nested(words.rest()) && words.take(&["STRUCT"]) {
        structure(words, column, (depth, owed))?
    } else if begins_nested(words.rest()) && words.take(&["MAP"]) {
        map(words, column, (depth, owed))?
    } else {
        return leaf(words, column);
    };
    while words.take_token(&Token::LBracket) {
        let element = Box::new(Field::new(FieldId(0), LIST_ELEMENT, found));
        found = if words.take_token(&Token::RBracket) {
            FieldType::List(element)
        } else {
            let length = u32::try_from(words.number()?).ok().filter(|length| *length > 0);
            let length = length.ok_or_else(|| words.unexpected("a length above 0"))?;
            expect(words, &Token::RBracket, "]")?;
            FieldType::FixedList(element, length)
        };
    }
    Ok(found)
}

/// Brackets around the parts of a type.
#[derive(Clone, Copy)]
enum Brackets {
    Round,
    Angle,
}

impl Brackets {
    fn open(words: &mut Words<'_>) -> Result<Self, Error> {
        if words.take_token(&Token::Lt) {
            return Ok(Self::Angle);
        }
        expect(words, &Token::LParen, "(").map(|()| Self::Round)
    }

    /// True if they are closed here.
    fn close(self, words: &mut Words<'_>, owed: &mut usize) -> bool {
        match self {
            Self::Round => words.take_token(&Token::RParen),
            Self::Angle if *owed > 0 => {
                *owed -= 1;
                true
            }
            Self::Angle if words.take_token(&Token::ShiftRight) => {
                *owed += 1;
                true
            }
            Self::Angle => words.take_token(&Token::Gt),
        }
    }

    fn end(self) -> &'static str {
        match self {
            Self::Round => ")",
            Self::Angle => ">",
        }
    }
}

fn structure(
    words: &mut Words<'_>,
    column: &str,
    (depth, owed): (usize, &mut usize),
) -> Result<FieldType, Error> {
    let brackets = Brackets::open(words)?;
    let mut fields = Vec::new();
    loop {
        let name = folded(&words.ident()?);
        let field_type = nested(words, column, (depth + 1, &mut *owed))?;
        let required = words.take(&["NOT", "NULL"]);
        fields.push(Field { required, ..Field::new(FieldId(0), name, field_type) });
        if brackets.close(words, owed) {
            return Ok(FieldType::Struct(fields));
        }
        expect(words, &Token::Comma, &format!(", or {}", brackets.end()))?;
    }
}

fn map(words: &mut Words<'_>, column: &str, (depth, owed): (usize, &mut usize)) -> Result<FieldType, Error> {
    let brackets = Brackets::open(words)?;
    let key = nested(words, column, (depth + 1, &mut *owed))?;
    expect(words, &Token::Comma, ",")?;
    let value = nested(words, column, (depth + 1, &mut *owed))?;
    if !brackets.close(words, owed) {
        return Err(words.unexpected(brackets.end()));
    }
    let field = |name, field_type| Field::new(FieldId(0), name, field_type);
    Ok(FieldType::Map { key: Box::new(field("key", key).required()), value: Box::new(field("value", value)) })
}

fn leaf(words: &mut Words<'_>, column: &str) -> Result<FieldType, Error> {
    let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(words.rest().to_vec());
    let parsed = parser.parse_data_type();
    let data_type = parsed.map_err(|error| fault::of(error.into(), words.sql()))?;
    words.skip(parser.index());
    leaf_type(column, &data_type)
}

/// The value of a DEFAULT behind a column: no operators, which the words behind it could be taken for.
pub(super) fn default_value(words: &mut Words<'_>) -> Result<Expr, Error> {
    let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(words.rest().to_vec());
    let expr = parser.parse_prefix().map_err(|error| fault::of(error.into(), words.sql()))?;
    words.skip(parser.index());
    Ok(expr)
}

fn expect(words: &mut Words<'_>, token: &Token, shown: &str) -> Result<(), Error> {
    if words.take_token(token) { Ok(()) } else { Err(words.unexpected(shown)) }
}
