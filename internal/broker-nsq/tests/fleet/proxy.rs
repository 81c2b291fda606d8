//! Stands before an nsqd and does something each time that a request comes by, before nsqd gets it.

use lockstep_nsq_client::Address;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

/// Starts it, and returns where it listens. It ends with the test's runtime.
pub(crate) async fn before(nsqd: SocketAddr, meanwhile: impl Fn(&str) + Send + Sync + 'static) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").into();
    let meanwhile: Arc<dyn Fn(&str) + Send + Sync> = Arc::new(meanwhile);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(nsqd).await.expect("nsqd is there");
            tokio::spawn(pass(client, server, Arc::clone(&meanwhile)));
        }
    });
    address
}

async fn pass(client: TcpStream, server: TcpStream, meanwhile: Arc<dyn Fn(&str) + Send + Sync>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let answers = tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    let mut head = Vec::new();
    // Requests have no body.
    while let Ok(byte) = from_client.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&head).into_owned();
            let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
            meanwhile(&target);
            if to_server.write_all(&head).await.is_err() {
                break;
            }
            head.clear();
        }
    }
    answers.abort();
}

/// Asks a server to do something. Blocks for a moment.
pub(crate) fn post(server: SocketAddr, target: &str) {
    let answer = request(server, "POST", target);
    assert!(answer.contains(" 200 "), "{target}: {answer}");
}

/// Asks a server for something until it answers so.
pub(crate) fn wait_for(server: SocketAddr, target: &str, is_so: impl Fn(&str) -> bool) {
    let began = Instant::now();
    while !is_so(&request(server, "GET", target)) {
        assert!(began.elapsed() < Duration::from_secs(20), "{target} does not become so");
    }
}

fn request(server: SocketAddr, method: &str, target: &str) -> String {
    let mut stream = std::net::TcpStream::connect(server).expect("it is there");
    write!(stream, "{method} {target} HTTP/1.0\r\nContent-Length: 0\r\n\r\n").expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}
