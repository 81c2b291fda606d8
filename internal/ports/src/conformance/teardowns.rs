//! The part of the directory's suite about removals and their jobs.

use super::Stores;
use super::world::{at, nobody};
use crate::{Committed, DeviceRefusal, DeviceRemoval, DeviceRename, NewDevice, Remover, TeardownAttempt, TeardownLeft};
use lockstep_model::{
    Device, DeviceId, DeviceKind, FeedChange, Teardown, TeardownReason, TeardownState, TokenGeneration, UnixMs, User,
    UserId,
};
use std::collections::BTreeSet;

pub(super) async fn teardowns(stores: &Stores) {
    who_may_remove(stores).await;
    who_may_rename(stores).await;
    the_last_main_stays(stores).await;
    mains_that_are_signed_out_do_not_count(stores).await;
    mains_that_remove_each_other(stores).await;
    removals_leave_jobs(stores).await;
    jobs_go_on_until_they_are_done(stores).await;
    jobs_are_listed_in_pages(stores).await;
    sign_outs_leave_jobs(stores).await;
    all_devices_of_a_user(stores).await;
    unseen_devices(stores).await;
}

async fn device(stores: &Stores, user: &UserId, kind: DeviceKind, now: UnixMs) -> Device {
    let device =
        NewDevice { id: DeviceId::generate(), user: user.clone(), name: "a tablet".into(), kind, unfilled: false, now };
    stores.directory.create_device(device).await.expect("create_device").expect("the user exists").value
}

async fn family(stores: &Stores) -> (User, [Device; 4]) {
    let user = stores.make_user().await;
    let (main, sub) = (DeviceKind::Main, DeviceKind::Sub);
    let of = |kind| device(stores, &user.id, kind, at(0));
    let devices = [of(main).await, of(main).await, of(sub).await, of(sub).await];
    (user, devices)
}

async fn remove(
    stores: &Stores,
    device: &Device,
    by: Remover,
    now: UnixMs,
) -> Result<Committed<Device>, DeviceRefusal> {
    stores.directory.remove_device(DeviceRemoval { device: device.id, by, now }).await.expect("remove_device")
}

async fn job(stores: &Stores, device: &Device) -> Option<Teardown> {
    stores.directory.teardown(device.id).await.expect("teardown")
}

async fn is_there(stores: &Stores, device: &Device) -> bool {
    stores.directory.device(device.id).await.expect("device").is_some_and(|device| device.removed_at.is_none())
}

async fn who_may_remove(stores: &Stores) {
    let (_, [main, other_main, sub, other_sub]) = family(stores).await;
    let (_, [strange, ..]) = family(stores).await;
    let nobody = Device { id: DeviceId::generate(), ..main.clone() };
    let refusals = [
        (&main, &sub, DeviceRefusal::Forbidden),
        (&other_sub, &sub, DeviceRefusal::Forbidden),
        (&sub, &strange, DeviceRefusal::NoSuchDevice),
        (&sub, &nobody, DeviceRefusal::CallerRemoved),
        (&nobody, &main, DeviceRefusal::NoSuchDevice),
    ];
    for (device, by, refusal) in refusals {
        assert_eq!(remove(stores, device, Remover::Device(by.id), at(1)).await, Err(refusal));
    }
    for device in [&main, &other_main, &sub, &other_sub] {
        assert!(is_there(stores, device).await && job(stores, device).await.is_none());
    }
    let removals = [
        (&sub, Remover::Device(sub.id), TeardownReason::Itself),
        (&other_sub, Remover::Device(main.id), TeardownReason::Main),
        (&other_main, Remover::Administrator, TeardownReason::Administrator),
    ];
    for (device, by, reason) in removals {
        remove(stores, device, by, at(2)).await.expect("it may");
        assert_eq!(job(stores, device).await.expect("it has a job").reason, reason);
    }
    // Whoever is out removes nothing any more, and may ask again for itself.
    assert_eq!(remove(stores, &main, Remover::Device(other_main.id), at(3)).await, Err(DeviceRefusal::CallerRemoved));
    assert_eq!(remove(stores, &sub, Remover::Device(other_main.id), at(3)).await, Err(DeviceRefusal::CallerRemoved));
    assert!(remove(stores, &sub, Remover::Device(sub.id), at(3)).await.is_ok());
}

async fn who_may_rename(stores: &Stores) {
    let (user, [main, other_main, sub, other_sub]) = family(stores).await;
    let (_, [strange, ..]) = family(stores).await;
    let rename = async |device: &Device, by: &Device, name: &str| {
        let rename = DeviceRename { device: device.id, by: by.id, name: name.into(), now: at(1) };
        stores.directory.rename_device(rename).await.expect("rename_device")
    };
    assert_eq!(rename(&main, &sub, "x").await, Err(DeviceRefusal::Forbidden));
    assert_eq!(rename(&other_sub, &sub, "x").await, Err(DeviceRefusal::Forbidden));
    assert_eq!(rename(&main, &strange, "x").await, Err(DeviceRefusal::NoSuchDevice));
    for (device, by) in [(&sub, &sub), (&other_sub, &main), (&main, &main), (&main, &other_main)] {
        let name = format!("named by {}", by.id);
        let done = rename(device, by, &name).await.expect("it may");
        let told: Vec<_> = done.entries.iter().map(|entry| (entry.conversation, FeedChange::of(entry))).collect();
        assert_eq!(told, [(user.feed, Some(FeedChange::DeviceRenamed { device: device.id }))]);
        assert_eq!((&*done.value.name, done.value.kind), (&*name, device.kind));
        assert_eq!(stores.directory.device(device.id).await.expect("device"), Some(done.value));
        assert_eq!(rename(device, by, &name).await.expect("it may").entries, [], "the name that it has");
    }
    remove(stores, &sub, Remover::Administrator, at(2)).await.expect("it may");
    assert_eq!(rename(&sub, &main, "x").await, Err(DeviceRefusal::NoSuchDevice));
    assert_eq!(rename(&sub, &sub, "x").await, Err(DeviceRefusal::CallerRemoved));
}

async fn the_last_main_stays(stores: &Stores) {
    let (_, [main, other_main, sub, _]) = family(stores).await;
    remove(stores, &other_main, Remover::Device(main.id), at(1)).await.expect("one stays");
    for by in [Remover::Device(main.id), Remover::Administrator] {
        assert_eq!(remove(stores, &main, by, at(2)).await, Err(DeviceRefusal::LastMain));
    }
    let unseen = Remover::Unseen { seen_before: at(2) };
    assert_eq!(remove(stores, &main, unseen, at(2)).await, Err(DeviceRefusal::SeenSince), "it is no sub device");
    assert!(is_there(stores, &main).await && job(stores, &main).await.is_none());
    remove(stores, &sub, Remover::Device(main.id), at(3)).await.expect("a sub device may go");
}

async fn mains_that_are_signed_out_do_not_count(stores: &Stores) {
    let signed_out = async || {
        let (user, [main, other_main, ..]) = family(stores).await;
        stores.directory.disable_user(user.id.clone(), at(1)).await.expect("disable_user").expect("it is there");
        assert!(stores.directory.enable_user(user.id).await.expect("enable_user"));
        (main, other_main)
    };
    let back = async |device: &Device| {
        let generation = TokenGeneration(device.token_generation.0 + 1);
        stores.directory.connect_device(device.id, generation, at(2)).await.expect("connect").expect("it may");
    };
    let (main, other_main) = signed_out().await;
    back(&main).await;
    for by in [Remover::Device(main.id), Remover::Administrator] {
        assert_eq!(
            remove(stores, &main, by, at(3)).await,
            Err(DeviceRefusal::LastMain),
            "nobody could let it in again"
        );
    }
    let out = stores.directory.sign_out(main.id, at(3)).await.expect("sign_out").expect("it may");
    assert_eq!(out.value.removed_at, None, "it stays");
    // Of those that are signed out the last one stays.
    remove(stores, &other_main, Remover::Administrator, at(4)).await.expect("one stays");
    assert_eq!(remove(stores, &main, Remover::Administrator, at(4)).await, Err(DeviceRefusal::LastMain));
    let (main, other_main) = signed_out().await;
    back(&main).await;
    remove(stores, &other_main, Remover::Device(main.id), at(3)).await.expect("a signed-out one may go");
}

async fn mains_that_remove_each_other(stores: &Stores) {
    for _ in 0..20 {
        let (_, [one, two, ..]) = family(stores).await;
        let (first, second) = tokio::join!(
            remove(stores, &one, Remover::Device(two.id), at(1)),
            remove(stores, &two, Remover::Device(one.id), at(1)),
        );
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        assert!(is_there(stores, &one).await != is_there(stores, &two).await);
        let (_, [one, two, ..]) = family(stores).await;
        let (first, second) = tokio::join!(
            remove(stores, &one, Remover::Administrator, at(1)),
            remove(stores, &two, Remover::Administrator, at(1)),
        );
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        assert_eq!(first.and(second), Err(DeviceRefusal::LastMain));
    }
}

async fn removals_leave_jobs(stores: &Stores) {
    let (user, [main, _, sub, _]) = family(stores).await;
    let first = remove(stores, &sub, Remover::Device(main.id), at(7)).await.expect("it may");
    let expected = Teardown {
        device: sub.id,
        user: user.id,
        reason: TeardownReason::Main,
        requested_at: at(7),
        attempts: 0,
        last_error: None,
        pending: vec![],
        state: TeardownState::Waiting(at(7)),
    };
    assert_eq!(job(stores, &sub).await, Some(expected.clone()));
    // Again, by anybody: nothing changes.
    for by in [Remover::Device(main.id), Remover::Administrator, Remover::Device(sub.id)] {
        let again = remove(stores, &sub, by, at(9)).await.expect("it may");
        assert_eq!((again.value, again.entries), (first.value.clone(), vec![]));
        assert_eq!(job(stores, &sub).await, Some(expected.clone()));
    }
}

async fn jobs_go_on_until_they_are_done(stores: &Stores) {
    let (_, [_, _, sub, other]) = family(stores).await;
    remove(stores, &sub, Remover::Administrator, at(10)).await.expect("it may");
    remove(stores, &other, Remover::Administrator, at(10)).await.expect("it may");
    let due = async |ms| {
        let due = stores.directory.due_teardowns(at(ms), 10_000).await.expect("due_teardowns");
        assert!(due.is_sorted_by_key(|job| match job.state {
            TeardownState::Waiting(at) => Some(at),
            TeardownState::Done(_) => None,
        }));
        due.iter().map(|job| job.device).filter(|id| [sub.id, other.id].contains(id)).collect::<BTreeSet<_>>()
    };
    let tried = async |device: &Device, ms, left: Option<(&[&str], u64)>| {
        let left = left.map(|(pending, next)| TeardownLeft {
            pending: pending.iter().map(|&server| server.to_owned()).collect(),
            error: "not reached".into(),
            next_try_at: at(next),
        });
        let attempt = TeardownAttempt { device: device.id, now: at(ms), left };
        stores.directory.teardown_tried(attempt).await.expect("teardown_tried");
        job(stores, device).await.expect("it has a job")
    };
    assert_eq!(due(9).await, BTreeSet::new());
    assert_eq!(due(10).await, BTreeSet::from([sub.id, other.id]));
    let left = tried(&sub, 12, Some((&["a:1", "b:2"], 40))).await;
    assert_eq!(
        (left.attempts, left.last_error.as_deref(), &left.pending[..]),
        (1, Some("not reached"), &["a:1".into(), "b:2".into()][..])
    );
    assert_eq!((left.requested_at, left.state), (at(10), TeardownState::Waiting(at(40))));
    assert_eq!((due(39).await, due(40).await), (BTreeSet::from([other.id]), BTreeSet::from([sub.id, other.id])));
    let totals = stores.directory.teardown_totals().await.expect("teardown_totals");
    assert!(totals.waiting >= 2 && totals.oldest <= Some(at(10)) && totals.next_try_at <= Some(at(10)), "{totals:?}");
    let done = tried(&sub, 41, None).await;
    assert_eq!((done.attempts, done.last_error, done.pending.len()), (2, None, 0));
    assert_eq!((done.state, due(1_000).await), (TeardownState::Done(at(41)), BTreeSet::from([other.id])));
    // Something came back, and was seen when the removal was asked for again.
    let open = tried(&sub, 50, Some((&["c:3"], 60))).await;
    assert_eq!((open.attempts, open.state), (3, TeardownState::Waiting(at(60))));
    assert_eq!(tried(&sub, 61, None).await.state, TeardownState::Done(at(61)));
    tried(&other, 62, None).await;
    // What is done is kept for a while.
    let purge = async |ms| while stores.directory.purge_teardowns(at(ms)).await.expect("purge_teardowns") > 0 {};
    purge(61).await;
    assert!(job(stores, &sub).await.is_some());
    purge(62).await;
    assert!(job(stores, &sub).await.is_none() && job(stores, &other).await.is_some());
    // Whoever asks again gets a job again; what happens to one that is not there is nobody's business.
    remove(stores, &sub, Remover::Administrator, at(70)).await.expect("it may");
    let again = job(stores, &sub).await.expect("it has a job");
    assert_eq!((again.requested_at, again.state), (at(70), TeardownState::Waiting(at(70))));
    let strange = TeardownAttempt { device: DeviceId::generate(), now: at(70), left: None };
    stores.directory.teardown_tried(strange).await.expect("teardown_tried");
    tried(&sub, 71, None).await;
}

async fn jobs_are_listed_in_pages(stores: &Stores) {
    let (_, [_, other_main, sub, other_sub]) = family(stores).await;
    // Two of one time: the id decides.
    for (device, ms) in [(&sub, 900), (&other_sub, 900), (&other_main, 901)] {
        remove(stores, device, Remover::Administrator, at(ms)).await.expect("it may");
    }
    let attempt = TeardownAttempt { device: other_sub.id, now: at(902), left: None };
    stores.directory.teardown_tried(attempt).await.expect("teardown_tried");
    let ours = [other_main.id, sub.id, other_sub.id];
    for waiting in [false, true] {
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let page = stores.directory.teardowns(after, waiting, 2).await.expect("teardowns");
            let Some(last) = page.last() else { break };
            after = Some((last.requested_at, last.device));
            listed.extend(page.into_iter().filter(|job| ours.contains(&job.device)));
        }
        let mut expected = vec![(at(900), sub.id), (at(900), other_sub.id), (at(901), other_main.id)];
        expected.retain(|(_, id)| !(waiting && *id == other_sub.id));
        expected.sort();
        expected.reverse();
        assert_eq!(listed.iter().map(|job| (job.requested_at, job.device)).collect::<Vec<_>>(), expected);
    }
    for device in [&sub, &other_main] {
        let attempt = TeardownAttempt { device: device.id, now: at(902), left: None };
        stores.directory.teardown_tried(attempt).await.expect("teardown_tried");
    }
}

async fn sign_outs_leave_jobs(stores: &Stores) {
    let (user, [main, other_main, sub, other_sub]) = family(stores).await;
    stores.directory.sign_out(sub.id, at(1)).await.expect("sign_out").expect("it is there");
    assert_eq!(job(stores, &sub).await.map(|job| job.reason), Some(TeardownReason::Itself));
    stores.directory.sign_out_all(user.id, Some(main.id), at(2)).await.expect("sign_out_all");
    for device in [&other_main, &other_sub] {
        assert_eq!(job(stores, device).await.map(|job| job.reason), Some(TeardownReason::SignedOut));
    }
    // One that stays has nothing to be torn down.
    stores.directory.sign_out(main.id, at(3)).await.expect("sign_out").expect("it is there");
    assert!(is_there(stores, &main).await && job(stores, &main).await.is_none());
}

async fn all_devices_of_a_user(stores: &Stores) {
    let (user, devices) = family(stores).await;
    let all = async |user: &UserId| {
        let all = stores.directory.remove_all_devices(user.clone(), TeardownReason::AccountDisabled, at(5));
        all.await.expect("remove_all_devices")
    };
    let done = all(&user.id).await;
    let removed: BTreeSet<DeviceId> = done.value.iter().map(|device| device.id).collect();
    assert_eq!(removed, devices.iter().map(|device| device.id).collect());
    assert_eq!(
        (done.entries.len(), stores.directory.devices_of(user.id.clone()).await.expect("devices_of")),
        (4, vec![])
    );
    for (device, gone) in devices.iter().map(|device| (device, done.value.iter().find(|gone| gone.id == device.id))) {
        let gone = gone.expect("it is among them");
        assert_eq!(gone.removed_at, Some(at(5)));
        assert!(gone.token_generation > device.token_generation);
        assert!(gone.connection_generation > device.connection_generation);
        assert_eq!(job(stores, device).await.map(|job| job.reason), Some(TeardownReason::AccountDisabled));
    }
    assert_eq!(all(&user.id).await, Committed { value: vec![], entries: vec![] });
    assert_eq!(all(&nobody()).await, Committed { value: vec![], entries: vec![] });
}

async fn unseen_devices(stores: &Stores) {
    let user = stores.make_user().await;
    device(stores, &user.id, DeviceKind::Main, at(0)).await;
    let mut subs = Vec::new();
    for ms in [1, 2, 2, 3, 9] {
        subs.push(device(stores, &user.id, DeviceKind::Sub, at(ms)).await);
    }
    // The third has been seen meanwhile, and the fourth is gone.
    let [.., seen, gone, _] = &subs[..] else { panic!("there are five") };
    let connected = stores.directory.connect_device(seen.id, seen.token_generation, at(20)).await;
    connected.expect("connect_device").expect("it may");
    remove(stores, gone, Remover::Administrator, at(4)).await.expect("it may");
    // The last one was connected until then; what was known is not taken back, and of the removed nothing is noted.
    let noted = vec![(subs[4].id, at(25)), (seen.id, at(15)), (gone.id, at(25)), (DeviceId::generate(), at(25))];
    stores.directory.seen(noted).await.expect("seen");
    for (device, until) in [(&subs[4], Some(at(25))), (seen, Some(at(20))), (gone, None)] {
        let found = stores.directory.device(device.id).await.expect("device").expect("it is there");
        assert_eq!(found.seen_at, until);
    }
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = stores.directory.unseen(at(9), after, 1).await.expect("unseen");
        let Some(last) = page.last() else { break };
        after = Some((last.seen_at.unwrap_or(last.created_at), last.id));
        found.extend(page.into_iter().filter(|device| device.user == user.id));
    }
    assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), [subs[0].id, subs[1].id]);
    let unseen = Remover::Unseen { seen_before: at(9) };
    assert_eq!(remove(stores, seen, unseen, at(30)).await, Err(DeviceRefusal::SeenSince));
    assert_eq!(remove(stores, &subs[4], unseen, at(30)).await, Err(DeviceRefusal::SeenSince));
    remove(stores, &subs[0], unseen, at(30)).await.expect("it was unseen");
    assert_eq!(job(stores, &subs[0]).await.map(|job| job.reason), Some(TeardownReason::Unseen));
}
