//! One reader's place in the changes of one table, and the pages that bring it forward.

use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use cenote_catalog::{Privilege, TableDef};
use cenote_query::{Bounds, literal};
use cenote_table::{CHANGE_COLUMNS, ChangePosition};
use cenote_vocab::{FileId, Micros, Txn};
use futures::StreamExt;
use uuid::Uuid;

use super::bytes_of;
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;
use crate::routes::tables::{find, sql_name};
use crate::sse::OTHERS_PAUSE;

/// A page is cut after the batch with which it holds so many bytes (`changes_page_bytes_max`).
const PAGE_BYTES_MAX: usize = 64 << 20;

/// A reader.
pub(super) struct Feed {
    call: Call,
    /// Its id: the table may get another name meanwhile, and another table its name.
    table: Uuid,
    position: ChangePosition,
    to: Option<Txn>,
}

/// Some changes.
pub(super) struct Page {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    /// Everything up to here has been answered.
    pub(super) next: ChangePosition,
    /// The newest transaction of the catalog.
    pub(super) head: Txn,
}

impl Feed {
    /// The reader that a request describes. 404 for a table that the caller may not read.
    pub(super) async fn of(app: &App, call: Call, table: &str, resumes: bool) -> Result<Self, Problem> {
        let table = find(app, &call, table, Privilege::Select).await?.uuid;
        let last = call.header("last-event-id").filter(|_| resumes).map(str::to_owned);
        let Some(from) = last.or_else(|| call.parameters.first(&["from"]).map(str::to_owned)) else {
            return Err(Problem::bad_request("from is required: a transaction, a position, or a time")
                .hinted("0 stands for everything that is kept"));
        };
        let to = call.parameters.first(&["to"]).map(str::to_owned);
        let position = position(app, &call, "from", &from).await?;
        let to = match to {
            None => None,
            Some(to) => match position_of(&to) {
                Some(ChangePosition { row: Some(_), .. }) => {
                    return Err(Problem::bad_request(format!(
                        "to must be a transaction or a time, got {to:?}"
                    )));
                }
                _ => Some(self::position(app, &call, "to", &to).await?.txn),
            },
        };
        Ok(Self { call, table, position, to })
    }

    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.call.parameters.first(&[name])
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        self.call.parameters.number(name)
    }

    /// True if everything that was asked for has been answered.
    pub(super) fn is_at_end(&self) -> bool {
        self.to.is_some_and(|to| self.position >= ChangePosition::end_of(to))
    }

    /// The next changes; if there are none, those that a commit within `wait` brings.
    pub(super) async fn page_within(
        &mut self,
        app: &App,
        limit: u64,
        wait: Duration,
    ) -> Result<Page, Problem> {
        let mut page = self.page(app, limit).await?;
        let catalog = &app.services()?.catalog;
        let news = async {
            while page.batches.is_empty() && !self.is_at_end() {
                catalog.changed(&self.call.identity.scope, page.head).await;
                page = self.page(app, limit).await?;
                if page.batches.is_empty() {
                    tokio::time::sleep(OTHERS_PAUSE).await; // the commit was of another table
                }
            }
            Ok::<(), Problem>(())
        };
        // if nothing comes in time, the empty page is the answer
        if let Ok(outcome) = tokio::time::timeout(wait, news).await {
            outcome?;
        }
        Ok(page)
    }

    /// The next changes, `limit` rows at most.
    pub(super) async fn page(&mut self, app: &App, limit: u64) -> Result<Page, Problem> {
        let failed = |error: cenote_query::Error| Problem::of(&error);
        let table = find(app, &self.call, &self.table.to_string(), Privilege::Select).await?;
        let engine = &app.services()?.engine;
        let session =
            engine.open_session(self.call.identity.clone(), self.call.session(None)).await.map_err(failed)?;
        let prepared = session.prepare(&self.sql(&table)?, &[]).await.map_err(failed)?;
        let bounds = Bounds {
            timeout: Some(app.http.options.query_timeout),
            rows_max: Some(limit),
            query_id: None,
            promised: false,
        };
        let mut execution = session.execute(&prepared, Vec::new(), bounds).await.map_err(failed)?;
        let mut batches = Vec::new();
        let mut whole = true;
        while let Some(batch) = execution.batches.next().await {
            batches.push(batch.map_err(failed)?);
            if bytes_of(&batches) >= PAGE_BYTES_MAX {
                whole = false;
                break;
            }
        }
        let outcome = execution.outcome();
        let head = outcome.txn.unwrap_or_default();
        let end = ChangePosition::end_of(self.to.unwrap_or(head).max(self.position.txn));
        let next = match last(&batches) {
            Some(last) if outcome.truncated || !whole => last,
            _ => end,
        };
        self.position = next;
        Ok(Page { schema: execution.schema.clone(), batches, next, head })
    }

    fn sql(&self, table: &TableDef) -> Result<String, Problem> {
        let mut sql =
            format!("SELECT * FROM table_changes({}, '{}'", literal(&sql_name(table)), self.position);
        if let Some(to) = self.to {
            sql.push_str(&format!(", {to}"));
        }
        for name in ["types", "columns"] {
            if let Some(value) = self.parameter(name) {
                sql.push_str(&format!(", {name} => {}", literal(value)));
            }
        }
        for name in ["preimages", "expired"] {
            if let Some(value) = self.call.parameters.flag(name)? {
                sql.push_str(&format!(", {name} => {value}"));
            }
        }
        sql.push(')');
        Ok(sql)
    }
}

/// The place of the last change.
fn last(batches: &[RecordBatch]) -> Option<ChangePosition> {
    let batch = batches.last()?;
    position_at(batch, batch.num_rows().checked_sub(1)?)
}

/// The place of a change.
pub(super) fn position_at(batch: &RecordBatch, row: usize) -> Option<ChangePosition> {
    let number = |name: &str| {
        batch.column_by_name(name)?.as_primitive_opt::<Int64Type>().map(|column| column.value(row))
    };
    let [txn, _, _, _, file, position] = CHANGE_COLUMNS;
    let row = (FileId(number(file)?), u64::try_from(number(position)?).ok()?);
    Some(ChangePosition { txn: Txn(number(txn)?), row: Some(row) })
}

fn position_of(text: &str) -> Option<ChangePosition> {
    text.parse().ok()
}

/// A transaction, a position, or the last transaction not after a time.
async fn position(app: &App, call: &Call, name: &str, text: &str) -> Result<ChangePosition, Problem> {
    if let Some(position) = position_of(text) {
        return Ok(position);
    }
    let Some(at) = Micros::of_rfc3339(text) else {
        let what = "neither a transaction, nor a position, nor a time (RFC 3339)";
        return Err(Problem::bad_request(format!("{name} is {what}: {text:?}")).with("sqlstate", "22023"));
    };
    let txn = app.services()?.catalog.txn_at(&call.identity.scope, at).await?;
    Ok(ChangePosition::end_of(txn))
}
