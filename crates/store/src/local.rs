//! Durability on local disk: the library renames a finished file into place, and leaves it in the page cache.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use parking_lot::Mutex;

use crate::Error;

/// Directories remembered as durable; beyond that all are forgotten, which costs a few more syncs.
const KNOWN_DIRECTORIES_MAX: usize = 65_536;

/// The directory of a store.
#[derive(Debug)]
pub(crate) struct LocalRoot {
    directory: PathBuf,
    /// Directories below the root whose own names are on disk. The library never removes one.
    known: Mutex<HashSet<PathBuf>>,
}

impl LocalRoot {
    /// The root and the library's store in it. Creates the directory, readable by its owner only. Errors are reasons.
    pub(crate) fn open(directory: &FilePath) -> Result<(Self, LocalFileSystem), String> {
        let failed = |error: io::Error| format!("directory {}: {error}", directory.display());
        create_durable(directory).map_err(failed)?;
        let objects = LocalFileSystem::new_with_prefix(directory).map_err(|error| error.to_string())?;
        let directory = directory.canonicalize().map_err(failed)?;
        Ok((Self { directory, known: Mutex::default() }, objects))
    }

    /// Returns when the file at `path`, its name and the names of its directories are on disk.
    pub(crate) async fn sync(self: Arc<Self>, path: &Path) -> Result<(), Error> {
        let relative = path.clone();
        let synced = tokio::task::spawn_blocking(move || self.sync_blocking(&relative)).await;
        let failed =
            |source| Error::from_store(path, object_store::Error::Generic { store: "local disk", source });
        match synced {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(error.into())),
            Err(error) => Err(failed(error.into())),
        }
    }

    fn sync_blocking(&self, path: &Path) -> io::Result<()> {
        let file = path.parts().fold(self.directory.clone(), |file, part| file.join(part.as_ref()));
        File::open(&file)?.sync_all()?;
        let mut directory = file.parent();
        while let Some(at) = directory {
            // the first holds the new file's name; those above matter only while they hold a new directory's name
            sync_directory(at)?;
            if at == self.directory || self.known.lock().contains(at) {
                break;
            }
            directory = at.parent();
        }
        self.remember(&file);
        Ok(())
    }

    fn remember(&self, file: &FilePath) {
        let mut known = self.known.lock();
        if known.len() >= KNOWN_DIRECTORIES_MAX {
            known.clear();
        }
        let below_root = file.ancestors().skip(1).take_while(|directory| *directory != self.directory);
        for directory in below_root {
            if !known.insert(directory.to_owned()) {
                break;
            }
        }
    }
}

/// Creates `directory` and those above it, and their names on disk.
fn create_durable(directory: &FilePath) -> io::Result<()> {
    let absolute = std::path::absolute(directory)?;
    let missing: Vec<&FilePath> = absolute.ancestors().take_while(|above| !above.exists()).collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&absolute)?;
    for parent in missing.into_iter().filter_map(FilePath::parent) {
        sync_directory(parent)?;
    }
    Ok(())
}

#[cfg(unix)]
fn sync_directory(directory: &FilePath) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Elsewhere a directory cannot be opened, and the file system logs names by itself.
#[cfg(not(unix))]
fn sync_directory(_directory: &FilePath) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_is_remembered_once_it_is_durable() {
        let root = tempfile::tempdir().unwrap();
        let (local, _) = LocalRoot::open(root.path()).unwrap();
        let local = Arc::new(local);
        let data = local.directory.join("t/data");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("a"), "x").unwrap();
        local.clone().sync(&Path::from("t/data/a")).await.unwrap();
        let known: HashSet<PathBuf> = local.known.lock().clone();
        assert_eq!(known, HashSet::from([local.directory.join("t"), data]));
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_durable() {
        let root = tempfile::tempdir().unwrap();
        let (local, _) = LocalRoot::open(root.path()).unwrap();
        let error = Arc::new(local).sync(&Path::from("t/data/a")).await.unwrap_err();
        assert!(error.to_string().starts_with("storage failed on t/data/a: "), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_new_root_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        LocalRoot::open(&directory).unwrap();
        assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}
