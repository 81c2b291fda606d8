//! How long conversations keep their entries.

use crate::{Bounds, ConversationKind};
use lockstep_protocol::Seq;
use std::time::Duration;

/// What is kept, for each kind of conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Of direct conversations.
    pub direct: RetentionRule,
    /// Of groups.
    pub group: RetentionRule,
    /// Of rooms.
    pub room: RetentionRule,
    /// Of users' feeds.
    pub feed: RetentionRule,
}

/// What one kind of conversation keeps. Without a bound everything is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetentionRule {
    /// Entries that are older go.
    pub age_max: Option<Duration>,
    /// So many of the newest entries stay.
    pub count_max: Option<u64>,
}

impl Retention {
    /// The rule of a kind.
    pub fn of(&self, kind: ConversationKind) -> RetentionRule {
        match kind {
            ConversationKind::Direct => self.direct,
            ConversationKind::Group => self.group,
            ConversationKind::Room => self.room,
            ConversationKind::Feed => self.feed,
        }
    }

    /// Whether anything ever goes.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl RetentionRule {
    /// The floor that a log may have, if it is above the present one. `young` is the first entry that is not too old, or the
    /// one after all that was looked at. `needed` is the first entry that some device has yet to get, if that counts: only
    /// age takes it away.
    pub fn floor(&self, bounds: Bounds, young: Seq, needed: Option<Seq>) -> Option<Seq> {
        let by_age = self.age_max.map(|_| young);
        let first_kept = |count: u64| Seq::new((bounds.head.get() + 1).saturating_sub(count));
        let by_count =
            self.count_max.map(|count| needed.map_or(first_kept(count), |needed| needed.min(first_kept(count))));
        by_age.max(by_count).map(|floor| floor.min(bounds.head.next())).filter(|floor| *floor > bounds.floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_floor_may_rise_to() {
        let seq = Seq::new;
        let rule = |age: bool, count_max| RetentionRule { age_max: age.then_some(Duration::from_secs(1)), count_max };
        let (none, aged, ten) = (rule(false, None), rule(true, None), rule(false, Some(10)));
        let (both, zero) = (rule(true, Some(10)), rule(false, Some(0)));
        // Rule, floor, head, first young entry, first needed entry; the new floor.
        let cases = [
            (none, 1, 100, 50, None, None),
            (aged, 1, 100, 50, None, Some(50)),
            (aged, 50, 100, 50, None, None),
            (aged, 1, 100, 501, None, Some(101)),
            (aged, 1, 100, 50, Some(7), Some(50)),
            (ten, 1, 100, 1, None, Some(91)),
            (ten, 1, 10, 1, None, None),
            (ten, 1, 0, 1, None, None),
            (ten, 1, 100, 1, Some(7), Some(7)),
            (ten, 1, 100, 1, Some(99), Some(91)),
            (ten, 8, 100, 1, Some(7), None),
            (both, 1, 100, 95, Some(7), Some(95)),
            (both, 1, 100, 20, None, Some(91)),
            (zero, 1, 100, 1, None, Some(101)),
        ];
        for (number, (rule, floor, head, young, needed, expected)) in cases.into_iter().enumerate() {
            let bounds = Bounds { floor: seq(floor), head: seq(head) };
            assert_eq!(rule.floor(bounds, seq(young), needed.map(seq)), expected.map(seq), "case {number}");
        }
    }
}
