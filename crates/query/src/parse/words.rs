//! Reads statements of ours word by word.

use sqlparser::ast::Ident;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::folded;
use super::tokens::{tokenize, word_is};
use crate::Error;
use crate::error::Place;
use cenote_vocab::ErrorKind;

/// The parts of a name that is a text of its own, such as `default."my cpu"`.
pub(crate) fn object_name(text: &str) -> Result<Vec<Ident>, Error> {
    let tokens = tokenize(text)?;
    let mut words = Words::new(text, &tokens);
    let name = words.object_name();
    name.and_then(|name| words.end().map(|()| name))
        .map_err(|_| Error::new(ErrorKind::Invalid, format!("\"{text}\" is no name")).with_sqlstate("42602"))
}

/// A cursor over the tokens of one statement. A clone looks ahead.
#[derive(Clone)]
pub(crate) struct Words<'a> {
    sql: &'a str,
    tokens: &'a [TokenWithSpan],
    at: usize,
}

impl<'a> Words<'a> {
    pub(crate) fn new(sql: &'a str, tokens: &'a [TokenWithSpan]) -> Self {
        Self { sql, tokens, at: 0 }
    }

    /// The next token, if the statement goes on.
    pub(crate) fn peek(&self) -> Option<&'a TokenWithSpan> {
        self.tokens.get(self.at).filter(|token| !matches!(token.token, Token::EOF | Token::SemiColon))
    }

    /// Takes the words if they come next, all of them.
    pub(crate) fn take(&mut self, words: &[&str]) -> bool {
        let next = self.tokens.get(self.at..self.at + words.len());
        let taken = next.is_some_and(|next| next.iter().zip(words).all(|(token, word)| word_is(token, word)));
        if taken {
            self.at += words.len();
        }
        taken
    }

    /// Takes the token if it comes next.
    pub(crate) fn take_token(&mut self, wanted: &Token) -> bool {
        let taken = self.peek().is_some_and(|token| token.token == *wanted);
        self.at += usize::from(taken);
        taken
    }

    /// Takes the words, or fails at what stands there instead.
    pub(crate) fn expect(&mut self, words: &[&str]) -> Result<(), Error> {
        if self.take(words) { Ok(()) } else { Err(self.unexpected(&words.join(" "))) }
    }

    /// Passes over tokens that another reader has read.
    pub(crate) fn skip(&mut self, count: usize) {
        self.at = (self.at + count).min(self.tokens.len());
    }

    /// The text that is read.
    pub(crate) fn sql(&self) -> &'a str {
        self.sql
    }

    /// The next token, whatever it is.
    pub(crate) fn next(&mut self) -> Option<&'a TokenWithSpan> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    /// A name.
    pub(crate) fn ident(&mut self) -> Result<Ident, Error> {
        match self.peek() {
            Some(TokenWithSpan { token: Token::Word(word), span }) => {
                self.at += 1;
                Ok(word.clone().into_ident(*span))
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    /// A name of one to three parts.
    pub(crate) fn object_name(&mut self) -> Result<Vec<Ident>, Error> {
        let mut parts = vec![self.ident()?];
        while self.take_token(&Token::Period) {
            parts.push(self.ident()?);
        }
        Ok(parts)
    }

    /// A text in single quotes.
    pub(crate) fn text(&mut self) -> Result<String, Error> {
        match self.peek() {
            Some(TokenWithSpan {
                token: Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text),
                ..
            }) => {
                self.at += 1;
                Ok(text.clone())
            }
            _ => Err(self.unexpected("a text in single quotes")),
        }
    }

    /// A name that may be a text too; in small letters unless it is quoted.
    pub(crate) fn name(&mut self) -> Result<String, Error> {
        match self.text() {
            Ok(text) => Ok(text),
            Err(_) => Ok(folded(&self.ident()?)),
        }
    }

    /// A whole number.
    pub(crate) fn number(&mut self) -> Result<u64, Error> {
        match self.peek() {
            Some(TokenWithSpan { token: Token::Number(digits, _), .. }) if digits.parse::<u64>().is_ok() => {
                self.at += 1;
                Ok(digits.parse().unwrap_or(0))
            }
            _ => Err(self.unexpected("a whole number")),
        }
    }

    /// The text of an expression, up to one of these words outside of parentheses or the end.
    pub(crate) fn expression(&mut self, ends: &[&str]) -> Result<String, Error> {
        let mut text = String::new();
        let mut depth = 0_usize;
        while let Some(token) = self.peek() {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ if depth == 0 && ends.iter().any(|word| word_is(token, word)) => break,
                _ => {}
            }
            text.push_str(&token.token.to_string());
            text.push(' ');
            self.at += 1;
        }
        if text.is_empty() { Err(self.unexpected("an expression")) } else { Ok(text.trim_end().to_owned()) }
    }

    /// The text of an expression, up to a token outside of parentheses that ends it.
    pub(crate) fn expression_until(&mut self, is_end: impl Fn(&Token) -> bool) -> Result<String, Error> {
        let mut parts = Vec::new();
        let mut depth = 0_usize;
        while let Some(token) = self.peek().filter(|token| depth > 0 || !is_end(&token.token)) {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            parts.push(token.token.to_string());
            self.at += 1;
        }
        if parts.is_empty() { Err(self.unexpected("an expression")) } else { Ok(parts.join(" ")) }
    }

    /// Fails unless the statement is over.
    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected("end of statement")) }
    }

    /// Where the cursor stands, for [`super::tokens::text_from`].
    pub(crate) fn rest(&self) -> &'a [TokenWithSpan] {
        &self.tokens[self.at.min(self.tokens.len())..]
    }

    /// A syntax error at the cursor.
    pub(crate) fn unexpected(&self, expected: &str) -> Error {
        match self.peek() {
            Some(token) => {
                let text = token.token.to_string();
                let length = text.chars().count() as u64;
                Error::new(ErrorKind::Invalid, format!("syntax error: expected {expected}, found {text}"))
                    .with_place(Place::at(self.sql, token.span.start.line, token.span.start.column, length))
            }
            None => Error::new(
                ErrorKind::Invalid,
                format!("syntax error: expected {expected}, found end of statement"),
            ),
        }
    }
}
