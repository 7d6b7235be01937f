//! Configuration: flag > `CENOTE_` variable > file > default, every error at once, each value with its origin.
//!
//! One declaration ([`KEYS`]) gives parsing, checks, `config print`, `config reference` and the nearest key of a
//! misspelled one. Only this module reads variables and configuration files.

mod error;
mod file;
mod key;
mod value;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::{ConfigError, Mistake};
pub use key::{KEYS, Key, Kind};

/// A shorter `table.retention` would be a slip of the pen that empties tables.
const RETENTION_MIN: Duration = Duration::from_secs(3600);

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// `--set`, or a flag that stands for a key.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("flag"),
        }
    }
}

#[derive(Clone)]
struct Setting {
    text: String,
    origin: Origin,
}

/// What the configuration is read from; all of it is given, so that a test can own it.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`, or `$CENOTE_CONFIG`: must exist.
    pub named_file: Option<PathBuf>,
    /// Looked at in order when no file is named; the first that exists is read.
    pub usual_files: Vec<PathBuf>,
    /// Environment variables.
    pub variables: Vec<(String, String)>,
    /// `--set key=value`.
    pub flags: Vec<(String, String)>,
}

/// Every key with its value; checked.
#[derive(Clone)]
pub struct Config {
    settings: BTreeMap<&'static str, Setting>,
    memory_total: u64,
}

impl Config {
    /// Reads all sources. `memory_total`: bytes that shares are taken of.
    pub fn read(sources: &Sources, memory_total: u64) -> Result<Self, ConfigError> {
        let mut mistakes = Vec::new();
        let mut settings: BTreeMap<&'static str, Setting> = KEYS
            .iter()
            .map(|key| (key.name, Setting { text: key.default.to_owned(), origin: Origin::Default }))
            .collect();
        let file = match &sources.named_file {
            Some(named) => Some(named),
            None => sources.usual_files.iter().find(|path| path.exists()),
        };
        let from_file = file.map_or_else(Vec::new, |path| file::read(path, &mut mistakes));
        let from_variables = variables(&sources.variables, &mut mistakes);
        let from_flags =
            sources.flags.iter().map(|(name, text)| (name.clone(), text.clone(), Origin::Flag)).collect();
        for (name, text, origin) in [from_file, from_variables, from_flags].into_iter().flatten() {
            apply(&mut settings, &name, text, origin, &mut mistakes);
        }
        let config = Self { settings, memory_total };
        config.check_relations(&mut mistakes);
        if mistakes.is_empty() { Ok(config) } else { Err(ConfigError { mistakes }) }
    }

    /// The text of a key.
    pub fn text(&self, name: &'static str) -> &str {
        &self.setting(name).text
    }

    /// A size key in bytes; a share (`25%`) is taken of the key that its declaration names.
    pub fn bytes(&self, name: &'static str) -> u64 {
        let text = self.text(name);
        match key::find(name).map(|key| key.kind) {
            Some(Kind::Share { of }) => {
                value::share(text, if of.is_empty() { self.memory_total } else { self.bytes(of) })
            }
            _ => value::size(text),
        }
        .expect("checked when it was read")
    }

    /// A duration key.
    pub fn duration(&self, name: &'static str) -> Duration {
        value::duration(self.text(name)).expect("checked when it was read")
    }

    /// A duration key that may be empty.
    pub fn optional_duration(&self, name: &'static str) -> Option<Duration> {
        let text = self.text(name);
        (!text.is_empty()).then(|| self.duration(name))
    }

    /// A whole-number key.
    pub fn number(&self, name: &'static str) -> u64 {
        self.text(name).parse().expect("checked when it was read")
    }

    /// A switch.
    pub fn flag(&self, name: &'static str) -> bool {
        self.text(name) == "true"
    }

    /// A list key; empty text is an empty list.
    pub fn list(&self, name: &'static str) -> Vec<String> {
        value::list(self.text(name))
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        PathBuf::from(self.text("server.data_dir"))
    }

    /// A path key; relative to the data directory's `default_name` if it is empty.
    pub fn path_or(&self, name: &'static str, default_name: &str) -> PathBuf {
        match self.text(name) {
            "" => self.data_dir().join(default_name),
            path => PathBuf::from(path),
        }
    }

    /// All keys with values (secrets as `***`) and origins, in the order of declaration.
    pub fn entries(&self) -> impl Iterator<Item = (&'static Key, String, &Origin)> {
        KEYS.iter().map(|key| {
            let setting = self.setting(key.name);
            let shown = if key.kind == Kind::Secret && !setting.text.is_empty() {
                "***".to_owned()
            } else {
                setting.text.clone()
            };
            (key, shown, &setting.origin)
        })
    }

    fn setting(&self, name: &'static str) -> &Setting {
        self.settings.get(name).expect("every key is declared")
    }

    fn check_relations(&self, mistakes: &mut Vec<Mistake>) {
        if !mistakes.is_empty() {
            return;
        }
        let (ingest, query, limit) = (
            self.bytes("ingest.buffer_memory"),
            self.bytes("query.memory_limit"),
            self.bytes("server.memory_limit"),
        );
        if ingest + query > limit {
            mistakes.push(Mistake::plain(format!(
                "ingest.buffer_memory ({ingest} bytes) and query.memory_limit ({query} bytes) exceed server.memory_limit ({limit} bytes)"
            )));
        }
        if self.optional_duration("table.retention").is_some_and(|keep| keep < RETENTION_MIN) {
            mistakes.push(Mistake::plain(
                "table.retention must be at least 1h, or empty to keep rows for ever".into(),
            ));
        }
        let exposed =
            ["server.listen", "postgres.listen"].into_iter().flat_map(|key| self.list(key)).any(|address| {
                address.parse::<std::net::SocketAddr>().is_ok_and(|address| !address.ip().is_loopback())
            });
        if exposed && !self.flag("auth.enabled") && !self.flag("auth.allow_insecure") {
            mistakes.push(Mistake::plain(
                "auth.enabled = false with a listener that is not on loopback needs auth.allow_insecure = true".into(),
            ));
        }
        let keys = [
            !self.text("jwt.jwks_url").is_empty(),
            self.flag("jwt.discovery"),
            !self.text("jwt.public_key").is_empty(),
            !self.text("jwt.hs256_secret").is_empty(),
        ];
        let keys = keys.into_iter().filter(|given| *given).count();
        match (self.text("jwt.issuer").is_empty(), self.text("jwt.audience").is_empty()) {
            (true, true) if keys == 0 => {}
            (false, false) if keys == 1 => {}
            _ => mistakes.push(Mistake::plain(
                "bearer tokens need jwt.issuer, jwt.audience, and one of jwt.jwks_url, jwt.discovery, jwt.public_key, jwt.hs256_secret"
                    .into(),
            )),
        }
        let token = self.text("auth.bootstrap_token");
        if !token.is_empty() && token.chars().count() < 32 {
            mistakes.push(Mistake::plain("auth.bootstrap_token needs at least 32 characters".into()));
        }
    }
}

/// The reference of all keys, as Markdown, made from their declarations.
pub fn reference() -> String {
    let mut text = String::from("# Configuration reference\n\nMade by `cenote config reference`.\n");
    let mut section = "";
    for key in KEYS {
        let (of_key, name) = key.name.split_once('.').expect("a key has a section");
        if of_key != section {
            section = of_key;
            write!(text, "\n## [{section}]\n\n| key | type | default | meaning |\n|---|---|---|---|\n")
                .expect("writing to a string");
        }
        let default = if key.default.is_empty() { "–".to_owned() } else { format!("`{}`", key.default) };
        writeln!(text, "| `{name}` | {} | {default} | {} |", key.kind.word(), key.doc)
            .expect("writing to a string");
    }
    text
}

fn apply(
    settings: &mut BTreeMap<&'static str, Setting>,
    name: &str,
    text: String,
    origin: Origin,
    mistakes: &mut Vec<Mistake>,
) {
    let (target, from_file) = match name.strip_suffix("_file") {
        Some(base) if key::find(base).is_some_and(|key| key.kind == Kind::Secret) => (base, true),
        _ => (name, false),
    };
    let Some(key) = key::find(target) else {
        mistakes.push(Mistake::unknown_key(name, &origin));
        return;
    };
    let text = if from_file {
        match std::fs::read_to_string(Path::new(&text)) {
            Ok(secret) => secret.trim_end_matches(['\r', '\n']).to_owned(),
            Err(error) => {
                mistakes.push(Mistake::at(&origin, format!("{name}: cannot read {text}: {error}")));
                return;
            }
        }
    } else {
        text
    };
    match value::check(key, &text) {
        Ok(()) => {
            settings.insert(key.name, Setting { text, origin });
        }
        Err(reason) => mistakes.push(Mistake::at(&origin, format!("{}: {reason}", key.name))),
    }
}

fn variables(all: &[(String, String)], mistakes: &mut Vec<Mistake>) -> Vec<(String, String, Origin)> {
    let mut found = Vec::new();
    for (variable, text) in all {
        let Some(rest) = variable.strip_prefix("CENOTE_") else { continue };
        // Without a double underscore it is not ours: Kubernetes injects CENOTE_PORT for a service of that name.
        let Some((section, name)) = rest.split_once("__") else { continue };
        let name = format!("{}.{}", section.to_lowercase(), name.to_lowercase());
        let known = key::find(&name).is_some()
            || name.strip_suffix("_file").is_some_and(|base| key::find(base).is_some());
        if known {
            found.push((name, text.clone(), Origin::Variable(variable.clone())));
        } else {
            mistakes.push(Mistake::unknown_variable(variable, &name));
        }
    }
    found
}

#[cfg(test)]
mod tests;
