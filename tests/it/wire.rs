//! What only the Postgres wire has: statements by name, session time zone, names of columns.

use cenote_testkit::client::postgres;
use cenote_testkit::node::TestNode;
use futures::TryStreamExt;
use tokio_postgres::SimpleQueryMessage;

/// The cells of the only row.
async fn row(client: &tokio_postgres::Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let rows: Vec<_> = rows.collect();
    let [row] = rows.as_slice() else { panic!("{sql}: {} rows", rows.len()) };
    (0..row.len()).map(|n| row.get(n).unwrap_or("NULL").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn instants_go_out_in_the_time_zone_of_their_session() {
    let node = TestNode::start().await;
    let config = node.postgres(&node.client());
    let (berlin, other) =
        (postgres(&config).await.expect("connected"), postgres(&config).await.expect("too"));
    let sql = "SELECT TIMESTAMPTZ '2024-07-01 12:00:00Z', TIMESTAMP '2024-07-01 12:00:00', \
               ARRAY[TIMESTAMPTZ '2024-01-01 00:00:00Z']";
    let utc = ["2024-07-01 12:00:00+00", "2024-07-01 12:00:00", "{\"2024-01-01 00:00:00+00\"}"];
    assert_eq!(row(&berlin, sql).await, utc);
    berlin.batch_execute("SET TIME ZONE 'Europe/Berlin'").await.expect("a zone");
    assert_eq!(
        row(&berlin, sql).await,
        ["2024-07-01 14:00:00+02", "2024-07-01 12:00:00", "{\"2024-01-01 01:00:00+01\"}"]
    );
    assert_eq!(row(&other, sql).await, utc, "another session keeps its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_both_protocols_are_deallocated_by_name() {
    let node = TestNode::start().await;
    let client = postgres(&node.postgres(&node.client())).await.expect("connected");
    client.batch_execute("PREPARE mine (BIGINT) AS SELECT $1 + 1").await.expect("prepared");
    assert_eq!(row(&client, "EXECUTE mine (41)").await, ["42"]);
    client.batch_execute("DEALLOCATE mine").await.expect("known");
    let gone = client.simple_query("EXECUTE mine (41)").await.expect_err("gone");
    assert_eq!(gone.code().map(|code| code.code()), Some("26000"));
    // the library names its statements s0, s1, …
    let prepared = client.prepare("SELECT 1::BIGINT AS one").await.expect("prepared");
    assert_eq!(client.query_one(&prepared, &[]).await.expect("a row").get::<_, i64>("one"), 1);
    let names = (0..9).map(|n| format!("DEALLOCATE s{n}"));
    let mut known = 0;
    for sql in names {
        known += usize::from(client.batch_execute(&sql).await.is_ok());
    }
    assert_eq!(known, 1, "the one that came by a Parse message");
    client.query_one(&prepared, &[]).await.expect_err("forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_have_the_names_that_postgresql_gives_on_both_wires() {
    let node = TestNode::start().await;
    let client = node.client();
    client.write("cpu,host=a usage=1.5 1").await;
    let sql = "SELECT c.host, avg(c.usage), count(*), count(*), max(c.usage)::BIGINT, 1 + 1, true FROM cpu c GROUP BY c.host";
    let expected = ["host", "avg", "count", "count", "max", "?column?", "bool"];
    let prepared = postgres(&node.postgres(&client)).await.expect("connected").prepare(sql).await;
    let prepared = prepared.expect("prepared");
    assert_eq!(prepared.columns().iter().map(|column| column.name()).collect::<Vec<_>>(), expected);
    let answer = client.try_sql(sql).await.expect("an answer").json();
    assert_eq!(answer["results"][0]["columns"], serde_json::json!(expected), "{answer}");
    let plan = client.sql(&format!("EXPLAIN {sql}")).await;
    assert!(!format!("{plan:?}").contains("u{1f}"), "{plan:?}");
}

/// All bytes of a COPY, as text.
async fn copied(client: &tokio_postgres::Client, sql: &str) -> Result<String, tokio_postgres::Error> {
    let parts: Vec<_> = client.copy_out(sql).await?.try_collect().await?;
    Ok(String::from_utf8(parts.concat()).expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_copied_out_as_text_and_csv() {
    let node = TestNode::start().await;
    let client = postgres(&node.postgres(&node.client())).await.expect("connected");
    client
        .batch_execute(
            "CREATE TABLE c (n BIGINT, t TEXT); INSERT INTO c VALUES (1, 'a,b'), (2, NULL), (3, '')",
        )
        .await
        .expect("made");
    let text = copied(&client, "COPY (SELECT * FROM c ORDER BY n) TO STDOUT").await.expect("copied");
    assert_eq!(text, "1\ta,b\n2\t\\N\n3\t\n");
    let csv = "COPY (SELECT n, t FROM c ORDER BY n) TO STDOUT WITH (FORMAT csv, HEADER)";
    assert_eq!(copied(&client, csv).await.expect("copied"), "n,t\n1,\"a,b\"\n2,\n3,\"\"\n");
    assert_eq!(copied(&client, "COPY c (n) TO STDOUT CSV").await.expect("copied").len(), 6);
    let none = copied(&client, "COPY (SELECT n FROM c WHERE n > 9) TO STDOUT CSV HEADER").await;
    assert_eq!(none.expect("copied"), "n\n");
    for (sql, code) in [
        ("COPY nowhere TO STDOUT", "42P01"),
        ("COPY c TO STDOUT (FORMAT binary)", "0A000"),
        ("COPY c FROM STDIN", "0A000"),
        ("COPY (SELECT 1 / (n - 3) FROM c) TO STDOUT", "22012"),
    ] {
        let error = copied(&client, sql).await.expect_err(sql);
        assert_eq!(error.code().map(|code| code.code()), Some(code), "{sql}: {error:?}");
    }
    let refused = node.client().try_sql("COPY c TO STDOUT").await.expect("an answer");
    assert_eq!(
        (refused.status, refused.json()["sqlstate"].clone()),
        (400, "0A000".into()),
        "{}",
        refused.text
    );
}
