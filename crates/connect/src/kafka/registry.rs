//! A schema registry, as Confluent's speaks.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use serde::{Deserialize, Serialize};

use super::options::RegistryOptions;
use crate::{Error, Reach};

/// One call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Characters of a refusal that an error shows.
const REFUSAL_SHOWN_MAX: usize = 200;
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A registry that answers.
pub(super) struct Registry {
    options: RegistryOptions,
    client: Client,
}

/// What became of a call.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may work later.
    Unavailable(String),
    /// The registry said no.
    Refused(String),
}

#[derive(Deserialize)]
struct Schema {
    schema: String,
    #[serde(default, rename = "schemaType")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Serialize)]
struct Registration<'a> {
    schema: &'a str,
    #[serde(rename = "schemaType")]
    kind: &'a str,
}

impl Registry {
    /// `Denied` if it is out of reach.
    pub(super) fn open(options: &RegistryOptions, reach: &Reach) -> Result<Self, Error> {
        reach.url(&options.endpoint)?;
        // a redirect could lead to what the gate would not let through
        let client = Client::builder().redirect(redirect::Policy::none()).timeout(CALL_TIMEOUT).build();
        let client = client.map_err(|error| Error::Options(format!("schema registry: {error}")))?;
        Ok(Self { options: options.clone(), client })
    }

    /// The Avro schema of a number; `None` if there is no schema of that number.
    pub(super) async fn schema(&self, number: u32) -> Result<Option<String>, Failure> {
        let call = self.client.get(format!("{}/schemas/ids/{number}", self.options.endpoint));
        let Some(answer) = self.call(call).await? else { return Ok(None) };
        let schema: Schema = read(&answer)?;
        match schema.kind.as_deref() {
            None | Some("AVRO") => Ok(Some(schema.schema)),
            // the records cannot be read, as if the schema were unknown
            Some(_) => Ok(None),
        }
    }

    /// The number of a schema under a subject, where it is made known if it is not.
    pub(super) async fn register(&self, subject: &str, kind: &str, schema: &str) -> Result<u32, Failure> {
        let subject: String = percent_encoded(subject);
        let call = self.client.post(format!("{}/subjects/{subject}/versions", self.options.endpoint));
        let body = serde_json::to_string(&Registration { schema, kind });
        let body = body.map_err(|error| Failure::Refused(error.to_string()))?;
        let call = call.header(reqwest::header::CONTENT_TYPE, MEDIA_TYPE).body(body);
        match self.call(call).await? {
            Some(answer) => Ok(read::<Registered>(&answer)?.id),
            None => Err(Failure::Refused("the schema registry has no subjects".to_owned())),
        }
    }

    /// The body of the answer; `None` for 404.
    async fn call(&self, call: RequestBuilder) -> Result<Option<Vec<u8>>, Failure> {
        let call = match &self.options.login {
            Some((name, password)) => call.basic_auth(name, Some(password)),
            None => call,
        };
        // without the URL, which names what is behind a gate
        let failed = |error: reqwest::Error| {
            Failure::Unavailable(format!("the schema registry does not answer: {}", error.without_url()))
        };
        let answer = call.header(reqwest::header::ACCEPT, MEDIA_TYPE).send().await.map_err(failed)?;
        let status = answer.status();
        let body = body(answer).await?;
        if status.is_success() {
            return Ok(Some(body));
        }
        let text: String = String::from_utf8_lossy(&body).chars().take(REFUSAL_SHOWN_MAX).collect();
        let reason = format!("the schema registry answered {status}: {text}");
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::TOO_MANY_REQUESTS => Err(Failure::Unavailable(reason)),
            status if status.is_server_error() => Err(Failure::Unavailable(reason)),
            _ => Err(Failure::Refused(reason)),
        }
    }
}

/// The whole body, if it is not too long.
async fn body(mut answer: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let failed = |error: reqwest::Error| Failure::Unavailable(error.without_url().to_string());
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Failure::Refused(format!("its answer is longer than {ANSWER_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn read<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, Failure> {
    let wrong = |error| Failure::Refused(format!("the schema registry's answer is none: {error}"));
    serde_json::from_slice(answer).map_err(wrong)
}

/// A subject as a part of a path.
fn percent_encoded(subject: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let encoded = |byte: u8| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    subject.bytes().map(encoded).collect()
}

impl Failure {
    /// As a source says it.
    pub(super) fn of_source(self, source_name: &str) -> Error {
        let source_name = source_name.to_owned();
        match self {
            Self::Unavailable(reason) => Error::SourceUnavailable { source_name, reason },
            Self::Refused(reason) => Error::SourceRefused { source_name, reason },
        }
    }

    /// As a sink says it.
    pub(super) fn of_sink(self, sink_name: &str) -> Error {
        let sink_name = sink_name.to_owned();
        match self {
            Self::Unavailable(reason) => Error::SinkUnavailable { sink_name, reason },
            Self::Refused(reason) => Error::SinkRefused { sink_name, reason },
        }
    }
}
