//! What was said, what the user has not read of it, and what the user keeps about it.

use super::{Conversations, HistoryPage, MemberState, Slice, UnreadTotal, path};
use crate::RestError;
use hyper::Method;
use lockstep_protocol::{ConversationId, Receipt, Seq, StateChange, Unread};
use serde_json::json;

/// What was said, and what the user has not read of it.
impl Conversations {
    /// At most `count` entries of the log, 1 to 200, as far as the user may see them; fewer if they are large. Those that
    /// the device has not stored because they were before its time come by this.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_conversation` or `bad_request`.
    pub async fn history(
        &self,
        conversation: ConversationId,
        slice: Slice,
        count: u32,
    ) -> Result<HistoryPage, RestError> {
        let from = match slice {
            Slice::Latest => String::new(),
            Slice::Before(seq) => format!("&before={seq}"),
            Slice::After(seq) => format!("&after={seq}"),
        };
        self.requests.get(&format!("{}/messages?limit={count}{from}", path(conversation))).await
    }

    /// The user has read this conversation up to here; a lower place than before changes nothing.
    /// [`crate::Client::read`] does the same without a wait, and keeps it until the server has it.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_conversation`, or `read_beyond` above the head.
    pub async fn read(&self, conversation: ConversationId, seq: Seq) -> Result<(), RestError> {
        self.requests.tell(Method::PUT, &format!("{}/read", path(conversation)), &json!({"seq": seq})).await
    }

    /// How much is unread in these, 1 to 100; those that the user never was in are left out.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `bad_request` for none or too many.
    pub async fn unread(&self, conversations: &[ConversationId]) -> Result<Vec<Unread>, RestError> {
        let ids: Vec<String> = conversations.iter().map(ConversationId::to_string).collect();
        self.requests.part(&format!("/v1/reads?conversations={}", ids.join(",")), "conversations").await
    }

    /// How much is unread in all of them that are neither archived nor muted.
    ///
    /// # Errors
    ///
    /// [`RestError`] with what any request is refused with.
    pub async fn unread_total(&self) -> Result<UnreadTotal, RestError> {
        self.requests.get("/v1/reads/total").await
    }

    /// How far the others have got, in order of joining.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_conversation`.
    pub async fn receipts(&self, conversation: ConversationId) -> Result<Vec<Receipt>, RestError> {
        self.requests.pages(&format!("{}/receipts", path(conversation)), "receipts").await
    }
}

/// What the user keeps about a conversation for all own devices; nobody else hears of it.
impl Conversations {
    /// Changes it, several things at once if need be, and gives all of it. What is absent stays.
    /// [`crate::Client::change_state`] does the same over the connection.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_conversation`, also from one who has left it, except for what is archived.
    pub async fn change_state(
        &self,
        conversation: ConversationId,
        change: StateChange,
    ) -> Result<MemberState, RestError> {
        self.requests.ask(Method::PATCH, &format!("{}/state", path(conversation)), &json!(change)).await
    }
}
