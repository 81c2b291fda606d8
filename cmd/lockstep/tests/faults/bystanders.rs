//! Two devices that have nothing to do with what goes wrong: they talk all the time, and nothing may happen to them.

use anyhow::{Context, Result, ensure};
use lockstep_protocol::ConversationId;
use lockstep_testkit::{Device, History, Record, Sender, ServerProcess, post};
use serde_json::json;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a message may take from its sender to both devices before that counts as harm.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many messages are enough to say that it goes on.
const ENOUGH: usize = 20;

/// Two users with a device each, who answer one another.
pub(crate) struct Bystanders {
    record: Record,
    devices: Vec<Device>,
    over: watch::Sender<bool>,
    talk: JoinHandle<Result<()>>,
}

impl Bystanders {
    /// Connects them and lets them talk.
    pub(crate) async fn talk(server: &ServerProcess) -> Result<Self> {
        let record = Record::new();
        let mut devices = Vec::new();
        let tokens = [server.token("yan", "phone", "main").await?, server.token("zoe", "phone", "main").await?];
        let request = json!({"kind": "direct", "user": "zoe"});
        let made = post(server.address(), "/v1/conversations", &tokens[0], &request).await?;
        let conversation: ConversationId = made["id"].as_str().context("a conversation has an id")?.parse()?;
        for (name, token) in ["yan/phone", "zoe/phone"].into_iter().zip(tokens) {
            record.write(|history| history.member(name, conversation));
            let mut device = Device::new(name, token, record.clone());
            device.start(&server.door());
            devices.push(device);
        }
        let (over, watched) = watch::channel(false);
        let senders = devices.iter().map(Device::sender).collect();
        let talk = tokio::spawn(answer_in_turn(senders, conversation, record.clone(), watched));
        let bystanders = Self { record, devices, over, talk };
        bystanders.go_on().await?;
        Ok(bystanders)
    }

    /// Waits for some more messages to have come through.
    pub(crate) async fn go_on(&self) -> Result<()> {
        let wanted = self.record.read(History::acknowledged_count) + ENOUGH;
        let what = format!("bystanders have sent {wanted} messages");
        self.record.until(&what, PATIENCE, |history| history.acknowledged_count() >= wanted).await
    }

    /// Ends the talk: everything came through, once and in order.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.go_on().await?;
        self.over.send_replace(true);
        self.talk.await.context("the talk broke off")??;
        for device in &mut self.devices {
            device.stop().await?;
        }
        let verdict = self.record.read(History::check);
        ensure!(verdict.is_clean(), "bystanders were harmed: {verdict}");
        Ok(())
    }
}

/// One sends, both have it, the other one sends.
async fn answer_in_turn(
    mut senders: Vec<Sender>,
    conversation: ConversationId,
    record: Record,
    over: watch::Receiver<bool>,
) -> Result<()> {
    while !*over.borrow() {
        for sender in &mut senders {
            let sending = tokio::time::timeout(PATIENCE, sender.send(conversation, "still here?"));
            sending.await.context("a message was not acknowledged in time")??;
            record.until("both have the message", PATIENCE, History::caught_up).await?;
        }
    }
    Ok(())
}
