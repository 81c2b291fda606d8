//! As fast as it goes with a bounded number of messages under way: sent, and not yet received by all.

use super::{drained, warm_up};
use crate::bench::latency::{Clock, Latencies, Recorder};
use crate::bench::machine::Observed;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The messages that are under way.
pub(super) struct Flight {
    clock: Clock,
    devices: u32,
    /// Per message, how many devices have it. A message's place is free again once all have it.
    received: Box<[AtomicU32]>,
    sent_at: Box<[AtomicU64]>,
    /// Messages that all have.
    completed: AtomicU64,
    /// How many more may be sent.
    room: Semaphore,
    running: AtomicBool,
}

impl Flight {
    /// To so many devices, with so many messages under way.
    pub(super) fn new(devices: usize, window: usize) -> Arc<Self> {
        let places = window.next_power_of_two() * 2;
        Arc::new(Self {
            clock: Clock::start(),
            devices: devices as u32,
            received: (0..places).map(|_| AtomicU32::new(0)).collect(),
            sent_at: (0..places).map(|_| AtomicU64::new(0)).collect(),
            completed: AtomicU64::new(0),
            room: Semaphore::new(window),
            running: AtomicBool::new(true),
        })
    }

    fn place(&self, seq: u64) -> usize {
        (seq % self.received.len() as u64) as usize
    }

    /// A device has got a message.
    pub(super) fn receive(&self, seq: u64, recorder: &mut Recorder) {
        let place = self.place(seq);
        let sent_at = self.sent_at[place].load(Ordering::Relaxed);
        recorder.add(Duration::from_nanos(self.clock.now().saturating_sub(sent_at)));
        if self.received[place].fetch_add(1, Ordering::AcqRel) + 1 == self.devices {
            self.received[place].store(0, Ordering::Release);
            self.completed.fetch_add(1, Ordering::Relaxed);
            self.room.add_permits(1);
        }
    }
}

/// What was measured.
pub(super) struct Figures {
    pub(super) deliveries_per_s: f64,
    /// CPU time of each process that was watched.
    pub(super) cpu_us_per_delivery: Vec<f64>,
    /// The same of this process, with all its devices.
    pub(super) load_cpu_us_per_delivery: f64,
    pub(super) latency_ms: Value,
}

/// Sends for the measured time, and waits until all have everything. Says how many messages were sent.
pub(super) async fn measure<M>(
    flight: &Arc<Flight>,
    latencies: &Latencies,
    message: impl FnMut(u64) -> M + Send + 'static,
    write: impl FnMut(Vec<M>) -> Result<()> + Send + 'static,
    seconds: f64,
    processes: &[Observed],
) -> Result<(u64, Figures)>
where
    M: Send + 'static,
{
    let sending = tokio::spawn(send(Arc::clone(flight), message, write));
    tokio::time::sleep(warm_up(seconds)).await;
    let load = Observed::new(std::process::id());
    let cpu_now =
        || -> Result<Vec<f64>> { processes.iter().chain([&load]).map(|process| process.cpu_seconds()).collect() };
    let cpu = cpu_now()?;
    let (began, completed) = (Instant::now(), flight.completed.load(Ordering::Relaxed));
    latencies.record(true);
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    latencies.record(false);
    let (took, completed) = (began.elapsed().as_secs_f64(), flight.completed.load(Ordering::Relaxed) - completed);
    let mut used: Vec<f64> = cpu_now()?.iter().zip(cpu).map(|(now, then)| now - then).collect();
    flight.running.store(false, Ordering::Relaxed);
    flight.room.add_permits(1);
    let sent = sending.await.context("the sender broke off")??;
    drained(|| flight.completed.load(Ordering::Relaxed), sent).await?;
    let deliveries = completed as f64 * f64::from(flight.devices);
    ensure!(deliveries > 0.0, "nothing arrived within {took:.1} s");
    used.iter_mut().for_each(|seconds| *seconds *= 1e6 / deliveries);
    let figures = Figures {
        deliveries_per_s: deliveries / took,
        load_cpu_us_per_delivery: used.pop().unwrap_or_default(),
        cpu_us_per_delivery: used,
        latency_ms: Value::Null,
    };
    Ok((sent, figures))
}

/// Sends as long as there is room. Messages that have room at the same time are written together.
async fn send<M>(
    flight: Arc<Flight>,
    mut message: impl FnMut(u64) -> M,
    mut write: impl FnMut(Vec<M>) -> Result<()>,
) -> Result<u64> {
    let mut sent = 0;
    loop {
        let mut written = Vec::new();
        flight.room.acquire().await?.forget();
        loop {
            if !flight.running.load(Ordering::Relaxed) {
                return Ok(sent);
            }
            let seq = sent + written.len() as u64 + 1;
            flight.sent_at[flight.place(seq)].store(flight.clock.now(), Ordering::Relaxed);
            written.push(message(seq));
            match flight.room.try_acquire() {
                Ok(room) => room.forget(),
                Err(_) => break,
            }
        }
        sent += written.len() as u64;
        write(written)?;
    }
}
