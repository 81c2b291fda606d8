//! Opening a store: what it refuses, and what it finds again.

mod common;

use common::{Member, NOW, author, execute, group, meddle, message, open, read};
use lockstep_model::{ClientMsgId, ConversationId, DeviceId, OffsetsVersion, Seq, UserId};
use lockstep_ports::{Append, Appended, CursorRow, Directory, MessageLog, Offsets, Services};
use lockstep_store_sql::{OpenError, SqliteOptions, SqliteStore};
use std::fs;
use std::path::Path;

async fn refusal(folder: &Path) -> OpenError {
    let opened = SqliteStore::open(folder, SqliteOptions::default()).await;
    opened.err().expect("the store must not open")
}

#[tokio::test]
async fn a_folder_has_one_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let locked = refusal(folder.path()).await;
    assert!(matches!(locked, OpenError::Locked { .. }), "{locked}");
    store.close().await;
    open(folder.path()).await.close().await;
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).await.close().await;
    execute(&mut meddle(folder.path()).await, "PRAGMA user_version = 99").await;
    let newer = refusal(folder.path()).await;
    assert!(matches!(newer, OpenError::Newer { found: 99, .. }), "{newer}");
}

#[tokio::test]
async fn a_database_of_the_first_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = {
        fs::write(folder.path().join("lockstep.db"), "").expect("a file is written");
        meddle(folder.path()).await
    };
    execute(&mut first, include_str!("../migrations/0001_initial.sql")).await;
    execute(&mut first, "PRAGMA application_id = 1282368363; PRAGMA user_version = 1; PRAGMA journal_mode = WAL").await;
    // A user, a device (0x11 ...), a group (0x22 ...) and one send, as that version wrote them.
    let rows = "INSERT INTO conversations (id, kind, head, created_at, active_at) VALUES \
           (unhex('f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1'), 'feed', 0, 1, 1), \
           (unhex('22222222222222222222222222222222'), 'group', 1, 1, 1); \
         INSERT INTO users (id, feed, created_at) VALUES ('alice', unhex('f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1'), 1); \
         INSERT INTO devices (id, user, name, kind, created_at) VALUES \
           (unhex('11111111111111111111111111111111'), 'alice', 'phone', 'main', 1); \
         INSERT INTO members VALUES (unhex('22222222222222222222222222222222'), 0, 'alice', NULL, 1); \
         INSERT INTO entries VALUES (unhex('22222222222222222222222222222222'), 1, \
           unhex('33333333333333333333333333333333'), 'message', 'alice', unhex('11111111111111111111111111111111'), \
           'm1', '{\"text\":\"hi\",\"type\":\"text\"}', 1760000000000); \
         INSERT INTO sends VALUES ('m1', unhex('11111111111111111111111111111111'), \
           unhex('22222222222222222222222222222222'), 1, unhex('33333333333333333333333333333333'), 1760000000000, \
           unhex('2f832598f280701faa2b65664f25c1390204fd8a2e0e6f0f5c8eb66b66abb2af'))";
    execute(&mut first, rows).await;
    drop(first);

    let store = open(folder.path()).await;
    let (device, group) = (DeviceId::from_bytes([0x11; 16]), ConversationId::from_bytes([0x22; 16]));
    let alice = Member { user: UserId::new("alice").expect("a name"), device };
    let sent = Append { client_msg_id: ClientMsgId::new("m1").expect("a name"), ..message(&alice, group, "hi") };
    let resent = store.append(vec![sent, message(&alice, group, "next")]).await.expect("append");
    assert!(matches!(&resent[0], Ok(Appended::Already(first)) if first.seq == Seq::new(1)), "{resent:?}");
    assert_eq!(common::seqs(&resent[1..]), [Some(2)]);
    assert_eq!(store.services().await.expect("services"), []);
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lockstep.db");
    fs::write(&file, "This is a letter to the editor, and no database. ".repeat(100)).expect("a file is written");
    let letter = refusal(folder.path()).await;
    assert!(matches!(letter, OpenError::NotOurs { .. }), "{letter}");
    fs::remove_file(&file).expect("it was there");

    let mut connection = {
        fs::write(&file, "").expect("a file is written");
        meddle(folder.path()).await
    };
    execute(&mut connection, "CREATE TABLE recipes (name TEXT); INSERT INTO recipes VALUES ('soup')").await;
    let before = fs::read(&file).expect("it is there");
    let recipes = refusal(folder.path()).await;
    assert!(matches!(recipes, OpenError::NotOurs { .. }), "{recipes}");
    assert_eq!(fs::read(&file).expect("it is there"), before, "another program's database is not touched");
}

#[tokio::test]
async fn a_damaged_database_is_named_so() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).await.close().await;
    let file = folder.path().join("lockstep.db");
    let mut bytes = fs::read(&file).expect("it is there");
    // The header stays; the root page of the schema behind it does not.
    bytes[100..4_096].fill(0xa5);
    fs::write(&file, bytes).expect("a file is written");
    let damaged = refusal(folder.path()).await;
    assert!(matches!(damaged, OpenError::Corrupt { .. }), "{damaged}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file is written");
    let below_a_file = refusal(&file.join("data")).await;
    assert!(matches!(below_a_file, OpenError::Folder { .. }), "{below_a_file}");

    // Who may do everything is not stopped by rights; a folder in the lock's place stops everybody.
    fs::create_dir(folder.path().join("lockstep.lock")).expect("a folder is made");
    let unwritable = refusal(folder.path()).await;
    assert!(matches!(unwritable, OpenError::NotWritable { .. }), "{unwritable}");
}

#[tokio::test]
async fn everything_is_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("made/on the way");
    let store = open(&inner).await;
    let epoch = store.epoch();
    let (alice, bob) = (author(&store, "alice").await, author(&store, "bob").await);
    let conversation = group(&store, &[&alice, &bob]).await;
    let sent = message(&alice, conversation, "hello");
    store.append(vec![sent.clone(), message(&bob, conversation, "hi")]).await.expect("append");
    store.advance(bob.user.clone(), conversation, Seq::new(1)).await.expect("advance");
    let cursor = CursorRow { device: bob.device, conversation, seq: Seq::new(2) };
    store.store_cursors(vec![cursor]).await.expect("store_cursors");
    let connected = store.connect_device(bob.device, Default::default(), NOW).await.expect("connect_device");
    let look = async |store: &SqliteStore| {
        let followed = store.followed(bob.user.clone(), bob.device).await.expect("followed");
        let offsets = store.changed_since(bob.user.clone(), OffsetsVersion::ZERO, 9).await.expect("changed_since");
        let device = store.device(bob.device).await.expect("device");
        (read(store, conversation).await, followed, offsets, device)
    };
    let before = look(&store).await;
    assert_eq!(before.3, connected.ok().map(|connected| connected.device));
    store.close().await;

    let store = open(&inner).await;
    assert_eq!(store.epoch(), epoch);
    assert_eq!(look(&store).await, before);
    let resent = store.append(vec![sent]).await.expect("append");
    assert!(resent[0].is_ok() && common::seqs(&resent) == [None], "a resend is still known: {resent:?}");
    let next = store.append(vec![message(&alice, conversation, "again")]).await.expect("append");
    assert_eq!(common::seqs(&next), [Some(3)]);

    let elsewhere = open(&folder.path().join("other")).await;
    assert_ne!(elsewhere.epoch(), epoch);
    assert_eq!(elsewhere.bounds(vec![ConversationId::generate()]).await.expect("bounds"), [None]);
}
