//! `cenote config`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::Global;
use super::failure::Failure;
use crate::config::{self, Kind, Origin};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Read the configuration and tell every mistake.
    Check {
        /// The file, instead of the one that would be read.
        file: Option<PathBuf>,
    },
    /// Print every key with its value; secrets as ***.
    Print {
        /// Also where each value came from.
        #[arg(long)]
        origin: bool,
        /// Only keys that differ from their default.
        #[arg(long)]
        changed: bool,
        /// Form of the output.
        #[arg(long = "as", value_enum, default_value_t = Form::Toml)]
        form: Form,
    },
    /// Print the reference of all keys.
    Reference,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// A configuration file.
    Toml,
    /// One object.
    Json,
}

#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn run(global: &Global, command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check { file } => {
            let mut global = global.clone();
            if file.is_some() {
                global.config.clone_from(file);
            }
            global.configuration(&[])?;
            println!("configuration is valid");
        }
        ConfigCommand::Print { origin, changed, form } => {
            let config = global.configuration(&[])?;
            let entries = config.entries().filter(|(_, _, from)| !changed || **from != Origin::Default);
            match form {
                Form::Toml => println!("{}", as_toml(entries, *origin)),
                Form::Json => println!("{}", as_json(entries, *origin)),
            }
        }
        ConfigCommand::Reference => print!("{}", config::reference()),
    }
    Ok(())
}

fn as_toml<'a>(
    entries: impl Iterator<Item = (&'static config::Key, String, &'a Origin)>,
    with_origin: bool,
) -> String {
    let mut lines = Vec::new();
    let mut section = "";
    for (key, value, origin) in entries {
        let (of_key, name) = key.name.split_once('.').expect("a key has a section");
        if of_key != section {
            section = of_key;
            lines.push(format!("[{section}]"));
        }
        let value = match key.kind {
            Kind::Switch | Kind::Number { .. } => value,
            _ => format!("{value:?}"),
        };
        let comment = if with_origin { format!("    # {origin}") } else { String::new() };
        lines.push(format!("{name} = {value}{comment}"));
    }
    lines.join("\n")
}

fn as_json<'a>(
    entries: impl Iterator<Item = (&'static config::Key, String, &'a Origin)>,
    with_origin: bool,
) -> serde_json::Value {
    entries
        .map(|(key, value, origin)| {
            let value = if with_origin {
                serde_json::json!({ "value": value, "origin": origin.to_string() })
            } else {
                serde_json::Value::String(value)
            };
            (key.name.to_owned(), value)
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}
