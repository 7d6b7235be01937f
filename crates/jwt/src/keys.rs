//! The issuer's keys: given, or fetched and kept.

use std::sync::Arc;
use std::time::Duration;

use cenote_vocab::{Clock, Micros};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio_util::task::TaskTracker;

use crate::fetch::Fetch;
use crate::{Error, KeySource, Options};

/// A key set is fetched anew when it is so old, …
const FRESH: Duration = Duration::from_secs(600);
/// … or when a token names a key that it has not, at most so often; …
const AGAIN: Duration = Duration::from_secs(30);
/// … and if that fails, it holds for so long.
const HOLDS: Duration = Duration::from_secs(24 * 3600);
/// The shortest secret (RFC 7518, 3.2: as long as the hash of HS256).
const SECRET_BYTES_MIN: usize = 32;
/// Keys of a set beyond these are not read.
const KEYS_MAX: usize = 100;

#[derive(Debug)]
pub(crate) enum Keys {
    One(Arc<DecodingKey>),
    Fetched(Arc<Fetched>),
}

#[derive(Debug)]
pub(crate) struct Fetched {
    fetch: Fetch,
    clock: Clock,
    held: Mutex<Held>,
    /// One fetches at a time.
    fetching: Arc<tokio::sync::Mutex<()>>,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Held {
    keys: Arc<Vec<Key>>,
    fetched: Option<Micros>,
    tried: Option<Micros>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The one that it is for, if it says so.
    algorithm: Option<Algorithm>,
    key: Arc<DecodingKey>,
}

impl Keys {
    pub(crate) fn new(options: &Options, clock: Clock, tasks: &TaskTracker) -> Result<Self, Error> {
        let fetch = match &options.key {
            KeySource::Pem(pem) => return Ok(Self::One(Arc::new(public_key(pem)?))),
            KeySource::Secret(secret) if secret.len() < SECRET_BYTES_MIN => {
                return Err(Error::Key("a secret of an issuer of tokens has at least 32 bytes"));
            }
            KeySource::Secret(secret) => return Ok(Self::One(Arc::new(DecodingKey::from_secret(secret)))),
            KeySource::Jwks(url) => Fetch::jwks(url.clone())?,
            KeySource::Discovery => Fetch::discovery(&options.issuer)?,
        };
        let (held, fetching, tasks) = (Mutex::default(), Arc::default(), tasks.clone());
        Ok(Self::Fetched(Arc::new(Fetched { fetch, clock, held, fetching, tasks })))
    }

    /// The key for a token with this header.
    pub(crate) async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<DecodingKey>, Error> {
        let key = match self {
            Self::One(key) => Some(Arc::clone(key)).filter(|key| key.family() == algorithm.family()),
            Self::Fetched(fetched) => fetched.find(id, algorithm).await?,
        };
        key.ok_or(Error::Refused("the issuer has no key for the token"))
    }
}

impl Fetched {
    async fn find(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<Arc<DecodingKey>>, Error> {
        let now = self.clock.now();
        let found = among(&self.keys(now), id, algorithm);
        if found.is_some() {
            // One fetches what is old; the others need not wait for it.
            if self.is_due(now, FRESH)
                && let Ok(fetching) = Arc::clone(&self.fetching).try_lock_owned()
            {
                // What comes of it is told there; keys of before are kept.
                drop(self.fetch(now, fetching).await);
            }
            return Ok(found);
        }
        let fetching = Arc::clone(&self.fetching).lock_owned().await;
        let found = among(&self.keys(now), id, algorithm);
        if found.is_some() || !self.may_try(now) {
            return match self.held.lock().fetched {
                None => Err(Error::Unreachable("the last attempt failed".to_owned())),
                Some(_) => Ok(found),
            };
        }
        let fetched = self.fetch(now, fetching).await;
        if self.held.lock().fetched.is_none() {
            fetched?;
        }
        Ok(among(&self.keys(now), id, algorithm))
    }

    /// Those that hold now.
    fn keys(&self, now: Micros) -> Arc<Vec<Key>> {
        let held = self.held.lock();
        match held.fetched {
            Some(fetched) if now.since(fetched) < HOLDS => Arc::clone(&held.keys),
            _ => Arc::default(),
        }
    }

    fn is_due(&self, now: Micros, age: Duration) -> bool {
        let old = self.held.lock().fetched.is_none_or(|fetched| now.since(fetched) >= age);
        old && self.may_try(now)
    }

    fn may_try(&self, now: Micros) -> bool {
        self.held.lock().tried.is_none_or(|tried| now.since(tried) >= AGAIN)
    }

    /// On a task of its own: who asked may leave, and others wait for the answer.
    async fn fetch(self: &Arc<Self>, now: Micros, fetching: OwnedMutexGuard<()>) -> Result<(), Error> {
        let fetched = Arc::clone(self);
        let task = self.tasks.spawn(async move {
            fetched.held.lock().tried = Some(now);
            let set = fetched.fetch.keys().await;
            if let Ok(set) = &set {
                let keys = Arc::new(usable(set));
                let mut held = fetched.held.lock();
                (held.keys, held.fetched) = (keys, Some(now));
            }
            drop(fetching);
            set.map(drop)
                .inspect_err(|error| tracing::warn!(%error, "keys of before are kept, if there are any"))
        });
        task.await.map_err(|error| Error::Unreachable(error.to_string()))?
    }
}

/// The key with the token's id; of tokens without one, the only key of their family.
fn among(keys: &[Key], id: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
    let fits = |key: &&Key| {
        key.key.family() == algorithm.family() && key.algorithm.is_none_or(|own| own == algorithm)
    };
    let mut found = keys.iter().filter(fits).filter(|key| id.is_none() || key.id.as_deref() == id);
    let key = found.next()?;
    (id.is_some() || found.next().is_none()).then(|| Arc::clone(&key.key))
}

/// Public keys for signatures. A secret in a public place is none.
fn usable(set: &JwkSet) -> Vec<Key> {
    let of = |jwk: &Jwk| {
        let signs = jwk.common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature);
        if !signs || matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let algorithm = match jwk.common.key_algorithm {
            Some(named) => Some(named.to_string().parse().ok()?),
            None => None,
        };
        Some(Key { id: jwk.common.key_id.clone(), algorithm, key: Arc::new(key) })
    };
    set.keys.iter().take(KEYS_MAX).filter_map(of).collect()
}

fn public_key(pem: &[u8]) -> Result<DecodingKey, Error> {
    let key = DecodingKey::from_rsa_pem(pem)
        .or_else(|_| DecodingKey::from_ec_pem(pem))
        .or_else(|_| DecodingKey::from_ed_pem(pem))
        .map_err(|_| Error::Key("jwt.public_key is no public key in PEM (RSA, a curve, Ed25519)"))?;
    debug_assert!(key.family() != AlgorithmFamily::Hmac);
    Ok(key)
}
