//! A durable send (I1), as the system sees it: between the write of a message into the write-ahead log and the write of
//! its answer into the socket lies a sync of that log that has ended. The server's system calls are traced (strace(1)).

use anyhow::{Context, Result, ensure};
use lockstep_testkit::{ServerProcess, Strace, Wire, ask, post};
use serde_json::json;
use std::collections::HashMap;

/// Sends one after the other, and then so many at once.
const ALONE: u64 = 10;
const TOGETHER: u64 = 30;

/// One system call of one thread. Times are line numbers of the trace.
#[derive(Debug)]
struct Call {
    name: String,
    text: String,
    began: usize,
    ended: usize,
}

#[tokio::test]
async fn a_message_is_synced_before_its_sender_hears_of_it() -> Result<()> {
    let server = ServerProcess::start(env!("CARGO_BIN_EXE_lockstep")).await?;
    let ana = server.token("ana", "phone", "main").await?;
    server.token("ben", "phone", "main").await?;
    let direct = post(server.address(), "/v1/conversations", &ana, &json!({"kind": "direct", "user": "ben"})).await?;
    let direct = direct["id"].as_str().context("a conversation has an id")?;
    let mut wire = Wire::live(&server.door(), &ana).await?;
    let send = |n: u64| json!({"type": "send", "ref": n, "conversation": direct, "client_msg_id": name(n), "body": {"type": "text", "text": text(n)}});

    let calls = "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync";
    // Whole pages are shown, and with each descriptor what it leads to.
    let trace = Strace::attach(server.pid(), &["-y", "-s", "100000", "-e", calls]).await?;
    for n in 1_000..1_000 + ALONE {
        wire.send(&send(n)).await?;
        wire.until("sent").await?;
    }
    for n in 2_000..2_000 + TOGETHER {
        wire.send(&send(n)).await?;
    }
    for _ in 0..TOGETHER {
        wire.until("sent").await?;
    }
    let (path, body) =
        (format!("/v1/conversations/{direct}/messages"), json!({"body": {"type": "x", "v": text(3_000)}}));
    let headers = [&*format!("Authorization: Bearer {ana}"), "Idempotency-Key: rest"];
    let answer = ask(server.address(), "POST", &path, &headers, Some(&body)).await?;
    ensure!(answer.status == 201, "{answer:?}");

    let calls = parse(&trace.detach().await?);
    for n in (1_000..1_000 + ALONE).chain(2_000..2_000 + TOGETHER) {
        check(&calls, &text(n), |call| {
            call.text.contains(r#"\"type\":\"sent\""#) && call.text.contains(&answer_to(n))
        })?;
    }
    check(&calls, &text(3_000), |call| call.text.contains("HTTP/1.1 201"))
}

fn name(n: u64) -> String {
    format!("name-{n}")
}

fn text(n: u64) -> String {
    format!("probe-{n}-text")
}

/// As strace shows a `ref`.
fn answer_to(n: u64) -> String {
    format!(r#"\"ref\":{n},"#)
}

/// Checks that the log was synced between the write of the message and the answer.
fn check(calls: &[Call], message: &str, is_answer: impl Fn(&Call) -> bool) -> Result<()> {
    let of_log = |call: &&Call| call.text.contains("lockstep.db-wal>");
    // Later commits write the page again: the first time counts.
    let written = calls.iter().filter(of_log).find(|call| call.text.contains(message));
    let written = written.with_context(|| format!("{message} was not written to the log"))?;
    let answered = calls.iter().find(|call| !of_log(call) && is_answer(call));
    let answered = answered.with_context(|| format!("{message} was not answered"))?;
    let synced = calls.iter().filter(of_log).any(|call| {
        let whole = call.text.ends_with("= 0");
        call.name.ends_with("sync") && whole && call.began > written.ended && call.ended < answered.began
    });
    let places = (written.began, answered.began);
    ensure!(
        synced,
        "{message} was written in line {} and answered in line {} without a sync between",
        places.0,
        places.1
    );
    Ok(())
}

/// Puts calls together again that others came between. A line stands where its event was.
fn parse(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: HashMap<&str, usize> = HashMap::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((thread, event)) = line.split_once(' ') else { continue };
        let event = event.trim();
        if event.starts_with("<... ") {
            let (Some(index), Some((_, rest))) = (open.remove(thread), event.split_once("resumed>")) else { continue };
            calls[index].text.push_str(rest);
            calls[index].ended = number;
        } else if let Some((name, _)) = event.split_once('(') {
            let unfinished = event.strip_suffix("<unfinished ...>");
            if unfinished.is_some() {
                open.insert(thread, calls.len());
            }
            let text = unfinished.unwrap_or(event).to_owned();
            // One that never ends ends after everything.
            let ended = if unfinished.is_some() { usize::MAX } else { number };
            calls.push(Call { name: name.to_owned(), text, began: number, ended });
        }
    }
    calls
}

#[test]
fn a_sync_that_is_missing_failed_or_late_is_noticed() {
    let write = r#"7 write(9</d/lockstep.db-wal>, "..probe-1-text..", 4096) = 4096"#;
    let sync = "7 fdatasync(9</d/lockstep.db-wal>) = 0";
    let answer = r#"8 sendto(5<TCP:[x]>, "{\"type\":\"sent\",\"ref\":1,}", 30) = 30"#;
    let begun = "7 fdatasync(9</d/lockstep.db-wal> <unfinished ...>";
    let over = "7 <... fdatasync resumed>) = 0";
    let cases: [(&[&str], bool); 8] = [
        (&[write, sync, answer], true),
        (&[write, begun, over, answer], true),
        (&[write, answer], false),
        (&[sync, write, answer], false),
        (&[write, answer, sync], false),
        (&[write, begun, answer, over], false),
        (&[write, "7 fdatasync(9</d/lockstep.db-wal>) = -1 EIO (Input/output error)", answer], false),
        (&[write, "7 fdatasync(9</d/lockstep.db>) = 0", answer], false),
    ];
    for (lines, expected) in cases {
        let calls = parse(&lines.join("\n"));
        let found = check(&calls, &text(1), |call| call.text.contains(&answer_to(1)));
        assert_eq!(found.is_ok(), expected, "{lines:?}: {found:?}");
    }
}
