use cenote_query::Error;

use super::*;

async fn body(response: Response) -> Value {
    use http_body_util::BodyExt;
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn clients_of_influxdb_get_their_words_and_media_type() {
    let problem = Problem::denied(Privilege::Insert, Object::Table("default", "cpu"));
    let response = problem.render("/api/v2/write", "r-1");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let body = body(response).await;
    assert_eq!(body["code"], "forbidden");
    assert_eq!(body["error"], "Permission denied: write required");
    assert_eq!((&body["privilege"], &body["object"]), (&json!("INSERT"), &json!("default.cpu")));
    assert_eq!((&body["detail"], &body["message"]), (&body["error"], &body["error"]));
    assert_eq!((&body["status"], &body["request_id"]), (&json!(403), &json!("r-1")));
    assert_eq!((&body["success"], &body["retryable"]), (&json!(false), &json!(false)));
    for path in ["/api/v1/sql", "/api/v1/search"] {
        let own = problem.render(path, "r-1");
        assert_eq!(own.headers()[header::CONTENT_TYPE], "application/problem+json", "{path}");
    }
}

#[tokio::test]
async fn a_full_disk_is_507_with_the_time_to_wait() {
    let problem = Problem::from(cenote_ingest::Error::DiskFull);
    let response = problem.render("/write", "r");
    assert_eq!(response.status().as_u16(), 507);
    assert_eq!(response.headers()[header::RETRY_AFTER], "10");
    let body = body(response).await;
    assert_eq!(
        (&body["code"], &body["sqlstate"], &body["retryable"]),
        (&json!("unavailable"), &json!("53100"), &json!(true))
    );
}

#[test]
fn a_bomb_is_413_and_a_bad_csv_cell_422() {
    let bomb = cenote_codec::Error::DecompressedTooLarge { bytes_max: 5 };
    let problem = Problem::from(cenote_ingest::Error::Codec(bomb));
    assert_eq!((problem.status.as_u16(), problem.retryable, problem.retry_after), (413, false, None));
    let cell = cenote_codec::Error::Unprocessable("row 3: column \"n\"".into());
    assert_eq!(Problem::from(cenote_ingest::Error::Codec(cell)).status.as_u16(), 422);
    let expired = cenote_catalog::Error::SnapshotExpired("transaction 3 is no longer kept".into());
    assert_eq!(Problem::from(expired).status.as_u16(), 410);
}

#[test]
fn the_place_of_a_second_statement_counts_in_the_whole_text() {
    let sql = "SELECT 1;\n SELECT usage_idel\n FROM cpu";
    let start = 11;
    let place = Place { line: 1, column: 8, position: 8, length: 10 };
    let error = Error::new(ErrorKind::Invalid, "column \"usage_idel\" does not exist")
        .with_sqlstate("42703")
        .with_hint("did you mean \"usage_idle\"?")
        .with_place(place);
    let problem = Problem::sql(&error, sql, start);
    assert_eq!(problem.members["line"], 2);
    assert_eq!(problem.members["column"], 9);
    assert_eq!(problem.members["position"], 19);
    assert_eq!(&sql[18..28], "usage_idel");
    assert_eq!(problem.members["sqlstate"], "42703");
    assert_eq!(
        problem.text,
        "column \"usage_idel\" does not exist\n line 2, column 9\n   2 |  SELECT usage_idel\n     |         ^^^^^^^^^^\n hint: did you mean \"usage_idle\"?"
    );
}

#[test]
fn only_foreign_paths_are_compatible() {
    assert!(
        is_compatible("/api/v1/query/arrow") && is_compatible("/ping") && is_compatible("/api/v1/databases")
    );
    assert!(!is_compatible("/api/v1/queries/7") && !is_compatible("/metrics") && !is_compatible("/writes"));
}
