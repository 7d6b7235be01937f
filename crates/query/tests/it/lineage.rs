//! Which column came of which: a column that is not among the sources of another can be changed, and the other stays what it was.

use std::collections::{BTreeMap, BTreeSet};

use cenote_testkit::engine::{TestSession, node};
use cenote_testkit::number_of;
use cenote_vocab::{Clock, ErrorKind, Fault as _, Ids};

const TABLES: [(&str, &[&str]); 2] = [("t", &["k", "a", "b", "c"]), ("u", &["k", "d", "e"])];
const ROWS: u64 = 24;

/// Makes queries over the tables.
struct Maker {
    chance: Ids,
}

impl Maker {
    fn one_of<'a>(&self, texts: &[&'a str]) -> &'a str {
        texts[usize::try_from(self.chance.below(texts.len() as u64)).expect("small")]
    }

    fn column(&self, source: &Source) -> String {
        let columns: Vec<&str> = source.columns.iter().map(String::as_str).collect();
        self.one_of(&columns).to_owned()
    }

    /// A number.
    fn value(&self, source: &Source, depth: u32) -> String {
        if depth == 0 {
            return self.column(source);
        }
        let inner = |maker: &Self| maker.value(source, depth - 1);
        match self.chance.below(9) {
            0..3 => self.column(source),
            3 => format!("({} + {})", inner(self), inner(self)),
            4 => format!("coalesce({}, {})", inner(self), inner(self)),
            5 => format!(
                "CASE WHEN {} THEN {} ELSE {} END",
                self.condition(source, 0),
                inner(self),
                inner(self)
            ),
            6 => format!("abs({} - 5)", inner(self)),
            7 => format!("(SELECT max(x.d) + {} FROM {{u}} x WHERE x.e < 7)", self.chance.below(3)),
            _ => format!("CAST({} AS INTEGER)", inner(self)),
        }
    }

    fn condition(&self, source: &Source, depth: u32) -> String {
        let value = self.value(source, depth);
        match self.chance.below(7) {
            0..3 => format!("{value} {} {}", self.one_of(&["<", ">", "=", "<>"]), self.chance.below(9)),
            3 => format!("{value} IS NOT NULL"),
            4 => format!("{value} IN (SELECT y.e FROM {{u}} y WHERE y.d < 6)"),
            // of a column only: the engine does not look for outer columns two queries out
            5 => format!("EXISTS (SELECT 1 FROM {{t}} z WHERE z.k = {} AND z.b > 3)", self.column(source)),
            _ => format!("{value} NOT IN (1, 2, 3)"),
        }
    }

    fn source(&self) -> Source {
        let named = |table: &str, alias: &str| -> Vec<String> {
            let columns = TABLES.iter().find(|(name, _)| *name == table).expect("a table").1;
            columns.iter().map(|column| format!("{alias}.{column}")).collect()
        };
        match self.chance.below(6) {
            0 | 1 => Source { text: "{t} p".into(), columns: named("t", "p") },
            2 => Source {
                text: format!(
                    "{{t}} p {} JOIN {{u}} q ON p.{} = q.{}",
                    self.one_of(&["", "LEFT", "RIGHT", "FULL"]),
                    self.one_of(&["k", "a"]),
                    self.one_of(&["k", "d"])
                ),
                columns: [named("t", "p"), named("u", "q")].concat(),
            },
            3 => Source {
                text:
                    "(SELECT k, a + b AS m, c AS n FROM {t} WHERE a > 2 UNION ALL SELECT k, d, e FROM {u}) p"
                        .into(),
                columns: ["p.k", "p.m", "p.n"].map(str::to_owned).to_vec(),
            },
            4 => Source {
                text: "(SELECT b, count(*) AS m, sum(c) AS n FROM {t} GROUP BY b) p".into(),
                columns: ["p.b", "p.m", "p.n"].map(str::to_owned).to_vec(),
            },
            _ => Source {
                text: "(SELECT k, a, row_number() OVER (PARTITION BY b ORDER BY c, k) AS r FROM {t}) p"
                    .into(),
                columns: ["p.k", "p.a", "p.r"].map(str::to_owned).to_vec(),
            },
        }
    }

    fn query(&self) -> String {
        let source = self.source();
        let filter = match self.chance.below(2) {
            0 => String::new(),
            _ => format!(" WHERE {}", self.condition(&source, 1)),
        };
        let from = format!("FROM {}{filter}", source.text);
        let value = || self.value(&source, 2);
        match self.chance.below(5) {
            0 => format!("SELECT {} AS x, {} AS y {from}", value(), value()),
            1 => {
                let key = self.column(&source);
                let filter = self.one_of(&["", " FILTER (WHERE 1 = 1)"]);
                let having = self.one_of(&["", " HAVING count(*) > 1"]);
                format!(
                    "SELECT {key} AS x, sum({}) AS y, count(DISTINCT {}){filter} AS z {from} GROUP BY {key}{having}",
                    value(),
                    value()
                )
            }
            2 => format!("SELECT DISTINCT {} AS x, {} AS y {from}", self.column(&source), value()),
            3 => {
                let order: Vec<String> = (1..=3).map(|place| place.to_string()).collect();
                format!(
                    "SELECT {} AS x, {} AS y, {} AS z {from} ORDER BY {} LIMIT 5",
                    value(),
                    value(),
                    value(),
                    order.join(", ")
                )
            }
            _ => format!(
                "SELECT {} AS x, sum({}) OVER (PARTITION BY {}) AS y {from}",
                value(),
                value(),
                self.column(&source)
            ),
        }
    }
}

/// What stands behind FROM.
struct Source {
    text: String,
    columns: Vec<String>,
}

/// The query over these tables.
fn over(query: &str, t: &str, u: &str) -> String {
    query.replace("{t}", t).replace("{u}", u)
}

/// Each column of the answer, its values sorted.
async fn values(client: &TestSession, query: &str) -> Vec<Vec<String>> {
    let rows = client.rows(query).await;
    let mut columns: Vec<Vec<String>> = Vec::new();
    for row in &rows {
        for (at, value) in row.split('|').enumerate() {
            if columns.len() <= at {
                columns.push(Vec::new());
            }
            columns[at].push(value.to_owned());
        }
    }
    columns.iter_mut().for_each(|column| column.sort());
    columns
}

/// The tables, and for each of their columns one in which it alone is another: `t_a` is `t` with another `a`.
async fn make_tables(client: &TestSession, chance: &Ids) {
    for (table, columns) in TABLES {
        let typed: Vec<String> = columns.iter().map(|column| format!("{column} BIGINT")).collect();
        client.rows(&format!("CREATE TABLE {table} ({})", typed.join(", "))).await;
        let rows: Vec<String> = (0..ROWS)
            .map(|row| {
                let rest = columns[1..].iter().map(|_| match chance.below(8) {
                    0 => "NULL".to_owned(),
                    _ => chance.below(9).to_string(),
                });
                let values: Vec<String> = std::iter::once(row.to_string()).chain(rest).collect();
                format!("({})", values.join(", "))
            })
            .collect();
        client.rows(&format!("INSERT INTO {table} VALUES {}", rows.join(", "))).await;
        for changed in columns {
            let list: Vec<String> = columns
                .iter()
                .map(|column| match (column == changed, *column) {
                    (true, "k") => format!("{ROWS} + 3 - k AS k"),
                    (true, other) => format!("(coalesce({other}, 4) * 5 + k) % 9 AS {other}"),
                    (false, other) => other.to_owned(),
                })
                .collect();
            client
                .rows(&format!("CREATE TABLE {table}_{changed} AS SELECT {} FROM {table}", list.join(", ")))
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_stay_when_what_is_none_of_their_sources_changes() {
    let (plans, seed) = (number_of("CENOTE_LINEAGE_PLANS", 60), number_of("CENOTE_SEED", 1));
    println!("seed {seed}, {plans} plans");
    let node = node().await;
    let client = node.session().await;
    let maker = Maker { chance: Ids::seeded(seed, Clock::system()) };
    make_tables(&client, &maker.chance).await;
    let (mut exact, mut kept) = (0, 0);
    for plan in 0..plans {
        let query = maker.query();
        let made = format!("made_{plan}");
        match client.run(&format!("CREATE TABLE {made} AS {}", over(&query, "t", "u"))).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Unsupported => continue, // a subquery in a place that the engine has not
            Err(error) => panic!("{query}: {error}"),
        }
        let right = values(&client, &over(&query, "t", "u")).await;
        if right.is_empty() {
            continue; // nothing came of anything
        }
        let sound = client
            .rows(&format!(
                "SELECT DISTINCT soundness FROM system.lineage.edges WHERE target_id = \
                 (SELECT CAST(id AS VARCHAR) FROM system.catalog.tables WHERE table_name = '{made}')"
            ))
            .await;
        assert_eq!(sound, ["exact"], "{query}");
        exact += 1;
        let mut sources: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (at, column) in ["x", "y", "z"].iter().enumerate().take(right.len()) {
            let found = client
                .rows(&format!(
                    "SELECT DISTINCT split_part(source_table, '.', 2) || '_' || source_column \
                     FROM column_lineage('{made}', '{column}', 'upstream')"
                ))
                .await;
            sources.insert(at.to_string(), found.into_iter().collect());
        }
        for (table, columns) in TABLES {
            for column in columns {
                let changed = format!("{table}_{column}");
                let (t, u) = if table == "t" { (changed.as_str(), "u") } else { ("t", changed.as_str()) };
                let found = values(&client, &over(&query, t, u)).await;
                for (at, right) in right.iter().enumerate() {
                    if !sources[&at.to_string()].contains(&changed) {
                        let none = Vec::new();
                        assert_eq!(
                            found.get(at).unwrap_or(&none),
                            right,
                            "column {at} with another {changed}: {query}"
                        );
                        kept += 1;
                    }
                }
            }
        }
        client.rows(&format!("DROP TABLE {made}")).await;
    }
    assert!(exact * 2 > plans, "{exact} of {plans} plans ran");
    assert!(kept > exact, "{kept} columns were none of the sources");
}

/// Types as they are in `bench/query.py`.
const TPCH: [(&str, &str); 8] = [
    ("region", "r_regionkey BIGINT, r_name VARCHAR, r_comment VARCHAR"),
    ("nation", "n_nationkey BIGINT, n_name VARCHAR, n_regionkey BIGINT, n_comment VARCHAR"),
    (
        "supplier",
        "s_suppkey BIGINT, s_name VARCHAR, s_address VARCHAR, s_nationkey BIGINT, s_phone VARCHAR, s_acctbal DECIMAL(15,2), s_comment VARCHAR",
    ),
    (
        "customer",
        "c_custkey BIGINT, c_name VARCHAR, c_address VARCHAR, c_nationkey BIGINT, c_phone VARCHAR, c_acctbal DECIMAL(15,2), \
         c_mktsegment VARCHAR, c_comment VARCHAR",
    ),
    (
        "part",
        "p_partkey BIGINT, p_name VARCHAR, p_mfgr VARCHAR, p_brand VARCHAR, p_type VARCHAR, p_size BIGINT, p_container VARCHAR, \
         p_retailprice DECIMAL(15,2), p_comment VARCHAR",
    ),
    (
        "partsupp",
        "ps_partkey BIGINT, ps_suppkey BIGINT, ps_availqty BIGINT, ps_supplycost DECIMAL(15,2), ps_comment VARCHAR",
    ),
    (
        "orders",
        "o_orderkey BIGINT, o_custkey BIGINT, o_orderstatus VARCHAR, o_totalprice DECIMAL(15,2), o_orderdate DATE, \
         o_orderpriority VARCHAR, o_clerk VARCHAR, o_shippriority BIGINT, o_comment VARCHAR",
    ),
    (
        "lineitem",
        "l_orderkey BIGINT, l_partkey BIGINT, l_suppkey BIGINT, l_linenumber BIGINT, l_quantity DECIMAL(15,2), \
         l_extendedprice DECIMAL(15,2), l_discount DECIMAL(15,2), l_tax DECIMAL(15,2), l_returnflag VARCHAR, l_linestatus VARCHAR, \
         l_shipdate DATE, l_commitdate DATE, l_receiptdate DATE, l_shipinstruct VARCHAR, l_shipmode VARCHAR, l_comment VARCHAR",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_of_all_queries_of_tpch_are_known() {
    let node = node().await;
    let client = node.session().await;
    for (table, columns) in TPCH {
        client.rows(&format!("CREATE TABLE {table} ({columns})")).await;
    }
    for number in 1..=22 {
        client.rows(&format!("CREATE TABLE q{number} AS {}", tpch_query(number))).await;
        let code = client
            .rows(&format!(
                "SELECT soundness FROM system.catalog.code WHERE text LIKE 'CREATE TABLE q{number} AS%'"
            ))
            .await;
        assert_eq!(code, ["exact"], "q{number}");
    }
    let revenue = client
        .rows(
            "SELECT source_column, kind, subtype FROM column_lineage('q6', 'revenue', 'upstream') \
             WHERE source_table LIKE '%lineitem' ORDER BY 1, 2, 3",
        )
        .await;
    assert_eq!(
        revenue,
        [
            "l_discount|direct|aggregation",
            "l_discount|indirect|filter",
            "l_extendedprice|direct|aggregation",
            "l_quantity|indirect|filter",
            "l_shipdate|indirect|filter",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_known_of_a_statement_is_not_told() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE TABLE t (a BIGINT, b BIGINT)").await;
    client.rows("INSERT INTO t VALUES (1, 2)").await;
    client.rows("CREATE TABLE m AS SELECT a AS x FROM t, generate_series(1, 3) AS s(v)").await;
    client
        .rows("CREATE TABLE r AS WITH RECURSIVE w AS (SELECT a AS x FROM t UNION ALL SELECT x + 1 FROM w WHERE x < 3) SELECT x FROM w")
        .await;
    let edges = client.rows("SELECT DISTINCT edge_type, soundness FROM system.lineage.edges").await;
    assert_eq!(edges, ["derives_from|table_only"]);
    assert_eq!(client.rows("SELECT count(*) FROM system.lineage.column_edges").await, ["0"]);
    client.rows("CREATE VIEW v AS SELECT b AS y, a FROM t").await;
    client.rows("CREATE TABLE n AS SELECT y AS z, CAST(a AS DOUBLE) AS a FROM v").await;
    assert_eq!(
        client
            .rows(
                "SELECT source_column, target_column, subtype FROM column_lineage('t', 'b', 'downstream', 5)"
            )
            .await,
        ["b|z|identity"]
    );
    let types = client.rows("SELECT edge_type FROM system.lineage.edges WHERE soundness = 'exact'").await;
    assert_eq!(types, ["derives_from"], "a cast to DOUBLE does not keep each value");
    let error = client.error("SELECT * FROM column_lineage('n', 'nope')").await;
    assert!(error.to_string().contains("column \"nope\" does not exist in default.n"), "{error}");
}

/// One of these words, by a number.
fn pick(number: &str, words: &[&str]) -> String {
    let cases: Vec<String> =
        words.iter().enumerate().map(|(at, word)| format!("WHEN {at} THEN '{word}'")).collect();
    format!("CASE ({number}) % {} {} END", words.len(), cases.join(" "))
}

/// So many days after 1993-07-01.
fn day(days: &str) -> String {
    format!("arrow_cast(CAST(8582 + {days} AS INTEGER), 'Date32')")
}

/// Rows of each table and the values of row `i`, chosen so that every query answers something.
fn tpch_rows() -> [(&'static str, u32, String); 8] {
    let nations = [
        "FRANCE",
        "GERMANY",
        "BRAZIL",
        "CANADA",
        "SAUDI ARABIA",
        "CHINA",
        "INDIA",
        "PERU",
        "UNITED STATES",
        "JAPAN",
    ];
    let join = |values: &[String]| values.join(", ");
    let own = str::to_owned;
    let sold = "i / 4 * 37 % 1200";
    [
        (
            "region",
            5,
            join(&[own("i"), pick("i", &["AMERICA", "EUROPE", "ASIA", "AFRICA", "MIDDLE EAST"]), own("'c'")]),
        ),
        (
            "nation",
            10,
            join(&[
                own("i"),
                pick("i", &nations),
                own(
                    "CASE i WHEN 0 THEN 1 WHEN 1 THEN 1 WHEN 4 THEN 4 WHEN 5 THEN 2 WHEN 6 THEN 2 WHEN 9 THEN 2 ELSE 0 END",
                ),
                own("'c'"),
            ]),
        ),
        (
            "supplier",
            20,
            join(&[
                own("i, concat('S', i), concat('a', i), i % 10, concat(13 + i, '-1'), i * 100 - 300"),
                pick("i", &["good", "Customer x Complaints", "c", "d", "e", "f", "g"]),
            ]),
        ),
        (
            "customer",
            40,
            join(&[
                own("i, concat('C', i), concat('a', i), i % 10"),
                format!("concat({}, '-555')", pick("i", &["13", "31", "23", "29", "30", "18", "17", "44"])),
                own("i * 37 % 50 * 10 - 90"),
                pick("i", &["BUILDING", "MACHINERY"]),
                own("concat('c', i)"),
            ]),
        ),
        (
            "part",
            20,
            join(&[
                own("i"),
                pick("i", &["forest green", "green lace", "forest blush", "plum"]),
                own("concat('M', i)"),
                pick("i", &["Brand#23", "Brand#12", "Brand#34", "Brand#23", "Brand#45"]),
                pick("i + 1", &["ECONOMY ANODIZED STEEL", "PROMO BRASS", "STANDARD BRASS", "PROMO TIN"]),
                own("CASE i % 4 WHEN 0 THEN 15 WHEN 1 THEN 1 WHEN 2 THEN 14 ELSE 9 END"),
                pick("i", &["MED BOX", "SM BOX", "LG BOX", "MED BOX", "SM CASE", "MED BAG"]),
                own("i * 10 + 900, 'c'"),
            ]),
        ),
        ("partsupp", 80, own("i % 20, (i % 20 + i / 20 * 5) % 20, i * 13 % 97 * 100, i * 7 % 31 + 1, 'c'")),
        (
            "orders",
            240,
            join(&[
                own("i, i * 7 % 30"),
                pick("i", &["F", "O", "F"]),
                own("i * 100 + 1"),
                day("i * 37 % 1200"),
                pick("i", &["1-URGENT", "3-MEDIUM", "2-HIGH"]),
                own("concat('k', i), 0"),
                pick("i", &["plain", "special x requests", "c", "d"]),
            ]),
        ),
        (
            "lineitem",
            960,
            join(&[
                own("i / 4, i * 13 % 20, (i * 13 % 20 + i / 3 % 4 * 5) % 20, i % 4 + 1"),
                own("CASE WHEN i / 4 % 20 = 0 THEN 80 + i % 10 ELSE i * 17 % 41 + 1 END"),
                own(
                    "(i * 17 % 41 + 1) * 100, CAST(i % 11 AS DECIMAL(15,2)) / 100, CAST(i % 9 AS DECIMAL(15,2)) / 100",
                ),
                pick("i", &["R", "A", "N"]),
                pick("i / 3", &["F", "O"]),
                day(&format!("{sold} + i % 60")),
                day(&format!("{sold} + 40 + i * 7 % 40")),
                day(&format!("{sold} + i % 60 + i % 30")),
                pick("i", &["DELIVER IN PERSON", "NONE"]),
                pick("i / 2", &["AIR", "MAIL", "SHIP", "AIR REG"]),
                own("concat('c', i)"),
            ]),
        ),
    ]
}

/// A query of TPC-H by its number.
fn tpch_query(number: u32) -> String {
    let queries = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/tpch"));
    let text = std::fs::read_to_string(queries.join(format!("q{number:02}.sql"))).expect("a query");
    text.trim().trim_end_matches(';').to_owned()
}

/// Views over the tables of TPC-H in which the columns that `is_changed` names hold other values, each others than the next.
async fn change_tpch(client: &TestSession, is_changed: impl Fn(&str) -> bool) {
    let mut number = 0;
    for (table, columns) in TPCH {
        let mut values = Vec::new();
        for (name, kind) in columns.split(", ").filter_map(|column| column.trim().split_once(' ')) {
            number += 1;
            let changed = match kind {
                "BIGINT" => format!("{name} + {number}"),
                "VARCHAR" => format!("concat({name}, '{number}')"),
                "DATE" => format!("CAST({name} + INTERVAL '{number} days' AS DATE)"),
                _ => format!("CAST({name} * 2 + {number} AS {kind})"),
            };
            values.push(if is_changed(name) { format!("{changed} AS {name}") } else { name.to_owned() });
        }
        let list = values.join(", ");
        client
            .rows(&format!(
                "CREATE OR REPLACE VIEW changed.{table} AS SELECT {list} FROM \"default\".{table}"
            ))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_of_tpch_stay_when_all_that_is_none_of_their_sources_changes() {
    let node = node().await;
    let client = node.session().await;
    client.rows("CREATE SCHEMA changed").await;
    for ((table, columns), (same, rows, values)) in TPCH.into_iter().zip(tpch_rows()) {
        assert_eq!(table, same);
        client.rows(&format!("CREATE TABLE {table} ({columns})")).await;
        client.rows(&format!("INSERT INTO {table} SELECT {values} FROM range(0, {rows}) AS r(i)")).await;
    }
    let (mut kept, mut moved) = (0, 0);
    for number in 1..=22 {
        let query = tpch_query(number);
        let right = values(&client, &query).await;
        assert!(!right.is_empty(), "q{number} answers something");
        client.rows(&format!("CREATE TABLE q{number} AS {query}")).await;
        let names = client
            .rows(&format!(
                "SELECT name FROM system.catalog.columns WHERE table_name = 'q{number}' ORDER BY position"
            ))
            .await;
        for (at, name) in names.iter().enumerate() {
            let sources: BTreeSet<String> = client
                .rows(&format!("SELECT source_column FROM column_lineage('q{number}', '{name}', 'upstream')"))
                .await
                .into_iter()
                .collect();
            let changed = async |is_changed: &dyn Fn(&str) -> bool| {
                change_tpch(&client, is_changed).await;
                client.rows("SET search_path TO changed, \"default\"").await;
                let found = values(&client, &query).await;
                client.rows("SET search_path TO \"default\"").await;
                found.get(at).cloned().unwrap_or_default()
            };
            let found = changed(&|column| !sources.contains(column)).await;
            assert_eq!(found, right[at], "q{number}, column {name}, which comes of {sources:?}");
            kept += 1;
            moved += u32::from(changed(&|column| sources.contains(column)).await != right[at]);
        }
    }
    assert!(
        kept > 70 && moved * 2 > kept,
        "{kept} columns stayed, {moved} did not when their sources changed"
    );
}
