//! A server, two who talk, and devices of a third whose every event is noted.

use anyhow::{Context, Result};
use lockstep_client::protocol::{Body, ConversationId, Entry, Seq, Target, UserId};
use lockstep_client::{
    Client, ClientConfig, Conversations, Draft, Event, Events, Filling, FixedToken, LocalStore, MemoryStore,
};
use lockstep_server::admin::{AdminClient, TokenRequest};
use lockstep_testkit::{Nsqds, ServerOptions, ServerProcess};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);
const PLENTY: u64 = 1_000_000;

pub(crate) struct House {
    pub(crate) server: ServerProcess,
    pub(crate) ben: Speaker,
    pub(crate) cleo: Speaker,
    admin: AdminClient,
    _nsqds: Option<Nsqds>,
}

/// Somebody who writes.
pub(crate) struct Speaker {
    pub(crate) user: UserId,
    pub(crate) client: Client,
    pub(crate) rest: Conversations,
    events: JoinHandle<()>,
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.events.abort();
    }
}

impl House {
    pub(crate) async fn start(nsqds: Option<Nsqds>) -> Result<Self> {
        let mut options = nsqds.as_ref().map(ServerOptions::on).unwrap_or_default();
        // Nobody is to be refused for being too fast.
        for name in [
            "sends_per_second",
            "sends_burst",
            "device_requests_burst",
            "user_requests_burst",
            "address_requests_burst",
        ] {
            options.limits.push((name, PLENTY));
        }
        let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await?;
        let admin = AdminClient::new(&server.data());
        let (ben, cleo) = (speaker(&server, &admin, "ben").await?, speaker(&server, &admin, "cleo").await?);
        Ok(Self { server, ben, cleo, admin, _nsqds: nsqds })
    }

    /// What a device of the user is started with; a sub device is to be filled.
    pub(crate) async fn config(&self, user: &str, kind: &str, store: Arc<MemoryStore>) -> Result<ClientConfig> {
        config(&self.server, &self.admin, user, kind, store).await
    }

    /// A group of ben's with these members.
    pub(crate) async fn group(&self, members: &[&UserId]) -> Result<ConversationId> {
        let members = members.iter().map(|user| (*user).clone()).collect();
        Ok(self.ben.rest.make_group(&Draft { members, ..Draft::default() }).await?.id)
    }
}

impl Speaker {
    pub(crate) async fn say(&self, group: ConversationId, text: &str) -> Result<Seq> {
        Ok(self.client.send(Target::Conversation(group), Body::text(text)).await?.seq)
    }
}

async fn config(
    server: &ServerProcess,
    admin: &AdminClient,
    user: &str,
    kind: &str,
    store: Arc<MemoryStore>,
) -> Result<ClientConfig> {
    let (device_name, unfilled) = (kind.to_owned(), kind == "sub");
    let request = TokenRequest { user: user.to_owned(), device_name, kind: kind.to_owned(), unfilled, ttl_s: None };
    let tokens = Arc::new(FixedToken::new(admin.token(&request).await?.token));
    Ok(ClientConfig::new(server.door(), tokens, store))
}

async fn speaker(server: &ServerProcess, admin: &AdminClient, user: &str) -> Result<Speaker> {
    let config = config(server, admin, user, "main", Arc::new(MemoryStore::new())).await?;
    let rest = Conversations::new(server.url(), config.tokens.clone());
    let (client, mut events) = Client::start(config);
    let events = tokio::spawn(async move { while events.next().await.is_some() {} });
    Ok(Speaker { user: user.parse()?, client, rest, events })
}

/// What a device was told, over all its restarts.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) conversations: BTreeMap<ConversationId, Story>,
    /// How many chunks came.
    pub(crate) chunks: usize,
}

/// What a device was told of a conversation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Story {
    /// Each entry as often as it came.
    pub(crate) entries: Vec<Entry>,
    /// From where to where something was left out.
    pub(crate) skips: Vec<(u64, u64)>,
    /// Where the last chunk ended.
    pub(crate) filled: Option<Seq>,
    /// Up to where the user has read.
    pub(crate) read: Seq,
}

impl Story {
    /// Whether it has come so far.
    pub(crate) fn has(&self, seq: Seq) -> bool {
        self.entries.iter().rev().any(|entry| entry.seq == seq)
    }
}

impl Told {
    fn note(&mut self, event: Event) {
        match event {
            Event::Entry(entry) => self.of(entry.conversation).entries.push(entry),
            Event::Skip { conversation, from, to, .. } => {
                self.of(conversation).skips.push((from.get(), to.get()));
            }
            Event::Offsets(offsets) => {
                offsets.iter().for_each(|offset| self.of(offset.conversation).read = offset.seq);
            }
            Event::Filling(Filling::Entries { conversation, entries, to, .. }) => {
                self.chunks += 1;
                let story = self.of(conversation);
                story.entries.extend(entries);
                story.filled = Some(to);
            }
            _ => {}
        }
    }

    fn of(&mut self, conversation: ConversationId) -> &mut Story {
        self.conversations.entry(conversation).or_default()
    }
}

/// A device whose store stays over its restarts.
pub(crate) struct Device {
    config: ClientConfig,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) told: watch::Sender<Told>,
    running: Option<(Client, JoinHandle<()>)>,
}

impl Device {
    /// A device that has not been started.
    pub(crate) fn new(config: ClientConfig, store: Arc<MemoryStore>) -> Self {
        Self { config, store, told: watch::Sender::new(Told::default()), running: None }
    }

    pub(crate) fn start(&mut self) {
        let (client, events) = Client::start(self.config.clone());
        self.running = Some((client, tokio::spawn(note_all(events, self.told.clone()))));
    }

    /// Stops it, and notes what it still hands out.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let (client, noting) = self.running.take().context("it runs")?;
        client.stop().await;
        Ok(noting.await?)
    }

    pub(crate) fn client(&self) -> Result<Client> {
        Ok(self.running.as_ref().context("it runs")?.0.clone())
    }

    pub(crate) async fn until(&self, what: &str, wanted: impl FnMut(&Told) -> bool) -> Result<()> {
        let mut told = self.told.subscribe();
        let waiting = tokio::time::timeout(PATIENCE, told.wait_for(wanted));
        waiting.await.with_context(|| format!("{what} does not come"))??;
        Ok(())
    }

    /// Waits until it has a place in each of these. One that is stopped with its last acknowledgement hears of no end.
    pub(crate) async fn until_filled<'a>(&self, all: impl Iterator<Item = &'a ConversationId> + Clone) -> Result<()> {
        let mut told = self.told.subscribe();
        let waiting = async {
            loop {
                let state = self.store.load().await?;
                if all.clone().all(|conversation| state.cursors.contains_key(conversation)) {
                    return anyhow::Ok(());
                }
                told.changed().await?;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.context("it is not filled")?
    }
}

async fn note_all(mut events: Events, told: watch::Sender<Told>) {
    while let Some(event) = events.next().await {
        told.send_modify(|told| told.note(event));
    }
}
