//! History of a conversation, for those who read it by pages.

use crate::Engine;
use crate::api::store_failed;
use lockstep_model::{Bounds, Code, ConversationId, Seq, SharedEntry, UserId, View};
use lockstep_ports::Range;

/// Which part of a conversation's history is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// The newest.
    Latest,
    /// The newest of those below this place.
    Before(Seq),
    /// The oldest of those above this place.
    After(Seq),
}

/// A stretch of a conversation's history, in seq order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// The entries.
    pub entries: Vec<SharedEntry>,
    /// The log's floor.
    pub floor: Seq,
    /// The log's head.
    pub head: Seq,
}

impl Engine {
    /// Reads a stretch of a conversation, as far as the user may see it.
    ///
    /// # Errors
    ///
    /// `no_such_conversation` if the user never was a member, `try_again`.
    pub async fn history(
        &self,
        user: &UserId,
        conversation: ConversationId,
        slice: Slice,
        count: u32,
    ) -> Result<HistoryPage, Code> {
        let (intervals, bounds) = self.membership(user, conversation).await?;
        let Bounds { floor, mut head } = bounds;
        // How far a conversation goes on is no business of one who has left it.
        if let Some(left) = intervals.end() {
            head = head.min(left);
        }
        let (from, to) = match slice {
            Slice::Latest => (tail(head, count), head),
            Slice::Before(before) => {
                let to = before.previous().min(head);
                (tail(to, count), to)
            }
            Slice::After(after) => (after.next(), Seq::new(after.get() + u64::from(count)).min(head)),
        };
        let wanted = (to.get() + 1).saturating_sub(from.get()) as u32;
        let range = Range { conversation, from, count: wanted.min(count) };
        let found = self.0.ports.log.ranges(vec![range]).await.map_err(|error| store_failed(&error))?;
        let visible = |seq| matches!(intervals.view(seq, floor), View::Visible { .. });
        let entries = found.into_iter().flatten().filter(|entry| visible(entry.seq));
        Ok(HistoryPage { entries: entries.map(SharedEntry::new).collect(), floor, head })
    }
}

/// Where the last `count` entries up to `to` begin.
fn tail(to: Seq, count: u32) -> Seq {
    Seq::new((to.get() + 1).saturating_sub(u64::from(count)).max(1))
}
