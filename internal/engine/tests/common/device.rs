//! A device with a real session: it keeps what it is told, and acknowledges when the test wants it to.

use super::{House, Live};
use lockstep_model::{
    BootstrapNews, Code, ConversationId, Cursor, Device, FeedChange, LogChange, Notice, Offset, Seq, SharedEntry,
    Shown, SkipReason, TopicMode, TopicState,
};
use lockstep_session::{Admitted, Effect, Event, Hello, Request, Session, SessionConfig};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// A connected device, and what it keeps whatever becomes of its connections.
pub struct SessionDevice {
    pub live: Live,
    pub session: Session,
    pub caught_up: bool,
    /// Whether it acknowledges what it gets at once; what the feed tells it always does.
    pub acks: bool,
    /// What it got of each conversation: entries, and places that were skipped.
    pub got: BTreeMap<ConversationId, Vec<SharedEntry>>,
    /// What it was told about filling.
    pub news: VecDeque<BootstrapNews>,
    /// What was left out: from, to, why.
    pub skips: Vec<(ConversationId, u64, u64, SkipReason)>,
    /// The codes of what was refused.
    pub refused: Vec<Code>,
    pub cursors: BTreeMap<ConversationId, Seq>,
    feed: ConversationId,
    unfilled: bool,
    config: Arc<SessionConfig>,
}

impl SessionDevice {
    pub async fn start(house: &House, device: &Device) -> Self {
        Self::with(house, device, SessionConfig::default(), true).await
    }

    /// A device whose session has these bounds, caught up if it acknowledges.
    pub async fn with(house: &House, device: &Device, config: SessionConfig, acks: bool) -> Self {
        let mut new = Self::let_in(house, device, config, acks).await;
        new.greet(house, device, Vec::new()).await;
        new
    }

    /// A device that was let in and has not yet said where it stands.
    pub async fn silent(house: &House, device: &Device) -> Self {
        let mut new = Self::let_in(house, device, SessionConfig::default(), true).await;
        new.say_hello(house, device);
        new
    }

    async fn let_in(house: &House, device: &Device, config: SessionConfig, acks: bool) -> Self {
        let admission = house.try_connect(device).await.unwrap();
        let (config, feed) = (Arc::new(config), admission.feed);
        let session = Session::new(Arc::clone(&config), Instant::now());
        let live = Live::of(house, admission.connection);
        let (got, cursors) = (BTreeMap::new(), BTreeMap::new());
        let skips = Vec::new();
        let (news, refused, unfilled) = (VecDeque::new(), Vec::new(), admission.unfilled);
        Self { live, session, caught_up: false, acks, got, news, skips, refused, cursors, feed, unfilled, config }
    }

    /// Connects anew and shows where it stands.
    pub async fn reconnect(&mut self, house: &House, device: &Device) {
        self.leave(house).await;
        let admission = house.try_connect(device).await.unwrap();
        self.unfilled = admission.unfilled;
        self.live = Live::of(house, admission.connection);
        self.session = Session::new(Arc::clone(&self.config), Instant::now());
        let cursor = |seq: &Seq| Cursor { seq: *seq, entry: None };
        let shown =
            self.cursors.iter().map(|(conversation, seq)| Shown { conversation: *conversation, cursor: cursor(seq) });
        let shown = shown.collect();
        self.caught_up = false;
        self.greet(house, device, shown).await;
    }

    /// Goes away.
    pub async fn leave(&mut self, house: &House) {
        let topics = self.session.conversations().collect();
        house.engine.disconnect(&self.live.connection, topics, None).await;
    }

    async fn greet(&mut self, house: &House, device: &Device, shown: Vec<Shown>) {
        self.say_hello(house, device);
        self.session.handle_request(Request::Resume { shown, more: false }, Instant::now());
        self.settle();
        while self.acks && !self.caught_up {
            self.turn().await;
        }
    }

    fn say_hello(&mut self, house: &House, device: &Device) {
        let offsets_version = Default::default();
        let epoch = Some(house.engine.epoch());
        let hello = Hello { reference: None, token: String::new(), epoch, feed: None, offsets_version };
        self.session.handle_request(Request::Hello(hello), Instant::now());
        let admitted = Admitted {
            receipts: Default::default(),
            unfilled: self.unfilled,
            user: device.user.clone(),
            device: device.id,
            epoch: house.engine.epoch(),
            feed: self.feed,
            offsets: Vec::new(),
            offsets_version,
        };
        self.session.handle_admitted(admitted, Instant::now());
        self.settle();
    }

    /// Says something.
    pub fn request(&mut self, request: Request) {
        self.session.handle_request(request, Instant::now());
        self.settle();
    }

    /// Takes one notice, and does all that follows from it.
    pub async fn turn(&mut self) {
        let notice: Notice = self.live.next().await.unwrap();
        let read = if let Notice::Page(page) = &notice { Some(page.conversation) } else { None };
        self.session.handle_notice(notice, Instant::now());
        self.settle();
        let topic = read.map(|conversation| (conversation, self.session.topic_state(conversation)));
        if let Some((conversation, TopicState { mode: TopicMode::Live, next, .. })) = topic {
            self.live.engine.tracer(&self.live.connection).live(conversation, next);
        }
    }

    /// Goes on until something is done, which may ask the session.
    pub async fn beside<T>(&mut self, what: impl Future<Output = T>) -> T {
        tokio::pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return done,
                () = self.turn() => {}
            }
        }
    }

    /// Takes notices until something is so.
    pub async fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            self.turn().await;
        }
    }

    /// Waits until its feed has told of this.
    pub async fn until_told(&mut self, change: FeedChange) {
        self.until(|device| device.told().contains(&change)).await;
    }

    /// Acknowledges all that it has.
    pub fn ack_all(&mut self) {
        let cursors = self.cursors.iter().map(|(conversation, seq)| Offset { conversation: *conversation, seq: *seq });
        let cursors =
            cursors.filter(|cursor| self.session.conversations().any(|it| it == cursor.conversation)).collect();
        self.session.handle_request(Request::Ack(cursors), Instant::now());
        self.settle();
    }

    /// The changes that its feed has told of.
    pub fn told(&self) -> Vec<FeedChange> {
        self.got.get(&self.feed).into_iter().flatten().filter_map(|entry| FeedChange::of(entry)).collect()
    }

    /// The seqs of a conversation that it got.
    pub fn seqs(&self, conversation: ConversationId) -> Vec<u64> {
        self.got.get(&conversation).into_iter().flatten().map(|entry| entry.seq.get()).collect()
    }

    /// The last change of a conversation that it was told of.
    pub fn last_change(&self, conversation: ConversationId) -> Option<LogChange> {
        self.got.get(&conversation).and_then(|entries| entries.last()).and_then(|entry| LogChange::of(entry))
    }

    fn settle(&mut self) {
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                Effect::Ask(ask) => self.live.ask(ask),
                Effect::Emit(Event::CaughtUp) => self.caught_up = true,
                Effect::Emit(Event::Bootstrap(news)) => self.news.push_back(*news),
                Effect::Emit(Event::Failed { code, .. }) => self.refused.push(code),
                Effect::Emit(Event::Entry(entry)) => self.take(vec![entry]),
                Effect::Emit(Event::Entries(entries)) => self.take(entries),
                Effect::Emit(Event::Skip { conversation, skip }) => {
                    self.skips.push((conversation, skip.from.get(), skip.to.get(), skip.reason));
                    self.cursors.insert(conversation, skip.to);
                }
                Effect::Close(code) => panic!("closed with {code}"),
                Effect::Emit(_) | Effect::Authenticate { .. } | Effect::Renew { .. } => {}
            }
        }
    }

    fn take(&mut self, entries: Vec<SharedEntry>) {
        let (conversation, seq) = entries.last().map(|last| (last.conversation, last.seq)).unwrap();
        self.live.engine.tracer(&self.live.connection).delivered(conversation, entries[0].seq, seq);
        let before = self.cursors.insert(conversation, seq).unwrap_or_default();
        let got = self.got.entry(conversation).or_default();
        // What it has is dropped, as a device does.
        got.extend(entries.into_iter().filter(|entry| entry.seq > before));
        if self.acks || conversation == self.feed {
            self.session.handle_request(Request::Ack(vec![Offset { conversation, seq }]), Instant::now());
        }
    }
}
