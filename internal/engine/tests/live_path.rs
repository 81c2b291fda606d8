//! What a live message costs in the store: no read, and the same few rows whatever the number of members and devices.

mod common;

use common::{House, Live, user};
use lockstep_model::{Ask, Body, ClientMsgId, ConversationId, Device, Kind, Notice, Offset, Seq, Target};
use lockstep_session::{Admitted, Effect, Event, Hello, Request, Session, SessionConfig};
use std::sync::Arc;
use std::time::Instant;

const MESSAGES: u64 = 300;

/// A live device with a real session, which acknowledges each entry.
struct LiveDevice {
    live: Live,
    session: Session,
    delivered: Vec<u64>,
    caught_up: bool,
}

impl LiveDevice {
    async fn start(house: &House, device: &Device) -> Self {
        let admission = house.try_connect(device).await.unwrap();
        let mut session = Session::new(Arc::new(SessionConfig::default()), Instant::now());
        let hello = Hello {
            reference: None,
            token: String::new(),
            epoch: Some(admission.epoch),
            feed: None,
            offsets_version: admission.offsets.version,
        };
        session.handle_request(Request::Hello(hello), Instant::now());
        let admitted = Admitted {
            unfilled: false,
            user: device.user.clone(),
            device: device.id,
            epoch: admission.epoch,
            feed: admission.feed,
            offsets: Vec::new(),
            offsets_version: admission.offsets.version,
            receipts: admission.receipts,
        };
        session.handle_admitted(admitted, Instant::now());
        session.handle_request(Request::Resume { shown: Vec::new(), more: false }, Instant::now());
        let live = Live::of(house, admission.connection);
        let mut device = Self { live, session, delivered: Vec::new(), caught_up: false };
        device.settle(ConversationId::from_bytes([0; 16]));
        while !device.caught_up {
            device.turn(ConversationId::from_bytes([0; 16])).await;
        }
        device
    }

    /// Takes one notice, and does all that follows from it.
    async fn turn(&mut self, room: ConversationId) {
        let notice: Notice = self.live.next().await.unwrap();
        self.session.handle_notice(notice, Instant::now());
        self.settle(room);
    }

    fn settle(&mut self, room: ConversationId) {
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                Effect::Ask(ask) => self.live.ask(ask),
                Effect::Emit(Event::CaughtUp) => self.caught_up = true,
                Effect::Emit(Event::Entry(entry)) => {
                    let ack = Offset { conversation: entry.conversation, seq: entry.seq };
                    self.session.handle_request(Request::Ack(vec![ack]), Instant::now());
                    if entry.conversation == room {
                        self.delivered.push(entry.seq.get());
                    }
                }
                Effect::Emit(Event::Entries(entries)) => {
                    let last = entries.last().unwrap();
                    let ack = Offset { conversation: last.conversation, seq: last.seq };
                    self.session.handle_request(Request::Ack(vec![ack]), Instant::now());
                }
                Effect::Close(code) => panic!("closed with {code}"),
                Effect::Emit(_) | Effect::Authenticate { .. } | Effect::Renew { .. } => {}
            }
        }
    }
}

/// The rows that appends wrote for each message, with so many members, of whom so many are live.
async fn rows_per_message(members: usize, devices: usize) -> u64 {
    let house = House::new().await;
    let mut all = Vec::new();
    for n in 0..members {
        all.push(house.device(&format!("user{n}")).await);
    }
    let room = house.group(&all.iter().collect::<Vec<_>>()).await;
    let mut live = Vec::new();
    for device in &all[..devices] {
        live.push(LiveDevice::start(&house, device).await);
    }
    let (before, began) = (house.store.stats(), Instant::now());
    for n in 0..MESSAGES {
        live[0].live.ask(Ask::Append {
            reference: None,
            target: Target::Conversation(room),
            client_msg_id: ClientMsgId::new(&format!("m{n}")).unwrap(),
            kind: Kind::Message,
            body: Body::text("live"),
        });
    }
    for device in &mut live {
        while device.delivered.len() < MESSAGES as usize {
            device.turn(room).await;
        }
        assert_eq!(device.delivered, (1..=MESSAGES).collect::<Vec<_>>());
    }
    let after = house.store.stats();
    assert_eq!(after.read_queries - before.read_queries, 0, "a live delivery costs no database read");
    let periods = began.elapsed().as_secs() + 2;
    let cursor_rows = after.cursor_rows_written - before.cursor_rows_written;
    // The feed's cursor moves too.
    assert!(cursor_rows <= 2 * devices as u64 * periods, "{cursor_rows} cursor rows in {periods} periods");
    let page = house.engine.history(&user("user0"), room, lockstep_engine::Slice::Latest, 1).await.unwrap();
    assert_eq!(page.head, Seq::new(MESSAGES));
    let rows = after.append_rows_written - before.append_rows_written;
    // Where many are committed together, a conversation's head is written once for all of them.
    rows.div_ceil(MESSAGES)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_do_not_grow_with_members_or_devices() {
    for (members, devices) in [(2, 2), (60, 2), (60, 30)] {
        let rows = rows_per_message(members, devices).await;
        assert!(rows <= 6, "{rows} rows per message with {members} members and {devices} devices");
    }
}
