//! Tables against an oracle: random steps on both, and every version stays what it was when it was made.
//!
//! ```text
//! seed ─► steps (step) ─► one statement at a time ─► engine (both doors)      ─┐
//!                             drawn by rows, columns                           ├─ compare (world, past)
//!                                             └────► oracle (table, history)  ─┘
//! ```
//!
//! The oracle knows rows per table with the columns of each version; of the engine it asks only what a user can ask.
//! `CENOTE_MODEL_STEPS` says how many steps, `CENOTE_MODEL_SEED` repeats a run, `CENOTE_MODEL_SHRINK=1` looks for fewer
//! steps that fail as well. `make model STEPS=10000` takes many, from a new seed.

mod chance;
mod columns;
mod condition;
mod crash;
mod engine;
mod history;
mod maintain;
mod past;
mod rows;
mod run;
mod step;
mod table;
mod transact;
mod value;
mod world;

use cenote_testkit::node::CatalogKind;
use cenote_testkit::{needs, number_of};

/// Steps of a run that nobody asked for.
const STEPS: u64 = 200;
/// From so many steps on, each kind of step must have done something.
const STEPS_OF_ALL_KINDS: u64 = 1000;
/// The seed of such a run, so that everybody's is the same.
const SEED: u64 = 1;

async fn model(catalog: CatalogKind) {
    let seed = number_of("CENOTE_MODEL_SEED", SEED);
    let count = number_of("CENOTE_MODEL_STEPS", STEPS);
    eprintln!("seed {seed}, {count} steps");
    let steps = step::steps(seed, count as usize);
    let failure = match run::run(catalog, &steps).await {
        Ok(None) => {
            needs("PostgreSQL", false);
            return;
        }
        Ok(Some(tally)) => {
            eprintln!("{}", tally.summary());
            let refused = tally.unsupported().next();
            assert!(refused.is_none(), "the engine refused {refused:?}");
            let never = tally.never_done();
            assert!(count < STEPS_OF_ALL_KINDS || never.is_empty(), "no step did {never:?}");
            return;
        }
        Err(failure) => failure,
    };
    let again = format!("CENOTE_MODEL_SEED={seed} CENOTE_MODEL_STEPS={count} repeats it");
    if number_of("CENOTE_MODEL_SHRINK", 0) == 0 {
        panic!("{again}, with CENOTE_MODEL_SHRINK=1 in fewer steps\n{failure}");
    }
    let (failure, fewer) = run::shrink(catalog, &steps, failure).await;
    let kinds: Vec<String> = fewer.iter().map(|step| format!("{:?}", step.kind)).collect();
    panic!("{again}\n{} steps are enough: {}\n{failure}", fewer.len(), kinds.join(", "));
}

#[tokio::test(flavor = "multi_thread")]
async fn random_steps_agree_with_the_oracle_on_sqlite() {
    model(CatalogKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_steps_agree_with_the_oracle_on_postgresql() {
    model(CatalogKind::Postgres).await;
}
