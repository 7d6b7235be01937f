//! `increase`, `rate`, `delta`: how a counter moved over a group's time.
//!
//! A counter that drops was reset: what it shows after the drop is its increase since. `delta` is for gauges: it takes a
//! drop as it is. Fewer than two rows: NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::{sort_to_indices, take};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::AggregateUDF;

use crate::gathered::Gathered;
use crate::instant;
use crate::scalar::{as_timestamp, counts};

/// All three.
pub(crate) fn functions() -> Vec<Arc<AggregateUDF>> {
    let double: fn(&[DataType]) -> DataType = |_| DataType::Float64;
    vec![
        Gathered::new("increase", 2, coerce, double, |_| Ok(Box::new(|rows| measure(rows, Track::increase))))
            .udaf(),
        Gathered::new("rate", 2, coerce, double, |_| Ok(Box::new(|rows| measure(rows, Track::rate)))).udaf(),
        Gathered::new("delta", 2, coerce, double, |_| Ok(Box::new(|rows| measure(rows, Track::delta))))
            .udaf(),
    ]
}

fn coerce(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [value, at] if value.is_numeric() || value.is_null() => {
            Some(vec![DataType::Float64, as_timestamp(at)?])
        }
        _ => None,
    }
}

/// A counter's values in order of time.
struct Track {
    values: Vec<f64>,
    seconds: f64,
}

fn measure(rows: &[ArrayRef], of: fn(&Track) -> f64) -> Result<ScalarValue> {
    let [values, times] = rows else { return Ok(ScalarValue::Float64(None)) };
    let order = sort_to_indices(times, None, None)?;
    let (values, times) = (take(values, &order, None)?, take(times, &order, None)?);
    let DataType::Timestamp(unit, _) = times.data_type() else { return Ok(ScalarValue::Float64(None)) };
    let counts = counts(&times)?;
    let span = counts.value(counts.len() - 1) as f64 - counts.value(0) as f64;
    let values = values.as_primitive::<Float64Type>().values().to_vec();
    if values.len() < 2 {
        return Ok(ScalarValue::Float64(None));
    }
    let measured = of(&Track { values, seconds: span / instant::per_second(*unit) as f64 });
    // All rows at one instant have no rate.
    Ok(ScalarValue::Float64(measured.is_finite().then_some(measured)))
}

impl Track {
    fn increase(&self) -> f64 {
        self.values.windows(2).map(|pair| if pair[1] < pair[0] { pair[1] } else { pair[1] - pair[0] }).sum()
    }

    fn rate(&self) -> f64 {
        self.increase() / self.seconds
    }

    /// What it shows last minus what it showed first: negative after a reset, unlike the increase.
    fn delta(&self) -> f64 {
        self.values[self.values.len() - 1] - self.values[0]
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::rows;

    const ROWS: &str = "(VALUES (1, 13.0, TIMESTAMP '2024-01-01 00:00:30'), (1, 10.0, TIMESTAMP '2024-01-01 00:00:00'), \
        (1, 4.0, TIMESTAMP '2024-01-01 00:00:50'), (1, NULL, TIMESTAMP '2024-01-01 00:01:00'), \
        (2, 1.0, TIMESTAMP '2024-01-01 00:00:00'), (3, 1.0, TIMESTAMP '2024-01-01'), (3, 2.0, TIMESTAMP '2024-01-01')) AS t(k, x, t)";

    #[tokio::test]
    async fn a_drop_is_a_reset() {
        for (aggregate, expected) in [
            ("increase(x, t)", ["7.0", "", "1.0"]),
            ("rate(x, t)", ["0.14", "", ""]),
            ("delta(x, t)", ["-6.0", "", "1.0"]),
        ] {
            assert_eq!(
                rows(&format!("SELECT {aggregate} FROM {ROWS} GROUP BY k ORDER BY k")).await,
                expected,
                "{aggregate}"
            );
        }
    }
}
