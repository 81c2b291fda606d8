//! Linking devices over real sockets: a new device asks, a main device answers, the new one claims its tokens.

mod support;

use lockstep_server::Config;
use serde_json::{Value, json};
use std::time::Duration;
use support::accounts::{access, post, refresh};
use support::{Answer, House, config, exchange, request, serve};
use tokio::task::JoinSet;

/// A device that asks, with what it was told.
struct Asking {
    link: String,
    code: String,
    secret: String,
    scan: String,
}

async fn try_ask(house: &House, says: Value) -> Answer {
    post(house, "/v1/links", &says).await
}

async fn ask(house: &House) -> Asking {
    let answer = try_ask(house, json!({"name": "tablet", "platform": "Firefox", "public_key": "a+b/c="})).await;
    assert_eq!((answer.status, answer.header("cache-control")), (201, Some("no-store")), "{answer:?}");
    let json = answer.json();
    let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("{name} in {answer:?}")).to_owned();
    let (link, qr) = (text("link"), text("qr"));
    let fragment = qr.strip_prefix("lockstep://link#").unwrap_or_else(|| panic!("{qr}"));
    let scan =
        fragment.strip_prefix(&format!("link={link}&scan=")).and_then(|rest| rest.strip_suffix("&key=a%2Bb%2Fc%3D"));
    let scan = scan.unwrap_or_else(|| panic!("{qr}")).to_owned();
    let asking = Asking { link, code: text("code"), secret: text("secret"), scan };
    assert!(asking.code.len() == 8 && asking.secret.len() == 43 && asking.scan.len() == 43, "{answer:?}");
    assert!(asking.secret != asking.scan, "each secret is good for one thing");
    asking
}

async fn find(house: &House, token: &str, shown: &Value) -> Answer {
    house.ask(token, "POST", "/v1/links/find", Some(&shown.to_string())).await
}

async fn say(house: &House, token: &str, verb: &str, link: &str, shown: &Value) -> Answer {
    house.ask(token, "POST", &format!("/v1/links/{link}/{verb}"), Some(&shown.to_string())).await
}

async fn claim(house: &House, link: &str, secret: &str) -> Answer {
    post(house, &format!("/v1/links/{link}/claim"), &json!({"secret": secret})).await
}

impl Asking {
    fn code(&self) -> Value {
        json!({"code": self.code})
    }

    async fn answered(&self, house: &House, token: &str, verb: &str) {
        let answer = say(house, token, verb, &self.link, &self.code()).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    async fn claimed(&self, house: &House) -> Answer {
        claim(house, &self.link, &self.secret).await
    }
}

async fn many_attempts(change: impl FnOnce(&mut Config)) -> House {
    House::start_with(|config| {
        config.links.user_attempts = 10_000;
        config.links.address_attempts = 10_000;
        config.accounts.address_attempts = 10_000;
        change(config);
    })
    .await
}

#[tokio::test]
async fn a_device_is_linked_by_its_code_or_its_qr_code() {
    let house = many_attempts(|_| {}).await;
    let phone = house.token("ana", "phone", "main").await;
    for by_code in [true, false] {
        let asking = ask(&house).await;
        let waiting = asking.claimed(&house).await;
        assert_eq!((waiting.status, &waiting.json()["link"]), (202, &json!(asking.link)), "{waiting:?}");
        let typed = format!(" {}-{} ", asking.code[..4].to_lowercase(), &asking.code[4..]);
        let (search, shown) = if by_code {
            (json!({"code": typed}), json!({"code": typed}))
        } else {
            (json!({"link": asking.link, "scan": asking.scan}), json!({"scan": asking.scan}))
        };
        let found = find(&house, &phone, &search).await;
        assert_eq!(found.status, 200, "{found:?}");
        let mut found = found.json();
        assert!(found["created_at"].is_u64() && found["expires_at"] == waiting.json()["expires_at"], "{found}");
        found.as_object_mut().unwrap().retain(|name, _| !name.ends_with("_at"));
        let expected = json!({"link": asking.link, "name": "tablet", "platform": "Firefox", "address": "127.0.0.1",
            "public_key": "a+b/c="});
        assert_eq!(found, expected);

        let said = say(&house, &phone, "approve", &asking.link, &shown).await;
        assert_eq!(said.status, 204, "{said:?}");
        let linked = asking.claimed(&house).await;
        assert_eq!((linked.status, linked.header("cache-control")), (201, Some("no-store")), "{linked:?}");
        // The answer may be lost: until the tokens are used the same device gets others.
        let again = asking.claimed(&house).await;
        assert_eq!((again.status, &again.json()["device"]), (201, &linked.json()["device"]), "{again:?}");
        let session = again.json();
        assert_eq!((&session["user"], &session["kind"]), (&json!("ana"), &json!("sub")));
        assert_eq!(access(&house, session["access_token"].as_str().unwrap()).await, Ok(()));
        assert_eq!(refresh(&house, session["refresh_token"].as_str().unwrap()).await.status, 200);
        let devices = house.ask(&phone, "GET", "/v1/devices", None).await.json();
        let last = devices["devices"].as_array().unwrap().last().unwrap().clone();
        let described = [&last["id"], &last["name"], &last["kind"], &last["platform"]];
        assert_eq!(described, [&session["device"], &json!("tablet"), &json!("sub"), &json!("Firefox")]);
        asking.claimed(&house).await.problem(404, "no_such_link");
    }
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_main_device_refuses() {
    let house = many_attempts(|_| {}).await;
    let phone = house.token("ana", "phone", "main").await;
    let asking = ask(&house).await;
    asking.answered(&house, &phone, "refuse").await;
    for _ in 0..2 {
        asking.claimed(&house).await.problem(403, "link_refused");
    }
    say(&house, &phone, "approve", &asking.link, &asking.code()).await.problem(404, "no_such_link");
    assert_eq!(house.ask(&phone, "GET", "/v1/devices", None).await.json()["devices"].as_array().unwrap().len(), 1);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn no_difference_is_seen_between_links_that_are_not_there() {
    let house = many_attempts(|config| config.links.ttl_s = 1).await;
    let (phone, bens) = (house.token("ana", "phone", "main").await, house.token("ben", "phone", "main").await);
    let expired = ask(&house).await;
    let ending = async { while expired.claimed(&house).await.status == 202 {} };
    tokio::time::timeout(Duration::from_secs(20), ending).await.expect("it ends after a second");
    house.running.stop().await.unwrap();

    let folder = house.folder;
    let running = serve(config(&folder, |config| config.links.user_attempts = 10_000)).await;
    let house = House { admin: lockstep_server::admin::AdminClient::new(running.data()), folder, running };
    let (waiting, used, refused) = (ask(&house).await, ask(&house).await, ask(&house).await);
    used.answered(&house, &phone, "approve").await;
    refused.answered(&house, &phone, "refuse").await;
    let session = used.claimed(&house).await;
    assert_eq!(session.status, 201, "{session:?}");
    assert_eq!(refresh(&house, session.json()["refresh_token"].as_str().unwrap()).await.status, 200);
    let guess = json!({"code": "AAAA-AAAA"});
    let nobodys = lockstep_model::LinkId::generate().to_string();
    let mut answers = vec![
        find(&house, &phone, &expired.code()).await,
        find(&house, &phone, &used.code()).await,
        find(&house, &phone, &refused.code()).await,
        find(&house, &phone, &guess).await,
        find(&house, &phone, &json!({"link": waiting.link, "scan": "guess"})).await,
        find(&house, &phone, &json!({"link": waiting.link, "scan": waiting.secret})).await,
        find(&house, &phone, &json!({"link": nobodys, "scan": waiting.scan})).await,
        claim(&house, &expired.link, &expired.secret).await,
        claim(&house, &used.link, &used.secret).await,
        claim(&house, &waiting.link, "guess").await,
        claim(&house, &waiting.link, &waiting.scan).await,
        claim(&house, &waiting.link, &waiting.code).await,
        claim(&house, &nobodys, &waiting.secret).await,
    ];
    for verb in ["approve", "refuse"] {
        answers.extend([
            say(&house, &phone, verb, &expired.link, &expired.code()).await,
            say(&house, &bens, verb, &used.link, &used.code()).await,
            say(&house, &bens, verb, &refused.link, &refused.code()).await,
            say(&house, &phone, verb, &waiting.link, &guess).await,
            say(&house, &phone, verb, &waiting.link, &json!({"scan": "guess"})).await,
            say(&house, &phone, verb, &waiting.link, &used.code()).await,
            say(&house, &phone, verb, &nobodys, &waiting.code()).await,
        ]);
    }
    for answer in &answers {
        answer.problem(404, "no_such_link");
        assert_eq!(answer.body, answers[0].body);
    }
    assert_eq!(waiting.claimed(&house).await.status, 202, "nothing of that counted");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn only_main_devices_answer() {
    let house = many_attempts(|_| {}).await;
    let laptop = house.token("ana", "laptop", "sub").await;
    let asking = ask(&house).await;
    for answer in [
        find(&house, &laptop, &asking.code()).await,
        say(&house, &laptop, "approve", &asking.link, &asking.code()).await,
        say(&house, &laptop, "refuse", &asking.link, &asking.code()).await,
    ] {
        let sentence = answer.problem(403, "forbidden");
        assert!(sentence.contains("main device"), "{sentence}");
    }
    assert_eq!(asking.claimed(&house).await.status, 202);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn the_first_word_counts_and_one_claims() {
    let house = many_attempts(|_| {}).await;
    let tokens = [
        house.token("ana", "phone", "main").await,
        house.token("ana", "pad", "main").await,
        house.token("ben", "phone", "main").await,
    ];
    for _ in 0..4 {
        let asking = ask(&house).await;
        let mut said = JoinSet::new();
        for token in &tokens {
            for verb in ["approve", "refuse"] {
                let authorization = format!("Authorization: Bearer {token}");
                let headers = [authorization.as_str(), "Content-Type: application/json"];
                let path = format!("/v1/links/{}/{verb}", asking.link);
                let text = request("POST", &path, &headers, &asking.code().to_string());
                let address = house.address();
                said.spawn(async move { (exchange(address, &text).await, verb) });
            }
        }
        let (heard, others): (Vec<_>, Vec<_>) =
            said.join_all().await.into_iter().partition(|(said, _)| said.status == 204);
        others.iter().for_each(|(answer, _)| drop(answer.problem(404, "no_such_link")));
        let [(_, verb)] = heard[..] else { panic!("one word counts, not {heard:?}") };
        let mut claims = JoinSet::new();
        for _ in 0..4 {
            let body = json!({"secret": asking.secret}).to_string();
            let path = format!("/v1/links/{}/claim", asking.link);
            let text = request("POST", &path, &["Content-Type: application/json"], &body);
            let address = house.address();
            claims.spawn(async move { exchange(address, &text).await });
        }
        let answers = claims.join_all().await;
        let linked: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        assert_eq!(!linked.is_empty(), verb == "approve", "{answers:?}");
        let devices: Vec<_> = linked.iter().map(|answer| answer.json()["device"].clone()).collect();
        assert!(devices.iter().all(|device| *device == devices[0]), "one device, not {devices:?}");
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            match verb {
                "approve" => drop(answer.problem(404, "no_such_link")),
                _ => drop(answer.problem(403, "link_refused")),
            }
        }
    }
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_link_ends_with_the_device_that_approved_it() {
    let house = many_attempts(|_| {}).await;
    for ending in ["removed by another", "signed out", "all signed out"] {
        let user = format!("ana {ending}");
        let (phone, other) = (house.grant(&user, "phone", "main").await, house.grant(&user, "pad", "main").await);
        let asking = ask(&house).await;
        asking.answered(&house, &phone.token, "approve").await;
        let ended = match ending {
            "removed by another" => {
                house.ask(&other.token, "DELETE", &format!("/v1/devices/{}", phone.device), None).await
            }
            "signed out" => house.ask(&phone.token, "DELETE", "/v1/sessions/current", None).await,
            _ => house.ask(&other.token, "DELETE", "/v1/sessions?keep=current", None).await,
        };
        assert!(ended.status < 300, "{ended:?}");
        asking.claimed(&house).await.problem(404, "no_such_link");
        let devices = house.ask(&other.token, "GET", "/v1/devices", None).await.json();
        assert_eq!(devices["devices"].as_array().unwrap().len(), 1, "{ending}: {devices}");
    }
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_link_outlives_a_restart() {
    let house = many_attempts(|_| {}).await;
    let phone = house.token("ana", "phone", "main").await;
    let (waiting, approved) = (ask(&house).await, ask(&house).await);
    approved.answered(&house, &phone, "approve").await;
    house.running.stop().await.unwrap();
    let folder = house.folder;
    let running = serve(config(&folder, |_| {})).await;
    let house = House { admin: lockstep_server::admin::AdminClient::new(running.data()), folder, running };
    assert_eq!(approved.claimed(&house).await.status, 201);
    waiting.answered(&house, &phone, "approve").await;
    assert_eq!(waiting.claimed(&house).await.status, 201);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn so_many_devices_of_one_address_wait() {
    let house = many_attempts(|config| config.links.address_waiting_max = 2).await;
    let phone = house.token("ana", "phone", "main").await;
    let first = ask(&house).await;
    ask(&house).await;
    let refused = try_ask(&house, json!({})).await;
    refused.problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=120).contains(&wait), "{wait}");
    first.answered(&house, &phone, "refuse").await;
    ask(&house).await;
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn guesses_are_counted_and_what_is_right_is_not() {
    let house = House::start_with(|config| {
        config.links.user_attempts = 3;
        config.links.user_attempts_per_minute = 1;
        config.links.address_attempts = 5;
        config.links.address_attempts_per_minute = 1;
    });
    let house = house.await;
    let (phone, pad) = (house.token("ana", "phone", "main").await, house.token("ana", "pad", "main").await);
    let bens = house.token("ben", "phone", "main").await;
    let asking = ask(&house).await;
    for _ in 0..8 {
        assert_eq!(find(&house, &phone, &asking.code()).await.status, 200);
        assert_eq!(asking.claimed(&house).await.status, 202);
    }
    let guess = json!({"code": "AAAAAAAA"});
    for token in [&phone, &pad, &phone] {
        find(&house, token, &guess).await.problem(404, "no_such_link");
    }
    for answer in [
        find(&house, &pad, &guess).await,
        find(&house, &phone, &asking.code()).await,
        say(&house, &phone, "approve", &asking.link, &asking.code()).await,
    ] {
        answer.problem(429, "rate_limited");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    // Strangers at the address are counted for themselves, and who has the right secret is never refused.
    for _ in 0..5 {
        claim(&house, &asking.link, "guess").await.problem(404, "no_such_link");
    }
    claim(&house, &asking.link, "guess").await.problem(429, "rate_limited");
    assert_eq!(asking.claimed(&house).await.status, 202);
    // Others go on, until those with a token have guessed too often from the address.
    assert_eq!(find(&house, &bens, &asking.code()).await.status, 200);
    for _ in 0..2 {
        find(&house, &bens, &guess).await.problem(404, "no_such_link");
    }
    let cleos = house.token("cleo", "phone", "main").await;
    find(&house, &cleos, &asking.code()).await.problem(429, "rate_limited");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn what_makes_no_sense_is_named() {
    let house = many_attempts(|_| {}).await;
    let phone = house.token("ana", "phone", "main").await;
    for (says, named) in [
        (json!({"name": ""}), "\"name\""),
        (json!({"name": "a\nb"}), "\"name\""),
        (json!({"name": "x".repeat(129)}), "\"name\""),
        (json!({"platform": "x".repeat(129)}), "\"platform\""),
        (json!({"public_key": "x".repeat(257)}), "\"public_key\""),
        (json!({"public_key": 5}), "string"),
    ] {
        let sentence = try_ask(&house, says).await.problem(400, "bad_request");
        assert!(sentence.contains(named), "{sentence}");
    }
    let asking = ask(&house).await;
    for (shown, named) in [
        (json!({}), "\"code\""),
        (json!({"code": asking.code, "scan": asking.scan}), "either"),
        (json!({"code": "0OI1"}), "8 letters and digits"),
        (json!({"scan": asking.scan}), "\"link\""),
        (json!({"code": 5}), "string"),
    ] {
        let sentence = find(&house, &phone, &shown).await.problem(400, "bad_request");
        assert!(sentence.contains(named), "{sentence}");
    }
    say(&house, &phone, "approve", "x", &asking.code()).await.problem(400, "bad_request");
    claim(&house, "x", &asking.secret).await.problem(400, "bad_request");
    house.running.stop().await.unwrap();
}
