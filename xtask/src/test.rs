//! Runs all tests with the servers they need: started once, ended at the end.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cenote_testkit::services::{POSTGRES_VARIABLE, S3_VARIABLE, Server, start_postgres, start_s3};

/// One selection of packages and features for build and run, so that nothing heavy is built twice.
const SELECTION: [&str; 3] = ["--workspace", "--features", "cenote/failpoints"];

/// Builds the binary that process tests start, then runs every test, or those that nextest's arguments name.
///
/// `CENOTE_TEST_PROFILE=quick` builds optimised code, which long runs are worth.
#[expect(clippy::print_stdout, reason = "the task's result")]
pub(crate) fn run(more: &[String]) -> Result<()> {
    let wanted = std::env::var("CENOTE_TEST_PROFILE").ok();
    let usual = if std::env::var("CI").as_deref() == Ok("true") { "ci" } else { "dev" };
    let profile = wanted.as_deref().unwrap_or(usual);
    // With the tests, so that features of development dependencies are unified once and for both.
    checked(cargo().arg("build").args(SELECTION).args(["--bins", "--tests", "--profile", profile]))?;
    let skipped = std::env::temp_dir().join(format!("cenote-skipped-{}", std::process::id()));
    let servers = [
        (POSTGRES_VARIABLE, start("postgres", || start_postgres(false))),
        (S3_VARIABLE, start("s3", start_s3)),
    ];
    let mut command = cargo();
    command.args(["nextest", "run"]).args(SELECTION).args(["--cargo-profile", profile]).args(more);
    command.env("CENOTE_TEST_SKIPPED", &skipped);
    for (variable, server) in &servers {
        if let Some(server) = server {
            command.env(variable, &server.url);
        }
    }
    let tested = checked(&mut command);
    if let Ok(list) = std::fs::read_to_string(&skipped) {
        let mut programs: Vec<&str> = list.lines().collect();
        programs.sort_unstable();
        println!("skipped {} tests: {}", programs.len(), programs.join(", "));
        std::fs::remove_file(&skipped)?;
    }
    drop(servers);
    tested?;
    if !more.is_empty() {
        return Ok(());
    }
    checked(cargo().args(["test", "--doc", "--profile", profile]).args(SELECTION))
}

#[expect(clippy::print_stderr, reason = "progress for the person who waits")]
fn start(name: &str, start: fn() -> Option<Server>) -> Option<Server> {
    let server = start();
    eprintln!(
        "{name}: {}",
        server.as_ref().map_or("not on this machine; run make deps", |server| server.url.as_str())
    );
    server
}

/// Cargo, without what `cargo run` said about this program: build scripts watch those variables (ring's does), and all that
/// stands on them, the engine too, would be built anew whenever `cargo xtask test` and plain `cargo` take turns.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let about_us = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(about_us) {
            command.env_remove(name);
        }
    }
    command
}

fn checked(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} does not start"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
