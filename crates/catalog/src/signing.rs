//! Keys that sign URLs of files. They stay in the catalog: every process that serves the catalog verifies what another signed.

use std::time::Duration;

use cenote_vocab::Scope;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::committer::check_active;
use crate::inner::Inner;
use crate::sql::{head, signing};
use crate::{Catalog, Error};

/// For how long a key verifies after another has taken its place: no URL lives longer.
const OVERLAP: Duration = Duration::from_secs(3600);
/// Bytes of a key's public id; hex doubles them.
const KID_BYTES: usize = 6;

/// A key of HMAC-SHA256.
#[derive(Clone)]
pub struct SigningKey {
    /// Its public id, which a URL carries.
    pub kid: String,
    pub(crate) secret: [u8; 32],
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, ***)", self.kid)
    }
}

impl SigningKey {
    /// The signature of a text.
    pub fn sign(&self, text: &[u8]) -> [u8; 32] {
        self.mac(text).finalize().into_bytes().into()
    }

    /// True if `signature` is the text's; takes as long for every wrong one.
    pub fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        self.mac(text).verify_slice(signature).is_ok()
    }

    fn mac(&self, text: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            <Hmac<Sha256> as Mac>::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        mac.update(text);
        mac
    }
}

impl Catalog {
    /// The tenant's key that signs now; made when it is asked for first.
    pub async fn signing_key(&self, scope: &Scope) -> Result<SigningKey, Error> {
        let mut transaction = self.inner.database.read().await?;
        let current = signing::current(&mut transaction, scope.catalog()).await?;
        transaction.rollback().await?;
        match current {
            Some(key) => Ok(key),
            None => replace(&self.inner, scope, Replace::Missing).await,
        }
    }

    /// Gives the tenant another key. URLs of the one before live for another hour at most.
    pub async fn rotate_signing_key(&self, scope: &Scope) -> Result<SigningKey, Error> {
        replace(&self.inner, scope, Replace::Always).await
    }

    /// The key of a URL, and whose it is; `None` if it is unknown or was replaced an hour ago.
    pub async fn verifying_key(&self, kid: &str) -> Result<Option<(Scope, SigningKey)>, Error> {
        let since = self.inner.clock.now().minus(OVERLAP);
        Ok(signing::by_id(&self.inner.database, kid, since).await?)
    }
}

/// When a new key is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replace {
    Missing,
    Always,
}

async fn replace(inner: &Inner, scope: &Scope, when: Replace) -> Result<SigningKey, Error> {
    let (catalog, now) = (scope.catalog(), inner.clock.now());
    let mut transaction = inner.database.write().await?;
    head::lock(&mut transaction, catalog).await?; // two who ask first make one key
    check_active(inner, &mut transaction).await?;
    if when == Replace::Missing
        && let Some(key) = signing::current(&mut transaction, catalog).await?
    {
        transaction.rollback().await?;
        return Ok(key);
    }
    let kid = hex::encode(inner.ids.bytes::<KID_BYTES>());
    let key = SigningKey { kid, secret: inner.ids.bytes() };
    signing::retire(&mut transaction, catalog, now, now.minus(OVERLAP)).await?;
    signing::insert(&mut transaction, catalog, &key, now).await?;
    transaction.commit().await?;
    Ok(key)
}
