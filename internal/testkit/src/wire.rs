//! A device that speaks frames by hand, right ones and wrong ones.

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use lockstep_protocol::Code;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Far longer than an answer should take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One end of a WebSocket.
#[derive(Debug)]
pub struct Wire(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What came.
#[derive(Debug)]
pub enum Heard {
    /// A frame.
    Frame(Value),
    /// The server closed with this close code and reason.
    Closed(u16, String),
    /// The connection broke off.
    Gone,
}

impl Wire {
    /// A WebSocket on which nothing has been said.
    ///
    /// # Errors
    ///
    /// If the server does not take it; [`refusal`](Self::refusal) wants that.
    pub async fn open(door: &str) -> Result<Self> {
        Ok(Self(Self::connect(door).await.context("the WebSocket was not taken")?))
    }

    /// The status and the code with which the server does not even take the WebSocket.
    ///
    /// # Errors
    ///
    /// If it takes it, or gives no reason.
    pub async fn refusal(door: &str) -> Result<(u16, String)> {
        match Self::connect(door).await {
            Ok(_) => bail!("the WebSocket was taken"),
            Err(tungstenite::Error::Http(answer)) => {
                let problem: Value = serde_json::from_slice(answer.body().as_deref().unwrap_or_default())?;
                Ok((answer.status().as_u16(), problem["code"].as_str().unwrap_or_default().to_owned()))
            }
            Err(error) => Err(error).context("no reason was given"),
        }
    }

    async fn connect(door: &str) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, tungstenite::Error> {
        let mut request = door.into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", "lockstep.v1".parse()?);
        Ok(tokio_tungstenite::connect_async(request).await?.0)
    }

    /// A WebSocket that has said hello with this token.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn hello(door: &str, token: &str) -> Result<Self> {
        let mut wire = Self::open(door).await?;
        wire.send(&json!({"type": "hello", "ref": 1, "token": token})).await?;
        Ok(wire)
    }

    /// A device that has caught up and acknowledged nothing.
    ///
    /// # Errors
    ///
    /// If the server does not let it in.
    pub async fn live(door: &str, token: &str) -> Result<Self> {
        let mut wire = Self::hello(door, token).await?;
        wire.send(&json!({"type": "resume"})).await?;
        wire.until("caught_up").await?;
        Ok(wire)
    }

    /// Sends a frame.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    pub async fn send(&mut self, frame: &Value) -> Result<()> {
        self.send_message(Message::text(frame.to_string())).await
    }

    /// Sends a text that need not be a frame.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    pub async fn send_text(&mut self, text: &str) -> Result<()> {
        self.send_message(Message::text(text)).await
    }

    /// Sends a binary frame.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    pub async fn send_binary(&mut self, bytes: &[u8]) -> Result<()> {
        self.send_message(Message::binary(bytes.to_vec())).await
    }

    async fn send_message(&mut self, message: Message) -> Result<()> {
        self.0.send(message).await.context("cannot send")
    }

    /// Writes bytes below the WebSocket.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let MaybeTlsStream::Plain(stream) = self.0.get_mut() else { bail!("a loopback socket is plain") };
        stream.write_all(bytes).await.context("cannot write")
    }

    /// What comes next, pongs aside.
    ///
    /// # Errors
    ///
    /// If nothing comes.
    pub async fn next(&mut self) -> Result<Heard> {
        let next = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Pong(_))) => {}
                    next => return next,
                }
            }
        };
        let next = tokio::time::timeout(PATIENCE, next).await;
        match next.with_context(|| format!("nothing came within {} s", PATIENCE.as_secs()))? {
            Some(Ok(Message::Text(text))) => Ok(Heard::Frame(serde_json::from_str(&text)?)),
            Some(Ok(Message::Close(Some(frame)))) => Ok(Heard::Closed(frame.code.into(), frame.reason.to_string())),
            Some(Ok(Message::Close(None)) | Err(_)) | None => Ok(Heard::Gone),
            Some(Ok(other)) => bail!("neither a frame nor a close: {other:?}"),
        }
    }

    /// The next frame of a type; those before it are dropped.
    ///
    /// # Errors
    ///
    /// If the connection ends before.
    pub async fn until(&mut self, kind: &str) -> Result<Value> {
        self.until_any(&[kind]).await
    }

    /// The next frame of one of these types; those before it are dropped.
    ///
    /// # Errors
    ///
    /// If the connection ends before.
    pub async fn until_any(&mut self, kinds: &[&str]) -> Result<Value> {
        loop {
            match self.next().await? {
                Heard::Frame(frame) if kinds.iter().any(|kind| frame["type"] == *kind) => return Ok(frame),
                Heard::Frame(_) => {}
                end => bail!("{end:?} before a frame of type {}", kinds.join(" or ")),
            }
        }
    }

    /// Reads to the end. The last error frame says why, the close code agrees, and so does the table.
    ///
    /// # Errors
    ///
    /// If the server closes without a reason, or the reasons differ.
    pub async fn closed(&mut self) -> Result<Code> {
        let mut last = Value::Null;
        loop {
            match self.next().await? {
                Heard::Frame(frame) if frame["type"] == "error" => last = frame,
                Heard::Frame(_) => {}
                Heard::Closed(close, reason) => {
                    let code: Code = reason.parse().ok().with_context(|| format!("{reason:?} is no code"))?;
                    let spec = code.spec();
                    let said = (close, &last["code"], &last["message"], &last["close"]);
                    let wanted = (spec.close, &json!(spec.name), &json!(spec.sentence), &json!(true));
                    ensure!(said == wanted, "closed with {said:?} instead of {wanted:?}");
                    return Ok(code);
                }
                Heard::Gone => bail!("the connection broke off after {last}"),
            }
        }
    }
}
