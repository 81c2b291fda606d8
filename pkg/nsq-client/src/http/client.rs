//! Requests over plain HTTP/1.1.

use super::HttpError;
use crate::{Address, transport};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::HOST;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// A refusal's text is cut to this.
const MESSAGE_CHARS_MAX: usize = 200;

/// How requests are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// How long a request may take, from connecting to the answer's last byte.
    pub timeout: Duration,
    /// The largest answer. A larger one is an error: nothing is made of its beginning.
    pub answer_bytes_max: usize,
    /// How many connections are kept for the next request. More may be open while more requests run at once.
    pub idle_max: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), answer_bytes_max: 64 * 1024 * 1024, idle_max: 4 }
    }
}

/// A connection and its other half, which works while a request is made. Nothing runs in between, so that there is no
/// task to keep account of.
struct Pair {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<TokioIo<TcpStream>, Full<Bytes>>,
}

/// Makes requests to one server. Clones share the connections that are kept.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

struct Inner {
    address: Address,
    settings: HttpSettings,
    idle: Mutex<Vec<Pair>>,
}

/// One request.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Begins with a slash. Its arguments need no escapes: names have nothing but `#`, which is written `%23`.
    pub(super) path: &'a str,
    pub(super) arguments: &'a [(&'a str, &'a str)],
    pub(super) body: Bytes,
    /// Whether making it twice is as good as once.
    pub(super) repeatable: bool,
}

impl Client {
    pub(super) fn new(address: Address, settings: HttpSettings) -> Self {
        Self(Arc::new(Inner { address, settings, idle: Mutex::new(Vec::new()) }))
    }

    pub(super) fn address(&self) -> &Address {
        &self.0.address
    }

    pub(super) async fn get(&self, path: &str, arguments: &[(&str, &str)]) -> Result<Bytes, HttpError> {
        let call = Call { method: Method::GET, path, arguments, body: Bytes::new(), repeatable: true };
        self.call(&call).await
    }

    pub(super) async fn post(&self, path: &str, arguments: &[(&str, &str)]) -> Result<(), HttpError> {
        let call = Call { method: Method::POST, path, arguments, body: Bytes::new(), repeatable: true };
        self.call(&call).await.map(drop)
    }

    /// Makes a request and returns its answer's body.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Bytes, HttpError> {
        tokio::time::timeout(self.0.settings.timeout, self.call_untimed(call)).await.unwrap_or(Err(HttpError::Timeout))
    }

    async fn call_untimed(&self, call: &Call<'_>) -> Result<Bytes, HttpError> {
        let kept = if call.repeatable { self.0.idle.lock().pop() } else { None };
        if let Some(pair) = kept {
            match self.call_over(pair, call).await {
                // The server had closed it in the meantime.
                Err(HttpError::Broken(_)) => {}
                outcome => return outcome,
            }
        }
        self.call_over(self.connect().await?, call).await
    }

    async fn connect(&self) -> Result<Pair, HttpError> {
        let transport = transport::connect(&self.0.address, None).await.map_err(HttpError::Connect)?;
        let io = TokioIo::new(transport.into_stream());
        let (sender, connection) = http1::handshake(io).await.map_err(broken)?;
        Ok(Pair { sender, connection })
    }

    async fn call_over(&self, mut pair: Pair, call: &Call<'_>) -> Result<Bytes, HttpError> {
        let request = Request::builder()
            .method(call.method.clone())
            .uri(target(call))
            .header(HOST, self.0.address.as_str())
            .body(Full::new(call.body.clone()))
            .map_err(broken)?;
        let max = self.0.settings.answer_bytes_max;
        let outcome = {
            let Pair { sender, connection } = &mut pair;
            let exchange = async {
                sender.ready().await.map_err(broken)?;
                read(sender.send_request(request).await.map_err(broken)?, max).await
            };
            let mut exchange = pin!(exchange);
            tokio::select! {
                // The answer first: the connection may end together with it.
                biased;
                outcome = &mut exchange => outcome,
                _ = &mut *connection => exchange.await,
            }
        };
        let whole = matches!(outcome, Ok(_) | Err(HttpError::Status { .. }));
        if whole && pair.sender.is_ready() {
            let mut idle = self.0.idle.lock();
            if idle.len() < self.0.settings.idle_max {
                idle.push(pair);
            }
        }
        outcome
    }
}

async fn read(response: Response<hyper::body::Incoming>, max: usize) -> Result<Bytes, HttpError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), max).collect().await.map_err(|error| {
        let too_large = error.is::<http_body_util::LengthLimitError>();
        if too_large { HttpError::TooLarge(max) } else { HttpError::Broken(error) }
    })?;
    let body = body.to_bytes();
    if status.is_success() {
        return Ok(body);
    }
    Err(HttpError::Status { status: status.as_u16(), message: message(&body) })
}

/// NSQ refuses with `{"message": "..."}`.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    let text = serde_json::from_slice(body).map(|refusal: Refusal| refusal.message);
    let text = text.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned());
    text.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
}

fn target(call: &Call<'_>) -> String {
    let mut target = call.path.to_owned();
    for (index, (name, value)) in call.arguments.iter().enumerate() {
        let separator = if index == 0 { '?' } else { '&' };
        target.push(separator);
        target.push_str(name);
        target.push('=');
        target.push_str(&value.replace('#', "%23"));
    }
    target
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> HttpError {
    HttpError::Broken(error.into())
}
