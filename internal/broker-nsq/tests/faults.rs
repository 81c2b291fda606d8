//! An nsqd that dies, halts or is not there yet: devices live by head signals meanwhile, and by nsqd again after it.

mod common;

use common::listener::{Listener, conversations, publish};
use common::look::{PATIENCE, ephemeral, until};
use common::{House, furnish, house, start};
use lockstep_model::{ConversationId, DeviceId};
use lockstep_ports::Broker;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

const PUBLISH_TIMEOUT: Duration = Duration::from_secs(1);
/// What a busy machine may add to that.
const SLACK: Duration = Duration::from_secs(5);

async fn two_nsqds() -> House {
    let house = house(2, false, |settings| settings.publish_timeout = PUBLISH_TIMEOUT).await;
    house.until_connected().await;
    house
}

/// Devices that follow the same conversations: some on the nsqd that will fail, some on the other.
struct Followed {
    devices: Vec<Listener>,
    /// Placed on the first nsqd.
    failing: Vec<ConversationId>,
    /// Placed on the second.
    healthy: Vec<ConversationId>,
    /// The head of all of them.
    head: u64,
}

impl Followed {
    async fn open(house: &House) -> Self {
        let all = conversations::<16>();
        let mut devices = Vec::new();
        for _ in 0..3 {
            devices.push(Listener::fed(&house.broker, &all).await);
        }
        let (mut failing, mut healthy) = (Vec::new(), Vec::new());
        for conversation in all {
            match house.until_consumed(conversation, &ephemeral(devices[0].device())).await {
                0 => failing.push(conversation),
                _ => healthy.push(conversation),
            }
        }
        assert!(!failing.is_empty() && !healthy.is_empty(), "all are placed on one nsqd");
        let mut followed = Self { devices, failing, healthy, head: 0 };
        followed.all_flow(house).await;
        followed
    }

    /// Publishes one more entry everywhere. Says how long that took.
    async fn publish(&mut self, house: &House) -> Duration {
        self.head += 1;
        let began = Instant::now();
        for conversation in self.failing.iter().chain(&self.healthy) {
            publish(&house.broker, *conversation, self.head..=self.head).await;
            house.heads.set(*conversation, self.head);
        }
        began.elapsed()
    }

    /// What is published comes as entries, everywhere.
    async fn all_flow(&mut self, house: &House) {
        self.publish(house).await;
        for device in &mut self.devices {
            for conversation in self.failing.iter().chain(&self.healthy) {
                device.until_entry(*conversation, self.head).await;
            }
            device.notices.clear();
        }
    }

    /// What is published comes as entries where nsqd is healthy, and as head signals where it is not, soon enough.
    async fn the_failing_live_by_heads(&mut self, house: &House) {
        let began = Instant::now();
        assert!(self.publish(house).await < PUBLISH_TIMEOUT, "publish waits for an nsqd");
        for device in &mut self.devices {
            for conversation in &self.failing {
                device.until_head(*conversation, self.head).await;
                assert!(device.seqs(*conversation).is_empty());
            }
            assert!(began.elapsed() < PUBLISH_TIMEOUT + SLACK, "the head signals came late: {:?}", began.elapsed());
            for conversation in &self.healthy {
                device.until_entry(*conversation, self.head).await;
                assert!(device.heads(*conversation).is_empty(), "another nsqd's conversation is harmed");
            }
            device.notices.clear();
        }
    }

    /// Each is told how far the log reaches, which moved where the broker could not see it.
    async fn until_rechecked(&mut self, house: &House) {
        self.head += 100;
        self.failing.iter().for_each(|conversation| house.heads.set(*conversation, self.head));
        for device in &mut self.devices {
            for conversation in &self.failing {
                device.until_head(*conversation, self.head).await;
            }
            device.notices.clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nsqd_is_killed_and_comes_back() {
    let mut house = two_nsqds().await;
    let mut followed = Followed::open(&house).await;
    for _ in 0..2 {
        block_in_place(|| house.nsqds[0].kill());
        for _ in 0..5 {
            followed.the_failing_live_by_heads(&house).await;
        }
        block_in_place(|| house.nsqds[0].restart()).expect("nsqd starts again");
        followed.until_rechecked(&house).await;
        house.until_connected().await;
        followed.all_flow(&house).await;
    }
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nsqd_halts_and_goes_on() {
    let house = two_nsqds().await;
    let mut followed = Followed::open(&house).await;
    house.nsqds[0].pause().expect("nsqd halts");
    for _ in 0..3 {
        followed.the_failing_live_by_heads(&house).await;
    }
    // Somebody comes meanwhile, and lives by heads too; somebody leaves.
    let all = [&followed.failing[..], &followed.healthy].concat();
    let mut late = Listener::open(&house.broker, &all).await;
    let gone = followed.devices.pop().expect("there are three");
    house.broker.close(&followed.failing, &gone.mailbox).await;
    followed.the_failing_live_by_heads(&house).await;
    for conversation in &followed.failing {
        late.until_head(*conversation, followed.head).await;
    }
    house.nsqds[0].resume().expect("nsqd goes on");
    followed.all_flow(&house).await;
    for conversation in &followed.failing {
        house.until_consumed(*conversation, &ephemeral(late.device())).await;
    }
    late.until_fed(&all).await;
    followed.devices.push(late);
    followed.all_flow(&house).await;
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pipe_to_a_halted_nsqd_holds_nobody_up() {
    let house = two_nsqds().await;
    let mut followed = Followed::open(&house).await;
    house.nsqds[0].pause().expect("nsqd halts");
    // More than the producer takes.
    let (conversation, last) = (followed.failing[0], 15_000);
    let began = Instant::now();
    for chunk in 0..15 {
        publish(&house.broker, conversation, chunk * 1_000 + 1..=(chunk + 1) * 1_000).await;
    }
    let publishing = began.elapsed();
    followed.devices[0].until_head(conversation, last).await;
    assert!(publishing < PATIENCE / 2, "{publishing:?}");
    house.nsqds[0].resume().expect("nsqd goes on");
    house.heads.set(conversation, last);
    followed.head = last;
    // As long as the pipe is full heads are told, and what overflows an ephemeral channel then is lost.
    until("entries flow again", async || {
        followed.publish(&house).await;
        followed.devices.iter_mut().all(|device| {
            device.take();
            device.seqs(conversation).iter().any(|seq| *seq > last)
        })
    })
    .await;
    followed.all_flow(&house).await;
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nsqd_comes_after_the_broker() {
    let (_, mut nsqds) = start(2, false, |_| {}).await;
    block_in_place(|| nsqds[0].kill());
    let mut house = furnish(None, nsqds, |settings| settings.publish_timeout = PUBLISH_TIMEOUT);
    until("one of the two takes envelopes", async || house.broker.connected() == (1, 2)).await;
    let topics = conversations::<16>();
    let mut device = Listener::open(&house.broker, &topics).await;
    let mut left = Listener::open(&house.broker, &topics).await;
    for topic in topics {
        publish(&house.broker, topic, 1..=1).await;
        device.until_told(topic, 1).await;
    }
    // Who leaves before it comes leaves nothing.
    house.broker.close(&topics, &left.mailbox).await;
    left.take();
    assert_eq!(house.broker.consumers(), topics.len());
    block_in_place(|| house.nsqds[0].restart()).expect("nsqd starts");
    house.until_connected().await;
    topics.iter().for_each(|topic| house.heads.set(*topic, 10));
    for topic in topics {
        house.until_consumed(topic, &ephemeral(device.device())).await;
    }
    for topic in topics {
        publish(&house.broker, topic, 11..=11).await;
    }
    for topic in topics {
        device.until_entry(topic, 11).await;
    }
    house.broker.stop().await;
    assert_eq!(Arc::strong_count(&left.mailbox), 1, "the broker keeps a mailbox of one who left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_while_nsqd_is_away_is_let_go_at_once() {
    let (_, mut nsqds) = start(1, false, |_| {}).await;
    block_in_place(|| nsqds[0].kill());
    let topics = conversations::<20>();
    // No more places than they take: one that is not given back is missed.
    let mut house = furnish(None, nsqds, |settings| {
        settings.consumers_per_device_max = topics.len();
        settings.consumers_max = 2 * topics.len();
    });
    let mut devices = [DeviceId::generate(), DeviceId::generate()].map(Listener::of);
    for _ in 0..50 {
        for device in &devices {
            house.broker.open(&topics, &device.mailbox).await;
        }
        for device in &devices {
            house.broker.close(&topics, &device.mailbox).await;
        }
        assert!(house.broker.topics().is_empty() && house.broker.consumers() == 0);
        until("they are let go", async || devices.iter().all(|device| Arc::strong_count(&device.mailbox) == 1)).await;
    }
    block_in_place(|| house.nsqds[0].restart()).expect("nsqd starts");
    house.until_connected().await;
    for device in &mut devices {
        house.broker.open(&topics, &device.mailbox).await;
    }
    for topic in topics {
        for device in &mut devices {
            house.until_consumed(topic, &ephemeral(device.device())).await;
            device.until_head(topic, 0).await;
        }
        publish(&house.broker, topic, 1..=1).await;
        for device in &mut devices {
            device.until_entry(topic, 1).await;
        }
    }
    house.broker.stop().await;
}
