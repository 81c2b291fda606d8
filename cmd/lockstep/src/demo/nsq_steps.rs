//! The further steps of the demo on NSQ.

use super::nsqds::topic;
use super::stage::Stage;
use super::steps::Step;
use anyhow::{Context, Result, ensure};

/// They come after the others.
pub(super) const NSQ_STEPS: &[(&str, Step)] = &[
    ("A service publishes to nsqd with nothing but HTTP: every device gets it.", |stage| Box::pin(service(stage))),
    ("The conversation's nsqd is killed: messages go on, read from the log.", |stage| Box::pin(outage(stage))),
];

async fn service(stage: &mut Stage) -> Result<()> {
    let text = "server room: 41 C";
    let (conversation, seq) = (stage.direct.id, stage.head().next());
    let nsqd = stage.nsqds()?.home(conversation).await?;
    let (http, target) = (nsqd.http_address(), format!("/pub?topic={}", topic(conversation)));
    println!("  as if somebody had typed:");
    println!("  curl -d '{text}' 'http://{http}{target}'");
    nsqd.http("POST", &target, text.as_bytes())?;
    for device in stage.devices() {
        device.wait_for(conversation, seq).await?;
        let entries = device.entries(conversation);
        let entry = entries.last().context("a device that waited for an entry has one")?;
        let found = (entry.seq, entry.sender.as_str(), entry.body.type_name());
        ensure!(found == (seq, "service:nsq", "text".into()), "{} got {entry:?} instead", device.name);
        ensure!(entry.body.as_json().contains(text), "{} got {entry:?} instead", device.name);
        println!("  {:<10} got {text:?} as seq {seq} from {}", device.name, entry.sender.as_str());
    }
    let text = "I open a window.";
    let sent = stage.ben_phone.send(stage.target(), text).await?;
    stage.note("ben/phone", text, sent);
    stage.check(&stage.devices()).await
}

async fn outage(stage: &mut Stage) -> Result<()> {
    let conversation = stage.direct.id;
    let nsqd = stage.nsqds()?.home(conversation).await?;
    nsqd.kill();
    println!("  killed (SIGKILL) the nsqd at {}", nsqd.tcp_address());
    let address = nsqd.tcp_address();
    for text in ["Is it cooler now?", "38 C, and falling."] {
        let sent = stage.ana_phone.send(stage.target(), text).await?;
        stage.note("ana/phone", text, sent);
    }
    stage.check(&stage.devices()).await?;
    stage.nsqds()?.restart(address)?;
    // It has the topic again once the server consumes there.
    stage.nsqds()?.home(conversation).await?;
    println!("  the nsqd at {address} is back, and so is the server's connection to it");
    let text = "Good.";
    let sent = stage.ben_phone.send(stage.target(), text).await?;
    stage.note("ben/phone", text, sent);
    stage.check(&stage.devices()).await
}
