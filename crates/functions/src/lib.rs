//! SQL functions that Cenote adds to DataFusion's: time, statistics, JSON aliases, Postgres names.
//!
//! Pure: no table, no session, no I/O. A crate of its own so that the engine and its functions compile side by side.

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

/// Everything to be registered in the node's base session state; later names win over DataFusion's.
#[derive(Default)]
pub struct Functions {
    /// Per row.
    pub scalar: Vec<Arc<ScalarUDF>>,
    /// Per group.
    pub aggregate: Vec<Arc<AggregateUDF>>,
    /// Per window.
    pub window: Vec<Arc<WindowUDF>>,
}

/// All functions of this crate, with their aliases.
pub fn all() -> Functions {
    Functions::default()
}
