//! The commands of operators against a running server, on its data folder and from elsewhere.

use anyhow::{Context, Result, ensure};
use lockstep_protocol::Code;
use lockstep_testkit::{ServerOptions, ServerProcess, Wire, ask, post};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lockstep");

async fn server() -> Result<ServerProcess> {
    ServerProcess::start_with(PROGRAM, ServerOptions::default()).await
}

/// Runs a command from elsewhere.
fn run(args: &[&str]) -> Result<Output> {
    Ok(Command::new(PROGRAM).args(args).stdin(Stdio::null()).output()?)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command printed for a field.
fn field<'a>(lines: &'a str, name: &str) -> Result<&'a str> {
    let found = lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
    found.with_context(|| format!("no {name} in {lines}"))
}

#[tokio::test]
async fn operators_list_look_and_close() -> Result<()> {
    let server = server().await?;
    let ana = server.token("ana", "phone", "main").await?;
    let ben = server.token("ben", "phone", "main").await?;
    let group = json!({"kind": "group", "title": "Trip", "members": ["ben"]});
    let group = post(server.address(), "/v1/conversations", &ana, &group).await?;
    let group = group["id"].as_str().context("a conversation has an id")?;
    let mut live = Wire::live(&server.door(), &ben).await?;

    ensure!(server.administer(&["user", "list"]).await? == "ana\tgood\t1\t0\nben\tgood\t1\t1");
    ensure!(server.administer(&["user", "list", "--prefix", "b"]).await? == "ben\tgood\t1\t1");
    let shown = server.administer(&["user", "show", "ben"]).await?;
    ensure!(field(&shown, "connections")? == "1" && field(&shown, "disabled_at")? == "-", "{shown}");
    let devices = server.administer(&["device", "list", "--user", "ben"]).await?;
    let device = devices.split('\t').next().context("an id")?;
    let shown = server.administer(&["device", "show", device]).await?;
    ensure!(field(&shown, "user")? == "ben" && field(&shown, "connection.door")? == "websocket", "{shown}");
    ensure!(field(&shown, "connection.address")? == "127.0.0.1", "{shown}");
    ensure!(field(&shown, "following.conversations")? == "2", "{shown}");
    let shown = server.administer(&["conversation", "show", group, "--members", "--consumers"]).await?;
    ensure!(field(&shown, "title")? == "Trip" && shown.contains("member\tana\towner"), "{shown}");
    ensure!(shown.contains("member\tben\tmember") && field(&shown, "consumer")? == device, "{shown}");

    let connections = server.administer(&["connection", "list", "--user", "ben"]).await?;
    ensure!(connections.starts_with(&format!("{device}\tben\t")) && connections.lines().count() == 1, "{connections}");
    ensure!(server.administer(&["connection", "list", "--user", "ana"]).await?.is_empty());
    server.administer(&["connection", "close", device]).await?;
    ensure!(live.closed().await? == Code::Disconnected);
    let mut live = Wire::live(&server.door(), &ben).await?;
    server.administer(&["user", "disable", "ben"]).await?;
    ensure!(live.closed().await? == Code::UserDisabled);
    ensure!(server.administer(&["user", "list", "--prefix", "ben"]).await? == "ben\tdisabled\t1\t0");
    let refused = server.administer(&["token", "user", "ben", "--device", "phone"]).await;
    ensure!(refused.is_err_and(|error| error.to_string().contains("user_disabled")));
    server.administer(&["user", "enable", "ben"]).await?;
    server.token("ben", "phone", "main").await?;
    Ok(())
}

#[tokio::test]
async fn a_server_elsewhere_takes_the_token_of_an_administrator() -> Result<()> {
    let server = server().await?;
    server.token("ana", "phone", "main").await?;
    let token = server.administer(&["token", "service", "operator", "--scope", "admin"]).await?;
    let other = server.administer(&["token", "service", "billing", "--scope", "publish:*"]).await?;
    let folder = tempfile::tempdir()?;
    let file = |name: &str, text: &str| -> Result<String> {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_str().context("a path")?.to_owned())
    };
    let (good, wrong) = (file("good", &format!("{token}\n"))?, file("wrong", &other)?);
    let (empty, missing) = (file("empty", "\n")?, folder.path().join("missing").display().to_string());
    let url = server.url();
    let listed = run(&["user", "list", "--server", &url, "--token-file", &good])?;
    ensure!(listed.status.success() && listed.stdout == b"ana\tgood\t1\t0\n", "{listed:?}");
    let url = url.as_str();
    let cases: [(&[&str], &str); 6] = [
        (&["user", "list", "--server", url, "--token-file", &wrong], "does not have the scope \"admin\""),
        (&["user", "list", "--server", url, "--token-file", &empty], "has to hold one token"),
        (&["user", "list", "--server", url, "--token-file", &missing], "the token cannot be read"),
        (&["user", "list", "--server", "https://x", "--token-file", &good], "it must be http://"),
        (&["user", "show", "nobody", "--server", url, "--token-file", &good], "no such user"),
        (&["top", "--once", "--server", "http://127.0.0.1:1", "--token-file", &good], "is not reached"),
    ];
    for (args, words) in cases {
        let output = run(args)?;
        ensure!(output.status.code() == Some(1) && said(&output).contains(words), "{args:?}: {output:?}");
        ensure!(!said(&output).contains(&token), "the token is shown");
    }
    let output = run(&["user", "list", "--server", url])?;
    ensure!(output.status.code() == Some(2) && said(&output).contains("--token-file"), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn top_shows_what_happens() -> Result<()> {
    let server = server().await?;
    let ana = server.token("ana", "phone", "main").await?;
    let made = post(server.address(), "/v1/conversations", &ana, &json!({"kind": "group", "members": []})).await?;
    let mut live = Wire::live(&server.door(), &ana).await?;
    let data = server.data();
    let mut top = Command::new(PROGRAM)
        .args(["top", "--json", "--period-ms", "50", "--data"])
        .arg(&data)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut pictures = BufReader::new(top.stdout.take().context("it has an output")?);
    let mut next = || -> Result<Value> {
        let mut line = String::new();
        pictures.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    let first = next()?;
    ensure!(first["stats"]["connections"] == 1 && first["stats"]["users_online"] == 1, "{first}");
    ensure!(first["stats"]["consumers"].as_u64().is_some_and(|consumers| consumers >= 2), "{first}");
    ensure!(first["stats"]["nsqds"].is_null() && first["stats"]["appends_waiting"] == 0, "{first}");
    let stored = first["stats"]["totals"]["entries_appended"].as_u64().context("a total")?;
    let send = json!({"type": "send", "ref": 1, "conversation": made["id"], "client_msg_id": "m-1",
        "body": {"type": "text", "text": "what nobody else is to see"}});
    live.send(&send).await?;
    live.until("sent").await?;
    // The picture of the period in which it was stored shows it.
    let mut rate = 0.0;
    for _ in 0..1_000 {
        let picture = next()?;
        ensure!(!picture.to_string().contains("nobody else"), "{picture}");
        rate = picture["per_second"]["entries_appended"].as_f64().context("a rate")?;
        if picture["stats"]["totals"]["entries_appended"] == stored + 1 {
            ensure!(picture["stats"]["commits"]["p99_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{picture}");
            break;
        }
    }
    ensure!(rate > 0.0, "what happened is in no picture");
    let pid = rustix::process::Pid::from_child(&top);
    rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    ensure!(top.wait()?.success(), "Ctrl-C is how one leaves");

    let once = server.administer(&["top", "--once", "--json", "--period-ms", "50"]).await?;
    let once: Value = serde_json::from_str(&once)?;
    ensure!(
        once["stats"]["totals"]["entries_appended"] == stored + 1 && once["per_second"]["commits"].is_f64(),
        "{once}"
    );
    let plain = server.administer(&["top", "--once", "--period-ms", "50"]).await?;
    let words: Vec<_> = plain.split_whitespace().collect();
    ensure!(words.windows(2).any(|pair| pair == ["connections", "1"]) && !plain.contains('\x1b'), "{plain}");
    let headers = [&*format!("Authorization: Bearer {ana}")];
    ensure!(ask(server.address(), "GET", "/v1/admin/stats", &headers, None).await?.status == 403);
    Ok(())
}
