//! The groups' part of the directory's suite.

use super::Stores;
use super::world::{Member, at, message, nobody, seq};
use crate::{Actor, AppendRefusal, Committed, GroupRefusal, NewConversation, NewGroup, STAYS_MAX, Standing};
use lockstep_model::{
    Conversation, ConversationId, ConversationKind, CustomObject, DetailsChange, Entry, FeedChange, History, Interval,
    LogChange, MemberState, Role, UserId,
};

/// Checks a directory's groups against their contract.
pub(super) async fn groups(stores: &Stores) {
    what_is_made(stores).await;
    what_newcomers_see(stores).await;
    inviting(stores).await;
    who_has_blocked_somebody_is_not_put_beside_them(stores).await;
    rooms(stores).await;
    leaving_and_coming_back(stores).await;
    who_comes_and_goes_has_so_many_stays(stores).await;
    who_takes_over(stores).await;
    removing(stores).await;
    roles(stores).await;
    details(stores).await;
    direct_ones_stay_as_they_are(stores).await;
    the_limits(stores).await;
    what_is_left_for_one_who_left(stores).await;
}

type Outcome<T> = Result<Committed<T>, GroupRefusal>;

/// A conversation and its members: the first made it.
struct Scene<'s> {
    stores: &'s Stores,
    id: ConversationId,
    members: Vec<Member>,
}

impl<'s> Scene<'s> {
    async fn set(stores: &'s Stores, kind: ConversationKind, history: History, count: usize) -> Scene<'s> {
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(stores.make_author().await);
        }
        let users = members.iter().map(|member| member.user.clone()).collect();
        let id = ConversationId::generate();
        let group = group(id, kind, history, users);
        stores.directory.create_group(group).await.expect("create_group").expect("all exist");
        Self { stores, id, members }
    }

    async fn group(stores: &'s Stores, count: usize) -> Scene<'s> {
        Self::set(stores, ConversationKind::Group, History::None, count).await
    }

    fn user(&self, member: usize) -> UserId {
        self.members[member].user.clone()
    }

    fn actor(&self, member: usize) -> Actor {
        actor(&self.user(member), self.id)
    }

    async fn add(&self, by: usize, users: &[&UserId]) -> Outcome<Vec<UserId>> {
        let users = users.iter().map(|&user| user.clone()).collect();
        self.stores.directory.add_members(self.actor(by), users).await.expect("add_members")
    }

    async fn leave(&self, member: usize) -> Outcome<()> {
        self.stores.directory.leave(self.actor(member)).await.expect("leave")
    }

    async fn remove(&self, by: usize, user: &UserId) -> Outcome<()> {
        self.stores.directory.remove_member(self.actor(by), user.clone()).await.expect("remove_member")
    }

    async fn set_role(&self, by: usize, user: &UserId, role: Role) -> Outcome<()> {
        self.stores.directory.set_role(self.actor(by), user.clone(), role).await.expect("set_role")
    }

    async fn change(&self, by: usize, change: DetailsChange) -> Outcome<Conversation> {
        self.stores.directory.change_details(self.actor(by), change).await.expect("change_details")
    }

    async fn standing(&self, user: &UserId) -> Standing {
        let standing = self.stores.directory.standing(user.clone(), self.id).await.expect("standing");
        standing.expect("the conversation is there")
    }

    async fn roles(&self) -> Vec<(UserId, Role)> {
        let mut members = self.stores.directory.members_of(self.id, None, 1_000).await.expect("members_of");
        members.sort_by_key(|member| self.members.iter().position(|other| other.user == member.user));
        assert_eq!(self.standing(&self.user(0)).await.conversation.member_count, members.len() as u64);
        let owners = members.iter().filter(|member| member.role == Role::Owner).count();
        assert!(owners == 1 || members.is_empty(), "{members:?}");
        members.into_iter().map(|member| (member.user, member.role)).collect()
    }

    /// The stays of a user: joined, left, visible from.
    async fn stays(&self, user: &UserId) -> Vec<(u64, Option<u64>, u64)> {
        let found = self.stores.directory.membership(user.clone(), self.id).await.expect("membership");
        let stay =
            |stay: Interval| (stay.joined_seq.get(), stay.left_seq.map(|left| left.get()), stay.visible_from_seq.get());
        found.expect("it is there").0.0.into_iter().map(stay).collect()
    }

    /// What the log tells from a place on.
    async fn told(&self, from: u64) -> Vec<LogChange> {
        let entries = self.stores.range(self.id, from, 1_000).await;
        entries.iter().map(|entry| LogChange::of(entry).expect("a change that is known")).collect()
    }

    async fn head(&self) -> u64 {
        self.standing(&self.user(0)).await.conversation.bounds.head.get()
    }

    async fn last_of_feed(&self, user: &UserId) -> FeedChange {
        let feed = self.stores.directory.user(user.clone()).await.expect("user").expect("it is there").feed;
        let last = self.stores.range(feed, 1, 1_000).await.pop().expect("an entry");
        FeedChange::of(&last).expect("a change that is known")
    }

    /// Checks that a command given again, or one that is refused, writes nothing.
    async fn unchanged<T>(&self, command: impl Future<Output = T>) -> T {
        let before = self.head().await;
        let outcome = command.await;
        assert_eq!(self.head().await, before, "an entry was written");
        outcome
    }
}

fn actor(user: &UserId, conversation: ConversationId) -> Actor {
    Actor { user: user.clone(), conversation, now: at(100) }
}

fn group(id: ConversationId, kind: ConversationKind, history: History, members: Vec<UserId>) -> NewGroup {
    let conversation = NewConversation { id, kind, title: Some("a team".into()), members, now: at(50) };
    NewGroup { conversation, avatar: None, custom: None, history }
}

fn conversations_of_entries(entries: &[Entry]) -> Vec<ConversationId> {
    entries.iter().map(|entry| entry.conversation).collect()
}

async fn what_is_made(stores: &Stores) {
    let (one, other) = (stores.make_user().await, stores.make_user().await);
    let id = ConversationId::generate();
    let custom = CustomObject::from_json(r#"{"colour":"red"}"#);
    let avatar = Some("https://example.org/a.png".to_owned());
    let members = vec![one.id.clone(), other.id.clone()];
    let new = NewGroup {
        avatar: avatar.clone(),
        custom: custom.clone(),
        ..group(id, ConversationKind::Room, History::Last(5), members)
    };
    let made = stores.directory.create_group(new.clone()).await.expect("create_group").expect("all exist");
    let details = &made.value.details;
    assert_eq!((&details.avatar, &details.custom, details.history), (&avatar, &custom, History::Last(5)));
    assert_eq!((made.value.member_count, made.value.bounds.head), (2, seq(2)));
    let (by, kind, title) = (one.id.clone(), ConversationKind::Room, Some("a team".to_owned()));
    let changes = [
        LogChange::Created { by: by.clone(), kind, title, avatar, history: History::Last(5), custom },
        LogChange::MembersAdded { by, members: vec![other.id.clone()] },
    ];
    let log = stores.range(id, 1, 10).await;
    assert_eq!(log.iter().filter_map(LogChange::of).collect::<Vec<_>>(), changes);
    assert_eq!(conversations_of_entries(&made.entries), [id, id, one.feed, other.feed]);
    assert_eq!(made.entries[..2], log);
    for (user, role) in [(&one, Role::Owner), (&other, Role::Member)] {
        let standing = stores.directory.standing(user.id.clone(), id).await.expect("standing").expect("it is there");
        assert_eq!(
            standing,
            Standing { conversation: made.value.clone(), role: Some(role), peer: None, state: MemberState::default() }
        );
    }
    let stranger = stores.directory.standing(nobody(), id).await.expect("standing").expect("it is there");
    assert_eq!(stranger.role, None);
    // Neither what is not there nor a feed.
    for id in [ConversationId::generate(), one.feed] {
        assert_eq!(stores.directory.standing(one.id.clone(), id).await.expect("standing"), None);
    }
    let again = stores.directory.create_group(new.clone()).await.expect("create_group").expect("it is there");
    assert_eq!((again.value, again.entries), (made.value, vec![]));
    let mut strangers = NewGroup { ..new };
    strangers.conversation.id = ConversationId::generate();
    strangers.conversation.members.push(nobody());
    let refused = stores.directory.create_group(strangers).await.expect("create_group");
    assert_eq!(refused, Err(GroupRefusal::NoSuchUser));
}

async fn what_newcomers_see(stores: &Stores) {
    for (history, visible_from) in
        [(History::None, 8), (History::Last(3), 5), (History::Last(100), 1), (History::All, 1)]
    {
        let scene = Scene::set(stores, ConversationKind::Group, history, 1).await;
        stores.fill(&scene.members[0], scene.id, 6).await;
        let user = stores.make_user().await.id;
        scene.add(0, &[&user]).await.expect("an owner may invite");
        assert_eq!(scene.stays(&user).await, [(7, None, visible_from)], "{history:?}");
        assert_eq!(scene.stays(&scene.user(0)).await, [(0, None, 1)]);
    }
}

async fn inviting(stores: &Stores) {
    let scene = Scene::group(stores, 2).await;
    let (one, other) = (stores.make_user().await, stores.make_user().await);
    let added = scene.add(0, &[&one.id, &scene.user(1), &other.id]).await.expect("an owner may invite");
    assert_eq!(added.value, [one.id.clone(), other.id.clone()], "who is a member is not added");
    assert_eq!(conversations_of_entries(&added.entries), [scene.id, one.feed, other.feed]);
    let members = added.value.clone();
    assert_eq!(scene.told(3).await, [LogChange::MembersAdded { by: scene.user(0), members }]);
    let change = FeedChange::ConversationAdded { conversation: scene.id, kind: ConversationKind::Group };
    assert_eq!(scene.last_of_feed(&one.id).await, change);
    let again = scene.unchanged(scene.add(0, &[&one.id, &other.id])).await.expect("nothing is wrong with it");
    assert_eq!((again.value, again.entries), (vec![], vec![]));
    let third = stores.make_user().await.id;
    assert_eq!(scene.unchanged(scene.add(1, &[&third])).await, Err(GroupRefusal::Forbidden));
    assert_eq!(scene.unchanged(scene.add(0, &[&third, &nobody()])).await, Err(GroupRefusal::NoSuchUser));
    let stranger = stores.directory.add_members(actor(&third, scene.id), vec![third.clone()]).await;
    assert_eq!(stranger.expect("add_members"), Err(GroupRefusal::NoSuchConversation));
    scene.set_role(0, &scene.user(1), Role::Admin).await.expect("an owner may give roles");
    scene.add(1, &[&third]).await.expect("an admin may invite");
    let member = stores.directory.members_of(scene.id, None, 100).await.expect("members_of").pop().expect("members");
    assert_eq!((member.user, member.role, member.joined_at), (third, Role::Member, at(100)));
}

async fn who_has_blocked_somebody_is_not_put_beside_them(stores: &Stores) {
    let scene = Scene::group(stores, 2).await;
    let (blocker, other) = (stores.make_user().await.id, stores.make_user().await.id);
    let actor = scene.user(0);
    let blocked = stores.directory.put_block(blocker.clone(), actor.clone(), at(1)).await;
    blocked.expect("put_block").expect("both exist");
    let alone = scene.unchanged(scene.add(0, &[&blocker])).await;
    assert_eq!(alone, Err(GroupRefusal::Blocked));
    assert_eq!(scene.unchanged(scene.add(0, &[&other, &blocker])).await, Err(GroupRefusal::Blocked));
    for kind in [ConversationKind::Group, ConversationKind::Room] {
        let users = vec![actor.clone(), other.clone(), blocker.clone()];
        let new = group(ConversationId::generate(), kind, History::None, users);
        let id = new.conversation.id;
        let refused = stores.directory.create_group(new).await.expect("create_group");
        assert_eq!(refused, Err(GroupRefusal::Blocked));
        assert_eq!(stores.directory.standing(actor.clone(), id).await.expect("standing"), None);
    }
    // Another admin may, and who is a member stays one. The block goes one way: its owner may invite.
    scene.set_role(0, &scene.user(1), Role::Admin).await.expect("an owner may");
    scene.add(1, &[&blocker]).await.expect("nobody has blocked the admin");
    let again = scene.unchanged(scene.add(0, &[&blocker])).await.expect("nobody is added");
    assert_eq!(again.value, []);
    let new = group(ConversationId::generate(), ConversationKind::Group, History::None, vec![blocker, actor]);
    stores.directory.create_group(new).await.expect("create_group").expect("the owner of the block may");
}

async fn rooms(stores: &Stores) {
    let room = Scene::set(stores, ConversationKind::Room, History::All, 1).await;
    let user = stores.make_user().await;
    let join = async |user: &UserId, id| stores.directory.join(actor(user, id)).await.expect("join");
    let joined = join(&user.id, room.id).await.expect("a room is open");
    assert_eq!((joined.value.member_count, conversations_of_entries(&joined.entries)), (2, vec![room.id, user.feed]));
    assert_eq!(room.told(2).await, [LogChange::MemberJoined { member: user.id.clone() }]);
    let again = room.unchanged(join(&user.id, room.id)).await.expect("nothing is wrong with it");
    assert_eq!(again.entries, []);
    // Groups are not open, and to strangers they are not there.
    let group = Scene::group(stores, 1).await;
    assert_eq!(group.unchanged(join(&user.id, group.id)).await, Err(GroupRefusal::NoSuchConversation));
    assert_eq!(join(&user.id, ConversationId::generate()).await, Err(GroupRefusal::NoSuchConversation));
    assert_eq!(join(&user.id, user.feed).await, Err(GroupRefusal::NoSuchConversation));
    assert!(group.unchanged(join(&group.user(0), group.id)).await.expect("it is in it").entries.is_empty());
    // The last one closes the door behind it; who opens it again owns the room.
    room.leave(0).await.expect("a member may leave");
    stores.directory.leave(actor(&user.id, room.id)).await.expect("leave").expect("a member may leave");
    assert_eq!(room.roles().await, []);
    join(&room.user(0), room.id).await.expect("a room is open");
    assert_eq!(room.roles().await, [(room.user(0), Role::Owner)]);
    let member = room.user(0);
    let taken =
        [LogChange::MemberJoined { member: member.clone() }, LogChange::OwnerChanged { by: member.clone(), member }];
    assert_eq!(room.told(6).await, taken);
}

async fn leaving_and_coming_back(stores: &Stores) {
    let scene = Scene::group(stores, 2).await;
    let (user, member) = (scene.user(1), scene.members[1].clone());
    let sent = message(&member, scene.id, "hello");
    stores.append_one(sent.clone()).await.expect("a member may write");
    let left = scene.leave(1).await.expect("a member may leave");
    assert_eq!(scene.stays(&user).await, [(0, Some(4), 1)]);
    assert_eq!(LogChange::of(&left.entries[0]), Some(LogChange::MemberLeft { member: user.clone() }));
    assert!(LogChange::ends_stay(&left.entries[0], &user) && left.entries[0].seq == seq(4));
    assert_eq!(scene.last_of_feed(&user).await, FeedChange::ConversationRemoved { conversation: scene.id });
    assert_eq!(scene.unchanged(scene.leave(1)).await, Err(GroupRefusal::NoSuchConversation));
    // What was sent before is answered; nothing new is taken.
    stores.append_one(sent).await.expect("a resend is answered");
    assert_eq!(stores.append_one(message(&member, scene.id, "more")).await.map(drop), Err(AppendRefusal::NotMember));
    stores.fill(&scene.members[0], scene.id, 2).await;
    scene.add(0, &[&user]).await.expect("an owner may invite");
    assert_eq!(scene.stays(&user).await, [(0, Some(4), 1), (6, None, 7)]);
    stores.append_one(message(&member, scene.id, "again")).await.expect("a member may write");
    let followed = stores.directory.followed_one(user.clone(), member.device, scene.id).await.expect("followed_one");
    let followed = followed.expect("it was a member");
    assert_eq!((followed.intervals.0.len(), followed.bounds.head, followed.cursor), (2, seq(8), None));
    stores.store_cursor(member.device, scene.id, 4).await;
    let all = stores.directory.followed(user.clone(), member.device).await.expect("followed");
    let found = all.into_iter().find(|one| one.conversation == scene.id).expect("it is followed");
    let (left, lasting) = (seq(4), followed.intervals.0[1]);
    assert_eq!((&found.intervals.0[..], found.cursor), (&[lasting][..], Some(left)), "the device has the first stay");
    scene.leave(1).await.expect("a member may leave");
    let all = stores.directory.followed(user.clone(), member.device).await.expect("followed");
    let found = all.iter().find(|one| one.conversation == scene.id).expect("what is over is told too");
    assert_eq!(found.intervals.end(), Some(seq(9)));
    // Until the device has all of it; then who asks for it hears of all stays again.
    stores.store_cursor(member.device, scene.id, 9).await;
    let all = stores.directory.followed(user.clone(), member.device).await.expect("followed");
    assert!(all.iter().all(|one| one.conversation != scene.id), "{all:?}");
    let asked = vec![ConversationId::generate(), scene.id];
    let found = stores.directory.followed_in(user, member.device, asked).await.expect("followed_in");
    assert_eq!((found.len(), found[0].intervals.0.len(), found[0].cursor), (1, 2, Some(seq(9))));
    let stranger = stores.directory.followed_one(nobody(), member.device, scene.id).await.expect("followed_one");
    assert_eq!(stranger, None);
}

/// The stays of one who comes and goes are bounded. Forgotten is the one that shows the fewest entries, of several the oldest:
/// here the first one shows more than those after it.
async fn who_comes_and_goes_has_so_many_stays(stores: &Stores) {
    let scene = Scene::group(stores, 3).await;
    let (user, other) = (scene.user(1), scene.user(2));
    for _ in 1..STAYS_MAX {
        scene.leave(1).await.expect("a member may leave");
        scene.add(0, &[&user]).await.expect("an owner may invite");
    }
    let all = scene.stays(&user).await;
    assert_eq!(all.len() as u64, STAYS_MAX);
    scene.leave(1).await.expect("a member may leave");
    scene.leave(2).await.expect("a member may leave");
    scene.add(0, &[&user, &other]).await.expect("an owner may invite");
    let kept = scene.stays(&user).await;
    assert_eq!((kept.len() as u64, scene.stays(&other).await.len()), (STAYS_MAX, 2));
    assert_eq!(kept[..2], [all[0], all[2]]);
}

async fn who_takes_over(stores: &Stores) {
    let scene = Scene::group(stores, 4).await;
    scene.set_role(0, &scene.user(3), Role::Admin).await.expect("an owner may give roles");
    let left = scene.leave(0).await.expect("an owner may leave");
    // First the owner changes, then the owner of before goes: there is one at any time.
    let changes: Vec<LogChange> = left.entries.iter().filter_map(LogChange::of).collect();
    let taken = LogChange::OwnerChanged { by: scene.user(0), member: scene.user(3) };
    assert_eq!(changes, [taken, LogChange::MemberLeft { member: scene.user(0) }]);
    assert_eq!(scene.stays(&scene.user(0)).await, [(0, Some(5), 1)]);
    // Without an admin it is the one who joined first.
    scene.leave(3).await.expect("an owner may leave");
    let mut rest = [scene.user(1), scene.user(2)];
    rest.sort();
    let role = |user: UserId| (user.clone(), if user == rest[0] { Role::Owner } else { Role::Member });
    assert_eq!(scene.roles().await, [role(scene.user(1)), role(scene.user(2))]);
}

async fn removing(stores: &Stores) {
    let scene = Scene::group(stores, 5).await;
    for admin in [1, 2] {
        scene.set_role(0, &scene.user(admin), Role::Admin).await.expect("an owner may give roles");
    }
    let refusals = [
        (3, 4, GroupRefusal::Forbidden),
        (3, 0, GroupRefusal::Forbidden),
        (1, 2, GroupRefusal::Forbidden),
        (1, 0, GroupRefusal::Forbidden),
    ];
    for (by, whom, refusal) in refusals {
        assert_eq!(scene.unchanged(scene.remove(by, &scene.user(whom))).await, Err(refusal), "{by} {whom}");
    }
    let stranger = stores.make_user().await.id;
    assert_eq!(scene.unchanged(scene.remove(0, &stranger)).await, Err(GroupRefusal::NoSuchMember));
    let outside = stores.directory.remove_member(actor(&stranger, scene.id), scene.user(4)).await;
    assert_eq!(outside.expect("remove_member"), Err(GroupRefusal::NoSuchConversation));
    for (by, whom) in [(1, 4), (0, 1)] {
        let head = scene.head().await;
        let removed = scene.remove(by, &scene.user(whom)).await.expect("its role allows it");
        assert_eq!(removed.entries.len(), 2);
        assert_eq!(
            scene.told(head + 1).await,
            [LogChange::MemberRemoved { by: scene.user(by), member: scene.user(whom) }]
        );
        assert_eq!(scene.stays(&scene.user(whom)).await, [(0, Some(head + 1), 1)]);
        assert_eq!(
            scene.last_of_feed(&scene.user(whom)).await,
            FeedChange::ConversationRemoved { conversation: scene.id }
        );
        assert_eq!(scene.unchanged(scene.remove(0, &scene.user(whom))).await, Err(GroupRefusal::NoSuchMember));
    }
    // A role ends with the stay.
    scene.add(0, &[&scene.user(1)]).await.expect("an owner may invite");
    assert_eq!(scene.standing(&scene.user(1)).await.role, Some(Role::Member));
}

async fn roles(stores: &Stores) {
    let scene = Scene::group(stores, 3).await;
    let (owner, one, other) = (scene.user(0), scene.user(1), scene.user(2));
    let head = scene.head().await;
    scene.set_role(0, &one, Role::Admin).await.expect("an owner may give roles");
    scene.unchanged(scene.set_role(0, &one, Role::Admin)).await.expect("nothing is wrong with it");
    for (by, whom, role) in
        [(1, &other, Role::Admin), (2, &other, Role::Owner), (1, &owner, Role::Member), (0, &owner, Role::Admin)]
    {
        assert_eq!(scene.unchanged(scene.set_role(by, whom, role)).await, Err(GroupRefusal::Forbidden));
    }
    let stranger = stores.make_user().await.id;
    assert_eq!(scene.unchanged(scene.set_role(0, &stranger, Role::Admin)).await, Err(GroupRefusal::NoSuchMember));
    scene.set_role(0, &one, Role::Member).await.expect("an owner may give roles");
    scene.set_role(0, &other, Role::Owner).await.expect("an owner may hand over");
    let by = owner.clone();
    let changes = [
        LogChange::RoleChanged { by: by.clone(), member: one.clone(), role: Role::Admin },
        LogChange::RoleChanged { by: by.clone(), member: one.clone(), role: Role::Member },
        LogChange::OwnerChanged { by, member: other.clone() },
    ];
    assert_eq!(scene.told(head + 1).await, changes);
    assert_eq!(scene.roles().await, [(owner, Role::Admin), (one, Role::Member), (other, Role::Owner)]);
}

async fn details(stores: &Stores) {
    let scene = Scene::group(stores, 2).await;
    let title = |title: &str| DetailsChange { title: Some(Some(title.to_owned())), ..DetailsChange::default() };
    assert_eq!(scene.unchanged(scene.change(1, title("mine"))).await, Err(GroupRefusal::Forbidden));
    let stranger = actor(&nobody(), scene.id);
    let refused = stores.directory.change_details(stranger, title("x")).await.expect("change_details");
    assert_eq!(refused, Err(GroupRefusal::NoSuchConversation));
    let same = scene.unchanged(scene.change(0, title("a team"))).await.expect("nothing is wrong with it");
    assert_eq!(same.entries, []);
    // Only what is different is told.
    let custom = CustomObject::from_json(r#"{"n":1}"#);
    let change = DetailsChange { custom: Some(custom.clone()), history: Some(History::All), ..title("a team") };
    let changed = scene.change(0, change.clone()).await.expect("an owner may");
    assert_eq!((&changed.value.details.custom, changed.value.details.history), (&custom, History::All));
    let told = LogChange::Changed { by: scene.user(0), change: DetailsChange { title: None, ..change } };
    assert_eq!(changed.entries.iter().filter_map(LogChange::of).collect::<Vec<_>>(), [told]);
    assert_eq!(scene.standing(&scene.user(1)).await.conversation, changed.value);
    let none = DetailsChange { title: Some(None), custom: Some(None), ..DetailsChange::default() };
    scene.set_role(0, &scene.user(1), Role::Admin).await.expect("an owner may give roles");
    let cleared = scene.change(1, none).await.expect("an admin may").value.details;
    assert_eq!((cleared.title, cleared.custom, cleared.history), (None, None, History::All));
}

async fn direct_ones_stay_as_they_are(stores: &Stores) {
    let (one, other) = (stores.make_user().await.id, stores.make_user().await.id);
    let id = ConversationId::direct(&one, &other);
    let members = vec![one.clone(), other.clone()];
    let new = NewConversation { id, kind: ConversationKind::Direct, title: None, members, now: at(0) };
    stores.directory.create_conversation(new).await.expect("create_conversation").expect("both exist");
    let (by, directory) = (actor(&one, id), &stores.directory);
    let title = DetailsChange { title: Some(Some("x".into())), ..DetailsChange::default() };
    let direct = GroupRefusal::Direct;
    assert_eq!(directory.leave(by.clone()).await.expect("leave"), Err(direct));
    assert_eq!(directory.change_details(by.clone(), title).await.expect("change_details"), Err(direct));
    assert_eq!(directory.add_members(by.clone(), vec![nobody()]).await.expect("add_members"), Err(direct));
    assert_eq!(directory.remove_member(by.clone(), other.clone()).await.expect("remove_member"), Err(direct));
    assert_eq!(directory.set_role(by, other.clone(), Role::Owner).await.expect("set_role"), Err(direct));
    let stranger = directory.leave(actor(&nobody(), id)).await.expect("leave");
    assert_eq!(stranger, Err(GroupRefusal::NoSuchConversation));
    let standing = directory.standing(one, id).await.expect("standing").expect("it is there");
    assert_eq!(
        (standing.peer, standing.role, standing.conversation.member_count),
        (Some(other), Some(Role::Member), 2)
    );
}

async fn the_limits(stores: &Stores) {
    let cases =
        [(ConversationKind::Group, stores.group_members_max), (ConversationKind::Room, stores.room_members_max)];
    for (kind, max) in cases {
        let scene = Scene::set(stores, kind, History::All, max - 1).await;
        let (one, other) = (stores.make_user().await.id, stores.make_user().await.id);
        let refused = scene.unchanged(scene.add(0, &[&one, &other])).await;
        assert_eq!(refused, Err(GroupRefusal::TooManyMembers));
        scene.add(0, &[&one]).await.expect("there is room for one");
        assert_eq!(scene.unchanged(scene.add(0, &[&other])).await, Err(GroupRefusal::TooManyMembers));
        if kind == ConversationKind::Room {
            let refused = scene.unchanged(stores.directory.join(actor(&other, scene.id))).await.expect("join");
            assert_eq!(refused, Err(GroupRefusal::TooManyMembers));
        }
        let members = scene.members.iter().map(|member| member.user.clone()).chain([one, other.clone()]).collect();
        let larger = group(ConversationId::generate(), kind, History::All, members);
        let refused = stores.directory.create_group(larger).await.expect("create_group");
        assert_eq!(refused, Err(GroupRefusal::TooManyMembers));
        scene.leave(1).await.expect("a member may leave");
        scene.add(0, &[&other]).await.expect("there is room again");
    }
    let (room, full) = (Scene::set(stores, ConversationKind::Room, History::All, 1).await, stores.make_user().await.id);
    let mut last = None;
    for _ in 0..stores.conversations_per_user_max {
        let id = ConversationId::generate();
        let own = group(id, ConversationKind::Group, History::None, vec![full.clone()]);
        stores.directory.create_group(own).await.expect("create_group").expect("there is room");
        last = Some(id);
    }
    let refused = Err(GroupRefusal::TooManyConversations);
    assert_eq!(room.unchanged(stores.directory.join(actor(&full, room.id))).await.expect("join"), refused);
    assert_eq!(room.unchanged(room.add(0, &[&full])).await.map(drop), refused.clone().map(|_| ()));
    let left = stores.directory.leave(actor(&full, last.expect("it was made"))).await.expect("leave");
    left.expect("a member may leave");
    stores.directory.join(actor(&full, room.id)).await.expect("join").expect("there is room again");
}

async fn what_is_left_for_one_who_left(stores: &Stores) {
    let scene = Scene::group(stores, 2).await;
    let left = scene.leave(1).await.expect("a member may leave");
    let title = DetailsChange { title: Some(Some("secret".into())), ..DetailsChange::default() };
    scene.change(0, title).await.expect("an owner may");
    let member = stores.make_author().await;
    scene.add(0, &[&member.user]).await.expect("an owner may");
    let mut sent = message(&scene.members[0], scene.id, "later");
    sent.sent_at = at(5_000);
    stores.append_one(sent).await.expect("a member may write");
    let listed = stores.directory.conversations_of(scene.user(1), None, 10).await.expect("conversations_of");
    let [one] = &listed[..] else { panic!("one was expected, not {listed:?}") };
    let found = &one.conversation;
    assert_eq!((one.role, found.bounds.head, found.active_at), (None, left.entries[0].seq, at(100)));
    assert_eq!((&found.details.title, found.member_count), (&None, 0));
    let after = Some((found.active_at, found.id));
    let rest = stores.directory.conversations_of(scene.user(1), after, 10).await.expect("conversations_of");
    assert_eq!(rest, [], "pages go on behind it");
}
