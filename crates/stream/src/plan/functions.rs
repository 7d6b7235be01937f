//! Functions of streaming queries: windows, which the planner replaces, `now()` and `current_date`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType};
use cenote_connect::interval_micros;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::Error;
use crate::session::Sessions;
use crate::window::{WindowKind, Windows, window_type};

const TUMBLE: &str = "tumble";
const HOP: &str = "hop";
const SESSION: &str = "session";
/// Names of the functions that make windows.
const WINDOW_FUNCTIONS: [&str; 3] = [TUMBLE, HOP, SESSION];
/// When a row happened.
const ROW_TIME: &str = "row_time";
/// When an epoch runs, as it says it to its rows.
const NOW: &str = "now";
const CURRENT_DATE: &str = "current_date";
const DAY_MICROS: i64 = 86_400_000_000;

/// All of them; `now` is what `now()` answers.
pub(super) fn functions(now: &Arc<AtomicI64>) -> Vec<Arc<ScalarUDF>> {
    let windows = WINDOW_FUNCTIONS.map(|name| ScalarUDF::new_from_impl(WindowFunction::new(name)));
    let instant = || Instant(now.clone());
    let moment = ScalarUDF::new_from_impl(EpochNow {
        signature: Signature::nullary(Volatility::Volatile),
        aliases: ["current_timestamp", "statement_timestamp", "transaction_timestamp"]
            .map(str::to_owned)
            .into(),
        now: instant(),
    });
    let today = ScalarUDF::new_from_impl(EpochDay {
        signature: Signature::nullary(Volatility::Volatile),
        aliases: vec!["today".to_owned()],
        now: instant(),
    });
    let row_time = ScalarUDF::new_from_impl(RowTime { signature: Signature::nullary(Volatility::Stable) });
    windows.into_iter().chain([moment, today, row_time]).map(Arc::new).collect()
}

/// `tumble`, `hop`, `session`: known to the planner of queries by their type only.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowFunction {
    name: &'static str,
    signature: Signature,
}

impl WindowFunction {
    fn new(name: &'static str) -> Self {
        let counts = match name {
            TUMBLE => vec![TypeSignature::Any(1), TypeSignature::Any(2)],
            HOP => vec![TypeSignature::Any(2)],
            _ => vec![TypeSignature::Any(1)],
        };
        Self { name, signature: Signature::one_of(counts, Volatility::Stable) }
    }
}

impl ScalarUDFImpl for WindowFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(window_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{}() is replaced when a pipeline is planned", self.name)
    }
}

/// True for a call that makes windows.
pub(super) fn is_window(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if WINDOW_FUNCTIONS.contains(&call.func.name()))
}

/// True for a function whose answer is the record's: a replay says it again.
pub(super) fn is_of_epoch(function: &ScalarUDF) -> bool {
    [NOW, CURRENT_DATE].contains(&function.name())
}

/// True for a call of `row_time()`.
pub(super) fn is_row_time(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.name() == ROW_TIME)
}

/// The windows that a call makes.
pub(super) fn windows(expr: &Expr) -> std::result::Result<WindowKind, Error> {
    let Expr::ScalarFunction(call) = expr else {
        return Err(Error::Invalid("expected a window function".to_owned()));
    };
    let lengths: Vec<i64> =
        call.args.iter().map(|arg| length(call.func.name(), arg)).collect::<std::result::Result<_, _>>()?;
    Ok(match (call.func.name(), lengths.as_slice()) {
        (TUMBLE, [width]) => WindowKind::Fixed(Windows::tumble(*width, 0)?),
        (TUMBLE, [width, offset]) => WindowKind::Fixed(Windows::tumble(*width, *offset)?),
        (HOP, [slide, width]) => WindowKind::Fixed(Windows::hop(*slide, *width)?),
        (SESSION, [gap]) => WindowKind::Session(Sessions::new(*gap)?),
        (name, given) => {
            return Err(Error::Invalid(format!("{name} does not take {} arguments", given.len())));
        }
    })
}

/// The length of an interval literal in µs.
fn length(function: &str, expr: &Expr) -> std::result::Result<i64, Error> {
    let no_literal = || Error::Invalid(format!("the arguments of {function} are interval literals"));
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => {
            if interval.months != 0 {
                return Err(Error::Invalid(
                    "Windows do not support durations specified as months".to_owned(),
                ));
            }
            let days = i64::from(interval.days).checked_mul(86_400_000_000);
            days.and_then(|days| days.checked_add(interval.nanoseconds / 1_000)).ok_or_else(no_literal)
        }
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => interval_micros(text).ok_or_else(no_literal),
        _ => Err(no_literal()),
    }
}

/// The pane of an event time, or the session that it is by itself.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct PaneOf {
    windows: WindowKind,
    signature: Signature,
}

impl PaneOf {
    /// The call on an expression of type TIMESTAMP(6).
    pub(super) fn call(windows: WindowKind, time: Expr) -> Expr {
        let function = Self { windows, signature: Signature::any(1, Volatility::Immutable) };
        ScalarUDF::new_from_impl(function).call(vec![time])
    }
}

impl ScalarUDFImpl for PaneOf {
    fn name(&self) -> &str {
        "pane_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(window_type())
    }

    fn is_nullable(&self, _: &[Expr], _: &dyn datafusion::common::ExprSchema) -> bool {
        false
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let times = args.args[0].to_array(args.number_rows)?;
        let times = cast(&times, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
        let panes = self.windows.of(times.as_primitive::<TimestampMicrosecondType>());
        Ok(ColumnarValue::Array(Arc::new(panes)))
    }
}

/// `row_time()`: when a row happened; the hidden column takes its place.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RowTime {
    signature: Signature,
}

impl ScalarUDFImpl for RowTime {
    fn name(&self) -> &str {
        ROW_TIME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("row_time() is replaced before it is computed")
    }
}

/// The windows that an event time lies in.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct WindowsOf {
    windows: Windows,
    signature: Signature,
}

impl WindowsOf {
    /// The call on an expression of type TIMESTAMP(6).
    pub(super) fn call(windows: Windows, time: Expr) -> Expr {
        let function = Self { windows, signature: Signature::any(1, Volatility::Immutable) };
        ScalarUDF::new_from_impl(function).call(vec![time])
    }
}

impl ScalarUDFImpl for WindowsOf {
    fn name(&self) -> &str {
        "windows_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(window_type(), true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let times = args.args[0].to_array(args.number_rows)?;
        let times = cast(&times, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
        let windows = self.windows.all(times.as_primitive::<TimestampMicrosecondType>())?;
        Ok(ColumnarValue::Array(Arc::new(windows)))
    }
}

/// A number as a key: −0.0 is 0.0, and there is one NaN. Keys are compared by their bytes.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FloatKey {
    signature: Signature,
}

/// An expression as a key, or a part of one.
pub(super) fn key_part(expr: Expr, data_type: &DataType) -> Expr {
    if !matches!(data_type, DataType::Float32 | DataType::Float64) {
        return expr;
    }
    let function = FloatKey { signature: Signature::any(1, Volatility::Immutable) };
    ScalarUDF::new_from_impl(function).call(vec![expr])
}

impl ScalarUDFImpl for FloatKey {
    fn name(&self) -> &str {
        "float_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(given[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let given = args.args[0].to_array(args.number_rows)?;
        // What is no NaN loses only the sign of its zero.
        let key: ArrayRef = match given.data_type() {
            DataType::Float64 => Arc::new(
                given
                    .as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(|x| if x.is_nan() { f64::NAN } else { x + 0.0 }),
            ),
            DataType::Float32 => Arc::new(
                given
                    .as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(|x| if x.is_nan() { f32::NAN } else { x + 0.0 }),
            ),
            other => return internal_err!("a key of floats of {other}"),
        };
        Ok(ColumnarValue::Array(key))
    }
}

/// The instant of the epoch, µs: one for all of its rows.
#[derive(Debug)]
struct Instant(Arc<AtomicI64>);

impl Instant {
    fn micros(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl PartialEq for Instant {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Instant {}

impl Hash for Instant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// `now()`: the instant of the epoch.
#[derive(Debug, PartialEq, Eq, Hash)]
struct EpochNow {
    signature: Signature,
    aliases: Vec<String>,
    now: Instant,
}

impl ScalarUDFImpl for EpochNow {
    fn name(&self) -> &str {
        NOW
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let now = Some(self.now.micros());
        Ok(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(now, Some("UTC".into()))))
    }
}

/// `current_date`: the day of that instant, in UTC.
#[derive(Debug, PartialEq, Eq, Hash)]
struct EpochDay {
    signature: Signature,
    aliases: Vec<String>,
    now: Instant,
}

impl ScalarUDFImpl for EpochDay {
    fn name(&self) -> &str {
        CURRENT_DATE
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let day = i32::try_from(self.now.micros().div_euclid(DAY_MICROS)).ok();
        Ok(ColumnarValue::Scalar(ScalarValue::Date32(day)))
    }
}
