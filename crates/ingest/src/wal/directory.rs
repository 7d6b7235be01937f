//! The log's directory: one process at a time, one id for as long as the log lives.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use cenote_vocab::Ids;
use uuid::Uuid;

use super::segment::{first_of, sync_directory};
use crate::Error;

const NODE_FILE: &str = "node";
const LOCK_FILE: &str = "lock";

/// A locked log directory. Dropping it ends the lock.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    node: Uuid,
    is_new: bool,
    _lock: File,
}

impl Directory {
    /// Locks the directory, making it if needed. A log without segments gets a new id: its old one may stand in the ledger
    /// with places that this log would give out again.
    pub(crate) fn open(path: &Path, ids: &Ids) -> Result<Self, Error> {
        let failed =
            |what: &str, error: std::io::Error| Error::Io(format!("{what} {}: {error}", path.display()));
        fs::create_dir_all(path).map_err(|error| failed("cannot create", error))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK_FILE))
            .map_err(|error| failed("cannot open the lock in", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Io(format!("{} is in use by another process", path.display())));
            }
            Err(TryLockError::Error(error)) => return Err(failed("cannot lock", error)),
        }
        let mut directory = Self { path: path.to_owned(), node: Uuid::nil(), is_new: false, _lock: lock };
        let known = match fs::read_to_string(path.join(NODE_FILE)) {
            Ok(text) => Some(text.trim().parse::<Uuid>().map_err(|_| {
                Error::Corrupt(format!("{} does not hold the log's id", path.join(NODE_FILE).display()))
            })?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("cannot read the log's id in", error)),
        };
        match (known, directory.has_segments()?) {
            (Some(node), true) => directory.node = node,
            (None, true) => {
                return Err(Error::Corrupt(format!("{} has segments and no file \"node\"", path.display())));
            }
            (_, false) => directory.mint(ids)?,
        }
        Ok(directory)
    }

    /// Empties the log and gives it a new id: for a log that the ledger is ahead of, once its rows are in files.
    pub(crate) fn renew(&mut self, ids: &Ids) -> Result<(), Error> {
        let failed =
            |error: std::io::Error| Error::Io(format!("cannot empty {}: {error}", self.path.display()));
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_str().and_then(first_of).is_some() {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        sync_directory(&self.path).map_err(failed)?;
        self.mint(ids)
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The log's id.
    pub(crate) fn node(&self) -> Uuid {
        self.node
    }

    /// True if the id was minted by this process: nobody can know it yet.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    fn mint(&mut self, ids: &Ids) -> Result<(), Error> {
        let node = ids.uuid();
        let write = || {
            let unnamed = self.path.join("node.tmp");
            let mut file = File::create(&unnamed)?;
            file.write_all(node.to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&unnamed, self.path.join(NODE_FILE))?;
            sync_directory(&self.path)
        };
        write().map_err(|error: std::io::Error| {
            Error::Io(format!("cannot write the log's id in {}: {error}", self.path.display()))
        })?;
        self.node = node;
        self.is_new = true;
        Ok(())
    }

    fn has_segments(&self) -> Result<bool, Error> {
        let failed =
            |error: std::io::Error| Error::Io(format!("cannot list {}: {error}", self.path.display()));
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            if entry.map_err(failed)?.file_name().to_str().and_then(first_of).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
