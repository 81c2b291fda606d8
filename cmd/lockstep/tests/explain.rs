//! `lockstep explain` against a real server: what an operator sees of a message on its way to a real device.

use anyhow::{Context, Result, ensure};
use lockstep_testkit::{ServerOptions, ServerProcess, Wire, ask, post};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long something may take to be so.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server whose window is small, two users, their conversation, and ben's device.
struct House {
    server: ServerProcess,
    ana: String,
    ben: String,
    direct: String,
    device: String,
}

impl House {
    async fn start(settings: &[(&'static str, &str)]) -> Result<Self> {
        let mut options = ServerOptions::limits(&[("window_entries", 4)]);
        options.settings = settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await?;
        let (ana, ben) = (server.token("ana", "phone", "main").await?, server.token("ben", "phone", "main").await?);
        let request = json!({"kind": "direct", "user": "ben"});
        let made = post(server.address(), "/v1/conversations", &ana, &request).await?;
        let direct = made["id"].as_str().context("a conversation has an id")?.to_owned();
        let devices = server.administer(&["device", "list", "--user", "ben"]).await?;
        let device = devices.split('\t').next().context("ben has a device")?.to_owned();
        Ok(Self { server, ana, ben, direct, device })
    }

    /// Sends a message, and returns its id.
    async fn send(&self, text: &str) -> Result<String> {
        let path = format!("/v1/conversations/{}/messages", self.direct);
        let headers = [&*format!("Authorization: Bearer {}", self.ana), &*format!("Idempotency-Key: \"{text}\"")];
        let body = json!({"body": {"type": "text", "text": text}});
        let sent = ask(self.server.address(), "POST", &path, &headers, Some(&body)).await?;
        Ok(sent.json()["id"].as_str().context("a message has an id")?.to_owned())
    }

    async fn explain(&self, message: &str) -> Result<Value> {
        let args = ["explain", "--device", &self.device, "--message", message, "--json"];
        Ok(serde_json::from_str(&self.server.administer(&args).await?)?)
    }

    /// Asks until the verdict is this one, and this is among the stages.
    async fn until(&self, message: &str, verdict: &str, stage: &str) -> Result<Value> {
        let began = Instant::now();
        loop {
            let explanation = self.explain(message).await?;
            if explanation["verdict"] == verdict && stages(&explanation).contains(&stage) {
                return Ok(explanation);
            }
            ensure!(began.elapsed() < PATIENCE, "{verdict} and {stage} were expected, not {explanation}");
        }
    }

    /// The entries of the conversation up to this one reach the device.
    async fn gets(&self, wire: &mut Wire, seq: u64) -> Result<()> {
        loop {
            let frame = wire.until_any(&["entry", "entries"]).await?;
            let last = frame["entries"].as_array().and_then(|entries| entries.last()).unwrap_or(&frame);
            if (&last["conversation"], &last["seq"]) == (&json!(self.direct), &json!(seq)) {
                return Ok(());
            }
        }
    }

    async fn ack(&self, wire: &mut Wire, seq: u64) -> Result<()> {
        wire.send(&json!({"type": "ack", "cursors": [{"conversation": self.direct, "seq": seq}]})).await
    }
}

fn stages(explanation: &Value) -> Vec<&str> {
    let stages = explanation["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
    stages.iter().filter_map(|stage| stage["stage"].as_str()).collect()
}

#[tokio::test]
async fn a_message_is_followed_to_a_device() -> Result<()> {
    let house = House::start(&[]).await?;
    let place = |seq: u64| format!("{}:{seq}", house.direct);
    let first = house.send("first").await?;
    ensure!(house.explain(&place(1)).await?["sentence"] == "The device has never connected.");

    let mut wire = Wire::live(&house.server.door(), &house.ben).await?;
    for number in 2..=6 {
        house.send(&format!("secret {number}")).await?;
    }
    house.gets(&mut wire, 4).await?;
    let full = house.until(&place(6), "window_full", "committed").await?;
    ensure!(full["connection"]["in_flight"] == 4 && full["connection"]["mode"] == "window_full", "{full}");
    let flying = house.explain(&first).await?;
    ensure!((&flying["verdict"], &flying["seq"]) == (&json!("in_flight"), &json!(1)), "found by its id: {flying}");
    ensure!(stages(&flying).contains(&"delivered") && flying["connection"]["acked"] == 0, "{flying}");

    house.ack(&mut wire, 4).await?;
    house.gets(&mut wire, 6).await?;
    let live = house.explain(&place(6)).await?;
    ensure!(live["verdict"] == "in_flight" && live["connection"]["mode"] == "live", "{live}");
    ensure!(["published", "behind", "live", "delivered"].iter().all(|it| stages(&live).contains(it)), "{live}");

    house.ack(&mut wire, 6).await?;
    let had = house.until(&place(6), "acknowledged", "acknowledged").await?;
    ensure!(stages(&had).last() == Some(&"acknowledged") && had["cursor"] == 6, "{had}");

    drop(wire);
    house.send("secret 7").await?;
    let away = house.until(&place(7), "away", "disconnected").await?;
    ensure!(away["sentence"].as_str().is_some_and(|it| it.contains("no connection since 2")), "{away}");
    let args = ["explain", "--device", &house.device, "--message", &place(1)];
    let text = house.server.administer(&args).await?;
    ensure!(text.starts_with("acknowledged: The device acknowledged it at 2"), "{text}");
    for line in [format!("device      {} of ben", house.device), format!("message     {}:1", house.direct)] {
        ensure!(text.contains(&line), "{text}");
    }
    ensure!(text.contains("Z  delivered ") && text.contains(" (connection 1)") && !text.contains("secret"), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_survives_a_restart_and_what_is_refused() -> Result<()> {
    let mut house = House::start(&[("trace.records", "0")]).await?;
    let id = house.send("first").await?;
    let mut wire = Wire::live(&house.server.door(), &house.ben).await?;
    house.ack(&mut wire, 1).await?;
    let had = house.until(&id, "acknowledged", "committed").await?;
    ensure!(stages(&had) == ["committed"] && had["connection"]["generation"] == 1, "the trace is off: {had}");
    house.server.terminate().await?;
    house.server.restart().await?;
    let later = house.explain(&id).await?;
    ensure!(later["verdict"] == "acknowledged" && later["connection"].is_null(), "{later}");

    let nobody = "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11";
    ensure!(house.explain(nobody).await?["verdict"] == "not_found");
    let refused = [
        (&*house.device, "7", "a message is CONVERSATION:SEQ or the id of an entry"),
        (&*house.device, "x:7", "a message is CONVERSATION:SEQ or the id of an entry"),
        (nobody, &*id, "no such device"),
        ("phone", &*id, "a device id"),
    ];
    for (device, message, words) in refused {
        let args = ["explain", "--device", device, "--message", message];
        let Err(error) = house.server.administer(&args).await else { anyhow::bail!("{args:?} was answered") };
        ensure!(format!("{error:#}").contains(words), "{error:#}");
    }
    Ok(())
}
