//! What one live delivery costs: an entry comes from the broker, goes to the device, and is acknowledged now and then.
//!
//! `cargo run --release -p lockstep-session --example live_path` prints one line per number of followed conversations.

use lockstep_model::{
    Body, ConversationId, Entry, EntryId, Epoch, Kind, Notice, Offset, OffsetsVersion, ResumePoint, Sender, Seq,
    SharedEntry, UnixMs, UserId,
};
use lockstep_session::{Admitted, Effect, Event, Hello, Request, Session, SessionConfig};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Entries that arrive together.
const BATCH: u64 = 64;
/// Deliveries per measurement.
const DELIVERIES: u64 = 1 << 20;

fn main() {
    println!("an idle session takes {} bytes and what its conversations take", size_of::<Session>());
    for conversations in [1, 20, 100, 1_000, 10_000] {
        let best = (0..5).map(|_| measure(conversations)).min().unwrap_or_default();
        println!("{conversations:6} conversations: {:5.1} ns per delivery", best.as_nanos() as f64 / DELIVERIES as f64);
    }
}

/// How long the session takes for all deliveries, without the making of the entries.
fn measure(conversations: u32) -> Duration {
    let now = Instant::now();
    let mut session = open(conversations, now);
    let mut spent = Duration::ZERO;
    let mut heads = vec![0_u64; conversations as usize];
    for round in 0..DELIVERIES / BATCH {
        // A stride that visits the conversations in no order that a cache would like.
        let which = (round * 7919 % u64::from(conversations)) as u32;
        let head = &mut heads[which as usize];
        let entries: Vec<_> = (*head + 1..=*head + BATCH).map(|seq| Notice::Entry(entry(which, seq))).collect();
        *head += BATCH;
        let cursor = Offset { conversation: conversation(which), seq: Seq::new(*head) };
        let mut kept = Vec::with_capacity(BATCH as usize);
        let started = Instant::now();
        for notice in entries {
            session.handle_notice(notice, now);
            while let Some(effect) = session.poll_effect() {
                kept.push(effect);
            }
        }
        session.handle_request(Request::Ack(vec![cursor]), now + Duration::from_secs(round));
        while let Some(effect) = session.poll_effect() {
            black_box(effect);
        }
        spent += started.elapsed();
        assert!(kept.len() as u64 == BATCH && matches!(kept[0], Effect::Emit(Event::Entry(_))));
    }
    spent
}

fn open(conversations: u32, now: Instant) -> Session {
    let mut session =
        Session::new(Arc::new(SessionConfig { ack_timeout: Duration::MAX / 2, ..SessionConfig::default() }), now);
    let (epoch, version) = (Epoch::generate(), OffsetsVersion::ZERO);
    let hello =
        Hello { reference: None, token: String::new(), epoch: Some(epoch), feed: None, offsets_version: version };
    session.handle_request(Request::Hello(hello), now);
    let user = UserId::new("ann").expect("a user id");
    let (device, feed) = (lockstep_model::DeviceId::generate(), ConversationId::generate());
    session.handle_admitted(
        Admitted {
            user,
            device,
            epoch,
            feed,
            offsets: Vec::new(),
            offsets_version: version,
            receipts: Default::default(),
            unfilled: false,
        },
        now,
    );
    session.handle_request(Request::Resume { shown: Vec::new(), more: false }, now);
    let point = |which| ResumePoint {
        conversation: conversation(which),
        cursor: Seq::ZERO,
        floor: Seq::new(1),
        head: Seq::ZERO,
        reset: false,
        ended: false,
        unfilled: false,
    };
    session.handle_notice(Notice::Resumed((0..conversations).map(point).collect()), now);
    while session.poll_effect().is_some() {}
    session
}

fn conversation(which: u32) -> ConversationId {
    let mut bytes = [7; 16];
    // Spread as the random bits of real ids are.
    bytes[..4].copy_from_slice(&which.wrapping_mul(2_654_435_761).to_be_bytes());
    ConversationId::from_bytes(bytes)
}

fn entry(which: u32, seq: u64) -> SharedEntry {
    SharedEntry::new(Entry {
        conversation: conversation(which),
        seq: Seq::new(seq),
        id: EntryId::from_bytes([1; 16]),
        kind: Kind::Message,
        sender: Sender::server(),
        sender_device: None,
        client_msg_id: None,
        body: Body::text("a message of the usual length, or so"),
        sent_at: UnixMs::new(1),
    })
}
