//! Where a device waits to be linked: it shows its secret, hears what became of it, and that is all.

use super::socket::{Incoming, Socket, Stream, WriteError};
use super::upgrade;
use crate::client_address::ClientNetwork;
use crate::http::PathId;
use crate::links::Guesser;
use crate::rest::{LinkOutcome, poll_link};
use crate::{GatewayState, Problem};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use lockstep_auth::hash_of_secret;
use lockstep_engine::LinkWaiter;
use lockstep_model::{Code, LinkId, SecretHash, UnixMs};
use lockstep_protocol::{ErrorFrame, LinkClientFrame, LinkServerFrame, decode_link_client, encode_link_server};
use lockstep_session::SendRate;
use serde::Serialize;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep_until;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Largest frame of a device that waits: a secret and little else.
const FRAME_BYTES_MAX: usize = 1_024;

/// `GET /v1/links/{id}/wait`: becomes a WebSocket on which a device hears what became of its link.
///
/// The secret is in the first frame, not in this request.
#[utoipa::path(get, path = "/v1/links/{id}/wait", tag = "live", params(("id" = LinkId, Path)),
    responses((status = 101, description = "One of the frames approved, refused and expired follows.")),
    extensions(("x-codes" = json!(["bad_request", "origin_refused", "overloaded"]))))]
pub(crate) async fn wait(
    State(state): State<GatewayState>,
    ClientNetwork(network): ClientNetwork,
    PathId(link): PathId<LinkId>,
    mut request: Request,
) -> Result<Response, Problem> {
    // Whoever opens it may show a wrong secret: that is counted from here on, so that many at once cannot pass.
    let guesser = Guesser { user: None, network };
    state.links.admit(guesser)?;
    let run = move |socket, state, place| run(socket, state, place, link, network);
    let places = Arc::clone(&state.links.places);
    let begun = upgrade::begin(&state, places, &mut request, FRAME_BYTES_MAX, run);
    begun.inspect_err(|_| state.links.forgive(guesser)).map(IntoResponse::into_response)
}

/// How the waiting ends.
enum End {
    /// The device is gone.
    Gone,
    /// The server closes and says why, with a sentence of its own if the code's does not fit.
    Close(Code, Option<&'static str>),
    /// The device has heard what became of its link.
    Told(String),
}

impl From<Code> for End {
    fn from(code: Code) -> Self {
        Self::Close(code, None)
    }
}

impl From<WriteError> for End {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Gone => Self::Gone,
            WriteError::Closed(code) => code.into(),
        }
    }
}

async fn run(
    socket: WebSocketStream<Stream>,
    state: GatewayState,
    place: OwnedSemaphorePermit,
    link: LinkId,
    network: IpAddr,
) {
    let now = Instant::now();
    let socket = Socket::new(socket, state.config.write_timeout);
    let frames = SendRate::new(now);
    let mut waiting = Waiting { socket, state, link, network, frames, heard_at: now, beats_at: now };
    let end = waiting.serve().await;
    waiting.end(end).await;
    drop(place);
}

struct Waiting {
    socket: Socket,
    state: GatewayState,
    link: LinkId,
    network: IpAddr,
    frames: SendRate,
    /// When the device last said something.
    heard_at: Instant,
    /// When the next heartbeat is due.
    beats_at: Instant,
}

impl Waiting {
    async fn serve(&mut self) -> End {
        let secret = match self.secret().await {
            Ok(secret) => secret,
            Err(end) => return end,
        };
        let mut polled = poll_link(&self.state, self.link, secret).await;
        if !matches!(polled, Err(Code::NoSuchLink)) {
            self.state.links.forgive(Guesser { user: None, network: self.network });
        }
        let mut waiter = None;
        self.beats_at = Instant::now() + self.heartbeat();
        loop {
            let until = match polled {
                Ok(LinkOutcome::Waiting(until)) => until,
                other => return told(other),
            };
            // Only who has shown the secret takes the place of another. What happened before it stood is looked at again.
            let woken = match &mut waiter {
                None => {
                    waiter = Some(self.state.engine.await_link(self.link));
                    Ok(())
                }
                Some(waiter) => self.wait(waiter, until).await,
            };
            if let Err(end) = woken {
                return end;
            }
            polled = poll_link(&self.state, self.link, secret).await;
        }
    }

    /// The secret, which has to come first and soon.
    async fn secret(&mut self) -> Result<SecretHash, End> {
        let deadline = Instant::now() + self.state.session.hello_timeout;
        let stopping = self.state.stopping.clone();
        loop {
            let frame = tokio::select! {
                incoming = self.socket.next() => self.frame(incoming).await?,
                () = sleep_until(deadline.into()) => {
                    return Err(End::Close(Code::HelloTimeout, Some("The frame wait did not come in time.")));
                }
                () = stopping.cancelled() => return Err(Code::ShuttingDown.into()),
            };
            match frame {
                Some(LinkClientFrame::Wait { secret }) => return Ok(SecretHash(hash_of_secret(&secret))),
                Some(LinkClientFrame::Heartbeat) => {
                    return Err(End::Close(Code::HelloExpected, Some("The first frame must be wait.")));
                }
                None => {}
            }
        }
    }

    /// Waits until it is worth looking at the link again: somebody has said something, its time is over, or a heartbeat
    /// has passed, so that what another process has done is noticed too.
    async fn wait(&mut self, waiter: &mut LinkWaiter, until: UnixMs) -> Result<(), End> {
        let left = Duration::from_millis(until.get().saturating_sub(UnixMs::now().get()));
        let ends_at = Instant::now() + left;
        let stopping = self.state.stopping.clone();
        loop {
            tokio::select! {
                woken = waiter.woken() => return woken.map_err(|_| Code::Replaced.into()),
                incoming = self.socket.next() => {
                    if let Some(LinkClientFrame::Wait { .. }) = self.frame(incoming).await? {
                        self.mistake(Code::HelloTwice, "This device waits already.").await?;
                    }
                }
                () = sleep_until(self.beats_at.into()) => return self.beat().await,
                () = sleep_until(ends_at.into()) => return Ok(()),
                () = stopping.cancelled() => return Err(Code::ShuttingDown.into()),
            }
        }
    }

    /// A frame of the device. One that makes no sense is answered, and the connection stays.
    async fn frame(&mut self, incoming: Incoming) -> Result<Option<LinkClientFrame>, End> {
        let now = Instant::now();
        let text = match incoming {
            Incoming::Gone => return Err(End::Gone),
            Incoming::Wrong(code) => return Err(code.into()),
            Incoming::Control => None,
            Incoming::Text(text) => Some(text),
        };
        let session = &self.state.session;
        if self.frames.take(now, session.frames_per_second, session.frames_burst).is_err() {
            return Err(Code::Flood.into());
        }
        let Some(text) = text else { return Ok(None) };
        self.heard_at = now;
        match decode_link_client(&text) {
            Ok(frame) => Ok(Some(frame)),
            Err(error) => {
                self.mistake(error.code, error.message).await?;
                Ok(None)
            }
        }
    }

    async fn mistake(&mut self, code: Code, message: impl Into<Cow<'static, str>>) -> Result<(), End> {
        self.say(&LinkServerFrame::Error(error(code, Some(message.into())))).await
    }

    async fn beat(&mut self) -> Result<(), End> {
        let (now, period) = (Instant::now(), self.heartbeat());
        if now.duration_since(self.heard_at) >= 2 * period {
            return Err(Code::HeartbeatTimeout.into());
        }
        self.beats_at = now + period;
        self.say(&LinkServerFrame::Heartbeat).await
    }

    async fn say(&mut self, frame: &LinkServerFrame) -> Result<(), End> {
        // One small frame at a time: each is written at once.
        let _is_full = self.socket.push(&encode_link_server(frame));
        self.socket.flush(None).await?;
        Ok(())
    }

    fn heartbeat(&self) -> Duration {
        self.state.session.heartbeat
    }

    async fn end(self, end: End) {
        let code = match end {
            End::Gone => {
                self.socket.finish().await;
                None
            }
            End::Close(code, message) => {
                let last = LinkServerFrame::Error(error(code, message.map(Cow::Borrowed)));
                let reason = Utf8Bytes::from_static(code.name());
                let close = CloseFrame { code: code.spec().close.into(), reason };
                self.socket.part(&encode_link_server(&last), close).await;
                Some(code)
            }
            End::Told(last) => {
                let close = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
                self.socket.part(&last, close).await;
                None
            }
        };
        self.state.meters.closed(code);
    }
}

fn error(code: Code, message: Option<Cow<'static, str>>) -> ErrorFrame {
    let frame = ErrorFrame::of(code, None);
    ErrorFrame { message: message.unwrap_or_else(|| frame.message.clone()), ..frame }
}

/// The end of a link that waits no longer.
fn told(polled: Result<LinkOutcome, Code>) -> End {
    /// As [`LinkServerFrame::Approved`].
    #[derive(Serialize)]
    struct Approved<'a, T> {
        #[serde(rename = "type")]
        kind: &'static str,
        #[serde(flatten)]
        session: &'a T,
    }
    let frame = match polled {
        Ok(LinkOutcome::Linked(session)) => {
            let approved = Approved { kind: "approved", session: &*session };
            return End::Told(serde_json::to_string(&approved).expect("a session has text keys only"));
        }
        Ok(LinkOutcome::Waiting(_)) | Err(Code::NoSuchLink) => LinkServerFrame::Expired,
        Err(code @ (Code::LinkRefused | Code::TooManyDevices)) => LinkServerFrame::refused(code),
        Err(_) => return Code::Unavailable.into(),
    };
    End::Told(encode_link_server(&frame))
}
