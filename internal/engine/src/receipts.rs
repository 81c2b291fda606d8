//! Receipts: in small conversations others hear how far somebody's devices have got and how far that user has read.
//!
//! Nothing is stored or read for them: they gather for a moment, one place for each conversation and user, and go to
//! whoever follows the conversation. Who misses one asks ([`Engine::receipts`](crate::Engine::receipts)).

use crate::{Connection, EngineConfig};
use lockstep_model::{ConversationId, Notice, Receipt, ReceiptSettings, Receipts, Seq, UserId};
use lockstep_ports::Broker;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Places that may wait to be told. Beyond it new ones are dropped: who looks at a conversation asks.
const WAITING_MAX: usize = 100_000;

/// The receipts that wait to be told.
pub(crate) struct Teller {
    broker: Arc<dyn Broker>,
    /// Most members of a conversation in which receipts are told.
    members_max: u64,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    conversations: HashMap<ConversationId, HashMap<UserId, Place>>,
    count: usize,
    forgotten: u64,
}

/// What is told of a user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) settings: ReceiptSettings,
    pub(crate) conversation: ConversationId,
    pub(crate) place: Place,
}

/// How far a user has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) delivered: Option<Seq>,
    pub(crate) read: Option<Seq>,
}

impl Place {
    fn admitted(self, settings: ReceiptSettings) -> Self {
        let Self { delivered, read } = self;
        Self { delivered: delivered.filter(|_| settings.delivered), read: read.filter(|_| settings.read) }
    }
}

impl Teller {
    pub(crate) fn start(
        broker: Arc<dyn Broker>,
        config: &EngineConfig,
        tasks: &TaskTracker,
        stopping: &CancellationToken,
    ) -> Arc<Self> {
        let (period, members_max) = (config.receipts_period, config.receipts_members_max);
        let teller = Arc::new(Self { broker, members_max, waiting: Mutex::default(), wake: Notify::new() });
        let (task, stopping) = (Arc::clone(&teller), stopping.clone());
        tasks.spawn(stopping.run_until_cancelled_owned(async move {
            loop {
                task.wake.notified().await;
                tokio::time::sleep(period).await;
                task.tell();
            }
        }));
        teller
    }

    /// Notes how far a connection's user has got, if that is told of the user and in this conversation.
    pub(crate) fn note_of(&self, connection: &Connection, conversation: ConversationId, place: Place) {
        let silent = connection.receipts.silent.lock();
        // Held until it is noted, so that what a block forgets is all of it.
        if silent.binary_search(&conversation).is_err() {
            self.note(&connection.user, connection.receipts.settings(), conversation, place);
        }
    }

    /// How often something was forgotten: to be asked before the store is, for [`note_since`](Self::note_since).
    pub(crate) fn forgotten(&self) -> u64 {
        self.waiting.lock().forgotten
    }

    /// Notes how far a user has got, unless something was forgotten meanwhile, and says whether that is so.
    pub(crate) fn note_since(&self, forgotten: u64, user: &UserId, told: Told) -> bool {
        let Told { settings, conversation, place } = told;
        let mut waiting = self.waiting.lock();
        let as_before = waiting.forgotten == forgotten;
        if as_before {
            self.note_in(&mut waiting, user, conversation, place.admitted(settings));
        }
        as_before
    }

    /// Notes how far a user with these settings has got.
    pub(crate) fn note(&self, user: &UserId, settings: ReceiptSettings, conversation: ConversationId, place: Place) {
        self.note_in(&mut self.waiting.lock(), user, conversation, place.admitted(settings));
    }

    fn note_in(&self, waiting: &mut Waiting, user: &UserId, conversation: ConversationId, place: Place) {
        if place == Place::default() {
            return;
        }
        let Waiting { conversations, count, .. } = waiting;
        let users = conversations.entry(conversation).or_default();
        let known = match users.get_mut(user) {
            Some(known) => known,
            None if *count >= WAITING_MAX => return,
            None => {
                *count += 1;
                users.entry(user.clone()).or_default()
            }
        };
        known.delivered = known.delivered.max(place.delivered);
        known.read = known.read.max(place.read);
        self.wake.notify_one();
    }

    /// Forgets what waits to be told in a conversation.
    pub(crate) fn forget(&self, conversation: ConversationId) {
        let mut waiting = self.waiting.lock();
        let users = waiting.conversations.remove(&conversation);
        waiting.count -= users.map_or(0, |users| users.len());
        waiting.forgotten += 1;
    }

    fn tell(&self) {
        let conversations = {
            let mut waiting = self.waiting.lock();
            waiting.count = 0;
            std::mem::take(&mut waiting.conversations)
        };
        for (conversation, users) in conversations {
            // It has grown since its members connected.
            if users.len() as u64 > self.members_max {
                continue;
            }
            let receipt = |(user, Place { delivered, read })| Receipt { user, delivered, read };
            let receipts = users.into_iter().map(receipt).collect();
            self.broker.whisper(conversation, &Notice::Receipts(Box::new(Receipts { conversation, receipts })));
        }
    }
}

/// What a connection lets others hear.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    delivered: AtomicBool,
    read: AtomicBool,
    /// The feed and the conversations with many members, as they were when the connection began to follow them, and direct
    /// ones with a block.
    silent: Mutex<Vec<ConversationId>>,
}

impl Telling {
    pub(crate) fn new(settings: ReceiptSettings) -> Self {
        let telling = Self::default();
        telling.set(settings);
        telling
    }

    pub(crate) fn set(&self, settings: ReceiptSettings) {
        self.delivered.store(settings.delivered, Ordering::Relaxed);
        self.read.store(settings.read, Ordering::Relaxed);
    }

    pub(crate) fn settings(&self) -> ReceiptSettings {
        let (delivered, read) = (self.delivered.load(Ordering::Relaxed), self.read.load(Ordering::Relaxed));
        ReceiptSettings { delivered, read }
    }

    /// Notes conversations in which nothing is told.
    pub(crate) fn keep_silent_in(&self, conversations: impl Iterator<Item = ConversationId>) {
        let mut silent = self.silent.lock();
        silent.extend(conversations);
        silent.sort_unstable();
        silent.dedup();
    }

    /// Notes whether something is told in a conversation.
    pub(crate) fn set_silent_in(&self, conversation: ConversationId, is_silent: bool) {
        let mut silent = self.silent.lock();
        match silent.binary_search(&conversation) {
            Ok(place) if !is_silent => drop(silent.remove(place)),
            Err(place) if is_silent => silent.insert(place, conversation),
            _ => {}
        }
    }

    #[cfg(test)]
    pub(crate) fn is_silent_in(&self, conversation: ConversationId) -> bool {
        self.silent.lock().binary_search(&conversation).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_broker_embedded::EmbeddedBroker;
    use lockstep_model::DeviceId;
    use lockstep_ports::Mailbox;
    use std::task::{Context, Waker};

    const ROOM: ConversationId = ConversationId::from_bytes([1; 16]);

    #[tokio::test]
    async fn the_furthest_of_each_user_is_told_and_no_more_than_a_small_conversation_has() {
        let broker = Arc::new(EmbeddedBroker::new());
        let mailbox = Mailbox::new(DeviceId::generate(), 10);
        broker.open(&[ROOM], &mailbox).await;
        let most = 5;
        let teller = Teller { broker, members_max: most, waiting: Mutex::default(), wake: Notify::new() };
        let user = |number: u64| UserId::new(&format!("u{number}")).expect("a user");
        let delivered = |seq| Place { delivered: Some(Seq::new(seq)), read: None };
        let told = || {
            teller.tell();
            let mut inbox = Vec::new();
            let _pending = mailbox.poll_take(&mut Context::from_waker(Waker::noop()), &mut inbox);
            inbox
        };
        let (all, hidden) = (ReceiptSettings::default(), ReceiptSettings { delivered: false, read: true });
        for (number, settings, place) in [(1, all, delivered(5)), (1, all, delivered(3)), (2, hidden, delivered(9))] {
            teller.note(&user(number), settings, ROOM, place);
        }
        let receipts = vec![Receipt { user: user(1), delivered: Some(Seq::new(5)), read: None }];
        let expected = receipts.clone();
        assert_eq!(told(), [Notice::Receipts(Box::new(Receipts { conversation: ROOM, receipts }))]);
        assert_eq!(told(), []);
        // What was asked before a block is not told after it.
        let forgotten = teller.forgotten();
        let of_first = Told { settings: all, conversation: ROOM, place: delivered(5) };
        assert!(teller.note_since(forgotten, &user(1), of_first));
        teller.forget(ROOM);
        assert!(!teller.note_since(forgotten, &user(1), of_first));
        assert_eq!(told(), []);
        assert!(teller.note_since(teller.forgotten(), &user(1), of_first));
        assert_eq!(told(), [Notice::Receipts(Box::new(Receipts { conversation: ROOM, receipts: expected }))]);
        for (count, expected) in [(most, 1), (most + 1, 0)] {
            (0..count).for_each(|number| teller.note(&user(number), all, ROOM, delivered(1)));
            assert_eq!(told().len(), expected, "{count} users");
        }
    }
}
