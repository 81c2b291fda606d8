//! The part of the directory's suite about links.

use super::Stores;
use super::world::{at, nobody};
use crate::{
    Committed, LinkAnswer, LinkBounds, LinkClaim, LinkRefusal, LinkSecret, LinkState, NewDevice, NewLink, Proof,
    Rotated, Rotation, SignIn,
};
use lockstep_model::{
    Device, DeviceId, DeviceKind, FeedChange, Link, LinkId, RefreshHash, SecretHash, TokenGeneration, User,
};
use tokio::task::JoinSet;

pub(super) async fn links(stores: &Stores) {
    a_link_is_found_by_what_its_device_shows(stores).await;
    an_approved_link_is_claimed_once(stores).await;
    a_refused_link_stays_refused(stores).await;
    the_first_word_counts(stores).await;
    two_answers_at_once(stores).await;
    who_may_answer(stores).await;
    a_link_ends_with_its_time(stores).await;
    a_link_ends_with_the_device_that_answered(stores).await;
    a_link_ends_with_the_sessions_of_its_user(stores).await;
    so_many_links_wait_at_once(stores).await;
    too_many_devices(stores).await;
}

/// When links end here.
const END: u64 = 1_000;

/// A hash of something that nobody knows.
fn secret() -> SecretHash {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(LinkId::generate().as_bytes());
    SecretHash(bytes)
}

fn new_link() -> NewLink {
    let link = Link {
        id: LinkId::generate(),
        name: Some("tablet".into()),
        platform: Some("firefox".into()),
        address: "192.0.2.7".into(),
        public_key: Some("a key".into()),
        created_at: at(0),
        expires_at: at(END),
    };
    let bounds = LinkBounds { all: u64::MAX, per_network: u64::MAX };
    NewLink { link, network: nobody().to_string(), code: secret(), scan: secret(), secret: secret(), bounds }
}

impl NewLink {
    fn code(&self) -> LinkSecret {
        LinkSecret::Code(self.code)
    }

    fn scan(&self) -> LinkSecret {
        LinkSecret::Scan(self.scan)
    }
}

async fn waiting(stores: &Stores) -> NewLink {
    let new = new_link();
    stores.directory.add_link(new.clone()).await.expect("add_link").expect("there is room");
    new
}

async fn found(stores: &Stores, link: Option<LinkId>, shown: LinkSecret, now: u64) -> Option<Link> {
    stores.directory.find_link(link, shown, at(now)).await.expect("find_link")
}

async fn state(stores: &Stores, new: &NewLink, now: u64) -> Option<LinkState> {
    stores.directory.link_state(new.link.id, new.secret, at(now)).await.expect("link_state")
}

fn word(new: &NewLink, by: &Device, approve: bool) -> LinkAnswer {
    LinkAnswer {
        link: new.link.id,
        shown: new.code(),
        user: by.user.clone(),
        device: by.id,
        token_generation: by.token_generation,
        approve,
        now: at(1),
    }
}

async fn answer(stores: &Stores, word: LinkAnswer) -> Result<(), LinkRefusal> {
    stores.directory.answer_link(word).await.expect("answer_link")
}

fn claim_of(new: &NewLink, now: u64) -> LinkClaim {
    LinkClaim {
        link: new.link.id,
        secret: new.secret,
        device: DeviceId::generate(),
        default_name: "a device".into(),
        refresh: RefreshHash(secret().0),
        refresh_expires_at: at(9_000),
        now: at(now),
    }
}

async fn claim(stores: &Stores, claim: LinkClaim) -> Result<Committed<Device>, LinkRefusal> {
    stores.directory.claim_link(claim).await.expect("claim_link")
}

/// A user with a main device.
async fn ana(stores: &Stores) -> (User, Device) {
    let user = stores.make_user().await;
    let device = stores.make_device(&user.id).await;
    (user, device)
}

async fn device_of(stores: &Stores, user: &User, kind: DeviceKind) -> Device {
    let new = NewDevice {
        id: DeviceId::generate(),
        user: user.id.clone(),
        name: "another".into(),
        kind,
        unfilled: false,
        now: at(0),
    };
    stores.directory.create_device(new).await.expect("create_device").expect("the user exists").value
}

async fn a_link_is_found_by_what_its_device_shows(stores: &Stores) {
    let (new, other) = (waiting(stores).await, waiting(stores).await);
    stores.directory.add_link(new.clone()).await.expect("add_link").expect("the same again");
    let id = new.link.id;
    for (link, shown) in [(None, new.code()), (Some(id), new.code()), (Some(id), new.scan())] {
        assert_eq!(found(stores, link, shown, 1).await, Some(new.link.clone()), "{link:?} {shown:?}");
    }
    let wrong = [
        (None, LinkSecret::Code(secret())),
        (None, LinkSecret::Code(new.scan)),
        (None, new.scan()),
        (Some(id), LinkSecret::Scan(new.code)),
        (Some(id), LinkSecret::Scan(new.secret)),
        (Some(id), other.code()),
        (Some(other.link.id), new.scan()),
        (Some(LinkId::generate()), new.scan()),
    ];
    for (link, shown) in wrong {
        assert_eq!(found(stores, link, shown, 1).await, None, "{link:?} {shown:?}");
    }
    assert_eq!(state(stores, &new, 1).await, Some(LinkState::Waiting(at(END))));
    let foreign = NewLink { secret: other.secret, ..new };
    assert_eq!(state(stores, &foreign, 1).await, None);
}

async fn an_approved_link_is_claimed_once(stores: &Stores) {
    let (user, phone) = ana(stores).await;
    let new = waiting(stores).await;
    assert_eq!(claim(stores, claim_of(&new, 1)).await, Err(LinkRefusal::Waiting));
    assert_eq!(answer(stores, word(&new, &phone, true)).await, Ok(()));
    assert_eq!(state(stores, &new, 1).await, Some(LinkState::Approved));
    assert_eq!(found(stores, None, new.code(), 1).await, None, "it waits no longer");
    let foreign = LinkClaim { secret: new.scan, ..claim_of(&new, 2) };
    assert_eq!(claim(stores, foreign).await, Err(LinkRefusal::NoSuchLink));
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (stores, one) = (stores.clone(), claim_of(&new, 2));
        tasks.spawn(async move { (claim(&stores, one.clone()).await, one) });
    }
    let (made, refused): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(|(made, _)| made.is_ok());
    assert!(refused.iter().all(|(one, _)| *one == Err(LinkRefusal::NoSuchLink)), "{refused:?}");
    let [(Ok(done), one)] = &made[..] else { panic!("one should have it, not {made:?}") };
    let Device { id, kind, name, platform, created_at, signed_out_at, .. } = done.value.clone();
    assert_eq!((id, &done.value.user, kind), (one.device, &user.id, DeviceKind::Sub));
    assert_eq!((&*name, platform.as_deref(), created_at, signed_out_at), ("tablet", Some("firefox"), at(2), None));
    let [entry] = &done.entries[..] else { panic!("one entry was expected, not {:?}", done.entries) };
    assert_eq!((entry.conversation, FeedChange::of(entry)), (user.feed, Some(FeedChange::DeviceLinked { device: id })));
    let devices = stores.directory.devices_of(user.id.clone()).await.expect("devices_of");
    assert_eq!(devices, [phone.clone(), done.value.clone()]);
    // The answer may be lost: the same device is given another token instead, until it has used one.
    assert_eq!(state(stores, &new, 2).await, Some(LinkState::Unused(id)));
    let lost = one;
    let one = &LinkClaim { device: id, ..claim_of(&new, 2) };
    assert_eq!(claim(stores, one.clone()).await, Ok(Committed { value: done.value.clone(), entries: vec![] }));
    let devices = stores.directory.devices_of(user.id.clone()).await.expect("devices_of");
    assert_eq!(devices, [phone.clone(), done.value.clone()], "it is the same device");
    // Its refresh token is good, and that of the others was never stored.
    let rotation = |presented| Rotation {
        device: id,
        token_generation: TokenGeneration::default(),
        presented,
        next: RefreshHash(secret().0),
        next_expires_at: at(9_000),
        now: at(3),
    };
    let rotated = stores.directory.rotate(rotation(one.refresh)).await.expect("rotate");
    assert!(matches!(rotated, Ok(Rotated::Next(_))), "{rotated:?}");
    // The same again finds what it did, for whoever has lost the answer.
    let seen = Device { seen_at: Some(at(3)), ..done.value.clone() };
    assert_eq!(claim(stores, one.clone()).await, Ok(Committed { value: seen, entries: vec![] }));
    for late in [lost.clone(), LinkClaim { device: id, ..claim_of(&new, 2) }] {
        assert_eq!(claim(stores, late).await, Err(LinkRefusal::NoSuchLink), "its tokens are in use");
    }
    assert_eq!(answer(stores, word(&new, &phone, true)).await, Ok(()));
    assert_eq!(answer(stores, word(&new, &phone, false)).await, Err(LinkRefusal::NoSuchLink));
    assert_eq!(state(stores, &new, 2).await, None);
}

async fn a_refused_link_stays_refused(stores: &Stores) {
    let (_, phone) = ana(stores).await;
    let new = waiting(stores).await;
    for _ in 0..2 {
        assert_eq!(answer(stores, word(&new, &phone, false)).await, Ok(()));
        assert_eq!(state(stores, &new, 1).await, Some(LinkState::Refused));
        assert_eq!(claim(stores, claim_of(&new, 1)).await, Err(LinkRefusal::Refused));
        assert_eq!(answer(stores, word(&new, &phone, true)).await, Err(LinkRefusal::NoSuchLink));
        assert_eq!(found(stores, None, new.code(), 1).await, None);
    }
}

async fn the_first_word_counts(stores: &Stores) {
    let (user, phone) = ana(stores).await;
    let other = device_of(stores, &user, DeviceKind::Main).await;
    let (_, bens) = ana(stores).await;
    let new = waiting(stores).await;
    assert_eq!(answer(stores, word(&new, &phone, true)).await, Ok(()));
    assert_eq!(answer(stores, word(&new, &phone, true)).await, Ok(()), "said again");
    for (by, approve) in [(&phone, false), (&other, true), (&other, false), (&bens, true), (&bens, false)] {
        assert_eq!(answer(stores, word(&new, by, approve)).await, Err(LinkRefusal::NoSuchLink), "{by:?} {approve}");
    }
    assert_eq!(claim(stores, claim_of(&new, 1)).await.map(|done| done.value.user), Ok(user.id));
}

async fn two_answers_at_once(stores: &Stores) {
    for _ in 0..4 {
        let (new, mut tasks) = (waiting(stores).await, JoinSet::new());
        for approve in [true, false, true, false] {
            let (stores, by) = (stores.clone(), ana(stores).await.1);
            let word = word(&new, &by, approve);
            tasks.spawn(async move { (answer(&stores, word).await, by.user, approve) });
        }
        let (heard, others): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(|(said, ..)| said.is_ok());
        assert!(others.iter().all(|(said, ..)| *said == Err(LinkRefusal::NoSuchLink)), "{others:?}");
        let [(_, user, approve)] = &heard[..] else { panic!("one word counts, not {heard:?}") };
        let expected = if *approve { Ok(user.clone()) } else { Err(LinkRefusal::Refused) };
        assert_eq!(claim(stores, claim_of(&new, 1)).await.map(|done| done.value.user), expected);
    }
}

async fn who_may_answer(stores: &Stores) {
    let (user, phone) = ana(stores).await;
    let (ben, _) = ana(stores).await;
    let sub = device_of(stores, &user, DeviceKind::Sub).await;
    let removed = device_of(stores, &user, DeviceKind::Main).await;
    stores.remove(removed.id, at(1)).await.expect("it is there");
    let old = Device { token_generation: TokenGeneration(7), ..phone.clone() };
    let foreign = Device { user: ben.id, ..phone.clone() };
    let unknown = Device { id: DeviceId::generate(), ..phone.clone() };
    let new = waiting(stores).await;
    for by in [&sub, &removed, &old, &foreign, &unknown] {
        for approve in [true, false] {
            assert_eq!(answer(stores, word(&new, by, approve)).await, Err(LinkRefusal::NotAllowed), "{by:?}");
        }
    }
    for shown in [LinkSecret::Code(secret()), LinkSecret::Scan(new.code), LinkSecret::Scan(new.secret)] {
        let guess = LinkAnswer { shown, ..word(&new, &phone, true) };
        assert_eq!(answer(stores, guess).await, Err(LinkRefusal::NoSuchLink), "{shown:?}");
    }
    assert_eq!(state(stores, &new, 1).await, Some(LinkState::Waiting(at(END))), "nothing of that counted");
    let by_scan = LinkAnswer { shown: new.scan(), ..word(&new, &phone, true) };
    assert_eq!(answer(stores, by_scan).await, Ok(()));
}

async fn a_link_ends_with_its_time(stores: &Stores) {
    let (_, phone) = ana(stores).await;
    let (waits, approved) = (waiting(stores).await, waiting(stores).await);
    assert_eq!(answer(stores, word(&approved, &phone, true)).await, Ok(()));
    assert!(found(stores, None, waits.code(), END - 1).await.is_some());
    assert_eq!(state(stores, &approved, END - 1).await, Some(LinkState::Approved));
    assert_eq!(found(stores, None, waits.code(), END).await, None);
    assert_eq!(state(stores, &waits, END).await, None);
    let late = LinkAnswer { now: at(END), ..word(&waits, &phone, true) };
    assert_eq!(answer(stores, late).await, Err(LinkRefusal::NoSuchLink));
    assert_eq!(claim(stores, claim_of(&approved, END)).await, Err(LinkRefusal::NoSuchLink));
}

async fn a_link_ends_with_the_device_that_answered(stores: &Stores) {
    for ending in 0..3 {
        let (user, phone) = ana(stores).await;
        let other = device_of(stores, &user, DeviceKind::Main).await;
        let (new, others) = (waiting(stores).await, waiting(stores).await);
        assert_eq!(answer(stores, word(&new, &phone, true)).await, Ok(()));
        assert_eq!(answer(stores, word(&others, &other, true)).await, Ok(()));
        let directory = &stores.directory;
        match ending {
            0 => drop(stores.remove(phone.id, at(2)).await.expect("it is there")),
            1 => drop(directory.sign_out(phone.id, at(2)).await.expect("sign_out").expect("it is there")),
            // It is signed in again: whoever had it before may have approved the link.
            _ => {
                let sign_in = SignIn {
                    user: user.id.clone(),
                    proof: Proof::Issuer { create_user: false, name: None },
                    device: phone.id,
                    again: Some(phone.token_generation),
                    name: "phone".into(),
                    platform: None,
                    unfilled: false,
                    alone: false,
                    approved_by: None,
                    refresh: RefreshHash(secret().0),
                    refresh_expires_at: at(9_000),
                    now: at(2),
                };
                drop(directory.sign_in(sign_in).await.expect("sign_in").expect("it may"));
            }
        }
        assert_eq!(claim(stores, claim_of(&new, 3)).await, Err(LinkRefusal::NoSuchLink), "case {ending}");
        assert!(claim(stores, claim_of(&others, 3)).await.is_ok(), "case {ending}: the other device is there");
        if ending < 2 {
            assert_eq!(state(stores, &new, 3).await, None, "case {ending}");
        }
    }
}

async fn a_link_ends_with_the_sessions_of_its_user(stores: &Stores) {
    let (user, phone) = ana(stores).await;
    let new = waiting(stores).await;
    assert_eq!(answer(stores, word(&new, &phone, true)).await, Ok(()));
    stores.directory.sign_out_all(user.id, Some(phone.id), at(2)).await.expect("sign_out_all");
    assert_eq!(state(stores, &new, 3).await, None, "also what the device that stays has approved");
    assert_eq!(claim(stores, claim_of(&new, 3)).await, Err(LinkRefusal::NoSuchLink));
}

async fn so_many_links_wait_at_once(stores: &Stores) {
    let (_, phone) = ana(stores).await;
    let network = nobody().to_string();
    let add = async |end: u64, all: u64| {
        let mut new = NewLink { network: network.clone(), bounds: LinkBounds { all, per_network: 3 }, ..new_link() };
        new.link.expires_at = at(end);
        let added = stores.directory.add_link(new.clone()).await.expect("add_link");
        added.map(|()| new)
    };
    let first = add(700, u64::MAX).await.expect("there is room");
    let second = add(800, u64::MAX).await.expect("there is room");
    add(900, u64::MAX).await.expect("there is room");
    let full = Err(LinkRefusal::TooMany { until: at(700) });
    assert_eq!(add(950, u64::MAX).await.map(drop), full);
    assert_eq!(answer(stores, word(&first, &phone, true)).await, Ok(()));
    assert_eq!(add(950, u64::MAX).await.map(drop), full, "one that is approved has its place");
    claim(stores, claim_of(&first, 1)).await.expect("it may");
    assert_eq!(answer(stores, word(&second, &phone, false)).await, Ok(()));
    // Those that are over, one way or the other, have none.
    add(950, u64::MAX).await.expect("there is room");
    add(950, u64::MAX).await.expect("there is room");
    assert!(matches!(add(950, u64::MAX).await, Err(LinkRefusal::TooMany { .. })));
    let elsewhere = NewLink { bounds: LinkBounds { all: 3, per_network: 3 }, ..new_link() };
    let refused = stores.directory.add_link(elsewhere.clone()).await.expect("add_link");
    assert!(matches!(refused, Err(LinkRefusal::TooMany { .. })), "others count in all: {refused:?}");
    let elsewhere = NewLink { bounds: LinkBounds { all: u64::MAX, per_network: 3 }, ..elsewhere };
    assert_eq!(stores.directory.add_link(elsewhere).await.expect("add_link"), Ok(()));
}

async fn too_many_devices(stores: &Stores) {
    let (user, phone) = ana(stores).await;
    let (early, late) = (waiting(stores).await, waiting(stores).await);
    for _ in 0..Device::PER_USER_MAX - 2 {
        device_of(stores, &user, DeviceKind::Sub).await;
    }
    assert_eq!(answer(stores, word(&early, &phone, true)).await, Ok(()));
    let last = device_of(stores, &user, DeviceKind::Sub).await;
    assert_eq!(answer(stores, word(&late, &phone, true)).await, Err(LinkRefusal::TooManyDevices));
    assert_eq!(claim(stores, claim_of(&early, 1)).await, Err(LinkRefusal::TooManyDevices));
    stores.remove(last.id, at(2)).await.expect("it is there");
    assert!(claim(stores, claim_of(&early, 3)).await.is_ok());
}
