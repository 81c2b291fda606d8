//! One filling (I8), without I/O and clock: what has to be filled, who is asked for it, what is on its way.
//!
//! It takes what happened, each with the time since some start, and gives what is to be done through
//! [`Relay::poll_effect`], in order. A conversation goes through `planned` (the server tells what it knows of it), `asked` (a
//! main device gives chunks) and filled. Bodies pass by: nothing here looks into them or keeps one.

use super::effect::{Effect, RelayConfig};
use super::plan::{Item, Plan};
use super::source::{Excluded, Mains, choose};
use lockstep_model::{
    BootstrapId, BootstrapState, Chunk, ChunkAck, Code, ConversationId, DeviceId, Filled, Seq, Skip, SkipReason,
    Source, WaitReason, limits,
};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Conversations that main devices are asked for at once, in one filling.
const ASKED_MAX: usize = 4;

/// One filling of one device.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) id: BootstrapId,
    config: RelayConfig,
    entries: u32,
    source: Source,
    plan: Plan,
    asked: HashMap<ConversationId, Asked>,
    /// Main devices that have refused all, or were silent.
    excluded: Excluded,
    /// Since when nobody can be asked, why, and when that is looked at again.
    waiting: Option<Waiting>,
    /// Since when it has waited without getting anything in between.
    idle_since: Option<Duration>,
    /// Chunks that were passed and are not acknowledged, and since when the oldest is.
    passed: VecDeque<(ConversationId, Seq, Duration)>,
    effects: VecDeque<Effect>,
    done: u32,
    total: u32,
    is_over: bool,
}

/// Nobody can be asked.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    reason: WaitReason,
    again_at: Duration,
}

/// A conversation that a main device was asked for.
#[derive(Debug)]
struct Asked {
    item: Item,
    main: DeviceId,
    /// The number of the next chunk.
    number: u64,
    /// Where the next chunk begins; absent before the first.
    next: Option<Seq>,
    /// Whether the last chunk has come.
    last: bool,
    /// When something was last heard of it from the main device, or was asked of it.
    heard: Duration,
}

impl Relay {
    /// A filling of what is in the plan.
    pub(crate) fn new(id: BootstrapId, config: RelayConfig, entries: u32, source: Source, plan: Vec<Item>) -> Self {
        let total = plan.len() as u32;
        Self {
            id,
            config,
            entries,
            source,
            plan: Plan::new(plan),
            asked: HashMap::new(),
            excluded: HashMap::new(),
            waiting: None,
            idle_since: None,
            passed: VecDeque::new(),
            effects: VecDeque::new(),
            done: 0,
            total,
            is_over: false,
        }
    }

    /// Counts what an earlier connection of the device has brought.
    pub(crate) fn goes_on(&mut self, done: u32) {
        self.done = done;
        self.total += done;
    }

    /// How many conversations are filled, and of how many.
    pub(crate) fn count(&self) -> (u32, u32) {
        (self.done, self.total)
    }

    /// The entries that are wanted of each conversation.
    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    /// The main devices that are asked now.
    pub(crate) fn mains(&self) -> Vec<DeviceId> {
        let mut mains: Vec<DeviceId> = self.asked.values().map(|asked| asked.main).collect();
        mains.sort_unstable();
        mains.dedup();
        mains
    }

    /// What to do next.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        if self.is_over {
            return None;
        }
        let stalled =
            self.asked.values().filter(|asked| self.is_owed(asked)).map(|asked| asked.heard + self.config.stall);
        let unacknowledged = self.passed.front().map(|(_, _, since)| *since + self.config.ack_timeout);
        let waiting = self.waiting.map(|waiting| waiting.again_at);
        stalled.chain(unacknowledged).chain(waiting).min()
    }

    /// Whether the main device has to say something. While the window is full or the last chunk is there, it need not.
    fn is_owed(&self, asked: &Asked) -> bool {
        !asked.last && !self.is_full()
    }

    /// Whether so many chunks wait for the device's word that none may follow.
    fn is_full(&self) -> bool {
        self.passed.len() >= limits::CHUNKS_WINDOW as usize
    }

    /// Goes on with what can be done now. `mains` are the live main devices of the user, those asked first that are to be
    /// preferred.
    pub(crate) fn pump(&mut self, mains: &Mains<'_>, now: Duration) {
        if self.is_over {
            return;
        }
        self.excluded.retain(|_, (_, until)| *until > now);
        while self.asked.len() < ASKED_MAX && !self.is_full() {
            let Some(item) = self.plan.next_told() else { break };
            if let Err(item) = self.begin(item, mains, now) {
                self.plan.put_back(item);
                break;
            }
        }
        // After the others are taken out of the plan: what is asked for here is what brings this on again.
        let untold = self.plan.untold();
        if !untold.is_empty() {
            self.effects.push_back(Effect::Tell(untold));
        }
        if self.done == self.total {
            self.is_over = true;
            self.waiting = None;
            self.effects.push_back(Effect::Done);
        }
    }

    /// Asks for a conversation, or fills it with what is there. Gives it back if it has to wait.
    fn begin(&mut self, item: Item, mains: &Mains<'_>, now: Duration) -> Result<(), Item> {
        let conversation = item.conversation;
        // What the device has not stored yet does not count, and may still be on its way.
        let is_settled = !self.passed.iter().any(|row| row.0 == conversation);
        let (first, head) = (item.first(), item.head);
        let main = match self.source {
            _ if first > head => None,
            Source::Main => match choose(mains, &self.excluded, &item) {
                Ok(main) => main,
                Err(reason) => {
                    self.wait(reason, now);
                    return Err(item);
                }
            },
            Source::Log | Source::None => None,
        };
        let Some(main) = main else {
            if !is_settled {
                return Err(item);
            }
            self.fill_without_main(&item);
            return Ok(());
        };
        if self.waiting.take().is_some() {
            self.progress(BootstrapState::Filling, None, None);
        }
        self.effects.push_back(Effect::Ask { main, conversation, from_seq: item.start, head });
        let next = item.start;
        self.asked.insert(conversation, Asked { item, main, number: 1, next, last: false, heard: now });
        Ok(())
    }

    /// Fills a conversation of which no main device gives more. What the device has a part of goes on from the log in any
    /// case; of others the log gives the latest entries, if it may.
    fn fill_without_main(&mut self, item: &Item) {
        let (first, head) = (item.first(), item.head);
        let from_log = self.source == Source::Log || self.config.log_fallback;
        let latest = Seq::new(head.get().saturating_sub(self.entries.into()));
        let (seq, source, reason) = match item.start {
            Some(start) => (start.previous().min(head), Source::Main, SkipReason::Bootstrap),
            None if head == Seq::ZERO => (head, Source::Main, SkipReason::Bootstrap),
            None if from_log => (latest, Source::Log, SkipReason::Bootstrap),
            None => (head, Source::None, SkipReason::NotHeld),
        };
        let conversation = item.conversation;
        if seq >= first {
            self.effects.push_back(Effect::Skip { conversation, skip: Skip { from: first, to: seq, reason } });
        }
        self.fill(Filled { conversation, seq, source });
    }

    fn wait(&mut self, reason: WaitReason, now: Duration) {
        let told = self.waiting.map(|before| before.reason);
        self.idle_since.get_or_insert(now);
        self.waiting = Some(Waiting { reason, again_at: now + self.config.stall / 4 });
        if told != Some(reason) {
            self.progress(BootstrapState::Waiting, None, Some(reason));
        }
        if told.is_none() {
            self.effects.push_back(Effect::Wake);
        }
    }

    fn fill(&mut self, filled: Filled) {
        self.done += 1;
        self.effects.push_back(Effect::Filled(filled));
        self.progress(BootstrapState::Filling, Some(filled), None);
    }

    fn progress(&mut self, state: BootstrapState, filled: Option<Filled>, reason: Option<WaitReason>) {
        self.effects.push_back(Effect::Progress { state, filled, reason });
    }

    /// The device was told of these conversations. One that is not there any more has no head.
    pub(crate) fn handle_told(&mut self, told: &[(ConversationId, Option<Seq>)]) {
        for (conversation, head) in told {
            if self.plan.note_told(*conversation, *head) && head.is_none() {
                self.total -= 1;
            }
        }
    }

    /// A main device gives a chunk.
    ///
    /// # Errors
    ///
    /// Why it is not passed on. Nothing has changed then.
    pub(crate) fn handle_chunk(&mut self, main: DeviceId, chunk: Box<Chunk>, now: Duration) -> Result<(), Code> {
        let is_full = self.is_full();
        let asked = self.asked.get_mut(&chunk.conversation).filter(|asked| asked.main == main && !asked.last);
        let asked = asked.ok_or(Code::NoSuchBootstrap)?;
        if is_full {
            return Err(Code::ChunkWindow);
        }
        let follows = asked.next.is_none_or(|next| match asked.number {
            // What begins a stretch may leave out what the main device does not have.
            1 => chunk.from_seq >= next,
            _ => chunk.from_seq == next,
        });
        if chunk.number != asked.number || !follows || chunk.from_seq == Seq::ZERO {
            return Err(Code::ChunkOrder);
        }
        if chunk.to_seq > asked.item.head {
            return Err(Code::ChunkBeyond);
        }
        let first = asked.next.unwrap_or(asked.item.first());
        if asked.number == 1 && chunk.from_seq > first {
            let reason = asked.item.left_out(chunk.from_seq, self.entries);
            let skip = Skip { from: first, to: chunk.from_seq.previous(), reason };
            self.effects.push_back(Effect::Skip { conversation: chunk.conversation, skip });
        }
        (asked.number, asked.next, asked.last) = (asked.number + 1, Some(chunk.to_seq.next()), chunk.last);
        self.passed.push_back((chunk.conversation, chunk.to_seq, now));
        self.effects.push_back(Effect::Pass(chunk));
        self.note_heard(main, now);
        self.idle_since = None;
        Ok(())
    }

    /// A main device gives something, here or in another filling: it is busy, not silent.
    pub(crate) fn note_heard(&mut self, main: DeviceId, now: Duration) {
        let of_it = self.asked.values_mut().filter(|asked| asked.main == main);
        of_it.for_each(|asked| asked.heard = asked.heard.max(now));
    }

    /// The device has stored a conversation up to here. What is none of its chunks is nothing.
    pub(crate) fn handle_ack(&mut self, conversation: ConversationId, seq: Seq, now: Duration) -> Result<(), Code> {
        let is_acked = |row: &(ConversationId, Seq, Duration)| row.0 == conversation && row.1 <= seq;
        let known = self.passed.iter().any(|row| row.0 == conversation && row.1 == seq);
        if !known {
            return Err(Code::AckBeyond);
        }
        let was_full = self.is_full();
        self.passed.retain(|row| !is_acked(row));
        if was_full {
            // From now on the main devices have room again, and their time begins anew.
            self.asked.values_mut().for_each(|asked| asked.heard = now);
        }
        let rest = self.passed.iter().any(|row| row.0 == conversation);
        let Some(asked) = self.asked.get_mut(&conversation) else { return Ok(()) };
        asked.heard = asked.heard.max(now);
        let (main, is_filled) = (asked.main, asked.last && !rest);
        let ack = ChunkAck { bootstrap: self.id, conversation, seq };
        self.effects.push_back(Effect::Acked { main, ack });
        if is_filled {
            self.asked.remove(&conversation);
            self.fill(Filled { conversation, seq, source: Source::Main });
        }
        Ok(())
    }

    /// A main device does not give a conversation, or nothing at all.
    pub(crate) fn handle_refusal(
        &mut self,
        main: DeviceId,
        conversation: Option<ConversationId>,
        now: Duration,
    ) -> Result<(), Code> {
        match conversation {
            Some(conversation) => {
                let asked = self.asked.get(&conversation).filter(|asked| asked.main == main && !asked.last);
                if asked.is_none() {
                    return Err(Code::NoSuchBootstrap);
                }
                if let Some(asked) = self.asked.remove(&conversation) {
                    let mut item = again(asked);
                    item.refused.push(main);
                    self.plan.put_back(item);
                }
            }
            None => {
                if !self.asked.values().any(|asked| asked.main == main) {
                    return Err(Code::NoSuchBootstrap);
                }
                self.exclude(main, WaitReason::MainRefused, now);
            }
        }
        Ok(())
    }

    /// A main device is not asked for a while.
    fn exclude(&mut self, main: DeviceId, reason: WaitReason, now: Duration) {
        self.excluded.insert(main, (reason, now + 2 * self.config.stall));
        self.withdraw(main);
        self.effects.push_back(Effect::Stop(main));
    }

    /// A main device has told what it can give: it begins without a past.
    pub(crate) fn handle_coverage(&mut self, main: DeviceId) {
        self.excluded.remove(&main);
        self.plan.forgive(main);
    }

    /// A main device is gone.
    pub(crate) fn handle_main_gone(&mut self, main: DeviceId) {
        self.handle_coverage(main);
        self.withdraw(main);
    }

    /// What a main device was asked for is asked of others. A conversation whose last chunk was passed only waits for the
    /// device's word.
    fn withdraw(&mut self, main: DeviceId) {
        let taken: Vec<ConversationId> =
            self.asked.iter().filter(|(_, asked)| asked.main == main && !asked.last).map(|(id, _)| *id).collect();
        for conversation in taken {
            if let Some(asked) = self.asked.remove(&conversation) {
                self.plan.put_back(again(asked));
            }
        }
    }

    /// The device's connection is over: nothing is on its way any more. Says which main devices are to be stopped.
    pub(crate) fn handle_device_gone(&mut self) {
        for main in self.mains() {
            self.effects.push_back(Effect::Stop(main));
        }
        self.asked.clear();
        self.passed.clear();
        self.waiting = None;
        self.is_over = true;
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        if self.passed.front().is_some_and(|(_, _, since)| *since + self.config.ack_timeout <= now) {
            return self.effects.push_back(Effect::Close(Code::AckTimeout));
        }
        let is_idle = self.idle_since.is_some_and(|since| since + self.config.wait <= now);
        if self.waiting.is_some() && is_idle {
            return self.effects.push_back(Effect::Close(Code::MainOffline));
        }
        let is_stalled = |asked: &&Asked| self.is_owed(asked) && asked.heard + self.config.stall <= now;
        let mut stalled: Vec<DeviceId> = self.asked.values().filter(is_stalled).map(|asked| asked.main).collect();
        stalled.sort_unstable();
        stalled.dedup();
        for main in stalled {
            self.exclude(main, WaitReason::MainStalled, now);
        }
    }
}

/// What is still to be asked for of a conversation: what was passed is on its way to the device.
fn again(asked: Asked) -> Item {
    let mut item = asked.item;
    item.start = asked.next;
    item
}
