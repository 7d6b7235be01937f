//! Table functions about one table: its changes, its snapshots, its files, its partitions as an asset, where its rows come from, what
//! a check kept out of it.
//!
//! The binder finds a call in the statement, reads its arguments here, and puts the table that is made for it in its place; so
//! names, rights and snapshot are those of every other reference, and arguments may have names.

mod arguments;
mod asset_partitions;
mod changes;
mod column_lineage;
mod files;
mod lineage;
mod provenance;
mod relation;
mod snapshots;
mod staged;

use std::sync::Arc;

use cenote_catalog::{Identity, Names, Privilege, TableDef, TableKind};
use cenote_table::ChangePosition;
use cenote_vocab::{ErrorKind, Scope, Txn};
use datafusion::execution::session_state::SessionState;
use sqlparser::ast::{FunctionArg, ObjectName};

use crate::Error;
use crate::engine::Engine;
use crate::parse::{object_name, unsupported};
use crate::plan::{Found, Resolver, constant_time};
use arguments::{Arguments, Moment};

pub(crate) use relation::{Relation, RowStream};
pub(crate) use snapshots::{columns as snapshot_columns, newest_first as snapshots};

/// One of the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Changes,
    Snapshots,
    Files,
    FileStatistics,
    Lineage,
    ColumnLineage,
    AssetPartitions,
    Provenance,
    Staged,
}

impl Function {
    pub(crate) const ALL: [Self; 9] = [
        Self::Changes,
        Self::Snapshots,
        Self::Files,
        Self::FileStatistics,
        Self::Lineage,
        Self::ColumnLineage,
        Self::AssetPartitions,
        Self::Provenance,
        Self::Staged,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Changes => "table_changes",
            Self::Snapshots => "snapshots",
            Self::Files => "table_files",
            Self::FileStatistics => "table_file_stats",
            Self::Lineage => "lineage",
            Self::ColumnLineage => "column_lineage",
            Self::AssetPartitions => "asset_partitions",
            Self::Provenance => "provenance",
            Self::Staged => "staged",
        }
    }

    /// The function that a name in FROM means, if it is one of these.
    pub(crate) fn named(name: &ObjectName) -> Option<Self> {
        let [part] = name.0.as_slice() else { return None };
        let wanted = crate::parse::folded(part.as_ident()?);
        Self::ALL.into_iter().find(|function| function.name() == wanted)
    }

    /// Names of the arguments in their order, and how many of them must be given.
    fn parameters(self) -> (&'static [&'static str], usize) {
        match self {
            Self::Changes => (&["table", "from", "to", "types", "columns", "preimages", "expired"], 2),
            Self::Snapshots | Self::AssetPartitions => (&["table"], 1),
            Self::Files | Self::FileStatistics => (&["table", "version"], 1),
            Self::Lineage => (&["table", "direction", "depth"], 1),
            Self::ColumnLineage => (&["table", "column", "direction", "depth"], 2),
            Self::Provenance => (&["table", "txn", "depth"], 1),
            Self::Staged => (&["table", "run"], 2),
        }
    }

    /// Arguments beyond these must be named.
    fn positional(self) -> usize {
        match self {
            Self::Changes => 3,
            _ => self.parameters().0.len(),
        }
    }
}

/// A call as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) arguments: Vec<FunctionArg>,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let arguments: Vec<String> = self.arguments.iter().map(ToString::to_string).collect();
        write!(f, "{}({})", self.function.name(), arguments.join(", "))
    }
}

/// What a call is about: who asks, and what the statement sees.
pub(crate) struct Context<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) identity: &'a Identity,
    pub(crate) state: &'a SessionState,
    pub(crate) names: Arc<Names>,
    /// The statement's snapshot.
    pub(crate) at: Txn,
    pub(crate) search_path: &'a [String],
    pub(crate) sql: &'a str,
}

/// A call that found its table.
pub(crate) struct Bound {
    /// As of the last version that is read.
    pub(crate) table: Arc<TableDef>,
    /// That version.
    pub(crate) at: Txn,
    pub(crate) relation: Relation,
}

/// The table that a call stands for.
pub(crate) async fn bind(context: &Context<'_>, call: &Call) -> Result<Bound, Error> {
    let arguments = Arguments::of(call)?;
    let named = context.table(&arguments.text("table")?)?;
    let version = match call.function {
        Function::Changes => arguments.moment("to")?,
        Function::Lineage | Function::ColumnLineage | Function::AssetPartitions | Function::Staged => None,
        Function::Provenance => arguments.moment("txn")?,
        _ => arguments.moment("version")?,
    };
    let at = match version {
        Some(moment) => context.txn(&named, &moment).await?,
        None => context.at,
    };
    let table = context.as_of(&named, at).await?;
    let relation = match call.function {
        Function::Changes => {
            let after = match arguments.moment("from")? {
                Some(Moment::Position(position)) => position,
                Some(moment) => ChangePosition::end_of(context.txn(&named, &moment).await?),
                None => return Err(arguments.missing("from")),
            };
            changes::relation(context, &table, after, at, &arguments)?
        }
        Function::Lineage => lineage::relation(context, &table, &arguments)?,
        Function::ColumnLineage => column_lineage::relation(context, &table, &arguments)?,
        Function::AssetPartitions => asset_partitions::relation(context, &table),
        Function::Provenance => provenance::relation(context, &table, at, &arguments)?,
        Function::Staged => staged::relation(context, &table, &arguments).await?,
        Function::Snapshots => snapshots::relation(context, &table),
        Function::Files => files::files(context, &table, at),
        Function::FileStatistics => files::statistics(context, &table, at),
    };
    Ok(Bound { table, at, relation })
}

impl Context<'_> {
    fn scope(&self) -> &Scope {
        &self.identity.scope
    }

    /// The table of this name that the asker may read.
    fn table(&self, name: &str) -> Result<Arc<TableDef>, Error> {
        let parts = object_name(name)?;
        let resolver =
            Resolver { names: &self.names, identity: self.identity, search_path: self.search_path };
        match resolver.find(&parts, Privilege::Select)? {
            Found::Table(table) if table.kind == TableKind::Table => Ok(table),
            Found::Table(table) => Err(unsupported(&format!("history of the view {}", table.full_name()))),
            Found::System { .. } | Found::Made { .. } => {
                Err(unsupported(&format!("history of the system table {name}")))
            }
        }
    }

    /// The table as it was at a version.
    async fn as_of(&self, table: &Arc<TableDef>, at: Txn) -> Result<Arc<TableDef>, Error> {
        if at == self.at {
            return Ok(table.clone());
        }
        let names = self.engine.lake().catalog.names(self.scope(), at).await?;
        names.table_by_id(table.id).cloned().ok_or_else(|| {
            let text = format!("table {} does not exist at version {at}", table.full_name());
            Error::new(ErrorKind::NotFound, text).with_sqlstate("42P01")
        })
    }

    /// The transaction that a version, a tag or a time means for a table.
    async fn txn(&self, table: &TableDef, moment: &Moment) -> Result<Txn, Error> {
        match moment {
            Moment::Position(ChangePosition { txn, row: None }) => Ok(*txn),
            Moment::Position(position) => Err(Error::new(
                ErrorKind::Invalid,
                format!("a version is a transaction number, got the position {position}"),
            )
            .with_sqlstate("22023")),
            Moment::Tag(name) => {
                Ok(self.engine.lake().catalog.tagged(self.scope(), Some(table.id), name).await?)
            }
            Moment::Time(expr) => {
                let at = constant_time(self.engine, self.state, expr, self.sql).await?;
                Ok(self.engine.lake().catalog.txn_at(self.scope(), at).await?)
            }
        }
    }
}
