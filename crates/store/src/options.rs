//! Where objects live and how to reach it.

use std::fmt;

/// A text that is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being printed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True if no text is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The keys of section `storage` of the configuration.
#[derive(Clone, Debug, Default)]
pub struct StorageOptions {
    /// A directory path or `file://…`, `s3://bucket/prefix`, or `memory`.
    pub url: String,
    /// S3 region.
    pub region: String,
    /// S3 endpoint, for stores other than Amazon's.
    pub endpoint: String,
    /// S3 access key; empty: the usual AWS variables or the instance's role.
    pub access_key_id: String,
    /// S3 secret key.
    pub secret_access_key: Secret,
    /// Speak plain HTTP to the endpoint.
    pub allow_http: bool,
    /// Bucket as host name.
    pub virtual_hosted_style: bool,
}
