//! A client of the HTTP door that panics on what a test did not expect.

use serde_json::Value;

/// A client with one token.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// `http://host:port`
    pub url: String,
    /// Its secret.
    pub token: String,
}

/// Status and body of an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body as text.
    pub text: String,
    /// The headers, by lower-case name.
    pub headers: Vec<(String, String)>,
}

impl Answer {
    /// The body as JSON; panics if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

impl Client {
    /// For the node at `url`.
    pub fn new(url: impl Into<String>, token: impl Into<String>) -> Self {
        Self { http: reqwest::Client::new(), url: url.into(), token: token.into() }
    }

    /// The same node, another token.
    #[must_use]
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: token.into(), ..self.clone() }
    }

    /// Sends anything; `Err` only if there was no answer.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer, reqwest::Error> {
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.url)).body(body);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// Writes line protocol; panics unless it is stored whole.
    pub async fn write(&self, lines: &str) {
        let answer = self.try_write(lines).await.expect("an answer");
        assert_eq!(answer.status, 204, "{}", answer.text);
    }

    /// Writes line protocol (timestamps in µs).
    pub async fn try_write(&self, lines: &str) -> Result<Answer, reqwest::Error> {
        self.send("POST", "/api/v1/write/line-protocol?precision=us", &[], lines.to_owned()).await
    }

    /// Runs statements; the answer, whatever it is.
    pub async fn try_sql(&self, sql: &str) -> Result<Answer, reqwest::Error> {
        let body = serde_json::json!({ "sql": sql }).to_string();
        self.send("POST", "/api/v1/sql", &[("content-type", "application/json")], body).await
    }

    /// Runs statements; the rows of the last; panics on an error.
    pub async fn sql(&self, sql: &str) -> Vec<Vec<Value>> {
        let answer = self.try_sql(sql).await.expect("an answer");
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text);
        let body = answer.json();
        let last =
            body["results"].as_array().and_then(|results| results.last()).cloned().unwrap_or(Value::Null);
        last["data"].as_array().map_or_else(Vec::new, |rows| {
            rows.iter().map(|row| row.as_array().cloned().unwrap_or_default()).collect()
        })
    }

    /// Runs a statement that answers one number.
    pub async fn number(&self, sql: &str) -> i64 {
        let rows = self.sql(sql).await;
        rows.first()
            .and_then(|row| row.first())
            .and_then(Value::as_i64)
            .unwrap_or_else(|| panic!("{sql}: expected one number, got {rows:?}"))
    }
}

/// A connection to the Postgres door; its task ends with the client.
pub async fn postgres(
    config: &tokio_postgres::Config,
) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
    #[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
    drop(tokio::spawn(connection));
    Ok(client)
}
