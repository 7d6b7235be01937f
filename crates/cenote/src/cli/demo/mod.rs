//! `cenote demo`: a node with this machine's own readings, and queries with their results.

mod readings;
mod tour;

use std::path::PathBuf;
use std::time::Duration;

use cenote_vocab::{Clock, Ids};
use clap::Args;
use reqwest::Method;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Remote};
use super::failure::{Failure, FailureKind};
use super::import::{ImportArgs, load};
use super::{Format, Global, answer, logging};
use crate::{Node, PortChoice};
use readings::Readings;

/// Limits per resource, to be joined with the readings.
const LIMITS_CSV: &str = include_str!("limits.csv");
const FIRST_READINGS: u32 = 5;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Show everything, then end: exit 0 if all of it is right.
    #[arg(long)]
    once: bool,
    /// Begin with an empty data directory.
    #[arg(long)]
    fresh: bool,
}

pub(super) async fn run(global: &Global, arguments: &DemoArgs) -> Result<(), Failure> {
    let directory = global.data_dir.clone().unwrap_or_else(|| PathBuf::from("demo-data"));
    if arguments.fresh && directory.exists() {
        // Only a directory that a node made is removed.
        if !directory.join("format.json").exists() {
            return Err(Failure::usage(format!("{} is not a data directory", directory.display())));
        }
        std::fs::remove_dir_all(&directory)?;
    }
    let more = [
        ("server.data_dir", directory.display().to_string()),
        ("log.level", "warn".to_owned()),
        ("limits.disk_free_min", "64MiB".to_owned()),
    ];
    let config = global.configuration(&more)?;
    logging::start(&config)?;
    let clock = Clock::system();
    let ids = Ids::system(clock.clone());
    let node =
        Node::start(&config, clock.clone(), ids, PortChoice::NextFree, CancellationToken::new()).await?;
    let shown = show(&node, &directory, &clock, arguments).await;
    let stopped = node.stop().await;
    shown?;
    Ok(stopped?)
}

async fn show(
    node: &Node,
    directory: &std::path::Path,
    clock: &Clock,
    arguments: &DemoArgs,
) -> Result<(), Failure> {
    let token = std::fs::read_to_string(directory.join("admin.token"))?.trim().to_owned();
    let address = node.ports.http.first().ok_or_else(|| Failure::other("the demo needs an HTTP door"))?;
    let url = format!("http://{address}");
    let remote = Remote::new(&url, Some(token.clone()), None)?;
    let client = Client::Remote(Remote::new(&url, Some(token.clone()), None)?);

    say(&format!("cenote demo: a node with its data in {}", directory.display()));
    let csv = directory.join("limits.csv");
    std::fs::write(&csv, LIMITS_CSV)?;
    let (rows, replayed) = load(&client, &ImportArgs::csv("limits"), &csv).await?;
    say(&format!("imported limits.csv: {rows} rows{}", if replayed { ", by an earlier run" } else { "" }));

    let mut readings = Readings::begin()?;
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    every_second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    say(&format!("taking this machine's readings every second ({FIRST_READINGS} first) ..."));
    for _ in 0..FIRST_READINGS {
        every_second.tick().await;
        write(&remote, &mut readings, clock).await?;
    }
    tour::run(&client).await?;
    say_where_to_connect(node, &url, &token);
    if arguments.once {
        say("all of it is right");
        return Ok(());
    }
    say("readings go on every second; Ctrl-C ends");
    loop {
        tokio::select! {
            _ = every_second.tick() => write(&remote, &mut readings, clock).await?,
            signal = tokio::signal::ctrl_c() => return Ok(signal?),
            () = node.lost() => return Err(Failure::new(FailureKind::Failed, "another process took over")),
        }
    }
}

async fn write(remote: &Remote, readings: &mut Readings, clock: &Clock) -> Result<(), Failure> {
    let lines = readings.line_protocol(clock.now())?;
    let request =
        remote.request(Method::POST, "/api/v1/write/line-protocol").query(&[("precision", "us")]).body(lines);
    remote.send(request).await.map(drop)
}

fn say_where_to_connect(node: &Node, url: &str, token: &str) {
    say("\nTry it yourself:");
    if let Some(postgres) = node.ports.postgres.first() {
        say(&format!(
            "  PGPASSWORD={token} psql -h {} -p {} -U admin lake -c \"SELECT * FROM cpu ORDER BY time DESC LIMIT 5\"",
            postgres.ip(),
            postgres.port()
        ));
    }
    say(&format!(
        "  curl -H 'Authorization: Bearer {token}' {url}/api/v1/query -d '{{\"sql\":\"SELECT count(*) FROM cpu\"}}'"
    ));
    say(&format!(
        "  curl -H 'Authorization: Bearer {token}' {url}/api/v1/write/line-protocol --data-binary 'room,name=lab celsius=21.5'\n"
    ));
}

/// Runs a statement and shows it with its result.
async fn ask(client: &Client, title: &str, sql: &str) -> Result<super::client::Answer, Failure> {
    say(&format!("\n-- {title}\n{sql}"));
    let found = client.run(sql, None).await?;
    answer::print(&found, Format::Box, "", std::io::stdout().lock())?;
    Ok(found)
}

#[expect(clippy::print_stdout, reason = "the demo talks to a person")]
fn say(text: &str) {
    println!("{text}");
}
