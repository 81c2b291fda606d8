//! What is unread, and how far others have got.

use crate::Engine;
use crate::api::store_failed;
use crate::receipts::{Place, Told};
use lockstep_model::{
    Code, ConversationId, Receipt, ReceiptSettings, ReceiptSettingsChange, Seq, UnixMs, Unread, UnreadTotal, UserId,
    limits,
};
use lockstep_ports::StoreError;
use std::sync::atomic::Ordering;

/// How often it is asked whether a receipt is told, if blocks begin meanwhile. After that it is not: who looks asks.
const RECEIPT_TRIES: u32 = 3;

impl Engine {
    /// How much of these conversations a user has not read, without those that the user never was in.
    ///
    /// # Errors
    ///
    /// `bad_request` (too many), `try_again`.
    pub async fn unread(&self, user: &UserId, conversations: Vec<ConversationId>) -> Result<Vec<Unread>, Code> {
        if conversations.len() > limits::UNREAD_CONVERSATIONS_MAX {
            return Err(Code::BadRequest);
        }
        self.0.ports.directory.unread(user.clone(), conversations).await.map_err(failed)
    }

    /// What a user has not read in all conversations that are neither archived nor muted.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn unread_total(&self, user: &UserId) -> Result<UnreadTotal, Code> {
        self.0.ports.directory.unread_total(user.clone(), UnixMs::now()).await.map_err(failed)
    }

    /// The user has read up to here, said without a connection. All live devices of the user hear it.
    ///
    /// # Errors
    ///
    /// `no_such_conversation` if the user never was a member, `read_beyond`, `try_again`.
    pub async fn read_up_to(&self, user: &UserId, conversation: ConversationId, seq: Seq) -> Result<(), Code> {
        let (intervals, bounds) = self.membership(user, conversation).await?;
        // Heads only rise and stays only end once, so that what is checked here still holds when it is stored.
        let end = intervals.0.last().and_then(|stay| stay.left_seq).unwrap_or(bounds.head);
        if seq > end {
            return Err(Code::ReadBeyond);
        }
        let Some(read) = self.advance(user, conversation, seq).await? else { return Ok(()) };
        let place = Place { delivered: None, read: Some(read) };
        for _ in 0..RECEIPT_TRIES {
            let forgotten = self.0.receipts.forgotten();
            if !self.0.ports.directory.tells_receipts(conversation).await.map_err(failed)? {
                break;
            }
            let told = Told { settings: self.receipt_settings(user).await?, conversation, place };
            if self.0.receipts.note_since(forgotten, user, told) {
                break;
            }
        }
        Ok(())
    }

    /// How far the members of a conversation have got, as far as each tells and the asking user does: in order of joining,
    /// those after `after`.
    ///
    /// # Errors
    ///
    /// `no_such_conversation` if the user is no member, `try_again`.
    pub async fn receipts(
        &self,
        user: &UserId,
        conversation: ConversationId,
        after: Option<(Seq, UserId)>,
        count: u32,
    ) -> Result<Vec<(Seq, Receipt)>, Code> {
        let (intervals, _) = self.membership(user, conversation).await?;
        if !intervals.is_member() {
            return Err(Code::NoSuchConversation);
        }
        let settings = self.receipt_settings(user).await?;
        let mut receipts = self.0.ports.directory.receipts(conversation, after, count).await.map_err(failed)?;
        for (_, receipt) in &mut receipts {
            receipt.delivered = receipt.delivered.filter(|_| settings.delivered);
            receipt.read = receipt.read.filter(|_| settings.read);
        }
        Ok(receipts)
    }

    /// What a user lets others hear.
    ///
    /// # Errors
    ///
    /// `no_such_user`, `try_again`.
    pub async fn receipt_settings(&self, user: &UserId) -> Result<ReceiptSettings, Code> {
        self.0.ports.directory.receipt_settings(user.clone()).await.map_err(failed)?.ok_or(Code::NoSuchUser)
    }

    /// Changes what a user lets others hear, from now on.
    ///
    /// # Errors
    ///
    /// `no_such_user`, `try_again`.
    pub async fn change_receipt_settings(
        &self,
        user: &UserId,
        change: ReceiptSettingsChange,
    ) -> Result<ReceiptSettings, Code> {
        let (engine, user) = (self.clone(), user.clone());
        self.to_the_end(async move {
            let _in_order = engine.0.changing_settings.lock().await;
            let changed = engine.0.ports.directory.change_receipt_settings(user.clone(), change, UnixMs::now()).await;
            let changed = changed.map_err(failed)?.ok_or(Code::NoSuchUser)?;
            // Before the connections are told: one that is being let in with what it read before looks here afterwards.
            engine.0.settings_changes.fetch_add(1, Ordering::SeqCst);
            engine.0.connections.of(&user).iter().for_each(|connection| connection.receipts.set(changed.value));
            Ok(engine.announce(changed).await)
        })
        .await
    }
}

fn failed(error: StoreError) -> Code {
    store_failed(&error)
}
