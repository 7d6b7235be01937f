//! Materialized views: after REFRESH each equals its query, whatever happened to what it reads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cenote_vocab::{ErrorKind, Fault, Permission, Permissions};

use crate::world::World;

/// Names and queries; `rows` is a table without a key, `named` another.
const VIEWS: [(&str, &str); 12] = [
    (
        "sums",
        "SELECT k, count(*) AS n, sum(v) AS total, avg(v) AS mean, count(v) AS vs FROM facts GROUP BY k",
    ),
    (
        "extremes",
        "SELECT k, min(v) AS least, max(f) AS most, count(DISTINCT v) AS kinds FROM facts GROUP BY k",
    ),
    ("one", "SELECT count(*) AS n, sum(v) AS total, max(v) AS most FROM facts"),
    ("hidden_groups", "SELECT count(*) AS n FROM facts GROUP BY k, f"),
    ("filtered", "SELECT v + 1 AS next, k FROM facts WHERE v % 2 = 0"),
    (
        "inner_joined",
        "SELECT facts.v, named.name FROM facts JOIN named ON facts.k = named.k AND facts.v > named.least",
    ),
    (
        "left_joined",
        "SELECT facts.v, named.name FROM facts LEFT JOIN named ON facts.k = named.k AND facts.v > named.least",
    ),
    ("full_joined", "SELECT facts.v, named.name, named.k FROM facts FULL JOIN named ON facts.k = named.k"),
    ("kinds", "SELECT DISTINCT k, v % 3 AS part FROM facts"),
    ("first_ones", "SELECT k, v, row_number() OVER (PARTITION BY k ORDER BY v, f, id) AS place FROM facts"),
    ("both", "SELECT k, v FROM facts WHERE v < 5 UNION ALL SELECT k, least FROM named"),
    (
        "joined_sums",
        "SELECT named.name, sum(s.total) AS total FROM (SELECT k, sum(v) AS total FROM facts GROUP BY k) s \
         JOIN named ON s.k = named.k WHERE s.k NOT LIKE 'x%' GROUP BY named.name",
    ),
];

/// Chance that repeats.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn key(&mut self) -> String {
        match self.below(7) {
            0 => "NULL".to_owned(),
            key => format!("'k{key}'"),
        }
    }

    /// A statement that changes some rows.
    fn change(&mut self, next_id: &mut u64) -> String {
        let key = self.key();
        let (number, other) = (self.below(20), self.below(9));
        match self.below(8) {
            0 => format!("DELETE FROM facts WHERE v % 9 = {other}"),
            1 => format!("UPDATE facts SET k = {key} WHERE v % 11 = {other}"),
            2 => format!("UPDATE facts SET v = v + 1, f = f / 2 WHERE k = {key}"),
            3 => format!("UPDATE named SET least = {number} WHERE k = {key}"),
            4 => format!("DELETE FROM named WHERE least % 5 = {}", other % 5),
            5 => format!("INSERT INTO named VALUES ({key}, 'n{other}', {number})"),
            _ => {
                let rows: Vec<String> = (0..=number)
                    .map(|_| {
                        *next_id += 1;
                        let (key, value) = (self.key(), self.below(30));
                        let value = if value == 0 { "NULL".to_owned() } else { value.to_string() };
                        format!("({next_id}, {key}, {value}, {}.25)", self.below(4))
                    })
                    .collect();
                format!("INSERT INTO facts VALUES {}", rows.join(", "))
            }
        }
    }
}

async fn sorted(world: &World, sql: &str) -> Vec<String> {
    let mut rows = world.client.rows(sql).await;
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_equals_its_query_after_inserts_updates_and_deletes_by_chance() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE facts (id BIGINT, k TEXT, v BIGINT, f DOUBLE)",
        "CREATE TABLE named (k TEXT, name TEXT, least BIGINT)",
        "INSERT INTO named SELECT 'k' || value::TEXT, 'n' || (value % 3)::TEXT, value FROM range(0, 5)",
        "INSERT INTO facts SELECT value, 'k' || (value % 6)::TEXT, value % 13, (value % 4) * 0.5 FROM range(0, 60)",
    ] {
        world.client.rows(sql).await;
    }
    let mut chance = Chance(20_261_120);
    let mut next_id = 1000;
    for (name, query) in VIEWS {
        world.client.rows(&format!("CREATE MATERIALIZED VIEW {name} WITH (wait = true) AS {query}")).await;
        assert_eq!(
            sorted(&world, &format!("SELECT * FROM {name}")).await,
            sorted(&world, query).await,
            "{name}"
        );
    }
    for round in 0..6 {
        for _ in 0..4 {
            let change = chance.change(&mut next_id);
            world.client.rows(&change).await;
        }
        if round == 3 {
            world.client.rows("OPTIMIZE facts").await;
        }
        for (name, query) in VIEWS {
            world.client.rows(&format!("REFRESH MATERIALIZED VIEW {name}")).await;
            let (got, expected) =
                (sorted(&world, &format!("SELECT * FROM {name}")).await, sorted(&world, query).await);
            assert_eq!(got, expected, "{name} in round {round}");
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_of_a_view_joined_with_itself_never_shows_rows_of_two_transactions() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (k BIGINT, v BIGINT)").await;
    world.client.rows("INSERT INTO src SELECT value % 3, value FROM range(0, 9)").await;
    world.client.rows("CREATE MATERIALIZED VIEW sums WITH (wait = true) AS SELECT k, sum(v) AS total FROM src GROUP BY k").await;
    world
        .client
        .rows("CREATE MATERIALIZED VIEW pairs WITH (wait = true) AS SELECT a.k, a.total AS a, b.total AS b FROM sums a JOIN sums b ON a.k = b.k")
        .await;
    let (reader, stop) = (world.node.session().await, Arc::new(AtomicBool::new(false)));
    let stopped = stop.clone();
    let mut reading = tokio::task::JoinSet::new();
    reading.spawn(async move {
        let mut seen = BTreeSet::new();
        while !stopped.load(Ordering::SeqCst) {
            let rows = "SELECT count(*) FILTER (WHERE a <> b), sum(a) FROM pairs";
            seen.extend(reader.rows(rows).await);
        }
        seen
    });
    for round in 0..20 {
        world.client.rows(&format!("INSERT INTO src SELECT value % 3, {round} FROM range(0, 9)")).await;
        assert_eq!(world.client.rows("SELECT count(*) FROM pairs WHERE a <> b").await, ["0"]);
    }
    stop.store(true, Ordering::SeqCst);
    let seen = reading.join_next().await.expect("one").expect("every statement succeeds");
    assert!(seen.iter().all(|row| row.starts_with("0|")), "{seen:?}");
    for view in ["sums", "pairs"] {
        world.client.rows(&format!("REFRESH MATERIALIZED VIEW {view}")).await;
    }
    let expected = world.client.rows("SELECT k, sum(v), sum(v) FROM src GROUP BY k ORDER BY k").await;
    assert_eq!(world.client.rows("SELECT * FROM pairs ORDER BY k").await, expected);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_of_ingested_rows_and_of_windows_goes_on_after_a_restart() {
    let world = World::new().await;
    world
        .node
        .write("cpu,host=a usage=1 1767225600\ncpu,host=b usage=2 1767225601\ncpu,host=a usage=4 1767225700")
        .await;
    world
        .client
        .rows("CREATE MATERIALIZED VIEW minutes WITH (wait = true) AS SELECT w.start AS start, host, n, total FROM (SELECT tumble(INTERVAL '1 minute') AS w, host, count(*) AS n, sum(usage) AS total FROM cpu GROUP BY 1, 2)")
        .await;
    world
        .client
        .rows(
            "CREATE MATERIALIZED VIEW busy WITH (wait = true) AS SELECT host, usage FROM cpu WHERE usage > 1",
        )
        .await;
    let minutes = "SELECT * FROM minutes ORDER BY 1, 2";
    assert_eq!(
        world.client.rows(minutes).await,
        ["2026-01-01T00:00:00|a|1|1.0", "2026-01-01T00:00:00|b|1|2.0", "2026-01-01T00:01:00|a|1|4.0"]
    );
    world.streams.stop().await;
    world.node.write("cpu,host=a usage=8 1767225601").await;
    world.client.rows("DELETE FROM cpu WHERE host = 'b'").await;
    let again = world.other_streams();
    again.start().await.expect("starts");
    let batch = "SELECT date_bin(INTERVAL '1 minute', time), host, count(*), sum(usage) FROM cpu GROUP BY 1, 2 ORDER BY 1, 2";
    let expected = world.client.rows(batch).await;
    cenote_testkit::settles("the view to follow", cenote_testkit::PATIENCE, async || {
        world.client.rows(minutes).await == expected
    })
    .await;
    cenote_testkit::settles("the other view to follow", cenote_testkit::PATIENCE, async || {
        world.client.rows("SELECT * FROM busy ORDER BY usage").await == ["a|4.0", "a|8.0"]
    })
    .await;
    again.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_is_made_replaced_refreshed_and_dropped_and_only_its_query_changes_it() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (k TEXT, v BIGINT)").await;
    world.client.rows("INSERT INTO src VALUES ('a', 1), ('b', 2), ('a', 3)").await;
    let make =
        "CREATE MATERIALIZED VIEW v WITH (wait = true) AS SELECT k, sum(v) AS total FROM src GROUP BY k";
    world.client.rows(make).await;
    assert!(world.client.error(make).await.to_string().contains("already exists"));
    let again = make.replace("VIEW v", "VIEW IF NOT EXISTS v");
    assert_eq!(world.client.outcome(&again).await.notices.len(), 1);
    assert_eq!(world.client.rows("SELECT * FROM v ORDER BY 1").await, ["a|4", "b|2"]);
    let shown = world.client.rows("SHOW MATERIALIZED VIEWS LIKE 'v'").await;
    assert!(shown.len() == 1 && shown[0].starts_with("default|v|running|"), "{shown:?}");
    for (sql, expected) in [
        ("INSERT INTO v VALUES ('x', 1)", "is a materialized view: only its query changes it"),
        ("DELETE FROM v", "is a materialized view: only its query changes it"),
        ("DROP VIEW v", "belongs to a materialized view"),
        ("DROP TABLE src", "materialized view default.v reads"),
        ("DROP MATERIALIZED VIEW src", "is not a materialized view"),
        ("REFRESH MATERIALIZED VIEW nowhere", "does not exist"),
        (
            "CREATE PIPELINE p WITH (materialized_view = '1') AS INSERT INTO src SELECT k, v FROM src",
            "invalid option 'materialized_view'",
        ),
        (
            "CREATE MATERIALIZED VIEW w AS SELECT k, now() AS at FROM src",
            "now() over rows that may be taken back",
        ),
        (
            "CREATE MATERIALIZED VIEW w AS SELECT k, random() AS r FROM src",
            "random() over rows that may be taken back",
        ),
        ("CREATE MATERIALIZED VIEW w AS SELECT 1 AS one", "would come in every epoch"),
        (
            "CREATE MATERIALIZED VIEW w AS SELECT k FROM src LIMIT 1",
            "LIMIT in a pipeline is not supported yet",
        ),
        (
            "CREATE MATERIALIZED VIEW w AS SELECT a.k FROM src a JOIN src b ON a.v < b.v",
            "Updating joins must include an equijoin condition",
        ),
        (
            "CREATE MATERIALIZED VIEW w WITH (watermark = 'x') AS SELECT k FROM src",
            "option 'watermark' names column \"x\", which is not the time column of table default.src",
        ),
        (
            "CREATE MATERIALIZED VIEW w WITH (speed = 1) AS SELECT k FROM src",
            "invalid option 'speed' of a materialized view",
        ),
        ("CREATE MATERIALIZED VIEW w AS SELECT k AS _key FROM src", "a column \"_key\" of its own"),
    ] {
        let error = world.client.error(sql).await.to_string();
        assert!(error.contains(expected), "{sql}\n  {error}");
    }
    world
        .client
        .rows("CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT k, count(*) AS n FROM src GROUP BY k")
        .await;
    assert_eq!(world.client.rows("SELECT * FROM v ORDER BY 1").await, ["a|2", "b|1"]);
    world.client.rows("REFRESH MATERIALIZED VIEW v FULL").await;
    assert_eq!(world.client.rows("SELECT * FROM v ORDER BY 1").await, ["a|2", "b|1"]);
    assert_eq!(world.client.rows("SELECT count(*) FROM system.stream.pipelines").await, ["1"]);
    world.client.rows("CREATE MATERIALIZED VIEW w WITH (wait = true) AS SELECT sum(n) AS n FROM v").await;
    assert_eq!(world.client.rows("SELECT n FROM w").await, ["3"]);
    assert_eq!(world.client.error("DROP MATERIALIZED VIEW v").await.kind(), ErrorKind::Conflict);
    world.client.rows("DROP TABLE src CASCADE").await;
    for view in ["v", "w"] {
        assert_eq!(world.client.error(&format!("SELECT * FROM {view}")).await.kind(), ErrorKind::NotFound);
    }
    assert!(world.client.rows("SHOW PIPELINES").await.is_empty());
    assert_eq!(world.client.outcome("DROP MATERIALIZED VIEW IF EXISTS v").await.notices.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_has_the_types_and_values_of_its_query() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE ints (v INT, at DATE)",
        "CREATE TABLE others (f DOUBLE, at TIMESTAMP, n DECIMAL(10, 2), big BIGINT, word TEXT)",
        "INSERT INTO ints VALUES (1, '2026-01-01')",
        "INSERT INTO others VALUES (2.7, '2026-01-02 03:04:05', 3.25, 5000000000, 'w')",
    ] {
        world.client.rows(sql).await;
    }
    for (at, query) in [
        "SELECT v AS x FROM ints UNION ALL SELECT f FROM others",
        "SELECT v AS x FROM ints UNION ALL SELECT n FROM others",
        "SELECT v AS x FROM ints UNION ALL SELECT big FROM others",
        "SELECT at AS x FROM ints UNION ALL SELECT at FROM others",
        "SELECT CASE WHEN v > 1 THEN v ELSE 2.5 END AS x FROM ints",
        "SELECT COALESCE(NULLIF(v, 1), 2.5) AS x FROM ints",
        "SELECT x + 1 AS x FROM (SELECT v AS x FROM ints UNION ALL SELECT f FROM others)",
        "SELECT CAST(x AS BIGINT) AS x FROM (SELECT v AS x FROM ints UNION ALL SELECT f FROM others)",
    ]
    .iter()
    .enumerate()
    {
        world.client.rows(&format!("CREATE MATERIALIZED VIEW v{at} WITH (wait = true) AS {query}")).await;
        let types = "SELECT arrow_typeof(x), x FROM";
        let got = sorted(&world, &format!("{types} v{at}")).await;
        assert_eq!(got, sorted(&world, &format!("{types} ({query})")).await, "{query}");
    }
    for (at, (query, expected)) in [
        ("SELECT v FROM ints UNION ALL SELECT f FROM others", ["1", "3"]),
        ("WITH w AS (SELECT v AS x FROM ints UNION ALL SELECT f FROM others) SELECT x FROM w", ["1", "3"]),
    ]
    .iter()
    .enumerate()
    {
        world.client.rows(&format!("CREATE TABLE out{at} (x BIGINT)")).await;
        world.client.rows(&format!("INSERT INTO out{at} {query}")).await;
        assert_eq!(sorted(&world, &format!("SELECT x FROM out{at}")).await, *expected, "{query}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_equal_are_one_key() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE f (id INT, x DOUBLE)",
        "CREATE TABLE g (id INT, x DOUBLE)",
        "INSERT INTO f VALUES (1, 0.0), (2, -0.0), (3, 'NaN'), (4, 1)",
        "INSERT INTO g VALUES (1, 0.0), (2, -0.0), (3, 'NaN'), (4, 1)",
    ] {
        world.client.rows(sql).await;
    }
    let views = [
        ("joined", "SELECT f.id, g.id AS gid FROM f JOIN g ON f.x = g.x"),
        ("left_joined", "SELECT f.id, g.id AS gid FROM f LEFT JOIN g ON f.x = g.x"),
        ("within", "SELECT id FROM f WHERE x IN (SELECT x FROM g WHERE id = 2)"),
    ];
    for (name, query) in views {
        world.client.rows(&format!("CREATE MATERIALIZED VIEW {name} WITH (wait = true) AS {query}")).await;
    }
    world.client.rows("CREATE MATERIALIZED VIEW counted WITH (wait = true) AS SELECT x, count(*) AS n FROM f GROUP BY x").await;
    for change in [
        "DELETE FROM g WHERE id = 1",
        "INSERT INTO f VALUES (5, -0.0), (6, 0.0)",
        "DELETE FROM f WHERE id = 2",
    ] {
        world.client.rows(change).await;
        for (name, query) in views {
            world.client.rows(&format!("REFRESH MATERIALIZED VIEW {name}")).await;
            let got = sorted(&world, &format!("SELECT * FROM {name}")).await;
            assert_eq!(got, sorted(&world, query).await, "{name} after {change}");
        }
    }
    world.client.rows("REFRESH MATERIALIZED VIEW counted").await;
    assert_eq!(sorted(&world, "SELECT n FROM counted").await, ["1", "1", "3"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_rows_happened_matters_only_where_a_window_asks() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE untimed (k TEXT, v BIGINT)").await;
    world.client.rows("CREATE TABLE keyed (k TEXT, v BIGINT, PRIMARY KEY (k))").await;
    world.client.rows("CREATE TABLE timed (time TIMESTAMP, v BIGINT)").await;
    world.client.rows("INSERT INTO timed VALUES (NULL, 1), ('2026-01-01', 2)").await;
    let expected = "whose rows have no event time";
    for sql in [
        "CREATE MATERIALIZED VIEW w AS SELECT count(*) AS n FROM untimed GROUP BY tumble(INTERVAL '1 second')",
        "CREATE PIPELINE w AS INSERT INTO keyed SELECT k, count(*) FROM keyed GROUP BY k, tumble(INTERVAL '1 second')",
    ] {
        let error = world.client.error(sql).await;
        assert!(error.to_string().contains(expected), "{sql}: {error}");
    }
    world
        .client
        .rows("CREATE MATERIALIZED VIEW sums WITH (wait = true) AS SELECT sum(v) AS v FROM timed")
        .await;
    assert_eq!(world.client.rows("SELECT v FROM sums").await, ["3"]);
    world.client.rows("CREATE MATERIALIZED VIEW same WITH (wait = true) AS SELECT time, v FROM timed").await;
    assert_eq!(sorted(&world, "SELECT v FROM same").await, ["1", "2"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_filter_leaves_out_is_not_computed() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE t (k TEXT, v BIGINT)").await;
    world.client.rows("INSERT INTO t VALUES ('a', 0), ('a', 2), ('b', 5), ('c', 0)").await;
    for (name, call) in [
        ("sums", "sum(10 / v)"),
        ("counts", "count(10 / v)"),
        ("means", "avg(10 / v)"),
        ("extremes", "max(10 / v)"),
    ] {
        let query = format!("SELECT k, {call} FILTER (WHERE v <> 0) AS x FROM t GROUP BY k");
        world.client.rows(&format!("CREATE MATERIALIZED VIEW {name} WITH (wait = true) AS {query}")).await;
    }
    assert_eq!(sorted(&world, "SELECT * FROM sums").await, ["a|5", "b|2", "c|NULL"]);
    assert_eq!(sorted(&world, "SELECT * FROM counts").await, ["a|1", "b|1", "c|0"]);
    assert_eq!(sorted(&world, "SELECT * FROM means").await, ["a|5.0", "b|2.0", "c|NULL"]);
    assert_eq!(sorted(&world, "SELECT * FROM extremes").await, ["a|5", "b|2", "c|NULL"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_that_read_each_other_go_together() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE t (v BIGINT)").await;
    world.client.rows("CREATE MATERIALIZED VIEW a WITH (wait = true) AS SELECT v FROM t").await;
    world.client.rows("CREATE MATERIALIZED VIEW b WITH (wait = true) AS SELECT sum(v) AS v FROM a").await;
    world.client.rows("CREATE MATERIALIZED VIEW c WITH (wait = true) AS SELECT a.v, b.v AS total FROM a JOIN b ON a.v <= b.v AND a.v = b.v").await;
    world.client.rows("INSERT INTO t VALUES (7)").await;
    world.client.rows("REFRESH MATERIALIZED VIEW a FULL").await;
    for (view, expected) in [("a", "7"), ("b", "7"), ("c", "7|7")] {
        assert_eq!(world.client.rows(&format!("SELECT * FROM {view}")).await, [expected], "{view}");
    }
    world.client.rows("DELETE FROM t").await;
    for (view, expected) in [("a", &[][..]), ("b", &["NULL"]), ("c", &[])] {
        world.client.rows(&format!("REFRESH MATERIALIZED VIEW {view}")).await;
        assert_eq!(world.client.rows(&format!("SELECT * FROM {view}")).await, expected, "{view}");
    }
    let error = world.client.error("CREATE OR REPLACE MATERIALIZED VIEW a AS SELECT 2 * v AS v FROM t").await;
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(world.client.error("DROP MATERIALIZED VIEW a RESTRICT").await.kind(), ErrorKind::Conflict);
    world.client.rows("DROP MATERIALIZED VIEW a CASCADE").await;
    assert!(world.client.rows("SHOW MATERIALIZED VIEWS").await.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_builds_a_view_anew_owns_it() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE t (v BIGINT)").await;
    world.client.rows("INSERT INTO t VALUES (1), (2)").await;
    let new = cenote_catalog::NewToken {
        name: "leaver".into(),
        description: String::new(),
        permissions: [Permission::Read, Permission::Write, Permission::Delete]
            .into_iter()
            .fold(Permissions::NONE, Permissions::with),
        grants: Vec::new(),
        default_database: None,
        expires: None,
    };
    let catalog = &world.node.lake.catalog;
    let (token, secret) = catalog.create_token(&world.node.scope, new, None).await.expect("a token");
    let leaver = world.node.session_of(catalog.authenticate(&secret).await.expect("known")).await;
    leaver.rows("CREATE MATERIALIZED VIEW v WITH (wait = true) AS SELECT sum(v) AS v FROM t").await;
    catalog.delete_token(&world.node.scope, token.id).await.expect("deleted");
    world.client.rows("REFRESH MATERIALIZED VIEW v FULL").await;
    world.client.rows("INSERT INTO t VALUES (3)").await;
    world.client.rows("REFRESH MATERIALIZED VIEW v").await;
    assert_eq!(world.client.rows("SELECT v FROM v").await, ["6"]);
    world.stop().await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_statement_that_was_cancelled_nothing_stays() {
    let _alone = fail::FailScenario::setup();
    let world = World::new().await;
    world.client.rows("CREATE TABLE t (v BIGINT)").await;
    world.client.rows("INSERT INTO t VALUES (1)").await;
    world.client.rows("CREATE MATERIALIZED VIEW old WITH (wait = true) AS SELECT v FROM t").await;
    for sql in [
        "CREATE MATERIALIZED VIEW v WITH (wait = true) AS SELECT sum(v) AS v FROM t",
        "CREATE OR REPLACE MATERIALIZED VIEW old AS SELECT sum(v) AS v FROM t",
        "REFRESH MATERIALIZED VIEW old FULL",
    ] {
        fail::cfg("epoch.run", "pause").expect("no epoch ends");
        let patience = std::time::Duration::from_millis(300);
        let waited = tokio::time::timeout(patience, world.client.run(sql)).await;
        fail::remove("epoch.run");
        assert!(!matches!(waited, Ok(Ok(_))), "{sql} did not wait");
        cenote_testkit::settles(
            &format!("nothing to be left of {sql}"),
            cenote_testkit::PATIENCE,
            async || {
                world.client.rows("SELECT count(*) FROM system.stream.pipelines").await == ["1"]
                    && world
                        .client
                        .rows("SELECT count(*) FROM system.catalog.tables WHERE left(table_name, 1) = '_'")
                        .await
                        == ["1"]
                    && world.client.rows("SHOW MATERIALIZED VIEWS").await.len() == 1
            },
        )
        .await;
    }
    world.client.rows("REFRESH MATERIALIZED VIEW old").await;
    assert_eq!(world.client.rows("SELECT v FROM old").await, ["1"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_and_lists_of_a_view_follow_the_rows_of_its_table() {
    let views = [
        (
            "hops",
            "SELECT w.start AS start, k, n FROM (SELECT hop(INTERVAL '5 seconds', INTERVAL '12 seconds') AS w, k, count(*) AS n FROM src GROUP BY w, k)",
            "SELECT s, k, count(*) FROM (SELECT date_bin(INTERVAL '5 seconds', time) - value * INTERVAL '5 seconds' AS s, time, k FROM src, range(0, 3)) WHERE time < s + INTERVAL '12 seconds' GROUP BY s, k",
        ),
        (
            "sessions",
            "SELECT w.start AS start, w.\"end\" AS until, k, n, kinds FROM (SELECT session(INTERVAL '4 seconds') AS w, k, count(*) AS n, count(DISTINCT v) AS kinds FROM src GROUP BY w, k)",
            "SELECT min(time), max(time) + INTERVAL '4 seconds', k, count(*), count(DISTINCT v) FROM (
               SELECT k, v, time, sum(begins) OVER (PARTITION BY k ORDER BY time, id) AS number FROM (
                 SELECT k, v, time, id, CASE WHEN time <= lag(time) OVER (PARTITION BY k ORDER BY time, id) + INTERVAL '4 seconds' THEN 0 ELSE 1 END AS begins FROM src))
             GROUP BY k, number",
        ),
        ("tags", "SELECT id, unnest(tags) AS tag FROM src WHERE k <> 'k0'", "SELECT id, unnest(tags) AS tag FROM src WHERE k <> 'k0'"),
        (
            "tagged",
            "SELECT tag, count(*) AS n, min(id) AS least FROM (SELECT id, unnest(tags) AS tag FROM src) GROUP BY tag",
            "SELECT tag, count(*), min(id) FROM (SELECT id, unnest(tags) AS tag FROM src) GROUP BY tag",
        ),
    ];
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (id BIGINT, time TIMESTAMP, k TEXT, v BIGINT, tags TEXT[])").await;
    let insert = |from: u64, to: u64| {
        format!(
            "INSERT INTO src SELECT value, TIMESTAMP '2026-01-01' + (value * 7 % 100) * INTERVAL '1 second', 'k' || (value % 3)::TEXT, value % 5, \
             CASE value % 4 WHEN 0 THEN ['a', 'b'] WHEN 1 THEN ['b', 'c', 'c'] WHEN 2 THEN [] ELSE NULL END FROM range({from}, {to})"
        )
    };
    world.client.rows(&insert(0, 40)).await;
    for (name, query, _) in views {
        world.client.rows(&format!("CREATE MATERIALIZED VIEW {name} WITH (wait = true) AS {query}")).await;
    }
    for change in [
        "SELECT 1".to_owned(),
        insert(40, 60),
        "UPDATE src SET time = time + INTERVAL '3 seconds', v = v + 1 WHERE id % 5 = 1".to_owned(),
        "DELETE FROM src WHERE id % 4 = 1 AND id > 20".to_owned(),
        "UPDATE src SET tags = ['c', 'z', 'z'] WHERE id % 7 = 3".to_owned(),
    ] {
        world.client.rows(&change).await;
        for (name, _, batch) in views {
            world.client.rows(&format!("REFRESH MATERIALIZED VIEW {name}")).await;
            assert_eq!(
                sorted(&world, &format!("SELECT * FROM {name}")).await,
                sorted(&world, batch).await,
                "{name} after {change}"
            );
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_with_a_watermark_leaves_closed_windows_as_they_are() {
    let world = World::new().await;
    world.client.rows("CREATE TABLE src (time TIMESTAMP, v BIGINT)").await;
    world.client.rows("INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:00:10', 1)").await;
    let query = "SELECT w.start AS start, n, total FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n, sum(v) AS total FROM src GROUP BY w)";
    let make = |watermark: &str| {
        format!("CREATE MATERIALIZED VIEW v WITH (wait = true, watermark = '{watermark}') AS {query}")
    };
    for (watermark, expected) in [
        ("now()", "option 'watermark' is a time column, or one less an interval"),
        (
            "v",
            "option 'watermark' names column \"v\", which is not the time column of table default.src: that is \"time\"",
        ),
    ] {
        let error = world.client.error(&make(watermark)).await.to_string();
        assert!(error.contains(expected), "{error}");
    }
    let sessions = make("time").replace("tumble", "session");
    let error = world.client.error(&sessions).await.to_string();
    assert!(
        error.contains("session windows of a materialized view with a watermark is not supported yet"),
        "{error}"
    );
    world.client.rows(&make("time - INTERVAL ''10 seconds''")).await;
    let steps = [
        // Before the watermark is behind the window's end, rows of it come and go.
        (
            "INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:01:05', 2), (TIMESTAMP '2026-01-01 00:00:20', 3)",
            ["00|2|4", "01|1|2"],
        ),
        ("DELETE FROM src WHERE v = 1", ["00|1|3", "01|1|2"]),
        // Then it is as it is.
        ("INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:01:50', 4)", ["00|1|3", "01|2|6"]),
        (
            "INSERT INTO src VALUES (TIMESTAMP '2026-01-01 00:00:30', 5), (TIMESTAMP '2026-01-01 00:01:40', 6)",
            ["00|1|3", "01|3|12"],
        ),
        ("DELETE FROM src WHERE v IN (3, 4)", ["00|1|3", "01|2|8"]),
    ];
    for (change, expected) in steps {
        world.client.rows(change).await;
        world.client.rows("REFRESH MATERIALIZED VIEW v").await;
        let shown =
            "SELECT to_char(start, 'MI') || '|' || n::TEXT || '|' || total::TEXT FROM v ORDER BY start";
        assert_eq!(world.client.rows(shown).await, expected, "{change}");
    }
    let shown = world.client.rows("SHOW MATERIALIZED VIEWS LIKE 'v'").await;
    assert!(shown.len() == 1 && shown[0].ends_with("|true"), "{shown:?}");
    world.stop().await;
}
