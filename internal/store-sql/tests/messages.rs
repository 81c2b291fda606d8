//! What entries about entries cost, and what they leave in the tables.

mod common;

use common::{Member, author, count, execute, group, meddle, message, open, read};
use lockstep_model::{Body, ConversationId, Kind, Seq, UnixMs};
use lockstep_ports::{Append, AppendRefusal, MessageLog};
use lockstep_store_sql::SqliteStore;

/// The question what is there, and the writing with the commit.
const TRIPS_OF_MESSAGES: u64 = 2;

fn of_kind(member: &Member, conversation: ConversationId, kind: Kind, body: Body) -> Append {
    Append { kind, body, ..message(member, conversation, "") }
}

fn mentioning(member: &Member, conversation: ConversationId, named: &[&str]) -> Append {
    let names: Vec<String> = named.iter().map(|name| format!("\"{name}\"")).collect();
    let json = format!(r#"{{"type":"text","mentions":[{}]}}"#, names.join(","));
    of_kind(member, conversation, Kind::Message, Body::parse(&json).expect("a body"))
}

async fn trips(store: &SqliteStore, batch: Vec<Append>) -> u64 {
    let before = store.stats();
    for outcome in store.append(batch).await.expect("append") {
        outcome.expect("it is appended");
    }
    let after = store.stats();
    assert_eq!(after.commits - before.commits, 1);
    after.transaction_trips - before.transaction_trips
}

#[tokio::test]
async fn plain_messages_cost_no_statement_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let alice = author(&store, "alice").await;
    let conversation = group(&store, &[&alice]).await;
    let target = Seq::new(1);
    let plain = || message(&alice, conversation, "plain");
    let answer = Body::parse(r#"{"type":"text","reply_to":1,"mentions":[]}"#).expect("a body");
    let answer = || of_kind(&alice, conversation, Kind::Message, answer.clone());
    let react = || of_kind(&alice, conversation, Kind::Reaction, Body::reaction(target, "+1", true));
    let edit = || of_kind(&alice, conversation, Kind::Edit, Body::edit(target, &Body::text("new")));
    let recall = of_kind(&alice, conversation, Kind::Recall, Body::recall(target));
    let cases: Vec<(&str, Vec<Append>, u64)> = vec![
        ("one message", vec![plain()], TRIPS_OF_MESSAGES),
        ("messages", (0..100).map(|_| plain()).collect(), TRIPS_OF_MESSAGES),
        ("answers", vec![plain(), answer(), answer()], TRIPS_OF_MESSAGES),
        ("reactions: what they are about", vec![plain(), react(), react()], TRIPS_OF_MESSAGES + 1),
        ("mentions: theirs, the commit", vec![plain(), mentioning(&alice, conversation, &["alice"])], 6),
        ("edits", vec![edit(), plain()], 7),
        ("a recall", vec![recall, plain()], 7),
    ];
    for (what, batch, most) in cases {
        let found = trips(&store, batch).await;
        assert!(found <= most, "{what}: {found} trips");
    }
}

#[tokio::test]
async fn mentions_are_of_members_and_go_with_their_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let (alice, ben) = (author(&store, "alice").await, author(&store, "ben").await);
    author(&store, "eve").await;
    let conversation = group(&store, &[&alice, &ben]).await;
    let named = ["alice", "ben", "ben", "eve", "nobody"];
    let batch: Vec<Append> = (0..3).map(|_| mentioning(&alice, conversation, &named)).collect();
    store.append(batch).await.expect("append");
    let mut tables = meddle(folder.path()).await;
    let of_ben = "SELECT count(*) FROM mentions WHERE user = 'ben'";
    assert_eq!(count(&mut tables, of_ben).await, 3);
    assert_eq!(count(&mut tables, "SELECT count(*) FROM mentions").await, 6);
    let recall = of_kind(&alice, conversation, Kind::Recall, Body::recall(Seq::new(2)));
    store.append(vec![recall]).await.expect("append").remove(0).expect("it is recalled");
    assert_eq!(count(&mut tables, of_ben).await, 2);
    assert_eq!(count(&mut tables, "SELECT count(*) FROM entries WHERE recalled = 1 AND seq = 2").await, 1);
    store.raise_floor(conversation, Seq::new(2)).await.expect("raise_floor");
    store.maintain(UnixMs::ZERO).await.expect("maintain");
    assert_eq!(count(&mut tables, of_ben).await, 1);
    assert_eq!(count(&mut tables, "SELECT count(*) FROM mentions WHERE seq = 3").await, 2);
}

#[tokio::test]
async fn a_recalled_message_is_not_in_the_tables_any_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let alice = author(&store, "alice").await;
    let conversation = group(&store, &[&alice]).await;
    let target = Seq::new(1);
    let edit = |text: &str| of_kind(&alice, conversation, Kind::Edit, Body::edit(target, &Body::text(text)));
    let mut batch = vec![message(&alice, conversation, "secret")];
    batch.extend((0..300).map(|_| edit("secret")));
    batch.push(message(&alice, conversation, "kept"));
    store.append(batch).await.expect("append");
    let recall = of_kind(&alice, conversation, Kind::Recall, Body::recall(target));
    store.append(vec![recall]).await.expect("append").remove(0).expect("it is recalled");
    let entries = read(&store, conversation).await;
    let stubs = entries.iter().filter(|entry| entry.body == Body::recalled()).count();
    assert_eq!((entries.len(), stubs), (303, 301));
    let mut tables = meddle(folder.path()).await;
    assert_eq!(count(&mut tables, "SELECT count(*) FROM entries WHERE recalled = 1").await, 301);
    assert_eq!(count(&mut tables, "SELECT count(*) FROM entries WHERE body LIKE '%secret%'").await, 0);
}

/// What is known of edits goes with them, not with their message.
#[tokio::test]
async fn edits_are_known_until_they_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let (alice, ben) = (author(&store, "alice").await, author(&store, "ben").await);
    let conversation = group(&store, &[&alice, &ben]).await;
    let edit = || of_kind(&alice, conversation, Kind::Edit, Body::edit(Seq::new(1), &Body::text("secret")));
    let recall = |by: &Member| of_kind(by, conversation, Kind::Recall, Body::recall(Seq::new(1)));
    let mut batch = vec![message(&alice, conversation, "secret")];
    batch.extend((0..1_200).map(|_| edit()));
    store.append(batch).await.expect("append");
    let mut tables = meddle(folder.path()).await;
    // More than one step takes.
    store.raise_floor(conversation, Seq::new(1_102)).await.expect("raise_floor");
    store.maintain(UnixMs::ZERO).await.expect("maintain");
    assert_eq!(count(&mut tables, "SELECT count(*) FROM edits").await, 100);
    // Alice came when the message had been gone for long, and does not see any of the edits.
    execute(&mut tables, "UPDATE members SET visible_from_seq = 1202 WHERE user = 'alice'").await;
    let outcome = store.append(vec![recall(&alice)]).await.expect("append").remove(0);
    assert_eq!(outcome.err(), Some(AppendRefusal::NoSuchTarget));
    execute(&mut tables, "UPDATE members SET visible_from_seq = 1201 WHERE user = 'alice'").await;
    // The message and its edits have one author; the owner may recall what others said.
    execute(&mut tables, "UPDATE members SET role = 'member'").await;
    let outcome = store.append(vec![recall(&ben)]).await.expect("append").remove(0);
    assert_eq!(outcome.err(), Some(AppendRefusal::NotYours));
    execute(&mut tables, "UPDATE members SET role = 'owner' WHERE user = 'ben'").await;
    store.append(vec![recall(&ben)]).await.expect("append").remove(0).expect("it is recalled");
    assert_eq!(count(&mut tables, "SELECT count(*) FROM entries WHERE recalled = 1").await, 100);
    assert_eq!(count(&mut tables, "SELECT count(*) FROM entries WHERE body LIKE '%secret%'").await, 0);
    store.raise_floor(conversation, Seq::new(1_202)).await.expect("raise_floor");
    store.maintain(UnixMs::ZERO).await.expect("maintain");
    assert_eq!(count(&mut tables, "SELECT count(*) FROM edits").await, 0);
}

/// What a member may not see cannot be reacted to, edited or recalled (I11).
#[tokio::test]
async fn only_what_the_author_may_see_is_a_target() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let (alice, ben) = (author(&store, "alice").await, author(&store, "ben").await);
    let conversation = group(&store, &[&alice, &ben]).await;
    let batch = (0..12).map(|_| message(&ben, conversation, "hello")).collect();
    store.append(batch).await.expect("append");
    let mut tables = meddle(folder.path()).await;
    // Ben was there from 3 to 5, left, and came back after 9, from where on he sees everything since 8.
    execute(
        &mut tables,
        "UPDATE members SET left_seq = 5, visible_from_seq = 3 WHERE user = 'ben' AND left_seq IS NULL \
           AND conversation IN (SELECT id FROM conversations WHERE kind = 'group'); \
         INSERT INTO members (conversation, joined_seq, user, left_seq, visible_from_seq) \
           SELECT conversation, 9, 'ben', NULL, 8 FROM members \
           WHERE user = 'ben' AND left_seq = 5;",
    )
    .await;
    for target in 1..=12 {
        let react = of_kind(&ben, conversation, Kind::Reaction, Body::reaction(Seq::new(target), "+1", true));
        let outcome = store.append(vec![react]).await.expect("append").remove(0);
        let seen = matches!(target, 3..=5 | 8..=12);
        assert_eq!(outcome.err(), (!seen).then_some(AppendRefusal::NoSuchTarget), "{target}");
    }
}
