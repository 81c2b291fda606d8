//! Bodies that services publish: the `_seq` channels of topics in use.
//!
//! `_seq` is made, by its first consumer, before any channel of a device, so that what a service published before is in it
//! and in nothing else.
//! A message is finished only when what it carries is in the log (I7).

use crate::envelope::{Opened, Sealer};
use crate::identity::{Identity, Source};
use crate::node::consumers;
use crate::node_ids::NodeIds;
use crate::opening::Opener;
use crate::places::Number;
use crate::raw_room::{Entered, Hold, RawRoom};
use crate::seqs::Seqs;
use crate::settings::NsqSettings;
use lockstep_model::{ClientMsgId, ConversationId};
use lockstep_nsq_client::{
    Address, AnswerError, ChannelName, Consumer, Disconnect, Handler, Message, Responder, SettingsError, Ticket,
    TopicName, Verdict,
};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// The channel that takes raw bodies.
pub const SEQ_CHANNEL: &str = "_seq";
/// How far nsqd's clock may be ahead of ours.
const CLOCK_AHEAD_NS: i64 = 10_000_000_000;
/// When a body that could not be taken in now is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A body that a service published into a conversation's topic. It must be answered: until then nsqd keeps it, and after
/// its message timeout delivers it again.
pub struct RawMessage {
    /// The conversation.
    pub conversation: ConversationId,
    /// The body as it was published.
    pub body: Vec<u8>,
    /// The same for each delivery of this message, and no other message has it.
    pub key: ClientMsgId,
    responder: Responder,
    ticket: Ticket,
    hold: Hold,
}

impl RawMessage {
    /// It is in the log, or will never be: nsqd may forget it, and copies of it in other channels.
    pub fn finish(self) {
        self.hold.finish();
        told(self.responder.finish(self.ticket));
    }

    /// It cannot be taken in now: it is delivered again in a while.
    pub fn requeue(self) {
        told(self.responder.requeue(self.ticket, AGAIN));
    }
}

impl std::fmt::Debug for RawMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A body is nobody's business.
        let Self { conversation, key, .. } = self;
        f.debug_struct("RawMessage").field("conversation", conversation).field("key", key).finish_non_exhaustive()
    }
}

fn told(answered: Result<(), AnswerError>) {
    // The connection it came on is gone: nsqd delivers it again, and its key says that it is the same.
    if let Err(error) = answered {
        tracing::debug!(%error, "a raw message's answer came too late; it will be delivered again");
    }
}

/// What all `_seq` consumers share.
pub(crate) struct RawShared {
    pub(crate) sealer: Sealer,
    pub(crate) messages: mpsc::Sender<RawMessage>,
    /// Full: what comes is put back for a second.
    pub(crate) room: RawRoom,
    pub(crate) settings: NsqSettings,
    pub(crate) tasks: TaskTracker,
    pub(crate) opener: Opener,
    pub(crate) node_ids: Arc<NodeIds>,
    pub(crate) seqs: Seqs,
    /// Nsqds that are not configured, by address.
    pub(crate) found: Mutex<HashMap<Address, Source>>,
}

/// The `_seq` channel of one topic, on each nsqd that has the topic.
pub(crate) struct RawTopic {
    conversation: ConversationId,
    topic: TopicName,
    /// Its own nsqd: the one that it is placed on.
    own: Address,
    shared: Arc<RawShared>,
    /// By nsqd; `None` when it is closed.
    consumers: Mutex<Option<HashMap<Address, Place>>>,
    /// When the channel was made on its own nsqd, by our consumer, if it still stands.
    made: Mutex<Option<Made>>,
}

/// A moment, by the clock that only rises and by the one that nsqd has, too.
struct Made {
    at: Instant,
    wall_ns: i64,
}

/// A consumer's place.
enum Place {
    /// It waits for one.
    Waiting(Number),
    /// It has one.
    Taken(Consumer),
}

impl RawTopic {
    /// Consumes the channel on the topic's own nsqd, which makes it there.
    pub(crate) fn open(
        conversation: ConversationId,
        topic: TopicName,
        own: &Source,
        shared: &Arc<RawShared>,
    ) -> Arc<Self> {
        let raw = Arc::new(Self {
            conversation,
            topic,
            own: own.consumers.address().clone(),
            shared: Arc::clone(shared),
            consumers: Mutex::new(Some(HashMap::new())),
            made: Mutex::new(None),
        });
        raw.consume(own);
        raw
    }

    /// Whether the channel is there. Once it is, the opener hears of it.
    pub(crate) fn is_made(&self) -> bool {
        self.made.lock().is_some()
    }

    /// Whether a raw body that has come through another channel may be in no `_seq`: that was made anew after the other one's
    /// connection before had ended, and the body was published before. As when the topic was deleted, and the other channel
    /// came back first. `published_ns` is by nsqd's clock.
    pub(crate) fn may_lack(&self, published_ns: i64, ended_at: Instant) -> bool {
        let made = self.made.lock();
        made.as_ref()
            .is_none_or(|made| made.at > ended_at && published_ns < made.wall_ns.saturating_add(CLOCK_AHEAD_NS))
    }

    /// Takes a raw body in. From whichever channel it comes, and however often: its name is the same.
    pub(crate) fn take_in(
        &self,
        message: &Message<'_>,
        nsqd: &Identity,
        responder: Option<&Responder>,
        ticket: Ticket,
    ) -> Verdict {
        let Self { conversation, topic, shared, .. } = self;
        // What has our MAC came from a log.
        if shared.sealer.open(message.body) != Opened::Raw {
            return Verdict::Finish;
        }
        // Without a name for its nsqd, it cannot be told from what was stored before.
        let Some((responder, nsqd)) = responder.cloned().zip(nsqd.get()) else { return Verdict::Requeue(AGAIN) };
        let key = key(nsqd, topic, message.id.as_bytes(), message.timestamp_ns);
        // Looked at before the body is copied.
        let hold = match shared.room.enter(&key, message.body.len()) {
            Entered::Held(hold) => hold,
            Entered::Finished => return Verdict::Finish,
            Entered::Later => return Verdict::Requeue(AGAIN),
        };
        let raw = RawMessage { conversation: *conversation, body: message.body.to_vec(), key, responder, ticket, hold };
        match shared.messages.try_send(raw) {
            Ok(()) => Verdict::Hold,
            Err(_) => Verdict::Requeue(AGAIN),
        }
    }

    /// Whether the channel is there or will be, without waiting for others.
    pub(crate) fn has_place(&self) -> bool {
        let consumers = self.consumers.lock();
        matches!(consumers.as_ref().and_then(|consumers| consumers.get(&self.own)), Some(Place::Taken(_)))
    }

    /// Another nsqd has the topic too: somebody published there.
    pub(crate) fn appeared(self: &Arc<Self>, address: Address) -> Result<(), SettingsError> {
        let source = {
            let mut found = self.shared.found.lock();
            match found.get(&address) {
                Some(source) => source.clone(),
                None => {
                    let consumers = consumers(address.clone(), &self.shared.settings)?;
                    let source = Source { consumers, identity: Identity::known(address.clone()) };
                    found.insert(address, source.clone());
                    source
                }
            }
        };
        self.consume(&source);
        Ok(())
    }

    /// An nsqd no longer has the topic, or is consumed under another name. Its own one is consumed in any case. True if it
    /// was consumed, or waited for that.
    pub(crate) fn vanished(&self, address: &Address) -> bool {
        if *address == self.own {
            return false;
        }
        let gone = self.consumers.lock().as_mut().and_then(|consumers| consumers.remove(address));
        let was_there = gone.is_some();
        self.end(gone);
        was_there
    }

    /// Consumes the channel on an nsqd, unless that is done already.
    pub(crate) fn consume(self: &Arc<Self>, source: &Source) {
        let address = source.consumers.address();
        let mut consumers = self.consumers.lock();
        let Some(consumers) = consumers.as_mut().filter(|consumers| !consumers.contains_key(address)) else { return };
        let place = match self.shared.seqs.take(self, source) {
            Ok(()) => Place::Taken(self.start(source)),
            Err(number) => Place::Waiting(number),
        };
        consumers.insert(address.clone(), place);
    }

    /// Has been given the place that it waited for. False if it no longer does.
    pub(crate) fn placed(self: &Arc<Self>, number: Number, source: &Source) -> bool {
        let mut consumers = self.consumers.lock();
        match consumers.as_mut().and_then(|consumers| consumers.get_mut(source.consumers.address())) {
            Some(place) if matches!(&*place, Place::Waiting(waiting) if *waiting == number) => {
                *place = Place::Taken(self.start(source));
                true
            }
            _ => false,
        }
    }

    fn start(self: &Arc<Self>, source: &Source) -> Consumer {
        let handler = RawHandler {
            topic: Arc::clone(self),
            nsqd: source.consumers.address().clone(),
            identity: source.identity.clone(),
            responder: None,
            noted: false,
        };
        let (consumer, task) = source.consumers.prepare(self.topic.clone(), channel(), handler);
        self.shared.tasks.spawn(task);
        consumer
    }

    /// Nobody here follows the conversation any more: what is published from now on waits in nsqd.
    pub(crate) fn close(&self) {
        let all = self.consumers.lock().take();
        self.end(all.into_iter().flatten().map(|(_, consumer)| consumer));
    }

    fn end(&self, places: impl IntoIterator<Item = Place>) {
        for place in places {
            match place {
                Place::Waiting(number) => self.shared.seqs.leave(number),
                Place::Taken(consumer) => {
                    let shared = Arc::clone(&self.shared);
                    self.shared.tasks.spawn(async move {
                        consumer.close().await;
                        shared.seqs.give_back();
                    });
                }
            }
        }
    }
}

fn wall_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn channel() -> ChannelName {
    ChannelName::new(SEQ_CHANNEL).expect("a valid name")
}

struct RawHandler {
    topic: Arc<RawTopic>,
    /// Where it is consumed.
    nsqd: Address,
    /// Who that is.
    identity: Identity,
    responder: Option<Responder>,
    /// Whether a message of this connection was looked at for the nsqd's node id.
    noted: bool,
}

impl Handler for RawHandler {
    fn message(&mut self, message: Message<'_>, ticket: Ticket) -> Verdict {
        if !std::mem::replace(&mut self.noted, true)
            && let Some(nsqd) = self.identity.get()
        {
            self.topic.shared.node_ids.note(nsqd, message.id.as_bytes());
        }
        self.topic.take_in(&message, &self.identity, self.responder.as_ref(), ticket)
    }

    fn opened(&mut self, responder: &Responder) {
        self.responder = Some(responder.clone());
        self.noted = false;
        if self.nsqd == self.topic.own {
            *self.topic.made.lock() = Some(Made { at: Instant::now(), wall_ns: wall_ns() });
            self.topic.shared.opener.seq_made(self.topic.conversation);
        }
    }

    fn closed(&mut self, reason: &Disconnect, retry: Option<Duration>) {
        if self.nsqd == self.topic.own {
            *self.topic.made.lock() = None;
        }
        if !matches!(reason, Disconnect::Stopped) {
            let cause = std::error::Error::source(reason);
            tracing::debug!(topic = %self.topic.topic, nsqd = %self.nsqd, %reason, cause, ?retry, "_seq lost its connection");
        }
    }
}

/// Names a raw message. Ids alone are not unique: two nsqds with one node id give the same.
fn key(nsqd: &Address, topic: &TopicName, id: &[u8; 16], timestamp_ns: i64) -> ClientMsgId {
    let mut hash = Sha256::new();
    for part in [nsqd.as_str(), topic.as_str()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(id);
    hash.update(timestamp_ns.to_be_bytes());
    let digits: String = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    ClientMsgId::new(&format!("nsq-{digits}")).expect("36 characters of a valid id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_named_by_all_that_tells_it_from_others() {
        let address = |text: &str| text.parse::<Address>().expect("an address");
        let topic = |text| TopicName::new(text).expect("a name");
        let base = || key(&address("a:1"), &topic("t"), &[b'0'; 16], 5);
        assert_eq!(base(), base());
        let others = [
            key(&address("a:2"), &topic("t"), &[b'0'; 16], 5),
            key(&address("a:1"), &topic("u"), &[b'0'; 16], 5),
            key(&address("a:1"), &topic("t"), &[b'1'; 16], 5),
            key(&address("a:1"), &topic("t"), &[b'0'; 16], 6),
        ];
        assert!(others.iter().all(|other| *other != base()));
    }
}
