//! Conversations: listed, looked into; direct ones are made.

use crate::Engine;
use crate::api::store_failed;
use crate::lane::{direct, refused_conversation};
use lockstep_model::{
    Bounds, Code, Conversation, ConversationId, Entry, Intervals, Member, Seq, SharedEntry, UnixMs, UserId,
};
use lockstep_ports::{Committed, ListedConversation};

impl Engine {
    /// The direct conversation of two users, made if need be.
    ///
    /// # Errors
    ///
    /// `no_such_user` (also for oneself), `too_many_conversations`, `try_again`.
    pub async fn open_direct(&self, user: &UserId, peer: &UserId) -> Result<Conversation, Code> {
        let created = self.0.ports.directory.create_conversation(direct(user, peer)?).await;
        let created = created.map_err(|error| store_failed(&error))?.map_err(refused_conversation)?;
        Ok(self.announce(created).await)
    }

    /// Publishes what a command wrote into logs.
    pub(crate) async fn announce<T>(&self, committed: Committed<T>) -> T {
        let entries = committed.entries.into_iter().map(|entry: Entry| SharedEntry::new(entry));
        self.0.publisher.publish(entries.collect()).await;
        committed.value
    }

    /// The conversations of a user, most recently active first, those after `after` in that order.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn conversations(
        &self,
        user: &UserId,
        after: Option<(UnixMs, ConversationId)>,
        count: u32,
    ) -> Result<Vec<ListedConversation>, Code> {
        let listed = self.0.ports.directory.conversations_of(user.clone(), after, count).await;
        listed.map_err(|error| store_failed(&error))
    }

    /// The members of a conversation, in order of joining, those after `after` in that order; and the log's head from
    /// before they were read. Whoever takes the log's changes after that head, some of them once more, knows the members.
    ///
    /// # Errors
    ///
    /// `no_such_conversation` if the user is no member, `try_again`.
    pub async fn members(
        &self,
        user: &UserId,
        conversation: ConversationId,
        after: Option<(Seq, UserId)>,
        count: u32,
    ) -> Result<(Vec<Member>, Seq), Code> {
        let (intervals, bounds) = self.membership(user, conversation).await?;
        if !intervals.is_member() {
            return Err(Code::NoSuchConversation);
        }
        let members = self.0.ports.directory.members_of(conversation, after, count).await;
        Ok((members.map_err(|error| store_failed(&error))?, bounds.head))
    }

    /// The stays of a user who is or was a member.
    pub(crate) async fn membership(
        &self,
        user: &UserId,
        conversation: ConversationId,
    ) -> Result<(Intervals, Bounds), Code> {
        let found = self.0.ports.directory.membership(user.clone(), conversation).await;
        let found = found.map_err(|error| store_failed(&error))?;
        found.filter(|(intervals, _)| !intervals.0.is_empty()).ok_or(Code::NoSuchConversation)
    }
}
