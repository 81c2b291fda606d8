//! Just enough of HTTP to ask a server on this machine something.

use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may keep silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// A longer answer is an error.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Sends a request and returns the body of the answer, which has to be a success.
///
/// HTTP/1.0 (RFC 1945): the answer ends with the connection, and nothing is chunked.
pub(crate) fn request(address: SocketAddr, method: &str, target: &str, body: &[u8]) -> Result<Vec<u8>> {
    let asked = || format!("{method} http://{address}{target}");
    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let head = format!("{method} {target} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().with_context(asked)?;
    let end_of_head = answer.windows(4).position(|four| four == b"\r\n\r\n").with_context(asked)?;
    let (head, body) = (String::from_utf8_lossy(&answer[..end_of_head]), &answer[end_of_head + 4..]);
    let status = head.lines().next().unwrap_or_default();
    let success = status.split(' ').nth(1).is_some_and(|code| code.starts_with('2'));
    ensure!(success, "{}: {status}: {}", asked(), String::from_utf8_lossy(body));
    Ok(body.to_vec())
}
