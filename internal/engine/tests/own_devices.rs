//! The devices of a user hear which others of the user are connected.

mod common;

use common::{House, Live};
use lockstep_engine::EngineConfig;
use lockstep_model::{Ask, ConversationId, Device, DeviceId, DeviceOnline, Notice, OffsetsVersion, Ref, Seq};

/// What was told of devices until this question is answered.
async fn told(live: &mut Live, reference: Ref) -> Vec<Vec<(DeviceId, bool)>> {
    live.ask(Ask::Watch { reference: Some(reference), users: vec![] });
    let mut told = Vec::new();
    loop {
        match live.next().await.unwrap() {
            Notice::Watched { reference: Some(answered), .. } if answered == reference => return told,
            Notice::Devices(devices) => told.push(devices.iter().map(|it| (it.device, it.online)).collect()),
            _ => {}
        }
    }
}

async fn hang_up(house: &House, live: &Live) {
    house.engine.disconnect(&live.connection, vec![], None).await;
}

#[tokio::test]
async fn devices_of_a_user_hear_of_each_other() {
    let house = House::new().await;
    let (phone, tablet, bens) = (house.device("ana").await, house.device("ana").await, house.device("ben").await);
    let nothing: Vec<Vec<(DeviceId, bool)>> = vec![];
    let mut phone_live = house.connect(&phone).await;
    let mut bens_live = house.connect(&bens).await;
    assert_eq!(told(&mut phone_live, Seq::new(1)).await, nothing, "nobody else is there");
    let mut tablet_live = house.connect(&tablet).await;
    assert_eq!(told(&mut tablet_live, Seq::new(1)).await, [[(phone.id, true)]]);
    assert_eq!(told(&mut phone_live, Seq::new(2)).await, [[(tablet.id, true)]]);
    // A connection that replaces another one changes nothing for the others.
    let mut again = house.connect(&tablet).await;
    hang_up(&house, &tablet_live).await;
    assert_eq!(told(&mut again, Seq::new(1)).await, [[(phone.id, true)]]);
    assert_eq!(told(&mut phone_live, Seq::new(3)).await, nothing);
    hang_up(&house, &again).await;
    assert_eq!(told(&mut phone_live, Seq::new(4)).await, [[(tablet.id, false)]]);
    // A device that is removed goes like any other.
    let tablet_live = house.connect(&tablet).await;
    house.engine.remove_device(tablet.id).await.unwrap();
    hang_up(&house, &tablet_live).await;
    assert_eq!(told(&mut phone_live, Seq::new(5)).await, [[(tablet.id, true)], [(tablet.id, false)]]);
    assert_eq!(told(&mut bens_live, Seq::new(1)).await, nothing, "they are nobody else's business");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_word_is_right_however_often_devices_come_and_go() {
    let house = House::new().await;
    let phone = house.device("ana").await;
    let mut phone_live = house.connect(&phone).await;
    let coming_and_going = async |device: Device| {
        for _ in 0..50 {
            let live = house.connect(&device).await;
            tokio::task::yield_now().await;
            hang_up(&house, &live).await;
        }
    };
    let (tablet, laptop) = (house.device("ana").await, house.device("ana").await);
    let ids = [tablet.id, laptop.id];
    tokio::join!(coming_and_going(tablet), coming_and_going(laptop));
    let told = told(&mut phone_live, Seq::new(1)).await.concat();
    for id in ids {
        let of_one: Vec<bool> = told.iter().filter(|(device, _)| *device == id).map(|(_, online)| *online).collect();
        assert_eq!(of_one, [true, false].repeat(50));
    }
}

/// What was dropped from a full mailbox is told again when the session rechecks.
#[tokio::test]
async fn what_was_missed_is_told_by_a_recheck() {
    let house = House::with(EngineConfig { mailbox_max: 2, ..EngineConfig::default() }).await;
    let (phone, tablet, laptop) = (house.device("ana").await, house.device("ana").await, house.device("ana").await);
    let mut phone_live = house.resume(&phone).await;
    for device in [&tablet, &laptop, &tablet, &laptop] {
        let live = house.connect(device).await;
        hang_up(&house, &live).await;
    }
    let _tablet_live = house.connect(&tablet).await;
    phone_live.find(|notice| matches!(notice, Notice::Overflowed)).await;
    let conversations = vec![ConversationId::generate()];
    phone_live.ask(Ask::Recheck { conversations, offsets_version: OffsetsVersion::ZERO });
    let told = phone_live.find(|notice| matches!(notice, Notice::Devices(_))).await;
    let expected = [(tablet.id, true), (laptop.id, false)].map(|(device, online)| DeviceOnline { device, online });
    let Notice::Devices(told) = told else { unreachable!() };
    assert_eq!(told.len(), 2);
    assert!(expected.iter().all(|one| told.contains(one)), "{told:?}");
}
