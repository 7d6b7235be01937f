//! Failures of what runs by itself.

use cenote_catalog::Privilege;
use cenote_vocab::{ErrorKind, Fault, SqlState};

/// A failure of a job, or of asking for one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The job's last run is still open.
    #[error("job {job} is running")]
    Running {
        /// The job.
        job: &'static str,
    },
    /// The job is switched off by the configuration.
    #[error("job {job} is switched off by {key}")]
    SwitchedOff {
        /// The job.
        job: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A schedule that cannot be understood.
    #[error("schedule {text:?}: {reason}")]
    Schedule {
        /// The cron text, or the time zone.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no such plan.
    #[error("{0}")]
    Plan(String),
    /// Who asks may not run something of the plan.
    #[error("permission denied: {privilege} required on {object}")]
    Denied {
        /// What it takes.
        privilege: Privilege,
        /// The asset, or what can be said of it.
        object: String,
    },
    /// Another run was asked for by this key.
    #[error("run key {key:?} is taken by run {run}: what was asked then is {known}, now it is {asked}")]
    RunKey {
        /// The key.
        key: String,
        /// That run.
        run: uuid::Uuid,
        /// The hash of what was asked then.
        known: String,
        /// The hash of what is asked now.
        asked: String,
    },
    /// A run that is not run again as it is asked for.
    #[error(
        "run {run} is {state}: only one that did not succeed is run again, or named tasks of one that has ended"
    )]
    NotRerun {
        /// The run.
        run: uuid::Uuid,
        /// How it is.
        state: String,
    },
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] cenote_catalog::Error),
    /// The work failed.
    #[error(transparent)]
    Table(#[from] cenote_table::Error),
    /// A task ended; our bug.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// True if the work was ended early: nothing is wrong with it.
    pub(crate) fn is_stop(&self) -> bool {
        matches!(self, Self::Table(cenote_table::Error::Stopped))
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Running { .. } | Self::NotRerun { .. } | Self::RunKey { .. } => ErrorKind::Conflict,
            Self::SwitchedOff { .. } | Self::Schedule { .. } | Self::Plan(_) => ErrorKind::Invalid,
            Self::Denied { .. } => ErrorKind::Denied,
            Self::Catalog(error) => error.kind(),
            Self::Table(error) => error.kind(),
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Running { .. } | Self::SwitchedOff { .. } | Self::NotRerun { .. } => SqlState("55000"),
            Self::Schedule { .. } | Self::Plan(_) => SqlState("22023"),
            Self::RunKey { .. } => SqlState("23505"),
            Self::Catalog(error) => error.sqlstate(),
            Self::Table(error) => error.sqlstate(),
            Self::Denied { .. } | Self::Internal(_) => self.kind().sqlstate(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Catalog(error) => error.hint(),
            Self::Table(error) => error.hint(),
            _ => None,
        }
    }
}
