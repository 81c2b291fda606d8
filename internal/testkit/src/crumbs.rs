//! A main device's history as others get it in the smallest pieces.

use lockstep_client::async_trait;
use lockstep_client::{HistorySource, MemoryStore, StoreError};
use lockstep_protocol::{ConversationId, Entry, Held, Seq};
use std::sync::Arc;

/// Gives a store's history one entry at a time, so that whatever happens meanwhile happens between two chunks.
#[derive(Debug)]
pub struct Crumbs(pub Arc<MemoryStore>);

#[async_trait]
impl HistorySource for Crumbs {
    async fn held(&self) -> Result<Vec<Held>, StoreError> {
        self.0.held().await
    }

    async fn latest(&self, conversation: ConversationId, entries: u32, to: Seq) -> Result<Option<Seq>, StoreError> {
        self.0.latest(conversation, entries, to).await
    }

    async fn stretch(
        &self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
        _bytes_max: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.0.stretch(conversation, from, to, 1).await
    }
}
