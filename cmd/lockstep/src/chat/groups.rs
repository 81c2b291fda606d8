//! Commands about conversations: which there are, who is in them, what is unread.

use super::Chat;
use super::here::kept;
use super::input::Place;
use super::screen::short;
use anyhow::Result;
use lockstep_client::protocol::limits::UNREAD_CONVERSATIONS_MAX;
use lockstep_client::protocol::{ConversationId, Target, UnixMs, Unread, UserId};
use lockstep_client::{Conversation, ConversationKind, Draft, RestError, Role};

impl Chat {
    /// Turns to a conversation.
    pub(super) async fn go(&mut self, place: Place) -> Result<()> {
        let Some(id) = self.find(place).await? else { return Ok(()) };
        self.turn_to(Target::Conversation(id))
    }

    /// Makes a group and turns to it.
    pub(super) async fn make_group(&mut self, draft: &Draft) -> Result<()> {
        let Some(made) = self.heard(self.rest.make_group(draft).await)? else { return Ok(()) };
        self.turn_to(Target::Conversation(made.id))
    }

    /// Makes a room and turns to it.
    pub(super) async fn make_room(&mut self, draft: &Draft) -> Result<()> {
        let Some(made) = self.heard(self.rest.make_room(draft).await)? else { return Ok(()) };
        self.turn_to(Target::Conversation(made.id))
    }

    /// Joins a room and turns to it.
    pub(super) async fn join(&mut self, place: Place) -> Result<()> {
        let Some(id) = self.find(place).await? else { return Ok(()) };
        let Some(joined) = self.heard(self.rest.join(id).await)? else { return Ok(()) };
        self.turn_to(Target::Conversation(joined.id))
    }

    /// The conversation that a person means, or a word that none is meant.
    async fn find(&mut self, place: Place) -> Result<Option<ConversationId>> {
        let end = match place {
            Place::Id(id) => return Ok(Some(id)),
            Place::End(end) => end,
        };
        let Some(all) = self.heard(self.rest.list().await)? else { return Ok(None) };
        let fitting: Vec<_> = all.iter().filter(|it| it.id.to_string().ends_with(&end)).collect();
        let [one] = fitting[..] else {
            self.screen.note(&format!("{} conversations end so; /list shows them", fitting.len()))?;
            return Ok(None);
        };
        Ok(Some(one.id))
    }

    /// Shows all conversations, with what is unread in each.
    pub(super) async fn list(&mut self) -> Result<()> {
        let Some(all) = self.heard(self.rest.list().await)? else { return Ok(()) };
        let Some(counts) = self.unread_of(&all).await? else { return Ok(()) };
        for it in &all {
            let count = counts.iter().find(|count| count.conversation == it.id);
            let unread =
                count.map_or_else(|| ", which you have left".to_owned(), |it| format!(": {}", unread_text(it)));
            let kept: String = kept(&it.state, UnixMs::now()).iter().map(|word| format!(", {word}")).collect();
            self.screen.note(&format!("{} {}{unread}{kept}", it.id, name(it)))?;
        }
        self.screen.note(&format!("{} conversations", all.len()))
    }

    /// Shows where something is unread, and how much it is together.
    pub(super) async fn unread(&mut self) -> Result<()> {
        let Some(all) = self.heard(self.rest.list().await)? else { return Ok(()) };
        let Some(counts) = self.unread_of(&all).await? else { return Ok(()) };
        for count in counts.iter().filter(|count| count.unread > 0 || count.marked) {
            let name = all.iter().find(|it| it.id == count.conversation).map(name).unwrap_or_default();
            self.screen.note(&format!("{} {name}: {}", short(count.conversation), unread_text(count)))?;
        }
        let Some(total) = self.heard(self.rest.unread_total().await)? else { return Ok(()) };
        let more = if total.more { "+" } else { "" };
        self.screen.note(&format!("{}{more} unread in all", total.unread))
    }

    /// Shows who is in the conversation, and how far each has read.
    pub(super) async fn members(&mut self) -> Result<()> {
        let Some(here) = self.here()? else { return Ok(()) };
        let Some(members) = self.heard(self.rest.members(here).await)? else { return Ok(()) };
        let Some(receipts) = self.heard(self.rest.receipts(here).await)? else { return Ok(()) };
        for member in members {
            let read = receipts.iter().find(|receipt| receipt.user == member.user).and_then(|receipt| receipt.read);
            let read = read.map(|seq| format!(", has read up to {seq}")).unwrap_or_default();
            self.screen.note(&format!("{} ({}){read}", member.user, role_name(member.role)))?;
        }
        Ok(())
    }

    pub(super) async fn invite(&mut self, users: &[UserId]) -> Result<()> {
        let Some(here) = self.here()? else { return Ok(()) };
        let Some(added) = self.heard(self.rest.invite(here, users).await)? else { return Ok(()) };
        self.screen.note(&format!("{} invited", added.len()))
    }

    pub(super) async fn remove(&mut self, user: &UserId) -> Result<()> {
        let Some(here) = self.here()? else { return Ok(()) };
        let Some(()) = self.heard(self.rest.remove(here, user).await)? else { return Ok(()) };
        self.screen.note(&format!("{user} is removed"))
    }

    pub(super) async fn leave(&mut self) -> Result<()> {
        let Some(here) = self.here()? else { return Ok(()) };
        let Some(()) = self.heard(self.rest.leave(here).await)? else { return Ok(()) };
        self.target = None;
        self.screen.note("left")
    }

    /// How much is unread in the conversations that the user is in.
    async fn unread_of(&mut self, all: &[Conversation]) -> Result<Option<Vec<Unread>>> {
        let ids: Vec<ConversationId> = all.iter().filter(|it| it.member).map(|it| it.id).collect();
        let mut counts = Vec::new();
        for some in ids.chunks(UNREAD_CONVERSATIONS_MAX) {
            let Some(more) = self.heard(self.rest.unread(some).await)? else { return Ok(None) };
            counts.extend(more);
        }
        Ok(Some(counts))
    }

    /// The conversation that lines go to, or a word that there is none.
    pub(super) fn here(&mut self) -> Result<Option<ConversationId>> {
        let here = self.conversation();
        if here.is_none() {
            self.refused += 1;
            self.screen.note("where? /to USER or /in ID says it")?;
        }
        Ok(here)
    }

    /// What the server gave; a refusal is shown and counted.
    pub(super) fn heard<T>(&mut self, answer: Result<T, RestError>) -> Result<Option<T>> {
        match answer {
            Ok(given) => Ok(Some(given)),
            Err(error) => {
                self.refused += 1;
                self.screen.note(&format!("not done: {error}"))?;
                Ok(None)
            }
        }
    }
}

/// What a role is called.
pub(super) fn role_name(role: Role) -> String {
    format!("{role:?}").to_lowercase()
}

/// What a person calls it.
fn name(it: &Conversation) -> String {
    match (&it.peer, &it.title) {
        (Some(peer), _) => format!("with {peer}"),
        (None, Some(title)) => title.clone(),
        (None, None) if it.kind == ConversationKind::Room => "a room".to_owned(),
        (None, None) => "a group".to_owned(),
    }
}

fn unread_text(count: &Unread) -> String {
    let more = if count.more { "+" } else { "" };
    let mentions = if count.mentions > 0 { format!(", {} to you", count.mentions) } else { String::new() };
    let marked = if count.marked { ", marked as unread" } else { "" };
    format!("{}{more} unread{mentions}{marked}", count.unread)
}
