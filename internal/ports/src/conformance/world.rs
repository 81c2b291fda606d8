//! What the suites make before they look.

use super::Stores;
use crate::{
    Append, AppendRefusal, Appended, Author, Committed, CursorRow, DeviceRefusal, DeviceRemoval, NewConversation,
    NewDevice, Range, Remover,
};
use lockstep_model::{
    Body, ClientMsgId, Conversation, ConversationId, ConversationKind, Device, DeviceId, DeviceKind, Entry, EntryId,
    Kind, Seq, UnixMs, User, UserId,
};

/// A moment that all suites begin at; later ones are added to it.
pub(super) const NOW: u64 = 1_760_000_000_000;

pub(super) fn at(ms: u64) -> UnixMs {
    UnixMs::new(NOW + ms)
}

pub(super) fn seq(number: u64) -> Seq {
    Seq::new(number)
}

/// A user id that nobody has.
pub(super) fn nobody() -> UserId {
    UserId::new(&format!("u-{}", ClientMsgId::random())).expect("a UUID is short")
}

/// A user with a device.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
}

impl Member {
    pub(super) fn author(&self) -> Author {
        Author::Device { user: self.user.clone(), device: self.device }
    }
}

/// A message of this user's device, with a name and an id of its own.
pub(super) fn message(member: &Member, conversation: ConversationId, text: &str) -> Append {
    message_of(member.author(), conversation, text)
}

/// A message of this author, with a name and an id of its own.
pub(super) fn message_of(author: Author, conversation: ConversationId, text: &str) -> Append {
    Append {
        conversation,
        author,
        client_msg_id: ClientMsgId::random(),
        kind: Kind::Message,
        body: Body::text(text),
        id: EntryId::generate(),
        sent_at: at(0),
    }
}

/// The entry of an append that was new.
pub(super) fn new_entry(outcome: &Result<Appended, AppendRefusal>) -> &Entry {
    match outcome {
        Ok(Appended::New(entry)) => entry,
        other => panic!("a new entry was expected, not {other:?}"),
    }
}

impl Stores {
    pub(super) async fn make_user(&self) -> User {
        self.directory.ensure_user(nobody(), at(0)).await.expect("ensure_user")
    }

    pub(super) async fn make_device(&self, user: &UserId) -> Device {
        let device = NewDevice {
            id: DeviceId::generate(),
            user: user.clone(),
            name: "a phone".into(),
            kind: DeviceKind::Main,
            unfilled: false,
            now: at(0),
        };
        self.directory.create_device(device).await.expect("create_device").expect("the user exists").value
    }

    /// Removes a device as an administrator.
    pub(super) async fn remove(&self, device: DeviceId, now: UnixMs) -> Result<Committed<Device>, DeviceRefusal> {
        let removal = DeviceRemoval { device, by: Remover::Administrator, now };
        self.directory.remove_device(removal).await.expect("remove_device")
    }

    /// A user with a device.
    pub(super) async fn make_author(&self) -> Member {
        let user = self.make_user().await.id;
        let device = self.make_device(&user).await.id;
        Member { user, device }
    }

    pub(super) async fn make_group(&self, members: &[&UserId], now: UnixMs) -> Conversation {
        let members = members.iter().map(|&user| user.clone()).collect();
        let id = ConversationId::generate();
        let group = NewConversation { id, kind: ConversationKind::Group, title: Some("a group".into()), members, now };
        self.directory.create_conversation(group).await.expect("create_conversation").expect("all exist").value
    }

    pub(super) async fn append_one(&self, append: Append) -> Result<Appended, AppendRefusal> {
        let mut outcomes = self.log.append(vec![append]).await.expect("append");
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }

    /// Appends this many messages, one after the other in one batch.
    pub(super) async fn fill(&self, author: &Member, conversation: ConversationId, count: u64) -> Vec<Entry> {
        let batch = (1..=count).map(|number| message(author, conversation, &format!("message {number}"))).collect();
        let outcomes = self.log.append(batch).await.expect("append");
        outcomes.iter().map(|outcome| new_entry(outcome).clone()).collect()
    }

    /// What one range holds.
    pub(super) async fn range(&self, conversation: ConversationId, from: u64, count: u32) -> Vec<Entry> {
        let range = Range { conversation, from: seq(from), count };
        let mut answers = self.log.ranges(vec![range]).await.expect("ranges");
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    pub(super) async fn range_seqs(&self, conversation: ConversationId, from: u64, count: u32) -> Vec<u64> {
        self.range(conversation, from, count).await.iter().map(|entry| entry.seq.get()).collect()
    }

    pub(super) async fn store_cursor(&self, device: DeviceId, conversation: ConversationId, to: u64) {
        let row = CursorRow { device, conversation, seq: seq(to) };
        self.directory.store_cursors(vec![row]).await.expect("store_cursors");
    }
}
