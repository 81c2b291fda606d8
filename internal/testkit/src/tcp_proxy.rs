//! A network that fails on command: a TCP proxy on a free port.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Forwards connections to a target that may change, and cuts, stalls or delays them on command.
///
/// A connection that the target refuses is closed at once, as a device would see a server that is not there.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    accepting: JoinHandle<()>,
}

/// What the network is like now.
#[derive(Debug, Clone, Copy)]
struct Weather {
    target: SocketAddr,
    /// Connections of an earlier era are cut.
    era: u64,
    stalled: bool,
    delay: Duration,
}

impl TcpProxy {
    /// Listens on a free port and forwards to `target`.
    ///
    /// # Errors
    ///
    /// If there is no port.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no port for the proxy")?;
        let address = listener.local_addr().context("the proxy's port is not known")?;
        let (weather, watched) = watch::channel(Weather { target, era: 0, stalled: false, delay: Duration::ZERO });
        Ok(Self { address, weather, accepting: tokio::spawn(accept(listener, watched)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's native door as seen through it, as the SDK wants it.
    pub fn door(&self) -> String {
        crate::door(self.address)
    }

    /// Forwards connections that come from now on to another target.
    pub fn retarget(&self, target: SocketAddr) {
        self.weather.send_modify(|weather| weather.target = target);
    }

    /// Drops all connections that there are. New ones may come at once.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.era += 1);
    }

    /// Lets nothing through any more, but keeps the connections open.
    pub fn stall(&self) {
        self.weather.send_modify(|weather| weather.stalled = true);
    }

    /// Lets everything through again, first of all what has waited.
    pub fn resume(&self) {
        self.weather.send_modify(|weather| weather.stalled = false);
    }

    /// Holds back every piece of data for this long, in connections that come from now on.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, weather: watch::Receiver<Weather>) {
    // The connections end with this task: a dropped set aborts its tasks.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // An accept fails when the other side has given up already, or for want of file handles.
                let Ok((near, _)) = accepted else { continue };
                connections.spawn(forward(near, weather.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection until an end closes it or it is cut.
async fn forward(near: TcpStream, mut weather: watch::Receiver<Weather>) {
    let now = *weather.borrow_and_update();
    let pumps = async {
        let Ok(far) = TcpStream::connect(now.target).await else { return };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        tokio::join!(
            pump(near_read, far_write, now.delay, weather.clone()),
            pump(far_read, near_write, now.delay, weather.clone()),
        );
    };
    let mut watched = weather.clone();
    tokio::select! {
        () = pumps => {}
        _ = watched.wait_for(|later| later.era != now.era) => {}
    }
}

/// Copies one direction of a connection.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
    mut weather: watch::Receiver<Weather>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        // Fails only when the proxy is gone, and then this task is too.
        let _ = weather.wait_for(|now| !now.stalled).await;
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets, after a first byte of its own.
    async fn echo(greeting: u8) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let _ = stream.write_all(&[greeting]).await;
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn connect(proxy: &TcpProxy, greeting: u8) -> TcpStream {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), greeting);
        stream
    }

    async fn is_cut(mut stream: TcpStream) -> bool {
        !matches!(stream.read(&mut [0]).await, Ok(1..))
    }

    #[tokio::test]
    async fn forwards_cuts_and_retargets() {
        let proxy = TcpProxy::start(echo(b'a').await).await.unwrap();
        let mut first = connect(&proxy, b'a').await;
        first.write_u8(7).await.unwrap();
        assert_eq!(first.read_u8().await.unwrap(), 7);
        let second = connect(&proxy, b'a').await;
        proxy.cut();
        assert!(is_cut(first).await && is_cut(second).await);

        proxy.retarget(echo(b'b').await);
        let third = connect(&proxy, b'b').await;
        drop(proxy);
        assert!(is_cut(third).await);
    }

    #[tokio::test]
    async fn a_stalled_connection_goes_on_where_it_stopped() {
        let target = echo(b'a').await;
        let proxy = TcpProxy::start(target).await.unwrap();
        let mut stream = connect(&proxy, b'a').await;
        proxy.stall();
        stream.write_all(b"xyz").await.unwrap();
        // A hundred round trips beside it would have been time enough for one.
        let beside = TcpProxy::start(target).await.unwrap();
        let mut quick = connect(&beside, b'a').await;
        for _ in 0..100 {
            quick.write_u8(1).await.unwrap();
            assert_eq!(quick.read_u8().await.unwrap(), 1);
        }
        assert_eq!(stream.try_read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        proxy.resume();
        let mut found = [0; 3];
        stream.read_exact(&mut found).await.unwrap();
        assert_eq!(&found, b"xyz");
    }

    #[tokio::test]
    async fn a_target_that_is_not_there_closes_the_connection() {
        let nobody = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
        let proxy = TcpProxy::start(nobody).await.unwrap();
        assert!(is_cut(TcpStream::connect(proxy.address()).await.unwrap()).await);
    }
}
