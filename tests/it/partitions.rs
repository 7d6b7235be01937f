//! Partitions of assets on a whole node: ranges of the past, held and cancelled; slices that are the whole; schedules.

use cenote_testkit::client::Client;
use cenote_testkit::node::TestNode;
use cenote_testkit::{PATIENCE, number_of, settles};
use cenote_vocab::{Clock, Ids, Micros};

const OPEN: &str = "SELECT count(*) FROM system.flow.runs WHERE kind = 'asset' \
                    AND state NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED', 'TIMED_OUT')";

async fn text(client: &Client, sql: &str) -> String {
    client.sql(sql).await[0][0].as_str().unwrap_or_default().to_owned()
}

/// Of runs of as much as thirty tasks one by one.
async fn ended(client: &Client) {
    settles("ends of runs", 6 * PATIENCE, async || client.number(OPEN).await == 0).await;
}

/// Rows of one table that are not in the other, counted as often as they are there.
async fn differences(client: &Client, one: &str, other: &str, columns: &str) -> i64 {
    let counted =
        |table: &str| format!("SELECT {columns}, count(*) AS times FROM {table} GROUP BY {columns}");
    let (one, other) = (counted(one), counted(other));
    let missing = client.number(&format!("SELECT count(*) FROM ({one} EXCEPT {other}) AS x")).await;
    missing + client.number(&format!("SELECT count(*) FROM ({other} EXCEPT {one}) AS x")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_year_in_one_range_is_few_tasks_and_equals_its_single_days() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE raw (ts TIMESTAMP, host BIGINT, v BIGINT)").await;
    let rows = "SELECT CAST(to_timestamp_seconds(1672531200 + value * 2820) AS TIMESTAMP), value % 7, value * value % 1009 \
                FROM generate_series(0, 11160)";
    client.sql(&format!("INSERT INTO raw {rows}")).await;
    let query = "SELECT date_trunc('day', ts) AS ts, host, sum(v) AS v, count(*) AS n FROM raw GROUP BY 1, 2";
    let cut = "PARTITION BY (day(ts)) START '2023-01-01' END '2024-01-01'";
    client.sql(&format!("CREATE ASSET ranged {cut} AS {query}")).await;
    client.sql(&format!("CREATE ASSET single {cut} WITH (per_partition = true) AS {query}")).await;
    let year = "PARTITIONS 'day=2023-01-01' TO 'day=2023-12-31'";
    let run = client.sql(&format!("MATERIALIZE ASSET ranged {year} WAIT")).await;
    assert!(run.len() <= 12 && run.iter().all(|task| task[3] == "SUCCEEDED"), "{run:?}");
    let run = client.sql(&format!("MATERIALIZE ASSET single {year} WAIT")).await;
    assert_eq!(run.len(), 365);
    assert!(run.iter().all(|task| task[3] == "SUCCEEDED"), "{:?}", run.last());
    assert_eq!(differences(&client, "ranged", "single", "ts, host, v, n").await, 0);
    assert_eq!(client.number("SELECT sum(n) FROM ranged").await, 11_161);
    for asset in ["ranged", "single"] {
        let fresh = format!("SELECT count(*) FROM asset_partitions('{asset}') WHERE status = 'fresh'");
        assert_eq!(client.number(&fresh).await, 365, "{asset}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_range_is_held_goes_on_is_cancelled_and_repeated_from_its_failure() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE raw (ts TIMESTAMP, v BIGINT)").await;
    let rows = "SELECT CAST(to_timestamp_seconds(1672531200 + value * 3600) AS TIMESTAMP), value FROM generate_series(0, 719)";
    client.sql(&format!("INSERT INTO raw {rows}")).await;
    let cut = "PARTITION BY (day(ts)) START '2023-01-01' END '2023-01-31'";
    client.sql(&format!("CREATE ASSET days {cut} AS SELECT ts, v FROM raw")).await;
    // Held before it begins to go on: at least the last of its tasks has not begun.
    let run = client.sql("MATERIALIZE ASSET days MISSING WITH (chunk = 1, concurrency = 1)").await;
    let id = run[0][0].as_str().expect("a run").to_owned();
    client.sql(&format!("PAUSE RUN '{id}'")).await;
    let running = |id: &str| {
        format!("SELECT count(*) FROM system.flow.tasks WHERE run_id = '{id}' AND state = 'RUNNING'")
    };
    settles("the task that ran", PATIENCE, async || client.number(&running(&id)).await == 0).await;
    let left = format!("SELECT count(*) FROM system.flow.tasks WHERE run_id = '{id}' AND state = 'READY'");
    let held = client.number(&left).await;
    assert!(held > 0, "it was held in time");
    assert_eq!(
        text(&client, &format!("SELECT state FROM system.flow.runs WHERE run_id = '{id}'")).await,
        "PAUSED"
    );
    // Another run of another asset goes on meanwhile, and this one does not.
    client.sql("CREATE ASSET other AS SELECT count(*) AS n FROM raw").await;
    client.sql("MATERIALIZE ASSET other WAIT").await;
    assert_eq!(client.number(&left).await, held);
    client.sql(&format!("RESUME RUN '{id}'")).await;
    ended(&client).await;
    assert_eq!(client.number("SELECT count(*) FROM days").await, 720);

    // One day cannot be made; the others can, and only that one is repeated.
    client.sql("CREATE CHECK small ON days AS QUERY (SELECT * FROM days WHERE v >= 1000)").await;
    client.sql("UPDATE raw SET v = v + 1000 WHERE v = 250").await;
    let run = client.sql("MATERIALIZE ASSET days STALE WITH (chunk = 1) WAIT").await;
    let failed: Vec<&str> =
        run.iter().filter(|task| task[3] == "FAILED").filter_map(|task| task[2].as_str()).collect();
    assert_eq!((run.len(), failed.len()), (30, 1), "{run:?}");
    assert!(failed[0].ends_with("/day=d:2023-01-11"), "{failed:?}");
    let id = run[0][0].as_str().expect("a run");
    client.sql("DROP CHECK small ON days").await;
    let again = client.sql(&format!("RERUN RUN '{id}' FROM FAILURE")).await;
    assert_eq!((again.len(), again[0][2].as_str()), (1, Some(failed[0])));
    ended(&client).await;
    assert_eq!(client.number("SELECT count(*) FROM days WHERE v >= 1000").await, 1);
    assert_eq!(client.number("SELECT count(*) FROM days").await, 720);

    // What had committed stays when the rest is cancelled, and a run has its time.
    client.sql("UPDATE raw SET v = v + 1").await;
    let run = client.sql("MATERIALIZE ASSET days STALE WITH (chunk = 1)").await;
    let id = run[0][0].as_str().expect("a run").to_owned();
    client.sql(&format!("PAUSE RUN '{id}'")).await;
    settles("the task that ran", PATIENCE, async || client.number(&running(&id)).await == 0).await;
    client.sql(&format!("CANCEL RUN '{id}'")).await;
    ended(&client).await;
    assert_eq!(
        text(&client, &format!("SELECT state FROM system.flow.runs WHERE run_id = '{id}'")).await,
        "CANCELLED"
    );
    assert_eq!(client.number("SELECT count(*) FROM days").await, 720);
    let endless = "SELECT sum(a.value % 7 + b.value % 5) AS n \
                   FROM generate_series(1, 1000000) AS a CROSS JOIN generate_series(1, 1000000) AS b";
    client.sql(&format!("CREATE ASSET endless AS {endless}")).await;
    let run = client.sql("MATERIALIZE ASSET endless WITH (timeout = '1s') WAIT").await;
    assert_eq!(run[0][3], "CANCELLED", "{run:?}");
    let id = run[0][0].as_str().expect("a run");
    assert_eq!(
        text(&client, &format!("SELECT state FROM system.flow.runs WHERE run_id = '{id}'")).await,
        "TIMED_OUT"
    );
}

/// Rows with instants at the very ends of days, over both changes of the clocks of Rome.
async fn make_raw(client: &Client, ids: &Ids) {
    client.sql("CREATE TABLE raw (ts TIMESTAMPTZ, region TEXT, v BIGINT)").await;
    client.sql("CREATE TABLE rates (region TEXT, rate BIGINT)").await;
    client.sql("INSERT INTO rates VALUES ('eu', 2), ('us', 3), ('us', 5)").await;
    let mut rows = Vec::new();
    for n in 0..1_500 {
        let second = match ids.below(4) {
            0 => ids.below(330) * 86_400 + 79_200,
            1 => ids.below(330) * 86_400 + 82_799,
            _ => ids.below(330 * 86_400),
        };
        let region = ["'eu'", "'us'", "'jp'", "NULL"][usize::try_from(ids.below(4)).expect("few")];
        let at = Micros(1_707_955_200_000_000).plus(std::time::Duration::from_secs(second)).rfc3339();
        rows.push(format!("('{at}', {region}, {n})"));
    }
    client.sql(&format!("INSERT INTO raw VALUES {}", rows.join(", "))).await;
}

/// Ways to cut a year, or the regions.
fn cuts() -> [String; 5] {
    let bounds = "START '2024-02-01' END '2025-02-01'";
    [
        format!("PARTITION BY (hour(ts)) {bounds}"),
        format!("PARTITION BY (day(ts)) {bounds} TIMEZONE 'Europe/Rome'"),
        format!("PARTITION BY (week(ts)) {bounds} TIMEZONE 'Asia/Tokyo'"),
        format!("PARTITION BY (month(ts)) {bounds} TIMEZONE 'Europe/Rome'"),
        "PARTITION BY (region VALUES ('eu', 'us', 'jp', 'x', NULL))".to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_union_of_all_partitions_is_the_whole_and_no_row_is_there_twice() {
    let node = TestNode::start().await;
    let client = node.client();
    let ids = Ids::seeded(29, Clock::manual(Micros(0)));
    make_raw(&client, &ids).await;
    let queries = [
        ("SELECT ts, region, v FROM raw", "ts, region, v"),
        (
            "SELECT ts, region, CAST(row_number() OVER (PARTITION BY region ORDER BY v) AS BIGINT) AS v FROM raw",
            "ts, region, v",
        ),
        (
            "SELECT ts, raw.region, v * rate AS v FROM raw LEFT JOIN rates ON raw.region = rates.region",
            "ts, region, v",
        ),
        ("SELECT date_trunc('hour', ts) AS ts, region, sum(v) AS v FROM raw GROUP BY 1, 2", "ts, region, v"),
        (
            "SELECT ts, region, v FROM raw WHERE v % 3 = 0 UNION ALL SELECT ts, 'x', v FROM raw WHERE v % 3 = 1",
            "ts, region, v",
        ),
        ("SELECT ts, region, v FROM raw ORDER BY v DESC LIMIT 700", "ts, region, v"),
    ];
    let cuts = cuts();
    for (number, (query, columns)) in queries.iter().enumerate() {
        client.sql(&format!("CREATE ASSET whole_{number} AS {query}")).await;
        let mut names = vec![format!("whole_{number}")];
        for (kind, cut) in cuts.iter().enumerate() {
            // Each query in two cuts, so that all pairs that differ are met.
            if !(number + kind).is_multiple_of(3) {
                continue;
            }
            let name = format!("cut_{number}_{kind}");
            client.sql(&format!("CREATE ASSET {name} {cut} AS {query}")).await;
            let chunk = [1_000, 97, 2][kind % 3].max(if kind == 0 { 500 } else { 1 });
            let run =
                client.sql(&format!("MATERIALIZE ASSET {name} MISSING WITH (chunk = {chunk}) WAIT")).await;
            assert!(run.iter().all(|task| task[3] == "SUCCEEDED"), "{name}: {run:?}");
            names.push(name);
        }
        client.sql(&format!("MATERIALIZE ASSET whole_{number} WAIT")).await;
        for name in &names[1..] {
            assert_eq!(differences(&client, &names[0], name, columns).await, 0, "{name}");
        }
    }
}

/// Makes queries of an instant within the year, a region and a number.
struct Maker {
    ids: Ids,
}

impl Maker {
    fn one_of(&self, texts: &[&str]) -> String {
        texts[usize::try_from(self.ids.below(texts.len() as u64)).expect("few")].to_owned()
    }

    fn condition(&self, of: &str) -> String {
        let (few, many) = (self.ids.below(3), self.ids.below(1_500));
        match self.ids.below(6) {
            0 => format!("{of}.v % 3 = {few}"),
            1 => format!("{of}.v < {many}"),
            2 => format!("{of}.region IN (SELECT region FROM rates)"),
            3 => format!("{of}.region IS NOT NULL"),
            4 => format!("{of}.ts >= TIMESTAMPTZ '2024-06-01 12:00:00Z'"),
            _ => format!("NOT EXISTS (SELECT 1 FROM rates x WHERE x.region = {of}.region AND x.rate > 2)"),
        }
    }

    /// What stands behind FROM: rows `r` of `ts`, `region` and `v`.
    fn source(&self) -> String {
        match self.ids.below(5) {
            0 => "raw r".to_owned(),
            1 => format!(
                "(SELECT ts, region, v FROM raw a WHERE {} UNION ALL SELECT ts, 'x', v + 1 FROM raw b WHERE {}) r",
                self.condition("a"),
                self.condition("b")
            ),
            2 => format!(
                "(SELECT a.ts, a.region, a.v * coalesce(q.rate, 7) AS v FROM raw a {} JOIN rates q ON a.region = q.region) r",
                self.one_of(&["", "LEFT"])
            ),
            3 => "(SELECT date_trunc('hour', ts) AS ts, region, CAST(sum(v) AS BIGINT) AS v FROM raw GROUP BY 1, 2) r"
                .to_owned(),
            _ => "(SELECT ts, region, CAST(row_number() OVER (PARTITION BY region ORDER BY ts, v) AS BIGINT) AS v FROM raw) r"
                .to_owned(),
        }
    }

    fn value(&self, depth: u32) -> String {
        let most = if depth == 0 { 1 } else { 6 };
        match self.ids.below(most) {
            0 => "r.v".to_owned(),
            1 => format!("({} + {})", self.value(depth - 1), self.ids.below(9)),
            2 => format!("abs({} - 700)", self.value(depth - 1)),
            3 => format!(
                "CASE WHEN {} THEN {} ELSE {} END",
                self.one_of(&["r.v % 2 = 0", "r.region IS NULL", "r.v < 600"]),
                self.value(depth - 1),
                self.value(depth - 1)
            ),
            4 => format!("({} + (SELECT max(rate) FROM rates))", self.value(depth - 1)),
            _ => format!("CAST(length(coalesce(r.region, '')) AS BIGINT) + {}", self.value(depth - 1)),
        }
    }

    fn query(&self) -> String {
        let at = self.one_of(&["r.ts", "r.ts", "r.ts + INTERVAL '3 hours'", "date_trunc('day', r.ts)"]);
        let region = self.one_of(&[
            "r.region",
            "r.region",
            "coalesce(r.region, 'jp')",
            "CASE WHEN r.v % 2 = 0 THEN 'x' ELSE r.region END",
        ]);
        let (value, source) = (self.value(2), self.source());
        let filter = match self.ids.below(2) {
            0 => String::new(),
            _ => format!(" WHERE {}", self.condition("r")),
        };
        let rows = format!("SELECT {at} AS ts, {region} AS region, {value} AS v FROM {source}{filter}");
        match self.ids.below(6) {
            0 | 1 => rows,
            2 => format!("SELECT ts, region, sum(v) AS v FROM ({rows}) g GROUP BY 1, 2"),
            3 => rows.replacen("SELECT", "SELECT DISTINCT", 1),
            // Rows that are equal may stand for each other, so it is always the same ones.
            4 => format!("{rows} ORDER BY 3 DESC, 1, 2 LIMIT {}", 1 + self.ids.below(1_000)),
            _ => format!("SELECT ts, region, sum(v) OVER (PARTITION BY region) AS v FROM ({rows}) g"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partitions_of_random_queries_are_the_whole_and_no_row_is_there_twice() {
    let (queries, seed) = (number_of("CENOTE_ASSET_QUERIES", 15), number_of("CENOTE_SEED", 1));
    println!("seed {seed}, {queries} queries");
    let node = TestNode::start().await;
    let client = node.client();
    let maker = Maker { ids: Ids::seeded(seed, Clock::manual(Micros(0))) };
    make_raw(&client, &maker.ids).await;
    let (cuts, mut filled) = (cuts(), 0);
    for number in 0..queries {
        let query = maker.query();
        let cut = &cuts[usize::try_from(maker.ids.below(cuts.len() as u64)).expect("few")];
        let (whole, parts) = (format!("whole_{number}"), format!("parts_{number}"));
        client.sql(&format!("CREATE ASSET {whole} AS {query}")).await;
        client.sql(&format!("CREATE ASSET {parts} {cut} AS {query}")).await;
        let chunk = [1_000, 2_500, 12_000][usize::try_from(maker.ids.below(3)).expect("few")];
        for run in [
            format!("MATERIALIZE ASSET {whole} WAIT"),
            format!("MATERIALIZE ASSET {parts} MISSING WITH (chunk = {chunk}) WAIT"),
        ] {
            let tasks = client.sql(&run).await;
            assert!(tasks.iter().all(|task| task[3] == "SUCCEEDED"), "{query}: {tasks:?}");
        }
        assert_eq!(differences(&client, &whole, &parts, "ts, region, v").await, 0, "{cut}: {query}");
        filled += i64::from(client.number(&format!("SELECT count(*) FROM {whole}")).await > 0);
    }
    assert!(filled * 4 > i64::try_from(queries).expect("few") * 3, "{filled} of {queries} queries have rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_makes_the_newest_partition_that_has_ended() {
    let node = TestNode::start().await;
    let client = node.client();
    client.sql("CREATE TABLE raw (ts TIMESTAMPTZ, v BIGINT)").await;
    let cut = "PARTITION BY (day(ts)) START '2020-01-01'";
    let query = "SELECT ts, v FROM raw";
    client.sql(&format!("CREATE ASSET daily {cut} SCHEDULE '* * * * * *' IF STALE AS {query}")).await;
    let skipped = "SELECT count(*) FROM system.flow.ticks WHERE reason = 'fresh'";
    settles("the second tick", PATIENCE, async || client.number(skipped).await >= 1).await;
    let days = "SELECT count(*) FROM system.flow.asset_partitions WHERE partition_key IN \
                ('day=d:' || CAST(CAST(now() AS DATE) - INTERVAL '1 day' AS DATE), \
                'day=d:' || CAST(CAST(now() AS DATE) - INTERVAL '2 days' AS DATE))";
    assert!(client.number(days).await >= 1, "yesterday, or the day before if midnight passed");
    assert!(client.number("SELECT count(*) FROM system.flow.asset_partitions").await <= 2);
    // One whose first day is still to come has nothing to make.
    client
        .sql(&format!(
            "CREATE ASSET later PARTITION BY (day(ts)) START '2999-01-01' SCHEDULE '* * * * * *' AS {query}"
        ))
        .await;
    let none = "SELECT count(*) FROM system.flow.ticks WHERE reason = 'no_partition' AND status = 'SKIPPED'";
    settles("a tick of nothing", PATIENCE, async || client.number(none).await >= 1).await;
}
