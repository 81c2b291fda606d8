//! What a device asks beside its connection, by the SDK at a real server: conversations, people, settings.

use anyhow::{Context, Result, ensure};
use lockstep_client::protocol::{Body, Code, ConversationId, Seq, StateChange, Target, UnixMs, UserId};
use lockstep_client::{
    Client, ClientConfig, ConversationKind, Conversations, DetailsChange, Draft, Event, Events, FixedToken, History,
    HistoryPage, JsonObject, MemberState, MemoryStore, People, Profile, ProfileChange, ReceiptSettings,
    ReceiptSettingsChange, RestError, Role, Slice, TokenSource,
};
use lockstep_testkit::ServerProcess;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);

async fn server() -> Result<ServerProcess> {
    ServerProcess::start(env!("CARGO_BIN_EXE_lockstep")).await
}

/// A main device of a user.
struct Device {
    user: UserId,
    rest: Conversations,
    people: People,
    config: ClientConfig,
}

impl Device {
    async fn new(server: &ServerProcess, user: &str) -> Result<Self> {
        let tokens: Arc<dyn TokenSource> = Arc::new(FixedToken::new(server.token(user, "phone", "main").await?));
        Ok(Self {
            user: user.parse()?,
            rest: Conversations::new(server.url(), tokens.clone()),
            people: People::new(server.url(), tokens.clone()),
            config: ClientConfig::new(server.door(), tokens, Arc::new(MemoryStore::new())),
        })
    }

    fn start(&self) -> (Client, Events) {
        Client::start(self.config.clone())
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, RestError>, code: Code) {
    let error = outcome.expect_err("it is refused");
    assert_eq!(error.code(), Some(code), "{error}");
}

fn object(value: serde_json::Value) -> Result<JsonObject> {
    value.as_object().cloned().context("an object")
}

#[tokio::test]
async fn groups_have_details_and_roles() -> Result<()> {
    let server = server().await?;
    let (ana, ben, cid) =
        (Device::new(&server, "ana").await?, Device::new(&server, "ben").await?, Device::new(&server, "cid").await?);
    let draft = Draft {
        title: Some("Trip".into()),
        avatar: Some("https://example.org/a.png".into()),
        custom: Some(object(json!({"colour": "red"}))?),
        history: Some(History::Last(5)),
        members: vec![ben.user.clone()],
    };
    let made = ana.rest.make_group(&draft).await?;
    ensure!((made.kind, made.role, made.members) == (ConversationKind::Group, Some(Role::Owner), 2), "{made:?}");
    let seen = ben.rest.show(made.id).await?;
    ensure!((&seen.title, &seen.avatar, &seen.custom) == (&draft.title, &draft.avatar, &draft.custom), "{seen:?}");
    ensure!((seen.history, seen.role) == (History::Last(5), Some(Role::Member)), "{seen:?}");
    assert_refused(cid.rest.show(made.id).await, Code::NoSuchConversation);
    assert_refused(cid.rest.join(made.id).await, Code::NoSuchConversation);

    let change = DetailsChange { title: Some(Some("The sea".into())), avatar: Some(None), ..DetailsChange::default() };
    assert_refused(ben.rest.change(made.id, &change).await, Code::Forbidden);
    assert_refused(ben.rest.set_role(made.id, &ben.user, Role::Admin).await, Code::Forbidden);
    ana.rest.set_role(made.id, &ben.user, Role::Admin).await?;
    let changed = ben.rest.change(made.id, &change).await?;
    ensure!((changed.title.as_deref(), changed.avatar) == (Some("The sea"), None), "{:?}", changed.title);
    ensure!((changed.custom, changed.role) == (draft.custom, Some(Role::Admin)));
    ben.rest.change(made.id, &DetailsChange { history: Some(History::All), ..DetailsChange::default() }).await?;
    ensure!(ana.rest.show(made.id).await?.history == History::All);
    let long = DetailsChange { title: Some(Some("x".repeat(129))), ..DetailsChange::default() };
    assert_refused(ana.rest.change(made.id, &long).await, Code::BadRequest);

    assert_refused(ana.rest.set_role(made.id, &cid.user, Role::Member).await, Code::NoSuchMember);
    assert_refused(ana.rest.set_role(made.id, &ben.user, Role::Other).await, Code::BadRequest);
    ana.rest.set_role(made.id, &ben.user, Role::Member).await?;
    assert_refused(ben.rest.change(made.id, &change).await, Code::Forbidden);

    let direct = ana.rest.open_direct(&ben.user).await?;
    ensure!(direct.id == ConversationId::direct(&ana.user, &ben.user) && direct.peer == Some(ben.user.clone()));
    ensure!(ben.rest.open_direct(&ana.user).await?.id == direct.id);
    assert_refused(ana.rest.change(direct.id, &change).await, Code::DirectConversation);
    assert_refused(ana.rest.open_direct(&"nobody".parse()?).await, Code::NoSuchUser);
    Ok(())
}

#[tokio::test]
async fn rooms_are_joined_and_lists_have_pages() -> Result<()> {
    let server = server().await?;
    let (ana, ben) = (Device::new(&server, "ana").await?, Device::new(&server, "ben").await?);
    let room = ana.rest.make_room(&Draft::titled("Open", [])).await?;
    ensure!((room.kind, room.history, room.members) == (ConversationKind::Room, History::All, 1), "{room:?}");
    let seen = ben.rest.show(room.id).await?;
    ensure!((seen.member, seen.role, seen.title.as_deref()) == (false, None, Some("Open")), "{seen:?}");
    for _ in 0..2 {
        let joined = ben.rest.join(room.id).await?;
        ensure!((joined.member, joined.role, joined.members) == (true, Some(Role::Member), 2), "{joined:?}");
    }
    assert_refused(ben.rest.join("019a2b1d-1111-7abc-8def-1234567890ab".parse()?).await, Code::NoSuchConversation);
    // More than a page of them.
    for _ in 0..60 {
        ana.rest.make_group(&Draft::default()).await?;
    }
    ensure!(ana.rest.list().await?.len() == 61);
    Ok(())
}

#[tokio::test]
async fn history_is_read_in_pages_and_marked_as_read() -> Result<()> {
    let server = server().await?;
    let (ana, ben, cid) =
        (Device::new(&server, "ana").await?, Device::new(&server, "ben").await?, Device::new(&server, "cid").await?);
    let group = ana.rest.make_group(&Draft::titled("Trip", [ben.user.clone()])).await?.id;
    let (client, mut events) = ana.start();
    tokio::spawn(async move { while events.next().await.is_some() {} });
    for text in 3..=12 {
        client.send(Target::Conversation(group), Body::text(&text.to_string())).await?;
    }
    let cases = [
        (Slice::Latest, 4, vec![9, 10, 11, 12]),
        (Slice::Before(Seq::new(5)), 3, vec![2, 3, 4]),
        (Slice::After(Seq::new(5)), 3, vec![6, 7, 8]),
        (Slice::After(Seq::new(12)), 3, vec![]),
    ];
    for (slice, count, expected) in cases {
        let HistoryPage { entries, floor, head } = ben.rest.history(group, slice, count).await?;
        let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq.get()).collect();
        ensure!((seqs, floor, head) == (expected, Seq::new(1), Seq::new(12)), "{slice:?}");
    }
    assert_refused(ben.rest.history(group, Slice::Latest, 0).await, Code::BadRequest);
    assert_refused(cid.rest.history(group, Slice::Latest, 1).await, Code::NoSuchConversation);

    ben.rest.read(group, Seq::new(10)).await?;
    ben.rest.read(group, Seq::new(4)).await?;
    let unread = ben.rest.unread(&[group]).await?;
    ensure!(unread.len() == 1 && (unread[0].read, unread[0].unread) == (Seq::new(10), 2), "{unread:?}");
    assert_refused(ben.rest.read(group, Seq::new(13)).await, Code::ReadBeyond);
    client.stop().await;
    Ok(())
}

/// Waits for an event that gives something.
async fn until<T>(events: &mut Events, find: impl Fn(Event) -> Option<T>) -> Result<T> {
    loop {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.context("nothing happens")?;
        if let Some(found) = find(event.context("the client has stopped")?) {
            return Ok(found);
        }
    }
}

/// The state of a conversation that the feed tells of.
fn state_told(event: Event) -> Option<MemberState> {
    let Event::Entry(entry) = event else { return None };
    (&*entry.body.type_name() == "member_state").then(|| serde_json::from_str(entry.body.as_json()).expect("a state"))
}

#[tokio::test]
async fn what_is_kept_about_a_conversation_reaches_the_own_devices() -> Result<()> {
    let server = server().await?;
    let (ana, ben) = (Device::new(&server, "ana").await?, Device::new(&server, "ben").await?);
    let group = ana.rest.make_group(&Draft::titled("Trip", [ben.user.clone()])).await?.id;
    let (client, mut events) = ben.start();
    until(&mut events, |event| matches!(event, Event::CaughtUp).then_some(())).await?;
    let none = StateChange::default();
    let in_2100 = UnixMs::new(4_102_444_800_000);
    let mut expected = MemberState::default();
    let steps = [
        (StateChange { pinned: Some(true), ..none }, MemberState { pinned: true, ..expected }),
        (StateChange { archived: Some(true), pinned: Some(false), ..none }, MemberState { archived: true, ..expected }),
        (
            StateChange { archived: Some(false), muted_until: Some(in_2100), marked_unread: Some(true), ..none },
            MemberState { muted_until: in_2100, marked_unread: true, ..expected },
        ),
        (
            StateChange {
                muted_until: Some(UnixMs::ZERO),
                marked_unread: Some(false),
                delete_before: Some(Seq::new(2)),
                ..none
            },
            MemberState { delete_before: Seq::new(2), ..expected },
        ),
    ];
    for (change, state) in steps {
        expected = state;
        ensure!(ben.rest.change_state(group, change).await? == expected, "{change:?}");
        let told = until(&mut events, state_told).await?;
        ensure!(told == expected, "{told:?}");
    }
    ensure!(ben.rest.show(group).await?.state == expected);
    ensure!(ana.rest.list().await?[0].state == MemberState::default(), "nobody else's changed");
    let seqs = ben.rest.history(group, Slice::Latest, 10).await?.entries;
    ensure!(seqs.iter().map(|entry| entry.seq.get()).eq([2]), "{seqs:?}");

    // One who has left may still put it away, and nothing else.
    ben.rest.leave(group).await?;
    ben.rest.change_state(group, StateChange { archived: Some(true), ..none }).await?;
    let pinned = ben.rest.change_state(group, StateChange { pinned: Some(true), ..none }).await;
    assert_refused(pinned, Code::NoSuchConversation);
    client.stop().await;
    Ok(())
}

#[tokio::test]
async fn people_tell_of_themselves_and_keep_others() -> Result<()> {
    let server = server().await?;
    let (ana, ben) = (Device::new(&server, "ana").await?, Device::new(&server, "b/en?").await?);
    let blank = |user: &UserId| Profile { id: user.clone(), name: None, avatar: None, custom: JsonObject::new() };
    ensure!(ana.people.own_profile().await? == blank(&ana.user));
    let change = ProfileChange {
        name: Some(Some("Ana".into())),
        avatar: Some(Some("https://example.org/ana.png".into())),
        custom: Some(Some(object(json!({"a": [1]}))?)),
    };
    let changed = ana.people.change_profile(&change).await?;
    ensure!((changed.name.as_deref(), changed.custom.len()) == (Some("Ana"), 1), "{changed:?}");
    let change = ProfileChange { avatar: Some(None), custom: Some(None), ..ProfileChange::default() };
    let changed = ana.people.change_profile(&change).await?;
    ensure!(changed == Profile { name: Some("Ana".into()), ..blank(&ana.user) }, "{changed:?}");
    ensure!(ben.people.profile(&ana.user).await? == changed);
    let wrong = ProfileChange { avatar: Some(Some("ftp://x".into())), ..ProfileChange::default() };
    assert_refused(ana.people.change_profile(&wrong).await, Code::BadRequest);
    let nobody: UserId = "nobody".parse()?;
    assert_refused(ana.people.profile(&nobody).await, Code::NoSuchUser);
    let both = ana.people.profiles(&[ben.user.clone(), nobody.clone(), ana.user.clone()]).await?;
    ensure!(both == [blank(&ben.user), changed], "{both:?}");

    ensure!(ana.people.put_contact(&ben.user, None).await?.name.is_none());
    ana.people.put_contact(&ben.user, Some("Big Ben")).await?;
    let contacts = ana.people.contacts().await?;
    ensure!(contacts.len() == 1 && contacts[0].user == ben.user, "{contacts:?}");
    ensure!(contacts[0].name.as_deref() == Some("Big Ben"));
    assert_refused(ana.people.put_contact(&ana.user, None).await, Code::NoSuchUser);
    ana.people.remove_contact(&ben.user).await?;
    ana.people.remove_contact(&ben.user).await?;
    ensure!(ana.people.contacts().await?.is_empty());

    ensure!(ana.people.block(&ben.user).await?.user == ben.user);
    ensure!(ana.people.blocks().await?.iter().map(|block| &block.user).eq([&ben.user]));
    assert_refused(ben.rest.open_direct(&ana.user).await, Code::Blocked);
    assert_refused(ana.people.block(&nobody).await, Code::NoSuchUser);
    ana.people.unblock(&ben.user).await?;
    ensure!(ana.people.blocks().await?.is_empty());
    ben.rest.open_direct(&ana.user).await?;
    Ok(())
}

#[tokio::test]
async fn who_does_not_tell_what_is_read_does_not_hear_it() -> Result<()> {
    let server = server().await?;
    let (ana, ben) = (Device::new(&server, "ana").await?, Device::new(&server, "ben").await?);
    let group = ana.rest.make_group(&Draft::titled("Trip", [ben.user.clone()])).await?.id;
    let read_of_ben = async || -> Result<Option<Seq>> {
        let receipts = ana.rest.receipts(group).await?;
        Ok(receipts.into_iter().find(|receipt| receipt.user == ben.user).and_then(|receipt| receipt.read))
    };
    ben.rest.read(group, Seq::new(2)).await?;
    ensure!(read_of_ben().await? == Some(Seq::new(2)));
    ensure!(ben.people.receipt_settings().await? == ReceiptSettings { delivered: true, read: true });
    let silent = ReceiptSettingsChange { read: Some(false), ..ReceiptSettingsChange::default() };
    let now = ben.people.change_receipt_settings(silent).await?;
    ensure!(now == ReceiptSettings { delivered: true, read: false } && ben.people.receipt_settings().await? == now);
    ensure!(read_of_ben().await?.is_none());
    let told = ReceiptSettingsChange { read: Some(true), delivered: None };
    ben.people.change_receipt_settings(told).await?;
    ensure!(read_of_ben().await? == Some(Seq::new(2)));
    Ok(())
}
