//! SQL functions that Cenote adds to DataFusion's: time, statistics, JSON aliases, Postgres names.
//!
//! Pure: no table, no session, no I/O. A crate of its own so that the engine and its functions compile side by side.
//! NULL in, NULL out, unless a function says otherwise; a bad argument is an [`Error`] inside `DataFusionError::External`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

mod bucket;
mod counter;
mod epoch;
mod error;
mod extreme;
mod from_char;
mod gathered;
mod instant;
mod interval;
mod json;
mod json_path;
mod json_query;
mod named;
mod now;
mod pattern;
mod rounding;
mod scalar;
mod statistic;
#[cfg(test)]
mod testing;
mod text;
mod time_bucket;
mod timestamp;
mod to_char;
mod uuid;

pub use error::Error;
pub use interval::interval_times;
pub use rounding::round_half_even;
pub use scalar::{Scalar, by_rows, is_text};
pub use uuid::to_uuid;

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
    let scalar = [
        epoch::functions(),
        interval::functions(),
        json::functions(),
        json_query::functions(),
        now::functions(),
        text::functions(),
        time_bucket::functions(),
        timestamp::functions(),
        vec![text::division(), uuid::to_uuid()],
    ];
    let aggregate = [counter::functions(), extreme::functions(), statistic::functions()];
    Functions {
        scalar: scalar.into_iter().flatten().collect(),
        aggregate: aggregate.into_iter().flatten().collect(),
        window: Vec::new(),
    }
}

/// Lets SQL use the JSON operators `-> ->> #> #>> ? @>`; the functions that they call come with them.
pub fn register_json(registry: &mut dyn FunctionRegistry) -> Result<()> {
    json::register_operators(registry)
}

/// Registers [`all`] functions, and the JSON operators.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    let Functions { scalar, aggregate, window } = all();
    for function in scalar {
        registry.register_udf(function)?;
    }
    for function in aggregate {
        registry.register_udaf(function)?;
    }
    for function in window {
        registry.register_udwf(function)?;
    }
    register_json(registry)
}
