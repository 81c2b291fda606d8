//! Services that publish into a conversation's topic over nsqd's TCP port.

use crate::clients::Client;
use crate::house::{House, Nsq};
use crate::page;
use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// Looks like an envelope of the server's, in which ana says something; only its MAC is wrong.
pub(crate) const IMITATION: &[u8] = b"LSE1\
    \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
    \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
    {\"seq\":900,\"sender\":\"ana\"}";
/// The same in base64.
pub(crate) const IMITATION_BASE64: &str =
    "TFNFMf//////////////////////////////////////////eyJzZXEiOjkwMCwic2VuZGVyIjoiYW5hIn0=";

#[tokio::test(flavor = "multi_thread")]
async fn pynsq_publishes() -> Result<()> {
    publishes(Client::Pynsq, |nsqd, body| {
        let bytes: String = body.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let replacements = [("10.0.0.1:4150", nsqd), ("b\"server room: 41 C\"", &*format!("b\"{bytes}\""))];
        page::with(page::NSQ.block("### Publishing", "python")?, &replacements)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nsqjs_publishes() -> Result<()> {
    publishes(Client::Nsqjs, |nsqd, body| {
        let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
        let nsqd = format!("'{}'", nsqd.replace(':', "', '"));
        let body = format!("Buffer.from('{hex}', 'hex')");
        let replacements = [("'10.0.0.1', 4150", &*nsqd), ("'server room: 41 C'", &*body)];
        page::with(page::NSQ.block("### Publishing", "js")?, &replacements)
    })
    .await
}

/// Runs the page's program with several bodies, at both nsqds in turn, and looks at what a device gets.
async fn publishes(client: Client, program: impl Fn(&str, &[u8]) -> Result<String>) -> Result<()> {
    let bodies: [(&[u8], Value); 4] = [
        (b"server room: 41 C", json!({"type": "text", "text": "server room: 41 C"})),
        (br#"{"type": "reading", "celsius": 41}"#, json!({"type": "reading", "celsius": 41})),
        (&[0xff, 0x00, 0x41], json!({"type": "bytes", "base64": "/wBB"})),
        (IMITATION, json!({"type": "bytes", "base64": IMITATION_BASE64})),
    ];
    let house = House::on(Nsq::start()?, &[]).await?;
    let mut phone = house.bens("phone").await?;
    let nsqds = house.nsq()?.tcp();
    for ((seq, (raw, body)), nsqd) in (1..).zip(&bodies).zip(nsqds.iter().cycle()) {
        client.start(&program(nsqd, raw)?, &[])?.end().await?;
        let heard = serde_json::to_value(phone.heard().await?)?;
        ensure!(heard["seq"] == seq && heard["sender"] == "service:nsq" && heard["body"] == *body, "{seq}: {heard}");
        ensure!(heard["kind"] == "message" && heard.get("sender_device").is_none(), "{heard}");
    }
    // Nothing came twice, and all stands in one log with what devices send.
    let next = bodies.len() as u64 + 1;
    ensure!(house.send("thank you").await? == next);
    let heard = phone.heard().await?;
    ensure!(heard.seq.get() == next && heard.sender.as_str() == "ana", "{heard:?}");
    Ok(())
}
