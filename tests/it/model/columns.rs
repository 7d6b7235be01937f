//! Statements that change the columns of a table.

use std::sync::Arc;

use super::chance::Chance;
use super::rows::Change;
use super::table::{Column, Effect, Row, State};
use super::value::{Type, Value};

/// Names are few, so that those of dropped columns come again.
const NAMES: [&str; 8] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];

/// Which statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnChange {
    Add,
    /// With a default, sometimes NOT NULL.
    AddDefault,
    /// First or after another one.
    AddAt,
    Drop,
    Rename,
    Widen,
    SetDefault,
    DropDefault,
    SetNotNull,
    DropNotNull,
}

/// Draws it for a table; `None` if the table has no column for it.
pub(super) fn draw(
    what: ColumnChange,
    table: &str,
    state: &State,
    tags: &[u32],
    next_column: &mut u32,
    chance: &Chance,
) -> Option<Change> {
    let mut columns = state.committed.columns.clone();
    let free: Vec<&str> =
        NAMES.into_iter().filter(|name| columns.iter().all(|column| column.name != *name)).collect();
    let mut new = || {
        let name = (!free.is_empty()).then(|| *chance.pick(&free))?;
        *next_column += 1;
        Some(Column::new(*next_column, name, *chance.pick(&Type::ALL)))
    };
    let changeable = |wanted: &dyn Fn(&Column) -> bool| {
        let found: Vec<usize> = (0..columns.len())
            .filter(|n| !columns[*n].is_fixed() && !tags.contains(&columns[*n].id) && wanted(&columns[*n]))
            .collect();
        (!found.is_empty()).then(|| *chance.pick(&found))
    };
    let seen = state.seen();
    let no_nulls = |column: &Column| seen.rows.iter().all(|row| *column.of_row(row) != Value::Null);
    let action = match what {
        ColumnChange::Add => {
            let column = new()?;
            let action = format!("ADD COLUMN {} {}", column.name, column.of.sql());
            columns.push(column);
            action
        }
        ColumnChange::AddDefault => {
            let mut column = new()?;
            let value = column.of.value(chance);
            column.required = chance.percent(30);
            let not_null = if column.required { " NOT NULL" } else { "" };
            let action = format!(
                "ADD COLUMN {} {}{not_null} DEFAULT {}",
                column.name,
                column.of.sql(),
                value.literal(column.of)
            );
            (column.initial, column.default) = (value.clone(), value);
            columns.push(column);
            action
        }
        ColumnChange::AddAt => {
            let column = new()?;
            let after = chance.percent(70).then(|| chance.below(columns.len()));
            let place = after.map_or("FIRST".to_owned(), |n| format!("AFTER {}", columns[n].name));
            let action = format!("ADD COLUMN {} {} {place}", column.name, column.of.sql());
            columns.insert(after.map_or(0, |n| n + 1), column);
            action
        }
        ColumnChange::Drop => {
            let at = changeable(&|_| true)?;
            let gone = columns.remove(at);
            format!("DROP COLUMN {}", gone.name)
        }
        ColumnChange::Rename => {
            let at = changeable(&|_| true)?;
            let name = (!free.is_empty()).then(|| *chance.pick(&free))?;
            let action = format!("RENAME COLUMN {} TO {name}", columns[at].name);
            columns[at].name = name.to_owned();
            action
        }
        ColumnChange::Widen => {
            let at = changeable(&|column| column.of.wider().is_some())?;
            columns[at].of = columns[at].of.wider()?;
            format!("ALTER COLUMN {} TYPE {}", columns[at].name, columns[at].of.sql())
        }
        ColumnChange::SetDefault => {
            let at = changeable(&|_| true)?;
            let value = columns[at].of.value(chance);
            columns[at].default = value.clone();
            format!("ALTER COLUMN {} SET DEFAULT {}", columns[at].name, value.literal(columns[at].of))
        }
        ColumnChange::DropDefault => {
            let at = changeable(&|column| !column.required && column.default != Value::Null)?;
            columns[at].default = Value::Null;
            format!("ALTER COLUMN {} DROP DEFAULT", columns[at].name)
        }
        ColumnChange::SetNotNull => {
            let at =
                changeable(&|column| !column.required && column.default != Value::Null && no_nulls(column))?;
            columns[at].required = true;
            format!("ALTER COLUMN {} SET NOT NULL", columns[at].name)
        }
        ColumnChange::DropNotNull => {
            let at = changeable(&|column| column.required)?;
            columns[at].required = false;
            format!("ALTER COLUMN {} DROP NOT NULL", columns[at].name)
        }
    };
    // Rows that do not name it are not refused.
    let has_value = |column: &Column| column.default != Value::Null;
    debug_assert!(columns.iter().all(|column| !column.required || column.is_fixed() || has_value(column)));
    Some(Change {
        sql: format!("ALTER TABLE {table} {action}"),
        effect: Effect::Columns(columns),
        count: None,
    })
}

/// Gives the column that may become `NOT NULL` a value wherever it has none: the one of new rows. `None` if there is no such column.
pub(super) fn fill(table: &str, state: &State, tags: &[u32], chance: &Chance) -> Option<Change> {
    let seen = state.seen();
    let candidates: Vec<&Column> = seen
        .columns
        .iter()
        .filter(|column| !column.is_fixed() && !tags.contains(&column.id) && !column.required)
        .filter(|column| column.default != Value::Null)
        .collect();
    if candidates.is_empty() {
        return None;
    }
    let column = *chance.pick(&candidates);
    let is_null = |row: &Arc<Row>| *column.of_row(row) == Value::Null;
    let filled = |row: &Arc<Row>| {
        let mut row = row.as_ref().clone();
        row.insert(column.id, column.default.clone());
        Arc::new(row)
    };
    let rows = seen.rows.iter().map(|row| if is_null(row) { filled(row) } else { row.clone() });
    Some(Change {
        sql: format!(
            "UPDATE {table} SET {0} = {1} WHERE {0} IS NULL",
            column.name,
            column.default.expression(column.of)
        ),
        effect: Effect::Rewrite(rows.collect()),
        count: Some(seen.rows.iter().filter(|row| is_null(row)).count() as u64),
    })
}
