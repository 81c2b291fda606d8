//! How the client reaches a server: one short HTTP/1.1 connection per request.

use super::client::AdminError;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A server that answers later than this is taken for hung.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that is read; no answer of the API comes near it.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where requests go.
#[derive(Clone)]
pub(super) enum Way {
    /// To the admin socket at this path.
    Socket(PathBuf),
    /// To the server at an address, such as `127.0.0.1:8080`.
    Server {
        /// The address.
        address: String,
        /// A secret.
        token: String,
    },
}

impl fmt::Debug for Way {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "Socket({})", path.display()),
            Self::Server { address, .. } => write!(f, "Server({address})"),
        }
    }
}

impl Way {
    /// To the server at a URL. One with TLS, a path or credentials is refused.
    pub(super) fn to_server(url: &str, token: &str) -> Result<Self, AdminError> {
        let wrong = || AdminError::Url { url: url.to_owned() };
        let authority = url.strip_prefix("http://").ok_or_else(wrong)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.is_empty() || authority.contains(['/', '@', '?', '#']) || authority.contains(char::is_whitespace) {
            return Err(wrong());
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Self::Server { address, token: token.to_owned() })
    }

    pub(super) async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Bytes, AdminError> {
        match tokio::time::timeout(ANSWER_TIMEOUT, self.one_request(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(broken(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))),
        }
    }

    async fn one_request(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Bytes, AdminError> {
        match self {
            Self::Socket(socket) => {
                let connected = UnixStream::connect(socket).await;
                let stream = connected.map_err(|source| AdminError::Connect { path: socket.clone(), source })?;
                ask(stream, request(method, path, "lockstep", None, body)?).await
            }
            Self::Server { address, token } => {
                let connected = TcpStream::connect(address).await;
                let stream = connected.map_err(|source| AdminError::Reach { server: address.clone(), source })?;
                ask(stream, request(method, path, address, Some(token), body)?).await
            }
        }
    }
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, AdminError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let limited = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        let bytes = limited.collect().await.map_err(broken)?.to_bytes();
        if status.is_success() { Ok(bytes) } else { Err(refusal(status.as_u16(), &bytes)) }
    };
    // The connection is driven beside the request, without a task of its own.
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => {
            ended.map_err(broken)?;
            answer.await
        }
    }
}

fn request(
    method: Method,
    path: &str,
    host: &str,
    token: Option<&str>,
    body: Option<&impl Serialize>,
) -> Result<Request<Full<Bytes>>, AdminError> {
    let body = match body {
        Some(body) => serde_json::to_vec(body).map_err(broken)?,
        None => Vec::new(),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Full::new(Bytes::from(body))).map_err(broken)
}

fn refusal(status: u16, answer: &[u8]) -> AdminError {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
        detail: String,
    }
    match serde_json::from_slice::<Problem>(answer) {
        Ok(Problem { code, detail }) => AdminError::Refused { code, detail },
        Err(_) => broken(format!("status {status}")),
    }
}

/// An exchange that did not come to its end.
pub(super) fn broken(reason: impl ToString) -> AdminError {
    AdminError::Exchange { reason: reason.to_string() }
}

/// An id as one segment of a path or value of a query (RFC 3986, section 2.1): everything but unreserved characters is
/// encoded.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_one_segment() {
        for (id, expected) in [("ana", "ana"), ("a/b?c", "a%2Fb%3Fc"), ("ü", "%C3%BC"), ("..", "..")] {
            assert_eq!(percent_encoded(id), expected);
        }
    }

    #[test]
    fn which_urls_are_servers() {
        let cases = [
            ("http://127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("http://[::1]:8080/", Some("[::1]:8080")),
            ("http://lockstep.example", Some("lockstep.example:80")),
            ("https://lockstep.example", None),
            ("lockstep.example", None),
            ("http://", None),
            ("http://a/b", None),
            ("http://user@a", None),
        ];
        for (url, expected) in cases {
            match (Way::to_server(url, "secret"), expected) {
                (Ok(way), Some(address)) => assert_eq!(format!("{way:?}"), format!("Server({address})")),
                (Err(error), None) => assert!(error.to_string().contains("http://"), "{error}"),
                (other, _) => panic!("{url}: {other:?}"),
            }
        }
    }
}
