//! The steps, in order. Each says what it does and fails if what was promised did not hold.

use super::stage::Stage;
use super::{fill_steps, group_steps, life_steps};
use anyhow::{Context, Result, ensure};
use lockstep_client::{Client, Sent};
use lockstep_protocol::{Body, ClientMsgId, Target, UserId};
use std::pin::Pin;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A step works on the stage.
pub(super) type Step = for<'a> fn(&'a mut Stage) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// All steps with their titles.
pub(super) const STEPS: &[(&str, Step)] = &[
    ("Ana and Ben chat: every device gets every message, the sender's own too.", |stage| Box::pin(chat(stage))),
    ("Ana's laptop goes away, Ben writes, the laptop returns and catches up.", |stage| Box::pin(catch_up(stage))),
    ("The same message is sent twice: it is stored once and reaches nobody again.", |stage| Box::pin(resend(stage))),
    ("The server is killed in mid-stream and started anew on the same folder.", |stage| Box::pin(crash(stage))),
    ("Ana makes a group with Ben and Cid, and removes Cid, who gets nothing that comes later.", |stage| {
        Box::pin(group_steps::group(stage))
    }),
    ("Ben edits and recalls; Ana reads on her phone: her laptop hears it, and Ben has the receipt.", |stage| {
        Box::pin(group_steps::reads(stage))
    }),
    ("A tablet shows a code: Ana's phone sees who asks, and lets it in.", |stage| Box::pin(life_steps::link(stage))),
    ("Ana's desktop fills the tablet and is killed midway: her phone goes on where it was.", |stage| {
        Box::pin(fill_steps::fill(stage))
    }),
    ("The tablet is live: what comes now follows what it was filled with.", |stage| Box::pin(fill_steps::live(stage))),
    ("Ana's phone removes the tablet: it is out at once, and stays out.", |stage| Box::pin(life_steps::remove(stage))),
    ("What became of a message is explained: for the tablet, and for a device that is there.", |stage| {
        Box::pin(life_steps::explain(stage))
    }),
];

async fn chat(stage: &mut Stage) -> Result<()> {
    // The first message makes the conversation.
    let to_ben = Target::User(UserId::new("ben")?);
    let text = "Hello Ben!";
    let sent = stage.ana_phone.send(to_ben, text).await?;
    ensure!(sent.conversation == stage.direct.id, "the direct conversation got another id than expected");
    stage.note("ana/phone", text, sent);
    let text = "Hello Ana, from my phone.";
    let sent = stage.ben_phone.send(stage.target(), text).await?;
    stage.note("ben/phone", text, sent);
    let text = "And this is from my laptop.";
    let sent = stage.ana_laptop.send(stage.target(), text).await?;
    stage.note("ana/laptop", text, sent);
    let text = "I can see both.";
    let sent = stage.ben_phone.send(stage.target(), text).await?;
    stage.note("ben/phone", text, sent);
    stage.check(&stage.devices()).await
}

async fn catch_up(stage: &mut Stage) -> Result<()> {
    stage.ana_laptop.leave().await?;
    println!("  ana/laptop is gone.");
    let before = stage.head();
    for text in ["Are you still there?", "Never mind.", "See you tomorrow."] {
        let sent = stage.ben_phone.send(stage.target(), text).await?;
        stage.note("ben/phone", text, sent);
    }
    stage.check(&[&stage.ana_phone, &stage.ben_phone]).await?;
    let has = stage.ana_laptop.entries(stage.direct.id).len() as u64;
    ensure!(has == before.get(), "the laptop was away, but got something");
    stage.ana_laptop.come().await?;
    println!("  ana/laptop is back; it had everything up to seq {before}.");
    stage.check(&stage.devices()).await
}

async fn resend(stage: &mut Stage) -> Result<()> {
    let id = ClientMsgId::random();
    let text = "Did this arrive?";
    let first = stage.ana_phone.send_as(id.clone(), stage.target(), text).await?;
    let second = stage.ana_phone.send_as(id, stage.target(), text).await?;
    ensure!(!first.duplicate && second.duplicate, "the server did not see that it had the message already");
    ensure!((first.seq, first.id) == (second.seq, second.id), "the resend got another place than the message");
    stage.note("ana/phone", text, first);
    println!("  ana/phone  sent the same again: still seq {}", second.seq);
    // What a resend set off would be published before what is sent after it.
    let text = "Yes, once.";
    let sent = stage.ben_phone.send(stage.target(), text).await?;
    stage.note("ben/phone", text, sent);
    stage.check(&stage.devices()).await
}

/// How many messages each of the two senders sends while the server dies.
const STREAM: usize = 150;
/// The server is killed when so many of them have been acknowledged.
const KILL_AFTER: usize = 60;

async fn crash(stage: &mut Stage) -> Result<()> {
    let connects = stage.devices().map(|device| device.connects());
    let (answers, mut answered) = mpsc::channel(2 * STREAM);
    let mut senders = JoinSet::new();
    for device in [&stage.ana_phone, &stage.ben_phone] {
        senders.spawn(stream(device.client()?, stage.target(), answers.clone()));
    }
    drop(answers);
    let mut count = 0;
    while let Some(sent) = answered.recv().await {
        stage.direct.acknowledged.push(sent);
        count += 1;
        if count == KILL_AFTER {
            stage.server.kill().await?;
            let killed = Instant::now();
            println!("  killed (SIGKILL) when {count} of {} messages had been acknowledged", 2 * STREAM);
            stage.server.start_again().await?;
            println!("  started anew after {} ms; the devices connect by themselves", killed.elapsed().as_millis());
        }
    }
    while let Some(done) = senders.join_next().await {
        done.context("a sender broke off")??;
    }
    ensure!(count == 2 * STREAM, "only {count} of {} messages were acknowledged", 2 * STREAM);
    println!("  all {count} messages are acknowledged, up to seq {}", stage.head());
    stage.check(&stage.devices()).await?;
    for (device, before) in stage.devices().into_iter().zip(connects) {
        ensure!(device.connects() > before, "{} did not notice the crash", device.name);
    }
    Ok(())
}

/// Sends messages one after the other, and passes on the answers.
async fn stream(client: Client, target: Target, answers: mpsc::Sender<Sent>) -> Result<()> {
    for number in 1..=STREAM {
        let sent = client.send(target.clone(), Body::text(&format!("message {number}"))).await?;
        answers.send(sent).await.context("nobody takes the answers")?;
    }
    Ok(())
}
