use std::io::Write as _;

use super::*;

const MEMORY: u64 = 8 << 30;

fn file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(content.as_bytes()).expect("written");
    file
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let file = file("[wal]\nsize_max = \"1GiB\"\nsegment_size = \"16MiB\"\n[query]\ntimeout = \"1m\"\n");
    let sources = Sources {
        named_file: Some(file.path().to_owned()),
        variables: pairs(&[("CENOTE_WAL__SIZE_MAX", "2GiB"), ("CENOTE_WAL__SEGMENT_SIZE", "32MiB")]),
        flags: pairs(&[("wal.size_max", "3GiB")]),
        ..Sources::default()
    };
    let config = Config::read(&sources, MEMORY).expect("valid");
    assert_eq!(config.bytes("wal.size_max"), 3 << 30);
    assert_eq!(config.bytes("wal.segment_size"), 32 << 20);
    assert_eq!(config.duration("query.timeout"), Duration::from_secs(60));
    assert_eq!(config.duration("query.slow_threshold"), Duration::from_secs(1));
    let origins: Vec<String> = config
        .entries()
        .filter(|(key, ..)| ["wal.size_max", "wal.segment_size", "query.slow_threshold"].contains(&key.name))
        .map(|(_, _, origin)| origin.to_string())
        .collect();
    assert_eq!(
        origins,
        ["CENOTE_WAL__SEGMENT_SIZE", "flag", "default"]
            .map(str::to_owned)
            .into_iter()
            .collect::<Vec<_>>()
            .as_slice()
    );
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_with_line_and_suggestion() {
    let file = file("[wal]\nsise_max = \"8GiB\"\n\n[query]\ntimeout = 300\n");
    let sources = Sources { named_file: Some(file.path().to_owned()), ..Sources::default() };
    let text = Config::read(&sources, MEMORY).err().expect("refused").to_string();
    let path = file.path().display();
    assert!(
        text.contains(&format!("{path}:2: unknown key wal.sise_max (did you mean wal.size_max?)")),
        "{text}"
    );
    assert!(
        text.contains(&format!("{path}:5: query.timeout: a duration needs a unit: 300s or 300ms?")),
        "{text}"
    );
}

#[test]
fn variables_of_others_are_ignored_and_misspelled_ours_are_not() {
    let foreign =
        Sources { variables: pairs(&[("CENOTE_PORT", "tcp://10.0.0.1:8000")]), ..Sources::default() };
    assert!(Config::read(&foreign, MEMORY).is_ok());
    let misspelled = Sources { variables: pairs(&[("CENOTE_WALL__DIR", "x")]), ..Sources::default() };
    let text = Config::read(&misspelled, MEMORY).err().expect("refused").to_string();
    assert_eq!(text, "CENOTE_WALL__DIR: unknown key wall.dir (did you mean wal.dir?)");
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let secret = file("0123456789012345678901234567890123456789\n");
    let path = secret.path().display().to_string();
    let sources = Sources { flags: pairs(&[("auth.bootstrap_token_file", &path)]), ..Sources::default() };
    let config = Config::read(&sources, MEMORY).expect("valid");
    assert_eq!(config.text("auth.bootstrap_token").len(), 40);
    assert!(config.entries().all(|(_, shown, _)| !shown.contains("0123456789")));
}

#[test]
fn open_doors_without_a_lock_are_refused() {
    let flags = [("server.listen", "0.0.0.0:8000"), ("auth.enabled", "false")];
    let sources = Sources { flags: pairs(&flags), ..Sources::default() };
    let text = Config::read(&sources, MEMORY).err().expect("refused").to_string();
    assert!(text.contains("auth.allow_insecure"), "{text}");
}

#[test]
fn shares_are_taken_of_what_their_key_names_and_may_not_exceed_it() {
    let config = Config::read(&Sources::default(), MEMORY).expect("valid");
    assert_eq!(config.bytes("ingest.buffer_memory"), MEMORY / 100 * 75 / 100 * 25);
    let sources = Sources { flags: pairs(&[("ingest.buffer_memory", "60%")]), ..Sources::default() };
    assert!(Config::read(&sources, MEMORY).is_err());
}

#[test]
fn the_reference_is_the_committed_document() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/configuration.md");
    if std::env::var_os("CENOTE_ACCEPT").is_some() {
        std::fs::write(path, reference()).expect("written");
    }
    assert_eq!(std::fs::read_to_string(path).expect("the document"), reference(), "run make accept");
}
