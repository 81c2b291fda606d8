//! History of a conversation, for those who read it by pages.

use crate::Engine;
use crate::api::store_failed;
use lockstep_model::{Bounds, Code, ConversationId, Intervals, Seq, SharedEntry, UserId, View};
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
        let count = u64::from(count.min(Range::COUNT_MAX));
        // A page begins, or ends, where something is visible: so it is empty only if nothing is left that way.
        let (from, to) = match slice {
            Slice::Latest => tail(&intervals, bounds, head, count),
            Slice::Before(before) => tail(&intervals, bounds, before.previous().min(head), count),
            Slice::After(after) => {
                let from = intervals.first_shown(after.next().max(floor)).unwrap_or(head.next());
                (from, Seq::new((from.get() + count).saturating_sub(1)).min(head))
            }
        };
        let wanted = (to.get() + 1).saturating_sub(from.get());
        let range = Range { conversation, from, count: wanted as u32 };
        let found = self.0.ports.log.ranges(vec![range]).await.map_err(|error| store_failed(&error))?;
        // If the floor has risen meanwhile, the log answers with what lies above it.
        let visible = |seq| seq <= to && matches!(intervals.view(seq, floor), View::Visible { .. });
        let entries = found.into_iter().flatten().filter(|entry| visible(entry.seq));
        Ok(HistoryPage { entries: entries.map(SharedEntry::new).collect(), floor, head })
    }
}

/// Where the last `count` entries up to `to` begin and end, of which the last is one that the stays show.
fn tail(intervals: &Intervals, bounds: Bounds, to: Seq, count: u64) -> (Seq, Seq) {
    let to = intervals.last_shown(to).unwrap_or_default();
    (Seq::new((to.get() + 1).saturating_sub(count)).max(bounds.floor), to)
}
