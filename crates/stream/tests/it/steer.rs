//! Pipelines that are changed, begin again, and are watched.

use cenote_stream::Limits;
use cenote_testkit::{PATIENCE, settles};
use cenote_vocab::{ErrorKind, Fault};

use crate::world::{World, drain, epochs_of};

const WINDOWS: &str = "INSERT INTO out SELECT w.start, k, n FROM (SELECT tumble(INTERVAL '10 seconds') AS w, k, count(*) AS n \
     FROM src GROUP BY 1, 2)";

/// `src` with rows of the first window, and a pipeline over it that is steered by hand.
async fn windows() -> World {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT)").await;
    world.client.rows("CREATE TABLE out (start TIMESTAMP, k TEXT, n BIGINT)").await;
    world
        .client
        .rows(&format!("CREATE PIPELINE p WITH (desired = 'paused', watermark_delay = '0') AS {WINDOWS}"))
        .await;
    rows_at(&world, &[1, 2]).await;
    drain(&mut world.open("p", Limits::default()).await.expect("opens")).await;
    world
}

async fn rows_at(world: &World, seconds: &[u32]) {
    let rows =
        seconds.iter().map(|second| format!("(TIMESTAMP '2026-01-01 00:00:{second:02}', 'a', {second})"));
    world.client.rows(&format!("INSERT INTO src VALUES {}", rows.collect::<Vec<_>>().join(", "))).await;
}

async fn has_state(world: &World, name: &str, state: &str) {
    settles(&format!("pipeline {name} to be {state}"), PATIENCE, async || {
        let now = world.pipeline(name).await;
        assert!(now.state != "failed" || state == "failed", "{:?}", now.error);
        now.state == state
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_script_keeps_the_state_if_what_it_adds_up_is_the_same() {
    let world = windows().await;
    // above the state: another projection, a filter, other names
    let above = "INSERT INTO out SELECT x.s, x.key || '!', x.total * 10 FROM (SELECT w.start AS s, k AS key, n AS total \
                 FROM (SELECT tumble(INTERVAL '10 seconds') AS w, k, count(*) AS n FROM src GROUP BY 1, 2)) x \
                 WHERE x.total > 0";
    let compared = world.client.rows(&format!("EXPLAIN ALTER PIPELINE p AS {above}")).await;
    let aggregate = "Aggregate: groupBy=[[tumble(IntervalMonthDayNano(\"IntervalMonthDayNano { months: 0, days: 0, \
                     nanoseconds: 10000000000 }\")) AS w, src.k]]";
    assert_eq!(compared.len(), 3, "{compared:?}");
    assert_eq!(compared[0], "source|default.src|kept|NULL");
    assert_eq!(compared[1], "sink|default.out|kept|NULL");
    assert!(
        compared[2].starts_with("operator|Aggregate: groupBy=") && compared[2].ends_with("|kept|NULL"),
        "{aggregate} {compared:?}"
    );
    world.client.rows(&format!("ALTER PIPELINE p AS {above}")).await;
    rows_at(&world, &[3, 12]).await;
    drain(&mut world.open("p", Limits::default()).await.expect("opens")).await;
    assert_eq!(world.client.rows("SELECT k, n FROM out").await, ["a!|30"], "three rows of the first window");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_sink_gets_what_the_state_goes_on_to_give() {
    let world = windows().await;
    world.client.rows("PAUSE PIPELINE p").await;
    world.client.rows("CREATE TABLE late_out (start TIMESTAMP, k TEXT, n BIGINT)").await;
    let path = format!("{}/out.json", world.outside());
    let to_file = format!(
        "$$ CREATE TABLE file (start TIMESTAMP, k TEXT, n BIGINT) WITH (connector = 'single_file', type = 'sink', path = '{path}', \
         format = 'json'); {} $$",
        WINDOWS.replace("INTO out", "INTO file")
    );
    // The rows of each window come before and after the sink is another.
    for (to, seconds, gone, new) in [
        (WINDOWS.replace("INTO out", "INTO late_out"), [3, 12], "default.out", "default.late_out"),
        (to_file, [13, 22], "default.late_out", "file"),
        (WINDOWS.to_owned(), [23, 32], "file", "default.out"),
    ] {
        let compared = world.client.rows(&format!("EXPLAIN ALTER PIPELINE p AS {to}")).await;
        for part in [format!("sink|{gone}|gone|NULL"), format!("sink|{new}|new|NULL")] {
            assert!(compared.contains(&part), "{part}: {compared:?}");
        }
        assert!(compared.iter().any(|part| part.ends_with("|kept|NULL") && part.starts_with("operator|")));
        world.client.rows(&format!("ALTER PIPELINE p AS {to}")).await;
        rows_at(&world, &seconds).await;
        let mut run = world.open("p", Limits::default()).await.expect("opens");
        drain(&mut run).await;
        // As PAUSE does, which a change of sinks outside of the lake begins with.
        run.close().await.expect("completes");
    }
    let shown = "SELECT k, n FROM ";
    assert_eq!(world.client.rows(&format!("{shown} late_out")).await, ["a|3"], "rows 1, 2, 3");
    assert_eq!(
        std::fs::read_to_string(&path).expect("the file"),
        "{\"start\":\"2026-01-01T00:00:10\",\"k\":\"a\",\"n\":2}\n",
        "rows 12, 13"
    );
    assert_eq!(world.client.rows(&format!("{shown} out")).await, ["a|2"], "rows 22, 23");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_script_that_adds_up_something_else_is_refused_by_name_or_begins_without_state() {
    let world = windows().await;
    let before = world.pipeline("p").await;
    for (from, to) in [
        ("count(*)", "count(v)"),
        ("count(*)", "sum(v)::BIGINT"),
        ("FROM src", "FROM src WHERE v > 1"),
        ("10 seconds", "20 seconds"),
        ("AS w, k,", "AS w, upper(k) AS k,"),
        ("FROM src", "FROM other"),
    ] {
        if to == "FROM other" {
            world.client.rows("CREATE TABLE other (time TIMESTAMP, k TEXT, v BIGINT)").await;
        }
        let sql = format!("ALTER PIPELINE p AS {}", WINDOWS.replace(from, to));
        let error = world.client.error(&sql).await;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{to}: {error}");
        let text = error.to_string();
        assert!(
            text.starts_with("state does not fit: Aggregate: groupBy=") && text.contains("it was "),
            "{to}: {text}"
        );
        let explained = world.client.rows(&format!("EXPLAIN {sql}")).await;
        assert!(explained.iter().any(|part| part.contains("|differs|it was ")), "{explained:?}");
    }
    let gone = "ALTER PIPELINE p AS INSERT INTO out SELECT time, k, v FROM src";
    let error = world.client.error(gone).await.to_string();
    assert!(error.ends_with("it would be gone"), "{error}");
    assert_eq!(world.pipeline("p").await, before, "nothing has changed");

    let filtered = WINDOWS.replace("FROM src", "FROM src WHERE v > 1");
    world.client.rows(&format!("ALTER PIPELINE p AS {filtered} WITH (state = 'reset')")).await;
    rows_at(&world, &[3, 4, 12]).await;
    drain(&mut world.open("p", Limits::default()).await.expect("opens")).await;
    assert_eq!(
        world.client.rows("SELECT k, n FROM out").await,
        ["a|2"],
        "what was added up is gone, what was read stays read"
    );
    let epochs = "SELECT count(*) = max(epoch), min(epoch) FROM system.stream.epochs WHERE name = 'p'";
    assert_eq!(world.client.rows(epochs).await, ["true|1"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_and_the_name_change_while_a_pipeline_runs() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v BIGINT)").await;
    world.client.rows("CREATE TABLE out (v BIGINT)").await;
    world.client.rows("CREATE PIPELINE p AS INSERT INTO out SELECT v FROM src").await;
    world
        .client
        .rows("CREATE PIPELINE other WITH (desired = 'paused') AS INSERT INTO out SELECT v FROM src")
        .await;
    has_state(&world, "p", "running").await;
    world
        .client
        .rows("ALTER PIPELINE p SET (parallelism = 8, watermark_delay = '5s', label.team = 'x')")
        .await;
    assert_eq!(
        world.client.error("ALTER PIPELINE p SET (speed = 1)").await.to_string().split(';').next(),
        Some("invalid option 'speed'")
    );
    assert_eq!(
        world.client.error("ALTER PIPELINE p RENAME TO other").await.to_string(),
        "pipeline \"default.other\" already exists"
    );
    has_state(&world, "p", "running").await;
    world.client.rows("ALTER PIPELINE p RESET (watermark_delay)").await;
    world.client.rows("ALTER PIPELINE p RENAME TO \"Q\"").await;
    let options = world.pipeline("Q").await.options.into_iter().collect::<Vec<_>>();
    assert_eq!(options, [("label.team".into(), "x".into()), ("parallelism".into(), "8".into())]);
    world.client.rows("CREATE OR REPLACE PIPELINE \"Q\" AS INSERT INTO out SELECT v + 1 FROM src").await;
    world.client.rows("INSERT INTO src VALUES (now()::TIMESTAMP, 1)").await;
    settles("the row", PATIENCE, async || world.client.rows("SELECT v FROM out").await == ["2"]).await;
    let sources = "SELECT name, source, committed IS NOT NULL, idle, ended FROM system.stream.sources";
    assert_eq!(world.client.rows(sources).await, ["Q|default.src|true|false|false"]);
    let explained = world.client.rows("EXPLAIN PIPELINE \"Q\"").await;
    assert_eq!(
        explained,
        [
            "source table default.src [append]",
            "  reads: rows that are inserted",
            "  watermark: 1s behind the latest row",
            "sink table default.out [append]",
            "  from: source_1",
            "  writes: rows are added",
            "  guarantee: exactly once, in the commit",
        ]
    );
    assert!(world.client.rows("SELECT * FROM system.stream.errors").await.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pipeline_holds_is_shown_and_a_script_is_explained_before_it_is_made() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT)").await;
    world.client.rows("CREATE TABLE out (k TEXT PRIMARY KEY NOT ENFORCED, n BIGINT)").await;
    let script = "$$ CREATE TABLE lost WITH (connector = 'blackhole'); \
                  INSERT INTO out SELECT k, count(*) FROM src GROUP BY k; \
                  INSERT INTO lost SELECT k, random() AS r FROM src $$";
    let explained = world.client.rows(&format!("EXPLAIN (FORMAT JSON) PIPELINE {script}")).await.join("\n");
    let graph: serde_json::Value = serde_json::from_str(&explained).expect("JSON");
    let told = |at: usize, what: &str| graph["nodes"][at][what].as_str().unwrap_or_default().to_owned();
    assert_eq!((told(1, "operator"), told(1, "rows")), ("groups".into(), "updating".into()));
    assert_eq!((told(2, "operator"), told(2, "rows")), ("sink<lake>".into(), "updating".into()));
    assert_eq!((told(3, "operator"), told(3, "volatile")), ("sink<blackhole>".into(), "random()".into()));
    assert_eq!(graph["edges"].as_array().map(Vec::len), Some(3), "{graph}");
    let error = world.client.error("EXPLAIN PIPELINE $$ INSERT INTO out SELECT k, 1 FROM nowhere $$").await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");

    world.client.rows(&format!("CREATE PIPELINE p AS {script}")).await;
    world.client.rows("INSERT INTO src VALUES (now()::TIMESTAMP, 'a', 1), (now()::TIMESTAMP, 'b', 2)").await;
    let held = "SELECT operator_id, state_rows, state_bytes > 0, late_rows FROM system.stream.operators";
    // Of each a state, a result, and when it was touched.
    settles("two groups", PATIENCE, async || world.client.rows(held).await == ["operator_1|6|true|0"]).await;
    let busy = "SELECT busy_share > 0, busy_share < 1 FROM system.stream.operators";
    assert_eq!(world.client.rows(busy).await, ["true|true"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_rows_that_only_come_no_more_are_held_than_the_first_that_are_wanted() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)").await;
    world
        .client
        .rows("CREATE TABLE out (k BIGINT, place BIGINT, v BIGINT, PRIMARY KEY (k, place) NOT ENFORCED)")
        .await;
    world
        .client
        .rows(
            "CREATE PIPELINE p WITH (updating_ttl = 'off') AS INSERT INTO out SELECT k, place, v FROM (\
             SELECT k, v, row_number() OVER (PARTITION BY k ORDER BY v DESC) AS place FROM src) WHERE place <= 2",
        )
        .await;
    // Of each key two rows and two answers.
    let held = "SELECT state_rows FROM system.stream.operators";
    for (first, last) in [(0, 100), (1_000, 1_100), (500, 600)] {
        world
            .client
            .rows(&format!(
                "INSERT INTO src SELECT TIMESTAMP '2026-01-01', value % 2, value FROM range({first}, {last})"
            ))
            .await;
        let most = "SELECT k, max(v), 1 FROM src GROUP BY k UNION ALL SELECT k, max(v) - 2, 2 FROM src GROUP BY k ORDER BY 1, 3";
        let most = world.client.rows(most).await;
        settles("the first two", PATIENCE, async || {
            world.client.rows("SELECT k, v, place FROM out ORDER BY k, place").await == most
                && world.client.rows(held).await == ["8"]
        })
        .await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_begins_again_once_it_is_told_what_becomes_of_the_rows() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v BIGINT)").await;
    world.client.rows("CREATE TABLE out (v BIGINT)").await;
    world.client.rows("INSERT INTO src SELECT TIMESTAMP '2026-01-01', value FROM range(0, 10)").await;
    world.client.rows("CREATE PIPELINE p AS INSERT INTO out SELECT v FROM src").await;
    let rows = async |expected: &str| {
        settles(&format!("{expected} rows"), PATIENCE, async || {
            world.client.rows("SELECT count(*), count(DISTINCT v) FROM out").await == [expected]
        })
        .await;
    };
    rows("10|10").await;
    let error = world.client.error("RESTART PIPELINE p").await.to_string();
    assert!(
        error.contains("has written rows into default.out: RESTART needs WITH (sinks = 'keep')"),
        "{error}"
    );
    world.client.rows("INSERT INTO out VALUES (99)").await;
    world.client.rows("RESTART PIPELINE p WITH (sinks = 'truncate')").await;
    rows("10|10").await;
    world.client.rows("RESTART PIPELINE p WITH (sinks = 'keep')").await;
    rows("20|10").await;
    has_state(&world, "p", "running").await;
    let epochs = "SELECT count(*) = max(epoch), sum(rows_added), sum(rows_deleted) FROM system.stream.epochs";
    assert_eq!(
        world.client.rows(epochs).await,
        ["true|30|11"],
        "epochs never go back; ten rows and one went"
    );
    assert_eq!(world.pipeline("p").await.reset, None);

    // the rows that were not read yet come, and none again
    world.client.rows("PAUSE PIPELINE p").await;
    world.client.rows("INSERT INTO src VALUES (TIMESTAMP '2026-01-01', 10)").await;
    world.client.rows("RESUME PIPELINE p").await;
    rows("21|11").await;
    world.stop().await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_a_crash_cuts_off_is_done_once() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v BIGINT)").await;
    world.client.rows("CREATE TABLE out (v BIGINT)").await;
    world.client.rows("INSERT INTO src SELECT TIMESTAMP '2026-01-01', value FROM range(0, 10)").await;
    world.client.rows("CREATE PIPELINE p AS INSERT INTO out SELECT v FROM src").await;
    let rows = async |expected: &str| {
        settles(&format!("{expected} rows"), PATIENCE, async || {
            world.client.rows("SELECT count(*) FROM out").await == [expected]
        })
        .await;
    };
    rows("10").await;
    fail::cfg("epoch.commit", "return").expect("a crash point");
    world.client.rows("RESTART PIPELINE p WITH (sinks = 'truncate')").await;
    has_state(&world, "p", "failed").await;
    fail::remove("epoch.commit");
    rows("0").await;
    let failed = world.client.rows("SELECT domain, error, retries FROM system.stream.errors").await;
    assert_eq!(failed, ["internal|fail point epoch.commit|false"]);
    world.client.rows("RESUME PIPELINE p").await;
    rows("10").await;
    world.client.rows("PAUSE PIPELINE p").await;
    world.client.rows("RESUME PIPELINE p").await;
    world.client.rows("INSERT INTO src VALUES (TIMESTAMP '2026-01-01', 10)").await;
    rows("11").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_take_more_rows_are_completed_when_a_pipeline_pauses_or_gets_another_sink() {
    let world = World::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v BIGINT)").await;
    let script = |folder: &str| {
        format!(
            "$$ CREATE TABLE files (v BIGINT) WITH (connector = 'filesystem', path = '{}/{folder}', type = 'sink', \
             format = 'json'); INSERT INTO files SELECT v FROM src $$",
            directory.path().display()
        )
    };
    let files = |folder: &str| {
        let listed = std::fs::read_dir(directory.path().join(folder)).into_iter().flatten().flatten();
        listed.filter(|entry| entry.path().is_file()).count()
    };
    let read = async |epoch: i64| {
        world.client.rows("INSERT INTO src VALUES (now()::TIMESTAMP, 1)").await;
        settles("an epoch with a row", PATIENCE, async || {
            world.client.rows("SELECT max(epoch) FROM system.stream.epochs").await == [epoch.to_string()]
        })
        .await;
    };
    world.client.rows(&format!("CREATE PIPELINE p AS {}", script("a"))).await;
    read(1).await;
    assert_eq!(files("a"), 0, "the file takes more rows");
    world.client.rows("PAUSE PIPELINE p").await;
    assert_eq!((files("a"), world.pipeline("p").await.state), (1, "paused".to_owned()));
    world.client.rows("RESUME PIPELINE p").await;
    read(3).await;
    world.client.rows(&format!("ALTER PIPELINE p AS {}", script("b"))).await;
    assert_eq!(files("a"), 2);
    read(5).await;
    world.client.rows("PAUSE PIPELINE p").await;
    assert_eq!((files("a"), files("b")), (2, 1));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_new_begins_and_one_that_is_gone_holds_nothing() {
    let world = World::new().await;
    for table in ["a", "b"] {
        world.client.rows(&format!("CREATE TABLE {table} (time TIMESTAMP, v BIGINT)")).await;
        world
            .client
            .rows(&format!("INSERT INTO {table} SELECT TIMESTAMP '2026-01-01', value FROM range(0, 5)"))
            .await;
    }
    world.client.rows("CREATE TABLE out (v BIGINT)").await;
    world.client.rows("CREATE PIPELINE p WITH (desired = 'paused') AS INSERT INTO out SELECT v FROM a").await;
    drain(&mut world.open("p", epochs_of(3)).await.expect("opens")).await;
    world.client.rows("ALTER PIPELINE p AS INSERT INTO out SELECT v + 100 FROM b").await;
    drain(&mut world.open("p", epochs_of(3)).await.expect("opens")).await;
    assert_eq!(world.client.rows("SELECT count(*), count(DISTINCT v), sum(v) FROM out").await, ["10|10|520"]);
    let held = world.node.lake.catalog.holds(&world.node.scope).await.expect("read");
    assert_eq!(held.len(), 1, "the history of what is read no longer is let go: {held:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_whose_sink_is_down_tries_again_and_then_fails() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v BIGINT)").await;
    world.client.rows("INSERT INTO src VALUES (now()::TIMESTAMP, 1)").await;
    let port = cenote_testkit::free_port();
    world
        .client
        .rows(&format!(
            "CREATE PIPELINE p WITH (restarts_max = 1) AS $$ CREATE TABLE calls (v BIGINT) WITH (connector = 'webhook', \
             endpoint = 'http://127.0.0.1:{port}/'); INSERT INTO calls SELECT v FROM src $$"
        ))
        .await;
    settles("the pipeline to fail", std::time::Duration::from_secs(120), async || {
        world.pipeline("p").await.state == "failed"
    })
    .await;
    let failures = world.client.rows("SELECT domain, retries FROM system.stream.errors ORDER BY at").await;
    assert_eq!(failures, ["external|true", "external|false"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallelism_changes_under_load_and_nothing_begins_again() {
    const ROWS: u64 = 4_000_000;
    let world = World::new().await;
    world.client.rows("CREATE TABLE out (start TIMESTAMP, n BIGINT, total BIGINT)").await;
    let sql = format!(
        "CREATE PIPELINE p WITH (parallelism = 1) AS $$
         CREATE TABLE i WITH (connector = 'impulse', event_rate = 0, event_time_interval = '10 microseconds', message_count = {ROWS}, start_time = 1767225600000000);
         INSERT INTO out SELECT w.start, n, total FROM (SELECT tumble(INTERVAL '1 second') AS w, count(*) AS n, sum(counter) AS total FROM i GROUP BY 1) $$"
    );
    world.client.rows(&sql).await;
    let producer = world.pipeline("p").await.producer();
    let catalog = &world.node.lake.catalog;
    let epoch = async || {
        let known = catalog.producer(&world.node.scope, &producer).await.expect("read");
        known.map_or(0, |(epoch, ..)| epoch.0)
    };
    for parallelism in [8, 3] {
        let before = epoch().await;
        settles("another epoch", PATIENCE, async || epoch().await > before).await;
        world.client.rows(&format!("ALTER PIPELINE p SET (parallelism = {parallelism})")).await;
        assert_eq!(world.pipeline("p").await.options.get("parallelism"), Some(&parallelism.to_string()));
    }
    assert_eq!(world.pipeline("p").await.state, "running", "all of it happened under load");
    has_state(&world, "p", "finished").await;
    let (fence, _) = catalog.claim_producer(&world.node.scope, &producer).await.expect("claims");
    assert_eq!(fence.0, 2, "every start of a run claims its producer");
    assert!(world.client.rows("SELECT * FROM system.stream.errors").await.is_empty());
    let batch = format!(
        "SELECT date_bin(INTERVAL '1 second', TIMESTAMP '2026-01-01' + value * INTERVAL '10 microseconds') AS s, count(*), sum(value) FROM range(0, {ROWS}) GROUP BY 1 ORDER BY 1"
    );
    assert_eq!(world.client.rows("SELECT * FROM out ORDER BY 1").await, world.client.rows(&batch).await);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_does_not_make_two_pipelines_write_one_target() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, k BIGINT)").await;
    for table in ["one", "two"] {
        let sql = format!("CREATE TABLE {table} (k BIGINT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED)");
        world.client.rows(&sql).await;
    }
    let insert = |table: &str| format!("INSERT INTO {table} SELECT k, count(*) FROM src GROUP BY k");
    for (name, table) in [("p", "one"), ("q", "two")] {
        world
            .client
            .rows(&format!("CREATE PIPELINE {name} WITH (desired = 'paused') AS {}", insert(table)))
            .await;
    }
    for sql in ["ALTER PIPELINE q AS ", "CREATE OR REPLACE PIPELINE q AS "] {
        let error = world.client.error(&format!("{sql}{}", insert("one"))).await.to_string();
        assert!(error.contains("default.one is written by pipeline default.p already"), "{error}");
    }
    assert_eq!(world.pipeline("q").await.script, insert("two"), "nothing has changed");
    world.client.rows(&format!("ALTER PIPELINE p AS {}", insert("one"))).await;
    world.stop().await;
}
