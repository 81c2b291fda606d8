//! A device's store that takes only so much of the past as it is let: so the demo can stop a filling midway.

use lockstep_client::{Change, LocalStore, MemoryStore, State, StoreError, async_trait};
use lockstep_protocol::{ConversationId, Entry};
use tokio::sync::Semaphore;

/// A store in memory that waits before it stores more of the past.
pub(super) struct SlowStore {
    inner: MemoryStore,
    pieces: Semaphore,
}

impl SlowStore {
    /// It takes so many pieces by itself.
    pub(super) fn new(pieces: usize) -> Self {
        Self { inner: MemoryStore::new(), pieces: Semaphore::new(pieces) }
    }

    /// From now on it takes all.
    pub(super) fn go_on(&self) {
        // Whoever waits is told that there is nothing to wait for any more.
        self.pieces.close();
    }
}

#[async_trait]
impl LocalStore for SlowStore {
    async fn load(&self) -> Result<State, StoreError> {
        self.inner.load().await
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.iter().any(|change| matches!(change, Change::Past(_)))
            && let Ok(piece) = self.pieces.acquire().await
        {
            piece.forget();
        }
        self.inner.apply(changes).await
    }

    async fn history(&self, conversation: ConversationId, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.inner.history(conversation, limit).await
    }
}
