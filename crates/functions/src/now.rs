//! `now()` and its twins: one instant for a whole statement.

use std::sync::Arc;

use arrow::datatypes::DataType;
use cenote_vocab::Clock;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::lit;

use crate::scalar::micros_utc;

/// `now` with its aliases, and `clock_timestamp`.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(ScalarUDF::new_from_impl(Now {
            signature: Signature::nullary(Volatility::Stable),
            aliases: ["current_timestamp", "statement_timestamp", "transaction_timestamp"]
                .map(str::to_owned)
                .into(),
        })),
        Arc::new(ScalarUDF::new_from_impl(Present { signature: Signature::nullary(Volatility::Volatile) })),
    ]
}

/// The instant at which the statement began.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Now {
    signature: Signature,
    aliases: Vec<String>,
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        "now"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(micros_utc())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("now() is replaced by the start of its statement before it runs")
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match context.query_execution_start_time() {
            None => ExprSimplifyResult::Original(args),
            Some(start) => {
                let micros = Some(start.timestamp_micros());
                ExprSimplifyResult::Simplified(lit(ScalarValue::TimestampMicrosecond(
                    micros,
                    Some("UTC".into()),
                )))
            }
        })
    }
}

/// The instant at which a batch is computed.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Present {
    signature: Signature,
}

impl ScalarUDFImpl for Present {
    fn name(&self) -> &str {
        "clock_timestamp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(micros_utc())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let now = Clock::system().now();
        Ok(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(now.0), Some("UTC".into()))))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::value;

    #[tokio::test]
    async fn now_stands_still_within_a_statement_and_the_clock_does_not_go_back() {
        assert_eq!(value("now() = current_timestamp AND now() = statement_timestamp()").await, "true");
        assert_eq!(value("arrow_typeof(now())").await, "Timestamp(µs, \"UTC\")");
        assert_eq!(value("clock_timestamp() >= now()").await, "true");
    }
}
