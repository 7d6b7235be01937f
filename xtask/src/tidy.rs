//! What no compiler checks: names, module docs, features and their tests, duplicate crates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

const FORBIDDEN_MODULES: [&str; 9] =
    ["common", "utils", "util", "helpers", "misc", "core", "shared", "types", "models"];
const ONE_VERSION: [&str; 7] = ["arrow", "parquet", "datafusion", "object_store", "sqlx", "axum", "tonic"];

#[derive(Deserialize)]
struct Features {
    feature: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    id: String,
    what: String,
    state: String,
    #[serde(default)]
    tests: Vec<String>,
}

/// Fails with everything that is wrong.
pub(crate) fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the checkout")?;
    let mut sources = Vec::new();
    for directory in ["crates", "tests", "xtask", "bench"] {
        collect(&root.join(directory), &mut sources)?;
    }
    let mut findings = Vec::new();
    check_sources(root, &sources, &mut findings)?;
    check_features(root, &sources, &mut findings)?;
    check_lock_file(root, &mut findings)?;
    ensure!(findings.is_empty(), "{}", findings.join("\n"));
    Ok(())
}

fn collect(directory: &Path, found: &mut Vec<(PathBuf, String)>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                collect(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            found.push((path, text));
        }
    }
    Ok(())
}

fn check_sources(root: &Path, sources: &[(PathBuf, String)], findings: &mut Vec<String>) -> Result<()> {
    for (path, text) in sources {
        let shown = path.strip_prefix(root)?.display();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let folder =
            path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        if FORBIDDEN_MODULES.contains(&stem) || (stem == "mod" && FORBIDDEN_MODULES.contains(&folder)) {
            findings.push(format!("{shown}: a module needs the name of its noun, not {stem}"));
        }
        if !text.starts_with("//!") && stem != "tests" {
            findings.push(format!("{shown}: begins without a module doc"));
        }
        for word in ["todo!(", "unimplemented!(", "FIXME", "dbg!("] {
            if text.contains(word) && stem != "tidy" {
                findings.push(format!("{shown}: holds {word}"));
            }
        }
    }
    Ok(())
}

/// Every row marked done names tests, and each of them exists as a test function or an slt file.
fn check_features(root: &Path, sources: &[(PathBuf, String)], findings: &mut Vec<String>) -> Result<()> {
    let text = std::fs::read_to_string(root.join("docs/features.toml")).context("docs/features.toml")?;
    let features: Features = toml::from_str(&text).context("docs/features.toml")?;
    let mut seen = BTreeSet::new();
    for feature in &features.feature {
        let id = &feature.id;
        if !seen.insert(id) {
            findings.push(format!("docs/features.toml: {id} stands twice"));
        }
        if feature.what.is_empty() || !["done", "part", "planned"].contains(&feature.state.as_str()) {
            findings.push(format!("docs/features.toml: {id} needs what, and a state done, part or planned"));
        }
        if feature.state != "planned" && feature.tests.is_empty() {
            findings.push(format!("docs/features.toml: {id} is {} and names no test", feature.state));
        }
        for test in &feature.tests {
            if !test_exists(root, sources, test) {
                findings.push(format!("docs/features.toml: {id} names {test}, which is no test"));
            }
        }
    }
    Ok(())
}

fn test_exists(root: &Path, sources: &[(PathBuf, String)], test: &str) -> bool {
    if test.ends_with(".slt") {
        return root.join("tests/slt").join(test).exists();
    }
    let signature = format!("fn {test}(");
    // A suite that several databases keep: its list makes a test of each promise.
    let promise = format!("::{test},");
    sources.iter().any(|(_, text)| {
        text.match_indices(&signature).any(|(at, _)| {
            let before = &text[at.saturating_sub(200)..at];
            before.rsplit("\n\n").next().is_some_and(|head| {
                head.contains("#[test]")
                    || head.contains("test(")
                    || head.contains("::test]")
                    || head.contains("test_case")
            })
        }) || (text.contains("proptest!") && text.contains(&signature))
            || (text.contains("promises!(") && text.contains(&promise))
    })
}

fn check_lock_file(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let lock: Lock = toml::from_str(&std::fs::read_to_string(root.join("Cargo.lock"))?)?;
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &lock.package {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    for name in ONE_VERSION {
        if versions.get(name).is_some_and(|versions| versions.len() > 1) {
            findings.push(format!("Cargo.lock: {name} stands in versions {:?}", versions[name]));
        }
    }
    if versions.contains_key("aws-lc-rs") {
        findings.push("Cargo.lock: aws-lc-rs stands beside ring; two providers panic at run time".to_owned());
    }
    Ok(())
}
