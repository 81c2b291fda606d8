//! A device's channels are deleted, on real servers.

mod fleet;

use fleet::{World, channel_target, ephemeral, fleet, fleet_in, proxy, publish, soon, topic, topic_of};
use lockstep_broker_nsq::Deletion;
use lockstep_model::{ConversationId, DeviceId};
use lockstep_nsq_client::Address;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn all_channels_of_a_device_go_and_nothing_else() {
    let world = World::new().await;
    let (device, other, topics) = (DeviceId::generate(), DeviceId::generate(), [topic(), topic(), topic()]);
    for (number, topic) in topics.iter().enumerate() {
        for nsqd in 0..2 {
            world.make(nsqd, topic, "_seq");
            world.make(nsqd, topic, &other.to_string());
            world.make(nsqd, topic, if number == 0 { "archive" } else { "audit" });
        }
        world.make(number % 2, topic, &device.to_string());
        world.make(1, topic, &ephemeral(device));
    }
    // Not of a conversation: whoever named it so means something else.
    world.make(0, "orders", &device.to_string());
    assert_eq!(world.count(device).await, 7);
    assert_eq!(soon(world.fleet.delete_channels(device, Some(&[]))).await, Deletion::Done);
    let mut kept = vec![other.to_string(), "_seq".to_owned(), "archive".to_owned()];
    for topic in &topics {
        kept.sort_unstable();
        for nsqd in 0..2 {
            assert_eq!(world.channels(nsqd, topic).await, kept, "{topic} on {nsqd}");
        }
        assert_eq!(world.listed(topic), Some(kept.clone()), "{topic}");
        kept = vec![other.to_string(), "_seq".to_owned(), "audit".to_owned()];
    }
    assert_eq!(world.channels(0, "orders").await, [device.to_string()]);
    assert_eq!(soon(world.fleet.delete_channels(device, None)).await, Deletion::Done, "again, there is nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nsqd_that_only_the_nsqlookupd_knows_takes_part() {
    let world = World::with(|configured, _| configured.truncate(1)).await;
    let (device, topic) = (DeviceId::generate(), topic());
    world.make(1, &topic, &device.to_string());
    world.make(1, &topic, &ephemeral(device));
    assert_eq!(world.count(device).await, 2);
    assert_eq!(soon(world.fleet.delete_channels(device, Some(&[]))).await, Deletion::Done);
    assert_eq!((world.count(device).await, world.listed(&topic)), (0, Some(vec![])));
}

/// Else the next nsqd that gets the topic makes them.
#[tokio::test(flavor = "multi_thread")]
async fn channels_that_no_nsqd_has_are_forgotten() {
    let world = World::new().await;
    let (device, told, untold) = (DeviceId::generate(), ConversationId::generate(), ConversationId::generate());
    for conversation in [told, untold] {
        world.list(&topic_of(conversation), &device.to_string());
        world.list(&topic_of(conversation), "archive");
    }
    assert_eq!(soon(world.fleet.delete_channels(device, Some(&[told]))).await, Deletion::Done);
    assert_eq!(world.listed(&topic_of(told)), Some(vec!["archive".to_owned()]));
    assert_eq!(world.listed(&topic_of(untold)).map(|channels| channels.len()), Some(2), "nobody told of it");
    assert_eq!(soon(world.fleet.delete_channels(device, None)).await, Deletion::Done);
    publish(&world.nsqds[0], &topic_of(untold));
    assert_eq!(world.channels(0, &topic_of(untold)).await, ["archive"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nsqd_that_is_down_is_named_and_the_janitor_finishes() {
    let mut world = World::new().await;
    let (device, topics) = (world.device().await, [topic(), topic()]);
    for topic in &topics {
        for nsqd in 0..2 {
            world.make(nsqd, topic, &device.to_string());
            world.make(nsqd, topic, "_seq");
        }
    }
    assert!(world.nsqds[1].stop().expect("it stops").success());
    world.remove(device).await;
    let deletion = soon(world.fleet.delete_channels(device, None)).await;
    assert_eq!(deletion, Deletion::Pending { nsqds: vec![world.address(1)], lookupds: vec![] });
    assert_eq!(world.count(device).await, 0, "on the one that is reached");
    let mut janitor = world.janitor();
    let swept = soon(janitor.sweep(Instant::now())).await;
    assert!(!swept.settles(device, &deletion), "{swept:?}");
    assert_eq!(swept.missed.iter().collect::<Vec<_>>(), [&world.address(1)]);
    // It has the channels on its disk, and tells the nsqlookupd.
    world.nsqds[1].restart().expect("it starts again");
    for topic in &topics {
        world.wait_until_listed(&world.nsqds[1], topic, &device.to_string());
        world.wait_until_listed(&world.nsqds[1], topic, "_seq");
    }
    assert_eq!(world.count(device).await, 2);
    let swept = soon(janitor.sweep(Instant::now())).await;
    assert!(swept.settles(device, &deletion), "{swept:?}");
    assert_eq!((swept.channels_deleted, swept.topics_deleted, world.count(device).await), (2, 0, 0));
    for topic in &topics {
        assert_eq!(world.listed(topic), Some(vec!["_seq".to_owned()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_answer_are_named_by_kind() {
    let world = World::new().await;
    let (device, topic) = (DeviceId::generate(), topic());
    for nsqd in 0..2 {
        world.make(nsqd, &topic, &device.to_string());
    }
    // Nobody listens there.
    let lookupd: Address = "127.0.0.1:1".parse().expect("an address");
    let lookupds = [lookupd.clone(), world.lookupd.http_address().into()];
    let fleet = fleet_in(&[world.address(0), world.address(1)], &lookupds, Duration::from_millis(500));
    world.nsqds[1].pause().expect("it halts");
    let deletion = soon(fleet.delete_channels(device, None)).await;
    world.nsqds[1].resume().expect("it goes on");
    assert_eq!(deletion, Deletion::Pending { nsqds: vec![world.address(1)], lookupds: vec![lookupd] });
    assert_eq!((world.channels(0, &topic).await.len(), world.channels(1, &topic).await.len()), (0, 1));
    assert_eq!(world.listed(&topic), Some(vec![]));
}

/// A service publishes on the other nsqd while channels are deleted; that one had asked the nsqlookupd just before.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_appears_meanwhile_is_deleted_too() {
    let world = World::new().await;
    let (device, topic) = (DeviceId::generate(), topic());
    world.make(0, &topic, &device.to_string());
    let (made, other) = (Arc::new(AtomicUsize::new(0)), world.nsqds[1].http_address());
    let (count, channel) = (Arc::clone(&made), device.to_string());
    let topic_there = topic.clone();
    let proxy = proxy::before(world.nsqds[0].http_address(), move |target| {
        if target.starts_with("/channel/delete") {
            proxy::post(other, &format!("/topic/create?topic={topic_there}"));
            proxy::post(other, &channel_target("create", &topic_there, &channel));
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let fleet = fleet(&[proxy.await, world.address(1)], &[world.lookupd.http_address().into()]);
    assert_eq!(soon(fleet.delete_channels(device, None)).await, Deletion::Done);
    assert_eq!(made.load(Ordering::SeqCst), 1, "it was made once, while the first was deleted");
    assert_eq!((world.topics(1).await, world.count(device).await), (vec![topic], 0));
}

/// An nsqd tells of a channel of which it has just been rid.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_nsqlookupd_hears_meanwhile_is_forgotten_too() {
    let world = World::new().await;
    let (device, topic) = (DeviceId::generate(), topic());
    world.make(0, &topic, &device.to_string());
    let (lookupd, target) = (world.lookupd.http_address(), channel_target("create", &topic, &device.to_string()));
    let proxy = proxy::before(world.nsqds[0].http_address(), move |request| {
        if request.starts_with("/channel/delete") {
            proxy::post(lookupd, &target);
        }
    });
    let fleet = fleet(&[proxy.await, world.address(1)], &[lookupd.into()]);
    assert_eq!(soon(fleet.delete_channels(device, Some(&[]))).await, Deletion::Done);
    assert_eq!((world.count(device).await, world.listed(&topic)), (0, Some(vec![])));
}

/// Whoever makes it still runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_comes_back_each_time_is_given_up() {
    let world = World::new().await;
    let (device, topic) = (DeviceId::generate(), topic());
    world.make(0, &topic, &device.to_string());
    let (nsqd, channel) = (world.nsqds[0].http_address(), device.to_string());
    let (looks, count, topic_there) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), topic.clone());
    let (looked, deleted) = (Arc::clone(&looks), Arc::clone(&count));
    let proxy = proxy::before(nsqd, move |target| {
        if target.starts_with("/stats") && target.contains(&format!("channel={channel}&")) {
            proxy::post(nsqd, &channel_target("create", &topic_there, &channel));
            looked.fetch_add(1, Ordering::SeqCst);
        }
        deleted.fetch_add(usize::from(target.starts_with("/channel/delete")), Ordering::SeqCst);
    });
    let proxy = proxy.await;
    let fleet = fleet(&[proxy.clone(), world.address(1)], &[world.lookupd.http_address().into()]);
    let deletion = soon(fleet.delete_channels(device, None)).await;
    assert_eq!(deletion, Deletion::Pending { nsqds: vec![proxy], lookupds: vec![] });
    assert_eq!((looks.load(Ordering::SeqCst), count.load(Ordering::SeqCst)), (4, 3));
    // Its maker has stopped.
    assert_eq!(soon(world.fleet.delete_channels(device, None)).await, Deletion::Done);
    assert_eq!(world.count(device).await, 0);
}

/// Wherever the publishing falls, at the latest the next pass of the janitor finds what it brought back.
#[tokio::test(flavor = "multi_thread")]
async fn publishing_on_another_nsqd_at_the_same_time_leaves_nothing() {
    let world = World::new().await;
    let (device, topics) = (world.device().await, (0..8).map(|_| topic()).collect::<Vec<_>>());
    for topic in &topics {
        world.make(0, topic, &device.to_string());
    }
    world.remove(device).await;
    let other = world.nsqds[1].http_address();
    let publishing = topics.clone();
    let publishing = tokio::task::spawn_blocking(move || {
        publishing.iter().for_each(|topic| proxy::post(other, &format!("/topic/create?topic={topic}")));
    });
    // What nsqd brings back after the last look, nobody can know yet.
    let _done_or_pending = soon(world.fleet.delete_channels(device, None)).await;
    publishing.await.expect("it is published");
    // What that nsqd told the nsqlookupd may still be under way.
    for topic in &topics {
        let key = format!("topic:{topic}:");
        world.wait_for(|listed| listed[&key].as_array().is_some_and(|nsqds| nsqds.len() == 2));
    }
    let swept = soon(world.janitor().sweep(Instant::now())).await;
    assert!(swept.pending.is_empty(), "{swept:?}");
    assert_eq!((world.topics(1).await.len(), world.count(device).await), (8, 0));
}
