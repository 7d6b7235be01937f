//! How often somebody may do something in a minute.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use cenote_vocab::Micros;
use parking_lot::Mutex;

const MINUTE: Duration = Duration::from_secs(60);
/// Those that are counted apart; more share one count.
const COUNTED_MAX: usize = 10_000;

/// Counts per key and minute; a key's minute begins with what is counted first.
pub(crate) struct PerMinute<K> {
    max: u32,
    /// Whoever there is no room for.
    all_others: K,
    counts: Mutex<HashMap<K, (Micros, u32)>>,
}

impl<K: Clone + Eq + Hash> PerMinute<K> {
    pub(crate) fn new(max: u32, all_others: K) -> Self {
        Self { max, all_others, counts: Mutex::new(HashMap::new()) }
    }

    /// Counts one; how long to wait if there were too many.
    pub(crate) fn count(&self, key: K, now: Micros) -> Option<Duration> {
        let mut counts = self.counts.lock();
        let mut key = key;
        if !counts.contains_key(&key) && counts.len() >= COUNTED_MAX {
            counts.retain(|_, (began, _)| now.since(*began) < MINUTE);
            if counts.len() >= COUNTED_MAX {
                key = self.all_others.clone();
            }
        }
        let (began, count) = counts.entry(key).or_insert((now, 0));
        if now.since(*began) >= MINUTE {
            (*began, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        (*count > self.max).then(|| MINUTE.saturating_sub(now.since(*began)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_did_too_much_waits_for_the_end_of_its_minute() {
        let rate = PerMinute::new(2, "others");
        let at = |seconds: i64| Micros(seconds * 1_000_000);
        assert_eq!(rate.count("a", at(0)), None);
        assert_eq!(rate.count("a", at(1)), None);
        assert_eq!(rate.count("a", at(20)), Some(Duration::from_secs(40)));
        assert_eq!(rate.count("b", at(20)), None);
        assert_eq!(rate.count("a", at(60)), None);
    }

    #[test]
    fn the_table_is_bounded() {
        let rate = PerMinute::new(1, usize::MAX);
        for key in 0..COUNTED_MAX + 50 {
            rate.count(key, Micros(0));
        }
        assert!(rate.counts.lock().len() <= COUNTED_MAX + 1);
        assert!(rate.count(COUNTED_MAX + 99, Micros(0)).is_some(), "those without room share one count");
    }
}
