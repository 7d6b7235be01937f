//! `cenote import`: files into a table, each in one commit, each once.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use cenote_codec::Precision;
use cenote_ingest::Format as BodyFormat;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::Global;
use super::client::{Client, Upload};
use super::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Files, or - for standard input.
    #[arg(required = true, value_name = "SRC")]
    sources: Vec<PathBuf>,
    /// The table; line protocol names its own.
    #[arg(long, short)]
    table: Option<String>,
    /// Format of the files; by their suffix if not given.
    #[arg(long = "as", value_enum)]
    form: Option<Form>,
    /// Column that holds the time.
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
    /// Unit of numeric times: epoch_s, epoch_ms, epoch_us, epoch_ns.
    #[arg(long, value_name = "FORMAT")]
    time_format: Option<String>,
    /// Between cells of CSV.
    #[arg(long, default_value_t = ',')]
    delimiter: char,
    /// Columns that are tags, comma-separated.
    #[arg(long, value_delimiter = ',')]
    tags: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Comma-separated with a header.
    Csv,
    /// An array of objects, or one object.
    Json,
    /// One object a line.
    Jsonl,
    /// InfluxDB line protocol.
    Lp,
}

#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) async fn run(global: &Global, arguments: &ImportArgs) -> Result<(), Failure> {
    let client = Client::find(global, false).await?;
    let progress = if global.quiet || arguments.sources.len() < 2 {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(arguments.sources.len() as u64)
            .with_style(ProgressStyle::default_bar())
            .with_message("importing")
    };
    let mut outcome = Ok(());
    for source in &arguments.sources {
        match load(&client, arguments, source).await {
            Ok((rows, replayed)) => {
                let note = if replayed { " (imported before)" } else { "" };
                progress.suspend(|| println!("{}: {rows} rows{note}", source.display()));
            }
            Err(failure) => {
                outcome =
                    Err(Failure { message: format!("{}: {}", source.display(), failure.message), ..failure });
                break;
            }
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let closed = client.close().await;
    outcome.and(closed)
}

impl ImportArgs {
    /// A CSV file into `table`, with all defaults.
    pub(super) fn csv(table: &str) -> Self {
        Self {
            sources: Vec::new(),
            table: Some(table.to_owned()),
            form: Some(Form::Csv),
            time_column: None,
            time_format: None,
            delimiter: ',',
            tags: Vec::new(),
        }
    }
}

/// Loads one file; answers its rows, and true if it was loaded before.
pub(super) async fn load(
    client: &Client,
    arguments: &ImportArgs,
    source: &Path,
) -> Result<(u64, bool), Failure> {
    let form = match arguments.form {
        Some(form) => form,
        None => form_of(source)?,
    };
    let body = if source == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        Bytes::from(bytes)
    } else {
        Bytes::from(std::fs::read(source).map_err(|error| Failure::usage(error.to_string()))?)
    };
    let key = idempotency_key(source, arguments.table.as_deref(), &body);
    client.upload(upload(arguments, form, body, key)?).await
}

fn form_of(source: &Path) -> Result<Form, Failure> {
    let name = source.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    match plain.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("csv") => Ok(Form::Csv),
        Some("json") => Ok(Form::Json),
        Some("jsonl" | "ndjson") => Ok(Form::Jsonl),
        Some("lp" | "influx") => Ok(Form::Lp),
        Some(suffix @ ("parquet" | "arrow" | "avro")) => Err(Failure::other(format!(
            "importing {suffix} files is not supported yet; convert to csv or json"
        ))),
        _ => Err(Failure::usage("cannot tell the format by its suffix; give --as csv, json, jsonl or lp")),
    }
}

fn upload(arguments: &ImportArgs, form: Form, body: Bytes, key: String) -> Result<Upload, Failure> {
    let table =
        || arguments.table.clone().ok_or_else(|| Failure::usage("--table names the table to load into"));
    let unit = match arguments.time_format.as_deref() {
        None => None,
        Some("epoch_s") => Some(Precision::Second),
        Some("epoch_ms") => Some(Precision::Millisecond),
        Some("epoch_us") => Some(Precision::Microsecond),
        Some("epoch_ns") => Some(Precision::Nanosecond),
        Some(other) => {
            return Err(Failure::usage(format!(
                "--time-format {other:?}: expected epoch_s, epoch_ms, epoch_us or epoch_ns"
            )));
        }
    };
    let mut parameters = Vec::new();
    if !arguments.tags.is_empty() {
        parameters.push(("tags", arguments.tags.join(",")));
    }
    parameters.extend(arguments.time_column.clone().map(|column| ("time_column", column)));
    let (path, format) = match form {
        Form::Csv => {
            let delimiter = u8::try_from(arguments.delimiter)
                .map_err(|_| Failure::usage("--delimiter must be one ASCII character"))?;
            parameters.push(("table", table()?));
            parameters.push(("delimiter", arguments.delimiter.to_string()));
            parameters.extend(arguments.time_format.clone().map(|format| ("time_format", format)));
            let format = BodyFormat::Csv {
                table: table()?,
                time_column: arguments.time_column.clone().unwrap_or_else(|| "time".to_owned()),
                time_format: unit,
                delimiter,
                skip_rows: 0,
                header: true,
                null: String::new(),
                tags: arguments.tags.clone(),
            };
            ("csv", format)
        }
        Form::Json | Form::Jsonl => {
            parameters.push(("table", table()?));
            let precision = arguments.time_format.as_deref().and_then(|format| format.strip_prefix("epoch_"));
            parameters.extend(precision.map(|unit| ("precision", unit.to_owned())));
            let format = BodyFormat::Json {
                table: Some(table()?),
                time_column: arguments.time_column.clone(),
                precision: unit,
                tags: arguments.tags.clone(),
            };
            ("json", format)
        }
        Form::Lp => {
            let precision = arguments.time_format.as_deref().and_then(|format| format.strip_prefix("epoch_"));
            parameters.extend(precision.map(|unit| ("precision", unit.to_owned())));
            // A file is stored whole or not at all.
            parameters.push(("accept_partial", "false".to_owned()));
            ("line-protocol", BodyFormat::LineProtocol { precision: unit.unwrap_or_default() })
        }
    };
    Ok(Upload { path, format, parameters, body, key })
}

/// The same for the same file with the same content into the same table: path, size and hash.
fn idempotency_key(source: &Path, table: Option<&str>, body: &[u8]) -> String {
    let absolute = std::fs::canonicalize(source).unwrap_or_else(|_| source.to_owned());
    let path_hash = xxhash_rust::xxh3::xxh3_64(absolute.to_string_lossy().as_bytes());
    let content_hash = xxhash_rust::xxh3::xxh3_128(body);
    format!("import-{}-{path_hash:016x}-{}-{content_hash:032x}", table.unwrap_or("lp"), body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_tells_the_format_also_under_compression() {
        assert_eq!(form_of(Path::new("a/b.CSV.gz")).expect("known"), Form::Csv);
        assert_eq!(form_of(Path::new("b.ndjson")).expect("known"), Form::Jsonl);
        assert!(form_of(Path::new("b.parquet")).expect_err("not yet").message.contains("not supported yet"));
        assert_eq!(form_of(Path::new("b")).expect_err("unknown").exit_code(), 2);
    }

    #[test]
    fn the_key_changes_with_table_and_content() {
        let key = |table, body: &[u8]| idempotency_key(Path::new("x.csv"), Some(table), body);
        assert_eq!(key("t", b"1"), key("t", b"1"));
        assert_ne!(key("t", b"1"), key("u", b"1"));
        assert_ne!(key("t", b"1"), key("t", b"2"));
    }
}
