//! `RUN JOB`, `ALTER JOB`. What a job does is not known here: the node registers who runs it.

use cenote_catalog::{Object, Privilege};

use super::Answer;
use super::maintain::outcome_batch;
use crate::Error;
use crate::session::Inner;

/// Runs a job now and answers what was done, or would be: one row per partition, or per reason.
pub(crate) async fn run(session: &Inner, name: &str, dry_run: bool) -> Result<Answer, Error> {
    session.refuse_in_transaction_block("RUN JOB")?;
    session.check_not_as_of()?;
    session.require(Privilege::Run, Object::Job(name))?;
    let identity = session.identity();
    let engine = session.engine();
    let outcomes = engine.run_job(&identity.scope, name, &identity.token.name, dry_run).await?;
    session.audit_job("run_job", name).await;
    let txn = outcomes.iter().filter_map(|outcome| outcome.txn).max();
    Ok(Answer::batch("RUN JOB", outcome_batch(&outcomes)?).with_txn(txn))
}

/// Holds a job still, or lets it go on.
pub(crate) async fn pause(session: &Inner, name: &str, paused: bool) -> Result<Answer, Error> {
    session.refuse_in_transaction_block("ALTER JOB")?;
    session.require(Privilege::Manage, Object::Job(name))?;
    session.engine().lake().catalog.set_job_paused(&session.identity().scope, name, paused).await?;
    session.audit_job(if paused { "pause_job" } else { "resume_job" }, name).await;
    Ok(Answer::done("ALTER JOB"))
}
