//! The contract of a local store, held by both.

use lockstep_client::protocol::{
    Body, ClientMsgId, ConversationId, Cursor, Entry, EntryId, Epoch, Held, Kind, Offset, OffsetsVersion, Sender, Seq,
    Target, UnixMs, UserId,
};
use lockstep_client::{Change, HistorySource, LocalStore, MemoryStore, OutboxItem, SqliteStore, State};

fn conversation(n: u8) -> ConversationId {
    ConversationId::from_bytes([n; 16])
}

fn entry(n: u8, seq: u64) -> Entry {
    Entry {
        conversation: conversation(n),
        seq: Seq::new(seq),
        id: EntryId::from_bytes([seq as u8; 16]),
        kind: Kind::Message,
        sender: Sender::from_stored("ana"),
        sender_device: None,
        client_msg_id: None,
        body: Body::text("hällo \"there\""),
        sent_at: UnixMs::new(1),
    }
}

fn item(id: &str, target: Target) -> OutboxItem {
    OutboxItem {
        client_msg_id: ClientMsgId::new(id).expect("an id"),
        target,
        kind: Kind::Message,
        body: Body::text(id),
    }
}

fn offset(n: u8, seq: u64) -> Offset {
    Offset { conversation: conversation(n), seq: Seq::new(seq) }
}

fn cursor(seq: u64, entry: Option<u8>) -> Cursor {
    Cursor { seq: Seq::new(seq), entry: entry.map(|n| EntryId::from_bytes([n; 16])) }
}

/// Each step: changes, and what they do to the state.
type Step = (Vec<Change>, fn(&mut State));

fn steps() -> Vec<Step> {
    let user = || UserId::new("ana").expect("a user");
    let to_user = || item("b", Target::User(UserId::new("ben").expect("a user")));
    vec![
        (vec![], |_| {}),
        (vec![Change::Identity { user: user(), feed: conversation(9) }], |state| {
            state.user = Some(UserId::new("ana").expect("a user"));
            state.feed = Some(conversation(9));
        }),
        (vec![Change::Epoch(Epoch::from_bytes([1; 16]))], |state| state.epoch = Some(Epoch::from_bytes([1; 16]))),
        (vec![Change::Entry(entry(1, 1)), Change::Entry(entry(1, 2)), Change::Entry(entry(2, 7))], |state| {
            state.cursors.insert(conversation(1), cursor(2, Some(2)));
            state.cursors.insert(conversation(2), cursor(7, Some(7)));
        }),
        (vec![Change::Cursor { conversation: conversation(1), cursor: cursor(5, None) }], |state| {
            state.cursors.insert(conversation(1), cursor(5, None));
        }),
        (vec![Change::Entry(entry(1, 6))], |state| {
            state.cursors.insert(conversation(1), cursor(6, Some(6)));
        }),
        (vec![Change::Left(conversation(1)), Change::Left(conversation(2)), Change::Left(conversation(2))], |state| {
            state.left.extend([conversation(1), conversation(2)]);
        }),
        (vec![Change::Joined(conversation(2)), Change::Joined(conversation(3))], |state| {
            state.left.remove(&conversation(2));
        }),
        (vec![Change::Reset { conversation: conversation(2), cursor: cursor(3, None) }], |state| {
            state.cursors.insert(conversation(2), cursor(3, None));
        }),
        (
            vec![Change::Offsets {
                version: Some(OffsetsVersion::new(4)),
                offsets: vec![offset(1, 5), offset(2, 3), offset(1, 2)],
            }],
            |state| {
                state.offsets_version = OffsetsVersion::new(4);
                state.offsets.insert(conversation(1), Seq::new(5));
                state.offsets.insert(conversation(2), Seq::new(3));
            },
        ),
        (vec![Change::Offsets { version: None, offsets: vec![offset(1, 6)] }], |state| {
            state.offsets.insert(conversation(1), Seq::new(6));
        }),
        (
            vec![
                Change::OutboxAdded(item("c", Target::Conversation(conversation(1)))),
                Change::OutboxAdded(to_user()),
                Change::OutboxAdded(item("c", Target::Conversation(conversation(2)))),
                Change::OutboxAdded(item("a", Target::Conversation(conversation(1)))),
            ],
            |state| {
                let ben = Target::User(UserId::new("ben").expect("a user"));
                state.outbox = vec![
                    item("c", Target::Conversation(conversation(1))),
                    item("b", ben),
                    item("a", Target::Conversation(conversation(1))),
                ];
            },
        ),
        (
            vec![Change::OutboxRemoved(to_user().client_msg_id), Change::OutboxRemoved(to_user().client_msg_id)],
            |state| {
                state.outbox.remove(1);
            },
        ),
        (vec![Change::ReadWanted(offset(1, 6)), Change::ReadWanted(offset(1, 4))], |state| {
            state.reads.insert(conversation(1), Seq::new(6));
        }),
        (vec![Change::ReadSettled(offset(1, 5)), Change::ReadSettled(offset(2, 9))], |_| {}),
        (vec![Change::ReadSettled(offset(1, 6))], |state| {
            state.reads.clear();
        }),
        (
            vec![
                Change::Past(entry(4, 3)),
                Change::Past(entry(4, 4)),
                Change::Partial(offset(4, 4)),
                Change::Past(entry(5, 1)),
                Change::Partial(offset(5, 1)),
                Change::Partial(offset(6, 8)),
            ],
            |state| state.partial.extend([(4, 4), (5, 1), (6, 8)].map(|(n, seq)| (conversation(n), Seq::new(seq)))),
        ),
        (
            vec![
                Change::Past(entry(4, 6)),
                Change::Filled { conversation: conversation(4), cursor: cursor(7, None) },
                Change::PartialDropped(conversation(5)),
            ],
            |state| {
                state.partial.remove(&conversation(4));
                state.partial.remove(&conversation(5));
                state.cursors.insert(conversation(4), cursor(7, None));
            },
        ),
        (vec![Change::OffsetsDropped], |state| {
            state.offsets.clear();
            state.offsets_version = OffsetsVersion::ZERO;
        }),
    ]
}

async fn check(store: &dyn LocalStore) {
    let mut expected = State::default();
    for (number, (changes, effect)) in steps().into_iter().enumerate() {
        store.apply(&changes).await.expect("the store takes it");
        effect(&mut expected);
        assert_eq!(store.load().await.expect("a state"), expected, "after step {number}");
    }
    let cases = [
        (1, 10, vec![entry(1, 1), entry(1, 2), entry(1, 6)]),
        (1, 2, vec![entry(1, 2), entry(1, 6)]),
        (1, 0, vec![]),
        (2, 10, vec![]),
        (3, 10, vec![]),
        (4, 10, vec![entry(4, 3), entry(4, 4), entry(4, 6)]),
        (5, 10, vec![]),
    ];
    for (n, limit, entries) in cases {
        assert_eq!(store.history(conversation(n), limit).await.expect("a history"), entries, "{n}, {limit}");
    }
}

#[tokio::test]
async fn the_store_in_memory() {
    check(&MemoryStore::new()).await;
}

#[tokio::test]
async fn the_store_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("device.db");
    let store = SqliteStore::open(&path).await.expect("a new store");
    check(&store).await;
    let before = store.load().await.expect("a state");
    assert!(SqliteStore::open(&path).await.is_err(), "two processes must not share a store");
    store.close().await;
    let store = SqliteStore::open(&path).await.expect("the same store");
    assert_eq!(store.load().await.expect("a state"), before);
    assert_eq!(store.history(conversation(1), 10).await.expect("a history").len(), 3);
}

/// What is withdrawn does not stay on the device.
async fn check_recalls(store: &dyn LocalStore) {
    let of_kind = |n, seq, kind, body| Change::Entry(Entry { kind, body, ..entry(n, seq) });
    let edit = |n, seq, target| of_kind(n, seq, Kind::Edit, Body::edit(Seq::new(target), &Body::text("new")));
    let message = |n, seq| Change::Entry(entry(n, seq));
    let recall = of_kind(1, 6, Kind::Recall, Body::recall(Seq::new(2)));
    let changes = [message(1, 1), message(1, 2), edit(1, 3, 1), edit(1, 4, 2), edit(1, 5, 2)];
    store.apply(&changes).await.expect("the store takes it");
    store.apply(&[message(2, 2), edit(2, 3, 2), recall]).await.expect("the store takes it");
    for (n, stubs) in [(1, vec![2, 4, 5]), (2, vec![])] {
        let history = store.history(conversation(n), 10).await.expect("a history");
        let recalled = history.iter().filter(|entry| entry.body == Body::recalled());
        assert_eq!(recalled.map(|entry| entry.seq.get()).collect::<Vec<_>>(), stubs, "{history:?}");
    }
    let item = OutboxItem { kind: Kind::Edit, ..item("edit", Target::Conversation(conversation(1))) };
    store.apply(&[Change::OutboxAdded(item.clone())]).await.expect("the store takes it");
    assert_eq!(store.load().await.expect("a state").outbox, [item]);
}

#[tokio::test]
async fn recalls_erase_in_both_stores() {
    check_recalls(&MemoryStore::new()).await;
    let folder = tempfile::tempdir().expect("a folder");
    check_recalls(&SqliteStore::open(&folder.path().join("device.db")).await.expect("a new store")).await;
}

#[tokio::test]
async fn a_bounded_history_keeps_the_newest() {
    let store = MemoryStore::with_history(2);
    let entries: Vec<Change> = (1..=5).map(|seq| Change::Entry(entry(1, seq))).collect();
    store.apply(&entries).await.expect("the store takes it");
    assert_eq!(store.history(conversation(1), 10).await.expect("a history"), [entry(1, 4), entry(1, 5)]);
}

async fn check_source(store: &(impl LocalStore + HistorySource)) {
    let of = |n, seqs: &[u64]| seqs.iter().map(|seq| Change::Entry(entry(n, *seq))).collect::<Vec<_>>();
    store.apply(&[of(1, &[3, 4, 6, 9]), of(2, &[1])].concat()).await.expect("the store takes it");
    let cursor_only = Change::Cursor { conversation: conversation(3), cursor: cursor(5, None) };
    store.apply(&[cursor_only]).await.expect("the store takes it");
    let mut held = store.held().await.expect("what is held");
    held.sort_by_key(|held| held.conversation);
    let from = |n, seq| Held { conversation: conversation(n), from_seq: Seq::new(seq) };
    assert_eq!(held, [from(1, 3), from(2, 1)]);
    for (n, entries, to, first) in [
        (1, 2, 100, Some(6)),
        (1, 2, 8, Some(4)),
        (1, 9, 8, Some(3)),
        (1, 9, 2, None),
        (3, 9, 9, None),
        (4, 1, 1, None),
    ] {
        let latest = store.latest(conversation(n), entries, Seq::new(to)).await.expect("the latest");
        assert_eq!(latest.map(Seq::get), first, "{entries} of {n} up to {to}");
    }
    let json = serde_json::to_string(&entry(1, 3)).expect("JSON").len();
    for (n, from, to, bytes_max, seqs) in [
        (1, 3, 9, usize::MAX, vec![3, 4, 6, 9]),
        (1, 4, 8, usize::MAX, vec![4, 6]),
        (1, 3, 9, 2 * json + json / 2, vec![3, 4]),
        (1, 3, 9, 0, vec![3]),
        (1, 5, 5, usize::MAX, vec![]),
        (1, 5, 4, usize::MAX, vec![]),
        (3, 1, 9, usize::MAX, vec![]),
    ] {
        let stretch = store.stretch(conversation(n), Seq::new(from), Seq::new(to), bytes_max).await.expect("a stretch");
        let found: Vec<u64> = stretch.iter().map(|entry| entry.seq.get()).collect();
        assert_eq!(found, seqs, "{from} to {to} of {n}, {bytes_max} bytes");
    }
}

#[tokio::test]
async fn both_stores_can_give_their_history() {
    check_source(&MemoryStore::new()).await;
    let folder = tempfile::tempdir().expect("a folder");
    check_source(&SqliteStore::open(&folder.path().join("device.db")).await.expect("a new store")).await;
}

#[tokio::test]
async fn a_file_made_before_devices_were_filled_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("device.db");
    let store = SqliteStore::open(&path).await.expect("a new store");
    store.apply(&[Change::Entry(entry(1, 1))]).await.expect("the store takes it");
    store.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("the file");
    sqlx::raw_sql("DROP TABLE partial_conversations").execute(&pool).await.expect("it was there");
    pool.close().await;
    let store = SqliteStore::open(&path).await.expect("the file of before");
    store.apply(&[Change::Partial(offset(2, 4))]).await.expect("the store takes it");
    let state = store.load().await.expect("a state");
    assert_eq!((state.cursors.len(), state.partial[&conversation(2)]), (1, Seq::new(4)));
}
