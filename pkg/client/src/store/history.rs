//! What a main device gives to others that are filled.

use super::StoreError;
use async_trait::async_trait;
use lockstep_protocol::{ConversationId, Entry, Held, Seq};

/// The history that a main device can give to others. Both stores of this crate are one; a device that keeps its history
/// elsewhere brings its own. The client waits for each call, as it does for its store: nothing else happens meanwhile.
#[async_trait]
pub trait HistorySource: Send + Sync {
    /// From where on each conversation is here. What is not named is not given.
    async fn held(&self) -> Result<Vec<Held>, StoreError>;

    /// Where the latest `entries` up to `to` begin, or the first of them if there are fewer. `None` if there is none.
    async fn latest(&self, conversation: ConversationId, entries: u32, to: Seq) -> Result<Option<Seq>, StoreError>;

    /// The entries from `from` to `to` in the order of their seqs: all, or the first ones, of about `bytes_max` bytes
    /// of JSON together; but at least one, if there is one.
    async fn stretch(
        &self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, StoreError>;
}
