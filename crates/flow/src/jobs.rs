//! The jobs that are there from the first start.

mod compact;
mod retention;
mod scheduled;
mod tidy;

use std::time::Duration;

/// A built-in job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BuiltIn {
    /// Merges small files, and files with many deleted rows.
    Compact,
    /// Forgets versions past `history_keep` and dropped tables, then their files.
    Expire,
    /// Deletes objects that no row names.
    Orphans,
    /// Retires files whose rows are all older than `retention`.
    Retention,
}

impl BuiltIn {
    /// All of them, by name.
    pub const ALL: [Self; 4] = [Self::Compact, Self::Expire, Self::Orphans, Self::Retention];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Expire => "expire",
            Self::Orphans => "orphans",
            Self::Retention => "retention",
        }
    }

    /// The job of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job| job.name() == name)
    }

    /// How often it looks for work; `None`: whenever something is committed.
    pub(crate) fn every(self) -> Option<Duration> {
        match self {
            Self::Compact => None,
            Self::Expire | Self::Retention => Some(Duration::from_secs(600)),
            Self::Orphans => Some(Duration::from_secs(86_400)),
        }
    }
}
