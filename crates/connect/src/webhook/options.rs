//! `WITH (connector = 'webhook', …)`

use cenote_codec::record::{JsonOptions, RecordFormat};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::format::record_format;
use crate::{Error, Options, Reach};

/// Rows of one call, at most.
const BATCH_ROWS_MAX: u64 = 10_000;

/// Who is called.
#[derive(Clone)]
pub struct WebhookOptions {
    pub(super) endpoint: Url,
    pub(super) headers: HeaderMap,
    pub(super) batch_rows: usize,
    pub(super) json: JsonOptions,
}

impl std::fmt::Debug for WebhookOptions {
    /// Headers may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebhookOptions({})", self.endpoint.host_str().unwrap_or_default())
    }
}

impl WebhookOptions {
    pub(crate) fn take(options: &mut Options) -> Result<Self, Error> {
        let endpoint = options.require("endpoint")?;
        let endpoint = Url::parse(&endpoint)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
            .ok_or_else(|| {
                Error::Options(format!("option 'endpoint' is a URL of http or https, got '{endpoint}'"))
            })?;
        let headers = options.take("headers").map_or(Ok(HeaderMap::new()), |text| headers(&text))?;
        let batch_rows = options.number("batch_rows")?.unwrap_or(1);
        if !(1..=BATCH_ROWS_MAX).contains(&batch_rows) {
            return Err(Error::Options(format!(
                "option 'batch_rows' is 1 to {BATCH_ROWS_MAX}, got {batch_rows}"
            )));
        }
        let RecordFormat::Json(json) = record_format(options)? else {
            return Err(Error::Options("a webhook takes format 'json'".to_owned()));
        };
        let batch_rows = usize::try_from(batch_rows).unwrap_or(1);
        Ok(Self { endpoint, headers, batch_rows, json })
    }

    pub(crate) fn check_reach(&self, reach: &Reach) -> Result<(), Error> {
        reach.url(self.endpoint.as_str())
    }
}

/// `Name: value, Other: value`
fn headers(text: &str) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let header = pair.split_once(':').and_then(|(name, value)| {
            Some((HeaderName::try_from(name.trim()).ok()?, HeaderValue::try_from(value.trim()).ok()?))
        });
        // the value may be a secret, so it is not shown
        let (name, mut value) = header.ok_or_else(|| {
            Error::Options("option 'headers' is a list of 'Name: value', with commas between".into())
        })?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}
