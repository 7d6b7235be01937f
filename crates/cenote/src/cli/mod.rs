//! The command line: data goes to stdout, everything else to stderr.

mod answer;
mod client;
mod completions;
mod configuration;
mod demo;
mod failure;
mod history;
mod import;
mod logging;
mod repl;
mod run;
mod serve;
mod sql;
mod status;
mod token;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Config, Sources};
use failure::Failure;

/// A streaming lakehouse in one binary: rows in by the protocols you use, durable at once, SQL out.
#[derive(Debug, Parser)]
#[command(name = "cenote", version, arg_required_else_help = false, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "Examples:
  cenote serve                                     start a node in ./cenote-data
  cenote sql -c 'SELECT * FROM cpu LIMIT 3'        ask a running node
  cenote import rows.csv --table readings          load a file, once however often it is run
  cenote run query.sql                             streaming SQL over files and generators, rows to stdout
  cenote demo                                      see it work with this machine's own readings";

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE", env = "CENOTE_CONFIG")]
    config: Option<PathBuf>,
    /// Set any key of the configuration; may be repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Data directory.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of a running node's HTTP door.
    #[arg(long, global = true, value_name = "URL", env = "CENOTE_URL")]
    url: Option<String>,
    /// Token, or @FILE that holds it.
    #[arg(long, global = true, value_name = "TOKEN", env = "CENOTE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Schema for bare names.
    #[arg(long, global = true, value_name = "NAME")]
    database: Option<String>,
    /// Format of results: box on a terminal, else csv.
    #[arg(long, global = true, value_enum)]
    format: Option<Format>,
    /// What csv prints for NULL.
    #[arg(long, global = true, value_name = "TEXT", default_value = "")]
    null: String,
    /// Only results and errors.
    #[arg(long, short, global = true)]
    quiet: bool,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table with borders.
    Box,
    /// Comma-separated, with a header.
    Csv,
    /// One array of objects.
    Json,
    /// One object a line.
    Jsonl,
    /// Arrow IPC stream.
    Arrow,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node.
    Serve(serve::ServeArgs),
    /// Ask: interactive on a terminal, else -c, -f or stdin as a script.
    Sql(sql::SqlArgs),
    /// Run a script of streaming SQL in the foreground, in a node of its own.
    Run(run::RunArgs),
    /// Load files into a table; a file that was loaded is not loaded again.
    Import(import::ImportArgs),
    /// Make, list and end tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// What a node is doing.
    Status(status::StatusArgs),
    /// Start a node with this machine's readings and show what it can do.
    Demo(demo::DemoArgs),
    /// Check, print and explain the configuration.
    #[command(subcommand)]
    Config(configuration::ConfigCommand),
    /// Completions for a shell.
    Completions(completions::CompletionsArgs),
    /// Version of this binary and of what it can open.
    Version(version::VersionArgs),
}

/// Parses the arguments, runs the command, and answers the exit code of operations page, section 1.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    let as_json = matches!(cli.global.format, Some(Format::Json | Format::Jsonl));
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(as_json);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    match command.unwrap_or_else(|| Command::Sql(sql::SqlArgs::default())) {
        Command::Config(command) => configuration::run(&global, &command),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Version(arguments) => version::run(&arguments),
        Command::Serve(arguments) => runtime()?.block_on(serve::run(&global, &arguments)),
        Command::Sql(arguments) => runtime()?.block_on(sql::run(&global, arguments)),
        Command::Run(arguments) => runtime()?.block_on(run::run(&global, &arguments)),
        Command::Import(arguments) => runtime()?.block_on(import::run(&global, &arguments)),
        Command::Token(command) => runtime()?.block_on(token::run(&global, command)),
        Command::Status(arguments) => runtime()?.block_on(status::run(&global, &arguments)),
        Command::Demo(arguments) => runtime()?.block_on(demo::run(&global, &arguments)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(cenote_query::STACK_BYTES) // they walk trees of statements
        .build()
        .map_err(|error| Failure::other(format!("cannot start the runtime: {error}")))
}

impl Global {
    /// The configuration by all its sources; `more` are flags of the command that stand for keys.
    fn configuration(&self, more: &[(&str, String)]) -> Result<Config, Failure> {
        let mut flags = Vec::new();
        for pair in &self.set {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("--set {pair:?}: expected KEY=VALUE")))?;
            flags.push((key.trim().to_owned(), value.trim().to_owned()));
        }
        if let Some(directory) = &self.data_dir {
            flags.push(("server.data_dir".to_owned(), directory.display().to_string()));
        }
        flags.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let variables: Vec<(String, String)> = std::env::vars().collect();
        let home = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let user_directory =
            home("XDG_CONFIG_HOME").or_else(|| home("HOME").map(|home| home.join(".config")));
        let mut usual_files = vec![PathBuf::from("cenote.toml")];
        usual_files.extend(user_directory.map(|directory| directory.join("cenote/cenote.toml")));
        usual_files.push(PathBuf::from("/etc/cenote/cenote.toml"));
        let sources = Sources { named_file: self.config.clone(), usual_files, variables, flags };
        Config::read(&sources, memory_total()).map_err(|error| Failure::usage(error.to_string()))
    }

    /// The token's text, from the flag, its file, or the variable.
    fn token_text(&self) -> Result<Option<String>, Failure> {
        let Some(token) = &self.token else { return Ok(None) };
        let Some(path) = token.strip_prefix('@') else { return Ok(Some(token.clone())) };
        std::fs::read_to_string(path)
            .map(|text| Some(text.trim().to_owned()))
            .map_err(|error| Failure::usage(format!("--token @{path}: {error}")))
    }
}

/// Memory that this process may use: the smaller of the cgroup's limit and the machine's memory.
fn memory_total() -> u64 {
    let info = rustix::system::sysinfo();
    let physical = info.totalram.saturating_mul(u64::from(info.mem_unit));
    std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok())
        .map_or(physical, |limit| limit.min(physical))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
