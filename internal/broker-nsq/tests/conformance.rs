//! The broker's suite, on one and on two real nsqds, with both kinds of channels.

mod common;

use common::house;
use lockstep_broker_nsq::Channels;
use lockstep_ports::conformance;
use std::sync::Arc;

async fn conforms(nsqds: usize, channels: Channels) {
    let house = house(nsqds, false, |settings| settings.channels = channels).await;
    conformance::broker(Arc::new(house.broker.clone())).await;
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms_with_ephemeral_channels() {
    conforms(1, Channels::Ephemeral).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms_with_durable_channels_on_two_nsqds() {
    conforms(2, Channels::Durable).await;
}
