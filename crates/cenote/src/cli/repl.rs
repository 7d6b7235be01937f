//! The interactive shell.

use std::borrow::Cow;
use std::time::Instant;

use cenote_vocab::nearest;
use reedline::{Prompt, PromptEditMode, PromptHistorySearch, Reedline, Signal, ValidationResult, Validator};

use super::client::Client;
use super::failure::{Failure, FailureKind};
use super::history::CarefulHistory;
use super::{Format, Global, answer, sql};

const ROWS_MAX: u64 = 1_000;
const COMMANDS: [&str; 13] =
    ["\\d", "\\dt", "\\dn", "\\df", "\\l", "\\x", "\\f", "\\i", "\\timing", "\\maxrows", "\\c", "\\?", "\\q"];
const HELP: &str =
    "\\d [T]        tables, or the columns of T      \\dt  tables     \\dn  schemas    \\df  functions
\\l            databases                        \\c NAME        use a database
\\f FORMAT     box, csv, json, jsonl            \\x             records line by line
\\i FILE       run a file                       \\timing        show how long statements take
\\maxrows N    cut answers after N rows         \\?  this help  \\q  leave";

struct Shell<'a> {
    client: &'a Client,
    format: Format,
    null: String,
    lines: bool,
    timing: bool,
    rows_max: u64,
}

/// Reads statements until Ctrl-D or `\q`. Ctrl-C clears the line or ends the statement, never the shell.
#[expect(clippy::print_stderr, reason = "the shell talks to a person")]
pub(super) async fn run(global: &Global, client: &Client) -> Result<(), Failure> {
    let mut shell = Shell {
        client,
        format: sql::format(global),
        null: global.null.clone(),
        lines: false,
        timing: false,
        rows_max: ROWS_MAX,
    };
    let mut editor = Reedline::create().with_validator(Box::new(WholeStatement));
    if let Some(history) = CarefulHistory::open() {
        editor = editor.with_history(Box::new(history));
    }
    if !global.quiet {
        eprintln!("cenote {}   \\? for help, \\q to leave", env!("CARGO_PKG_VERSION"));
    }
    loop {
        let (read, returned) = tokio::task::spawn_blocking(move || (editor.read_line(&ShellPrompt), editor))
            .await
            .map_err(|error| Failure::other(error.to_string()))?;
        editor = returned;
        let line = match read? {
            Signal::Success(line) => line,
            Signal::CtrlD => return Ok(()),
            _ => continue,
        };
        match shell.take(line.trim()).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(failure) => failure.print(false),
        }
    }
}

impl Shell<'_> {
    /// False if the shell should end.
    #[expect(clippy::print_stderr, reason = "the shell talks to a person")]
    async fn take(&mut self, line: &str) -> Result<bool, Failure> {
        if !line.starts_with('\\') {
            self.run(line).await?;
            return Ok(true);
        }
        let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim().trim_end_matches(';');
        match (command, argument) {
            ("\\q", _) => return Ok(false),
            ("\\?", _) => eprintln!("{HELP}"),
            ("\\d" | "\\dt", "") => self.run("SHOW TABLES").await?,
            ("\\d", table) => self.run(&format!("DESCRIBE {table}")).await?,
            ("\\dn", _) => self.run("SHOW SCHEMAS").await?,
            ("\\df", _) => self.run("SHOW FUNCTIONS").await?,
            ("\\l", _) => self.run("SHOW DATABASES").await?,
            ("\\c", name) if !name.is_empty() => self.run(&format!("USE {name}")).await?,
            ("\\x", _) => self.lines = !self.lines,
            ("\\timing", _) => self.timing = !self.timing,
            ("\\f", name) => {
                self.format = <Format as clap::ValueEnum>::from_str(name, true).map_err(|_| {
                    Failure::usage(format!("unknown format {name:?}: box, csv, json, jsonl, arrow"))
                })?;
            }
            ("\\maxrows", count) => {
                self.rows_max = count
                    .parse()
                    .map_err(|_| Failure::usage(format!("\\maxrows {count:?}: expected a number")))?;
            }
            ("\\i", path) => {
                let script = std::fs::read_to_string(path)
                    .map_err(|error| Failure::usage(format!("{path}: {error}")))?;
                for statement in self.client.statements(&script)? {
                    self.run(&statement).await?;
                }
            }
            (unknown, _) => {
                let near = nearest(unknown, COMMANDS)
                    .map_or_else(String::new, |near| format!("; did you mean {near}?"));
                return Err(Failure::usage(format!("unknown command {unknown}{near}")));
            }
        }
        Ok(true)
    }

    #[expect(clippy::print_stderr, reason = "the shell talks to a person")]
    async fn run(&self, text: &str) -> Result<(), Failure> {
        for statement in self.client.statements(text)? {
            let began = Instant::now();
            let rows_max =
                (self.format == Format::Box && sql::answers_rows(&statement)).then_some(self.rows_max);
            let answer = tokio::select! {
                answer = self.client.run(&statement, rows_max) => answer?,
                _ = tokio::signal::ctrl_c() => return Err(Failure::new(FailureKind::Interrupted, "cancelled")),
            };
            if self.lines {
                answer::print_lines(&answer, std::io::stdout().lock())?;
            } else {
                answer::print(&answer, self.format, &self.null, std::io::stdout().lock())?;
            }
            if self.timing {
                eprintln!("{:.3} s", began.elapsed().as_secs_f64());
            }
        }
        Ok(())
    }
}

/// A line is complete when it ends in a semicolon, or is a backslash command, or is empty.
struct WholeStatement;

impl Validator for WholeStatement {
    fn validate(&self, line: &str) -> ValidationResult {
        let line = line.trim();
        if line.is_empty() || line.starts_with('\\') || line.ends_with(';') {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

struct ShellPrompt;

impl Prompt for ShellPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "cenote".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "   -> ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        format!("(search: {}) ", search.term).into()
    }
}
