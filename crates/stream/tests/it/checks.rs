//! What a pipeline may not be is refused when it is made, by name.

use cenote_catalog::NewToken;
use cenote_query::SessionOptions;
use cenote_testkit::engine::TestSession;
use cenote_vocab::{ErrorKind, Fault, Permission, Permissions};

use crate::world::World;

const LOOKUP: &str =
    "CREATE TEMPORARY TABLE n (k TEXT PRIMARY KEY, v BIGINT) WITH (connector = 'lake', table = 'keyed');";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pipeline_may_not_be_is_named() {
    let world = World::new().await;
    world
        .all(&[
            "CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT)".to_owned(),
            "CREATE TABLE keyed (time TIMESTAMP, k TEXT, v BIGINT, PRIMARY KEY (k) NOT ENFORCED)".to_owned(),
            "CREATE TABLE keyed2 (time TIMESTAMP, k TEXT, v BIGINT, PRIMARY KEY (k) NOT ENFORCED)".to_owned(),
            "CREATE TABLE out (k TEXT, v BIGINT)".to_owned(),
        ])
        .await;
    let tumble = "tumble(INTERVAL '1 second')";
    for (script, expected) in [
        ("SET watermark_delay = '1s'".to_owned(), "a pipeline needs an INSERT"),
        ("INSERT INTO out VALUES ('a', 1)".to_owned(), "rows that are written out would come in every epoch"),
        ("INSERT INTO out SELECT k, v FROM nowhere".to_owned(), "table \"nowhere\" does not exist"),
        ("INSERT INTO nowhere SELECT k, v FROM src".to_owned(), "table \"nowhere\" does not exist"),
        ("INSERT INTO out SELECT k, sum(v) FROM src GROUP BY k".to_owned(), "input is updating, but sink is not configured as an updating sink"),
        ("INSERT INTO out SELECT DISTINCT k, v FROM keyed".to_owned(), "input is updating, but sink is not configured as an updating sink"),
        ("INSERT INTO out SELECT k, v FROM src LIMIT 3".to_owned(), "LIMIT in a pipeline is not supported yet"),
        ("INSERT INTO out SELECT k, v FROM src ORDER BY v".to_owned(), "ORDER BY without LIMIT outside of closed windows"),
        ("INSERT INTO out SELECT a.k, b.v FROM src a JOIN src b ON a.k < b.k".to_owned(), "Updating joins must include an equijoin condition"),
        ("INSERT INTO out SELECT k, row_number() OVER (ORDER BY v) FROM src".to_owned(), "input is updating, but sink is not configured as an updating sink"),
        ("INSERT INTO keyed SELECT time, k, row_number() OVER (ORDER BY v) FROM src".to_owned(), "rows are told apart by (v), but the key of default.keyed is (k)"),
        ("INSERT INTO keyed SELECT max(time), 'x', v FROM src GROUP BY v".to_owned(), "rows are told apart by (v), but the key of default.keyed is (k)"),
        ("INSERT INTO keyed SELECT now(), k, v FROM keyed2".to_owned(), "now() over rows that may be taken back"),
        ("INSERT INTO keyed SELECT time, k, v FROM keyed2 WHERE random() < 0.5".to_owned(), "random() over rows that may be taken back"),
        ("INSERT INTO keyed SELECT time, k, v FROM src WHERE v NOT IN (SELECT v FROM keyed2)".to_owned(), "NOT IN in a pipeline is not supported yet"),
        ("INSERT INTO keyed SELECT time, k, v FROM (SELECT max(time) AS time, k, sum(v) AS v FROM src GROUP BY k); INSERT INTO keyed SELECT time, k, v FROM src".to_owned(), "several INSERTs of updating rows into default.keyed"),
        ("INSERT INTO out SELECT k, v FROM src WHERE v IN (SELECT v FROM src)".to_owned(), "input is updating, but sink is not configured as an updating sink"),
        ("INSERT INTO out SELECT k, v FROM src WHERE get_field(tumble(INTERVAL '1 second'), 'start') > time".to_owned(), "outside of GROUP BY"),
        (format!("INSERT INTO out SELECT k, count(*) FROM src GROUP BY {tumble}, hop(INTERVAL '1 second', INTERVAL '2 seconds'), k"), "several window functions"),
        ("INSERT INTO out SELECT k, count(*) FROM src GROUP BY tumble(INTERVAL '1 month'), k".to_owned(), "Windows do not support durations specified as months"),
        ("INSERT INTO out SELECT k, count(*) FROM src GROUP BY session(INTERVAL '0 seconds'), k".to_owned(), "the interval of session must be longer than 0"),
        ("INSERT INTO out SELECT k, count(*) FROM src GROUP BY tumble(INTERVAL '0 seconds'), k".to_owned(), "longer than 0"),
        (format!("INSERT INTO out SELECT k, sum(random()::BIGINT) FROM src GROUP BY {tumble}, k"), "random() below an aggregate"),
        ("INSERT INTO keyed SELECT time, k, v FROM keyed2 WHERE time::DATE = current_date".to_owned(), "current_date() over rows that may be taken back"),
        ("INSERT INTO out WITH RECURSIVE r AS (SELECT k, v FROM src UNION ALL SELECT k, v - 1 FROM r WHERE v > 0) SELECT k, v FROM r".to_owned(), "recursive CTEs are not supported"),
        ("INSERT INTO out SELECT k, v FROM src; UPDATE out SET v = 1".to_owned(), "UPDATE in a pipeline is not supported yet"),
        ("INSERT INTO out SELECT k, v FROM src; DELETE FROM out".to_owned(), "DELETE in a pipeline is not supported yet"),
        ("INSERT INTO out SELECT k, bit_xor(DISTINCT v) FROM src GROUP BY tumble(INTERVAL '1 second'), k".to_owned(), "bit_xor(DISTINCT …) in a pipeline is not supported yet"),
        ("INSERT INTO out SELECT k, nth_value(v, 2 ORDER BY v) FROM src GROUP BY tumble(INTERVAL '1 second'), k".to_owned(), "ORDER BY in nth_value() in a window is not supported yet"),
        ("INSERT INTO src SELECT time, k, v FROM src".to_owned(), "table default.src is both read and written"),
        ("INSERT INTO out SELECT k, v FROM keyed".to_owned(), "input is updating, but sink is not configured as an updating sink"),
        ("INSERT INTO out SELECT k, v FROM src FOR VERSION AS OF 1".to_owned(), "reading a version of a table in a pipeline"),
        ("INSERT INTO out SELECT 'x', count(*) FROM system.catalog.tables".to_owned(), "a system table in a pipeline"),
        ("INSERT INTO out SELECT 'x', value FROM range(0, 3)".to_owned(), "a pipeline"),
        ("INSERT INTO out SELECT 'x', counter FROM i".to_owned(), "table \"i\" does not exist"),
        ("CREATE TABLE i WITH (connector = 'nats'); INSERT INTO out SELECT 'x', counter FROM i".to_owned(), "connector 'nats' is not supported yet"),
        ("CREATE TABLE i WITH (connector = 'impulse'); INSERT INTO out SELECT 'x', counter FROM i".to_owned(), "option 'event_rate' is required"),
        ("CREATE TABLE i WITH (connector = 'impulse', event_rate = 1, x = 2, y = 3); INSERT INTO out SELECT 'x', counter FROM i".to_owned(), "unknown options provided in WITH clause: 'x', 'y'"),
        ("SET speed = 3; INSERT INTO out SELECT k, v FROM src".to_owned(), "invalid option 'speed'; supported options are"),
        (format!("{LOOKUP} INSERT INTO out SELECT src.k, n.v FROM src JOIN n ON src.v = n.v"), "the right-side of a look-up join condition must be a PRIMARY KEY column, but 'v' is not"),
        (format!("{LOOKUP} INSERT INTO out SELECT src.k, n.v FROM src JOIN n ON src.v < n.v"), "a look-up join needs an equality for each PRIMARY KEY column, and has none for 'k'"),
        (format!("{LOOKUP} INSERT INTO out SELECT src.k, n.v FROM src RIGHT JOIN n ON src.k = n.k"), "a Right look-up join is not supported yet"),
        (format!("{LOOKUP} INSERT INTO out SELECT k, v FROM n"), "a look-up table can only be the right side of a join"),
        (format!("{LOOKUP} INSERT INTO out SELECT k.k, n.v FROM keyed2 k JOIN n ON k.k = n.k"), "a look-up join of rows that may be taken back"),
        ("CREATE TEMPORARY TABLE n (k TEXT, v BIGINT, PRIMARY KEY (v)) WITH (connector = 'lake', table = 'keyed')".to_owned(), "lookup table 'n' needs the PRIMARY KEY of keyed, which is (k)"),
        ("CREATE TEMPORARY TABLE n (k TEXT PRIMARY KEY) WITH (connector = 'lake', table = 'src')".to_owned(), "table src has no PRIMARY KEY to look its rows up by"),
        ("CREATE TEMPORARY TABLE n (k TEXT PRIMARY KEY) WITH (connector = 'redis', table = 'src')".to_owned(), "a lookup table with connector 'redis' is not supported yet"),
        ("SELECT 1".to_owned(), "a SELECT whose rows go nowhere"),
    ] {
        let sql = format!("CREATE PIPELINE p AS $${script}$$");
        let error = world.client.error(&sql).await;
        assert!(error.to_string().contains(expected), "{script}\n  {error}");
        assert!(
            matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported | ErrorKind::NotFound),
            "{script}: {:?} {error}",
            error.kind()
        );
    }
    assert!(world.client.rows("SHOW PIPELINES").await.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_reads_and_writes_by_the_rights_of_its_owner() {
    let world = World::new().await;
    world
        .all(&[
            "CREATE SCHEMA app".to_owned(),
            "CREATE TABLE app.src (time TIMESTAMP, v BIGINT)".to_owned(),
            "CREATE TABLE app.out (v BIGINT)".to_owned(),
        ])
        .await;
    let session_of = async |name: &str, permissions: Permissions| {
        let new = NewToken {
            name: name.into(),
            description: String::new(),
            permissions,
            grants: Vec::new(),
            default_database: Some("app".into()),
            expires: None,
        };
        let catalog = &world.node.lake.catalog;
        let (_, secret) = catalog.create_token(&world.node.scope, new, None).await.expect("a token");
        let identity = catalog.authenticate(&secret).await.expect("known");
        let options = SessionOptions { protocol: "test", ..SessionOptions::default() };
        let session = world.node.engine.open_session(identity, options).await.expect("a session");
        TestSession { session: session.into() }
    };
    let reader = session_of("reader", Permissions::NONE.with(Permission::Read)).await;
    let sql = "CREATE PIPELINE p WITH (desired = 'paused') AS INSERT INTO out SELECT v FROM src";
    assert_eq!(reader.error(sql).await.kind(), ErrorKind::Denied);
    let writer = session_of("writer", Permissions::NONE.with(Permission::Write)).await;
    assert_eq!(
        writer.error(sql).await.kind(),
        ErrorKind::Denied,
        "it may write to what it may not read, and so knows it"
    );
    let both = session_of("both", Permissions::NONE.with(Permission::Read).with(Permission::Write)).await;
    both.rows(sql).await;
    assert_eq!(both.rows("SELECT owner FROM system.stream.pipelines").await, ["both"]);
    for statement in
        ["PAUSE PIPELINE app.p", "RESUME PIPELINE app.p", "DROP PIPELINE app.p", "SHOW CREATE PIPELINE app.p"]
    {
        let error = session_of(statement, Permissions::NONE.with(Permission::Read).with(Permission::Write))
            .await
            .error(statement)
            .await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{statement}: {error}");
    }
    // By the rights of another it runs only for who may do everything.
    let error = both.error("ALTER PIPELINE p OWNER TO writer").await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let error = world.client.error("ALTER PIPELINE app.p OWNER TO writer").await;
    assert_eq!(error.kind(), ErrorKind::Denied, "it may not read what the script reads: {error}");
    assert_eq!(world.client.rows("SELECT owner FROM system.stream.pipelines").await, ["both"]);
    session_of("another", Permissions::NONE.with(Permission::Read).with(Permission::Write)).await;
    world.client.rows("ALTER PIPELINE app.p OWNER TO another").await;
    assert_eq!(world.client.rows("SELECT owner FROM system.stream.pipelines").await, ["another"]);
    assert_eq!(both.error("DROP PIPELINE p").await.kind(), ErrorKind::Denied, "it is another's");
    world.client.rows("DROP PIPELINE app.p").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_pipeline_wants_for_itself_no_other_writes() {
    let world = World::new().await;
    world
        .all(&[
            "CREATE TABLE src (time TIMESTAMP, k TEXT, v BIGINT)".to_owned(),
            "CREATE TABLE keyed (k TEXT, v BIGINT, PRIMARY KEY (k) NOT ENFORCED)".to_owned(),
            "CREATE TABLE plain (k TEXT, v BIGINT)".to_owned(),
        ])
        .await;
    let paused = "WITH (desired = 'paused') AS";
    let updating = "INSERT INTO keyed SELECT k, sum(v) FROM src GROUP BY k";
    let directory = tempfile::tempdir().expect("a directory");
    let file = format!(
        "$$ CREATE TABLE out WITH (connector = 'single_file', path = '{}', type = 'sink', format = 'json'); INSERT INTO out SELECT k FROM src $$",
        directory.path().join("out.json").display()
    );
    world.client.rows(&format!("CREATE PIPELINE first {paused} {updating}")).await;
    world.client.rows(&format!("CREATE PIPELINE filing {paused} {file}")).await;
    for (script, expected) in [
        (updating, "table default.keyed is written by pipeline default.first already"),
        (
            "INSERT INTO keyed SELECT k, v FROM src",
            "table default.keyed is written by pipeline default.first already",
        ),
        (file.as_str(), "out.json is written by pipeline default.filing already"),
    ] {
        let error = world.client.error(&format!("CREATE PIPELINE second {paused} {script}")).await;
        assert!(error.to_string().contains(expected), "{script}: {error}");
    }
    for name in ["a", "b"] {
        world
            .client
            .rows(&format!("CREATE PIPELINE {name} {paused} INSERT INTO plain SELECT k, v FROM src"))
            .await;
    }
    world.client.rows("DROP PIPELINE first").await;
    world.client.rows(&format!("CREATE PIPELINE second {paused} {updating}")).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_of_a_script_are_shown_to_its_owner_only() {
    let world = World::new().await;
    let script = "CREATE TABLE out (n BIGINT) WITH (connector = 'webhook', endpoint = 'http://127.0.0.1:1/', headers = 'Authorization: Bearer abc'); \
                  CREATE TABLE i WITH (connector = 'impulse', event_rate = 1); INSERT INTO out SELECT counter FROM i";
    world.client.rows(&format!("CREATE PIPELINE p WITH (desired = 'paused') AS $${script}$$")).await;
    let shown = world.client.rows("SELECT script FROM system.stream.pipelines").await;
    assert_eq!(shown, [script.replace("'Authorization: Bearer abc'", "'***'")]);
    let own = world.client.rows("SHOW CREATE PIPELINE p").await;
    assert!(own[0].contains("Bearer abc"), "{own:?}");
    world.stop().await;
}
