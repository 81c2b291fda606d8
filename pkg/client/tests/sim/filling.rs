//! How the faithful server fills a device: it plays the relay and a main device that has everything.

use super::server::{Delivery, Server, WINDOW, feed};
use lockstep_client::protocol::{
    BootstrapFrame, BootstrapId, BootstrapNews, BootstrapState, Chunk, ChunkAck, ConversationId, Filled, Progress, Seq,
    ServerFrame, SkipReason, Source, Start,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the server knows of a device that is to be filled, on all its connections.
#[derive(Default)]
pub(crate) struct Fills {
    pub(crate) is_unfilled: bool,
    /// What is filled, and the device's cursor there.
    pub(crate) done: BTreeMap<ConversationId, u64>,
    /// How many entries the main device lags behind.
    pub(crate) lag: u64,
    /// Entries of one chunk.
    pub(crate) size: u64,
    /// Where each conversation began when it was last begun from nothing.
    pub(crate) began: BTreeMap<ConversationId, u64>,
    /// What goes wrong with the next chunk.
    pub(crate) fault: Option<Fault>,
    /// How many chunks went wrong.
    pub(crate) faults: u32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Digest,
    Order,
    Body,
    Sealed,
}

/// The filling of a connection.
pub(crate) struct Filling {
    entries: u64,
    plan: VecDeque<Item>,
    /// Chunks without an acknowledgement.
    passed: VecDeque<(ConversationId, u64, bool)>,
    total: u32,
}

struct Item {
    conversation: ConversationId,
    /// The first entry that the device lacks.
    start: Option<u64>,
    to: Option<u64>,
    number: u64,
}

const ID: [u8; 16] = [7; 16];

fn news(news: BootstrapNews) -> ServerFrame {
    ServerFrame::Bootstrap(news)
}

impl Server {
    pub(crate) fn bootstrap(&mut self, frame: BootstrapFrame, stored: &BTreeMap<ConversationId, u64>) {
        match frame {
            BootstrapFrame::Start(start) => self.start_filling(start),
            BootstrapFrame::Ack(ack) => self.take_chunk_ack(ack, stored),
            other => panic!("a device that is filled says nothing like this: {other:?}"),
        }
    }

    fn start_filling(&mut self, start: Start) {
        assert!(self.fills.is_unfilled, "a device that is filled asks for it");
        let Some(connection) = &mut self.connection else { return };
        let at: BTreeMap<ConversationId, u64> = start.at.iter().map(|at| (at.conversation, at.seq.get())).collect();
        let plan: VecDeque<Item> = connection
            .lacking
            .iter()
            .map(|conversation| {
                let start = at.get(conversation).map(|seq| seq + 1);
                Item { conversation: *conversation, start, to: None, number: 1 }
            })
            .collect();
        let (total, done) = (plan.len() as u32, 0);
        let bootstrap = BootstrapId::from_bytes(ID);
        let started = BootstrapNews::BootstrapStarted { reference: start.reference, bootstrap, total, done };
        connection.to_device.push_back(news(started));
        connection.filling = Some(Filling { entries: start.entries.into(), plan, passed: VecDeque::new(), total });
    }

    /// The main device gives as much as the window allows.
    pub(crate) fn fill(&mut self) {
        let size = self.fills.size.max(1);
        let Some(connection) = &mut self.connection else { return };
        let Some(filling) = &mut connection.filling else { return };
        while (filling.passed.len() as u64) < WINDOW {
            let Some(item) = filling.plan.front_mut() else { break };
            let log = &self.logs[&item.conversation];
            let head = log.entries.len() as u64;
            let has = *item.to.get_or_insert(head.saturating_sub(self.fills.lag));
            let conversation = item.conversation;
            let first = item.start.unwrap_or(1);
            if has < first {
                // It has no more of it: the log goes on, or gives it all.
                if !filling.passed.iter().any(|row| row.0 == conversation) {
                    let seq = first - 1;
                    filling.plan.pop_front();
                    self.filled(conversation, seq);
                    return self.fill();
                }
                break;
            }
            let begins = match item.start {
                None => (has + 1).saturating_sub(filling.entries).max(1),
                Some(start) => start,
            };
            if item.start.is_none() {
                self.fills.began.insert(conversation, begins);
                if begins > 1 {
                    let (from, to, reason) = (Seq::new(1), Seq::new(begins - 1), SkipReason::Bootstrap);
                    connection.to_device.push_back(ServerFrame::Skip { conversation, from, to, reason });
                }
            }
            let to = (begins + size - 1).min(has);
            let last = to == has;
            let body = serde_json::to_string(&log.entries[begins as usize - 1..to as usize]).expect("JSON");
            let mut chunk = Chunk {
                bootstrap: BootstrapId::from_bytes(ID),
                number: item.number,
                conversation,
                from_seq: Seq::new(begins),
                to_seq: Seq::new(to),
                digest: Chunk::digest_of(&body),
                last,
                sealed: None,
                body,
            };
            self.fills.faults += u32::from(self.fills.fault.is_some());
            match self.fills.fault.take() {
                Some(Fault::Digest) => chunk.body.push(' '),
                Some(Fault::Sealed) => chunk.sealed = Some("some-way".to_owned()),
                Some(Fault::Order) => chunk.from_seq = Seq::new(begins + 1),
                Some(Fault::Body) => {
                    chunk.body = chunk.body.replace("ben", "\u{0}");
                    chunk.body.push(']');
                    chunk.digest = Chunk::digest_of(&chunk.body);
                }
                None => {}
            }
            connection.to_device.push_back(news(BootstrapNews::Chunk(Box::new(chunk))));
            filling.passed.push_back((conversation, to, last));
            (item.start, item.number) = (Some(to + 1), item.number + 1);
            if last {
                filling.plan.pop_front();
            }
        }
        if filling.plan.is_empty() && filling.passed.is_empty() {
            self.fills.is_unfilled = false;
            let progress = progress(BootstrapState::Done, filling.total, None);
            connection.to_device.push_back(progress);
            connection.filling = None;
        }
    }

    fn take_chunk_ack(&mut self, ack: ChunkAck, stored: &BTreeMap<ConversationId, u64>) {
        let ChunkAck { conversation, seq, .. } = ack;
        let kept = stored.get(&conversation).copied().unwrap_or_default();
        assert!(seq.get() <= kept, "acknowledged {seq} of {conversation}, stored up to {kept}");
        let Some(connection) = &mut self.connection else { return };
        let Some(filling) = &mut connection.filling else { return };
        let index = filling.passed.iter().position(|row| (row.0, row.1) == (conversation, seq.get()));
        let (_, _, last) = filling.passed[index.expect("a chunk without an acknowledgement")];
        filling.passed.retain(|row| row.0 != conversation || row.1 > seq.get());
        if last {
            self.filled(conversation, seq.get());
        }
    }

    fn filled(&mut self, conversation: ConversationId, seq: u64) {
        self.fills.done.insert(conversation, seq);
        let Some(connection) = &mut self.connection else { return };
        connection.lacking.remove(&conversation);
        if let Some(delivery) = &mut connection.delivery {
            delivery.insert(conversation, Delivery { next: seq + 1, acked: seq });
        }
        let filled = Filled { conversation, seq: Seq::new(seq), source: Source::Main };
        connection.to_device.push_back(progress(BootstrapState::Filling, 0, Some(filled)));
    }

    /// What the device shows is known, and so is what it has acknowledged.
    pub(crate) fn find_lacking(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        if !self.fills.is_unfilled {
            return;
        }
        let is_shown = |id: &ConversationId| connection.shown.iter().any(|shown| shown.conversation == *id);
        let known = |id: &ConversationId| *id == feed() || is_shown(id) || self.fills.done.contains_key(id);
        let lacking: BTreeSet<ConversationId> = self.logs.keys().filter(|id| !known(id)).copied().collect();
        connection.lacking = lacking;
    }
}

fn progress(state: BootstrapState, total: u32, filled: Option<Filled>) -> ServerFrame {
    let bootstrap = BootstrapId::from_bytes(ID);
    news(BootstrapNews::BootstrapProgress(Progress { bootstrap, state, done: total, total, filled, reason: None }))
}
