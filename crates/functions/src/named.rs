//! What every function has by its name: who it is, and the error of a call that fits none of its forms.

use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};

/// The argument types that a call takes; without any, no such function exists for the given ones.
pub(crate) fn coerced(name: &str, given: &[DataType], taken: Option<Vec<DataType>>) -> Result<Vec<DataType>> {
    match taken {
        Some(types) => Ok(types),
        None => {
            let given: Vec<_> = given.iter().map(ToString::to_string).collect();
            plan_err!("function {name}({}) does not exist", given.join(", "))
        }
    }
}

/// Two functions of this type are the same if their field `name` is: what they do cannot be compared.
macro_rules! named {
    ($function:ident) => {
        impl std::fmt::Debug for $function {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($function)).field("name", &self.name).finish_non_exhaustive()
            }
        }

        impl PartialEq for $function {
            fn eq(&self, other: &Self) -> bool {
                self.name == other.name
            }
        }

        impl Eq for $function {}

        impl std::hash::Hash for $function {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.name.hash(state);
            }
        }
    };
}
pub(crate) use named;
