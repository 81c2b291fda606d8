//! What fails, fails alone, and leaves no gap.

mod common;

use common::{author, execute, group, meddle, message, open, read_seqs, seqs};
use lockstep_ports::{Append, AppendRefusal, MessageLog, Offsets, StoreError};
use lockstep_store_sql::{SqliteOptions, SqliteStore};
use tokio::task::JoinSet;

const REFUSE_POISON: &str = "CREATE TRIGGER poison BEFORE INSERT ON entries WHEN NEW.body LIKE '%poison%' \
     BEGIN SELECT RAISE(ABORT, 'poison'); END";
/// The commit fails, not the statement: a deferred reference stays open.
const REFUSE_COMMIT: &str = "CREATE TABLE parents (id INTEGER PRIMARY KEY); \
     CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED); \
     CREATE TRIGGER orphans AFTER INSERT ON entries WHEN NEW.body LIKE '%orphan%' \
     BEGIN INSERT INTO children VALUES (1); END";

#[tokio::test]
async fn a_bad_row_fails_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let alice = author(&store, "alice").await;
    let conversation = group(&store, &[&alice]).await;
    execute(&mut meddle(folder.path()).await, REFUSE_POISON).await;
    let texts = ["one", "poison", "two", "more poison", "three"];
    let batch: Vec<Append> = texts.iter().map(|text| message(&alice, conversation, text)).collect();
    let outcomes = store.append(batch).await.expect("append");
    assert_eq!(seqs(&outcomes), [Some(1), None, Some(2), None, Some(3)]);
    assert_eq!([&outcomes[1], &outcomes[3]], [&Err(AppendRefusal::Failed); 2]);
    assert_eq!(read_seqs(&store, conversation).await, [1, 2, 3]);
    let stats = store.stats();
    assert_eq!(stats.entries_appended, 3, "what was undone is not counted");

    // One so large that part of it was written before the bad row came.
    let mut batch: Vec<Append> = (0..300).map(|_| message(&alice, conversation, "one of many")).collect();
    batch.push(message(&alice, conversation, "poison"));
    let outcomes = store.append(batch).await.expect("append");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 300);
    let counted = store.stats().entries_appended - stats.entries_appended;
    assert_eq!(counted, 300, "what was done twice is counted once");

    // A batch of which nothing can be stored fails as a whole.
    let mark = store.mark();
    let failed = store.append(vec![message(&alice, conversation, "poison")]).await;
    assert!(matches!(failed, Err(StoreError::Write { operation: "append", .. })), "{failed:?}");
    assert_eq!(store.moved_since(mark), Some(vec![]));
    assert_eq!(read_seqs(&store, conversation).await, (1..=303).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_bad_command_does_not_fail_those_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let alice = author(&store, "alice").await;
    let conversation = group(&store, &[&alice]).await;
    execute(&mut meddle(folder.path()).await, REFUSE_POISON).await;
    let mut tasks = JoinSet::new();
    for number in 0..60 {
        let (store, alice) = (store.clone(), alice.clone());
        tasks.spawn(async move {
            let text = if number % 10 == 7 { "poison" } else { "fine" };
            let advanced = store.advance(alice.user.clone(), conversation, lockstep_model::Seq::new(number));
            let (appended, advanced) = tokio::join!(store.append(vec![message(&alice, conversation, text)]), advanced);
            advanced.expect("advance");
            assert_eq!(appended.is_ok(), text == "fine", "{appended:?}");
        });
    }
    tasks.join_all().await;
    assert_eq!(read_seqs(&store, conversation).await, (1..=54).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_failed_commit_stores_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let alice = author(&store, "alice").await;
    let conversation = group(&store, &[&alice]).await;
    store.append(vec![message(&alice, conversation, "one")]).await.expect("append");
    let mut meddler = meddle(folder.path()).await;
    execute(&mut meddler, REFUSE_COMMIT).await;
    let (before, mark) = (store.stats(), store.mark());
    let batch = vec![message(&alice, conversation, "two"), message(&alice, conversation, "an orphan")];
    for _ in 0..3 {
        let failed = store.append(batch.clone()).await;
        assert!(matches!(failed, Err(StoreError::Write { operation: "append", .. })), "{failed:?}");
    }
    assert_eq!(store.stats().failed_commits, before.failed_commits + 3);
    assert_eq!(store.stats().entries_appended, before.entries_appended);
    assert_eq!(store.moved_since(mark), Some(vec![]), "nobody is told of what is not stored");
    assert_eq!(read_seqs(&store, conversation).await, [1]);

    execute(&mut meddler, "DROP TRIGGER orphans").await;
    assert_eq!(seqs(&store.append(batch).await.expect("append")), [Some(2), Some(3)]);
    assert_eq!(read_seqs(&store, conversation).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_full_disk_is_a_write_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = SqliteOptions { database_bytes_max: Some(512 * 1024), ..SqliteOptions::default() };
    let store = SqliteStore::open(folder.path(), small).await.expect("the store opens");
    let alice = author(&store, "alice").await;
    let conversation = group(&store, &[&alice]).await;
    let batch = || (0..10).map(|_| message(&alice, conversation, &"x".repeat(2_000))).collect::<Vec<_>>();
    let mut stored = 0;
    let failed = loop {
        match store.append(batch()).await {
            Ok(outcomes) => stored += outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64,
            Err(error) => break error,
        }
        assert!(stored < 1_000, "the disk must be full by now");
    };
    assert!(matches!(failed, StoreError::Write { operation: "append", .. }), "{failed:?}");
    assert_eq!(read_seqs(&store, conversation).await, (1..=stored).collect::<Vec<_>>(), "reads go on");
    store.close().await;

    let store = open(folder.path()).await;
    let outcomes = store.append(batch()).await.expect("there is room again");
    assert_eq!(seqs(&outcomes)[0], Some(stored + 1));
    assert_eq!(read_seqs(&store, conversation).await, (1..=stored + 10).collect::<Vec<_>>());
}
