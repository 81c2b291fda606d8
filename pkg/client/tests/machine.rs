//! The machine against a faithful server, with whatever can go wrong between them.

#[path = "sim/device.rs"]
mod device;
#[path = "sim/filling.rs"]
mod filling;
#[path = "sim/server.rs"]
mod server;

use device::Device;
use filling::Fault;
use lockstep_client::SendError;
use lockstep_client::protocol::{Body, Code, Offset, Seq};
use proptest::prelude::*;
use server::{Server, conversation};
use std::collections::HashSet;
use std::time::Duration;

#[derive(Debug, Clone)]
enum Step {
    DeviceSends(u8),
    DeviceReads(u8),
    OtherSends(u8, u8),
    ServerTakes(u8),
    ServerDelivers,
    DeviceReceives(u8),
    Pass(u16),
    /// The connection breaks after the server has taken so many frames more, whose answers are lost.
    Break(u8),
    Unreachable(u8),
    StoreFails,
    DeviceRestarts,
    Refuse(Code),
    Repeat(u8),
    Retention(u8, u8),
    Restore(u8),
    /// The server passes on what the main device gives, with this lag and so many entries in a chunk.
    Fill {
        lag: u8,
        size: u8,
    },
    BadChunk(Fault),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..4u8).prop_map(Step::DeviceSends),
        2 => (1..4u8).prop_map(Step::DeviceReads),
        6 => (0..4u8, 1..20u8).prop_map(|(n, count)| Step::OtherSends(n, count)),
        12 => (1..12u8).prop_map(Step::ServerTakes),
        10 => Just(Step::ServerDelivers),
        12 => (1..12u8).prop_map(Step::DeviceReceives),
        8 => (1..600u16).prop_map(Step::Pass),
        3 => (0..4u8).prop_map(Step::Break),
        1 => (1..4u8).prop_map(Step::Unreachable),
        2 => Just(Step::StoreFails),
        1 => Just(Step::DeviceRestarts),
        2 => prop_oneof![Just(Code::TryAgain), Just(Code::RateLimited)].prop_map(Step::Refuse),
        1 => (0..6u8).prop_map(Step::Repeat),
        1 => (0..4u8, 1..8u8).prop_map(|(n, count)| Step::Retention(n, count)),
        1 => (0..6u8).prop_map(Step::Restore),
        10 => (0..6u8, 1..6u8).prop_map(|(lag, size)| Step::Fill { lag, size }),
        1 => prop_oneof![Just(Fault::Digest), Just(Fault::Order), Just(Fault::Body)].prop_map(Step::BadChunk),
    ];
    proptest::collection::vec(step, 1..120)
}

struct World {
    server: Server,
    device: Device,
    restored: bool,
}

impl World {
    fn step(&mut self, step: Step) {
        let Self { server, device, restored } = self;
        match step {
            Step::DeviceSends(n) => device.send(server, conversation(n)),
            Step::DeviceReads(n) => {
                if let Some(seq) = device.stored().get(&conversation(n)) {
                    device.read(server, Offset { conversation: conversation(n), seq: Seq::new(*seq) });
                }
            }
            Step::OtherSends(n, count) => {
                for _ in 0..count {
                    server.append(conversation(n), "ben", None, Body::text("hi"));
                }
            }
            Step::ServerTakes(frames) => {
                let stored = device.stored();
                (0..frames).for_each(|_| server.take(&stored));
            }
            Step::ServerDelivers => server.deliver(),
            Step::DeviceReceives(frames) => device.receive(server, usize::from(frames)),
            Step::Pass(ms) => device.pass(server, Duration::from_millis(u64::from(ms))),
            Step::Break(taken) => {
                let stored = device.stored();
                (0..taken).for_each(|_| server.take(&stored));
                device.disconnected(server);
            }
            Step::Unreachable(times) => device.unreachable += u32::from(times),
            Step::StoreFails => device.store_fails = true,
            Step::DeviceRestarts => device.restart(server),
            Step::Refuse(code) => server.refusals.push_back(code),
            Step::Repeat(entries) => server.repeat = u64::from(entries),
            Step::Retention(n, count) => server.retain_from(conversation(n), u64::from(count)),
            Step::Fill { lag, size } => {
                (server.fills.lag, server.fills.size) = (lag.into(), size.into());
                server.fill();
            }
            Step::BadChunk(fault) => server.fills.fault = Some(fault),
            Step::Restore(lost) => {
                *restored = true;
                device.disconnected(server);
                server.restore(usize::from(lost));
            }
        }
    }

    /// Everything works from here on, until nothing moves any more.
    fn settle(&mut self) {
        let Self { server, device, .. } = self;
        (device.store_fails, device.unreachable) = (false, 0);
        server.fills.fault = None;
        for _ in 0..2_000 {
            let stored = device.stored();
            (0..64).for_each(|_| server.take(&stored));
            server.fill();
            server.deliver();
            device.receive(server, 64);
            let quiet = server.connection.as_ref().is_some_and(|c| c.to_server.is_empty() && c.to_device.is_empty());
            match device.idle() {
                // Only the watch for the server's heartbeat is left.
                Some(idle) if quiet && idle > Duration::from_secs(31) => return,
                Some(idle) => device.pass(server, idle.min(Duration::from_millis(100))),
                None => {}
            }
        }
        panic!("it never comes to rest");
    }

    fn check(&self) {
        let Self { server, device, restored } = self;
        assert_eq!(device.gaps, 0, "a faithful server leaves no gaps");
        assert!(!server.fills.is_unfilled, "the device is filled in the end");
        assert!(device.bad_chunks <= server.fills.faults, "what is whole and follows is taken");
        assert!(!device.has_partial(), "nothing is partial in the end");
        let stored = device.stored();
        for (id, log) in &server.logs {
            let history = device.history(*id);
            assert_eq!(device.entries.get(id).cloned().unwrap_or_default(), history, "events and store of {id}");
            let kept: HashSet<u64> = history.iter().map(|entry| entry.seq.get()).collect();
            assert_eq!(kept.len(), history.len(), "{id} has duplicates");
            for entry in &history {
                assert_eq!(Some(entry), log.entries.get(entry.seq.get() as usize - 1), "a wrong entry in {id}");
            }
            let head = log.entries.len() as u64;
            let first = server.fills.began.get(id).map_or(1, |began| *began).max(log.floor + 1);
            let missing = (first..=head).find(|seq| !kept.contains(seq));
            assert_eq!(missing, None, "{id} lacks an entry");
            assert_eq!(stored.get(id).copied().unwrap_or_default(), head, "the cursor of {id}");
        }
        self.check_sends(*restored);
    }

    fn check_sends(&self, restored: bool) {
        let Self { server, device, .. } = self;
        for n in 1..4 {
            let found: Vec<_> = server
                .logs
                .get(&conversation(n))
                .map(|log| log.entries.iter().filter_map(|entry| entry.client_msg_id.clone()).collect())
                .unwrap_or_default();
            let not_taken =
                |id| device.answers.get(id).is_some_and(|answers| matches!(answers[0], Err(SendError::Store(_))));
            let sent: Vec<_> = device
                .sends
                .iter()
                .filter(|(id, client_msg_id)| *id == conversation(n) && !not_taken(client_msg_id))
                .map(|(_, client_msg_id)| client_msg_id.clone())
                .collect();
            if restored {
                let once: HashSet<_> = found.iter().collect();
                assert_eq!(once.len(), found.len(), "a message is stored twice");
            } else {
                assert_eq!(found, sent, "each message once, in order");
            }
        }
        for (_, id) in &device.sends {
            assert_eq!(device.answers.get(id).map(Vec::len), Some(1), "{id} has one answer");
        }
    }
}

fn run(seed: u64, unfilled: bool, steps: Vec<Step>) -> World {
    let mut world = World { server: Server::default(), device: Device::new(seed), restored: false };
    world.server.fills.is_unfilled = unfilled;
    for n in 0..4 {
        world.server.append(conversation(n), "ben", None, Body::text("first"));
    }
    steps.into_iter().for_each(|step| world.step(step));
    world.settle();
    world.check();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_duplicated(seed: u64, unfilled: bool, steps in steps()) {
        run(seed, unfilled, steps);
    }
}

#[test]
fn a_quiet_run_delivers_everything() {
    run(1, false, vec![Step::OtherSends(1, 200), Step::DeviceSends(1), Step::DeviceSends(1), Step::DeviceSends(2)]);
}

#[test]
fn an_unfilled_device_gets_the_latest_entries_and_then_the_log() {
    let steps = vec![Step::OtherSends(1, 200), Step::OtherSends(2, 3), Step::Fill { lag: 2, size: 3 }];
    let world = run(1, true, steps);
    assert!(world.device.is_filled);
    let history = world.device.history(conversation(1));
    // The main device lags two behind, and gives ten.
    assert_eq!(history.len(), 12);
    assert_eq!(world.device.bad_chunks, 0);
}

#[test]
fn a_chunk_that_is_not_whole_is_not_stored_and_comes_again() {
    for fault in [Fault::Digest, Fault::Order, Fault::Body, Fault::Sealed] {
        let mut world = World { server: Server::default(), device: Device::new(3), restored: false };
        world.server.fills.is_unfilled = true;
        for n in 0..4 {
            (0..8).for_each(|_| drop(world.server.append(conversation(n), "ben", None, Body::text("hi"))));
        }
        let mut faulty = false;
        for _ in 0..40 {
            world.step(Step::ServerTakes(20));
            world.step(Step::ServerDelivers);
            // The second chunk: the first makes a part.
            if !faulty && world.device.has_partial() {
                (faulty, world.server.fills.fault) = (true, Some(fault));
            }
            world.step(Step::Fill { lag: 0, size: if faulty { 20 } else { 2 } });
            world.step(Step::DeviceReceives(1));
            world.step(Step::Pass(200));
        }
        world.settle();
        world.check();
        assert_eq!(world.device.bad_chunks, 1, "{fault:?}");
    }
}
