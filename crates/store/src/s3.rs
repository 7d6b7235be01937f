//! Amazon S3 and stores that speak its protocol.

use std::sync::Arc;

use object_store::ObjectStore;

use crate::{Error, StorageOptions};

/// The bucket, rooted at `prefix`. Requests are retried by the library within [`RETRY_TIME_MAX`].
#[cfg(feature = "s3")]
pub(crate) fn open(
    options: &StorageOptions,
    bucket: &str,
    prefix: &str,
) -> Result<Arc<dyn ObjectStore>, Error> {
    use object_store::aws::AmazonS3Builder;
    use object_store::prefix::PrefixStore;

    // given keys stand alone: a session token of the environment belongs to the environment's keys
    let builder = if options.access_key_id.is_empty() {
        AmazonS3Builder::from_env()
    } else {
        AmazonS3Builder::new()
            .with_access_key_id(&options.access_key_id)
            .with_secret_access_key(options.secret_access_key.reveal())
    };
    let mut builder = builder.with_bucket_name(bucket).with_retry(retries());
    if !options.region.is_empty() {
        builder = builder.with_region(&options.region);
    }
    if !options.endpoint.is_empty() {
        builder = builder.with_endpoint(&options.endpoint);
    }
    if options.allow_http {
        builder = builder.with_allow_http(true);
    }
    if options.virtual_hosted_style {
        builder = builder.with_virtual_hosted_style_request(true);
    }
    let bucket = builder
        .build()
        .map_err(|error| Error::Url { url: options.url.clone(), reason: error.to_string() })?;
    Ok(if prefix.is_empty() { Arc::new(bucket) } else { Arc::new(PrefixStore::new(bucket, prefix)) })
}

/// Times that a request is repeated.
#[cfg(feature = "s3")]
const RETRIES_MAX: usize = 5;
/// From the first try on, no repetition begins after this.
#[cfg(feature = "s3")]
const RETRY_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(60);

#[cfg(feature = "s3")]
fn retries() -> object_store::RetryConfig {
    object_store::RetryConfig {
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIME_MAX,
        ..Default::default()
    }
}

/// Says that this build cannot.
#[cfg(not(feature = "s3"))]
pub(crate) fn open(
    options: &StorageOptions,
    _bucket: &str,
    _prefix: &str,
) -> Result<Arc<dyn ObjectStore>, Error> {
    Err(Error::NoS3 { url: options.url.clone() })
}
