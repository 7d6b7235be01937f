//! The life of a pipeline: made, running, paused, gone; and what a start finds.

use cenote_stream::Limits;
use cenote_testkit::{PATIENCE, number_of, settles};
use cenote_vocab::{ErrorKind, Fault};

use crate::world::{World, drain, epochs_of};

async fn has_state(world: &World, name: &str, state: &str) {
    settles(&format!("pipeline {name} to be {state}"), PATIENCE, async || {
        world.pipeline(name).await.state == state
    })
    .await;
}

async fn counts(world: &World, sql: &str, expected: &str) {
    settles(&format!("{sql} to be {expected}"), PATIENCE, async || {
        world.client.rows(sql).await == [expected]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_runs_by_itself_to_its_end() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE out (start TIMESTAMP, n BIGINT)").await;
    let sql = "CREATE PIPELINE p AS $$
        CREATE TABLE i WITH (connector = 'impulse', event_rate = 0, event_time_interval = '1ms', message_count = 10000);
        INSERT INTO out SELECT w.start, n FROM (SELECT tumble(INTERVAL '1 second') AS w, count(*) AS n FROM i GROUP BY 1) $$";
    world.client.rows(sql).await;
    has_state(&world, "p", "finished").await;
    assert_eq!(world.client.rows("SELECT sum(n), count(*) >= 10 FROM out").await, ["10000|true"]);
    let shown = world.client.rows("SHOW PIPELINES LIKE 'p%'").await;
    assert!(shown.len() == 1 && shown[0].starts_with("default|p|running|finished|1|"), "{shown:?}");
    assert_eq!(
        world.client.error("CREATE PIPELINE p AS INSERT INTO out SELECT now(), 1 FROM out").await.kind(),
        ErrorKind::Invalid
    );
    assert!(world.client.error(sql).await.to_string().contains("already exists"));
    let again = sql.replace("CREATE PIPELINE p", "CREATE PIPELINE IF NOT EXISTS p");
    assert_eq!(world.client.outcome(&again).await.notices.len(), 1);
    let lineage = "SELECT operation, producer IS NOT NULL, actor, message FROM system.catalog.transactions \
                   WHERE operation = 'pipeline' ORDER BY txn DESC LIMIT 1";
    assert_eq!(world.client.rows(lineage).await, ["pipeline|true|cenote|default.p"]);
    world.client.rows("DROP PIPELINE p").await;
    assert!(world.client.rows("SHOW PIPELINES").await.is_empty());
    assert_eq!(world.client.error("SHOW PIPELINE p").await.kind(), ErrorKind::NotFound);
    assert_eq!(world.client.outcome("DROP PIPELINE IF EXISTS p").await.notices.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_day_is_that_of_the_instant_of_the_epoch() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v BIGINT)").await;
    world.client.rows("CREATE TABLE out (day DATE, at TIMESTAMP)").await;
    world
        .client
        .rows("CREATE PIPELINE p WITH (desired = 'paused') AS INSERT INTO out SELECT current_date, now()::TIMESTAMP FROM src")
        .await;
    world.client.rows("INSERT INTO src VALUES (now()::TIMESTAMP, 1), (now()::TIMESTAMP, 2)").await;
    drain(&mut world.open("p", Limits::default()).await.expect("opens")).await;
    assert_eq!(world.client.rows("SELECT day = at::DATE, count(*) FROM out GROUP BY 1").await, ["true|2"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_pipeline_goes_on_where_it_was() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v BIGINT)").await;
    world.client.rows("CREATE TABLE out (v BIGINT)").await;
    world.client.rows("CREATE PIPELINE p AS INSERT INTO out SELECT v FROM src").await;
    world.client.rows("INSERT INTO src VALUES (now()::TIMESTAMP, 1), (now()::TIMESTAMP, 2)").await;
    counts(&world, "SELECT count(*) FROM out", "2").await;
    world.client.rows("PAUSE PIPELINE p").await;
    assert_eq!(world.pipeline("p").await.state, "paused");
    world.client.rows("INSERT INTO src VALUES (now()::TIMESTAMP, 3)").await;
    assert!(world.other_streams().start().await.is_ok(), "what is paused does not start");
    assert_eq!(world.client.rows("SELECT count(*) FROM out").await, ["2"]);
    world.client.rows("RESUME PIPELINE p").await;
    counts(&world, "SELECT count(*) FROM out", "3").await;
    assert_eq!(world.client.rows("SELECT v FROM out ORDER BY v").await, ["1", "2", "3"]);
    let made = world.client.rows("SHOW CREATE PIPELINE p").await;
    assert_eq!(made, ["p|CREATE PIPELINE \"default\".\"p\" AS $$INSERT INTO out SELECT v FROM src$$"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_come_back_with_their_node_and_rows_of_the_buffer_are_read() {
    let world = World::new().await;
    world.node.write("cpu,host=a usage=1 1767225600\ncpu,host=a usage=2 1767225601").await;
    world.client.rows("CREATE TABLE out (host TEXT, usage DOUBLE)").await;
    world.client.rows("CREATE PIPELINE p AS INSERT INTO out SELECT host, usage FROM cpu").await;
    counts(&world, "SELECT count(*) FROM out", "2").await;
    world.streams.stop().await;
    world.node.write("cpu,host=b usage=3 1767225602").await;
    let again = world.other_streams();
    again.start().await.expect("starts");
    counts(&world, "SELECT count(*) FROM out", "3").await;
    assert_eq!(
        world.client.rows("SELECT host, sum(usage) FROM out GROUP BY 1 ORDER BY 1").await,
        ["a|3.0", "b|3.0"]
    );
    again.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_fences_the_first() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v BIGINT) WITH (inline_max = '0')").await;
    world.client.rows("CREATE TABLE out (v BIGINT) WITH (inline_max = '0')").await;
    world
        .client
        .rows("CREATE PIPELINE p WITH (desired = 'paused') AS INSERT INTO out SELECT v FROM src")
        .await;
    world.client.rows("INSERT INTO src SELECT TIMESTAMP '2026-01-01', value FROM range(0, 30)").await;
    let mut first = world.open("p", epochs_of(10)).await.expect("opens");
    first.step().await.expect("an epoch");
    let mut second = world.open("p", epochs_of(10)).await.expect("opens");
    let error = first.step().await.expect_err("outdated");
    assert!(error.to_string().contains("has a newer holder"), "{error}");
    drain(&mut second).await;
    assert_eq!(world.client.rows("SELECT count(*), count(DISTINCT v) FROM out").await, ["30|30"]);
    let objects = world.node.objects().await;
    let files: Vec<&String> = objects.iter().filter(|path| path.contains("/data/")).collect();
    let live = world.client.rows("SELECT count(*) FROM system.storage.files").await;
    assert_eq!(live, [files.len().to_string()], "the refused epoch left no file: {objects:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_too_late_are_counted_and_left_out() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v BIGINT)").await;
    world.client.rows("CREATE TABLE out (start TIMESTAMP, n BIGINT)").await;
    world.client
        .rows(
            "CREATE PIPELINE p WITH (desired = 'paused', watermark_delay = '5s') AS INSERT INTO out
             SELECT w.start, n FROM (SELECT tumble(INTERVAL '10 seconds') AS w, count(*) AS n FROM src GROUP BY 1)",
        )
        .await;
    let at = |seconds: &[u32]| {
        let rows = seconds.iter().map(|second| format!("(TIMESTAMP '2026-01-01 00:00:{second:02}', 1)"));
        format!("INSERT INTO src VALUES {}", rows.collect::<Vec<_>>().join(", "))
    };
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    // W is 11 then: the window [0, 10) is over, and a row of it late, however it stands in its epoch.
    for seconds in [&[1, 16][..], &[9, 11, 2], &[40]] {
        world.client.rows(&at(seconds)).await;
        drain(&mut run).await;
    }
    assert_eq!(run.counts(), (6, 2, 2));
    let rows = world.client.rows("SELECT * FROM out ORDER BY 1").await;
    assert_eq!(rows, ["2026-01-01T00:00:00|1", "2026-01-01T00:00:10|2"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_too_late_are_kept_in_the_commit_of_their_epoch() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT)",
        "CREATE TABLE out (start TIMESTAMP, n BIGINT)",
        "CREATE TABLE sessions (start TIMESTAMP, k TEXT, n BIGINT)",
        "CREATE TABLE near (a BIGINT, b BIGINT)",
        "CREATE PIPELINE p WITH (desired = 'paused', watermark_delay = '5s', late_rows = 'late') AS $$
         INSERT INTO out SELECT w.start, n FROM (SELECT hop(INTERVAL '10 seconds', INTERVAL '20 seconds') AS w, count(*) AS n FROM src GROUP BY 1);
         INSERT INTO sessions SELECT w.start, k, n FROM (SELECT session(INTERVAL '3 seconds') AS w, k, count(*) AS n FROM src GROUP BY 1, 2);
         INSERT INTO near SELECT a.v, b.v FROM src a JOIN src b ON a.k = b.k AND a.time BETWEEN b.time AND b.time + INTERVAL '1 second' $$",
    ] {
        world.client.rows(sql).await;
    }
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    for rows in ["(1, 'a', 1), (36, 'b', 2)", "(9, 'a', 3), (21, NULL, 4), (30, 'b', 5)", "(59, 'c', 6)"] {
        let rows = rows.replace('(', "(TIMESTAMP '2026-01-01' + INTERVAL '1 second' * ");
        world.client.rows(&format!("INSERT INTO src VALUES {rows}")).await;
        drain(&mut run).await;
    }
    let late = "SELECT date_part('second', _time)::BIGINT, _late_by, _epoch, row FROM late ORDER BY _operator, _time";
    let told = world.client.rows(late).await;
    // W is 31 then. In the windows that hop only 9 is in none that is open; of sessions and pairs every row before W is late.
    let (nine, more) = (
        r#"9|22000000|2|{"time":"2026-01-01T00:00:09","k":"a","v":3}"#,
        [
            r#"21|10000000|2|{"time":"2026-01-01T00:00:21","v":4}"#,
            r#"30|1000000|2|{"time":"2026-01-01T00:00:30","k":"b","v":5}"#,
        ],
    );
    assert_eq!(told.iter().filter(|row| *row == nine).count(), 4, "{told:?}");
    for row in more {
        assert_eq!(told.iter().filter(|told| *told == row).count(), 3, "{told:?}");
    }
    assert_eq!(told.len() as u64, run.counts().2, "{told:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_too_late_for_windows_of_changes_are_kept_too() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE src (id BIGINT, time TIMESTAMP, v BIGINT, PRIMARY KEY (id) NOT ENFORCED)",
        "CREATE TABLE sums (start TIMESTAMP, n BIGINT, total BIGINT, PRIMARY KEY (start) NOT ENFORCED)",
        "CREATE TABLE most (start TIMESTAMP, v BIGINT, PRIMARY KEY (start) NOT ENFORCED)",
        "CREATE TABLE visits (start TIMESTAMP, n BIGINT, PRIMARY KEY (start) NOT ENFORCED)",
        "CREATE PIPELINE p WITH (desired = 'paused', watermark_delay = '5s', late_rows = 'late') AS $$
         INSERT INTO sums SELECT w.start, n, total FROM (SELECT tumble(INTERVAL '10 seconds') AS w, count(*) AS n, sum(v) AS total FROM src GROUP BY 1);
         INSERT INTO most SELECT w.start, v FROM (SELECT hop(INTERVAL '10 seconds', INTERVAL '20 seconds') AS w, max(v) AS v FROM src GROUP BY 1);
         INSERT INTO visits SELECT w.start, n FROM (SELECT session(INTERVAL '3 seconds') AS w, count(*) AS n FROM src GROUP BY 1) $$",
        "INSERT INTO src VALUES (1, TIMESTAMP '2026-01-01 00:00:01', 1), (2, TIMESTAMP '2026-01-01 00:00:36', 2)",
    ] {
        world.client.rows(sql).await;
    }
    let mut run = world.open("p", Limits::default()).await.expect("opens");
    drain(&mut run).await;
    // W is 31 then. Of the windows that hop, one that 21 is in is open; sessions of changes take what comes.
    for sql in [
        "INSERT INTO src VALUES (3, TIMESTAMP '2026-01-01 00:00:09', 3), (4, TIMESTAMP '2026-01-01 00:00:21', 4), (5, TIMESTAMP '2026-01-01 00:00:30', 5)",
        "UPDATE src SET v = 10 WHERE id = 1",
    ] {
        world.client.rows(sql).await;
    }
    drain(&mut run).await;
    let row = |id: u32, second: u32, more: &str| {
        format!("{{\"id\":{id},\"time\":\"2026-01-01T00:00:{second:02}\",{more}}}")
    };
    let late = [
        format!("22000000|{}", row(3, 9, "\"v\":3")),
        format!("30000000|{}", row(1, 1, "\"v\":1,\"_weight\":-1")),
        format!("30000000|{}", row(1, 1, "\"v\":10")),
    ];
    let mut expected = [late.clone(), late].concat();
    expected.push(format!("10000000|{}", row(4, 21, "\"v\":4")));
    expected.sort();
    let mut told = world.client.rows("SELECT _late_by, row FROM late").await;
    told.sort();
    assert_eq!(told, expected);
    assert_eq!(run.counts().2, 7, "the metric");
    let sums =
        world.client.rows("SELECT date_part('second', start)::BIGINT, n, total FROM sums ORDER BY 1").await;
    assert_eq!(sums, ["0|1|1", "30|2|7"]);
    let most = "SELECT date_part('second', start)::BIGINT, v FROM most WHERE start >= TIMESTAMP '2026-01-01' ORDER BY 1";
    assert_eq!(world.client.rows(most).await, ["0|1", "20|5", "30|5"]);
    assert_eq!(world.client.rows("SELECT sum(n) FROM visits").await, ["5"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_in_pieces_makes_no_row_late() {
    // In files of a million at most, over eight minutes of event time however many there are.
    let rows = number_of("CENOTE_BACKFILL_ROWS", 800);
    let files = (rows / 1_000_000).max(4);
    let each = rows / files;
    let micros = 500_000_000 / rows;
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v BIGINT)").await;
    world.client.rows("CREATE TABLE out (start TIMESTAMP, n BIGINT)").await;
    // The newest rows are in the first file, and each overlaps with others.
    for file in 0..files {
        let from = if file == 0 { rows - each } else { (file - 1) * each };
        let stride = if file == 0 { 1 } else { 2 - file % 2 };
        let select = format!(
            "SELECT to_timestamp_micros(1767225600000000 + least({from} + value * {stride}, {rows} - 1) * {micros}), value FROM range(0, {each})"
        );
        world.client.rows(&format!("INSERT INTO src {select}")).await;
    }
    world.client.rows("DELETE FROM src WHERE v = 17").await;
    world.client
        .rows(
            "CREATE PIPELINE p WITH (desired = 'paused', watermark_delay = '1s') AS INSERT INTO out
             SELECT w.start, n FROM (SELECT tumble(INTERVAL '10 seconds') AS w, count(*) AS n FROM src GROUP BY 1)",
        )
        .await;
    let limits = if rows < 10_000 { epochs_of(30) } else { Limits::default() };
    let mut run = world.open("p", limits).await.expect("opens");
    let epochs = drain(&mut run).await;
    assert!(epochs > 20 || rows >= 10_000, "{epochs} epochs"); // a large one is a few large ones
    assert_eq!(run.counts().2, 0, "late rows");
    // The window of the last row is open.
    let batch = "SELECT * FROM (SELECT date_bin(INTERVAL '10 seconds', time) AS s, count(*) FROM src GROUP BY 1) \
                 WHERE s < (SELECT date_bin(INTERVAL '10 seconds', max(time) - INTERVAL '1 second') FROM src) ORDER BY 1";
    assert_eq!(world.client.rows("SELECT * FROM out ORDER BY 1").await, world.client.rows(batch).await);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_whose_source_changed_fails_and_says_why() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v BIGINT)").await;
    world.client.rows("CREATE TABLE out (v BIGINT)").await;
    world.client.rows("CREATE PIPELINE p AS INSERT INTO out SELECT v FROM src").await;
    has_state(&world, "p", "running").await;
    world.client.rows("DROP TABLE src").await;
    has_state(&world, "p", "failed").await;
    let error = world.pipeline("p").await.error.expect("why");
    assert!(error.contains("table \"src\" does not exist"), "{error}");
    world.client.rows("RESUME PIPELINE p").await;
    has_state(&world, "p", "failed").await;
    let error = world.pipeline("p").await.error.expect("why");
    assert!(error.contains("table \"src\" does not exist"), "{error}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_of_another_plan_is_refused_by_name() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v INT)").await;
    world.client.rows("CREATE TABLE out (start TIMESTAMP, v BIGINT)").await;
    world.client
        .rows(
            "CREATE PIPELINE p WITH (desired = 'paused') AS INSERT INTO out
             SELECT w.start, v FROM (SELECT tumble(INTERVAL '10 seconds') AS w, max(v) AS v FROM src GROUP BY 1)",
        )
        .await;
    world.client.rows("INSERT INTO src VALUES (TIMESTAMP '2026-01-01', 1)").await;
    drain(&mut world.open("p", Limits::default()).await.expect("opens")).await;
    world.client.rows("ALTER TABLE src ALTER COLUMN v TYPE BIGINT").await;
    let error = world.open("p", Limits::default()).await.err().expect("another type").to_string();
    assert!(error.starts_with("state does not fit: Aggregate"), "{error}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_hold_is_an_object_when_it_is_large() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, k BIGINT)").await;
    world.client.rows("CREATE TABLE out (k BIGINT, n BIGINT)").await;
    world.client
        .rows(
            "CREATE PIPELINE p WITH (desired = 'paused') AS INSERT INTO out
             SELECT k, n FROM (SELECT tumble(INTERVAL '1 hour') AS w, k, count(*) AS n FROM src GROUP BY 1, 2)",
        )
        .await;
    world.client.rows("INSERT INTO src SELECT TIMESTAMP '2026-01-01', value FROM range(0, 2000)").await;
    let limits = Limits { inline_state_bytes: 100, ..epochs_of(500) };
    drain(&mut world.open("p", limits).await.expect("opens")).await;
    let states: Vec<String> =
        world.node.objects().await.into_iter().filter(|path| path.ends_with(".state")).collect();
    assert_eq!(states.len(), 1, "one epoch's is kept: {states:?}");
    let mut run = world.open("p", limits).await.expect("opens");
    world.client.rows("INSERT INTO src VALUES (TIMESTAMP '2026-01-02', 1)").await;
    drain(&mut run).await;
    assert_eq!(world.client.rows("SELECT count(*), sum(n) FROM out").await, ["2000|2000"]);
    world.client.rows("DROP PIPELINE p").await;
    assert!(world.node.objects().await.iter().all(|path| !path.ends_with(".state")));
    assert!(world.node.lake.catalog.holds(&world.node.scope).await.expect("read").is_empty());
    world.stop().await;
}
