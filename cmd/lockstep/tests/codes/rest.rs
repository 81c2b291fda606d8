//! Codes of REST.

use crate::refusals::House;
use anyhow::{Context, Result, ensure};
use lockstep_protocol::{Code, DeviceId};
use lockstep_testkit::{Wire, ask};
use serde_json::json;

#[tokio::test]
async fn requests_are_answered_with_problems() -> Result<()> {
    let house = House::start(&[]).await?;
    let laptop = house.server.token("ana", "laptop", "sub").await?;
    let ana = format!("Authorization: Bearer {}", house.ana);
    let laptop = format!("Authorization: Bearer {laptop}");
    let devices = ask(house.server.address(), "GET", "/v1/devices", &[&ana], None).await?.json();
    let phone = format!("/v1/devices/{}", devices["devices"][0]["id"].as_str().context("ana has a device")?);
    let nobodys = format!("/v1/devices/{}", DeviceId::generate());
    let messages = format!("/v1/conversations/{}/messages?limit=0", house.direct);
    let cases = [
        ("GET", "/v1/nothing", &ana, Code::NoSuchRoute),
        ("PUT", "/v1/devices", &ana, Code::MethodNotAllowed),
        ("GET", &messages, &ana, Code::BadRequest),
        ("DELETE", &nobodys, &ana, Code::NoSuchDevice),
        ("DELETE", &phone, &laptop, Code::Forbidden),
        ("DELETE", &phone, &ana, Code::LastMain),
    ];
    for (method, path, authorization, code) in cases {
        let answer = ask(house.server.address(), method, path, &[authorization], None).await?;
        let (spec, problem) = (code.spec(), answer.json());
        ensure!((answer.status, &problem["code"]) == (spec.http, &spec.name.into()), "{method} {path}: {answer:?}");
        ensure!(problem["title"] == spec.sentence, "{method} {path}: {answer:?}");
        ensure!(problem["detail"].as_str().is_some_and(|words| words.ends_with('.')), "{method} {path}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_services_token_is_not_good_for() -> Result<()> {
    let house = House::start(&[]).await?;
    let scope = format!("publish:{}", lockstep_protocol::ConversationId::generate());
    let token = house.server.administer(&["token", "service", "--name", "weather", "--scope", &scope]).await?;
    let authorization = format!("Authorization: Bearer {token}");
    let messages = format!("/v1/conversations/{}/messages", house.direct);
    let body = json!({"body": {"type": "text", "text": "x"}});
    let group = json!({"kind": "group", "members": []});
    let cases = [
        ("POST", messages.as_str(), Some(&body), Code::OutOfScope),
        ("GET", &messages, None, Code::ServiceToken),
        ("GET", "/v1/conversations", None, Code::ServiceToken),
        ("POST", "/v1/conversations", Some(&group), Code::ServiceToken),
        ("GET", "/v1/devices", None, Code::ServiceToken),
    ];
    for (method, path, body, code) in cases {
        let headers = [authorization.as_str(), "Idempotency-Key: 1"];
        let answer = ask(house.server.address(), method, path, &headers, body).await?;
        ensure!((answer.status, &*answer.code()) == (403, code.name()), "{method} {path}: {answer:?}");
    }
    ensure!(Wire::hello(&house.server.door(), &token).await?.closed().await? == Code::ServiceToken);
    Ok(())
}
