//! Codes that end a connection: the last frame and the close code say why, as the table has it.

use crate::refusals::House;
use anyhow::{Context, Result, ensure};
use lockstep_protocol::Code;
use lockstep_testkit::{Wire, ask};
use serde_json::json;

/// Another device works beside all that, before and after.
async fn check_other(house: &House) -> Result<()> {
    let mut other = Wire::live(&house.server.door(), &house.ben).await?;
    other.send_text("{").await?;
    ensure!(other.until("error").await?["code"] == "bad_json");
    Ok(())
}

#[tokio::test]
async fn what_a_device_does_wrong_ends_its_connection() -> Result<()> {
    let house = House::start(&[]).await?;
    let cases: [(&[u8], Code); 5] = [
        (&[0x82, 0x81, 0, 0, 0, 0, 1], Code::BinaryFrame),
        // Masked with zeros: the payload stands as it is.
        (&[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], Code::BadUtf8),
        // RSV1: a compressed frame, which nobody agreed on.
        (&[0xc1, 0x82, 0, 0, 0, 0, b'{', b'}'], Code::BadWebSocket),
        // Only the head: 1 GiB is announced and never comes.
        (&[0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4], Code::FrameTooLarge),
        (&[0x81, 0x80, 0, 0, 0, 0], Code::BadJson),
    ];
    for (bytes, code) in cases {
        let mut wire = house.live().await?;
        wire.write(bytes).await?;
        if code.closes() {
            ensure!(wire.closed().await? == code, "{code}");
        } else {
            ensure!(wire.until("error").await?["code"] == code.name(), "{code}");
        }
    }
    let mut early = Wire::open(&house.server.door()).await?;
    early.send(&json!({"type": "resume"})).await?;
    ensure!(early.closed().await? == Code::HelloExpected);
    ensure!(Wire::hello(&house.server.door(), "not-a-token").await?.closed().await? == Code::TokenInvalid);
    check_other(&house).await
}

#[tokio::test]
async fn what_comes_late_or_too_often_ends_a_connection() -> Result<()> {
    let cases: [(&[(&'static str, u64)], Code); 5] = [
        (&[("hello_timeout_ms", 100)], Code::HelloTimeout),
        (&[("heartbeat_ms", 100)], Code::HeartbeatTimeout),
        // The feed's first entry is delivered and never acknowledged.
        (&[("ack_timeout_ms", 100)], Code::AckTimeout),
        (&[("session_age_s", 1)], Code::SessionAge),
        (&[("frames_per_second", 1), ("frames_burst", 16)], Code::Flood),
    ];
    for (limits, code) in cases {
        let house = House::start(limits).await?;
        let mut wire = match code {
            Code::HelloTimeout => Wire::open(&house.server.door()).await?,
            _ => Wire::hello(&house.server.door(), &house.ana).await?,
        };
        if code != Code::HelloTimeout {
            wire.send(&json!({"type": "resume"})).await?;
        }
        if code == Code::Flood {
            for _ in 0..40 {
                wire.send(&json!({"type": "heartbeat"})).await?;
            }
        }
        let closed = wire.closed().await.with_context(|| format!("{code} was expected"))?;
        ensure!(closed == code, "{closed} instead of {code}");
        ensure!(house.server.is_running()?, "the server has crashed after {code}");
    }
    Ok(())
}

#[tokio::test]
async fn what_others_do_ends_a_connection() -> Result<()> {
    let house = House::start(&[]).await?;
    let mut first = house.live().await?;
    let second = house.live().await?;
    ensure!(first.closed().await? == Code::Replaced);

    let mut ben = Wire::live(&house.server.door(), &house.ben).await?;
    let headers = [&*format!("Authorization: Bearer {}", house.ben)];
    let devices = ask(house.server.address(), "GET", "/v1/devices", &headers, None).await?.json();
    let phone = devices["devices"][0]["id"].as_str().context("ben has a device")?;
    house.server.token("ben", "spare", "main").await?;
    let removed = ask(house.server.address(), "DELETE", &format!("/v1/devices/{phone}"), &headers, None).await?;
    ensure!(removed.status == 200 && removed.json()["state"] == "done", "{removed:?}");
    ensure!(ben.closed().await? == Code::DeviceRemoved);

    let mut ana = second;
    let (stopped, closed) = tokio::join!(house.server.terminate(), ana.closed());
    ensure!(stopped?.success() && closed? == Code::ShuttingDown);
    Ok(())
}

#[tokio::test]
async fn what_administrators_do_ends_a_connection() -> Result<()> {
    let house = House::start(&[]).await?;
    let token = house.server.administer(&["token", "service", "--name", "operator", "--scope", "admin"]).await?;
    let authorization = format!("Authorization: Bearer {token}");
    let admin = async |method: &str, path: &str| {
        let answer = ask(house.server.address(), method, &format!("/v1/admin/{path}"), &[&authorization], None).await?;
        ensure!(answer.status == 200, "{method} {path}: {answer:?}");
        Ok(answer.json())
    };
    let mut live = house.live().await?;
    let listed = admin("GET", "connections?user=ana").await?;
    let device = listed["connections"][0]["device"].as_str().context("ana is connected")?;
    ensure!(admin("DELETE", &format!("connections/{device}")).await?["state"] == "closed");
    ensure!(live.closed().await? == Code::Disconnected);

    let mut live = house.live().await?;
    ensure!(admin("POST", "users/ana/disable").await?["disabled_at"].is_u64());
    ensure!(live.closed().await? == Code::UserDisabled);
    ensure!(Wire::hello(&house.server.door(), &house.ana).await?.closed().await? == Code::UserDisabled);
    let authorization = format!("Authorization: Bearer {}", house.ana);
    let answer = ask(house.server.address(), "GET", "/v1/devices", &[&authorization], None).await?;
    ensure!((answer.status, &*answer.code()) == (403, Code::UserDisabled.name()), "{answer:?}");
    check_other(&house).await
}
