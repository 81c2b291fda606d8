//! One REST request at a time, in as little HTTP (RFC 9112) as a test needs.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Posts JSON with a device's token and returns the JSON of the answer.
///
/// # Errors
///
/// If there is no answer, or its status is not 2xx.
pub async fn post(server: SocketAddr, path: &str, token: &str, body: &Value) -> Result<Value> {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(server).await.context("cannot reach the server")?;
    stream.write_all(request.as_bytes()).await.context("cannot send the request")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.context("cannot read the answer")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of its head")?;
    ensure!(head.starts_with("HTTP/1.1 2"), "POST {path}: {answer}");
    serde_json::from_str(body).with_context(|| format!("POST {path}: {answer}"))
}
