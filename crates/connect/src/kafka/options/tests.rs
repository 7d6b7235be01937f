use std::collections::BTreeMap;

use arrow::datatypes::Field;

use super::*;
use crate::connector::{Connector, Declaration};

const SERVERS: (&str, &str) = ("bootstrap_servers", "127.0.0.1:9092, [::1]:9093");
const TOPIC: (&str, &str) = ("topic", "orders.v1");

fn column(name: &str, data_type: DataType, metadata: Option<&str>) -> Column {
    Column { field: Field::new(name, data_type, true), metadata: metadata.map(str::to_owned) }
}

fn made(kind: &str, given: &[(&str, &str)], columns: Vec<Column>) -> Result<Connector, Error> {
    let usual = [("connector", "kafka"), ("type", kind)];
    let options: BTreeMap<String, String> =
        usual.iter().chain(given).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Connector::of(Declaration {
        name: "t".to_owned(),
        columns,
        has_key: false,
        has_generated: false,
        options: Options::new(options),
    })
}

fn refused(kind: &str, given: &[(&str, &str)], columns: Vec<Column>) -> String {
    made(kind, given, columns).expect_err("refused").to_string()
}

#[test]
fn a_source_is_read_with_all_its_options() {
    let given = [
        SERVERS,
        TOPIC,
        ("format", "json"),
        ("source.offset", "earliest"),
        ("source.group_id", "g"),
        ("source.read_mode", "read_committed"),
        ("source.discovery", "5 seconds"),
        ("source.missing", "skip"),
        ("auth.type", "sasl"),
        ("auth.protocol", "SASL_SSL"),
        ("auth.mechanism", "PLAIN"),
        ("auth.username", "u"),
        ("auth.password", "very-secret"),
        ("client_configs", "fetch.min.bytes=1, client.id=me"),
    ];
    let columns = vec![column("n", DataType::Int64, None), column("at", DataType::Int64, Some("timestamp"))];
    let made = made("source", &given, columns).expect("fits");
    assert!(!format!("{made:?}").contains("very-secret"), "{made:?}");
    let Connector::Source(crate::SourceOptions::Kafka(options, _)) = made else { panic!("a topic") };
    assert_eq!(options.topic.servers, ["127.0.0.1:9092", "[::1]:9093"]);
    assert_eq!(options.topic.configs["sasl.password"], "very-secret");
    assert_eq!(options.topic.configs["client.id"], "me");
    assert_eq!(
        (options.start, options.group, options.committed_only, options.discovery, options.missing),
        (StartOffset::Earliest, Some(Group::Named("g".to_owned())), true, 5_000_000, Missing::Skip)
    );
}

#[test]
fn what_does_not_fit_is_named() {
    let n = || vec![column("n", DataType::Int64, None)];
    for (given, expected) in [
        (&[TOPIC][..], "option 'bootstrap_servers' is required"),
        (&[SERVERS], "option 'topic' is required"),
        (&[("bootstrap_servers", "nowhere"), TOPIC], "commas between, got 'nowhere'"),
        (&[SERVERS, ("topic", "a b")], "got 'a b'"),
        (
            &[SERVERS, TOPIC, ("source.offset", "middle")],
            "one of 'latest', 'earliest', 'group', got 'middle'",
        ),
        (&[SERVERS, TOPIC, ("source.offset", "group")], "needs 'source.group_id'"),
        (&[SERVERS, TOPIC, ("auth.type", "sasl")], "option 'auth.protocol' is required"),
        (
            &[SERVERS, TOPIC, ("client_configs", "plugin.library.paths=/x")],
            "cannot set 'plugin.library.paths'",
        ),
        (&[SERVERS, TOPIC, ("client_configs", "sasl.kerberos.kinit.cmd=sh")], "cannot set"),
        (&[SERVERS, TOPIC, ("client_configs", "bootstrap.servers=x:1")], "cannot set 'bootstrap.servers'"),
        (&[SERVERS, TOPIC, ("source.discovery", "1ms")], "at least a second"),
        (
            &[SERVERS, TOPIC, ("sink.key_field", "n")],
            "unknown options provided in WITH clause: 'sink.key_field'",
        ),
        (
            &[SERVERS, TOPIC, ("format", "avro")],
            "without 'avro.confluent_schema_registry' is not supported yet",
        ),
        (
            &[SERVERS, TOPIC, ("format", "avro"), ("avro.confluent_schema_registry", "true")],
            "needs 'schema_registry.endpoint'",
        ),
        (
            &[SERVERS, TOPIC, ("schema_registry.endpoint", "http://u:p@h/")],
            "a URL of http or https, without a password",
        ),
        (
            &[SERVERS, TOPIC, ("schema_registry.endpoint", "http://h/"), ("schema_registry.api_key", "k")],
            "go together",
        ),
    ] {
        let error = refused("source", given, n());
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let topic = vec![column("n", DataType::Int64, None), column("t", DataType::Int32, Some("topic"))];
    assert_eq!(
        refused("source", &[SERVERS, TOPIC], topic),
        "incorrect data type for metadata field 'topic'; expected TEXT, but found INT"
    );
    let unknown = vec![column("t", DataType::Utf8, Some("header"))];
    assert!(refused("source", &[SERVERS, TOPIC], unknown).contains("unknown metadata field 'header'"));
}

#[test]
fn a_sink_says_what_it_cannot_do() {
    for (given, expected) in [
        (&[SERVERS, TOPIC, ("sink.commit_mode", "exactly_once")][..], "is not supported yet"),
        (&[SERVERS, TOPIC, ("sink.changes", "upsert")], "sink.changes = 'upsert' is not supported yet"),
        (&[SERVERS, TOPIC, ("source.offset", "latest")], "'source.offset'"),
    ] {
        let error = refused("sink", given, Vec::new());
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let given = [SERVERS, TOPIC, ("sink.key_field", "k"), ("sink.timestamp_field", "n")];
    let Connector::Sink(sink) = made("sink", &given, Vec::new()).expect("fits") else { panic!("a sink") };
    let without = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
    let error = sink.check(&without).expect_err("no key").to_string();
    assert_eq!(error, "option 'sink.key_field' is a column of the table, got 'k'");
    let with =
        Schema::new(vec![Field::new("K", DataType::Utf8, true), Field::new("n", DataType::Int64, true)]);
    let error = sink.check(&with).expect_err("no time").to_string();
    assert_eq!(error, "option 'sink.timestamp_field' is a column of type TIMESTAMP, n is BIGINT");
}

#[test]
fn confluent_logs_in_with_a_key_over_tls() {
    let options =
        [("connector", "confluent"), ("type", "sink"), SERVERS, TOPIC, ("key", "k"), ("secret", "s")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let declared = Declaration {
        name: "t".to_owned(),
        columns: Vec::new(),
        has_key: false,
        has_generated: false,
        options: Options::new(options),
    };
    let Connector::Sink(crate::SinkOptions::Kafka(sink)) = Connector::of(declared).expect("fits") else {
        panic!("a topic")
    };
    let configs: Vec<(&str, &str)> =
        sink.topic.configs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        configs,
        [
            ("sasl.mechanism", "PLAIN"),
            ("sasl.password", "s"),
            ("sasl.username", "k"),
            ("security.protocol", "SASL_SSL")
        ]
    );
}

#[test]
fn brokers_registries_and_files_are_in_reach_or_denied() {
    let given = [
        SERVERS,
        TOPIC,
        ("schema_registry.endpoint", "https://registry.example.com/api/"),
        ("client_configs", "ssl.ca.location=/etc/ca.pem"),
    ];
    let columns = vec![column("n", DataType::Int64, None)];
    let Connector::Source(source) = made("source", &given, columns).expect("fits") else {
        panic!("a source")
    };
    let reach = |urls: &[&str], paths: &[&str]| Reach::Named {
        paths: paths.iter().map(|path| (*path).into()).collect(),
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
    };
    let (one, two) = ("kafka://127.0.0.1:9092", "kafka://[::1]:9093/orders.v1");
    let registry = "https://registry.example.com/";
    source.check_reach(&reach(&[one, two, registry], &["/etc"])).expect("in reach");
    for (reach, names) in [
        (reach(&[one, registry], &["/etc"]), "kafka://[::1]:9093/orders.v1"),
        (reach(&[one, two], &["/etc"]), "https://registry.example.com/api"),
        (reach(&[one, two, registry], &[]), "/etc/ca.pem"),
    ] {
        let error = source.check_reach(&reach).expect_err(names).to_string();
        assert!(error.contains(names), "{names}: {error}");
    }
}
