//! The registry: one declaration per control table. Its DDL is rendered from it for each database, and rows are inserted by it;
//! what `system.*` shows of them is declared beside it.

mod access;
mod asset;
mod event;
mod files;
mod flow;
mod ledger;
mod lineage;
mod objects;
mod publication;
mod published;
mod render;
mod root;
mod stream;
mod system;

pub(crate) use access::{AUDIT, GRANT, LEASES, ROLE, ROLE_MEMBER, TOKEN};
pub(crate) use asset::{
    ASSET, ASSET_DEP, ASSET_INPUT, ASSET_PARTITION, ATTEMPT, CHECK, CHECK_RESULT, RECIPE, RUN_KEY, STAGED,
    TASK, TASK_DEP, TICK, TRIGGER,
};
pub(crate) use event::{EVENT, committed, told};
pub(crate) use files::{BOUNDS, FILE, INLINE, PARTITION, TRASH, VECTOR};
pub(crate) use flow::{JOB, RUN};
pub(crate) use ledger::{PRODUCER, PRODUCER_LOG};
pub(crate) use lineage::{CODE, COLUMN_EDGE, EDGE, NODE};
pub(crate) use objects::{FIELD, SCHEMA, SORT_FIELD, SPEC_FIELD, TABLE, TABLE_SCHEMA, TABLE_STATE};
pub(crate) use publication::{PUBLICATION, SIGNING_KEY};
pub use published::{PublishedKind, PublishedTable, published_tables};
pub(crate) use render::{add_column, define, definitions};
pub(crate) use root::{CATALOG, HEAD, HOLD, META, TABLE_TXN, TXN, TXN_INPUT};
pub(crate) use stream::PIPELINE;
pub use system::{SystemColumn, SystemKind, SystemTable, system_tables};

use crate::sql::Kind;

/// The layout that this binary writes and reads: `layout` in `cn_meta`.
pub(crate) const LAYOUT: i64 = 12;

/// All control tables.
pub(crate) const TABLES: &[&Table] = &[
    &META,
    &CATALOG,
    &HEAD,
    &TXN,
    &TXN_INPUT,
    &TABLE_TXN,
    &HOLD,
    &SCHEMA,
    &TABLE,
    &TABLE_STATE,
    &TABLE_SCHEMA,
    &FIELD,
    &SPEC_FIELD,
    &SORT_FIELD,
    &PARTITION,
    &FILE,
    &BOUNDS,
    &VECTOR,
    &INLINE,
    &TRASH,
    &PRODUCER,
    &PRODUCER_LOG,
    &TOKEN,
    &ROLE,
    &ROLE_MEMBER,
    &GRANT,
    &AUDIT,
    &LEASES,
    &JOB,
    &RUN,
    &PIPELINE,
    &EVENT,
    &PUBLICATION,
    &SIGNING_KEY,
    &CODE,
    &COLUMN_EDGE,
    &NODE,
    &EDGE,
    &ASSET,
    &ASSET_DEP,
    &ASSET_PARTITION,
    &ASSET_INPUT,
    &TRIGGER,
    &TICK,
    &RECIPE,
    &STAGED,
    &RUN_KEY,
    &TASK,
    &TASK_DEP,
    &ATTEMPT,
    &CHECK,
    &CHECK_RESULT,
];

/// The meaning of a column, which each database has its own type for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// A number of 64 bits.
    Id,
    /// Microseconds since 1970 UTC.
    Time,
    /// A number of 32 bits.
    Int,
    /// 0 or 1.
    Flag,
    /// Up to 255 bytes, compared byte by byte.
    Name,
    /// Text of any length.
    Text,
    /// Bytes of any length.
    Bytes,
    /// A UUID.
    Uuid,
    /// 128 bits of a SHA-256.
    Hash,
    /// A SHA-256.
    Hash32,
}

/// A column of a control table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) word: Word,
    pub(crate) nullable: bool,
}

/// A control table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    pub(crate) primary: &'static [&'static str],
    pub(crate) unique: &'static [&'static [&'static str]],
    /// (`x` of the index's name `{table}_x`, columns)
    pub(crate) indexes: &'static [(&'static str, &'static [&'static str])],
    /// Rows are large, so SQLite keeps them apart from the key.
    pub(crate) large_rows: bool,
    /// Few rows that change all the time: PostgreSQL leaves room in their pages and cleans up often.
    pub(crate) hot: bool,
}

impl Table {
    const fn new(name: &'static str, columns: &'static [Column], primary: &'static [&'static str]) -> Self {
        Self { name, columns, primary, unique: &[], indexes: &[], large_rows: false, hot: false }
    }

    const fn unique(mut self, unique: &'static [&'static [&'static str]]) -> Self {
        self.unique = unique;
        self
    }

    const fn indexes(mut self, indexes: &'static [(&'static str, &'static [&'static str])]) -> Self {
        self.indexes = indexes;
        self
    }

    const fn large_rows(mut self) -> Self {
        self.large_rows = true;
        self
    }

    const fn hot(mut self) -> Self {
        self.hot = true;
        self
    }
}

impl Word {
    /// How values are bound and read.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Id | Self::Time | Self::Int | Self::Flag => Kind::Int,
            Self::Name | Self::Text => Kind::Text,
            Self::Bytes | Self::Hash | Self::Hash32 => Kind::Bytes,
            Self::Uuid => Kind::Uuid,
        }
    }
}

const fn column(name: &'static str, word: Word) -> Column {
    Column { name, word, nullable: false }
}

const fn id(name: &'static str) -> Column {
    column(name, Word::Id)
}

const fn int(name: &'static str) -> Column {
    column(name, Word::Int)
}

const fn time(name: &'static str) -> Column {
    column(name, Word::Time)
}

const fn flag(name: &'static str) -> Column {
    column(name, Word::Flag)
}

const fn name(name: &'static str) -> Column {
    column(name, Word::Name)
}

const fn text(name: &'static str) -> Column {
    column(name, Word::Text)
}

const fn bytes(name: &'static str) -> Column {
    column(name, Word::Bytes)
}

const fn uuid(name: &'static str) -> Column {
    column(name, Word::Uuid)
}

/// The same column, which may hold NULL.
const fn nullable(column: Column) -> Column {
    Column { nullable: true, ..column }
}
