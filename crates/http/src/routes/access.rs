//! Roles and grants as objects. What changes them are the statements, so that rights, checks and audit are theirs.

pub(super) mod authorize;
pub(super) mod grants;
pub(super) mod roles;

use axum::body::Body;
use cenote_query::{AccessTable, Session, quote};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::flow::failed;
use crate::body;
use crate::encode::{Encoder, LinesEncoder, Style};
use crate::problem::Problem;

/// Bytes of a body (`access_body_max`).
const BODY_MAX: u64 = 64 << 10;

/// Who is granted something.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Principal {
    /// `role` or `token`
    kind: String,
    name: String,
}

impl Principal {
    /// As SQL writes it.
    fn sql(&self) -> Result<String, Problem> {
        let kind = match self.kind.as_str() {
            "role" => "ROLE",
            "token" => "TOKEN",
            other => {
                return Err(Problem::bad_request(format!(
                    "kind of a principal is one of role, token, got {other:?}"
                )));
            }
        };
        Ok(format!("{kind} {}", quote(&self.name)))
    }
}

pub(super) async fn sent<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let bytes = body::read(body, BODY_MAX, "access_body_max").await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad_request(format!("invalid JSON: {error}")))
}

/// The rows of a table as objects, as far as the caller may see them.
pub(super) async fn rows(session: &Session, table: AccessTable) -> Result<Vec<Value>, Problem> {
    let batch = session.access(table).await.map_err(failed)?;
    let unreadable = |error: String| Problem::internal(format!("rows of system.access: {error}"));
    let (mut encoder, mut text) = (LinesEncoder::array(Style::default()), Vec::new());
    let written = encoder.begin(&batch.schema(), &mut text).and_then(|()| encoder.batch(&batch, &mut text));
    written.map_err(|error| unreadable(error.to_string()))?;
    text.push(b']');
    serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))
}
