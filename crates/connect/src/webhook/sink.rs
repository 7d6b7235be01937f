//! Sends rows and waits for the answers, before the commit: a crash sends those of its epoch again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cenote_codec::record::{RecordFormat, encode};
use cenote_vocab::Clock;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};

use super::WebhookOptions;
use crate::sink::{EpochRows, Sink, SinkClass};
use crate::{BadRow, Error, Reach, RowPlace};

/// Calls that wait for their answer at once.
const IN_FLIGHT_MAX: usize = 50;
/// One call.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Calls of the same rows before the sink counts as down.
const ATTEMPTS_MAX: u32 = 6;
/// First wait between two of them; it doubles up to the longest.
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Characters of an answer that an error shows.
const ANSWER_SHOWN_MAX: usize = 200;

/// The caller.
pub struct WebhookSink {
    name: String,
    options: WebhookOptions,
    client: Client,
    clock: Clock,
    /// Of the last epoch, by their numbers in it.
    refused: Vec<BadRow>,
}

/// Rows of one call.
struct Rows {
    /// The number of the first in its epoch.
    first: usize,
    records: Vec<Bytes>,
}

impl Rows {
    fn body(&self, batch_rows: usize) -> Bytes {
        match self.records.as_slice() {
            [record] if batch_rows == 1 => record.clone(),
            records => {
                let mut body = vec![b'['];
                body.extend_from_slice(&records.join(&b','));
                body.push(b']');
                body.into()
            }
        }
    }

    /// They are not wanted, and will not be: an epoch is their partition.
    fn refused(&self, epoch: i64, reason: &str) -> impl Iterator<Item = BadRow> {
        let partition: Arc<str> = epoch.to_string().into();
        self.records.iter().enumerate().map(move |(at, record)| {
            let place = RowPlace { partition: partition.clone(), offset: (self.first + at) as u64 };
            BadRow::new(place, record, reason.to_owned())
        })
    }
}

impl WebhookSink {
    /// `Denied` if the endpoint is out of reach.
    pub fn open(name: &str, options: &WebhookOptions, clock: Clock, reach: &Reach) -> Result<Self, Error> {
        options.check_reach(reach)?;
        // a redirect could lead to what the gate would not let through
        let client = Client::builder().redirect(redirect::Policy::none()).timeout(CALL_TIMEOUT).build();
        let client = client.map_err(|error| Error::SinkUnavailable {
            sink_name: name.to_owned(),
            reason: error.to_string(),
        })?;
        let refused = Vec::new();
        Ok(Self { name: name.to_owned(), options: options.clone(), client, clock, refused })
    }

    fn unavailable(&self, reason: String) -> Error {
        Error::SinkUnavailable { sink_name: self.name.clone(), reason }
    }

    /// Sends rows until they are taken; answers those that are refused for what they are.
    async fn send(&self, epoch: i64, rows: Rows) -> Result<Vec<BadRow>, Error> {
        let body = rows.body(self.options.batch_rows);
        let mut backoff = BACKOFF;
        let mut last = String::new();
        for _ in 0..ATTEMPTS_MAX {
            let call = self
                .client
                .post(self.options.endpoint.clone())
                .headers(self.options.headers.clone())
                .header(CONTENT_TYPE, "application/json")
                .header("cenote-epoch", epoch)
                .body(body.clone());
            let wait = match call.send().await {
                Ok(answer) if answer.status().is_success() => return Ok(Vec::new()),
                Ok(answer) => {
                    let wait = retry_after(&answer);
                    let status = answer.status();
                    last = said(answer).await;
                    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
                        return Ok(rows.refused(epoch, &last).collect());
                    }
                    if !status.is_client_error() && !status.is_server_error() {
                        return Err(Error::SinkRefused { sink_name: self.name.clone(), reason: last });
                    }
                    wait
                }
                // without the URL, which may hold a secret
                Err(error) => {
                    last = error.without_url().to_string();
                    None
                }
            };
            self.clock.pause(wait.unwrap_or(backoff).min(BACKOFF_MAX)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        Err(self.unavailable(last))
    }
}

/// Seconds that the answer asks to wait.
fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The answer as an error shows it.
async fn said(answer: Response) -> String {
    let status = answer.status();
    let text: String = answer.text().await.unwrap_or_default().chars().take(ANSWER_SHOWN_MAX).collect();
    format!("it answered {status}: {text}")
}

#[async_trait]
impl Sink for WebhookSink {
    fn class(&self) -> SinkClass {
        SinkClass::AtLeastOnce
    }

    async fn restore(&mut self, _state: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn stage(&mut self, _state: &str, rows: EpochRows<'_>) -> Result<String, Error> {
        let format = RecordFormat::Json(self.options.json);
        let mut records = Vec::new();
        for batch in rows.rows {
            let mut lines = Vec::new();
            encode(&format, batch, &mut lines)?;
            let lines = Bytes::from(lines);
            let mut start = 0;
            for at in memchr::memchr_iter(b'\n', &lines) {
                records.push(lines.slice(start..at));
                start = at + 1;
            }
        }
        let batch_rows = self.options.batch_rows;
        let calls = records.chunks(batch_rows).enumerate();
        let calls: Vec<Rows> =
            calls.map(|(at, records)| Rows { first: at * batch_rows, records: records.to_vec() }).collect();
        let this = &*self;
        let mut refused: Vec<BadRow> =
            stream::iter(calls.into_iter().map(|call| this.send(rows.epoch, call)))
                .buffer_unordered(IN_FLIGHT_MAX)
                .try_collect::<Vec<_>>()
                .await?
                .into_iter()
                .flatten()
                .collect();
        refused.sort_by_key(|row| row.place.offset);
        self.refused = refused;
        Ok(String::new())
    }

    fn take_refused(&mut self) -> Vec<BadRow> {
        std::mem::take(&mut self.refused)
    }

    async fn finish(&mut self, _state: &str) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use arrow::record_batch::RecordBatch;
    use cenote_vocab::Micros;
    use parking_lot::Mutex;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{Closing, Options};

    /// A server that answers with these, then with 200; and the requests that it saw.
    async fn server(answers: &'static [&'static str]) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let requests = seen.clone();
        #[expect(clippy::disallowed_methods, reason = "a server for one test")]
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.expect("a call");
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                loop {
                    let read = socket.read(&mut buffer).await.expect("bytes");
                    request.extend_from_slice(&buffer[..read]);
                    let text = String::from_utf8_lossy(&request).to_lowercase();
                    let length = text
                        .split("content-length: ")
                        .nth(1)
                        .and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
                    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
                    if read == 0 || (length.is_some() && body >= length) {
                        break;
                    }
                }
                let number = {
                    let mut requests = requests.lock();
                    requests.push(String::from_utf8_lossy(&request).into_owned());
                    requests.len() - 1
                };
                let status = answers.get(number).copied().unwrap_or("200 OK");
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
                socket.write_all(answer.as_bytes()).await.expect("sends");
            }
        });
        (format!("http://{address}/hook"), seen)
    }

    fn sink(url: &str, more: &[(&str, &str)]) -> WebhookSink {
        let mut given = BTreeMap::from([("endpoint".to_owned(), url.to_owned())]);
        given.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut options = Options::new(given);
        let taken = WebhookOptions::take(&mut options).expect("fits");
        options.end().expect("all are known");
        WebhookSink::open("w", &taken, Clock::system(), &Reach::Everything).expect("opens")
    }

    async fn send(sink: &mut WebhookSink, count: i64) -> Result<String, Error> {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new((0..count).collect::<Int64Array>())]);
        let rows = [batch.expect("a batch")];
        sink.stage("", EpochRows { epoch: 7, now: Micros(0), rows: &rows, closing: Closing::Open }).await
    }

    #[tokio::test]
    async fn a_row_is_sent_until_it_is_taken_with_its_epoch() {
        let (url, seen) = server(&["503 Down", "429 Slow\r\nretry-after: 0"]).await;
        let mut sink = sink(&url, &[("headers", "Authorization: Bearer x, X-Kind: a")]);
        send(&mut sink, 1).await.expect("sent");
        let seen = seen.lock().clone();
        assert_eq!(seen.len(), 3);
        let last = seen[2].to_lowercase();
        for part in
            ["post /hook", "cenote-epoch: 7", "authorization: bearer x", "x-kind: a", "\r\n\r\n{\"n\":0}"]
        {
            assert!(last.contains(part), "{part}: {last}");
        }
    }

    #[tokio::test]
    async fn rows_go_together_as_an_array() {
        let (url, seen) = server(&[]).await;
        send(&mut sink(&url, &[("batch_rows", "2")]), 3).await.expect("sent");
        let mut bodies: Vec<String> = seen
            .lock()
            .iter()
            .filter_map(|request| Some(request.split_once("\r\n\r\n")?.1.to_owned()))
            .collect();
        bodies.sort();
        assert_eq!(bodies, ["[{\"n\":0},{\"n\":1}]", "[{\"n\":2}]"]);
    }

    #[tokio::test]
    async fn rows_that_are_refused_are_told_and_others_go_on() {
        let (url, seen) = server(&["200 OK", "422 Bad", "200 OK"]).await;
        let mut sink = sink(&url, &[("batch_rows", "2")]);
        send(&mut sink, 2).await.expect("sent");
        assert_eq!(sink.take_refused(), []);
        send(&mut sink, 2).await.expect("the server has answered");
        let refused = |offset, raw: &str| {
            let place = RowPlace { partition: "7".into(), offset };
            BadRow::new(place, raw.as_bytes(), "it answered 422 Unprocessable Entity: no".to_owned())
        };
        assert_eq!(sink.take_refused(), [refused(0, "{\"n\":0}"), refused(1, "{\"n\":1}")]);
        assert_eq!(sink.take_refused(), [], "they are told once");
        send(&mut sink, 1).await.expect("sent");
        assert_eq!(seen.lock().len(), 3, "what is refused is not sent again");
    }

    #[tokio::test]
    async fn an_answer_that_is_none_fails_and_a_gate_is_kept() {
        let (url, _) = server(&["302 Found"]).await;
        let error = send(&mut sink(&url, &[]), 1).await.expect_err("refused").to_string();
        assert_eq!(error, "sink w: it answered 302 Found: no");
        let taken =
            WebhookOptions::take(&mut Options::new([("endpoint".to_owned(), url)].into())).expect("fits");
        let reach = Reach::Named { paths: Vec::new(), urls: vec!["https://example.com/".to_owned()] };
        let error = WebhookSink::open("w", &taken, Clock::system(), &reach).err().expect("denied");
        assert!(error.to_string().contains("security.allowed_urls"), "{error}");
    }
}
