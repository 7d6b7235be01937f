//! How long what failed rests.

use std::time::Duration;

use cenote_vocab::{Ids, Micros};

/// After the first failure; it doubles with each …
const FIRST: Duration = Duration::from_secs(30);
/// … up to this.
const MAX: Duration = Duration::from_secs(15 * 60);

/// When to try again what failed now, `failures` times in a row: the delay ± 20 %.
pub(crate) fn retry_at(now: Micros, failures: u32, ids: &Ids) -> Micros {
    let full = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(MAX);
    let millis = u64::try_from(full.as_millis()).unwrap_or(u64::MAX);
    now.plus(Duration::from_millis(millis / 5 * 4 + ids.below(millis / 5 * 2)))
}

#[cfg(test)]
mod tests {
    use cenote_vocab::Clock;

    use super::*;

    #[test]
    fn a_pause_doubles_up_to_its_limit_and_strays_by_a_fifth() {
        let ids = Ids::seeded(3, Clock::manual(Micros(0)));
        for (failures, seconds) in [(1, 30), (2, 60), (5, 480), (6, 900), (60, 900)] {
            let pause = retry_at(Micros(0), failures, &ids).since(Micros(0));
            let full = Duration::from_secs(seconds);
            assert!(pause >= full * 4 / 5 && pause <= full * 6 / 5, "{failures}: {pause:?}");
        }
    }
}
