//! The data directory: who holds it, what format it has.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cenote_vocab::Ids;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const FORMAT: u32 = 1;
const NETWORK_FILE_SYSTEMS: [(i64, &str); 4] =
    [(0x6969, "nfs"), (0x517b, "smb"), (0xff53_4d42, "cifs"), (0xfe53_4d42, "smb2")];

/// Who holds a data directory, as `LOCK` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// `http://address`, once the port is open.
    pub url: Option<String>,
    /// Version of the binary.
    pub version: String,
}

#[derive(Serialize, Deserialize)]
struct Format {
    format: u32,
    node: Uuid,
}

/// A data directory that this process holds until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
    /// The random id of this directory's node.
    pub node: Uuid,
    /// True if the directory was empty before.
    pub new: bool,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds it.
    #[error("data directory {path} is in use by process {}", .holder.as_ref().map_or_else(|| "unknown".to_owned(), |holder| holder.pid.to_string()))]
    Held {
        /// The directory.
        path: PathBuf,
        /// Who, if `LOCK` could be read.
        holder: Option<Holder>,
    },
    /// Locks and syncs of network file systems cannot be trusted.
    #[error("data directory {path} is on a network file system ({kind}); use a local disk")]
    Network {
        /// The directory.
        path: PathBuf,
        /// nfs, smb, cifs
        kind: &'static str,
    },
    /// Written by a newer release.
    #[error(
        "data directory {path} has format {found}, this binary knows {FORMAT}: use the release that wrote it"
    )]
    Format {
        /// The directory.
        path: PathBuf,
        /// In `format.json`.
        found: u32,
    },
    /// The operating system refused.
    #[error("data directory {path}: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
}

impl DataDir {
    /// Makes (0700) and locks the directory.
    pub fn open(path: &Path, ids: &Ids) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        refuse_network_file_system(path)?;
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("LOCK"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::Held { path: path.to_owned(), holder: read_holder(&lock) });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let (node, new) = read_or_write_format(path, ids)?;
        let mut directory = Self { path: path.to_owned(), lock, node, new };
        directory.announce(None).map_err(io)?;
        Ok(directory)
    }

    /// The live holder of a directory, if there is one; takes no lock.
    pub fn holder(path: &Path) -> Option<Holder> {
        let lock = OpenOptions::new().read(true).write(true).open(path.join("LOCK")).ok()?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => read_holder(&lock),
            _ => None,
        }
    }

    /// Writes into `LOCK` where this process can be reached.
    pub fn announce(&mut self, url: Option<String>) -> std::io::Result<()> {
        let holder = Holder { pid: std::process::id(), url, version: env!("CARGO_PKG_VERSION").to_owned() };
        let text = serde_json::to_vec(&holder)?;
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        self.lock.write_all(&text)?;
        self.lock.flush()
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only its owner can read.
    pub fn write_secret(&self, name: &str, text: &str) -> std::io::Result<PathBuf> {
        let path = self.path.join(name);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        Ok(path)
    }
}

fn read_holder(mut lock: &File) -> Option<Holder> {
    let mut text = String::new();
    lock.rewind().ok()?;
    lock.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn read_or_write_format(path: &Path, ids: &Ids) -> Result<(Uuid, bool), DataDirError> {
    let io = |source| DataDirError::Io { path: path.to_owned(), source };
    let file = path.join("format.json");
    match fs::read(&file) {
        Ok(bytes) => {
            let format: Format = serde_json::from_slice(&bytes).map_err(|error| io(error.into()))?;
            if format.format > FORMAT {
                return Err(DataDirError::Format { path: path.to_owned(), found: format.format });
            }
            Ok((format.node, false))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let format = Format { format: FORMAT, node: ids.uuid() };
            let draft = path.join("format.json.new");
            let mut writer = File::create(&draft).map_err(io)?;
            writer.write_all(&serde_json::to_vec(&format).map_err(|error| io(error.into()))?).map_err(io)?;
            writer.sync_all().map_err(io)?;
            fs::rename(&draft, &file).map_err(io)?;
            File::open(path).and_then(|directory| directory.sync_all()).map_err(io)?;
            Ok((format.node, true))
        }
        Err(error) => Err(io(error)),
    }
}

fn refuse_network_file_system(path: &Path) -> Result<(), DataDirError> {
    let Ok(stat) = rustix::fs::statfs(path) else { return Ok(()) };
    match NETWORK_FILE_SYSTEMS.iter().find(|(known, _)| *known == stat.f_type) {
        Some((_, kind)) => Err(DataDirError::Network { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use cenote_vocab::{Clock, Micros};

    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_who_the_first_is() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let ids = Ids::seeded(1, Clock::manual(Micros(0)));
        let first = DataDir::open(directory.path(), &ids).expect("free");
        assert!(first.new);
        let second = DataDir::open(directory.path(), &ids).expect_err("held");
        assert!(
            second.to_string().ends_with(&format!("is in use by process {}", std::process::id())),
            "{second}"
        );
        assert_eq!(DataDir::holder(directory.path()).map(|holder| holder.pid), Some(std::process::id()));
        let node = first.node;
        drop(first);
        let again = DataDir::open(directory.path(), &ids).expect("free again");
        assert_eq!((again.node, again.new), (node, false));
    }

    #[test]
    fn a_newer_format_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let text = format!("{{\"format\":99,\"node\":\"{}\"}}", Uuid::nil());
        fs::write(directory.path().join("format.json"), text).expect("written");
        let error =
            DataDir::open(directory.path(), &Ids::seeded(1, Clock::manual(Micros(0)))).expect_err("newer");
        assert!(error.to_string().contains("has format 99"), "{error}");
    }
}
