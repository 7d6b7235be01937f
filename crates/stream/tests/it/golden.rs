//! Scripts whose results are known: straight, in epochs of other sizes, with all state on disk, with another parallelism after each epoch, and with state as objects and a crash at
//! every step of every epoch. Each must answer what the same SQL answers over all rows at once, up to the closed windows.
//!
//! A file has parts, each after a line `--- name`: `setup`, `pipeline` (the script), any number of `then` (more rows), and
//! `batch`, the query whose answer the table `out` must have, or the query `table`; `{watermark}` is how far event time is.
//! `{values}` are the calls of a file in `values`, the same over windows, groups and changes, and in the query of the batch.
//! `after` is another script that runs before each look, on what the first one has written outside.
//! Changelogs are merged by key in that table: what is left over, or missing, differs from the answer.

use cenote_stream::{Limits, Step};
use cenote_vocab::Micros;

#[cfg(feature = "failpoints")]
use crate::world::{LAST_STEP, STEPS};
use crate::world::{World, drain, epochs_of};

struct Case {
    setup: Vec<String>,
    script: String,
    then: Vec<Vec<String>>,
    table: String,
    batch: String,
    after: Option<String>,
}

/// Rows of an epoch in its runs.
pub(crate) struct Sizes {
    pub(crate) straight: &'static [usize],
    pub(crate) crashing: usize,
}

impl Case {
    fn parse(text: &str) -> Self {
        let mut case = Self {
            setup: Vec::new(),
            script: String::new(),
            then: Vec::new(),
            table: "SELECT * FROM out".to_owned(),
            batch: String::new(),
            after: None,
        };
        for part in text.split("--- ").skip(1) {
            let (name, body) = part.split_once('\n').expect("a name and a body");
            let statements = || -> Vec<String> {
                body.split(';').map(|sql| sql.trim().to_owned()).filter(|sql| !sql.is_empty()).collect()
            };
            match name.trim() {
                "setup" => case.setup = statements(),
                "pipeline" => body.trim().clone_into(&mut case.script),
                "then" => case.then.push(statements()),
                "table" => body.trim().clone_into(&mut case.table),
                "batch" => body.trim().clone_into(&mut case.batch),
                "after" => case.after = Some(body.trim().to_owned()),
                other => panic!("no part is called {other:?}"),
            }
        }
        case
    }

    async fn world(&self) -> World {
        let world = World::new().await;
        world.all(&self.setup).await;
        let script = self.script.replace("{directory}", &world.outside());
        world.client.rows(&format!("CREATE PIPELINE p WITH (desired = 'paused') AS $${script}$$")).await;
        world
    }

    /// The other script, from the beginning.
    async fn run_after(&self, world: &World) {
        let Some(script) = &self.after else { return };
        let script = script.replace("{directory}", &world.outside());
        world.client.rows("TRUNCATE TABLE out").await;
        world.client.rows(&format!("CREATE PIPELINE after WITH (desired = 'paused') AS $${script}$$")).await;
        drain(&mut world.open("after", Limits::default()).await.expect("opens")).await;
        world.client.rows("DROP PIPELINE after").await;
    }

    /// What the table holds is the answer of the batch.
    async fn compare(&self, world: &World, watermark: i64, run: &str) -> usize {
        let at = match watermark {
            i64::MIN => "1900-01-01T00:00:00".to_owned(),
            i64::MAX => "2200-01-01T00:00:00".to_owned(),
            at => Micros(at).rfc3339().trim_end_matches('Z').to_owned(),
        };
        self.run_after(world).await;
        let batch = self.batch.replace("{watermark}", &format!("TIMESTAMP '{at}'"));
        let sorted = async |sql: &str| {
            let mut rows = world.client.rows(sql).await;
            rows.sort();
            rows
        };
        let (expected, got) = (sorted(&batch).await, sorted(&self.table).await);
        let same = got.len() == expected.len() && got.iter().zip(&expected).all(|(a, b)| is_same(a, b));
        assert!(same, "{run}\n     got {got:?}\nexpected {expected:?}");
        got.len()
    }

    async fn straight(&self, limits: Limits, name: &str) {
        let world = self.world().await;
        let mut rows = Vec::new();
        let mut run = world.open("p", limits).await.expect("opens");
        for more in [Vec::new()].iter().chain(&self.then) {
            world.all(more).await;
            drain(&mut run).await;
            rows.push(self.compare(&world, run.watermark(), name).await);
        }
        assert!(rows.last().is_some_and(|rows| *rows > 0), "{name}: nothing came out");
        assert_eq!(run.counts().2, 0, "{name}: no row is late");
        world.stop().await;
    }

    /// After each epoch the pipeline is restored with another parallelism; every row is a piece of its own.
    async fn rescaled(&self, epoch_rows: usize) {
        let world = self.world().await;
        let limits = Limits { wide_rows: 0, piece_rows: 1, ..epochs_of(epoch_rows) };
        let mut parallelisms = [2, 3, 8].into_iter().cycle();
        let mut rows = 0;
        for more in [Vec::new()].iter().chain(&self.then) {
            world.all(more).await;
            let run = loop {
                let parallelism = parallelisms.next().expect("a cycle");
                world.client.rows(&format!("ALTER PIPELINE p SET (parallelism = {parallelism})")).await;
                let mut run = world.open("p", limits).await.expect("opens");
                let Step::Committed(_) = run.step().await.expect("an epoch") else { break run };
            };
            rows = self.compare(&world, run.watermark(), "rescaled").await;
        }
        assert!(rows > 0, "rescaled: nothing came out");
        world.stop().await;
    }

    #[cfg(feature = "failpoints")]
    async fn crashing(&self, epoch_rows: usize, steps: &[&'static str]) {
        let world = self.world().await;
        let limits = Limits { inline_state_bytes: 0, ..epochs_of(epoch_rows) };
        let mut run = world.open("p", limits).await.expect("opens");
        let (mut crashes, mut rows) = (0, 0);
        for more in [Vec::new()].iter().chain(&self.then) {
            world.all(more).await;
            crashes += world.crash_at(&mut run, limits, steps).await;
            rows = self.compare(&world, run.watermark(), "crashes").await;
        }
        assert!(rows > 0 && crashes >= 2 * steps.len(), "{rows} rows after {crashes} crashes");
        world.stop().await;
    }
}

/// Straight, over more rows than could be compared one by one.
pub(crate) async fn equals_its_batch(world: &World, text: &str) {
    let case = Case::parse(text);
    world.all(&case.setup).await;
    let script = case.script.replace("{directory}", &world.outside());
    world.client.rows(&format!("CREATE PIPELINE p WITH (desired = 'paused') AS $${script}$$")).await;
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    drain(&mut run).await;
    assert_eq!(run.counts().2, 0, "no row is late");
    drop(run);
    world.client.rows("DROP PIPELINE p").await;
    case.run_after(world).await;
    let got = world.client.digest(&case.table).await;
    assert_eq!(got, world.client.digest(&case.batch).await, "{}", case.script);
    assert!(got.0 > 0, "nothing came out: {}", case.script);
}

/// Equal, floats within 1e-9.
fn is_same(a: &str, b: &str) -> bool {
    let near = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(x), Ok(y)) if a.contains('.') => (x - y).abs() <= 1e-9 * x.abs().max(1.0),
        _ => false,
    };
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split('|').collect(), b.split('|').collect());
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a == b || near(a, b))
}

/// All runs of a file.
async fn golden(text: &str) {
    Box::pin(runs(text, &Sizes { straight: &[1, 7, 32], crashing: 20 })).await;
}

/// All runs of a text.
pub(crate) async fn runs(text: &str, sizes: &Sizes) {
    #[cfg(feature = "failpoints")]
    let _alone = fail::FailScenario::setup();
    let case = Case::parse(text);
    Box::pin(case.straight(Limits::default(), "straight")).await;
    for rows in sizes.straight {
        Box::pin(case.straight(epochs_of(*rows), &format!("epochs of {rows}"))).await;
    }
    let spilling = Limits { state_bytes: 0, full_block_bytes: 10 << 10, ..epochs_of(sizes.crashing) };
    Box::pin(case.straight(spilling, "all state on disk")).await;
    Box::pin(case.rescaled(sizes.crashing)).await;
    #[cfg(feature = "failpoints")]
    for steps in [&STEPS[..], &LAST_STEP] {
        Box::pin(case.crashing(sizes.crashing, steps)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tumbling_windows_of_a_table() {
    Box::pin(golden(include_str!("golden/tumbling_windows_of_a_table.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hopping_windows_by_panes() {
    Box::pin(golden(include_str!("golden/hopping_windows_by_panes.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_filtered_and_projected() {
    Box::pin(golden(include_str!("golden/rows_that_are_filtered_and_projected.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_keys_and_of_all() {
    Box::pin(golden(include_str!("golden/sessions_of_keys_and_of_all.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_of_windows_and_ranks_in_them() {
    Box::pin(golden(include_str!("golden/windows_of_windows_and_ranks_in_them.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auctions_by_hopping_windows() {
    Box::pin(golden(include_str!("golden/auctions_by_hopping_windows.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_streams_of_windows_joined() {
    Box::pin(golden(include_str!("golden/two_streams_of_windows_joined.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_ends() {
    Box::pin(golden(include_str!("golden/a_counter_that_ends.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tables_become_one() {
    Box::pin(golden(include_str!("golden/two_tables_become_one.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_average_of_the_highest() {
    Box::pin(golden(include_str!("golden/an_average_of_the_highest.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_changes() {
    Box::pin(golden(include_str!("golden/groups_of_changes.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_that_change() {
    Box::pin(golden(include_str!("golden/groups_that_change.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_of_changes() {
    Box::pin(golden(include_str!("golden/joins_of_changes.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_of_rows_that_come() {
    Box::pin(golden(include_str!("golden/joins_of_rows_that_come.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_row_of_all() {
    Box::pin(golden(include_str!("golden/one_row_of_all.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_by_the_key_of_their_table() {
    Box::pin(golden(include_str!("golden/rows_by_the_key_of_their_table.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_seen_first() {
    Box::pin(golden(include_str!("golden/rows_that_are_seen_first.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_of_changes() {
    Box::pin(golden(include_str!("golden/sums_of_changes.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cheapest_of_all() {
    Box::pin(golden(include_str!("golden/the_cheapest_of_all.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_of_each() {
    Box::pin(golden(include_str!("golden/the_first_of_each.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_of_what_changes() {
    Box::pin(golden(include_str!("golden/the_first_of_what_changes.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_quiet() {
    Box::pin(golden(include_str!("golden/keys_that_are_quiet.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_of_changes() {
    Box::pin(golden(include_str!("golden/windows_of_changes.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_over_sessions() {
    Box::pin(golden(include_str!("golden/windows_over_sessions.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_that_are_shown_early() {
    Box::pin(golden(include_str!("golden/windows_that_are_shown_early.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_documents() {
    Box::pin(golden(include_str!("golden/lists_and_documents.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interval_joins() {
    Box::pin(golden(include_str!("golden/interval_joins.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookup_joins() {
    Box::pin(golden(include_str!("golden/lookup_joins.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_rows_happened() {
    Box::pin(golden(include_str!("golden/when_rows_happened.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distinct_and_filtered_values_of_changes() {
    let text = include_str!("golden/distinct_and_filtered_values_of_changes.sql");
    Box::pin(golden(
        &text.replace("{values}", include_str!("golden/values/distinct_and_filtered_values.sql")),
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distinct_and_filtered_values_of_groups() {
    let text = include_str!("golden/distinct_and_filtered_values_of_groups.sql");
    Box::pin(golden(
        &text.replace("{values}", include_str!("golden/values/distinct_and_filtered_values.sql")),
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distinct_and_filtered_values_of_windows() {
    let text = include_str!("golden/distinct_and_filtered_values_of_windows.sql");
    Box::pin(golden(
        &text.replace("{values}", include_str!("golden/values/distinct_and_filtered_values.sql")),
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn right_joins_of_changes() {
    Box::pin(golden(include_str!("golden/right_joins_of_changes.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_meet() {
    Box::pin(golden(include_str!("golden/sessions_that_meet.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_lists_of_a_row() {
    Box::pin(golden(include_str!("golden/several_lists_of_a_row.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_of_changes() {
    let text = include_str!("golden/statistics_of_changes.sql");
    Box::pin(golden(&text.replace("{values}", include_str!("golden/values/statistics.sql")))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_of_groups() {
    let text = include_str!("golden/statistics_of_groups.sql");
    Box::pin(golden(&text.replace("{values}", include_str!("golden/values/statistics.sql")))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_of_windows() {
    let text = include_str!("golden/statistics_of_windows.sql");
    Box::pin(golden(&text.replace("{values}", include_str!("golden/values/statistics.sql")))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_as_they_came_of_groups() {
    Box::pin(golden(include_str!("golden/values_as_they_came_of_groups.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_as_they_came_of_windows() {
    Box::pin(golden(include_str!("golden/values_as_they_came_of_windows.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_in_an_order_of_changes() {
    let text = include_str!("golden/values_in_an_order_of_changes.sql");
    Box::pin(golden(&text.replace("{values}", include_str!("golden/values/values_in_an_order.sql")))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_in_an_order_of_groups() {
    let text = include_str!("golden/values_in_an_order_of_groups.sql");
    Box::pin(golden(&text.replace("{values}", include_str!("golden/values/values_in_an_order.sql")))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_in_an_order_of_windows() {
    let text = include_str!("golden/values_in_an_order_of_windows.sql");
    Box::pin(golden(&text.replace("{values}", include_str!("golden/values/values_in_an_order.sql")))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_that_meet() {
    Box::pin(golden(include_str!("golden/windows_that_meet.sql"))).await;
}
