//! Who asks: a secret becomes an identity, and guessing is slowed down.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cenote_catalog::{AuditEntry, AuditOutcome, Caller, Identity};
use cenote_vocab::{ErrorKind, Fault, Micros};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use crate::app::App;
use crate::credentials::secret;
use crate::parameters::Parameters;
use crate::problem::Problem;

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
            Err(error) => return Err(error.into()),
        },
    };
    app.metrics.authenticated("refused");
    let entry = AuditEntry {
        caller: Caller {
            address: address.map(|address| address.to_string()),
            protocol: "http".to_owned(),
            ..Caller::default()
        },
        action: "auth_deny".to_owned(),
        object: None,
        outcome: AuditOutcome::Deny,
        reason: Some(refused.to_owned()),
        detail: None,
    };
    app.services()?.catalog.audit(None, entry).await;
    match app.failures.count(address, app.http.clock.now()) {
        Allowance::Left => Err(unauthorized(refused)),
        Allowance::Spent { wait } => Err(too_many(wait)),
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

/// Failures per address and minute.
pub(crate) struct Failures {
    per_minute: u32,
    addresses: Mutex<HashMap<IpAddr, (Micros, u32)>>,
}

/// What an address may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// Fail again.
    Left,
    /// Wait for the end of its minute.
    Spent {
        /// How long.
        wait: Duration,
    },
}

const MINUTE: Duration = Duration::from_secs(60);
/// Addresses that are counted apart; more share one count.
const ADDRESSES_MAX: usize = 10_000;
const ALL_OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl Failures {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, addresses: Mutex::new(HashMap::new()) }
    }

    /// Counts one failure of `address`.
    pub(crate) fn count(&self, address: Option<IpAddr>, now: Micros) -> Allowance {
        let mut addresses = self.addresses.lock();
        let mut address = address.unwrap_or(ALL_OTHERS);
        if !addresses.contains_key(&address) && addresses.len() >= ADDRESSES_MAX {
            addresses.retain(|_, (began, _)| now.since(*began) < MINUTE);
            if addresses.len() >= ADDRESSES_MAX {
                address = ALL_OTHERS;
            }
        }
        let (began, count) = addresses.entry(address).or_insert((now, 0));
        if now.since(*began) >= MINUTE {
            (*began, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        if *count <= self.per_minute {
            return Allowance::Left;
        }
        Allowance::Spent { wait: MINUTE.saturating_sub(now.since(*began)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_failed_too_often_waits_for_the_end_of_its_minute() {
        let failures = Failures::new(2);
        let (a, b) = (Some(IpAddr::from([10, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 2])));
        let at = |seconds: i64| Micros(seconds * 1_000_000);
        assert_eq!(failures.count(a, at(0)), Allowance::Left);
        assert_eq!(failures.count(a, at(1)), Allowance::Left);
        assert_eq!(failures.count(a, at(20)), Allowance::Spent { wait: Duration::from_secs(40) });
        assert_eq!(failures.count(b, at(20)), Allowance::Left);
        assert_eq!(failures.count(a, at(60)), Allowance::Left);
    }

    #[test]
    fn the_table_of_addresses_is_bounded() {
        let failures = Failures::new(1);
        for number in 0..(ADDRESSES_MAX as u32 + 50) {
            failures.count(Some(IpAddr::from(number.to_be_bytes())), Micros(0));
        }
        assert!(failures.addresses.lock().len() <= ADDRESSES_MAX + 1);
    }
}
