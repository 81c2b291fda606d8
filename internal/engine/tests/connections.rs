//! Who is let in, who replaces whom, and who is sent away.

mod common;

use common::faulty::HeldLog;
use common::{House, claim, soon, user};
use lockstep_engine::{ChannelDeletion, Claim, EngineConfig, Slice};
use lockstep_model::{
    Ask, Body, ClientMsgId, Code, DeviceId, DeviceKind, Kind, Notice, OffsetsVersion, Target, TokenGeneration,
};
use lockstep_ports::Broker;
use std::sync::Arc;
use tokio::sync::Semaphore;

#[tokio::test]
async fn a_newer_connection_replaces_the_older() {
    let house = House::new().await;
    let phone = house.device("ana").await;
    let mut first = house.resume(&phone).await;
    let second = house.resume(&phone).await;
    assert!(second.connection.generation > first.connection.generation);
    assert_eq!(first.closed().await, Code::Replaced);
    house.engine.disconnect(&first.connection, Vec::new(), None).await;
    assert_eq!(house.engine.connections(), 1);
    assert!(!second.connection.mailbox.is_closed());
}

#[tokio::test]
async fn a_removed_device_is_closed_and_stays_out() {
    let house = House::new().await;
    house.device("ana").await;
    let phone = house.device("ana").await;
    let mut live = house.resume(&phone).await;
    house.engine.remove_device(phone.id).await.unwrap();
    assert_eq!(live.closed().await, Code::DeviceRemoved);
    assert_eq!(house.try_connect(&phone).await.unwrap_err(), Code::DeviceRemoved);
    assert_eq!(house.engine.authorize(&claim(&phone)).await, Err(Code::DeviceRemoved));
    // Again: nothing changes.
    assert!(house.engine.remove_device(phone.id).await.unwrap().device.removed_at.is_some());
    assert_eq!(house.engine.remove_device(DeviceId::generate()).await, Err(Code::NoSuchDevice));
}

/// What a device has sent and nobody has committed when its removal returns is never committed.
#[tokio::test]
async fn nothing_is_committed_for_a_removed_device() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let house = House::made(EngineConfig::default(), |ports, store| {
        ports.log = Arc::new(HeldLog { store: store.clone(), gate: held });
    });
    let house = house.await;
    let (other, phone) = (house.device("ana").await, house.device("ana").await);
    let group = house.silent_group(&[&other]).await;
    let (live, mut stays) = (house.connect(&phone).await, house.connect(&other).await);
    let append = |name: &str| Ask::Append {
        reference: None,
        target: Target::Conversation(group),
        client_msg_id: ClientMsgId::new(name).unwrap(),
        kind: Kind::Message,
        body: Body::text(name),
    };
    // The lane holds a batch that is not committed, and behind it waits what the device sends.
    stays.ask(append("first"));
    soon(async {
        while house.engine.load().appends_waiting > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    live.ask(append("before"));
    stays.ask(append("second"));
    house.engine.remove_device(phone.id).await.unwrap();
    live.ask(append("after"));
    stays.ask(append("third"));
    gate.add_permits(10);
    for _ in 0..3 {
        stays.find(|notice| matches!(notice, Notice::Sent { .. })).await;
    }
    let page = house.engine.history(&user("ana"), group, Slice::Latest, 10).await.unwrap();
    let texts: Vec<_> = page.entries.iter().map(|entry| entry.body.text_field("text").unwrap()).collect();
    assert_eq!(texts, ["first", "second", "third"]);
}

#[tokio::test]
async fn a_removal_deletes_the_channels_of_the_device() {
    let house = House::new().await;
    let (phone, other) = (house.device("ana").await, house.device("ana").await);
    let before = house.broker.consumers();
    let _stays = house.resume(&other).await;
    let of_one = house.broker.consumers() - before;
    // Its connection is slow to notice that it is over.
    let _live = house.resume(&phone).await;
    assert!(of_one > 0 && house.broker.consumers() == before + 2 * of_one);
    let removal = house.engine.remove_device(phone.id).await.unwrap();
    assert_eq!((removal.channels, house.broker.consumers()), (ChannelDeletion::Done, before + of_one));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_leaves_no_connection_that_was_coming_in() {
    let house = House::new().await;
    house.device("ana").await;
    for _ in 0..50 {
        let phone = house.device("ana").await;
        let (engine, device, before) = (house.engine.clone(), phone.clone(), house.engine.connections());
        // While the store is busy the connect and the removal wait, to be committed together.
        let busy = tokio::spawn({
            let engine = engine.clone();
            async move { engine.create_device(&user("ana"), "busy", DeviceKind::Sub).await }
        });
        let coming = tokio::spawn(async move {
            engine.connect(claim(&device), None, OffsetsVersion::ZERO, Default::default()).await
        });
        while house.engine.connections() == before && !coming.is_finished() {
            tokio::task::yield_now().await;
        }
        house.engine.remove_device(phone.id).await.unwrap();
        soon(busy).await.unwrap().unwrap();
        match soon(coming).await.unwrap() {
            Ok(admission) => assert!(admission.connection.mailbox.is_closed(), "it slipped in behind the removal"),
            Err(code) => assert_eq!(code, Code::DeviceRemoved),
        }
    }
}

#[tokio::test]
async fn foreign_claims_are_refused() {
    let house = House::new().await;
    let phone = house.device("ana").await;
    house.device("ben").await;
    let cases = [
        (Claim { user: user("ben"), ..claim(&phone) }, Code::TokenInvalid),
        (Claim { device: DeviceId::generate(), ..claim(&phone) }, Code::DeviceRemoved),
    ];
    for (claim, code) in cases {
        assert_eq!(house.engine.authorize(&claim).await, Err(code));
        assert_eq!(
            house.engine.connect(claim, None, OffsetsVersion::ZERO, Default::default()).await.unwrap_err(),
            code
        );
    }
    let newer = Claim { token_generation: TokenGeneration(7), ..claim(&phone) };
    assert!(house.engine.authorize(&newer).await.is_ok());
    assert_eq!(house.engine.connections(), 0);
}

#[tokio::test]
async fn the_number_of_connections_is_bounded() {
    let house = House::with(EngineConfig { connections_max: 1, ..EngineConfig::default() }).await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let first = house.resume(&ana).await;
    assert_eq!(house.try_connect(&ben).await.unwrap_err(), Code::Overloaded);
    house.engine.disconnect(&first.connection, Vec::new(), None).await;
    assert!(house.try_connect(&ben).await.is_ok());
}

#[tokio::test]
async fn a_stop_sends_everybody_away_and_finishes() {
    let house = House::new().await;
    let phone = house.device("ana").await;
    let mut live = house.resume(&phone).await;
    let engine = house.engine.clone();
    let stopping = tokio::spawn(async move { engine.stop().await });
    assert_eq!(live.closed().await, Code::ShuttingDown);
    assert_eq!(house.try_connect(&phone).await.unwrap_err(), Code::ShuttingDown);
    house.engine.disconnect(&live.connection, Vec::new(), None).await;
    soon(stopping).await.unwrap();
}
