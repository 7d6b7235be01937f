//! Statements that the session prepared by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_vocab::ErrorKind;

use crate::{Error, Prepared};

/// Most of them in one session (`statements_per_session_max`).
const STATEMENTS_MAX: usize = 1_000;

#[derive(Default)]
pub(crate) struct Statements(BTreeMap<String, Arc<Prepared>>);

impl Statements {
    /// Keeps a statement under a name that is free.
    pub(crate) fn put(&mut self, name: &str, statement: Arc<Prepared>) -> Result<(), Error> {
        if self.0.contains_key(name) {
            let text = format!("prepared statement \"{name}\" already exists");
            return Err(Error::new(ErrorKind::Conflict, text).with_sqlstate("42P05"));
        }
        if self.0.len() >= STATEMENTS_MAX {
            let text =
                format!("the session has prepared {STATEMENTS_MAX} statements (statements_per_session_max)");
            return Err(Error::new(ErrorKind::Exhausted, text)
                .with_sqlstate("53400")
                .with_hint("DEALLOCATE those that are not used any more"));
        }
        self.0.insert(name.to_owned(), statement);
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<Prepared>, Error> {
        self.0.get(name).cloned().ok_or_else(|| missing(name))
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Error> {
        self.0.remove(name).map(drop).ok_or_else(|| missing(name))
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

fn missing(name: &str) -> Error {
    let text = format!("prepared statement \"{name}\" does not exist");
    Error::new(ErrorKind::NotFound, text).with_sqlstate("26000")
}
