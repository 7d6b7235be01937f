//! Bearer tokens of one issuer (JWT: RFC 7519, signatures of RFC 7515, keys of RFC 7517): who has them, proven by the issuer's keys.
//!
//! ```text
//! token ─ header: algorithm, key id ─► key of the same family ─ signature ─► iss, aud, exp, nbf ─► subject, tenant, roles
//!                                       └ of a file, a secret, or the issuer's key set: fetched, kept, fetched anew for an unknown id
//! ```
//! The key decides which algorithms are allowed, never the token: `none`, and an HMAC under a public key, prove nothing.

mod claims;
mod error;
mod fetch;
mod keys;

use std::time::Duration;

use cenote_vocab::{Clock, Micros};
use jsonwebtoken::{Validation, decode, decode_header};
use tokio_util::task::TaskTracker;

pub use reqwest::Url;

pub use self::error::Error;
use self::keys::Keys;

/// The most bytes of a token.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Clocks of issuers may be so far from ours.
pub(crate) const LEEWAY: Duration = Duration::from_secs(30);

/// Whose tokens are taken, and what they say.
#[derive(Debug)]
pub struct Options {
    /// `iss` must be this.
    pub issuer: String,
    /// `aud` must be, or hold, this.
    pub audience: String,
    /// What proves the signature.
    pub key: KeySource,
    /// The claim that names the tenant.
    pub tenant_claim: String,
    /// The claim that names roles: a list, or text with commas.
    pub roles_claim: String,
    /// The tenant of tokens without that claim; `None`: they are refused.
    pub default_tenant: Option<String>,
}

/// Where the issuer's key is from.
pub enum KeySource {
    /// A key set at this address.
    Jwks(Url),
    /// The key set that `{issuer}/.well-known/openid-configuration` names.
    Discovery,
    /// A public key: PEM of RSA, of a curve or Ed25519.
    Pem(Vec<u8>),
    /// A secret that issuer and node share (HS256, HS384, HS512).
    Secret(Vec<u8>),
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Jwks(url) => write!(f, "Jwks({})", fetch::shown(url)),
            Self::Discovery => f.write_str("Discovery"),
            Self::Pem(_) => f.write_str("Pem"),
            Self::Secret(_) => f.write_str("Secret"),
        }
    }
}

/// What a token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// `sub`
    pub subject: String,
    /// Its tenant's name.
    pub tenant: String,
    /// Names of roles, each once.
    pub roles: Vec<String>,
    /// It proves nothing from then on.
    pub expires: Micros,
}

/// The issuer whose tokens are taken.
#[derive(Debug)]
pub struct Issuer {
    options: Options,
    keys: Keys,
    clock: Clock,
}

impl Issuer {
    /// Nothing is fetched yet: that is done on `tasks`, so that who asked may leave meanwhile. `Key` for a key that is none, `Address`
    /// for one that is not HTTPS (loopback may be HTTP) or has a user in it.
    pub fn new(options: Options, clock: Clock, tasks: &TaskTracker) -> Result<Self, Error> {
        let keys = Keys::new(&options, clock.clone(), tasks)?;
        Ok(Self { options, keys, clock })
    }

    /// True if this looks like a token of an issuer: three parts of base64url.
    pub fn is_token(secret: &str) -> bool {
        let of_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let mut parts = secret.split('.');
        let mut part =
            || parts.next().filter(|part| part.bytes().all(of_part)).is_some_and(|part| !part.is_empty());
        // the third may be empty: a signature of nothing is refused, and by name
        part()
            && part()
            && parts.next().is_some_and(|part| part.bytes().all(of_part))
            && parts.next().is_none()
    }

    /// Whose token this is. `Refused` if it proves nothing; `Unreachable` if the issuer's keys were never seen and cannot be fetched.
    pub async fn verify(&self, token: &str) -> Result<Bearer, Error> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Error::Refused("the token is too long"));
        }
        // an algorithm that the library does not know, such as `none`, is no header
        let header = decode_header(token)
            .map_err(|_| Error::Refused("the token's header is none of a signed token"))?;
        if header.crit.is_some() {
            return Err(Error::Refused("the token's header has crit: something that is not understood here"));
        }
        let key = self.keys.find(header.kid.as_deref(), header.alg).await?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.options.issuer]);
        validation.set_audience(&[&self.options.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
        // by our clock, below
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        let claims = decode(token, &key, &validation).map_err(error::refused)?.claims;
        claims::bearer(&claims, &self.options, self.clock.now())
    }
}

#[cfg(test)]
mod tests;
