//! Tokens: made, changed, proven.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_vocab::{Micros, Permission, Permissions, Scope, Txn};
use uuid::Uuid;

use crate::audit::{self, AuditEntry, AuditRow, Caller};
use crate::bearer::{self, BEARER_PREFIX};
use crate::committer::{EventRow, HeadRow, check_active, next_txn};
use crate::credential::{self, Verifier};
use crate::grants;
use crate::inner::Inner;
use crate::sql::access::{self, TokenRow};
use crate::sql::audit::insert as insert_audit;
use crate::sql::{Failure, Transaction, event, grant, head, history};
use crate::tenant::{OPERATING, OPERATING_TENANT, works};
use crate::{
    AccessChange, Error, Facts, Head, Identity, NewToken, OPERATOR_ROLE, Principal, ScramVerifier,
    TenantState, Token, TokenChange,
};

/// The most characters of a token's name.
const NAME_CHARS_MAX: usize = 128;
/// The most bytes of a token's description, and of the name of its default database.
const TEXT_BYTES_MAX: usize = 255;
/// The most grants of a token.
const GRANTS_MAX: usize = 1_000;

/// A change of tokens: under the head lock, with a number of its own.
pub(crate) struct Control {
    pub(crate) transaction: Transaction,
    head: HeadRow,
    pub(crate) txn: Txn,
}

impl Control {
    /// Begins it, with its row of the audit.
    pub(crate) async fn begin(
        inner: &Inner,
        scope: &Scope,
        (operation, token): (&str, &str),
        caller: Option<&Caller>,
    ) -> Result<Self, Error> {
        let mut transaction = inner.database.write().await?;
        let mut head = head::lock(&mut transaction, scope.catalog()).await?;
        inner.check_locked_head(scope.catalog(), head.txn)?;
        check_active(inner, &mut transaction).await?;
        let facts = Facts {
            operation: operation.to_owned(),
            message: Some(format!("token {token}")),
            ..Facts::default()
        };
        let row = next_txn(&mut head, inner, facts);
        let txn = row.txn;
        let caller = caller.cloned().unwrap_or_default();
        let entry = AuditEntry::done(caller, operation, format!("token {token}"));
        let audited = AuditRow { id: inner.ids.uuid(), at: row.committed, times: 1, entry };
        insert_audit(&mut transaction, &[(scope.catalog(), audited)]).await?;
        history::insert(&mut transaction, scope.catalog(), &[row], &[]).await?;
        Ok(Self { transaction, head, txn })
    }

    /// Tells readers of events what became of a token.
    async fn tell(&mut self, scope: &Scope, kind: &'static str, id: i64) -> Result<(), Error> {
        let object_id = id.to_string();
        let told = EventRow { txn: self.txn, kind, object_type: "token", object_id, ..EventRow::default() };
        Ok(event::insert(&mut self.transaction, scope.catalog(), &[told]).await?)
    }

    pub(crate) async fn commit(mut self, inner: &Inner, scope: &Scope) -> Result<(), Error> {
        head::write(&mut self.transaction, scope.catalog(), &self.head).await?;
        self.transaction.commit().await?;
        let head = Head { txn: self.head.txn, committed: self.head.committed, ddl_txn: self.head.ddl_txn };
        inner.memory(scope.catalog()).note_head(head);
        Ok(())
    }

    /// Tokens of the tenant, and the one that is meant.
    async fn tokens(&mut self, scope: &Scope, id: i64) -> Result<(BTreeMap<i64, Token>, Token), Error> {
        let tokens = access::list(&mut self.transaction, scope.catalog()).await?;
        let tokens: BTreeMap<i64, Token> = tokens.into_iter().map(|token| (token.id, token)).collect();
        let token = tokens.get(&id).cloned().ok_or(Error::TokenNotFound)?;
        Ok((tokens, token))
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::Invalid("token name is empty".into()));
    }
    if name.starts_with(BEARER_PREFIX) {
        return Err(Error::Invalid(format!(
            "names with {BEARER_PREFIX} are those that the issuer of bearer tokens vouches for"
        )));
    }
    if name.chars().count() > NAME_CHARS_MAX || name.contains('@') || name.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "token name has 1 to {NAME_CHARS_MAX} characters, none of them @ or a control character"
        )));
    }
    Ok(())
}

/// Free text of people: anything that the databases can store.
fn check_texts(texts: [Option<&str>; 2]) -> Result<(), Error> {
    for text in texts.into_iter().flatten() {
        if text.len() > TEXT_BYTES_MAX || text.contains('\0') {
            return Err(Error::Invalid(format!(
                "texts of a token have at most {TEXT_BYTES_MAX} bytes and no NUL character"
            )));
        }
    }
    Ok(())
}

fn check_grants(grants: &[crate::Grant]) -> Result<(), Error> {
    if grants.len() > GRANTS_MAX {
        return Err(Error::Limit(format!("{} grants, a token has at most {GRANTS_MAX}", grants.len())));
    }
    Ok(())
}

/// `TokenExists` if another token of the tenant has the name.
fn check_free<'a>(mut tokens: impl Iterator<Item = &'a Token>, name: &str) -> Result<(), Error> {
    if tokens.any(|token| token.name == name) {
        return Err(Error::TokenExists(name.to_owned()));
    }
    Ok(())
}

/// Deriving a verifier is work for another thread.
async fn verifier(secret: &str, salt: [u8; 16]) -> Result<Verifier, Error> {
    let secret = secret.to_owned();
    let derived = tokio::task::spawn_blocking(move || Verifier::of(&secret, salt)).await;
    derived.map_err(|error| Error::Internal(error.to_string()))
}

pub(crate) async fn create(
    inner: &Inner,
    scope: &Scope,
    new: NewToken,
    secret: Option<&str>,
    caller: Option<&Caller>,
) -> Result<(Token, String), Error> {
    check_name(&new.name)?;
    create_named(inner, scope, new, secret, caller).await
}

/// The same, of a name that was checked.
pub(crate) async fn create_named(
    inner: &Inner,
    scope: &Scope,
    new: NewToken,
    secret: Option<&str>,
    caller: Option<&Caller>,
) -> Result<(Token, String), Error> {
    check_grants(&new.grants)?;
    check_texts([Some(&new.description), new.default_database.as_deref()])?;
    let secret = match secret {
        Some(given) => {
            credential::check_given(given)?;
            given.to_owned()
        }
        None => credential::mint(&inner.ids),
    };
    let verifier = verifier(&secret, inner.ids.bytes()).await?;
    let mut control = Control::begin(inner, scope, ("create_token", &new.name), caller).await?;
    let others = access::list(&mut control.transaction, scope.catalog()).await?;
    check_free(others.iter(), &new.name)?;
    let token = Token {
        id: control.head.next_object,
        uuid: inner.ids.uuid(),
        name: new.name,
        description: new.description,
        permissions: new.permissions,
        grants: new.grants,
        default_database: new.default_database,
        created: control.head.committed,
        expires: new.expires,
        last_used: None,
        enabled: true,
    };
    control.head.next_object += 1;
    let row = TokenRow { token: token.clone(), verifier, changed: control.txn };
    match access::insert(&mut control.transaction, scope.catalog(), &row).await {
        Err(Failure::Inconsistent(_)) => {
            return Err(Error::Invalid("the given token is in use already".into()));
        }
        other => other?,
    }
    // Somebody must be able to give the role to others.
    let is_first_admin = others.is_empty() && token.permissions.allows(Permission::Admin);
    let operates = is_first_admin && scope.catalog() == OPERATING;
    if operates {
        let (role, member) = (OPERATOR_ROLE.to_owned(), Principal::Token(token.id));
        let at = (control.txn, control.head.committed);
        let change = AccessChange::AddMember { role, member };
        grant::apply(&mut control.transaction, scope.catalog(), &change, at).await?;
    }
    control.tell(scope, "token.created", token.id).await?;
    control.commit(inner, scope).await?;
    if operates {
        grants::refresh(inner, scope.catalog()).await;
    }
    Ok((token, secret))
}

pub(crate) async fn rotate(
    inner: &Inner,
    scope: &Scope,
    id: i64,
    caller: Option<&Caller>,
) -> Result<String, Error> {
    let secret = credential::mint(&inner.ids);
    let verifier = verifier(&secret, inner.ids.bytes()).await?;
    let mut control = Control::begin(inner, scope, ("rotate_token", &id.to_string()), caller).await?;
    control.tokens(scope, id).await?;
    access::update_secret(&mut control.transaction, scope.catalog(), id, &verifier, control.txn).await?;
    control.tell(scope, "token.altered", id).await?;
    control.commit(inner, scope).await?;
    inner.credentials.forget(scope.catalog(), id);
    Ok(secret)
}

pub(crate) async fn change(
    inner: &Inner,
    scope: &Scope,
    id: i64,
    change: TokenChange,
    caller: Option<&Caller>,
) -> Result<Token, Error> {
    let mut control = Control::begin(inner, scope, ("change_token", &id.to_string()), caller).await?;
    let (tokens, mut token) = control.tokens(scope, id).await?;
    if let Some(name) = change.name {
        check_name(&name)?;
        check_free(tokens.values().filter(|other| other.id != id), &name)?;
        token.name = name;
    }
    check_texts([change.description.as_deref(), None])?;
    if let Some(grants) = change.grants {
        check_grants(&grants)?;
        token.grants = grants;
    }
    token.description = change.description.unwrap_or(token.description);
    token.permissions = change.permissions.unwrap_or(token.permissions);
    token.expires = change.expires.unwrap_or(token.expires);
    token.enabled = change.enabled.unwrap_or(token.enabled);
    check_last_admin(&tokens, id, Some(&token), inner.clock.now())?;
    access::update(&mut control.transaction, scope.catalog(), &token, control.txn).await?;
    let kind = if token.enabled { "token.altered" } else { "token.revoked" };
    control.tell(scope, kind, id).await?;
    control.commit(inner, scope).await?;
    inner.credentials.forget(scope.catalog(), id);
    inner.access(scope.catalog()).touch();
    Ok(token)
}

pub(crate) async fn delete(
    inner: &Inner,
    scope: &Scope,
    id: i64,
    caller: Option<&Caller>,
) -> Result<(), Error> {
    let mut control = Control::begin(inner, scope, ("delete_token", &id.to_string()), caller).await?;
    let (tokens, _) = control.tokens(scope, id).await?;
    check_last_admin(&tokens, id, None, inner.clock.now())?;
    access::delete(&mut control.transaction, scope.catalog(), id).await?;
    for principal in [Principal::Token(id), Principal::Claims(id)] {
        grant::forget(&mut control.transaction, scope.catalog(), &principal).await?;
    }
    control.tell(scope, "token.revoked", id).await?;
    control.commit(inner, scope).await?;
    inner.credentials.forget(scope.catalog(), id);
    grants::refresh(inner, scope.catalog()).await;
    inner.access(scope.catalog()).touch();
    Ok(())
}

pub(crate) fn is_live(token: &Token, now: Micros) -> bool {
    token.enabled && token.expires.is_none_or(|expires| now < expires)
}

fn is_admin(token: &Token, now: Micros) -> bool {
    is_live(token, now) && token.permissions.allows(Permission::Admin)
}

/// `LastAdmin` if the token is an admin now, will not be, and nobody else is.
fn check_last_admin(
    tokens: &BTreeMap<i64, Token>,
    id: i64,
    after: Option<&Token>,
    now: Micros,
) -> Result<(), Error> {
    let Some(before) = tokens.get(&id).filter(|token| is_admin(token, now)) else { return Ok(()) };
    let stays = after.is_some_and(|after| is_admin(after, now));
    let others = tokens.values().any(|other| other.id != id && is_admin(other, now));
    if stays || others { Ok(()) } else { Err(Error::LastAdmin(before.name.clone())) }
}

pub(crate) async fn list(inner: &Inner, scope: &Scope) -> Result<Vec<Token>, Error> {
    let mut transaction = inner.database.read().await?;
    let tokens = access::list(&mut transaction, scope.catalog()).await?;
    transaction.rollback().await?;
    Ok(tokens)
}

pub(crate) async fn authenticate(inner: &Arc<Inner>, secret: &str) -> Result<Identity, Error> {
    let is_bearer = inner.issuer.get().is_some() && cenote_jwt::Issuer::is_token(secret);
    if !credential::may_be_valid(secret) && !is_bearer {
        return Err(Error::Unauthenticated);
    }
    let (hash, now) = (credential::hash(secret), inner.clock.now());
    let (known, generation) = inner.credentials.identity(&hash, now);
    let identity = match known {
        Some(identity) => identity,
        None => {
            let (scope, token) = match access::by_hash(&inner.database, &hash).await? {
                Some(found) => found,
                None if is_bearer => bearer::sign_in(inner, secret).await?,
                None => return Err(Error::Unauthenticated),
            };
            let access = grants::fresh(inner, scope.catalog()).await?;
            let works = access.book().state == TenantState::Active;
            let identity = Identity { scope, token: Arc::new(token), access };
            if works && is_live(&identity.token, now) {
                inner.credentials.note(hash, &identity, now, generation);
                audit::let_in(inner, &identity).await;
            }
            identity
        }
    };
    if !is_live(&identity.token, now) {
        return Err(Error::Unauthenticated);
    }
    match grants::fresh(inner, identity.scope.catalog()).await?.book().state {
        // Its tokens are gone; one that was proven before is as good as none.
        TenantState::Dropped => return Err(Error::Unauthenticated),
        state => works(state, &identity.scope)?,
    }
    note_use(inner, &identity, now);
    Ok(identity)
}

/// Notes the use of a token, at most once a minute, behind the caller's back; a failure only loses the note.
pub(crate) fn note_use(inner: &Arc<Inner>, identity: &Identity, now: Micros) {
    let (catalog, id) = (identity.scope.catalog(), identity.token.id);
    if !inner.credentials.is_use_due(catalog, id, now) {
        return;
    }
    let inner_of_task = inner.clone();
    inner.tasks.spawn(async move {
        if let Err(failure) = access::touch(&inner_of_task.database, catalog, id, now).await {
            tracing::debug!(error = %Error::from(failure), token = id, "last use was not noted");
        }
    });
}

pub(crate) async fn scram_verifier(inner: &Inner, user: &str) -> Result<ScramVerifier, Error> {
    let (name, tenant) = user.split_once('@').unwrap_or((user, OPERATING_TENANT));
    let now = inner.clock.now();
    let found = access::by_name(&inner.database, tenant, name).await?;
    let (verifier, identity) = match found {
        Some((scope, token, verifier)) if is_live(&token, now) => {
            let access = grants::fresh(inner, scope.catalog()).await?;
            (verifier, Some(Identity { scope, token: Arc::new(token), access }))
        }
        _ => (Verifier::mock(inner.credentials.server_secret(), user), None),
    };
    Ok(ScramVerifier {
        salt: verifier.salt,
        iterations: verifier.iterations,
        stored_key: verifier.stored_key.to_vec(),
        server_key: verifier.server_key.to_vec(),
        identity,
    })
}

pub(crate) async fn is_valid(inner: &Inner, identity: &Identity) -> Result<bool, Error> {
    let (catalog, id, now) = (identity.scope.catalog(), identity.token.id, inner.clock.now());
    if id == INTERNAL_TOKEN {
        return Ok(true);
    }
    if !is_live(&identity.token, now) {
        return Ok(false); // a bearer token ends before its principal does
    }
    if grants::fresh(inner, catalog).await?.book().state != TenantState::Active {
        return Ok(false);
    }
    if let Some(known) = inner.credentials.is_proven(catalog, id, now) {
        return Ok(is_live(&known.token, now));
    }
    let token = access::by_id(&inner.database, catalog, id).await?;
    Ok(token.is_some_and(|token| is_live(&token, now)))
}

/// The id of the token behind the node's own work; no stored token has it.
pub(crate) const INTERNAL_TOKEN: i64 = 0;

pub(crate) fn internal_identity(inner: &Inner, scope: &Scope) -> Identity {
    let token = Token {
        id: INTERNAL_TOKEN,
        uuid: Uuid::nil(),
        name: "cenote".into(),
        description: "the node's own work".into(),
        permissions: Permissions::ADMIN,
        grants: Vec::new(),
        default_database: None,
        created: Micros(0),
        expires: None,
        last_used: None,
        enabled: true,
    };
    Identity { scope: scope.clone(), token: Arc::new(token), access: inner.access(scope.catalog()) }
}
