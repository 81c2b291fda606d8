//! Where a connection begins: bytes in, bytes out, no policy.
//!
//! The rest of the crate reads and writes through [`Transport`] only, so that a TLS stream can become a second kind of it.

use crate::Address;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

/// An open connection.
pub(crate) struct Transport(TcpStream);

/// Opens a connection to the first address of that name that answers. Takes as long as the system tries.
pub(crate) async fn connect(address: &Address, source: Option<IpAddr>) -> io::Result<Transport> {
    let mut last_error = None;
    for remote in tokio::net::lookup_host(address.as_str()).await? {
        match connect_one(remote, source).await {
            Ok(stream) => {
                // Nagle off: answers are small packets that the server waits for.
                stream.set_nodelay(true)?;
                return Ok(Transport(stream));
            }
            Err(error) => last_error = Some(error),
        }
    }
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    Err(last_error.unwrap_or_else(none))
}

async fn connect_one(remote: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(remote).await };
    let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(remote).await
}

impl Transport {
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    /// What the system has not sent yet is not to be sent at all once this is dropped.
    pub(crate) fn abort(&self) {
        // Where this fails the connection is gone already.
        let _ = self.0.set_zero_linger();
    }

    /// The stream itself, for HTTP.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.0
    }
}
