//! Linking devices (`docs/rest.md`): a new one asks and waits, a main device looks at it and answers.

use crate::rest::{Rest, read};
use crate::transport::{self, Incoming};
use crate::{RestError, Session, TokenReason, TokenSource};
use hyper::Method;
use lockstep_protocol::{
    ErrorFrame, LinkClientFrame, LinkId, LinkServerFrame, Linked, UnixMs, decode_link_server, encode_link_client,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long opening a connection may take, and how long one may be silent: two and a half heartbeats.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const SILENCE_MAX: Duration = Duration::from_millis(62_500);
/// The wait between two connections, unless the server says another one.
const RETRY: Duration = Duration::from_secs(1);
/// How often a connection is opened for one link: then the server is not there.
const CONNECTIONS_MAX: usize = 100;

/// The new device's side: it becomes a sub device of whoever lets it.
#[derive(Debug, Clone)]
pub struct Links {
    rest: Rest,
    door: String,
}

/// What a new device says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NewDevice {
    /// What it is to be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// A key of its own, which main devices are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// A link that was asked for.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct AskedLink {
    /// Its id.
    pub link: LinkId,
    /// To be shown to people who type.
    pub code: String,
    /// To be shown to cameras: a URL.
    pub qr: String,
    /// From when on it is over.
    pub expires_at: UnixMs,
    secret: String,
}

impl fmt::Debug for AskedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskedLink").field("link", &self.link).finish_non_exhaustive()
    }
}

/// What has become of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkOutcome {
    /// The device is a user's.
    Approved(Session),
    /// It is not to be: the code and the sentence that say why.
    Refused {
        /// The name of the code.
        code: String,
        /// The sentence.
        message: String,
    },
    /// Nobody has answered in time, or it was claimed already.
    Expired,
}

impl Links {
    /// The links at the server at a URL such as `http://127.0.0.1:8080`.
    pub fn new(url: impl Into<String>) -> Self {
        let url = url.into();
        let door = url.trim_end_matches('/').replacen("http", "ws", 1);
        Self { rest: Rest::new(url), door }
    }

    /// Asks to be linked. What comes back is to be shown to people, and waited for.
    ///
    /// # Errors
    ///
    /// See [`RestError`]; so for the others.
    pub async fn ask(&self, device: &NewDevice) -> Result<AskedLink, RestError> {
        read(&self.rest.exchange(Method::POST, "/v1/links", None, &json!(device)).await?.1)
    }

    /// Waits for what becomes of a link, over as many connections as it takes. The tokens of an approved one are given
    /// out once: keep them.
    ///
    /// # Errors
    ///
    /// `Refused` if the server closes for good, `Unreachable` if it is not there.
    pub async fn wait(&self, asked: &AskedLink) -> Result<LinkOutcome, RestError> {
        let mut broken = RestError::Unreachable("the connection broke again and again".to_owned());
        for _ in 0..CONNECTIONS_MAX {
            let retry_after = match self.wait_once(asked).await {
                Ok(outcome) => return Ok(outcome),
                Err(Broken { error, retry_after: Some(wait) }) => {
                    broken = error;
                    wait
                }
                Err(Broken { error, .. }) => return Err(error),
            };
            tokio::time::sleep(retry_after).await;
        }
        Err(broken)
    }

    /// Asks once what has become of a link; `None` while nobody has said anything. For those who cannot hold a connection.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub async fn claim(&self, asked: &AskedLink) -> Result<Option<Session>, RestError> {
        let path = format!("/v1/links/{}/claim", asked.link);
        match self.rest.exchange(Method::POST, &path, None, &json!({"secret": asked.secret})).await? {
            (202, _) => Ok(None),
            (_, body) => read(&body).map(Some),
        }
    }

    async fn wait_once(&self, asked: &AskedLink) -> Result<LinkOutcome, Broken> {
        let url = format!("{}/v1/links/{}/wait", self.door, asked.link);
        let mut socket = transport::open(&url, CONNECT_TIMEOUT).await.map_err(|why| Broken::again(&why))?;
        let wait = encode_link_client(&LinkClientFrame::Wait { secret: asked.secret.clone() });
        if !socket.write(wait).await {
            return Err(Broken::again("the connection broke"));
        }
        loop {
            let text = match tokio::time::timeout(SILENCE_MAX, socket.read()).await {
                Ok(Incoming::Text(text)) => text,
                Ok(Incoming::Closed(_)) => return Err(Broken::again("the connection broke")),
                Err(_) => return Err(Broken::again("the server fell silent")),
            };
            let frame = decode_link_server(&text).map_err(|_| Broken::again("the server's frame makes no sense"))?;
            let outcome = match frame {
                Some(LinkServerFrame::Approved(linked)) => LinkOutcome::Approved(session(*linked)),
                Some(LinkServerFrame::Refused { code, message }) => {
                    LinkOutcome::Refused { code: code.into(), message: message.into() }
                }
                Some(LinkServerFrame::Expired) => LinkOutcome::Expired,
                Some(LinkServerFrame::Error(error)) if error.close => return Err(Broken::by(error)),
                Some(LinkServerFrame::Heartbeat) => {
                    if !socket.write(encode_link_client(&LinkClientFrame::Heartbeat)).await {
                        return Err(Broken::again("the connection broke"));
                    }
                    continue;
                }
                Some(LinkServerFrame::Error(_)) | None => continue,
            };
            socket.close().await;
            return Ok(outcome);
        }
    }
}

fn session(linked: Linked) -> Session {
    let Linked { user, device, access_token, expires_in_ms, refresh_token, .. } = linked;
    Session { user, device, access_token, expires_in_ms, refresh_token }
}

/// A connection that ended before the word came.
struct Broken {
    error: RestError,
    /// Absent if another one makes no sense.
    retry_after: Option<Duration>,
}

impl Broken {
    fn again(why: &str) -> Self {
        Self { error: RestError::Unreachable(why.to_owned()), retry_after: Some(RETRY) }
    }

    fn by(frame: ErrorFrame) -> Self {
        let retry_after = frame.retry_after_ms.map(Duration::from_millis);
        let retry_after = frame.reconnect.then_some(retry_after.unwrap_or(RETRY));
        let (code, message) = (frame.code.into(), frame.message.into());
        Self { error: RestError::Refused { status: 0, code, message, retry_after }, retry_after }
    }
}

/// What a main device has seen of a new one.
#[derive(Clone, PartialEq, Eq)]
pub enum LinkProof {
    /// The code, however it was typed.
    Code(String),
    /// What stood in the QR code.
    Scan {
        /// The link.
        link: LinkId,
        /// The secret.
        scan: String,
    },
}

impl fmt::Debug for LinkProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code(_) => "Code(..)",
            Self::Scan { .. } => "Scan(..)",
        })
    }
}

impl LinkProof {
    /// Reads what a camera has seen or a person has typed: a URL with its fragment, or else a code.
    pub fn read(text: &str) -> Self {
        let Some((_, fragment)) = text.split_once('#') else { return Self::Code(text.trim().to_owned()) };
        let part = |name: &str| fragment.split('&').filter_map(|part| part.split_once('=')).find(|(it, _)| *it == name);
        match (part("link").and_then(|(_, link)| link.parse().ok()), part("scan")) {
            (Some(link), Some((_, scan))) => Self::Scan { link, scan: scan.to_owned() },
            _ => Self::Code(text.trim().to_owned()),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Code(code) => json!({"code": code}),
            Self::Scan { link, scan } => json!({"link": link, "scan": scan}),
        }
    }
}

/// The side of a main device, which lets new ones in.
#[derive(Clone)]
pub struct Approver {
    rest: Rest,
    tokens: Arc<dyn TokenSource>,
}

/// A device that asks to be linked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FoundLink {
    /// The link's id.
    pub link: LinkId,
    /// What the device calls itself.
    #[serde(default)]
    pub name: Option<String>,
    /// What it says that it runs on.
    #[serde(default)]
    pub platform: Option<String>,
    /// The network address that the server has seen.
    pub address: String,
    /// Its key.
    #[serde(default)]
    pub public_key: Option<String>,
    /// From when on it is over.
    pub expires_at: UnixMs,
}

impl Approver {
    /// The devices that ask at the server at a URL such as `http://127.0.0.1:8080`; the tokens are those of a main device.
    pub fn new(url: impl Into<String>, tokens: Arc<dyn TokenSource>) -> Self {
        Self { rest: Rest::new(url), tokens }
    }

    /// Who asks.
    ///
    /// # Errors
    ///
    /// See [`RestError`]; so for the others.
    pub async fn find(&self, proof: &LinkProof) -> Result<FoundLink, RestError> {
        read(&self.post("/v1/links/find", proof).await?)
    }

    /// Lets the device in.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub async fn approve(&self, link: LinkId, proof: &LinkProof) -> Result<(), RestError> {
        self.post(&format!("/v1/links/{link}/approve"), proof).await.map(drop)
    }

    /// Turns it away.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub async fn refuse(&self, link: LinkId, proof: &LinkProof) -> Result<(), RestError> {
        self.post(&format!("/v1/links/{link}/refuse"), proof).await.map(drop)
    }

    async fn post(&self, path: &str, proof: &LinkProof) -> Result<hyper::body::Bytes, RestError> {
        let token = self.tokens.token(TokenReason::Connect).await?;
        Ok(self.rest.exchange(Method::POST, path, Some(&token), &proof.to_json()).await?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_of_a_new_device() {
        let link: LinkId = "019a2b1d-3333-7abc-8def-1234567890ab".parse().expect("an id");
        let code = |code: &str| LinkProof::Code(code.to_owned());
        let scanned = || LinkProof::Scan { link, scan: "c2Nhbg".to_owned() };
        let cases = [
            (" 7kqm-4xrt ".to_owned(), code("7kqm-4xrt")),
            (format!("lockstep://link#link={link}&scan=c2Nhbg&key=a%2Bb"), scanned()),
            (format!("https://chat.example/link?a=1#scan=c2Nhbg&link={link}"), scanned()),
            ("https://chat.example/#link=x&scan=y".to_owned(), code("https://chat.example/#link=x&scan=y")),
        ];
        for (text, expected) in cases {
            assert!(LinkProof::read(&text) == expected, "{text}");
        }
    }
}
