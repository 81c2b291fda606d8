//! Files that are moved away, removed or replaced while the store is open: nothing is written where nobody would find it.

mod common;

use common::{NOW, author, group, message, open, read_seqs, seqs};
use lockstep_model::{DeviceId, Seq, UserId};
use lockstep_ports::{CursorRow, Directory, MessageLog, Offsets, StoreError};
use lockstep_store_sql::SqliteOptions;
use std::fs;
use tokio::task::JoinSet;

fn is_write_error<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Write { .. }))
}

#[tokio::test]
async fn every_command_is_refused_while_a_file_is_lost() {
    for name in ["", "lockstep.db", "lockstep.db-wal"] {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let store = open(&data).await;
        let alice = author(&store, "alice").await;
        let conversation = group(&store, &[&alice]).await;
        store.append(vec![message(&alice, conversation, "one")]).await.expect("append");
        assert!(store.is_writable());

        let (lost, away) = (if name.is_empty() { data.clone() } else { data.join(name) }, folder.path().join("away"));
        fs::rename(&lost, &away).expect("it is moved");
        assert!(!store.is_writable(), "without {name:?}");
        let batch = vec![message(&alice, conversation, "two")];
        let mark = store.mark();
        assert!(is_write_error(store.append(batch.clone()).await), "without {name:?}");
        assert!(is_write_error(store.advance(alice.user.clone(), conversation, Seq::new(1)).await));
        let cursor = CursorRow { device: alice.device, conversation, seq: Seq::new(1) };
        assert!(is_write_error(store.store_cursors(vec![cursor]).await));
        assert!(is_write_error(store.ensure_user(UserId::new("bob").expect("a name"), NOW).await));
        assert!(is_write_error(store.raise_floor(conversation, Seq::new(2)).await));
        assert_eq!(store.moved_since(mark), Some(vec![]), "nobody is told of what is not stored");
        assert_eq!(read_seqs(&store, conversation).await, [1], "what is stored is read");
        // Another file in the place of the lost one is not the one that the store has.
        if !name.is_empty() {
            fs::write(&lost, "").expect("a file is written");
            assert!(is_write_error(store.append(batch.clone()).await), "another {name:?}");
        }

        fs::rename(&away, &lost).expect("it is moved back");
        assert_eq!(seqs(&store.append(batch).await.expect("append")), [Some(2)], "nothing was refused halfway");
        assert!(store.is_writable());
        store.close().await;
        assert_eq!(read_seqs(&open(&data).await, conversation).await, [1, 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_without_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let store = open(&data).await;
    let alice = author(&store, "alice").await;
    let conversation = group(&store, &[&alice]).await;
    store.append(vec![message(&alice, conversation, "one")]).await.expect("append");
    fs::remove_dir_all(&data).expect("it is removed");
    // More at once than there are readers: each of them is asked.
    let mut tasks = JoinSet::new();
    for _ in 0..8 * SqliteOptions::default().readers {
        let store = store.clone();
        tasks.spawn(async move { read_seqs(&store, conversation).await });
    }
    assert!(tasks.join_all().await.iter().all(|seqs| seqs == &[1]));
    assert_eq!(store.device(DeviceId::generate()).await.expect("device"), None);
    store.close().await;
    assert!(!data.exists(), "nothing is made anew");
}
