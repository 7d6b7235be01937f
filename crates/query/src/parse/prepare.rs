//! `PREPARE name [(type, …)] AS statement`, `EXECUTE name [(value, …)]`, `DEALLOCATE [PREPARE] name|ALL`.

use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::command::Command;
use super::dialect::DIALECT;
use super::tokens::{folded, text_from, text_of};
use super::words::Words;
use crate::Error;
use crate::plan::fault;

pub(super) fn prepare(sql: &str, words: &mut Words<'_>) -> Result<Command, Error> {
    let name = folded(&words.ident()?);
    let mut types = Vec::new();
    for item in items(words)? {
        let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(item.to_vec());
        let written = parser.parse_data_type().and_then(|written| {
            parser.expect_token(&Token::EOF)?;
            Ok(written)
        });
        types.push(written.map_err(|error| fault::of(error.into(), sql))?);
    }
    words.expect(&["AS"])?;
    match words.peek() {
        Some(first) => Ok(Command::Prepare { name, types, sql: text_from(sql, first).to_owned() }),
        None => Err(words.unexpected("a statement")),
    }
}

pub(super) fn execute(sql: &str, words: &mut Words<'_>) -> Result<Command, Error> {
    let name = folded(&words.ident()?);
    let arguments = items(words)?.into_iter().map(|item| text_of(sql, item).to_owned()).collect();
    words.end()?;
    Ok(Command::Execute { name, arguments })
}

pub(super) fn deallocate(words: &mut Words<'_>) -> Result<Command, Error> {
    let _ = words.take(&["PREPARE"]);
    if words.take(&["ALL"]) {
        return Ok(Command::Deallocate(None));
    }
    Ok(Command::Deallocate(Some(folded(&words.ident()?))))
}

/// What stands between the commas of a list in parentheses, if one comes next.
fn items<'a>(words: &mut Words<'a>) -> Result<Vec<&'a [TokenWithSpan]>, Error> {
    let mut items = Vec::new();
    if !words.take_token(&Token::LParen) {
        return Ok(items);
    }
    loop {
        let (rest, mut depth, mut length) = (words.rest(), 0_usize, 0_usize);
        loop {
            match words.peek().map(|token| &token.token) {
                None => return Err(words.unexpected(")")),
                Some(Token::Comma | Token::RParen) if depth == 0 => break,
                Some(Token::LParen | Token::LBracket) => depth += 1,
                Some(Token::RParen | Token::RBracket) => depth = depth.saturating_sub(1),
                Some(_) => {}
            }
            words.next();
            length += 1;
        }
        if length == 0 {
            return Err(words.unexpected("a value"));
        }
        items.push(&rest[..length]);
        if words.take_token(&Token::RParen) {
            return Ok(items);
        }
        words.next();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokenize;
    use super::*;

    fn command(sql: &str) -> Result<Option<Command>, Error> {
        super::super::command::parse(sql, &tokenize(sql).unwrap())
    }

    #[test]
    fn a_prepared_statement_keeps_its_text_and_types() {
        let Some(Command::Prepare { name, types, sql }) =
            command("PREPARE Q (int, numeric(10, 2)) AS SELECT $1,\n  $2;").unwrap()
        else {
            panic!("a PREPARE")
        };
        assert_eq!((name.as_str(), sql.as_str()), ("q", "SELECT $1,\n  $2"));
        assert_eq!(types.iter().map(ToString::to_string).collect::<Vec<_>>(), ["INT", "NUMERIC(10,2)"]);
    }

    #[test]
    fn arguments_are_cut_at_commas_outside_of_parentheses() {
        let executed = |arguments: &[&str]| {
            let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
            Some(Command::Execute { name: "q".into(), arguments })
        };
        assert_eq!(command("EXECUTE q").unwrap(), executed(&[]));
        assert_eq!(
            command("EXECUTE q (1, f(2, 3), ARRAY[4, 5], ')')").unwrap(),
            executed(&["1", "f(2, 3)", "ARRAY[4, 5]", "')'"])
        );
        for wrong in [
            "EXECUTE q (",
            "EXECUTE q ()",
            "EXECUTE q (1,)",
            "EXECUTE q 1",
            "PREPARE q AS",
            "PREPARE q (int x) AS TABLE t",
        ] {
            assert!(command(wrong).unwrap_err().to_string().to_lowercase().contains("expected"), "{wrong}");
        }
    }

    #[test]
    fn all_and_one_are_deallocated() {
        assert_eq!(command("DEALLOCATE ALL").unwrap(), Some(Command::Deallocate(None)));
        assert_eq!(command("DEALLOCATE PREPARE \"Q\"").unwrap(), Some(Command::Deallocate(Some("Q".into()))));
    }
}
