//! Arrow values become Postgres values, in text and binary, and parameters become Arrow values.

mod array;
mod float;
mod instant;
mod kind;
mod numeric;
mod parameter;
mod row;

pub(crate) use kind::{arrow_type, fields, postgres_type};
pub(crate) use parameter::parameters;
pub(crate) use row::RowEncoder;
