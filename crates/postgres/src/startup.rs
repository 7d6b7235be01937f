//! Startup and SCRAM-SHA-256.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use cenote_catalog::{AuditEntry, Caller, Identity, Privilege};
use cenote_query::SessionOptions;
use futures::Sink;
use pgwire::api::auth::mechanism::{AuthMechanism, AuthMechanismFactory as _, AuthState};
use pgwire::api::auth::sasl::scram::{ScramAuth, ScramSecret};
use pgwire::api::auth::{
    AuthDriver, AuthOutcome, AuthSource, LoginInfo, Password, ServerParameterProvider, StartupHandler,
    protocol_negotiation, save_startup_parameters_to_metadata,
};
use pgwire::api::{ClientInfo, METADATA_DATABASE, METADATA_USER};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::startup::{Authentication, PasswordMessageFamily};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use crate::connection::Connection;
use crate::error;

/// What clients take the server for: the generation that `pg_catalog` answers like.
const SERVER_VERSION: &str = concat!("15.10 (Cenote ", env!("CARGO_PKG_VERSION"), ")");
/// The built-in catalog, which a client's `database` may name.
const CATALOG: &str = "lake";
/// The schema that every tenant has from its beginning.
const DEFAULT_SCHEMA: &str = "default";
/// This door, for the audit.
const PROTOCOL: &str = "postgres";
/// Startup parameters that are not settings.
const NOT_SETTINGS: [&str; 4] = [METADATA_USER, METADATA_DATABASE, "options", "replication"];

/// Proves who a client is and opens its session.
pub(crate) struct Startup {
    connection: Weak<Connection>,
    driver: AuthDriver<Parameters, Identity>,
}

impl Startup {
    pub(crate) fn new(connection: Weak<Connection>) -> Self {
        Self { driver: AuthDriver::new(Parameters(connection.clone())), connection }
    }

    /// The connection that owns this.
    pub(crate) fn connection(&self) -> Arc<Connection> {
        self.connection.upgrade().expect("a handler lives no longer than its connection")
    }

    async fn finish<C>(&self, client: &mut C, outcome: AuthOutcome<Identity>) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let AuthOutcome::Authenticated { identity, final_message } = outcome else { return Ok(()) };
        let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
        if let Some(identity) = &identity {
            check_tenant(&self.connection(), &*client, identity).await?;
        }
        audit(&self.connection(), &*client, identity.as_ref()).await?;
        let identity = identity.ok_or(PgWireError::InvalidPassword(user))?;
        let connection = self.connection();
        let (_, engine) = connection.door.services.get().ok_or_else(not_ready)?;
        let mut options = session_options(client)?;
        options.database = schema_of(options.database, &identity, &connection).await?;
        let session = engine.open_session(identity, options).await.map_err(|error| as_fatal(&error))?;
        connection.open(session);
        self.driver.complete_authentication(client, final_message).await?;
        let (pid, key) = client.pid_and_secret_key();
        connection.remember_cancel_key(pid, key);
        Ok(())
    }
}

#[async_trait]
impl StartupHandler for Startup {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let connection = self.connection();
        let outcome = match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                if connection.refused {
                    return Err(error::fatal("53300", "too many connections (limits.connections_max)"));
                }
                let (catalog, _) = connection.door.services.get().ok_or_else(not_ready)?;
                let mechanism: Box<dyn AuthMechanism<Identity>> = if connection.door.options.auth_enabled {
                    ScramAuth::new(Arc::new(Verifiers(catalog.clone()))).create().into_sasl()
                } else {
                    Box::new(Trust(catalog.clone()))
                };
                self.driver.begin_authentication(client, mechanism).await?
            }
            PgWireFrontendMessage::PasswordMessageFamily(message) => {
                match self.driver.advance_authentication(client, message).await {
                    Ok(outcome) => outcome,
                    Err(error) => {
                        audit(&connection, &*client, None).await?;
                        return Err(error);
                    }
                }
            }
            _ => return Ok(()),
        };
        self.finish(client, outcome).await
    }
}

/// Fails, with its entry in the audit, for somebody of a tenant that may do nothing. After the proof: no stranger learns of it.
async fn check_tenant<C: ClientInfo>(
    connection: &Connection,
    client: &C,
    identity: &Identity,
) -> PgWireResult<()> {
    use cenote_vocab::Fault as _;
    let (catalog, _) = connection.door.services.get().ok_or_else(not_ready)?;
    let Err(refused) = catalog.check_tenant_works(&identity.scope).await else { return Ok(()) };
    let stranger = Caller::stranger(PROTOCOL).at(Some(client.socket_addr().ip()));
    catalog.audit(None, AuditEntry::refused(stranger, "auth_deny", refused.to_string())).await;
    Err(error::fatal(refused.sqlstate().0, refused.to_string()))
}

/// Puts into the audit who was let in, or that somebody was not.
async fn audit<C: ClientInfo>(
    connection: &Connection,
    client: &C,
    identity: Option<&Identity>,
) -> PgWireResult<()> {
    let (catalog, _) = connection.door.services.get().ok_or_else(not_ready)?;
    let address = Some(client.socket_addr().ip());
    let entry = match identity {
        Some(identity) => AuditEntry::done(Caller::of(identity, PROTOCOL).at(address), "auth_allow", ""),
        None => {
            let stranger = Caller::stranger(PROTOCOL).at(address);
            AuditEntry::refused(stranger, "auth_deny", "password authentication failed")
        }
    };
    let user = client.metadata().get(METADATA_USER).map(|user| format!("user {user}"));
    let entry = entry.about(user);
    catalog.audit(identity.map(|identity| &identity.scope), entry).await;
    Ok(())
}

/// The schema that a startup's `database` means: the catalog's own name, or none, means the token's; else a schema.
async fn schema_of(
    database: Option<String>,
    identity: &Identity,
    connection: &Connection,
) -> PgWireResult<Option<String>> {
    let Some(name) = database.filter(|name| name != CATALOG) else { return Ok(None) };
    let (catalog, _) = connection.door.services.get().ok_or_else(not_ready)?;
    // One that the token may not know is not there for it.
    let is_known = Some(&name) == identity.token.default_database.as_ref()
        || name == DEFAULT_SCHEMA
        || identity.allows(Privilege::Use, &name, None);
    match catalog.schema_id(&identity.scope, &name).await {
        Ok(Some(_)) if is_known => Ok(Some(name)),
        Ok(_) => Err(error::fatal("3D000", format!("database \"{name}\" does not exist"))),
        Err(error) => Err(error::of_fault(&error)),
    }
}

fn not_ready() -> PgWireError {
    error::fatal("57P03", "the node is starting up or waits as standby")
}

fn as_fatal(error: &cenote_query::Error) -> PgWireError {
    use cenote_vocab::Fault as _;
    error::fatal(error.sqlstate().0, error.to_string())
}

/// Startup parameters become settings; `options=-c name=value` too.
fn session_options<C: ClientInfo>(client: &C) -> PgWireResult<SessionOptions> {
    let mut settings: Vec<(String, String)> = client
        .metadata()
        .iter()
        .filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let Some(options) = client.metadata().get("options") {
        settings.extend(parse_options(options)?);
    }
    let database = client.metadata().get(METADATA_DATABASE).filter(|database| !database.is_empty());
    Ok(SessionOptions {
        database: database.cloned(),
        settings,
        protocol: PROTOCOL,
        remote: Some(client.socket_addr().to_string()),
        request_id: None,
    })
}

/// `-c name=value`, `-cname=value` and `--name=value`, separated by spaces; a backslash keeps a space.
fn parse_options(options: &str) -> PgWireResult<Vec<(String, String)>> {
    let mut words = vec![String::new()];
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => words.last_mut().expect("never empty").extend(characters.next()),
            ' ' => words.push(String::new()),
            other => words.last_mut().expect("never empty").push(other),
        }
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let pair = match (word.as_str(), word.strip_prefix("--"), word.strip_prefix("-c")) {
            ("-c", ..) => words.next().unwrap_or_default(),
            (_, Some(pair), _) | (_, None, Some(pair)) => pair.to_owned(),
            _ => return Err(error::fatal("42601", format!("unknown option {word:?} in options"))),
        };
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| error::fatal("42601", format!("option {pair:?} needs the form name=value")))?;
        settings.push((name.to_owned(), value.to_owned()));
    }
    Ok(settings)
}

/// Stored verifiers of the catalog: no password is ever needed here.
struct Verifiers(cenote_catalog::Catalog);

impl Debug for Verifiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifiers")
    }
}

#[async_trait]
impl AuthSource<Identity> for Verifiers {
    async fn get_password(&self, _login: &LoginInfo) -> PgWireResult<Password> {
        Err(error::fatal("28000", "only SCRAM-SHA-256 is spoken"))
    }

    async fn get_scram_secret(&self, login: &LoginInfo) -> PgWireResult<(ScramSecret, Option<Identity>)> {
        let user = login.user().ok_or(PgWireError::UserNameRequired)?;
        let verifier = self.0.scram_verifier(user).await.map_err(|error| error::of_fault(&error))?;
        let secret = ScramSecret::Verifier {
            salt: verifier.salt,
            iterations: usize::try_from(verifier.iterations).unwrap_or(4096),
            stored_key: verifier.stored_key,
            server_key: verifier.server_key,
        };
        Ok((secret, verifier.identity))
    }
}

/// `auth.enabled = false`: everybody is admin of the tenant `default`.
struct Trust(cenote_catalog::Catalog);

#[async_trait]
impl AuthMechanism<Identity> for Trust {
    async fn begin(&mut self, _client: &(dyn ClientInfo + Send + Sync)) -> PgWireResult<AuthState<Identity>> {
        let scope = self.0.tenant("default").await.map_err(|error| error::of_fault(&error))?;
        let scope = scope.ok_or_else(|| error::fatal("28000", "tenant \"default\" does not exist"))?;
        Ok(AuthState::Ok { identity: Some(self.0.internal_identity(&scope)), final_message: None })
    }

    async fn next(
        &mut self,
        _client: &(dyn ClientInfo + Send + Sync),
        _message: PasswordMessageFamily,
    ) -> PgWireResult<AuthState<Identity>> {
        Err(PgWireError::NoAuthenticationInProgress)
    }
}

/// Offers SCRAM-SHA-256 before the exchange begins.
struct OfferScram {
    exchange: Box<dyn AuthMechanism<Identity>>,
}

trait IntoSasl {
    fn into_sasl(self) -> Box<dyn AuthMechanism<Identity>>;
}

impl IntoSasl for Box<dyn AuthMechanism<Identity>> {
    fn into_sasl(self) -> Box<dyn AuthMechanism<Identity>> {
        Box::new(OfferScram { exchange: self })
    }
}

#[async_trait]
impl AuthMechanism<Identity> for OfferScram {
    async fn begin(&mut self, _client: &(dyn ClientInfo + Send + Sync)) -> PgWireResult<AuthState<Identity>> {
        Ok(AuthState::InProgress(Authentication::SASL(vec!["SCRAM-SHA-256".to_owned()])))
    }

    async fn next(
        &mut self,
        client: &(dyn ClientInfo + Send + Sync),
        message: PasswordMessageFamily,
    ) -> PgWireResult<AuthState<Identity>> {
        self.exchange.next(client, message).await
    }
}

/// ParameterStatus at the end of the startup.
struct Parameters(Weak<Connection>);

impl ServerParameterProvider for Parameters {
    fn server_parameters<C: ClientInfo>(&self, client: &C) -> Option<HashMap<String, String>> {
        let connection = self.0.upgrade()?;
        let session = connection.session().ok()?;
        let mut parameters: HashMap<String, String> = [
            ("server_version", SERVER_VERSION),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, MDY"),
            ("IntervalStyle", "postgres"),
            ("TimeZone", "UTC"),
            ("integer_datetimes", "on"),
            ("standard_conforming_strings", "on"),
            ("is_superuser", "off"),
            ("in_hot_standby", "off"),
            ("default_transaction_read_only", "off"),
            ("application_name", ""),
            ("search_path", "default"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in &mut parameters {
            if let Some(set) = session.setting(&name.to_lowercase())
                && !matches!(name.as_str(), "server_version" | "DateStyle" | "client_encoding")
            {
                *value = set;
            }
        }
        let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
        parameters.insert("session_authorization".to_owned(), user);
        // What the startup itself set is told here and not once more.
        drop(session.take_reported());
        Some(parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_startup_are_settings() {
        let expected = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parse_options(r"-c search_path=my\ db --timezone=UTC -cjit=off").expect("valid"),
            [expected("search_path", "my db"), expected("timezone", "UTC"), expected("jit", "off")]
        );
        assert!(parse_options("-x").is_err());
        assert!(parse_options("-c novalue").is_err());
    }
}
