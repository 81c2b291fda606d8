//! Opening consumers in the background, in the order in which they were asked for.

use crate::NsqBroker;
use crate::channel::{Channel, Stage};
use crate::feed::Feed;
use crate::settings::Channels;
use crate::topic::channel_name;
use lockstep_nsq_client::http::NsqdHttp;
use lockstep_nsq_client::{ChannelName, TopicName};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// How often a share of the consumers per second is let go.
const TICK: Duration = Duration::from_millis(10);

/// Where channels wait for their consumers. Each waits once, so there are no more than channels.
pub(crate) struct Opener(mpsc::UnboundedSender<Arc<Channel>>);

impl Opener {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Arc<Channel>>) {
        let (opener, waiting) = mpsc::unbounded_channel();
        (Self(opener), waiting)
    }

    pub(crate) fn open(&self, channel: Arc<Channel>) {
        let _stopping = self.0.send(channel);
    }
}

/// Opens what waits, at the pace that is set.
pub(crate) async fn run(broker: NsqBroker, mut waiting: mpsc::UnboundedReceiver<Arc<Channel>>) {
    let per_tick = (broker.0.settings.consumers_per_second_max as usize / 100).max(1);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut channels = Vec::new();
    while waiting.recv_many(&mut channels, per_tick).await > 0 {
        channels.drain(..).for_each(|channel| open(&broker, &channel));
        ticks.tick().await;
    }
}

fn open(broker: &NsqBroker, channel: &Arc<Channel>) {
    let inner = &broker.0;
    let Some(topic) = inner.topics.get(&channel.topic) else { return };
    let (name, node, raw) = (topic.name.clone(), &inner.nodes[topic.node], topic.raw.clone());
    drop(topic);
    let mut state = channel.lock();
    if state.mailboxes.is_empty() {
        // Nobody waits any more.
        state.stage = Stage::None;
        drop(state);
        inner.consumes_no_more(channel.device);
        inner.forget(channel);
        return;
    }
    let is_ephemeral = inner.settings.channels == Channels::Ephemeral;
    let channel_name = channel_name(channel.device, is_ephemeral);
    let feed = Feed {
        channel: Arc::clone(channel),
        nsqd: node.addresses.tcp.clone(),
        shared: Arc::clone(&inner.shared),
        noted: false,
    };
    let (consumer, task) = node.consumers.prepare(name.clone(), channel_name.clone(), feed);
    state.stage = Stage::Running(consumer);
    drop(state);
    let emptied = (!is_ephemeral).then(|| node.http.clone());
    inner.tasks.spawn(async move {
        // Else this channel, being the topic's first, would swallow what services published.
        if let Some(raw) = raw
            && !raw.made().await
        {
            return;
        }
        if let Some(http) = emptied {
            empty(&http, &name, &channel_name).await;
        }
        task.await;
    });
}

/// A device that returns has missed more than what waits in its channel; it reads the log. Live messages should not wait
/// behind what it will drop.
async fn empty(http: &NsqdHttp, topic: &TopicName, channel: &ChannelName) {
    match http.empty_channel(topic, channel).await {
        Ok(()) => {}
        Err(error) if error.is_not_found() => {}
        // It only costs time: the session drops what it has had.
        Err(error) => tracing::debug!(%topic, %channel, %error, "a channel could not be emptied"),
    }
}
