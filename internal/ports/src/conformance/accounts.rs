//! The part of the directory's suite about accounts.

use super::Stores;
use super::world::{at, nobody};
use crate::{AccountRefusal, Committed, NEXT_MAX, PasswordHash, Proof, Rotated, Rotation, SignIn};
use lockstep_model::{
    Device, DeviceId, DeviceKind, Entry, FeedChange, ProfileChange, RefreshHash, TeardownReason, TokenGeneration, User,
    UserId,
};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinSet;

pub(super) async fn accounts(stores: &Stores) {
    signing_up(stores).await;
    signing_in_by_a_password(stores).await;
    signing_in_by_an_issuer(stores).await;
    signing_in_again(stores).await;
    a_main_device_has_to_approve(stores).await;
    too_many_devices(stores).await;
    refresh_tokens_follow_each_other(stores).await;
    refresh_tokens_at_once(stores).await;
    next_tokens_are_bounded(stores).await;
    signing_out(stores).await;
    signing_out_everywhere(stores).await;
}

pub(super) fn hash(text: &str) -> PasswordHash {
    PasswordHash(format!("$argon2id${text}"))
}

/// A refresh token that nobody has.
fn token() -> RefreshHash {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(DeviceId::generate().as_bytes());
    bytes[16..24].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    RefreshHash(bytes)
}

pub(super) async fn make(stores: &Stores) -> User {
    stores.directory.sign_up(nobody(), None, hash("one"), at(0)).await.expect("sign_up").expect("it is free")
}

pub(super) fn sign_in(user: &UserId) -> SignIn {
    SignIn {
        user: user.clone(),
        proof: Proof::Password(hash("one")),
        device: DeviceId::generate(),
        again: None,
        name: "phone".into(),
        platform: Some("android".into()),
        unfilled: false,
        alone: false,
        approved_by: None,
        refresh: token(),
        refresh_expires_at: at(1_000),
        now: at(1),
    }
}

pub(super) async fn signed_in(stores: &Stores, sign_in: SignIn) -> Result<Committed<Device>, AccountRefusal> {
    stores.directory.sign_in(sign_in).await.expect("sign_in")
}

/// A device of the user, and its refresh token.
pub(super) async fn device(stores: &Stores, user: &UserId) -> (Device, RefreshHash) {
    let sign_in = sign_in(user);
    let refresh = sign_in.refresh;
    (signed_in(stores, sign_in).await.expect("it may").value, refresh)
}

pub(super) async fn found(stores: &Stores, device: DeviceId) -> Device {
    stores.directory.device(device).await.expect("device").expect("it is there")
}

async fn rotate(
    stores: &Stores,
    device: &Device,
    presented: RefreshHash,
    next: RefreshHash,
) -> Result<Rotated, AccountRefusal> {
    let token_generation = device.token_generation;
    let (next_expires_at, now) = (at(2_000), at(2));
    let rotation = Rotation { device: device.id, token_generation, presented, next, next_expires_at, now };
    stores.directory.rotate(rotation).await.expect("rotate")
}

/// A rotation that is good.
async fn next_of(stores: &Stores, device: &Device, presented: RefreshHash) -> RefreshHash {
    let next = token();
    let rotated = rotate(stores, device, presented, next).await;
    assert_eq!(rotated.map(|rotated| matches!(rotated, Rotated::Next(same) if same.id == device.id)), Ok(true));
    next
}

/// A rotation that is none: the device is signed out by it.
async fn reused(stores: &Stores, device: &Device, presented: RefreshHash) {
    let Ok(Rotated::Reused(now)) = rotate(stores, device, presented, token()).await else {
        panic!("the token should count as used again");
    };
    assert_eq!((now.token_generation.0, now.signed_out_at), (device.token_generation.0 + 1, Some(at(2))));
    assert_eq!(found(stores, device.id).await, now);
}

async fn signing_up(stores: &Stores) {
    let id = nobody();
    assert_eq!(stores.directory.password(id.clone()).await.expect("password"), None);
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        let (stores, id) = (stores.clone(), id.clone());
        tasks.spawn(async move {
            let password = hash(&number.to_string());
            let made = stores.directory.sign_up(id, None, password.clone(), at(0)).await.expect("sign_up");
            made.map(|user| (user, password))
        });
    }
    let (made, taken): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(Result::is_ok);
    assert!(taken.len() == 7 && taken.iter().all(|one| *one == Err(AccountRefusal::Taken)), "{taken:?}");
    let (user, password) = made.into_iter().next().expect("one was first").expect("it was made");
    assert_eq!(stores.directory.user(id.clone()).await.expect("user"), Some(user));
    assert_eq!(stores.directory.password(id).await.expect("password"), Some(password));
    let without = stores.make_user().await.id;
    assert_eq!(stores.directory.password(without.clone()).await.expect("password"), None);
    let again = stores.directory.sign_up(without, None, hash("x"), at(0)).await.expect("sign_up");
    assert_eq!(again, Err(AccountRefusal::Taken), "a user without a password is there too");
    let named = stores.directory.sign_up(nobody(), Some("Ana \u{1f980}".into()), hash("one"), at(0)).await;
    let named = named.expect("sign_up").expect("it is free");
    assert_eq!(name_of(stores, &named.id).await.as_deref(), Some("Ana \u{1f980}"));
    assert_eq!(types_of(&stores.range(named.feed, 1, 10).await), ["profile_changed"]);
    let taken = stores.directory.sign_up(named.id.clone(), Some("Eve".into()), hash("two"), at(1)).await;
    assert_eq!(taken.expect("sign_up"), Err(AccountRefusal::Taken));
    assert_eq!(name_of(stores, &named.id).await.as_deref(), Some("Ana \u{1f980}"), "nothing was changed");
}

async fn name_of(stores: &Stores, user: &UserId) -> Option<String> {
    let profiles = stores.directory.profiles(vec![user.clone()]).await.expect("profiles");
    profiles.into_iter().next().expect("the user is there").name
}

fn types_of(entries: &[Entry]) -> Vec<&'static str> {
    let known = ["profile_changed", "device_linked"];
    let is = |entry: &Entry, kind: &str| entry.body.as_json().contains(&format!("\"{kind}\""));
    let kind = |entry| known.into_iter().find(|kind| is(entry, kind)).expect("it is one of these");
    entries.iter().map(kind).collect()
}

async fn signing_in_by_a_password(stores: &Stores) {
    let user = make(stores).await;
    let new = sign_in(&user.id);
    let done = signed_in(stores, new.clone()).await.expect("it may");
    let Device { id, name, kind, platform, created_at, signed_out_at, .. } = done.value.clone();
    assert_eq!((id, &*name, kind, platform.as_deref()), (new.device, "phone", DeviceKind::Main, Some("android")));
    assert_eq!((created_at, signed_out_at), (at(1), None));
    let [entry] = &done.entries[..] else { panic!("one entry was expected, not {:?}", done.entries) };
    assert_eq!((entry.conversation, FeedChange::of(entry)), (user.feed, Some(FeedChange::DeviceLinked { device: id })));
    assert_eq!(found(stores, id).await, done.value);
    // Given again it changes nothing.
    assert_eq!(signed_in(stores, new).await, Ok(Committed { value: done.value, entries: vec![] }));
    let wrong = SignIn { proof: Proof::Password(hash("other")), ..sign_in(&user.id) };
    assert_eq!(signed_in(stores, wrong).await, Err(AccountRefusal::PasswordChanged));
    assert_eq!(signed_in(stores, sign_in(&nobody())).await, Err(AccountRefusal::NoSuchUser));
    let without = stores.make_user().await.id;
    assert_eq!(signed_in(stores, sign_in(&without)).await, Err(AccountRefusal::PasswordChanged));
}

async fn signing_in_by_an_issuer(stores: &Stores) {
    let user = nobody();
    let by = |create_user| SignIn { proof: Proof::Issuer { create_user, name: None }, ..sign_in(&user) };
    assert_eq!(signed_in(stores, by(false)).await, Err(AccountRefusal::NoSuchUser));
    assert_eq!(stores.directory.user(user.clone()).await.expect("user"), None);
    let device = signed_in(stores, by(true)).await.expect("it may").value;
    assert_eq!(device.user, user);
    assert!(signed_in(stores, by(false)).await.is_ok());
    assert_eq!(stores.directory.password(user).await.expect("password"), None);
    what_an_issuer_calls_a_user(stores).await;
}

/// It becomes the name of one who has none and never had a device, whoever made the user.
async fn what_an_issuer_calls_a_user(stores: &Stores) {
    let by = |user: &UserId, name: &str| {
        let proof = Proof::Issuer { create_user: true, name: Some(name.into()) };
        SignIn { proof, ..sign_in(user) }
    };
    let new = by(&nobody(), "Ana");
    let done = signed_in(stores, new.clone()).await.expect("it may");
    assert_eq!(types_of(&done.entries), ["profile_changed", "device_linked"]);
    assert_eq!(name_of(stores, &new.user).await.as_deref(), Some("Ana"));
    // Given again, and with another device, it changes nothing.
    let again = SignIn { proof: by(&new.user, "Eve").proof, ..new.clone() };
    assert_eq!(signed_in(stores, again).await.map(|done| done.entries), Ok(vec![]));
    let other = signed_in(stores, by(&new.user, "Eve")).await.expect("it may");
    assert_eq!(types_of(&other.entries), ["device_linked"]);
    assert_eq!(name_of(stores, &new.user).await.as_deref(), Some("Ana"));
    // Nor does it come back once the user has taken it away, even if no device is there any more.
    let removed = ProfileChange { name: Some(None), ..ProfileChange::default() };
    let changed = stores.directory.change_profile(new.user.clone(), removed, at(2)).await;
    changed.expect("change_profile").expect("the user is there");
    let all = stores.directory.remove_all_devices(new.user.clone(), TeardownReason::Administrator, at(3));
    assert_eq!(all.await.expect("remove_all_devices").value.len(), 2);
    signed_in(stores, by(&new.user, "Eve")).await.expect("it may");
    assert_eq!(name_of(stores, &new.user).await, None);
    // One whom somebody made before gets it, and one with a name keeps that.
    let made = stores.make_user().await.id;
    signed_in(stores, by(&made, "Ben")).await.expect("it may");
    let named = stores.directory.sign_up(nobody(), Some("Cem".into()), hash("one"), at(0)).await;
    let named = named.expect("sign_up").expect("it is free").id;
    signed_in(stores, by(&named, "Eve")).await.expect("it may");
    assert_eq!((name_of(stores, &made).await, name_of(stores, &named).await), (Some("Ben".into()), Some("Cem".into())));
}

async fn signing_in_again(stores: &Stores) {
    let user = make(stores).await;
    let (first, old) = device(stores, &user.id).await;
    let again = |generation, name: &str| SignIn {
        device: first.id,
        again: Some(generation),
        name: name.into(),
        ..sign_in(&user.id)
    };
    let refused = signed_in(stores, again(TokenGeneration(7), "x")).await;
    assert_eq!(refused, Err(AccountRefusal::OldGeneration));
    let stranger = SignIn { user: make(stores).await.id, ..again(first.token_generation, "x") };
    assert_eq!(signed_in(stores, stranger).await, Err(AccountRefusal::NoSuchDevice));
    let new = again(first.token_generation, "tablet");
    let refresh = new.refresh;
    let done = signed_in(stores, new).await.expect("it may");
    assert_eq!((done.value.id, &*done.value.name, done.entries.len()), (first.id, "tablet", 0));
    assert_eq!(done.value.token_generation.0, first.token_generation.0 + 1);
    assert_eq!(found(stores, first.id).await, done.value);
    assert_eq!(rotate(stores, &first, old, token()).await, Err(AccountRefusal::OldGeneration));
    next_of(stores, &done.value, refresh).await;
    device(stores, &user.id).await;
    stores.remove(first.id, at(3)).await.expect("another main device stays");
    let removed = signed_in(stores, again(TokenGeneration(2), "x")).await;
    assert_eq!(removed, Err(AccountRefusal::DeviceRemoved));
}

async fn a_main_device_has_to_approve(stores: &Stores) {
    let user = make(stores).await;
    let alone = || SignIn { alone: true, ..sign_in(&user.id) };
    // An answer that was lost leaves a device that nobody has.
    let lost = signed_in(stores, alone()).await.expect("there is no other").value;
    let again = SignIn { device: lost.id, again: Some(lost.token_generation), ..alone() };
    assert!(signed_in(stores, again).await.is_ok());
    let new = alone();
    let refresh = new.refresh;
    let first = signed_in(stores, new).await.expect("nobody could approve").value;
    next_of(stores, &first, refresh).await;
    assert_eq!(signed_in(stores, alone()).await, Err(AccountRefusal::NeedsApproval));
    let again = SignIn { device: first.id, again: Some(first.token_generation), ..alone() };
    assert_eq!(signed_in(stores, again.clone()).await, Err(AccountRefusal::NeedsApproval), "ids are no secrets");
    assert!(signed_in(stores, sign_in(&user.id)).await.is_ok(), "with an approval");
    // The word of a device counts as long as that device is what it was then.
    let approved = |generation| SignIn { approved_by: Some((first.id, generation)), ..sign_in(&user.id) };
    assert!(signed_in(stores, approved(first.token_generation)).await.is_ok());
    let other = TokenGeneration(first.token_generation.0 + 1);
    assert_eq!(signed_in(stores, approved(other)).await, Err(AccountRefusal::NeedsApproval));
    // Devices that are signed out cannot approve.
    stores.directory.sign_out_all(user.id.clone(), Some(first.id), at(2)).await.expect("sign_out_all");
    stores.directory.sign_out(first.id, at(2)).await.expect("sign_out").expect("it is there");
    assert_eq!(signed_in(stores, approved(first.token_generation)).await, Err(AccountRefusal::NeedsApproval));
    let again = SignIn { again: Some(TokenGeneration(1)), ..again };
    assert_eq!(signed_in(stores, again.clone()).await.map(|done| done.value.signed_out_at), Ok(None));
    // This answer was lost too, although the device had been in use before.
    let again = SignIn { again: Some(TokenGeneration(2)), refresh: token(), ..again };
    let done = signed_in(stores, again).await.expect("nobody could approve").value;
    stores.directory.connect_device(done.id, done.token_generation, at(3)).await.expect("connect").expect("it may");
    assert_eq!(signed_in(stores, alone()).await, Err(AccountRefusal::NeedsApproval));
}

async fn too_many_devices(stores: &Stores) {
    let user = make(stores).await;
    for _ in 0..Device::PER_USER_MAX {
        device(stores, &user.id).await;
    }
    assert_eq!(signed_in(stores, sign_in(&user.id)).await, Err(AccountRefusal::TooManyDevices));
    let one = stores.directory.devices_of(user.id.clone()).await.expect("devices_of").remove(0);
    let again = SignIn { device: one.id, again: Some(one.token_generation), ..sign_in(&user.id) };
    assert!(signed_in(stores, again).await.is_ok(), "no further device");
    stores.remove(one.id, at(3)).await.expect("another main device stays");
    assert!(signed_in(stores, sign_in(&user.id)).await.is_ok());
}

async fn refresh_tokens_follow_each_other(stores: &Stores) {
    let user = make(stores).await;
    let (one, first) = device(stores, &user.id).await;
    let second = next_of(stores, &one, first).await;
    // The answer was lost: the same token is good until the next one is used.
    let other = next_of(stores, &one, first).await;
    let third = next_of(stores, &one, second).await;
    let fourth = next_of(stores, &one, third).await;
    let seen = Device { seen_at: Some(at(2)), ..one.clone() };
    assert_eq!(found(stores, one.id).await, seen, "nothing else has changed");
    // What came before the one before, and what was given out beside it, are used again.
    reused(stores, &one, first).await;
    assert_eq!(rotate(stores, &one, fourth, token()).await, Err(AccountRefusal::OldGeneration));

    let (two, first) = device(stores, &user.id).await;
    let second = next_of(stores, &two, first).await;
    assert_eq!(rotate(stores, &one, second, token()).await, Err(AccountRefusal::OldGeneration));
    next_of(stores, &two, second).await;
    reused(stores, &two, other).await;
    let strange = Device { id: DeviceId::generate(), ..two };
    assert_eq!(rotate(stores, &strange, second, token()).await, Err(AccountRefusal::NoSuchDevice));
    stores.remove(one.id, at(3)).await.expect("another main device stays");
    assert_eq!(rotate(stores, &one, fourth, token()).await, Err(AccountRefusal::DeviceRemoved));
}

async fn refresh_tokens_at_once(stores: &Stores) {
    let user = make(stores).await;
    let (device, first) = device(stores, &user.id).await;
    let mut tasks = JoinSet::new();
    for _ in 0..NEXT_MAX {
        let (stores, device) = (stores.clone(), device.clone());
        tasks.spawn(async move { next_of(&stores, &device, first).await });
    }
    // All who asked got a token, and each would be good. Once one is used, the others are not.
    let nexts = tasks.join_all().await;
    next_of(stores, &device, nexts[3]).await;
    reused(stores, &device, nexts[4]).await;
}

async fn next_tokens_are_bounded(stores: &Stores) {
    let user = make(stores).await;
    let (device, first) = device(stores, &user.id).await;
    let mut nexts = Vec::new();
    for number in 0..=NEXT_MAX as u64 {
        let next = token();
        let rotation = Rotation {
            device: device.id,
            token_generation: device.token_generation,
            presented: first,
            next,
            next_expires_at: at(2_000 + number),
            now: at(2),
        };
        let rotated = stores.directory.rotate(rotation).await.expect("rotate");
        assert!(matches!(rotated, Ok(Rotated::Next(_))));
        nexts.push(next);
    }
    next_of(stores, &device, nexts[1]).await;
    reused(stores, &device, nexts[0]).await;
}

async fn signing_out(stores: &Stores) {
    let user = make(stores).await;
    let (first, _) = device(stores, &user.id).await;
    let (second, refresh) = device(stores, &user.id).await;
    stores.store_cursor(second.id, user.feed, 1).await;
    let out = async |id, ms| stores.directory.sign_out(id, at(ms)).await.expect("sign_out");
    // Another main device is there: this one goes.
    let done = out(second.id, 10).await.expect("it is there");
    assert_eq!((done.value.removed_at, done.value.signed_out_at), (Some(at(10)), Some(at(10))));
    assert!(done.value.connection_generation > second.connection_generation);
    let told: Vec<_> = done.entries.iter().map(FeedChange::of).collect();
    assert_eq!(told, [Some(FeedChange::DeviceRemoved { device: second.id })]);
    assert_eq!(found(stores, second.id).await, done.value);
    assert_eq!(rotate(stores, &second, refresh, token()).await, Err(AccountRefusal::DeviceRemoved));
    assert_eq!(out(second.id, 11).await, Err(AccountRefusal::DeviceRemoved));
    assert_eq!(out(DeviceId::generate(), 11).await, Err(AccountRefusal::NoSuchDevice));
    // The last main device stays.
    let done = out(first.id, 12).await.expect("it is there");
    assert_eq!((done.value.removed_at, done.value.signed_out_at, done.entries.len()), (None, Some(at(12)), 0));
    assert_eq!(done.value.token_generation.0, first.token_generation.0 + 1);
    assert_eq!(found(stores, first.id).await, done.value);
    // Whoever connects is signed in: an operator's token may have done it.
    let generation = done.value.token_generation;
    let connected = stores.directory.connect_device(first.id, generation, at(13)).await.expect("connect_device");
    assert_eq!(connected.expect("it may").device.signed_out_at, None);
}

async fn signing_out_everywhere(stores: &Stores) {
    let user = make(stores).await;
    let mut mains = Vec::new();
    for _ in 0..3 {
        mains.push(device(stores, &user.id).await.0);
    }
    let connect = |device: &Device, now| stores.directory.connect_device(device.id, device.token_generation, now);
    connect(&mains[1], at(5)).await.expect("connect_device").expect("it may");
    let all = async |keep| {
        let done = stores.directory.sign_out_all(user.id.clone(), keep, at(20)).await.expect("sign_out_all");
        let removed = |device: &Device| device.removed_at == Some(at(20));
        let mut ended: Vec<(DeviceId, bool)> = done.value.iter().map(|one| (one.id, removed(one))).collect();
        ended.sort();
        for device in &done.value {
            assert_eq!((found(stores, device.id).await, device.signed_out_at), (device.clone(), Some(at(20))));
        }
        assert_eq!(done.entries.len(), done.value.iter().filter(|one| removed(one)).count());
        ended
    };
    let ids: Vec<DeviceId> = mains.iter().map(|main| main.id).collect();
    // No main device is kept: the one that connected last stays known.
    assert_eq!(all(None).await, [(ids[0], true), (ids[1], false), (ids[2], true)]);
    let kept = device(stores, &user.id).await.0;
    assert_eq!(all(Some(kept.id)).await, [(ids[1], true)]);
    assert_eq!(all(Some(kept.id)).await, []);
    assert_eq!(found(stores, kept.id).await, kept);
    let nobody = stores.directory.sign_out_all(nobody(), None, at(20)).await.expect("sign_out_all");
    assert_eq!(nobody, Committed { value: vec![], entries: vec![] });
}
