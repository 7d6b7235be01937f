//! `cenote sql`.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use clap::Args;

use super::client::Client;
use super::failure::{Failure, FailureKind};
use super::{Format, Global, answer, repl};

#[derive(Debug, Default, Args)]
pub(super) struct SqlArgs {
    /// Data directory to open, instead of `--data-dir`.
    path: Option<PathBuf>,
    /// Statements to run.
    #[arg(short = 'c', long, value_name = "SQL")]
    command: Option<String>,
    /// File of statements to run.
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Go on after an error and exit with 1 at the end.
    #[arg(long)]
    continue_on_error: bool,
    /// An empty lake in memory.
    #[arg(long)]
    memory: bool,
}

pub(super) async fn run(global: &Global, arguments: SqlArgs) -> Result<(), Failure> {
    let mut global = global.clone();
    if arguments.path.is_some() {
        global.data_dir.clone_from(&arguments.path);
    }
    let script = match (&arguments.command, &arguments.file) {
        (Some(sql), _) => Some(sql.clone()),
        (None, Some(path)) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?,
        ),
        (None, None) if !std::io::stdin().is_terminal() => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            Some(text)
        }
        (None, None) => None,
    };
    let client = Client::find(&global, arguments.memory).await?;
    let outcome = match script {
        Some(script) => run_script(&global, &client, &script, arguments.continue_on_error).await,
        None => repl::run(&global, &client).await,
    };
    let closed = client.close().await;
    outcome.and(closed)
}

/// The format of results: as asked, else a box on a terminal, else csv.
pub(super) fn format(global: &Global) -> Format {
    global.format.unwrap_or(if std::io::stdout().is_terminal() { Format::Box } else { Format::Csv })
}

async fn run_script(global: &Global, client: &Client, script: &str, go_on: bool) -> Result<(), Failure> {
    let mut first_failure = None;
    for statement in client.statements(script)? {
        match run_statement(global, client, &statement).await {
            Ok(()) => {}
            Err(failure) if go_on && failure.kind == FailureKind::Failed => {
                failure.print(matches!(format(global), Format::Json | Format::Jsonl));
                first_failure.get_or_insert(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    match first_failure {
        Some(_) => Err(Failure::other("at least one statement failed")),
        None => Ok(()),
    }
}

async fn run_statement(global: &Global, client: &Client, statement: &str) -> Result<(), Failure> {
    let answer = tokio::select! {
        answer = client.run(statement, None) => answer?,
        _ = tokio::signal::ctrl_c() => return Err(Failure::new(FailureKind::Interrupted, "interrupted")),
    };
    answer::print(&answer, format(global), &global.null, std::io::stdout().lock())
}

/// True if the statement's first word says that it answers rows.
pub(super) fn answers_rows(sql: &str) -> bool {
    const WORDS: [&str; 13] = [
        "SELECT",
        "WITH",
        "VALUES",
        "TABLE",
        "FROM",
        "SHOW",
        "DESCRIBE",
        "DESC",
        "EXPLAIN",
        "SUMMARIZE",
        "OPTIMIZE",
        "VACUUM",
        "FLUSH",
    ];
    let text = skip_comments(sql);
    let word: String = text.trim_start_matches('(').chars().take_while(|c| c.is_ascii_alphabetic()).collect();
    WORDS.contains(&word.to_ascii_uppercase().as_str())
}

fn skip_comments(sql: &str) -> &str {
    let mut text = sql.trim_start();
    loop {
        let rest = if let Some(comment) = text.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(comment) = text.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, rest)| rest)
        } else {
            return text;
        };
        text = rest.trim_start();
    }
}

/// Splits a script at semicolons outside quotes, dollar quotes and comments. The server parses each statement for good.
pub(super) fn split(script: &str) -> Vec<String> {
    let bytes = script.as_bytes();
    let (mut statements, mut start, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b';' => {
                statements.push(script[start..at].trim().to_owned());
                start = at + 1;
                at += 1;
            }
            quote @ (b'\'' | b'"' | b'`') => at = after(bytes, at + 1, &[quote]),
            b'-' if bytes[at..].starts_with(b"--") => at = after(bytes, at, b"\n"),
            b'/' if bytes[at..].starts_with(b"/*") => at = after(bytes, at + 2, b"*/"),
            b'$' => {
                let tag_end = bytes[at + 1..].iter().position(|b| !(b.is_ascii_alphanumeric() || *b == b'_'));
                match tag_end {
                    Some(length) if bytes[at + 1 + length] == b'$' => {
                        let tag = &bytes[at..at + length + 2];
                        at = after(bytes, at + tag.len(), tag);
                    }
                    _ => at += 1,
                }
            }
            _ => at += 1,
        }
    }
    statements.push(script[start..].trim().to_owned());
    statements.retain(|statement| !skip_comments(statement).is_empty());
    statements
}

fn after(bytes: &[u8], from: usize, end: &[u8]) -> usize {
    bytes[from.min(bytes.len())..]
        .windows(end.len())
        .position(|window| window == end)
        .map_or(bytes.len(), |found| from + found + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_inside_quotes_and_comments_do_not_split() {
        let script = "SELECT ';' AS a, \"x;y\"; -- a; b\nSELECT $$;$$, $t$;$t$ /* ; */;\n-- the end\n";
        assert_eq!(split(script), ["SELECT ';' AS a, \"x;y\"", "-- a; b\nSELECT $$;$$, $t$;$t$ /* ; */"]);
        assert_eq!(split("SELECT 'open"), ["SELECT 'open"]);
        assert_eq!(split("select $1; select 2"), ["select $1", "select 2"]);
    }

    #[test]
    fn statements_that_answer_rows_are_known_by_their_first_word() {
        assert!(answers_rows("  /* x */ -- y\n (select 1)"));
        assert!(!answers_rows("INSERT INTO t SELECT 1"));
    }
}
