//! Closing in order, and what maintenance takes away.

mod common;

use common::{NOW, author, count, group, meddle, message, open, read_seqs, seqs};
use lockstep_model::{Seq, UnixMs};
use lockstep_ports::{Append, MessageLog, StoreError};
use tokio::task::JoinSet;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn closing_finishes_what_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let alice = author(&store, "alice").await;
    let conversation = group(&store, &[&alice]).await;
    let mut tasks = JoinSet::new();
    for number in 0..200 {
        let (store, append) = (store.clone(), message(&alice, conversation, &number.to_string()));
        tasks.spawn(async move { store.append(vec![append]).await });
    }
    let first = tasks.join_next().await.expect("there are tasks").expect("it did not panic");
    let clone = store.clone();
    tokio::join!(store.close(), clone.close());
    let mut stored: Vec<u64> = Vec::new();
    for outcome in tasks.join_all().await.into_iter().chain([first]) {
        match outcome {
            Ok(outcomes) => stored.extend(seqs(&outcomes).into_iter().flatten()),
            Err(error) => assert!(matches!(error, StoreError::Closed { operation: "append" }), "{error:?}"),
        }
    }
    stored.sort_unstable();
    assert!(matches!(store.append(vec![message(&alice, conversation, "late")]).await, Err(StoreError::Closed { .. })));
    assert!(matches!(store.bounds(vec![conversation]).await, Err(StoreError::Closed { .. })));
    store.close().await;
    let log = folder.path().join("lockstep.db-wal");
    assert!(std::fs::metadata(&log).map_or(0, |file| file.len()) == 0, "the write-ahead log is taken in");

    // What was answered is there, and nothing else.
    assert_eq!(read_seqs(&open(folder.path()).await, conversation).await, stored);
}

#[tokio::test]
async fn sends_are_remembered_for_thirty_days() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let alice = author(&store, "alice").await;
    let conversation = group(&store, &[&alice]).await;
    let old: Vec<Append> = (0..1_200).map(|_| message(&alice, conversation, "old")).collect();
    let young = Append { sent_at: UnixMs::new(NOW.get() + 1), ..message(&alice, conversation, "young") };
    store.append([old.clone(), vec![young.clone()]].concat()).await.expect("append");
    let maintain = async |ms| store.maintain(UnixMs::new(NOW.get() + ms)).await.expect("maintain");
    assert_eq!(maintain(30 * DAY_MS).await.sends_forgotten, 0);
    assert_eq!(maintain(30 * DAY_MS + 1).await.sends_forgotten, 1_200);
    assert_eq!(maintain(30 * DAY_MS + 1).await.sends_forgotten, 0);
    let again = store.append(vec![young, old[0].clone()]).await.expect("append");
    assert_eq!(seqs(&again), [None, Some(1_202)], "the young one is still known, the old one no longer");
}

#[tokio::test]
async fn what_lies_below_a_floor_is_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let alice = author(&store, "alice").await;
    let (conversation, other) = (group(&store, &[&alice]).await, group(&store, &[&alice]).await);
    for id in [conversation, other] {
        let batch = (0..2_000).map(|_| message(&alice, id, "retention's")).collect();
        store.append(batch).await.expect("append");
    }
    store.raise_floor(conversation, Seq::new(1_901)).await.expect("raise_floor");
    store.raise_floor(other, Seq::new(11)).await.expect("raise_floor");
    assert_eq!(read_seqs(&store, conversation).await, (1_901..=2_000).collect::<Vec<_>>(), "unseen at once");
    let maintained = store.maintain(NOW).await.expect("maintain");
    assert!(maintained.entries_deleted > 0 && maintained.sends_forgotten == 0, "{maintained:?}");
    let mut meddler = meddle(folder.path()).await;
    // Two entries are feeds': the device and the conversations that alice got.
    let feeds = "SELECT count(*) FROM entries WHERE kind = 'system'";
    let feeds = count(&mut meddler, feeds).await;
    assert_eq!(count(&mut meddler, "SELECT count(*) FROM entries").await - feeds, 100 + 1_990);
    assert_eq!(count(&mut meddler, "SELECT count(*) FROM sweeps").await, 0);
    assert_eq!(read_seqs(&store, other).await.len(), 1_990);
}
