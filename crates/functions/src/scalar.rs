//! A function of one row, as a value: its name, how it takes and gives types, and what it does to a batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::named::{coerced, named};

/// Argument types that the given ones become; `None`: they do not fit.
pub(crate) type Coerce = fn(&[DataType]) -> Option<Vec<DataType>>;

type Invoke = Box<dyn Fn(&ScalarFunctionArgs) -> Result<ColumnarValue> + Send + Sync>;

/// A [`Coerce`] that may hold state.
type Coercion = Box<dyn Fn(&[DataType]) -> Option<Vec<DataType>> + Send + Sync>;

/// One function; two with the same name are the same.
pub struct Scalar {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    coerce: Coercion,
    returns: fn(&[DataType]) -> DataType,
    invoke: Invoke,
    ordering: fn(&[ExprProperties]) -> SortProperties,
    json: Json,
}

/// What the answer's text is.
#[derive(Clone, Copy)]
enum Json {
    No,
    Yes,
}

impl Scalar {
    /// A function whose answer depends on its arguments alone. `coerce`: the argument types that the given ones become, or
    /// `None` if they do not fit; `returns` and `invoke` see those.
    pub fn new(
        name: &'static str,
        coerce: impl Fn(&[DataType]) -> Option<Vec<DataType>> + Send + Sync + 'static,
        returns: fn(&[DataType]) -> DataType,
        invoke: impl Fn(&ScalarFunctionArgs) -> Result<ColumnarValue> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            aliases: Vec::new(),
            signature: Signature::user_defined(Volatility::Immutable),
            coerce: Box::new(coerce),
            returns,
            invoke: Box::new(invoke),
            ordering: |_| SortProperties::Unordered,
            json: Json::No,
        }
    }

    /// Under more names.
    pub fn alias(mut self, names: &[&str]) -> Self {
        self.aliases.extend(names.iter().map(|&name| name.to_owned()));
        self
    }

    /// The answer depends on the session's settings too.
    pub fn stable(mut self) -> Self {
        self.signature = Signature::user_defined(Volatility::Stable);
        self
    }

    /// How the answer is sorted when its arguments are.
    pub(crate) fn ordered(mut self, ordering: fn(&[ExprProperties]) -> SortProperties) -> Self {
        self.ordering = ordering;
        self
    }

    /// The answer is text of type JSON.
    pub(crate) fn json(mut self) -> Self {
        self.json = Json::Yes;
        self
    }

    /// For registration.
    pub fn udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }
}

named!(Scalar);

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        coerced(self.name, given, (self.coerce)(given))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok((self.returns)(types))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let field = Field::new(self.name, (self.returns)(&types), true);
        Ok(Arc::new(match self.json {
            Json::No => field,
            Json::Yes => {
                field.with_metadata([("ARROW:extension:name".to_owned(), "arrow.json".to_owned())].into())
            }
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.invoke)(&args)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok((self.ordering)(inputs))
    }
}

/// The arguments as arrays of one length; the answer, computed from them row by row, as constant as they are.
pub fn by_rows(
    args: &ScalarFunctionArgs,
    compute: impl FnOnce(&[ArrayRef]) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(&args.args)?;
    let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let answer = compute(&arrays)?;
    Ok(match constant && answer.len() == 1 {
        true => ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?),
        false => ColumnarValue::Array(answer),
    })
}

/// The same value for all rows.
pub(crate) fn null(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_type())?))
}

/// True for every text type, and for NULL.
pub fn is_text(given: &DataType) -> bool {
    matches!(given, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null)
}

/// The type of timestamp by which `given` is read: itself, or that of its literal.
pub(crate) fn as_timestamp(given: &DataType) -> Option<DataType> {
    Some(match given {
        DataType::Timestamp(..) => given.clone(),
        DataType::Date32 | DataType::Date64 | DataType::Null => MICROS,
        text if is_text(text) => MICROS,
        _ => return None,
    })
}

/// `TIMESTAMP(6)`
pub(crate) const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// `TIMESTAMPTZ(6)`
pub(crate) fn micros_utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The counts of a timestamp, in its unit.
pub(crate) fn counts(timestamps: &dyn Array) -> Result<Int64Array> {
    Ok(cast(timestamps, &DataType::Int64)?.as_primitive().clone())
}
