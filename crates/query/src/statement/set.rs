//! `SET`, `RESET`, `USE`, `DISCARD ALL`.

use cenote_vocab::ErrorKind;
use sqlparser::ast::Ident;

use super::Answer;
use crate::Error;
use crate::parse::folded;
use crate::plan::{CATALOG, Resolver};
use crate::session::Inner;

/// Sets one setting, for the session or the transaction.
pub(crate) fn set(session: &Inner, name: &str, value: Option<&str>, local: bool) -> Result<Answer, Error> {
    session.change_settings(name, local, |settings| settings.set(name, value))?;
    Ok(Answer::done("SET"))
}

/// Sets one setting, or all, back to the session's start.
pub(crate) fn reset(session: &Inner, name: Option<&str>) -> Result<Answer, Error> {
    match name {
        Some(name) => {
            session.settings().show(name)?;
            session.change_settings(name, false, |settings| {
                settings.reset(name);
                Ok(())
            })?;
        }
        None => session.change_settings("", false, |settings| {
            settings.reset_all();
            Ok(())
        })?,
    }
    Ok(Answer::done("RESET"))
}

/// The session is as it was at its start.
pub(crate) fn discard_all(session: &Inner) -> Result<Answer, Error> {
    session.refuse_in_transaction_block("DISCARD ALL")?;
    reset(session, None)?;
    session.statements().clear();
    Ok(Answer::done("DISCARD ALL"))
}

/// Bare names mean tables of this schema from now on.
pub(crate) async fn use_schema(session: &Inner, name: &[Ident]) -> Result<Answer, Error> {
    let schema = match name {
        [schema] => schema,
        [catalog, schema] if folded(catalog) == CATALOG => schema,
        [catalog, ..] => {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("catalog \"{}\" does not exist", folded(catalog)),
            )
            .with_sqlstate("3D000"));
        }
        [] => return Err(Error::new(ErrorKind::Invalid, "a name is missing")),
    };
    let snapshot = session.snapshot(false, |_| Ok(Vec::new())).await?;
    let resolver = Resolver { names: &snapshot.names, identity: session.identity(), search_path: &[] };
    let Some(found) = resolver.schema(schema)?.map(str::to_owned) else {
        return Err(Error::new(ErrorKind::NotFound, format!("schema \"{}\" does not exist", folded(schema)))
            .with_sqlstate("3F000"));
    };
    set(session, "search_path", Some(&format!("\"{found}\"")), false)
}
