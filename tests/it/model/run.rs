//! One run of steps, and the search for fewer steps that fail as well.

use cenote_testkit::node::CatalogKind;

use super::chance::Chance;
use super::step::{Step, Tally, take};
use super::world::World;

/// Things said to the engine that a failure shows.
const SAID_SHOWN: usize = 40;
/// Runs that the search for fewer steps takes at most.
const RUNS_MAX: usize = 60;

/// A run that failed.
pub(super) struct Failure {
    /// The step that failed, from 0; the last check counts as one.
    at: usize,
    what: String,
    said: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "step {}: {}\n\nthe last things said:\n{}", self.at, self.what, self.said)
    }
}

/// Takes the steps on a new node. `None` if the machine lacks a server for it.
pub(super) async fn run(catalog: CatalogKind, steps: &[Step]) -> Result<Option<Tally>, Failure> {
    let fresh = World::start(catalog).await;
    let failed =
        |world: &World, at: usize, what: String| Failure { at, what, said: world.engine.said(SAID_SHOWN) };
    let mut world = match fresh {
        Ok(Some(world)) => world,
        Ok(None) => return Ok(None),
        Err(what) => return Err(Failure { at: 0, what, said: String::new() }),
    };
    let mut tally = Tally::default();
    for (at, step) in steps.iter().enumerate() {
        match take(&mut world, *step).await {
            Ok(done) => tally.add(step.kind, done),
            Err(what) => return Err(failed(&world, at, format!("{:?}: {what}", step.kind))),
        }
    }
    let last = Chance::new(0);
    let checked = match world.check_all(&last).await {
        Ok(()) => world.collect_all(&last).await,
        failed => failed,
    };
    match checked {
        Ok(()) => Ok(Some(tally)),
        Err(what) => Err(failed(&world, steps.len(), format!("the last check: {what}"))),
    }
}

/// Takes out steps, ever fewer at a time, as long as the rest fails; answers the last failure and its steps.
pub(super) async fn shrink(catalog: CatalogKind, steps: &[Step], first: Failure) -> (Failure, Vec<Step>) {
    let mut steps = steps[..steps.len().min(first.at + 1)].to_vec();
    let (mut failure, mut runs, mut size) = (first, 0, steps.len() / 2);
    while size > 0 && runs < RUNS_MAX {
        let mut from = 0;
        while from < steps.len() && runs < RUNS_MAX {
            let mut fewer = steps.clone();
            fewer.drain(from..steps.len().min(from + size));
            runs += 1;
            match run(catalog, &fewer).await {
                Err(shorter) => {
                    fewer.truncate(shorter.at + 1);
                    (steps, failure) = (fewer, shorter);
                }
                Ok(_) => from += size,
            }
        }
        size /= 2;
    }
    (failure, steps)
}
