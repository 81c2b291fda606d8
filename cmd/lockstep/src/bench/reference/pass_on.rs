//! Frames of given sizes through the bare fan-out, from one socket to another.

use super::READY;
use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Passes frames of these sizes on, and returns the milliseconds from the upgrade of the receiving socket to the last frame.
pub(in crate::bench) async fn pass_on(address: SocketAddr, frames: &[usize], patience: Duration) -> Result<f64> {
    let mut sender = enter(address, "publish").await?;
    let frames: Vec<String> = frames.iter().map(|bytes| "x".repeat(*bytes)).collect();
    let began = Instant::now();
    let mut receiver = enter(address, "receive").await?;
    let sending = async {
        for frame in &frames {
            sender.send(Message::text(frame.as_str())).await?;
        }
        anyhow::Ok(())
    };
    let receiving = async {
        for _ in &frames {
            receiver.next().await.context("the reference has gone")??;
        }
        anyhow::Ok(())
    };
    let both = async { tokio::try_join!(sending, receiving) };
    tokio::time::timeout(patience, both).await.context("the reference does not pass all on")??;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

async fn enter(address: SocketAddr, part: &str) -> Result<WebSocketStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut socket = client_async(format!("ws://{address}/"), stream).await?.0;
    socket.send(Message::text(part)).await?;
    let ready = socket.next().await.context("the reference has gone")??;
    ensure!(ready == Message::Text(READY), "the reference does not take part");
    Ok(socket)
}
