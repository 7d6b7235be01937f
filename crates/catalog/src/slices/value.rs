//! Values of a fixed list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// A value of a list of slices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SliceValue {
    /// NULL
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
}

impl SliceValue {
    /// Tag and value of a key.
    pub(super) fn tagged(&self) -> String {
        match self {
            Self::Null => "n:".to_owned(),
            Self::Bool(value) => format!("b:{value}"),
            Self::Int(value) => format!("i:{value}"),
            Self::Text(text) => format!("s:{}", URL_SAFE_NO_PAD.encode(text)),
        }
    }

    /// As people write it.
    pub fn plain(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    /// As a literal of SQL.
    pub fn literal(&self) -> String {
        match self {
            Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
            other => other.plain(),
        }
    }
}
