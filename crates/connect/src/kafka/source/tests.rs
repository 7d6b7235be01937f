use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use cenote_testkit::kafka::{Cluster, PARTITION_BYTES, Registry as Double};
use cenote_testkit::{PATIENCE, settles};
use cenote_vocab::{ErrorKind, Fault, Txn};

use super::*;
use crate::Options;

const OWNER: Uuid = Uuid::from_u128(7);

fn column(name: &str, data_type: DataType, metadata: Option<&str>) -> Column {
    Column { field: Field::new(name, data_type, true), metadata: metadata.map(str::to_owned) }
}

fn number() -> Vec<Column> {
    vec![column("n", DataType::Int64, None)]
}

fn open(cluster: &Cluster, columns: &[Column], given: &[(&str, &str)], at_bad: AtBad) -> KafkaSource {
    let servers = cluster.servers();
    let usual = [("bootstrap_servers", servers.as_str()), ("topic", "t"), ("source.offset", "earliest")];
    let mut all = std::collections::BTreeMap::new();
    for (name, value) in usual.iter().chain(given) {
        all.insert((*name).to_owned(), (*value).to_owned());
    }
    let mut options = Options::new(all);
    let taken = KafkaSourceOptions::take("kafka", &mut options, columns).expect("fits");
    options.end().expect("all are known");
    KafkaSource::open(("s", OWNER), &taken, columns, at_bad, Clock::system(), &Reach::Everything)
        .expect("opens")
}

async fn read(source: &mut KafkaSource, from: &str, rows_max: usize) -> Result<Pulled, Error> {
    let wanted = Wanted { rows_max, now: source.clock.now(), upto: Txn(0) };
    source.read(from, wanted).await
}

/// The rows behind a position, until there are so many, bad ones included; and the position behind them.
async fn rows(source: &mut KafkaSource, from: &str, count: usize) -> (Vec<Pulled>, String) {
    let (mut all, mut position, mut left) = (Vec::new(), from.to_owned(), count);
    let reading = async {
        while left > 0 {
            let pulled = read(source, &position, left).await.expect("reads");
            position.clone_from(&pulled.position);
            left -= pulled.batches.iter().map(RecordBatch::num_rows).sum::<usize>() + pulled.bad.len();
            let is_empty = pulled.batches.is_empty() && pulled.bad.is_empty();
            all.push(pulled);
            if is_empty {
                source.wait(&position).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the rows come");
    (all, position)
}

/// The numbers in the first column, each with its partition and offset.
fn numbers(pulled: &[Pulled]) -> Vec<(i64, String, u64)> {
    let batches = pulled.iter().flat_map(|pulled| pulled.batches.iter().zip(&pulled.places));
    batches
        .flat_map(|(batch, places)| {
            let numbers = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
            numbers.into_iter().enumerate().map(|(at, number)| {
                let place = places.row(at);
                (number, place.partition.to_string(), place.offset)
            })
        })
        .collect()
}

fn values(range: std::ops::Range<i64>) -> Vec<String> {
    range.map(|n| format!("{{\"n\":{n}}}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_tells_what_it_is_beside_its_value() {
    let cluster = Cluster::start();
    cluster.topic("t", 2);
    cluster.produce_message(("t", 1), "a", Some(b"{\"n\":1}"), 1_767_225_600_000);
    cluster.produce_message(("t", 1), "b", None, 1_767_225_601_000);
    cluster.produce_message(("t", 1), "c", Some(b"{\"n\":2}"), 1_767_225_602_000);
    let instant = DataType::Timestamp(TimeUnit::Microsecond, None);
    let columns = [
        column("n", DataType::Int64, None),
        column("o", DataType::Int64, Some("offset_id")),
        column("p", DataType::Int32, Some("partition")),
        column("t", DataType::Utf8, Some("topic")),
        column("ms", DataType::Int64, Some("timestamp")),
        column("at", instant, Some("timestamp")),
        column("k", DataType::Binary, Some("key")),
        column("kt", DataType::Utf8, Some("key")),
    ];
    let mut source = open(&cluster, &columns, &[], AtBad::Stop);
    let (pulled, position) = rows(&mut source, "", 2).await;
    assert_eq!(numbers(&pulled), [(1, "1".to_owned(), 0), (2, "1".to_owned(), 2)]);
    let batch = pulled.iter().flat_map(|pulled| &pulled.batches).last().expect("rows");
    let last = batch.num_rows() - 1;
    let integer = |at: usize| batch.column(at).as_primitive::<Int64Type>().value(last);
    let micros = |at: usize| batch.column(at).as_primitive::<TimestampMicrosecondType>().value(last);
    assert_eq!((integer(1), batch.column(2).as_primitive::<Int32Type>().value(last)), (2, 1));
    assert_eq!(batch.column(3).as_string::<i32>().value(last), "t");
    assert_eq!(
        (integer(4), micros(5), micros(8)),
        (1_767_225_602_000, 1_767_225_602_000_000, 1_767_225_602_000_000)
    );
    assert_eq!(batch.column(6).as_binary::<i32>().value(last), b"c");
    assert_eq!(batch.column(7).as_string::<i32>().value(last), "c");
    assert!(position.ends_with("\"partitions\":{\"0\":0,\"1\":3}}"), "{position}");
    let parts: Vec<&str> = pulled[0].partitions.iter().map(AsRef::as_ref).collect();
    assert_eq!(parts, ["0", "1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_behind_a_position_are_the_same_whoever_asks() {
    let cluster = Cluster::start();
    cluster.topic("t", 3);
    for partition in 0..3 {
        let from = i64::from(partition) * 10;
        cluster.produce("t", partition, values(from..from + 10));
    }
    let mut first = open(&cluster, &number(), &[], AtBad::Stop);
    let (_, position) = rows(&mut first, "", 7).await;
    let (rest, end) = rows(&mut first, &position, 23).await;
    let mut second = open(&cluster, &number(), &[], AtBad::Stop);
    let (again, again_end) = rows(&mut second, &position, 23).await;
    let sorted = |pulled: &[Pulled]| {
        let mut rows = numbers(pulled);
        rows.sort();
        rows
    };
    assert_eq!((sorted(&rest), &end), (sorted(&again), &again_end));
    let (once_more, _) = rows(&mut second, &position, 23).await;
    assert_eq!(sorted(&rest), sorted(&once_more), "a reader goes back where it is asked to");
    let mut third = open(&cluster, &number(), &[], AtBad::Stop);
    let (all, _) = rows(&mut third, "", 30).await;
    let all: Vec<i64> = sorted(&all).into_iter().map(|(number, ..)| number).collect();
    assert_eq!(all, (0..30).collect::<Vec<i64>>());
    for pulled in [rest, again].concat() {
        let order: Vec<String> = pulled.places.iter().map(|places| places.partition().to_string()).collect();
        assert!(order.is_sorted(), "an epoch has its partitions one after the other: {order:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_at_the_end_is_a_position_that_must_be_kept() {
    let cluster = Cluster::start();
    cluster.topic("t", 2);
    cluster.produce("t", 0, values(0..5));
    let mut source = open(&cluster, &number(), &[("source.offset", "latest")], AtBad::Stop);
    let start = read(&mut source, "", 100).await.expect("begins");
    assert!(start.starts && start.batches.is_empty());
    cluster.produce("t", 0, values(5..8));
    cluster.produce("t", 1, values(8..9));
    let mut other = open(&cluster, &number(), &[("source.offset", "latest")], AtBad::Stop);
    let (pulled, _) = rows(&mut other, &start.position, 4).await;
    let mut numbers: Vec<i64> = numbers(&pulled).into_iter().map(|(number, ..)| number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [5, 6, 7, 8]);
    assert!(pulled.iter().all(|pulled| !pulled.starts));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_new_is_read_from_its_beginning() {
    let cluster = Cluster::start();
    cluster.topic("t", 3);
    for partition in 0..3 {
        cluster.produce("t", partition, values(0..4));
    }
    // of a time when there were fewer
    let mut source = open(&cluster, &number(), &[("source.offset", "latest")], AtBad::Stop);
    let (pulled, _) = rows(&mut source, "{\"partitions\":{\"0\":4}}", 8).await;
    let mut of: Vec<String> = numbers(&pulled).into_iter().map(|(_, partition, _)| partition).collect();
    of.dedup();
    of.sort();
    of.dedup();
    assert_eq!(of, ["1", "2"]);
    let known = Place { cluster: None, partitions: [(0, 4), (1, 2)].into() };
    let found = source.topic.discover(known).expect("looks");
    assert_eq!(found.partitions, [(0, 4), (1, 2), (2, 0)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_is_gone_is_named_or_left_out_as_asked() {
    let cluster = Cluster::start();
    cluster.topic("t", 2);
    let large = format!("{{\"n\":1,\"pad\":\"{}\"}}", "x".repeat(100_000));
    cluster.produce("t", 1, std::iter::repeat_n(large, PARTITION_BYTES / 100_000 * 2));
    let position = "{\"partitions\":{\"0\":0,\"1\":3}}";
    let mut source = open(&cluster, &number(), &[], AtBad::Stop);
    let error = read(&mut source, position, 10).await.expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = error.to_string();
    let oldest =
        text.strip_prefix("source s: history is gone: partition 1: offset 3 is wanted, the oldest is ");
    let oldest: u64 = oldest.unwrap_or_else(|| panic!("{text}")).parse().expect("an offset");
    let mut source = open(&cluster, &number(), &[("source.missing", "skip")], AtBad::Stop);
    let (pulled, _) = rows(&mut source, position, 1).await;
    assert_eq!(numbers(&pulled)[0].2, oldest);
    assert_eq!(pulled.iter().map(|pulled| pulled.skipped).sum::<u64>(), oldest - 3);
    let mut source = open(&cluster, &number(), &[], AtBad::Stop);
    for (position, words) in [
        ("{\"partitions\":{\"0\":9}}", "partition 0: offset 9 is wanted, it ends at 0"),
        ("{\"partitions\":{\"7\":0}}", "partition 7 of topic t is not there"),
        ("{\"cluster\":\"another\",\"partitions\":{\"0\":0}}", "one of cluster another"),
        ("nonsense", "none of its own"),
    ] {
        let error = read(&mut source, position, 10).await.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_away_are_waited_for() {
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    cluster.produce("t", 0, values(0..2));
    let mut source = open(&cluster, &number(), &[], AtBad::Stop);
    let (_, position) = rows(&mut source, "", 2).await;
    cluster.go_down();
    let source_cell = tokio::sync::Mutex::new(&mut source);
    settles("the source to know", PATIENCE, async || {
        let mut source = source_cell.lock().await;
        read(&mut source, &position, 10).await.is_ok_and(|pulled| pulled.is_away && pulled.batches.is_empty())
    })
    .await;
    cluster.come_back();
    cluster.produce("t", 0, values(2..5));
    let (pulled, _) = rows(&mut source, &position, 3).await;
    assert_eq!(numbers(&pulled).into_iter().map(|(number, ..)| number).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(!pulled.last().expect("some").is_away);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_at_the_start_is_told() {
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    cluster.go_down();
    let given = [("client_configs", "socket.connection.setup.timeout.ms=1000")];
    let mut source = open(&cluster, &number(), &given, AtBad::Stop);
    let error = tokio::time::timeout(PATIENCE * 2, read(&mut source, "", 10)).await.expect("it gives up");
    let error = error.expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("kafka://127.0.0.1:"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_messages_are_named_by_partition_and_offset() {
    let cluster = Cluster::start();
    cluster.topic("t", 2);
    cluster.produce("t", 1, ["{\"n\":1}", "{\"n\":\"x\"}", "{\"n\":3}", "no"]);
    let mut source = open(&cluster, &number(), &[], AtBad::GoOn);
    let (pulled, _) = rows(&mut source, "", 4).await;
    let bad: Vec<(String, u64, String)> = pulled
        .iter()
        .flat_map(|pulled| &pulled.bad)
        .map(|row| (row.place.partition.to_string(), row.place.offset, row.raw.clone()))
        .collect();
    let one = |offset, raw: &str| ("1".to_owned(), offset, raw.to_owned());
    assert_eq!(bad, [one(1, "{\"n\":\"x\"}"), one(3, "no")]);
    assert_eq!(numbers(&pulled), [(1, "1".to_owned(), 0), (3, "1".to_owned(), 2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_lines_is_several_rows_of_one_offset() {
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    cluster.produce("t", 0, ["{\"n\":1}\n{\"n\":2}\n", "{\"n\":3}"]);
    let mut source = open(&cluster, &number(), &[("framing", "newline")], AtBad::Stop);
    let (pulled, _) = rows(&mut source, "", 3).await;
    let zero = |number, offset| (number, "0".to_owned(), offset);
    assert_eq!(numbers(&pulled), [zero(1, 0), zero(2, 0), zero(3, 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_rows_stand_where_their_message_does() {
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    let changes = [
        r#"{"before":null,"after":{"n":1},"op":"c"}"#,
        "null",
        r#"{"before":{"n":1},"after":{"n":2},"op":"u"}"#,
        r#"{"op":"x"}"#,
        r#"{"payload":{"before":{"n":2},"after":null,"op":"d"}}"#,
    ];
    cluster.produce("t", 0, changes);
    let given = [("format", "debezium_json")];
    let mut source = open(&cluster, &number(), &given, AtBad::GoOn);
    let (pulled, _) = rows(&mut source, "", 5).await;
    let zero = |number, offset| (number, "0".to_owned(), offset);
    assert_eq!(numbers(&pulled), [zero(1, 0), zero(1, 2), zero(2, 2), zero(2, 4)]);
    let weights = pulled.iter().flat_map(|pulled| &pulled.batches).flat_map(|batch| {
        let weights = batch.column_by_name(crate::WEIGHT).expect("a log of changes");
        weights.as_primitive::<Int64Type>().values().to_vec()
    });
    assert_eq!(weights.collect::<Vec<_>>(), [1, -1, 1, -1]);
    let bad: Vec<u64> = pulled.iter().flat_map(|pulled| &pulled.bad).map(|row| row.place.offset).collect();
    assert_eq!(bad, [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_told_how_far_the_source_is_and_another_may_begin_there() {
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    cluster.produce("t", 0, values(0..6));
    let group = ("source.group_id", "monitor");
    let mut source = open(&cluster, &number(), &[group], AtBad::Stop);
    let (_, position) = rows(&mut source, "", 4).await;
    source.committed(&position).await.expect("told");
    settles("the group to know", PATIENCE, async || cluster.committed("t", 1, "monitor") == [Some(4)]).await;
    let mut other = open(&cluster, &number(), &[group, ("source.offset", "group")], AtBad::Stop);
    let (pulled, _) = rows(&mut other, "", 2).await;
    assert_eq!(numbers(&pulled).into_iter().map(|(number, ..)| number).collect::<Vec<_>>(), [4, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_tells_how_far_it_is_from_the_end() {
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    cluster.produce("t", 0, values(0..10));
    let mut source = open(&cluster, &number(), &[], AtBad::Stop);
    let (_, middle) = rows(&mut source, "", 4).await;
    let (_, end) = rows(&mut source, &middle, 6).await;
    let source_cell = tokio::sync::Mutex::new(&mut source);
    settles("the client to know", PATIENCE, async || {
        let pulled = read(&mut **source_cell.lock().await, &end, 10).await.expect("reads");
        pulled.available.is_some()
    })
    .await;
    let pulled = read(&mut source, &end, 10).await.expect("reads").available.expect("known");
    assert_eq!(pulled, Available { position: end.clone(), rows: 0 });
    let (pulled, _) = rows(&mut source, &middle, 2).await;
    assert_eq!(pulled.last().expect("some").available, Some(Available { position: end, rows: 4 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn avro_is_read_by_the_schemas_of_the_registry() {
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    let registry = Double::start();
    registry.wants_login("Basic dTpw");
    let first =
        registry.add("t-value", r#"{"type":"record","name":"r","fields":[{"name":"n","type":"long"}]}"#);
    let second = registry.add(
        "t-value",
        r#"{"type":"record","name":"r","fields":[{"name":"s","type":"string"},{"name":"n","type":"int"}]}"#,
    );
    let message = |schema: u32, body: &[u8]| [&[0][..], &schema.to_be_bytes(), body].concat();
    cluster.produce("t", 0, [message(first, b"\x02"), message(second, b"\x02a\x04"), message(9, b"\x02")]);
    let given = [
        ("format", "avro"),
        ("avro.confluent_schema_registry", "true"),
        ("schema_registry.endpoint", registry.url.as_str()),
        ("schema_registry.api_key", "u"),
        ("schema_registry.api_secret", "p"),
    ];
    let mut source = open(&cluster, &number(), &given, AtBad::GoOn);
    let (pulled, position) = rows(&mut source, "", 3).await;
    let zero = |number, offset| (number, "0".to_owned(), offset);
    assert_eq!(numbers(&pulled), [zero(1, 0), zero(2, 1)]);
    let bad: Vec<&BadRow> = pulled.iter().flat_map(|pulled| &pulled.bad).collect();
    assert_eq!(
        (bad.len(), bad[0].place.offset, bad[0].reason.as_str()),
        (1, 2, "the registry has no schema 9")
    );
    let calls = registry.calls();
    cluster.produce("t", 0, [message(first, b"\x06")]);
    let (pulled, position) = rows(&mut source, &position, 1).await;
    assert_eq!((numbers(&pulled), registry.calls()), (vec![zero(3, 3)], calls), "it remembers what it knows");
    registry.set_down(true);
    let third =
        registry.add("t-value", r#"{"type":"record","name":"q","fields":[{"name":"n","type":"int"}]}"#);
    cluster.produce("t", 0, [message(third, b"\x08")]);
    let failed = async {
        loop {
            match read(&mut source, &position, 1).await {
                Err(error) => break error,
                Ok(_) => source.wait(&position).await,
            }
        }
    };
    let error = tokio::time::timeout(PATIENCE, failed).await.expect("it asks");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("the schema registry answered 503"), "{error}");
    registry.set_down(false);
    let (pulled, _) = rows(&mut source, &position, 1).await;
    assert_eq!(numbers(&pulled), [zero(4, 4)], "no message was lost by the failure");
    registry.wants_login("Basic another");
    let mut source = open(&cluster, &number(), &given, AtBad::GoOn);
    let failed = async {
        let mut position = String::new();
        loop {
            match read(&mut source, &position, 1).await {
                Err(error) => break error,
                Ok(pulled) => position = pulled.position,
            }
            source.wait(&position).await;
        }
    };
    let error = tokio::time::timeout(PATIENCE, failed).await.expect("it asks");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}
