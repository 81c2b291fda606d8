//! What an append costs does not depend on how many hear of it.

mod common;

use common::{Member, NOW, author, count, execute, group, meddle, message, open};
use lockstep_model::{ConversationId, ConversationKind, DetailsChange, History, Role, Seq, UserId};
use lockstep_ports::{Actor, CursorRow, Directory, Groups, MessageLog, NewConversation, NewGroup, Offsets};
use lockstep_store_sql::SqliteStore;

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

/// A room with so many members besides its owner, written by a meddler: one command names a thousand at the most.
async fn crowded_room(folder: &std::path::Path, members: u64) -> (SqliteStore, Member, ConversationId) {
    let store = open(folder).await;
    let owner = author(&store, "owner").await;
    let (id, kind) = (ConversationId::generate(), ConversationKind::Room);
    let conversation = NewConversation { id, kind, title: None, members: vec![owner.user.clone()], now: NOW };
    let new = NewGroup { conversation, avatar: None, custom: None, history: History::All };
    store.create_group(new).await.expect("create_group").expect("the owner exists");
    let mut meddler = meddle(folder).await;
    // Each feed's id is its number in 16 hexadecimal digits, twice.
    let crowd = "CREATE TEMP TABLE crowd AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) \
         SELECT 'member-' || i AS name, unhex(format('%016x%016x', i, i)) AS feed FROM n; \
         INSERT INTO conversations (id, kind, created_at, active_at) SELECT feed, 'feed', 1, 1 FROM crowd; \
         INSERT INTO users (id, feed, created_at, conversation_count) SELECT name, feed, 1, 1 FROM crowd; \
         INSERT INTO members (conversation, joined_seq, user, visible_from_seq) \
           SELECT c.id, 0, name, 1 FROM crowd, conversations c WHERE c.kind = 'room'; \
         UPDATE conversations SET member_count = 100000 WHERE kind = 'room'";
    execute(&mut meddler, crowd).await;
    assert_eq!(count(&mut meddler, "SELECT count(*) FROM members").await as u64, members + 2);
    (store, owner, id)
}

#[tokio::test]
async fn what_a_change_of_a_room_writes_does_not_depend_on_its_size() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, owner, room) = crowded_room(folder.path(), 99_999).await;
    let actor = |user: &UserId| Actor { user: user.clone(), conversation: room, now: NOW };
    let member = |number: u64| UserId::new(&format!("member-{number}")).expect("a user");
    let rows = || store.stats().group_rows_written;
    let mut before = rows();
    let mut written = || {
        let written = rows() - before;
        before += written;
        written
    };
    let title = DetailsChange { title: Some(Some("renamed".into())), ..DetailsChange::default() };
    store.change_details(actor(&owner.user), title.clone()).await.expect("change_details").expect("an owner may");
    assert_eq!(written(), 3, "the details, an entry, the head");
    store.change_details(actor(&owner.user), title).await.expect("change_details").expect("nothing is wrong with it");
    assert_eq!(written(), 0);
    store.set_role(actor(&owner.user), member(7), Role::Admin).await.expect("set_role").expect("an owner may");
    assert_eq!(written(), 3, "the role, an entry, the head");
    store.leave(actor(&member(8))).await.expect("leave").expect("a member may");
    assert_eq!(
        written(),
        7,
        "the stay, the user's count, the room's, an entry with its head, one in the feed with its"
    );
    store.join(actor(&member(8))).await.expect("join").expect("a room is open");
    assert_eq!(written(), 7);
    store.remove_member(actor(&member(7)), member(9)).await.expect("remove_member").expect("an admin may");
    assert_eq!(written(), 7);
    // The owner goes; among so many the admin is found.
    store.leave(actor(&owner.user)).await.expect("leave").expect("an owner may");
    assert_eq!(written(), 9, "as any stay that ends, and the new owner's role with its entry");
    let standing = store.standing(member(7), room).await.expect("standing").expect("it is there");
    assert_eq!((standing.role, standing.conversation.member_count), (Some(Role::Owner), 99_998));
}

#[tokio::test]
async fn a_thousand_are_invited_in_one_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let owner = author(&store, "owner").await;
    let mut users = Vec::new();
    for number in 0..1_000 {
        let user = UserId::new(&format!("user-{number:04}")).expect("a user");
        users.push(store.ensure_user(user, NOW).await.expect("ensure_user").id);
    }
    let (id, kind) = (ConversationId::generate(), ConversationKind::Room);
    let conversation = NewConversation { id, kind, title: None, members: vec![owner.user.clone()], now: NOW };
    let new = NewGroup { conversation, avatar: None, custom: None, history: History::All };
    store.create_group(new).await.expect("create_group").expect("the owner exists");
    let before = store.stats();
    let actor = Actor { user: owner.user, conversation: id, now: NOW };
    let added = store.add_members(actor, users.clone()).await.expect("add_members").expect("an owner may");
    let after = store.stats();
    assert_eq!((added.value, added.entries.len()), (users, 1_001));
    assert_eq!(after.commits - before.commits, 1);
    // Each: the stay, the user's count, an entry of the feed and its head. Once: the room's count, an entry and its head.
    assert_eq!(after.group_rows_written - before.group_rows_written, 4 * 1_000 + 3);
}
