//! One table at one snapshot, as the engine scans it: files ∪ inline batches ∪ buffered rows.
//!
//! Invariants: filters, projections and limits are hints, the answer never depends on them; statistics are announced
//! as exact only where they are; a deleted row never comes back; of a keyed table's rows of one key the newest is shown.

mod adapted;
mod adapter;
mod buffer;
mod files;
mod inline;
mod keyed;
mod notes;
mod placed;
mod predicate;
mod provider;
mod readers;
mod statistics;
mod text_views;

pub(crate) use buffer::conform;
pub(crate) use cenote_datafile::sql_schema;
pub(crate) use notes::ScanNotes;
pub(crate) use placed::{PLACES, PlacedTable};
pub(crate) use predicate::lower_all;
pub(crate) use provider::{FILE_COLUMN, LakeTable, POSITION_COLUMN, column_default, lake_url, row_id};
pub(crate) use statistics::scalar;
pub(crate) use text_views::{plain, without_views};
