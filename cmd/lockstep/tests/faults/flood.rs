//! Connections in numbers that no server should have to take: bounded in number, in time and in memory.

use crate::bystanders::Bystanders;
use anyhow::{Context, Result, ensure};
use lockstep_protocol::Code;
use lockstep_testkit::{ServerOptions, ServerProcess, Wire, ask};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const SILENT: usize = 1_000;
/// What a connection may cost that has said nothing: its buffers, its task, and what the allocator keeps.
const BYTES_PER_SILENT: u64 = 64 * 1_024;

async fn server(limits: &[(&'static str, u64)]) -> Result<ServerProcess> {
    ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), ServerOptions::limits(limits)).await
}

/// Lets this process have as many sockets as the system allows.
fn raise_descriptors(wanted: u64) -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("cannot raise the limit of open files")?;
    ensure!(maximum.is_none_or(|maximum| maximum >= wanted), "this test needs {wanted} open files: raise `ulimit -Hn`");
    Ok(())
}

#[tokio::test]
async fn a_thousand_connections_without_hello_are_closed_and_cost_little() -> Result<()> {
    raise_descriptors(SILENT as u64 + 100)?;
    let server = server(&[("hello_timeout_ms", 3_000)]).await?;
    let bystanders = Bystanders::talk(&server).await?;
    let before = server.memory()?;
    let mut silent = JoinSet::new();
    for _ in 0..SILENT {
        let door = server.door();
        silent.spawn(async move { Wire::open(&door).await?.closed().await });
    }
    bystanders.go_on().await?;
    while let Some(closed) = silent.join_next().await {
        ensure!(closed?? == Code::HelloTimeout);
    }
    bystanders.go_on().await?;
    let closed = server.metric(r#"lockstep_closes_total{code="hello_timeout"}"#).await?;
    ensure!(closed == SILENT as f64, "{closed} were closed");
    ensure!(server.metric("lockstep_connections").await? == 2.0, "some are still held");
    let grown = server.memory()?.peak.saturating_sub(before.resident);
    println!("{SILENT} silent connections: at most {} KiB each", grown / 1_024 / SILENT as u64);
    ensure!(grown < SILENT as u64 * BYTES_PER_SILENT, "the server grew by {grown} bytes");
    bystanders.end().await
}

#[tokio::test]
async fn devices_beyond_the_bound_are_told_to_come_later() -> Result<()> {
    let server = server(&[("connections_max", 12), ("hello_timeout_ms", 60_000)]).await?;
    let bystanders = Bystanders::talk(&server).await?;
    let mut coming = JoinSet::new();
    for _ in 0..100 {
        let door = server.door();
        coming.spawn(async move { Wire::open(&door).await });
    }
    let mut held: Vec<Wire> = coming.join_all().await.into_iter().filter_map(Result::ok).collect();
    ensure!(held.len() == 10, "{} were taken, and 12 are allowed with the bystanders", held.len());
    for _ in 0..100 {
        ensure!(Wire::refusal(&server.door()).await? == (503, "overloaded".to_owned()));
    }
    bystanders.go_on().await?;
    // Who is in may go on; who leaves makes room.
    let token = server.token("ana", "phone", "main").await?;
    let mut wire = held.pop().context("ten are held")?;
    wire.send(&serde_json::json!({"type": "hello", "token": token})).await?;
    wire.until("welcome").await?;
    drop(wire);
    server.until_metric("lockstep_connections", std::time::Duration::from_secs(20), |open| open == 11.0).await?;
    Wire::live(&server.door(), &token).await?;
    bystanders.end().await
}

#[tokio::test]
async fn http_connections_beyond_the_bound_wait_and_harm_no_device() -> Result<()> {
    let server = server(&[("http_connections_max", 16), ("header_timeout_ms", 500)]).await?;
    let bystanders = Bystanders::talk(&server).await?;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(server.address()).await?);
    }
    bystanders.go_on().await?;
    // It waits behind all that came before, each of which is given up in time.
    let answer = ask(server.address(), "GET", "/healthz", &[], None).await?;
    ensure!((answer.status, &*answer.text) == (200, "ok\n"), "{answer:?}");
    ensure!(server.metric("lockstep_connections").await? == 2.0);
    drop(idle);
    bystanders.end().await
}

#[tokio::test]
async fn pings_count_as_frames() -> Result<()> {
    let server = server(&[("frames_per_second", 50), ("frames_burst", 100)]).await?;
    let bystanders = Bystanders::talk(&server).await?;
    let token = server.token("ana", "phone", "main").await?;
    let mut wire = Wire::live(&server.door(), &token).await?;
    // A masked ping without a payload (RFC 6455, sections 5.2 and 5.5.2).
    let pings = [0x89, 0x80, 0, 0, 0, 0].repeat(1_000);
    wire.write(&pings).await?;
    ensure!(wire.closed().await? == Code::Flood);
    bystanders.go_on().await?;
    bystanders.end().await
}
