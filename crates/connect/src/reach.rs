//! What connectors of a node may touch: none of its disk and no address, but for what its configuration names.

use std::path::{Component, Path, PathBuf};

use crate::Error;

/// Places that connectors may read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All that the process may: its user wrote the script.
    Everything,
    /// What the configuration names.
    Named {
        /// `security.allowed_paths`: directories and files.
        paths: Vec<PathBuf>,
        /// `security.allowed_urls`: beginnings of URLs.
        urls: Vec<String>,
    },
}

impl Reach {
    /// The path, absolute, if it may be touched; symbolic links are followed as far as it is there.
    pub fn path(&self, given: &str) -> Result<PathBuf, Error> {
        let denied =
            || Error::Denied(format!("path {given} is outside of what security.allowed_paths names"));
        let path =
            std::path::absolute(given).map_err(|error| Error::Options(format!("path {given:?}: {error}")))?;
        let Self::Named { paths, .. } = self else { return Ok(path) };
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(denied());
        }
        let real = real(&path);
        let is_inside = |allowed: &PathBuf| {
            std::path::absolute(allowed).is_ok_and(|allowed| real.starts_with(self::real(&allowed)))
        };
        if paths.iter().any(is_inside) { Ok(path) } else { Err(denied()) }
    }

    /// Fails unless the URL may be called.
    pub fn url(&self, url: &str) -> Result<(), Error> {
        match self {
            Self::Everything => Ok(()),
            Self::Named { urls, .. } if urls.iter().any(|allowed| is_below(url, allowed)) => Ok(()),
            Self::Named { .. } => {
                Err(Error::Denied(format!("url {url} is outside of what security.allowed_urls names")))
            }
        }
    }
}

/// True if `allowed` is a beginning of the URL that ends where a part of it ends.
fn is_below(url: &str, allowed: &str) -> bool {
    let Some(rest) = url.strip_prefix(allowed) else { return false };
    !url.contains("/../")
        && !url.contains('@')
        && (allowed.ends_with('/') || rest.is_empty() || rest.starts_with(['/', '?']))
}

/// The path with its links followed, as far as it is there.
fn real(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(paths: &[&Path], urls: &[&str]) -> Reach {
        Reach::Named {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        }
    }

    #[test]
    fn a_path_is_inside_of_what_is_named_links_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let inside = directory.path().join("in");
        std::fs::create_dir(&inside).expect("a directory");
        let reach = named(&[&inside], &[]);
        let text = |path: &Path| path.to_str().expect("text").to_owned();
        assert!(reach.path(&text(&inside.join("new/file.json"))).is_ok());
        for outside in ["secret", "in/../secret", "inside"] {
            let error = reach.path(&text(&directory.path().join(outside))).expect_err(outside);
            assert!(error.to_string().contains("security.allowed_paths"), "{error}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(directory.path(), inside.join("out")).expect("a link");
            assert!(reach.path(&text(&inside.join("out/secret"))).is_err());
        }
        assert!(named(&[], &[]).path("/etc/passwd").is_err());
        assert!(Reach::Everything.path("/etc/passwd").is_ok());
    }

    #[test]
    fn a_url_begins_with_what_is_named() {
        let reach = named(&[], &["https://example.com/hooks", "s3://lake/"]);
        for (url, fits) in [
            ("https://example.com/hooks", true),
            ("https://example.com/hooks/a?b", true),
            ("https://example.com/hooksx", false),
            ("https://example.com.evil.org/hooks", false),
            ("https://example.com/hooks/../admin", false),
            ("s3://lake/a", true),
            ("s3://other/a", false),
        ] {
            assert_eq!(reach.url(url).is_ok(), fits, "{url}");
        }
    }
}
