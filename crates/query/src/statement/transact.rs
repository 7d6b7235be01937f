//! `BEGIN`, `COMMIT`, `ROLLBACK`, and what a transaction is like.

use super::Answer;
use crate::Error;
use crate::parse::Characteristics;
use crate::session::Inner;
use cenote_vocab::ErrorKind;

/// Opens a transaction.
pub(crate) fn begin(session: &Inner, characteristics: Characteristics) -> Result<Answer, Error> {
    let was_open = session.begin(characteristics);
    let answer = Answer::done("BEGIN");
    Ok(if was_open {
        answer.with_notice("WARNING: there is already a transaction in progress")
    } else {
        answer
    })
}

/// Makes what was staged visible, all of it; a failed transaction is rolled back.
pub(crate) async fn commit(session: &Inner) -> Result<Answer, Error> {
    let Some(transaction) = session.take_transaction() else {
        return Ok(Answer::done("COMMIT").with_notice("WARNING: there is no transaction in progress"));
    };
    if transaction.failed {
        session.roll_back(transaction).await;
        return Ok(Answer::done("ROLLBACK"));
    }
    let txn = session.commit(transaction).await?;
    Ok(Answer::done("COMMIT").with_txn(txn))
}

/// Forgets what was staged.
pub(crate) async fn rollback(session: &Inner) -> Result<Answer, Error> {
    let Some(transaction) = session.take_transaction() else {
        return Ok(Answer::done("ROLLBACK").with_notice("WARNING: there is no transaction in progress"));
    };
    session.roll_back(transaction).await;
    Ok(Answer::done("ROLLBACK"))
}

/// `SET TRANSACTION …`: of the open transaction, before its first statement.
pub(crate) fn set_transaction(session: &Inner, characteristics: Characteristics) -> Result<Answer, Error> {
    if session.characterise(characteristics)? {
        Ok(Answer::done("SET"))
    } else {
        Ok(Answer::done("SET").with_notice("WARNING: SET TRANSACTION can only be used in transaction blocks"))
    }
}

/// `SET SESSION CHARACTERISTICS AS TRANSACTION …`: of those that follow.
pub(crate) fn set_characteristics(
    session: &Inner,
    characteristics: Characteristics,
) -> Result<Answer, Error> {
    if let Some(read_only) = characteristics.read_only {
        let value = if read_only { "on" } else { "off" };
        session.change_settings("default_transaction_read_only", false, |settings| {
            settings.set("default_transaction_read_only", Some(value))
        })?;
    }
    if let Some(repeatable) = characteristics.repeatable_read {
        let value = if repeatable { "repeatable read" } else { "read committed" };
        session.change_settings("default_transaction_isolation", false, |settings| {
            settings.set("default_transaction_isolation", Some(value))
        })?;
    }
    Ok(Answer::done("SET"))
}

/// The error of a statement in a failed transaction.
pub(crate) fn failed() -> Error {
    Error::new(
        ErrorKind::Invalid,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
    .with_sqlstate("25P02")
}
