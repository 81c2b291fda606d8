//! Read offsets (I5) and what is unread (I6) come out the same on all devices of a user, whatever the order in which they
//! read, hear, lose their connections and come back.

mod common;

use common::{House, Live, soon};
use lockstep_engine::EngineConfig;
use lockstep_model::{Code, ConversationId, Device, Offset, OffsetsVersion, Ref, Seq, StateChange, Target};
use lockstep_ports::Offsets;
use lockstep_session::{Admitted, Effect, Event, Hello, Request, Session, SessionConfig};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

const DEVICES: usize = 3;
const GROUPS: usize = 2;

#[derive(Debug, Clone)]
enum Op {
    /// Ben (or ana, from outside of her devices) sends to a group.
    Send {
        group: usize,
        ana: bool,
    },
    /// A device reads so many percent of what it was given.
    Read {
        device: usize,
        group: usize,
        percent: u64,
    },
    /// Ana reads without a connection.
    ReadByRequest {
        group: usize,
        percent: u64,
    },
    /// Ana pins a group by a device: more in the feed.
    Pin {
        device: usize,
        group: usize,
        pinned: bool,
    },
    Drop {
        device: usize,
    },
    Connect {
        device: usize,
    },
    /// A device takes note of one thing that has come.
    Glance {
        device: usize,
    },
    /// A device takes note of all that has come.
    Look {
        device: usize,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let (device, group) = (0..DEVICES, 0..GROUPS);
    let op = prop_oneof![
        4 => (group.clone(), any::<bool>()).prop_map(|(group, ana)| Op::Send { group, ana }),
        5 => (device.clone(), group.clone(), 0..=100_u64)
            .prop_map(|(device, group, percent)| Op::Read { device, group, percent }),
        1 => (group.clone(), 0..=100_u64).prop_map(|(group, percent)| Op::ReadByRequest { group, percent }),
        1 => (device.clone(), group, any::<bool>())
            .prop_map(|(device, group, pinned)| Op::Pin { device, group, pinned }),
        1 => device.clone().prop_map(|device| Op::Drop { device }),
        2 => device.clone().prop_map(|device| Op::Connect { device }),
        1 => device.clone().prop_map(|device| Op::Glance { device }),
        4 => device.prop_map(|device| Op::Look { device }),
    ];
    proptest::collection::vec(op, 1..60)
}

/// A connection with its session, and what was delivered on it.
struct Open {
    live: Live,
    session: Session,
    delivered: HashMap<ConversationId, u64>,
}

/// A device of ana: what it keeps over its connections.
struct Holder {
    device: Device,
    offsets: HashMap<ConversationId, u64>,
    version: OffsetsVersion,
    /// The last question, and its answer: those to earlier ones may still be on their way.
    asked: Ref,
    unread: Option<HashMap<ConversationId, u64>>,
    open: Option<Open>,
}

impl Holder {
    async fn connect(&mut self, house: &House) {
        if self.open.is_some() {
            return;
        }
        let claim = common::claim(&self.device);
        let admission =
            house.engine.connect(claim, Some(house.engine.epoch()), self.version, Default::default()).await.unwrap();
        let mut session = Session::new(Arc::new(SessionConfig::default()), Instant::now());
        let hello = Hello {
            reference: None,
            token: String::new(),
            epoch: Some(admission.epoch),
            feed: None,
            offsets_version: self.version,
        };
        session.handle_request(Request::Hello(hello), Instant::now());
        let admitted = Admitted {
            unfilled: false,
            user: self.device.user.clone(),
            device: self.device.id,
            epoch: admission.epoch,
            feed: admission.feed,
            offsets: admission.offsets.offsets,
            offsets_version: admission.offsets.version,
            receipts: admission.receipts,
        };
        session.handle_admitted(admitted, Instant::now());
        session.handle_request(Request::Resume { shown: Vec::new(), more: false }, Instant::now());
        let live = Live::of(house, admission.connection);
        self.open = Some(Open { live, session, delivered: HashMap::new() });
        self.settle();
    }

    async fn drop(&mut self, house: &House) {
        if let Some(Open { live, mut session, .. }) = self.open.take() {
            live.connection.mailbox.close(Code::Internal);
            session.close(Code::Internal);
            house.engine.disconnect(&live.connection, session.conversations().collect(), None).await;
        }
    }

    /// Waits for one notice or for what falls due, and does what follows.
    async fn turn(&mut self) {
        let Some(Open { live, session, .. }) = &mut self.open else { return };
        let due = session.poll_timeout().expect("a heartbeat is due some time");
        tokio::select! {
            notice = live.next() => session.handle_notice(notice.expect("nobody closes it"), Instant::now()),
            () = tokio::time::sleep_until(due.into()) => session.handle_timeout(Instant::now()),
        }
        self.settle();
    }

    /// Asks what is unread, and takes note of all that comes before the answer.
    async fn count(&mut self, conversations: Vec<ConversationId>) -> HashMap<ConversationId, u64> {
        self.unread = None;
        self.asked = self.asked.next();
        self.request(Request::Unread { reference: Some(self.asked), conversations });
        while self.open.is_some() && self.unread.is_none() {
            self.turn().await;
        }
        self.unread.take().unwrap_or_default()
    }

    fn request(&mut self, request: Request) {
        if let Some(open) = &mut self.open {
            open.session.handle_request(request, Instant::now());
            self.settle();
        }
    }

    fn settle(&mut self) {
        let Some(Open { live, session, delivered }) = &mut self.open else { return };
        while let Some(effect) = session.poll_effect() {
            let mut acks = Vec::new();
            match effect {
                Effect::Ask(ask) => live.ask(ask),
                Effect::Emit(Event::Welcome { admitted, .. }) => {
                    take(&mut self.offsets, &admitted.offsets);
                    self.version = self.version.max(admitted.offsets_version);
                }
                Effect::Emit(Event::Offsets { version, offsets }) => {
                    take(&mut self.offsets, &offsets);
                    self.version = self.version.max(version);
                }
                Effect::Emit(Event::Entry(entry)) => acks.push((entry.conversation, entry.seq)),
                Effect::Emit(Event::Entries(entries)) => {
                    acks.extend(entries.iter().map(|entry| (entry.conversation, entry.seq)));
                }
                Effect::Emit(Event::Unread { reference, conversations }) if reference == Some(self.asked) => {
                    self.unread = Some(conversations.iter().map(|one| (one.conversation, one.unread)).collect());
                }
                Effect::Close(code) => panic!("closed with {code}"),
                Effect::Emit(_) | Effect::Authenticate { .. } | Effect::Renew { .. } => {}
            }
            for (conversation, seq) in acks {
                delivered.insert(conversation, seq.get());
                session.handle_request(Request::Ack(vec![Offset { conversation, seq }]), Instant::now());
            }
        }
    }
}

fn take(known: &mut HashMap<ConversationId, u64>, offsets: &[Offset]) {
    for Offset { conversation, seq } in offsets {
        let known = known.entry(*conversation).or_default();
        *known = seq.get().max(*known);
    }
}

struct World {
    house: House,
    holders: Vec<Holder>,
    /// Devices of ana and ben from which messages are sent.
    senders: [Device; 2],
    groups: Vec<ConversationId>,
    /// Who sent each message of each group: whether it was ana.
    logs: Vec<Vec<bool>>,
    /// The largest place that was said to be read.
    read: Vec<u64>,
}

impl World {
    async fn new() -> Self {
        // So small that signals are dropped and have to be made good.
        let house = House::with(EngineConfig { mailbox_max: 3, ..EngineConfig::default() }).await;
        let senders = [house.device("ana").await, house.device("ben").await];
        let mut groups = Vec::new();
        for _ in 0..GROUPS {
            groups.push(house.group(&[&senders[0], &senders[1]]).await);
        }
        let mut holders = Vec::new();
        for _ in 0..DEVICES {
            let device = house.device("ana").await;
            let (offsets, version) = (HashMap::new(), OffsetsVersion::ZERO);
            holders.push(Holder { device, offsets, version, asked: Ref::new(1), unread: None, open: None });
        }
        Self { house, holders, senders, groups, logs: vec![vec![]; GROUPS], read: vec![0; GROUPS] }
    }

    async fn step(&mut self, op: &Op) {
        let reference = Some(Ref::new(1));
        match *op {
            Op::Send { group, ana } => {
                let target = Target::Conversation(self.groups[group]);
                self.house.send(&self.senders[usize::from(!ana)], target, "hello").await.unwrap();
                self.logs[group].push(ana);
            }
            Op::Read { device, group, percent } => {
                let conversation = self.groups[group];
                let Some(open) = &self.holders[device].open else { return };
                let Some(delivered) = open.delivered.get(&conversation) else { return };
                let seq = delivered * percent / 100;
                self.read[group] = seq.max(self.read[group]);
                self.holders[device].request(Request::Read { reference, conversation, seq: Seq::new(seq) });
            }
            Op::ReadByRequest { group, percent } => {
                let seq = self.logs[group].len() as u64 * percent / 100;
                self.read[group] = seq.max(self.read[group]);
                let user = &self.senders[0].user;
                self.house.engine.read_up_to(user, self.groups[group], Seq::new(seq)).await.unwrap();
            }
            Op::Pin { device, group, pinned } => {
                let change = StateChange { pinned: Some(pinned), ..StateChange::default() };
                let conversation = self.groups[group];
                self.holders[device].request(Request::State { reference, conversation, change });
            }
            Op::Drop { device } => self.holders[device].drop(&self.house).await,
            Op::Connect { device } => self.holders[device].connect(&self.house).await,
            // Something always comes: an answer is asked for.
            Op::Glance { device } => {
                let conversations = self.groups.clone();
                self.holders[device].request(Request::Unread { reference, conversations });
                self.holders[device].turn().await;
            }
            Op::Look { device } => {
                let groups = self.groups.clone();
                self.holders[device].count(groups).await;
            }
        }
    }

    /// All devices come back, and hear until they know what there is to know.
    async fn converge(&mut self) {
        let truth = |numbers: Vec<u64>| -> HashMap<ConversationId, u64> {
            self.groups.iter().copied().zip(numbers).filter(|(_, number)| *number > 0).collect()
        };
        let offsets = truth(self.read.clone());
        let unread = self.logs.iter().zip(&self.read);
        let unread = unread.map(|(log, read)| log.iter().skip(*read as usize).filter(|ana| !**ana).count() as u64);
        let unread = truth(unread.collect());
        let user = self.senders[0].user.clone();
        // What a connection asked for before it was dropped is done all the same, if perhaps not yet.
        soon(async {
            loop {
                let stored = self.house.store.offsets(user.clone(), self.groups.clone()).await.unwrap();
                let stored: Vec<u64> = stored.iter().map(|offset| offset.seq.get()).collect();
                if stored == self.read {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        for holder in &mut self.holders {
            holder.connect(&self.house).await;
            while holder.offsets.iter().filter(|(_, seq)| **seq > 0).count() < offsets.len()
                || offsets.iter().any(|(conversation, seq)| holder.offsets[conversation] < *seq)
            {
                holder.turn().await;
            }
            assert_eq!(
                holder.offsets.clone().into_iter().filter(|(_, seq)| *seq > 0).collect::<HashMap<_, _>>(),
                offsets
            );
            let counted = holder.count(self.groups.clone()).await.into_iter().filter(|(_, count)| *count > 0);
            assert_eq!(counted.collect::<HashMap<_, _>>(), unread);
        }
    }
}

#[test]
fn offsets_and_unread_converge_to_the_truth() {
    let config = Config { cases: 40, max_shrink_iters: 3, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&ops(), |ops| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new().await;
            for op in &ops {
                world.step(op).await;
            }
            world.converge().await;
        });
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
