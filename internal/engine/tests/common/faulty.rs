//! Adapters that fail or wait when a test wants it.

use async_trait::async_trait;
use lockstep_broker_embedded::EmbeddedBroker;
use lockstep_model::{
    Bounds, ConversationId, DeviceId, Entry, Epoch, Notice, Offset, OffsetsVersion, Seq, SharedEntry, SharedSignal,
    UserId,
};
use lockstep_ports::{
    Advanced, Append, AppendRefusal, Appended, Broker, ChannelDeletion, HeadMark, Mailbox, MessageLog, Offsets,
    OffsetsChange, Range, StoreError,
};
use lockstep_store_sql::SqliteStore;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// A log that answers, or not.
pub struct FaultyLog {
    pub store: SqliteStore,
    /// Whether stretches cannot be read.
    pub ranges_fail: AtomicBool,
    /// Whether bounds cannot be read, and heads have to be asked for.
    pub bounds_fail: AtomicBool,
}

impl FaultyLog {
    pub fn new(store: SqliteStore) -> Self {
        Self { store, ranges_fail: AtomicBool::new(false), bounds_fail: AtomicBool::new(false) }
    }
}

fn failure(operation: &'static str) -> StoreError {
    StoreError::Read { operation, cause: Arc::new(io::Error::other("a test wants it")) }
}

#[async_trait]
impl MessageLog for FaultyLog {
    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        self.store.append(batch).await
    }

    async fn ranges(&self, ranges: Vec<Range>) -> Result<Vec<Vec<Entry>>, StoreError> {
        if self.ranges_fail.load(Ordering::SeqCst) { Err(failure("ranges")) } else { self.store.ranges(ranges).await }
    }

    async fn bounds(&self, conversations: Vec<ConversationId>) -> Result<Vec<Option<Bounds>>, StoreError> {
        let fails = self.bounds_fail.load(Ordering::SeqCst);
        if fails { Err(failure("bounds")) } else { self.store.bounds(conversations).await }
    }

    fn mark(&self) -> HeadMark {
        self.store.mark()
    }

    fn moved_since(&self, mark: HeadMark) -> Option<Vec<Offset>> {
        self.store.moved_since(mark).filter(|_| !self.bounds_fail.load(Ordering::SeqCst))
    }

    async fn raise_floor(&self, conversation: ConversationId, floor: Seq) -> Result<(), StoreError> {
        self.store.raise_floor(conversation, floor).await
    }
}

/// Offsets whose answer about changes is held back after it has been read.
pub struct SlowOffsets {
    pub store: SqliteStore,
    /// Whether they are held back.
    pub is_slow: AtomicBool,
    /// Gets a permit when one has been read.
    pub read: Semaphore,
    /// Each that is held back takes a permit.
    pub go_on: Semaphore,
}

impl SlowOffsets {
    pub fn new(store: SqliteStore) -> Self {
        Self { store, is_slow: AtomicBool::new(false), read: Semaphore::new(0), go_on: Semaphore::new(0) }
    }
}

#[async_trait]
impl Offsets for SlowOffsets {
    async fn advance(&self, user: UserId, conversation: ConversationId, seq: Seq) -> Result<Advanced, StoreError> {
        self.store.advance(user, conversation, seq).await
    }

    async fn changed_since(
        &self,
        user: UserId,
        since: OffsetsVersion,
        count: u32,
    ) -> Result<OffsetsChange, StoreError> {
        let change = self.store.changed_since(user, since, count).await;
        if self.is_slow.load(Ordering::SeqCst) {
            self.read.add_permits(1);
            self.go_on.acquire().await.expect("it is never closed").forget();
        }
        change
    }

    async fn offsets(&self, user: UserId, conversations: Vec<ConversationId>) -> Result<Vec<Offset>, StoreError> {
        self.store.offsets(user, conversations).await
    }
}

/// A log whose stretches are held back after they have been read.
pub struct SlowLog {
    pub store: SqliteStore,
    /// Whether they are held back.
    pub is_slow: AtomicBool,
    /// Gets a permit when one has been read.
    pub read: Semaphore,
    /// Each that is held back takes a permit.
    pub go_on: Semaphore,
}

impl SlowLog {
    pub fn new(store: SqliteStore) -> Self {
        Self { store, is_slow: AtomicBool::new(false), read: Semaphore::new(0), go_on: Semaphore::new(0) }
    }
}

#[async_trait]
impl MessageLog for SlowLog {
    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        self.store.append(batch).await
    }

    async fn ranges(&self, ranges: Vec<Range>) -> Result<Vec<Vec<Entry>>, StoreError> {
        let found = self.store.ranges(ranges).await;
        if self.is_slow.load(Ordering::SeqCst) {
            self.read.add_permits(1);
            self.go_on.acquire().await.expect("it is never closed").forget();
        }
        found
    }

    async fn bounds(&self, conversations: Vec<ConversationId>) -> Result<Vec<Option<Bounds>>, StoreError> {
        self.store.bounds(conversations).await
    }

    fn mark(&self) -> HeadMark {
        self.store.mark()
    }

    fn moved_since(&self, mark: HeadMark) -> Option<Vec<Offset>> {
        self.store.moved_since(mark)
    }

    async fn raise_floor(&self, conversation: ConversationId, floor: Seq) -> Result<(), StoreError> {
        self.store.raise_floor(conversation, floor).await
    }
}

/// A log that notes how much is read of it.
pub struct CountingLog {
    pub store: SqliteStore,
    /// The most entries of one answer.
    pub entries_max: AtomicUsize,
    /// The most questions that were open at once.
    pub open_max: AtomicUsize,
    open: AtomicUsize,
}

impl CountingLog {
    pub fn new(store: SqliteStore) -> Self {
        Self { store, entries_max: AtomicUsize::new(0), open_max: AtomicUsize::new(0), open: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl MessageLog for CountingLog {
    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        self.store.append(batch).await
    }

    async fn ranges(&self, ranges: Vec<Range>) -> Result<Vec<Vec<Entry>>, StoreError> {
        self.open_max.fetch_max(self.open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let found = self.store.ranges(ranges).await;
        self.open.fetch_sub(1, Ordering::SeqCst);
        let entries = found.iter().flatten().map(Vec::len).sum();
        self.entries_max.fetch_max(entries, Ordering::SeqCst);
        found
    }

    async fn bounds(&self, conversations: Vec<ConversationId>) -> Result<Vec<Option<Bounds>>, StoreError> {
        self.store.bounds(conversations).await
    }

    fn mark(&self) -> HeadMark {
        self.store.mark()
    }

    fn moved_since(&self, mark: HeadMark) -> Option<Vec<Offset>> {
        self.store.moved_since(mark)
    }

    async fn raise_floor(&self, conversation: ConversationId, floor: Seq) -> Result<(), StoreError> {
        self.store.raise_floor(conversation, floor).await
    }
}

/// A log that takes each batch only when the test lets it.
pub struct HeldLog {
    pub store: SqliteStore,
    /// Each batch takes a permit.
    pub gate: Arc<Semaphore>,
}

#[async_trait]
impl MessageLog for HeldLog {
    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        self.gate.acquire().await.expect("it is never closed").forget();
        self.store.append(batch).await
    }

    async fn ranges(&self, ranges: Vec<Range>) -> Result<Vec<Vec<Entry>>, StoreError> {
        self.store.ranges(ranges).await
    }

    async fn bounds(&self, conversations: Vec<ConversationId>) -> Result<Vec<Option<Bounds>>, StoreError> {
        self.store.bounds(conversations).await
    }

    fn mark(&self) -> HeadMark {
        self.store.mark()
    }

    fn moved_since(&self, mark: HeadMark) -> Option<Vec<Offset>> {
        self.store.moved_since(mark)
    }

    async fn raise_floor(&self, conversation: ConversationId, floor: Seq) -> Result<(), StoreError> {
        self.store.raise_floor(conversation, floor).await
    }
}

/// A broker that loses all entries and says so to nobody.
pub struct LosingBroker(pub EmbeddedBroker);

#[async_trait]
impl Broker for LosingBroker {
    async fn publish(&self, _: &[SharedEntry]) {}

    async fn open(&self, topics: &[ConversationId], mailbox: &Arc<Mailbox>) {
        self.0.open(topics, mailbox).await;
    }

    async fn close(&self, topics: &[ConversationId], mailbox: &Arc<Mailbox>) {
        self.0.close(topics, mailbox).await;
    }

    async fn delete_channels(&self, device: DeviceId, topics: &[ConversationId]) -> ChannelDeletion {
        self.0.delete_channels(device, topics).await
    }

    fn signal_heads(&self, _: &[Offset]) {}

    fn signal(&self, signal: &SharedSignal) {
        self.0.signal(signal);
    }

    fn whisper(&self, topic: ConversationId, notice: &Notice) {
        self.0.whisper(topic, notice);
    }

    fn has_consumers(&self, topic: ConversationId) -> bool {
        self.0.has_consumers(topic)
    }

    fn devices(&self, topic: ConversationId) -> Vec<DeviceId> {
        self.0.devices(topic)
    }

    fn topics(&self) -> Vec<ConversationId> {
        self.0.topics()
    }

    fn consumers(&self) -> usize {
        self.0.consumers()
    }
}
