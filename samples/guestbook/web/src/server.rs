//! Routes, and what goes around every answer.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the page |
//! | `POST /sign` | 303 back to the page, or the page with what is wrong |
//! | `GET /thumbnail/{name}` | the thumbnail; waits a while for the worker |
//! | `GET /picture/{name}` | the picture as it was sent |
//! | `GET /style.css` | the page's looks |

use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, BodyStream, Full};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use welkin_sdk::{Blob, StorageError};

use crate::form::{self, Draft, FormError};
use crate::guestbook::{Guestbook, Signature};
use crate::page::{self, Notice};

/// A client that sends its head more slowly is not a browser.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// A form with a picture over a slow line.
const FORM_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a browser's request for a thumbnail waits for the worker, and how often it looks.
const THUMBNAIL_WAIT: Duration = Duration::from_secs(20);
const THUMBNAIL_POLL_INTERVAL: Duration = Duration::from_millis(400);
/// How much of a form that is too large is read on, so that the browser reads the answer at all.
const DRAIN_BYTES_MAX: usize = 64 << 20;
/// Blobs never change under their name.
const FOR_EVER: &str = "private, max-age=31536000, immutable";
/// The page brings all it needs; nothing else runs or loads.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

type Answer = Response<Full<Bytes>>;

/// Which instance this is; the page says so.
pub struct Instance {
    pub name: String,
    pub update_domain: u32,
    pub fault_domain: u32,
    /// What the page says on top; a setting that changes as the role runs.
    pub welcome: Arc<RwLock<String>>,
}

impl Instance {
    /// What the page says on top now.
    pub fn welcome(&self) -> String {
        self.welcome.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What every request needs.
pub struct Site {
    pub guestbook: Guestbook,
    pub instance: Instance,
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, site: Arc<Site>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                eprintln!("cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&site), request));
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            // A browser that goes away is no error.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(site: Arc<Site>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let path = request.uri().path().to_owned();
    let mut answer = match (request.method().clone(), path.as_str()) {
        (Method::GET, "/") => {
            let signed = request.uri().query() == Some("signed");
            show(site, StatusCode::OK, if signed { Notice::Signed } else { Notice::None }).await
        }
        (Method::POST, "/sign") => sign(site, request).await,
        (Method::GET, "/style.css") => asset("text/css; charset=utf-8", page::STYLE),
        (Method::GET, path) if path.starts_with("/thumbnail/") => {
            thumbnail(site, &path["/thumbnail/".len()..]).await
        }
        (Method::GET, path) if path.starts_with("/picture/") => {
            picture(site, &path["/picture/".len()..]).await
        }
        _ => plain(StatusCode::NOT_FOUND, "There is no such page."),
    };
    let headers = answer.headers_mut();
    headers.insert("content-security-policy", HeaderValue::from_static(CONTENT_POLICY));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("same-origin"));
    Ok(answer)
}

async fn show(site: Arc<Site>, status: StatusCode, notice: Notice) -> Answer {
    let reader = Arc::clone(&site);
    let latest = blocking(move || reader.guestbook.latest()).await;
    let (status, notice, entries) = match latest {
        Ok(entries) => (status, notice, entries),
        Err(error) => {
            eprintln!("cannot read the entries: {error}");
            (StatusCode::SERVICE_UNAVAILABLE, Notice::Unavailable, vec![])
        }
    };
    let html = page::render(&entries, &notice, &site.instance).into_string();
    let mut answer = plain(status, html);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

async fn sign(site: Arc<Site>, request: Request<Incoming>) -> Answer {
    if request.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return plain(StatusCode::FORBIDDEN, "Please sign on the guestbook's own page.");
    }
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let mut body = request.into_body();
    let reading = form::read(&content_type, BodyStream::new(&mut body).into_data_stream());
    match tokio::time::timeout(FORM_TIMEOUT, reading).await {
        Ok(Ok(signature)) => keep(site, signature).await,
        Ok(Err((error, draft))) => {
            let _ = tokio::time::timeout(HEAD_TIMEOUT, drain(&mut body)).await;
            show(site, status_of(&error), Notice::Mistake(error, draft)).await
        }
        Err(_) => {
            show(site, StatusCode::REQUEST_TIMEOUT, Notice::Mistake(FormError::Broken, Draft::default()))
                .await
        }
    }
}

fn status_of(error: &FormError) -> StatusCode {
    match error {
        FormError::PictureTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        FormError::NotPicture => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::BAD_REQUEST,
    }
}

async fn drain(body: &mut Incoming) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > DRAIN_BYTES_MAX {
            return;
        }
    }
}

/// Sends the browser back to the page, so that loading it again does not sign again.
async fn keep(site: Arc<Site>, signature: Signature) -> Answer {
    let draft = Draft { name: signature.name.clone(), message: signature.message.clone() };
    let writer = Arc::clone(&site);
    let kept = blocking(move || writer.guestbook.sign(&signature, &writer.instance.name)).await;
    if let Err(error) = kept {
        eprintln!("cannot keep an entry: {error}");
        return show(site, StatusCode::SERVICE_UNAVAILABLE, Notice::NotKept(draft)).await;
    }
    let mut answer = plain(StatusCode::SEE_OTHER, "");
    answer.headers_mut().insert(LOCATION, HeaderValue::from_static("/?signed"));
    answer
}

/// The worker needs a moment. The browser shows the page meanwhile and the thumbnail when it comes.
async fn thumbnail(site: Arc<Site>, name: &str) -> Answer {
    let Some(name) = blob_name(name) else { return no_blob() };
    let deadline = Instant::now() + THUMBNAIL_WAIT;
    loop {
        let (reader, name) = (Arc::clone(&site), name.clone());
        match blocking(move || reader.guestbook.thumbnail(&name)).await {
            Err(error) if error.is_not_found() && Instant::now() < deadline => {
                tokio::time::sleep(THUMBNAIL_POLL_INTERVAL).await;
            }
            result => return blob(result),
        }
    }
}

async fn picture(site: Arc<Site>, name: &str) -> Answer {
    let Some(name) = blob_name(name) else { return no_blob() };
    blob(blocking(move || site.guestbook.picture(&name)).await)
}

/// Names of blobs are 32 hexadecimal digits; nothing else reaches storage.
fn blob_name(name: &str) -> Option<String> {
    (name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| name.to_owned())
}

fn blob(result: Result<Blob, StorageError>) -> Answer {
    match result {
        Ok(blob) => {
            let mut answer = Response::new(Full::new(Bytes::from(blob.bytes)));
            let kind = HeaderValue::from_str(&blob.content_type);
            let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
            answer.headers_mut().insert(CONTENT_TYPE, kind);
            answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(FOR_EVER));
            answer
        }
        Err(error) if error.is_not_found() => no_blob(),
        Err(error) => {
            eprintln!("cannot read a picture: {error}");
            plain(StatusCode::SERVICE_UNAVAILABLE, "The picture cannot be read now.")
        }
    }
}

fn no_blob() -> Answer {
    plain(StatusCode::NOT_FOUND, "There is no such picture.")
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn asset(kind: &'static str, text: &'static str) -> Answer {
    let mut answer = plain(StatusCode::OK, text);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    answer
}

/// Storage calls block; they run beside the server's own threads.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let joined = tokio::task::spawn_blocking(call).await;
    joined.unwrap_or_else(|error| Err(StorageError::Request(error.to_string())))
}
