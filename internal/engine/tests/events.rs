//! What services hear of, and that they hear of it once.

mod common;

use common::{House, Live, soon, user};
use lockstep_engine::EngineConfig;
use lockstep_model::{
    Ask, Body, ClientMsgId, Code, Device, DeviceChange, DeviceId, DeviceKind, Event, EventKind, Kind, Notice, Sender,
    Seq, ServiceName, Target, UnixMs,
};
use lockstep_ports::{Directory, Events, NewDevice};
use std::sync::{Arc, Mutex};

/// Keeps what it is told.
struct Recording {
    kinds: Vec<EventKind>,
    events: Mutex<Vec<Event>>,
}

impl Events for Recording {
    fn wants(&self, kind: EventKind) -> bool {
        self.kinds.contains(&kind)
    }

    fn emit(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
}

impl Recording {
    /// What was told since the last time.
    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

async fn house(kinds: &[EventKind]) -> (House, Arc<Recording>) {
    let recording = Arc::new(Recording { kinds: kinds.to_vec(), events: Mutex::default() });
    let events = Arc::clone(&recording);
    let house = House::made(EngineConfig::default(), |ports, _| ports.events = Some(events)).await;
    (house, recording)
}

async fn read(live: &mut Live, conversation: lockstep_model::ConversationId, seq: u64) {
    live.ask(Ask::AdvanceOffset { reference: None, conversation, seq: Seq::new(seq) });
    live.find(|notice| matches!(notice, Notice::ReadDone { refusal: None, .. })).await;
}

#[tokio::test]
async fn devices_come_and_go() {
    let (house, heard) = house(&EventKind::ALL).await;
    house.device("ana").await;
    heard.take();
    let phone = house.device("ana").await;
    let Device { id, user: ana, .. } = phone.clone();
    let of_device =
        |change, at| vec![Event::Device { user: user("ana"), device: id, kind: DeviceKind::Main, change, at }];
    assert_eq!(heard.take(), of_device(DeviceChange::Added, phone.created_at));
    let removed = house.engine.remove_device(id).await.unwrap();
    assert_eq!(heard.take(), of_device(DeviceChange::Removed, removed.device.removed_at.unwrap()));
    house.engine.remove_device(id).await.unwrap();
    assert_eq!(house.engine.remove_device(lockstep_model::DeviceId::generate()).await, Err(Code::NoSuchDevice));
    house.engine.ensure_user(ana).await.unwrap();
    assert_eq!(heard.take(), [], "it had been removed before");
}

#[tokio::test]
async fn connections_come_and_go() {
    let (house, heard) = house(&EventKind::ALL).await;
    let (phone, _other) = (house.device("ana").await, house.device("ana").await);
    heard.take();
    let mut first = house.resume(&phone).await;
    let second = house.resume(&phone).await;
    assert_eq!(first.closed().await, Code::Replaced);
    house.engine.disconnect(&first.connection, vec![], Some(Code::Replaced)).await;
    house.engine.disconnect(&second.connection, vec![], None).await;
    house.engine.remove_device(phone.id).await.unwrap();
    assert_eq!(house.try_connect(&phone).await.unwrap_err(), Code::DeviceRemoved);
    let mut events = heard.take();
    assert_eq!(events.pop().map(|event| event.kind()), Some(EventKind::Device));
    let seen: Vec<_> = events
        .into_iter()
        .map(|event| match event {
            Event::Connect { user, device, kind, generation, at } => {
                assert!((user.as_str(), device, kind) == ("ana", phone.id, DeviceKind::Main) && at >= phone.created_at);
                ("connect", generation, None)
            }
            Event::Disconnect { user, device, generation, reason, at } => {
                assert!((user.as_str(), device) == ("ana", phone.id) && at >= phone.created_at);
                ("disconnect", generation, reason)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let (one, two) = (first.connection.generation, second.connection.generation);
    let expected = [
        ("connect", one, None),
        ("connect", two, None),
        ("disconnect", one, Some(Code::Replaced)),
        ("disconnect", two, None),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_message_is_told_once_however_many_devices_get_it() {
    let (house, heard) = house(&EventKind::ALL).await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let mut listening = vec![];
    for _ in 0..3 {
        let device = house.device("ben").await;
        listening.push(house.resume(&device).await);
    }
    heard.take();
    // The conversation is made with it, which the server writes into both feeds.
    let to_ben = Target::User(user("ben"));
    let id = ClientMsgId::new("m1").unwrap();
    let send = |text: &str| house.engine.send(user("ana"), ana.id, to_ben.clone(), id.clone(), Body::text(text));
    let sent = send("once").await.unwrap();
    let message = |seq, id, sender, sent_at| Event::Message {
        conversation: sent.conversation,
        seq: Seq::new(seq),
        id,
        kind: Kind::Message,
        sender,
        sent_at,
    };
    assert_eq!(heard.take(), [message(1, sent.id, Sender::user(&user("ana")), sent.sent_at)]);

    assert!(send("once").await.unwrap().duplicate);
    assert_eq!(send("other").await, Err(Code::DuplicateId));
    let eve = house.device("eve").await;
    assert!(house.send(&eve, Target::Conversation(sent.conversation), "x").await.is_err());
    let kinds: Vec<_> = heard.take().iter().map(Event::kind).collect();
    assert_eq!(kinds, [EventKind::Device], "only that Eve has a device");

    let billing = ServiceName::new("billing").unwrap();
    let key = ClientMsgId::new("k1").unwrap();
    let publish = || house.engine.publish(billing.clone(), sent.conversation, key.clone(), Body::text("paid"));
    let paid = publish().await.unwrap();
    assert!(publish().await.unwrap().duplicate);
    assert_eq!(heard.take(), [message(2, paid.id, Sender::service(&billing), paid.sent_at)]);

    house.group(&[&ana, &ben]).await;
    assert_eq!(heard.take(), [], "what the server records is no message");
}

#[tokio::test]
async fn many_messages_are_told_in_the_order_of_the_log() {
    let (house, heard) = house(&[EventKind::Message]).await;
    let ana = house.device("ana").await;
    let group = house.group(&[&ana]).await;
    let bodies = (0..500).map(|number| Body::text(&number.to_string())).collect();
    house.engine.ingest_all(group, bodies).await.unwrap();
    let seqs: Vec<_> = heard
        .take()
        .into_iter()
        .map(|event| match event {
            Event::Message { conversation, seq, .. } if conversation == group => seq.get(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seqs, (1..=500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_read_is_told_when_it_moves_the_offset() {
    let (house, heard) = house(&EventKind::ALL).await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    for text in ["1", "2", "3"] {
        house.send(&ben, Target::Conversation(group), text).await.unwrap();
    }
    let other = house.device("ana").await;
    let (mut phone, mut laptop) = (house.resume(&ana).await, house.resume(&other).await);
    heard.take();
    read(&mut phone, group, 2).await;
    read(&mut laptop, group, 2).await;
    read(&mut laptop, group, 1).await;
    read(&mut laptop, group, 3).await;
    let seen: Vec<_> = heard
        .take()
        .into_iter()
        .map(|event| match event {
            Event::Read { user, conversation, seq, .. } if conversation == group => (user, seq.get()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seen, [(user("ana"), 2), (user("ana"), 3)]);
}

#[tokio::test]
async fn kinds_that_nobody_wants_are_not_told() {
    for kind in EventKind::ALL {
        let (house, heard) = house(&[kind]).await;
        let (ana, ben) = (house.device("ana").await, house.device("ben").await);
        let group = house.group(&[&ana, &ben]).await;
        house.send(&ben, Target::Conversation(group), "x").await.unwrap();
        let mut live = house.resume(&ana).await;
        read(&mut live, group, 1).await;
        house.engine.disconnect(&live.connection, vec![], None).await;
        let (id, user, kind_of, now) = (DeviceId::generate(), ana.user.clone(), DeviceKind::Sub, UnixMs::now());
        let tablet = NewDevice { id, user, name: "tablet".into(), kind: kind_of, unfilled: true, now };
        let tablet = house.store.create_device(tablet).await.unwrap().unwrap().value;
        assert_eq!(house.try_connect(&tablet).await.unwrap_err(), Code::MainOffline);
        let kinds: Vec<_> = heard.take().iter().map(Event::kind).collect();
        // Ana's and Ben's device.
        let count = if kind == EventKind::Device { 2 } else { 1 };
        assert_eq!(kinds, vec![kind; count]);
    }
}

#[tokio::test]
async fn a_stop_tells_of_all_who_leave() {
    let (house, heard) = house(&[EventKind::Disconnect]).await;
    let phone = house.device("ana").await;
    let mut live = house.resume(&phone).await;
    let engine = house.engine.clone();
    let stopping = tokio::spawn(async move { engine.stop().await });
    let code = live.closed().await;
    house.engine.disconnect(&live.connection, vec![], Some(code)).await;
    soon(stopping).await.unwrap();
    let events = heard.take();
    assert!(matches!(events[..], [Event::Disconnect { reason: Some(Code::ShuttingDown), .. }]), "{events:?}");
}
