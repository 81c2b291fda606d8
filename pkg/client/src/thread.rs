//! What a conversation looks like once its log has been read: for applications that show one.

use lockstep_protocol::{Body, Content, Entry, EntryId, Kind, Sender, Seq, UnixMs};
use std::collections::{BTreeMap, BTreeSet};

/// The state of one conversation: its messages with their current bodies and the reactions to them.
///
/// Feed it the conversation's entries in the order of the log, from [`Event::Entry`](crate::Event::Entry) or a local
/// store's history; one that it has had changes nothing. However late a reader comes, it ends with the same state as one
/// that was there all the time: where the server has erased a recalled message, both show it as recalled, without a body.
///
/// ```
/// # use lockstep_client::Thread;
/// # fn show(entries: Vec<lockstep_client::protocol::Entry>) {
/// let mut thread = Thread::new();
/// entries.iter().for_each(|entry| thread.apply(entry));
/// for (seq, message) in thread.messages() {
///     println!("{seq} {}: {}", message.sender, message.body.as_json());
/// }
/// # }
/// ```
///
/// It holds all messages that it was given; [`forget_below`](Self::forget_below) drops the oldest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Thread {
    messages: BTreeMap<Seq, Message>,
    upto: Seq,
}

/// One message, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The entry's id.
    pub id: EntryId,
    /// Who wrote it.
    pub sender: Sender,
    /// When the server took it.
    pub sent_at: UnixMs,
    /// The body of its last edit, or else its own; [`Body::recalled`] once it is recalled.
    pub body: Body,
    /// When its last edit was taken.
    pub edited_at: Option<UnixMs>,
    /// Whether it is recalled: it has no edits and no reactions then.
    pub recalled: bool,
    /// Who reacts with what.
    pub reactions: BTreeMap<String, BTreeSet<String>>,
}

impl Thread {
    /// A conversation without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next entry. Entries of kinds that change no message, and those about messages that it does not have, only
    /// move [`upto`](Self::upto).
    pub fn apply(&mut self, entry: &Entry) {
        if entry.seq <= self.upto {
            return;
        }
        self.upto = entry.seq;
        if entry.kind == Kind::Message {
            self.messages.insert(entry.seq, Message::of(entry));
            return;
        }
        // An edit whose message was recalled since is a stub: it has no form any more.
        let Ok(content) = Content::of(&entry.kind, &entry.body) else { return };
        let Some(message) = content.target().and_then(|target| self.messages.get_mut(&target)) else { return };
        message.take(content, entry);
    }

    /// Everything up to here was taken.
    pub fn upto(&self) -> Seq {
        self.upto
    }

    /// The message at a place.
    pub fn message(&self, seq: Seq) -> Option<&Message> {
        self.messages.get(&seq)
    }

    /// All messages, in the order of the log.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = (Seq, &Message)> + '_ {
        self.messages.iter().map(|(seq, message)| (*seq, message))
    }

    /// Drops the messages below a place, such as the end of a skip because of retention.
    pub fn forget_below(&mut self, seq: Seq) {
        self.messages = self.messages.split_off(&seq);
    }
}

impl Message {
    fn of(entry: &Entry) -> Self {
        Self {
            id: entry.id,
            sender: entry.sender.clone(),
            sent_at: entry.sent_at,
            body: entry.body.clone(),
            edited_at: None,
            recalled: entry.body.is_recalled(),
            reactions: BTreeMap::new(),
        }
    }

    fn take(&mut self, content: Content, entry: &Entry) {
        // Of what a recalled message was, a late reader sees less than one who was there: neither keeps any of it.
        if self.recalled {
            return;
        }
        match content {
            Content::Edit { body, .. } => {
                self.body = body;
                self.edited_at = Some(entry.sent_at);
            }
            Content::Recall { .. } => {
                self.body = Body::recalled();
                self.edited_at = None;
                self.recalled = true;
                self.reactions.clear();
            }
            Content::Reaction { key, on: true, .. } => {
                self.reactions.entry(key).or_default().insert(entry.sender.as_str().to_owned());
            }
            Content::Reaction { key, on: false, .. } => {
                if let Some(senders) = self.reactions.get_mut(&key) {
                    senders.remove(entry.sender.as_str());
                    if senders.is_empty() {
                        self.reactions.remove(&key);
                    }
                }
            }
            Content::Plain | Content::Message { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_protocol::{ConversationId, UserId};

    fn entry(seq: u64, kind: Kind, sender: &str, body: Body) -> Entry {
        Entry {
            conversation: ConversationId::from_bytes([1; 16]),
            seq: Seq::new(seq),
            id: EntryId::from_bytes([seq as u8; 16]),
            kind,
            sender: Sender::user(&UserId::new(sender).expect("a user")),
            sender_device: None,
            client_msg_id: None,
            body,
            sent_at: UnixMs::new(1_000 + seq),
        }
    }

    fn thread(entries: &[Entry]) -> Thread {
        let mut thread = Thread::new();
        entries.iter().for_each(|entry| thread.apply(entry));
        thread
    }

    #[test]
    fn edits_and_reactions_change_a_message_and_repeats_change_nothing() {
        let at = Seq::new(1);
        let mut entries = vec![
            entry(1, Kind::Message, "ana", Body::text("helo")),
            entry(2, Kind::Edit, "ana", Body::edit(at, &Body::text("hello"))),
            entry(3, Kind::Reaction, "ben", Body::reaction(at, "+1", true)),
            entry(4, Kind::Reaction, "eve", Body::reaction(at, "+1", true)),
            entry(5, Kind::Reaction, "eve", Body::reaction(at, "+1", false)),
            entry(6, Kind::Reaction, "eve", Body::reaction(Seq::new(77), "+1", true)),
            entry(7, Kind::from_text("poll"), "eve", Body::text("later")),
        ];
        let seen = thread(&entries);
        let message = seen.message(at).expect("a message");
        assert_eq!((&message.body, message.edited_at), (&Body::text("hello"), Some(UnixMs::new(1_002))));
        assert_eq!(message.reactions, BTreeMap::from([("+1".to_owned(), BTreeSet::from(["ben".to_owned()]))]));
        assert_eq!((seen.messages().count(), seen.upto()), (1, Seq::new(7)));
        entries.extend_from_slice(&entries.clone());
        assert_eq!(thread(&entries), seen);
        let mut short = seen;
        short.forget_below(Seq::new(2));
        assert_eq!(short.messages().count(), 0);
    }

    #[test]
    fn who_was_there_and_who_comes_late_see_the_same_of_a_recalled_message() {
        let at = Seq::new(1);
        let live = [
            entry(1, Kind::Message, "ana", Body::text("secret")),
            entry(2, Kind::Edit, "ana", Body::edit(at, &Body::text("more secret"))),
            entry(3, Kind::Reaction, "ben", Body::reaction(at, "+1", true)),
            entry(4, Kind::Recall, "ana", Body::recall(at)),
        ];
        let mut late = live.clone();
        late[0].body = Body::recalled();
        late[1].body = Body::recalled();
        assert_eq!(thread(&live), thread(&late));
        let seen = thread(&live);
        let message = seen.message(at).expect("a message");
        assert!(message.recalled && message.body.is_recalled() && message.reactions.is_empty());
        assert_eq!(message.edited_at, None);
    }
}
