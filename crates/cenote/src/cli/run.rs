//! `cenote run`: a script of streaming SQL in the foreground, in a node of its own.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cenote_catalog::Pipeline;
use cenote_query::{Bounds, Session, SessionOptions};
use cenote_vocab::{Clock, Ids};
use clap::Args;
use futures::TryStreamExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::client::{fault, sql_fault};
use super::failure::{Failure, FailureKind};
use super::{Global, logging};
use crate::{Node, PortChoice};

/// How often the pipeline's state is looked at.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Script of streaming SQL, or - for stdin. Rows of bare SELECTs are printed as JSON lines.
    #[arg(value_name = "FILE")]
    file: String,
    /// Name of the pipeline; its tables and files are found under it.
    #[arg(long, default_value = "run")]
    name: String,
    /// Directory of catalog and state: the same text goes on there where it was. Without it nothing is kept.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Most plan partitions.
    #[arg(long, value_name = "N")]
    parallelism: Option<u32>,
    /// Begin with an empty state directory.
    #[arg(long, requires = "state_dir")]
    fresh: bool,
}

pub(super) async fn run(global: &Global, arguments: &RunArgs) -> Result<(), Failure> {
    let text = read(&arguments.file)?;
    let kept = arguments.state_dir.clone();
    let directory = kept
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("cenote-run-{}", std::process::id())));
    if arguments.fresh && directory.exists() {
        // Only a directory that a node made is removed.
        if !directory.join("format.json").exists() {
            return Err(Failure::usage(format!("{} is not a state directory", directory.display())));
        }
        std::fs::remove_dir_all(&directory)?;
    }
    let outcome = in_directory(global, arguments, &text, &directory).await;
    if kept.is_none() && directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    outcome
}

fn read(file: &str) -> Result<String, Failure> {
    if file == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(|error| Failure::usage(format!("{file}: {error}")))
}

async fn in_directory(
    global: &Global,
    arguments: &RunArgs,
    text: &str,
    directory: &Path,
) -> Result<(), Failure> {
    let more = [
        ("server.data_dir", directory.display().to_string()),
        ("log.level", "error".to_owned()),
        ("limits.disk_free_min", "64MiB".to_owned()),
    ];
    let config = global.configuration(&more)?;
    logging::start(&config)?;
    let clock = Clock::system();
    let ids = Ids::system(clock.clone());
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let node = Node::start(&config, clock.clone(), ids, PortChoice::Closed, CancellationToken::new()).await?;
    let outcome = tokio::select! {
        outcome = drive(&node, arguments, text, &clock) => outcome,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    tokio::select! {
        stopped = node.stop() => stopped?,
        _ = interrupt.recv() => {
            return Err(Failure::new(FailureKind::Interrupted, "stopped before the epoch was committed"));
        }
    }
    outcome
}

/// Makes the pipeline or goes on with it, and waits for its end.
async fn drive(node: &Node, arguments: &RunArgs, text: &str, clock: &Clock) -> Result<(), Failure> {
    let catalog = &node.services.catalog;
    let scope = catalog.tenant("default").await.map_err(|error| fault(&error))?;
    let scope = scope.ok_or_else(|| Failure::other("tenant default does not exist"))?;
    let options = SessionOptions { protocol: "cli", ..SessionOptions::default() };
    let identity = catalog.internal_identity(&scope);
    let session =
        node.services.engine.open_session(identity, options).await.map_err(|error| fault(&error))?;
    let script = cenote_stream::printed(text).map_err(|error| script_fault(&error, text))?;
    let named = async || {
        let pipelines = catalog.pipelines(&scope).await.map_err(|error| fault(&error))?;
        Ok::<_, Failure>(pipelines.into_iter().find(|pipeline| pipeline.name == arguments.name))
    };
    let quoted = format!("\"{}\"", arguments.name.replace('"', "\"\""));
    match named().await? {
        None => {
            let options = arguments.parallelism.map(|most| format!(" WITH (parallelism = {most})"));
            let tag = tag_for(&script);
            let sql =
                format!("CREATE PIPELINE {quoted}{} AS {tag}{script}{tag}", options.unwrap_or_default());
            execute(&session, &sql).await?;
        }
        Some(pipeline) => {
            same(&pipeline, &script)?;
            match pipeline.state.as_str() {
                "finished" => {
                    return Err(Failure::other("the script has run to its end here: --fresh runs it again"));
                }
                "failed" => execute(&session, &format!("RESUME PIPELINE {quoted}")).await?,
                _ => {}
            }
        }
    }
    loop {
        let Some(pipeline) = named().await? else {
            return Err(Failure::other("the pipeline is gone"));
        };
        match pipeline.state.as_str() {
            "finished" => return Ok(()),
            "failed" => {
                return Err(Failure::other(pipeline.error.unwrap_or_else(|| "the pipeline failed".into())));
            }
            _ => clock.pause(LOOK).await,
        }
    }
}

/// Runs a statement that answers no rows. A place in its error is one in a statement of the script, so it is not shown.
async fn execute(session: &Session, sql: &str) -> Result<(), Failure> {
    let failed = |error: cenote_query::Error| fault(&error);
    let prepared = session.prepare(sql, &[]).await.map_err(failed)?;
    let mut execution = session.execute(&prepared, Vec::new(), Bounds::default()).await.map_err(failed)?;
    while execution.batches.try_next().await.map_err(failed)?.is_some() {}
    Ok(())
}

/// The error of a text that is no script.
fn script_fault(error: &cenote_stream::Error, text: &str) -> Failure {
    match error {
        cenote_stream::Error::Query(error) => sql_fault(error, text),
        error => fault(error),
    }
}

/// A script that was changed does not go on with the state of another.
fn same(pipeline: &Pipeline, script: &str) -> Result<(), Failure> {
    if pipeline.script == script {
        return Ok(());
    }
    let (before, now): (Vec<&str>, Vec<&str>) = (pipeline.script.lines().collect(), script.lines().collect());
    let at = (0..before.len().max(now.len())).find(|at| before.get(*at) != now.get(*at)).unwrap_or(0);
    let line = |lines: &[&str]| lines.get(at).copied().unwrap_or_default().to_owned();
    let (number, before, now) = (at + 1, line(&before), line(&now));
    Err(Failure::usage(format!(
        "the script is not the one that ran here; line {number} was {before:?}, it is {now:?}; --fresh begins anew"
    )))
}

/// A quote that the script does not hold.
fn tag_for(script: &str) -> String {
    let mut tag = "$script$".to_owned();
    while script.contains(&tag) {
        tag.insert(1, 'x');
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quote_stands_nowhere_in_the_script() {
        assert_eq!(tag_for("SELECT 1"), "$script$");
        assert_eq!(tag_for("SELECT $script$a$script$"), "$xscript$");
    }
}
