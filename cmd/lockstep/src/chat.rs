//! `lockstep chat`: a device in a terminal, line by line, on the Rust SDK. Works when piped.

mod about;
mod fill;
mod groups;
mod here;
mod identity;
mod input;
mod links;
mod parse;
mod people;
mod screen;

use anyhow::{Context, Result, bail};
use identity::Identity;
use input::Line;
use links::Desk;
use lockstep_client::protocol::{Body, ConversationId, Entry, Target, UserId};
use lockstep_client::{
    Approver, Client, ClientConfig, Conversations, Devices, Event, Events, Filling, LocalStore, People, SendError,
    Sent, SqliteStore, StopReason, TokenSource,
};
use screen::Screen;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The door of a server that is started without any settings.
pub(crate) const DOOR: &str = "ws://127.0.0.1:8080/v1/ws";

/// Chat as one device of a user. Each line of the input is a message; lines that begin with `/` are commands.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The user to be.
    #[arg(long = "as", value_name = "USER", required_unless_present = "credentials", conflicts_with = "credentials")]
    user: Option<String>,
    /// Be the device that `lockstep device link` has made, with the credentials in this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token", "device_name", "kind", "data"])]
    credentials: Option<PathBuf>,
    /// The name of the device; it is made if need be.
    #[arg(long, default_value = "terminal")]
    device_name: String,
    /// What the device is to its user. A main one gives its history to others; a sub one, if it is made, is filled from a
    /// main one that is connected.
    #[arg(long, value_name = "KIND", default_value = "main", value_parser = ["main", "sub"])]
    kind: String,
    /// The server's data folder, whose admin socket gives out tokens.
    #[arg(long, default_value = "./lockstep-data")]
    data: PathBuf,
    /// The server's WebSocket door [default: that of the credentials, else ws://127.0.0.1:8080/v1/ws]
    #[arg(long)]
    server: Option<String>,
    /// An access token, instead of asking the admin socket.
    #[arg(long, env = "LOCKSTEP_TOKEN", hide_env_values = true)]
    token: Option<Secret>,
    /// Talk to this user.
    #[arg(long, value_name = "USER", conflicts_with = "conversation")]
    with: Option<UserId>,
    /// Talk in this conversation.
    #[arg(long, value_name = "ID")]
    conversation: Option<ConversationId>,
    /// The file that keeps what this device has; by default one per user and device in the data folder.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// Stay for so long, also after the end of the input.
    #[arg(long, value_name = "SECONDS")]
    for_seconds: Option<u64>,
    /// Stay until so many messages were shown, also after the end of the input.
    #[arg(long, value_name = "COUNT")]
    until_count: Option<u64>,
}

/// A token, which is never shown.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl From<&str> for Secret {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

/// Runs the chat until the input ends, the limits are reached, or the server says to stop.
///
/// # Errors
///
/// If it cannot start, the server says to stop, a message or command was refused, or `--until-count` was not reached.
pub(crate) async fn run(args: Args) -> Result<()> {
    let Identity { user, server, store, tokens, gives_history } = Identity::of(&args)?;
    let store = open_store(&store).await?;
    let url = rest_url(&server);
    let mut config = ClientConfig::new(server, tokens.clone(), Arc::new(store.clone()));
    if gives_history {
        config.gives_history = Some(Arc::new(store.clone()));
    }
    let (client, events) = Client::start(config);
    let mut chat = Chat::new(&args, user, client.clone(), &url, &tokens, store.clone());
    let outcome = chat.talk(events).await;
    client.stop().await;
    store.close().await;
    outcome?;
    chat.verdict()
}

async fn open_store(path: &Path) -> Result<SqliteStore> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let opened = SqliteStore::open(path).await;
    opened.with_context(|| format!("{}; does another chat use it? --device-name makes another device", path.display()))
}

/// Where the server of a WebSocket door takes REST requests.
pub(crate) fn rest_url(door: &str) -> String {
    let (scheme, rest) = door.split_once("://").unwrap_or(("ws", door));
    let host = rest.split('/').next().unwrap_or_default();
    format!("{}://{host}", if scheme == "wss" { "https" } else { "http" })
}

struct Chat {
    client: Client,
    rest: Conversations,
    links: Desk,
    people: People,
    devices: Devices,
    store: SqliteStore,
    user: UserId,
    screen: Screen,
    target: Option<Target>,
    answers: JoinSet<Result<Sent, SendError>>,
    refused: u64,
    shown: u64,
    until_count: Option<u64>,
    deadline: Option<Instant>,
    input_ended: bool,
    quit: bool,
}

impl Chat {
    fn new(
        args: &Args,
        user: UserId,
        client: Client,
        url: &str,
        tokens: &Arc<dyn TokenSource>,
        store: SqliteStore,
    ) -> Self {
        let target = args.with.clone().map(Target::User).or(args.conversation.map(Target::Conversation));
        Self {
            client,
            rest: Conversations::new(url, tokens.clone()),
            links: Desk::new(Approver::new(url, tokens.clone())),
            people: People::new(url, tokens.clone()),
            devices: Devices::new(url, tokens.clone()),
            store,
            user,
            screen: Screen,
            target,
            answers: JoinSet::new(),
            refused: 0,
            shown: 0,
            until_count: args.until_count,
            deadline: args.for_seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            input_ended: false,
            quit: false,
        }
    }

    async fn talk(&mut self, mut events: Events) -> Result<()> {
        let mut lines = input::lines();
        while !self.is_over() {
            let deadline = self.deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
            tokio::select! {
                line = lines.recv(), if !self.input_ended => match line {
                    Some(line) => self.take_line(&line).await?,
                    None => self.input_ended = true,
                },
                event = events.next() => match event {
                    Some(Event::Stopped(reason)) => return stopped(reason),
                    Some(event) => self.take_event(event)?,
                    None => bail!("the client has ended"),
                },
                Some(answer) = self.answers.join_next() => self.take_answer(answer?)?,
                () = tokio::time::sleep_until(deadline) => self.quit |= self.deadline.is_some(),
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let stays = self.deadline.is_some() || self.until_count.is_some();
        let counted = self.until_count.is_some_and(|count| self.shown >= count);
        let answered = self.answers.is_empty();
        self.quit || answered && (counted || self.input_ended && !stays)
    }

    /// Whether all went well, for the exit code.
    fn verdict(&self) -> Result<()> {
        if self.refused > 0 {
            bail!("{} lines were refused", self.refused);
        }
        if let Some(count) = self.until_count.filter(|count| self.shown < *count && !self.was_asked_to_quit()) {
            bail!("only {} of {count} messages came", self.shown);
        }
        Ok(())
    }

    fn was_asked_to_quit(&self) -> bool {
        self.quit && self.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }

    async fn take_line(&mut self, line: &str) -> Result<()> {
        match parse::parse(line) {
            Ok(Line::Nothing) => Ok(()),
            Ok(Line::Text(text)) => self.send(Body::text(&text)).await,
            Ok(Line::To(user)) => self.turn_to(Target::User(user)),
            Ok(Line::In(place)) => self.go(place).await,
            Ok(Line::List) => self.list().await,
            Ok(Line::Group(draft)) => self.make_group(&draft).await,
            Ok(Line::Room(draft)) => self.make_room(&draft).await,
            Ok(Line::Join(place)) => self.join(place).await,
            Ok(Line::Members) => self.members().await,
            Ok(Line::Invite(users)) => self.invite(&users).await,
            Ok(Line::Remove(user)) => self.remove(&user).await,
            Ok(Line::Leave) => self.leave().await,
            Ok(Line::Title(title)) => self.retitle(title).await,
            Ok(Line::Role { user, role }) => self.set_role(&user, role).await,
            Ok(Line::Mute(minutes)) => self.mute(minutes).await,
            Ok(Line::Keep(change)) => self.keep(change).await,
            Ok(Line::History(before)) => self.history(before).await,
            Ok(Line::Personal(line)) => self.personal(line).await,
            Ok(Line::Reply { target, text }) => self.reply(target, &text).await,
            Ok(Line::React { target, key, on }) => self.react(target, &key, on).await,
            Ok(Line::Edit { target, text }) => self.edit(target, &text).await,
            Ok(Line::Recall(target)) => self.recall(target).await,
            Ok(Line::Unread) => self.unread().await,
            Ok(Line::Read) => self.read().await,
            Ok(Line::Link(shown)) => self.find_link(&shown).await,
            Ok(Line::Approve) => self.answer_link(true).await,
            Ok(Line::Refuse) => self.answer_link(false).await,
            Ok(Line::Who) => self.who(),
            Ok(Line::Help) => input::HELP.iter().try_for_each(|line| self.screen.note(line)),
            Ok(Line::Quit) => {
                self.quit = true;
                Ok(())
            }
            Err(why) => self.screen.note(&why),
        }
    }

    async fn send(&mut self, body: Body) -> Result<()> {
        let Some(target) = self.target.clone() else {
            self.refused += 1;
            return self.screen.note("to whom? /to USER or /in ID says it");
        };
        let taken = self.client.enqueue(target, body).await;
        self.await_answer(taken)
    }

    fn turn_to(&mut self, target: Target) -> Result<()> {
        let name = match &target {
            Target::User(user) => user.to_string(),
            Target::Conversation(conversation) => conversation.to_string(),
        };
        self.target = Some(target);
        self.screen.note(&format!("talking to {name}"))
    }

    /// The conversation that lines go to.
    fn conversation(&self) -> Option<ConversationId> {
        match self.target.as_ref()? {
            Target::User(peer) => Some(ConversationId::direct(&self.user, peer)),
            Target::Conversation(conversation) => Some(*conversation),
        }
    }

    async fn read(&mut self) -> Result<()> {
        let nothing = "nothing to read here yet";
        let Some(conversation) = self.conversation() else { return self.screen.note(nothing) };
        let newest = self.store.history(conversation, 1).await?.pop();
        let Some(Entry { seq, .. }) = newest else { return self.screen.note(nothing) };
        match self.client.read(conversation, seq).await {
            Ok(()) => self.screen.note(&format!("read up to {seq}")),
            Err(error) => self.screen.note(&format!("not read: {error}")),
        }
    }

    fn who(&self) -> Result<()> {
        let counters = self.client.counters();
        let place = self.conversation().map_or_else(|| "no conversation".to_owned(), |id| id.to_string());
        self.screen.note(&format!(
            "{} in {place}; {} entries taken, {} connections, {} messages wait",
            self.user,
            counters.entries,
            counters.connects,
            self.answers.len()
        ))
    }

    fn take_answer(&mut self, answer: Result<Sent, SendError>) -> Result<()> {
        match answer {
            Ok(_) => Ok(()),
            Err(error) => {
                self.refused += 1;
                self.screen.note(&format!("not sent: {error}"))
            }
        }
    }

    fn take_event(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Entry(entry) => {
                self.shown += u64::from(self.screen.entry(&entry)?);
                Ok(())
            }
            Event::Filling(Filling::Entries { entries, .. }) => {
                for entry in &entries {
                    self.shown += u64::from(self.screen.entry(entry)?);
                }
                Ok(())
            }
            Event::Answered { outcome, .. } => self.take_answer(outcome),
            other => self.screen.event(&other),
        }
    }
}

fn stopped(reason: StopReason) -> Result<()> {
    match reason {
        StopReason::Asked => Ok(()),
        other => bail!("the server and this device have parted: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_has_both_doors() {
        assert_eq!(rest_url("ws://127.0.0.1:8080/v1/ws"), "http://127.0.0.1:8080");
        assert_eq!(rest_url("wss://chat.example/v1/ws"), "https://chat.example");
    }
}
