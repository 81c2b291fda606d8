//! A served door on the embedded adapters, and devices that speak frames by hand.

use futures_util::{SinkExt, StreamExt};
use lockstep_auth::{Claim, Tokens};
use lockstep_broker_embedded::EmbeddedBroker;
use lockstep_engine::{Engine, EngineConfig, Ports};
use lockstep_gateway::{GatewayConfig, GatewayState, router};
use lockstep_model::{
    Code, ConversationId, ConversationKind, Device, DeviceId, DeviceKind, TokenGeneration, UnixMs, UserId,
};
use lockstep_ports::{Directory, NewConversation, NewDevice};
use lockstep_store_sql::{SqliteOptions, SqliteStore};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

/// A server without its process.
pub(crate) struct House {
    pub(crate) engine: Engine,
    store: SqliteStore,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) address: SocketAddr,
    pub(crate) folder: tempfile::TempDir,
}

/// Waits no longer than a broken test may take.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it did not happen in time")
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(EngineConfig::default(), GatewayConfig::default()).await
    }

    pub(crate) async fn with(engine: EngineConfig, gateway: GatewayConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path(), SqliteOptions::default()).await.unwrap();
        let ports = Ports {
            log: Arc::new(store.clone()),
            directory: Arc::new(store.clone()),
            offsets: Arc::new(store.clone()),
            broker: Arc::new(EmbeddedBroker::new()),
            events: None,
        };
        let engine = Engine::start(ports, engine);
        let tokens = Arc::new(Tokens::open(folder.path()).unwrap());
        let stopping = CancellationToken::new();
        let state = GatewayState::new(engine.clone(), Arc::clone(&tokens), gateway, stopping, String::new);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router(state)).await });
        Self { engine, store, tokens, address, folder }
    }

    pub(crate) async fn device(&self, name: &str) -> Device {
        self.engine.ensure_user(user(name)).await.unwrap();
        self.engine.create_device(&user(name), "phone", DeviceKind::Main).await.unwrap()
    }

    /// A device of a user that is still to be filled.
    pub(crate) async fn unfilled(&self, name: &str, kind: DeviceKind) -> Device {
        let (id, user, now) = (DeviceId::generate(), user(name), UnixMs::now());
        let new = NewDevice { id, user, name: "laptop".into(), kind, unfilled: true, now };
        self.store.create_device(new).await.unwrap().unwrap().value
    }

    /// A group whose log is empty and in which nobody has a role.
    pub(crate) async fn group(&self, members: &[&Device]) -> ConversationId {
        let (id, kind, now) = (ConversationId::generate(), ConversationKind::Group, UnixMs::now());
        let members = members.iter().map(|device| device.user.clone()).collect();
        let new = NewConversation { id, kind, title: None, members, now };
        self.store.create_conversation(new).await.unwrap().unwrap().value.id
    }

    pub(crate) fn token(&self, device: &Device) -> String {
        self.token_until(device, UnixMs::now())
    }

    /// A token that was issued at `issued` for a minute.
    pub(crate) fn token_until(&self, device: &Device, issued: UnixMs) -> String {
        let claim = Claim { user: device.user.clone(), device: device.id, token_generation: TokenGeneration(0) };
        self.tokens.issue(&claim, Duration::from_secs(60), issued).token
    }

    /// The request that becomes a WebSocket.
    pub(crate) fn request(&self) -> Request {
        let mut request = format!("ws://{}/v1/ws", self.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "lockstep.v1".parse().unwrap());
        request
    }

    /// A WebSocket on which nothing has been said.
    pub(crate) async fn open(&self) -> Wire {
        let (socket, answer) = tokio_tungstenite::connect_async(self.request()).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], "lockstep.v1");
        Wire { socket }
    }

    /// A WebSocket that has said hello with this token.
    pub(crate) async fn hello(&self, token: &str) -> Wire {
        let mut wire = self.open().await;
        wire.send(json!({"type": "hello", "ref": 1, "token": token})).await;
        wire
    }

    /// A live device that has caught up.
    pub(crate) async fn live(&self, device: &Device) -> Wire {
        let mut wire = self.hello(&self.token(device)).await;
        wire.send(json!({"type": "resume"})).await;
        wire.until("caught_up").await;
        wire
    }
}

/// One end of a WebSocket.
pub(crate) struct Wire {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Wire {
    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next frame, or the close code and its reason.
    pub(crate) async fn next(&mut self) -> Result<Value, (u16, String)> {
        match soon(self.socket.next()).await {
            Some(Ok(Message::Text(text))) => Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(Some(frame)))) => Err((frame.code.into(), frame.reason.to_string())),
            other => panic!("neither a frame nor a close: {other:?}"),
        }
    }

    /// The next frame of a type; those before it are dropped.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await.expect("the connection was closed");
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Everything up to the close: the last error frame says why, and the close code agrees.
    pub(crate) async fn closed(&mut self) -> Code {
        let mut last = None;
        loop {
            match self.next().await {
                Ok(frame) if frame["type"] == "error" => last = Some(frame),
                Ok(_) => {}
                Err((close, reason)) => {
                    let frame = last.expect("no error frame came before the close");
                    let code: Code = reason.parse().unwrap();
                    let spec = code.spec();
                    assert_eq!((close, frame["code"].as_str().unwrap()), (spec.close, spec.name));
                    assert_eq!((&frame["message"], &frame["close"]), (&json!(spec.sentence), &json!(true)));
                    return code;
                }
            }
        }
    }
}
