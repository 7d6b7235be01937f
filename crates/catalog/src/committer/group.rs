//! One group of commits: tried, tried again, or tried one by one.

use std::sync::Arc;
use std::time::Duration;

use cenote_vocab::{Epoch, Fence, Scope, Txn};

use super::load::{Remembered, load};
use super::step::{Outcome, apply};
use super::store::store;
use super::world::{HeadRow, World};
use super::writes::{TxnRow, Writes};
use super::{Ask, Committed};
use crate::inner::Inner;
use crate::ledger::Standing;
use crate::sql::{Failure, Transaction, head, lease, producer};
use crate::{Commit, Error, Facts, ObjectChange, TenantState, grants, reruns, tenant};

/// How often a transaction that met another one is run again.
const BUSY_RETRIES_MAX: u32 = 20;
/// How often a transaction is run again when no connection can be had.
const GONE_RETRIES_MAX: u32 = 3;
/// For how long the outcome of a COMMIT that broke is looked for.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(60);
/// Between two prunings of the ledger's log.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);
/// Epochs younger than this stay in the ledger's log.
const EPOCHS_KEEP: Duration = Duration::from_secs(24 * 3600);

/// The answer to one [`Ask`].
enum Answer {
    Committed(Result<Committed, Error>),
    Claimed(Fence, Epoch),
}

/// The committer of one catalog.
pub(super) struct Group {
    inner: Arc<Inner>,
    scope: Scope,
    remembered: Remembered,
    generation: u64,
    wrote_since_prune: std::collections::BTreeSet<String>,
    pruned: cenote_vocab::Micros,
}

impl Group {
    pub(super) fn new(inner: Arc<Inner>, scope: Scope) -> Self {
        let pruned = inner.clock.now();
        Self {
            inner,
            scope,
            remembered: Remembered::default(),
            generation: 0,
            wrote_since_prune: Default::default(),
            pruned,
        }
    }

    /// Commits and answers.
    pub(super) async fn commit(&mut self, asks: Vec<Ask>) {
        let started = std::time::Instant::now();
        let answers = self.answer(&asks).await;
        // Before anybody is told, and though whoever asked may have gone.
        let concerns = |ask: &Ask| matches!(ask, Ask::Commit(commit, _) if grants::concerns(commit));
        if asks.iter().any(concerns) {
            grants::refresh(&self.inner, self.scope.catalog()).await;
        }
        let tenants: Vec<uuid::Uuid> = asks.iter().flat_map(changed_tenants).collect();
        if !tenants.is_empty() {
            tenant::changed(&self.inner, &tenants).await;
        }
        for (ask, answer) in asks.into_iter().zip(answers) {
            self.inner.metrics.observe(started.elapsed(), &answer_outcome(&answer));
            // Whoever asked may have gone; what was committed stays.
            match (ask, answer) {
                (Ask::Commit(_, waiting), Answer::Committed(result)) => drop(waiting.send(result)),
                (Ask::Claim(_, waiting), Answer::Claimed(fence, epoch)) => {
                    drop(waiting.send(Ok((fence, epoch))))
                }
                (Ask::Claim(_, waiting), Answer::Committed(Err(error))) => drop(waiting.send(Err(error))),
                // An answer of the other kind is never made; whoever waited would see a stopped committer.
                (Ask::Claim(..), Answer::Committed(Ok(_))) | (Ask::Commit(..), Answer::Claimed(..)) => {}
            }
        }
        self.prune().await;
    }

    async fn answer(&mut self, asks: &[Ask]) -> Vec<Answer> {
        match self.attempt(asks).await {
            Ok(answers) => answers,
            Err(
                error @ (Error::Fenced { .. }
                | Error::Full
                | Error::Unavailable(_)
                | Error::OutcomeUnknown(_)),
            ) => asks.iter().map(|_| Answer::Committed(Err(repeat(&error)))).collect(),
            Err(error) if asks.len() == 1 => vec![Answer::Committed(Err(error))],
            Err(_) => {
                // One of them met something that the group does not know: the others must not suffer.
                let mut answers = Vec::with_capacity(asks.len());
                for ask in asks {
                    self.remembered.forget();
                    match self.attempt(std::slice::from_ref(ask)).await {
                        Ok(mut answer) => answers.append(&mut answer),
                        Err(error) => answers.push(Answer::Committed(Err(error))),
                    }
                }
                answers
            }
        }
    }

    /// Runs the group's transaction until its outcome is known.
    async fn attempt(&mut self, asks: &[Ask]) -> Result<Vec<Answer>, Error> {
        let (mut tries, mut unknown_since) = (0, None::<std::time::Instant>);
        loop {
            let failure = match self.run(asks).await {
                Ok(answers) => return Ok(answers),
                Err(failure) => failure,
            };
            self.remembered.forget();
            tries += 1;
            let unknown = matches!(failure, Failure::Unknown(_));
            if unknown {
                // Maybe it was committed: offered again, each commit finds itself by its id, under the lock.
                unknown_since.get_or_insert_with(std::time::Instant::now);
            }
            let patient = unknown_since.is_some_and(|since| since.elapsed() < UNKNOWN_PATIENCE);
            let again = match &failure {
                Failure::Unknown(_) => patient,
                Failure::Gone(_) => patient || (unknown_since.is_none() && tries <= GONE_RETRIES_MAX),
                Failure::Busy(_) => patient || tries <= BUSY_RETRIES_MAX,
                Failure::Inconsistent(reason) => {
                    tracing::warn!(reason, "catalog rows were not as remembered; reading them again");
                    tries == 1
                }
                Failure::Final(_) => false,
            };
            if !again {
                let error = Error::from(failure);
                return Err(match unknown_since {
                    Some(_) => Error::OutcomeUnknown(error.to_string()),
                    None => error,
                });
            }
            tokio::time::sleep(reruns::pause(&self.inner.ids, tries)).await;
        }
    }

    async fn run(&mut self, asks: &[Ask]) -> Result<Vec<Answer>, Failure> {
        let catalog = self.scope.catalog();
        let generation = self.inner.generation(catalog);
        if self.generation != generation {
            self.generation = generation;
            self.remembered.forget();
        }
        let mut transaction = self.inner.database.write().await?;
        fail::fail_point!("commit.lock", |_| Err(Failure::Gone("crash point commit.lock".into())));
        let before = head::lock(&mut transaction, catalog).await?;
        self.inner.check_locked_head(catalog, before.txn)?;
        self.inner.saw_head(catalog, &before);
        check_fence(&self.inner, &mut transaction, asks).await?;
        let commits: Vec<&Commit> = asks
            .iter()
            .filter_map(|ask| match ask {
                Ask::Commit(commit, _) => Some(commit.as_ref()),
                Ask::Claim(..) => None,
            })
            .collect();
        let claims: Vec<&str> = asks
            .iter()
            .filter_map(|ask| match ask {
                Ask::Claim(name, _) => Some(name.as_str()),
                Ask::Commit(..) => None,
            })
            .collect();
        let mut world =
            load(&mut transaction, catalog, before, &mut self.remembered, &commits, &claims).await?;
        let last_txns: Vec<_> =
            world.tables.iter().map(|(table, work)| (*table, work.state.last_txn)).collect();
        fail::fail_point!("commit.check", |_| Err(Failure::Gone("crash point commit.check".into())));
        let mut writes = Writes::default();
        let mut answers = Vec::with_capacity(asks.len());
        for ask in asks {
            answers.push(match ask {
                // What its people sent before they were turned away. What the node does for them it ends itself.
                Ask::Commit(commit, _)
                    if before.state == TenantState::Suspended && commit.facts.caller.came_in() =>
                {
                    let tenant = self.scope.tenant().to_owned();
                    Answer::Committed(Err(Error::TenantSuspended(tenant)))
                }
                Ask::Commit(commit, _) => Answer::Committed(self.apply(&mut world, &mut writes, commit)),
                Ask::Claim(name, _) => self.claim(&mut world, &mut writes, name),
            });
        }
        if world.head.txn == before.txn {
            transaction.rollback().await?;
            self.remembered.keep(world);
            return Ok(answers);
        }
        fail::fail_point!("commit.write", |_| Err(Failure::Gone("crash point commit.write".into())));
        store(&mut transaction, catalog, &world, &writes).await?;
        fail::fail_point!("commit.commit", |_| Err(Failure::Gone("crash point commit.commit".into())));
        self.inner.metrics.note_group(asks.len(), transaction.statements());
        transaction.commit().await?;
        fail::fail_point!("commit.answer", |_| Err(Failure::Unknown("crash point commit.answer".into())));
        self.wrote_since_prune.extend(world.touched_producers.iter().cloned());
        self.inner.publish(catalog, &world, &writes, &last_txns);
        self.remembered.keep(world);
        Ok(answers)
    }

    fn apply(&self, world: &mut World, writes: &mut Writes, commit: &Commit) -> Result<Committed, Error> {
        match apply(world, commit, self.inner.clock.now())? {
            Outcome::Nothing(committed) => Ok(committed),
            Outcome::Applied(after, rows, committed) => {
                *world = *after;
                writes.absorb(*rows);
                Ok(committed)
            }
        }
    }

    /// Raises the fence of a producer name: earlier holders are outdated from here on.
    fn claim(&self, world: &mut World, writes: &mut Writes, name: &str) -> Answer {
        let standing = world.standing(name);
        let claimed = Standing { fence: Fence(standing.fence.0 + 1), ..standing };
        let answer = Answer::Claimed(claimed.fence, claimed.epoch);
        world.producers.insert(name.to_owned(), claimed);
        world.touched_producers.insert(name.to_owned());
        let facts =
            Facts { operation: "claim_producer".into(), message: Some(name.to_owned()), ..Facts::default() };
        let row = next_txn(&mut world.head, &self.inner, facts);
        writes.txns.push(row);
        answer
    }

    /// Now and then, removes old epochs from the ledger's log.
    async fn prune(&mut self) {
        let now = self.inner.clock.now();
        if now.since(self.pruned) < PRUNE_INTERVAL || self.wrote_since_prune.is_empty() {
            return;
        }
        self.pruned = now;
        let producers = std::mem::take(&mut self.wrote_since_prune);
        let pruned = async {
            let catalog = self.scope.catalog();
            let old = crate::sql::history::at(&self.inner.database, catalog, now.minus(EPOCHS_KEEP)).await?.0;
            let Some(old) = old else { return Ok::<_, Failure>(()) };
            let mut transaction = self.inner.database.write().await?;
            head::lock(&mut transaction, catalog).await?;
            for name in &producers {
                producer::prune(&mut transaction, catalog, name, old).await?;
            }
            transaction.commit().await
        };
        if let Err(failure) = pruned.await {
            tracing::warn!(error = %Error::from(failure), "old epochs stay in the ledger for now");
        }
    }
}

/// Tenants that a commit changes, or makes.
fn changed_tenants(ask: &Ask) -> impl Iterator<Item = uuid::Uuid> {
    let objects = match ask {
        Ask::Commit(commit, _) => commit.objects.as_slice(),
        Ask::Claim(..) => &[],
    };
    objects.iter().filter_map(|change| match change {
        ObjectChange::Tenant(change) => Some(change.tenant()),
        _ => None,
    })
}

/// The next number, and its row of the history.
pub(crate) fn next_txn(head: &mut HeadRow, inner: &Inner, facts: Facts) -> TxnRow {
    head.txn = Txn(head.txn.0 + 1);
    head.committed = inner.clock.now().max(cenote_vocab::Micros(head.committed.0 + 1));
    TxnRow { txn: head.txn, committed: head.committed, commit_id: inner.ids.uuid(), facts }
}

/// `Fenced` if this process lost the lease `active`. Claims alone need no lease.
async fn check_fence(inner: &Inner, transaction: &mut Transaction, asks: &[Ask]) -> Result<(), Failure> {
    if asks.iter().all(|ask| matches!(ask, Ask::Claim(..))) {
        return Ok(());
    }
    check_active(inner, transaction).await
}

/// `Fenced` if this process lost the lease `active`, or gave it back. One that never took it needs none.
pub(crate) async fn check_active(inner: &Inner, transaction: &mut Transaction) -> Result<(), Failure> {
    let Some(fence) = inner.active_fence()? else { return Ok(()) };
    if lease::holds(transaction, crate::lease::ACTIVE, &inner.holder, fence).await? {
        return Ok(());
    }
    inner.lose_active();
    Err(Error::Fenced { name: "lease active".into() }.into())
}

fn answer_outcome(answer: &Answer) -> Result<(), &Error> {
    match answer {
        Answer::Committed(Err(error)) => Err(error),
        _ => Ok(()),
    }
}

/// The same failure once more, for another commit of the group.
fn repeat(error: &Error) -> Error {
    match error {
        Error::Fenced { name } => Error::Fenced { name: name.clone() },
        Error::Full => Error::Full,
        Error::Unavailable(reason) => Error::Unavailable(reason.clone()),
        Error::OutcomeUnknown(reason) => Error::OutcomeUnknown(reason.clone()),
        other => Error::Internal(other.to_string()),
    }
}
