//! Changes of a table's definition that were planned on one version of it: columns at any depth, partitions, order, key. Pure.
//!
//! Columns are named by path, because a later change of a commit may name a column that an earlier one made; the committer refuses
//! the commit if the definition is another than the one it was planned on, so a path means what its writer saw.

mod columns;
mod layout;

pub use columns::first_schema;

pub(crate) use columns::give_ids;
pub(crate) use layout::{check_key, check_partition, check_sort};

use std::collections::BTreeMap;

use cenote_vocab::{Field, FieldType, PartitionSpec, Transform, Txn, WriteDefault};

use crate::widening::Findings;
use crate::{Error, TableDef};

/// Where a column is, from the outermost name to its own: `["a", "b"]` for `a.b`. Elements of lists are named `element`, keys and
/// values of maps `key` and `value`.
pub type ColumnPath = Vec<String>;

/// Where a column goes among its neighbours.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Place {
    /// Behind all.
    #[default]
    Last,
    /// Before all.
    First,
    /// Behind this one.
    After(String),
}

/// One column of a sort order to be.
#[derive(Clone, Debug, PartialEq)]
pub struct SortColumn {
    /// Its name.
    pub column: String,
    /// `DESC`
    pub descending: bool,
    /// `NULLS FIRST`
    pub nulls_first: bool,
}

/// One change of a table's definition.
#[derive(Clone, Debug, PartialEq)]
pub enum Evolution {
    /// `ADD COLUMN`; ids are given by the commit. `NOT NULL` needs an initial default.
    AddColumn {
        /// The struct that gets it; empty: the table.
        parent: ColumnPath,
        /// Name, type, defaults, comment.
        column: Field,
        /// Where.
        place: Place,
        /// No change if there is one of this name.
        if_not_exists: bool,
    },
    /// `DROP COLUMN`
    DropColumn {
        /// The column.
        path: ColumnPath,
        /// No change if it is not there.
        if_exists: bool,
    },
    /// `RENAME COLUMN`
    RenameColumn {
        /// The column.
        path: ColumnPath,
        /// Its name then.
        name: String,
    },
    /// `ALTER COLUMN … FIRST | AFTER c`
    MoveColumn {
        /// The column.
        path: ColumnPath,
        /// Where to.
        place: Place,
    },
    /// `ALTER COLUMN … TYPE`: only to a type that holds all values that are in files.
    SetType {
        /// The column.
        path: ColumnPath,
        /// Its type then.
        field_type: FieldType,
    },
    /// `SET NOT NULL`: the caller has seen that no row at the base is NULL there.
    SetNotNull(ColumnPath),
    /// `DROP NOT NULL`
    DropNotNull(ColumnPath),
    /// `SET DEFAULT`, `DROP DEFAULT`
    SetDefault {
        /// The column.
        path: ColumnPath,
        /// What rows get that are written without it.
        default: Option<WriteDefault>,
    },
    /// `COMMENT ON COLUMN`
    SetColumnComment {
        /// The column.
        path: ColumnPath,
        /// `None` takes it off.
        comment: Option<String>,
    },
    /// `COMMENT ON TABLE`
    SetComment(Option<String>),
    /// `SET PARTITIONED BY`; none: unpartitioned.
    SetPartition(Vec<(String, Transform)>),
    /// `SET SORTED BY`; none: unsorted.
    SetSort(Vec<SortColumn>),
    /// `ADD PRIMARY KEY`, `DROP PRIMARY KEY`.
    SetKey(Vec<String>),
}

/// Partition specs and sort orders that a table ever had.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layouts {
    pub(crate) specs: BTreeMap<i32, PartitionSpec>,
    pub(crate) sort_no_max: i32,
}

/// What an evolution must know besides the definition, and what it uses up.
pub(crate) struct Circumstances<'a> {
    /// When the change was planned.
    pub(crate) base: Txn,
    pub(crate) next_field: &'a mut i32,
    pub(crate) next_part_field: &'a mut i32,
    pub(crate) layouts: &'a Layouts,
    /// What is known of the values in live files; `None` if nobody looked.
    pub(crate) findings: Option<&'a Findings>,
}

/// True if a column becomes this type only where its values allow it.
pub(crate) fn type_needs_findings(to: &FieldType) -> bool {
    matches!(to, FieldType::Double | FieldType::Timestamp(_) | FieldType::TimestampTz(_))
}

impl Evolution {
    /// True if the values in files decide.
    pub(crate) fn needs_findings(&self) -> bool {
        match self {
            Self::SetType { field_type, .. } => type_needs_findings(field_type),
            Self::SetNotNull(_) => true,
            _ => false,
        }
    }

    /// True if earlier partition specs and sort orders decide.
    pub(crate) fn needs_layouts(&self) -> bool {
        matches!(self, Self::SetPartition(_) | Self::SetSort(_))
    }

    /// Changes `def`; schema numbers are the caller's.
    pub(crate) fn apply(&self, def: &mut TableDef, known: &mut Circumstances<'_>) -> Result<(), Error> {
        match self {
            Self::SetComment(comment) => def.comment.clone_from(comment),
            Self::SetPartition(parts) => layout::set_partition(def, parts, known)?,
            Self::SetSort(columns) => layout::set_sort(def, columns, known)?,
            Self::SetKey(columns) => layout::set_key(def, columns)?,
            change => columns::change(def, change, known)?,
        }
        Ok(())
    }
}
