//! Who asks: a secret becomes an identity, and guessing is slowed down.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cenote_catalog::{AuditEntry, Caller, Identity};
use cenote_vocab::{ErrorKind, Fault};
use http::{HeaderMap, StatusCode};

use crate::app::App;
use crate::call::PROTOCOL;
use crate::credentials::secret;
use crate::parameters::Parameters;
use crate::problem::Problem;

/// Whoever comes from no known address.
pub(crate) const UNKNOWN_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Proves who a request is from. 401 for missing and wrong credentials, 429 for an address that failed too often.
pub(crate) async fn identify(
    app: &App,
    headers: &HeaderMap,
    parameters: &Parameters,
    address: Option<IpAddr>,
) -> Result<Identity, Problem> {
    if !app.http.options.auth_enabled {
        return app.everyone().await;
    }
    let refused = match secret(headers, parameters) {
        None => "Authentication required",
        Some(secret) if secret.is_empty() => "Invalid or expired token",
        Some(secret) => match app.services()?.catalog.authenticate(&secret).await {
            Ok(identity) => {
                app.metrics.authenticated("accepted");
                return Ok(identity);
            }
            Err(error) if error.kind() == ErrorKind::Unauthenticated => "Invalid or expired token",
            Err(error @ cenote_catalog::Error::TenantSuspended(_)) => {
                // The token is good: that is no guess of somebody's.
                let caller = Caller::stranger(PROTOCOL).at(address);
                let entry = AuditEntry::refused(caller, "auth_deny", error.to_string());
                app.services()?.catalog.audit(None, entry).await;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        },
    };
    app.metrics.authenticated("refused");
    let entry = AuditEntry::refused(Caller::stranger(PROTOCOL).at(address), "auth_deny", refused);
    app.services()?.catalog.audit(None, entry).await;
    match app.failures.count(address.unwrap_or(UNKNOWN_ADDRESS), app.http.clock.now()) {
        None => Err(unauthorized(refused)),
        Some(wait) => Err(too_many(wait)),
    }
}

/// 401 with one of the two texts.
pub(crate) fn unauthorized(text: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, text).with("sqlstate", "28P01")
}

fn too_many(wait: Duration) -> Problem {
    let text = "too many failed authentications from this address (auth.failures_per_minute)";
    let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, text).with("sqlstate", "53400");
    problem.retryable = true;
    problem.retry_after = Some(wait);
    problem
}
