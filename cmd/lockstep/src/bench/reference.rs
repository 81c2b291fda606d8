//! The references: the least that could do the same, each run beside the server on the same machine in the same run.

mod fanout;
pub(super) mod insert;
pub(super) mod nsq;
mod pass_on;
mod relay;

pub(super) use pass_on::pass_on;

use anyhow::{Context, Result};
use std::io::Read;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

/// What the first line of a reference begins with; its address follows.
pub(super) const LISTENING: &str = "reference: listening on ";

/// What it tells a device that has said what its part is.
const READY: Utf8Bytes = Utf8Bytes::from_static(r#"{"type":"caught_up"}"#);

/// A process that the bench starts for itself.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    kind: Kind,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    Fanout,
    Relay,
}

/// Serves until the bench is gone.
pub(super) async fn run(args: Args) -> Result<()> {
    std::thread::Builder::new().name("watch-bench".to_owned()).spawn(exit_with_parent)?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.context("no port is free")?;
    println!("{LISTENING}{}", listener.local_addr()?);
    match args.kind {
        Kind::Fanout => fanout::serve(listener).await,
        Kind::Relay => relay::serve(listener),
    }
}

/// The bench holds the other end of the standard input.
fn exit_with_parent() {
    let mut nothing = Vec::new();
    let _ended = std::io::stdin().read_to_end(&mut nothing);
    std::process::exit(0);
}

/// Takes a WebSocket with the server's buffers, and the frame that says what its part is.
async fn accept(stream: TcpStream) -> Result<(WebSocketStream<TcpStream>, String)> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(4 * 1_024).write_buffer_size(32 * 1_024);
    let mut socket = accept_async_with_config(stream, Some(config)).await?;
    let role = next_text(&mut socket).await?.context("nobody said what to do")?;
    Ok((socket, role.to_string()))
}

/// The next text frame; `None` at the end.
async fn next_text<S>(socket: &mut S) -> Result<Option<Utf8Bytes>>
where
    S: futures_util::Stream<Item = Result<Message, Error>> + Unpin,
{
    use futures_util::StreamExt;
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message? {
            return Ok(Some(text));
        }
    }
    Ok(None)
}
