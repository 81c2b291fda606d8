//! One REST request at a time, in as little HTTP (RFC 9112) as a test needs.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status (RFC 9110).
    pub status: u16,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The code of a problem (RFC 9457); empty if it is none.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends a request with these header lines, and with a JSON body if there is one.
///
/// # Errors
///
/// If there is no answer.
pub async fn ask(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: Option<&Value>,
) -> Result<Answer> {
    let mut headers = headers.to_vec();
    if body.is_some() {
        headers.push("Content-Type: application/json");
    }
    ask_raw(server, method, path, &headers, body.map(Value::to_string).unwrap_or_default().as_bytes()).await
}

/// Sends a request with these header lines and a body of any bytes, as `curl --data-binary` does.
///
/// # Errors
///
/// If there is no answer.
pub async fn ask_raw(server: SocketAddr, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Result<Answer> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n");
    headers.iter().for_each(|header| request.push_str(&format!("{header}\r\n")));
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    let mut stream = TcpStream::connect(server).await.context("cannot reach the server")?;
    stream.write_all(&[request.as_bytes(), body].concat()).await.context("cannot send the request")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.context("cannot read the answer")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of its head")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("the answer has no status: {head}"))?;
    Ok(Answer { status, text: body.to_owned() })
}

/// Posts JSON with a device's token and returns the JSON of the answer.
///
/// # Errors
///
/// If there is no answer, or its status is not 2xx.
pub async fn post(server: SocketAddr, path: &str, token: &str, body: &Value) -> Result<Value> {
    let authorization = format!("Authorization: Bearer {token}");
    let answer = ask(server, "POST", path, &[&authorization], Some(body)).await?;
    ensure!((200..300).contains(&answer.status), "POST {path}: {answer:?}");
    serde_json::from_str(&answer.text).with_context(|| format!("POST {path}: {answer:?}"))
}
