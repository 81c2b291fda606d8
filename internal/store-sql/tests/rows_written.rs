//! What an append costs does not depend on how many hear of it.

mod common;

use common::{Member, author, group, message, open};
use lockstep_model::Seq;
use lockstep_ports::{CursorRow, Directory, MessageLog, Offsets};

const MEMBERS: usize = 500;
/// An entry, what remembers its send with its row in an index, and the conversation's head.
const ROWS_OF_A_SINGLE_APPEND: u64 = 4;

#[tokio::test]
async fn an_append_writes_few_rows_however_many_members() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let mut members: Vec<Member> = Vec::new();
    for number in 0..MEMBERS {
        members.push(author(&store, &format!("member-{number}")).await);
    }
    let all = group(&store, &members.iter().collect::<Vec<_>>()).await;
    let before = store.stats();
    store.append(vec![message(&members[0], all, "hello everybody")]).await.expect("append");
    let single = store.stats();
    assert_eq!(single.append_rows_written - before.append_rows_written, ROWS_OF_A_SINGLE_APPEND);
    assert_eq!(single.entries_appended - before.entries_appended, 1);
    assert_eq!(single.commits - before.commits, 1);

    let batch: Vec<_> = (0..100).map(|number| message(&members[number], all, "one of many")).collect();
    store.append(batch.clone()).await.expect("append");
    let many = store.stats();
    assert_eq!(many.append_rows_written - single.append_rows_written, 3 * 100 + 1, "one head for the whole batch");
    assert_eq!(many.commits - single.commits, 1);
    store.append(batch).await.expect("append");
    assert_eq!(store.stats().append_rows_written, many.append_rows_written, "a resend writes nothing");
}

#[tokio::test]
async fn what_does_not_rise_is_not_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let alice = author(&store, "alice").await;
    let conversation = group(&store, &[&alice]).await;
    // (to, cursor rows written, offset rows written)
    for (to, cursor_rows, offset_rows) in [(5, 1, 3), (5, 0, 0), (3, 0, 0), (6, 1, 3)] {
        let before = store.stats();
        let cursor = CursorRow { device: alice.device, conversation, seq: Seq::new(to) };
        store.store_cursors(vec![cursor]).await.expect("store_cursors");
        store.advance(alice.user.clone(), conversation, Seq::new(to)).await.expect("advance");
        let after = store.stats();
        assert_eq!(after.cursor_rows_written - before.cursor_rows_written, cursor_rows, "to {to}");
        assert_eq!(after.offset_rows_written - before.offset_rows_written, offset_rows, "to {to}");
    }
    let before = store.stats();
    store.bounds(vec![conversation; 200]).await.expect("bounds");
    store.followed(alice.user.clone(), alice.device).await.expect("followed");
    assert_eq!(store.stats().read_queries - before.read_queries, 2, "many in one query");
}
