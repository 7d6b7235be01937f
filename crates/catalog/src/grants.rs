//! Keeps what is granted in memory, as the database has it.

use std::sync::Arc;

use cenote_vocab::{CatalogId, Scope};

use crate::access::{Access, AccessBook};
use crate::inner::Inner;
use crate::sql::grant;
use crate::{Commit, Error, ObjectChange};

/// What is granted in a tenant, read again if it may be old.
pub(crate) async fn fresh(inner: &Inner, catalog: CatalogId) -> Result<Arc<Access>, Error> {
    let access = inner.access(catalog);
    if !access.is_fresh(inner.clock.now()) {
        let _only = access.reading.lock().await;
        if !access.is_fresh(inner.clock.now()) {
            access.put(read(inner, catalog).await?, inner.clock.now());
        }
    }
    Ok(access)
}

/// Reads it again: something that decides was changed. What cannot be read now is read when somebody asks next.
pub(crate) async fn refresh(inner: &Inner, catalog: CatalogId) {
    let access = inner.access(catalog);
    let _only = access.reading.lock().await;
    match read(inner, catalog).await {
        Ok(book) => access.put(book, inner.clock.now()),
        Err(error) => {
            tracing::debug!(%error, "grants were not read again");
            access.doubt();
        }
    }
}

async fn read(inner: &Inner, catalog: CatalogId) -> Result<AccessBook, Error> {
    let mut transaction = inner.database.read().await?;
    let book = grant::book(&mut transaction, catalog).await?;
    transaction.rollback().await?;
    Ok(book)
}

/// The book of a tenant as the database has it now.
pub(crate) async fn book(inner: &Inner, scope: &Scope) -> Result<Arc<AccessBook>, Error> {
    refresh(inner, scope.catalog()).await;
    Ok(fresh(inner, scope.catalog()).await?.book())
}

/// True if a commit changes who may do what: a grant, or which object has a name.
pub(crate) fn concerns(commit: &Commit) -> bool {
    commit.objects.iter().any(|change| match change {
        ObjectChange::CreateTable(new) => new.or_replace,
        ObjectChange::Expect(_)
        | ObjectChange::CreateSchema { .. }
        | ObjectChange::SetSchemaOptions { .. }
        | ObjectChange::Flow(_)
        | ObjectChange::Tenant(_) => false,
        ObjectChange::DropSchema { .. }
        | ObjectChange::DropTable { .. }
        | ObjectChange::UndropTable { .. }
        | ObjectChange::RenameTable { .. }
        | ObjectChange::Access(_) => true,
    })
}
