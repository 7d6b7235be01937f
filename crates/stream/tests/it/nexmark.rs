//! Nexmark's queries (`bench/nexmark`): each equals the batch answer over tables with the same events.

use cenote_stream::Limits;
use cenote_testkit::number_of;

use crate::golden::{Sizes, equals_its_batch, runs};
use crate::world::{World, drain};

/// 50 people, 150 auctions, 2,300 bids.
const EVENTS: &str = "2500";
/// Of event time, in a second.
const RATE: &str = "10";
const SIZES: Sizes = Sizes { straight: &[200], crashing: 300 };

const TABLES: &str = "
CREATE TABLE people (id BIGINT, name TEXT, email_address TEXT, credit_card TEXT, city TEXT, state TEXT, datetime TIMESTAMP, extra TEXT);
CREATE TABLE auctions (id BIGINT, item_name TEXT, description TEXT, initial_bid BIGINT, reserve BIGINT, datetime TIMESTAMP,
  expires TIMESTAMP, seller BIGINT, category BIGINT, extra TEXT);
CREATE TABLE bids (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, datetime TIMESTAMP, extra TEXT)";

/// The streams, and the tables of the batch.
const COPIES: &str = "INSERT INTO people SELECT * FROM person; INSERT INTO auctions SELECT * FROM auction; INSERT INTO bids SELECT * FROM bid";
const BATCH: &str =
    "WITH person AS (SELECT * FROM people), auction AS (SELECT * FROM auctions), bid AS (SELECT * FROM bids)";

/// The streams of so many events.
fn events(count: &str, rate: &str) -> String {
    let events = include_str!("../../../../bench/nexmark/events.sql").trim();
    events.replace("{rate}", rate).replace("{count}", count)
}

/// The query of a file as a golden script over these streams; `setup` and `copies` come before its own.
fn golden(text: &str, events: &str, setup: &str, copies: &str) -> String {
    let part = |name: &str| {
        let mut parts = text.split("--- ").filter_map(|part| part.split_once('\n'));
        parts.find(|(found, _)| *found == name).map(|(_, body)| body.trim())
    };
    let query = part("query").expect("a query");
    let views = part("views").map(|views| format!("{views};")).unwrap_or_default();
    let sink = if part("after").is_some() { "files" } else { "out" };
    let mut golden = format!(
        "--- setup\n{setup}\n{}\n--- pipeline\n{events};\n{views}\n{copies}\nINSERT INTO {sink} {query}\n--- batch\n{BATCH} {}\n",
        part("setup").expect("its table"),
        part("batch").unwrap_or(query),
    );
    for name in ["table", "after"] {
        if let Some(body) = part(name) {
            golden.push_str(&format!("--- {name}\n{body}\n"));
        }
    }
    golden
}

/// Runs the query of a file as a golden script.
async fn nexmark(text: &str) {
    let golden = golden(text, &events(EVENTS, RATE), &format!("{TABLES};"), &format!("{COPIES};"));
    Box::pin(runs(&golden, &SIZES)).await;
}

/// All queries.
const QUERIES: [&str; 22] = [
    include_str!("../../../../bench/nexmark/q0.sql"),
    include_str!("../../../../bench/nexmark/q1.sql"),
    include_str!("../../../../bench/nexmark/q2.sql"),
    include_str!("../../../../bench/nexmark/q3.sql"),
    include_str!("../../../../bench/nexmark/q4.sql"),
    include_str!("../../../../bench/nexmark/q5.sql"),
    include_str!("../../../../bench/nexmark/q7.sql"),
    include_str!("../../../../bench/nexmark/q8.sql"),
    include_str!("../../../../bench/nexmark/q9.sql"),
    include_str!("../../../../bench/nexmark/q10.sql"),
    include_str!("../../../../bench/nexmark/q11.sql"),
    include_str!("../../../../bench/nexmark/q12.sql"),
    include_str!("../../../../bench/nexmark/q13.sql"),
    include_str!("../../../../bench/nexmark/q14.sql"),
    include_str!("../../../../bench/nexmark/q15.sql"),
    include_str!("../../../../bench/nexmark/q16.sql"),
    include_str!("../../../../bench/nexmark/q17.sql"),
    include_str!("../../../../bench/nexmark/q18.sql"),
    include_str!("../../../../bench/nexmark/q19.sql"),
    include_str!("../../../../bench/nexmark/q20.sql"),
    include_str!("../../../../bench/nexmark/q21.sql"),
    include_str!("../../../../bench/nexmark/q22.sql"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_equal_the_batch_answer_over_as_many_events_as_are_asked_for() {
    let count = number_of("CENOTE_NEXMARK_EVENTS", 5_000);
    // Of event time: some minutes either way.
    let events = events(&count.to_string(), &(count / 1_000).max(10).to_string());
    let world = World::with_memory(8 << 30).await;
    let tables = TABLES.split(';').map(|sql| sql.trim().to_owned()).collect::<Vec<_>>();
    world.all(&tables).await;
    let copy = format!("CREATE PIPELINE copy WITH (desired = 'paused') AS $${events}; {COPIES}$$");
    world.client.rows(&copy).await;
    drain(&mut world.open("copy", Limits::default()).await.expect("opens")).await;
    let all = "SELECT (SELECT count(*) FROM people) + (SELECT count(*) FROM auctions) + (SELECT count(*) FROM bids)";
    assert_eq!(world.client.rows(all).await, [count.to_string()]);
    world.client.rows("DROP PIPELINE copy").await;
    for query in QUERIES {
        Box::pin(equals_its_batch(&world, &golden(query, &events, "", ""))).await;
        for table in ["out", "side"] {
            world.client.rows(&format!("DROP TABLE IF EXISTS {table}")).await;
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q0_passes_rows() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q0.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q1_computes_a_column() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q1.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q2_filters() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q2.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q3_joins_sellers_of_some_states() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q3.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q4_is_the_mean_of_the_highest_bids() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q4.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q5_finds_hot_auctions() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q5.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q7_finds_the_highest_bids_of_windows() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q7.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q8_finds_new_people_who_sell() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q8.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q9_finds_winning_bids() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q9.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q10_writes_files_by_minute() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q10.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q11_counts_bids_of_visits() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q11.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q12_counts_by_the_clock() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q12.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q13_looks_up_a_table() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q13.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q14_computes_and_filters() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q14.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q15_counts_by_day() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q15.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q16_counts_by_channel_and_day() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q16.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q17_counts_by_auction_and_day() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q17.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q18_keeps_last_bids() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q18.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q19_keeps_ten_of_each() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q19.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q20_joins_bids_with_auctions() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q20.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q21_takes_a_part_of_a_text() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q21.sql"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q22_splits_a_text() {
    Box::pin(nexmark(include_str!("../../../../bench/nexmark/q22.sql"))).await;
}
