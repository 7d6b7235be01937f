//! What a storage URL names.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::Error;

/// Where a store is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Location {
    Memory,
    Directory(PathBuf),
    S3 { bucket: String, prefix: String },
}

impl Location {
    /// Reads a directory path, `file://…`, `s3://bucket/prefix` or `memory`.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::Url { url: url.to_owned(), reason: reason.to_owned() };
        match url.split_once("://") {
            None if url.is_empty() => Err(wrong("is empty")),
            None if url == "memory" => Ok(Self::Memory),
            None => Ok(Self::Directory(url.into())),
            Some(("file", path)) if path.starts_with('/') => {
                let path = percent_decode_str(path).decode_utf8().map_err(|_| wrong("path is not UTF-8"))?;
                Ok(Self::Directory(path.as_ref().into()))
            }
            Some(("file", _)) => {
                Err(wrong("a file url needs an absolute path, as in file:///var/lib/cenote"))
            }
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    return Err(wrong("has no bucket, expected s3://bucket/prefix"));
                }
                Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
            }
            Some(_) => Err(wrong("is neither a directory, file://, s3:// nor the word memory")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_url_reads() {
        let s3 = |bucket: &str, prefix: &str| Location::S3 { bucket: bucket.into(), prefix: prefix.into() };
        for (url, location) in [
            ("memory", Location::Memory),
            ("data/objects", Location::Directory("data/objects".into())),
            ("/data", Location::Directory("/data".into())),
            ("file:///my%20data", Location::Directory("/my data".into())),
            ("s3://lake", s3("lake", "")),
            ("s3://lake/a/b/", s3("lake", "a/b")),
        ] {
            assert_eq!(Location::parse(url).unwrap(), location);
        }
    }

    #[test]
    fn a_wrong_url_is_named() {
        for url in ["", "gs://lake", "file://host/data", "s3:///a"] {
            let error = Location::parse(url).unwrap_err();
            assert!(error.to_string().starts_with(&format!("storage url {url:?}: ")), "{error}");
        }
    }
}
