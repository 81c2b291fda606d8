//! What entries about entries do to a log: edits, recalls, reactions, answers and mentions.

use super::Stores;
use super::services::new_service;
use super::world::{Member, at, message, message_of, new_entry, nobody, seq};
use crate::{Actor, Append, AppendRefusal, Appended, Author, NewConversation, NewGroup};
use lockstep_model::{Body, ConversationId, ConversationKind, Entry, EntryId, History, Kind, Role, Sent, UserId};

/// Checks what a store does with entries about others.
pub async fn messages(stores: &Stores) {
    what_may_be_said_about_a_message(stores).await;
    what_is_no_message_is_no_target(stores).await;
    a_recall_erases(stores).await;
    a_recall_reaches_the_edits_of_what_is_gone(stores).await;
    a_batch_about_itself(stores).await;
    resends_are_answered_whatever_happened_since(stores).await;
    services_edit_their_own(stores).await;
    who_recalls_what_others_said(stores).await;
    answers_and_mentions_pass(stores).await;
}

fn of_kind(author: &Member, conversation: ConversationId, kind: Kind, body: Body) -> Append {
    Append { kind, body, ..message(author, conversation, "") }
}

fn edit(author: &Member, conversation: ConversationId, target: u64, text: &str) -> Append {
    of_kind(author, conversation, Kind::Edit, Body::edit(seq(target), &Body::text(text)))
}

fn recall(author: &Member, conversation: ConversationId, target: u64) -> Append {
    of_kind(author, conversation, Kind::Recall, Body::recall(seq(target)))
}

fn react(author: &Member, conversation: ConversationId, target: u64, on: bool) -> Append {
    of_kind(author, conversation, Kind::Reaction, Body::reaction(seq(target), "+1", on))
}

fn refused(outcome: &Result<Appended, AppendRefusal>) -> Option<AppendRefusal> {
    outcome.as_ref().err().copied()
}

async fn bodies(stores: &Stores, conversation: ConversationId) -> Vec<String> {
    stores.range(conversation, 1, 100).await.iter().map(|entry| entry.body.as_json().to_owned()).collect()
}

/// The author, another member, one who is none, and their group.
async fn house(stores: &Stores) -> (Member, Member, Member, ConversationId) {
    let (author, other, stranger) =
        (stores.make_author().await, stores.make_author().await, stores.make_author().await);
    let group = stores.make_group(&[&author.user, &other.user], at(0)).await.id;
    (author, other, stranger, group)
}

async fn what_may_be_said_about_a_message(stores: &Stores) {
    use AppendRefusal::{BadContent, NoSuchTarget, NotMember, NotYours, Recalled};
    let (author, other, stranger, group) = house(stores).await;
    stores.fill(&author, group, 2).await;
    let other_device = Member { device: stores.make_device(&author.user).await.id, ..author.clone() };
    let cases: Vec<(Append, Option<AppendRefusal>)> = vec![
        (edit(&author, group, 1, "better"), None),
        (edit(&other_device, group, 1, "best"), None),
        (edit(&other, group, 1, "mine now"), Some(NotYours)),
        (edit(&stranger, group, 1, "x"), Some(NotMember)),
        (react(&author, group, 1, true), None),
        (react(&other, group, 1, true), None),
        (react(&other, group, 1, true), None),
        (react(&other, group, 1, false), None),
        (react(&stranger, group, 1, true), Some(NotMember)),
        (recall(&other, group, 1), Some(NotYours)),
        (recall(&stranger, group, 1), Some(NotMember)),
        (edit(&author, group, 99, "x"), Some(NoSuchTarget)),
        (recall(&author, group, 99), Some(NoSuchTarget)),
        (react(&author, group, 0, true), Some(NoSuchTarget)),
        (of_kind(&author, group, Kind::Edit, Body::text("x")), Some(BadContent)),
        (of_kind(&author, group, Kind::Recall, Body::text("x")), Some(BadContent)),
        (of_kind(&author, group, Kind::Message, Body::recalled()), Some(BadContent)),
        (recall(&other_device, group, 1), None),
        (edit(&author, group, 1, "too late"), Some(Recalled)),
        (react(&other, group, 1, true), Some(Recalled)),
        (recall(&author, group, 1), Some(Recalled)),
        (recall(&other, group, 1), Some(NotYours)),
        (edit(&author, group, 2, "the other one"), None),
    ];
    for (number, (append, expected)) in cases.into_iter().enumerate() {
        let outcome = stores.append_one(append).await;
        assert_eq!(refused(&outcome), expected, "case {number}");
    }
}

/// Neither what is about a message, nor what the server says, nor what is in another conversation or below the floor.
async fn what_is_no_message_is_no_target(stores: &Stores) {
    let (author, other, _, group) = house(stores).await;
    stores.fill(&author, group, 2).await;
    stores.append_one(edit(&author, group, 1, "new")).await.expect("an edit");
    let elsewhere = stores.make_group(&[&author.user, &other.user], at(0)).await.id;
    stores.log.raise_floor(group, seq(2)).await.expect("raise_floor");
    for append in [
        edit(&author, group, 3, "an edit of an edit"),
        react(&other, group, 3, true),
        recall(&author, group, 3),
        react(&author, elsewhere, 2, true),
        react(&author, group, 1, true),
        edit(&author, group, 1, "x"),
        recall(&other, elsewhere, 1),
    ] {
        assert_eq!(refused(&stores.append_one(append).await), Some(AppendRefusal::NoSuchTarget));
    }
    assert_eq!(stores.range_seqs(group, 1, 10).await, [2, 3]);
}

async fn a_recall_erases(stores: &Stores) {
    let (author, other, _, group) = house(stores).await;
    let stub = Body::recalled();
    for text in ["secret", "kept"] {
        stores.append_one(message(&author, group, text)).await.expect("a message");
    }
    let before =
        [edit(&author, group, 1, "more secret"), edit(&author, group, 2, "kept too"), react(&other, group, 1, true)];
    for append in before {
        stores.append_one(append).await.expect("stored");
    }
    let written = stores.range(group, 1, 10).await;
    let withdrawal = new_entry(&stores.append_one(recall(&author, group, 1)).await).clone();
    let read = stores.range(group, 1, 10).await;
    // All but the bodies of the message and of its edit stands as it was.
    let mut expected: Vec<Entry> = written;
    expected[0].body = stub.clone();
    expected[2].body = stub;
    expected.push(withdrawal);
    assert_eq!(read, expected);
    assert!(!bodies(stores, group).await.concat().contains("secret"));
}

/// Retention takes a message before its edits, whose bodies say no less.
async fn a_recall_reaches_the_edits_of_what_is_gone(stores: &Stores) {
    use AppendRefusal::{NoSuchTarget, NotMember, NotYours, Recalled};
    let (author, other, stranger, group) = house(stores).await;
    let before = [
        message(&author, group, "secret"),
        message(&author, group, "never edited"),
        edit(&author, group, 1, "more secret"),
        edit(&author, group, 1, "most secret"),
        message(&author, group, "kept"),
        edit(&author, group, 1, "too secret"),
        edit(&author, group, 5, "kept too"),
        react(&other, group, 1, true),
    ];
    for append in before {
        stores.append_one(append).await.expect("stored");
    }
    stores.log.raise_floor(group, seq(4)).await.expect("raise_floor");
    let written = stores.range(group, 1, 10).await;
    let cases = [
        (edit(&author, group, 1, "x"), Some(NoSuchTarget)),
        (react(&author, group, 1, true), Some(NoSuchTarget)),
        (recall(&author, group, 2), Some(NoSuchTarget)),
        (recall(&author, group, 3), Some(NoSuchTarget)),
        (recall(&other, group, 1), Some(NotYours)),
        (recall(&stranger, group, 1), Some(NotMember)),
        (recall(&author, group, 1), None),
        (recall(&author, group, 1), Some(Recalled)),
    ];
    for (append, expected) in cases {
        assert_eq!(refused(&stores.append_one(append).await), expected);
    }
    let mut expected = written;
    expected[0].body = Body::recalled();
    expected[2].body = Body::recalled();
    assert_eq!(stores.range(group, 4, 5).await, expected);
    // Where nothing of it is left there is nothing to erase.
    stores.log.raise_floor(group, seq(7)).await.expect("raise_floor");
    assert_eq!(refused(&stores.append_one(recall(&author, group, 1)).await), Some(NoSuchTarget));
    assert_eq!(refused(&stores.append_one(recall(&author, group, 5)).await), None);
    assert!(!bodies(stores, group).await.concat().contains("kept"));
}

/// Rows of one batch count as if one came after the other.
async fn a_batch_about_itself(stores: &Stores) {
    let (author, other, _, group) = house(stores).await;
    let batch = vec![
        message(&author, group, "secret"),
        edit(&author, group, 1, "secret"),
        edit(&other, group, 1, "x"),
        react(&other, group, 1, true),
        react(&other, group, 9, true),
        recall(&author, group, 1),
        edit(&author, group, 1, "secret"),
        message(&other, group, "next"),
        edit(&author, group, 5, "x"),
        edit(&other, group, 5, "next indeed"),
    ];
    let outcomes = stores.log.append(batch).await.expect("append");
    let found: Vec<_> = outcomes.iter().map(refused).collect();
    let (not_yours, recalled) = (Some(AppendRefusal::NotYours), Some(AppendRefusal::Recalled));
    let no_target = Some(AppendRefusal::NoSuchTarget);
    assert_eq!(found, [None, None, not_yours, None, no_target, None, recalled, None, not_yours, None]);
    assert_eq!(stores.range_seqs(group, 1, 10).await, [1, 2, 3, 4, 5, 6]);
    assert!(!bodies(stores, group).await.concat().contains("secret"));
}

async fn resends_are_answered_whatever_happened_since(stores: &Stores) {
    let (author, _, _, group) = house(stores).await;
    let appends = [message(&author, group, "first"), edit(&author, group, 1, "second"), recall(&author, group, 1)];
    let mut answers = Vec::new();
    for append in &appends {
        let entry = new_entry(&stores.append_one(append.clone()).await).clone();
        answers.push(Sent {
            conversation: group,
            seq: entry.seq,
            id: entry.id,
            sent_at: entry.sent_at,
            duplicate: true,
        });
    }
    for (append, sent) in appends.iter().zip(answers) {
        let resend = |append: &Append| Append { id: EntryId::generate(), sent_at: at(9), ..append.clone() };
        assert_eq!(stores.append_one(resend(append)).await, Ok(Appended::Already(sent)));
        let another = Append { body: Body::text("another"), kind: Kind::Message, ..resend(append) };
        assert_eq!(refused(&stores.append_one(another).await), Some(AppendRefusal::DuplicateId));
    }
    assert_eq!(stores.range_seqs(group, 1, 10).await, [1, 2, 3]);
}

async fn services_edit_their_own(stores: &Stores) {
    let (author, _, _, group) = house(stores).await;
    let (billing, other) = (new_service(), new_service());
    let by = |service: &lockstep_model::ServiceName, kind, body| Append {
        kind,
        body,
        ..message_of(Author::Service(service.clone()), group, "")
    };
    let better = || Body::edit(seq(1), &Body::text("paid"));
    stores.append_one(message_of(Author::Service(billing.clone()), group, "unpaid")).await.expect("a message");
    let own = stores.append_one(by(&billing, Kind::Edit, better())).await;
    assert_eq!(refused(&own), None);
    for (append, expected) in [
        (by(&other, Kind::Edit, better()), Some(AppendRefusal::NotYours)),
        (edit(&author, group, 1, "x"), Some(AppendRefusal::NotYours)),
        (by(&other, Kind::Reaction, Body::reaction(seq(1), "+1", true)), None),
        (by(&billing, Kind::Recall, Body::recall(seq(1))), None),
    ] {
        assert_eq!(refused(&stores.append_one(append).await), expected);
    }
}

async fn who_recalls_what_others_said(stores: &Stores) {
    let (owner, admin, member) = (stores.make_author().await, stores.make_author().await, stores.make_author().await);
    let id = ConversationId::generate();
    let members = vec![owner.user.clone(), admin.user.clone(), member.user.clone()];
    let conversation = NewConversation { id, kind: ConversationKind::Group, title: None, members, now: at(0) };
    let group = NewGroup { conversation, avatar: None, custom: None, history: History::None };
    stores.directory.create_group(group).await.expect("create_group").expect("all exist");
    let actor = Actor { user: owner.user.clone(), conversation: id, now: at(0) };
    stores.directory.set_role(actor, admin.user.clone(), Role::Admin).await.expect("set_role").expect("the owner may");
    let mut said = Vec::new();
    for author in [&owner, &admin, &member, &member] {
        said.push(new_entry(&stores.append_one(message(author, id, "x")).await).seq.get());
    }
    let not_yours = Some(AppendRefusal::NotYours);
    let cases = [
        (&member, said[0], not_yours),
        (&member, said[1], not_yours),
        (&admin, said[2], None),
        (&owner, said[3], None),
        (&admin, said[0], None),
        (&owner, said[1], None),
        // What the server says is no message.
        (&owner, 1, Some(AppendRefusal::NoSuchTarget)),
    ];
    for (author, target, expected) in cases {
        assert_eq!(refused(&stores.append_one(recall(author, id, target)).await), expected, "{target}");
    }
    for author in [&owner, &admin] {
        let target = new_entry(&stores.append_one(message(&member, id, "x")).await).seq.get();
        assert_eq!(refused(&stores.append_one(edit(author, id, target, "x")).await), not_yours, "roles do not edit");
    }
}

async fn answers_and_mentions_pass(stores: &Stores) {
    let (author, other, stranger, group) = house(stores).await;
    stores.fill(&author, group, 1).await;
    let say = |reply_to: u64, mentions: &[&UserId]| {
        let names: Vec<String> = mentions.iter().map(|user| format!("\"{user}\"")).collect();
        let json = format!(r#"{{"type":"text","reply_to":{reply_to},"mentions":[{}]}}"#, names.join(","));
        of_kind(&author, group, Kind::Message, Body::parse(&json).expect("a body"))
    };
    let nobody = nobody();
    let cases = [
        (say(1, &[&other.user]), None),
        (say(2, &[&other.user, &author.user, &stranger.user, &nobody]), None),
        (say(4, &[]), Some(AppendRefusal::NoSuchTarget)),
        (say(3, &[]), None),
    ];
    for (append, expected) in cases {
        assert_eq!(refused(&stores.append_one(append).await), expected);
    }
}
