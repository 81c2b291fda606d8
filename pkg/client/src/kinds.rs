//! What is sent about messages: edits, recalls and reactions. Like messages they wait in the outbox and are sent once.
//! And what is never kept: signals, and the question who is there.

use crate::service::Command;
use crate::{Client, OutboxItem, Pending, SendError};
use lockstep_protocol::{Body, ClientMsgId, ConversationId, Kind, Seq, Target, UserId};

impl Client {
    /// Gives the message at `target`, which must be the user's own, another body.
    ///
    /// # Errors
    ///
    /// As [`Client::enqueue`]. What the server refuses comes with the answer.
    pub async fn edit(&self, conversation: ConversationId, target: Seq, body: &Body) -> Result<Pending, SendError> {
        self.enqueue_about(conversation, Kind::Edit, Body::edit(target, body)).await
    }

    /// Withdraws the message at `target`, which must be the user's own: its body is erased everywhere.
    ///
    /// # Errors
    ///
    /// As [`Client::edit`].
    pub async fn recall(&self, conversation: ConversationId, target: Seq) -> Result<Pending, SendError> {
        self.enqueue_about(conversation, Kind::Recall, Body::recall(target)).await
    }

    /// Reacts to the message at `target`, or takes the reaction back. `key` is an emoji or a word of 1 to 32 characters.
    ///
    /// # Errors
    ///
    /// As [`Client::edit`].
    pub async fn react(
        &self,
        conversation: ConversationId,
        target: Seq,
        key: &str,
        on: bool,
    ) -> Result<Pending, SendError> {
        self.enqueue_about(conversation, Kind::Reaction, Body::reaction(target, key, on)).await
    }

    async fn enqueue_about(&self, conversation: ConversationId, kind: Kind, body: Body) -> Result<Pending, SendError> {
        let (client_msg_id, target) = (ClientMsgId::random(), Target::Conversation(conversation));
        self.enqueue_item(OutboxItem { client_msg_id, target, kind, body }).await
    }
}

/// What is never kept. Nothing of this is repeated: what is lost is lost.
impl Client {
    /// Signals to whoever follows a conversation at this moment, such as that the user is typing. The server passes on
    /// about one a second. Without a connection it is dropped.
    ///
    /// # Errors
    ///
    /// If the client has stopped.
    pub async fn signal(&self, conversation: ConversationId, body: Body) -> Result<(), SendError> {
        self.command(Command::Signal { conversation, body }).await
    }

    /// Watches who of these users, at most 100, is there: instead of those named before, and again after each reconnect.
    /// [`Event::Presence`](crate::Event::Presence) tells. The server says nothing of users with whom there is no direct
    /// conversation.
    ///
    /// # Errors
    ///
    /// If the client has stopped.
    pub async fn watch(&self, users: Vec<UserId>) -> Result<(), SendError> {
        self.command(Command::Watch { users }).await
    }
}
