//! The trace: what happened last to entries on their way to devices, for operators who ask about one of them.
//!
//! A bounded, preallocated ring of small records without locks, in shards. Writing costs some nanoseconds and never
//! waits: a record that meets another writer in its place, which takes a whole turn of the ring, is dropped. Reading looks
//! at each record of one or two shards, and takes none that is being written.

use crate::{Connection, Engine};
use lockstep_model::{ConnectionGeneration, ConversationId, DeviceId, Seq, StageName, UnixMs};
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// A device's records stand in one shard, so that those who write for different devices seldom meet.
const SHARDS: usize = 16;
const WORDS: usize = 7;

/// The ring. Without records it is off, and nothing is noted.
pub(crate) struct Trace(Box<[Shard]>);

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) stage: StageName,
    pub(crate) at: UnixMs,
    /// Whom it concerned; nobody alone, if an entry was published.
    pub(crate) device: DeviceId,
    /// The lower 32 bits of the connection's.
    pub(crate) generation: ConnectionGeneration,
    /// Nil where no conversation alone is meant.
    pub(crate) conversation: ConversationId,
    pub(crate) from: Seq,
    /// No more than 2^32 - 1 after `from`.
    pub(crate) to: Seq,
}

/// Stands for no device.
pub(crate) const NOBODY: DeviceId = DeviceId::from_bytes([0; 16]);
/// Stands for no conversation.
pub(crate) const NOWHERE: ConversationId = ConversationId::from_bytes([0; 16]);

#[repr(align(128))]
struct Shard {
    /// Records that were begun.
    next: AtomicU64,
    slots: Box<[Slot]>,
}

/// A place for one record. Its version is odd while it is written, and rises with each record that it gets.
#[derive(Default)]
#[repr(align(64))]
struct Slot {
    version: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Trace {
    /// A ring of so many records, or of the next power of two. 0 is none.
    pub(crate) fn new(records: usize) -> Self {
        if records == 0 {
            return Self(Box::default());
        }
        let slots = records.div_ceil(SHARDS).next_power_of_two();
        let shard = |_| Shard { next: AtomicU64::new(0), slots: (0..slots).map(|_| Slot::default()).collect() };
        Self((0..SHARDS).map(shard).collect())
    }

    pub(crate) fn is_on(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn note(&self, record: &Record) {
        if let Some(shard) = self.shard(record.device, record.conversation) {
            shard.note(record);
        }
    }

    /// Notes that something happened to a connection.
    pub(crate) fn note_of(&self, connection: &Connection, stage: StageName, conversation: ConversationId, at: Seq) {
        if self.is_on() {
            let Connection { device, generation, .. } = *connection;
            self.note(&Record { stage, at: UnixMs::now(), device, generation, conversation, from: at, to: at });
        }
    }

    /// What is known of a device and of the entries that were published in a conversation, oldest first; and how far back
    /// the device's records go, if some were overwritten.
    pub(crate) fn about(&self, device: DeviceId, conversation: ConversationId) -> (Vec<Record>, Option<UnixMs>) {
        let Some(of_device) = self.shard(device, conversation) else { return (Vec::new(), None) };
        let (mut found, mut oldest) = (Vec::new(), UnixMs::MAX);
        let published = self.shard(NOBODY, conversation).into_iter();
        published.for_each(|shard| {
            shard.read(|record| {
                if record.device == NOBODY && record.conversation == conversation {
                    found.push(record);
                }
            });
        });
        of_device.read(|record| {
            oldest = oldest.min(record.at);
            if record.device == device && [conversation, NOWHERE].contains(&record.conversation) {
                found.push(record);
            }
        });
        // Stable: what happened in one millisecond stays in the order in which it was noted.
        found.sort_by_key(|record| record.at);
        (found, of_device.is_full().then_some(oldest))
    }

    fn shard(&self, device: DeviceId, conversation: ConversationId) -> Option<&Shard> {
        let key = if device == NOBODY { conversation.as_bytes()[15] } else { device.as_bytes()[15] };
        self.0.get(usize::from(key) % SHARDS)
    }
}

impl Shard {
    fn note(&self, record: &Record) {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        let slot = &self.slots[ticket as usize & (self.slots.len() - 1)];
        let (version, done) = (slot.version.load(Ordering::Relaxed), 2 * ticket + 2);
        let is_free = version % 2 == 0 && version < done;
        // Another writer is a whole turn ahead or behind: one of the two records is lost.
        if !is_free || slot.version.compare_exchange(version, done - 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return;
        }
        // Whoever reads one of these words finds that the version has changed since.
        fence(Ordering::Release);
        for (place, word) in slot.words.iter().zip(record.to_words()) {
            place.store(word, Ordering::Relaxed);
        }
        slot.version.store(done, Ordering::Release);
    }

    fn is_full(&self) -> bool {
        self.next.load(Ordering::Relaxed) > self.slots.len() as u64
    }

    /// Shows all records that are whole, in the order in which they were begun.
    fn read(&self, mut take: impl FnMut(Record)) {
        let next = self.next.load(Ordering::Relaxed) as usize;
        let oldest = if self.is_full() { next & (self.slots.len() - 1) } else { 0 };
        let (newer, older) = self.slots.split_at(oldest);
        for slot in older.iter().chain(newer) {
            let version = slot.version.load(Ordering::Acquire);
            let words = std::array::from_fn(|word| slot.words[word].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if version % 2 == 0 && slot.version.load(Ordering::Relaxed) == version {
                Record::from_words(words).into_iter().for_each(&mut take);
            }
        }
    }
}

/// What is traced, by its number; 0 is an empty slot.
const STAGES: [StageName; 7] = [
    StageName::Published,
    StageName::Connected,
    StageName::Disconnected,
    StageName::Behind,
    StageName::Live,
    StageName::Delivered,
    StageName::Acknowledged,
];

impl Record {
    fn to_words(self) -> [u64; WORDS] {
        let (conversation, device) =
            (u128::from_be_bytes(*self.conversation.as_bytes()), u128::from_be_bytes(*self.device.as_bytes()));
        let more = u32::try_from(self.to.get() - self.from.get()).unwrap_or(u32::MAX);
        let number = STAGES.iter().position(|stage| *stage == self.stage).map_or(0, |at| at as u64 + 1);
        [
            (conversation >> 64) as u64,
            conversation as u64,
            (device >> 64) as u64,
            device as u64,
            self.from.get(),
            u64::from(more) << 32 | self.generation.0 & u64::from(u32::MAX),
            self.at.get() << 8 | number,
        ]
    }

    fn from_words(words: [u64; WORDS]) -> Option<Self> {
        let id = |at: usize| (u128::from(words[at]) << 64 | u128::from(words[at + 1])).to_be_bytes();
        let stage = *STAGES.get(((words[6] & 0xff) as usize).checked_sub(1)?)?;
        Some(Self {
            stage,
            at: UnixMs::new(words[6] >> 8),
            device: DeviceId::from_bytes(id(2)),
            generation: ConnectionGeneration(words[5] & u64::from(u32::MAX)),
            conversation: ConversationId::from_bytes(id(0)),
            from: Seq::new(words[4]),
            to: Seq::new(words[4] + (words[5] >> 32)),
        })
    }
}

/// Notes what a door gives to one connection's device in one turn of its task: neighbouring entries of a conversation
/// become one record, and the clock is read once. What it holds is noted when it is dropped.
pub struct Tracer<'a> {
    trace: &'a Trace,
    connection: &'a Connection,
    run: Option<(ConversationId, Seq, Seq)>,
    at: Option<UnixMs>,
}

impl Engine {
    /// For a door, to note what it delivers in one turn.
    pub fn tracer<'a>(&'a self, connection: &'a Connection) -> Tracer<'a> {
        Tracer { trace: &self.0.trace, connection, run: None, at: None }
    }
}

impl Tracer<'_> {
    /// These entries are given to the device's socket.
    pub fn delivered(&mut self, conversation: ConversationId, from: Seq, to: Seq) {
        match &mut self.run {
            Some((running, _, last)) if *running == conversation && last.next() == from => *last = to,
            _ => {
                self.finish();
                self.run = Some((conversation, from, to));
            }
        }
    }

    /// The conversation has reached the log's head: it is live again.
    pub fn live(&mut self, conversation: ConversationId, next: Seq) {
        self.finish();
        self.note(StageName::Live, conversation, next, next);
    }

    fn finish(&mut self) {
        if let Some((conversation, from, to)) = self.run.take() {
            self.note(StageName::Delivered, conversation, from, to);
        }
    }

    fn note(&mut self, stage: StageName, conversation: ConversationId, from: Seq, to: Seq) {
        if self.trace.is_on() {
            let at = *self.at.get_or_insert_with(UnixMs::now);
            let Connection { device, generation, .. } = *self.connection;
            self.trace.note(&Record { stage, at, device, generation, conversation, from, to });
        }
    }
}

impl Drop for Tracer<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests;
