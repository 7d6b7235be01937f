//! SQL over files and buffer: sessions, statements, scans, system tables.
//!
//! ```text
//! text ─ parse ─ class ─ names ─ authorise ─ pin (buffer, then head S, then P) ─ plan ─ run ─ batches
//!                                                              writes ─ stage ─ one Commit ─ txn
//! ```
//! The only crate, with `functions`, that knows DataFusion: protocols see Arrow and the values below.
//! Invariants: a statement sees one snapshot of all its tables, each row once, also while a flush commits; a statement
//! that writes is one `Commit`; what a principal may not see does not exist for it.

mod assets;
mod change;
mod engine;
mod error;
mod execution;
mod jobs;
mod lineage;
mod metrics;
mod options;
mod parse;
mod pg_catalog;
mod pipeline;
mod plan;
mod registry;
mod row_hash;
mod scan;
mod script;
mod session;
mod settings;
mod statement;
mod system;
mod table_function;
mod transaction;

pub use assets::Assets;
pub use engine::{Engine, QueryRecord};
pub use error::{Error, Place};
pub use execution::{BatchStream, Bounds, Execution, Outcome};
pub use jobs::Jobs;
pub use options::QueryOptions;
pub use parse::{CopyFormat, CopyHeader, CopyStyle, literal, masked, quote};
pub use pipeline::{
    GraphEdge, GraphNode, InsertPlan, NewView, NodeKind, OperatorProgress, PartOfChange, Pausing,
    PipelineFailure, PipelineGraph, PipelineProgress, Pipelines, Preview, RestartSinks, Shown, ShownRows,
    SourceProgress, StateChoice, StreamTables, Verdict,
};
pub use plan::STACK_BYTES;
pub use script::{
    ScriptColumn, ScriptStatement, ScriptTable, ScriptValue, ScriptWatermark, parse_script, split_script,
};
pub use session::{
    AccessTable, AssetView, ColumnPlace, ColumnSpec, DefaultSpec, ObjectEdit, PipelineEdit, Session,
    SessionOptions, TableEdit, TableSpec, TransactionStatus, Upstream,
};
pub use statement::{Class, Prepared, Replayed};
pub use statement::{plan_id, view_columns};

pub(crate) use metrics::Metrics;
