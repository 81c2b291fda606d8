//! A network that fails or dawdles: peers that vanish, read nothing, or send byte by byte.

use crate::bystanders::Bystanders;
use crate::scene::Scene;
use anyhow::{Context, Result, bail, ensure};
use lockstep_testkit::{Heard, ServerOptions, ServerProcess, TcpProxy, Wire};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(20);
/// Connections that dawdle at the same time.
const DAWDLERS: usize = 100;
const MIB: u64 = 1024 * 1024;

async fn server(limits: &[(&'static str, u64)]) -> Result<ServerProcess> {
    ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), ServerOptions::limits(limits)).await
}

#[tokio::test]
async fn a_device_whose_network_vanishes_is_given_up_within_three_heartbeats() -> Result<()> {
    let server = server(&[("heartbeat_ms", 500)]).await?;
    let bystanders = Bystanders::talk(&server).await?;
    let token = server.token("ana", "phone", "main").await?;
    let proxy = TcpProxy::start(server.address()).await?;
    let mut wire = Wire::live(&proxy.door(), &token).await?;
    ensure!(server.metric("lockstep_connections").await? == 3.0);

    // Nothing gets through any more, and neither end is told.
    proxy.stall();
    server.until_metric(r#"lockstep_closes_total{code="heartbeat_timeout"}"#, PATIENCE, |closed| closed == 1.0).await?;
    ensure!(server.metric("lockstep_connections").await? == 2.0, "the connection is still held");
    bystanders.end().await?;

    // What the server wrote meanwhile tells the time by its own clock.
    proxy.resume();
    let mut heartbeats = 0;
    loop {
        match wire.next().await? {
            Heard::Frame(frame) => heartbeats += u64::from(frame["type"] == "heartbeat"),
            Heard::Closed(close, reason) => {
                ensure!((close, &*reason) == (4411, "heartbeat_timeout"), "{close} {reason}");
                break;
            }
            Heard::Gone => bail!("the server did not say goodbye"),
        }
    }
    ensure!((2..=3).contains(&heartbeats), "closed after {heartbeats} heartbeats");
    Ok(())
}

#[tokio::test]
async fn a_device_that_reads_nothing_costs_no_memory_and_is_closed() -> Result<()> {
    // A window so wide that the socket fills before the window does.
    let wide = [("window_entries", 10_000), ("window_bytes", 64 * MIB), ("ring_bytes_max", MIB)];
    let fast = [("write_timeout_ms", 300), ("sends_per_second", 1_000_000), ("sends_burst", 1_000_000)];
    let server = server(&[wide, fast].concat()).await?;
    let bystanders = Bystanders::talk(&server).await?;
    let (ana, ben) = (server.token("ana", "phone", "main").await?, server.token("ben", "phone", "main").await?);
    let (mut sender, mut slow) = (Wire::live(&server.door(), &ana).await?, Wire::live(&server.door(), &ben).await?);
    let before = server.memory()?;
    let body = json!({"type": "text", "text": "x".repeat(60_000)});
    let mut sent = 0;
    while server.metric(r#"lockstep_closes_total{code="slow_reader"}"#).await? == 0.0 {
        sent += 1;
        ensure!(sent < 2_000, "the slow device was never closed");
        let frame = json!({"type": "send", "user": "ben", "client_msg_id": format!("m-{sent}"), "body": body});
        sender.send(&frame).await?;
        sender.until("sent").await?;
    }
    let grown = server.memory()?.peak.saturating_sub(before.peak);
    ensure!(grown < 64 * MIB, "the server grew by {} MiB for a device that reads nothing", grown / MIB);
    bystanders.end().await?;

    // It did get what the sockets held, in order, up to where they were full.
    let mut next = 1;
    while let Heard::Frame(frame) = slow.next().await? {
        if frame["body"]["type"] == "text" {
            ensure!(frame["seq"] == next, "{} after {}", frame["seq"], next - 1);
            next += 1;
        }
    }
    ensure!(next > 1 && next <= sent, "{next} of {sent}");
    Ok(())
}

/// Sends a beginning, then byte by byte, until the server closes. What it answered before.
async fn dawdle(server: SocketAddr, beginning: String) -> Result<String> {
    let (mut read, mut write) = TcpStream::connect(server).await?.into_split();
    let dripping = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let mut next = beginning.as_bytes();
        while write.write_all(next).await.is_ok() {
            next = b"x";
            ticks.tick().await;
        }
    };
    let reading = async {
        let mut answer = Vec::new();
        // A reset after the answer, as a server does that will not read the rest, is an end too.
        let _ = read.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let both = async { tokio::join!(reading, dripping).0 };
    tokio::time::timeout(PATIENCE, both).await.context("a connection that dawdles was never closed")
}

/// Many dawdle in this way; each is ended with this answer, or with none where the server does not answer such.
async fn check_dawdlers(server: &ServerProcess, beginning: &str, expected: Option<&str>) -> Result<()> {
    let bystanders = Bystanders::talk(server).await?;
    let mut dawdlers = JoinSet::new();
    for _ in 0..DAWDLERS {
        dawdlers.spawn(dawdle(server.address(), beginning.to_owned()));
    }
    bystanders.go_on().await?;
    let mut answered = 0;
    while let Some(ended) = dawdlers.join_next().await {
        let answer = ended??;
        match expected {
            Some(words) if answer.contains(words) => answered += 1,
            _ => ensure!(answer.is_empty(), "{answer}"),
        }
    }
    ensure!(expected.is_none() || answered > 0, "nobody was told");
    bystanders.end().await
}

#[tokio::test]
async fn headers_that_come_byte_by_byte_are_not_waited_for() -> Result<()> {
    let server = server(&[("header_timeout_ms", 500)]).await?;
    check_dawdlers(&server, "GET /healthz HTTP/1.1\r\nHost: test\r\nX-Slow: ", None).await
}

#[tokio::test]
async fn bodies_that_come_byte_by_byte_are_not_waited_for() -> Result<()> {
    let scene = Scene::set(ServerOptions::limits(&[("request_timeout_ms", 500)])).await?;
    let beginning = format!(
        "POST /v1/conversations/{}/messages HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\nIdempotency-Key: slow\r\nContent-Length: 60000\r\n\r\n",
        scene.conversation, scene.ana
    );
    let before = scene.server.memory()?.peak;
    check_dawdlers(&scene.server, &beginning, Some("\"code\":\"request_timeout\"")).await?;
    let grown = scene.server.memory()?.peak.saturating_sub(before);
    ensure!(grown < 64 * MIB, "the server grew by {} MiB for bodies that do not come", grown / MIB);
    ensure!(scene.history().await? == Some(vec![]), "something of it was stored");
    Ok(())
}
