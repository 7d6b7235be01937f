//! Arguments of a call: by place, then by name; each is a constant.

use std::collections::BTreeMap;

use cenote_table::ChangePosition;
use cenote_vocab::{ErrorKind, nearest};
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, Value};

use super::Call;
use crate::Error;
use crate::parse::{folded, unsupported};

/// The arguments of one call, by name.
pub(super) struct Arguments<'a> {
    call: &'a Call,
    values: BTreeMap<&'static str, &'a Expr>,
}

/// A version as an argument says it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Moment {
    /// A transaction, or a place inside of one.
    Position(ChangePosition),
    /// The name of a tag of the table, or of the catalog.
    Tag(String),
    /// The text of a constant expression.
    Time(String),
}

impl<'a> Arguments<'a> {
    /// Gives each argument its name.
    pub(super) fn of(call: &'a Call) -> Result<Self, Error> {
        let mut read = Self { call, values: BTreeMap::new() };
        for (place, argument) in call.arguments.iter().enumerate() {
            let (name, value) = read.named(place, argument)?;
            let FunctionArgExpr::Expr(value) = value else {
                return Err(read.wrong(format!("argument {name} must be a constant")));
            };
            if read.values.insert(name, value).is_some() {
                return Err(read.wrong(format!("argument {name} is given twice")));
            }
        }
        let (names, required) = call.function.parameters();
        match names[..required].iter().find(|name| !read.values.contains_key(*name)) {
            Some(name) => Err(read.missing(name)),
            None => Ok(read),
        }
    }

    fn named(
        &self,
        place: usize,
        argument: &'a FunctionArg,
    ) -> Result<(&'static str, &'a FunctionArgExpr), Error> {
        let (names, _) = self.call.function.parameters();
        let (name, value) = match argument {
            FunctionArg::Unnamed(value) => {
                return match names[..self.call.function.positional()].get(place) {
                    Some(name) => Ok((*name, value)),
                    None => Err(self.wrong(format!(
                        "it takes {} arguments without a name at most",
                        self.call.function.positional()
                    ))),
                };
            }
            FunctionArg::Named { name, arg, .. } => (folded(name), arg),
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, .. } => (folded(name), arg),
            FunctionArg::ExprNamed { name, .. } => {
                return Err(self.wrong(format!("{name} is no name of an argument")));
            }
        };
        match names.iter().find(|known| **known == name) {
            Some(known) => Ok((*known, value)),
            None => {
                let error = self.wrong(format!("it has no argument \"{name}\""));
                Err(match nearest(&name, names.iter().copied()) {
                    Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
                    None => error.with_hint(format!("it takes {}", names.join(", "))),
                })
            }
        }
    }

    pub(super) fn missing(&self, name: &str) -> Error {
        self.wrong(format!("argument {name} is missing"))
    }

    pub(super) fn wrong(&self, reason: String) -> Error {
        let function = self.call.function.name();
        Error::new(ErrorKind::Invalid, format!("{function}: {reason}")).with_sqlstate("42883")
    }

    /// A text that must be there.
    pub(super) fn text(&self, name: &'static str) -> Result<String, Error> {
        self.optional_text(name)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn optional_text(&self, name: &'static str) -> Result<Option<String>, Error> {
        match self.values.get(name) {
            None => Ok(None),
            Some(value) => match literal(value) {
                Some(Value::SingleQuotedString(text)) => Ok(Some(text.clone())),
                _ => Err(self.wrong(format!("argument {name} must be a text in single quotes, got {value}"))),
            },
        }
    }

    /// The words of a text, between commas.
    pub(super) fn list(&self, name: &'static str) -> Result<Option<Vec<String>>, Error> {
        let text = self.optional_text(name)?;
        Ok(text.map(|text| {
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        }))
    }

    /// A whole number from 1 to `max`, or what holds without it.
    pub(super) fn number(&self, name: &'static str, default: u32, max: u32) -> Result<u32, Error> {
        let Some(value) = self.values.get(name) else { return Ok(default) };
        let number = match literal(value) {
            Some(Value::Number(digits, _)) => digits.parse().ok(),
            _ => None,
        };
        number.filter(|number| (1..=max).contains(number)).ok_or_else(|| {
            self.wrong(format!("argument {name} is a whole number from 1 to {max}, got {value}"))
        })
    }

    /// A truth value, or what holds without it.
    pub(super) fn flag(&self, name: &'static str, default: bool) -> Result<bool, Error> {
        match self.values.get(name) {
            None => Ok(default),
            Some(value) => match literal(value) {
                Some(Value::Boolean(flag)) => Ok(*flag),
                _ => Err(self.wrong(format!("argument {name} must be true or false, got {value}"))),
            },
        }
    }

    /// A number, a position, a time.
    pub(super) fn moment(&self, name: &'static str) -> Result<Option<Moment>, Error> {
        let Some(value) = self.values.get(name) else { return Ok(None) };
        let text = match literal(value) {
            Some(Value::Number(digits, _)) => digits.clone(),
            Some(Value::SingleQuotedString(text)) => text.clone(),
            Some(Value::Placeholder(_)) => {
                return Err(unsupported(&format!(
                    "a parameter as argument {name} of {}",
                    self.call.function.name()
                )));
            }
            _ => return Ok(Some(Moment::Time(value.to_string()))),
        };
        if let Some(tag) = text.strip_prefix("tag:") {
            return Ok(Some(Moment::Tag(tag.to_owned())));
        }
        Ok(Some(match text.parse() {
            Ok(position) => Moment::Position(position),
            Err(_) => Moment::Time(value.to_string()),
        }))
    }
}

fn literal(value: &Expr) -> Option<&Value> {
    match value {
        Expr::Value(value) => Some(&value.value),
        _ => None,
    }
}
