//! Who follows what: channels come with the first connection of a device, and go with its last.

use crate::NsqBroker;
use crate::broker::Inner;
use crate::channel::{self, Channel, Stage};
use crate::places::GivenBack;
use crate::settings::Channels;
use crate::topic::channel_name;
use dashmap::mapref::entry::Entry as Slot;
use lockstep_model::{ConversationId, DeviceId};
use lockstep_ports::Mailbox;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long deleting a channel that was left may take, its turn included: who comes back waits for it.
const LEAVING_TIME_MAX: Duration = Duration::from_secs(5);

impl NsqBroker {
    pub(crate) fn open_one(&self, conversation: ConversationId, mailbox: &Arc<Mailbox>) {
        let inner = &self.0;
        let slot = inner.topics.entry(conversation);
        // Looked at while the slot is held: either this is seen here, or what is made here is seen by `stop`.
        if inner.stopping.is_cancelled() {
            return;
        }
        let mut topic = slot.or_insert_with(|| inner.topic(conversation));
        let device = mailbox.device();
        let channel = match topic.channel(device) {
            Some(channel) => Arc::clone(channel),
            None => {
                let channel = Channel::new(conversation, device);
                topic.channels.push(Arc::clone(&channel));
                channel
            }
        };
        let mut state = channel.lock();
        state.is_left = false;
        if state.mailboxes.iter().any(|open| Arc::ptr_eq(open, mailbox)) {
            return;
        }
        state.mailboxes.push(Arc::clone(mailbox));
        inner.followers.fetch_add(1, Ordering::Relaxed);
        // A topic whose `_seq` waits for a place tells the opener when it has one.
        let has_seq = topic.raw.as_ref().is_none_or(|raw| raw.has_place());
        if matches!(state.stage, Stage::None) && has_seq {
            inner.want_consumer(&channel, &mut state);
        }
    }

    /// A device's user is not in the conversation any more: its channel there goes with its last consumer.
    pub(crate) fn note_left(&self, conversation: ConversationId, mailbox: &Mailbox) {
        let topic = self.0.topics.get(&conversation);
        topic.and_then(|topic| topic.channel(mailbox.device()).map(|channel| channel.lock().is_left = true));
    }

    pub(crate) fn close_one(&self, conversation: ConversationId, mailbox: &Arc<Mailbox>) {
        let inner = &self.0;
        let Some(topic) = inner.topics.get(&conversation) else { return };
        let Some(channel) = topic.channel(mailbox.device()).map(Arc::clone) else { return };
        drop(topic);
        let mut state = channel.lock();
        let Some(index) = state.mailboxes.iter().position(|open| Arc::ptr_eq(open, mailbox)) else { return };
        state.mailboxes.swap_remove(index);
        inner.followers.fetch_sub(1, Ordering::Relaxed);
        if !state.mailboxes.is_empty() {
            return;
        }
        match std::mem::replace(&mut state.stage, Stage::Closing) {
            Stage::Running(consumer) => {
                consumer.stop();
                drop(state);
                let broker = self.clone();
                inner.tasks.spawn(async move {
                    consumer.close().await;
                    broker.delete_left(&channel).await;
                    broker.consumer_ended(&channel);
                });
            }
            // The opener will find that nobody waits.
            waiting @ Stage::Waiting => state.stage = waiting,
            Stage::Closing => {}
            Stage::NoPlace(number) => {
                state.stage = Stage::None;
                drop(state);
                if inner.places.leave(channel.device, number) {
                    inner.without_consumers.notify_waiters();
                }
                inner.forget(&channel);
            }
            Stage::ForSeq => {
                state.stage = Stage::None;
                drop(state);
                inner.consumes_no_more(channel.device);
                inner.forget(&channel);
            }
            Stage::None => {
                state.stage = Stage::None;
                drop(state);
                inner.forget(&channel);
            }
        }
    }

    /// Closes a device's consumers in these topics, and waits until it has none anywhere. One that is asked for from now on
    /// by a mailbox that is closed is not opened.
    pub(crate) async fn close_device(&self, device: DeviceId, topics: &[ConversationId]) {
        for topic in topics {
            let channel = self.0.topics.get(topic).and_then(|topic| topic.channel(device).map(Arc::clone));
            let mailboxes = channel.map(|channel| channel.lock().mailboxes.clone()).unwrap_or_default();
            mailboxes.iter().for_each(|mailbox| self.close_one(*topic, mailbox));
        }
        loop {
            let mut changed = pin!(self.0.without_consumers.notified());
            changed.as_mut().enable();
            if !self.0.places.has(device) {
                return;
            }
            changed.await;
        }
    }

    /// Deletes what nsqd keeps for a device whose user is not in the conversation any more. Who comes back meanwhile gets a
    /// consumer after that. What cannot be deleted now, or is on another nsqd, is the janitor's.
    async fn delete_left(&self, channel: &Channel) {
        let inner = &self.0;
        if inner.settings.channels == Channels::Ephemeral || !channel.lock().is_left {
            return;
        }
        let topic = inner.topics.get(&channel.topic).map(|topic| (topic.name.clone(), topic.node));
        let Some((topic, node)) = topic else { return };
        let (node, name) = (&inner.nodes[node], channel_name(channel.device, false));
        let deleting = async {
            // The semaphore is never closed.
            let _turn = node.changing.acquire().await;
            if channel.lock().is_left { node.http.delete_channel(&topic, &name).await } else { Ok(()) }
        };
        let deleting = Box::pin(tokio::time::timeout(LEAVING_TIME_MAX, deleting));
        match inner.stopping.run_until_cancelled(deleting).await {
            Some(Ok(Err(error))) if !error.is_not_found() => {
                tracing::debug!(%topic, channel = %name, %error, "a channel that was left could not be deleted");
            }
            Some(Err(_)) => {
                tracing::debug!(%topic, channel = %name, "a channel that was left could not be deleted in time")
            }
            _ => {}
        }
    }

    /// A channel has no consumer any more: it goes, or gets another if somebody has come meanwhile.
    pub(crate) fn consumer_ended(&self, channel: &Arc<Channel>) {
        let inner = &self.0;
        let mut state = channel.lock();
        if state.mailboxes.is_empty() {
            state.stage = Stage::None;
            drop(state);
            inner.consumes_no_more(channel.device);
            inner.forget(channel);
        } else {
            state.stage = Stage::Waiting;
            drop(state);
            inner.opener.open(Arc::clone(channel));
        }
    }
}

impl Inner {
    /// Lets a channel wait for its turn if there is a place for its consumer, and else for a place.
    pub(crate) fn want_consumer(&self, channel: &Arc<Channel>, state: &mut channel::Inner) {
        match self.places.take(channel.device, Arc::clone(channel)) {
            Ok(()) => {
                state.stage = Stage::Waiting;
                self.opener.open(Arc::clone(channel));
            }
            Err(number) => state.stage = Stage::NoPlace(number),
        }
    }

    /// Gives the place of a consumer back, to a channel that waits if there is one.
    pub(crate) fn consumes_no_more(&self, device: DeviceId) {
        let GivenBack { next, was_last } = self.places.give_back(device);
        if let Some((number, channel)) = next {
            self.opener.placed(channel, number);
        }
        if was_last {
            self.without_consumers.notify_waiters();
        }
    }

    /// Forgets a channel that nobody uses, and its topic if that was the last.
    pub(crate) fn forget(&self, channel: &Arc<Channel>) {
        let Slot::Occupied(mut slot) = self.topics.entry(channel.topic) else { return };
        let topic = slot.get_mut();
        if let Some(index) = topic.channels.iter().position(|other| Arc::ptr_eq(other, channel)) {
            let state = channel.lock();
            if state.mailboxes.is_empty() && matches!(state.stage, Stage::None) {
                topic.channels.swap_remove(index);
            }
        }
        if !topic.channels.is_empty() || topic.is_pinned {
            return;
        }
        if let Some(raw) = &topic.raw {
            raw.close();
            // While nobody can make the topic anew: what that adds must not be removed.
            self.lookup.as_ref().inspect(|lookup| lookup.remove(&topic.name));
        }
        slot.remove();
    }
}
