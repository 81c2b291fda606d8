//! The judge of the whole: twenty devices of eight users talk in ten conversations while connections are cut, devices
//! start anew, and the server is killed. Afterwards every device has every message once and in order, and nothing that
//! was acknowledged is missing.
//!
//! Three more conversations are restless: users join or are invited, and leave or are removed. Their devices have what lies
//! within the stays of the user, and nothing else. Senders edit and recall some of their messages: whoever begins to read
//! after a recall does not see the words any more, be it by a page of history or on a device that is new. All react to messages and
//! take that back: in the end every device shows the same reactions to each message.
//!
//! With everything inside the server, and on two real nsqds, which are killed too, while a service publishes raw bodies.
//!
//! `cargo xtask torture` lets there be more kills: `TORTURE_KILLS` says how many, and `TORTURE_SEED` gives the plan of
//! an earlier run.

mod crowd;
mod raw;
mod reads;
mod restless;
mod run;
mod talk;
mod trouble;

use anyhow::{Context, Result};
use lockstep_protocol::UnixMs;
use lockstep_testkit::Nsqds;
use run::run;

/// How many kills there are if nobody says otherwise.
const KILLS: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn every_device_gets_every_message_once_and_in_order() -> Result<()> {
    run(number("TORTURE_KILLS", KILLS)?, number("TORTURE_SEED", UnixMs::now().get())?, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn on_nsq_every_device_gets_every_message_once_and_in_order() -> Result<()> {
    let nsqds = Nsqds::start(2)?;
    run(number("TORTURE_KILLS", KILLS)?, number("TORTURE_SEED", UnixMs::now().get())?, Some(nsqds)).await
}

/// A number from the environment.
fn number(name: &str, default: u64) -> Result<u64> {
    let Ok(text) = std::env::var(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.with_context(|| format!("{name} is {text:?}: it must be a whole number above 0"))
}
