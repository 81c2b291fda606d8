//! `catchup`: one device returns to many messages.

use super::PATIENCE;
use crate::bench::crowd::{Crowd, passed};
use crate::bench::device::{Door, Handler};
use crate::bench::options;
use crate::bench::process::Process;
use crate::bench::report::{Progress, Report};
use crate::bench::target::Target;
use crate::bench::world::{Plan, World};
use anyhow::Result;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// One device returns to many messages: how many a second it gets.
#[derive(Debug, clap::Args, serde::Serialize)]
pub(in crate::bench) struct Options {
    /// Messages that wait for the device, over all conversations.
    #[arg(long, default_value = "200000", value_parser = options::count)]
    messages: usize,
    /// Conversations over which they are spread.
    #[arg(long, default_value = "20", value_parser = options::count)]
    conversations: usize,
    /// Bytes of a message's body.
    #[arg(long, default_value = "64", value_parser = options::body_bytes)]
    body_bytes: usize,
}

/// The device.
struct Returning {
    missed: usize,
    /// Gets a permit once all of it is there.
    complete: Arc<Semaphore>,
}

impl Handler for Returning {
    fn entry(&mut self, _: &str, _: u64) {
        self.missed = self.missed.saturating_sub(1);
        if self.missed == 0 {
            self.complete.add_permits(1);
        }
    }
}

/// Runs the scenario.
pub(in crate::bench) async fn run(options: Options) -> Result<Report> {
    if !options.messages.is_multiple_of(options.conversations) {
        options::refuse("--messages must be a multiple of --conversations: each conversation gets as many");
    }
    options::need_sockets(1);
    let progress = Progress::start(Target::Embedded);
    progress.say(format_args!("writing {} messages", options.messages));
    let rooms = (0..options.conversations).map(|_| vec![0, 1]).collect();
    let messages = options.messages / options.conversations;
    let world = World::make(Plan { people: 2, rooms, messages, body_bytes: options.body_bytes }).await?;
    let complete = Arc::new(Semaphore::new(0));
    let handler = Returning { missed: options.messages, complete: Arc::clone(&complete) };
    let mut device = world.device(1, false, handler)?;
    let server = Process::server(&world.data()).await?;
    let (door, process) = (Door { read_buffer_bytes: 64 * 1_024, ..Door::new(server.address(), 1) }, server.observed());
    progress.say("the device returns");
    let (devices, seconds, cpu) = server
        .during(async {
            device.prepare();
            let (began, cpu) = (Instant::now(), process.cpu_seconds()?);
            let mut crowd = Crowd::come([device], &door);
            let seconds = crowd
                .during(async {
                    passed(&complete, 1, PATIENCE, "complete").await?;
                    let seconds = began.elapsed().as_secs_f64();
                    passed(&door.caught_up, 1, PATIENCE, "caught up").await?;
                    Ok(seconds)
                })
                .await?;
            anyhow::Ok((crowd.leave().await?, seconds, process.cpu_seconds()? - cpu))
        })
        .await?;
    let mut report = Report::new("catchup", Target::Embedded, &options, world.faults(&devices))?;
    report.number("messages_per_s", options.messages as f64 / seconds);
    report.number("seconds", seconds);
    report.number("server_cpu_us_per_message", cpu * 1e6 / options.messages as f64);
    Ok(report)
}
