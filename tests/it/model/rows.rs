//! Statements that change rows: drawn by chance for a table as it is, with what the oracle does for each.

use std::sync::Arc;

use super::chance::Chance;
use super::condition::{Condition, key};
use super::table::{Column, Effect, Image, KEY, Row, Rows, State, TIME};
use super::value::{Type, Value};

/// A statement and its effect.
pub(super) struct Change {
    pub(super) sql: String,
    pub(super) effect: Effect,
    /// Rows that its answer must count.
    pub(super) count: Option<u64>,
}

/// Which statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowChange {
    Insert { rows_max: i64 },
    Delete,
    Update,
    Merge,
    Upsert,
    Replace,
    Truncate,
}

/// A table and the keys that no row had yet.
pub(super) struct Target<'a> {
    pub(super) name: &'a str,
    pub(super) state: &'a State,
    pub(super) next_key: &'a mut i64,
}

impl Target<'_> {
    pub(super) fn draw(&mut self, what: RowChange, chance: &Chance) -> Change {
        let seen = self.state.seen();
        match what {
            RowChange::Insert { rows_max } => self.insert(&seen, chance.within(1, rows_max + 1), chance),
            RowChange::Delete => self.delete(&seen, chance),
            RowChange::Update => self.update(&seen, chance),
            RowChange::Merge => self.merge(&seen, chance),
            RowChange::Upsert => self.upsert(&seen, chance),
            RowChange::Replace => self.replace(&seen, chance),
            RowChange::Truncate => Change {
                sql: format!("TRUNCATE TABLE {}", self.name),
                effect: Effect::Rewrite(Rows::new()),
                count: None,
            },
        }
    }

    fn fresh_key(&mut self) -> i64 {
        *self.next_key += 1;
        *self.next_key
    }

    fn insert(&mut self, seen: &Image, count: i64, chance: &Chance) -> Change {
        let named = named(seen, chance);
        let rows: Rows = (0..count).map(|_| row(seen, &named, self.fresh_key(), chance)).collect();
        let sql = format!("INSERT INTO {} ({}) VALUES {}", self.name, names(&named), values(&named, &rows));
        Change { sql, count: Some(rows.len() as u64), effect: Effect::Append(rows) }
    }

    fn delete(&self, seen: &Image, chance: &Chance) -> Change {
        let condition = Condition::draw(seen, chance);
        let kept: Rows = seen.rows.iter().filter(|row| !condition.holds(row)).cloned().collect();
        let count = seen.rows.len() - kept.len();
        Change {
            sql: format!("DELETE FROM {} WHERE {}", self.name, condition.sql()),
            effect: Effect::Rewrite(kept),
            count: Some(count as u64),
        }
    }

    fn update(&self, seen: &Image, chance: &Chance) -> Change {
        let condition = Condition::draw(seen, chance);
        let assignments = Assignment::draw(seen, chance);
        let (mut rows, mut count) = (Rows::new(), 0);
        for row in &seen.rows {
            if condition.holds(row) {
                count += 1;
                rows.push(Arc::new(Assignment::apply(&assignments, row)));
            } else {
                rows.push(row.clone());
            }
        }
        let sql = format!(
            "UPDATE {} SET {} WHERE {}",
            self.name,
            assignments.iter().map(Assignment::sql).collect::<Vec<_>>().join(", "),
            condition.sql()
        );
        Change { sql, effect: Effect::Rewrite(rows), count: Some(count) }
    }

    /// Rows of some known and some fresh keys: small values delete, others update or insert.
    fn merge(&mut self, seen: &Image, chance: &Chance) -> Change {
        let set: Vec<&Column> =
            seen.columns.iter().filter(|column| column.of == Type::Bigint && !column.is_fixed()).collect();
        let set = (!set.is_empty()).then(|| (*chance.pick(&set)).clone());
        let source: Vec<(i64, i64)> =
            self.keys(seen, chance).into_iter().map(|key| (key, chance.within(0, 40))).collect();
        let mut rows = Rows::new();
        let mut count = 0;
        for row in &seen.rows {
            match source.iter().find(|(wanted, _)| *wanted == key(row)) {
                Some((_, value)) if *value < 10 => count += 1,
                Some((_, value)) => {
                    let mut new = row.as_ref().clone();
                    if let Some(column) = &set {
                        new.insert(column.id, Value::Whole(*value));
                        count += 1;
                    }
                    rows.push(Arc::new(new));
                }
                None => rows.push(row.clone()),
            }
        }
        for (wanted, value) in &source {
            if !seen.rows.iter().any(|row| key(row) == *wanted) {
                let mut new = defaults(seen);
                new.insert(KEY, Value::Whole(*wanted));
                new.insert(TIME, Value::time_of(3));
                if let Some(column) = &set {
                    new.insert(column.id, Value::Whole(*value));
                }
                rows.push(Arc::new(new));
                count += 1;
            }
        }
        let (update, column, value) = match &set {
            Some(column) => (
                format!("WHEN MATCHED THEN UPDATE SET {} = s.v ", column.name),
                format!(", {}", column.name),
                ", s.v",
            ),
            None => Default::default(),
        };
        let source: Vec<String> = source.iter().map(|(key, value)| format!("({key}, {value})")).collect();
        let sql = format!(
            "MERGE INTO {} AS t USING (VALUES {}) AS s(k, v) ON t.k = s.k WHEN MATCHED AND s.v < 10 THEN DELETE \
             {update}WHEN NOT MATCHED THEN INSERT (time, k{column}) VALUES ({}, s.k{value})",
            self.name,
            source.join(", "),
            Value::time_of(3).expression(Type::Timestamp),
        );
        Change { sql, effect: Effect::Rewrite(rows), count: Some(count) }
    }

    /// `INSERT … ON CONFLICT (k)`: the table has at most one row per key.
    fn upsert(&mut self, seen: &Image, chance: &Chance) -> Change {
        let named = named(seen, chance);
        let mut keys = self.keys(seen, chance);
        let does_update = named.iter().any(|column| !column.is_fixed()) && chance.percent(70);
        if does_update && chance.percent(30) {
            keys.push(keys[0]); // in one statement the last row of a key wins
        }
        let new: Rows = keys.iter().map(|key| row(seen, &named, *key, chance)).collect();
        let mut rows = seen.rows.clone();
        let mut touched = std::collections::BTreeSet::new();
        for (n, inserted) in new.iter().enumerate() {
            let wanted = key(inserted);
            if keys[n + 1..].contains(&wanted) {
                continue;
            }
            match rows.iter_mut().find(|row| key(row) == wanted) {
                Some(old) if does_update => {
                    let mut changed = old.as_ref().clone();
                    for column in named.iter().filter(|column| !column.is_fixed()) {
                        changed.insert(column.id, column.of_row(inserted).clone());
                    }
                    *old = Arc::new(changed);
                    touched.insert(wanted);
                }
                Some(_) => {}
                None => {
                    rows.push(inserted.clone());
                    touched.insert(wanted);
                }
            }
        }
        let action = if does_update {
            let sets = named.iter().filter(|column| !column.is_fixed());
            let sets: Vec<String> =
                sets.map(|column| format!("{} = excluded.{}", column.name, column.name)).collect();
            format!("DO UPDATE SET {}", sets.join(", "))
        } else {
            "DO NOTHING".to_owned()
        };
        let sql = format!(
            "INSERT INTO {} ({}) VALUES {} ON CONFLICT (k) {action}",
            self.name,
            names(&named),
            values(&named, &new)
        );
        Change { sql, effect: Effect::Rewrite(rows), count: Some(touched.len() as u64) }
    }

    /// `INSERT … REPLACE WHERE`: rows of a range of keys are replaced by rows of that range.
    fn replace(&mut self, seen: &Image, chance: &Chance) -> Change {
        let condition = Condition::keys(seen, 20, chance);
        let Condition::Keys { low, high } = condition else { unreachable!("a range of keys") };
        let named = named(seen, chance);
        let new: Rows = (low..=high)
            .filter(|_| chance.percent(40))
            .chain([low])
            .collect::<std::collections::BTreeSet<i64>>()
            .into_iter()
            .map(|key| row(seen, &named, key, chance))
            .collect();
        let kept = seen.rows.iter().filter(|row| !condition.holds(row)).cloned();
        let sql = format!(
            "INSERT INTO {} ({}) REPLACE WHERE {} VALUES {}",
            self.name,
            names(&named),
            condition.sql(),
            values(&named, &new)
        );
        *self.next_key = (*self.next_key).max(high);
        Change { sql, effect: Effect::Rewrite(kept.chain(new).collect()), count: None }
    }

    /// Different keys, of rows or fresh ones.
    fn keys(&mut self, seen: &Image, chance: &Chance) -> Vec<i64> {
        let mut keys: Vec<i64> = Vec::new();
        for _ in 0..chance.within(1, 12) {
            let wanted = if seen.rows.is_empty() || chance.percent(40) {
                self.fresh_key()
            } else {
                key(chance.pick::<Arc<Row>>(&seen.rows))
            };
            if !keys.contains(&wanted) {
                keys.push(wanted);
            }
        }
        keys
    }
}

/// One `column = expression` of SET.
enum Assignment {
    Literal(Column, Value),
    AddOne(Column),
}

impl Assignment {
    /// One to three, of different columns.
    fn draw(seen: &Image, chance: &Chance) -> Vec<Self> {
        let mut free: Vec<&Column> = seen.columns.iter().filter(|column| !column.is_fixed()).collect();
        let mut assignments = Vec::new();
        while !free.is_empty() && (assignments.is_empty() || (assignments.len() < 3 && chance.percent(40))) {
            let column = free.swap_remove(chance.below(free.len())).clone();
            let is_whole = matches!(column.of, Type::Int | Type::Bigint);
            assignments.push(if is_whole && chance.percent(40) {
                Self::AddOne(column)
            } else {
                let nulls = if column.required { 0 } else { 20 };
                let value = column.of.value_or_null(nulls, chance);
                Self::Literal(column, value)
            });
        }
        if assignments.is_empty() {
            // Only fixed columns are left: the time is not read by any condition of keys.
            let time = seen.column(TIME).expect("every table has a time").clone();
            assignments.push(Self::Literal(time, Value::time_of(chance.within(0, 1000))));
        }
        assignments
    }

    fn sql(&self) -> String {
        match self {
            Self::Literal(column, value) => format!("{} = {}", column.name, value.expression(column.of)),
            Self::AddOne(column) => format!("{0} = {0} + 1", column.name),
        }
    }

    fn apply(assignments: &[Self], row: &Row) -> Row {
        let mut new = row.clone();
        for assignment in assignments {
            let (column, value) = match assignment {
                Self::Literal(column, value) => (column, value.clone()),
                Self::AddOne(column) => match column.of_row(row) {
                    Value::Whole(number) => (column, Value::Whole(number + 1)),
                    other => (column, other.clone()),
                },
            };
            new.insert(column.id, value);
        }
        new
    }
}

/// Columns that an INSERT names: the fixed and required ones, and some of the others.
fn named(seen: &Image, chance: &Chance) -> Vec<Column> {
    let all = chance.percent(60);
    let is_named = |column: &&Column| {
        all || column.is_fixed() || (column.required && column.default == Value::Null) || chance.percent(60)
    };
    seen.columns.iter().filter(is_named).cloned().collect()
}

/// A row of defaults, which a statement that names no column stores.
fn defaults(seen: &Image) -> Row {
    seen.columns.iter().map(|column| (column.id, column.default.clone())).collect()
}

/// A row with chosen values in the named columns.
fn row(seen: &Image, named: &[Column], key: i64, chance: &Chance) -> Arc<Row> {
    let mut row = defaults(seen);
    for column in named {
        let nulls = if column.required { 0 } else { 20 };
        row.insert(column.id, column.of.value_or_null(nulls, chance));
    }
    row.insert(KEY, Value::Whole(key));
    row.insert(TIME, Value::time_of(key));
    Arc::new(row)
}

fn names(named: &[Column]) -> String {
    named.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn values(named: &[Column], rows: &[Arc<Row>]) -> String {
    let rows = rows.iter().map(|row| {
        let cells = named.iter().map(|column| column.of_row(row).expression(column.of));
        format!("({})", cells.collect::<Vec<_>>().join(", "))
    });
    rows.collect::<Vec<_>>().join(", ")
}

/// Line protocol of rows with fresh keys; `None` if a column must be given and line protocol has no value of its type.
pub(super) fn lines(target: &mut Target<'_>, tags: &[u32], chance: &Chance) -> Option<(String, Rows)> {
    let seen = target.state.committed.clone();
    let must_be_given =
        |column: &Column| column.required && column.default == Value::Null && !column.is_fixed();
    if seen.columns.iter().any(|column| must_be_given(column) && !column.of.in_line_protocol()) {
        return None;
    }
    let (mut text, mut rows) = (String::new(), Vec::<Row>::new());
    let may_be_left_out = |column: &Column| !must_be_given(column) && !tags.contains(&column.id);
    let left_out: Vec<u32> = seen
        .columns
        .iter()
        .filter(|column| !column.of.in_line_protocol() || (may_be_left_out(column) && chance.percent(20)))
        .map(|column| column.id)
        .collect();
    for _ in 0..chance.within(1, 30) {
        let key = target.fresh_key();
        let mut row = Row::new();
        let (mut series, mut fields) = (target.name.to_owned(), Vec::new());
        for column in &seen.columns {
            let value = match column.id {
                TIME => Value::time_of(key),
                KEY => Value::Whole(key),
                _ if tags.contains(&column.id) => Value::Text(chance.pick(&["a", "b", "c"]).to_string()),
                id if left_out.contains(&id) => Value::Null,
                _ => column.of.value_or_null(if column.required { 0 } else { 20 }, chance),
            };
            match &value {
                Value::Text(tag) if tags.contains(&column.id) => {
                    series.push_str(&format!(",{}={tag}", column.name))
                }
                _ if column.id == TIME => {}
                value => fields.extend(value.field().map(|field| format!("{}={field}", column.name))),
            }
            row.insert(column.id, value);
        }
        let time = Value::time_of(key).field().unwrap_or_default();
        text.push_str(&format!("{series} {} {time}\n", fields.join(",")));
        rows.push(row);
    }
    // A column that no line of the request has gets its default; else the gaps are NULL.
    for column in &seen.columns {
        if rows.iter().all(|row| row.get(&column.id) == Some(&Value::Null)) {
            for row in &mut rows {
                row.insert(column.id, column.default.clone());
            }
        }
    }
    Some((text, rows.into_iter().map(Arc::new).collect()))
}
