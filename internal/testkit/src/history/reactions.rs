//! Reactions as devices show them: placed, taken back, and gone with a recall.

use super::{Delivery, History, Received, Verdict};
use lockstep_protocol::{ConversationId, Entry, Kind, Seq};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What an entry says about the reactions to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A user reacts, or takes it back.
    Reaction {
        /// The message.
        target: Seq,
        /// Which reaction.
        key: String,
        /// Whether it is there from now on.
        on: bool,
        /// Whose.
        user: String,
    },
    /// A message is recalled: nothing is left of its reactions.
    Recall {
        /// The message.
        target: Seq,
    },
}

impl Mark {
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let body: Value = serde_json::from_str(entry.body.as_json()).ok()?;
        let target = Seq::new(body["target"].as_u64()?);
        match entry.kind {
            Kind::Recall => Some(Self::Recall { target }),
            Kind::Reaction => {
                let (key, on) = (body["key"].as_str()?.to_owned(), body["on"].as_bool()?);
                Some(Self::Reaction { target, key, on, user: entry.sender.as_str().to_owned() })
            }
            _ => None,
        }
    }
}

/// The reactions to each message of a conversation, with those who placed them.
type Shown<'a> = BTreeMap<Seq, BTreeSet<(&'a str, &'a str)>>;

fn fold<'a>(marks: impl Iterator<Item = &'a Mark>) -> Shown<'a> {
    let mut shown = Shown::new();
    for mark in marks {
        match mark {
            Mark::Reaction { target, key, on, user } => {
                let reactions = shown.entry(*target).or_default();
                if *on {
                    reactions.insert((key, user))
                } else {
                    reactions.remove(&(key.as_str(), user.as_str()))
                };
            }
            Mark::Recall { target } => drop(shown.remove(target)),
        }
    }
    shown.retain(|_, reactions| !reactions.is_empty());
    shown
}

impl History {
    /// The server said that a reaction of a user stands at this place.
    pub fn reacted(&mut self, conversation: ConversationId, seq: Seq, mark: Mark) {
        self.reactions.insert((conversation, seq), mark);
    }

    /// How many reactions were acknowledged, those included that took one back.
    pub fn reaction_count(&self) -> usize {
        self.reactions.len()
    }

    /// The reactions that the log of a conversation leaves to its messages, all together.
    pub fn reactions_shown(&self) -> usize {
        let all = self.members.keys().map(|conversation| fold(self.marks(*conversation).values().copied()));
        all.map(|shown| shown.values().map(BTreeSet::len).sum::<usize>()).sum()
    }

    /// What anybody got of a conversation, by place. Those who have another entry there are told elsewhere.
    fn marks(&self, conversation: ConversationId) -> BTreeMap<Seq, &Mark> {
        let of_conversation = |delivery: &&Delivery| delivery.conversation == conversation;
        let deliveries = self.deliveries().map(|(_, delivery)| delivery).filter(of_conversation);
        deliveries.filter_map(|delivery| Some((delivery.seq, delivery.mark.as_ref()?))).collect()
    }

    /// Every member device, which goes by the order in which entries came, shows what the log says, and the log says what
    /// was acknowledged.
    pub(super) fn check_reactions(&self, verdict: &mut Verdict) {
        for (conversation, members) in &self.members {
            let marks = self.marks(*conversation);
            let expected = fold(marks.values().copied());
            for device in members {
                let received = self.devices[device].received.iter().filter_map(|received| match received {
                    Received::Entry(delivery) if delivery.conversation == *conversation => delivery.mark.as_ref(),
                    _ => None,
                });
                let shown = fold(received);
                let messages: BTreeSet<&Seq> = expected.keys().chain(shown.keys()).collect();
                for message in messages.into_iter().filter(|message| expected.get(message) != shown.get(message)) {
                    let (found, wanted) = (shown.get(message), expected.get(message));
                    let example = || format!("{device} shows {found:?} at {conversation}/{message}, not {wanted:?}");
                    verdict.add(Some(device), |counts| &mut counts.reactions_diverged, example);
                }
            }
            let of_conversation = self.reactions.iter().filter(|((of, _), _)| of == conversation);
            for ((_, seq), asked) in of_conversation.filter(|((_, seq), asked)| marks.get(seq) != Some(asked)) {
                let found = marks.get(seq);
                let example = || format!("{asked:?} was acknowledged as {conversation}/{seq}; there is {found:?}");
                verdict.add(None, |counts| &mut counts.reactions_diverged, example);
            }
        }
    }
}
