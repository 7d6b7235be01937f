//! All that is wrong with a configuration, at once.

use std::fmt;

use cenote_vocab::nearest;

use super::{KEYS, Origin};

/// One mistake; its text says where and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake(String);

impl Mistake {
    pub(super) fn plain(text: String) -> Self {
        Self(text)
    }

    pub(super) fn at(origin: &Origin, text: String) -> Self {
        match origin {
            Origin::Default => Self(text),
            Origin::File { path, line } => {
                let excerpt = std::fs::read_to_string(path)
                    .ok()
                    .and_then(|content| content.lines().nth(line - 1).map(str::to_owned))
                    .filter(|content| !is_secret_line(content));
                match excerpt {
                    Some(content) => {
                        let caret = "^".repeat(content.trim().chars().count().max(1));
                        let blank = " ".repeat(content.chars().take_while(|c| c.is_whitespace()).count());
                        Self(format!("{origin}: {text}\n   {content}\n   {blank}{caret}"))
                    }
                    None => Self(format!("{origin}: {text}")),
                }
            }
            Origin::Variable(_) | Origin::Flag => Self(format!("{origin}: {text}")),
        }
    }

    pub(super) fn unknown_key(name: &str, origin: &Origin) -> Self {
        Self::at(origin, format!("unknown key {name}{}", suggestion(name)))
    }

    pub(super) fn unknown_variable(variable: &str, name: &str) -> Self {
        Self(format!("{variable}: unknown key {name}{}", suggestion(name)))
    }
}

fn is_secret_line(content: &str) -> bool {
    KEYS.iter().filter(|key| key.kind == super::Kind::Secret).any(|key| {
        let name = key.name.split_once('.').map_or(key.name, |(_, name)| name);
        content.trim_start().starts_with(name)
    })
}

fn suggestion(name: &str) -> String {
    nearest(name, KEYS.iter().map(|key| key.name))
        .map_or_else(String::new, |near| format!(" (did you mean {near}?)"))
}

/// Why the configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// In the order they were found.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.mistakes.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            f.write_str(&mistake.0)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
