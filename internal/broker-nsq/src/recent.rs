//! Entries that were sealed or opened lately: a message that comes for the hundredth device of this process is not
//! verified and parsed again.

use crate::envelope::Tag;
use lockstep_model::SharedEntry;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

const SHARDS: usize = 16;
/// Beyond either, the oldest are forgotten; they cost another look at the envelope.
const ENTRIES_PER_SHARD_MAX: usize = 256;
const BYTES_PER_SHARD_MAX: usize = 1024 * 1024;

/// By their envelopes' tags: who can make another envelope with the same tag has the key.
#[derive(Default)]
pub(crate) struct Recent([Mutex<Shard>; SHARDS]);

#[derive(Default)]
struct Shard {
    entries: HashMap<Tag, (Box<[u8]>, SharedEntry), BuildHasherDefault<TagHasher>>,
    order: VecDeque<Tag>,
    bytes: usize,
}

/// A MAC is as good as a hash: only who has the key can choose those that are put in.
#[derive(Default)]
struct TagHasher(u64);

impl Hasher for TagHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_be_bytes(*last);
        }
    }

    /// Arrays are hashed with their length before them; it is the same for all.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Recent {
    /// The entry of an envelope that was seen before, if it is the same to the byte.
    pub(crate) fn get(&self, tag: &Tag, envelope: &[u8]) -> Option<SharedEntry> {
        let shard = self.shard(tag).lock();
        let (known, entry) = shard.entries.get(tag)?;
        (**known == *envelope).then(|| entry.clone())
    }

    /// Remembers an entry and its envelope.
    pub(crate) fn put(&self, tag: Tag, envelope: &[u8], entry: &SharedEntry) {
        let mut shard = self.shard(&tag).lock();
        if shard.entries.insert(tag, (envelope.into(), entry.clone())).is_none() {
            shard.order.push_back(tag);
            shard.bytes += cost(envelope);
        }
        while shard.order.len() > ENTRIES_PER_SHARD_MAX || shard.bytes > BYTES_PER_SHARD_MAX {
            let Some(oldest) = shard.order.pop_front() else { break };
            if let Some((envelope, _)) = shard.entries.remove(&oldest) {
                shard.bytes -= cost(&envelope);
            }
        }
    }

    /// Forgets everything: silence should cost no memory.
    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|shard| *shard.lock() = Shard::default());
    }

    fn shard(&self, tag: &Tag) -> &Mutex<Shard> {
        &self.0[usize::from(tag[0]) % SHARDS]
    }
}

/// The envelope, and about as much again for the entry.
fn cost(envelope: &[u8]) -> usize {
    2 * envelope.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_model::{Body, ConversationId, Entry, EntryId, Kind, Sender, Seq, UnixMs};

    fn entry(seq: u64) -> SharedEntry {
        SharedEntry::new(Entry {
            conversation: ConversationId::from_bytes([1; 16]),
            seq: Seq::new(seq),
            id: EntryId::from_bytes([2; 16]),
            kind: Kind::Message,
            sender: Sender::server(),
            sender_device: None,
            client_msg_id: None,
            body: Body::from_stored(r#"{"type":"text","text":"x"}"#.to_owned()).expect("a body"),
            sent_at: UnixMs::new(1),
        })
    }

    #[test]
    fn it_is_bounded_and_compares_the_whole_envelope() {
        let recent = Recent::default();
        let tag = |number: u64| {
            let mut tag = [0; 16];
            tag[8..].copy_from_slice(&number.to_be_bytes());
            tag
        };
        for number in 0..ENTRIES_PER_SHARD_MAX as u64 + 1 {
            recent.put(tag(number), b"envelope", &entry(number));
        }
        assert_eq!(recent.get(&tag(0), b"envelope"), None, "the oldest is forgotten");
        assert_eq!(recent.get(&tag(1), b"envelope"), Some(entry(1)));
        assert_eq!(recent.get(&tag(1), b"envelopE"), None, "another body with the same tag");
        recent.put(tag(1_000), &vec![7; BYTES_PER_SHARD_MAX / 2], &entry(1_000));
        assert_eq!(recent.get(&tag(1), b"envelope"), None, "large ones push more out");
        assert!(recent.get(&tag(1_000), &vec![7; BYTES_PER_SHARD_MAX / 2]).is_some());
        recent.clear();
        assert!(recent.get(&tag(1_000), &vec![7; BYTES_PER_SHARD_MAX / 2]).is_none());
    }
}
