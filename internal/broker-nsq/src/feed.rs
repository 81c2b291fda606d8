//! From nsqd to the mailboxes: the handler of a device's consumer.

use crate::channel::Channel;
use crate::envelope::{self, Opened, Sealer};
use crate::node_ids::NodeIds;
use crate::recent::Recent;
use lockstep_model::SharedEntry;
use lockstep_nsq_client::{Address, Disconnect, Handler, Message, Responder, Ticket, Verdict};
use metrics::Counter;
use std::sync::Arc;
use std::time::Duration;
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
    pub(crate) nsqd: Address,
    pub(crate) shared: Arc<Shared>,
    /// Whether a message of this connection was looked at for the nsqd's node id.
    pub(crate) noted: bool,
    /// What one read has brought so far.
    pub(crate) gathered: Vec<SharedEntry>,
}

impl Handler for Feed {
    /// FIN at once: what an envelope carries is in the log already (I7). Raw bodies are `_seq`'s.
    fn message(&mut self, message: Message<'_>, _: Ticket) -> Verdict {
        if !std::mem::replace(&mut self.noted, true) {
            self.shared.node_ids.note(&self.nsqd, message.id.as_bytes());
        }
        match self.shared.entry(message.body) {
            // An envelope that somebody copied into another topic is no use there.
            Some(entry) if entry.conversation == self.channel.topic => {
                self.shared.envelopes.increment(1);
                self.gathered.push(entry);
            }
            _ => self.shared.ignored.increment(1),
        }
        Verdict::Finish
    }

    fn gathered(&mut self) {
        if !self.gathered.is_empty() {
            // The room goes with them: an idle consumer has none.
            self.channel.deliver(&std::mem::take(&mut self.gathered));
        }
    }

    fn opened(&mut self, _: &Responder) {
        metrics::gauge!("lockstep_nsq_consumers_open").increment(1.0);
        self.noted = false;
        self.channel.set_fed(true);
        // What was published before is not in a channel that is made now.
        let _stopping = self.shared.rechecks.send(Arc::clone(&self.channel));
    }

    fn closed(&mut self, reason: &Disconnect, retry: Option<Duration>) {
        if self.channel.set_fed(false) {
            metrics::gauge!("lockstep_nsq_consumers_open").decrement(1.0);
            let _stopping = self.shared.rechecks.send(Arc::clone(&self.channel));
        }
        if !matches!(reason, Disconnect::Stopped) {
            let cause = std::error::Error::source(reason);
            tracing::debug!(nsqd = %self.nsqd, %reason, cause, ?retry, "a device's consumer lost its connection");
        }
    }
}
