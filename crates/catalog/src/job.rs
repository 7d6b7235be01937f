//! Jobs: what runs by itself, and when next. Their runs are [`Run`](crate::Run)s.

use cenote_vocab::{Micros, Scope};
use uuid::Uuid;

use crate::committer::check_active;
use crate::inner::Inner;
use crate::sql::job;
use crate::{Error, Explained, RunRecord};

/// A job as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// For ever.
    pub id: Uuid,
    /// `compact`, …
    pub name: String,
    /// True while nothing starts by itself.
    pub paused: bool,
    /// Failures since the last success.
    pub failures: i32,
    /// When it looks for work next; `None`: when something changed.
    pub next: Option<Micros>,
    /// When it looked for work last.
    pub checked: Option<Micros>,
    /// Grows with every change by a person.
    pub version: i64,
}

/// Why a job runs or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobExplanation {
    /// The job.
    pub job: Job,
    /// `running`, `due`, `waiting`, `nothing_due`, `paused`, `off`
    pub state: &'static str,
    /// When it looks for work next, if a time decides that.
    pub due: Option<Micros>,
    /// Its open runs, newest first.
    pub open: Vec<RunRecord>,
    /// The newest run that ended.
    pub last: Option<RunRecord>,
    /// All of it as rows.
    pub steps: Vec<Explained>,
}

/// Makes the built-in jobs that are not there yet.
pub(crate) async fn create_built_in(inner: &Inner, scope: &Scope, names: &[&str]) -> Result<(), Error> {
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    let known = job::list(&mut transaction, scope.catalog()).await?;
    for name in names.iter().filter(|name| known.iter().all(|job| job.name != **name)) {
        job::create(&mut transaction, scope.catalog(), inner.ids.uuid(), name).await?;
    }
    Ok(transaction.commit().await?)
}

/// All jobs by name.
pub(crate) async fn list(inner: &Inner, scope: &Scope) -> Result<Vec<Job>, Error> {
    let mut transaction = inner.database.read().await?;
    let jobs = job::list(&mut transaction, scope.catalog()).await?;
    transaction.rollback().await?;
    Ok(jobs)
}

/// Holds a job still, or lets it go on; answers it as it is then.
pub(crate) async fn set_paused(inner: &Inner, scope: &Scope, name: &str, paused: bool) -> Result<Job, Error> {
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    job::set_paused(&mut transaction, scope.catalog(), name, paused).await?;
    let jobs = job::list(&mut transaction, scope.catalog()).await?;
    let job = find(jobs, name)?;
    transaction.commit().await?;
    inner.memory(scope.catalog()).ring();
    Ok(job)
}

/// Notes that a job looked for work: when, when it will again, and how often it failed since the last success.
pub(crate) async fn note_checked(
    inner: &Inner,
    scope: &Scope,
    id: Uuid,
    at: Micros,
    next: Option<Micros>,
    failures: i32,
) -> Result<(), Error> {
    let mut transaction = inner.database.write().await?;
    check_active(inner, &mut transaction).await?;
    job::note_checked(&mut transaction, scope.catalog(), id, at, next, failures).await?;
    Ok(transaction.commit().await?)
}

/// The job of this name; the error carries the nearest one.
pub(crate) fn find(jobs: Vec<Job>, name: &str) -> Result<Job, Error> {
    let nearest = cenote_vocab::nearest(name, jobs.iter().map(|job| job.name.as_str())).map(str::to_owned);
    let not_found = || Error::JobNotFound { name: name.to_owned(), nearest };
    jobs.into_iter().find(|job| job.name == name).ok_or_else(not_found)
}
