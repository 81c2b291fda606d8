//! The steps that `docs/rest.md` shows, taken with `curl`: the server answers as the page says.

use crate::clients::shell;
use crate::page;
use anyhow::{Context, Result, ensure};
use lockstep_testkit::{ServerOptions, ServerProcess};
use serde_json::{Deserializer, Value};

/// Printed after each block of commands.
const END: &str = "== end of the block ==";
/// What is another each time.
const VARYING: [&str; 15] = [
    "id",
    "conversation",
    "sender_device",
    "created_at",
    "active_at",
    "sent_at",
    "link",
    "code",
    "secret",
    "qr",
    "expires_at",
    "device",
    "access_token",
    "refresh_token",
    "refresh_expires_at",
];
/// The sections with steps: the later ones go on where the first one ended.
const SECTIONS: [&str; 2] = ["## First steps with curl\n", "## Linking a device\n"];

#[tokio::test]
async fn the_steps_lead_where_the_page_says() -> Result<()> {
    let settings = vec![("accounts.sign_up", "open".to_owned())];
    let options = ServerOptions { settings, ..ServerOptions::default() };
    let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await?;

    let mut script = String::from("set -eu\n");
    let mut shown: Vec<Vec<Value>> = Vec::new();
    let sections = SECTIONS.into_iter().map(|section| page::REST.blocks(section)).collect::<Result<Vec<_>>>()?;
    for (language, text) in sections.into_iter().flatten() {
        match language {
            // One shell runs them all: what one sets, the next ones use.
            "sh" => {
                script.push_str(&format!("{text}\necho '{END}'\n"));
                shown.push(Vec::new());
            }
            _ => shown.last_mut().context("an answer has a question")?.extend(values(text)?),
        }
    }
    ensure!(shown.len() > 9, "the page shows little: {shown:?}");
    let printed = shell(&page::with(&script, &[("http://127.0.0.1:8080", &server.url())])?, &[]).await?;
    let blocks: Vec<&str> = printed.split_terminator(&format!("{END}\n")).collect();
    ensure!(blocks.len() == shown.len(), "{printed}");
    for (block, shown) in blocks.into_iter().zip(shown) {
        let printed = values(block)?;
        let alike =
            printed.len() == shown.len() && shown.iter().zip(&printed).all(|(shown, value)| alike(shown, value));
        ensure!(alike, "the page shows\n{shown:#?}\nand the server says\n{block}");
    }
    Ok(())
}

fn values(text: &str) -> Result<Vec<Value>> {
    let values = Deserializer::from_str(text).into_iter().collect::<Result<_, _>>();
    values.with_context(|| format!("this is no JSON: {text}"))
}

/// Whether both are the same but for what varies, which is there in both.
fn alike(shown: &Value, printed: &Value) -> bool {
    match (shown, printed) {
        (Value::Object(shown), Value::Object(printed)) => {
            let alike = |(name, shown): (&String, &Value)| {
                printed.get(name).is_some_and(|printed| match (shown, printed) {
                    (Value::String(_), Value::String(_)) | (Value::Number(_), Value::Number(_))
                        if VARYING.contains(&&**name) =>
                    {
                        true
                    }
                    _ => alike(shown, printed),
                })
            };
            shown.len() == printed.len() && shown.iter().all(alike)
        }
        (Value::Array(shown), Value::Array(printed)) => {
            shown.len() == printed.len() && shown.iter().zip(printed).all(|(shown, printed)| alike(shown, printed))
        }
        _ => shown == printed,
    }
}
