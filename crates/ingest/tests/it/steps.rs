//! Steps by chance, many of them: append, flush, query, crash, and appends beside flushes beside queries.

use cenote_testkit::ingest::TestIngest;
use cenote_testkit::lake::TestLake;
use cenote_testkit::number_of;
use cenote_vocab::{Clock, Ids};

/// Steps on one lake: few enough that its files are read in a moment.
const LIFE: u64 = 200;

/// One lake, and what was acknowledged on it.
struct Life {
    disk: TestLake,
    chance: Ids,
    stored: Vec<String>,
    next: u64,
}

impl Life {
    /// One to four rows that nobody sent before.
    fn rows(&mut self) -> Vec<u64> {
        let first = self.next;
        self.next += 1 + self.chance.below(4);
        (first..self.next).collect()
    }

    async fn append(&mut self, node: &TestIngest) {
        let rows = self.rows();
        node.write(&self.disk, &body(&rows)).await.expect("acknowledged");
        self.stored.extend(rows.iter().map(u64::to_string));
    }

    /// Every acknowledged row is seen once, and nothing else is.
    async fn query(&mut self, node: &TestIngest) {
        self.stored.sort();
        assert_eq!(node.values(&self.disk, "t", "v").await, self.stored);
    }

    /// What is acknowledged before the query starts is in its answer, whatever happens beside it.
    async fn all_at_once(&mut self, node: &TestIngest) {
        let rows = self.rows();
        let text = body(&rows);
        let (written, (), mut seen) = tokio::join!(
            node.write(&self.disk, &text),
            node.flush(&self.disk, "t"),
            node.values(&self.disk, "t", "v")
        );
        written.expect("acknowledged");
        let came: Vec<String> = rows.iter().map(u64::to_string).collect();
        assert!(came.iter().all(|row| seen.iter().filter(|value| *value == row).count() < 2), "a row twice");
        seen.retain(|value| !came.contains(value));
        self.stored.sort();
        assert_eq!(seen, self.stored);
        self.stored.extend(came);
    }
}

fn body(rows: &[u64]) -> String {
    rows.iter().map(|v| format!("t v={v}i {v}\n")).collect()
}

#[tokio::test]
async fn each_query_sees_what_was_acknowledged_once_through_steps_by_chance() {
    let (steps, seed) = (number_of("CENOTE_STEPS", 2 * LIFE), number_of("CENOTE_SEED", 1));
    println!("seed {seed}, {steps} steps");
    let mut done = 0;
    while done < steps {
        let chance = Ids::seeded(seed + done, Clock::system());
        let mut life = Life { disk: TestLake::new().await, chance, stored: Vec::new(), next: 0 };
        let mut node = life.disk.open().await;
        life.append(&node).await;
        for _ in 0..LIFE.min(steps - done) {
            match life.chance.below(20) {
                0..8 => life.append(&node).await,
                8..15 => life.query(&node).await,
                15..17 => life.all_at_once(&node).await,
                17..19 => node.flush(&life.disk, "t").await,
                _ => {
                    node.crash().await;
                    node = life.disk.open().await;
                }
            }
        }
        life.query(&node).await;
        node.crash().await;
        life.disk.close().await;
        done += LIFE;
    }
}
