//! What was sent and what arrived, written down as it happens.

mod check;
mod verdict;

pub use verdict::{Counts, Verdict};

use lockstep_protocol::{ClientMsgId, ConversationId, DeviceId, Entry, EntryId, Seq};
use std::collections::{BTreeMap, BTreeSet};

/// Who sent what services published as raw bodies.
const RAW_SENDER: &str = "service:nsq";

/// The history of a run: per device what it sent and, over all its connections, what its SDK handed out, in order.
///
/// Devices go by names that a person can read, such as `ana/phone`. Conversations without declared members (feeds) are
/// checked for order and duplicates, not for losses.
#[derive(Debug, Default)]
pub struct History {
    devices: BTreeMap<String, DeviceHistory>,
    members: BTreeMap<ConversationId, BTreeSet<String>>,
    /// The last place of each conversation that anybody knows of.
    heads: BTreeMap<ConversationId, Seq>,
    acknowledged: usize,
}

/// What one device did and got.
#[derive(Debug, Default)]
struct DeviceHistory {
    sends: BTreeMap<ClientMsgId, Send>,
    received: Vec<Received>,
    /// The last place of each conversation that came or was skipped.
    reached: BTreeMap<ConversationId, Seq>,
}

/// One message that a device sent, however often.
#[derive(Debug)]
struct Send {
    conversation: ConversationId,
    /// What the server acknowledged; more than one if it gave different answers. Empty while the outcome is unknown.
    acknowledged: BTreeSet<(Seq, EntryId)>,
}

/// Something that an SDK handed out.
#[derive(Debug)]
enum Received {
    Entry(Delivery),
    Skip { conversation: ConversationId, from: Seq, to: Seq },
}

/// What of an entry tells it from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The conversation.
    pub conversation: ConversationId,
    /// The place.
    pub seq: Seq,
    /// The entry's id.
    pub id: EntryId,
    /// The device that sent it.
    pub sender_device: Option<DeviceId>,
    /// The name that the sender gave it.
    pub client_msg_id: Option<ClientMsgId>,
    /// The body, if it is a raw one that a service published into the topic. Each is to be stored at most once.
    pub raw: Option<String>,
}

impl From<&Entry> for Delivery {
    fn from(entry: &Entry) -> Self {
        Self {
            conversation: entry.conversation,
            seq: entry.seq,
            id: entry.id,
            sender_device: entry.sender_device,
            client_msg_id: entry.client_msg_id.clone(),
            raw: (entry.sender.as_str() == RAW_SENDER).then(|| entry.body.as_json().to_owned()),
        }
    }
}

impl History {
    /// A history in which nothing has happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares that a device is to get everything of a conversation, from its first entry on.
    pub fn member(&mut self, device: &str, conversation: ConversationId) {
        self.devices.entry(device.to_owned()).or_default();
        self.members.entry(conversation).or_default().insert(device.to_owned());
    }

    /// A device begins to send a message. Until [`acknowledged`](Self::acknowledged) its outcome is unknown.
    pub fn sent(&mut self, device: &str, conversation: ConversationId, client_msg_id: &ClientMsgId) {
        let sends = &mut self.devices.entry(device.to_owned()).or_default().sends;
        let new = || Send { conversation, acknowledged: BTreeSet::new() };
        sends.entry(client_msg_id.clone()).or_insert_with(new);
    }

    /// The server said that a message of the device is on disk.
    ///
    /// # Panics
    ///
    /// If the device has not sent it.
    pub fn acknowledged(&mut self, device: &str, client_msg_id: &ClientMsgId, seq: Seq, id: EntryId) {
        let send = self.devices.get_mut(device).and_then(|device| device.sends.get_mut(client_msg_id));
        let send = send.expect("a message is written down before it is sent");
        self.acknowledged += usize::from(send.acknowledged.is_empty());
        send.acknowledged.insert((seq, id));
        rise(&mut self.heads, send.conversation, seq);
    }

    /// The SDK of a device handed out an entry.
    pub fn delivered(&mut self, device: &str, entry: impl Into<Delivery>) {
        let delivery = entry.into();
        let (conversation, seq) = (delivery.conversation, delivery.seq);
        rise(&mut self.heads, conversation, seq);
        self.received(device, Received::Entry(delivery), conversation, seq);
    }

    /// The SDK of a device announced that entries will not come.
    pub fn skipped(&mut self, device: &str, conversation: ConversationId, from: Seq, to: Seq) {
        self.received(device, Received::Skip { conversation, from, to }, conversation, to);
    }

    fn received(&mut self, device: &str, received: Received, conversation: ConversationId, seq: Seq) {
        let device = self.devices.entry(device.to_owned()).or_default();
        device.received.push(received);
        rise(&mut device.reached, conversation, seq);
    }

    /// Whether every member device has reached the head of each of its conversations: quick, and no judgement of what
    /// came before.
    pub fn caught_up(&self) -> bool {
        self.members.iter().all(|(conversation, members)| {
            let head = self.head(*conversation);
            members.iter().all(|device| self.reached(device, *conversation) >= head)
        })
    }

    /// The last place of a conversation that a device has reached.
    pub fn reached(&self, device: &str, conversation: ConversationId) -> Seq {
        let reached = self.devices.get(device).and_then(|device| device.reached.get(&conversation));
        reached.copied().unwrap_or_default()
    }

    /// The last place of a conversation that anybody knows of: acknowledged to its sender or delivered to somebody.
    pub fn head(&self, conversation: ConversationId) -> Seq {
        self.heads.get(&conversation).copied().unwrap_or_default()
    }

    /// How many messages were acknowledged.
    pub fn acknowledged_count(&self) -> usize {
        self.acknowledged
    }

    /// How many entries devices got, all together.
    pub fn delivered_count(&self) -> usize {
        let received = self.devices.values().flat_map(|device| &device.received);
        received.filter(|received| matches!(received, Received::Entry(_))).count()
    }

    /// The raw bodies of services that any device got.
    pub fn raw_bodies(&self) -> BTreeSet<&str> {
        self.deliveries().filter_map(|(_, delivery)| delivery.raw.as_deref()).collect()
    }

    /// Everything that was delivered, with the device that got it.
    fn deliveries(&self) -> impl Iterator<Item = (&str, &Delivery)> {
        self.devices.iter().flat_map(|(name, device)| {
            device.received.iter().filter_map(move |received| match received {
                Received::Entry(delivery) => Some((name.as_str(), delivery)),
                Received::Skip { .. } => None,
            })
        })
    }
}

fn rise(places: &mut BTreeMap<ConversationId, Seq>, conversation: ConversationId, seq: Seq) {
    let place = places.entry(conversation).or_default();
    *place = seq.max(*place);
}
