//! Functions that clients call about the server and its objects.

mod about;
mod name;
mod privilege;
mod session;
mod text;

use std::sync::Arc;

use arrow::datatypes::DataType;
use cenote_functions::{Functions, Scalar, by_rows, is_text};
use cenote_vocab::ErrorKind;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;
use datafusion_pg_catalog::pg_catalog::array_bounds_udf::{create_array_lower_udf, create_array_upper_udf};
use datafusion_pg_catalog::pg_catalog::generate_series_arg_coercion::CoerceIntArgsToBigInt;
use datafusion_pg_catalog::pg_catalog::oid_type_planner::PgOidTypePlanner;

use super::facts::PgFacts;
use super::system;
use crate::Error;
use crate::plan::fault::outward;

/// The state in which a statement about the server is planned: with these functions, and with types such as `regclass`.
pub(crate) fn install(state: SessionState, facts: &Arc<PgFacts>) -> Result<SessionState> {
    let mut state =
        SessionStateBuilder::new_from_existing(state).with_type_planner(Arc::new(PgOidTypePlanner)).build();
    for function in functions(facts).scalar {
        state.register_udf(function)?;
    }
    let context = SessionContext::new_with_state(state);
    context.register_udtf("pg_get_keywords", system::system()?.keywords());
    // `generate_series` of int4, which array bounds are
    CoerceIntArgsToBigInt::widen(&context);
    Ok(context.state())
}

/// All functions, for one session.
pub(crate) fn functions(facts: &Arc<PgFacts>) -> Functions {
    let families = [
        about::functions(facts),
        name::functions(facts),
        privilege::functions(facts),
        session::functions(facts),
        text::functions(),
    ];
    let mut scalar: Vec<Arc<ScalarUDF>> = families.into_iter().flatten().collect();
    scalar.extend([Arc::new(create_array_upper_udf()), Arc::new(create_array_lower_udf())]);
    Functions { scalar, ..Functions::default() }
}

/// True if a function of this name exists only here.
pub(crate) fn is_function(name: &str) -> bool {
    let known = [about::NAMES, name::NAMES, privilege::NAMES, session::NAMES, text::NAMES];
    known.iter().any(|names| names.contains(&name))
}

/// What an argument may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An OID or another integer.
    Int,
    /// Text; or an OID of which the text is the name.
    Text,
    /// true, false
    Bool,
}

/// A function that is computed row by row. Rows may lack trailing arguments beyond the `needed` first; a row with NULL among
/// the needed ones is NULL.
fn function(
    name: &'static str,
    kinds: &'static [Kind],
    needed: usize,
    returns: DataType,
    compute: impl Fn(&[ScalarValue]) -> Result<Option<ScalarValue>> + Send + Sync + 'static,
) -> Arc<ScalarUDF> {
    let answer = returns.clone();
    let coerce = move |given: &[DataType]| coerce(given, kinds, needed);
    Scalar::new(name, coerce, return_type(&returns), move |args| {
        let empty = ScalarValue::try_from(&answer)?;
        let rows = |arrays: &[arrow::array::ArrayRef], count: usize| {
            let rows = (0..count).map(|row| {
                let values = arrays
                    .iter()
                    .map(|array| ScalarValue::try_from_array(array, row))
                    .collect::<Result<Vec<_>>>()?;
                if values.iter().take(needed).any(ScalarValue::is_null) {
                    return Ok(empty.clone());
                }
                Ok(compute(&values)?.unwrap_or_else(|| empty.clone()))
            });
            rows.collect::<Result<Vec<_>>>()
        };
        if args.args.is_empty() {
            let value = rows(&[], 1)?.pop().unwrap_or_else(|| empty.clone());
            return Ok(datafusion::logical_expr::ColumnarValue::Scalar(value));
        }
        by_rows(args, |arrays| {
            let values = rows(arrays, arrays[0].len())?;
            if values.is_empty() {
                return Ok(arrow::array::new_empty_array(&answer));
            }
            ScalarValue::iter_to_array(values)
        })
    })
    .stable()
    .udf()
}

/// The types that functions here answer, as functions.
fn return_type(returns: &DataType) -> fn(&[DataType]) -> DataType {
    match returns {
        DataType::Boolean => |_| DataType::Boolean,
        DataType::Int32 => |_| DataType::Int32,
        DataType::Int64 => |_| DataType::Int64,
        DataType::List(_) => |_| session::names_type(),
        _ => |_| DataType::Utf8,
    }
}

fn coerce(given: &[DataType], kinds: &[Kind], needed: usize) -> Option<Vec<DataType>> {
    if given.len() < needed || given.len() > kinds.len() {
        return None;
    }
    let one = |(given, kind): (&DataType, &Kind)| match kind {
        Kind::Int if given.is_integer() || is_text(given) => Some(DataType::Int64),
        Kind::Text if given.is_integer() || is_text(given) => Some(DataType::Utf8),
        Kind::Bool if matches!(given, DataType::Boolean | DataType::Null) => Some(DataType::Boolean),
        _ => None,
    };
    given.iter().zip(kinds).map(one).collect()
}

/// The integer of an argument; `None` if it is NULL or not there.
fn int(values: &[ScalarValue], at: usize) -> Option<i64> {
    match values.get(at) {
        Some(ScalarValue::Int64(value)) => *value,
        _ => None,
    }
}

/// The text of an argument; `None` if it is NULL or not there.
fn text_of(values: &[ScalarValue], at: usize) -> Option<&str> {
    values.get(at)?.try_as_str()?
}

/// What a name must be and is not.
fn missing(message: String, sqlstate: &'static str) -> DataFusionError {
    outward(Error::new(ErrorKind::NotFound, message).with_sqlstate(sqlstate))
}

fn text(value: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(value.into()))
}
