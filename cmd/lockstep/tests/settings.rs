//! Settings that only a server of its own shows: timers, and files that change while it runs.

use anyhow::{Context, Result, ensure};
use lockstep_testkit::{ServerOptions, ServerProcess, Wire, ask, post};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);

async fn server(settings: Vec<(&'static str, String)>) -> Result<ServerProcess> {
    let options = ServerOptions { settings, ..ServerOptions::default() };
    ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await
}

fn text(value: impl ToString) -> String {
    value.to_string()
}

async fn made(server: &ServerProcess, token: &str, request: Value) -> Result<String> {
    let made = post(server.address(), "/v1/conversations", token, &request).await?;
    Ok(made["id"].as_str().context("a conversation has an id")?.to_owned())
}

async fn send(wire: &mut Wire, conversation: &str, name: &str) -> Result<u64> {
    let body = json!({"type": "text", "text": name});
    wire.send(&json!({"type": "send", "conversation": conversation, "client_msg_id": name, "body": body})).await?;
    wire.until("sent").await?["seq"].as_u64().context("a seq")
}

async fn read(wire: &mut Wire, conversation: &str, seq: u64) -> Result<()> {
    wire.send(&json!({"type": "read", "ref": 7, "conversation": conversation, "seq": seq})).await?;
    wire.until("done").await.map(drop)
}

#[tokio::test]
async fn retention_runs_by_itself_and_a_device_behind_is_told() -> Result<()> {
    let settings = vec![("retention.period_s", text(1)), ("retention.direct.count_max", text(2))];
    let server = server(settings).await?;
    let (ana, ben) = (server.token("ana", "phone", "main").await?, server.token("ben", "phone", "main").await?);
    let direct = made(&server, &ana, json!({"kind": "direct", "user": "ben"})).await?;
    let mut from_ana = Wire::live(&server.door(), &ana).await?;
    let mut to_ben = Wire::hello(&server.door(), &ben).await?;
    let epoch = to_ben.until("welcome").await?["epoch"].clone();
    to_ben.send(&json!({"type": "resume"})).await?;
    to_ben.until("caught_up").await?;
    send(&mut from_ana, &direct, "m1").await?;
    let first = loop {
        let entry = to_ben.until("entry").await?;
        if entry["conversation"] == direct.as_str() {
            break entry;
        }
    };
    drop(to_ben);
    for number in 2..=5 {
        send(&mut from_ana, &direct, &format!("m{number}")).await?;
    }
    // However the passes and the sends fall: of five entries three go.
    server.until_metric("lockstep_retention_entries_total", PATIENCE, |gone| gone >= 3.0).await?;
    let authorization = format!("Authorization: Bearer {ben}");
    let path = format!("/v1/conversations/{direct}/messages");
    let page = ask(server.address(), "GET", &path, &[&authorization], None).await?.json();
    ensure!((&page["floor"], &page["head"]) == (&json!(4), &json!(5)), "{page}");

    let mut back = Wire::open(&server.door()).await?;
    back.send(&json!({"type": "hello", "ref": 1, "token": ben, "epoch": epoch})).await?;
    let shown = json!({"conversation": direct, "seq": first["seq"], "entry": first["id"]});
    back.send(&json!({"type": "resume", "conversations": [shown]})).await?;
    let skip = back.until("skip").await?;
    let expected = json!({"type": "skip", "conversation": direct, "from": 2, "to": 3, "reason": "retention"});
    ensure!(skip == expected, "{skip}");
    let entry = loop {
        let page = back.until("entries").await?["entries"][0].clone();
        if page["conversation"] == direct.as_str() {
            break page;
        }
    };
    ensure!((&entry["seq"], &entry["body"]["text"]) == (&json!(4), &json!("m4")), "{entry}");
    Ok(())
}

#[tokio::test]
async fn receipts_gather_as_long_and_go_as_far_as_is_set() -> Result<()> {
    let gather = Duration::from_millis(700);
    let settings =
        vec![("limits.receipts_gather_ms", text(gather.as_millis())), ("limits.receipts_members_max", text(2))];
    let server = server(settings).await?;
    let mut tokens = Vec::new();
    for name in ["ana", "ben", "eve"] {
        tokens.push(server.token(name, "phone", "main").await?);
    }
    let direct = made(&server, &tokens[0], json!({"kind": "direct", "user": "ben"})).await?;
    let group = made(&server, &tokens[0], json!({"kind": "group", "members": ["ben", "eve"]})).await?;
    let mut ana = Wire::live(&server.door(), &tokens[0]).await?;
    let (in_group, in_direct) = (send(&mut ana, &group, "g").await?, send(&mut ana, &direct, "d1").await?);
    send(&mut ana, &direct, "d2").await?;
    let mut ben = Wire::live(&server.door(), &tokens[1]).await?;
    // The group has three members: what is read there is told to nobody, by whichever door.
    read(&mut ben, &group, in_group).await?;
    let (authorization, path) =
        (format!("Authorization: Bearer {}", tokens[2]), format!("/v1/conversations/{group}/read"));
    let put = ask(server.address(), "PUT", &path, &[&authorization], Some(&json!({"seq": in_group}))).await?;
    ensure!(put.status == 204, "{put:?}");
    for seq in [in_direct, in_direct + 1] {
        let began = Instant::now();
        read(&mut ben, &direct, seq).await?;
        let told = ana.until("receipts").await?;
        ensure!((&told["conversation"], &told["receipts"][0]["read"]) == (&json!(direct), &json!(seq)), "{told}");
        ensure!(began.elapsed() >= gather, "told after {:?}", began.elapsed());
    }
    Ok(())
}

/// A token that names the issuer and is signed by nobody: it makes the server look at the issuer's key, and no more.
const NOBODYS: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUifQ.c2lnbmVkIGJ5IG5vYm9keQ";

/// Shows tokens until the metric of key files with this outcome is 1.
async fn until_looked(server: &ServerProcess, outcome: &str) -> Result<()> {
    let metric = format!("lockstep_issuer_key_files_total{{outcome=\"{outcome}\"}}");
    let request = json!({"token": NOBODYS, "device": {"name": "phone"}});
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let looking = async {
        loop {
            ticks.tick().await;
            let answer = ask(server.address(), "POST", "/v1/sessions/external", &[], Some(&request)).await?;
            ensure!(answer.code() == "token_invalid", "{answer:?}");
            let counted = server.metric(&metric).await?;
            ensure!(counted <= 1.0, "{metric} is {counted}");
            if counted == 1.0 {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.with_context(|| format!("{metric} stays 0"))?
}

#[tokio::test]
async fn key_files_that_change_are_counted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("secret");
    fs::write(&file, "a secret of at least 32 characters")?;
    fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    let issuer = format!(
        "[{{issuer = \"https://id.example\", audience = \"chat\", algorithm = \"HS256\", secret_file = {file:?}}}]"
    );
    let server = server(vec![("accounts.issuers", issuer), ("accounts.address_attempts", text(1_000))]);
    let server = server.await?;
    fs::write(&file, "too short")?;
    until_looked(&server, "refused").await?;
    fs::write(&file, "another secret of at least 32 characters")?;
    until_looked(&server, "taken").await?;
    ensure!(server.metric("lockstep_issuer_key_files_total{outcome=\"refused\"}").await? == 1.0);
    Ok(())
}
