//! Signed URLs: who has one may read one object until it expires, and needs nothing else.
//!
//! ```text
//! {base}/files/{exp}.{kid}.{sig}/{path}     sig = base64url(HMAC-SHA256(key, "v1\nread\n{tenant}\n{path}\n{exp}"))
//! ```
//! The path ends the URL, so that readers see what kind of file it is.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cenote_catalog::SigningKey;
use cenote_vocab::{Micros, Scope};
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

/// Life of a URL in seconds if nobody asks for another, and the bounds of what may be asked.
const TTL_DEFAULT: i64 = 900;
const TTL_MIN: i64 = 1;
const TTL_MAX: i64 = 3_600;
/// Requests for URLs per tenant and minute.
pub(crate) const MINTS_PER_MINUTE: u32 = 100;
/// For how long a key is known without another look: a key that was replaced verifies much longer.
const KEY_KNOWN: Duration = Duration::from_secs(60);
/// Keys that are known.
const KEYS_MAX: usize = 1_000;
/// What a path in a URL has as it is; of all else the bytes are written %XX.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'_').remove(b'-').remove(b'=');

/// Signs the paths of one request.
pub(crate) struct Signer {
    key: SigningKey,
    tenant: String,
    base: String,
    /// Seconds since 1970.
    expires: i64,
    /// Life of its URLs in seconds.
    pub(crate) ttl: i64,
}

impl Signer {
    /// For the caller's tenant and the address by which it called; `ttl` is brought into its bounds.
    pub(crate) async fn of(app: &App, call: &Call, ttl: Option<i64>) -> Result<Self, Problem> {
        let base = base(call)?;
        let ttl = ttl.unwrap_or(TTL_DEFAULT).clamp(TTL_MIN, TTL_MAX);
        let scope = &call.identity.scope;
        let key = app.services()?.catalog.signing_key(scope).await?;
        let expires = app.http.clock.now().0.div_euclid(1_000_000) + ttl;
        Ok(Self { key, tenant: scope.tenant().to_owned(), base, expires, ttl })
    }

    /// The URL of an object.
    pub(crate) fn url(&self, path: &str) -> String {
        let signature = self.key.sign(text(&self.tenant, path, self.expires).as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature);
        format!("{}/files/{}.{}.{signature}/{}", self.base, self.expires, self.key.kid, escaped(path))
    }

    /// When its URLs end.
    pub(crate) fn expires_at(&self) -> String {
        Micros(self.expires.saturating_mul(1_000_000)).rfc3339()
    }
}

/// What a URL carries besides the path.
pub(crate) struct Ticket {
    expires: i64,
    pub(crate) kid: String,
    signature: Vec<u8>,
}

impl Ticket {
    /// `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (expires, kid, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none() && !kid.is_empty() && kid.len() <= 32;
        let digits =
            !expires.is_empty() && expires.len() <= 12 && expires.bytes().all(|b| b.is_ascii_digit());
        if !whole || !digits {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Self { expires: expires.parse().ok()?, kid: kid.to_owned(), signature })
    }

    /// True if the key signed this for this path.
    pub(crate) fn is_of(&self, key: &SigningKey, scope: &Scope, path: &str) -> bool {
        key.verifies(text(scope.tenant(), path, self.expires).as_bytes(), &self.signature)
    }

    /// True until its end.
    pub(crate) fn is_valid(&self, now: Micros) -> bool {
        now.0 < self.expires.saturating_mul(1_000_000)
    }
}

fn text(tenant: &str, path: &str, expires: i64) -> String {
    format!("v1\nread\n{tenant}\n{path}\n{expires}")
}

/// A path as URLs have it.
pub(crate) fn escaped(path: &str) -> String {
    utf8_percent_encode(path, ESCAPED).to_string()
}

/// A path that is signed: relative, of plain characters and those of values in names such as `day=2026-01-01 00:00`, each part
/// with a name of its own.
pub(crate) fn is_plain_path(path: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'/' | b'.' | b'_' | b'-' | b'=' | b' ' | b'+' | b':' | b',' | b'@')
    };
    path.bytes().all(plain) && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// `http://host` as the caller called it. Behind a proxy that ends TLS, `X-Forwarded-Proto` tells.
fn base(call: &Call) -> Result<String, Problem> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'[' | b']' | b'_');
    let host = call.host.as_deref().or_else(|| call.header("host")).unwrap_or("");
    if host.is_empty() || !host.bytes().all(plain) {
        return Err(Problem::bad_request(
            "URLs need the host by which they are asked for: send a Host header",
        ));
    }
    let scheme = match call.header("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    Ok(format!("{scheme}://{host}"))
}

/// Keys that URLs were signed with, so that not every read of a file asks the database.
#[derive(Default)]
pub(crate) struct Keys {
    known: Mutex<HashMap<String, (Micros, Scope, SigningKey)>>,
}

impl Keys {
    /// The key of this id, and whose it is.
    pub(crate) async fn of(&self, app: &App, kid: &str) -> Result<Option<(Scope, SigningKey)>, Problem> {
        let now = app.http.clock.now();
        let known = self.known.lock().get(kid).cloned();
        if let Some((_, scope, key)) = known.filter(|(read, ..)| now.since(*read) < KEY_KNOWN) {
            return Ok(Some((scope, key)));
        }
        let Some((scope, key)) = app.services()?.catalog.verifying_key(kid).await? else { return Ok(None) };
        let mut known = self.known.lock();
        if known.len() >= KEYS_MAX {
            known.clear();
        }
        known.insert(kid.to_owned(), (now, scope.clone(), key.clone()));
        Ok(Some((scope, key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_are_signed() {
        for good in [
            "t/catalog.tables/0a1b.parquet",
            "a",
            "_cenote/meta/t/lake/m/01.json",
            "t/day=2026-01-01 00:00/a b.parquet",
        ] {
            assert!(is_plain_path(good), "{good}");
        }
        assert_eq!(escaped("t/day=2026-01-01 00:00/a.parquet"), "t/day=2026-01-01%2000%3A00/a.parquet");
        for bad in
            ["", "/a", "a//b", "a/", "../a", "a/../b", "./a", "a\\b", "a%2fb", "a?b", "a#b", "a\nb", "ä"]
        {
            assert!(!is_plain_path(bad), "{bad}");
        }
    }

    #[test]
    fn a_ticket_that_is_not_whole_is_none() {
        let signature = URL_SAFE_NO_PAD.encode([7; 32]);
        let ticket = Ticket::parse(&format!("1700000000.abc.{signature}")).expect("a ticket");
        assert_eq!((ticket.expires, ticket.kid.as_str(), ticket.signature.len()), (1_700_000_000, "abc", 32));
        assert!(
            ticket.is_valid(Micros(1_699_999_999_999_999)) && !ticket.is_valid(Micros(1_700_000_000_000_000))
        );
        for bad in ["", "1.a", "x.a.AA", "-1.a.AA", "1.a.AA.b", "1.a.?", "1..AA", "9999999999999.a.AA"] {
            assert!(Ticket::parse(bad).is_none(), "{bad}");
        }
    }
}
