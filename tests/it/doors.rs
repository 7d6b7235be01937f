//! Wrong input by every door: an error that names what is wrong, and nothing changed.

use cenote_testkit::client::postgres;
use cenote_testkit::node::TestNode;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_line_protocol_names_line_and_reason_and_stores_the_rest() {
    let node = TestNode::start().await;
    let client = node.client();
    let lines = "m v=1i 1\nm v=2i 2\nm novalue 3\nm v=4i 4\nm v=5i 5\nm v=6i 6\nm v=\"open 7";
    let answer = client.try_write(lines).await.expect("an answer");
    assert_eq!(answer.status, 400, "{}", answer.text);
    let body = answer.json();
    let numbers: Vec<&Value> =
        body["data"].as_array().expect("data").iter().map(|bad| &bad["line_number"]).collect();
    assert_eq!(numbers, [&json!(3), &json!(7)], "{body}");
    assert_eq!((&body["lines_written"], &body["lines_rejected"]), (&json!(5), &json!(2)));
    assert_eq!(client.number("SELECT count(*) FROM m").await, 5);
    let path = "/api/v1/write/line-protocol?precision=us&accept_partial=false";
    let answer = client.send("POST", path, &[], "m v=8i 8\nm bad 9").await.expect("an answer");
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert_eq!(client.number("SELECT count(*) FROM m").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_conflict_names_column_expected_and_given() {
    let node = TestNode::start().await;
    let client = node.client();
    client.write("cpu,host=a usage=1.5 1").await;
    let answer = client.try_write("cpu,host=a usage=\"high\" 2").await.expect("an answer");
    assert_eq!(answer.status, 400);
    for word in ["usage", "string", "float"] {
        assert!(answer.text.contains(word), "{word}: {}", answer.text);
    }
    let rows = r#"[{"time":3,"usage":"high"}]"#;
    let answer = client.send("POST", "/api/v1/write/json?table=cpu", &[], rows).await.expect("an answer");
    assert_eq!(answer.status, 400);
    for word in ["usage", "double", "high"] {
        assert!(answer.text.to_lowercase().contains(word), "{word}: {}", answer.text);
    }
    assert_eq!(client.number("SELECT count(*) FROM cpu").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_is_404_and_42p01_with_the_nearest_name() {
    let node = TestNode::start().await;
    let client = node.client();
    client.write("temperature v=1 1").await;
    let answer = client.try_sql("SELECT * FROM temprature").await.expect("an answer");
    assert_eq!((answer.status, answer.json()["sqlstate"].clone()), (404, json!("42P01")), "{}", answer.text);
    assert!(
        answer.json()["hint"].as_str().is_some_and(|hint| hint.contains("temperature")),
        "{}",
        answer.text
    );
    let postgres = postgres(&node.postgres(&client)).await.expect("connected");
    let error = postgres.simple_query("SELECT * FROM temprature").await.expect_err("missing");
    let error = error.as_db_error().expect("a database error");
    assert_eq!(error.code().code(), "42P01");
    assert!(error.hint().is_some_and(|hint| hint.contains("temperature")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelled_column_gets_a_place_and_the_nearest_name() {
    let node = TestNode::start().await;
    let client = node.client();
    client.write("cpu,host=a usage_idle=1 1").await;
    let sql = "SELECT host,\n  usage_idel FROM cpu";
    let answer = client.try_sql(sql).await.expect("an answer");
    let body = answer.json();
    assert_eq!((answer.status, &body["sqlstate"]), (400, &json!("42703")), "{body}");
    assert_eq!((&body["line"], &body["column"]), (&json!(2), &json!(3)), "{body}");
    let text = body["error"].as_str().expect("a text");
    assert!(text.contains("^^^^^^^^^^") && text.contains("did you mean \"usage_idle\""), "{text}");
    let postgres = postgres(&node.postgres(&client)).await.expect("connected");
    let error = postgres.simple_query(sql).await.expect_err("misspelled");
    let error = error.as_db_error().expect("a database error");
    assert_eq!(error.code().code(), "42703");
    assert_eq!(error.position(), Some(&tokio_postgres::error::ErrorPosition::Original(16)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_401_and_28p01() {
    let node = TestNode::start().await;
    let client = node.client();
    let wrong = client.with_token("cnt_00000000_wrong");
    let answer = wrong.try_sql("SELECT 1").await.expect("an answer");
    assert_eq!((answer.status, answer.json()["error"].clone()), (401, json!("Invalid or expired token")));
    let answer = client.with_token("").try_sql("SELECT 1").await.expect("an answer");
    assert_eq!((answer.status, answer.json()["error"].clone()), (401, json!("Authentication required")));
    for (user, password) in [("admin", "wrong"), ("nobody", client.token.as_str())] {
        let mut config = node.postgres(&client);
        config.user(user).password(password);
        let error = config.connect(tokio_postgres::NoTls).await.err().expect("refused");
        assert_eq!(error.as_db_error().expect("a database error").code().code(), "28P01");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_can_do_what_it_was_given_and_no_more() {
    let node = TestNode::start().await;
    let admin = node.client();
    admin.write("cpu usage=1 1").await;
    let body = json!({ "name": "reader", "permissions": ["read"] }).to_string();
    let made = admin.send("POST", "/api/v1/auth/tokens", &[], body).await.expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text);
    let reader = admin.with_token(made.json()["token"].as_str().expect("a secret"));
    assert_eq!(reader.number("SELECT count(*) FROM cpu").await, 1);
    for sql in [
        "INSERT INTO cpu VALUES (now(), 2)",
        "DELETE FROM cpu",
        "DROP TABLE cpu",
        "CREATE TABLE x (n BIGINT)",
    ] {
        let answer = reader.try_sql(sql).await.expect("an answer");
        assert_eq!(
            (answer.status, answer.json()["sqlstate"].clone()),
            (403, json!("42501")),
            "{sql}: {}",
            answer.text
        );
    }
    assert_eq!(reader.try_write("cpu usage=2 2").await.expect("an answer").status, 403);
    let answer = reader.send("GET", "/api/v1/auth/tokens", &[], "").await.expect("an answer");
    assert_eq!(answer.status, 403);
    let id = made.json()["id"].as_i64().expect("its number");
    let revoked =
        admin.send("POST", &format!("/api/v1/auth/tokens/{id}/revoke"), &[], "").await.expect("an answer");
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    assert_eq!(reader.try_sql("SELECT 1").await.expect("an answer").status, 401);
    assert_eq!(admin.number("SELECT count(*) FROM cpu").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_reads_no_local_file() {
    let node = TestNode::start().await;
    let client = node.client();
    let postgres = postgres(&node.postgres(&client)).await.expect("connected");
    for sql in [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM read_json('file:///etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "CREATE EXTERNAL TABLE p STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/cenote-should-not-exist.csv'",
        "COPY t FROM '/etc/passwd'",
        "SELECT pg_read_file('/etc/passwd')",
    ] {
        let answer = client.try_sql(sql).await.expect("an answer");
        assert!((400..500).contains(&answer.status), "{sql}: {} {}", answer.status, answer.text);
        assert!(!answer.text.contains("root:"), "{sql}: {}", answer.text);
        let error = postgres.simple_query(sql).await.expect_err(sql);
        let error = error.as_db_error().expect("a database error");
        assert!(!error.message().contains("root:"), "{sql}");
    }
    assert!(!std::path::Path::new("/tmp/cenote-should-not-exist.csv").exists());
    for sql in
        ["SELECT * FROM read_csv('/etc/passwd')", "COPY (SELECT 1) TO '/tmp/cenote-should-not-exist.csv'"]
    {
        let answer = client.try_sql(sql).await.expect("an answer");
        assert_eq!(answer.json()["sqlstate"], json!("42501"), "{sql}: {}", answer.text);
        assert!(answer.text.contains("security.allowed_paths"), "{sql}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_query_path_only_reads() {
    let node = TestNode::start().await;
    let client = node.client();
    client.write("cpu created_update=1 1").await;
    let ask = async |sql: &str| {
        let body = json!({ "sql": sql }).to_string();
        client.send("POST", "/api/v1/query", &[], body).await.expect("an answer")
    };
    for sql in ["DROP TABLE cpu", "INSERT INTO cpu VALUES (now(), 1)", "SELECT 1; SELECT 2", ""] {
        assert_eq!(ask(sql).await.status, 400, "{sql}");
    }
    let answer = ask("SELECT created_update FROM cpu").await;
    assert_eq!(answer.json()["data"], json!([[1.0]]), "{}", answer.text);
}
