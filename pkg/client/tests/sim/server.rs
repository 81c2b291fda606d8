//! A faithful server without I/O: logs, dedupe, resume, windows, skips, resets.

use super::filling::{Filling, Fills};
use lockstep_client::protocol::{
    Ack, Body, ClientFrame, ClientLimits, ClientMsgId, Code, ConversationId, DeviceId, Entry, EntryId, Epoch,
    ErrorFrame, Hello, Kind, Offset, OffsetsVersion, Ref, Send, Sender, Seq, ServerFrame, Shown, SkipReason, Target,
    UnixMs, UserId, Welcome,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

pub(crate) const WINDOW: u64 = 8;

pub(crate) fn conversation(n: u8) -> ConversationId {
    ConversationId::from_bytes([n; 16])
}

/// The user's feed.
pub(crate) fn feed() -> ConversationId {
    conversation(0)
}

#[derive(Default)]
pub(crate) struct Server {
    epoch: u8,
    next_entry: u64,
    pub(crate) logs: BTreeMap<ConversationId, Log>,
    /// What every `client_msg_id` got.
    taken: HashMap<ClientMsgId, (ConversationId, Seq, EntryId)>,
    offsets_version: u64,
    pub(crate) offsets: BTreeMap<ConversationId, Seq>,
    /// Answers that the next requests get instead of success.
    pub(crate) refusals: VecDeque<Code>,
    /// How far below the shown cursors delivery begins.
    pub(crate) repeat: u64,
    pub(crate) fills: Fills,
    pub(crate) connection: Option<Connection>,
}

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) entries: Vec<Entry>,
    pub(crate) floor: u64,
}

#[derive(Default)]
pub(crate) struct Connection {
    pub(crate) to_server: VecDeque<ClientFrame>,
    pub(crate) to_device: VecDeque<ServerFrame>,
    verify: bool,
    welcomed: bool,
    pub(crate) shown: Vec<Shown>,
    pub(crate) delivery: Option<BTreeMap<ConversationId, Delivery>>,
    caught_up: bool,
    /// What is to be filled, and is not delivered before.
    pub(crate) lacking: BTreeSet<ConversationId>,
    pub(crate) filling: Option<Filling>,
}

pub(crate) struct Delivery {
    pub(crate) next: u64,
    pub(crate) acked: u64,
}

impl Server {
    pub(crate) fn append(
        &mut self,
        conversation: ConversationId,
        sender: &str,
        id: Option<ClientMsgId>,
        body: Body,
    ) -> Entry {
        self.next_entry += 1;
        let mut bytes = [self.epoch; 16];
        bytes[..8].copy_from_slice(&self.next_entry.to_be_bytes());
        let log = self.logs.entry(conversation).or_default();
        let entry = Entry {
            conversation,
            seq: Seq::new(log.entries.len() as u64 + 1),
            id: EntryId::from_bytes(bytes),
            kind: Kind::Message,
            sender: Sender::from_stored(sender),
            sender_device: None,
            client_msg_id: id,
            body,
            sent_at: UnixMs::new(self.next_entry),
        };
        log.entries.push(entry.clone());
        entry
    }

    /// Old entries of a conversation are given up.
    pub(crate) fn retain_from(&mut self, conversation: ConversationId, dropped: u64) {
        if let Some(log) = self.logs.get_mut(&conversation) {
            log.floor = (log.floor + dropped).min(log.entries.len() as u64);
        }
    }

    /// The store is restored from a copy that lacks the last entries.
    pub(crate) fn restore(&mut self, lost: usize) {
        self.epoch += 1;
        self.connection = None;
        self.offsets.clear();
        for log in self.logs.values_mut() {
            log.entries.truncate(log.entries.len().saturating_sub(lost));
            log.floor = log.floor.min(log.entries.len() as u64);
        }
        let logs = &self.logs;
        self.taken.retain(|_, (conversation, seq, _)| {
            logs.get(conversation).is_some_and(|log| log.entries.len() as u64 >= seq.get())
        });
    }

    /// Takes one frame of the device. `stored` says where the device's store stands.
    pub(crate) fn take(&mut self, stored: &BTreeMap<ConversationId, u64>) {
        let Some(connection) = &mut self.connection else { return };
        let Some(frame) = connection.to_server.pop_front() else { return };
        assert!(
            connection.welcomed || matches!(frame, ClientFrame::Hello(_)),
            "until welcome nothing but hello may come: {frame:?}"
        );
        match frame {
            ClientFrame::Hello(hello) => self.hello(hello),
            ClientFrame::Resume(resume) => {
                connection.shown.extend(resume.conversations);
                if !resume.more {
                    self.open();
                }
            }
            ClientFrame::Send(send) => self.send(send),
            ClientFrame::Ack(ack) => connection.ack(ack, stored),
            ClientFrame::Read { reference, conversation, seq } => self.read(reference, conversation, seq),
            ClientFrame::Bootstrap(frame) => self.bootstrap(frame, stored),
            ClientFrame::Renew(_) => unreachable!("nobody renews here"),
            ClientFrame::Signal { .. }
            | ClientFrame::Watch { .. }
            | ClientFrame::State { .. }
            | ClientFrame::Unread { .. }
            | ClientFrame::Heartbeat => {}
        }
    }

    fn hello(&mut self, hello: Hello) {
        let epoch = Epoch::from_bytes([self.epoch; 16]);
        let Some(connection) = &mut self.connection else { return };
        connection.welcomed = true;
        connection.verify = hello.epoch != Some(epoch);
        connection.shown.extend(hello.feed.map(|cursor| Shown { conversation: feed(), cursor }));
        connection.to_device.push_back(ServerFrame::Welcome(Box::new(Welcome {
            reference: None,
            epoch,
            user: UserId::new("ana").expect("a user"),
            device: DeviceId::from_bytes([1; 16]),
            feed: feed(),
            unfilled: self.fills.is_unfilled,
            server_time: UnixMs::ZERO,
            limits: ClientLimits {
                heartbeat_ms: 25_000,
                ack_timeout_ms: 45_000,
                frame_bytes_max: 400,
                body_bytes_max: 1_000,
                window_entries: WINDOW,
            },
        })));
        if connection.verify || hello.offsets_version.get() < self.offsets_version {
            connection.to_device.push_back(ServerFrame::Offsets {
                version: OffsetsVersion::new(self.offsets_version),
                offsets: self.offsets.iter().map(|(id, seq)| Offset { conversation: *id, seq: *seq }).collect(),
            });
        }
    }

    fn open(&mut self) {
        self.find_lacking();
        let Some(connection) = &mut self.connection else { return };
        let mut delivery = BTreeMap::new();
        for (id, log) in self.logs.iter().filter(|(id, _)| !connection.lacking.contains(id)) {
            let shown = connection.shown.iter().find(|shown| shown.conversation == *id).map(|shown| shown.cursor);
            let head = log.entries.len() as u64;
            let mut next =
                shown.map_or_else(|| self.fills.done.get(id).map_or(1, |seq| seq + 1), |cursor| cursor.seq.get() + 1);
            let there = |seq: u64| log.entries.get(seq.wrapping_sub(1) as usize).map(|entry| entry.id);
            // A cursor without an entry cannot be compared, so it counts as another log's.
            let other_log = shown.is_some_and(|cursor| {
                cursor.seq > Seq::ZERO && (cursor.entry.is_none() || there(cursor.seq.get()) != cursor.entry)
            });
            if connection.verify && other_log {
                next = log.floor + 1;
                connection.to_device.push_back(ServerFrame::Reset {
                    conversation: *id,
                    epoch: Epoch::from_bytes([self.epoch; 16]),
                    floor: Seq::new(next),
                    head: Seq::new(head),
                });
            } else {
                next = next.saturating_sub(self.repeat).max(1);
            }
            delivery.insert(*id, Delivery { next, acked: next - 1 });
        }
        connection.delivery = Some(delivery);
    }

    /// Delivers what the windows allow: single entries, or a batch if there are several.
    pub(crate) fn deliver(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let Some(delivery) = &mut connection.delivery else { return };
        let mut behind = false;
        for (id, log) in self.logs.iter().filter(|(id, _)| !connection.lacking.contains(id)) {
            let place = delivery.entry(*id).or_insert(Delivery { next: 1, acked: 0 });
            if place.next <= log.floor {
                connection.to_device.push_back(ServerFrame::Skip {
                    conversation: *id,
                    from: Seq::new(place.next),
                    to: Seq::new(log.floor),
                    reason: SkipReason::Retention,
                });
                *place = Delivery { next: log.floor + 1, acked: log.floor };
            }
            let last = (place.acked + WINDOW).min(log.entries.len() as u64);
            let entries: Vec<Entry> = (place.next..=last).map(|seq| log.entries[seq as usize - 1].clone()).collect();
            place.next += entries.len() as u64;
            behind |= place.next <= log.entries.len() as u64;
            match entries.len() {
                0 => {}
                1 | 2 => connection.to_device.extend(entries.into_iter().map(ServerFrame::Entry)),
                _ => connection.to_device.push_back(ServerFrame::Entries { entries }),
            }
        }
        if !behind && !connection.caught_up {
            connection.caught_up = true;
            connection.to_device.push_back(ServerFrame::CaughtUp);
        }
    }

    fn send(&mut self, send: Send) {
        let Send { reference, target, client_msg_id, kind: _, body } = send;
        let conversation = match target {
            Target::Conversation(conversation) => conversation,
            Target::User(_) => panic!("the device sends to conversations only"),
        };
        let frame = if let Some(code) = self.refusals.pop_front() {
            refusal(code, reference)
        } else {
            let duplicate = self.taken.contains_key(&client_msg_id);
            if !duplicate {
                let entry = self.append(conversation, "ana", Some(client_msg_id.clone()), body);
                self.taken.insert(client_msg_id.clone(), (conversation, entry.seq, entry.id));
            }
            let (conversation, seq, id) = self.taken[&client_msg_id];
            ServerFrame::Sent { reference, conversation, seq, id, sent_at: UnixMs::ZERO, duplicate }
        };
        self.answer(frame);
    }

    fn read(&mut self, reference: Option<Ref>, conversation: ConversationId, seq: Seq) {
        let frame = match self.refusals.pop_front() {
            Some(code) => refusal(code, reference),
            None => {
                let offset = self.offsets.entry(conversation).or_default();
                *offset = (*offset).max(seq);
                self.offsets_version += 1;
                ServerFrame::Done { reference }
            }
        };
        self.answer(frame);
    }

    fn answer(&mut self, frame: ServerFrame) {
        if let Some(connection) = &mut self.connection {
            connection.to_device.push_back(frame);
        }
    }
}

fn refusal(code: Code, reference: Option<Ref>) -> ServerFrame {
    let retry_after_ms = (code == Code::RateLimited).then_some(40);
    let message = Cow::Borrowed(code.spec().sentence);
    ServerFrame::Error(ErrorFrame { message, retry_after_ms, ..ErrorFrame::of(code, reference) })
}

impl Connection {
    fn ack(&mut self, ack: Ack, stored: &BTreeMap<ConversationId, u64>) {
        let Some(delivery) = &mut self.delivery else { panic!("nothing was delivered yet") };
        for Offset { conversation, seq } in ack.cursors {
            let Some(place) = delivery.get_mut(&conversation) else { panic!("{conversation} was never delivered") };
            assert!(seq.get() < place.next, "acknowledged {seq} of {conversation} beyond {}", place.next);
            let kept = stored.get(&conversation).copied().unwrap_or_default();
            assert!(seq.get() <= kept, "acknowledged {seq} of {conversation}, stored up to {kept}");
            place.acked = place.acked.max(seq.get());
        }
    }
}
