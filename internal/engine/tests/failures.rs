//! What is left when the store fails or is slow in the middle of something.

mod common;

use common::faulty::{FaultyLog, SlowOffsets};
use common::{House, Live, soon};
use lockstep_engine::EngineConfig;
use lockstep_model::{Ask, Code, Cursor, Notice, Offset, OffsetsVersion, Seq, Shown, Target};
use lockstep_ports::Broker;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The session never hears of the consumers of a resume that failed, so it cannot close them.
#[tokio::test]
async fn a_resume_that_fails_leaves_no_consumer() {
    let mut faulty = None;
    let house = House::made(EngineConfig::default(), |ports, store| {
        let log = Arc::new(FaultyLog::new(store.clone()));
        ports.log = log.clone();
        faulty = Some(log);
    })
    .await;
    let faulty = faulty.expect("it was made");
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    house.send(&ana, Target::Conversation(group), "x").await.unwrap();
    let shown = vec![Shown { conversation: group, cursor: Cursor { seq: Seq::new(1), entry: None } }];
    for failing in [&faulty.ranges_fail, &faulty.bounds_fail] {
        let mut live = house.connect(&ben).await;
        failing.store(true, Ordering::SeqCst);
        // The shown entries are compared with the log, whose heads are read after the consumers are open.
        live.ask(Ask::Resume { shown: shown.clone(), verify: true });
        assert_eq!(live.closed().await, Code::Unavailable);
        failing.store(false, Ordering::SeqCst);
        house.engine.disconnect(&live.connection, Vec::new(), None).await;
        assert_eq!(house.broker.consumers(), 0, "a consumer is left");
    }
    // It was the failure: without it there are consumers.
    let _live = house.resume(&ben).await;
    assert!(house.broker.consumers() > 0);
}

/// A read on another device while this one connects is in the welcome, or signalled after it.
#[tokio::test]
async fn a_read_during_a_connect_is_not_missed() {
    let mut slow = None;
    let house = House::made(EngineConfig::default(), |ports, store| {
        let offsets = Arc::new(SlowOffsets::new(store.clone()));
        ports.offsets = offsets.clone();
        slow = Some(offsets);
    })
    .await;
    let slow = slow.expect("it was made");
    let (phone, ben) = (house.device("ana").await, house.device("ben").await);
    let laptop = house.device("ana").await;
    let group = house.group(&[&phone, &ben]).await;
    house.send(&ben, Target::Conversation(group), "x").await.unwrap();
    let mut phone = house.resume(&phone).await;
    slow.is_slow.store(true, Ordering::SeqCst);
    let connecting = house.try_connect(&laptop);
    let reading = async {
        soon(slow.read.acquire()).await.unwrap().forget();
        slow.is_slow.store(false, Ordering::SeqCst);
        phone.ask(Ask::AdvanceOffset { reference: None, conversation: group, seq: Seq::new(1) });
        phone.find(|notice| matches!(notice, Notice::ReadDone { refusal: None, .. })).await;
        slow.go_on.add_permits(1);
    };
    let (admission, ()) = tokio::join!(connecting, reading);
    let admission = admission.unwrap();
    assert_eq!(admission.offsets.offsets, [], "they were read before");
    let mut laptop = Live::of(&house, admission.connection);
    let heard = laptop.find(|notice| matches!(notice, Notice::Offsets { .. })).await;
    let offsets = vec![Offset { conversation: group, seq: Seq::new(1) }];
    assert_eq!(heard, Notice::Offsets { since: OffsetsVersion::ZERO, version: OffsetsVersion::new(1), offsets });
}
