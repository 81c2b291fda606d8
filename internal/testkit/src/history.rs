//! What was sent and what arrived, written down as it happens.

mod check;
mod reactions;
mod recalls;
mod stays;
mod verdict;

pub use reactions::Mark;
pub use recalls::Moment;
pub use verdict::{Counts, Verdict};

use lockstep_protocol::{ClientMsgId, ConversationId, DeviceId, Entry, EntryId, Kind, Seq};
use recalls::Recalls;
use serde_json::Value;
use stays::Stays;
use std::collections::{BTreeMap, BTreeSet};

/// Who sent what services published as raw bodies.
const RAW_SENDER: &str = "service:nsq";

/// The history of a run: per device what it sent and, over all its connections, what its SDK handed out, in order.
///
/// Devices go by names that a person can read, such as `ana/phone`. Conversations without declared members (feeds) are
/// checked for order and duplicates, not for losses. Where [members come and go](Self::visitor), the log itself says who was
/// to get what: it is [written down](Self::log) at the end.
#[derive(Debug, Default)]
pub struct History {
    devices: BTreeMap<String, DeviceHistory>,
    members: BTreeMap<ConversationId, BTreeSet<String>>,
    /// The devices of those who come and go, with their users.
    visitors: BTreeMap<ConversationId, BTreeMap<String, String>>,
    /// The whole logs of the conversations that they visit.
    logs: BTreeMap<ConversationId, Log>,
    /// Messages that the server refused for good.
    refused: BTreeSet<ClientMsgId>,
    recalls: Recalls,
    /// Messages that devices got.
    messages: BTreeMap<ConversationId, BTreeSet<Seq>>,
    /// Those that were acknowledged, by place.
    reactions: BTreeMap<(ConversationId, Seq), Mark>,
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
    /// When its client was last started.
    started: Moment,
}

/// A conversation's log as one who was there all the time reads it.
#[derive(Debug)]
struct Log {
    /// By place, with the sender.
    entries: BTreeMap<Seq, (String, Delivery)>,
    stays: Stays,
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
    /// The message whose words these are: the entry itself, or what it edits. None if it has no words, or a recall has erased
    /// them.
    pub shows: Option<Seq>,
    /// What it says about the reactions to a message.
    pub mark: Option<Mark>,
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
            shows: shows(entry),
            mark: Mark::of(entry),
        }
    }
}

fn shows(entry: &Entry) -> Option<Seq> {
    match entry.kind {
        _ if entry.body.is_recalled() => None,
        Kind::Message => Some(entry.seq),
        Kind::Edit => {
            let body: Value = serde_json::from_str(entry.body.as_json()).ok()?;
            body["target"].as_u64().map(Seq::new)
        }
        _ => None,
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

    /// Declares that a device is to get of a conversation what lies within the stays of its user, and nothing else.
    pub fn visitor(&mut self, device: &str, user: &str, conversation: ConversationId) {
        self.devices.entry(device.to_owned()).or_default();
        self.visitors.entry(conversation).or_default().insert(device.to_owned(), user.to_owned());
    }

    /// The whole log of a conversation with visitors, from its first entry on. What they got is judged by it, and is not
    /// judged without it.
    pub fn log(&mut self, conversation: ConversationId, log: &[Entry]) {
        let entries = log.iter().map(|entry| (entry.seq, (entry.sender.as_str().to_owned(), entry.into())));
        self.logs.insert(conversation, Log { entries: entries.collect(), stays: Stays::read(log) });
    }

    /// The client of a device is about to be started.
    pub fn started(&mut self, device: &str) {
        self.devices.entry(device.to_owned()).or_default().started = self.recalls.now();
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

    /// The server refused a message for good: it is not to be stored.
    pub fn refused(&mut self, client_msg_id: &ClientMsgId) {
        self.refused.insert(client_msg_id.clone());
    }

    /// The SDK of a device handed out an entry.
    pub fn delivered(&mut self, device: &str, entry: impl Into<Delivery>) {
        let delivery = entry.into();
        let started = self.devices.get(device).map(|device| device.started).unwrap_or_default();
        self.recalls.read(device, started, &delivery);
        let (conversation, seq) = (delivery.conversation, delivery.seq);
        rise(&mut self.heads, conversation, seq);
        if delivery.shows == Some(seq) {
            self.messages.entry(conversation).or_default().insert(seq);
        }
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

    /// Whether every member device has reached the head of each of its conversations, and every visitor the end of the last
    /// stay: quick, and no judgement of what came before.
    pub fn caught_up(&self) -> bool {
        let visitors = self.visits().all(|(conversation, log, device, user)| {
            self.reached(device, conversation) >= log.stays.last_seen(user, log.head())
        });
        visitors
            && self.members.iter().all(|(conversation, members)| {
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

    /// The messages of a conversation that devices got, the latest first.
    pub fn latest_messages(&self, conversation: ConversationId) -> impl Iterator<Item = Seq> {
        self.messages.get(&conversation).into_iter().flat_map(|seqs| seqs.iter().rev().copied())
    }

    /// How often somebody left or was removed from a conversation whose log is written down.
    pub fn departures(&self) -> usize {
        self.logs.values().map(|log| log.stays.ended()).sum()
    }

    /// How many messages the server refused.
    pub fn refused_count(&self) -> usize {
        self.refused.len()
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

    /// Each device of visitors, with its user, in each conversation whose log is written down.
    fn visits(&self) -> impl Iterator<Item = (ConversationId, &Log, &str, &str)> {
        self.logs.iter().flat_map(|(conversation, log)| {
            let visitors = self.visitors.get(conversation).into_iter().flatten();
            visitors.map(move |(device, user)| (*conversation, log, device.as_str(), user.as_str()))
        })
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

impl Log {
    fn head(&self) -> Seq {
        self.entries.last_key_value().map(|(head, _)| *head).unwrap_or_default()
    }
}

fn rise(places: &mut BTreeMap<ConversationId, Seq>, conversation: ConversationId, seq: Seq) {
    let place = places.entry(conversation).or_default();
    *place = seq.max(*place);
}
