//! What a handler knows of the request that it answers, besides the body.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use cenote_catalog::{AuditEntry, Caller, Identity, Object, Privilege, authorize};
use cenote_query::SessionOptions;
use http::HeaderMap;
use http::request::Parts;

use crate::app::App;
use crate::parameters::Parameters;
use crate::problem::Problem;

/// This door, for the audit.
pub(crate) const PROTOCOL: &str = "http";

/// The client's address, put into each request by the listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote(pub(crate) SocketAddr);

/// `X-Request-Id`, put into each request by the outermost layer.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// A request of somebody who has been authenticated.
pub(crate) struct Call {
    pub(crate) identity: Identity,
    pub(crate) headers: HeaderMap,
    pub(crate) parameters: Parameters,
    pub(crate) request_id: Arc<str>,
    pub(crate) remote: Option<SocketAddr>,
    /// The host in the request's target, as HTTP/2 sends it.
    pub(crate) host: Option<String>,
}

impl Call {
    /// 403 unless the caller has the privilege everywhere.
    pub(crate) fn require(&self, privilege: Privilege) -> Result<(), Problem> {
        let object = Object::Tenant;
        if authorize(&self.identity, privilege, object) {
            Ok(())
        } else {
            Err(Problem::denied(privilege, object))
        }
    }

    /// 403 unless the caller has the privilege at least somewhere; the exact place is checked where it is known.
    pub(crate) fn require_somewhere(&self, privilege: Privilege) -> Result<(), Problem> {
        match self.identity.allows_somewhere(privilege) {
            true => Ok(()),
            false => Err(Problem::denied(privilege, Object::Tenant)),
        }
    }

    /// Who asks, for the audit.
    pub(crate) fn caller(&self) -> Caller {
        Caller::of(&self.identity, PROTOCOL)
            .at(self.remote.map(|remote| remote.ip()))
            .by_request(Some(&self.request_id))
    }

    /// What the engine knows of the client.
    pub(crate) fn session(&self, database: Option<String>) -> SessionOptions {
        SessionOptions {
            database,
            protocol: PROTOCOL,
            remote: self.remote.map(|remote| remote.to_string()),
            request_id: Some(self.request_id.to_string()),
            ..SessionOptions::default()
        }
    }

    /// Puts into the audit what the caller has done for the node's upkeep: `run_job`, …, and with what.
    pub(crate) async fn audit_done(&self, app: &App, operation: &str, object: String) -> Result<(), Problem> {
        let entry = AuditEntry::done(self.caller(), "admin", object).with_detail(Some(operation));
        app.services()?.catalog.audit(Some(&self.identity.scope), entry).await;
        Ok(())
    }

    /// The text of a header, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl FromRequestParts<App> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        let identity = parts
            .extensions
            .remove::<Identity>()
            .ok_or_else(|| Problem::internal("a route that is not public was reached without an identity"))?;
        Ok(Self {
            identity,
            headers: parts.headers.clone(),
            parameters: Parameters::parse(parts.uri.query().unwrap_or("")),
            request_id: request_id(parts),
            remote: parts.extensions.get::<Remote>().map(|remote| remote.0),
            host: parts.uri.authority().map(|authority| authority.as_str().to_owned()),
        })
    }
}

fn request_id(parts: &Parts) -> Arc<str> {
    parts.extensions.get::<RequestId>().map_or_else(|| "".into(), |id| id.0.clone())
}

/// The client's address of a request, if the listener knows it.
pub(crate) fn address(request: &axum::extract::Request) -> Option<IpAddr> {
    request.extensions().get::<Remote>().map(|remote| remote.0.ip())
}
