//! Two devices that speak frames by hand, and their conversation.

use anyhow::{Context, Result, ensure};
use lockstep_testkit::{Answer, Heard, ServerOptions, ServerProcess, Wire, ask, post};
use serde_json::{Value, json};

/// A server with a sender and a receiver.
pub(crate) struct Scene {
    pub(crate) server: ServerProcess,
    pub(crate) conversation: String,
    pub(crate) ana: String,
    pub(crate) ben: String,
    sender: Wire,
    receiver: Wire,
    /// The seq that the receiver has come to.
    received: u64,
}

impl Scene {
    pub(crate) async fn set(options: ServerOptions) -> Result<Self> {
        let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await?;
        let ana = server.token("ana", "phone", "main").await?;
        let ben = server.token("ben", "phone", "main").await?;
        let request = json!({"kind": "direct", "user": "ben"});
        let made = post(server.address(), "/v1/conversations", &ana, &request).await?;
        let conversation = made["id"].as_str().context("a conversation has an id")?.to_owned();
        let (sender, receiver) = (Wire::live(&server.door(), &ana).await?, Wire::live(&server.door(), &ben).await?);
        Ok(Self { server, conversation, ana, ben, sender, receiver, received: 0 })
    }

    /// Starts the server anew, and connects both devices anew. The receiver begins at the beginning.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.server.restart().await?;
        self.sender = Wire::live(&self.server.door(), &self.ana).await?;
        self.receiver = Wire::hello(&self.server.door(), &self.ben).await?;
        self.receiver.send(&json!({"type": "resume"})).await?;
        self.received = 0;
        Ok(())
    }

    /// Sends a message under a name, and returns the answer: `sent` or `error`.
    pub(crate) async fn send(&mut self, name: &str) -> Result<Value> {
        let body = json!({"type": "text", "text": name});
        let frame =
            json!({"type": "send", "ref": 1, "conversation": self.conversation, "client_msg_id": name, "body": body});
        self.sender.send(&frame).await?;
        loop {
            match self.sender.next().await? {
                Heard::Frame(frame) if frame["ref"] == 1 => return Ok(frame),
                Heard::Frame(_) => {}
                end => anyhow::bail!("{end:?} instead of an answer to {name}"),
            }
        }
    }

    /// Sends a message that is to be stored, and returns its seq.
    pub(crate) async fn stored(&mut self, name: &str) -> Result<u64> {
        let sent = self.send(name).await?;
        ensure!(sent["type"] == "sent", "{name}: {sent}\n{}", self.server.log_tail());
        sent["seq"].as_u64().context("a seq")
    }

    /// Sends a message that cannot be stored: it is refused for now, and the connection stays.
    pub(crate) async fn refused(&mut self, name: &str) -> Result<()> {
        let error = self.send(name).await?;
        let found = (&error["type"], &error["code"], &error["close"]);
        ensure!(found == (&json!("error"), &json!("try_again"), &json!(false)), "{name}: {error}");
        let words = "The server could not store this now. Send the same again: it cannot be stored twice.";
        ensure!(error["message"] == words, "{name}: {error}");
        Ok(())
    }

    /// Takes deliveries up to a seq: each once, in order.
    pub(crate) async fn deliver(&mut self, to: u64) -> Result<()> {
        while self.received < to {
            let Heard::Frame(frame) = self.receiver.next().await? else { anyhow::bail!("the receiver was closed") };
            let entries = match frame["type"].as_str() {
                Some("entry") => vec![frame],
                Some("entries") => frame["entries"].as_array().cloned().unwrap_or_default(),
                _ => continue,
            };
            for entry in entries.iter().filter(|entry| entry["conversation"] == self.conversation.as_str()) {
                ensure!(entry["seq"] == self.received + 1, "{entry} after {}", self.received);
                self.received += 1;
            }
        }
        Ok(())
    }

    /// A REST request as ana.
    pub(crate) async fn rest(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let authorization = format!("Authorization: Bearer {}", self.ana);
        ask(self.server.address(), method, path, &[&authorization, "Idempotency-Key: by-rest"], body).await
    }

    /// The seqs that can be read, oldest first. None if nothing can be read now, and that is said.
    pub(crate) async fn history(&self) -> Result<Option<Vec<u64>>> {
        let path = format!("/v1/conversations/{}/messages?limit=200", self.conversation);
        let page = self.rest("GET", &path, None).await?;
        if (page.status, &*page.code()) == (503, "try_again") {
            return Ok(None);
        }
        ensure!(page.status == 200, "{page:?}");
        let entries = page.json()["entries"].as_array().cloned().unwrap_or_default();
        Ok(Some(entries.iter().filter_map(|entry| entry["seq"].as_u64()).collect()))
    }

    /// The status of `/readyz`, with its code if it has one.
    pub(crate) async fn readiness(&self) -> Result<(u16, String)> {
        let answer = ask(self.server.address(), "GET", "/readyz", &[], None).await?;
        Ok((answer.status, answer.code()))
    }
}
