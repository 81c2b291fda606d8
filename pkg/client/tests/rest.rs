//! Requests to a server that answers exactly what the test says, over real connections.

use lockstep_client::protocol::Code;
use lockstep_client::{Accounts, RefreshedTokens, TokenError, TokenKeeper, TokenReason, TokenSource, async_trait};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The head of a request, with its first line.
type Head = String;

/// A server's REST door.
struct Door {
    listener: TcpListener,
    url: String,
}

impl Door {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        Self { listener, url }
    }

    /// Takes the next requests, gives each the next of the answers, and says what they were.
    async fn answer(&self, answers: &[(u16, Value)]) -> Vec<Head> {
        let mut heads = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = self.listener.accept().await.expect("a connection");
            heads.push(request(&mut stream).await);
            let body = body.to_string();
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.expect("it is written");
        }
        heads
    }
}

async fn request(stream: &mut TcpStream) -> Head {
    let mut read = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut read).await.expect("it is read"), 0, "a whole request comes");
        let text = String::from_utf8_lossy(&read);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
            return head;
        }
    }
}

fn refusal(code: Code) -> (u16, Value) {
    (code.spec().http, json!({"code": code.name(), "detail": code.spec().sentence}))
}

struct Kept;

#[async_trait]
impl TokenKeeper for Kept {
    async fn keep(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test]
async fn a_refresh_that_is_refused_for_good_is_not_tried_again() {
    let door = Door::open().await;
    let source = RefreshedTokens::from_kept(Accounts::new(&door.url), "refresh", Kept);
    let cases = [
        (Code::UserDisabled, true),
        (Code::DeviceRemoved, true),
        (Code::TokenInvalid, true),
        (Code::TokenExpired, true),
        (Code::TokenRevoked, true),
        (Code::RateLimited, false),
        (Code::TryAgain, false),
        (Code::Unavailable, false),
        (Code::Internal, false),
    ];
    for (code, is_final) in cases {
        let answers = [refusal(code)];
        let (token, _) = tokio::join!(source.token(TokenReason::Connect), door.answer(&answers));
        let error = token.expect_err("it is refused");
        assert_eq!(matches!(error, TokenError::Denied(_)), is_final, "{error:?}");
    }
}
