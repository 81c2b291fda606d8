//! What `docs/nsq.md` shows listeners is what nsqd gives them.

mod common;
mod listeners;

use common::house;
use listeners::{Reader, soon};
use lockstep_broker_nsq::{EventsSettings, NsqEvents, NsqSettings};
use lockstep_model::{
    Code, ConnectionGeneration, ConversationId, DeviceChange, DeviceId, DeviceKind, Entry, Epoch, Event, EventKind,
    Kind, Sender, Seq, SharedEntry, UnixMs, UserId,
};
use lockstep_nsq_servers::{Nsqd, NsqdOptions};
use lockstep_ports::{Broker, Events};
use std::time::Duration;

const PAGE: &str = include_str!("../../../docs/nsq.md");

/// The first code block of a language after a text.
fn block(after: &str, language: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(after).unwrap_or_else(|| panic!("the page does not say {after:?}"));
    let (_, rest) = rest.split_once(&format!("```{language}\n")).expect("a code block");
    rest.split_once("\n```").expect("the end of the code block").0
}

fn documented_events() -> Vec<Event> {
    let user = |name: &str| UserId::new(name).unwrap();
    let phone: DeviceId = "019a2b1d-88bb-7c10-9f3e-5d1c2b3a4f61".parse().unwrap();
    let bens: DeviceId = "019a2b1e-0c11-7d55-8e21-2b7a0f3c9d02".parse().unwrap();
    let conversation: ConversationId = "b07e0b16-c06a-8310-ad6d-62bfa14d9be7".parse().unwrap();
    let at = |ms: u64| UnixMs::new(1_795_255_960_000 + ms);
    let generation = ConnectionGeneration;
    let device = |change, at| Event::Device { user: user("ana"), device: phone, kind: DeviceKind::Main, change, at };
    vec![
        Event::Connect {
            user: user("ana"),
            device: phone,
            kind: DeviceKind::Main,
            generation: generation(7),
            at: at(8_000),
        },
        Event::Disconnect {
            user: user("ana"),
            device: phone,
            generation: generation(7),
            reason: Some(Code::AckTimeout),
            at: at(9_000),
        },
        Event::Disconnect { user: user("ben"), device: bens, generation: generation(2), reason: None, at: at(9_001) },
        Event::Message {
            conversation,
            seq: Seq::new(4_712),
            id: "019a2b1e-4a4a-7b1b-9c9c-000000000002".parse().unwrap(),
            kind: Kind::Message,
            sender: Sender::user(&user("ben")),
            sent_at: at(8_002),
        },
        Event::Read { user: user("ana"), conversation, seq: Seq::new(4_712), at: at(10_000) },
        device(DeviceChange::Added, at(0)),
        device(DeviceChange::Removed, at(20_000)),
        Event::PushWanted {
            user: user("ana"),
            device: "019a2b1d-99cc-7c10-9f3e-5d1c2b3a4f62".parse().unwrap(),
            at: at(30_000),
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_look_as_described() {
    let nsqd = tokio::task::spawn_blocking(|| Nsqd::start(&NsqdOptions::default())).await.unwrap().expect("nsqd");
    let broker = NsqSettings::new(Epoch::from_bytes([9; 16]), [7; 32]);
    let mut settings = EventsSettings::new(&broker, EventKind::ALL.to_vec());
    settings.nsqds = vec![common::addresses(&nsqd)];
    settings.check_period = Duration::from_millis(20);
    let events = NsqEvents::start(settings).expect("it starts");
    // A consumer that subscribes makes topic and channel.
    let mut reader = Reader::open(&nsqd, "lockstep.events", "billing");
    soon(events.wait_for_listeners(1)).await;
    let documented: Vec<_> = block("### Events", "json").lines().collect();
    let all = documented_events();
    assert_eq!(all.len(), documented.len());
    for (event, line) in all.into_iter().zip(documented) {
        events.emit(event);
        assert_eq!(String::from_utf8(reader.next().await).unwrap(), line);
    }
    reader.close().await;
    events.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envelopes_look_as_described() {
    let json = block("### A conversation's topic", "json");
    let entry: Entry = serde_json::from_str(json).expect("an entry");
    let (conversation, topic) = (entry.conversation, format!("lockstep.{}", entry.conversation));
    let mut house = house(1, false, |settings| {
        settings.epoch = "6f1d9a52-9a0e-4f0e-8a43-0d2c5a1f7b11".parse().unwrap();
        settings.key = std::array::from_fn(|index| index as u8);
        settings.pinned.insert(conversation);
    })
    .await;
    let nsqd = &house.nsqds[0];
    let mut reader = Reader::open(nsqd, &topic, "billing");
    soon(async {
        let are_there = || ["billing", "_seq"].iter().all(|channel| has_channel(nsqd, &topic, channel));
        while !are_there() || house.broker.connected() != (1, 1) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    nsqd.http("POST", &format!("/pub?topic={topic}"), b"server room: 41 C").unwrap();
    assert_eq!(reader.next().await, b"server room: 41 C", "what other services publish is there too");
    soon(house.raw.recv()).await.expect("the server gets it as well").finish();
    house.broker.publish(&[SharedEntry::new(entry)]).await;
    let envelope = reader.next().await;
    let hex: String = envelope[..36].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, block("begins so", "text").replace(' ', ""));
    assert_eq!(std::str::from_utf8(&envelope[36..]), Ok(json));
    reader.close().await;
    house.broker.stop().await;
}

fn has_channel(nsqd: &Nsqd, topic: &str, channel: &str) -> bool {
    let answer = nsqd.http("GET", &format!("/stats?format=json&topic={topic}"), b"").unwrap();
    let stats: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let channels = stats["topics"][0]["channels"].as_array();
    channels.is_some_and(|channels| channels.iter().any(|found| found["channel_name"] == channel))
}
