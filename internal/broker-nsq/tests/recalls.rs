//! What waits in nsqd while it is recalled.

mod common;

use common::house;
use common::listener::{Listener, conversations, entries};
use common::look::{PATIENCE, channel_name, channel_stats, ephemeral, http, topic_name, until};
use lockstep_model::{Body, Entry, Kind, Seq, SharedEntry};
use lockstep_ports::Broker;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_reaches_nobody_and_the_recall_does() {
    let house = house(1, false, |settings| settings.publish_timeout = PATIENCE).await;
    house.until_connected().await;
    let [topic, other] = conversations();
    let mut device = Listener::fed(&house.broker, &[topic, other]).await;
    let (http, name) = (http(&house.nsqds[0]), ephemeral(device.device()));
    for paused in [topic, other] {
        http.pause_channel(&topic_name(paused), &channel_name(&name)).await.expect("nsqd pauses it");
        house.broker.publish(&entries(paused, 1..=3)).await;
    }
    let recall =
        Entry { kind: Kind::Recall, body: Body::recall(Seq::new(1)), ..Entry::clone(&entries(topic, 4..=4)[0]) };
    house.broker.publish(&[SharedEntry::new(recall)]).await;
    house.broker.publish(&entries(topic, 5..=5)).await;
    until("all wait in nsqd", async || {
        channel_stats(&house.nsqds[0], topic, &name).await.is_some_and(|channel| channel.message_count == 5)
    })
    .await;
    for paused in [other, topic] {
        http.unpause_channel(&topic_name(paused), &channel_name(&name)).await.expect("nsqd lets it go on");
    }
    device.until_entry(topic, 5).await;
    device.until_entry(other, 3).await;
    assert_eq!(device.seqs(topic), [4, 5]);
    assert_eq!(device.seqs(other), [1, 2, 3], "where nothing was recalled");
    house.broker.stop().await;
}
