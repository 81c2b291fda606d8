//! Services that have nothing but `curl`. The commands are those of `docs/nsq.md`.

use crate::clients::shell;
use crate::house::{House, Nsq, direct};
use crate::page;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// What the page's commands publish.
const BODIES: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_commands_do_the_same_with_nsqd_and_without() -> Result<()> {
    let by_itself = what_devices_get(House::embedded().await?).await.context("without nsqd")?;
    let through_nsqd = what_devices_get(House::on(Nsq::start()?, &[]).await?).await.context("with nsqd")?;
    ensure!(by_itself == through_nsqd, "{by_itself:#?}\n{through_nsqd:#?}");

    let text = |text: &str| json!({"type": "text", "text": text});
    let published = ["server room: 41 C", "door open", "door closed", "light"].map(text);
    let bytes = json!({"type": "bytes", "base64": "//4="});
    let mut expected: Vec<Value> =
        published.into_iter().chain([bytes]).map(|body| said("service:nsq", &body)).collect();
    expected.sort_by_key(Value::to_string);
    expected.push(said("service:billing", &text("Invoice 4711 has been paid.")));
    ensure!(by_itself == expected, "{by_itself:#?}");
    Ok(())
}

/// Runs all of the page's commands that publish; the one with a key twice.
async fn what_devices_get(house: House) -> Result<Vec<Value>> {
    let mut phone = house.bens("phone").await?;
    let nsqd = house.publish_address().await?.to_string();
    let mut heard = Vec::new();
    for command in page::NSQ.curls("## As to nsqd")? {
        let printed = shell(&page::with(&command, &[("127.0.0.1:4151", &nsqd)])?, &[]).await?;
        ensure!(printed == "OK", "{command}: {printed}");
    }
    for _ in 0..BODIES {
        heard.push(serde_json::to_value(phone.heard().await?)?);
    }
    ensure!(heard.iter().map(|entry| &entry["seq"]).eq(&[1, 2, 3, 4, 5]), "{heard:?}");
    // nsqd promises no order.
    heard.sort_by_key(|entry| entry["body"].to_string());

    let scope = format!("publish:{}", direct()?);
    let token = house.server.administer(&["token", "service", "--name", "billing", "--scope", &scope]).await?;
    let environment = [("TOKEN", &*token), ("CONVERSATION", &direct()?.to_string())];
    let [post] = &page::NSQ.curls("The service posts with the token")?[..] else { anyhow::bail!("one command posts") };
    let post = page::with(post, &[("http://127.0.0.1:8080", &house.server.url())])?;
    let first: Value = serde_json::from_str(&shell(&post, &environment).await?)?;
    let again: Value = serde_json::from_str(&shell(&post, &environment).await?)?;
    ensure!(first["seq"] == 6 && first.get("duplicate").is_none_or(|duplicate| duplicate == false), "{first}");
    ensure!(again["id"] == first["id"] && again["duplicate"] == true, "{again}");
    let paid = serde_json::to_value(phone.heard().await?)?;
    ensure!(paid["client_msg_id"] == "invoice-4711", "{paid}");
    heard.push(paid);

    ensure!(house.send("thank you").await? == 7);
    ensure!(phone.heard().await?.seq.get() == 7, "something came twice");
    Ok(heard.iter().map(|entry| said(entry["sender"].as_str().unwrap_or_default(), &entry["body"])).collect())
}

fn said(sender: &str, body: &Value) -> Value {
    json!({"sender": sender, "body": body})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_cannot_do_it() -> Result<()> {
    let house = House::embedded().await?;
    let mut phone = house.bens("phone").await?;
    let nsqd = house.publish_address().await?.to_string();
    for command in page::NSQ.curls("## As to nsqd")? {
        let from_a_page = "curl -w '%{http_code}' -H 'Origin: http://evil.example'";
        let command = page::with(&command, &[("127.0.0.1:4151", &nsqd), ("curl", from_a_page)])?;
        let printed = shell(&command, &[]).await?;
        ensure!(printed.contains("FORBIDDEN") && printed.ends_with("403"), "{command}: {printed}");
    }
    ensure!(house.send("hello").await? == 1, "nothing was stored");
    ensure!(phone.heard().await?.seq.get() == 1);
    Ok(())
}
