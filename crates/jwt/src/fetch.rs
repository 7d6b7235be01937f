//! Asks an issuer for its keys.

use std::net::IpAddr;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// For one answer, from its question on.
const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Fetch {
    client: reqwest::Client,
    url: Url,
    /// The address is of what names the key set, not of the set.
    discovers: bool,
}

/// What is read of OpenID Connect Discovery 1.0, section 3.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Fetch {
    pub(crate) fn jwks(url: Url) -> Result<Self, Error> {
        check(&url)?;
        let client = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        let client = client.build().map_err(|error| Error::Unreachable(error.to_string()))?;
        Ok(Self { client, url, discovers: false })
    }

    pub(crate) fn discovery(issuer: &str) -> Result<Self, Error> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|_| Error::Address(issuer.to_owned()))?;
        Ok(Self { discovers: true, ..Self::jwks(url)? })
    }

    pub(crate) async fn keys(&self) -> Result<JwkSet, Error> {
        if !self.discovers {
            return self.json(&self.url).await;
        }
        let found: Discovered = self.json(&self.url).await?;
        if !self.url.as_str().starts_with(found.issuer.trim_end_matches('/')) {
            return Err(Error::Unreachable(format!("{} speaks for another issuer", self.url)));
        }
        let keys = Url::parse(&found.jwks_uri).map_err(|_| Error::Address(found.jwks_uri))?;
        check(&keys)?;
        self.json(&keys).await
    }

    async fn json<T: DeserializeOwned>(&self, url: &Url) -> Result<T, Error> {
        let failed = |reason: String| Error::Unreachable(format!("{url}: {reason}"));
        let sent = self.client.get(url.clone()).send().await;
        let mut answer = sent.map_err(|error| failed(error.without_url().to_string()))?;
        if !answer.status().is_success() {
            return Err(failed(format!("answers {}", answer.status())));
        }
        let mut body = Vec::new();
        while let Some(part) =
            answer.chunk().await.map_err(|error| failed(error.without_url().to_string()))?
        {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(failed(format!("answers more than {ANSWER_BYTES_MAX} bytes")));
            }
        }
        serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))
    }
}

/// Who can change what is read on the way can say who anybody is.
fn check(url: &Url) -> Result<(), Error> {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_near = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    if url.scheme() == "https" || (url.scheme() == "http" && is_near) {
        return Ok(());
    }
    Err(Error::Address(url.to_string()))
}
