//! From nsqd to the mailboxes: the handler of a device's consumer.

use crate::channel::Channel;
use crate::envelope::{self, Opened, Sealer};
use crate::identity::Identity;
use crate::node_ids::NodeIds;
use crate::raw::RawTopic;
use crate::recent::Recent;
use lockstep_model::SharedEntry;
use lockstep_nsq_client::{Disconnect, Handler, Message, Responder, Ticket, Verdict};
use metrics::Counter;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What all handlers share.
pub(crate) struct Shared {
    pub(crate) sealer: Sealer,
    pub(crate) recent: Recent,
    pub(crate) node_ids: Arc<NodeIds>,
    /// Channels whose devices may have missed something. Each stands in it at most once per change of its connection.
    pub(crate) rechecks: mpsc::UnboundedSender<Arc<Channel>>,
    /// Messages with envelopes, and others.
    pub(crate) envelopes: Counter,
    pub(crate) ignored: Counter,
}

/// What counts messages that were looked at.
pub(crate) fn counter(what: &'static str) -> Counter {
    metrics::counter!("lockstep_nsq_messages_total", "what" => what)
}

impl Shared {
    /// The entry in a message's body, if it is an envelope of ours.
    pub(crate) fn entry(&self, body: &[u8]) -> Option<SharedEntry> {
        let (tag, _) = envelope::parts(body)?;
        if let Some(entry) = self.recent.get(&tag, body) {
            return Some(entry);
        }
        let Opened::Entry(entry) = self.sealer.open(body) else { return None };
        let entry = SharedEntry::new(entry);
        self.recent.put(tag, body, &entry);
        Some(entry)
    }
}

/// Feeds a channel.
pub(crate) struct Feed {
    pub(crate) channel: Arc<Channel>,
    pub(crate) nsqd: Identity,
    pub(crate) shared: Arc<Shared>,
    /// Where raw bodies go that `_seq` may lack; absent if none are taken in.
    pub(crate) raw: Option<Arc<RawTopic>>,
    /// The connection's, while there is one.
    pub(crate) responder: Option<Responder>,
    /// When the connection before ended, or this was made, with `_seq` in its place.
    pub(crate) ended_at: Instant,
    /// Whether a message of this connection was looked at for the nsqd's node id.
    pub(crate) noted: bool,
    /// What one read has brought so far.
    pub(crate) gathered: Vec<SharedEntry>,
}

impl Handler for Feed {
    /// FIN at once: what an envelope carries is in the log already (I7). Raw bodies are `_seq`'s, if it was there first.
    fn message(&mut self, message: Message<'_>, ticket: Ticket) -> Verdict {
        if !std::mem::replace(&mut self.noted, true)
            && let Some(nsqd) = self.nsqd.get()
        {
            self.shared.node_ids.note(nsqd, message.id.as_bytes());
        }
        match self.shared.entry(message.body) {
            // It waited in nsqd: the gap before the recall is read from the log.
            Some(entry) if self.channel.may_be_recalled(entry.seq) => self.shared.ignored.increment(1),
            // An envelope that somebody copied into another topic is no use there.
            Some(entry) if entry.conversation == self.channel.topic => {
                self.shared.envelopes.increment(1);
                self.gathered.push(entry);
            }
            Some(_) => self.shared.ignored.increment(1),
            None => {
                let lacking = self.raw.as_ref().filter(|raw| raw.may_lack(message.timestamp_ns, self.ended_at));
                if let Some(raw) = lacking {
                    return raw.take_in(&message, &self.nsqd, self.responder.as_ref(), ticket);
                }
                self.shared.ignored.increment(1);
            }
        }
        Verdict::Finish
    }

    fn gathered(&mut self) {
        if !self.gathered.is_empty() {
            // The room goes with them: an idle consumer has none.
            self.channel.deliver(&std::mem::take(&mut self.gathered));
        }
    }

    fn opened(&mut self, responder: &Responder) {
        self.responder = Some(responder.clone());
        metrics::gauge!("lockstep_nsq_consumers_open").increment(1.0);
        self.noted = false;
        self.channel.set_fed(true);
        // What was published before is not in a channel that is made now.
        let _stopping = self.shared.rechecks.send(Arc::clone(&self.channel));
    }

    fn closed(&mut self, reason: &Disconnect, retry: Option<Duration>) {
        self.responder = None;
        self.ended_at = Instant::now();
        if self.channel.set_fed(false) {
            metrics::gauge!("lockstep_nsq_consumers_open").decrement(1.0);
            let _stopping = self.shared.rechecks.send(Arc::clone(&self.channel));
        }
        if !matches!(reason, Disconnect::Stopped) {
            let cause = std::error::Error::source(reason);
            tracing::debug!(nsqd = ?self.nsqd.get(), %reason, cause, ?retry, "a device's consumer lost its connection");
        }
    }
}
