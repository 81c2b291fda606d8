//! New devices filled from main ones, by the SDK at a real server: what they get, who may go away midway, and that the log
//! goes on.

use anyhow::{Context, Result, ensure};
use lockstep_client::protocol::{Body, Code, ConversationId, DeviceId, Entry, Held, Seq, Source, Target};
use lockstep_client::{
    Client, ClientConfig, Conversations, DisconnectReason, Draft, Event, Events, Filling, FixedToken, HistorySource,
    LocalStore, MemoryStore, SqliteStore, StoreError, TokenSource,
};
use lockstep_testkit::{ServerOptions, ServerProcess};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);

async fn server() -> Result<ServerProcess> {
    let options = ServerOptions::limits(&[("sends_per_second", 10_000), ("sends_burst", 10_000)]);
    ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await
}

async fn main_token(server: &ServerProcess, user: &str, name: &str) -> Result<Arc<dyn TokenSource>> {
    Ok(Arc::new(FixedToken::new(server.token(user, name, "main").await?)))
}

/// The token of a sub device that is to be filled.
async fn sub_token(server: &ServerProcess, user: &str, name: &str) -> Result<Arc<dyn TokenSource>> {
    let args = ["token", "user", user, "--device", name, "--kind", "sub", "--unfilled"];
    Ok(Arc::new(FixedToken::new(server.administer(&args).await?)))
}

/// Takes events up to one that is looked for.
async fn until<T>(events: &mut Events, mut found: impl FnMut(&Event) -> Option<T>) -> Result<T> {
    let looking = async {
        loop {
            let event = events.next().await.context("the client goes on")?;
            if let Some(found) = found(&event) {
                return Ok(found);
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.context("what is looked for did not come")?
}

async fn caught_up(events: &mut Events) -> Result<()> {
    until(events, |event| matches!(event, Event::CaughtUp).then_some(())).await
}

async fn filled(events: &mut Events) -> Result<()> {
    until(events, |event| matches!(event, Event::Filling(Filling::Done { .. })).then_some(())).await
}

/// Goes on to an entry of this conversation.
async fn reaches(events: &mut Events, conversation: ConversationId, seq: Seq) -> Result<()> {
    let is_it = |entry: &Entry| entry.conversation == conversation && entry.seq == seq;
    until(events, |event| matches!(event, Event::Entry(entry) if is_it(entry)).then_some(())).await
}

/// Ben, who writes, and the groups that he has with ana.
struct Ben {
    client: Client,
    _events: Events,
    groups: Vec<ConversationId>,
}

impl Ben {
    /// Makes groups with so many messages of so many bytes.
    async fn new(server: &ServerProcess, groups: &[(usize, usize)]) -> Result<Self> {
        let tokens = main_token(server, "ben", "phone").await?;
        main_token(server, "ana", "phone").await?;
        let rest = Conversations::new(server.url(), tokens.clone());
        let (client, events) = Client::start(ClientConfig::new(server.door(), tokens, Arc::new(MemoryStore::new())));
        let mut ben = Self { client, _events: events, groups: Vec::new() };
        for (messages, bytes) in groups {
            let draft = Draft { members: vec!["ana".parse()?], ..Draft::default() };
            let group = rest.make_group(&draft).await?.id;
            for _ in 0..*messages {
                ben.write(group, *bytes).await?;
            }
            ben.groups.push(group);
        }
        Ok(ben)
    }

    async fn write(&self, group: ConversationId, bytes: usize) -> Result<Seq> {
        Ok(self.client.send(Target::Conversation(group), Body::text(&"\"".repeat(bytes / 2))).await?.seq)
    }
}

/// A history that is given only as far as it is let.
struct Gated {
    store: Arc<MemoryStore>,
    pieces: Semaphore,
}

#[lockstep_client::async_trait]
impl HistorySource for Gated {
    async fn held(&self) -> Result<Vec<Held>, StoreError> {
        self.store.held().await
    }

    async fn latest(&self, conversation: ConversationId, entries: u32, to: Seq) -> Result<Option<Seq>, StoreError> {
        self.store.latest(conversation, entries, to).await
    }

    async fn stretch(
        &self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.pieces.acquire().await.map_err(|error| StoreError(error.to_string()))?.forget();
        self.store.stretch(conversation, from, to, bytes_max).await
    }
}

/// A device with threads of its own, so that it can be killed.
struct Killable {
    threads: Option<Runtime>,
    _client: Client,
    events: Events,
}

impl Killable {
    fn start(config: ClientConfig) -> Result<Self> {
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (client, events) = {
            let _inside = threads.enter();
            Client::start(config)
        };
        Ok(Self { threads: Some(threads), _client: client, events })
    }

    /// Its tasks end where they are.
    fn kill(mut self) {
        self.threads.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        self.threads.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// A main device of ana's that has everything and gives as much of it as it is let.
async fn main_device(server: &ServerProcess, name: &str, pieces: usize) -> Result<(Killable, Arc<Gated>)> {
    let store = Arc::new(MemoryStore::new());
    let gated = Arc::new(Gated { store: store.clone(), pieces: Semaphore::new(pieces) });
    let mut config = ClientConfig::new(server.door(), main_token(server, "ana", name).await?, store);
    config.gives_history = Some(gated.clone());
    let mut device = Killable::start(config)?;
    caught_up(&mut device.events).await?;
    Ok((device, gated))
}

/// What a device has of a conversation.
async fn seqs(store: &dyn LocalStore, conversation: ConversationId) -> Result<Vec<u64>> {
    let history = store.history(conversation, usize::MAX).await?;
    Ok(history.iter().map(|entry| entry.seq.get()).collect())
}

/// The places of a stretch, in order, each once.
fn places(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[tokio::test]
async fn a_new_device_gets_what_the_main_one_has_and_goes_on_live() -> Result<()> {
    let server = server().await?;
    let ben = Ben::new(&server, &[(250, 20), (3, 20), (0, 0), (9, 60_000)]).await?;
    let store = Arc::new(MemoryStore::new());
    let config = ClientConfig::new(server.door(), sub_token(&server, "ana", "laptop").await?, store.clone());
    // Nobody is there who could give: it is told when to come again.
    let (early, mut events) = Client::start(config.clone());
    let (code, retry_in) = until(&mut events, |event| match event {
        Event::Disconnected { reason: DisconnectReason::Server { code, .. }, retry_in } => {
            Some((code.clone(), *retry_in))
        }
        _ => None,
    })
    .await?;
    ensure!(code == Code::MainOffline.name() && retry_in >= Duration::from_secs(30), "{code}, {retry_in:?}");
    early.stop().await;

    let (mut phone, _) = main_device(&server, "phone", usize::MAX >> 4).await?;
    let (client, mut events) = Client::start(config);
    let mut told = Vec::new();
    until(&mut events, |event| {
        if let Event::Filling(filling) = event {
            told.push(filling.clone());
        }
        matches!(event, Event::Filling(Filling::Done { .. })).then_some(())
    })
    .await?;
    ensure!(matches!(told[0], Filling::Started { done: 0, total: 4, .. }), "{:?}", told[0]);
    let about = told.iter().filter_map(|it| match it {
        Filling::Conversation(about) => Some((about.conversation, about.member_count)),
        _ => None,
    });
    let expected: Vec<_> = ben.groups.iter().rev().map(|group| (*group, 2)).collect();
    ensure!(about.collect::<Vec<_>>() == expected, "those first in which something happened last");
    // Each group begins with the two entries of its making.
    for (group, first, last) in [(0, 153, 252), (1, 1, 5), (2, 1, 2), (3, 1, 11)] {
        let found = seqs(&*store, ben.groups[group]).await?;
        ensure!(found == places(first, last), "group {group}: {found:?}");
    }
    filled_at_the_phone(&mut phone).await?;
    // From here on it is like any other device: live, and after it was away.
    for group in &ben.groups {
        let seq = ben.write(*group, 10).await?;
        reaches(&mut events, *group, seq).await?;
    }
    client.stop().await;
    let seq = ben.write(ben.groups[2], 10).await?;
    let config = ClientConfig::new(server.door(), sub_token(&server, "ana", "laptop").await?, store.clone());
    let (_client, mut events) = Client::start(config);
    reaches(&mut events, ben.groups[2], seq).await?;
    for (group, first, last) in [(0, 153, 253), (1, 1, 6), (2, 1, 4), (3, 1, 12)] {
        let found = seqs(&*store, ben.groups[group]).await?;
        ensure!(found == places(first, last), "group {group}: {found:?}");
    }
    Ok(())
}

/// The phone hears that it is asked, and that it is over.
async fn filled_at_the_phone(phone: &mut Killable) -> Result<()> {
    let asked = until(&mut phone.events, |event| match event {
        Event::Filling(Filling::Asked { device, .. }) => Some(*device),
        _ => None,
    });
    let _device: DeviceId = asked.await?;
    until(&mut phone.events, |event| match event {
        Event::Filling(Filling::Progress(progress)) => (progress.done == progress.total).then_some(()),
        _ => None,
    })
    .await
}

/// Ten large messages, which take several chunks, and a small conversation that is filled after it.
const LARGE: [(usize, usize); 2] = [(2, 10), (10, 50_000)];

/// Goes on to so many chunks.
async fn chunks(events: &mut Events, count: usize) -> Result<()> {
    let mut taken = 0;
    until(events, |event| {
        taken += usize::from(matches!(event, Event::Filling(Filling::Entries { .. })));
        (taken == count).then_some(())
    })
    .await
}

#[tokio::test]
async fn another_main_device_goes_on_where_a_killed_one_was() -> Result<()> {
    let server = server().await?;
    let ben = Ben::new(&server, &LARGE).await?;
    // The one that was made first is asked first.
    let (phone, _) = main_device(&server, "phone", 3).await?;
    let (mut tablet, gate) = main_device(&server, "tablet", 100).await?;
    let store = Arc::new(MemoryStore::new());
    let config = ClientConfig::new(server.door(), sub_token(&server, "ana", "laptop").await?, store.clone());
    let (_client, mut events) = Client::start(config);
    chunks(&mut events, 3).await?;
    ensure!(gate.pieces.available_permits() == 100, "only the phone was asked");
    phone.kill();
    let asked = |event: &Event| matches!(event, Event::Filling(Filling::Asked { .. })).then_some(());
    until(&mut tablet.events, asked).await?;
    filled(&mut events).await?;
    for (group, last) in [(0, 4), (1, 12)] {
        let found = seqs(&*store, ben.groups[group]).await?;
        ensure!(found == places(1, last), "group {group}: {found:?}");
    }
    let seq = ben.write(ben.groups[1], 10).await?;
    reaches(&mut events, ben.groups[1], seq).await
}

/// Opens the store of a device that was killed, as soon as its threads have let it go.
async fn reopened(path: &Path) -> Result<SqliteStore> {
    let opening = async {
        loop {
            match SqliteStore::open(path).await {
                Ok(store) => return store,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, opening).await.context("the store stays in use")
}

#[tokio::test]
async fn a_device_that_was_killed_midway_goes_on_where_it_was() -> Result<()> {
    let server = server().await?;
    let ben = Ben::new(&server, &LARGE).await?;
    let (_phone, gate) = main_device(&server, "phone", 3).await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("laptop.db");
    let tokens = sub_token(&server, "ana", "laptop").await?;
    let config = |store: &SqliteStore| ClientConfig::new(server.door(), tokens.clone(), Arc::new(store.clone()));
    let store = SqliteStore::open(&path).await?;
    let mut laptop = Killable::start(config(&store))?;
    chunks(&mut laptop.events, 3).await?;
    laptop.kill();
    store.close().await;
    let store = reopened(&path).await?;
    let state = store.load().await?;
    let stored = *state.partial.get(&ben.groups[1]).context("a part of it is there")?;
    ensure!(!state.cursors.contains_key(&ben.groups[1]), "what is a part has no cursor");
    gate.pieces.add_permits(100);
    let (_client, mut events) = Client::start(config(&store));
    let begun = until(&mut events, |event| match event {
        Event::Filling(Filling::Entries { from, .. }) => Some(*from),
        _ => None,
    });
    ensure!(begun.await? == stored.next(), "it goes on after {stored}");
    filled(&mut events).await?;
    for (group, last) in [(0, 4), (1, 12)] {
        let found = seqs(&store, ben.groups[group]).await?;
        ensure!(found == places(1, last), "group {group}: {found:?}");
    }
    let seq = ben.write(ben.groups[1], 10).await?;
    reaches(&mut events, ben.groups[1], seq).await
}

#[tokio::test]
async fn a_device_may_choose_when_and_how_much() -> Result<()> {
    let server = server().await?;
    let ben = Ben::new(&server, &[(20, 10)]).await?;
    let _phone = main_device(&server, "phone", 100).await?;
    let store = Arc::new(MemoryStore::new());
    let mut config = ClientConfig::new(server.door(), sub_token(&server, "ana", "laptop").await?, store.clone());
    config.fill_entries = None;
    let (client, mut events) = Client::start(config);
    caught_up(&mut events).await?;
    ensure!(seqs(&*store, ben.groups[0]).await?.is_empty(), "nothing of it comes before it is asked for");
    // The operator does not offer the log.
    client.bootstrap(5, Source::Log).await?;
    let refused = until(&mut events, |event| match event {
        Event::Filling(Filling::Refused { code, .. }) => Some(code.clone()),
        _ => None,
    });
    ensure!(refused.await? == Code::Forbidden.name());
    client.bootstrap(5, Source::Main).await?;
    filled(&mut events).await?;
    ensure!(seqs(&*store, ben.groups[0]).await? == places(18, 22));
    Ok(())
}

#[tokio::test]
async fn several_devices_are_filled_at_once() -> Result<()> {
    let server = server().await?;
    let ben = Ben::new(&server, &[(30, 10), (12, 50_000), (5, 10)]).await?;
    let _phone = main_device(&server, "phone", 1_000).await?;
    let mut laptops = Vec::new();
    for name in ["laptop", "tablet", "browser"] {
        let store = Arc::new(MemoryStore::new());
        let config = ClientConfig::new(server.door(), sub_token(&server, "ana", name).await?, store.clone());
        laptops.push((Client::start(config), store));
    }
    for ((_client, events), store) in &mut laptops {
        filled(events).await?;
        for (group, last) in [(0, 32), (1, 14), (2, 7)] {
            let found = seqs(&**store, ben.groups[group]).await?;
            ensure!(found == places(1, last), "group {group}: {found:?}");
        }
    }
    let seq = ben.write(ben.groups[1], 10).await?;
    for ((_client, events), _) in &mut laptops {
        reaches(events, ben.groups[1], seq).await?;
    }
    Ok(())
}
