//! What a consumer costs.
#![allow(unsafe_code, reason = "a global allocator that counts is implemented by an unsafe trait")]

use lockstep_broker_embedded::EmbeddedBroker;
use lockstep_model::{Code, ConversationId, DeviceId};
use lockstep_ports::{Broker, Mailbox};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATED_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator as it came; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// One test, since others in this process would be counted too.
#[tokio::test]
async fn a_consumer_costs_little_and_leaves_nothing() {
    const TOPICS: usize = 2_000;
    const DEVICES: usize = 10;
    let topics: Vec<_> = (0..TOPICS).map(|_| ConversationId::generate()).collect();
    let mailboxes: Vec<_> = (0..DEVICES).map(|_| Mailbox::new(DeviceId::generate(), 1_000)).collect();
    let broker = EmbeddedBroker::new();
    let empty = ALLOCATED_BYTES.load(Ordering::Relaxed);
    for mailbox in &mailboxes {
        broker.open(&topics, mailbox).await;
    }
    let bytes = ALLOCATED_BYTES.load(Ordering::Relaxed) - empty;
    assert_eq!(broker.consumers(), TOPICS * DEVICES);
    let each = bytes as f64 / broker.consumers() as f64;
    println!("{each:.1} bytes per consumer");
    assert!(each <= 64.0, "{each:.1} bytes per consumer");

    // What most leave shrinks with them.
    for mailbox in &mailboxes[1..] {
        mailbox.close(Code::ShuttingDown);
        broker.close(&topics, mailbox).await;
    }
    let left = ALLOCATED_BYTES.load(Ordering::Relaxed) - empty;
    println!("{} bytes per topic with one consumer", left / TOPICS);
    assert!(mailboxes[1..].iter().all(|mailbox| Arc::strong_count(mailbox) == 1));
    assert!(left <= TOPICS * 96, "{} bytes per topic with one consumer", left / TOPICS);
}
