//! Retention: floors rise by age and by count, and devices that are behind are told.

mod common;

use common::{House, Live, user};
use lockstep_engine::Slice;
use lockstep_model::{
    Ask, ConversationId, Device, Notice, Page, Retention, RetentionRule, Seq, SkipReason, Target, UnixMs,
};
use lockstep_ports::{CursorRow, Directory, MessageLog};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn days(count: u32) -> RetentionRule {
    RetentionRule { age_max: Some(DAY * count), ..RetentionRule::default() }
}

fn entries(count: u64) -> RetentionRule {
    RetentionRule { count_max: Some(count), ..RetentionRule::default() }
}

fn in_days(count: u64) -> UnixMs {
    UnixMs::new(UnixMs::now().get() + count * DAY.as_millis() as u64)
}

async fn fill(house: &House, device: &Device, conversation: ConversationId, count: u64) {
    for number in 0..count {
        house.send(device, Target::Conversation(conversation), &number.to_string()).await.unwrap();
    }
}

async fn bounds(house: &House, conversation: ConversationId) -> (u64, u64) {
    let bounds = house.store.bounds(vec![conversation]).await.unwrap()[0].unwrap();
    (bounds.floor.get(), bounds.head.get())
}

#[tokio::test]
async fn each_kind_has_its_rule() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.silent_group(&[&ana, &ben]).await;
    let direct = house.engine.open_direct(&ana.user, &ben.user).await.unwrap().id;
    for conversation in [group, direct] {
        fill(&house, &ana, conversation, 20).await;
    }
    let none = Retention::default();
    assert!(none.is_none());
    assert_eq!(house.engine.expire(&none, in_days(1_000)).await, Ok(0));
    let retention = Retention { direct: entries(5), group: days(2), ..none };
    // Nothing is too old yet; of the direct conversation five stay.
    assert_eq!(house.engine.expire(&retention, UnixMs::now()).await, Ok(15));
    assert_eq!((bounds(&house, group).await, bounds(&house, direct).await), ((1, 20), (16, 20)));
    assert_eq!(house.engine.expire(&retention, in_days(1)).await, Ok(0));
    // All of the group is.
    assert_eq!(house.engine.expire(&retention, in_days(3)).await, Ok(20));
    assert_eq!((bounds(&house, group).await, bounds(&house, direct).await), ((21, 20), (16, 20)));
    // Seqs go on.
    fill(&house, &ana, group, 1).await;
    assert_eq!(bounds(&house, group).await, (21, 21));
}

/// More than one look finds, more than one commit takes away: sends in between are not in the way.
#[tokio::test]
async fn it_goes_in_small_steps() {
    let house = House::new().await;
    let ana = house.device("ana").await;
    let long = house.silent_group(&[&ana]).await;
    let sender = house.resume(&ana).await;
    for number in 0..1_300 {
        sender.ask(Ask::Append {
            reference: None,
            target: Target::Conversation(long),
            client_msg_id: lockstep_model::ClientMsgId::new(&format!("m{number}")).unwrap(),
            kind: lockstep_model::Kind::Message,
            body: lockstep_model::Body::text("x"),
        });
    }
    fill(&house, &ana, long, 1).await;
    let mut many = Vec::new();
    for _ in 0..300 {
        let group = house.silent_group(&[&ana]).await;
        many.push(group);
    }
    fill(&house, &ana, many[299], 7).await;
    let retention = Retention { group: entries(3), ..Retention::default() };
    let before = house.store.stats().commits;
    let (gone, ()) = tokio::join!(house.engine.expire(&retention, UnixMs::now()), fill(&house, &ana, many[0], 3));
    assert_eq!(gone, Ok(1_298 + 4));
    // Three steps for the long one, one for the other, and at most one for each of the sends.
    let commits = house.store.stats().commits - before;
    assert!((4..=12).contains(&commits), "{commits} commits");
    assert_eq!((bounds(&house, long).await, bounds(&house, many[0]).await), ((1_299, 1_301), (1, 3)));
}

async fn read(live: &mut Live, conversation: ConversationId, from: u64) -> Page {
    live.ask(Ask::Read { conversation, from: Seq::new(from), count: 10, head: Seq::new(10) });
    match live.find(|notice| matches!(notice, Notice::Page(_))).await {
        Notice::Page(page) => *page,
        _ => unreachable!(),
    }
}

#[tokio::test]
async fn a_device_that_is_behind_is_told() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.silent_group(&[&ana, &ben]).await;
    let mut live = house.resume(&ben).await;
    fill(&house, &ana, group, 10).await;
    let retention = Retention { group: entries(4), ..Retention::default() };
    assert_eq!(house.engine.expire(&retention, UnixMs::now()).await, Ok(6));
    // Live too: memory has nothing that the log has given up.
    let page = read(&mut live, group, 2).await;
    let skip = page.skip.unwrap();
    assert_eq!((skip.from.get(), skip.to.get(), skip.reason), (2, 6, SkipReason::Retention));
    let page = read(&mut live, group, 7).await;
    assert_eq!(page.entries.iter().map(|entry| entry.seq.get()).collect::<Vec<_>>(), [7, 8, 9, 10]);
    let history = house.engine.history(&user("ana"), group, Slice::After(Seq::ZERO), 100).await.unwrap();
    assert_eq!((history.floor.get(), history.entries.len()), (7, 4));
}

/// What a device of the user has yet to get stays in the feed, however many there are; but not for ever.
#[tokio::test]
async fn feeds_wait_for_devices_as_long_as_age_allows() {
    let house = House::new().await;
    let (ana, tablet) = (house.device("ana").await, house.device("ana").await);
    let gone = house.device("ana").await;
    for _ in 0..20 {
        house.silent_group(&[&ana]).await;
    }
    let feed = house.engine.ensure_user(ana.user.clone()).await.unwrap().feed;
    house.engine.remove_device(gone.id).await.unwrap();
    // Three devices linked, one removed, twenty groups.
    assert_eq!(bounds(&house, feed).await, (1, 24));
    let retention = Retention { feed: RetentionRule { count_max: Some(5), ..days(30) }, ..Retention::default() };
    let acknowledged = async |device: &Device, seq: u64| {
        let row = CursorRow { device: device.id, conversation: feed, seq: Seq::new(seq) };
        house.store.store_cursors(vec![row]).await.unwrap();
    };
    let cases = [(&ana, 24, 1), (&tablet, 8, 9), (&tablet, 10, 11), (&tablet, 23, 20)];
    for (device, seq, floor) in cases {
        acknowledged(device, seq).await;
        house.engine.expire(&retention, UnixMs::now()).await.unwrap();
        assert_eq!(bounds(&house, feed).await, (floor, 24), "after {seq}");
    }
    house.engine.expire(&retention, in_days(31)).await.unwrap();
    assert_eq!(bounds(&house, feed).await, (25, 24));
}
