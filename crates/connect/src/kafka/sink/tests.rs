use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Int64Type};
use cenote_codec::record::{AtBad, AvroDecoder};
use cenote_testkit::kafka::{Cluster, Record, Registry as Double};
use cenote_vocab::{ErrorKind, Fault, Micros};

use super::*;
use crate::{Closing, Options, stamped};

const INSTANT: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn columns() -> Schema {
    Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("k", DataType::Utf8, true)])
}

fn open(servers: &str, columns: &Schema, given: &[(&str, &str)]) -> KafkaSink {
    let usual = [("bootstrap_servers", servers), ("topic", "t")];
    let all = usual.iter().chain(given).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut options = Options::new(all.collect());
    let taken = KafkaSinkOptions::take("kafka", &mut options).expect("fits");
    options.end().expect("all are known");
    KafkaSink::open("w", &taken, columns, &Reach::Everything).expect("opens")
}

/// Rows of these columns with the event time behind, one second apart.
fn batch(columns: &Schema, values: Vec<ArrayRef>) -> RecordBatch {
    let rows = i64::try_from(values[0].len()).expect("few");
    let times: Vec<i64> = (0..rows).map(|row| 1_767_225_600_000_000 + row * 1_000_000).collect();
    let mut values = values;
    values.push(Arc::new(TimestampMicrosecondArray::from(times)));
    RecordBatch::try_new(stamped(columns), values).expect("a batch")
}

fn rows() -> RecordBatch {
    let numbers = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let keys = Arc::new(StringArray::from(vec![Some("a"), None, Some("a")]));
    batch(&columns(), vec![numbers, keys])
}

async fn send(sink: &mut KafkaSink, epoch: i64, rows: RecordBatch) -> Result<String, Error> {
    sink.stage("", EpochRows { epoch, now: Micros(0), rows: &[rows], closing: Closing::Open }).await
}

/// Sends until the brokers have taken it, as a pipeline does: how long they take is not what is asked.
async fn send_at_last(sink: &mut KafkaSink, epoch: i64, rows: RecordBatch) {
    for _ in 0..100 {
        match send(sink, epoch, rows.clone()).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
    }
    panic!("never sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_a_message_with_its_key_time_and_epoch() {
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    let mut sink = open(&cluster.servers(), &columns(), &[("sink.key_field", "K")]);
    sink.restore("").await.expect("starts");
    send(&mut sink, 7, rows()).await.expect("sent");
    send(&mut sink, 8, rows().slice(0, 1)).await.expect("sent");
    let records = cluster.records("t");
    let record = |offset: i64, value: &str, key: Option<&str>, after: i64, epoch: &str| Record {
        partition: 0,
        offset,
        key: key.map(|key| key.as_bytes().to_vec()),
        value: Some(value.as_bytes().to_vec()),
        time: Some(1_767_225_600_000 + after),
        epoch: Some(epoch.to_owned()),
    };
    assert_eq!(
        records,
        [
            record(0, r#"{"n":1,"k":"a"}"#, Some("a"), 0, "7"),
            record(1, r#"{"n":2}"#, None, 1_000, "7"),
            record(2, r#"{"n":3,"k":"a"}"#, Some("a"), 2_000, "7"),
            record(3, r#"{"n":1,"k":"a"}"#, Some("a"), 0, "8"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_may_be_the_time_and_a_raw_value_what_it_is() {
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    let timed = Schema::new(vec![Field::new("at", INSTANT, true)]);
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(5_000), None]));
    let rows = RecordBatch::try_new(Arc::new(timed.clone()), vec![times]).expect("a batch");
    let mut sink = open(&cluster.servers(), &timed, &[("sink.timestamp_field", "at")]);
    send(&mut sink, 1, rows).await.expect("sent");
    let raw = Schema::new(vec![Field::new("value", DataType::Utf8, true)]);
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("two\nlines"), None, Some("")]));
    let mut sink = open(&cluster.servers(), &raw, &[("format", "raw_string")]);
    send(&mut sink, 2, batch(&raw, vec![texts.clone()])).await.expect("sent");
    let mut sink = open(&cluster.servers(), &raw, &[("format", "csv")]);
    send(&mut sink, 3, batch(&raw, vec![texts.slice(0, 1)])).await.expect("sent");
    let records = cluster.records("t");
    assert_eq!(records[0].time, Some(5));
    assert!(records[1].time.is_some_and(|millis| millis > 1_600_000_000_000), "the time of sending");
    let values: Vec<Option<&[u8]>> = records[2..].iter().map(|record| record.value.as_deref()).collect();
    assert_eq!(values, [Some(&b"two\nlines"[..]), None, Some(b""), Some(b"\"two\nlines\"")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn avro_goes_behind_the_number_that_the_registry_gives() {
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    let registry = Double::start();
    registry.add("other", "{}");
    let given = [
        ("format", "avro"),
        ("avro.confluent_schema_registry", "true"),
        ("schema_registry.endpoint", registry.url.as_str()),
        ("value.subject", "my/subject"),
    ];
    let mut sink = open(&cluster.servers(), &columns(), &given);
    sink.restore("").await.expect("starts");
    send(&mut sink, 1, rows()).await.expect("sent");
    let (subject, kind, schema) = registry.schemas().pop().expect("registered");
    assert_eq!((subject.as_str(), kind.as_str()), ("my%2Fsubject", "AVRO"));
    let mut decoder = AvroDecoder::new(Arc::new(columns()), false).expect("fits");
    decoder.learn(2, schema);
    let records = cluster.records("t");
    let values: Vec<&[u8]> = records.iter().filter_map(|record| record.value.as_deref()).collect();
    let decoded = decoder.decode(&values, AtBad::Stop);
    assert_eq!(decoded.bad, []);
    let numbers: Vec<i64> = decoded
        .batches
        .iter()
        .flat_map(|(_, batch)| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
    registry.refuse();
    let error = open(&cluster.servers(), &columns(), &given).restore("").await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error.to_string().contains("409 Conflict: {\"error_code\":409,\"message\":\"incompatible\"}"),
        "{error}"
    );
    registry.set_down(true);
    let error = open(&cluster.servers(), &columns(), &given).restore("").await.expect_err("down");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_one_message_with_the_key_of_its_row() {
    use cenote_codec::record::{COMES, GOES, REPLACES, changing};
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    let values: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
        Arc::new(StringArray::from(vec!["a", "a", "b", "c"])),
        Arc::new(Int64Array::from(vec![REPLACED, REPLACES, GOES, COMES])),
    ];
    let rows = RecordBatch::try_new(Arc::new(changing(&columns())), values).expect("a batch");
    let given = [("format", "debezium_json"), ("sink.key_field", "k")];
    let mut sink = open(&cluster.servers(), &columns(), &given);
    send(&mut sink, 1, rows).await.expect("sent");
    let records = cluster.records("t");
    let shown: Vec<(String, String)> = records
        .iter()
        .map(|record| {
            (String::from_utf8_lossy(record.key.as_deref().expect("a key")).into_owned(), record.text())
        })
        .collect();
    let change = |key: &str, text: &str| (key.to_owned(), text.to_owned());
    assert_eq!(
        shown,
        [
            change("a", r#"{"before":{"n":1,"k":"a"},"after":{"n":2,"k":"a"},"op":"u"}"#),
            change("b", r#"{"before":{"n":3,"k":"b"},"after":null,"op":"d"}"#),
            change("c", r#"{"before":null,"after":{"n":4,"k":"c"},"op":"c"}"#),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_may_be_registered_too() {
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    let registry = Double::start();
    let given = [
        ("format", "json"),
        ("json.confluent_schema_registry", "true"),
        ("schema_registry.endpoint", registry.url.as_str()),
    ];
    let mut sink = open(&cluster.servers(), &columns(), &given);
    send(&mut sink, 1, rows().slice(0, 1)).await.expect("sent");
    assert_eq!(cluster.records("t")[0].value.as_deref(), Some(&b"\0\0\0\0\x01{\"n\":1,\"k\":\"a\"}"[..]));
    let (subject, kind, schema) = registry.schemas().pop().expect("registered");
    assert_eq!((subject.as_str(), kind.as_str()), ("t-value", "JSON"));
    assert!(schema.contains(r#""n":{"type":"integer"}"#), "{schema}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_brokers_do_not_take_in_time_is_a_failure_that_may_pass() {
    let cluster = Cluster::start();
    cluster.topic("t", 1);
    let given = [("client_configs", "message.timeout.ms=700")];
    let mut sink = open(&cluster.servers(), &columns(), &given);
    send_at_last(&mut sink, 1, rows()).await;
    cluster.go_down();
    let error = send(&mut sink, 2, rows()).await.expect_err("nobody takes it");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("sink w: kafka://127.0.0.1:"), "{error}");
    cluster.come_back();
    send_at_last(&mut sink, 2, rows()).await;
    let texts: Vec<String> = cluster.records("t").iter().map(Record::text).collect();
    assert!(texts.len() >= 6, "{texts:?}");
    let large = "x".repeat(2_000_000);
    let keys = Arc::new(StringArray::from(vec![large.as_str()]));
    let rows = batch(&columns(), vec![Arc::new(Int64Array::from(vec![1])), keys]);
    let error = send(&mut sink, 3, rows).await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_queue_holds_is_sent_as_it_empties() {
    let cluster = Cluster::start();
    cluster.topic("t", 4);
    let count = 120_000;
    let numbers = Arc::new(Int64Array::from_iter_values(0..count));
    let keys = Arc::new(StringArray::from_iter_values((0..count).map(|n| n.to_string())));
    let mut sink = open(&cluster.servers(), &columns(), &[]);
    send(&mut sink, 1, batch(&columns(), vec![numbers, keys])).await.expect("sent");
    let writing = sink.writing.as_ref().expect("it sends");
    assert_eq!(writing.producer.in_flight_count(), 0);
    let mut ends = std::collections::BTreeMap::new();
    for record in cluster.records("t") {
        ends.insert(record.partition, record.offset + 1);
    }
    assert_eq!(ends.values().sum::<i64>(), count);
}
