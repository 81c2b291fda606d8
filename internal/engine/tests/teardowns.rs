//! Removals go on until nothing is left: whatever fails, and whoever crashes.

mod common;

use async_trait::async_trait;
use common::{House, claim, soon, user};
use lockstep_broker_embedded::EmbeddedBroker;
use lockstep_engine::{ChannelDeletion, Engine, EngineConfig, Ports};
use lockstep_model::{
    Code, ConversationId, Device, DeviceId, DeviceKind, Entry, FeedChange, Notice, Offset, Seq, SharedEntry,
    SharedSignal, TeardownReason, TeardownState, UnixMs,
};
use lockstep_ports::{Broker, DeviceRemoval, Directory, Mailbox, MessageLog, NewDevice, Range, Remover, Teardowns};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// A broker whose servers are down for so many deletions, and which deletes only as often as it may.
struct Down {
    inner: Arc<dyn Broker>,
    failures: AtomicU64,
    deletions: AtomicU64,
    may: Semaphore,
}

#[async_trait]
impl Broker for Down {
    async fn publish(&self, entries: &[SharedEntry]) {
        self.inner.publish(entries).await;
    }

    async fn open(&self, topics: &[ConversationId], mailbox: &Arc<Mailbox>) {
        self.inner.open(topics, mailbox).await;
    }

    async fn close(&self, topics: &[ConversationId], mailbox: &Arc<Mailbox>) {
        self.inner.close(topics, mailbox).await;
    }

    async fn delete_channels(&self, device: DeviceId, topics: &[ConversationId]) -> ChannelDeletion {
        self.may.acquire().await.expect("it is never closed").forget();
        self.deletions.fetch_add(1, Ordering::SeqCst);
        let fails = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails {
            return ChannelDeletion::Pending { servers: vec!["down:4151".into()] };
        }
        self.inner.delete_channels(device, topics).await
    }

    fn signal_heads(&self, heads: &[Offset]) {
        self.inner.signal_heads(heads);
    }

    fn signal(&self, signal: &SharedSignal) {
        self.inner.signal(signal);
    }

    fn whisper(&self, topic: ConversationId, notice: &Notice) {
        self.inner.whisper(topic, notice);
    }

    fn has_consumers(&self, topic: ConversationId) -> bool {
        self.inner.has_consumers(topic)
    }

    fn devices(&self, topic: ConversationId) -> Vec<DeviceId> {
        self.inner.devices(topic)
    }

    fn topics(&self) -> Vec<ConversationId> {
        self.inner.topics()
    }

    fn consumers(&self) -> usize {
        self.inner.consumers()
    }
}

/// An engine whose transport fails so often.
async fn house(failures: u64, may: usize) -> (House, Arc<Down>) {
    let (failures, deletions, may) = (failures.into(), 0.into(), Semaphore::new(may));
    let down = Arc::new(Down { inner: Arc::new(EmbeddedBroker::new()), failures, deletions, may });
    let config = EngineConfig {
        teardown_retry_min: Duration::from_millis(1),
        teardown_retry_max: Duration::from_millis(4),
        ..EngineConfig::default()
    };
    let broker = Arc::clone(&down);
    let house = House::made(config, |ports, _| ports.broker = broker).await;
    (house, down)
}

async fn made(house: &House, name: &str, kind: DeviceKind, created_at: u64) -> Device {
    house.store.ensure_user(user(name), UnixMs::new(1)).await.unwrap();
    let (id, now) = (DeviceId::generate(), UnixMs::new(created_at));
    let device = NewDevice { id, user: user(name), name: "a device".into(), kind, unfilled: false, now };
    house.store.create_device(device).await.unwrap().unwrap().value
}

/// Waits until a job is done, and says how often it was tried.
async fn done(engine: &Engine, device: DeviceId) -> u64 {
    soon(async {
        loop {
            match engine.teardown(device).await.unwrap() {
                Some(job) if matches!(job.state, TeardownState::Done(_)) => return job.attempts,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_removal_goes_on_until_nothing_is_left() {
    let (house, _down) = house(4, 100).await;
    house.device("ana").await;
    let tablet = house.device("ana").await;
    let removal = house.engine.remove_device(tablet.id).await.unwrap();
    assert_eq!(removal.channels, ChannelDeletion::Pending { servers: vec!["down:4151".into()] });
    assert_eq!(done(&house.engine, tablet.id).await, 5);
    let job = house.engine.teardown(tablet.id).await.unwrap().unwrap();
    assert_eq!((job.last_error, &job.pending[..], job.reason), (None, &[][..], TeardownReason::Administrator));
    // Asked again: it is tried again, and nothing else changes.
    assert_eq!(house.engine.remove_device(tablet.id).await.unwrap().channels, ChannelDeletion::Done);
    assert_eq!(done(&house.engine, tablet.id).await, 6);
}

#[tokio::test]
async fn an_operator_sees_what_is_left() {
    let (house, down) = house(1, 1).await;
    house.device("ana").await;
    let tablet = house.device("ana").await;
    house.engine.remove_device(tablet.id).await.unwrap();
    let listed = house.engine.teardowns(None, true, 10).await.unwrap();
    let [job] = &listed[..] else { panic!("one waits, not {listed:?}") };
    assert_eq!((job.device, &job.user, job.attempts), (tablet.id, &tablet.user, 1));
    assert_eq!(job.pending, ["down:4151"]);
    assert!(job.last_error.as_deref().is_some_and(|error| error.contains("down:4151")));
    down.may.add_permits(1);
    done(&house.engine, tablet.id).await;
    assert_eq!(house.engine.teardowns(None, true, 10).await, Ok(vec![]));
    assert_eq!(house.engine.teardowns(None, false, 10).await.unwrap().len(), 1);
    // It is kept for a while.
    let later = |seconds: u64| UnixMs::new(UnixMs::now().get() + seconds * 1_000);
    assert_eq!(house.engine.purge_teardowns(Duration::from_secs(60), later(50)).await, Ok(0));
    assert_eq!(house.engine.purge_teardowns(Duration::from_secs(60), later(70)).await, Ok(1));
    assert_eq!(house.engine.teardowns(None, false, 10).await, Ok(vec![]));
}

/// The commit is there, and nothing else has been done.
#[tokio::test]
async fn what_a_crash_left_is_found_at_the_start() {
    let house = House::new().await;
    house.device("ana").await;
    let tablet = house.device("ana").await;
    house.engine.stop().await;
    let removal = DeviceRemoval { device: tablet.id, by: Remover::Administrator, now: UnixMs::now() };
    house.store.remove_device(removal).await.unwrap().unwrap();
    let (log, directory, offsets) =
        (Arc::new(house.store.clone()), Arc::new(house.store.clone()), Arc::new(house.store.clone()));
    let ports = Ports { log, directory, offsets, broker: Arc::new(EmbeddedBroker::new()), events: None };
    let next = Engine::start(ports, EngineConfig::default());
    assert_eq!(done(&next, tablet.id).await, 1);
    next.stop().await;
}

#[tokio::test]
async fn two_removals_at_once_are_one_and_answer_the_same() {
    let (house, down) = house(0, 0).await;
    house.device("ana").await;
    let tablet = house.device("ana").await;
    let mut live = house.resume(&tablet).await;
    let remove = || {
        let (engine, id) = (house.engine.clone(), tablet.id);
        tokio::spawn(async move { engine.remove_device(id).await })
    };
    let (first, second) = (remove(), remove());
    // The device is out before any server has answered.
    assert_eq!(live.closed().await, Code::DeviceRemoved);
    assert_eq!(house.engine.authorize(&claim(&tablet)).await, Err(Code::DeviceRemoved));
    assert!(!first.is_finished() && !second.is_finished());
    down.may.add_permits(2);
    let (first, second) = (soon(first).await.unwrap().unwrap(), soon(second).await.unwrap().unwrap());
    assert_eq!((&first, &first.channels), (&second, &ChannelDeletion::Done));
    let told = house.engine.ensure_user(tablet.user.clone()).await.unwrap().feed;
    let told = house.store.ranges(vec![Range { conversation: told, from: Seq::new(1), count: 100 }]).await.unwrap();
    let removed = |entry: &&Entry| FeedChange::of(entry) == Some(FeedChange::DeviceRemoved { device: tablet.id });
    assert_eq!(told[0].iter().filter(removed).count(), 1);
}

#[tokio::test]
async fn a_sub_device_that_signs_out_is_torn_down() {
    let (house, _down) = house(2, 100).await;
    house.device("ana").await;
    let tablet = made(&house, "ana", DeviceKind::Sub, 1).await;
    let mut live = house.resume(&tablet).await;
    house.engine.sign_out(tablet.id).await.unwrap();
    assert_eq!(live.closed().await, Code::DeviceRemoved);
    assert_eq!(done(&house.engine, tablet.id).await, 3);
    let job = house.engine.teardown(tablet.id).await.unwrap().unwrap();
    assert_eq!(job.reason, TeardownReason::Itself);
}

#[tokio::test]
async fn an_account_loses_all_of_its_devices() {
    let house = House::new().await;
    let (phone, tablet) = (house.device("ana").await, made(&house, "ana", DeviceKind::Sub, 1).await);
    let bens = house.device("ben").await;
    let (mut phone_live, mut tablet_live) = (house.resume(&phone).await, house.resume(&tablet).await);
    let (ana, disabled) = (user("ana"), TeardownReason::AccountDisabled);
    assert_eq!(house.engine.remove_all_devices(&ana, disabled).await, Ok(2));
    for live in [&mut phone_live, &mut tablet_live] {
        assert_eq!(live.closed().await, Code::DeviceRemoved);
    }
    for device in [&phone, &tablet] {
        assert_eq!(house.try_connect(device).await.map(drop).unwrap_err(), Code::DeviceRemoved);
        assert_eq!(done(&house.engine, device.id).await, 1);
    }
    assert_eq!(house.engine.devices_of(&ana).await, Ok(vec![]));
    assert!(house.try_connect(&bens).await.is_ok());
    assert_eq!(house.engine.remove_all_devices(&ana, disabled).await, Ok(0));
}

#[tokio::test]
async fn sub_devices_that_are_not_seen_go() {
    let house = House::new().await;
    let (old, new) = (1_000, 9_000);
    let phone = made(&house, "ana", DeviceKind::Main, old).await;
    let mut unseen = Vec::new();
    for _ in 0..150 {
        unseen.push(made(&house, "ana", DeviceKind::Sub, old).await.id);
    }
    let young = made(&house, "ana", DeviceKind::Sub, new).await;
    let seen = made(&house, "ana", DeviceKind::Sub, old).await;
    house.store.connect_device(seen.id, seen.token_generation, UnixMs::new(new)).await.unwrap().unwrap();
    // One that is connected goes on, however long ago it came.
    let connected = made(&house, "ben", DeviceKind::Sub, old).await;
    let live = house.resume(&connected).await;
    let before = UnixMs::new(UnixMs::now().get() + 1_000);
    assert_eq!(house.engine.remove_unseen(UnixMs::new(old)).await, Ok(0), "on the day itself");
    assert_eq!(house.engine.remove_unseen(UnixMs::new(new)).await, Ok(150));
    assert_eq!(house.engine.remove_unseen(UnixMs::new(new)).await, Ok(0));
    let left = house.engine.devices_of(&user("ana")).await.unwrap();
    let mut left: Vec<_> = left.into_iter().map(|device| device.id).collect();
    let mut expected = vec![phone.id, young.id, seen.id];
    left.sort();
    expected.sort();
    assert_eq!(left, expected);
    for id in unseen {
        done(&house.engine, id).await;
        assert_eq!(house.engine.teardown(id).await.unwrap().unwrap().reason, TeardownReason::Unseen);
    }
    assert_eq!(house.engine.remove_unseen(before).await, Ok(2), "the other two of ana's");
    assert!(!live.connection.mailbox.is_closed());
    assert_eq!(house.engine.devices_of(&connected.user).await.unwrap().len(), 1);
}

#[tokio::test]
async fn devices_hear_what_another_is_called() {
    let house = House::new().await;
    let phone = house.device("ana").await;
    let tablet = made(&house, "ana", DeviceKind::Sub, 1).await;
    let mut live = house.resume(&phone).await;
    let renamed = house.engine.rename_device(tablet.id, tablet.id, "kitchen").await.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.kind), ("kitchen", DeviceKind::Sub));
    live.find(|notice| match notice {
        Notice::Entry(entry) => FeedChange::of(entry) == Some(FeedChange::DeviceRenamed { device: tablet.id }),
        _ => false,
    })
    .await;
    for (device, by, name, code) in [
        (phone.id, tablet.id, "x", Code::Forbidden),
        (tablet.id, tablet.id, "", Code::BadRequest),
        (DeviceId::generate(), phone.id, "x", Code::NoSuchDevice),
    ] {
        assert_eq!(house.engine.rename_device(device, by, name).await, Err(code));
    }
}

#[tokio::test]
async fn who_may_remove_what() {
    let house = House::new().await;
    let (phone, tablet) = (house.device("ana").await, made(&house, "ana", DeviceKind::Sub, 1).await);
    let laptop = made(&house, "ana", DeviceKind::Sub, 1).await;
    let bens = house.device("ben").await;
    let refused: [(&Device, &Device, Code); 4] = [
        (&phone, &tablet, Code::Forbidden),
        (&laptop, &tablet, Code::Forbidden),
        (&bens, &phone, Code::NoSuchDevice),
        (&phone, &phone, Code::LastMain),
    ];
    for (device, by, code) in refused {
        assert_eq!(house.engine.remove_device_for(device.id, by.id).await, Err(code));
    }
    assert_eq!(house.engine.remove_device(phone.id).await, Err(Code::LastMain));
    assert!(house.engine.remove_device_for(laptop.id, phone.id).await.is_ok());
    assert!(house.engine.remove_device_for(tablet.id, tablet.id).await.is_ok());
    // What was decided before the removal does not count.
    assert_eq!(house.engine.remove_device_for(phone.id, tablet.id).await, Err(Code::DeviceRemoved));
}

/// A device that stays connected for long, or that only refreshes its tokens, is in use.
#[tokio::test]
async fn a_device_is_seen_until_it_goes() {
    let (house, _) = house(0, 10).await;
    let phone = made(&house, "ana", DeviceKind::Sub, 1).await;
    let live = house.connect(&phone).await;
    let came = house.engine.device(phone.id).await.unwrap().seen_at.expect("it came");
    soon(async {
        while UnixMs::now() <= came {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let left = UnixMs::now();
    house.engine.disconnect(&live.connection, Vec::new(), None).await;
    house.engine.stop().await;
    let seen = house.store.device(phone.id).await.unwrap().unwrap().seen_at;
    assert!(seen >= Some(left), "{seen:?} before {left:?}");
    assert_eq!(house.store.unseen(left, None, 10).await.unwrap(), []);
}
