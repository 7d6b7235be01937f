//! The oracle beside the engine: what is done to both, and how they are compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_testkit::node::CatalogKind;

use super::engine::{Answer, Engine};
use super::history::{History, Shown};
use super::rows::{Change, Target};
use super::table::{Column, Effect, Image, KEY, State, TIME};
use super::value::{Type, Value};

/// What is wrong, in words.
pub(super) type Checked<T> = Result<T, String>;

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Yes,
    /// There was nothing to do it to.
    Idle,
    /// The engine says that it cannot do this.
    Unsupported(String),
}

/// A table of the oracle.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// `PRIMARY KEY (k)`: at most one row per key.
    pub(super) keyed: bool,
    /// Columns that line protocol writes as tags.
    pub(super) tags: Vec<u32>,
    pub(super) state: State,
    pub(super) history: History,
    /// Versions below it are gone, but for tags.
    pub(super) floor: i64,
    /// Names with their versions.
    pub(super) marks: BTreeMap<String, i64>,
    /// The id of a hold, and the version from which on it keeps all.
    pub(super) hold: Option<(String, i64)>,
}

/// Both of them.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) tables: Vec<Table>,
    /// The newest transaction after the last step.
    pub(super) head: i64,
    pub(super) next_key: i64,
    pub(super) next_column: u32,
}

impl World {
    /// A new node with one table of each kind; `None` if the machine lacks a server for it.
    pub(super) async fn start(catalog: CatalogKind) -> Checked<Option<Self>> {
        let Some(engine) = Engine::start(catalog).await else { return Ok(None) };
        let head = engine.head().await;
        let mut world = Self { engine, tables: Vec::new(), head, next_key: 0, next_column: 10 };
        let columns = |types: &[(u32, &str, Type)]| -> Vec<Column> {
            let fixed = [(TIME, "time", Type::Timestamp), (KEY, "k", Type::Bigint)];
            let column = |(id, name, of): &(u32, &str, Type)| {
                let required = fixed.iter().any(|(fixed, ..)| fixed == id);
                Column { required, ..Column::new(*id, name, *of) }
            };
            fixed.iter().chain(types).map(column).collect()
        };
        let types = [(2, "n", Type::Int), (3, "x", Type::Real), (4, "s", Type::Text), (5, "b", Type::Bigint)];
        world.create("plain", "", "PARTITIONED BY (day(time)) SORTED BY (k)", columns(&types)).await?;
        world.create("keyed", ", PRIMARY KEY (k) NOT ENFORCED", "", columns(&types)).await?;
        world.create_by_write().await?;
        Ok(Some(world))
    }

    async fn create(
        &mut self,
        name: &'static str,
        key: &str,
        tail: &str,
        columns: Vec<Column>,
    ) -> Checked<()> {
        let parts = columns.iter().map(|column| {
            format!("{} {}{}", column.name, column.of.sql(), if column.required { " NOT NULL" } else { "" })
        });
        let parts = parts.collect::<Vec<_>>().join(", ");
        let answer = self.engine.sql(&format!("CREATE TABLE {name} ({parts}{key}) {tail}")).await;
        let keyed = !key.is_empty();
        match answer {
            Answer::Done { .. } => {}
            Answer::Refused { sqlstate, .. } if keyed && sqlstate == "0A000" => return Ok(()),
            Answer::Refused { .. } => return Err(format!("CREATE TABLE {name}: {answer:?}")),
        }
        self.add(name, keyed, Vec::new(), columns).await
    }

    /// A table that its first write makes, with a tag.
    async fn create_by_write(&mut self) -> Checked<()> {
        let answer =
            self.engine.write("logged,host=a k=0i,x=0.5,s=\"first\",f=true 1704067200000000\n").await;
        if matches!(answer, Answer::Refused { .. }) {
            return Err(format!("the first write: {answer:?}"));
        }
        let known = [
            Column { required: true, ..Column::new(TIME, "time", Type::Timestamp) },
            Column::new(KEY, "k", Type::Bigint),
            Column::new(6, "host", Type::Text),
            Column::new(7, "x", Type::Double),
            Column::new(8, "s", Type::Text),
            Column::new(9, "f", Type::Boolean),
        ];
        // In the order of arrival, which is the engine's to decide.
        let names = self.lines("SELECT * FROM logged LIMIT 0").await?.remove(0);
        let columns: Vec<Column> = names
            .split('|')
            .filter_map(|name| known.iter().find(|column| column.name == name).cloned())
            .collect();
        if columns.len() != known.len() {
            return Err(format!("columns of logged: {names}"));
        }
        self.add("logged", false, vec![6], columns).await?;
        let row = [
            (TIME, Value::Seconds(0)),
            (KEY, Value::Whole(0)),
            (6, Value::Text("a".to_owned())),
            (7, Value::Quarters(2)),
            (8, Value::Text("first".to_owned())),
            (9, Value::Flag(true)),
        ];
        let table = self.tables.last_mut().expect("just added");
        table.state.buffered.push(Arc::new(row.into_iter().collect()));
        Ok(())
    }

    async fn add(
        &mut self,
        name: &'static str,
        keyed: bool,
        tags: Vec<u32>,
        columns: Vec<Column>,
    ) -> Checked<()> {
        let (marks, state) = (BTreeMap::new(), State::of(Image { columns, rows: Vec::new() }));
        let history = History::default();
        let table = Table { name, keyed, tags, state, history, floor: 0, marks, hold: None };
        self.tables.push(table);
        let (at, state) = (self.tables.len() - 1, self.tables[self.tables.len() - 1].state.clone());
        let images = vec![Some(state.committed.clone())];
        self.settle(vec![(at, state, images)]).await
    }

    /// The table and its keys, to draw a statement for.
    pub(super) fn target(&mut self, at: usize) -> Target<'_> {
        let table = &self.tables[at];
        Target { name: table.name, state: &table.state, next_key: &mut self.next_key }
    }

    /// Takes a statement that the engine ran: states, and what the versions since the last step may show.
    pub(super) async fn settle(&mut self, changed: Vec<(usize, State, Vec<Shown>)>) -> Checked<()> {
        let head = self.engine.head().await;
        if head < self.head {
            return Err(format!("the head fell from {} to {head}", self.head));
        }
        for (at, state, images) in changed {
            let table = &mut self.tables[at];
            if head > self.head {
                table.history.record(self.head, head, images);
            } else if state.committed.lines() != table.state.committed.lines() {
                return Err(format!("{} changed without a transaction", table.name));
            }
            table.state = state;
        }
        self.head = head;
        Ok(())
    }

    /// Runs a statement on a table, outside a transaction, and compares what the table shows.
    pub(super) async fn change(&mut self, at: usize, change: Change) -> Checked<Done> {
        let answer = self.engine.sql(&change.sql).await;
        if let Some(done) = refused(&answer, &change.sql)? {
            // What it needed may have been flushed before it found out.
            self.flush(at).await?;
            return Ok(done);
        }
        expect_count(&answer, &change)?;
        let state = self.tables[at].state.after(&change.effect);
        let images = self.tables[at].state.images_until(&state);
        self.settle(vec![(at, state, images)]).await?;
        self.compare(at).await?;
        Ok(Done::Yes)
    }

    /// `FLUSH`
    pub(super) async fn flush(&mut self, at: usize) -> Checked<()> {
        self.flush_each(at..at + 1).await
    }

    /// `FLUSH` of tables that may have been flushed before, since the last step.
    pub(super) async fn flush_each(&mut self, tables: std::ops::Range<usize>) -> Checked<()> {
        let mut changed = Vec::new();
        for at in tables {
            let sql = format!("FLUSH {}", self.tables[at].name);
            let answer = self.engine.sql(&sql).await;
            if matches!(answer, Answer::Refused { .. }) {
                return Err(format!("{sql}: {answer:?}"));
            }
            let state = self.tables[at].state.after(&Effect::Flush);
            let images = vec![Some(state.committed.clone())];
            changed.push((at, state, images));
        }
        self.settle(changed).await
    }

    /// Compares what a table shows now.
    pub(super) async fn compare(&self, at: usize) -> Checked<()> {
        let table = &self.tables[at];
        let sql = format!("SELECT * FROM {}", table.name);
        equal(&sql, &table.state.seen().lines(), &self.lines(&sql).await?)
    }

    /// What a query answers that must succeed: names, then rows, sorted.
    pub(super) async fn lines(&self, sql: &str) -> Checked<Vec<String>> {
        match self.engine.ask(sql).await {
            Answer::Done { lines, .. } => Ok(lines),
            refused @ Answer::Refused { .. } => Err(format!("{sql}: {refused:?}")),
        }
    }
}

/// `None` if the statement was done, [`Done::Unsupported`] if the engine does not know it; else it is a failure.
pub(super) fn refused(answer: &Answer, sql: &str) -> Checked<Option<Done>> {
    match answer {
        Answer::Done { .. } => Ok(None),
        // The grammar of what is not there yet is not there either.
        Answer::Refused { sqlstate, text } if sqlstate == "0A000" || sqlstate == "42601" => {
            Ok(Some(Done::Unsupported(text.clone())))
        }
        Answer::Refused { sqlstate, text } => Err(format!("{sql}: {sqlstate} {text}")),
    }
}

/// The answer counts the rows that the oracle counts.
pub(super) fn expect_count(answer: &Answer, change: &Change) -> Checked<()> {
    match (answer, change.count) {
        (Answer::Done { count, .. }, Some(wanted)) if *count != wanted => {
            Err(format!("{}: changed {count} rows, not {wanted}", change.sql))
        }
        _ => Ok(()),
    }
}

/// Names the first lines that are missing or too many.
pub(super) fn equal(what: &str, wanted: &[String], found: &[String]) -> Checked<()> {
    if wanted == found {
        return Ok(());
    }
    let missing = less(wanted, found);
    let many = less(found, wanted);
    let some = |lines: &[String]| lines[..lines.len().min(5)].join("\n  ");
    Err(format!(
        "{what}: {} of {} lines are missing:\n  {}\n{} of {} are too many:\n  {}",
        missing.len(),
        wanted.len(),
        some(&missing),
        many.len(),
        found.len(),
        some(&many)
    ))
}

/// Lines of `of` without those of `without`, each as often as it is there.
fn less(of: &[String], without: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for line in without {
        *counts.entry(line).or_default() += 1;
    }
    let mut rest = Vec::new();
    for line in of {
        let count = counts.entry(line).or_default();
        *count -= 1;
        if *count < 0 {
            rest.push(line.clone());
        }
    }
    rest
}
