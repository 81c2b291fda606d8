//! Conversations and who may see what of them.

use lockstep_protocol::{ConversationId, Seq, SkipReason, UnixMs};

use crate::Skip;

/// What sort of conversation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// Its title, where it has one.
    pub title: Option<String>,
    /// What its log holds.
    pub bounds: Bounds,
    /// When it was made.
    pub created_at: UnixMs,
    /// When the last entry came.
    pub active_at: UnixMs,
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

    /// What a member sees from `from` on, in a log whose floor is `floor`.
    pub fn view(&self, from: Seq, floor: Seq) -> View {
        let stay = self.0.iter().find(|stay| stay.left_seq.is_none_or(|left| left >= from));
        let Some(stay) = stay else { return View::Ended };
        if from < stay.visible_from_seq {
            let to = stay.visible_from_seq.previous();
            return View::Hidden(Skip { from, to, reason: SkipReason::Membership });
        }
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
    }
}
