//! Bare fan-out: every frame of the publisher is written to all other sockets, what waits for one in one write.

use super::{READY, accept, next_text};
use anyhow::Result;
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Frames that may wait for a writer; further ones stay in the publisher's socket.
const FRAMES_WAITING_MAX: usize = 1_024;

/// What a writer is given.
enum Work {
    Subscriber(Box<WebSocketStream<TcpStream>>),
    Frame(Utf8Bytes),
}

pub(super) async fn serve(listener: TcpListener) -> Result<()> {
    // One per core, each with its share of the sockets: no task is woken for a single socket.
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let writers: Arc<[_]> = (0..count)
        .map(|_| {
            let (give, work) = mpsc::channel(FRAMES_WAITING_MAX);
            tokio::spawn(write_all(work));
            give
        })
        .collect();
    let mut next = 0;
    loop {
        let (stream, _) = listener.accept().await?;
        next = (next + 1) % writers.len();
        tokio::spawn(take_part(stream, Arc::clone(&writers), next));
    }
}

async fn take_part(stream: TcpStream, writers: Arc<[mpsc::Sender<Work>]>, own: usize) -> Result<()> {
    let (mut socket, role) = accept(stream).await?;
    if role != "publish" {
        return Ok(writers[own].send(Work::Subscriber(Box::new(socket))).await?);
    }
    socket.send(Message::Text(READY)).await?;
    let (_silent, mut frames) = socket.split();
    while let Some(frame) = next_text(&mut frames).await? {
        for writer in writers.iter() {
            writer.send(Work::Frame(frame.clone())).await?;
        }
    }
    Ok(())
}

async fn write_all(mut work: mpsc::Receiver<Work>) -> Result<()> {
    let (mut sockets, mut waiting, mut frames) = (Vec::new(), Vec::new(), Vec::new());
    while work.recv_many(&mut waiting, FRAMES_WAITING_MAX).await > 0 {
        for work in waiting.drain(..) {
            match work {
                Work::Subscriber(mut socket) => {
                    socket.send(Message::Text(READY)).await?;
                    sockets.push(socket);
                }
                Work::Frame(frame) => frames.push(frame),
            }
        }
        for socket in &mut sockets {
            for frame in &frames {
                socket.feed(Message::Text(frame.clone())).await?;
            }
            socket.flush().await?;
        }
        frames.clear();
    }
    Ok(())
}
