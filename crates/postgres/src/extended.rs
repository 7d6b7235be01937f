//! Extended query: Parse, Bind, Describe, Execute, Sync.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use cenote_query::{Bounds, Prepared};
use futures::{Sink, SinkExt as _, StreamExt as _, TryStreamExt as _, stream};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::ExtendedQueryHandler;
use pgwire::api::results::{FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::Sync as SyncMessage;
use pgwire::messages::response::{ReadyForQuery, TransactionStatus};

use crate::connection::Connection;
use crate::simple::{forget, send_reported, tag};
use crate::value::{RowEncoder, arrow_type, fields, parameters, postgres_type};
use crate::{copy, error};

/// The handler of the extended messages.
pub(crate) struct Extended {
    connection: Arc<Connection>,
    parser: Arc<Parser>,
}

impl Extended {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { parser: Arc::new(Parser(connection.clone())), connection }
    }
}

/// Parses by the connection's session.
pub(crate) struct Parser(Arc<Connection>);

#[async_trait]
impl QueryParser for Parser {
    type Statement = Arc<Prepared>;

    async fn parse_sql<C>(
        &self,
        _client: &C,
        sql: &str,
        types: &[Option<Type>],
    ) -> PgWireResult<Option<Arc<Prepared>>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let session = self.0.session()?;
        let mut statements = session.statements(sql).map_err(|error| error::of_query(&error))?;
        let statement = match statements.len() {
            0 => return Ok(None),
            1 => statements.remove(0),
            _ => {
                return Err(error::error(
                    "42601",
                    "cannot insert multiple commands into a prepared statement",
                ));
            }
        };
        let declared: Vec<_> = types.iter().map(|declared| declared.as_ref().and_then(arrow_type)).collect();
        let prepared =
            session.prepare(&statement, &declared).await.map_err(|error| error::of_query(&error))?;
        Ok(Some(prepared))
    }

    fn get_parameter_types(&self, statement: &Arc<Prepared>) -> PgWireResult<Vec<Type>> {
        Ok(statement.parameters.iter().map(postgres_type).collect())
    }

    fn get_result_schema(
        &self,
        statement: &Arc<Prepared>,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let Some(columns) = statement.columns.as_ref().filter(|_| statement.copies().is_none()) else {
            return Ok(Vec::new());
        };
        Ok(fields(columns, |n| format_of(format, n)).as_ref().clone())
    }
}

fn format_of(format: Option<&Format>, n: usize) -> FieldFormat {
    match format {
        // A client may send fewer codes than there are columns; PostgreSQL refuses that, we answer text.
        Some(Format::Individual(codes)) => {
            codes.get(n).map_or(FieldFormat::Text, |code| FieldFormat::from(*code))
        }
        Some(format) => format.format_for(n),
        None => FieldFormat::Text,
    }
}

#[async_trait]
impl ExtendedQueryHandler for Extended {
    type Statement = Arc<Prepared>;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        self.parser.clone()
    }

    async fn on_sync<C>(&self, client: &mut C, _message: SyncMessage) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        client.portal_store().rm_portal(DEFAULT_NAME);
        self.connection.mark(false);
        if let Ok(session) = self.connection.session() {
            send_reported(client, session).await?;
        }
        let status = self.connection.status();
        client.set_transaction_status(status);
        client.send(PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status))).await?;
        Ok(())
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Arc<Prepared>>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.connection.mark(true);
        let session = self.connection.session()?;
        let prepared = &portal.statement.statement;
        if forget(client, prepared) {
            return Ok(Response::Execution(Tag::new("DEALLOCATE")));
        }
        let before = self.connection.status();
        let values = parameters(portal, prepared)?;
        let mut execution = session
            .execute(prepared, values, Bounds { promised: true, ..Bounds::default() })
            .await
            .map_err(|error| error::of_query(&error))?;
        if execution.schema.fields().is_empty() {
            while execution.batches.try_next().await.map_err(|error| error::of_query(&error))?.is_some() {}
            let tag = tag(&execution);
            return Ok(match (before, self.connection.status()) {
                (TransactionStatus::Idle, TransactionStatus::Transaction) => Response::TransactionStart(tag),
                (TransactionStatus::Transaction | TransactionStatus::Error, TransactionStatus::Idle) => {
                    Response::TransactionEnd(tag)
                }
                _ => Response::Execution(tag),
            });
        }
        if let Some(format) = prepared.copies() {
            // sent from here: the library's own way ends a failed copy with a message that clients do not know
            return copy::send(client, execution, format, session).await.map(Response::Execution);
        }
        let fields = fields(&execution.schema, |n| format_of(Some(&portal.result_column_format), n));
        let command = prepared.command.clone();
        let encoder = RowEncoder::new(fields.clone(), session);
        let rows = execution.batches.flat_map(move |batch| {
            let rows: Vec<PgWireResult<_>> = match batch.map_err(|error| error::of_query(&error)) {
                Ok(batch) => match encoder.rows(&batch) {
                    Ok(rows) => rows.collect(),
                    Err(error) => vec![Err(error)],
                },
                Err(error) => vec![Err(error)],
            };
            stream::iter(rows)
        });
        let mut response = QueryResponse::new(fields, rows);
        response.set_command_tag(&command);
        Ok(Response::Query(response))
    }
}
