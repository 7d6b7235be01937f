//! Scripts that read files and write one, and what must stand in it afterwards.
//!
//! A case is `scripts/<name>.sql`, in which `$input_dir` is `scripts/inputs` and `$output_path` a new file, and
//! `scripts/<name>.json`, the lines that the file must have, in any order. A first line `--fail=text` says that the script is
//! refused, and with what words; `--pk=a,b` that the file is a log of changes, of which the rows by this key are compared that are
//! left: none comes that is there, none goes that is not. Each runs straight, in epochs of 1, 7 and 32 rows, and with a crash at every step of every epoch of 20 rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cenote_stream::{Limits, Step};
use serde_json::Value;

#[cfg(feature = "failpoints")]
use crate::world::{LAST_STEP, STEPS};
use crate::world::{World, drain, epochs_of};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scripts")
}

struct Script {
    name: String,
    text: String,
    /// The words of the refusal.
    fail: Option<String>,
    /// Of a log of changes.
    key: Vec<String>,
}

impl Script {
    fn read(name: &str) -> Self {
        let path = directory().join(format!("{name}.sql"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let first = text.lines().next().unwrap_or_default();
        let fail = first.strip_prefix("--fail").map(|rest| rest.trim_start_matches('=').to_owned());
        let key = first.strip_prefix("--pk=").unwrap_or_default().split(',');
        let key = key.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Self { name: name.to_owned(), text, fail, key }
    }

    fn expected(&self) -> Vec<String> {
        let path = directory().join(format!("{}.json", self.name));
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.lines(&text)
    }

    fn lines(&self, text: &str) -> Vec<String> {
        if self.key.is_empty() { sorted(text) } else { sorted(&left(text, &self.key, &self.name)) }
    }

    fn sql(&self, output: &Path) -> String {
        let inputs = directory().join("inputs");
        let script = self
            .text
            .replace("$input_dir", &inputs.display().to_string())
            .replace("$output_path", &output.display().to_string());
        format!("CREATE PIPELINE p WITH (desired = 'paused') AS $script${script}$script$")
    }

    async fn refused(&self, words: &str) {
        let world = World::new().await;
        let output = tempfile::tempdir().expect("a directory");
        let error = world.client.error(&self.sql(&output.path().join("out.json"))).await.to_string();
        assert!(error.contains(words), "{}: {error}", self.name);
        world.stop().await;
    }

    async fn straight(&self, limits: Limits, run_name: &str) {
        let (world, output) = self.world().await;
        let path = output.path().join("out.json");
        let mut run = world.open("p", limits).await.expect("opens");
        drain(&mut run).await;
        self.compare(&path, run_name);
        world.stop().await;
    }

    /// After each epoch the pipeline is restored with another parallelism; every row is a piece of its own.
    async fn rescaled(&self) {
        let (world, output) = self.world().await;
        let limits = Limits { wide_rows: 0, piece_rows: 1, ..epochs_of(20) };
        for parallelism in [2, 3, 8].into_iter().cycle() {
            world.client.rows(&format!("ALTER PIPELINE p SET (parallelism = {parallelism})")).await;
            let mut run = world.open("p", limits).await.expect("opens");
            let Step::Committed(_) = run.step().await.expect("an epoch") else { break };
        }
        self.compare(&output.path().join("out.json"), "rescaled");
        world.stop().await;
    }

    async fn world(&self) -> (World, tempfile::TempDir) {
        let world = World::new().await;
        let output = tempfile::tempdir().expect("a directory");
        world.client.rows(&self.sql(&output.path().join("out.json"))).await;
        (world, output)
    }

    fn compare(&self, path: &Path, run_name: &str) {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        if std::env::var_os("CENOTE_SHOW_SCRIPTS").is_some() {
            std::fs::write(directory().join(format!("{}.json", self.name)), &text).expect("writes");
        }
        assert_eq!(self.lines(&text), self.expected(), "{}, {run_name}", self.name);
    }

    #[cfg(feature = "failpoints")]
    async fn crashing(&self) {
        for steps in [&STEPS[..], &LAST_STEP] {
            let (world, output) = self.world().await;
            let limits = Limits { inline_state_bytes: 0, ..epochs_of(20) };
            let mut run = world.open("p", limits).await.expect("opens");
            let crashes = world.crash_at(&mut run, limits, steps).await;
            assert!(crashes >= steps.len(), "{}: {crashes} crashes", self.name);
            self.compare(&output.path().join("out.json"), "crashes");
            world.stop().await;
        }
    }

    #[cfg(not(feature = "failpoints"))]
    #[expect(clippy::unused_async, reason = "the crashing run awaits")]
    async fn crashing(&self) {}
}

/// Lines, each with its keys in order, in an order of their own.
fn sorted(text: &str) -> Vec<String> {
    let line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(value) => value.to_string(),
        Err(_) => line.to_owned(),
    };
    let mut lines: Vec<String> = text.lines().map(line).collect();
    lines.sort();
    lines
}

/// The rows that changes leave.
fn left(text: &str, key: &[String], name: &str) -> String {
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let change: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {line}: {error}"));
        let key_of = |row: &Value| key.iter().map(|name| row[name].to_string()).collect::<Vec<_>>();
        let (before, after) = (&change["before"], &change["after"]);
        let op = change["op"].as_str().unwrap_or_default();
        assert_eq!(
            op,
            match (before, after) {
                (Value::Null, _) => "c",
                (_, Value::Null) => "d",
                _ => "u",
            }
        );
        if !before.is_null() {
            assert_eq!(rows.remove(&key_of(before)).as_ref(), Some(before), "{name}: {line}");
        }
        if !after.is_null() {
            assert_eq!(rows.insert(key_of(after), after.clone()), None, "{name}: {line}");
        }
    }
    rows.into_values().map(|row| row.to_string()).collect::<Vec<_>>().join("\n")
}

/// All runs of a script.
async fn golden(name: &str) {
    #[cfg(feature = "failpoints")]
    let _alone = fail::FailScenario::setup();
    let script = Script::read(name);
    if let Some(words) = &script.fail {
        return script.refused(words).await;
    }
    Box::pin(script.straight(Limits::default(), "straight")).await;
    for rows in [1, 7, 32] {
        Box::pin(script.straight(epochs_of(rows), &format!("epochs of {rows}"))).await;
    }
    let spilling = Limits { state_bytes: 0, full_block_bytes: 10 << 10, ..epochs_of(20) };
    Box::pin(script.straight(spilling, "all state on disk")).await;
    Box::pin(script.rescaled()).await;
    Box::pin(script.crashing()).await;
}

/// A test of each script.
macro_rules! scripts {
    ($($name:ident,)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            Box::pin(golden(stringify!($name))).await;
        })*

        #[test]
        fn every_script_has_a_test() {
            let named = [$(stringify!($name)),*];
            for file in std::fs::read_dir(directory()).expect("the scripts") {
                let path = file.expect("a file").path();
                let is_script = path.extension().is_some_and(|extension| extension == "sql");
                let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
                assert!(!is_script || named.contains(&name), "{name}.sql has no test");
            }
        }
    };
}

scripts!(
    every_column,
    rows_are_cast_to_the_sink,
    event_time_by_options,
    tumbling_by_watermark,
    hopping_by_watermark,
    sessions_by_watermark,
    event_time_of_a_generated_column,
    views_and_tables_of_queries,
    a_memory_table,
    a_memory_table_of_several_inserts,
    several_inserts_into_one_sink,
    a_union_of_two_tables,
    a_sink_takes_the_columns_of_its_query,
    csv_is_read_by_its_header,
    csv_is_written_with_a_header,
    lines_of_text,
    lines_of_text_are_written,
    lines_of_bytes,
    a_compressed_file,
    json_that_is_not_taken_apart,
    debezium_of_rows_that_only_come,
    changes_are_written_again,
    groups_of_a_log_of_changes,
    counts_of_rows_that_come,
    two_logs_of_changes_joined,
    the_first_of_a_log_of_changes,
    changes_that_are_bad_are_left_out,
    places_of_rows,
    structs_lists_and_documents,
    values_in_the_order_of_their_rows,
    times_and_decimals_as_numbers_and_text,
    windows_of_two_files_joined,
    the_first_of_each_window,
    options_are_set_in_the_script,
    names_match_in_any_case,
    bad_rows_are_left_out,
    rows_without_event_time_are_bad,
    a_generator_into_a_file,
    files_of_a_directory,
    windows_of_a_directory,
    refused_reading_a_sink,
    refused_writing_a_source,
    refused_reading_an_unwritten_memory_table,
    refused_writing_what_was_read,
    refused_months,
    refused_unknown_options,
    refused_unknown_setting,
    refused_connector,
    refused_type_of_metadata,
    refused_metadata,
    refused_generated_columns_of_debezium,
    refused_debezium_without_a_key,
    refused_changes_into_a_plain_sink,
    refused_changes_into_partitions,
    refused_changes_without_images,
    refused_watermark_of_changes,
    refused_window_of_changes,
    refused_reserved_column,
    refused_number_of_columns,
    refused_parquet_in_one_file,
    refused_generated_column_in_memory,
    refused_select_alone,
    refused_delete,
    refused_unknown_column_of_an_expression,
    refused_watermark_of_no_time,
    refused_file_of_both_uses,
    refused_sort_of_an_open_stream,
    refused_table_made_twice,
    refused_raw_columns,
    refused_partition_field,
    refused_scheme,
    refused_webhook_without_endpoint,
    refused_source_of_a_sink_connector,
);
