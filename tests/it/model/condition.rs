//! Conditions of row changes, as SQL and as the oracle decides them.

use super::chance::Chance;
use super::table::{Column, Image, KEY, Row};
use super::value::{Type, Value};

/// What follows WHERE.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Keys {
        low: i64,
        high: i64,
    },
    /// `k % of = rest`
    Share {
        of: i64,
        rest: i64,
    },
    Null(Column),
    Equal(Column, Value),
    Less(Column, Value),
    Either(Box<Condition>, Box<Condition>),
}

impl Condition {
    /// One that some rows of the image may meet.
    pub(super) fn draw(image: &Image, chance: &Chance) -> Self {
        let column = chance.pick(&image.columns).clone();
        match chance.below(10) {
            0..4 => Self::keys(image, 40, chance),
            4 | 5 => {
                let of = chance.within(2, 12);
                Self::Share { of, rest: chance.within(0, of) }
            }
            6 if !column.required => Self::Null(column),
            7 => Self::Equal(column.clone(), column.of.value(chance)),
            8 if !matches!(column.of, Type::Text | Type::Boolean) => {
                Self::Less(column.clone(), column.of.value(chance))
            }
            9 => Self::Either(
                Box::new(Self::keys(image, 10, chance)),
                Box::new(Self::Equal(column.clone(), column.of.value(chance))),
            ),
            _ => Self::keys(image, 5, chance),
        }
    }

    /// A range of at most so many keys that begins at one of a row.
    pub(super) fn keys(image: &Image, width: i64, chance: &Chance) -> Self {
        let low = match image.rows.len() {
            0 => 0,
            count => key(&image.rows[chance.below(count)]),
        };
        Self::Keys { low, high: low + chance.within(0, width) }
    }

    /// As SQL, with columns of the table `t`.
    pub(super) fn sql(&self) -> String {
        match self {
            Self::Keys { low, high } => format!("k BETWEEN {low} AND {high}"),
            Self::Share { of, rest } => format!("k % {of} = {rest}"),
            Self::Null(column) => format!("{} IS NULL", column.name),
            Self::Equal(column, value) => format!("{} = {}", column.name, value.expression(column.of)),
            Self::Less(column, value) => format!("{} < {}", column.name, value.expression(column.of)),
            Self::Either(a, b) => format!("({} OR {})", a.sql(), b.sql()),
        }
    }

    /// True if it is true of the row, not if it is unknown.
    pub(super) fn holds(&self, row: &Row) -> bool {
        match self {
            Self::Keys { low, high } => (*low..=*high).contains(&key(row)),
            Self::Share { of, rest } => key(row) % of == *rest,
            Self::Null(column) => *column.of_row(row) == Value::Null,
            Self::Equal(column, value) => column.of_row(row) == value,
            Self::Less(column, value) => {
                column.of_row(row).order().zip(value.order()).is_some_and(|(left, right)| left < right)
            }
            Self::Either(a, b) => a.holds(row) || b.holds(row),
        }
    }
}

/// The key of a row.
pub(super) fn key(row: &Row) -> i64 {
    row.get(&KEY).and_then(Value::order).expect("every row has a key")
}
