//! Views over tables that are compacted, thinned out by retention and written meanwhile; and views that are replaced while somebody reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cenote_table::Progress;
use cenote_testkit::engine::TestSession;

use crate::views::Chance;
use crate::world::{World, drain, epochs_of};

/// Views of `{facts}`, by groups and by the ids of rows.
const VIEWS: [(&str, &str); 3] = [
    ("sums", "SELECT k, count(*) AS n, sum(v) AS total, min(v) AS least FROM {facts} GROUP BY k"),
    ("even", "SELECT id, v FROM {facts} WHERE v % 2 = 0"),
    ("pairs", "SELECT a.id AS a, b.id AS b FROM {facts} a LEFT JOIN {facts} b ON a.k = b.k AND a.id < b.id"),
];

async fn sorted(client: &TestSession, sql: &str) -> Vec<String> {
    let mut rows = client.rows(sql).await;
    rows.sort();
    rows
}

/// Every view, refreshed, is its query over the rows of another table.
async fn equal_their_queries(world: &World, facts: &str, when: &str) {
    for (view, query) in VIEWS {
        world.client.rows(&format!("REFRESH MATERIALIZED VIEW {view}")).await;
        let (got, expected) = (
            sorted(&world.client, &format!("SELECT * FROM {view}")).await,
            sorted(&world.client, &query.replace("{facts}", facts)).await,
        );
        assert_eq!(got, expected, "{view} {when}");
    }
}

/// A statement on some rows of `{facts}`.
fn change(chance: &mut Chance, next_id: &mut u64) -> String {
    let part = chance.below(11);
    match chance.below(4) {
        0 => format!("DELETE FROM {{facts}} WHERE id % 11 = {part} AND v < 20"),
        1 => format!("UPDATE {{facts}} SET v = v + 1, k = (k + 1) % 5 WHERE id % 11 = {part}"),
        _ => {
            let from = *next_id;
            *next_id += 1 + part;
            format!(
                "INSERT INTO {{facts}} SELECT now()::TIMESTAMP, value, value % 5, value % 30 FROM range({from}, {next_id})"
            )
        }
    }
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_view_that_is_made_while_a_merge_waits_for_its_commit_equals_its_query() {
    let _alone = fail::FailScenario::setup();
    let world = World::new().await;
    world
        .client
        .rows("CREATE TABLE facts (time TIMESTAMP, id BIGINT, k BIGINT, v BIGINT) WITH (inline_max = '0')")
        .await;
    let mut next_id = 0;
    for _ in 0..6 {
        let from = next_id;
        next_id += 20;
        world
            .client
            .rows(&format!(
                "INSERT INTO facts SELECT now()::TIMESTAMP, value, value % 5, value % 30 FROM range({from}, {next_id})"
            ))
            .await;
    }
    let (planned, is_planned) = std::sync::mpsc::channel();
    let (go, goes) = std::sync::mpsc::channel::<()>();
    let goes = parking_lot::Mutex::new(goes);
    fail::cfg_callback("compact.commit", move || {
        // Only the first is held up.
        if planned.send(()).is_ok() {
            // Other tasks go on meanwhile.
            tokio::task::block_in_place(|| goes.lock().recv().ok());
        }
    })
    .expect("a point");
    let merger = world.node.session().await;
    let mut merging = tokio::task::JoinSet::new();
    merging.spawn(async move { merger.rows("OPTIMIZE facts FULL").await });
    let is_planned = tokio::task::spawn_blocking(move || {
        is_planned.recv_timeout(cenote_testkit::PATIENCE).map(|()| is_planned)
    })
    .await
    .expect("waits");
    let is_planned = is_planned.expect("the merge is planned");
    for (view, query) in VIEWS {
        let query = query.replace("{facts}", "facts");
        world.client.rows(&format!("CREATE MATERIALIZED VIEW {view} WITH (wait = true) AS {query}")).await;
    }
    drop(is_planned);
    go.send(()).expect("it waits");
    let merged = merging.join_next().await.expect("one").expect("it ends");
    assert_eq!(merged.len(), 1, "{merged:?}");
    fail::remove("compact.commit");
    equal_their_queries(&world, "facts", "after the merge").await;
    let mut chance = Chance(7);
    for round in 0..6 {
        for _ in 0..3 {
            world.client.rows(&change(&mut chance, &mut next_id).replace("{facts}", "facts")).await;
        }
        if round % 2 == 1 {
            world.client.rows("OPTIMIZE facts FULL").await;
        }
        equal_their_queries(&world, "facts", &format!("in round {round}")).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_retention_takes_stay_in_views() {
    let world = World::new().await;
    // The same rows, but for those that retention takes.
    for (table, options) in
        [("facts", "retention = '7d', inline_max = '0'"), ("all_facts", "inline_max = '0'")]
    {
        world
            .client
            .rows(&format!(
                "CREATE TABLE {table} (time TIMESTAMP, id BIGINT, k BIGINT, v BIGINT) WITH ({options})"
            ))
            .await;
        world
            .client
            .rows(&format!(
                "INSERT INTO {table} SELECT now()::TIMESTAMP - INTERVAL '30 days', value, value % 5, value % 30 FROM range(0, 40)"
            ))
            .await;
    }
    for (view, query) in VIEWS {
        let query = query.replace("{facts}", "facts");
        world.client.rows(&format!("CREATE MATERIALIZED VIEW {view} WITH (wait = true) AS {query}")).await;
    }
    let (mut chance, mut next_id) = (Chance(11), 1000);
    for round in 0..8 {
        for _ in 0..3 {
            // Rows that are gone cannot be changed: only younger ones are.
            let change = change(&mut chance, &mut next_id).replace("WHERE", "WHERE id >= 1000 AND");
            for table in ["facts", "all_facts"] {
                world.client.rows(&change.replace("{facts}", table)).await;
            }
        }
        if round == 3 {
            let lake = &world.node.lake;
            let head = lake.catalog.head(&world.node.scope).await.expect("read").txn;
            let names = lake.catalog.names(&world.node.scope, head).await.expect("read");
            let facts = names.tables().find(|table| table.name == "facts").cloned().expect("it is there");
            let expired = lake.expire_rows(&world.node.scope, &facts, false, &Progress::default()).await;
            assert!(expired.expect("expires").files_in >= 1);
            let gone = world.client.rows("SELECT count(*) FROM facts WHERE id < 1000").await;
            assert_eq!(gone, ["0"]);
        }
        equal_their_queries(&world, "all_facts", &format!("in round {round}")).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_view_that_is_replaced_is_never_empty_and_never_mixed() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (k BIGINT, v BIGINT)").await;
    world.client.rows("INSERT INTO src SELECT value % 10, value FROM range(0, 100)").await;
    let replace = |generation: u32| {
        format!(
            "CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT k, sum(v) AS total, {generation} AS generation FROM src GROUP BY k"
        )
    };
    world.client.rows(&replace(0).replace("VIEW v", "VIEW v WITH (wait = true)")).await;
    let reader = world.node.session().await;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let mut reading = tokio::task::JoinSet::new();
    reading.spawn(async move {
        let mut seen = Vec::new();
        while !stopped.load(Ordering::SeqCst) {
            let rows = "SELECT count(*), sum(total), count(DISTINCT generation), max(generation) FROM v";
            seen.extend(reader.rows(rows).await);
        }
        seen
    });
    for generation in 1..=8 {
        world.client.rows(&replace(generation)).await;
    }
    stop.store(true, Ordering::SeqCst);
    let seen = reading.join_next().await.expect("one").expect("every statement succeeds");
    let last =
        |row: &String| row.rsplit('|').next().and_then(|text| text.parse::<u32>().ok()).expect("a number");
    assert!(seen.iter().all(|row| row.starts_with("10|4950|1|")), "{seen:?}");
    assert!(seen.is_sorted_by_key(last), "an older view came back: {seen:?}");
    assert!(seen.first().map(last) < seen.last().map(last), "nobody read while it was replaced: {seen:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_goes_on_within_a_file_and_so_does_another_run() {
    let world = World::new().await;
    let facts = "SELECT now()::TIMESTAMP, value, value % 5, value % 30 FROM";
    for sql in [
        "CREATE TABLE facts (time TIMESTAMP, id BIGINT, k BIGINT, v BIGINT) WITH (inline_max = '0')",
        &format!("INSERT INTO facts {facts} range(0, 20000)"),
        "DELETE FROM facts WHERE id % 7 = 3 OR id < 10",
        &format!("INSERT INTO facts {facts} range(20000, 20010)"),
        "CREATE TABLE copies (id BIGINT)",
        "CREATE PIPELINE p WITH (desired = 'paused') AS INSERT INTO copies SELECT id FROM facts",
        "CREATE MATERIALIZED VIEW sums WITH (wait = true) AS SELECT k, count(*) AS n, sum(v) AS total FROM facts GROUP BY k",
    ] {
        world.client.rows(sql).await;
    }
    let mut run = world.open("p", epochs_of(2_999)).await.expect("opens");
    for _ in 0..3 {
        run.step().await.expect("an epoch");
    }
    drop(run);
    let mut run = world.open("p", epochs_of(2_999)).await.expect("opens");
    assert!(drain(&mut run).await >= 3, "it was through before");
    let ids = |table: &str| format!("SELECT count(*), count(DISTINCT id), sum(id) FROM {table}");
    assert_eq!(world.client.rows(&ids("copies")).await, world.client.rows(&ids("facts")).await);

    // what goes is found again by its id
    world.client.rows("DELETE FROM facts WHERE id % 5 = 4 OR id % 11 = 2").await;
    world.client.rows("REFRESH MATERIALIZED VIEW sums").await;
    let expected =
        sorted(&world.client, "SELECT k, count(*) AS n, sum(v) AS total FROM facts GROUP BY k").await;
    assert_eq!(sorted(&world.client, "SELECT * FROM sums").await, expected);
    world.stop().await;
}
