//! `cenote serve`.

use std::io::IsTerminal as _;

use cenote_vocab::{Clock, Ids};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::failure::{Failure, FailureKind};
use super::{Global, logging};
use crate::{Node, PortChoice};

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Address of the HTTP door (server.listen).
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address of the Postgres door (postgres.listen).
    #[arg(long, value_name = "ADDRESS")]
    postgres_listen: Option<String>,
}

pub(super) async fn run(global: &Global, arguments: &ServeArgs) -> Result<(), Failure> {
    let mut flags = Vec::new();
    flags.extend(arguments.listen.clone().map(|address| ("server.listen", address)));
    flags.extend(arguments.postgres_listen.clone().map(|address| ("postgres.listen", address)));
    let config = global.configuration(&flags)?;
    logging::start(&config)?;
    let clock = Clock::system();
    let began = clock.now();
    let ids = Ids::system(clock.clone());

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let starting = Node::start(&config, clock.clone(), ids, PortChoice::AsConfigured, stop.clone());
    tokio::pin!(starting);
    let node = tokio::select! {
        node = &mut starting => node?,
        _ = terminate.recv() => { stop.cancel(); return stopped_early(starting.await) }
        _ = interrupt.recv() => { stop.cancel(); return stopped_early(starting.await) }
    };
    announce(&config, &node, clock.now().since(began));
    tracing::info!(http = ?node.ports.http, postgres = ?node.ports.postgres, "ready");

    let lost = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = node.lost() => true,
    };
    if lost {
        return Err(Failure::other("lost the lease `active`: another process took over"));
    }
    tracing::info!("stopping");
    tokio::select! {
        stopped = node.stop() => stopped?,
        // A second signal: what is acknowledged is in the log.
        _ = terminate.recv() => tracing::warn!("stopped before everything was flushed"),
        _ = interrupt.recv() => tracing::warn!("stopped before everything was flushed"),
    }
    tracing::info!("stopped");
    Ok(())
}

fn stopped_early(started: Result<Node, crate::NodeError>) -> Result<(), Failure> {
    match started {
        Ok(_) | Err(crate::NodeError::Stopped) => {
            Err(Failure::new(FailureKind::Interrupted, "stopped while starting"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Where to connect, on stderr; the token's text only on a terminal.
#[expect(clippy::print_stderr, reason = "the banner is for the person at the terminal")]
fn announce(config: &crate::config::Config, node: &Node, took: std::time::Duration) {
    let directory = config.data_dir();
    let state = if node.new { " (new)" } else { "" };
    eprintln!(
        "cenote {}   data {}{state}   catalog {}",
        env!("CARGO_PKG_VERSION"),
        directory.display(),
        node.services.catalog.database()
    );
    for address in &node.ports.http {
        eprintln!("http           http://{address}    HTTP API");
    }
    for address in &node.ports.postgres {
        eprintln!(
            "postgres       {address}           psql -h {} -p {} -U admin lake   (password = token)",
            address.ip(),
            address.port()
        );
    }
    if let Some(token) = &node.admin_token {
        let path = directory.join("admin.token");
        if std::io::stderr().is_terminal() {
            eprintln!("admin token    {token}    also in {} (0600)", path.display());
        } else {
            eprintln!("admin token    in {} (0600)", path.display());
        }
    }
    eprintln!("ready in {:.1} s", took.as_secs_f64());
}
