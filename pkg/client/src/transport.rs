//! The WebSocket: bytes in, bytes out, no policy.

use crate::machine::ConnectError;
use crate::{ClientConfig, TokenError, TokenReason};
use futures_util::{FutureExt, SinkExt, StreamExt};
use lockstep_protocol::{ClientFrame, encode_client};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// The subprotocol that both sides name.
const SUBPROTOCOL: &str = "lockstep.v1";
/// Frames that wait leave in pieces of this size.
const BUFFER_BYTES: usize = 4 * 1024;
/// What may wait to be written; above it the connection counts as broken.
const WRITE_BUFFER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The largest frame taken from a server: a batch of entries with large bodies.
const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long the other side may take no bytes before the connection counts as broken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long saying goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What came over a connection.
pub(crate) enum Incoming {
    /// A text frame.
    Text(Utf8Bytes),
    /// The end, with the close code if one came.
    Closed(Option<u16>),
}

pub(crate) struct Socket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>);

/// Gets a token and opens a connection.
pub(crate) async fn connect(config: ClientConfig, reason: TokenReason) -> Result<(Socket, String), ConnectError> {
    let token = config.tokens.token(reason).await.map_err(|error| match error {
        TokenError::Unavailable(_) => ConnectError::TokenUnavailable(error.to_string()),
        TokenError::Denied(_) => ConnectError::TokenDenied(error.to_string()),
    })?;
    match open(&config.url, config.connect_timeout).await {
        Ok(socket) => Ok((socket, token)),
        Err(why) => Err(ConnectError::Unreachable(why)),
    }
}

/// Opens a connection, or says why there is none.
pub(crate) async fn open(url: &str, timeout: Duration) -> Result<Socket, String> {
    let mut request = url.into_client_request().map_err(|error| error.to_string())?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    let websocket = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    // Nagle off: a send is one small packet that somebody waits for.
    let connecting = connect_async_with_config(request, Some(websocket), true);
    match tokio::time::timeout(timeout, connecting).await {
        Ok(Ok((stream, _))) => Ok(Socket(Box::new(stream))),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the server did not answer in time".to_owned()),
    }
}

impl Socket {
    /// The next frame. Dropping the call loses nothing.
    pub(crate) async fn read(&mut self) -> Incoming {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Incoming::Text(text),
                Some(Ok(Message::Close(frame))) => return Incoming::Closed(frame.map(|frame| frame.code.into())),
                // Control frames are answered by the library; a server of this protocol sends no binary ones.
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Incoming::Closed(None),
            }
        }
    }

    /// The next frame, if it is here already.
    pub(crate) fn read_ready(&mut self) -> Option<Incoming> {
        self.read().now_or_never()
    }

    /// Puts a frame with those that wait to be written. False if the connection is broken.
    pub(crate) async fn feed(&mut self, frame: &ClientFrame) -> bool {
        let feeding = self.0.feed(Message::text(encode_client(frame)));
        matches!(tokio::time::timeout(WRITE_TIMEOUT, feeding).await, Ok(Ok(())))
    }

    /// Writes a frame of another protocol than a live device's. False if the connection is broken.
    pub(crate) async fn write(&mut self, text: String) -> bool {
        matches!(tokio::time::timeout(WRITE_TIMEOUT, self.0.send(Message::text(text))).await, Ok(Ok(())))
    }

    /// Writes what waits. False if the connection is broken.
    pub(crate) async fn flush(&mut self) -> bool {
        matches!(tokio::time::timeout(WRITE_TIMEOUT, self.0.flush()).await, Ok(Ok(())))
    }

    /// Says goodbye, or completes the server's, as far as that is possible at once.
    pub(crate) async fn close(mut self) {
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, WebSocketStream::close(&mut *self.0, None)).await;
    }
}
