//! The shape of a table: fields with ids, and the order of rows. Arrow's view of it is made in `datafile`.

use std::fmt;
use std::str::FromStr;

use crate::{FieldId, FieldType, UnknownType};

/// What a column gets that a statement does not name. Its `Display` is SQL and the text that the catalog stores; `FromStr` reads it
/// back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WriteDefault {
    /// A value, as text that casts to the column's type.
    Literal(String),
    /// The instant of the statement, the same for all of its rows.
    Now,
    /// A random UUID, another for each row.
    Uuid,
}

impl fmt::Display for WriteDefault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Now => f.write_str("now()"),
            Self::Uuid => f.write_str("uuid()"),
        }
    }
}

impl FromStr for WriteDefault {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        match text {
            "now()" => Ok(Self::Now),
            "uuid()" => Ok(Self::Uuid),
            quoted => {
                let inner = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                let inner = inner.ok_or_else(|| UnknownType(text.to_owned()))?;
                Ok(Self::Literal(inner.replace("''", "'")))
            }
        }
    }
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// Stays the same through renames; never reused.
    pub id: FieldId,
    /// Unique in its table, byte for byte.
    pub name: String,
    /// The type of its values.
    pub field_type: FieldType,
    /// True for `NOT NULL`.
    pub required: bool,
    /// The value that rows have which were written before the column was there, as text that casts to its type; `None`: NULL.
    pub initial_default: Option<String>,
    /// What rows get that are written without it; `None`: NULL.
    pub write_default: Option<WriteDefault>,
    /// `COMMENT`
    pub comment: Option<String>,
}

impl Field {
    /// A nullable column without default and comment.
    pub fn new(id: FieldId, name: impl Into<String>, field_type: FieldType) -> Self {
        Self {
            id,
            name: name.into(),
            field_type,
            required: false,
            initial_default: None,
            write_default: None,
            comment: None,
        }
    }

    /// The same column, `NOT NULL`.
    #[must_use]
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// The columns of a table at one schema number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSchema {
    /// Counts from 1; each change of the columns makes the next.
    pub no: i32,
    /// In the order that `SELECT *` shows.
    pub fields: Vec<Field>,
}

impl TableSchema {
    /// The field of exactly this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The column of this id.
    pub fn field_by_id(&self, id: FieldId) -> Option<&Field> {
        self.fields.iter().find(|field| field.id == id)
    }

    /// All fields, nested ones after the one that they are in, with the id of that one.
    pub fn all_fields(&self) -> Vec<(&Field, Option<FieldId>)> {
        fn walk<'a>(
            fields: Vec<&'a Field>,
            parent: Option<FieldId>,
            found: &mut Vec<(&'a Field, Option<FieldId>)>,
        ) {
            for field in fields {
                found.push((field, parent));
                walk(field.field_type.children(), Some(field.id), found);
            }
        }
        let mut found = Vec::with_capacity(self.fields.len());
        walk(self.fields.iter().collect(), None, &mut found);
        found
    }
}

/// One column of a sort order; ascending, NULLs last, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortField {
    /// The column.
    pub source: FieldId,
    /// `DESC`
    pub descending: bool,
    /// `NULLS FIRST`
    pub nulls_first: bool,
}

/// The order of rows inside a table's files. `no` 0 and no fields: unsorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortOrder {
    /// Number of the order in its table.
    pub no: i32,
    /// Columns, most significant first.
    pub fields: Vec<SortField>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_read_back_from_their_text() {
        for default in [WriteDefault::Now, WriteDefault::Uuid, WriteDefault::Literal("it's ''".into())] {
            assert_eq!(default.to_string().parse(), Ok(default));
        }
        assert!("later()".parse::<WriteDefault>().is_err());
    }
}
