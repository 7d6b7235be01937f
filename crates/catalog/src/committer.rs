//! Group commit: one task per catalog takes what is queued and makes it one database transaction.
//!
//! ```text
//! lock head ─► fence of `active` ─► load set-wise ─► apply each commit to the world in memory ─► write set-wise ─► COMMIT ─► answer
//! ```
//! Invariants: the head row is locked first, so every read below it sees all earlier commits; a commit that fails writes
//! nothing and uses no number; nothing is answered before the group is durable.

mod arrive;
mod audited;
mod columns;
mod events;
mod group;
mod load;
mod new_file;
mod objects;
mod reads;
mod rows;
mod settle;
mod step;
mod store;
mod world;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use cenote_vocab::{Epoch, Fence, Scope};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) use events::{event_of, run_cancelled, run_finished, task_finished};
pub(crate) use group::{check_active, next_txn};
pub(crate) use new_file::hash_128;
pub(crate) use objects::object_id;
pub(crate) use world::{HeadRow, KnownFile, LevelCount, Partition, TableState, VectorVersion, World};
pub(crate) use writes::{
    EventRow, FieldRow, FileRow, Payload, SchemaRow, TableRow, Tally, TxnRow, VectorRow, Writes,
};

use crate::inner::Inner;
use crate::{Commit, Committed, Error};
use group::Group;

/// Commits in one database transaction.
const GROUP_MAX: usize = 64;
/// How long a group waits for company after a group before it.
const LINGER: Duration = Duration::from_millis(1);
/// Commits that wait for their turn.
const QUEUE_MAX: usize = 4_096;
/// How long a commit waits for a place in the queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// Something to be done under the head lock, and who waits for it.
pub(crate) enum Ask {
    /// A commit.
    Commit(Box<Commit>, oneshot::Sender<Result<Committed, Error>>),
    /// A claim of a producer name.
    Claim(String, oneshot::Sender<Result<(Fence, Epoch), Error>>),
}

/// The queue of one catalog's committer.
#[derive(Clone)]
pub(crate) struct Committer {
    queue: mpsc::Sender<Ask>,
}

impl Committer {
    /// Starts the task; it ends with the node, after what is queued.
    pub(crate) fn start(inner: &Arc<Inner>, scope: &Scope) -> Self {
        let (queue, asks) = mpsc::channel(QUEUE_MAX);
        let group = Group::new(inner.clone(), scope.clone());
        inner.tasks.spawn(run(group, asks, inner.stop.clone()));
        Self { queue }
    }

    /// Applies a commit.
    pub(crate) async fn apply(&self, commit: Commit) -> Result<Committed, Error> {
        let (answer, answered) = oneshot::channel();
        self.ask(Ask::Commit(Box::new(commit), answer)).await?;
        answered.await.map_err(|_| stopped())?
    }

    /// Claims a producer name.
    pub(crate) async fn claim(&self, name: &str) -> Result<(Fence, Epoch), Error> {
        step::check_producer_name(name)?;
        let (answer, answered) = oneshot::channel();
        self.ask(Ask::Claim(name.to_owned(), answer)).await?;
        answered.await.map_err(|_| stopped())?
    }

    async fn ask(&self, ask: Ask) -> Result<(), Error> {
        self.queue.send_timeout(ask, QUEUE_TIMEOUT).await.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => {
                Error::Limit(format!("commit queue is full: {QUEUE_MAX} commits wait"))
            }
            mpsc::error::SendTimeoutError::Closed(_) => stopped(),
        })
    }
}

fn stopped() -> Error {
    Error::Unavailable("the catalog has stopped".into())
}

async fn run(mut group: Group, mut asks: mpsc::Receiver<Ask>, stop: CancellationToken) {
    let mut after_group = false;
    loop {
        let mut batch = Vec::with_capacity(GROUP_MAX);
        tokio::select! {
            biased;
            () = stop.cancelled(), if !asks.is_closed() => {
                asks.close(); // what is queued is still done
                continue;
            }
            count = asks.recv_many(&mut batch, GROUP_MAX) => {
                if count == 0 {
                    return;
                }
            }
        }
        if after_group && batch.len() < GROUP_MAX {
            linger(&mut asks, &mut batch).await;
        }
        after_group = batch.len() > 1;
        group.commit(batch).await;
    }
}

/// Waits a moment for commits of those who were just answered.
async fn linger(asks: &mut mpsc::Receiver<Ask>, batch: &mut Vec<Ask>) {
    let more = async {
        while batch.len() < GROUP_MAX {
            let room = GROUP_MAX - batch.len();
            if asks.recv_many(batch, room).await == 0 {
                return;
            }
        }
    };
    // Either the group is full or the moment is over: both are fine.
    drop(timeout(LINGER, more).await);
}
