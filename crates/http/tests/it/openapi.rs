//! The description of the API is a committed file.

use cenote_http::Http;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

#[test]
fn the_committed_document_is_that_of_this_build() {
    let document = Http::openapi() + "\n";
    if std::env::var_os("CENOTE_ACCEPT").is_some() {
        std::fs::write(COMMITTED, &document).expect("the file can be written");
    }
    let committed = std::fs::read_to_string(COMMITTED).expect("the committed document");
    assert!(
        document == committed,
        "crates/http/openapi.json is old: run this test once with CENOTE_ACCEPT=1"
    );
}

#[test]
fn every_path_has_a_summary_and_an_answer() {
    let document: serde_json::Value = serde_json::from_str(&Http::openapi()).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            assert!(!operation["responses"].as_object().expect("responses").is_empty(), "{method} {path}");
        }
    }
}
