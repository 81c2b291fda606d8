//! Opening consumers in the background, in the order in which they were asked for.

use crate::NsqBroker;
use crate::channel::{Channel, Stage};
use crate::feed::Feed;
use crate::node::Node;
use crate::places::Number;
use crate::settings::Channels;
use crate::topic::channel_name;
use lockstep_model::ConversationId;
use lockstep_nsq_client::{ChannelName, TopicName};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// How often a share of the consumers per second is let go.
const TICK: Duration = Duration::from_millis(10);

/// Where channels wait for their consumers. Each waits once, so there are no more than channels, places that were given
/// on, and once per topic and connection of its `_seq`.
#[derive(Clone)]
pub(crate) struct Opener(mpsc::UnboundedSender<Order>);

pub(crate) enum Order {
    /// A channel is to get a consumer.
    Open(Arc<Channel>),
    /// A channel that waited has been given a place.
    Placed(Arc<Channel>, Number),
    /// A topic's `_seq` is there: those who waited for it may go on.
    SeqMade(ConversationId),
}

impl Opener {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (opener, waiting) = mpsc::unbounded_channel();
        (Self(opener), waiting)
    }

    pub(crate) fn open(&self, channel: Arc<Channel>) {
        let _stopping = self.0.send(Order::Open(channel));
    }

    pub(crate) fn placed(&self, channel: Arc<Channel>, number: Number) {
        let _stopping = self.0.send(Order::Placed(channel, number));
    }

    pub(crate) fn seq_made(&self, conversation: ConversationId) {
        let _stopping = self.0.send(Order::SeqMade(conversation));
    }
}

/// Opens what waits, at the pace that is set.
pub(crate) async fn run(broker: NsqBroker, mut waiting: mpsc::UnboundedReceiver<Order>) {
    let per_tick = (broker.0.settings.consumers_per_second_max as usize / 100).max(1);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut orders = Vec::new();
    while waiting.recv_many(&mut orders, per_tick).await > 0 {
        for order in orders.drain(..) {
            match order {
                Order::Open(channel) => open(&broker, &channel),
                Order::Placed(channel, number) => placed(&broker, &channel, number),
                Order::SeqMade(conversation) => seq_made(&broker, conversation),
            }
        }
        ticks.tick().await;
    }
}

fn placed(broker: &NsqBroker, channel: &Arc<Channel>, number: Number) {
    let mut state = channel.lock();
    let still_waits = matches!(state.stage, Stage::NoPlace(waiting) if waiting == number);
    if still_waits {
        state.stage = Stage::Waiting;
    }
    drop(state);
    if still_waits { open(broker, channel) } else { broker.0.consumes_no_more(channel.device) }
}

/// Lets the channels of a topic wait for their turn again. What the opener does, it does one after the other: a channel
/// that finds no `_seq` is seen by the `SeqMade` that follows.
fn seq_made(broker: &NsqBroker, conversation: ConversationId) {
    let Some(topic) = broker.0.topics.get(&conversation) else { return };
    for channel in &topic.channels {
        let mut state = channel.lock();
        match state.stage {
            Stage::ForSeq => {
                state.stage = Stage::Waiting;
                broker.0.opener.open(Arc::clone(channel));
            }
            // Until now there was no place for the `_seq`.
            Stage::None if state.is_live() => broker.0.want_consumer(channel, &mut state),
            _ => {}
        }
    }
}

fn open(broker: &NsqBroker, channel: &Arc<Channel>) {
    let inner = &broker.0;
    let Some(topic) = inner.topics.get(&channel.topic) else { return };
    let (name, node, raw) = (topic.name.clone(), topic.node, topic.raw.clone());
    drop(topic);
    let mut state = channel.lock();
    // Looked at while the channel is held: either this is seen here, or the consumer is seen by `stop`.
    if inner.stopping.is_cancelled() {
        return;
    }
    if !state.is_live() {
        // Nobody waits any more. Of a device that was removed, no channel is made from here on.
        state.stage = Stage::None;
        drop(state);
        inner.consumes_no_more(channel.device);
        inner.forget(channel);
        return;
    }
    // Else this channel, being the topic's first, would swallow what services published.
    if raw.as_ref().is_some_and(|raw| !raw.is_made()) {
        state.stage = Stage::ForSeq;
        return;
    }
    let is_ephemeral = inner.settings.channels == Channels::Ephemeral;
    let channel_name = channel_name(channel.device, is_ephemeral);
    let feed = Feed {
        channel: Arc::clone(channel),
        nsqd: inner.nodes[node].seqs.identity.clone(),
        shared: Arc::clone(&inner.shared),
        raw,
        responder: None,
        ended_at: Instant::now(),
        noted: false,
        gathered: Vec::new(),
    };
    let (consumer, task) = inner.nodes[node].consumers.prepare(name.clone(), channel_name.clone(), feed);
    state.stage = Stage::Running(consumer);
    drop(state);
    if is_ephemeral {
        inner.tasks.spawn(task);
        return;
    }
    let (broker, channel) = (broker.clone(), Arc::clone(channel));
    inner.tasks.spawn(async move {
        let emptying = empty(&broker.0.nodes[node], &channel, &name, &channel_name);
        broker.0.stopping.run_until_cancelled(Box::pin(emptying)).await;
        drop((broker, channel, name, channel_name));
        task.await;
    });
}

/// A device that returns has missed more than what waits in its channel; it reads the log. Live messages should not wait
/// behind what it will drop.
async fn empty(node: &Node, of: &Channel, topic: &TopicName, channel: &ChannelName) {
    // The semaphore is never closed.
    let _turn = node.changing.acquire().await;
    if !of.is_wanted() {
        return;
    }
    match node.http.empty_channel(topic, channel).await {
        Ok(()) => {}
        Err(error) if error.is_not_found() => {}
        // It only costs time: the session drops what it has had.
        Err(error) => tracing::debug!(%topic, %channel, %error, "a channel could not be emptied"),
    }
}
