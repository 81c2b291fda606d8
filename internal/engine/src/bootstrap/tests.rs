//! Fillings in virtual time: main devices that lag, stay silent, refuse and go; a device that goes and comes back. Whatever
//! happens, chunks, skips and the log together are every entry once.

use super::effect::{Effect, RelayConfig};
use super::plan::Item;
use super::relay::Relay;
use super::source::{Main, Mains};
use lockstep_model::{
    BootstrapId, BootstrapState, Chunk, Code, ConversationId, DeviceId, Seq, SkipReason, Source, WaitReason, limits,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

const ENTRIES: u32 = 10;
const CONFIG: RelayConfig = RelayConfig {
    stall: Duration::from_secs(15),
    ack_timeout: Duration::from_secs(45),
    wait: Duration::from_secs(600),
    log_fallback: false,
};

fn conversation(number: usize) -> ConversationId {
    ConversationId::from_bytes([number as u8 + 1; 16])
}

fn device(number: usize) -> DeviceId {
    DeviceId::from_bytes([number as u8 + 100; 16])
}

/// What one main device does when it is asked.
#[derive(Debug)]
struct Giver {
    is_live: bool,
    is_silent: bool,
    /// How far it lags behind the log.
    lag: u64,
    held: HashMap<ConversationId, Seq>,
    asked: VecDeque<Asked>,
}

#[derive(Debug)]
struct Asked {
    conversation: ConversationId,
    from_seq: Option<Seq>,
    head: u64,
    next: Option<u64>,
    number: u64,
}

/// What the device has of a conversation.
#[derive(Debug, Default)]
struct Kept {
    /// By chunks, by skips with their reason, by the log.
    entries: BTreeMap<u64, Option<SkipReason>>,
    at: u64,
    filled: Option<u64>,
}

#[derive(Debug)]
struct World {
    now: Duration,
    relay: Relay,
    heads: Vec<u64>,
    firsts: Vec<u64>,
    givers: Vec<Giver>,
    kept: Vec<Kept>,
    /// What is on its way to the device.
    coming: VecDeque<Effect>,
    is_there: bool,
    is_done: bool,
    closed: Option<Code>,
}

impl World {
    fn new(heads: Vec<u64>, firsts: Vec<u64>, lags: Vec<u64>) -> Self {
        let held: HashMap<ConversationId, Seq> =
            firsts.iter().enumerate().map(|(index, first)| (conversation(index), Seq::new(*first))).collect();
        let giver = |lag| Giver { is_live: true, is_silent: false, lag, held: held.clone(), asked: VecDeque::new() };
        let kept = heads.iter().map(|_| Kept::default()).collect();
        let givers = lags.into_iter().map(giver).collect();
        let relay = Relay::new(BootstrapId::generate(), CONFIG, ENTRIES, Source::Main, vec![]);
        let (now, coming) = (Duration::ZERO, VecDeque::new());
        let mut new =
            Self { now, relay, heads, firsts, givers, kept, coming, is_there: false, is_done: false, closed: None };
        new.come();
        new
    }

    /// The device connects and shows what it has.
    fn come(&mut self) {
        let lacking = self.kept.iter().enumerate().filter(|(_, kept)| kept.filled.is_none());
        let items =
            lacking.map(|(index, kept)| Item::new(conversation(index), (kept.at > 0).then(|| Seq::new(kept.at + 1))));
        let done = self.relay.count().0;
        self.relay = Relay::new(BootstrapId::generate(), CONFIG, ENTRIES, Source::Main, items.collect());
        self.relay.goes_on(done);
        self.is_there = true;
        self.drive();
    }

    fn go(&mut self) {
        self.relay.handle_device_gone();
        self.coming.clear();
        self.is_there = false;
        self.drive();
    }

    fn drive(&mut self) {
        let live = self.givers.iter().enumerate().filter(|(_, giver)| giver.is_live);
        let ready =
            live.map(|(index, giver)| Main { device: device(index), is_filled: true, held: &giver.held }).collect();
        let mains = Mains { ready, more: false };
        self.relay.pump(&mains, self.now);
        while let Some(effect) = self.relay.poll_effect() {
            match effect {
                Effect::Tell(conversations) => {
                    let told = conversations.into_iter().map(|id| {
                        let head = self.heads[usize::from(id.as_bytes()[0]) - 1];
                        (id, Some(Seq::new(head)))
                    });
                    self.relay.handle_told(&told.collect::<Vec<_>>());
                    return self.drive();
                }
                Effect::Ask { main, conversation, from_seq, head } => {
                    let asked = Asked { conversation, from_seq, head: head.get(), next: None, number: 1 };
                    self.giver(main).asked.push_back(asked);
                }
                Effect::Stop(main) => self.giver(main).asked.clear(),
                Effect::Close(code) => self.closed = Some(code),
                effect => self.coming.push_back(effect),
            }
        }
    }

    fn giver(&mut self, main: DeviceId) -> &mut Giver {
        &mut self.givers[usize::from(main.as_bytes()[0]) - 100]
    }

    /// A main device does the next thing that it was asked for: a chunk of `size` entries, or a refusal.
    fn give(&mut self, index: usize, size: u64) {
        let giver = &mut self.givers[index];
        if !giver.is_live || giver.is_silent {
            return;
        }
        let Some(asked) = giver.asked.front_mut() else { return };
        let first = giver.held[&asked.conversation].get();
        // What it says to hold it has, as far as it has come.
        let last = asked.head.saturating_sub(giver.lag).max(first);
        let latest = (last + 1).saturating_sub(ENTRIES.into()).max(1);
        let wanted = asked.from_seq.map_or(latest, Seq::get).max(first);
        let from = asked.next.unwrap_or(wanted);
        let id = asked.conversation;
        if from > last {
            giver.asked.pop_front();
            // It may have been asked of another one since.
            let _ = self.relay.handle_refusal(device(index), Some(id), self.now);
            return self.drive();
        }
        let to = (from + size - 1).min(last);
        let chunk = Chunk {
            bootstrap: self.relay.id,
            number: asked.number,
            conversation: id,
            from_seq: Seq::new(from),
            to_seq: Seq::new(to),
            digest: String::new(),
            last: to == last,
            sealed: None,
            body: String::new(),
        };
        let is_last = chunk.last;
        match self.relay.handle_chunk(device(index), Box::new(chunk), self.now) {
            Ok(()) => {
                (asked.next, asked.number) = (Some(to + 1), asked.number + 1);
                if is_last {
                    giver.asked.pop_front();
                }
            }
            Err(Code::ChunkWindow) => {}
            Err(Code::NoSuchBootstrap) => drop(giver.asked.pop_front()),
            Err(code) => panic!("{code}"),
        }
        self.drive();
    }

    /// The device takes the next thing that is on its way, stores it and acknowledges it.
    fn take(&mut self) {
        if !self.is_there {
            return;
        }
        let Some(effect) = self.coming.pop_front() else { return };
        let row = |id: ConversationId| usize::from(id.as_bytes()[0]) - 1;
        match effect {
            Effect::Pass(chunk) => {
                let index = row(chunk.conversation);
                self.kept[index].put(chunk.from_seq.get(), chunk.to_seq.get(), None);
                self.relay.handle_ack(chunk.conversation, chunk.to_seq, self.now).expect("it was passed");
                self.drive();
            }
            Effect::Skip { conversation, skip } => {
                let index = row(conversation);
                self.kept[index].put(skip.from.get(), skip.to.get(), Some(skip.reason));
            }
            Effect::Filled(filled) => {
                let index = row(filled.conversation);
                assert_eq!(self.kept[index].at, filled.seq.get(), "the cursor is where the device has come");
                self.kept[index].filled = Some(filled.seq.get());
            }
            Effect::Done => self.is_done = true,
            _ => {}
        }
    }

    fn pass_time(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.relay.handle_timeout(self.now);
        self.drive();
    }

    fn act(&mut self, (what, which, size): (u8, usize, u64)) {
        let index = which % self.givers.len();
        match what {
            0..=39 => self.give(index, size),
            40..=69 => self.take(),
            70..=74 => self.givers[index].is_silent = !self.givers[index].is_silent,
            75..=79 => {
                let giver = &mut self.givers[index];
                giver.is_live = !giver.is_live;
                giver.asked.clear();
                if giver.is_live {
                    self.relay.handle_coverage(device(index));
                } else {
                    self.relay.handle_main_gone(device(index));
                }
                self.drive();
            }
            80..=84 if self.is_there => self.go(),
            80..=89 if !self.is_there => self.come(),
            90..=94 => self.pass_time(size),
            95..=99 => self.heads[which % 3] += 1,
            _ => {}
        }
        let waiting = self.coming.iter().filter(|effect| matches!(effect, Effect::Pass(_))).count();
        assert!(waiting <= limits::CHUNKS_WINDOW as usize, "{waiting} chunks wait");
    }

    /// From here on everybody does what is wanted.
    fn finish(&mut self) {
        for index in 0..self.givers.len() {
            let giver = &mut self.givers[index];
            (giver.is_silent, giver.is_live) = (false, true);
            self.relay.handle_coverage(device(index));
        }
        if !self.is_there {
            self.come();
        }
        self.drive();
        for _ in 0..10_000 {
            if self.is_done {
                return;
            }
            (0..self.givers.len()).for_each(|index| self.give(index, 3));
            self.take();
            if self.coming.is_empty() {
                // Somebody who was asked may have forgotten it while away.
                self.pass_time(1);
            }
            if self.closed.take().is_some() {
                self.go();
                self.come();
            }
            if self.now > Duration::from_secs(3_600) {
                break;
            }
        }
        panic!("it does not end: {self:?}");
    }

    fn check(&self) {
        for (index, kept) in self.kept.iter().enumerate() {
            let filled = kept.filled.expect("all are filled");
            let head = self.heads[index];
            assert!(filled <= head);
            // The log gives the rest.
            let all: Vec<u64> = kept.entries.keys().copied().chain(filled + 1..=head).collect();
            assert_eq!(all, (1..=head).collect::<Vec<_>>(), "conversation {index}: every place once, in order");
            for (seq, reason) in &kept.entries {
                match reason {
                    Some(SkipReason::NotHeld) => assert!(*seq < self.firsts[index], "somebody had {seq}"),
                    Some(SkipReason::Bootstrap) => assert!(seq + u64::from(ENTRIES) <= head, "{seq} was wanted"),
                    _ => {}
                }
            }
        }
    }
}

impl Kept {
    fn put(&mut self, from: u64, to: u64, reason: Option<SkipReason>) {
        assert_eq!(from, self.at + 1, "a gap, or an overlap");
        for seq in from..=to {
            assert!(self.entries.insert(seq, reason).is_none(), "{seq} came twice");
        }
        self.at = to;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn chunks_skips_and_the_log_are_everything_once(
        heads in vec(0_u64..60, 3),
        firsts in vec(1_u64..40, 3),
        lags in vec(0_u64..12, 1..4),
        script in vec((0_u8..100, 0_usize..6, 1_u64..20), 0..200),
    ) {
        let mut world = World::new(heads, firsts, lags);
        for step in script {
            world.act(step);
        }
        world.finish();
        world.check();
    }
}

#[test]
fn a_main_device_that_is_silent_is_replaced_and_then_it_is_told_why() {
    let mut world = World::new(vec![5, 5, 5], vec![1, 1, 1], vec![0]);
    world.givers[0].is_silent = true;
    world.pass_time(14);
    assert!(!world.coming.iter().any(|effect| matches!(effect, Effect::Progress { .. })));
    world.pass_time(1);
    let waits =
        Effect::Progress { state: BootstrapState::Waiting, filled: None, reason: Some(WaitReason::MainStalled) };
    assert_eq!(world.coming, [waits, Effect::Wake]);
    world.pass_time(600);
    assert_eq!(world.closed, Some(Code::MainOffline));
}

#[test]
fn a_device_that_never_acknowledges_is_closed() {
    let mut world = World::new(vec![50, 0, 0], vec![1, 1, 1], vec![0]);
    for _ in 0..50 {
        world.give(0, 1);
    }
    let passed = world.coming.iter().filter(|effect| matches!(effect, Effect::Pass(_))).count();
    assert_eq!(passed, limits::CHUNKS_WINDOW as usize);
    world.pass_time(44);
    assert_eq!(world.closed, None, "while the window is full, the main device need not say anything");
    world.pass_time(1);
    assert_eq!(world.closed, Some(Code::AckTimeout));
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut world = World::new(vec![50, 0, 0], vec![1, 1, 1], vec![0, 0]);
    let chunk = |world: &World, number, from, to| {
        Box::new(Chunk {
            bootstrap: world.relay.id,
            number,
            conversation: conversation(0),
            from_seq: Seq::new(from),
            to_seq: Seq::new(to),
            digest: String::new(),
            last: false,
            sealed: None,
            body: String::new(),
        })
    };
    let main = (0..2).find(|index| !world.givers[*index].asked.is_empty()).expect("one was asked");
    let mut give = |number, from, to, index: usize| {
        let chunk = chunk(&world, number, from, to);
        world.relay.handle_chunk(device(index), chunk, Duration::ZERO)
    };
    assert_eq!(give(1, 41, 45, 1 - main), Err(Code::NoSuchBootstrap), "another one was asked");
    assert_eq!(give(2, 41, 45, main), Err(Code::ChunkOrder), "it begins with 1");
    assert_eq!(give(1, 41, 51, main), Err(Code::ChunkBeyond));
    assert_eq!(give(1, 41, 45, main), Ok(()));
    assert_eq!(give(1, 41, 45, main), Err(Code::ChunkOrder), "once more");
    assert_eq!(give(2, 45, 46, main), Err(Code::ChunkOrder), "an overlap");
    assert_eq!(give(2, 47, 48, main), Err(Code::ChunkOrder), "a gap");
    assert_eq!(give(2, 46, 50, main), Ok(()));
    assert_eq!(world.relay.handle_ack(conversation(0), Seq::new(44), Duration::ZERO), Err(Code::AckBeyond));
    assert_eq!(world.relay.handle_ack(conversation(0), Seq::new(50), Duration::ZERO), Ok(()));
    assert_eq!(world.relay.handle_ack(conversation(0), Seq::new(50), Duration::ZERO), Err(Code::AckBeyond), "again");
}

#[test]
fn a_main_device_that_is_busy_is_not_silent() {
    let mut world = World::new(vec![20, 20, 20], vec![1, 1, 1], vec![0]);
    assert_eq!(world.givers[0].asked.len(), 3);
    for _ in 0..10 {
        world.pass_time(10);
        assert_eq!(world.relay.mains(), [device(0)], "it gives all the time");
        world.give(0, 1);
        while !world.coming.is_empty() {
            world.take();
        }
    }
    world.pass_time(15);
    assert_eq!(world.relay.mains(), []);
    // After a while it is asked again.
    for _ in 0..8 {
        world.pass_time(4);
    }
    assert_eq!(world.relay.mains(), [device(0)]);
}
