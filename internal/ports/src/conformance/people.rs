//! The part of the directory's suite about people.

use super::Stores;
use super::world::{Member, at, message, message_of, nobody, seq};
use crate::{AppendRefusal, Appended, Author, Committed, DirectoryRefusal, NewConversation, PeopleRefusal, Range};
use lockstep_model::{
    Alias, AliasName, AliasTarget, Block, ClientMsgId, Contact, ConversationId, ConversationKind, Custom, Entry,
    MemberState, PersonalChange, Profile, ProfileChange, ServiceName, StateChange, UnixMs, User, UserId,
};

pub(super) async fn people(stores: &Stores) {
    a_profile_changes_in_parts(stores).await;
    contacts_in_the_order_of_their_ids(stores).await;
    a_block_stops_both(stores).await;
    a_block_before_the_first_message(stores).await;
    the_state_of_a_conversation(stores).await;
    what_is_hidden_is_no_part_of_a_stay(stores).await;
    aliases_stand_for_one_thing(stores).await;
}

/// The bodies of the feed after its first `skipped` entries, as the last commit left it.
async fn feed(stores: &Stores, user: &User, skipped: u64) -> Vec<String> {
    let range = Range { conversation: user.feed, from: seq(skipped + 1), count: 100 };
    let entries = stores.log.ranges(vec![range]).await.expect("ranges").remove(0);
    entries.iter().map(|entry| entry.body.as_json().to_owned()).collect()
}

fn bodies(changes: &[PersonalChange<'_>]) -> Vec<String> {
    changes.iter().map(|change| change.to_body().as_json().to_owned()).collect()
}

/// What a command did, whose entries are those that the feed has after it.
async fn checked<T>(stores: &Stores, user: &User, committed: Committed<T>) -> T {
    let all: Vec<Entry> = stores.range(user.feed, 1, 100).await;
    let told = &all[all.len() - committed.entries.len()..];
    assert_eq!(told, committed.entries, "what is published is what the feed holds");
    committed.value
}

async fn a_profile_changes_in_parts(stores: &Stores) {
    let (user, other) = (stores.make_user().await, stores.make_user().await);
    let id = user.id.clone();
    let mut profile = Profile { id: id.clone(), name: None, avatar: None, custom: Custom::default() };
    let profiles = async |users: &[&UserId]| {
        let users = users.iter().map(|&user| user.clone()).collect();
        stores.directory.profiles(users).await.expect("profiles")
    };
    assert_eq!(profiles(&[&id]).await, [profile.clone()]);
    let custom = Custom::parse(r#"{"b":1.50,"a":[1]}"#).expect("it is an object");
    let named = ProfileChange { name: Some(Some("Ana \u{1f980}".into())), ..ProfileChange::default() };
    let pictured = ProfileChange { avatar: Some(Some("https://x/a".into())), custom: Some(custom.clone()), name: None };
    let plain = ProfileChange { name: Some(None), ..ProfileChange::default() };
    let mut told = Vec::new();
    for (change, expected) in [
        (named, Profile { name: Some("Ana \u{1f980}".into()), ..profile.clone() }),
        (
            pictured,
            Profile {
                name: Some("Ana \u{1f980}".into()),
                avatar: Some("https://x/a".into()),
                custom: custom.clone(),
                ..profile.clone()
            },
        ),
        (plain, Profile { avatar: Some("https://x/a".into()), custom, ..profile.clone() }),
    ] {
        let changed = stores.directory.change_profile(id.clone(), change.clone(), at(1)).await.expect("change_profile");
        profile = checked(stores, &user, changed.expect("the user exists")).await;
        assert_eq!(profile, expected);
        told.extend(bodies(&[PersonalChange::Profile(&profile)]));
        let again = stores.directory.change_profile(id.clone(), change, at(2)).await.expect("change_profile");
        assert_eq!(again, Ok(Committed { value: expected, entries: vec![] }), "again: nothing");
    }
    assert_eq!(feed(stores, &user, 0).await, told);
    assert!(feed(stores, &other, 0).await.is_empty(), "others are not told");
    let found = profiles(&[&other.id, &nobody(), &id]).await;
    assert_eq!(found.iter().map(|profile| &profile.id).collect::<Vec<_>>(), [&other.id, &id]);
    let refused = stores.directory.change_profile(nobody(), ProfileChange::default(), at(1)).await;
    assert_eq!(refused.expect("change_profile"), Err(PeopleRefusal::NoSuchUser));
}

async fn contacts_in_the_order_of_their_ids(stores: &Stores) {
    let owner = stores.make_user().await;
    let mut others = vec![stores.make_user().await.id, stores.make_user().await.id, stores.make_user().await.id];
    others.sort();
    let put = async |user: &UserId, name: Option<&str>, now: u64| {
        let name = name.map(str::to_owned);
        stores.directory.put_contact(owner.id.clone(), user.clone(), name, at(now)).await.expect("put_contact")
    };
    for (number, user) in [2, 0, 1].into_iter().map(|number| (number, &others[number])) {
        let made = put(user, None, number as u64).await.expect("it fits");
        let expected = Contact { user: user.clone(), name: None, created_at: at(number as u64) };
        assert_eq!(checked(stores, &owner, made).await, expected);
    }
    let named = put(&others[1], Some("Benny"), 9).await.expect("it fits");
    assert_eq!(named.value, Contact { user: others[1].clone(), name: Some("Benny".into()), created_at: at(1) });
    assert_eq!(named.entries.len(), 1);
    assert!(put(&others[1], Some("Benny"), 10).await.expect("it fits").entries.is_empty(), "again: nothing");
    let list = async |after: Option<&UserId>, count| {
        let listed = stores.directory.contacts(owner.id.clone(), after.cloned(), count).await.expect("contacts");
        listed.into_iter().map(|contact| contact.user).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 10).await, others);
    assert_eq!((list(None, 2).await, list(Some(&others[1]), 2).await), (others[..2].to_vec(), others[2..].to_vec()));
    assert_eq!(put(&nobody(), None, 1).await, Err(PeopleRefusal::NoSuchUser));
    assert_eq!(put(&owner.id, None, 1).await, Err(PeopleRefusal::NoSuchUser));
    let remove = async || {
        let removed = stores.directory.remove_contact(owner.id.clone(), others[1].clone(), at(11)).await;
        removed.expect("remove_contact").entries.len()
    };
    assert_eq!((remove().await, remove().await), (1, 0));
    assert_eq!(list(None, 10).await, [others[0].clone(), others[2].clone()]);
    let last = feed(stores, &owner, 4).await;
    assert_eq!(last, bodies(&[PersonalChange::Contact(&others[1], None)]));
    assert!(stores.directory.contacts(others[0].clone(), None, 10).await.expect("contacts").is_empty());
}

async fn block(stores: &Stores, owner: &UserId, user: &UserId, now: u64) -> Committed<Block> {
    let put = stores.directory.put_block(owner.clone(), user.clone(), at(now)).await.expect("put_block");
    put.expect("both exist")
}

async fn unblock(stores: &Stores, owner: &UserId, user: &UserId) -> usize {
    stores.directory.remove_block(owner.clone(), user.clone(), at(9)).await.expect("remove_block").entries.len()
}

fn direct(one: &UserId, other: &UserId) -> NewConversation {
    let (id, members) = (ConversationId::direct(one, other), vec![one.clone(), other.clone()]);
    NewConversation { id, kind: ConversationKind::Direct, title: None, members, now: at(0) }
}

async fn a_block_stops_both(stores: &Stores) {
    let (one, other) = (stores.make_author().await, stores.make_author().await);
    let made = stores.directory.create_conversation(direct(&one.user, &other.user)).await;
    let between = made.expect("create_conversation").expect("both exist").value.id;
    let group = stores.make_group(&[&one.user, &other.user], at(0)).await.id;
    let early = message(&one, between, "before the block");
    let sent = stores.append_one(early.clone()).await;
    let goes = async || {
        let mut outcomes = Vec::new();
        for author in [&one, &other] {
            outcomes.push(stores.append_one(message(author, between, "now")).await.err());
        }
        is_told_of(stores, [&one, &other], between, outcomes == [None, None]).await;
        outcomes
    };
    let refused = vec![Some(AppendRefusal::Blocked); 2];
    assert_eq!(goes().await, [None, None]);
    assert_eq!(block(stores, &one.user, &other.user, 5).await.entries.len(), 1);
    assert_eq!(
        block(stores, &one.user, &other.user, 6).await,
        Committed { value: Block { user: other.user.clone(), created_at: at(5) }, entries: vec![] }
    );
    assert_eq!(goes().await, refused);
    // What was sent before is still answered, and others may write.
    let Ok(Appended::New(entry)) = sent else { panic!("{sent:?}") };
    let Ok(Appended::Already(again)) = stores.append_one(early).await else { panic!("the resend was not answered") };
    assert_eq!((again.seq, again.id), (entry.seq, entry.id));
    assert!(stores.append_one(message(&other, group, "among others")).await.is_ok());
    let service = Author::Service(ServiceName::new("weather").expect("a name"));
    assert!(stores.append_one(message_of(service, between, "rain")).await.is_ok());
    // It is there, so that it is found as it is.
    let found =
        stores.directory.create_conversation(direct(&other.user, &one.user)).await.expect("create_conversation");
    assert_eq!(found.expect("it is there").value.id, between);
    // Both blocks have to end.
    block(stores, &other.user, &one.user, 7).await;
    assert_eq!((unblock(stores, &one.user, &other.user).await, unblock(stores, &one.user, &other.user).await), (1, 0));
    assert_eq!(goes().await, refused);
    let blocks = stores.directory.blocks(other.user.clone(), None, 10).await.expect("blocks");
    assert_eq!(blocks, [Block { user: one.user.clone(), created_at: at(7) }]);
    assert!(stores.directory.blocks(one.user.clone(), None, 10).await.expect("blocks").is_empty());
    unblock(stores, &other.user, &one.user).await;
    assert_eq!(goes().await, [None, None]);
    let refused = stores.directory.put_block(one.user.clone(), one.user.clone(), at(1)).await.expect("put_block");
    assert_eq!(refused, Err(PeopleRefusal::NoSuchUser));
}

/// Whether a block stands is what the directory says wherever it is asked.
async fn is_told_of(stores: &Stores, [one, other]: [&Member; 2], between: ConversationId, goes: bool) {
    let Stores { directory, .. } = stores;
    for (author, peer) in [(one, other), (other, one)] {
        let (user, of) = (author.user.clone(), peer.user.clone());
        assert_eq!(directory.is_blocked(user.clone(), of).await.expect("is_blocked"), !goes);
        let followed = directory.followed(user.clone(), author.device).await.expect("followed");
        let all = followed.into_iter().find(|row| row.conversation == between).expect("a member");
        let alone = directory.followed_one(user, author.device, between).await.expect("followed_one");
        assert_eq!((all.tells_receipts, alone.expect("a member").tells_receipts), (goes, goes));
    }
    assert_eq!(directory.tells_receipts(between).await.expect("tells_receipts"), goes);
    for (_, receipt) in directory.receipts(between, None, 10).await.expect("receipts") {
        assert_eq!((receipt.delivered.is_some(), receipt.read.is_some()), (goes, goes));
    }
}

async fn a_block_before_the_first_message(stores: &Stores) {
    let (one, other) = (stores.make_user().await.id, stores.make_user().await.id);
    block(stores, &one, &other, 1).await;
    for (from, to) in [(&one, &other), (&other, &one)] {
        let made = stores.directory.create_conversation(direct(from, to)).await.expect("create_conversation");
        assert_eq!(made, Err(DirectoryRefusal::Blocked));
    }
    // A group of two is no direct conversation.
    stores.make_group(&[&one, &other], at(2)).await;
    unblock(stores, &one, &other).await;
    assert!(stores.directory.create_conversation(direct(&other, &one)).await.expect("create_conversation").is_ok());
}

async fn change(
    stores: &Stores,
    user: &UserId,
    group: ConversationId,
    change: StateChange,
) -> Result<Committed<MemberState>, PeopleRefusal> {
    stores.directory.change_state(user.clone(), group, change, at(3)).await.expect("change_state")
}

async fn the_state_of_a_conversation(stores: &Stores) {
    let (user, other) = (stores.make_user().await, stores.make_user().await);
    let group = stores.make_group(&[&user.id, &other.id], at(0)).await.id;
    let states = async |user: &UserId| {
        stores
            .directory
            .member_states(user.clone(), vec![group, ConversationId::generate()])
            .await
            .expect("member_states")
    };
    assert_eq!(states(&user.id).await, [MemberState::default(); 2]);
    let pin = StateChange { pinned: Some(true), muted_until: Some(UnixMs::new(77)), ..StateChange::default() };
    let changed = change(stores, &user.id, group, pin).await.expect("a member");
    let pinned = MemberState { pinned: true, muted_until: UnixMs::new(77), ..MemberState::default() };
    assert_eq!(checked(stores, &user, changed).await, pinned);
    assert!(change(stores, &user.id, group, pin).await.expect("a member").entries.is_empty(), "again: nothing");
    let mark = StateChange { marked_unread: Some(true), pinned: Some(false), ..StateChange::default() };
    let marked = MemberState { pinned: false, marked_unread: true, ..pinned };
    assert_eq!(change(stores, &user.id, group, mark).await.expect("a member").value, marked);
    assert_eq!(states(&user.id).await, [marked, MemberState::default()]);
    let told = [PersonalChange::State(group, pinned), PersonalChange::State(group, marked)];
    assert_eq!(feed(stores, &user, 1).await, bodies(&told));
    assert_eq!(states(&other.id).await, [MemberState::default(); 2], "it is the user's alone");
    let listed = stores.directory.conversations_of(user.id.clone(), None, 10).await.expect("conversations_of");
    assert_eq!(listed.iter().map(|one| one.state).collect::<Vec<_>>(), [marked]);
    let stranger = stores.make_user().await;
    for conversation in [group, ConversationId::generate(), stranger.feed] {
        let archive = StateChange { archived: Some(true), ..StateChange::default() };
        assert_eq!(change(stores, &stranger.id, conversation, archive).await, Err(PeopleRefusal::NoSuchConversation));
    }
}

async fn what_is_hidden_is_no_part_of_a_stay(stores: &Stores) {
    let (author, other) = (stores.make_author().await, stores.make_user().await);
    let group = stores.make_group(&[&author.user, &other.id], at(0)).await.id;
    stores.fill(&author, group, 9).await;
    let visible_from = async |user: &UserId| {
        let (stays, _) =
            stores.directory.membership(user.clone(), group).await.expect("membership").expect("it exists");
        stays.0[0].visible_from_seq.get()
    };
    let followed_from = async || {
        let followed = stores.directory.followed(author.user.clone(), author.device).await.expect("followed");
        let of_group = followed.iter().find(|one| one.conversation == group).expect("a member");
        assert!(of_group.tells_receipts && !followed[0].tells_receipts, "a feed tells nothing");
        of_group.intervals.0[0].visible_from_seq.get()
    };
    // (what is asked for, what is hidden then)
    for (asked, hidden) in [(4, 4), (2, 4), (6, 6), (99, 10)] {
        let hide = StateChange { delete_before: Some(seq(asked)), ..StateChange::default() };
        let state = change(stores, &author.user, group, hide).await.expect("a member").value;
        assert_eq!(state.delete_before, seq(hidden), "{asked}");
        assert_eq!((visible_from(&author.user).await, followed_from().await), (hidden, hidden));
    }
    assert_eq!(visible_from(&other.id).await, 1, "others still see it");
}

async fn aliases_stand_for_one_thing(stores: &Stores) {
    let (user, other) = (stores.make_user().await, stores.make_user().await);
    let group = stores.make_group(&[&user.id], at(0)).await.id;
    let external = ClientMsgId::random().to_string();
    let name = |namespace: &str| AliasName::new(namespace, &external).expect("it fits");
    let put = async |namespace: &str, target: AliasTarget| {
        let alias = Alias { name: name(namespace), target };
        stores.directory.put_alias(alias, at(1)).await.expect("put_alias")
    };
    let (person, room) = (AliasTarget::User(user.id.clone()), AliasTarget::Conversation(group));
    assert_eq!((put("a", person.clone()).await, put("b", room.clone()).await), (Ok(()), Ok(())));
    assert_eq!(put("a", person.clone()).await, Ok(()), "the same again");
    for target in [room.clone(), AliasTarget::User(other.id)] {
        assert_eq!(put("a", target).await, Err(PeopleRefusal::AliasTaken));
    }
    assert_eq!(put("c", AliasTarget::User(nobody())).await, Err(PeopleRefusal::NoSuchUser));
    for conversation in [ConversationId::generate(), user.feed] {
        let refused = put("c", AliasTarget::Conversation(conversation)).await;
        assert_eq!(refused, Err(PeopleRefusal::NoSuchConversation));
    }
    let find = async |names: &[&str]| {
        let names = names.iter().map(|namespace| name(namespace)).collect();
        stores.directory.aliases(names).await.expect("aliases")
    };
    assert_eq!(find(&["b", "c", "a"]).await, [Some(room.clone()), None, Some(person)]);
    for _ in 0..2 {
        stores.directory.remove_alias(name("a")).await.expect("remove_alias");
    }
    assert_eq!((find(&["a", "b"]).await, put("a", room.clone()).await), (vec![None, Some(room)], Ok(())));
}
