//! One measurement of a request: its table, what its columns take, and the keys of its last line.

use cenote_vocab::FieldType;

use crate::column::Gaps;
use crate::table::{TIME, Table};
use crate::value::Kind;
use crate::{Error, Known, KnownColumns, Limits};

use super::Bad;
use super::accepts::Accepts;
use super::scanner::{unescape_name, unescape_text};
use super::value::Value;

/// A value on its way to its column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<'a> {
    pub(super) column: u32,
    pub(super) value: Value<'a>,
}

/// Whether a key stands among the tags or the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Tag,
    Field,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Field => "field",
        }
    }
}

/// What is known of a column beside its values.
#[derive(Debug)]
struct State {
    accepts: Accepts,
    /// The type of the table's column, if it has one.
    existing: Option<FieldType>,
    /// The line that last had it, and as what.
    last_line: u64,
    last_role: Role,
}

/// A key as it was sent, with its `=`, and what it means.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShapeKey<'a> {
    raw: &'a [u8],
    role: Role,
    column: u32,
}

/// A measurement's rows and what makes the next line cheap.
#[derive(Debug)]
pub(super) struct Measurement<'a> {
    /// As it was sent first.
    pub(super) raw: &'a [u8],
    pub(super) table: Table,
    states: Vec<State>,
    /// Keys of the last good line, in its order.
    shape: Vec<ShapeKey<'a>>,
}

impl<'a> Measurement<'a> {
    pub(super) fn new(raw: &'a [u8], table: Table) -> Self {
        Self { raw, table, states: Vec::new(), shape: Vec::new() }
    }

    /// The column of key number `index`, if the body goes on at `at` with the key that the last line had there.
    #[inline]
    pub(super) fn expected(&self, index: usize, role: Role, body: &[u8], at: usize) -> Option<(u32, usize)> {
        let key = self.shape.get(index)?;
        let end = at + key.raw.len();
        (key.role == role && body.get(at..end) == Some(key.raw)).then_some((key.column, end))
    }

    /// The column of a key by its name. `before` are the cells of the line so far, all with expected keys
    /// if `new_shape` is empty. A line that turns out bad must be taken back by [`Measurement::forget_columns`].
    #[expect(clippy::too_many_arguments, reason = "the parts of one line, which no type would hold together")]
    pub(super) fn resolve(
        &mut self,
        raw: &'a [u8],
        role: Role,
        line: u64,
        before: &[Cell<'a>],
        new_shape: &mut Vec<ShapeKey<'a>>,
        known: &dyn KnownColumns,
        limits: &Limits,
    ) -> Result<u32, Bad> {
        if new_shape.is_empty() {
            new_shape.extend_from_slice(&self.shape[..before.len()]);
            for key in new_shape.iter() {
                let state = &mut self.states[key.column as usize];
                (state.last_line, state.last_role) = (line, key.role);
            }
        }
        let column = self.named(&raw[..raw.len() - 1], role, line, known, limits)?;
        let state = &mut self.states[column];
        (state.last_line, state.last_role) = (line, role);
        new_shape.push(ShapeKey { raw, role, column: column as u32 });
        Ok(column as u32)
    }

    fn named(
        &mut self,
        raw: &[u8],
        role: Role,
        line: u64,
        known: &dyn KnownColumns,
        limits: &Limits,
    ) -> Result<usize, Bad> {
        let mut plain = Vec::new();
        let name = if raw.contains(&b'\\') {
            unescape_name(raw, false, &mut plain);
            &plain[..]
        } else {
            raw
        };
        let Ok(name) = str::from_utf8(name) else {
            return Err(Bad::line("line is not valid UTF-8"));
        };
        if name.is_empty() {
            return Err(Bad::Line(format!("empty {} key", role.word())));
        }
        if name == TIME {
            return Err(Bad::Line(format!("a {} cannot be called {TIME:?}", role.word())));
        }
        let mut column = self.column(name, known, limits)?;
        let mut state = &self.states[column];
        if role == Role::Field && state.last_line == line && state.last_role == Role::Tag {
            column = self.column(&format!("{name}_value"), known, limits)?;
            state = &self.states[column];
        }
        if state.last_line == line {
            return Err(Bad::Line(format!("{} key {name:?} is given twice", role.word())));
        }
        Ok(column)
    }

    fn column(&mut self, name: &str, known: &dyn KnownColumns, limits: &Limits) -> Result<usize, Bad> {
        let column = match self.table.column(name, limits) {
            Ok(column) => column,
            Err(Error::Name(name)) => return Err(Bad::Line(name.to_string())),
            Err(error) => return Err(Bad::Body(error)),
        };
        if column == self.states.len() {
            let existing = known.column(self.table.name(), name);
            let accepts = existing
                .as_ref()
                .map_or(Accepts::Anything, |Known { field_type, tag }| Accepts::of(field_type, *tag));
            let values = &mut self.table.columns[column];
            if let Accepts::Decimals { .. } | Accepts::AnythingAsText = accepts {
                values.make_textual().map_err(|misfit| Bad::Line(misfit.to_string()))?;
            }
            if accepts.kind() != Kind::Null {
                values.begin(accepts.kind());
            }
            let existing = existing.map(|known| known.field_type);
            // Lines count from 1, so that the role is not asked for before there was one.
            self.states.push(State { accepts, existing, last_line: 0, last_role: Role::Field });
        }
        Ok(column)
    }

    /// What the column takes.
    #[inline]
    pub(super) fn accepts(&self, column: u32) -> &Accepts {
        &self.states[column as usize].accepts
    }

    /// The text of InfluxDB for a value that its column does not take.
    #[cold]
    pub(super) fn conflict(&self, column: u32, value: &Value<'_>) -> Bad {
        let state = &self.states[column as usize];
        let existing = match (&state.existing, &state.accepts) {
            (Some(FieldType::Float | FieldType::Double), _) | (None, Accepts::Doubles) => "float".to_owned(),
            (Some(FieldType::Int64), _) | (None, Accepts::Integers { .. }) => "integer".to_owned(),
            (Some(FieldType::Boolean), _) | (None, Accepts::Booleans) => "boolean".to_owned(),
            (Some(FieldType::String), _) | (None, _) => "string".to_owned(),
            (Some(FieldType::Timestamp(_) | FieldType::TimestampTz(_)), _) => "timestamp".to_owned(),
            (Some(other), _) => other.sql_name().to_lowercase(),
        };
        Bad::Line(format!(
            "field type conflict: input field {:?} on measurement {:?} is type {}, already exists as type {existing}",
            self.table.columns[column as usize].name(),
            self.table.name(),
            value.type_name(),
        ))
    }

    /// Takes back the columns that a bad line made, down to `count`.
    pub(super) fn forget_columns(&mut self, count: usize) {
        self.states.truncate(count);
        self.table.forget_columns(count);
    }

    /// Adds a line all of whose cells were converted to what their columns take.
    #[inline]
    pub(super) fn append(&mut self, time: i64, cells: &[Cell<'a>], gaps: &mut Gaps) -> Result<(), Error> {
        let rows = self.table.rows();
        for cell in cells {
            let position = cell.column as usize;
            let state = &mut self.states[position];
            if let Accepts::Anything = state.accepts {
                state.accepts = Accepts::after(&cell.value);
            }
            if let Value::Tag { .. } = cell.value
                && !self.table.columns[position].is_tag()
            {
                state.accepts = Accepts::AnythingAsText;
                self.table.mark_tag(position).map_err(|misfit| Error::Malformed(misfit.to_string()))?;
            }
            let column = &mut self.table.columns[position];
            column.pad_to(rows, gaps)?;
            let value = match cell.value {
                Value::Tag { raw, escaped: false } | Value::Text { raw, escaped: false } => {
                    column.push_text(raw);
                    continue;
                }
                Value::Tag { raw, escaped: true } => {
                    column.push_text_with(|text| unescape_name(raw, false, text));
                    continue;
                }
                Value::Text { raw, escaped: true } => {
                    column.push_text_with(|text| unescape_text(raw, text));
                    continue;
                }
                Value::Int(value) => crate::value::Value::Int(value),
                Value::Float(value) => crate::value::Value::Float(value),
                Value::Bool(value) => crate::value::Value::Bool(value),
                Value::Timestamp(value) => crate::value::Value::Timestamp(value),
            };
            column.push(&value).map_err(|misfit| Error::Malformed(misfit.to_string()))?;
        }
        self.table.times.push(time);
        Ok(())
    }

    /// The keys of the line that was just added are those to expect.
    pub(super) fn expect_keys(&mut self, new_shape: &mut Vec<ShapeKey<'a>>) {
        std::mem::swap(&mut self.shape, new_shape);
    }
}
