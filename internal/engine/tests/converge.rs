//! Whatever several authors send, edit, recall and react to at the same time: who was there and who reads it later see the
//! same, and nobody reads what is recalled.

mod common;

use common::{House, Live};
use lockstep_client::Thread;
use lockstep_engine::Slice;
use lockstep_model::{
    Ask, Body, ClientMsgId, Content, ConversationId, Device, Kind, Notice, Ref, SendOutcome, Seq, SharedEntry, Target,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::HashMap;

const AUTHORS: usize = 3;

/// What one author does. Targets are guessed: some are not there yet, some are no messages, some are somebody else's.
#[derive(Debug, Clone)]
enum Op {
    Say,
    Edit {
        target: u64,
    },
    Recall {
        target: u64,
    },
    React {
        target: u64,
        key: bool,
        on: bool,
    },
    /// The same as an earlier one, under its name.
    Again {
        number: usize,
    },
    /// Somebody reads all there is, while the others write.
    Read,
}

fn op() -> impl Strategy<Value = (usize, Op)> {
    let target = || 1..16_u64;
    let op = prop_oneof![
        4 => Just(Op::Say),
        3 => target().prop_map(|target| Op::Edit { target }),
        2 => target().prop_map(|target| Op::Recall { target }),
        3 => (target(), any::<bool>(), any::<bool>()).prop_map(|(target, key, on)| Op::React { target, key, on }),
        1 => (0..20_usize).prop_map(|number| Op::Again { number }),
        1 => Just(Op::Read),
    ];
    (0..AUTHORS, op)
}

/// What an operation sends.
fn content(op: &Op, number: usize) -> Option<(Kind, Body)> {
    let text = Body::text(&format!("text {number}"));
    Some(match *op {
        Op::Say => (Kind::Message, text),
        Op::Edit { target } => (Kind::Edit, Body::edit(Seq::new(target), &text)),
        Op::Recall { target } => (Kind::Recall, Body::recall(Seq::new(target))),
        Op::React { target, key, on } => {
            (Kind::Reaction, Body::reaction(Seq::new(target), if key { "+1" } else { "🦀" }, on))
        }
        Op::Again { .. } | Op::Read => return None,
    })
}

struct Stage {
    house: House,
    devices: Vec<Device>,
    authors: Vec<Live>,
    room: ConversationId,
    sent: Vec<(usize, Kind, Body)>,
    answers: HashMap<(usize, Ref), SendOutcome>,
}

impl Stage {
    async fn new() -> Self {
        let house = House::new().await;
        let mut devices = Vec::new();
        for author in 0..AUTHORS {
            devices.push(house.device(&format!("author{author}")).await);
        }
        let room = house.silent_group(&devices.iter().collect::<Vec<_>>()).await;
        let mut authors = Vec::new();
        for device in &devices {
            authors.push(house.resume(device).await);
        }
        Self { house, devices, authors, room, sent: Vec::new(), answers: HashMap::new() }
    }

    /// Asks without waiting. `attempt` tells the answers of resends from the first.
    fn send(&self, number: usize, attempt: u64) {
        let (author, kind, body) = self.sent[number].clone();
        self.authors[author].ask(Ask::Append {
            reference: Some(Seq::new(number as u64 * 100 + attempt)),
            target: Target::Conversation(self.room),
            client_msg_id: ClientMsgId::new(&format!("m{number}")).unwrap(),
            kind,
            body,
        });
    }

    async fn log(&self, author: usize) -> Vec<SharedEntry> {
        let user = &self.devices[author].user;
        self.house.engine.history(user, self.room, Slice::After(Seq::ZERO), 1_000).await.unwrap().entries
    }

    /// The entries that the first author got live, once all has been answered.
    async fn live(
        &mut self,
        mut asked: HashMap<usize, u64>,
        head: impl Fn(&HashMap<(usize, Ref), SendOutcome>) -> u64,
    ) -> Vec<SharedEntry> {
        let mut entries: Vec<SharedEntry> = Vec::new();
        for author in 0..AUTHORS {
            let mut waiting = asked.remove(&author).unwrap_or_default();
            while waiting > 0 {
                match self.authors[author].next().await.unwrap() {
                    Notice::Sent { reference, outcome } => {
                        waiting -= 1;
                        self.answers.insert((author, reference.unwrap()), *outcome);
                    }
                    Notice::Entry(entry) if author == 0 && entry.conversation == self.room => entries.push(entry),
                    _ => {}
                }
            }
        }
        let head = head(&self.answers);
        while entries.last().map_or(0, |entry| entry.seq.get()) < head {
            if let Notice::Entry(entry) = self.authors[0].next().await.unwrap()
                && entry.conversation == self.room
            {
                entries.push(entry);
            }
        }
        entries
    }
}

fn fold(entries: &[SharedEntry]) -> Thread {
    let mut thread = Thread::new();
    entries.iter().for_each(|entry| thread.apply(entry));
    thread
}

fn target(entry: &SharedEntry) -> Option<Seq> {
    Content::of(&entry.kind, &entry.body).ok()?.target()
}

/// Whoever sees a recall does not see what it has erased.
fn check_erased(log: &[SharedEntry]) {
    let recalled: Vec<Seq> = log.iter().filter(|entry| entry.kind == Kind::Recall).filter_map(target).collect();
    for entry in log {
        let is_edit_of_one = entry.kind == Kind::Edit && target(entry).is_some_and(|target| recalled.contains(&target));
        assert!(!is_edit_of_one, "{entry:?}");
        assert!(entry.body.is_recalled() || !recalled.contains(&entry.seq), "{entry:?}");
    }
}

async fn check(ops: Vec<(usize, Op)>) {
    let mut stage = Stage::new().await;
    let mut asked: HashMap<usize, u64> = HashMap::new();
    let mut again = 0;
    for (author, op) in ops {
        if let Some((kind, body)) = content(&op, stage.sent.len()) {
            stage.sent.push((author, kind, body));
            stage.send(stage.sent.len() - 1, 0);
            *asked.entry(author).or_default() += 1;
        }
        match op {
            Op::Read => check_erased(&stage.log(author).await),
            Op::Again { number } if number < stage.sent.len() => {
                again += 1;
                stage.send(number, again);
                *asked.entry(stage.sent[number].0).or_default() += 1;
            }
            _ => {}
        }
    }
    let highest = |answers: &HashMap<(usize, Ref), SendOutcome>| {
        answers.values().filter_map(|outcome| Some(outcome.as_ref().ok()?.seq.get())).max().unwrap_or_default()
    };
    let live = stage.live(asked, highest).await;
    let late = stage.log(1).await;
    check_erased(&late);
    let seqs: Vec<u64> = live.iter().map(|entry| entry.seq.get()).collect();
    assert_eq!(seqs, (1..=late.len() as u64).collect::<Vec<_>>(), "live delivery is whole and in order");
    assert_eq!(fold(&live), fold(&late));
    for (live, late) in live.iter().zip(&late) {
        assert!(live.body == late.body || late.body.is_recalled(), "only recalls change what is stored");
        assert_eq!((live.id, &live.kind, live.sent_at), (late.id, &late.kind, late.sent_at));
    }
    // What has a place keeps it for whoever sends it again.
    for ((author, reference), outcome) in &stage.answers {
        let first = Seq::new(reference.get() / 100 * 100);
        if let (Ok(again), Ok(first)) = (outcome, &stage.answers[&(*author, first)]) {
            assert_eq!((again.seq, again.id), (first.seq, first.id));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 300, ..ProptestConfig::default() })]
    #[test]
    fn late_and_live_readers_see_the_same(ops in vec(op(), 1..70)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(check(ops));
    }
}
