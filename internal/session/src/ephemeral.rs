//! What is never kept: signals to a conversation, and who of others is there.

use crate::rate::Rate;
use crate::{Event, Session};
use lockstep_model::{Ask, Body, Code, ConversationId, Ref, SharedSignal, UserId};
use std::time::Duration;

/// Conversations that the device has signalled to in the last seconds, with their rates. Beyond this many at once its
/// signals are dropped.
const SIGNALLED_MAX: usize = 64;

/// The rates of the conversations that the device signals to. Most devices are silent, so it costs a pointer until one is
/// not.
#[derive(Debug, Default)]
pub(crate) struct Signalled(Option<Box<Rates>>);

#[derive(Debug, Default)]
struct Rates(Vec<(ConversationId, Rate)>);

impl Signalled {
    fn take(&mut self, conversation: ConversationId, now: Duration, per_second: u32, burst: u32) -> bool {
        self.0.get_or_insert_default().take(conversation, now, per_second, burst)
    }
}

impl Rates {
    /// Whether one more signal may go to a conversation now.
    fn take(&mut self, conversation: ConversationId, now: Duration, per_second: u32, burst: u32) -> bool {
        if let Some((_, rate)) = self.0.iter_mut().find(|(other, _)| *other == conversation) {
            return rate.take(now, per_second, burst).is_ok();
        }
        if self.0.len() >= SIGNALLED_MAX {
            self.0.retain(|(_, rate)| !rate.is_idle(now));
        }
        if self.0.len() >= SIGNALLED_MAX {
            return false;
        }
        let mut rate = Rate::default();
        let may = rate.take(now, per_second, burst).is_ok();
        self.0.push((conversation, rate));
        may
    }
}

impl Session {
    /// A signal goes to whoever follows the conversation now. Beyond the rate it is dropped without a word: it may get lost
    /// anyway, and who types fast enough to reach it gains nothing from an answer.
    pub(crate) fn handle_signal(
        &mut self,
        reference: Option<Ref>,
        conversation: ConversationId,
        body: Body,
        now: Duration,
    ) {
        let is_feed = self.home.as_ref().is_some_and(|home| home.feed == conversation);
        if is_feed || self.topics.followed(conversation).is_none() {
            return self.fail(reference, Code::NoSuchConversation);
        }
        let (per_second, burst) = (self.config.signals_per_second, self.config.signals_burst);
        if self.signalled.take(conversation, now, per_second, burst) {
            self.ask(Ask::Signal { conversation, body });
        }
    }

    /// Somebody else's signal.
    pub(crate) fn handle_signalled(&mut self, signal: SharedSignal) {
        if self.is_live(signal.conversation) {
            self.emit(Event::Signal(signal));
        }
    }

    /// Whether the device has all of a conversation. What is kept nowhere is told to such alone: a device that lags on
    /// purpose would hear it long after its user has been removed.
    pub(crate) fn is_live(&self, conversation: ConversationId) -> bool {
        self.topics.followed(conversation).is_some_and(|row| self.topics[row].live)
    }

    /// The device wants to know who of these users is there. Counts as a send, as each asks the store.
    pub(crate) fn handle_watch(&mut self, reference: Option<Ref>, users: Vec<UserId>, now: Duration) {
        if self.may_send(reference, now) {
            self.answers_waiting += 1;
            self.ask(Ask::Watch { reference, users });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_conversations_are_counted_than_the_bound() {
        let mut signalled = Rates::default();
        let conversation = |number: usize| ConversationId::from_bytes([number as u8; 16]);
        let now = Duration::from_secs(1);
        for number in 0..SIGNALLED_MAX {
            assert!(signalled.take(conversation(number), now, 1, 1));
        }
        assert!(!signalled.take(conversation(SIGNALLED_MAX), now, 1, 1));
        assert!(signalled.take(conversation(SIGNALLED_MAX), now + Duration::from_secs(1), 1, 1));
        assert_eq!(signalled.0.len(), 1, "those that are at rest are forgotten");
    }
}
