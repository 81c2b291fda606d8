//! Commands about the conversation that lines go to: what is changed of it for all, and what the user keeps about it.

use super::Chat;
use super::groups::role_name;
use anyhow::Result;
use lockstep_client::protocol::{Seq, StateChange, UnixMs, UserId};
use lockstep_client::{DetailsChange, MemberState, Role, Slice};

/// Entries that `/history` shows at once.
const HISTORY_COUNT: u32 = 20;
const MINUTE_MS: u64 = 60_000;

impl Chat {
    /// Gives it another title, or takes the title away.
    pub(super) async fn retitle(&mut self, title: Option<String>) -> Result<()> {
        let Some(here) = self.here()? else { return Ok(()) };
        let change = DetailsChange { title: Some(title), ..DetailsChange::default() };
        let Some(now) = self.heard(self.rest.change(here, &change).await)? else { return Ok(()) };
        self.screen
            .note(&now.title.map_or_else(|| "it has no title".to_owned(), |title| format!("it is called {title}")))
    }

    pub(super) async fn set_role(&mut self, user: &UserId, role: Role) -> Result<()> {
        let Some(here) = self.here()? else { return Ok(()) };
        let Some(()) = self.heard(self.rest.set_role(here, user, role).await)? else { return Ok(()) };
        self.screen.note(&format!("{user} is {} now", role_name(role)))
    }

    /// Shows what the log has before a message, or last of all.
    pub(super) async fn history(&mut self, before: Option<Seq>) -> Result<()> {
        let Some(here) = self.here()? else { return Ok(()) };
        let slice = before.map_or(Slice::Latest, Slice::Before);
        let Some(page) = self.heard(self.rest.history(here, slice, HISTORY_COUNT).await)? else { return Ok(()) };
        for entry in &page.entries {
            self.screen.entry(entry)?;
        }
        match page.entries.first() {
            Some(first) => self.screen.note(&format!("so far from #{}; the last is #{}", first.seq, page.head)),
            None => self.screen.note("there is nothing before that, or not for you"),
        }
    }

    /// Mutes it for so many minutes, or until it is unmuted.
    pub(super) async fn mute(&mut self, minutes: Option<u64>) -> Result<()> {
        let until = |minutes: u64| UnixMs::new(UnixMs::now().get().saturating_add(minutes.saturating_mul(MINUTE_MS)));
        self.keep(StateChange { muted_until: Some(minutes.map_or(UnixMs::MAX, until)), ..StateChange::default() }).await
    }

    /// Changes what the user keeps about it.
    pub(super) async fn keep(&mut self, change: StateChange) -> Result<()> {
        let Some(here) = self.here()? else { return Ok(()) };
        let Some(state) = self.heard(self.rest.change_state(here, change).await)? else { return Ok(()) };
        let words = kept(&state, UnixMs::now()).join(", ");
        self.screen.note(&format!("kept: {}", if words.is_empty() { "nothing" } else { &words }))
    }
}

/// What a user keeps about a conversation, in words.
pub(super) fn kept(state: &MemberState, now: UnixMs) -> Vec<String> {
    let MemberState { pinned, archived, muted_until, marked_unread, delete_before } = *state;
    let minutes = muted_until.get().saturating_sub(now.get()).div_ceil(MINUTE_MS);
    let muted = if muted_until == UnixMs::MAX { "muted".to_owned() } else { format!("muted for {minutes} minutes") };
    let words = [
        (pinned, "pinned".to_owned()),
        (archived, "archived".to_owned()),
        (minutes > 0, muted),
        (marked_unread, "marked as unread".to_owned()),
        (delete_before > Seq::new(1), format!("hidden below #{delete_before}")),
    ];
    words.into_iter().filter_map(|(is_so, word)| is_so.then_some(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_in_words() {
        let now = UnixMs::new(1_000_000);
        let all = MemberState {
            pinned: true,
            archived: true,
            muted_until: UnixMs::new(1_060_001),
            marked_unread: true,
            delete_before: Seq::new(7),
        };
        let words = ["pinned", "archived", "muted for 2 minutes", "marked as unread", "hidden below #7"];
        assert_eq!(kept(&all, now), words);
        assert_eq!(kept(&MemberState { muted_until: UnixMs::MAX, ..MemberState::default() }, now), ["muted"]);
        assert!(kept(&MemberState { muted_until: now, ..MemberState::default() }, now).is_empty());
    }
}
