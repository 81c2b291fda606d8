//! What is unread (I6), compared with a plain count over all that the log, the stays, the offset and the state hold.

mod common;

use common::{Member, author, group, meddle, message, open, read};
use lockstep_model::{ConversationId, Kind, Seq, StateChange, UnixMs, Unread, View, limits};
use lockstep_ports::{Directory, MessageLog, Offsets, People, Reads};
use lockstep_store_sql::SqliteStore;
use proptest::prelude::*;
use sqlx::sqlite::SqliteConnection;
use std::collections::HashSet;
use std::path::Path;

/// Something that changes what is unread for ana. Numbers are places, cut to those that there are.
#[derive(Debug, Clone)]
enum Op {
    /// Somebody sends: ana, ben, or an entry of another kind.
    Send(u8),
    /// Somebody mentions ana.
    Mention,
    Recall(u64),
    Read(u64),
    Hide(u64),
    /// Retention.
    Drop(u64),
    Leave,
    /// Ana comes back and sees what lies from so far before on.
    Join(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let place = 0_u64..40;
    let op = prop_oneof![
        8 => (0_u8..6).prop_map(Op::Send),
        2 => Just(Op::Mention),
        2 => place.clone().prop_map(Op::Recall),
        2 => place.clone().prop_map(Op::Read),
        1 => place.clone().prop_map(Op::Hide),
        1 => place.clone().prop_map(Op::Drop),
        1 => Just(Op::Leave),
        1 => place.prop_map(Op::Join),
        2 => (0_u64..3).prop_map(Op::Join),
    ];
    proptest::collection::vec(op, 1..40)
}

struct World {
    store: SqliteStore,
    meddler: SqliteConnection,
    ana: Member,
    ben: Member,
    group: ConversationId,
    recalled: HashSet<u64>,
    mentioning: HashSet<u64>,
}

impl World {
    async fn new(folder: &Path) -> Self {
        let store = open(folder).await;
        let (ana, ben) = (author(&store, "ana").await, author(&store, "ben").await);
        let group = group(&store, &[&ana, &ben]).await;
        let meddler = meddle(folder).await;
        let (recalled, mentioning) = (HashSet::new(), HashSet::new());
        Self { store, meddler, ana, ben, group, recalled, mentioning }
    }

    async fn head(&self) -> u64 {
        self.store.bounds(vec![self.group]).await.expect("bounds")[0].expect("it exists").head.get()
    }

    async fn execute(&mut self, sql: &'static str, number: u64) {
        let query = sqlx::query(sql).bind(self.group.as_bytes().as_slice()).bind(number as i64);
        query.execute(&mut self.meddler).await.expect("the statement is executed");
    }

    async fn step(&mut self, op: &Op) {
        let head = self.head().await;
        match *op {
            Op::Send(who) => {
                let sender = if who == 0 { &self.ana } else { &self.ben };
                let kind = if who == 1 { Kind::Reaction } else { Kind::Message };
                let append = lockstep_ports::Append { kind, ..message(sender, self.group, "hello") };
                // Ana may be away.
                let _refused = self.store.append(vec![append]).await.expect("append");
            }
            Op::Mention => {
                self.store.append(vec![message(&self.ben, self.group, "ana!")]).await.expect("append");
                self.execute("INSERT INTO mentions (conversation, seq, user) VALUES (?, ?, 'ana')", head + 1).await;
                self.mentioning.insert(head + 1);
            }
            Op::Recall(seq) if seq > head => {}
            Op::Recall(seq) => {
                self.execute("UPDATE entries SET recalled = 1 WHERE conversation = ? AND seq = ?", seq).await;
                self.recalled.insert(seq);
            }
            Op::Read(seq) => {
                let seq = Seq::new(seq.min(head));
                self.store.advance(self.ana.user.clone(), self.group, seq).await.expect("advance");
            }
            Op::Hide(seq) => {
                let hide = StateChange { delete_before: Some(Seq::new(seq)), ..StateChange::default() };
                let hidden = self.store.change_state(self.ana.user.clone(), self.group, hide, UnixMs::ZERO).await;
                let _refused = hidden.expect("change_state");
            }
            Op::Drop(seq) => {
                self.store.raise_floor(self.group, Seq::new(seq.min(head + 1))).await.expect("raise_floor");
            }
            Op::Leave => {
                let leave =
                    "UPDATE members SET left_seq = ?2 WHERE conversation = ?1 AND user = 'ana' AND left_seq IS NULL";
                self.execute(leave, head).await;
            }
            Op::Join(before) => {
                let join = "INSERT INTO members (conversation, joined_seq, user, visible_from_seq) \
                     SELECT ?1, head, 'ana', max(1, head + 1 - ?2) FROM conversations WHERE id = ?1 AND NOT EXISTS \
                       (SELECT 1 FROM members WHERE conversation = ?1 AND user = 'ana' \
                        AND (left_seq IS NULL OR joined_seq = head))";
                self.execute(join, before).await;
            }
        }
    }

    /// The count as the design says it.
    async fn expected(&self) -> Unread {
        let membership = self.store.membership(self.ana.user.clone(), self.group).await.expect("membership");
        let (stays, bounds) = membership.expect("it exists");
        let offsets = self.store.offsets(self.ana.user.clone(), vec![self.group]).await.expect("offsets");
        let offset = offsets[0].seq;
        let counted: Vec<u64> = read(&self.store, self.group)
            .await
            .iter()
            .filter(|entry| entry.seq > offset && entry.kind == Kind::Message)
            .filter(|entry| entry.sender.as_str() != "ana" && !self.recalled.contains(&entry.seq.get()))
            .filter(|entry| matches!(stays.view(entry.seq, bounds.floor), View::Visible { .. }))
            .map(|entry| entry.seq.get())
            .collect();
        let mentions = counted.iter().filter(|seq| self.mentioning.contains(seq)).count() as u64;
        let end = stays.0.last().and_then(|stay| stay.left_seq).unwrap_or(bounds.head);
        let unread = counted.len() as u64;
        Unread { conversation: self.group, read: offset, head: end, unread, more: false, mentions, marked: false }
    }

    async fn check(&self) {
        let expected = self.expected().await;
        let user = &self.ana.user;
        let counted = self.store.unread(user.clone(), vec![self.group]).await.expect("unread");
        assert_eq!(counted, [expected]);
        let states = self.store.membership(user.clone(), self.group).await.expect("membership").expect("it exists");
        if states.0.is_member() {
            let total = self.store.unread_total(user.clone(), UnixMs::ZERO).await.expect("unread_total");
            assert_eq!((total.unread, total.mentions), (expected.unread, expected.mentions), "the total of one");
        }
    }
}

#[test]
fn what_is_unread_is_what_a_plain_count_says() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&ops(), |ops| {
        let folder = tempfile::tempdir().expect("a folder");
        runtime.block_on(async {
            let mut world = World::new(folder.path()).await;
            for op in &ops {
                world.step(op).await;
                world.check().await;
            }
            world.store.close().await;
        });
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Ana sees from 5 on, leaves, and comes back to see everything: what the first stay hid counts, and may be answered.
#[tokio::test]
async fn one_who_comes_back_and_sees_more_may_use_all_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::new(folder.path()).await;
    for op in (0..6).map(|_| Op::Send(2)) {
        world.step(&op).await;
    }
    world.execute("UPDATE members SET visible_from_seq = ?2 WHERE conversation = ?1 AND user = 'ana'", 5).await;
    world.check().await;
    let react = || {
        let body = lockstep_model::Body::reaction(Seq::new(3), "+1", true);
        vec![lockstep_ports::Append { kind: Kind::Reaction, body, ..message(&world.ana, world.group, "") }]
    };
    let (early, late) = (react(), react());
    let refused = world.store.append(early).await.expect("append").remove(0);
    assert_eq!(refused.map(drop), Err(lockstep_ports::AppendRefusal::NoSuchTarget));
    for op in [Op::Leave, Op::Send(2), Op::Join(100), Op::Send(2), Op::Read(1)] {
        world.step(&op).await;
        world.check().await;
    }
    assert_eq!(world.expected().await.unread, 7, "all but the one that is read");
    world.store.append(late).await.expect("append").remove(0).expect("the message is seen");
}

#[tokio::test]
async fn mentions_are_exact_up_to_the_bound_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::new(folder.path()).await;
    for count in [limits::UNREAD_MAX, 1] {
        let batch = (0..count).map(|_| message(&world.ben, world.group, "ana!")).collect();
        world.store.append(batch).await.expect("append");
        let mention = "INSERT OR IGNORE INTO mentions SELECT conversation, seq, 'ana' FROM entries WHERE conversation = ? AND seq > ?";
        world.execute(mention, 0).await;
        let counted = world.store.unread(world.ana.user.clone(), vec![world.group]).await.expect("unread")[0];
        assert_eq!(
            (counted.unread, counted.mentions, counted.more),
            (limits::UNREAD_MAX, limits::UNREAD_MAX, count == 1)
        );
    }
}
