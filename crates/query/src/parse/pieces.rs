//! Parts of statements that come by themselves, from protocols without SQL: a type, a transform of a column, a column of an order.
//! Each is read to its end by the reader of the statement that it is a part of; nothing else of a request is ever read as SQL.

use cenote_vocab::{Fault, FieldType};
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;

use super::clauses::{PartitionItem, SortItem, partition_item, sort_item};
use super::column;
use super::depth;
use super::tokens::tokenize;
use super::words::Words;
use crate::Error;

/// `BIGINT`, `DECIMAL(10,2)`, `STRUCT(a INT, b TEXT[])`
pub(crate) fn type_of(column: &str, text: &str) -> Result<FieldType, Error> {
    whole(text, |words| column::field_type(words, column))
}

/// `day(ts)`, `bucket(16, id)`, `region`
pub(crate) fn partition_of(text: &str) -> Result<PartitionItem, Error> {
    whole(text, partition_item)
}

/// `ts DESC NULLS FIRST`
pub(crate) fn sort_of(text: &str) -> Result<SortItem, Error> {
    whole(text, sort_item)
}

/// `now()`, `uuid()`
pub(crate) fn call_of(function: &'static str) -> Result<Expr, Error> {
    whole(function, column::default_value)
}

fn whole<T>(text: &str, read: impl Fn(&mut Words<'_>) -> Result<T, Error>) -> Result<T, Error> {
    let wrong = |error: Error| {
        let (kind, code, hint) = (error.kind(), error.sqlstate().0, error.hint());
        let error = Error::new(kind, format!("{text:?}: {error}")).with_sqlstate(code);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    };
    let read = || {
        let tokens = tokenize(text)?;
        depth::check(text, &tokens)?;
        let mut words = Words::new(text, &tokens);
        let found = read(&mut words)?;
        match words.rest().iter().all(|token| token.token == Token::EOF) {
            true => Ok(found),
            false => Err(words.unexpected("nothing more")),
        }
    };
    read().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use cenote_vocab::Transform;

    use super::*;

    #[test]
    fn a_piece_is_read_to_its_end() {
        assert_eq!(type_of("c", "BIGINT").expect("a type"), FieldType::Int64);
        assert_eq!(partition_of("day(ts)").expect("a transform").transform, Transform::Day);
        let sort = sort_of("\"The Time\" DESC NULLS FIRST").expect("an order");
        assert_eq!((sort.column.value.as_str(), sort.descending, sort.nulls_first), ("The Time", true, true));
        for text in [
            "BIGINT, d TEXT",
            "BIGINT) AS SELECT 1",
            "BIGINT; DROP TABLE x",
            "BIGINT NOT NULL",
            "",
            "nothing",
        ] {
            let error = type_of("c", text).expect_err(text);
            assert!(error.to_string().starts_with(&format!("{text:?}: ")), "{error}");
        }
        assert!(partition_of("day(ts), region").is_err());
        assert!(partition_of("day(ts);").is_err());
        assert!(sort_of("ts SIDEWAYS").is_err());
    }
}
