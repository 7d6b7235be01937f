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
    /// Whose key set the address names; `None` if it is the address of the set.
    issuer: Option<String>,
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
        Ok(Self { client, url, issuer: None })
    }

    pub(crate) fn discovery(issuer: &str) -> Result<Self, Error> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let url =
            Url::parse(&url).map_err(|_| Error::Key("jwt.issuer is no address, which discovery needs"))?;
        Ok(Self { issuer: Some(issuer.to_owned()), ..Self::jwks(url)? })
    }

    pub(crate) async fn keys(&self) -> Result<JwkSet, Error> {
        let Some(issuer) = &self.issuer else { return self.json(&self.url).await };
        let found: Discovered = self.json(&self.url).await?;
        // To the letter (OpenID Connect Discovery 1.0, 4.3).
        if found.issuer != *issuer {
            return Err(Error::Unreachable(format!("{} speaks for another issuer", shown(&self.url))));
        }
        let keys = Url::parse(&found.jwks_uri)
            .map_err(|_| Error::Unreachable(format!("{} names no key set", shown(&self.url))))?;
        check(&keys)?;
        self.json(&keys).await
    }

    async fn json<T: DeserializeOwned>(&self, url: &Url) -> Result<T, Error> {
        let failed = |reason: String| Error::Unreachable(format!("{}: {reason}", shown(url)));
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

/// An address without what may be a secret: user, query and fragment.
pub(crate) fn shown(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// Who can change what is read on the way can say who anybody is.
fn check(url: &Url) -> Result<(), Error> {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_near = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Address(shown(url), "it has no user and password"));
    }
    if url.scheme() == "https" || (url.scheme() == "http" && is_near) {
        return Ok(());
    }
    Err(Error::Address(shown(url), "HTTPS, or HTTP on loopback"))
}
