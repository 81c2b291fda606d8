//! Conversations and who may see what of them.

use lockstep_protocol::{ConversationId, Seq, SkipReason, UnixMs, UserId};
use serde::{Deserialize, Serialize};

use crate::{Details, Role, Skip};

/// What sort of conversation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// Two users.
    Direct,
    /// Invited members.
    Group,
    /// Open to join.
    Room,
    /// A user's own conversation with the server.
    Feed,
}

impl ConversationKind {
    /// The kind as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Room => "room",
            Self::Feed => "feed",
        }
    }

    /// The kind that a text names.
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Direct, Self::Group, Self::Room, Self::Feed].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A conversation as the directory knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// Title, avatar and the like.
    pub details: Details,
    /// How many members it has now.
    pub member_count: u64,
    /// What its log holds.
    pub bounds: Bounds,
    /// When it was made.
    pub created_at: UnixMs,
    /// When the last entry came.
    pub active_at: UnixMs,
}

/// A member of a conversation, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub user: UserId,
    /// What it may do.
    pub role: Role,
    /// Where its stay began: members stand in this order, those of the same place in the order of their ids.
    pub joined_seq: Seq,
    /// Since when it is a member.
    pub joined_at: UnixMs,
}

/// What a log holds: the entries from `floor` to `head`. An empty log has a head below its floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The first entry that retention has left; 1 in a new log.
    pub floor: Seq,
    /// The last entry; 0 in a new log.
    pub head: Seq,
}

/// One stay of a member in a conversation (I11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The head when the member joined: the stay begins after it.
    pub joined_seq: Seq,
    /// The last entry that the member may see; absent while the stay lasts.
    pub left_seq: Option<Seq>,
    /// The first entry that the member may see, which may lie before the joining.
    pub visible_from_seq: Seq,
}

/// All stays of one member in one conversation, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Intervals(pub Vec<Interval>);

/// What stands at a place of a log for one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Entries from here to this one, as far as the log reaches.
    Visible {
        /// The last visible one of this stretch; absent while the stay lasts.
        to: Option<Seq>,
    },
    /// Nothing up to and including `skip.to`.
    Hidden(Skip),
    /// Nothing, and nothing will ever be there unless the member joins again.
    Ended,
}

impl Intervals {
    /// Whether the user is a member now.
    pub fn is_member(&self) -> bool {
        self.0.last().is_some_and(|stay| stay.left_seq.is_none())
    }

    /// The last entry that a user may see who is a member no more; absent while a stay lasts.
    pub fn end(&self) -> Option<Seq> {
        if self.is_member() {
            return None;
        }
        Some(self.0.last().and_then(|stay| stay.left_seq).unwrap_or_default())
    }

    /// Whether one who has everything up to here is at the end of a stay, or behind all of them.
    pub fn end_at(&self, seq: Seq) -> bool {
        let ends = |stay: &Interval| stay.left_seq == Some(seq);
        self.0.iter().any(ends) || self.view(seq.next(), Seq::ZERO) == View::Ended
    }

    /// The first place from `from` on that any of the stays shows.
    pub fn first_shown(&self, from: Seq) -> Option<Seq> {
        let shown = |stay: &Interval| {
            let first = from.max(stay.visible_from_seq);
            stay.left_seq.is_none_or(|left| left >= first).then_some(first)
        };
        self.0.iter().filter_map(shown).min()
    }

    /// The last place up to `to` that any of the stays shows.
    pub fn last_shown(&self, to: Seq) -> Option<Seq> {
        let shown = |stay: &Interval| {
            let last = stay.left_seq.map_or(to, |left| left.min(to));
            (stay.visible_from_seq <= last).then_some(last)
        };
        self.0.iter().filter_map(shown).max()
    }

    /// The one stay that decides what a member sees from `from` on, until it ends.
    pub fn stretch(&self, from: Seq) -> Self {
        let lasts = |stay: &&Interval| stay.left_seq.is_none_or(|left| left >= from);
        let stays = self.0.iter().filter(lasts);
        let first = stays.clone().find(|stay| stay.visible_from_seq <= from);
        let stay = first.or_else(|| stays.min_by_key(|stay| stay.visible_from_seq)).or(self.0.last());
        Self(stay.into_iter().copied().collect())
    }

    /// What a member sees from `from` on, in a log whose floor is `floor`: what any of the stays shows.
    pub fn view(&self, from: Seq, floor: Seq) -> View {
        let lasts = |stay: &&Interval| stay.left_seq.is_none_or(|left| left >= from);
        let stays = self.0.iter().filter(lasts);
        let Some(stay) = stays.clone().find(|stay| stay.visible_from_seq <= from) else {
            let next = stays.map(|stay| stay.visible_from_seq).min();
            return next.map_or(View::Ended, |next| {
                View::Hidden(Skip { from, to: next.previous(), reason: SkipReason::Membership })
            });
        };
        if from < floor {
            let to = stay.left_seq.map_or(floor.previous(), |left| left.min(floor.previous()));
            return View::Hidden(Skip { from, to, reason: SkipReason::Retention });
        }
        View::Visible { to: stay.left_seq }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stay_decides_until_it_ends() {
        let stay = |left: Option<u64>, visible| Interval {
            joined_seq: Seq::ZERO,
            left_seq: left.map(Seq::new),
            visible_from_seq: Seq::new(visible),
        };
        let cases = [
            vec![stay(Some(4), 2), stay(Some(8), 6), stay(None, 11)],
            vec![stay(Some(4), 2), stay(Some(8), 6)],
            vec![stay(Some(4), 3), stay(Some(8), 1), stay(Some(12), 1)],
            vec![stay(Some(4), 3), stay(None, 1)],
            vec![stay(Some(4), 9), stay(Some(8), 6)],
            vec![],
        ];
        for stays in cases.map(Intervals) {
            for from in (1..15).map(Seq::new) {
                let stretch = stays.stretch(from);
                assert!(stretch.0.len() <= 1);
                // What is hidden first is followed by what the same stay shows.
                let mut at = from;
                while let View::Hidden(skip) = stays.view(at, Seq::new(1)) {
                    assert_eq!(stretch.view(at, Seq::new(1)), View::Hidden(skip), "{stays:?} from {from}");
                    at = skip.to.next();
                }
                let (all, one) = (stays.view(at, Seq::new(1)), stretch.view(at, Seq::new(1)));
                assert_eq!(all, one, "{stays:?} from {from}");
                if let View::Visible { to: Some(to) } = one {
                    assert!(stretch.end_at(to) && stretch.view(to.next(), Seq::new(1)) == View::Ended);
                }
            }
        }
    }

    #[test]
    fn what_a_member_sees() {
        let seq = Seq::new;
        let stay = |joined, left: Option<u64>, visible| Interval {
            joined_seq: seq(joined),
            left_seq: left.map(seq),
            visible_from_seq: seq(visible),
        };
        let hidden = |from, to, reason| View::Hidden(Skip { from: seq(from), to: seq(to), reason });
        let stays = Intervals(vec![stay(4, Some(10), 3), stay(20, None, 21)]);
        let (membership, retention) = (SkipReason::Membership, SkipReason::Retention);
        let cases = [
            (1, 1, hidden(1, 2, membership)),
            (3, 1, View::Visible { to: Some(seq(10)) }),
            (10, 1, View::Visible { to: Some(seq(10)) }),
            (11, 1, hidden(11, 20, membership)),
            (21, 1, View::Visible { to: None }),
            (3, 6, hidden(3, 5, retention)),
            (3, 30, hidden(3, 10, retention)),
            (25, 30, hidden(25, 29, retention)),
        ];
        for (from, floor, expected) in cases {
            assert_eq!(stays.view(seq(from), seq(floor)), expected, "from {from}, floor {floor}");
        }
        assert_eq!(Intervals(vec![stay(0, Some(9), 1)]).view(seq(10), seq(1)), View::Ended);
        assert!(stays.is_member() && !Intervals::default().is_member());
        // One who comes back and now sees what was before the first stay, and what was between the two.
        let all = Intervals(vec![stay(4, Some(10), 5), stay(20, None, 1)]);
        for from in [1, 5, 11, 21] {
            let View::Visible { to } = all.view(seq(from), seq(1)) else { panic!("{from} is hidden") };
            assert!(to.is_none() || from == 5, "{from}");
        }
        let shown = |stays: &Intervals, at| {
            let places = (stays.first_shown(seq(at)), stays.last_shown(seq(at)));
            (places.0.map(Seq::get), places.1.map(Seq::get))
        };
        for (at, first, last) in
            [(1, Some(3), None), (4, Some(4), Some(4)), (15, Some(21), Some(10)), (22, Some(22), Some(22))]
        {
            assert_eq!(shown(&stays, at), (first, last), "{at}");
        }
        assert_eq!(shown(&all, 15), (Some(15), Some(15)));
        assert_eq!(shown(&Intervals(vec![stay(0, Some(9), 1)]), 10), (None, Some(9)));
        assert_eq!(shown(&Intervals(vec![stay(0, Some(9), 10)]), 12), (None, None), "all of the stay is hidden");
        let ends: Vec<u64> = (0..30).filter(|at| stays.end_at(seq(*at))).collect();
        assert_eq!(ends, [10]);
        assert!(
            !Intervals(vec![stay(0, Some(9), 1)]).end_at(seq(8))
                && Intervals(vec![stay(0, Some(9), 1)]).end_at(seq(12))
        );
        assert_eq!((stays.end(), Intervals(vec![stay(0, Some(9), 1)]).end()), (None, Some(seq(9))));
    }
}
