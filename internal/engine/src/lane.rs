//! The append lane: sends from all connections, committed together, published in the order of commit.
//!
//! While one batch is being committed the next one gathers, and what was committed before is published. One lane alone
//! publishes what is sent, so a conversation's entries reach the broker in seq order.

use crate::api::store_failed;
use crate::publisher::Publisher;
use crate::{Connection, EngineConfig, Ports};
use lockstep_model::{
    Code, ConversationId, ConversationKind, Kind, Notice, Ref, SendOutcome, Sent, SharedEntry, UnixMs, UserId,
};
use lockstep_ports::{
    Append, AppendRefusal, Appended, Committed, Directory, DirectoryRefusal, MessageLog, NewConversation,
};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

/// The handle of the lane.
pub(crate) struct Lane(Mutex<Option<mpsc::Sender<Waiting>>>);

/// A send that waits for its commit.
pub(crate) struct Waiting {
    pub(crate) append: Append,
    /// Whom it is for, if it names a user: the direct conversation is made if it is not there.
    pub(crate) peer: Option<UserId>,
    pub(crate) reply: Reply,
}

impl Waiting {
    /// Whether the device that sent it may do nothing any more.
    fn is_barred(&self) -> bool {
        matches!(&self.reply, Reply::Connection { connection, .. } if connection.mailbox.is_barred())
    }

    fn turn_away(self) {
        metrics::counter!("lockstep_sends_total", "outcome" => "queue_full").increment(1);
        self.reply.give(Err(Code::TryAgain));
    }
}

/// Who waits for the answer.
pub(crate) enum Reply {
    Connection { connection: Arc<Connection>, reference: Option<Ref> },
    Request(oneshot::Sender<SendOutcome>),
}

impl Reply {
    fn give(self, outcome: SendOutcome) {
        match self {
            Self::Connection { connection, reference } => {
                // A device that is gone asks again with the same client_msg_id (I2).
                let _gone = connection.mailbox.answer(Notice::Sent { reference, outcome: Box::new(outcome) });
            }
            Self::Request(sender) => {
                let _gone = sender.send(outcome);
            }
        }
    }
}

impl Lane {
    pub(crate) fn start(ports: &Ports, publisher: Arc<Publisher>, config: &EngineConfig, tasks: &TaskTracker) -> Self {
        let (sender, queue) = mpsc::channel(config.appends_waiting_max);
        let worker = Worker {
            log: Arc::clone(&ports.log),
            directory: Arc::clone(&ports.directory),
            publisher,
            queue,
            batch_max: config.appends_per_commit_max,
        };
        tasks.spawn(worker.run());
        Self(Mutex::new(Some(sender)))
    }

    /// Queues a send. If the queue is full it is answered with `try_again`: the store is slower than the devices.
    pub(crate) fn send(&self, waiting: Waiting) {
        let refused = match &*self.0.lock() {
            Some(sender) => sender.try_send(waiting).map_err(mpsc::error::TrySendError::into_inner).err(),
            None => Some(waiting),
        };
        if let Some(waiting) = refused {
            waiting.turn_away();
        }
    }

    /// Queues several sends, one behind the other. Without room for all of them, each is answered with `try_again`.
    pub(crate) fn send_all(&self, batch: Vec<Waiting>) {
        let queue = self.0.lock();
        match queue.as_ref().map(|sender| sender.try_reserve_many(batch.len())) {
            Some(Ok(room)) => room.zip(batch).for_each(|(place, waiting)| place.send(waiting)),
            _ => batch.into_iter().for_each(Waiting::turn_away),
        }
    }

    /// How many sends wait to be taken into a commit.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Takes no more; what waits is still committed.
    pub(crate) fn close(&self) {
        self.0.lock().take();
    }
}

/// What one batch became: to be published, then answered.
#[derive(Default)]
struct Settled {
    entries: Vec<SharedEntry>,
    answers: Vec<(Reply, SendOutcome)>,
}

struct Worker {
    log: Arc<dyn MessageLog>,
    directory: Arc<dyn Directory>,
    publisher: Arc<Publisher>,
    queue: mpsc::Receiver<Waiting>,
    batch_max: usize,
}

impl Worker {
    async fn run(mut self) {
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, self.batch_max).await > 0 {
            let mut settled = self.commit(std::mem::take(&mut batch), Settled::default()).await;
            // What gathered meanwhile is committed while this batch is published.
            while self.gathered(&mut batch) {
                settled = self.commit(std::mem::take(&mut batch), settled).await;
            }
            publish(&self.publisher, settled).await;
        }
    }

    fn gathered(&mut self, batch: &mut Vec<Waiting>) -> bool {
        while batch.len() < self.batch_max {
            let Ok(waiting) = self.queue.try_recv() else { break };
            batch.push(waiting);
        }
        !batch.is_empty()
    }

    /// Commits a batch and meanwhile publishes the one before. What a device sent whose connection was ended for good is
    /// dropped: nobody is there to be answered.
    async fn commit(&self, mut batch: Vec<Waiting>, before: Settled) -> Settled {
        batch.retain(|waiting| !waiting.is_barred());
        let appends = batch.iter().map(|waiting| waiting.append.clone()).collect();
        let (outcomes, ()) = tokio::join!(self.log.append(appends), publish(&self.publisher, before));
        let mut settled = Settled::default();
        match outcomes {
            Ok(outcomes) => {
                let mut without_conversation = Vec::new();
                for (waiting, outcome) in batch.into_iter().zip(outcomes) {
                    if let (Kind::Recall, Ok(Appended::Already(sent))) = (&waiting.append.kind, &outcome) {
                        // The first attempt may have been committed without this engine hearing of it.
                        self.publisher.rings.erase(sent.conversation);
                    }
                    match (outcome, &waiting.peer) {
                        (Err(AppendRefusal::NotMember), Some(_)) if waiting.append.kind == Kind::Message => {
                            without_conversation.push(waiting);
                        }
                        (outcome, _) => settled.take(waiting.reply, outcome),
                    }
                }
                self.commit_first_messages(without_conversation, &mut settled).await;
            }
            Err(error) => {
                let code = store_failed(&error);
                settled.answers.extend(batch.into_iter().map(|waiting| (waiting.reply, Err(code))));
            }
        }
        settled
    }

    /// Messages to users without a direct conversation: it is made, then they are appended in their order. Once per pair
    /// of users, so the lane may wait for it.
    async fn commit_first_messages(&self, batch: Vec<Waiting>, settled: &mut Settled) {
        if batch.is_empty() {
            return;
        }
        let mut ready = Vec::new();
        for waiting in batch {
            let users = waiting.append.author.user().zip(waiting.peer.as_ref());
            match users.map(|(user, peer)| direct(user, peer)) {
                Some(Ok(conversation)) => match self.directory.create_conversation(conversation).await {
                    Ok(Ok(Committed { entries, .. })) => {
                        settled.entries.extend(entries.into_iter().map(SharedEntry::new));
                        ready.push(waiting);
                    }
                    Ok(Err(refusal)) => settled.answers.push((waiting.reply, Err(refused_conversation(refusal)))),
                    Err(error) => settled.answers.push((waiting.reply, Err(store_failed(&error)))),
                },
                Some(Err(code)) => settled.answers.push((waiting.reply, Err(code))),
                None => settled.answers.push((waiting.reply, Err(Code::NoSuchConversation))),
            }
        }
        let appends = ready.iter().map(|waiting| waiting.append.clone()).collect();
        match self.log.append(appends).await {
            Ok(outcomes) => {
                ready.into_iter().zip(outcomes).for_each(|(waiting, outcome)| settled.take(waiting.reply, outcome));
            }
            Err(error) => {
                let code = store_failed(&error);
                settled.answers.extend(ready.into_iter().map(|waiting| (waiting.reply, Err(code))));
            }
        }
    }
}

impl Settled {
    fn take(&mut self, reply: Reply, outcome: Result<Appended, AppendRefusal>) {
        let (label, answer) = match outcome {
            Ok(Appended::New(entry)) => {
                let sent = Sent {
                    conversation: entry.conversation,
                    seq: entry.seq,
                    id: entry.id,
                    sent_at: entry.sent_at,
                    duplicate: false,
                };
                self.entries.push(SharedEntry::new(entry));
                ("stored", Ok(sent))
            }
            Ok(Appended::Already(sent)) => ("duplicate", Ok(Sent { duplicate: true, ..sent })),
            Err(AppendRefusal::NotMember) => ("refused", Err(Code::NoSuchConversation)),
            Err(AppendRefusal::Blocked) => ("refused", Err(Code::Blocked)),
            Err(AppendRefusal::DuplicateId) => ("refused", Err(Code::DuplicateId)),
            Err(AppendRefusal::NoSuchTarget) => ("refused", Err(Code::NoSuchTarget)),
            Err(AppendRefusal::NotYours) => ("refused", Err(Code::NotYours)),
            Err(AppendRefusal::Recalled) => ("refused", Err(Code::Recalled)),
            Err(AppendRefusal::BadContent) => ("refused", Err(Code::BadBody)),
            Err(AppendRefusal::Failed) => ("failed", Err(Code::TryAgain)),
        };
        metrics::counter!("lockstep_sends_total", "outcome" => label).increment(1);
        self.answers.push((reply, answer));
    }
}

async fn publish(publisher: &Publisher, settled: Settled) {
    publisher.publish(settled.entries).await;
    settled.answers.into_iter().for_each(|(reply, outcome)| reply.give(outcome));
}

/// The direct conversation of two users.
pub(crate) fn direct(user: &UserId, peer: &UserId) -> Result<NewConversation, Code> {
    if user == peer {
        return Err(Code::NoSuchUser);
    }
    Ok(NewConversation {
        id: ConversationId::direct(user, peer),
        kind: ConversationKind::Direct,
        title: None,
        members: vec![user.clone(), peer.clone()],
        now: UnixMs::now(),
    })
}

pub(crate) fn refused_conversation(refusal: DirectoryRefusal) -> Code {
    match refusal {
        DirectoryRefusal::NoSuchUser => Code::NoSuchUser,
        DirectoryRefusal::TooManyConversations => Code::TooManyConversations,
        DirectoryRefusal::NoSuchDevice | DirectoryRefusal::DeviceRemoved => Code::NoSuchDevice,
        DirectoryRefusal::OldGeneration => Code::TokenRevoked,
        DirectoryRefusal::UserDisabled => Code::UserDisabled,
        DirectoryRefusal::Blocked => Code::Blocked,
    }
}
