//! `COPY {t [(columns)] | (query)} TO STDOUT [[WITH] (options)]`, also with the options of old.

use cenote_vocab::ErrorKind;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::command::unsupported;
use super::tokens::word_is;
use super::words::Words;
use crate::Error;

/// How COPY writes rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFormat {
    /// Text or CSV.
    pub style: CopyStyle,
    /// Between two values.
    pub delimiter: char,
    /// What NULL is written as.
    pub null: String,
    /// The first line.
    pub header: CopyHeader,
    /// Around values of CSV that need it.
    pub quote: char,
    /// Before a quote inside of quotes.
    pub escape: char,
}

/// The two styles of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyStyle {
    /// PostgreSQL's own: tabs and backslashes.
    Text,
    /// Commas and quotes.
    Csv,
}

/// Whether the columns' names come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyHeader {
    /// Rows only.
    None,
    /// A line of names.
    Names,
}

/// A COPY to the client: the tokens of its query, in their places, and its format.
pub(super) struct CopyOut {
    pub(super) query: Vec<TokenWithSpan>,
    pub(super) format: CopyFormat,
}

/// `None` if the statement is no COPY TO STDOUT.
pub(super) fn parse(sql: &str, tokens: &[TokenWithSpan]) -> Result<Option<CopyOut>, Error> {
    let mut words = Words::new(sql, tokens);
    if !words.take(&["COPY"]) {
        return Ok(None);
    }
    let query = source(&mut words)?;
    if !words.take(&["TO", "STDOUT"]) {
        return Ok(None);
    }
    let format = options(&mut words)?;
    words.end()?;
    Ok(Some(CopyOut { query, format }))
}

/// The query of what is copied: `SELECT columns FROM t` for a table.
fn source(words: &mut Words<'_>) -> Result<Vec<TokenWithSpan>, Error> {
    if let Some(query) = parenthesised(words)? {
        return Ok(query.to_vec());
    }
    let from = words.rest();
    words.object_name()?;
    let name = &from[..from.len() - words.rest().len()];
    let columns = parenthesised(words)?;
    let made = |token| TokenWithSpan::new(token, Span::empty());
    let mut query = vec![made(Token::make_keyword("SELECT"))];
    match columns {
        Some(columns) => query.extend_from_slice(columns),
        None => query.push(made(Token::Mul)),
    }
    query.push(made(Token::make_keyword("FROM")));
    query.extend_from_slice(name);
    Ok(query)
}

/// What stands in parentheses, if they come next.
fn parenthesised<'a>(words: &mut Words<'a>) -> Result<Option<&'a [TokenWithSpan]>, Error> {
    if !words.take_token(&Token::LParen) {
        return Ok(None);
    }
    let (rest, mut depth, mut length) = (words.rest(), 0_usize, 0_usize);
    loop {
        let Some(token) = words.next() else { return Err(words.unexpected(")")) };
        match token.token {
            Token::RParen if depth == 0 => return Ok(Some(&rest[..length])),
            Token::RParen => depth -= 1,
            Token::LParen => depth += 1,
            _ => {}
        }
        length += 1;
    }
}

/// Options as they are read, before the style gives the others.
#[derive(Default)]
struct Given {
    csv: bool,
    delimiter: Option<char>,
    null: Option<String>,
    names: bool,
    quote: Option<char>,
    escape: Option<char>,
}

fn options(words: &mut Words<'_>) -> Result<CopyFormat, Error> {
    let mut given = Given::default();
    let _ = words.take(&["WITH"]);
    let listed = words.take_token(&Token::LParen);
    while words.peek().is_some_and(|token| token.token != Token::RParen) {
        option(words, &mut given, listed)?;
        if listed && !words.take_token(&Token::Comma) {
            break;
        }
    }
    if listed && !words.take_token(&Token::RParen) {
        return Err(words.unexpected(", or )"));
    }
    given.format()
}

fn option(words: &mut Words<'_>, given: &mut Given, listed: bool) -> Result<(), Error> {
    if listed && words.take(&["FORMAT"]) {
        let name = if let Ok(text) = words.text() { text } else { words.ident()?.value };
        match name.to_lowercase().as_str() {
            "text" => given.csv = false,
            "csv" => given.csv = true,
            "binary" => return Err(unsupported("COPY in the format binary")),
            other => return Err(invalid(format!("COPY format {other:?} is not known"))),
        }
    } else if !listed && words.take(&["CSV"]) {
        given.csv = true;
    } else if words.take(&["HEADER"]) {
        given.names = !listed || switch(words)?;
    } else if words.take(&["DELIMITER"]) {
        given.delimiter = Some(character(words, "DELIMITER")?);
    } else if words.take(&["NULL"]) {
        let _ = words.take(&["AS"]);
        given.null = Some(words.text()?);
    } else if words.take(&["QUOTE"]) {
        given.quote = Some(character(words, "QUOTE")?);
    } else if words.take(&["ESCAPE"]) {
        given.escape = Some(character(words, "ESCAPE")?);
    } else if words.take(&["ENCODING"]) {
        let encoding = words.text()?;
        if !["UTF8", "UTF-8"].contains(&encoding.to_uppercase().as_str()) {
            return Err(unsupported(&format!("COPY in the encoding {encoding}")));
        }
    } else if words.take(&["FORCE_QUOTE"]) || words.take(&["FORCE", "QUOTE"]) {
        return Err(unsupported("FORCE_QUOTE of COPY"));
    } else if words.take(&["BINARY"]) {
        return Err(unsupported("COPY in the format binary"));
    } else {
        return Err(words.unexpected("an option of COPY"));
    }
    Ok(())
}

/// The value of a switch; on, if there is none.
fn switch(words: &mut Words<'_>) -> Result<bool, Error> {
    let Some(token) = words.peek().filter(|token| !matches!(token.token, Token::Comma | Token::RParen))
    else {
        return Ok(true);
    };
    let on = ["TRUE", "ON"].iter().any(|word| word_is(token, word)) || is_number(token, "1");
    let off = ["FALSE", "OFF"].iter().any(|word| word_is(token, word)) || is_number(token, "0");
    if !on && !off {
        return Err(words.unexpected("true or false"));
    }
    words.next();
    Ok(on)
}

fn is_number(token: &TokenWithSpan, wanted: &str) -> bool {
    matches!(&token.token, Token::Number(digits, _) if digits == wanted)
}

fn character(words: &mut Words<'_>, option: &str) -> Result<char, Error> {
    let _ = words.take(&["AS"]);
    let text = words.text()?;
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) if one.is_ascii() && one != '\n' && one != '\r' => Ok(one),
        _ => Err(invalid(format!("COPY {option} must be one ASCII character, got {text:?}"))),
    }
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::Invalid, text).with_sqlstate("22023")
}

impl Given {
    fn format(self) -> Result<CopyFormat, Error> {
        if !self.csv && (self.quote.is_some() || self.escape.is_some()) {
            return Err(invalid("QUOTE and ESCAPE of COPY need the format csv".to_owned()));
        }
        let (style, delimiter, null) = match self.csv {
            true => (CopyStyle::Csv, ',', ""),
            false => (CopyStyle::Text, '\t', "\\N"),
        };
        let (delimiter, quote) = (self.delimiter.unwrap_or(delimiter), self.quote.unwrap_or('"'));
        let taken =
            self.csv && delimiter == quote || !self.csv && (delimiter == '\\' || delimiter.is_alphanumeric());
        if taken {
            return Err(invalid(format!("COPY DELIMITER cannot be {delimiter:?} here")));
        }
        Ok(CopyFormat {
            style,
            delimiter,
            null: self.null.unwrap_or_else(|| null.to_owned()),
            header: if self.names { CopyHeader::Names } else { CopyHeader::None },
            quote,
            escape: self.escape.unwrap_or(quote),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokenize;
    use super::*;

    fn copied(sql: &str) -> Result<(String, CopyFormat), Error> {
        let copy = parse(sql, &tokenize(sql).unwrap())?.expect("a COPY TO STDOUT");
        let words: Vec<String> = copy.query.iter().map(|token| token.token.to_string()).collect();
        Ok((words.join(" "), copy.format))
    }

    #[test]
    fn a_table_and_a_query_are_copied() {
        assert_eq!(copied("COPY a.t TO STDOUT").unwrap().0, "SELECT * FROM a . t");
        assert_eq!(copied("COPY t (x, \"Y\") TO STDOUT").unwrap().0, "SELECT x , \"Y\" FROM t");
        assert_eq!(copied("COPY (SELECT f(1), 2) TO STDOUT").unwrap().0, "SELECT f ( 1 ) , 2");
    }

    #[test]
    fn options_of_now_and_of_old_mean_the_same() {
        let now = copied("COPY t TO STDOUT WITH (FORMAT csv, HEADER, DELIMITER ';', NULL 'x')").unwrap().1;
        let old = copied("COPY t TO STDOUT DELIMITER AS ';' NULL 'x' CSV HEADER").unwrap().1;
        assert_eq!(now, old);
        assert_eq!((now.style, now.delimiter, now.null.as_str()), (CopyStyle::Csv, ';', "x"));
        assert_eq!(copied("COPY t TO STDOUT (HEADER false)").unwrap().1.header, CopyHeader::None);
    }

    #[test]
    fn wrong_options_are_named() {
        for (options, word) in [
            ("(FORMAT binary)", "binary"),
            ("(FORMAT xml)", "xml"),
            ("(DELIMITER 'ab')", "DELIMITER"),
            ("(QUOTE '''')", "csv"),
            ("(ENCODING 'LATIN1')", "LATIN1"),
            ("(FROBNICATE)", "FROBNICATE"),
            ("(FORMAT csv", "end of statement"),
        ] {
            let error = copied(&format!("COPY t TO STDOUT {options}")).unwrap_err().to_string();
            assert!(error.contains(word), "{options}: {error}");
        }
    }
}
