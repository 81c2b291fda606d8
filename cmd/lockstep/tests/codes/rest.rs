//! Codes of REST.

use crate::refusals::House;
use anyhow::{Context, Result, ensure};
use lockstep_protocol::{Code, DeviceId};
use lockstep_testkit::ask;

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
