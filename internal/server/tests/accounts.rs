//! Accounts over real sockets: signing up, in and out, and staying signed in.

mod support;

use lockstep_server::config::NewMain;
use serde_json::{Value, json};
use support::accounts::{access, house, open, phone, post, refresh, session, sign_in, sign_up, try_sign_in};
use support::{House, exchange, request};

#[tokio::test]
async fn a_user_signs_up_once_and_in_with_several_devices() {
    let house = house().await;
    sign_up(&house, "ana").await;
    let taken = post(&house, "/v1/users", &json!({"id": "ana", "password": "another one"})).await;
    taken.problem(409, "user_taken");
    for (body, named) in [
        (json!({"id": "ben", "password": "seven77"}), "\"password\""),
        (json!({"id": "ben", "password": "x".repeat(257)}), "\"password\""),
        (json!({"id": "service:ben", "password": "correct horse"}), "user id"),
        (json!({"id": "ben"}), "password"),
    ] {
        let sentence = post(&house, "/v1/users", &body).await.problem(400, "bad_request");
        assert!(sentence.contains(named), "{sentence}");
    }
    let (first, second) = (sign_in(&house, "ana", phone()).await, sign_in(&house, "ana", json!({"name": "pad"})).await);
    let devices = house.ask(&first.access, "GET", "/v1/devices", None).await.json()["devices"].clone();
    let found: Vec<_> =
        devices.as_array().unwrap().iter().map(|d| (&d["id"], &d["platform"], &d["signed_in"])).collect();
    let expected = [(json!(first.device), json!("android")), (json!(second.device), Value::Null)];
    assert_eq!(found, expected.iter().map(|(id, platform)| (id, platform, &Value::Bool(true))).collect::<Vec<_>>());
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_learns_who_is_there_from_a_wrong_password() {
    let house = house().await;
    sign_up(&house, "ana").await;
    house.token("ben", "phone", "main").await;
    let mut answers = Vec::new();
    for user in ["ana", "ben", "nobody"] {
        for password in ["wrong password", "short"] {
            let answer = try_sign_in(&house, user, password, phone()).await;
            answer.problem(401, "wrong_credentials");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"lockstep\""));
            answers.push(answer.body);
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "all read the same");
    for (device, named) in [
        (json!({}), "\"device\""),
        (json!({"name": ""}), "\"name\""),
        (json!({"name": "a\nb"}), "\"name\""),
        (json!({"name": "x".repeat(129)}), "\"name\""),
        (json!({"name": "x", "platform": "x".repeat(129)}), "\"platform\""),
        (json!({"name": "x", "id": "x"}), "device id"),
    ] {
        let answer = try_sign_in(&house, "ana", "correct horse", device).await;
        let sentence = answer.problem(400, "bad_request");
        assert!(sentence.contains(named), "{sentence}");
    }
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn attempts_have_a_rate_by_user_and_by_address() {
    let house = House::start_with(|config| {
        open(config);
        config.accounts.user_attempts = 3;
        config.accounts.user_attempts_per_minute = 1;
    });
    let house = house.await;
    sign_up(&house, "ana").await;
    // What is right does not count.
    for _ in 0..5 {
        sign_in(&house, "ana", phone()).await;
    }
    for _ in 0..3 {
        try_sign_in(&house, "ana", "wrong password", phone()).await.problem(401, "wrong_credentials");
    }
    let refused = try_sign_in(&house, "ana", "correct horse", phone()).await;
    refused.problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    try_sign_in(&house, "ben", "wrong password", phone()).await.problem(401, "wrong_credentials");
    house.running.stop().await.unwrap();

    let house = House::start_with(|config| {
        open(config);
        config.accounts.address_attempts = 2;
        config.accounts.address_attempts_per_minute = 1;
        config.http.trusted_proxies = vec!["127.0.0.1".to_owned()];
    });
    let house = house.await;
    let body = json!({"user": "ana", "password": "wrong password", "device": phone()}).to_string();
    let from = async |client: &str| {
        let forwarded = format!("X-Forwarded-For: {client}");
        let headers = ["Content-Type: application/json", &forwarded];
        exchange(house.address(), &request("POST", "/v1/sessions", &headers, &body)).await
    };
    for _ in 0..2 {
        from("192.0.2.7").await.problem(401, "wrong_credentials");
    }
    from("192.0.2.7").await.problem(429, "rate_limited");
    from("198.51.100.9, 192.0.2.7").await.problem(429, "rate_limited");
    from("198.51.100.9").await.problem(401, "wrong_credentials");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn sign_up_is_closed_unless_it_is_opened() {
    let house = House::start().await;
    let body = json!({"id": "ana", "password": "correct horse"});
    post(&house, "/v1/users", &body).await.problem(403, "sign_up_closed");
    // Operators give passwords.
    house.admin.set_password("ana", "correct horse").await.unwrap();
    let first = sign_in(&house, "ana", phone()).await;
    house.admin.set_password("ana", "another horse").await.unwrap();
    assert_eq!(access(&house, &first.access).await, Err("token_revoked".into()), "the last main device stays");
    try_sign_in(&house, "ana", "correct horse", phone()).await.problem(401, "wrong_credentials");
    let again = try_sign_in(&house, "ana", "another horse", json!({"id": first.device})).await;
    assert_eq!((again.status, session(&again).device), (201, first.device));
    let short = house.admin.set_password("ana", "short").await.unwrap_err().to_string();
    assert!(short.contains("8 to 256 characters"), "{short}");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn refresh_tokens_follow_each_other() {
    let house = house().await;
    sign_up(&house, "ana").await;
    let first = sign_in(&house, "ana", phone()).await;
    let second = session(&refresh(&house, &first.refresh).await);
    assert_eq!((&second.device, access(&house, &second.access).await), (&first.device, Ok(())));
    // The answer was lost: the same again is good.
    let other = session(&refresh(&house, &first.refresh).await);
    let third = session(&refresh(&house, &other.refresh).await);
    assert_eq!(access(&house, &third.access).await, Ok(()));
    // Now the first one is too old: somebody else has it.
    refresh(&house, &first.refresh).await.problem(401, "token_revoked");
    for token in [&first.access, &third.access] {
        assert_eq!(access(&house, token).await, Err("token_revoked".into()));
    }
    refresh(&house, &third.refresh).await.problem(401, "token_revoked");
    for wrong in ["", "x", &first.access, &first.refresh[1..]] {
        refresh(&house, wrong).await.problem(401, "token_invalid");
    }
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn two_who_refresh_at_once_both_go_on_until_one_token_is_used() {
    let house = house().await;
    sign_up(&house, "ana").await;
    let first = sign_in(&house, "ana", phone()).await;
    let (one, other) = tokio::join!(refresh(&house, &first.refresh), refresh(&house, &first.refresh));
    let (one, other) = (session(&one), session(&other));
    for session in [&one, &other] {
        assert_eq!(access(&house, &session.access).await, Ok(()));
    }
    assert_eq!(refresh(&house, &one.refresh).await.status, 200);
    refresh(&house, &other.refresh).await.problem(401, "token_revoked");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn refreshing_has_an_end_and_a_rate() {
    let house = House::start_with(|config| {
        open(config);
        config.accounts.refresh_ttl_s = 60;
    });
    let house = house.await;
    sign_up(&house, "ana").await;
    let answer = try_sign_in(&house, "ana", "correct horse", phone()).await;
    let until = answer.json()["refresh_expires_at"].as_u64().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    assert!((now + 30_000..=now + 60_000).contains(&until), "{until} at {now}");
    let token = session(&answer).refresh;
    let mut refreshed = 0;
    // A machine that is too slow to be refused here will sooner or later be fast enough.
    let refused = loop {
        let answer = refresh(&house, &token).await;
        if answer.status != 200 {
            break answer;
        }
        refreshed += 1;
    };
    refused.problem(429, "rate_limited");
    assert!(refreshed >= 30 && refused.header("retry-after").is_some(), "{refreshed}");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn signing_out_here_and_everywhere() {
    let house = house().await;
    sign_up(&house, "ana").await;
    let (first, second) = (sign_in(&house, "ana", phone()).await, sign_in(&house, "ana", json!({"name": "pad"})).await);
    let sub = house.token("ana", "laptop", "sub").await;
    let out = async |token: &str, path: &str| house.ask(token, "DELETE", path, None).await;
    assert_eq!(out(&second.access, "/v1/sessions/current").await.status, 204);
    assert_eq!(access(&house, &second.access).await, Err("device_removed".into()));
    refresh(&house, &second.refresh).await.problem(401, "device_removed");

    out(&sub, "/v1/sessions").await.problem(403, "forbidden");
    out(&first.access, "/v1/sessions?keep=none").await.problem(400, "bad_request");
    assert_eq!(out(&first.access, "/v1/sessions?keep=current").await.status, 204);
    assert_eq!(
        (access(&house, &first.access).await, access(&house, &sub).await),
        (Ok(()), Err("device_removed".into()))
    );

    // The last main device stays known, and signs in again as itself.
    assert_eq!(out(&first.access, "/v1/sessions").await.status, 204);
    assert_eq!(access(&house, &first.access).await, Err("token_revoked".into()));
    refresh(&house, &first.refresh).await.problem(401, "token_revoked");
    let again = sign_in(&house, "ana", json!({"id": first.device})).await;
    assert_eq!((&again.device, access(&house, &again.access).await), (&first.device, Ok(())));
    let devices = house.ask(&again.access, "GET", "/v1/devices", None).await.json()["devices"].clone();
    assert_eq!((devices.as_array().unwrap().len(), &devices[0]["name"]), (1, &json!("phone")));
    let stranger = try_sign_in(&house, "ana", "correct horse", json!({"id": second.device})).await;
    stranger.problem(404, "no_such_device");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_new_password_signs_out_everywhere_else() {
    let house = house().await;
    sign_up(&house, "ana").await;
    let (here, there) = (sign_in(&house, "ana", phone()).await, sign_in(&house, "ana", json!({"name": "pad"})).await);
    let change = async |old: &str, new: &str| {
        let body = json!({"old": old, "new": new}).to_string();
        house.ask(&here.access, "PUT", "/v1/profile/password", Some(&body)).await
    };
    change("wrong password", "another horse").await.problem(401, "wrong_credentials");
    change("correct horse", "short").await.problem(400, "bad_request");
    assert_eq!(access(&house, &there.access).await, Ok(()));
    assert_eq!(change("correct horse", "another horse").await.status, 204);
    assert_eq!(
        (access(&house, &here.access).await, access(&house, &there.access).await),
        (Ok(()), Err("device_removed".into()))
    );
    assert_eq!(refresh(&house, &here.refresh).await.status, 200);
    try_sign_in(&house, "ana", "correct horse", phone()).await.problem(401, "wrong_credentials");
    assert_eq!(try_sign_in(&house, "ana", "another horse", phone()).await.status, 201);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_is_kept_from_a_password_by_others_or_by_a_busy_server() {
    let house = House::start_with(|config| {
        open(config);
        (config.accounts.password_threads, config.accounts.password_queue) = (1, 0);
        config.accounts.password_memory_kib = 4_096;
        (config.accounts.user_attempts, config.accounts.user_attempts_per_minute) = (8, 1);
    });
    let house = house.await;
    sign_up(&house, "ana").await;
    let here = sign_in(&house, "ana", phone()).await;
    let right = || try_sign_in(&house, "ana", "correct horse", phone());
    let answers = tokio::join!(right(), right(), right(), right(), right(), right(), right(), right());
    let statuses: [u16; 8] = <[_; 8]>::from(answers).map(|answer| answer.status);
    assert!(statuses.iter().all(|status| [201, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&503), "{statuses:?}");
    // What the server was too busy to look at has not counted.
    for _ in 0..8 {
        try_sign_in(&house, "ana", "wrong password", phone()).await.problem(401, "wrong_credentials");
    }
    right().await.problem(429, "rate_limited");
    // Whoever guesses at sign-ins does not keep a device that is signed in from a new password.
    let change = async |old: &str| {
        let body = json!({"old": old, "new": "another horse"}).to_string();
        house.ask(&here.access, "PUT", "/v1/profile/password", Some(&body)).await
    };
    for _ in 0..7 {
        change("wrong password").await.problem(401, "wrong_credentials");
    }
    assert_eq!(change("correct horse").await.status, 204);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_further_main_device_has_to_be_approved() {
    let house = House::start_with(|config| {
        open(config);
        config.accounts.new_main = NewMain::Confirm;
    });
    let house = house.await;
    sign_up(&house, "ana").await;
    sign_up(&house, "ben").await;
    // The first answer is lost: nobody has that device, so nobody could approve with it.
    sign_in(&house, "ana", phone()).await;
    let (first, ben) = (sign_in(&house, "ana", phone()).await, sign_in(&house, "ben", phone()).await);
    assert_eq!(refresh(&house, &first.refresh).await.status, 200);
    let sub = house.token("ana", "laptop", "sub").await;
    for approve in [true, false] {
        let waiting = try_sign_in(&house, "ana", "correct horse", json!({"name": "pad", "platform": "ipados"})).await;
        assert_eq!(waiting.status, 202, "{waiting:?}");
        let waiting = waiting.json();
        let (id, secret) = (waiting["id"].as_str().unwrap(), waiting["secret"].as_str().unwrap());
        let path = format!("/v1/sign-ins/{id}");
        let poll = async |secret: &str| post(&house, &path, &json!({"secret": secret})).await;
        let still = poll(secret).await;
        assert_eq!((still.status, &still.json()["expires_at"]), (202, &waiting["expires_at"]));
        poll("another").await.problem(404, "no_such_sign_in");

        let list = house.ask(&first.access, "GET", "/v1/sign-ins", None).await.json();
        let one = &list["sign_ins"][0];
        assert_eq!((&one["id"], &one["name"], &one["platform"]), (&json!(id), &json!("pad"), &json!("ipados")));
        assert_eq!(list["sign_ins"].as_array().unwrap().len(), 1);
        let verb = if approve { "approve" } else { "refuse" };
        let say = async |token: &str| house.ask(token, "POST", &format!("{path}/{verb}"), None).await;
        say(&sub).await.problem(403, "forbidden");
        house.ask(&sub, "GET", "/v1/sign-ins", None).await.problem(403, "forbidden");
        say(&ben.access).await.problem(404, "no_such_sign_in");
        assert_eq!(say(&first.access).await.status, 204);
        let answer = poll(secret).await;
        if approve {
            assert_eq!(answer.status, 201, "{answer:?}");
            assert_eq!(access(&house, &session(&answer).access).await, Ok(()));
        } else {
            answer.problem(403, "sign_in_refused");
        }
        poll(secret).await.problem(404, "no_such_sign_in");
    }
    // So many wait at once, and no more.
    for _ in 0..5 {
        assert_eq!(try_sign_in(&house, "ana", "correct horse", json!({"name": "x"})).await.status, 202);
    }
    let refused = try_sign_in(&house, "ana", "correct horse", json!({"name": "x"})).await;
    refused.problem(429, "rate_limited");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn signing_out_ends_sign_ins_that_were_approved() {
    let house = House::start_with(|config| {
        open(config);
        config.accounts.new_main = NewMain::Confirm;
    });
    let house = house.await;
    let password = json!({"old": "correct horse", "new": "correct horse"}).to_string();
    // What ana's main device does after it has approved a sign-in.
    let removal = "DELETE /v1/devices/{id}";
    for what in ["DELETE /v1/sessions?keep=current", "PUT /v1/profile/password", "DELETE /v1/sessions/current", removal]
    {
        let user = &format!("ana{}", what.len());
        sign_up(&house, user).await;
        let first = sign_in(&house, user, phone()).await;
        assert_eq!(refresh(&house, &first.refresh).await.status, 200);
        // Else the first one could not be removed.
        house.grant(user, "spare", "main").await;
        let waiting = try_sign_in(&house, user, "correct horse", json!({"name": "pad"})).await.json();
        let path = format!("/v1/sign-ins/{}", waiting["id"].as_str().unwrap());
        let approved = house.ask(&first.access, "POST", &format!("{path}/approve"), None).await;
        assert_eq!(approved.status, 204, "{approved:?}");
        let (method, target) = what.split_once(' ').unwrap();
        let body = (method == "PUT").then_some(password.as_str());
        let done = house.ask(&first.access, method, &target.replace("{id}", &first.device), body).await;
        assert!([200, 204].contains(&done.status), "{what}: {done:?}");
        let polled = post(&house, &path, &json!({"secret": waiting["secret"]})).await;
        polled.problem(404, "no_such_sign_in");
    }
    house.running.stop().await.unwrap();
}
