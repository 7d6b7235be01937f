//! The jobs that are there from the first start.

mod compact;
mod publish;
mod retention;
mod scheduled;
mod tidy;

use std::time::Duration;

pub(crate) use publish::Pace;

/// A built-in job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BuiltIn {
    /// Merges small files, and files with many deleted rows.
    Compact,
    /// Forgets versions past `history_keep` and dropped tables, then their files.
    Expire,
    /// Deletes objects that no row names.
    Orphans,
    /// Writes the catalog's metadata as files.
    Publish,
    /// Retires files whose rows are all older than `retention`.
    Retention,
}

impl BuiltIn {
    /// All of them, by name.
    pub const ALL: [Self; 5] = [Self::Compact, Self::Expire, Self::Orphans, Self::Publish, Self::Retention];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Expire => "expire",
            Self::Orphans => "orphans",
            Self::Publish => "publish",
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
            Self::Compact | Self::Publish => None,
            Self::Expire | Self::Retention => Some(Duration::from_secs(600)),
            Self::Orphans => Some(Duration::from_secs(86_400)),
        }
    }
}
