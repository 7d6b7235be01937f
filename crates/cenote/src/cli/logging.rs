//! Logs: one event a line, to stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use crate::config::Config;

/// Starts logging as section `log` says.
pub(super) fn start(config: &Config) -> Result<(), Failure> {
    let level = config.text("log.level");
    let filter =
        EnvFilter::try_new(level).map_err(|error| Failure::usage(format!("log.level {level:?}: {error}")))?;
    let as_json = match config.text("log.format") {
        "json" => true,
        "text" => false,
        _ => !std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if as_json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .try_init()
    };
    started.map_err(|error| Failure::other(format!("cannot start logging: {error}")))
}
