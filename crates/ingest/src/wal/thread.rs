//! The one thread that writes the log: groups what is queued, syncs, publishes, answers.

use std::time::{Duration, Instant};

use cenote_vocab::Lsn;
use tokio::sync::oneshot;

use super::group::Groups;
use super::log::{Append, Command, Health, Publish, Refused, Shared};
use crate::metrics::LogMetrics;

/// Bytes of one group; a single record may be larger.
const GROUP_BYTES_MAX: u64 = 16 << 20;
/// After this long without a record the log says on disk that all before is durable.
const MARK_AFTER: Duration = Duration::from_secs(1);

enum Work<T> {
    Group(Vec<Append<T>>),
    One(Command<T>),
    Idle,
    End,
}

/// The thread of one log.
pub(super) struct Thread<'a, T> {
    shared: &'a Shared<T>,
    groups: Groups,
    publish: Publish<T>,
    metrics: LogMetrics,
}

impl<T> Drop for Thread<'_, T> {
    /// However the thread ends, nobody waits for it any more.
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.closing = true;
        let left = std::mem::take(&mut queue.commands);
        drop(queue);
        let mut health = self.shared.status.health.lock();
        if !matches!(*health, Health::Closed(_)) {
            *health = Health::Closed("stopped".to_owned());
        }
        drop(health);
        for command in left {
            self.refuse(command, "stopped");
        }
    }
}

impl<'a, T> Thread<'a, T> {
    pub(super) fn new(
        shared: &'a Shared<T>,
        groups: Groups,
        publish: Publish<T>,
        metrics: LogMetrics,
    ) -> Self {
        Self { shared, groups, publish, metrics }
    }

    /// Does what is queued until the log is closed and nothing is left.
    pub(super) fn run(mut self) {
        let mut marked = true;
        loop {
            match self.take(marked) {
                Work::Group(group) => {
                    self.commit(group);
                    marked = false;
                    self.groups.allocate_ahead();
                }
                Work::One(Command::Append(append)) => self.commit(vec![append]),
                Work::One(Command::Barrier(done)) => answer(done, ()),
                Work::One(Command::Rotate(done)) => {
                    if let Err(error) = self.groups.rotate(0, &self.shared.status) {
                        self.fail(&error);
                    }
                    answer(done, ());
                }
                Work::One(Command::Probe) => self.probe(),
                Work::Idle => {
                    self.mark();
                    marked = true;
                }
                Work::End => {
                    if !marked {
                        self.mark();
                    }
                    return;
                }
            }
        }
    }

    fn take(&self, marked: bool) -> Work<T> {
        let mut queue = self.shared.queue.lock();
        while queue.commands.is_empty() {
            if queue.closing {
                return Work::End;
            }
            if marked {
                self.shared.filled.wait(&mut queue);
            } else if self.shared.filled.wait_for(&mut queue, MARK_AFTER).timed_out()
                && queue.commands.is_empty()
            {
                return Work::Idle;
            }
        }
        let (mut group, mut bytes) = (Vec::new(), 0);
        while let Some(command) = queue.commands.pop_front() {
            match command {
                Command::Append(append)
                    if group.is_empty() || bytes + append.draft.len() <= GROUP_BYTES_MAX =>
                {
                    bytes += append.draft.len();
                    group.push(append);
                }
                other if group.is_empty() => return Work::One(other),
                other => {
                    queue.commands.push_front(other);
                    break;
                }
            }
        }
        Work::Group(group)
    }

    fn commit(&mut self, mut group: Vec<Append<T>>) {
        let health = self.shared.status.health.lock().clone();
        if let Health::Closed(reason) = health {
            return group.into_iter().for_each(|append| self.refuse(Command::Append(append), &reason));
        }
        let started = Instant::now();
        let drafts = group.iter_mut().map(|append| (&mut append.draft, append.shapes.as_slice()));
        let (first, bytes) = match self.groups.write(drafts, &self.shared.status) {
            Ok(written) => written,
            Err(error) if is_full(&error) && !self.groups.is_dirty() => {
                *self.shared.status.health.lock() = Health::DiskFull;
                tracing::warn!("no room for the next segment of the write-ahead log");
                for append in group {
                    answer(append.done, Err(Refused::DiskFull));
                }
                return;
            }
            Err(error) => {
                self.fail(&error);
                let reason = error.to_string();
                return group.into_iter().for_each(|append| self.refuse(Command::Append(append), &reason));
            }
        };
        self.metrics.synced(started.elapsed(), bytes, group.len());
        let (mut rows, mut waiting) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
        for (index, append) in group.into_iter().enumerate() {
            let lsn = Lsn(first.0 + index as u64);
            rows.push((lsn, append.rows));
            waiting.push((lsn, append.done));
        }
        (self.publish)(rows);
        for (lsn, done) in waiting {
            answer(done, Ok(lsn));
        }
    }

    fn mark(&mut self) {
        let closed = matches!(*self.shared.status.health.lock(), Health::Closed(_));
        if !closed && let Err(error) = self.groups.mark(&self.shared.status) {
            self.fail(&error);
        }
    }

    fn probe(&mut self) {
        let full = *self.shared.status.health.lock() == Health::DiskFull;
        if full && self.groups.allocate_ahead() {
            *self.shared.status.health.lock() = Health::Open;
            tracing::info!("the write-ahead log has room again");
        }
    }

    fn fail(&self, error: &std::io::Error) {
        tracing::error!(%error, "the write-ahead log is closed: a write or sync failed");
        *self.shared.status.health.lock() = Health::Closed(error.to_string());
        self.metrics.closed();
    }

    fn refuse(&self, command: Command<T>, reason: &str) {
        match command {
            Command::Append(append) => answer(append.done, Err(Refused::Closed(reason.to_owned()))),
            Command::Barrier(done) | Command::Rotate(done) => answer(done, ()),
            Command::Probe => {}
        }
    }
}

/// The waiter may be gone; then nobody needs the answer.
fn answer<A>(done: oneshot::Sender<A>, answer: A) {
    drop(done.send(answer).err());
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}
