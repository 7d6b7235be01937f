//! Who an issuer of bearer tokens vouches for becomes a principal: a token without a secret that anybody knows, which owns what it makes
//! and is granted rights like others, and has the roles of its claims as they were when it last came.

use std::collections::BTreeSet;
use std::sync::Arc;

use cenote_vocab::{ErrorKind, Fault, Micros, Permissions, Scope};

use crate::access::Principal;
use crate::audit::Caller;
use crate::inner::Inner;
use crate::sql::{access, grant};
use crate::tenant::works;
use crate::tokens::{self, Control, create_named};
use crate::{Error, NewToken, Token, grants, tenant};

/// What the names of such principals begin with; no other token's name does.
pub(crate) const BEARER_PREFIX: &str = "jwt:";
/// The most bytes of a subject: with what stands before it, it is a name of 255 bytes.
const SUBJECT_BYTES_MAX: usize = 255 - BEARER_PREFIX.len();

/// Proves a bearer token. Its principal, with the token's own end; `Unauthenticated` if it proves nothing or the principal may not
/// come in; `Issuer` if the issuer's keys cannot be had.
pub(crate) async fn sign_in(inner: &Arc<Inner>, secret: &str) -> Result<(Scope, Token), Error> {
    let issuer = inner.issuer.get().ok_or(Error::Unauthenticated)?;
    let bearer = issuer.verify(secret).await.map_err(|error| {
        match error.kind() {
            ErrorKind::Unauthenticated => {
                tracing::debug!(%error, "a bearer token is refused");
                Error::Unauthenticated
            }
            // The reason may name what is none of a stranger's business: it is in the log.
            _ => Error::Issuer,
        }
    })?;
    let is_name = bearer.subject.len() <= SUBJECT_BYTES_MAX && !bearer.subject.chars().any(char::is_control);
    let scope = tenant::scopes(inner).await?.remove(&bearer.tenant).filter(|_| is_name);
    let scope = scope.ok_or(Error::Unauthenticated)?;
    works(grants::fresh(inner, scope.catalog()).await?.book().state, &scope)?;
    let name = format!("{BEARER_PREFIX}{}", bearer.subject);
    let mut token = match find(inner, &scope, &name).await? {
        Some(token) => token,
        None => create(inner, &scope, &name).await?,
    };
    if !tokens::is_live(&token, inner.clock.now()) {
        return Err(Error::Unauthenticated);
    }
    let book = grants::fresh(inner, scope.catalog()).await?.book();
    let roles: BTreeSet<&str> =
        bearer.roles.iter().map(String::as_str).filter(|role| book.has_role(role)).collect();
    if roles != book.claimed(token.id) {
        let roles = roles.into_iter().map(str::to_owned).collect();
        inner.to_its_end(claim(inner.clone(), scope.clone(), token.clone(), roles)).await?;
    }
    token.expires = Some(token.expires.map_or(bearer.expires, |own: Micros| own.min(bearer.expires)));
    Ok((scope, token))
}

/// Gives a principal the roles of its claims, of those that are there.
async fn claim(inner: Arc<Inner>, scope: Scope, token: Token, roles: BTreeSet<String>) -> Result<(), Error> {
    let caller = Caller { actor: Some(token.name.clone()), ..Caller::stranger("http") };
    let mut control = Control::begin(&inner, &scope, ("claim_roles", &token.name), Some(&caller)).await?;
    let (member, txn) = (Principal::Claims(token.id), control.txn);
    grant::set_roles(&mut control.transaction, scope.catalog(), (&member, &roles), txn).await?;
    control.commit(&inner, &scope).await?;
    grants::refresh(&inner, scope.catalog()).await;
    Ok(())
}

async fn find(inner: &Inner, scope: &Scope, name: &str) -> Result<Option<Token>, Error> {
    let found = access::by_name(&inner.database, scope.tenant(), name).await?;
    Ok(found.map(|(_, token, _)| token))
}

/// Of two that come at once for the first time one makes it.
async fn create(inner: &Inner, scope: &Scope, name: &str) -> Result<Token, Error> {
    let new = NewToken {
        name: name.to_owned(),
        description: "of the issuer of bearer tokens".to_owned(),
        permissions: Permissions::default(),
        grants: Vec::new(),
        default_database: None,
        expires: None,
    };
    let caller = Caller { actor: Some(name.to_owned()), ..Caller::stranger("http") };
    match create_named(inner, scope, new, None, Some(&caller)).await {
        Ok((token, _)) => Ok(token),
        Err(Error::TokenExists(_)) => find(inner, scope, name).await?.ok_or(Error::Unauthenticated),
        Err(error) => Err(error),
    }
}
