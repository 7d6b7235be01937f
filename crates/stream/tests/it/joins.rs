//! Joins of rows that happen near each other, beside the batch answer, by chance.

use cenote_stream::{Limits, Run, Step};
use cenote_testkit::number_of;
use cenote_vocab::Micros;

use crate::views::Chance;
use crate::world::{World, drain, epochs_of};

/// Kinds of joins: their name, the query with `{near}` for the condition, and which unmatched rows the batch answer may not show yet.
const KINDS: [(&str, &str, &str); 8] = [
    ("inners", "SELECT a.id AS a, b.id AS b FROM a JOIN b ON {near}", "true"),
    ("lefts", "SELECT a.id AS a, b.id AS b FROM a LEFT JOIN b ON {near}", "b.id IS NOT NULL OR {left_over}"),
    (
        "rights",
        "SELECT a.id AS a, b.id AS b FROM a RIGHT JOIN b ON {near}",
        "a.id IS NOT NULL OR {right_over}",
    ),
    (
        "fulls",
        "SELECT a.id AS a, b.id AS b FROM a FULL JOIN b ON {near}",
        "(a.id IS NOT NULL AND b.id IS NOT NULL) OR (b.id IS NULL AND {left_over}) OR (a.id IS NULL AND {right_over})",
    ),
    (
        "left_semis",
        "SELECT id AS a, NULL::BIGINT AS b FROM a WHERE EXISTS (SELECT 1 FROM b WHERE {near})",
        "",
    ),
    (
        "left_antis",
        "SELECT id AS a, NULL::BIGINT AS b FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE {near})",
        " AND {left_over}",
    ),
    (
        "right_semis",
        "SELECT id AS a, NULL::BIGINT AS b FROM b WHERE EXISTS (SELECT 1 FROM a WHERE {near})",
        "",
    ),
    (
        "right_antis",
        "SELECT id AS a, NULL::BIGINT AS b FROM b WHERE NOT EXISTS (SELECT 1 FROM a WHERE {near})",
        " AND {right_over}",
    ),
];

/// `low ≤ a.time − b.time ≤ high`, in seconds.
#[derive(Clone, Copy)]
struct Near {
    low: i64,
    high: i64,
}

impl Near {
    fn condition(self) -> String {
        let Self { low, high } = self;
        format!(
            "a.k = b.k AND a.time >= b.time + INTERVAL '{low} seconds' AND b.time >= a.time - INTERVAL '{high} seconds' AND a.v <> b.v"
        )
    }

    /// The batch answer, without what is not decided at a watermark.
    fn batch(self, query: &str, shown: &str, watermark: i64) -> String {
        let at = match watermark {
            i64::MIN => "1900-01-01T00:00:00".to_owned(),
            at => Micros(at).rfc3339().trim_end_matches('Z').to_owned(),
        };
        let shown = shown
            .replace("{left_over}", &format!("a.time - INTERVAL '{} seconds' < TIMESTAMP '{at}'", self.low))
            .replace(
                "{right_over}",
                &format!("b.time + INTERVAL '{} seconds' < TIMESTAMP '{at}'", self.high),
            );
        let query = query.replace("{near}", &self.condition());
        match shown.as_str() {
            "" => query,
            more if more.starts_with(" AND") => format!("{query}{more}"),
            shown => format!("{query} WHERE {shown}"),
        }
    }
}

async fn sorted(world: &World, sql: &str) -> Vec<String> {
    let mut rows = world.client.rows(sql).await;
    rows.sort();
    rows
}

async fn rounds(seed: u64, near: Near, limits: Limits) {
    let world = World::new().await;
    let mut chance = Chance(seed);
    for side in ["a", "b"] {
        world
            .client
            .rows(&format!("CREATE TABLE {side} (time TIMESTAMP, id BIGINT, k BIGINT, v BIGINT)"))
            .await;
    }
    let mut script = "SET watermark_delay = INTERVAL '20 seconds';".to_owned();
    for (name, query, _) in KINDS {
        world.client.rows(&format!("CREATE TABLE {name} (a BIGINT, b BIGINT)")).await;
        script += &format!("INSERT INTO {name} {};", query.replace("{near}", &near.condition()));
    }
    world.client.rows(&format!("CREATE PIPELINE p WITH (desired = 'paused') AS $${script}$$")).await;
    let (mut id, mut most_held) = (0, 0);
    let mut run = world.open("p", limits).await.expect("opens");
    for round in 0..8_u64 {
        for side in ["a", "b"] {
            let rows: Vec<String> = (0..12)
                .map(|_| {
                    id += 1;
                    // Out of order, but never later than the delay.
                    let second = round * 30 + chance.below(20) + u64::from(side == "b") * chance.below(3);
                    let key = match chance.below(5) {
                        0 => "NULL".to_owned(),
                        key => key.to_string(),
                    };
                    format!(
                        "(TIMESTAMP '2026-01-01' + INTERVAL '{second} seconds', {id}, {key}, {})",
                        chance.below(4)
                    )
                })
                .collect();
            world.client.rows(&format!("INSERT INTO {side} VALUES {}", rows.join(", "))).await;
        }
        drain(&mut run).await;
        if round % 3 == 2 {
            run = world.open("p", limits).await.expect("opens again");
        }
        for (name, query, shown) in KINDS {
            let batch = near.batch(query, shown, run.watermark());
            assert_eq!(
                sorted(&world, &format!("SELECT * FROM {name}")).await,
                sorted(&world, &batch).await,
                "{name} in round {round} of {seed}"
            );
        }
        most_held = most_held.max(run.held().0);
    }
    assert_eq!(run.counts().2, 0, "no row is late");
    // Rows and marks of the last rounds of eight joins, of eight rounds.
    assert!(most_held < 8 * 2 * 2 * 12 * 5, "{most_held} held");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_near_each_other_are_joined_as_the_batch_joins_them() {
    for (seed, near, limits) in [
        (1, Near { low: -5, high: 10 }, Limits::default()),
        (2, Near { low: 0, high: 0 }, epochs_of(5)),
        (3, Near { low: 3, high: 12 }, epochs_of(7)),
        (4, Near { low: -15, high: -2 }, Limits { inline_state_bytes: 0, ..epochs_of(1) }),
    ] {
        Box::pin(rounds(seed, near, limits)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_table_is_looked_up_by_the_keys_of_an_epoch() {
    let world = World::new().await;
    for sql in [
        "CREATE TABLE src (time TIMESTAMP, id BIGINT, k INT, p TEXT)",
        "CREATE TABLE prices (k BIGINT, p TEXT, price BIGINT, PRIMARY KEY (k, p) NOT ENFORCED)",
        "CREATE TABLE out (id BIGINT, price BIGINT)",
        "INSERT INTO prices SELECT value % 100, 'p' || (value / 100)::TEXT, value FROM range(0, 300)",
        "CREATE PIPELINE p WITH (desired = 'paused') AS $$ \
         CREATE TABLE priced WITH (connector = 'lake', table = 'prices', type = 'lookup'); \
         INSERT INTO out SELECT id, price FROM src LEFT JOIN priced ON src.p = priced.p AND src.k = priced.k $$",
    ] {
        world.client.rows(sql).await;
    }
    let limits = Limits { lookup_bytes: 0, ..epochs_of(10) };
    let mut run = world.open("p", limits).await.expect("opens");
    let insert = |from: u64| {
        format!(
            "INSERT INTO src SELECT TIMESTAMP '2026-01-01', {from} + value, CASE WHEN value = 7 THEN NULL ELSE value % 110 END, 'p' || (value % 4)::TEXT FROM range(0, 40)"
        )
    };
    let batch = "SELECT id, price FROM src LEFT JOIN prices ON src.p = prices.p AND src.k = prices.k";
    world.client.rows(&insert(0)).await;
    drain(&mut run).await;
    assert_eq!(sorted(&world, "SELECT * FROM out").await, sorted(&world, batch).await);
    // Keys that were asked for are known, until the table changes.
    world.client.rows("UPDATE prices SET price = -price WHERE k = 5").await;
    world.client.rows("DELETE FROM prices WHERE k = 6").await;
    world.client.rows("DELETE FROM src").await;
    world.client.rows(&insert(100)).await;
    drain(&mut run).await;
    assert_eq!(sorted(&world, "SELECT * FROM out WHERE id >= 100").await, sorted(&world, batch).await);
    world.stop().await;
}

/// Keys of the rows of a side, and so many of its ids.
const CHANGED_KEYS: u64 = 25;
const CHANGED_IDS: u64 = 120;

/// Random inserts, updates and deletes of both sides, a statement each; some keys are NULL.
fn changes_of_sides(chance: &mut Chance) -> Vec<String> {
    let mut statements = Vec::new();
    for side in ["a", "b"] {
        let rows: Vec<String> = (0..40)
            .map(|_| {
                let (id, key) = (chance.below(CHANGED_IDS), chance.below(CHANGED_KEYS));
                let key = if key == 0 { "NULL".to_owned() } else { key.to_string() };
                (id, format!("({id}, {key}, {})", chance.below(6)))
            })
            .collect::<std::collections::BTreeMap<u64, String>>()
            .into_values()
            .collect();
        statements.push(format!(
            "INSERT INTO {side} VALUES {} ON CONFLICT (id) DO UPDATE SET k = excluded.k, v = excluded.v",
            rows.join(", ")
        ));
        statements.push(format!("DELETE FROM {side} WHERE id % 4 = {} AND v < 3", chance.below(4)));
    }
    statements
}

/// A view whose epochs are run by hand.
struct Stepped {
    name: &'static str,
    /// With `{a}` and `{b}` for the tables.
    query: &'static str,
    run: Run,
}

impl Stepped {
    async fn new(world: &World, name: &'static str, query: &'static str) -> Self {
        let of_tables = query.replace("{a}", "a").replace("{b}", "b");
        world.client.rows(&format!("CREATE MATERIALIZED VIEW {name} AS {of_tables}")).await;
        let named = format!("SELECT name FROM system.stream.pipelines WHERE starts_with(name, '_{name}_')");
        let pipeline = world.client.rows(&named).await.pop().expect("the pipeline that keeps it");
        world.client.rows(&format!("PAUSE PIPELINE \"{pipeline}\"")).await;
        let run = world.open(&pipeline, epochs_of(30)).await.expect("opens");
        Self { name, query, run }
    }

    /// Runs all epochs there are: after each the view is the batch answer of the transaction that it has reached. Answers how many
    /// there were.
    async fn compare_each(&mut self, world: &World, when: &str) -> usize {
        let mut emissions = 0;
        while let Step::Committed(_) = self.run.step().await.expect("an epoch") {
            // The rows that are there at the start are one emission, of several epochs.
            let Some(reached) = self.run.reached() else { continue };
            let at = |table: &str| format!("(SELECT * FROM {table} FOR VERSION AS OF {})", reached.0);
            let batch = self.query.replace("{a}", &at("a")).replace("{b}", &at("b"));
            assert_eq!(
                sorted(world, &format!("SELECT * FROM {}", self.name)).await,
                sorted(world, &batch).await,
                "{} {when}, at {reached}",
                self.name
            );
            emissions += 1;
        }
        emissions
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outer_joins_of_changes_are_the_batch_answer_after_each_emission() {
    let changes = number_of("CENOTE_JOIN_CHANGES", 2_500);
    let world = World::new().await;
    for side in ["a", "b"] {
        let sql =
            format!("CREATE TABLE {side} (id BIGINT, k BIGINT, v BIGINT, PRIMARY KEY (id) NOT ENFORCED)");
        world.client.rows(&sql).await;
    }
    let mut chance = Chance(4711);
    world.all(&changes_of_sides(&mut chance)).await;
    // Rows without a partner have no id of the other side: their place in the key is -1.
    let mut views = [
        Stepped::new(
            &world,
            "lefts",
            "SELECT a.id AS a, coalesce(b.id, -1) AS b, a.v, b.v AS w FROM {a} a LEFT JOIN {b} b ON a.k = b.k AND a.v <= b.v",
        )
        .await,
        Stepped::new(
            &world,
            "rights",
            "SELECT coalesce(a.id, -1) AS a, b.id AS b, a.v, b.v AS w FROM {a} a RIGHT JOIN {b} b ON a.k = b.k AND a.v <= b.v",
        )
        .await,
        Stepped::new(
            &world,
            "fulls",
            "SELECT coalesce(a.id, -1) AS a, coalesce(b.id, -1) AS b, a.v, b.v AS w FROM {a} a FULL JOIN {b} b ON a.k = b.k",
        )
        .await,
    ];
    let (mut statements, mut emissions) = (0, 0);
    while views[0].run.counts().0 < changes {
        for sql in changes_of_sides(&mut chance) {
            world.client.rows(&sql).await;
            statements += 1;
            for view in &mut views {
                emissions += view.compare_each(&world, &format!("after statement {statements}")).await;
            }
        }
    }
    // A statement may find nothing to delete.
    assert!(emissions > 2 * statements, "{emissions} emissions of {statements} statements");
    world.stop().await;
}
