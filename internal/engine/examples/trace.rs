//! What it costs to trace a delivery: `cargo run --release -p lockstep-engine --example trace`.
//!
//! Threads deliver to many connections in turns of so many entries, as doors do, with the trace on and off.

use lockstep_broker_embedded::EmbeddedBroker;
use lockstep_engine::{Claim, Connection, Engine, EngineConfig, Ports};
use lockstep_model::{ConversationId, DeviceKind, OffsetsVersion, Seq, UserId};
use lockstep_store_sql::{SqliteOptions, SqliteStore};
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const DEVICES: usize = 1_000;
const DELIVERIES: u64 = 8_000_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("records   threads  entries per turn  ns per delivery");
    for records in [0, EngineConfig::default().trace_records] {
        let (engine, connections) = house(records).await?;
        for threads in [1, 2] {
            for per_turn in [1, 4, 16, 64] {
                let ns = measure(&engine, &connections, threads, per_turn);
                println!("{records:>7}  {threads:>8}  {per_turn:>16}  {ns:>15.1}");
            }
        }
    }
    Ok(())
}

/// An engine with that many records, and its connections.
async fn house(records: usize) -> Result<(Engine, Vec<Arc<Connection>>), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(folder.path(), SqliteOptions::default()).await?);
    let (log, directory, offsets) = (store.clone(), store.clone(), store);
    let ports = Ports { log, directory, offsets, broker: Arc::new(EmbeddedBroker::new()), events: None };
    let engine = Engine::start(ports, EngineConfig { trace_records: records, ..EngineConfig::default() });
    let mut connections = Vec::with_capacity(DEVICES);
    for number in 0..DEVICES {
        let user = UserId::new(&format!("user{number}"))?;
        engine.ensure_user(user.clone()).await.map_err(|code| code.to_string())?;
        let device = engine.create_device(&user, "phone", DeviceKind::Main).await.map_err(|code| code.to_string())?;
        let claim = Claim { user, device: device.id, token_generation: device.token_generation };
        let admission = engine
            .connect(claim, None, OffsetsVersion::ZERO, Default::default())
            .await
            .map_err(|code| code.to_string())?;
        connections.push(admission.connection);
    }
    Ok((engine, connections))
}

/// The time that one delivery takes of one thread.
fn measure(engine: &Engine, connections: &[Arc<Connection>], threads: usize, per_turn: u64) -> f64 {
    let conversation = ConversationId::generate();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for turn in 0..DELIVERIES / per_turn {
                    let connection = &connections[(turn as usize * threads + thread) % connections.len()];
                    let mut tracer = engine.tracer(connection);
                    for entry in 0..per_turn {
                        let seq = black_box(Seq::new(turn * per_turn + entry));
                        tracer.delivered(conversation, seq, seq);
                    }
                }
            });
        }
    });
    began.elapsed().as_nanos() as f64 / DELIVERIES as f64
}
