//! Names and titles: given at sign-up and later, kept exactly as they were written, and measured in code points.

mod support;

use lockstep_model::limits;
use serde_json::{Value, json};
use support::House;
use support::accounts::{house, phone, post, sign_in, try_sign_in};

async fn profile(house: &House, token: &str) -> Value {
    house.ask(token, "GET", "/v1/profile", None).await.json()
}

#[tokio::test]
async fn a_name_may_be_given_at_sign_up() {
    let house = house().await;
    let sign_up = async |name: Value| {
        post(&house, "/v1/users", &json!({"id": "ana", "password": "correct horse", "name": name})).await
    };
    for wrong in [json!(""), json!("a\nb"), json!("x".repeat(limits::NAME_CHARS_MAX + 1)), json!(7)] {
        let sentence = sign_up(wrong.clone()).await.problem(400, "bad_request");
        assert!(wrong == 7 || sentence.contains("\"name\" does not fit: it must have 1 to 128"), "{sentence}");
    }
    try_sign_in(&house, "ana", "correct horse", phone()).await.problem(401, "wrong_credentials");
    assert_eq!(sign_up(json!("Ana")).await.status, 201, "the refusals have made nobody");
    let ana = sign_in(&house, "ana", phone()).await.access;
    let mut expected = json!({"id": "ana", "name": "Ana", "avatar": null, "custom": {}});
    assert_eq!(profile(&house, &ana).await, expected);
    sign_up(json!("Eve")).await.problem(409, "user_taken");
    assert_eq!(profile(&house, &ana).await, expected);
    // Null is no name, as in a profile.
    assert_eq!(
        post(&house, "/v1/users", &json!({"id": "ben", "password": "correct horse", "name": null})).await.status,
        201
    );
    let ben = sign_in(&house, "ben", phone()).await.access;
    (expected["id"], expected["name"]) = (json!("ben"), Value::Null);
    assert_eq!(profile(&house, &ben).await, expected);
    house.running.stop().await.unwrap();
}

/// Texts that something on the way might normalise, strip, reorder or cut.
fn peculiar() -> Vec<String> {
    // Seven code points that are shown as one.
    let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}";
    [
        family,
        "\u{1f44d}\u{1f3fd} \u{1f1ea}\u{1f1fa} 1\u{fe0f}\u{20e3}",
        "\u{202e}gnp.exe\u{202c}",
        "\u{2067}שלום\u{2069} \u{200f}مرحبا\u{200e}",
        "a\u{200b}b\u{200c}c\u{2060}d\u{feff}",
        "\u{200b}",
        " \u{a0}\u{3000} ",
        "e\u{301} \u{e9} \u{fb01} \u{212b}",
        "Z\u{351}\u{36b}\u{343}\u{32a}\u{349}algo",
        "\\u0041 \"'<b>&amp;%00;--",
        "\u{10ffff}\u{e000}\u{fdd0}",
    ]
    .iter()
    .map(|text| (*text).to_owned())
    .chain([format!("{}xy", family.repeat(18)), "\u{1f980}".repeat(128)])
    .collect()
}

#[tokio::test]
async fn peculiar_names_come_back_exactly() {
    let house = house().await;
    for (number, name) in peculiar().into_iter().enumerate() {
        assert!(name.chars().count() <= limits::NAME_CHARS_MAX);
        let id = format!("u{number}");
        let made = post(&house, "/v1/users", &json!({"id": id, "password": "correct horse", "name": name})).await;
        assert_eq!(made.status, 201, "{name:?}: {made:?}");
        let token = sign_in(&house, &id, json!({"name": name, "platform": name})).await.access;
        assert_eq!(profile(&house, &token).await["name"], name.as_str());
        let device = house.ask(&token, "GET", "/v1/devices", None).await.json()["devices"][0].clone();
        assert_eq!((&device["name"], &device["platform"]), (&json!(name), &json!(name)));

        let ask = async |method: &str, path: &str, body: Value| {
            let answer = house.ask(&token, method, path, Some(&body.to_string())).await;
            assert!([200, 201].contains(&answer.status), "{method} {path} {name:?}: {answer:?}");
            answer.json()
        };
        assert_eq!(ask("PATCH", "/v1/profile", json!({"name": name})).await["name"], name.as_str());
        let group = ask("POST", "/v1/conversations", json!({"kind": "group", "title": name})).await;
        assert_eq!(group["title"], name.as_str());
        let path = format!("/v1/conversations/{}", group["id"].as_str().unwrap());
        ask("PATCH", &path, json!({"title": "other"})).await;
        assert_eq!(ask("PATCH", &path, json!({"title": name})).await["title"], name.as_str());
        let log = house.ask(&token, "GET", &format!("{path}/messages?after=0"), None).await.json()["entries"].clone();
        let titles: Vec<_> = log.as_array().unwrap().iter().map(|entry| entry["body"]["title"].clone()).collect();
        assert_eq!(titles, [json!(name), json!("other"), json!(name)]);
        if number > 0 {
            assert_eq!(ask("PUT", "/v1/contacts/u0", json!({"name": name})).await["name"], name.as_str());
        }
    }
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn names_are_measured_in_code_points() {
    let house = house().await;
    house.admin.set_password("ben", "correct horse").await.unwrap();
    let sign_up = json!({"id": "ana", "password": "correct horse"});
    assert_eq!(post(&house, "/v1/users", &sign_up).await.status, 201);
    let ana = sign_in(&house, "ana", phone()).await.access;
    let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}";
    let too_long = [
        // 19 of them are 133 code points, though 19 are shown.
        family.repeat(19),
        "\u{1f980}".repeat(129),
        "e\u{301}".repeat(65),
        "\u{200b}".repeat(129),
    ];
    // Controls of each kind: NUL, the last of C0, DEL, NEL of C1.
    let controls = ["\0", "a\u{1f}", "\u{7f}a", "a\u{85}b"].map(str::to_owned);
    for wrong in too_long.into_iter().chain(controls) {
        for (method, path, field) in [
            ("PATCH", "/v1/profile", "name"),
            ("PUT", "/v1/contacts/ben", "name"),
            ("POST", "/v1/conversations", "title"),
        ] {
            let body = json!({"kind": "group", field: wrong}).to_string();
            let sentence = house.ask(&ana, method, path, Some(&body)).await.problem(400, "bad_request");
            assert!(sentence.contains(&format!("\"{field}\"")) && sentence.contains("1 to 128"), "{sentence}");
        }
        let device = try_sign_in(&house, "ana", "correct horse", json!({"name": wrong})).await;
        assert!(device.problem(400, "bad_request").contains("\"name\" must have 1 to 128"), "{wrong:?}");
    }
    assert_eq!(profile(&house, &ana).await["name"], Value::Null, "nothing was changed");
    assert_eq!(house.ask(&ana, "GET", "/v1/contacts", None).await.json()["contacts"], json!([]));
    assert_eq!(house.ask(&ana, "GET", "/v1/devices", None).await.json()["devices"].as_array().unwrap().len(), 1);
    let kinds = house.ask(&ana, "GET", "/v1/conversations", None).await.json()["conversations"].clone();
    assert!(kinds.as_array().unwrap().iter().all(|one| one["kind"] != "group"), "{kinds}");
    house.running.stop().await.unwrap();
}
