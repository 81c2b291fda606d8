//! What is known of a topic in this process.

use crate::channel::Channel;
use crate::raw::RawTopic;
use lockstep_model::{ConversationId, DeviceId, TopicPrefix};
use lockstep_nsq_client::{ChannelName, EPHEMERAL_SUFFIX, TopicName};
use std::sync::Arc;

/// A topic that somebody here follows, or that is pinned.
pub(crate) struct Topic {
    pub(crate) name: TopicName,
    /// The index of the nsqd that it is placed on.
    pub(crate) node: usize,
    /// By device. Those without mailboxes are being closed.
    pub(crate) channels: Vec<Arc<Channel>>,
    pub(crate) raw: Option<Arc<RawTopic>>,
    pub(crate) is_pinned: bool,
}

impl Topic {
    pub(crate) fn channel(&self, device: DeviceId) -> Option<&Arc<Channel>> {
        self.channels.iter().find(|channel| channel.device == device)
    }

    /// Whether envelopes are wanted.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_pinned || self.channels.iter().any(|channel| channel.is_wanted())
    }
}

/// The topic of a conversation.
pub(crate) fn topic_name(prefix: &TopicPrefix, conversation: ConversationId) -> TopicName {
    TopicName::new(&prefix.topic(conversation)).expect("a prefix makes names that NSQ takes")
}

/// The channel of a device.
pub(crate) fn channel_name(device: DeviceId, is_ephemeral: bool) -> ChannelName {
    let suffix = if is_ephemeral { EPHEMERAL_SUFFIX } else { "" };
    ChannelName::new(&format!("{device}{suffix}")).expect("a device's id is a channel's name")
}
