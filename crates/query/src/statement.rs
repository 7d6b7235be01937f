//! A parsed statement that is ready to run.

use arrow::datatypes::{DataType, SchemaRef};

/// What a statement does, for rights and doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// SELECT, EXPLAIN, SHOW, DESCRIBE
    Read,
    /// INSERT, DELETE, TRUNCATE, CREATE TABLE AS
    Write,
    /// CREATE, ALTER, DROP, COMMENT
    Ddl,
    /// SET, BEGIN, PREPARE, …
    Session,
    /// FLUSH, OPTIMIZE, VACUUM, KILL
    Admin,
}

/// One statement, parsed and described. Reused while the catalog's DDL does not change.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Its text.
    pub sql: String,
    /// What it does.
    pub class: Class,
    /// Types of `$1`, `$2`, …
    pub parameters: Vec<DataType>,
    /// Columns of its answer; `None` if it answers no rows.
    pub columns: Option<SchemaRef>,
    /// First words of its command tag.
    pub command: String,
}
