//! The janitor's passes over real servers.

mod fleet;

use fleet::{
    HOUR, World, channel_target, consume, ephemeral, fleet, fleet_in, post, proxy, publish, soon, topic, topic_of,
};
use lockstep_broker_nsq::{Janitor, JanitorSettings};
use lockstep_model::{ConversationId, DeviceId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn channels_of_devices_that_are_gone_are_deleted_and_no_others() {
    let world = World::new().await;
    let (live, removed, unknown) = (world.device().await, world.device().await, DeviceId::generate());
    world.remove(removed).await;
    let (one, two) = (topic_of(world.conversation().await), topic_of(world.conversation().await));
    let service = "6fa459ea-ee8a-4ca4-894e-db77e160355e";
    let kept = [live.to_string(), ephemeral(live), "_seq".to_owned(), "archive".to_owned(), service.to_owned()];
    let strays = [removed.to_string(), ephemeral(removed), unknown.to_string(), ephemeral(unknown)];
    for channel in kept.iter().chain(&strays) {
        world.make(0, &one, channel);
        world.make(1, &two, channel);
    }
    for topic in ["orders", "lockstep.events"] {
        world.make(0, topic, &unknown.to_string());
    }
    let mut janitor = world.janitor();
    let swept = soon(janitor.sweep(Instant::now())).await;
    assert_eq!((swept.channels_deleted, swept.pending.len(), swept.topics_deleted), (8, 0, 0), "{swept:?}");
    let mut kept = kept.to_vec();
    kept.sort_unstable();
    for (nsqd, topic) in [(0, &one), (1, &two)] {
        assert_eq!((world.channels(nsqd, topic).await, world.listed(topic)), (kept.clone(), Some(kept.clone())));
    }
    for topic in ["orders", "lockstep.events"] {
        assert_eq!(world.channels(0, topic).await, [unknown.to_string()], "{topic}");
    }
    let swept = soon(janitor.sweep(Instant::now())).await;
    assert_eq!((swept.channels_deleted, swept.missed.len(), swept.reached.len()), (0, 0, 3));
}

/// The next nsqd that gets the topic would make them.
#[tokio::test(flavor = "multi_thread")]
async fn channels_that_only_the_nsqlookupd_knows_are_forgotten() {
    let world = World::new().await;
    let (live, unknown) = (world.device().await, DeviceId::generate());
    let topic = topic_of(world.conversation().await);
    world.list(&topic, &live.to_string());
    world.list(&topic, &unknown.to_string());
    let swept = soon(world.janitor().sweep(Instant::now())).await;
    assert!(swept.pending.is_empty() && swept.missed.is_empty(), "{swept:?}");
    assert_eq!(world.listed(&topic), Some(vec![live.to_string()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_goes_when_it_stood_empty_for_an_hour() {
    let world = World::new().await;
    let (device, start) = (world.device().await, Instant::now());
    let topic = topic_of(world.conversation().await);
    for nsqd in 0..2 {
        world.make(nsqd, &topic, "_seq");
        world.make(nsqd, &topic, &device.to_string());
    }
    for other in ["orders", "lockstep.events"] {
        world.make(0, other, "_seq");
    }
    let mut janitor = world.janitor();
    for before in [Duration::ZERO, HOUR - MINUTE] {
        assert_eq!(soon(janitor.sweep(start + before)).await.topics_deleted, 0, "{before:?}");
    }
    assert_eq!(soon(janitor.sweep(start + HOUR)).await.topics_deleted, 2);
    assert_eq!(world.topics(0).await, ["lockstep.events", "orders"]);
    assert_eq!((world.topics(1).await.len(), world.listed(&topic)), (0, None));
    // It comes again, and has its hour again.
    world.make(0, &topic, "_seq");
    assert_eq!(soon(janitor.sweep(start + HOUR + MINUTE)).await.topics_deleted, 0);
    assert_eq!(soon(janitor.sweep(start + HOUR * 2)).await.topics_deleted, 0);
    assert_eq!(soon(janitor.sweep(start + HOUR * 2 + MINUTE)).await.topics_deleted, 1);
}

/// Where it is in use, nobody would find it if the nsqlookupd forgot it.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_in_use_on_one_nsqd_goes_only_on_the_other() {
    let world = World::new().await;
    let (topic, start) = (topic(), Instant::now());
    for nsqd in 0..2 {
        world.make(nsqd, &topic, "_seq");
    }
    let consumer = consume(&world, 0, &topic, "_seq");
    let mut janitor = world.janitor();
    assert_eq!(soon(janitor.sweep(start)).await.topics_deleted, 0);
    assert_eq!(soon(janitor.sweep(start + HOUR)).await.topics_deleted, 1);
    assert_eq!((world.topics(0).await, world.topics(1).await.len()), (vec![topic.clone()], 0));
    world.wait_for(|listed| listed[format!("topic:{topic}:")].as_array().is_some_and(|nsqds| nsqds.len() == 1));
    assert_eq!(world.listed(&topic), Some(vec!["_seq".to_owned()]));
    drop(consumer);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_topic() {
    let world = World::new().await;
    let ids: Vec<ConversationId> = (0..6).map(|_| ConversationId::generate()).collect();
    let topics: Vec<String> = ids.iter().map(|id| topic_of(*id)).collect();
    for topic in &topics {
        world.make(0, topic, "_seq");
    }
    let (pinned, used) = (ids[0], ids[1]);
    let is_used = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&is_used);
    let settings = JanitorSettings {
        pinned: [pinned].into(),
        ..JanitorSettings::new(move |id| id == used && asked.load(Ordering::SeqCst))
    };
    let mut janitor = world.janitor_with(settings);
    // A service listens; a message waits; somebody consumes.
    world.make(0, &topics[2], "archive");
    publish(&world.nsqds[0], &topics[3]);
    wait_until_it_waits(&world, &topics[3]).await;
    let consumer = consume(&world, 0, &topics[4], "_seq");
    let start = Instant::now();
    assert_eq!(soon(janitor.sweep(start)).await.topics_deleted, 0);
    let swept = soon(janitor.sweep(start + HOUR)).await;
    assert_eq!((swept.topics_deleted, world.topics(0).await.len()), (1, 5));
    assert_eq!(world.listed(&topics[5]), None, "nothing kept this one");
    // What kept them ends, and they have their hour from then on.
    is_used.store(false, Ordering::SeqCst);
    post(&world.nsqds[0], &channel_target("delete", &topics[2], "archive"));
    post(&world.nsqds[0], &channel_target("empty", &topics[3], "_seq"));
    drop(consumer);
    wait_until_alone(&world, &topics[4]).await;
    assert_eq!(soon(janitor.sweep(start + HOUR + MINUTE)).await.topics_deleted, 0);
    assert_eq!(soon(janitor.sweep(start + HOUR * 2)).await.topics_deleted, 0);
    assert_eq!(soon(janitor.sweep(start + HOUR * 2 + MINUTE)).await.topics_deleted, 4);
    assert_eq!(world.topics(0).await, [topics[0].clone()], "the pinned one");
}

/// It was consumed before the next pass, so only the count of messages tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_came_and_went_keeps_a_topic_for_another_hour() {
    let world = World::new().await;
    let (topic, start) = (topic(), Instant::now());
    world.make(0, &topic, "_seq");
    let mut janitor = world.janitor();
    assert_eq!(soon(janitor.sweep(start)).await.topics_deleted, 0);
    publish(&world.nsqds[0], &topic);
    wait_until_it_waits(&world, &topic).await;
    post(&world.nsqds[0], &channel_target("empty", &topic, "_seq"));
    for minutes in [60, 119] {
        assert_eq!(soon(janitor.sweep(start + MINUTE * minutes)).await.topics_deleted, 0, "{minutes}");
    }
    assert_eq!(soon(janitor.sweep(start + HOUR * 2)).await.topics_deleted, 1);
}

/// A janitor that reaches the first nsqd through something that happens meanwhile.
async fn janitor_behind(world: &World, meanwhile: impl Fn(&str) + Send + Sync + 'static) -> Janitor {
    let proxy = proxy::before(world.nsqds[0].http_address(), meanwhile).await;
    let fleet = fleet(&[proxy, world.address(1)], &[world.lookupd.http_address().into()]);
    Janitor::new(fleet, Arc::clone(&world.directory), JanitorSettings::new(|_| false))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_looked_at_once_more_before_it_goes() {
    let world = World::new().await;
    let (topic, start) = (topic(), Instant::now());
    for nsqd in 0..2 {
        world.make(nsqd, &topic, "_seq");
    }
    let (own, last_look, listens) =
        (world.nsqds[0].http_address(), format!("topic={topic}&"), channel_target("create", &topic, "archive"));
    let mut janitor = janitor_behind(&world, move |target| {
        if target.starts_with("/stats") && target.contains(&last_look) {
            proxy::post(own, &listens);
        }
    })
    .await;
    let swept = soon(janitor.sweep(start)).await;
    // The nsqlookupd lists the first nsqd under its own address: it is one and the same.
    assert_eq!((swept.topics_deleted, swept.reached.len()), (0, 3), "{swept:?}");
    assert_eq!(soon(janitor.sweep(start + HOUR)).await.topics_deleted, 1, "on the other nsqd");
    assert_eq!(world.channels(0, &topic).await, ["_seq", "archive"]);
    world.wait_for(|listed| listed[format!("topic:{topic}:")].as_array().is_some_and(|nsqds| nsqds.len() == 1));
}

/// Nobody would find what a service publishes there if the nsqlookupd forgot it.
#[tokio::test(flavor = "multi_thread")]
async fn an_nsqd_that_gets_a_topic_while_it_goes_stays_listed() {
    let world = World::new().await;
    let (topic, start) = (topic(), Instant::now());
    world.make(0, &topic, "_seq");
    let (other, lookupd) = (world.nsqds[1].http_address(), world.lookupd.http_address());
    let (make, look) = (format!("/topic/create?topic={topic}"), format!("/lookup?topic={topic}"));
    let mut janitor = janitor_behind(&world, move |target| {
        if target.starts_with("/topic/delete") {
            proxy::post(other, &make);
            proxy::wait_for(lookupd, &look, |answer| answer.contains("tcp_port"));
        }
    })
    .await;
    assert_eq!(soon(janitor.sweep(start)).await.topics_deleted, 0);
    assert_eq!(soon(janitor.sweep(start + HOUR)).await.topics_deleted, 1);
    assert_eq!((world.topics(0).await.len(), world.topics(1).await), (0, vec![topic.clone()]));
    world.wait_for(|listed| listed[format!("topic:{topic}:")].as_array().is_some_and(|nsqds| nsqds.len() == 1));
    assert_eq!(world.listed(&topic), Some(vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nsqd_that_is_down_is_left_to_a_later_pass() {
    let mut world = World::new().await;
    let (unknown, topics) = (DeviceId::generate(), [topic(), topic()]);
    for (nsqd, topic) in topics.iter().enumerate() {
        world.make(nsqd, topic, &unknown.to_string());
        world.make(nsqd, topic, "_seq");
    }
    assert!(world.nsqds[1].stop().expect("it stops").success());
    let (mut janitor, start) = (world.janitor(), Instant::now());
    let swept = soon(janitor.sweep(start)).await;
    assert_eq!((swept.channels_deleted, swept.missed.len(), swept.reached.len()), (1, 1, 2), "{swept:?}");
    // It cannot be known whether that is all.
    assert_eq!(swept.pending.keys().collect::<Vec<_>>(), [&unknown]);
    assert_eq!(soon(janitor.sweep(start + HOUR)).await.topics_deleted, 1);
    world.nsqds[1].restart().expect("it starts again");
    world.wait_until_listed(&world.nsqds[1], &topics[1], &unknown.to_string());
    world.wait_until_listed(&world.nsqds[1], &topics[1], "_seq");
    let swept = soon(janitor.sweep(start + HOUR)).await;
    assert_eq!((swept.channels_deleted, swept.pending.len(), swept.topics_deleted), (1, 0, 0), "{swept:?}");
    assert_eq!(soon(janitor.sweep(start + HOUR * 2)).await.topics_deleted, 1);
    assert_eq!((world.topics(0).await.len(), world.topics(1).await.len()), (0, 0));
}

/// It takes the question and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn an_nsqlookupd_that_hangs_holds_a_pass_up_for_a_request() {
    let world = World::new().await;
    let (removed, topic) = (world.device().await, topic());
    world.remove(removed).await;
    world.make(0, &topic, &removed.to_string());
    // The second one brings the first one's channel along.
    world.make(1, &topic, "archive");
    let nsqds = [world.address(0), world.address(1)];
    let fleet = fleet_in(&nsqds, &[world.lookupd.http_address().into()], Duration::from_millis(500));
    let mut janitor = Janitor::new(fleet, Arc::clone(&world.directory), JanitorSettings::new(|_| false));
    world.lookupd.pause().expect("it halts");
    let began = Instant::now();
    let swept = soon(janitor.sweep(Instant::now())).await;
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    assert_eq!((swept.channels_deleted, world.count(removed).await), (2, 0), "on the nsqds, which answer");
    assert_eq!(swept.missed, [world.lookupd.http_address().into()].into());
    assert_eq!(swept.pending.keys().collect::<Vec<_>>(), [&removed], "it may know of more");
    world.lookupd.resume().expect("it goes on");
    let swept = soon(janitor.sweep(Instant::now())).await;
    assert!(swept.missed.is_empty() && swept.pending.is_empty(), "{swept:?}");
    assert_eq!(
        (world.listed(&topic), world.channels(1, &topic).await),
        (Some(vec!["archive".to_owned()]), vec!["archive".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_by_itself_until_it_is_stopped() {
    let world = World::new().await;
    let (unknown, topic, stopping) = (DeviceId::generate(), topic(), CancellationToken::new());
    let running = tokio::spawn(world.janitor().run(Duration::from_millis(20), stopping.clone()));
    for round in 0..2 {
        let channel = if round == 0 { unknown.to_string() } else { ephemeral(unknown) };
        post(&world.nsqds[0], &format!("/topic/create?topic={topic}"));
        post(&world.nsqds[0], &channel_target("create", &topic, &channel));
        world.nsqds[0].wait_for_log(&format!("deleting channel {channel}")).expect("it is deleted");
    }
    stopping.cancel();
    soon(running).await.expect("it ends");
    // It has stopped within a pass, or between two.
    world.make(0, &topic, "_seq");
    assert_eq!(world.channels(0, &topic).await, ["_seq"]);
}

async fn wait_until_alone(world: &World, topic: &str) {
    wait_until(world, topic, |topic| topic.channels.iter().all(|channel| channel.client_count == 0)).await;
}

/// nsqd passes messages on from a topic to its channels by itself.
async fn wait_until_it_waits(world: &World, topic: &str) {
    wait_until(world, topic, |topic| topic.channels.iter().all(|channel| channel.depth == 1)).await;
}

async fn wait_until(world: &World, topic: &str, is_so: impl Fn(&lockstep_nsq_client::http::TopicStats) -> bool) {
    soon(async {
        while !world.stats(0).await.topics.iter().any(|found| found.topic_name.as_str() == topic && is_so(found)) {}
    })
    .await;
}
