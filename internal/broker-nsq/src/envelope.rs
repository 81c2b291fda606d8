//! What an entry travels in through nsqd.
//!
//! An envelope is `"LSE1"`, a MAC of 16 bytes, the epoch of 16 bytes, and the entry as JSON. The MAC is HMAC-SHA-256
//! (RFC 2104), cut to its first half (section 5), over all that follows it. nsqd lets anybody publish into any topic: only
//! the MAC tells our envelopes from bodies that imitate them, and the epoch those of another store with the same key.

use hmac::{Hmac, Mac};
use lockstep_model::{Entry, Epoch};
use sha2::Sha256;

const MAGIC: &[u8; 4] = b"LSE1";
const TAG_BYTES: usize = 16;
const EPOCH_BYTES: usize = 16;
const HEAD_BYTES: usize = MAGIC.len() + TAG_BYTES + EPOCH_BYTES;

/// The MAC of an envelope, which is as good as its name.
pub(crate) type Tag = [u8; TAG_BYTES];

/// Makes and opens envelopes of one store.
#[derive(Clone)]
pub(crate) struct Sealer {
    mac: Hmac<Sha256>,
    epoch: Epoch,
}

/// What a body of a message is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// An envelope of ours.
    Entry(Entry),
    /// An envelope of ours, of another store or unreadable to this version.
    Foreign,
    /// Anything else.
    Raw,
}

impl Sealer {
    pub(crate) fn new(key: &[u8; 32], epoch: Epoch) -> Self {
        let mac = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
        Self { mac, epoch }
    }

    /// An entry's envelope, and its tag.
    pub(crate) fn seal(&self, entry: &Entry) -> (Vec<u8>, Tag) {
        let mut envelope = Vec::with_capacity(HEAD_BYTES + 384 + entry.body.as_json().len());
        envelope.extend(MAGIC);
        envelope.extend([0; TAG_BYTES]);
        envelope.extend(self.epoch.as_bytes());
        serde_json::to_writer(&mut envelope, entry).expect("an entry is written to memory");
        let tag = self.tag(&envelope[MAGIC.len() + TAG_BYTES..]);
        envelope[MAGIC.len()..][..TAG_BYTES].copy_from_slice(&tag);
        (envelope, tag)
    }

    /// What a body is.
    pub(crate) fn open(&self, body: &[u8]) -> Opened {
        let Some((_, signed)) = parts(body) else { return Opened::Raw };
        let mut mac = self.mac.clone();
        mac.update(signed);
        // In constant time.
        if mac.verify_truncated_left(&body[MAGIC.len()..][..TAG_BYTES]).is_err() {
            return Opened::Raw;
        }
        let (epoch, json) = signed.split_at(EPOCH_BYTES);
        if epoch != self.epoch.as_bytes() {
            return Opened::Foreign;
        }
        serde_json::from_slice(json).map_or(Opened::Foreign, Opened::Entry)
    }

    fn tag(&self, signed: &[u8]) -> Tag {
        let mut mac = self.mac.clone();
        mac.update(signed);
        let whole: [u8; 32] = mac.finalize().into_bytes().into();
        *whole.first_chunk().expect("a half of it")
    }
}

/// The tag that a body shows, and what it is over, if the body looks like an envelope.
pub(crate) fn parts(body: &[u8]) -> Option<(Tag, &[u8])> {
    let rest = body.strip_prefix(MAGIC)?;
    let (tag, signed) = rest.split_first_chunk()?;
    (signed.len() > EPOCH_BYTES).then_some((*tag, signed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_model::{Body, ConversationId, DeviceId, EntryId, Kind, Sender, Seq, UnixMs};

    fn entry() -> Entry {
        Entry {
            conversation: ConversationId::generate(),
            seq: Seq::new(7),
            id: EntryId::generate(),
            kind: Kind::Message,
            sender: Sender::server(),
            sender_device: Some(DeviceId::generate()),
            client_msg_id: None,
            body: Body::from_stored(r#"{"type":"text","text":"hello \u00fc"}"#.to_owned()).expect("a body"),
            sent_at: UnixMs::new(1_760_000_000_000),
        }
    }

    #[test]
    fn only_its_own_envelopes_open() {
        let epoch = Epoch::generate();
        let sealer = Sealer::new(&[1; 32], epoch);
        let entry = entry();
        let (envelope, tag) = sealer.seal(&entry);
        assert_eq!(parts(&envelope).map(|(tag, _)| tag), Some(tag));
        assert_eq!(Sealer::new(&[2; 32], epoch).open(&envelope), Opened::Raw, "another key");
        let restored = Sealer::new(&[1; 32], Epoch::generate());
        assert_eq!(restored.open(&envelope), Opened::Foreign, "another epoch");
        for index in 0..envelope.len() {
            let mut changed = envelope.clone();
            changed[index] ^= 1;
            assert_eq!(sealer.open(&changed), Opened::Raw, "byte {index} changed");
            assert_eq!(sealer.open(&envelope[..index]), Opened::Raw, "cut at {index}");
        }
        for raw in [&b""[..], b"LSE1", b"hello", br#"{"type":"text","text":"LSE1"}"#, &[0xff; 100]] {
            assert_eq!(sealer.open(raw), Opened::Raw, "{raw:?}");
        }
        assert_eq!(sealer.open(&envelope), Opened::Entry(entry));
    }
}
