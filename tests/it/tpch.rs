//! TPC-H's queries, unmodified, have DuckDB's answers, also of tables with deleted, updated and buffered rows and changed columns,
//! and of tables that nearly all rows were deleted from: `bench/query.py` at a small scale.

use std::process::Command;

use cenote_testkit::needs;
use cenote_testkit::process::binary;
use cenote_testkit::services::python_environment;

#[test]
fn all_answers_of_tpch_equal_duckdbs() {
    let Some(python) = python_environment() else {
        needs("the Python environment", false);
        return;
    };
    let output = Command::new(python.join("bin/python"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../bench/run.py"))
        .args(["answers", "--size", "small", "--binary"])
        .arg(binary())
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("of loaded tables: equal").count(), 22, "{said}");
    assert_eq!(said.matches("of changed tables: equal").count(), 22, "{said}");
    assert_eq!(said.matches("of nearly empty tables: equal").count(), 22, "{said}");
    assert_eq!(said.matches("one to ten of ").count(), 2, "{said}");
}
