//! Simple query: the statements of a text one after the other, each sent before the next begins.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use cenote_query::{Bounds, Execution, Prepared, Session, TransactionStatus as SessionStatus};
use futures::{Sink, SinkExt as _, TryStreamExt as _};
use pgwire::api::query::{SimpleQueryHandler, send_ready_for_query};
use pgwire::api::results::{FieldFormat, FieldInfo, Response, Tag};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, PgWireConnectionState};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::{FieldDescription, RowDescription};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse, NoticeResponse};
use pgwire::messages::simplequery::Query;
use pgwire::messages::startup::ParameterStatus;

use crate::connection::Connection;
use crate::value::{RowEncoder, fields};
use crate::{copy, error};

/// The handler of `Query` messages.
pub(crate) struct Simple(pub(crate) Arc<Connection>);

#[async_trait]
impl SimpleQueryHandler for Simple {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        client.set_state(PgWireConnectionState::QueryInProgress);
        self.0.mark(true);
        let ran = self.run(client, &query.query).await;
        self.0.mark(false);
        // Set before an error is sent: ReadyForQuery after it tells this.
        client.set_transaction_status(self.0.status());
        ran?;
        client.set_state(PgWireConnectionState::ReadyForQuery);
        send_ready_for_query(client, self.0.status()).await
    }

    async fn do_query<C>(&self, _client: &mut C, _query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // `on_query` above does the work: it streams, which a list of responses cannot.
        Ok(Vec::new())
    }
}

impl Simple {
    async fn run<C>(&self, client: &mut C, text: &str) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = self.0.session()?;
        let statements = session.statements(text).map_err(|error| error::of_query(&error))?;
        if statements.is_empty() {
            client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
            return Ok(());
        }
        let several = statements.len() > 1 && session.transaction_status() == SessionStatus::Idle;
        for statement in &statements {
            if several {
                // again after each COMMIT and ROLLBACK in the text: what follows is all or nothing too
                session.begin_implicit().await.map_err(|error| error::of_query(&error))?;
            }
            if let Err(error) = run_one(client, session, statement).await {
                if several {
                    session.end_implicit(true).await.map_err(|error| error::of_query(&error))?;
                }
                return Err(shifted(error, text, statement));
            }
        }
        if several {
            session.end_implicit(false).await.map_err(|error| error::of_query(&error))?;
        }
        send_reported(client, session).await
    }
}

/// An error's place counts from the start of the whole text.
fn shifted(error: PgWireError, text: &str, statement: &str) -> PgWireError {
    let PgWireError::UserError(mut info) = error else { return error };
    let before = text.find(statement).map_or(0, |at| text[..at].chars().count());
    if let Some(position) = info.position.as_ref().and_then(|position| position.parse::<usize>().ok()) {
        info.position = Some((position + before).to_string());
    }
    PgWireError::UserError(info)
}

async fn run_one<C>(client: &mut C, session: &Session, statement: &str) -> PgWireResult<()>
where
    C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
    C::PortalStore: PortalStore,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let prepared = session.prepare_to_run(statement).await.map_err(|error| error::of_query(&error))?;
    if forget(client, &prepared) {
        client
            .feed(PgWireBackendMessage::CommandComplete(CommandComplete::from(Tag::new("DEALLOCATE"))))
            .await?;
        return Ok(());
    }
    let mut execution = session
        .execute(&prepared, Vec::new(), Bounds::default())
        .await
        .map_err(|error| error::of_query(&error))?;
    if let Some(format) = prepared.copies() {
        let tag = copy::send(client, execution, format, session).await?;
        client.feed(PgWireBackendMessage::CommandComplete(CommandComplete::from(tag))).await?;
        return Ok(());
    }
    let answers_rows = !execution.schema.fields().is_empty();
    if answers_rows {
        let fields = fields(&execution.schema, |_| FieldFormat::Text);
        client.feed(PgWireBackendMessage::RowDescription(description(&fields))).await?;
        let encoder = RowEncoder::new(fields, session);
        while let Some(batch) = execution.batches.try_next().await.map_err(|error| error::of_query(&error))? {
            for row in encoder.rows(&batch)? {
                client.feed(PgWireBackendMessage::DataRow(row?)).await?;
            }
        }
    } else {
        while execution.batches.try_next().await.map_err(|error| error::of_query(&error))?.is_some() {}
    }
    for notice in execution.outcome().notices {
        client.feed(PgWireBackendMessage::NoticeResponse(notice_response(notice))).await?;
    }
    client.feed(PgWireBackendMessage::CommandComplete(CommandComplete::from(tag(&execution)))).await?;
    Ok(())
}

/// True if the statement is a `DEALLOCATE` of one that came by a Parse message: it is forgotten here.
pub(crate) fn forget<C>(client: &C, prepared: &Prepared) -> bool
where
    C: ClientPortalStore,
    C::PortalStore: PortalStore,
{
    let store = client.portal_store();
    let Some(name) = prepared.deallocates().filter(|name| store.get_statement(name).is_some()) else {
        return false;
    };
    store.rm_statement(name);
    true
}

fn description(fields: &[FieldInfo]) -> RowDescription {
    RowDescription::new(fields.iter().map(FieldDescription::from).collect())
}

fn notice_response(text: String) -> NoticeResponse {
    let mut info = ErrorInfo::new("NOTICE".to_owned(), "00000".to_owned(), text);
    info.severity_nonlocalized = Some("NOTICE".to_owned());
    info.into()
}

/// The command tag: `SELECT n`, `INSERT 0 n`, `CREATE TABLE`.
pub(crate) fn tag(execution: &Execution) -> Tag {
    let outcome = execution.outcome();
    let rows = usize::try_from(outcome.rows).unwrap_or(usize::MAX);
    let tag = Tag::new(&outcome.command);
    match outcome.command.as_str() {
        "INSERT" => tag.with_oid(0).with_rows(rows),
        "SELECT" => tag.with_rows(rows),
        _ if outcome.counts_rows => tag.with_rows(rows),
        _ => tag,
    }
}

/// Settings that clients follow.
pub(crate) async fn send_reported<C>(client: &mut C, session: &Session) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    for (name, value) in session.take_reported() {
        client.feed(PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name, value))).await?;
    }
    Ok(())
}
