//! A server that does exactly what a test says.

pub(crate) mod frames;

use frames::welcome;
use futures_util::{SinkExt, StreamExt};
use lockstep_client::protocol::{
    ClientFrame, Code, ErrorFrame, Hello, Resume, ServerFrame, decode_client, encode_server,
};
use lockstep_client::{
    Client, ClientConfig, Event, Events, LocalStore, TokenError, TokenReason, TokenSource, async_trait,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

/// Ends a test that would hang.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

pub(crate) struct FakeServer {
    listener: TcpListener,
    pub(crate) tokens: Arc<Tokens>,
}

/// Gives out `token-1`, `token-2`, ... and keeps why it was asked.
#[derive(Default)]
pub(crate) struct Tokens(pub(crate) Mutex<Vec<TokenReason>>);

#[async_trait]
impl TokenSource for Tokens {
    async fn token(&self, reason: TokenReason) -> Result<String, TokenError> {
        let mut reasons = self.0.lock().expect("not poisoned");
        reasons.push(reason);
        Ok(format!("token-{}", reasons.len()))
    }
}

pub(crate) struct FakeConnection(WebSocketStream<TcpStream>);

impl FakeServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self { listener, tokens: Arc::default() }
    }

    pub(crate) fn client(&self, store: Arc<dyn LocalStore>) -> (Client, Events) {
        self.client_with(store, |_| {})
    }

    pub(crate) fn client_with(
        &self,
        store: Arc<dyn LocalStore>,
        set: impl FnOnce(&mut ClientConfig),
    ) -> (Client, Events) {
        let url = format!("ws://{}/v1/ws", self.listener.local_addr().expect("an address"));
        let mut config = ClientConfig::new(url, Arc::clone(&self.tokens) as Arc<dyn TokenSource>, store);
        set(&mut config);
        Client::start(config)
    }

    /// The next connection, as far as its `hello`.
    #[allow(clippy::result_large_err)] // The handshake's callback has its type from the library.
    pub(crate) async fn accept(&self) -> (FakeConnection, Hello) {
        let (stream, _) = within(self.listener.accept()).await.expect("a connection");
        let answer = |request: &Request, mut response: Response| {
            assert_eq!(request.uri().path(), "/v1/ws");
            let protocol = request.headers()["sec-websocket-protocol"].clone();
            assert_eq!(protocol, "lockstep.v1");
            response.headers_mut().insert("sec-websocket-protocol", protocol);
            Ok(response)
        };
        let stream = within(tokio_tungstenite::accept_hdr_async(stream, answer)).await.expect("a handshake");
        let mut connection = FakeConnection(stream);
        match connection.next().await {
            Some(ClientFrame::Hello(hello)) => (connection, hello),
            other => panic!("hello comes first, not {other:?}"),
        }
    }

    /// The next connection, welcomed, resumed and caught up.
    pub(crate) async fn accept_live(&self) -> (FakeConnection, Resume) {
        let (mut connection, _) = self.accept().await;
        connection.send(welcome(25_000)).await;
        let resume = connection.resume().await;
        connection.send(ServerFrame::CaughtUp).await;
        (connection, resume)
    }
}

impl FakeConnection {
    /// The next frame; `None` when the device is gone.
    pub(crate) async fn next(&mut self) -> Option<ClientFrame> {
        loop {
            match within(self.0.next()).await? {
                Ok(Message::Text(text)) => return Some(decode_client(&text).expect("a frame")),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn resume(&mut self) -> Resume {
        match self.next().await {
            Some(ClientFrame::Resume(resume)) => resume,
            other => panic!("resume comes after welcome, not {other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, frame: ServerFrame) {
        within(self.0.send(Message::text(encode_server(&frame)))).await.expect("the device takes it");
    }

    pub(crate) async fn refuse(mut self, code: Code, retry_after_ms: Option<u64>) {
        let mut error = ErrorFrame::of(code, None);
        error.retry_after_ms = retry_after_ms.or(error.retry_after_ms);
        self.send(ServerFrame::Error(error)).await;
        self.close(code).await;
    }

    /// Closes with the code alone, then reads until the device is gone.
    pub(crate) async fn close(mut self, code: Code) {
        let frame = CloseFrame { code: code.spec().close.into(), reason: code.name().into() };
        let _ = within(self.0.send(Message::Close(Some(frame)))).await;
        while self.next().await.is_some() {}
    }
}

/// The next event that is of interest.
pub(crate) async fn event(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = within(events.next()).await.expect("the client has not stopped");
        if wanted(&event) {
            return event;
        }
    }
}
