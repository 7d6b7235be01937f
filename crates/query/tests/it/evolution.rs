//! Law: whatever becomes of its columns, every version of a table is what a plain model says.

use std::collections::BTreeMap;

use cenote_testkit::engine::{TestSession, node};

/// Steps of one history, and histories of a run.
const STEPS: u64 = 30;
const HISTORIES: u64 = 4;

/// Repeatable numbers: splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Integer,
    Bigint,
    Double,
    Text,
}

impl Kind {
    fn sql(self) -> &'static str {
        match self {
            Self::Integer => "INTEGER",
            Self::Bigint => "BIGINT",
            Self::Double => "DOUBLE",
            Self::Text => "TEXT",
        }
    }

    fn literal(self, number: i64) -> String {
        if self == Self::Text { format!("'{number}'") } else { number.to_string() }
    }

    fn shown(self, number: Option<i64>) -> String {
        match (number, self) {
            (None, _) => "NULL".to_owned(),
            (Some(number), Self::Double) => format!("{number}.0"),
            (Some(number), _) => number.to_string(),
        }
    }
}

#[derive(Clone, Debug)]
struct Column {
    /// Never used twice.
    id: u64,
    name: String,
    kind: Kind,
    default: Option<i64>,
}

/// A table without files: columns, and rows of values by column.
#[derive(Clone, Debug, Default)]
struct Model {
    columns: Vec<Column>,
    rows: Vec<BTreeMap<u64, Option<i64>>>,
    ids: u64,
}

impl Model {
    fn shown(&self) -> Vec<String> {
        let cell = |row: &BTreeMap<u64, Option<i64>>, column: &Column| column.kind.shown(row[&column.id]);
        let row = |row| self.columns.iter().map(|column| cell(row, column)).collect::<Vec<_>>().join("|");
        let mut rows: Vec<String> = self.rows.iter().map(row).collect();
        rows.sort();
        rows
    }

    fn free_name(&self, dice: &mut Dice) -> Option<String> {
        let names = ["a", "b", "c", "d", "e", "f"];
        let free: Vec<&str> =
            names.into_iter().filter(|name| self.columns.iter().all(|column| column.name != *name)).collect();
        (!free.is_empty()).then(|| (*dice.one(&free)).to_owned())
    }

    /// Changes the model and answers the statement that does the same; `None` if the die fell on nothing.
    fn step(&mut self, dice: &mut Dice) -> Option<String> {
        let at = dice.below(self.columns.len() as u64) as usize;
        Some(match dice.below(12) {
            0 | 1 => {
                let (name, kind) =
                    (self.free_name(dice)?, *dice.one(&[Kind::Integer, Kind::Bigint, Kind::Text]));
                let default = (dice.below(2) == 0).then(|| dice.below(100) as i64);
                let said = default.map_or_else(String::new, |value| {
                    let required = if dice.below(2) == 0 { " NOT NULL" } else { "" };
                    format!("{required} DEFAULT {}", kind.literal(value))
                });
                self.ids += 1;
                let column = Column { id: self.ids, name: name.clone(), kind, default };
                for row in &mut self.rows {
                    row.insert(column.id, default);
                }
                let first = dice.below(2) == 0;
                self.columns.insert(if first { 0 } else { self.columns.len() }, column);
                format!(
                    "ALTER TABLE t ADD COLUMN {name} {}{said}{}",
                    kind.sql(),
                    if first { " FIRST" } else { "" }
                )
            }
            2 if self.columns.len() > 1 => {
                format!("ALTER TABLE t DROP COLUMN {}", self.columns.remove(at).name)
            }
            3 => {
                let to = self.free_name(dice)?;
                let from = std::mem::replace(&mut self.columns[at].name, to.clone());
                format!("ALTER TABLE t RENAME COLUMN {from} TO {to}")
            }
            4 => {
                let column = &mut self.columns[at];
                column.kind = match column.kind {
                    Kind::Integer => *dice.one(&[Kind::Bigint, Kind::Double]),
                    Kind::Bigint => Kind::Double,
                    _ => return None,
                };
                format!("ALTER TABLE t ALTER COLUMN {} TYPE {}", column.name, column.kind.sql())
            }
            5 => {
                let column = &mut self.columns[at];
                // a required column has no rows without a value
                column.default = Some(dice.below(100) as i64);
                let value = column.kind.literal(column.default.unwrap_or_default());
                format!("ALTER TABLE t ALTER COLUMN {} SET DEFAULT {value}", column.name)
            }
            6 => {
                let column = self.columns.remove(at);
                let sql = format!("ALTER TABLE t ALTER COLUMN {} FIRST", column.name);
                self.columns.insert(0, column);
                sql
            }
            7 => "OPTIMIZE TABLE t FULL".to_owned(),
            _ => {
                let named: Vec<usize> = (0..self.columns.len()).filter(|_| dice.below(3) > 0).collect();
                let named = if named.is_empty() { vec![at] } else { named };
                let mut row: BTreeMap<u64, Option<i64>> =
                    self.columns.iter().map(|column| (column.id, column.default)).collect();
                let mut values = Vec::new();
                for place in &named {
                    let column = &self.columns[*place];
                    let value = dice.below(1000) as i64 - 500;
                    row.insert(column.id, Some(value));
                    values.push(column.kind.literal(value));
                }
                self.rows.push(row);
                let names: Vec<&str> = named.iter().map(|place| self.columns[*place].name.as_str()).collect();
                format!("INSERT INTO t ({}) VALUES ({})", names.join(", "), values.join(", "))
            }
        })
    }
}

async fn sorted(client: &TestSession, sql: &str) -> Vec<String> {
    let mut rows = client.rows(sql).await;
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_schema_histories_read_as_a_plain_model_says() {
    for seed in 0..HISTORIES {
        let node = node().await;
        let client = node.session().await;
        let mut dice = Dice(seed);
        let mut model = Model::default();
        model.columns.push(Column { id: 0, name: "a".into(), kind: Kind::Integer, default: None });
        client.rows("CREATE TABLE t (a INTEGER)").await;
        let mut history = Vec::new();
        for step in 0..STEPS {
            let Some(sql) = model.step(&mut dice) else { continue };
            let txn = client.outcome(&sql).await.txn;
            let context = format!("seed {seed}, step {step}: {sql}");
            assert_eq!(sorted(&client, "SELECT * FROM t").await, model.shown(), "{context}");
            history.extend(txn.map(|txn| (txn, model.shown(), context)));
        }
        for (txn, rows, context) in history {
            let sql = format!("SELECT * FROM t FOR VERSION AS OF {txn}");
            assert_eq!(sorted(&client, &sql).await, rows, "version {txn}, after {context}");
        }
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buffered_rows_follow_their_columns_and_ingest_fills_defaults() {
    let node = node().await;
    let client = node.session().await;
    node.write("cpu v=1i,w=1i 1\n").await;
    client
        .rows("ALTER TABLE cpu ADD COLUMN city TEXT NOT NULL DEFAULT 'Oslo', RENAME COLUMN v TO load")
        .await;
    client.rows("ALTER TABLE cpu ALTER COLUMN city SET DEFAULT 'Bergen', DROP COLUMN w").await;
    node.write("cpu load=2i 2\n").await;
    let both = ["1|Oslo", "2|Bergen"];
    assert_eq!(client.rows("SELECT load, city FROM cpu ORDER BY load").await, both);
    client.rows("FLUSH cpu").await;
    assert_eq!(client.rows("SELECT load, city FROM cpu ORDER BY load").await, both);

    node.write("cpu load=3i 3\n").await;
    client.rows("ALTER TABLE cpu ALTER COLUMN load TYPE DOUBLE, ALTER COLUMN load SET NOT NULL").await;
    assert_eq!(client.rows("SELECT sum(load) FROM cpu").await, ["6.0"], "what was buffered is held and kept");
    client.rows("ALTER TABLE cpu ALTER COLUMN city DROP NOT NULL, ALTER COLUMN city DROP DEFAULT").await;
    node.write("cpu load=4 4\n").await;
    assert_eq!(
        client.rows("SELECT city FROM cpu WHERE load = 4").await,
        ["NULL"],
        "not the older rows' value"
    );
    client.rows("FLUSH cpu").await;
    assert_eq!(client.rows("SELECT city FROM cpu WHERE load = 4").await, ["NULL"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_show_create_table_says_makes_the_table_again() {
    let node = node().await;
    let client = node.session().await;
    client
        .rows(
            "CREATE TABLE t (id UUID DEFAULT uuid(), \"At\" TIMESTAMP(3) WITH TIME ZONE DEFAULT now() COMMENT 'it''s when', \
             n DECIMAL(50, 2) NOT NULL DEFAULT -1.5, tags TEXT[], point STRUCT(x DOUBLE NOT NULL, \"Y z\" MAP(TEXT, INT[2])), \
             b BYTEA, u UBIGINT, d DATE, j JSON DEFAULT '{}', s VARCHAR, PRIMARY KEY (s, d) NOT ENFORCED) \
             PARTITIONED BY (day(\"At\"), bucket(16, s), truncate(4, s), d) SORTED BY (s DESC, u NULLS FIRST) \
             COMMENT 'all of it' WITH (history_keep = '36h')",
        )
        .await;
    let shown = client.rows("SHOW CREATE TABLE t").await;
    let statement = shown[0].split_once('|').expect("name and statement").1.to_owned();
    client.rows("DROP TABLE t").await;
    client.rows(&statement).await;
    assert_eq!(client.rows("SHOW CREATE TABLE t").await, shown);
    client.rows("CREATE TABLE twin LIKE t").await;
    assert_eq!(
        client.rows("SHOW CREATE TABLE twin").await[0].replace("twin", "t"),
        shown[0],
        "a copy is the same but for its name"
    );
}
