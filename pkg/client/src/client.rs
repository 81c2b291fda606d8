//! The handle that applications hold, and the stream of events.

use crate::machine::Question;
use crate::service::{Command, Service};
use crate::{
    AskError, ClientConfig, Counters, Event, OutboxItem, RenewError, SendError, Sent, TokenReason, TokenSource,
};
use lockstep_protocol::{Body, ClientMsgId, ConversationId, Kind, Offset, Seq, Source, StateChange, Target, Unread};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Commands that may wait for the client's task; a caller waits with one more.
const COMMANDS_MAX: usize = 64;

/// The handle of a client: cheap to clone. The client stops when it is told to, or when the last handle is dropped.
#[derive(Clone)]
pub struct Client {
    tokens: Arc<dyn TokenSource>,
    commands: mpsc::Sender<Command>,
    counters: Arc<parking_lot::Mutex<Counters>>,
    stopped: CancellationToken,
}

/// The events of a client, in order. If nobody takes them, the client stops reading the connection (see
/// [`ClientConfig::events_max`]); once this is dropped, they are dropped too.
pub struct Events(mpsc::Receiver<Event>);

/// A message that is in the local store, and whose answer is still to come. Dropping it takes nothing back: the answer
/// becomes an [`Event::Answered`].
#[derive(Debug)]
pub struct Pending {
    client_msg_id: ClientMsgId,
    answer: oneshot::Receiver<Result<Sent, SendError>>,
}

impl Client {
    /// Starts a client. It loads the store, connects at once, and connects again whenever it has to. Must be called
    /// within a tokio runtime.
    pub fn start(config: ClientConfig) -> (Self, Events) {
        let (commands, commands_rx) = mpsc::channel(COMMANDS_MAX);
        // The bound on events is kept before this channel, so that it is one number.
        let (events, events_rx) = mpsc::channel(1);
        let (counters, stopped) = (Arc::default(), CancellationToken::new());
        let tokens = Arc::clone(&config.tokens);
        let client = Self { tokens, commands, counters: Arc::clone(&counters), stopped: stopped.clone() };
        // The task ends by `stop`, by the last handle's drop, or by the server's word; `stopped` tells of it.
        tokio::spawn(Service::run(config, commands_rx, events, counters, stopped));
        (client, Events(events_rx))
    }

    /// Takes a message: it is in the local store on return, and is sent until the server has answered. Messages to
    /// one target are sent in the order in which they were taken.
    ///
    /// # Errors
    ///
    /// If the message was not taken. Nothing of it is kept then.
    pub async fn enqueue(&self, target: Target, body: Body) -> Result<Pending, SendError> {
        self.enqueue_as(ClientMsgId::random(), target, body).await
    }

    /// As [`Client::enqueue`], under a name of the application's own. While a message of this name waits for its
    /// answer, the same again waits for the same answer.
    ///
    /// # Errors
    ///
    /// As [`Client::enqueue`]; `IdInUse` if another message of this name waits for its answer.
    pub async fn enqueue_as(
        &self,
        client_msg_id: ClientMsgId,
        target: Target,
        body: Body,
    ) -> Result<Pending, SendError> {
        self.enqueue_item(OutboxItem { client_msg_id, target, kind: Kind::Message, body }).await
    }

    /// Takes something to send.
    pub(crate) async fn enqueue_item(&self, item: OutboxItem) -> Result<Pending, SendError> {
        let (saved, on_saved) = oneshot::channel();
        let (answer, on_answer) = oneshot::channel();
        let client_msg_id = item.client_msg_id.clone();
        self.command(Command::Send { item, saved, answer }).await?;
        on_saved.await.map_err(|_| SendError::Stopped)??;
        Ok(Pending { client_msg_id, answer: on_answer })
    }

    /// Sends a message and waits until it is on the server's disk. If this call is dropped after the message was
    /// taken, it is sent all the same, and its answer becomes an [`Event::Answered`].
    ///
    /// # Errors
    ///
    /// If the message was not taken, or the server will never take it.
    pub async fn send(&self, target: Target, body: Body) -> Result<Sent, SendError> {
        self.enqueue(target, body).await?.answer().await
    }

    /// As [`Client::send`], under a name of the application's own.
    ///
    /// # Errors
    ///
    /// As [`Client::send`] and [`Client::enqueue_as`].
    pub async fn send_as(&self, client_msg_id: ClientMsgId, target: Target, body: Body) -> Result<Sent, SendError> {
        self.enqueue_as(client_msg_id, target, body).await?.answer().await
    }

    /// The user has read this conversation up to here: told to the server, merged by maximum, until it has it. A
    /// refusal is an [`Event::ReadRefused`].
    ///
    /// # Errors
    ///
    /// If the client has stopped or keeps too many offsets already.
    pub async fn read(&self, conversation: ConversationId, seq: Seq) -> Result<(), SendError> {
        let (taken, on_taken) = oneshot::channel();
        self.command(Command::Read { offset: Offset { conversation, seq }, taken }).await?;
        on_taken.await.map_err(|_| SendError::Stopped)?
    }

    /// Shows the server a fresh token from the client's source, so that the connection does not end with its age. To be
    /// called now and then, such as every hour; without it the client connects again when the server closes.
    ///
    /// # Errors
    ///
    /// If there is no token, no connection, or the server refuses. The connection goes on then.
    pub async fn renew(&self) -> Result<(), RenewError> {
        let token = self.tokens.token(TokenReason::Connect).await?;
        let (answer, on_answer) = oneshot::channel();
        let command = Command::Renew { token, answer };
        self.commands.send(command).await.map_err(|_| RenewError::NotConnected)?;
        on_answer.await.map_err(|_| RenewError::NotConnected)?
    }

    /// How much is unread in these conversations, at most 100; those that the user never was in are left out.
    ///
    /// # Errors
    ///
    /// If there is no connection, or the server refuses.
    pub async fn unread(&self, conversations: Vec<ConversationId>) -> Result<Vec<Unread>, AskError> {
        self.ask(Question::Unread(conversations)).await
    }

    /// Changes what the user keeps about a conversation, such as that it is pinned. The feed tells all devices.
    ///
    /// # Errors
    ///
    /// As [`Client::unread`]; the same again does no harm.
    pub async fn change_state(&self, conversation: ConversationId, change: StateChange) -> Result<(), AskError> {
        self.ask(Question::State(conversation, change)).await.map(drop)
    }

    /// Asks for this device to be filled with the latest `entries` of each conversation, 1 to 1,000, now and after every
    /// reconnect, as long as the server says that it is unfilled. What comes of it comes as [`crate::Filling`] events. With
    /// [`Source::Log`] it gives up waiting for a main device, if the operator allows that.
    ///
    /// # Errors
    ///
    /// If the client has stopped.
    pub async fn bootstrap(&self, entries: u32, source: Source) -> Result<(), AskError> {
        let command = Command::Bootstrap { entries, source };
        self.commands.send(command).await.map_err(|_| AskError::NotConnected)
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        *self.counters.lock()
    }

    /// Stops the client: what was received is stored and acknowledged, the connection closed. Messages without an
    /// answer stay in the store. Returns when the store is not used any more.
    pub async fn stop(&self) {
        let _ = self.commands.send(Command::Stop).await;
        self.stopped.cancelled().await;
    }

    async fn ask(&self, question: Question) -> Result<Vec<Unread>, AskError> {
        let (answer, on_answer) = oneshot::channel();
        self.commands.send(Command::Ask { question, answer }).await.map_err(|_| AskError::NotConnected)?;
        on_answer.await.map_err(|_| AskError::NotConnected)?
    }

    pub(crate) async fn command(&self, command: Command) -> Result<(), SendError> {
        self.commands.send(command).await.map_err(|_| SendError::Stopped)
    }
}

impl Events {
    /// The next event; `None` after [`Event::Stopped`]. Dropping the call loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

impl Pending {
    /// The message's name.
    pub fn client_msg_id(&self) -> &ClientMsgId {
        &self.client_msg_id
    }

    /// Waits for the server's answer, however long that takes.
    ///
    /// # Errors
    ///
    /// `Refused` if the server will never take it, `Stopped` if the client stopped first: then the message stays in
    /// the store.
    pub async fn answer(self) -> Result<Sent, SendError> {
        self.answer.await.map_err(|_| SendError::Stopped)?
    }
}
