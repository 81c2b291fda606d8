//! What a user keeps for all own devices is told by the feed, and read offsets by notices: whoever asks first and hears then
//! knows the same as one who has heard everything.

mod common;

use common::register::{Register, race};
use common::{House, soon, user};
use lockstep_engine::{EngineConfig, Slice};
use lockstep_model::{
    Body, ConversationId, ConversationKind, Custom, Device, Entry, FeedChange, History, Kind, MemberState, Notice,
    OffsetsVersion, ProfileChange, ReceiptSettings, ReceiptSettingsChange, Seq, StateChange, Target, UnixMs, UserId,
    settings_told,
};
use lockstep_ports::Offsets;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const OTHERS: [&str; 5] = ["ben", "cleo", "dan", "eve", "flo"];
const MESSAGES: u64 = 10;

/// All that a user keeps, as devices show it.
#[derive(Debug, Clone, PartialEq, Default)]
struct Own {
    /// The name, the picture and the application's part.
    profile: (Option<String>, Option<String>, Value),
    contacts: BTreeMap<String, Option<String>>,
    blocks: BTreeSet<String>,
    settings: ReceiptSettings,
    conversations: BTreeSet<ConversationId>,
    /// Those that are not as they are when nothing was said.
    states: BTreeMap<ConversationId, MemberState>,
}

impl Own {
    fn put_state(&mut self, conversation: ConversationId, state: MemberState) {
        self.states.remove(&conversation);
        if state != MemberState::default() {
            self.states.insert(conversation, state);
        }
    }
}

impl Register for Own {
    async fn ask(house: &House, ana: &UserId, feed: ConversationId) -> (Self, Seq) {
        let engine = &house.engine;
        let head = soon(engine.history(ana, feed, Slice::Latest, 1)).await.unwrap().head;
        let mut own = Self::default();
        let profile = soon(engine.profile(ana)).await.unwrap();
        own.profile = (profile.name, profile.avatar, serde_json::from_str(profile.custom.as_json()).unwrap());
        // Pages are small, so that there are changes between them.
        let mut after = None;
        loop {
            let page = soon(engine.contacts(ana, after, 2)).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.user.clone());
            own.contacts.extend(page.into_iter().map(|contact| (contact.user.to_string(), contact.name)));
        }
        let mut after = None;
        loop {
            let page = soon(engine.blocks(ana, after, 2)).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.user.clone());
            own.blocks.extend(page.into_iter().map(|block| block.user.to_string()));
        }
        own.settings = soon(engine.receipt_settings(ana)).await.unwrap();
        for listed in soon(engine.conversations(ana, None, 100)).await.unwrap() {
            let id = listed.conversation.id;
            if listed.role.is_some() {
                own.conversations.insert(id);
            }
            own.put_state(id, listed.state);
        }
        (own, head)
    }

    fn take(&mut self, entry: &Entry) {
        assert_eq!(entry.kind, Kind::System, "feeds hold nothing else");
        match FeedChange::of(entry) {
            Some(FeedChange::ConversationAdded { conversation, .. }) => {
                self.conversations.insert(conversation);
            }
            Some(FeedChange::ConversationRemoved { conversation }) => {
                self.conversations.remove(&conversation);
            }
            Some(
                FeedChange::DeviceLinked { .. } | FeedChange::DeviceRenamed { .. } | FeedChange::DeviceRemoved { .. },
            ) => {}
            None => self.take_personal(&entry.body),
        }
    }
}

impl Own {
    fn take_personal(&mut self, body: &Body) {
        let told: Value = serde_json::from_str(body.as_json()).unwrap();
        let text = |name: &str| told[name].as_str().map(str::to_owned);
        let flag = |name: &str| told[name].as_bool().unwrap();
        match &*body.type_name() {
            "profile_changed" => self.profile = (text("name"), text("avatar"), told["custom"].clone()),
            "contact_changed" if flag("contact") => drop(self.contacts.insert(text("user").unwrap(), text("name"))),
            "contact_changed" => drop(self.contacts.remove(&text("user").unwrap())),
            "block_changed" if flag("blocked") => drop(self.blocks.insert(text("user").unwrap())),
            "block_changed" => drop(self.blocks.remove(&text("user").unwrap())),
            "settings_changed" => self.settings = settings_told(body).unwrap(),
            "member_state" => {
                let number = |name: &str| told[name].as_u64().unwrap();
                let state = MemberState {
                    pinned: flag("pinned"),
                    archived: flag("archived"),
                    muted_until: UnixMs::new(number("muted_until")),
                    marked_unread: flag("marked_unread"),
                    delete_before: Seq::new(number("delete_before")),
                };
                self.put_state(text("conversation").unwrap().parse().unwrap(), state);
            }
            other => panic!("a feed tells of {other}"),
        }
    }
}

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// Nothing said; or something, or nothing wanted.
    fn wish(&mut self, something: String) -> Option<Option<String>> {
        [None, Some(None), Some(Some(something))][self.roll(3) as usize].clone()
    }

    fn flag(&mut self) -> Option<bool> {
        [None, Some(false), Some(true)][self.roll(3) as usize]
    }
}

/// Ana, her group and a room, in both of which are messages.
struct Scene {
    house: House,
    ana: Device,
    feed: ConversationId,
    group: ConversationId,
    room: ConversationId,
}

impl Scene {
    async fn set(config: EngineConfig) -> Self {
        let house = House::with(config).await;
        let ana = house.device("ana").await;
        let mut others = Vec::new();
        for name in OTHERS {
            others.push(house.device(name).await);
        }
        let feed = house.try_connect(&ana).await.unwrap().feed;
        let group = house.club(ConversationKind::Group, History::All, &[&ana, &others[0]]).await;
        let room = house.club(ConversationKind::Room, History::All, &[&others[0], &ana]).await;
        for conversation in [group, room] {
            for number in 0..MESSAGES {
                house.send(&ana, Target::Conversation(conversation), &format!("number {number}")).await.unwrap();
            }
        }
        Self { house, ana, feed, group, room }
    }

    /// Makes changes that are chosen by a seed, of which some are refused.
    async fn change_at_random(&self, seed: u64) {
        let (ana, engine, mut dice) = (&self.ana.user, &self.house.engine, Dice(seed));
        for number in 0..150 {
            let whom = user(OTHERS[dice.roll(OTHERS.len() as u64) as usize]);
            let _refused = match dice.roll(9) {
                0 => {
                    let change = ProfileChange {
                        name: dice.wish(format!("Ana {number}")),
                        avatar: dice.wish(format!("https://example.org/{number}.png")),
                        custom: Some(Custom::parse(&json!({ "number": number }).to_string()).unwrap()),
                    };
                    engine.change_profile(ana, change).await.map(drop)
                }
                1 | 2 => {
                    let name = dice.wish(format!("friend {number}")).flatten();
                    engine.put_contact(ana, whom, name).await.map(drop)
                }
                3 => engine.remove_contact(ana, whom).await,
                4 => engine.put_block(ana, whom).await.map(drop),
                5 => engine.remove_block(ana, whom).await,
                6 => {
                    let change = ReceiptSettingsChange { delivered: dice.flag(), read: dice.flag() };
                    engine.change_receipt_settings(ana, change).await.map(drop)
                }
                7 => {
                    let change = StateChange {
                        pinned: dice.flag(),
                        archived: dice.flag(),
                        muted_until: dice.flag().map(|muted| UnixMs::new(if muted { number } else { 0 })),
                        marked_unread: dice.flag(),
                        delete_before: dice.flag().map(|_| Seq::new(dice.roll(MESSAGES))),
                    };
                    let conversation = if dice.roll(2) == 0 { self.group } else { self.room };
                    engine.change_state(ana, conversation, change).await.map(drop)
                }
                _ => match dice.roll(2) {
                    0 => engine.leave(ana, self.room).await,
                    _ => engine.join(ana, self.room).await.map(drop),
                },
            };
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_and_the_feed_after_it_are_the_whole_feed() {
    for seed in 1..=3 {
        let scene = Scene::set(EngineConfig::default()).await;
        // Two devices of hers at once.
        let changes = async {
            tokio::join!(scene.change_at_random(seed), scene.change_at_random(100 + seed));
        };
        race::<Own>(&scene.house, &scene.ana.user, scene.feed, changes).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_that_are_asked_for_and_the_notices_after_them_are_all_that_was_read() {
    // Nothing that is told is dropped.
    let scene = Scene::set(EngineConfig { mailbox_max: 10_000, ..EngineConfig::default() }).await;
    let (house, ana) = (&scene.house, &scene.ana.user);
    let mut listener = house.connect(&scene.ana).await;
    let read = async |conversation, places: &[u64]| {
        for place in places {
            house.engine.read_up_to(ana, conversation, Seq::new(*place)).await.unwrap();
        }
    };
    let ask = async || house.store.changed_since(ana.clone(), OffsetsVersion::ZERO, 100).await.unwrap();
    let mut asked = vec![ask().await];
    let reading = async {
        tokio::join!(
            read(scene.group, &[1, 2, 5, 4, 7, 8, 10]),
            read(scene.room, &[3, 1, 4, 9]),
            read(scene.group, &[2, 3, 6, 9]),
        )
    };
    let asking = async {
        for _ in 0..20 {
            asked.push(ask().await);
        }
    };
    soon(async { tokio::join!(reading, asking) }).await;
    let end = ask().await;
    let mut notices = BTreeMap::new();
    while notices.len() < end.version.get() as usize {
        if let Notice::Offsets { since, version, offsets } = listener.next().await.unwrap() {
            assert_eq!(since.get() + 1, version.get(), "each notice is one step");
            assert!(notices.insert(version, offsets).is_none(), "{version:?} is told twice");
        }
    }
    assert!(end.version.get() >= 8, "{end:?}");
    let places = |offsets: &[lockstep_model::Offset]| -> BTreeMap<ConversationId, Seq> {
        offsets.iter().map(|offset| (offset.conversation, offset.seq)).collect()
    };
    let expected = BTreeMap::from([(scene.group, Seq::new(10)), (scene.room, Seq::new(9))]);
    assert_eq!(places(&end.offsets), expected);
    for answer in asked {
        let mut known = places(&answer.offsets);
        let later = notices.iter().filter(|(version, _)| **version > answer.version);
        later.for_each(|(_, offsets)| known.extend(places(offsets)));
        assert_eq!(known, expected, "what was asked for at {:?}", answer.version);
    }
}
