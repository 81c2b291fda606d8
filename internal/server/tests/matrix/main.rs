//! Every operation of the OpenAPI document, asked by everybody who may not: the documented refusal comes, and nothing that is
//! stored changes. An operation is in here by being in the document.

mod document;
#[path = "../support/mod.rs"]
mod support;
mod world;

use document::{Document, Operation, Sample};
use support::{Answer, exchange, request};
use world::World;

/// What only those may see and change whose it is, by the types of ids in paths.
const PRIVATE: [&str; 3] = ["ConversationId", "DeviceId", "SignInId"];
/// Codes that say nothing about whether the caller may: one that comes here means that the request was malformed.
const MALFORMED: [&str; 6] =
    ["bad_request", "bad_json", "bad_body", "body_too_large", "unsupported_media_type", "request_timeout"];

async fn document(world: &World) -> Document {
    let answer = exchange(world.scene.house.address(), &request("GET", "/v1/openapi.json", &[], "")).await;
    Document::new(answer.json())
}

async fn ask(world: &World, operation: &Operation<'_>, sample: &Sample, token: Option<&str>) -> Answer {
    let mut headers = sample.headers.clone();
    headers.extend(token.map(|token| format!("Authorization: Bearer {token}")));
    headers.extend(sample.body.as_ref().map(|_| "Content-Type: application/json".to_owned()));
    let headers: Vec<_> = headers.iter().map(String::as_str).collect();
    let body = sample.body.as_deref().unwrap_or_default();
    exchange(world.scene.house.address(), &request(&operation.method, &sample.path, &headers, body)).await
}

fn code(answer: &Answer) -> Option<String> {
    (answer.status >= 400).then(|| answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn who_may_not_is_refused_and_changes_nothing() {
    let world = World::make().await;
    let document = document(&world).await;
    let before = world.stored().await;
    assert!(before.iter().any(|row| row.starts_with("entries ")), "{before:?}");
    let mut asked = 0;
    for operation in document.operations() {
        let bearers = operation.bearers();
        if bearers.is_empty() {
            continue;
        }
        let service_code = if bearers.contains("service") { "out_of_scope" } else { "service_token" };
        // What takes a service alone takes it with the scope for administration alone; what takes devices never takes that.
        let administers = !bearers.contains("device");
        let removed_code = if administers { "forbidden" } else { "device_removed" };
        let mut cases = vec![
            ("nobody", None, "token_invalid"),
            ("a guess", Some("secret"), "token_invalid"),
            ("an expired token", Some(&*world.expired), "token_expired"),
            ("a removed device", Some(&*world.removed), removed_code),
            ("a service", Some(&*world.out_of_scope), service_code),
        ];
        if administers {
            cases.push(("a device", Some(&*world.scene.ana), "forbidden"));
            cases.push(("a service that publishes anywhere", Some(&*world.publisher), "out_of_scope"));
            cases.push(("an administrator of before", Some(&*world.revoked_administrator), "token_revoked"));
        } else {
            cases.push(("a disabled user", Some(&*world.disabled), "user_disabled"));
            cases.push(("an administrator", Some(&*world.administrator), service_code));
        }
        if !administers && PRIVATE.iter().any(|private| operation.named_in_path().contains(private)) {
            cases.push(("a stranger", Some(&*world.stranger), "no_such_"));
        }
        for (who, token, expected) in cases {
            let what = format!("{} {} by {who}", operation.method, operation.path);
            let answer = ask(&world, &operation, &operation.sample(&world), token).await;
            let found = code(&answer).unwrap_or_else(|| panic!("{what}: {answer:?}"));
            assert!(found.starts_with(expected), "{what}: {found} instead of {expected}");
            assert!(operation.documents(answer.status, Some(&found)), "{what}: {found} is not in the document");
            assert_eq!(world.stored().await, before, "{what} changed something");
            asked += 1;
        }
    }
    assert!(asked >= 40, "{asked}");
    world.scene.end().await;
}

/// An administrator sees and does all that is there for one, and no answer has what users write.
#[tokio::test]
async fn administrators_are_answered_as_documented_and_see_no_bodies() {
    let mut world = World::make().await;
    let document = document(&world).await;
    let (mut answered, mut changed) = (0, 0);
    for operation in document.operations().iter().filter(|operation| {
        let bearers = operation.bearers();
        bearers.contains("service") && !bearers.contains("device")
    }) {
        world.renew_conversation().await;
        let name = format!("{} {}", operation.method, operation.path);
        let stored = world.stored().await;
        let answer = ask(&world, operation, &operation.sample(&world), Some(&world.administrator)).await;
        assert!(answer.status < 300 && operation.documents(answer.status, None), "{name}: {answer:?}");
        assert!(!answer.body.contains(world::SAID), "{name} shows what users write: {answer:?}");
        answered += 1;
        changed += usize::from(world.stored().await != stored);
    }
    assert!(answered >= 14 && changed >= 2, "{answered} were answered, {changed} changed something");
    world.scene.end().await;
}

/// The other side of the test above: the same requests are right, and do something, if the right one makes them.
#[tokio::test]
async fn who_may_is_answered_as_documented() {
    let mut world = World::make().await;
    let document = document(&world).await;
    let (mut answered, mut changed) = (0, 0);
    for operation in document.operations().iter().filter(|operation| operation.bearers().contains("device")) {
        world.renew_conversation().await;
        // A device of its own for each, since some operations end what others need.
        let name = format!("{} {}", operation.method, operation.path);
        let token = world.scene.house.token("ana", &name, "main").await;
        let stored = world.stored().await;
        let answer = ask(&world, operation, &operation.sample(&world), Some(&token)).await;
        let code = code(&answer);
        assert!(operation.documents(answer.status, code.as_deref()), "{name}: {answer:?} is not in the document");
        assert!(!code.is_some_and(|code| MALFORMED.contains(&&*code)), "{name}: {answer:?}");
        answered += usize::from(answer.status < 300);
        changed += usize::from(world.stored().await != stored);
    }
    assert!(answered >= 8 && changed >= 3, "{answered} were answered, {changed} changed something");
    world.scene.end().await;
}

/// What a device is to its user stays as it was made: whatever a sub device asks for, it makes no main device of itself, or of
/// any other.
#[tokio::test]
async fn nobody_promotes_a_device() {
    let mut world = World::make().await;
    let document = document(&world).await;
    let mut asked = 0;
    for operation in document.operations().iter().filter(|operation| operation.bearers().contains("device")) {
        world.renew_conversation().await;
        let name = format!("{} {}", operation.method, operation.path);
        let sub = world.scene.house.grant("ana", &name, "sub").await;
        let kinds = world.kinds().await;
        let mut sample = operation.sample(&world);
        for path in [sample.path.clone(), sample.path.replace(world.laptop(), &sub.device)] {
            sample.path = path;
            // As if there were such a field.
            let body = sample.body.as_deref().map(|body| serde_json::from_str::<serde_json::Value>(body).unwrap());
            if let Some(mut body) = body.filter(|body| body.is_object() && body.get("kind").is_none()) {
                body["kind"] = "main".into();
                sample.body = Some(body.to_string());
            }
            ask(&world, operation, &sample, Some(&sub.token)).await;
            assert_eq!(world.kinds().await, kinds, "{name} by a sub device");
            asked += 1;
        }
    }
    assert!(asked >= 40, "{asked}");
    world.scene.end().await;
}
