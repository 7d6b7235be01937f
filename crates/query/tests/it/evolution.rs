//! Law: whatever becomes of its columns, every version of a table is what a plain model says.

use std::collections::BTreeMap;

use cenote_testkit::engine::{TestSession, node};

/// Steps of one history, and histories of a run.
const STEPS: u64 = 40;
const HISTORIES: u64 = 6;
/// Structs in structs, the outermost counted.
const DEPTH_MAX: usize = 2;

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

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Integer,
    Bigint,
    Double,
    Text,
    Struct(Vec<Column>),
}

impl Kind {
    fn sql(&self) -> String {
        match self {
            Self::Integer => "INTEGER".to_owned(),
            Self::Bigint => "BIGINT".to_owned(),
            Self::Double => "DOUBLE".to_owned(),
            Self::Text => "TEXT".to_owned(),
            Self::Struct(fields) => {
                let field = |field: &Column| format!("{} {}", field.name, field.kind.sql());
                format!("STRUCT({})", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// One that holds all its values; `None` if there is none.
    fn wider(&self, dice: &mut Dice) -> Option<Self> {
        match self {
            Self::Integer => Some(dice.one(&[Self::Bigint, Self::Double]).clone()),
            Self::Bigint => Some(Self::Double),
            _ => None,
        }
    }

    fn value(&self, dice: &mut Dice) -> Value {
        match self {
            Self::Struct(fields) => {
                Value::Struct(fields.iter().map(|field| (field.id, field.draw(dice))).collect())
            }
            _ => Value::Number(dice.below(1000) as i64 - 500),
        }
    }

    fn literal(&self, value: &Value) -> String {
        match (value, self) {
            (Value::Null, _) => "NULL".to_owned(),
            (Value::Number(number), Self::Text) => format!("'{number}'"),
            (Value::Number(number), _) => number.to_string(),
            (Value::Struct(values), Self::Struct(fields)) => {
                let pair =
                    |field: &Column| format!("'{}', {}", field.name, field.kind.literal(field.of(values)));
                format!("named_struct({})", fields.iter().map(pair).collect::<Vec<_>>().join(", "))
            }
            (Value::Struct(_), _) => unreachable!("a struct in a column of numbers"),
        }
    }

    /// As it is printed, with `null` for NULL.
    fn shown(&self, value: &Value, null: &str) -> String {
        match (value, self) {
            (Value::Null, _) => null.to_owned(),
            (Value::Number(number), Self::Double) => format!("{number}.0"),
            (Value::Number(number), _) => number.to_string(),
            (Value::Struct(values), Self::Struct(fields)) => {
                let pair =
                    |field: &Column| format!("{}: {}", field.name, field.kind.shown(field.of(values), ""));
                format!("{{{}}}", fields.iter().map(pair).collect::<Vec<_>>().join(", "))
            }
            (Value::Struct(_), _) => unreachable!("a struct in a column of numbers"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Null,
    Number(i64),
    /// By field. What was added to the struct since is not there and NULL, what was dropped is still there.
    Struct(Values),
}

type Values = BTreeMap<u64, Value>;

#[derive(Clone, Debug, PartialEq)]
struct Column {
    /// Never used twice.
    id: u64,
    name: String,
    kind: Kind,
    required: bool,
    default: Value,
}

impl Column {
    fn new(id: u64, name: impl Into<String>, kind: Kind) -> Self {
        Self { id, name: name.into(), kind, required: false, default: Value::Null }
    }

    fn of<'a>(&self, values: &'a Values) -> &'a Value {
        values.get(&self.id).unwrap_or(&Value::Null)
    }

    /// A value that it may have.
    fn draw(&self, dice: &mut Dice) -> Value {
        if !self.required && dice.below(5) == 0 { Value::Null } else { self.kind.value(dice) }
    }
}

/// A statement that the model has carried out, or that must be refused with this SQLSTATE.
struct Step {
    sql: String,
    refused: Option<&'static str>,
}

/// A table without files: columns, and rows of values by column.
#[derive(Clone, Debug, Default)]
struct Model {
    columns: Vec<Column>,
    rows: Vec<Values>,
    ids: u64,
}

impl Model {
    fn shown(&self) -> Vec<String> {
        let cell = |row: &Values, column: &Column| column.kind.shown(column.of(row), "NULL");
        let row = |row| self.columns.iter().map(|column| cell(row, column)).collect::<Vec<_>>().join("|");
        let mut rows: Vec<String> = self.rows.iter().map(row).collect();
        rows.sort();
        rows
    }

    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn scalar(dice: &mut Dice) -> Kind {
        dice.one(&[Kind::Integer, Kind::Bigint, Kind::Text]).clone()
    }

    /// Fields from the outermost struct to the innermost, by place: none, which is the table itself, or a struct.
    fn parent(&self, dice: &mut Dice) -> Vec<usize> {
        let (mut path, mut neighbours) = (Vec::new(), &self.columns);
        loop {
            let structs: Vec<usize> =
                (0..neighbours.len()).filter(|at| matches!(neighbours[*at].kind, Kind::Struct(_))).collect();
            if structs.is_empty() || dice.below(2) == 0 {
                return path;
            }
            let at = *dice.one(&structs);
            path.push(at);
            let Kind::Struct(inner) = &neighbours[at].kind else { unreachable!("only structs were taken") };
            neighbours = inner;
        }
    }

    /// The fields of the struct at the end of a path, and what stands before their names.
    fn within(&mut self, path: &[usize]) -> (&mut Vec<Column>, String) {
        let (mut neighbours, mut prefix) = (&mut self.columns, String::new());
        for at in path {
            let column = &mut neighbours[*at];
            prefix = format!("{prefix}{}.", column.name);
            let Kind::Struct(inner) = &mut column.kind else { unreachable!("a path goes through structs") };
            neighbours = inner;
        }
        (neighbours, prefix)
    }

    /// Changes the model and answers the statement that does the same; `None` if the die fell on nothing.
    fn step(&mut self, dice: &mut Dice) -> Option<Step> {
        let done = |sql: String| Some(Step { sql, refused: None });
        let alter = |action: String| done(format!("ALTER TABLE t {action}"));
        match dice.below(20) {
            0..3 => alter(self.add(dice)?),
            3 => self.drop_column(dice).and_then(alter),
            4 | 5 => {
                let path = self.parent(dice);
                let (neighbours, prefix) = self.within(&path);
                let to = free_name(neighbours, dice)?;
                let at = dice.below(neighbours.len() as u64) as usize;
                let from = std::mem::replace(&mut neighbours[at].name, to.clone());
                alter(format!("RENAME COLUMN {prefix}{from} TO {to}"))
            }
            6 | 7 => {
                let path = self.parent(dice);
                let (neighbours, prefix) = self.within(&path);
                let at = dice.below(neighbours.len() as u64) as usize;
                let column = &mut neighbours[at];
                column.kind = column.kind.wider(dice)?;
                alter(format!("ALTER COLUMN {prefix}{} TYPE {}", column.name, column.kind.sql()))
            }
            8 => {
                let path = self.parent(dice);
                let (neighbours, prefix) = self.within(&path);
                let at = dice.below(neighbours.len() as u64) as usize;
                let column = neighbours.remove(at);
                let action = format!("ALTER COLUMN {prefix}{} FIRST", column.name);
                neighbours.insert(0, column);
                alter(action)
            }
            9..12 => self.set(dice),
            12 => done("OPTIMIZE TABLE t FULL".to_owned()),
            _ => done(self.insert(dice)),
        }
    }

    /// A new column of the table, or a new field of a struct, which has neither default nor NOT NULL.
    fn add(&mut self, dice: &mut Dice) -> Option<String> {
        let path = self.parent(dice);
        let name = free_name(self.within(&path).0, dice)?;
        let is_struct = path.len() < DEPTH_MAX && dice.below(3) == 0;
        let kind = if is_struct {
            let fields = ["a", "b"].into_iter().take(1 + dice.below(2) as usize);
            Kind::Struct(fields.map(|name| Column::new(self.id(), name, Self::scalar(dice))).collect())
        } else {
            Self::scalar(dice)
        };
        let mut column = Column::new(self.id(), name, kind);
        let mut said = format!("{} {}", column.name, column.kind.sql());
        if path.is_empty() && !is_struct && dice.below(2) == 0 {
            column.default = column.kind.value(dice);
            column.required = dice.below(2) == 0;
            let required = if column.required { " NOT NULL" } else { "" };
            said = format!("{said}{required} DEFAULT {}", column.kind.literal(&column.default));
            for row in &mut self.rows {
                row.insert(column.id, column.default.clone());
            }
        }
        let (neighbours, prefix) = self.within(&path);
        let first = dice.below(2) == 0;
        neighbours.insert(if first { 0 } else { neighbours.len() }, column);
        Some(format!("ADD COLUMN {prefix}{said}{}", if first { " FIRST" } else { "" }))
    }

    fn drop_column(&mut self, dice: &mut Dice) -> Option<String> {
        let path = self.parent(dice);
        let (neighbours, prefix) = self.within(&path);
        if neighbours.len() == 1 {
            return None;
        }
        let gone = neighbours.remove(dice.below(neighbours.len() as u64) as usize);
        Some(format!("DROP COLUMN {prefix}{}", gone.name))
    }

    /// `SET` and `DROP` of `NOT NULL` and `DEFAULT`, which columns of the table have.
    fn set(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = dice.below(self.columns.len() as u64) as usize;
        let column = &mut self.columns[at];
        let is_struct = matches!(column.kind, Kind::Struct(_));
        let (action, refused) = match dice.below(4) {
            0 => {
                let has_null = self.rows.iter().any(|row| *column.of(row) == Value::Null);
                column.required |= !has_null;
                ("SET NOT NULL".to_owned(), has_null.then_some("23502"))
            }
            1 => {
                column.required = false;
                ("DROP NOT NULL".to_owned(), None)
            }
            2 if !is_struct => {
                column.default = column.kind.value(dice);
                (format!("SET DEFAULT {}", column.kind.literal(&column.default)), None)
            }
            _ => {
                column.default = Value::Null;
                ("DROP DEFAULT".to_owned(), None)
            }
        };
        Some(Step { sql: format!("ALTER TABLE t ALTER COLUMN {} {action}", column.name), refused })
    }

    fn insert(&mut self, dice: &mut Dice) -> String {
        let must = |column: &Column| column.required && column.default == Value::Null;
        let mut named: Vec<&Column> =
            self.columns.iter().filter(|column| must(column) || dice.below(3) > 0).collect();
        if named.is_empty() {
            named.push(dice.one(&self.columns));
        }
        let mut row: Values = self.columns.iter().map(|column| (column.id, column.default.clone())).collect();
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for column in named {
            let value = column.draw(dice);
            names.push(column.name.as_str());
            values.push(column.kind.literal(&value));
            row.insert(column.id, value);
        }
        self.rows.push(row);
        format!("INSERT INTO t ({}) SELECT {}", names.join(", "), values.join(", "))
    }
}

fn free_name(neighbours: &[Column], dice: &mut Dice) -> Option<String> {
    let names = ["a", "b", "c", "d", "e", "f"];
    let free: Vec<&str> =
        names.into_iter().filter(|name| neighbours.iter().all(|column| column.name != *name)).collect();
    (!free.is_empty()).then(|| (*dice.one(&free)).to_owned())
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
        model.columns.push(Column::new(0, "a", Kind::Integer));
        client.rows("CREATE TABLE t (a INTEGER)").await;
        let mut history = Vec::new();
        for step in 0..STEPS {
            let Some(Step { sql, refused }) = model.step(&mut dice) else { continue };
            let context = format!("seed {seed}, step {step}: {sql}");
            let txn = match refused {
                Some(code) => {
                    assert_eq!(client.code(&sql).await, code, "{context}");
                    None
                }
                None => client.outcome(&sql).await.txn,
            };
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
