//! HTTP connections that are slow, idle, large or many; and the stop, with everything open.

mod support;

use support::{House, config, exchange, parse, read_to_end, request, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEADERS: &str = "POST /v1/conversations HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";

fn authorized(token: &str, rest: &str) -> String {
    format!("{HEADERS}Authorization: Bearer {token}\r\n{rest}")
}

#[tokio::test]
async fn a_slow_body_is_answered() {
    let house = House::start_with(|config| config.limits.request_timeout_ms = 100).await;
    let token = house.token("ana", "phone", "main").await;
    let slow_body = authorized(&token, "Content-Length: 100\r\n\r\n{");
    exchange(house.address(), &slow_body).await.problem(408, "request_timeout");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_slow_header_and_an_idle_connection_are_closed() {
    let house = House::start_with(|config| config.limits.header_timeout_ms = 500).await;
    let mut slow_header = TcpStream::connect(house.address()).await.unwrap();
    slow_header.write_all(b"GET /healthz HTTP/1.1\r\nHost:").await.unwrap();
    assert_eq!(read_to_end(&mut slow_header).await, "");
    let mut silent = TcpStream::connect(house.address()).await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
    let mut idle = TcpStream::connect(house.address()).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    assert_eq!(parse(&read_to_end(&mut idle).await).body, "ok\n");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn an_oversize_body_is_refused_however_it_comes() {
    let house = House::start_with(|config| config.limits.request_bytes_max = 73_728).await;
    let token = house.token("ana", "phone", "main").await;
    // Nothing of the declared body is sent: the refusal does not wait for it.
    let declared = authorized(&token, "Content-Length: 73729\r\n\r\n");
    let chunk = format!("{:x}\r\n{}\r\n", 60_000, " ".repeat(60_000));
    let chunked = authorized(&token, &format!("Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"));
    for text in [declared, chunked] {
        let sentence = exchange(house.address(), &text).await.problem(413, "body_too_large");
        assert!(sentence.contains("more than 73728 bytes"), "{sentence}");
    }
    let fits = format!(r#"{{"kind":"group","members":[]{}}}"#, " ".repeat(73_728 - 29));
    assert_eq!(fits.len(), 73_728);
    assert_eq!(house.ask(&token, "POST", "/v1/conversations", Some(&fits)).await.status, 201);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_their_turn() {
    let house = House::start_with(|config| config.limits.http_connections_max = 1).await;
    let mut first = TcpStream::connect(house.address()).await.unwrap();
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    first.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");

    let mut second = TcpStream::connect(house.address()).await.unwrap();
    second.write_all(request("GET", "/healthz", &[], "").as_bytes()).await.unwrap();
    // The admin socket has its own bound, so that operators get in; once it has answered, the second had its chance.
    house.token("ana", "phone", "main").await;
    let mut byte = [0];
    assert_eq!(second.try_read(&mut byte).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    assert_eq!(parse(&read_to_end(&mut second).await).status, 200);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn an_old_connection_is_closed_after_its_answer() {
    let house = House::start_with(|config| config.limits.http_connection_age_s = 1).await;
    let mut stream = TcpStream::connect(house.address()).await.unwrap();
    let body = "GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n";
    stream.write_all(body.as_bytes()).await.unwrap();
    let answers = read_to_end(&mut stream).await;
    assert_eq!(parse(&answers).body, "ok\n");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_leaves_nothing_behind_and_the_next_server_goes_on() {
    let house = House::start().await;
    let grant = house.grant("ana", "phone", "main").await;
    let (address, socket) = (house.address(), house.running.data().join("admin.sock"));
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nHost:").await.unwrap();
    assert!(socket.exists());

    house.running.stop().await.unwrap();
    assert_eq!((read_to_end(&mut idle).await, read_to_end(&mut half).await), (String::new(), String::new()));
    assert!(!socket.exists() && TcpStream::connect(address).await.is_err());

    let running = serve(config(&house.folder, |config| config.listen = address)).await;
    let authorization = format!("Authorization: Bearer {}", grant.token);
    let devices = exchange(address, &request("GET", "/v1/devices", &[&authorization], "")).await.json();
    assert_eq!(devices["devices"][0]["id"], grant.device);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_that_never_ends_is_dropped_by_the_stop() {
    let house = House::start_with(|config| {
        config.limits.stop_timeout_ms = 4_000;
        config.limits.request_timeout_ms = 120_000;
    })
    .await;
    let token = house.token("ana", "phone", "main").await;
    let mut endless = TcpStream::connect(house.address()).await.unwrap();
    endless
        .write_all(authorized(&token, "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut start = [0; 12];
    endless.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 100", "the body is being waited for");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_start_says_why_and_leaves_the_folder_free() {
    let house = House::start().await;
    let refused = async |change: &dyn Fn(&mut lockstep_server::Config), folder| {
        let telemetry = lockstep_server::Telemetry::detached().unwrap();
        let started = lockstep_server::Server::start(config(folder, |config| change(config)), &telemetry).await;
        started.map(|_| ()).unwrap_err().to_string()
    };
    let taken = refused(&|_| {}, &house.folder).await;
    assert!(taken.contains("another running server uses the data folder"), "{taken}");

    let other = tempfile::tempdir().unwrap();
    let (address, data) = (house.address(), other.path().join("data"));
    let port = refused(&|config| config.listen = address, &other).await;
    assert!(port.contains("is another server there? Name another address with --listen"), "{port}");
    std::fs::create_dir(data.join("admin.sock")).unwrap();
    let socket = refused(&|_| {}, &other).await;
    assert!(socket.ends_with("is not a socket: move it away"), "{socket}");
    std::fs::remove_dir(data.join("admin.sock")).unwrap();
    serve(config(&other, |_| {})).await.stop().await.unwrap();
    house.running.stop().await.unwrap();
}
