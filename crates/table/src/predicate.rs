//! The small predicate by which files are pruned.

use cenote_catalog::TimeWindow;
use cenote_datafile::Value;
use cenote_vocab::{Field, FieldId};

use crate::bounds::unit_nanos;

/// What rows are wanted, as far as files can be left out by it. Columns are named by field id; a comparison with NULL is not true.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Predicate {
    /// Nothing is known: every row may match.
    #[default]
    True,
    /// All hold.
    And(Vec<Predicate>),
    /// At least one holds.
    Or(Vec<Predicate>),
    /// Column against value; the value is of the column's present type.
    Compare {
        /// The column.
        field: FieldId,
        /// How.
        comparison: Comparison,
        /// With what.
        value: Value,
    },
    /// The column is NULL.
    IsNull(FieldId),
    /// The column is not NULL.
    IsNotNull(FieldId),
}

/// How a column is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Predicate {
    /// The times outside of which no row matches, in µs and rounded outwards; `None` if the predicate does not limit them.
    pub(crate) fn time_window(&self, time: &Field) -> Option<TimeWindow> {
        let nanos = unit_nanos(&time.field_type)?;
        let span = self.span(time.id);
        if span == Span::ALL {
            return None;
        }
        let micros = |value: i128| value.saturating_mul(nanos).div_euclid(1_000);
        let clamp = |value: i128| value.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        Some(TimeWindow {
            from: if span.from == i128::MIN { i64::MIN } else { clamp(micros(span.from)) },
            to: if span.to == i128::MAX { i64::MAX } else { clamp(micros(span.to).saturating_add(1)) },
        })
    }

    /// Closed range of the column's values that rows can match in.
    fn span(&self, time: FieldId) -> Span {
        match self {
            Self::And(all) => all.iter().map(|one| one.span(time)).fold(Span::ALL, Span::intersection),
            Self::Or(any) => any.iter().map(|one| one.span(time)).reduce(Span::hull).unwrap_or(Span::ALL),
            Self::Compare { field, comparison, value: Value::Integer(value) } if *field == time => {
                match comparison {
                    Comparison::Equal => Span { from: *value, to: *value },
                    Comparison::Less | Comparison::LessOrEqual => Span { to: *value, ..Span::ALL },
                    Comparison::Greater | Comparison::GreaterOrEqual => Span { from: *value, ..Span::ALL },
                    Comparison::NotEqual => Span::ALL,
                }
            }
            Self::True | Self::Compare { .. } | Self::IsNull(_) | Self::IsNotNull(_) => Span::ALL,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    from: i128,
    to: i128,
}

impl Span {
    const ALL: Self = Self { from: i128::MIN, to: i128::MAX };

    fn intersection(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }

    fn hull(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), to: self.to.max(other.to) }
    }
}

#[cfg(test)]
mod tests {
    use cenote_vocab::{FieldType, TimeUnit};

    use super::*;

    fn time(unit: TimeUnit) -> Field {
        Field::new(FieldId(1), "time", FieldType::Timestamp(unit))
    }

    fn compare(field: i32, comparison: Comparison, value: i128) -> Predicate {
        Predicate::Compare { field: FieldId(field), comparison, value: Value::Integer(value) }
    }

    #[test]
    fn conjunctions_narrow_the_window_and_disjunctions_widen_it() {
        let (low, high) = (compare(1, Comparison::GreaterOrEqual, 2), compare(1, Comparison::Less, 5));
        let both = Predicate::And(vec![low.clone(), high.clone(), compare(2, Comparison::Equal, 9)]);
        let window = both.time_window(&time(TimeUnit::Milli)).expect("limited");
        assert_eq!((window.from, window.to), (2_000, 5_001));

        assert_eq!(
            Predicate::Or(vec![both.clone(), compare(2, Comparison::Equal, 9)])
                .time_window(&time(TimeUnit::Milli)),
            None
        );
        let open = Predicate::Or(vec![both, low]).time_window(&time(TimeUnit::Milli)).expect("limited");
        assert_eq!((open.from, open.to), (2_000, i64::MAX));
    }

    #[test]
    fn nanoseconds_are_rounded_outwards() {
        let one = compare(1, Comparison::Equal, -1_500).time_window(&time(TimeUnit::Nano)).expect("limited");
        assert!(one.from <= -2 && one.to >= -1, "{one:?}");
        assert_eq!(compare(1, Comparison::NotEqual, 3).time_window(&time(TimeUnit::Nano)), None);
    }
}
