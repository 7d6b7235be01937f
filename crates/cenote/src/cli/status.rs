//! `cenote status`.

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::client::{Client, Remote};
use super::failure::{Failure, FailureKind};
use super::{Format, Global};
use crate::DataDir;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Print nothing; exit 0 if the node is ready, else 3.
    #[arg(long)]
    ready: bool,
}

#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) async fn run(global: &Global, arguments: &StatusArgs) -> Result<(), Failure> {
    let remote = remote(global).await?;
    if arguments.ready {
        remote
            .send(remote.request(Method::GET, "/ready"))
            .await
            .map_err(|failure| Failure { kind: FailureKind::Unreachable, ..failure })?;
        return Ok(());
    }
    let response = remote.send(remote.request(Method::GET, "/api/v1/status")).await?;
    let status: Value = response.json().await.map_err(|_| Failure::other("cannot read the answer"))?;
    if matches!(global.format, Some(Format::Json | Format::Jsonl)) {
        println!("{status}");
    } else {
        for (key, value) in status.as_object().into_iter().flatten() {
            println!("{key:<20} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
    Ok(())
}

/// Status asks a running node only: opening the directory would make one.
async fn remote(global: &Global) -> Result<Remote, Failure> {
    let directory = global.configuration(&[])?.data_dir();
    if global.url.is_none() && DataDir::holder(&directory).is_none() {
        return Err(Failure::new(
            FailureKind::Unreachable,
            format!("no node is running on data directory {}", directory.display()),
        ));
    }
    match Client::find(global, false).await? {
        Client::Remote(remote) => Ok(remote),
        Client::Embedded(_) => Err(Failure::new(FailureKind::Unreachable, "the node ended just now")),
    }
}
