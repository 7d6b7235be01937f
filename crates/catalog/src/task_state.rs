//! The states of a task, and the only ways between them: one table for code and tests.

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskState {
    /// Tasks before it are not done.
    Blocked,
    /// It may begin.
    Ready,
    /// It failed and is tried again later.
    Waiting,
    /// An attempt works on it.
    Running,
    /// Its output is published.
    Succeeded,
    /// It is not tried again.
    Failed,
    /// A task before it did not succeed.
    Skipped,
    /// Somebody ended it.
    Cancelled,
}

use TaskState::{Blocked, Cancelled, Failed, Ready, Running, Skipped, Succeeded, Waiting};

/// All legal changes.
pub const TASK_TRANSITIONS: [(TaskState, TaskState); 12] = [
    (Blocked, Ready),
    (Blocked, Skipped),
    (Blocked, Cancelled),
    (Ready, Running),
    (Ready, Cancelled),
    (Waiting, Ready),
    (Waiting, Cancelled),
    (Running, Succeeded),
    (Running, Failed),
    (Running, Waiting),
    (Running, Ready),
    (Running, Cancelled),
];

impl TaskState {
    /// All of them.
    pub const ALL: [Self; 8] = [Blocked, Ready, Waiting, Running, Succeeded, Failed, Skipped, Cancelled];

    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Blocked => "BLOCKED",
            Ready => "READY",
            Waiting => "WAITING",
            Running => "RUNNING",
            Succeeded => "SUCCEEDED",
            Failed => "FAILED",
            Skipped => "SKIPPED",
            Cancelled => "CANCELLED",
        }
    }

    /// The state of a stored name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// True if nothing follows.
    pub fn is_terminal(self) -> bool {
        TASK_TRANSITIONS.iter().all(|(from, _)| *from != self)
    }

    /// True if a task may go from here to there.
    pub fn may_become(self, to: Self) -> bool {
        TASK_TRANSITIONS.contains(&(self, to))
    }

    /// As SQL: the states from which a task may come here, but not these.
    pub(crate) fn sources(self, but: &[Self]) -> String {
        let from = TASK_TRANSITIONS.iter().filter(|(from, to)| *to == self && !but.contains(from));
        from.map(|(from, _)| format!("'{}'", from.name())).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_ends_and_every_other_state_leads_on() {
        let ends: Vec<_> = TaskState::ALL.into_iter().filter(|state| state.is_terminal()).collect();
        assert_eq!(ends, [Succeeded, Failed, Skipped, Cancelled]);
        for state in TaskState::ALL {
            assert_eq!(TaskState::of(state.name()), Some(state));
            assert!(!state.may_become(state));
        }
        assert_eq!(Succeeded.sources(&[]), "'RUNNING'", "only the attempt itself publishes");
        assert_eq!(Cancelled.sources(&[Running]), "'BLOCKED', 'READY', 'WAITING'");
    }
}
