//! What the store's tests share.
#![allow(dead_code, reason = "not every test file uses all of it")]

use lockstep_model::{
    Body, ClientMsgId, ConversationId, ConversationKind, DeviceId, DeviceKind, Entry, EntryId, Kind, Seq, UnixMs,
    UserId,
};
use lockstep_ports::{
    Append, AppendRefusal, Appended, Author, Directory, MessageLog, NewConversation, NewDevice, Range,
};
use lockstep_store_sql::{SqliteOptions, SqliteStore};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use std::path::Path;

/// A user with a device.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
}

pub(crate) const NOW: UnixMs = UnixMs::new(1_760_000_000_000);

pub(crate) async fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder, SqliteOptions::default()).await.expect("the store opens")
}

/// A second connection to the store's database, as a meddler has it.
pub(crate) async fn meddle(folder: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(folder.join("lockstep.db")).connect().await.expect("the database opens")
}

pub(crate) async fn execute(connection: &mut SqliteConnection, script: &'static str) {
    sqlx::raw_sql(script).execute(connection).await.expect("the statement is executed");
}

pub(crate) async fn count(connection: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.expect("the rows are counted")
}

pub(crate) async fn author(store: &SqliteStore, name: &str) -> Member {
    let user = UserId::new(name).expect("a name");
    store.ensure_user(user.clone(), NOW).await.expect("ensure_user");
    let device = DeviceId::generate();
    let new = NewDevice {
        id: device,
        user: user.clone(),
        name: "phone".into(),
        kind: DeviceKind::Main,
        unfilled: false,
        now: NOW,
    };
    store.create_device(new).await.expect("create_device").expect("the user exists");
    Member { user, device }
}

pub(crate) async fn group(store: &SqliteStore, members: &[&Member]) -> ConversationId {
    let id = ConversationId::generate();
    let members = members.iter().map(|author| author.user.clone()).collect();
    let new = NewConversation { id, kind: ConversationKind::Group, title: None, members, now: NOW };
    store.create_conversation(new).await.expect("create_conversation").expect("all exist");
    id
}

pub(crate) fn message(member: &Member, conversation: ConversationId, text: &str) -> Append {
    Append {
        conversation,
        author: Author::Device { user: member.user.clone(), device: member.device },
        client_msg_id: ClientMsgId::random(),
        kind: Kind::Message,
        body: Body::text(text),
        id: EntryId::generate(),
        sent_at: NOW,
    }
}

/// The seqs of the outcomes that were new.
pub(crate) fn seqs(outcomes: &[Result<Appended, AppendRefusal>]) -> Vec<Option<u64>> {
    let seq = |outcome: &Result<Appended, AppendRefusal>| match outcome {
        Ok(Appended::New(entry)) => Some(entry.seq.get()),
        _ => None,
    };
    outcomes.iter().map(seq).collect()
}

/// All that a conversation's log holds.
pub(crate) async fn read(store: &SqliteStore, conversation: ConversationId) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let from = entries.last().map_or(Seq::ZERO, |last| last.seq).next();
        let range = Range { conversation, from, count: Range::COUNT_MAX };
        let page = store.ranges(vec![range]).await.expect("ranges").remove(0);
        if page.is_empty() {
            return entries;
        }
        entries.extend(page);
    }
}

pub(crate) async fn read_seqs(store: &SqliteStore, conversation: ConversationId) -> Vec<u64> {
    read(store, conversation).await.iter().map(|entry| entry.seq.get()).collect()
}
