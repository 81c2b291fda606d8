//! The users, devices and conversations of a run, put into a data folder before the server starts on it.

use super::device::{Device, Handler, Identity};
use super::frames;
use super::track::{Faults, Track};
use anyhow::{Context, Result};
use futures_util::stream::{StreamExt, TryStreamExt, iter};
use lockstep_auth::{Claim, Tokens};
use lockstep_model::{
    Body, ClientMsgId, ConversationId, ConversationKind, DeviceId, DeviceKind, EntryId, Kind, TokenGeneration, UnixMs,
    UserId,
};
use lockstep_ports::{Append, Appended, Author, Directory, MessageLog, NewConversation, NewDevice};
use lockstep_store_sql::{SqliteOptions, SqliteStore};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// Commands that wait for the store at once: it commits them together.
const COMMANDS_AT_ONCE: usize = 1_024;
/// Messages in one append.
const MESSAGES_AT_ONCE: usize = 1_024;
/// How long the tokens are good for: longer than any run.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// What is to be there.
pub(super) struct Plan {
    /// Users, each with one device.
    pub(super) people: usize,
    /// The members of each conversation, by their number. The first is the author of its messages.
    pub(super) rooms: Vec<Vec<usize>>,
    /// Messages that each conversation has.
    pub(super) messages: usize,
    pub(super) body_bytes: usize,
}

/// What is there.
pub(super) struct World {
    folder: TempDir,
    epoch: String,
    people: Vec<Person>,
    pub(super) rooms: Vec<Room>,
}

/// A user with one device.
struct Person {
    user: UserId,
    device: DeviceId,
    token: String,
    feed: ConversationId,
    /// What the feed holds.
    feed_head: u64,
    /// The conversations, by their number.
    rooms: Vec<usize>,
}

/// A conversation.
pub(super) struct Room {
    pub(super) id: String,
    conversation: ConversationId,
    /// How many messages it has.
    pub(super) head: u64,
    /// The last one of them.
    last: Option<EntryId>,
}

impl World {
    /// Makes everything in a new folder.
    pub(super) async fn make(plan: Plan) -> Result<Self> {
        let folder = tempfile::tempdir().context("no folder for the server")?;
        let data = folder.path().join("data");
        let store = SqliteStore::open(&data, SqliteOptions::default()).await?;
        let tokens = Tokens::open(&data)?;
        let mut people: Vec<Person> = iter(0..plan.people)
            .map(|number| person(&store, &tokens, number))
            .buffered(COMMANDS_AT_ONCE)
            .try_collect()
            .await?;
        let rooms = iter(&plan.rooms).map(|members| room(&store, &people, members)).buffered(COMMANDS_AT_ONCE);
        let mut rooms: Vec<Room> = rooms.try_collect().await?;
        for (number, members) in plan.rooms.iter().enumerate() {
            members.iter().for_each(|&member| people[member].rooms.push(number));
        }
        for group in people.chunks_mut(MESSAGES_AT_ONCE) {
            let bounds = store.bounds(group.iter().map(|person| person.feed).collect()).await?;
            for (person, bounds) in group.iter_mut().zip(bounds) {
                person.feed_head = bounds.context("a feed is not there")?.head.get();
            }
        }
        write_history(&store, &plan, &people, &mut rooms).await?;
        let epoch = store.epoch().to_string();
        store.close().await;
        Ok(Self { folder, epoch, people, rooms })
    }

    /// The data folder.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A person's id.
    pub(super) fn user(&self, number: usize) -> &str {
        self.people[number].user.as_str()
    }

    /// The token of a person's device.
    pub(super) fn token(&self, number: usize) -> &str {
        &self.people[number].token
    }

    /// Makes another device of a person, a sub one that is to be filled, before the server starts. Its token.
    pub(super) async fn unfilled_sub(&self, number: usize) -> Result<String> {
        let store = SqliteStore::open(&self.data(), SqliteOptions::default()).await?;
        let (user, id, now) = (self.people[number].user.clone(), DeviceId::generate(), UnixMs::now());
        let (name, kind) = ("laptop".to_owned(), DeviceKind::Sub);
        store.create_device(NewDevice { id, user: user.clone(), name, kind, unfilled: true, now }).await??;
        store.close().await;
        let claim = Claim { user, device: id, token_generation: TokenGeneration::default() };
        Ok(Tokens::open(&self.data())?.issue(&claim, TOKEN_TTL, now).token)
    }

    /// A person's device. It knows the feed, and what the conversations hold now if `knows_history`.
    pub(super) fn device<H: Handler>(&self, number: usize, knows_history: bool, handler: H) -> Result<Device<H>> {
        let person = &self.people[number];
        let feed = person.feed.to_string();
        let mut track = Track::default();
        track.follow(&feed, person.feed_head, None)?;
        for room in person.rooms.iter().map(|&room| &self.rooms[room]) {
            let (seq, last) = if knows_history { (room.head, room.last) } else { (0, None) };
            track.follow(&room.id, seq, last.map(|id| id.to_string()).as_deref())?;
        }
        let identity = Identity::Token { token: person.token.clone(), epoch: self.epoch.clone(), feed };
        Ok(Device::new(number, identity, track, handler))
    }

    /// What went wrong at these devices, if the conversations hold what [`Room::head`] says.
    pub(super) fn faults<H>(&self, devices: &[Device<H>]) -> Faults {
        let heads: HashMap<&str, u64> = self.rooms.iter().map(|room| (room.id.as_str(), room.head)).collect();
        let mut faults = Faults::default();
        for device in devices {
            faults += device.track.faults(|conversation| heads.get(conversation).copied());
        }
        faults
    }

    /// The `entry` frame that a device would get for a message of this person, for references to pass on.
    pub(super) fn entry_frame(&self, room: usize, author: usize, seq: u64, body: &str) -> Result<String> {
        let person = &self.people[author];
        let mut frame = String::new();
        let entry = lockstep_model::Entry {
            conversation: self.rooms[room].conversation,
            seq: lockstep_model::Seq::new(seq),
            id: EntryId::generate(),
            kind: Kind::Message,
            sender: lockstep_model::Sender::user(&person.user),
            sender_device: Some(person.device),
            client_msg_id: Some(ClientMsgId::random()),
            body: Body::parse(body)?,
            sent_at: UnixMs::now(),
        };
        lockstep_protocol::push_entry(&mut frame, &entry);
        Ok(frame)
    }
}

async fn person(store: &SqliteStore, tokens: &Tokens, number: usize) -> Result<Person> {
    let (user, device, now) = (UserId::new(&format!("user-{number}"))?, DeviceId::generate(), UnixMs::now());
    let feed = store.ensure_user(user.clone(), now).await?.feed;
    let new = NewDevice {
        id: device,
        user: user.clone(),
        name: "phone".to_owned(),
        kind: DeviceKind::Main,
        unfilled: false,
        now,
    };
    store.create_device(new).await??;
    let claim = Claim { user: user.clone(), device, token_generation: TokenGeneration::default() };
    let token = tokens.issue(&claim, TOKEN_TTL, now).token;
    Ok(Person { user, device, token, feed, feed_head: 0, rooms: Vec::new() })
}

async fn room(store: &SqliteStore, people: &[Person], members: &[usize]) -> Result<Room> {
    let conversation = ConversationId::generate();
    let new = NewConversation {
        id: conversation,
        kind: ConversationKind::Group,
        title: None,
        members: members.iter().map(|&member| people[member].user.clone()).collect(),
        now: UnixMs::now(),
    };
    store.create_conversation(new).await??;
    Ok(Room { id: conversation.to_string(), conversation, head: 0, last: None })
}

/// Writes the messages, one to each conversation in turn.
async fn write_history(store: &SqliteStore, plan: &Plan, people: &[Person], rooms: &mut [Room]) -> Result<()> {
    let body = Body::parse(&frames::body(plan.body_bytes))?;
    let mut turns = (0..plan.messages).flat_map(|_| 0..plan.rooms.len()).peekable();
    while turns.peek().is_some() {
        let numbers: Vec<usize> = turns.by_ref().take(MESSAGES_AT_ONCE).collect();
        let appends = numbers.iter().map(|&number| {
            let author = &people[plan.rooms[number][0]];
            Append {
                conversation: rooms[number].conversation,
                author: Author::Device { user: author.user.clone(), device: author.device },
                client_msg_id: ClientMsgId::random(),
                kind: Kind::Message,
                body: body.clone(),
                id: EntryId::generate(),
                sent_at: UnixMs::now(),
            }
        });
        let appended = store.append(appends.collect()).await?;
        for (number, appended) in numbers.into_iter().zip(appended) {
            let Appended::New(entry) = appended? else { anyhow::bail!("a message was there already") };
            rooms[number].head = entry.seq.get();
            rooms[number].last = Some(entry.id);
        }
    }
    Ok(())
}

/// Conversations of so many members each, so that each of the people is in so many of them.
pub(super) fn shared_rooms(people: usize, conversations: usize, members: usize) -> Vec<Vec<usize>> {
    let mut rooms = Vec::new();
    for round in 0..conversations {
        // A stride per round, so that people meet others in each.
        let stride = round % people.div_ceil(members).max(1) + 1;
        let mut order: Vec<usize> = (0..stride).flat_map(|first| (first..people).step_by(stride)).collect();
        order.rotate_left(round % people);
        rooms.extend(order.chunks(members).map(<[usize]>::to_vec));
    }
    rooms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_in_as_many_conversations() {
        for (people, conversations, members) in [(30, 4, 10), (7, 3, 2), (1, 2, 1), (100, 20, 10)] {
            let rooms = shared_rooms(people, conversations, members);
            assert_eq!(rooms.len(), conversations * people.div_ceil(members));
            for person in 0..people {
                let of_person = rooms.iter().filter(|room| room.contains(&person)).count();
                assert_eq!(of_person, conversations, "person {person} of {people}");
            }
        }
    }
}
