//! Aggregates that need all rows of a group at once: they keep the arguments and compute at the end.
//!
//! Rows with a NULL in any argument are left out; a group without rows is NULL. What is kept counts as the query's memory.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat, filter};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use crate::named::{coerced, named};
use crate::scalar::Coerce;

/// Computes a group's value from its rows, one array per kept argument; never called without rows.
pub(crate) type Evaluate = Box<dyn Fn(&[ArrayRef]) -> Result<ScalarValue> + Send + Sync>;

/// Whether `WITHIN GROUP (ORDER BY x)` may give the first argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithinGroup {
    No,
    Yes,
}

/// One aggregate; two with the same name are the same.
pub(crate) struct Gathered {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    within_group: WithinGroup,
    /// The first so many arguments are kept, the others are constants.
    kept: usize,
    coerce: Coerce,
    returns: fn(&[DataType]) -> DataType,
    evaluate: fn(&AccumulatorArgs) -> Result<Evaluate>,
}

impl Gathered {
    pub(crate) fn new(
        name: &'static str,
        kept: usize,
        coerce: Coerce,
        returns: fn(&[DataType]) -> DataType,
        evaluate: fn(&AccumulatorArgs) -> Result<Evaluate>,
    ) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self {
            name,
            aliases: Vec::new(),
            signature,
            within_group: WithinGroup::No,
            kept,
            coerce,
            returns,
            evaluate,
        }
    }

    /// Under more names.
    pub(crate) fn alias(mut self, names: &[&str]) -> Self {
        self.aliases.extend(names.iter().map(|&name| name.to_owned()));
        self
    }

    /// The first argument may come by `WITHIN GROUP`.
    pub(crate) fn within_group(mut self) -> Self {
        self.within_group = WithinGroup::Yes;
        self
    }

    /// For registration.
    pub(crate) fn udaf(self) -> Arc<AggregateUDF> {
        Arc::new(AggregateUDF::new_from_impl(self))
    }
}

named!(Gathered);

impl AggregateUDFImpl for Gathered {
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

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let state = |(at, input): (usize, &FieldRef)| {
            let name = format_state_name(args.name, &format!("{}{at}", self.name));
            Arc::new(Field::new_list(name, Field::new_list_field(input.data_type().clone(), true), true))
        };
        Ok(args.input_fields.iter().take(self.kept).enumerate().map(state).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let types: Vec<_> =
            args.expr_fields.iter().take(self.kept).map(|field| field.data_type().clone()).collect();
        Ok(Box::new(Rows {
            columns: vec![Vec::new(); types.len()],
            types,
            evaluate: (self.evaluate)(&args)?,
            empty: ScalarValue::try_from(args.return_field.data_type())?,
        }))
    }

    fn supports_within_group_clause(&self) -> bool {
        self.within_group == WithinGroup::Yes
    }
}

struct Rows {
    types: Vec<DataType>,
    /// Per kept argument, the pieces in order of arrival.
    columns: Vec<Vec<ArrayRef>>,
    evaluate: Evaluate,
    empty: ScalarValue,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("types", &self.types).finish_non_exhaustive()
    }
}

impl Rows {
    fn take_columns(&mut self) -> Result<Vec<ArrayRef>> {
        let joined = self.columns.iter().zip(&self.types).map(|(pieces, of)| {
            let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
            Ok(if pieces.is_empty() { arrow::array::new_empty_array(of) } else { concat(&pieces)? })
        });
        let joined = joined.collect::<Result<Vec<_>>>()?;
        self.columns.iter_mut().zip(&joined).for_each(|(pieces, joined)| *pieces = vec![joined.clone()]);
        Ok(joined)
    }
}

impl Accumulator for Rows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let kept = &values[..self.types.len()];
        let valid = kept
            .iter()
            .fold(None, |valid, array| NullBuffer::union(valid.as_ref(), array.logical_nulls().as_ref()));
        let mask = valid.map(|valid| BooleanArray::new(valid.into_inner(), None));
        for (pieces, array) in self.columns.iter_mut().zip(kept) {
            let array = match &mask {
                Some(mask) => filter(array, mask)?,
                None => array.clone(),
            };
            if !array.is_empty() {
                pieces.push(array);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let columns = self.take_columns()?;
        if columns[0].is_empty() { Ok(self.empty.clone()) } else { (self.evaluate)(&columns) }
    }

    fn size(&self) -> usize {
        let pieces = self.columns.iter().flatten();
        size_of_val(self)
            + pieces.map(|piece| piece.get_array_memory_size() + size_of::<ArrayRef>()).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let columns = self.take_columns()?.into_iter();
        Ok(columns
            .map(|column| SingleRowListArrayBuilder::new(column).with_nullable(true).build_list_scalar())
            .collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (pieces, state) in self.columns.iter_mut().zip(states) {
            pieces.extend(state.as_list::<i32>().iter().flatten().filter(|rows| !rows.is_empty()));
        }
        Ok(())
    }
}
