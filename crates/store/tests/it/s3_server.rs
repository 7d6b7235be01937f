//! As much of S3's protocol as the store speaks, in memory, on loopback. Signatures are not checked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_NONE_MATCH, RANGE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const BUCKET: &str = "/lake";
/// S3 refuses smaller parts, the last excepted.
const PART_BYTES_MIN: usize = 5 << 20;

/// A running server; stops when dropped.
pub(crate) struct S3Server {
    address: SocketAddr,
    bucket: Arc<Mutex<Bucket>>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, BTreeMap<u32, Bytes>>,
    uploads_begun: usize,
    parts_seen: Vec<usize>,
    refusals: usize,
}

impl S3Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bucket = Arc::new(Mutex::new(Bucket::default()));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, bucket.clone()));
        Self { address, bucket, _accepting: accepting }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.bucket.lock().objects.keys().cloned().collect()
    }

    /// Sizes of all parts so far.
    pub(crate) fn parts_seen(&self) -> Vec<usize> {
        self.bucket.lock().parts_seen.clone()
    }

    pub(crate) fn uploads_open(&self) -> usize {
        self.bucket.lock().uploads.len()
    }

    /// Answers the next requests with 503.
    pub(crate) fn refuse_next(&self, requests: usize) {
        self.bucket.lock().refusals = requests;
    }
}

async fn accept(listener: TcpListener, bucket: Arc<Mutex<Bucket>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, bucket.clone()));
    }
}

async fn serve(stream: TcpStream, bucket: Arc<Mutex<Bucket>>) {
    let service = service_fn(|request: Request<Incoming>| {
        let bucket = bucket.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let key = head.uri.path().strip_prefix(BUCKET).unwrap_or_default().trim_matches('/');
            let query = Query(head.uri.query().unwrap_or_default());
            let mut bucket = bucket.lock();
            let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
            if header(IF_NONE_MATCH) == Some("*") && bucket.objects.contains_key(key) {
                return Ok::<_, Infallible>(answer(StatusCode::PRECONDITION_FAILED, ""));
            }
            let whole = bucket.answer(&head.method, key, query, body);
            Ok(match header(RANGE) {
                Some(range) if whole.status() == StatusCode::OK => part(bucket.objects.get(key), range),
                _ => whole,
            })
        }
    });
    // a client that hangs up is no failure
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    fn value(&self, name: &str) -> Option<&'a str> {
        self.0.split('&').find_map(|pair| match pair.split_once('=') {
            Some((key, value)) => (key == name).then_some(value),
            None => (pair == name).then_some(""),
        })
    }
}

type Answer = Response<Full<Bytes>>;

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let builder = Response::builder().status(status).header(ETAG, "\"tag\"");
    builder.body(Full::new(body.into())).unwrap()
}

/// `bytes=a-b` of an object.
fn part(object: Option<&Bytes>, range: &str) -> Answer {
    let bounds = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let bounds = bounds.and_then(|(first, last)| Some((first.parse().ok()?, last.parse::<usize>().ok()?)));
    let (Some(object), Some((first, last))) = (object, bounds) else {
        return answer(StatusCode::RANGE_NOT_SATISFIABLE, "");
    };
    let last = last.min(object.len().saturating_sub(1));
    let mut part = answer(StatusCode::PARTIAL_CONTENT, object.slice(first..last + 1));
    let place = format!("bytes {first}-{last}/{}", object.len());
    part.headers_mut().insert(CONTENT_RANGE, place.parse().unwrap());
    part
}

impl Bucket {
    fn answer(&mut self, method: &Method, key: &str, query: Query<'_>, body: Bytes) -> Answer {
        if self.refusals > 0 {
            self.refusals -= 1;
            return answer(StatusCode::SERVICE_UNAVAILABLE, "busy");
        }
        let upload = query.value("uploadId").map(str::to_owned);
        match (method, upload) {
            (&Method::PUT, Some(upload)) => self.put_part(&upload, query, body),
            (&Method::POST, Some(upload)) => self.complete(&upload, key),
            (&Method::DELETE, Some(upload)) => {
                self.uploads.remove(&upload);
                answer(StatusCode::NO_CONTENT, "")
            }
            (&Method::POST, None) if query.value("uploads").is_some() => {
                self.uploads_begun += 1;
                let upload = format!("upload-{}", self.uploads_begun);
                self.uploads.insert(upload.clone(), BTreeMap::new());
                let result = "InitiateMultipartUploadResult";
                answer(StatusCode::OK, format!("<{result}><UploadId>{upload}</UploadId></{result}>"))
            }
            (&Method::POST, None) => self.delete_keys(&body),
            (&Method::PUT, None) => {
                self.objects.insert(key.to_owned(), body);
                answer(StatusCode::OK, "")
            }
            (&Method::GET, None) if query.value("list-type").is_some() => self.list(query),
            (&Method::GET, None) => match self.objects.get(key) {
                Some(bytes) => answer(StatusCode::OK, bytes.clone()),
                None => answer(StatusCode::NOT_FOUND, ""),
            },
            (&Method::HEAD, None) => match self.objects.get(key) {
                Some(bytes) => {
                    let mut head = answer(StatusCode::OK, "");
                    head.headers_mut().insert(CONTENT_LENGTH, bytes.len().into());
                    head
                }
                None => answer(StatusCode::NOT_FOUND, ""),
            },
            _ => answer(StatusCode::METHOD_NOT_ALLOWED, ""),
        }
    }

    fn put_part(&mut self, upload: &str, query: Query<'_>, body: Bytes) -> Answer {
        let number = query.value("partNumber").and_then(|number| number.parse().ok());
        let (Some(parts), Some(number)) = (self.uploads.get_mut(upload), number) else {
            return answer(StatusCode::NOT_FOUND, "");
        };
        self.parts_seen.push(body.len());
        parts.insert(number, body);
        answer(StatusCode::OK, "")
    }

    fn complete(&mut self, upload: &str, key: &str) -> Answer {
        let Some(parts) = self.uploads.remove(upload) else { return answer(StatusCode::NOT_FOUND, "") };
        if parts.values().rev().skip(1).any(|part| part.len() < PART_BYTES_MIN) {
            return answer(StatusCode::BAD_REQUEST, "EntityTooSmall");
        }
        self.objects.insert(key.to_owned(), parts.into_values().collect::<Vec<_>>().concat().into());
        let result = "CompleteMultipartUploadResult";
        answer(StatusCode::OK, format!("<{result}><ETag>tag</ETag></{result}>"))
    }

    fn delete_keys(&mut self, body: &Bytes) -> Answer {
        let body = String::from_utf8_lossy(body);
        let keys = body.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        let mut deleted = String::new();
        for (key, _) in keys {
            self.objects.remove(key);
            deleted += &format!("<Deleted><Key>{key}</Key></Deleted>");
        }
        answer(StatusCode::OK, format!("<DeleteResult>{deleted}</DeleteResult>"))
    }

    fn list(&self, query: Query<'_>) -> Answer {
        let prefix = query.value("prefix").unwrap_or_default().replace("%2F", "/");
        let mut contents = String::new();
        for (key, bytes) in self.objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            let size = bytes.len();
            contents += &format!(
                "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>tag</ETag>\
                 <LastModified>2024-05-06T07:08:09.000Z</LastModified></Contents>"
            );
        }
        answer(StatusCode::OK, format!("<ListBucketResult>{contents}</ListBucketResult>"))
    }
}
