//! The part of the directory's suite about what operators see and decide.

use super::Stores;
use super::world::{at, nobody};
use crate::{AccountRefusal, DirectoryRefusal, Proof, Rotation, SignIn, UserRecord};
use lockstep_model::{ClientMsgId, Conversation, ConversationId, Device, DeviceId, RefreshHash, UserId};

pub(super) async fn admin(stores: &Stores) {
    users_are_listed(stores).await;
    who_is_disabled_is_refused_everywhere(stores).await;
    disabling_again_and_enabling(stores).await;
    conversations_are_shown(stores).await;
}

fn hash() -> RefreshHash {
    let (one, other) = (DeviceId::generate(), DeviceId::generate());
    RefreshHash([*one.as_bytes(), *other.as_bytes()].concat().try_into().expect("two times 16"))
}

async fn record(stores: &Stores, user: &UserId) -> Option<UserRecord> {
    stores.directory.user_record(user.clone()).await.expect("user_record")
}

async fn users_are_listed(stores: &Stores) {
    let stem = nobody().to_string();
    let mut expected = Vec::new();
    // In the order of bytes; the last one begins with another stem.
    for end in ["", "-a", "-b", "-\u{e9}", "-\u{10ffff}"] {
        let id = UserId::new(&format!("{stem}{end}")).expect("it is short");
        expected.push(stores.directory.ensure_user(id, at(3)).await.expect("ensure_user").id);
    }
    let list = async |prefix: &str, after: Option<&UserId>, count| {
        let listed =
            stores.directory.user_records(prefix.to_owned(), after.cloned(), count).await.expect("user_records");
        listed.into_iter().map(|user| user.id).collect::<Vec<_>>()
    };
    assert_eq!(list(&stem, None, 10).await, expected);
    assert_eq!(list(&format!("{stem}-"), None, 10).await, expected[1..]);
    assert_eq!(list(&format!("{stem}-\u{10ffff}"), None, 10).await, expected[4..]);
    assert_eq!(list(&stem, None, 2).await, expected[..2]);
    assert_eq!(list(&stem, Some(&expected[1]), 2).await, expected[2..4]);
    assert_eq!(list(&stem, Some(&expected[4]), 2).await, []);
    assert_eq!(list(&format!("{stem}-b"), Some(&expected[0]), 9).await, expected[2..3], "a place before the prefix");
    assert!(list("", None, 1_000).await.is_sorted());

    let owner = stores.make_author().await;
    stores.make_group(&[&owner.user], at(0)).await;
    let gone = stores.make_device(&owner.user).await.id;
    stores.remove(gone, at(1)).await.expect("it is there");
    let user = stores.directory.user(owner.user.clone()).await.expect("user").expect("it is there");
    let expected = UserRecord {
        id: user.id,
        name: None,
        feed: user.feed,
        created_at: user.created_at,
        disabled_at: None,
        devices: 1,
        conversations: 1,
    };
    assert_eq!(record(stores, &owner.user).await, Some(expected));
    assert_eq!(record(stores, &nobody()).await, None);
}

async fn sign_in(
    stores: &Stores,
    user: &UserId,
    again: Option<&Device>,
    refresh: RefreshHash,
) -> Result<Device, AccountRefusal> {
    let sign_in = SignIn {
        user: user.clone(),
        proof: Proof::Issuer { create_user: false, name: None },
        device: again.map_or_else(DeviceId::generate, |device| device.id),
        again: again.map(|device| device.token_generation),
        name: "phone".into(),
        platform: None,
        unfilled: false,
        alone: false,
        approved_by: None,
        refresh,
        refresh_expires_at: at(90_000),
        now: at(0),
    };
    stores.directory.sign_in(sign_in).await.expect("sign_in").map(|committed| committed.value)
}

async fn who_is_disabled_is_refused_everywhere(stores: &Stores) {
    let user = stores.make_user().await.id;
    let token = hash();
    let phone = sign_in(stores, &user, None, token).await.expect("it is let in");
    let laptop = stores.make_device(&user).await;
    let connect = async |device: &Device| {
        let connected = stores.directory.connect_device(device.id, device.token_generation, at(20)).await;
        connected.expect("connect_device").map(|connected| connected.device)
    };
    let authorize = async |device: &Device| {
        let found = stores.directory.authorize_device(device.id, device.token_generation).await;
        found.expect("authorize_device").map(|device| device.id)
    };
    let rotate = async |device: &Device, presented| {
        let (device, token_generation) = (device.id, device.token_generation);
        let (next, next_expires_at) = (hash(), at(90_000));
        let rotation = Rotation { device, token_generation, presented, next, next_expires_at, now: at(20) };
        stores.directory.rotate(rotation).await.expect("rotate").map(drop)
    };
    assert_eq!(authorize(&laptop).await, Ok(laptop.id));
    let ended = stores.directory.disable_user(user.clone(), at(10)).await.expect("disable_user").expect("it is there");
    let mut ids: Vec<DeviceId> = ended.iter().map(|device| device.id).collect();
    ids.sort_unstable();
    let mut expected = [phone.id, laptop.id];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert!(
        ended.iter().all(|device| device.removed_at.is_none() && device.token_generation > laptop.token_generation)
    );
    assert_eq!(record(stores, &user).await.and_then(|user| user.disabled_at), Some(at(10)));

    // With tokens of before, and with such as nobody should have.
    for device in [&phone, &laptop].into_iter().chain(&ended) {
        assert_eq!(connect(device).await, Err(DirectoryRefusal::UserDisabled));
        assert_eq!(authorize(device).await, Err(DirectoryRefusal::UserDisabled));
        assert_eq!(rotate(device, token).await, Err(AccountRefusal::UserDisabled));
        assert_eq!(sign_in(stores, &user, Some(device), hash()).await, Err(AccountRefusal::UserDisabled));
    }
    assert_eq!(sign_in(stores, &user, None, hash()).await, Err(AccountRefusal::UserDisabled));
    let seen = stores.directory.devices_of(user.clone()).await.expect("devices_of");
    assert!(seen.iter().all(|device| device.seen_at.is_none()), "{seen:?}");

    assert!(stores.directory.enable_user(user.clone()).await.expect("enable_user"));
    assert_eq!(connect(&phone).await, Err(DirectoryRefusal::OldGeneration));
    assert_eq!(authorize(&phone).await, Err(DirectoryRefusal::OldGeneration));
    assert_eq!(rotate(&phone, token).await, Err(AccountRefusal::OldGeneration));
    let known = ended.iter().find(|device| device.id == phone.id).expect("it is one of them");
    let back = sign_in(stores, &user, Some(known), hash()).await.expect("it is let in");
    assert_eq!(connect(&back).await.map(|device| device.id), Ok(phone.id));
    let gone = stores.directory.authorize_device(DeviceId::generate(), back.token_generation).await;
    assert_eq!(gone.expect("authorize_device"), Err(DirectoryRefusal::NoSuchDevice));
    sign_in(stores, &user, None, hash()).await.expect("one that is signed in stays");
    stores.remove(back.id, at(30)).await.expect("it is there");
    assert_eq!(authorize(&back).await, Err(DirectoryRefusal::DeviceRemoved));
}

async fn disabling_again_and_enabling(stores: &Stores) {
    let owner = stores.make_author().await;
    let disable = async |user: &UserId, ms| {
        let ended = stores.directory.disable_user(user.clone(), at(ms)).await.expect("disable_user");
        ended.map(|devices| devices.len())
    };
    let enable = async |user: &UserId| stores.directory.enable_user(user.clone()).await.expect("enable_user");
    assert_eq!((disable(&nobody(), 1).await, enable(&nobody()).await), (None, false));
    assert_eq!((disable(&owner.user, 1).await, disable(&owner.user, 2).await), (Some(1), Some(1)));
    let record_now = record(stores, &owner.user).await.expect("it is there");
    assert_eq!((record_now.disabled_at, record_now.devices), (Some(at(1)), 1));
    assert!(enable(&owner.user).await && enable(&owner.user).await);
    assert_eq!(record(stores, &owner.user).await.expect("it is there").disabled_at, None);
}

async fn conversations_are_shown(stores: &Stores) {
    let owner = stores.make_author().await;
    let group = stores.make_group(&[&owner.user], at(5)).await;
    stores.fill(&owner, group.id, 2).await;
    let show = async |id| stores.directory.conversation(id).await.expect("conversation");
    let shown = show(group.id).await.expect("it is there");
    assert_eq!(shown.bounds.head.get(), group.bounds.head.get() + 2);
    let expected = Conversation { bounds: shown.bounds, active_at: shown.active_at, ..group };
    assert_eq!(shown, expected);
    assert_eq!(show(ConversationId::generate()).await, None);
    let anonymous =
        ConversationId::direct(&owner.user, &UserId::new(&ClientMsgId::random().to_string()).expect("short"));
    assert_eq!(show(anonymous).await, None);
}
