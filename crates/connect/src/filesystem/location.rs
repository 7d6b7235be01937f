//! Where the files of a connector are.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_store::{Secret, StorageOptions, Store};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use crate::{Error, Options, Reach};

/// A place for files and how to get there.
#[derive(Clone, Debug)]
pub(super) struct Location {
    /// A directory, or `s3://bucket/prefix`.
    url: String,
    storage: StorageOptions,
}

impl Location {
    /// Takes `path` and `storage.…` out.
    pub(super) fn take(options: &mut Options) -> Result<Self, Error> {
        let path = options.require("path")?;
        let mut given = options.below("storage.");
        let mut storage = StorageOptions::default();
        let mut url = path.clone();
        if let Some(rest) = path.strip_prefix("s3a://") {
            url = format!("s3://{rest}");
        } else if let Some(rest) = path.strip_prefix("s3::") {
            // s3::https://endpoint/bucket/prefix
            let (scheme, rest) = rest.split_once("://").ok_or_else(|| wrong(&path))?;
            let (endpoint, bucket) = rest.split_once('/').ok_or_else(|| wrong(&path))?;
            storage.endpoint = format!("{scheme}://{endpoint}");
            storage.allow_http = scheme == "http";
            url = format!("s3://{bucket}");
        } else if let Some(rest) = path.strip_prefix("file://") {
            url = rest.to_owned();
        } else if path.contains("://") && !path.starts_with("s3://") {
            let scheme = path.split("://").next().unwrap_or_default();
            return Err(Error::Unsupported(format!("a path that begins with {scheme}://")));
        }
        fill(&mut storage, &mut given)?;
        if let Some(name) = given.keys().next() {
            return Err(Error::Options(format!(
                "unknown option 'storage.{name}'; there are region, endpoint, access_key_id, secret_access_key, \
                 allow_http, virtual_hosted_style"
            )));
        }
        storage.url.clone_from(&url);
        Ok(Self { url, storage })
    }

    fn is_local(&self) -> bool {
        !self.url.starts_with("s3://")
    }

    /// Tells it from other places.
    pub(super) fn identity(&self) -> String {
        match self.storage.endpoint.as_str() {
            "" => self.url.clone(),
            endpoint => format!("{} at {endpoint}", self.url),
        }
    }

    /// What lineage and messages call it.
    pub(super) fn shown(&self) -> &str {
        &self.url
    }

    /// `Denied` if it is out of reach.
    pub(super) fn check(&self, reach: &Reach) -> Result<(), Error> {
        if self.is_local() {
            return reach.path(&self.url).map(drop);
        }
        if !self.storage.endpoint.is_empty() {
            reach.url(&self.storage.endpoint)?;
        }
        reach.url(&self.url)
    }

    /// `Denied` if a file of this place is out of reach: a symbolic link may lead anywhere.
    pub(super) fn check_file(&self, file: &Path, reach: &Reach) -> Result<(), Error> {
        if !self.is_local() || matches!(reach, Reach::Everything) {
            return Ok(());
        }
        let path = std::path::Path::new(&self.url).join(file.as_ref());
        reach.path(&path.to_string_lossy()).map(drop)
    }

    /// For reading. `Missing` if it is a directory that is not there.
    pub(super) fn objects(&self, source: &str, reach: &Reach) -> Result<Arc<dyn ObjectStore>, Error> {
        self.check(reach)?;
        if !self.is_local() {
            return Ok(Store::open(&self.storage)?.objects());
        }
        let path = reach.path(&self.url)?;
        let local = LocalFileSystem::new_with_prefix(&path).map_err(|_| Error::Missing {
            source_name: source.to_owned(),
            path: path.display().to_string(),
        })?;
        Ok(Arc::new(local))
    }

    /// For writing; a directory that is not there is made.
    pub(super) fn store(&self, reach: &Reach) -> Result<Store, Error> {
        self.check(reach)?;
        Ok(Store::open(&self.storage)?)
    }
}

fn wrong(path: &str) -> Error {
    Error::Options(format!("path {path:?} is none: expected s3::https://endpoint/bucket/prefix"))
}

/// Takes what the store understands.
fn fill(storage: &mut StorageOptions, given: &mut BTreeMap<String, String>) -> Result<(), Error> {
    let mut text = |names: &[&str]| names.iter().find_map(|name| given.remove(*name));
    if let Some(region) = text(&["region", "aws_region"]) {
        storage.region = region;
    }
    if let Some(endpoint) = text(&["endpoint", "aws_endpoint"]) {
        storage.endpoint = endpoint;
    }
    if let Some(key) = text(&["access_key_id", "aws_access_key_id"]) {
        storage.access_key_id = key;
    }
    if let Some(key) = text(&["secret_access_key", "aws_secret_access_key"]) {
        storage.secret_access_key = Secret::new(key);
    }
    for (name, flag) in
        [("allow_http", &mut storage.allow_http), ("virtual_hosted_style", &mut storage.virtual_hosted_style)]
    {
        match given.remove(name).as_deref() {
            None => {}
            Some("true") => *flag = true,
            Some("false") => *flag = false,
            Some(other) => {
                return Err(Error::Options(format!(
                    "option 'storage.{name}' is true or false, got '{other}'"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_out_of_reach_is_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let inside = directory.path().join("inside");
        std::fs::create_dir_all(inside.join("sub")).expect("made");
        for name in ["outside.json", "inside/a.json", "inside/sub/b.json"] {
            std::fs::write(directory.path().join(name), "{}").expect("written");
        }
        std::os::unix::fs::symlink(directory.path().join("outside.json"), inside.join("link.json"))
            .expect("a link");
        std::os::unix::fs::symlink(directory.path(), inside.join("up")).expect("a link");
        std::os::unix::fs::symlink(inside.join("a.json"), inside.join("own.json")).expect("a link");
        let url = inside.display().to_string();
        let place = Location { url, storage: StorageOptions::default() };
        let reach = Reach::Named { paths: vec![inside], urls: Vec::new() };
        let may = |file: &str| place.check_file(&Path::from(file), &reach).is_ok();
        assert!(may("a.json") && may("sub/b.json") && may("own.json"));
        assert!(!may("link.json") && !may("up/outside.json"));
        assert!(place.check_file(&Path::from("link.json"), &Reach::Everything).is_ok());
    }
}
