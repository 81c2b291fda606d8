//! What all operations share: web pages, proxies, rates, and what bodies may be.

mod support;

use lockstep_server::Config;
use lockstep_server::admin::ServiceTokenRequest;
use serde_json::json;
use support::scene::{Scene, text};
use support::{Answer, House, exchange, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn with_origins(origins: &[&str]) -> House {
    let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    House::start_with(|config| config.http.origins = origins).await
}

async fn ask(house: &House, method: &str, path: &str, headers: &[&str]) -> Answer {
    exchange(house.address(), &request(method, path, headers, "")).await
}

#[tokio::test]
async fn browsers_are_told_whose_pages_may_read_answers() {
    let (app, other) = ("https://app.example", "https://other.example");
    // The setting; what a page of app and one of other are told.
    let cases: [(&[&str], Option<&str>, Option<&str>); 3] =
        [(&[], None, None), (&[app], Some(app), None), (&["*"], Some("*"), Some("*"))];
    for (origins, for_app, for_other) in cases {
        let house = with_origins(origins).await;
        for (origin, expected) in [(app, for_app), (other, for_other)] {
            let what = format!("{origins:?} {origin}");
            let origin = format!("Origin: {origin}");
            let wants = ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"];
            let preflight = ask(&house, "OPTIONS", "/v1/conversations", &[&origin, wants[0], wants[1]]).await;
            assert_eq!(preflight.header("access-control-allow-origin"), expected, "{what}: {preflight:?}");
            assert_eq!(preflight.status, if origins.is_empty() { 405 } else { 200 }, "{what}");
            if expected.is_some() {
                let headers = preflight.header("access-control-allow-headers").unwrap();
                assert!(headers.contains("authorization") && headers.contains("idempotency-key"), "{headers}");
                assert!(preflight.header("access-control-allow-methods").unwrap().contains("DELETE"));
            }
            // A refusal is read by the page too.
            for path in ["/v1/devices", "/v1/nothing", "/healthz"] {
                let answer = ask(&house, "GET", path, &[&origin]).await;
                assert_eq!(answer.header("access-control-allow-origin"), expected, "{what} {path}: {answer:?}");
                assert_eq!(answer.header("access-control-allow-credentials"), None);
            }
        }
        house.running.stop().await.unwrap();
    }
}

/// The status of an upgrade, and its body if it was refused.
async fn upgrade(house: &House, origin: Option<&str>) -> (u16, String) {
    let mut headers = vec![
        "Upgrade: websocket".to_owned(),
        "Sec-WebSocket-Version: 13".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
        "Sec-WebSocket-Protocol: lockstep.v1".to_owned(),
    ];
    headers.extend(origin.map(|origin| format!("Origin: {origin}")));
    let headers: Vec<_> = headers.iter().map(String::as_str).collect();
    let text = request("GET", "/v1/ws", &headers, "").replace("Connection: close", "Connection: upgrade");
    let mut stream = TcpStream::connect(house.address()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    let status = std::str::from_utf8(&head[9..]).unwrap().parse().unwrap();
    let mut rest = String::new();
    if status != 101 {
        // The connection stays open: what is there has to be enough.
        while !rest.ends_with('}') {
            rest.push(char::from(stream.read_u8().await.unwrap()));
        }
    }
    (status, rest)
}

#[tokio::test]
async fn websockets_are_for_own_and_listed_pages_and_for_programs() {
    // The setting; which origins may connect.
    let (own, app, other) = (Some("http://test"), Some("https://app.example"), Some("https://other.example"));
    let cases: [(&[&str], [bool; 4]); 3] = [
        (&[], [true, true, false, false]),
        (&["https://app.example"], [true, true, true, false]),
        (&["*"], [true, true, true, true]),
    ];
    for (origins, expected) in cases {
        let house = with_origins(origins).await;
        for (origin, expected) in [None, own, app, other].into_iter().zip(expected) {
            let (status, rest) = upgrade(&house, origin).await;
            assert_eq!(status, if expected { 101 } else { 403 }, "{origins:?} {origin:?}");
            assert_eq!(rest.contains("\"origin_refused\""), !expected, "{rest}");
        }
        house.running.stop().await.unwrap();
    }
}

fn slow(config: &mut Config) {
    let limits = &mut config.limits;
    (limits.address_requests_per_second, limits.address_requests_burst) = (1, 3);
}

/// Asks until it is refused, and returns how often it was not, and the sentence.
async fn until_refused(mut ask: impl AsyncFnMut() -> Answer) -> (u64, String) {
    for taken in 0.. {
        let answer = ask().await;
        if answer.status == 429 {
            let sentence = answer.problem(429, "rate_limited");
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert!((1..=1_000).contains(&answer.json()["retry_after_ms"].as_u64().unwrap()));
            return (taken, sentence);
        }
    }
    unreachable!("somebody is refused sooner or later")
}

#[tokio::test]
async fn an_address_has_a_rate_before_anything_else_is_looked_at() {
    let house = House::start_with(slow).await;
    let mut named = 0;
    // Nobody is believed who is no trusted proxy.
    let taken = until_refused(async || {
        named += 1;
        ask(&house, "GET", "/v1/devices", &[&format!("X-Forwarded-For: 203.0.113.{named}")]).await
    });
    let began = std::time::Instant::now();
    let (taken, _) = taken.await;
    assert!((3..=3 + began.elapsed().as_secs() + 1).contains(&taken), "{taken}");
    for path in ["/readyz", "/metrics", "/.well-known/jwks.json", "/docs", "/v1/openapi.json"] {
        let mut statuses = Vec::new();
        let began = std::time::Instant::now();
        for _ in 0..20 {
            statuses.push(ask(&house, "GET", path, &[]).await.status);
        }
        let most = 3 + began.elapsed().as_secs() as usize + 1;
        let taken = statuses.iter().filter(|status| **status == 200).count();
        assert!(taken <= most, "{path}: {taken} of at most {most}");
    }
    // Whoever looks whether the process lives is always told, and the WebSocket has rates of its own.
    for _ in 0..6 {
        assert_eq!(ask(&house, "GET", "/healthz", &[]).await.status, 200);
        assert_eq!(upgrade(&house, None).await.0, 101);
    }
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_trusted_proxy_says_whose_request_it_is() {
    let house = House::start_with(|config| {
        slow(config);
        config.http.trusted_proxies = vec!["127.0.0.0/8".to_owned(), "10.0.0.0/8".to_owned()];
    });
    let house = house.await;
    // Eight clients behind the proxy, each as often as its burst allows: together they are above the proxy's own.
    for client in 1..=8 {
        for forged in ["198.51.100.1", "198.51.100.2", "unknown"] {
            let header = format!("X-Forwarded-For: {forged}, 203.0.113.{client}, 10.0.0.1");
            let answer = ask(&house, "GET", "/v1/devices", &[&header]).await;
            assert_eq!(answer.status, 401, "{header}: {answer:?}");
        }
    }
    let mut forged = 0;
    let taken = until_refused(async || {
        forged += 1;
        let header = format!("Forwarded: for=198.51.100.{forged}, for=203.0.113.9;proto=https");
        ask(&house, "GET", "/v1/devices", &[&header]).await
    });
    assert!(taken.await.0 >= 3);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_device_and_a_user_have_rates() {
    let house = House::start_with(|config| {
        let limits = &mut config.limits;
        (limits.device_requests_per_second, limits.device_requests_burst) = (1, 4);
        (limits.user_requests_per_second, limits.user_requests_burst) = (1, 6);
    });
    let scene = Scene::set_in(house.await).await;
    let devices = async |token: &str| scene.house.ask(token, "GET", "/v1/devices", None).await;
    // The scene has made one request as each.
    let (taken, sentence) = until_refused(async || devices(&scene.ana).await).await;
    assert!(taken >= 3 && sentence.contains("this device"), "{taken}: {sentence}");
    // The laptop would have its own burst, but its user's is nearly used.
    let (taken, sentence) = until_refused(async || devices(&scene.laptop).await).await;
    assert!(taken >= 2 && sentence.contains("this user's devices"), "{taken}: {sentence}");
    assert_eq!(devices(&scene.ben).await.status, 200, "another user is not concerned");
    scene.end().await;
}

#[tokio::test]
async fn bodies_are_plain_json() {
    let scene = Scene::set().await;
    let path = format!("/v1/conversations/{}/messages", scene.direct);
    let (auth, key) = (format!("Authorization: Bearer {}", scene.ana), "Idempotency-Key: k");
    let json = "Content-Type: application/json";
    // The headers, whether the answer names the codings that are taken.
    let cases: [(&[&str], bool); 6] = [
        (&[], false),
        (&["Content-Type: text/plain"], false),
        (&["Content-Type: application/x-www-form-urlencoded", "Content-Encoding: gzip"], false),
        (&[json, "Content-Encoding: gzip"], true),
        (&[json, "Content-Encoding: identity, br"], true),
        (&[json, "Content-Encoding: identity", "Content-Encoding: deflate"], true),
    ];
    for (headers, names_codings) in cases {
        let all = [&[&*auth, key], headers].concat();
        let answer = exchange(scene.house.address(), &request("POST", &path, &all, &text("x"))).await;
        let sentence = answer.problem(415, "unsupported_media_type");
        assert_eq!(answer.header("accept-encoding"), names_codings.then_some("identity"), "{headers:?}: {sentence}");
        assert!(sentence.contains(if names_codings { "Content-Encoding" } else { "Content-Type" }), "{sentence}");
    }
    let all = [&*auth, key, "Content-Type: application/json; charset=utf-8", "Content-Encoding: identity"];
    let answer = exchange(scene.house.address(), &request("POST", &path, &all, &text("x"))).await;
    assert_eq!((answer.status, answer.json()["seq"].clone()), (201, json!(1)), "nothing was stored before");
    scene.end().await;
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_not_waited_for() {
    let scene = Scene::set_in(House::start_with(|config| config.limits.request_timeout_ms = 100).await).await;
    let path = format!("/v1/conversations/{}/messages", scene.direct);
    let headers = [
        &*format!("Authorization: Bearer {}", scene.ana),
        "Idempotency-Key: k",
        "Content-Type: application/json",
        "Content-Length: 100",
    ];
    let mut stream = TcpStream::connect(scene.house.address()).await.unwrap();
    stream.write_all(request("POST", &path, &headers, "").as_bytes()).await.unwrap();
    support::parse(&support::read_to_end(&mut stream).await).problem(408, "request_timeout");
    scene.end().await;
}

/// A request whose body is held back: the server has taken its headers and waits for the rest.
async fn held_back(house: &House, token: &str, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(house.address()).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Idempotency-Key: held\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // It says so when it begins to read the body (RFC 9110, section 10.1.1): whose request it is has been asked by then.
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[tokio::test]
async fn who_is_sent_away_while_a_body_is_held_back_does_nothing() {
    let scene = Scene::set().await;
    let house = &scene.house;
    let path = format!("/v1/conversations/{}/messages", scene.direct);
    let sub = house.grant("ana", "tablet", "sub").await;
    let service = ServiceTokenRequest { name: "robot".into(), scopes: vec!["publish:*".into()], ttl_s: None };
    let service = house.admin.service_token(&service).await.unwrap().token;
    let body = text("too late");
    let (mut of_sub, mut of_service, mut of_ben) = (
        held_back(house, &sub.token, &path, &body).await,
        held_back(house, &service, &path, &body).await,
        held_back(house, &scene.ben, "/v1/conversations", r#"{"kind":"group","members":[]}"#).await,
    );
    let mut of_ana = held_back(house, &scene.ana, &path, &body).await;
    let removed = house.ask(&scene.ana, "DELETE", &format!("/v1/devices/{}", sub.device), None).await;
    assert_eq!(removed.status, 200, "{removed:?}");
    house.admin.revoke_service("robot").await.unwrap();
    house.admin.disable_user("ben").await.unwrap();
    for (stream, body, status, code) in [
        (&mut of_sub, &*body, 401, "device_removed"),
        (&mut of_service, &*body, 401, "token_revoked"),
        (&mut of_ben, r#"{"kind":"group","members":[]}"#, 403, "user_disabled"),
    ] {
        stream.write_all(body.as_bytes()).await.unwrap();
        support::parse(&support::read_to_end(stream).await).problem(status, code);
    }
    // Who is still there goes on.
    of_ana.write_all(body.as_bytes()).await.unwrap();
    let sent = support::parse(&support::read_to_end(&mut of_ana).await);
    assert_eq!((sent.status, &sent.json()["seq"]), (201, &json!(1)), "{sent:?}");
    scene.end().await;
}
