//! Commands about messages: answers, reactions, edits, recalls.

use super::Chat;
use anyhow::Result;
use lockstep_client::protocol::{Body, Seq};
use lockstep_client::{Pending, SendError};
use serde_json::json;

impl Chat {
    pub(super) async fn reply(&mut self, target: Seq, text: &str) -> Result<()> {
        let body = Body::parse(&json!({"type": "text", "text": text, "reply_to": target}).to_string())?;
        self.send(body).await
    }

    pub(super) async fn react(&mut self, target: Seq, key: &str, on: bool) -> Result<()> {
        let Some(here) = self.here()? else { return Ok(()) };
        let taken = self.client.react(here, target, key, on).await;
        self.await_answer(taken)
    }

    pub(super) async fn edit(&mut self, target: Seq, text: &str) -> Result<()> {
        let Some(here) = self.here()? else { return Ok(()) };
        let taken = self.client.edit(here, target, &Body::text(text)).await;
        self.await_answer(taken)
    }

    pub(super) async fn recall(&mut self, target: Seq) -> Result<()> {
        let Some(here) = self.here()? else { return Ok(()) };
        let taken = self.client.recall(here, target).await;
        self.await_answer(taken)
    }

    /// Waits, beside everything else, for the answer to what was taken.
    pub(super) fn await_answer(&mut self, taken: Result<Pending, SendError>) -> Result<()> {
        match taken {
            Ok(pending) => drop(self.answers.spawn(pending.answer())),
            Err(error) => {
                self.refused += 1;
                self.screen.note(&format!("not sent: {error}"))?;
            }
        }
        Ok(())
    }
}
