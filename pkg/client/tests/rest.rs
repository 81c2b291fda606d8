//! Requests to a server that answers exactly what the test says, over real connections.

use lockstep_client::protocol::Code;
use lockstep_client::{
    Accounts, Conversations, FixedToken, People, RefreshedTokens, RestError, TokenError, TokenKeeper, TokenReason,
    TokenSource, async_trait,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);

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
            let coming = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
            let (mut stream, _) = coming.expect("a request comes").expect("a connection");
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

fn session(number: u32) -> (u16, Value) {
    let session = json!({
        "user": "ana", "device": "019a2b1d-1111-7abc-8def-1234567890ab", "access_token": format!("access-{number}"),
        "expires_in_ms": 3_600_000, "refresh_token": format!("refresh-{number}"),
    });
    (200, session)
}

fn shows(head: &Head, number: u32) -> bool {
    head.contains(&format!("authorization: bearer access-{number}"))
}

#[tokio::test]
async fn a_request_is_asked_again_once_with_another_token() {
    let door = Door::open().await;
    let people =
        People::new(&door.url, Arc::new(RefreshedTokens::from_kept(Accounts::new(&door.url), "refresh", Kept)));
    let profile = (200, json!({"id": "ana", "name": "Ana", "avatar": null, "custom": {}}));

    for (number, code) in [(1, Code::TokenRevoked), (2, Code::TokenExpired), (3, Code::TokenInvalid)] {
        let mut answers = vec![refusal(code), session(number + 1), profile.clone()];
        if number == 1 {
            answers.insert(0, session(number));
        }
        let (asked, heads) = tokio::join!(people.own_profile(), door.answer(&answers));
        assert_eq!(asked.expect("the other token is good").name.as_deref(), Some("Ana"));
        let [.., refused, refresh, repeated] = &heads[..] else { panic!("{heads:?}") };
        assert!(refresh.starts_with("post /v1/sessions/refresh"), "{heads:?}");
        assert!(shows(refused, number) && shows(repeated, number + 1), "{heads:?}");
    }

    // If that one is refused too, so is the request.
    let answers = [refusal(Code::TokenRevoked), session(5), refusal(Code::TokenInvalid)];
    let (asked, _) = tokio::join!(people.own_profile(), door.answer(&answers));
    assert_eq!(asked.expect_err("it is refused").code(), Some(Code::TokenInvalid));
    // What another token does not help against.
    let answers = [refusal(Code::UserDisabled)];
    let (asked, _) = tokio::join!(people.own_profile(), door.answer(&answers));
    assert_eq!(asked.expect_err("it is refused").code(), Some(Code::UserDisabled));
    // Where there is no other token, the refusal stands; where none comes now, it may come later.
    let answers = [refusal(Code::TokenRevoked), refusal(Code::DeviceRemoved)];
    let (asked, _) = tokio::join!(people.own_profile(), door.answer(&answers));
    assert_eq!(asked.expect_err("it is refused").code(), Some(Code::TokenRevoked));
    let fixed = Conversations::new(&door.url, Arc::new(FixedToken::new("fixed")));
    let answers = [refusal(Code::TokenExpired)];
    let (asked, _) = tokio::join!(fixed.list(), door.answer(&answers));
    assert_eq!(asked.expect_err("it is refused").code(), Some(Code::TokenExpired));
    let answers = [session(6), refusal(Code::TokenRevoked), refusal(Code::Unavailable)];
    let (asked, _) = tokio::join!(people.own_profile(), door.answer(&answers));
    assert!(matches!(asked, Err(RestError::Token(TokenError::Unavailable(_)))), "{asked:?}");
}

#[tokio::test]
async fn lists_are_read_to_the_end_at_the_pace_of_the_server() {
    let door = Door::open().await;
    let people = People::new(&door.url, Arc::new(FixedToken::new("fixed")));
    let page = |user: &str, next: Value| {
        let contact = json!({"user": user, "name": null, "created_at": 1});
        (200, json!({"contacts": [contact], "next": next}))
    };
    let (status, mut problem) = refusal(Code::RateLimited);
    problem["retry_after_ms"] = json!(20);
    let limited = (status, problem);
    let answers = [
        page("ana", json!("a/1")),
        limited.clone(),
        limited.clone(),
        page("ben", json!("b")),
        limited.clone(),
        page("cid", Value::Null),
    ];
    let began = Instant::now();
    let (asked, heads) = tokio::join!(people.contacts(), door.answer(&answers));
    let users: Vec<_> = asked.expect("a list").into_iter().map(|contact| contact.user.to_string()).collect();
    assert_eq!(users, ["ana", "ben", "cid"]);
    assert!(began.elapsed() >= Duration::from_millis(60), "it waits");
    let paths: Vec<_> = heads.iter().map(|head| head.split(' ').nth(1).unwrap_or_default()).collect();
    let (first, second, third) =
        ("/v1/contacts?limit=200", "/v1/contacts?limit=200&cursor=a%2f1", "/v1/contacts?limit=200&cursor=b");
    assert_eq!(paths, [first, second, second, second, third, third]);

    // Not for ever.
    let answers = vec![limited; 9];
    let (asked, _) = tokio::join!(people.contacts(), door.answer(&answers));
    assert_eq!(asked.expect_err("it gives up").code(), Some(Code::RateLimited));
    let answers = [page("ana", json!("a")), page("ana", json!("a"))];
    let (asked, _) = tokio::join!(people.contacts(), door.answer(&answers));
    assert!(matches!(asked, Err(RestError::Unreachable(_))), "{asked:?}");
}
