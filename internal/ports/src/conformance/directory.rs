//! The suite of [`Directory`](crate::Directory).

use super::Stores;
use super::world::{at, nobody, seq};
use crate::{Actor, CursorRow, DeviceRefusal, DirectoryRefusal, ListedConversation, NewConversation, NewDevice};
use lockstep_model::{
    Bounds, ConnectionGeneration, ConversationId, ConversationKind, DeviceId, DeviceKind, FeedChange, Interval,
    Intervals, Kind, Member, MemberState, Role, Sender, TokenGeneration, UnixMs, User, UserId,
};
use tokio::task::JoinSet;

/// Checks a directory against its contract.
pub async fn directory(stores: &Stores) {
    users_and_their_feeds(stores).await;
    devices(stores).await;
    filling(stores).await;
    connecting_and_generations(stores).await;
    removal(stores).await;
    which_devices_are_gone(stores).await;
    which_devices_are_strays(stores).await;
    groups(stores).await;
    a_direct_conversation_is_made_once(stores).await;
    the_limit_of_conversations(stores).await;
    membership(stores).await;
    the_order_of_members(stores).await;
    the_order_of_conversations(stores).await;
    what_a_device_follows(stores).await;
    cursors(stores).await;
    super::services::services(stores).await;
    super::admin::admin(stores).await;
    super::people::people(stores).await;
    super::reads::reads(stores).await;
    super::accounts::accounts(stores).await;
    super::links::links(stores).await;
    super::passwords::passwords(stores).await;
    super::teardowns::teardowns(stores).await;
    super::groups::groups(stores).await;
}

const FIRST_STAY: Interval = Interval { joined_seq: seq_const(0), left_seq: None, visible_from_seq: seq_const(1) };

const fn seq_const(number: u64) -> lockstep_model::Seq {
    lockstep_model::Seq::new(number)
}

/// What the entries of a user's feed tell of.
async fn told(stores: &Stores, user: &User) -> Vec<FeedChange> {
    let feed = stores.range(user.feed, 1, 10_000).await;
    feed.iter().map(|entry| FeedChange::of(entry).expect("a change that is known")).collect()
}

async fn users_and_their_feeds(stores: &Stores) {
    let id = nobody();
    assert_eq!(stores.directory.user(id.clone()).await.expect("user"), None);
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        let (stores, id) = (stores.clone(), id.clone());
        tasks.spawn(async move { stores.directory.ensure_user(id, at(number)).await.expect("ensure_user") });
    }
    let found = tasks.join_all().await;
    let user = stores.directory.user(id.clone()).await.expect("user").expect("it was made");
    assert!(user.id == id && found.iter().all(|other| *other == user), "{found:?}");
    let stays = stores.directory.membership(id, user.feed).await.expect("membership");
    let empty = Bounds { floor: seq(1), head: seq(0) };
    assert_eq!(stays, Some((Intervals(vec![FIRST_STAY]), empty)));
    assert_ne!(stores.make_user().await.feed, user.feed);
}

async fn devices(stores: &Stores) {
    let user = stores.make_user().await;
    let new = |user: &UserId, name: &str, kind, ms| {
        let (user, name) = (user.clone(), name.to_owned());
        NewDevice { id: DeviceId::generate(), user, name, kind, unfilled: false, now: at(ms) }
    };
    let refused = stores.directory.create_device(new(&nobody(), "x", DeviceKind::Sub, 0)).await.expect("create_device");
    assert_eq!(refused, Err(DirectoryRefusal::NoSuchUser));
    let mut made = Vec::new();
    for (number, (name, kind)) in [("my \"phone\" ☎", DeviceKind::Main), ("", DeviceKind::Sub)].into_iter().enumerate()
    {
        let new = new(&user.id, name, kind, 10 + number as u64);
        let created = stores.directory.create_device(new.clone()).await.expect("create_device").expect("it is made");
        let device = created.value;
        assert_eq!((device.id, &device.user, &*device.name, device.kind), (new.id, &user.id, name, kind));
        assert_eq!((device.created_at, device.seen_at, device.removed_at), (new.now, None, None));
        let [entry] = &created.entries[..] else { panic!("one entry was expected, not {:?}", created.entries) };
        assert_eq!((entry.conversation, entry.seq), (user.feed, seq(number as u64 + 1)));
        assert_eq!((&entry.kind, &entry.sender, entry.sent_at), (&Kind::System, &Sender::server(), new.now));
        assert_eq!(FeedChange::of(entry), Some(FeedChange::DeviceLinked { device: device.id }));
        assert_eq!(stores.range(user.feed, entry.seq.get(), 1).await, created.entries, "the entry is in the log");
        // Given again it changes nothing.
        let again = stores.directory.create_device(new).await.expect("create_device").expect("it is there");
        assert_eq!((again.value, again.entries), (device.clone(), vec![]));
        assert_eq!(stores.directory.device(device.id).await.expect("device"), Some(device.clone()));
        made.push(device);
    }
    assert_eq!(stores.directory.devices_of(user.id.clone()).await.expect("devices_of"), made, "oldest first");
    assert_eq!(stores.directory.devices_of(nobody()).await.expect("devices_of"), []);
    assert_eq!(stores.directory.device(DeviceId::generate()).await.expect("device"), None);
}

/// A device is unfilled until it is said to be filled.
async fn filling(stores: &Stores) {
    let user = stores.make_user().await;
    let (id, name, kind) = (DeviceId::generate(), "laptop".to_owned(), DeviceKind::Sub);
    let new = NewDevice { id, user: user.id, name, kind, unfilled: true, now: at(1) };
    let made = stores.directory.create_device(new).await.expect("create_device").expect("it is made").value;
    let unfilled = async || stores.directory.device(id).await.expect("device").expect("it is there").unfilled;
    assert!(made.unfilled && unfilled().await);
    let connected = stores.directory.connect_device(id, made.token_generation, at(2)).await.expect("connect_device");
    assert!(connected.expect("it may").device.unfilled);
    for _ in 0..2 {
        stores.directory.fill_device(id).await.expect("fill_device");
        assert!(!unfilled().await);
    }
    stores.directory.fill_device(DeviceId::generate()).await.expect("one that is not there is nobody's");
}

async fn connecting_and_generations(stores: &Stores) {
    let user = stores.make_user().await;
    let device = stores.make_device(&user.id).await;
    let token = device.token_generation;
    let connect = async |id, token| stores.directory.connect_device(id, token, at(77)).await.expect("connect_device");
    let first = connect(device.id, token).await.expect("it may connect");
    assert_eq!((first.feed, first.device.seen_at), (user.feed, Some(at(77))));
    assert!(first.generation() > device.connection_generation);
    let second = connect(device.id, TokenGeneration(token.0 + 5)).await.expect("a newer token is not below");
    assert!(second.generation() > first.generation());
    assert_eq!(stores.directory.device(device.id).await.expect("device"), Some(second.device.clone()));
    assert_eq!(second.device.token_generation, token, "connecting does not touch tokens");
    assert_eq!(connect(DeviceId::generate(), token).await, Err(DirectoryRefusal::NoSuchDevice));
    // At once: every connection has a generation of its own.
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (stores, id) = (stores.clone(), device.id);
        tasks.spawn(async move { stores.directory.connect_device(id, token, at(78)).await });
    }
    let mut generations: Vec<ConnectionGeneration> =
        tasks.join_all().await.into_iter().map(|c| c.expect("connect_device").expect("allowed").generation()).collect();
    generations.sort_unstable();
    generations.dedup();
    assert!(generations.len() == 20 && generations[0] > second.generation(), "{generations:?}");
}

async fn removal(stores: &Stores) {
    let user = stores.make_user().await;
    let (device, kept) = (stores.make_device(&user.id).await, stores.make_device(&user.id).await);
    let group = stores.make_group(&[&user.id], at(0)).await.id;
    for device in [device.id, kept.id] {
        stores.store_cursor(device, group, 7).await;
    }
    let remove = async |id, ms| stores.remove(id, at(ms)).await;
    let removed = remove(device.id, 50).await.expect("it is there");
    assert_eq!(removed.value.removed_at, Some(at(50)));
    assert!(removed.value.token_generation > device.token_generation);
    assert!(removed.value.connection_generation > device.connection_generation);
    let [entry] = &removed.entries[..] else { panic!("one entry was expected, not {:?}", removed.entries) };
    assert_eq!(
        (entry.conversation, FeedChange::of(entry)),
        (user.feed, Some(FeedChange::DeviceRemoved { device: device.id }))
    );
    assert_eq!(told(stores, &user).await.last(), Some(&FeedChange::DeviceRemoved { device: device.id }));
    // Again: nothing.
    let again = remove(device.id, 60).await.expect("it is known");
    assert_eq!((&again.value, again.entries), (&removed.value, vec![]));
    assert_eq!(remove(DeviceId::generate(), 60).await, Err(DeviceRefusal::NoSuchDevice));
    assert_eq!(stores.directory.device(device.id).await.expect("device"), Some(removed.value.clone()));
    let left = stores.directory.devices_of(user.id.clone()).await.expect("devices_of");
    assert_eq!(left.iter().map(|device| device.id).collect::<Vec<_>>(), [kept.id]);
    // Whatever token it shows.
    for token in [device.token_generation, removed.value.token_generation] {
        let refused = stores.directory.connect_device(device.id, token, at(70)).await.expect("connect_device");
        assert_eq!(refused, Err(DirectoryRefusal::DeviceRemoved));
    }
    // Its cursors are gone and none comes back.
    stores.store_cursor(device.id, group, 9).await;
    assert_eq!(cursor(stores, &user.id, device.id, group).await, None);
    assert_eq!(cursor(stores, &user.id, kept.id, group).await, Some(7));
}

async fn which_devices_are_gone(stores: &Stores) {
    let user = stores.make_user().await;
    let (there, removed, unknown) =
        (stores.make_device(&user.id).await.id, stores.make_device(&user.id).await.id, DeviceId::generate());
    stores.remove(removed, at(50)).await.expect("it may go");
    let gone = async |devices| stores.directory.gone(devices).await.expect("gone");
    assert_eq!(gone(vec![]).await, []);
    assert_eq!(gone(vec![there]).await, []);
    assert_eq!(gone(vec![unknown, there, removed]).await, [unknown, removed], "in the order asked");
    // More than one statement takes.
    let many: Vec<DeviceId> = (0..600).map(|_| DeviceId::generate()).collect();
    let mut asked = many.clone();
    asked.insert(300, there);
    asked.push(there);
    assert_eq!(gone(asked).await, many);
}

async fn which_devices_are_strays(stores: &Stores) {
    let (owner, user) = (stores.make_author().await, stores.make_user().await);
    let (there, removed) = (stores.make_device(&user.id).await.id, stores.make_device(&user.id).await.id);
    stores.remove(removed, at(50)).await.expect("it may go");
    let strays = async |places| stores.directory.strays(places).await.expect("strays");
    assert_eq!(strays(vec![]).await, []);
    let group = stores.make_group(&[&owner.user, &user.id], at(0)).await.id;
    let (others, nowhere) = (stores.make_group(&[&owner.user], at(0)).await.id, ConversationId::generate());
    let everywhere = [(there, group), (there, user.feed), (there, others), (removed, others), (there, nowhere)];
    assert_eq!(strays(everywhere.to_vec()).await, [(there, others), (there, nowhere)], "in the order asked");
    let actor = Actor { user: user.id.clone(), conversation: group, now: at(60) };
    stores.directory.leave(actor).await.expect("leave").expect("a member may");
    assert_eq!(strays(everywhere.to_vec()).await, [(there, group), (there, others), (there, nowhere)]);
}

async fn cursor(stores: &Stores, user: &UserId, device: DeviceId, conversation: ConversationId) -> Option<u64> {
    let followed = stores.directory.followed(user.clone(), device).await.expect("followed");
    let found = followed.iter().find(|followed| followed.conversation == conversation).expect("it is followed");
    found.cursor.map(|seq| seq.get())
}

async fn groups(stores: &Stores) {
    let users = [stores.make_user().await, stores.make_user().await, stores.make_user().await];
    let new = NewConversation {
        id: ConversationId::generate(),
        kind: ConversationKind::Group,
        title: Some("böök club".into()),
        members: users.iter().map(|user| user.id.clone()).collect(),
        now: at(30),
    };
    let created =
        stores.directory.create_conversation(new.clone()).await.expect("create_conversation").expect("all exist");
    let made = &created.value;
    assert_eq!((made.id, made.kind, &made.details.title), (new.id, ConversationKind::Group, &new.title));
    assert_eq!(made.member_count, 3);
    assert_eq!(
        (made.bounds, made.created_at, made.active_at),
        (Bounds { floor: seq(1), head: seq(0) }, at(30), at(30))
    );
    let change = FeedChange::ConversationAdded { conversation: new.id, kind: ConversationKind::Group };
    let feeds: Vec<ConversationId> = created.entries.iter().map(|entry| entry.conversation).collect();
    assert_eq!(feeds, users.iter().map(|user| user.feed).collect::<Vec<_>>());
    for (user, entry) in users.iter().zip(&created.entries) {
        assert_eq!((FeedChange::of(entry), entry.sent_at), (Some(change), at(30)));
        assert_eq!(stores.range(user.feed, 1, 10).await, std::slice::from_ref(entry));
    }
    // Given again it changes nothing.
    let again =
        stores.directory.create_conversation(new.clone()).await.expect("create_conversation").expect("it is there");
    assert_eq!((&again.value, again.entries), (made, vec![]));
    // One who does not exist refuses the whole.
    let mut strangers = NewConversation { id: ConversationId::generate(), ..new };
    strangers.members.push(nobody());
    let refused = stores.directory.create_conversation(strangers.clone()).await.expect("create_conversation");
    assert_eq!(refused, Err(DirectoryRefusal::NoSuchUser));
    assert_eq!(stores.log.bounds(vec![strangers.id]).await.expect("bounds"), [None]);
    assert_eq!(told(stores, &users[0]).await, [change]);
}

async fn a_direct_conversation_is_made_once(stores: &Stores) {
    let (one, other) = (stores.make_user().await, stores.make_user().await);
    let id = ConversationId::direct(&one.id, &other.id);
    let mut tasks = JoinSet::new();
    for number in 0..10 {
        let members = if number % 2 == 0 { [&one, &other] } else { [&other, &one] };
        let members = members.map(|user| user.id.clone()).to_vec();
        let new = NewConversation { id, kind: ConversationKind::Direct, title: None, members, now: at(number) };
        let stores = stores.clone();
        tasks.spawn(async move { stores.directory.create_conversation(new).await });
    }
    let made: Vec<_> =
        tasks.join_all().await.into_iter().map(|made| made.expect("create_conversation").expect("allowed")).collect();
    assert!(made.iter().all(|each| each.value == made[0].value));
    assert_eq!(made.iter().map(|each| each.entries.len()).sum::<usize>(), 2, "one entry for each side, once");
    let change = FeedChange::ConversationAdded { conversation: id, kind: ConversationKind::Direct };
    for (user, peer) in [(&one, &other), (&other, &one)] {
        assert_eq!(told(stores, user).await, [change]);
        let listed = stores.directory.conversations_of(user.id.clone(), None, 10).await.expect("conversations_of");
        let (conversation, role) = (made[0].value.clone(), Some(Role::Member));
        let state = MemberState::default();
        let expected = ListedConversation { conversation, role, peer: Some(peer.id.clone()), state };
        assert_eq!(listed, [expected]);
    }
}

async fn the_limit_of_conversations(stores: &Stores) {
    let (full, other) = (stores.make_user().await, stores.make_user().await);
    for _ in 0..stores.conversations_per_user_max {
        stores.make_group(&[&full.id], at(0)).await;
    }
    let told_before = told(stores, &full).await.len();
    let id = ConversationId::generate();
    let members = vec![other.id.clone(), full.id.clone()];
    let new = NewConversation { id, kind: ConversationKind::Group, title: None, members, now: at(1) };
    let refused = stores.directory.create_conversation(new).await.expect("create_conversation");
    assert_eq!(refused, Err(DirectoryRefusal::TooManyConversations));
    assert_eq!(stores.log.bounds(vec![id]).await.expect("bounds"), [None]);
    assert_eq!((told(stores, &full).await.len(), told(stores, &other).await.len()), (told_before, 0));
}

async fn membership(stores: &Stores) {
    let (author, stranger) = (stores.make_author().await, stores.make_user().await);
    let group = stores.make_group(&[&author.user], at(0)).await.id;
    stores.fill(&author, group, 3).await;
    stores.log.raise_floor(group, seq(2)).await.expect("raise_floor");
    let bounds = Bounds { floor: seq(2), head: seq(3) };
    let of = async |user: &UserId, id| stores.directory.membership(user.clone(), id).await.expect("membership");
    assert_eq!(of(&author.user, group).await, Some((Intervals(vec![FIRST_STAY]), bounds)));
    assert_eq!(of(&stranger.id, group).await, Some((Intervals(vec![]), bounds)));
    assert_eq!(of(&nobody(), group).await, Some((Intervals(vec![]), bounds)));
    assert_eq!(of(&author.user, ConversationId::generate()).await, None);
}

async fn the_order_of_members(stores: &Stores) {
    let mut users = Vec::new();
    for _ in 0..7 {
        users.push(stores.make_user().await.id);
    }
    let group = stores.make_group(&users.iter().collect::<Vec<_>>(), at(0)).await.id;
    let page = async |after: Option<&Member>, count| {
        let after = after.map(|last: &Member| (last.joined_seq, last.user.clone()));
        let page = stores.directory.members_of(group, after, count).await.expect("members_of");
        assert!(page.iter().all(|member| (member.role, member.joined_at) == (Role::Member, at(0))));
        page
    };
    let all = page(None, 100).await;
    let mut sorted: Vec<UserId> = all.iter().map(|member| member.user.clone()).collect();
    sorted.sort();
    users.sort();
    assert_eq!(sorted, users, "everybody once");
    let mut paged: Vec<Member> = Vec::new();
    loop {
        let next = page(paged.last(), 3).await;
        if next.is_empty() {
            break;
        }
        assert!(next.len() <= 3);
        paged.extend(next);
    }
    assert_eq!(paged, all, "pages go on where the last one ended");
    assert!(page(None, 0).await.is_empty());
    let unknown = stores.directory.members_of(ConversationId::generate(), None, 5).await.expect("members_of");
    assert!(unknown.is_empty());
}

async fn the_order_of_conversations(stores: &Stores) {
    let (author, peer) = (stores.make_author().await, stores.make_user().await);
    let mut groups = Vec::new();
    // Three of them are equally old: the order among them must be one, too.
    for ms in [100, 300, 300, 300, 200] {
        groups.push(stores.make_group(&[&author.user, &peer.id], at(ms)).await.id);
    }
    let page = async |after: Option<(UnixMs, ConversationId)>, count| {
        stores.directory.conversations_of(author.user.clone(), after, count).await.expect("conversations_of")
    };
    let all = page(None, 100).await;
    let times: Vec<UnixMs> = all.iter().map(|listed| listed.conversation.active_at).collect();
    assert_eq!(times, [at(300), at(300), at(300), at(200), at(100)], "the feed is not among them");
    assert!(all.iter().all(|listed| listed.role.is_some() && listed.peer.is_none()));
    let mut paged: Vec<ListedConversation> = Vec::new();
    loop {
        let after = paged.last().map(|last| (last.conversation.active_at, last.conversation.id));
        let next = page(after, 2).await;
        if next.is_empty() {
            break;
        }
        assert!(next.len() <= 2);
        paged.extend(next);
    }
    assert_eq!(paged, all, "pages go on where the last one ended");
    // An entry moves a conversation to the front; an older clock does not move it back.
    for (ms, active_at) in [(400, 400), (50, 400)] {
        let append = crate::Append { sent_at: at(ms), ..super::world::message(&author, groups[0], "hello") };
        stores.append_one(append).await.expect("a member");
        let first = page(None, 1).await.remove(0).conversation;
        assert_eq!((first.id, first.active_at), (groups[0], at(active_at)));
    }
    assert_eq!(page(None, 1).await[0].conversation.bounds, Bounds { floor: seq(1), head: seq(2) });
    assert!(page(None, 0).await.is_empty());
    assert!(stores.directory.conversations_of(nobody(), None, 5).await.expect("conversations_of").is_empty());
}

async fn what_a_device_follows(stores: &Stores) {
    let author = stores.make_author().await;
    let user = stores.directory.user(author.user.clone()).await.expect("user").expect("it exists");
    let older = stores.make_group(&[&author.user], at(1_000)).await.id;
    let newer = stores.make_group(&[&author.user], at(2_000)).await.id;
    stores.make_group(&[&stores.make_user().await.id], at(3_000)).await;
    stores.fill(&author, newer, 4).await;
    stores.store_cursor(author.device, newer, 2).await;
    let followed = stores.directory.followed(author.user.clone(), author.device).await.expect("followed");
    let seen: Vec<_> = followed.iter().map(|each| (each.conversation, each.bounds.head.get(), each.cursor)).collect();
    // The feed tells of the device and of two conversations.
    assert_eq!(seen, [(user.feed, 3, None), (newer, 4, Some(seq(2))), (older, 0, None)]);
    assert!(followed.iter().all(|each| each.intervals == Intervals(vec![FIRST_STAY])));
    assert_eq!(followed[2].active_at, at(1_000));
    // Another device has cursors of its own.
    let device = stores.make_device(&author.user).await.id;
    let followed = stores.directory.followed(author.user.clone(), device).await.expect("followed");
    assert!(followed.len() == 3 && followed.iter().all(|each| each.cursor.is_none()));
    assert!(stores.directory.followed(nobody(), device).await.expect("followed").is_empty());
}

async fn cursors(stores: &Stores) {
    let author = stores.make_author().await;
    let mut groups = Vec::new();
    for _ in 0..5 {
        groups.push(stores.make_group(&[&author.user], at(0)).await.id);
    }
    let at_group = async |number: usize| cursor(stores, &author.user, author.device, groups[number]).await;
    for (to, expected) in [(5, 5), (3, 5), (5, 5), (8, 8)] {
        stores.store_cursor(author.device, groups[0], to).await;
        assert_eq!(at_group(0).await, Some(expected), "to {to}");
    }
    // Many at once, some twice: the highest of each stays.
    let row = |number: usize, to| CursorRow { device: author.device, conversation: groups[number], seq: seq(to) };
    let mut rows: Vec<CursorRow> =
        (1..5).flat_map(|number| [row(number, 9), row(number, 11), row(number, 10)]).collect();
    rows.push(CursorRow { device: DeviceId::generate(), ..row(1, 1) });
    stores.directory.store_cursors(rows).await.expect("store_cursors");
    for number in 1..5 {
        assert_eq!(at_group(number).await, Some(11));
    }
    assert_eq!(at_group(0).await, Some(8));
    stores.directory.store_cursors(vec![]).await.expect("store_cursors");
    // Lowered where the device has less, and nowhere else.
    let absent = CursorRow { device: DeviceId::generate(), ..row(1, 1) };
    stores.directory.lower_cursors(vec![row(1, 4), row(2, 12), absent]).await.expect("lower_cursors");
    assert_eq!((at_group(1).await, at_group(2).await, at_group(3).await), (Some(4), Some(11), Some(11)));
    stores.directory.lower_cursors(vec![]).await.expect("lower_cursors");
}
