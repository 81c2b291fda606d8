//! A server in this process, and a small HTTP/1.1 client that also does what a proper one would not.

#![allow(dead_code, reason = "each test program uses its part of this")]

pub(crate) mod accounts;
pub(crate) mod scene;

use lockstep_server::admin::{AdminClient, TokenRequest};
use lockstep_server::{Config, Running, Server, Telemetry};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a folder of its own.
pub(crate) struct House {
    pub(crate) folder: TempDir,
    pub(crate) running: Running,
    pub(crate) admin: AdminClient,
}

/// An answer, read to the end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl House {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = serve(config(&folder, change)).await;
        let admin = AdminClient::new(running.data());
        Self { folder, running, admin }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.local_addr()
    }

    pub(crate) async fn token(&self, user: &str, device_name: &str, kind: &str) -> String {
        self.grant(user, device_name, kind).await.token
    }

    pub(crate) async fn grant(&self, user: &str, device: &str, kind: &str) -> lockstep_server::admin::TokenGrant {
        let request = TokenRequest {
            user: user.into(),
            device_name: device.into(),
            kind: kind.into(),
            unfilled: false,
            ttl_s: None,
        };
        self.admin.token(&request).await.unwrap()
    }

    /// Sends a request with a token, and with a JSON body if there is one.
    pub(crate) async fn ask(&self, token: &str, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.ask_with(token, method, path, &[], body).await
    }

    pub(crate) async fn ask_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[&str],
        body: Option<&str>,
    ) -> Answer {
        let authorization = format!("Authorization: Bearer {token}");
        let mut all = vec![authorization.as_str()];
        all.extend(headers);
        if body.is_some() {
            all.push("Content-Type: application/json");
        }
        exchange(self.address(), &request(method, path, &all, body.unwrap_or_default())).await
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Checks that it is a well-formed problem with this code, and returns its sentence.
    pub(crate) fn problem(&self, status: u16, code: &str) -> String {
        let problem = self.json();
        assert_eq!((self.status, problem["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["type"], format!("/problems/{code}"));
        assert_eq!(problem["status"], status);
        assert_eq!(self.header("www-authenticate").is_some(), status == 401, "{self:?}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(problem["title"].as_str().unwrap().ends_with('.') && detail.ends_with('.'), "{self:?}");
        detail.to_owned()
    }
}

/// The configuration of a server on a free port.
pub(crate) fn config(folder: &TempDir, change: impl FnOnce(&mut Config)) -> Config {
    let mut config =
        Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), data: folder.path().join("data"), ..Config::default() };
    change(&mut config);
    config
}

pub(crate) async fn serve(config: Config) -> Running {
    Server::start(config, &Telemetry::detached().unwrap()).await.unwrap()
}

pub(crate) fn request(method: &str, path: &str, headers: &[&str], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    format!("{text}\r\n{body}")
}

/// Writes what is given, and reads until the server closes.
pub(crate) async fn exchange(address: SocketAddr, text: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    parse(&read_to_end(&mut stream).await)
}

/// All that the server writes until it closes.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset after the answer, as a server does that will not read the rest of a request, is an end too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("the server closes");
    String::from_utf8(text).unwrap()
}

pub(crate) fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
