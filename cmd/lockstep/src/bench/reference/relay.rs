//! A bare relay: each message is written to a file and brought to disk (fdatasync(2)) before it is passed on.

use super::{READY, accept, next_text};
use anyhow::{Context, Result, bail};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// What the relay is given. The number names a conversation.
enum Work {
    Receiver(u64, SplitSink<WebSocketStream<TcpStream>, Message>),
    Message(u64, Utf8Bytes),
}

/// Serves on a thread of its own: with one thread no message waits until another one has woken up.
pub(super) fn serve(listener: TcpListener) -> Result<()> {
    let listener = listener.into_std()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serving = move || runtime.block_on(async { accept_all(TcpListener::from_std(listener)?).await });
    let thread = std::thread::Builder::new().name("relay".to_owned()).spawn(serving)?;
    match thread.join() {
        Ok(outcome) => outcome,
        Err(_) => bail!("the relay broke off"),
    }
}

async fn accept_all(listener: TcpListener) -> Result<()> {
    let (give, work) = mpsc::unbounded_channel();
    tokio::spawn(relay(work));
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(take_part(stream, give.clone()));
    }
}

async fn take_part(stream: TcpStream, give: mpsc::UnboundedSender<Work>) -> Result<()> {
    let (socket, role) = accept(stream).await?;
    let (part, conversation) = role.split_once(' ').context("a role has a number")?;
    let conversation = conversation.parse()?;
    let (mut sink, mut frames) = socket.split();
    if part == "to" {
        give.send(Work::Receiver(conversation, sink))?;
    } else {
        sink.send(Message::Text(READY)).await?;
    }
    while let Some(frame) = next_text(&mut frames).await? {
        give.send(Work::Message(conversation, frame))?;
    }
    Ok(())
}

async fn relay(mut work: mpsc::UnboundedReceiver<Work>) -> Result<()> {
    let mut file: File = tempfile::tempfile()?;
    let mut receivers: HashMap<u64, Vec<_>> = HashMap::new();
    let (mut waiting, mut messages) = (Vec::new(), Vec::new());
    while work.recv_many(&mut waiting, 1_024).await > 0 {
        for work in waiting.drain(..) {
            match work {
                Work::Receiver(conversation, mut sink) => {
                    sink.send(Message::Text(READY)).await?;
                    receivers.entry(conversation).or_default().push(sink);
                }
                Work::Message(conversation, text) => messages.push((conversation, text)),
            }
        }
        if messages.is_empty() {
            continue;
        }
        for (_, text) in &messages {
            file.write_all(text.as_bytes())?;
        }
        file.sync_data()?;
        for (conversation, text) in messages.drain(..) {
            for receiver in receivers.get_mut(&conversation).context("nobody receives")? {
                receiver.send(Message::Text(text.clone())).await?;
            }
        }
    }
    Ok(())
}
