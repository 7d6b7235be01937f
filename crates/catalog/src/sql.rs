//! Persistence: the same statements for SQLite and PostgreSQL.
//!
//! [`Database`] opens connections, [`Transaction`] runs a [`Statement`], which is text with `?` and bound values; where the
//! dialects differ, [`Dialect`] decides. One file per noun holds its rows. Nothing above this module knows sqlx.

mod cell;
mod database;
mod dialect;
mod failure;
mod statement;
mod transaction;

pub(crate) mod access;
pub(crate) mod asset;
pub(crate) mod asset_part;
pub(crate) mod asset_run;
pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod event;
pub(crate) mod file;
pub(crate) mod file_index;
pub(crate) mod grant;
pub(crate) mod head;
pub(crate) mod history;
pub(crate) mod hold;
pub(crate) mod inline;
pub(crate) mod job;
pub(crate) mod lease;
pub(crate) mod lineage;
pub(crate) mod migrate;
pub(crate) mod object;
pub(crate) mod pipeline;
pub(crate) mod producer;
pub(crate) mod publication;
pub(crate) mod recipe;
pub(crate) mod run;
pub(crate) mod signing;
pub(crate) mod staged;
pub(crate) mod state;
pub(crate) mod task;
pub(crate) mod task_end;
pub(crate) mod tenant;
pub(crate) mod trash;
pub(crate) mod verify;

pub(crate) use cell::{Cell, Kind, Row};
pub(crate) use database::Database;
pub(crate) use dialect::Dialect;
pub(crate) use failure::Failure;
pub(crate) use statement::Statement;
pub(crate) use transaction::Transaction;
