//! Durability on local disk: the library renames a finished file into place, and leaves it in the page cache.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use cenote_vocab::Micros;
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

    /// See [`crate::Store::clear_cut_off`].
    pub(crate) async fn clear_cut_off(
        self: Arc<Self>,
        prefix: &Path,
        before: Micros,
        dry_run: bool,
    ) -> Result<Vec<(String, u64)>, Error> {
        let below = self.file(prefix);
        let cleared = tokio::task::spawn_blocking(move || self.clear_blocking(below, before, dry_run)).await;
        let failed =
            |source| Error::from_store(prefix, object_store::Error::Generic { store: "local disk", source });
        match cleared {
            Ok(Ok(cleared)) => Ok(cleared),
            Ok(Err(error)) => Err(failed(error.into())),
            Err(error) => Err(failed(error.into())),
        }
    }

    fn clear_blocking(
        &self,
        below: PathBuf,
        before: Micros,
        dry_run: bool,
    ) -> io::Result<Vec<(String, u64)>> {
        let (mut cleared, mut directories) = (Vec::new(), vec![below]);
        while let Some(directory) = directories.pop() {
            let Some(entries) = there(std::fs::read_dir(&directory))? else { continue };
            for entry in entries {
                let path = entry?.path();
                let Some(known) = there(std::fs::symlink_metadata(&path))? else { continue };
                if known.is_dir() {
                    directories.push(path);
                    continue;
                }
                let written = known.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
                let is_old = i64::try_from(written.as_micros()).is_ok_and(|written| written <= before.0);
                if !known.is_file() || !is_cut_off(&path) || !is_old {
                    continue;
                }
                if !dry_run {
                    there(std::fs::remove_file(&path))?;
                }
                let name = path.strip_prefix(&self.directory).unwrap_or(&path);
                cleared.push((name.to_string_lossy().into_owned(), known.len()));
            }
        }
        cleared.sort();
        Ok(cleared)
    }

    fn file(&self, path: &Path) -> PathBuf {
        path.parts().fold(self.directory.clone(), |file, part| file.join(part.as_ref()))
    }

    fn sync_blocking(&self, path: &Path) -> io::Result<()> {
        let file = self.file(path);
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

/// True for the name that the library gives to a file that it will rename: that of the object, `#` and a number.
fn is_cut_off(path: &FilePath) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.split_once('#'))
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What was there to be done; `None` if somebody else took the file away meanwhile.
fn there<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
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

    #[tokio::test]
    async fn what_a_dead_process_left_of_an_upload_is_found_by_its_name_and_age() {
        let root = tempfile::tempdir().unwrap();
        let options = crate::StorageOptions { url: root.path().display().to_string(), ..Default::default() };
        let store = crate::Store::open(&options).unwrap();
        store.put(&Path::from("t/data/a.parquet"), "rows".into()).await.unwrap();
        for name in ["t/data/b.parquet#1", "t/data/deeper#12", "t/data/#x", "t/data/c#", "other#1"] {
            std::fs::create_dir_all(root.path().join("t/data")).unwrap();
            std::fs::write(root.path().join(name), "cut").unwrap();
        }
        let clear = async |prefix: &str, before, dry_run| {
            let cleared = store.clear_cut_off(&Path::from(prefix), Micros(before), dry_run).await.unwrap();
            cleared.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        let both = ["t/data/b.parquet#1", "t/data/deeper#12"];
        assert!(clear("t", 0, false).await.is_empty(), "they may be under way");
        assert!(clear("nowhere", i64::MAX, false).await.is_empty());
        assert_eq!(clear("t", i64::MAX, true).await, both);
        assert_eq!(clear("t", i64::MAX, false).await, both);
        assert!(clear("t", i64::MAX, false).await.is_empty());
        assert_eq!(store.read(&Path::from("t/data/a.parquet")).await.unwrap(), "rows");
        for name in ["t/data/#x", "t/data/c#", "other#1"] {
            assert!(root.path().join(name).exists(), "{name}");
        }
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
