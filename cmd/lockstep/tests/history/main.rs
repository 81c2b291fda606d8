//! The judge of the whole: twenty devices of eight users talk in ten conversations while connections are cut, devices
//! start anew, and the server is killed five times. Afterwards every device has every message once and in order, and
//! nothing that was acknowledged is missing.
//!
//! `cargo xtask torture` lets it be killed more often: `TORTURE_KILLS` says how often, and `TORTURE_SEED` gives the plan of
//! an earlier run.

mod crowd;

use anyhow::{Context, Result, ensure};
use crowd::{Crowd, Participant};
use lockstep_protocol::{ConversationId, UnixMs};
use lockstep_testkit::{Dice, History, Sender};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How often the server is killed if nobody says otherwise.
const KILLS: usize = 5;
/// What stands between two kills.
const MESSAGES_PER_KILL: usize = 400;
const CUTS_PER_KILL: usize = 6;
const REPLACEMENTS_PER_KILL: usize = 3;
/// How long everything may stand still before the test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Something that goes wrong.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// The server is killed and started anew.
    Crash,
    /// The connection of this device is cut.
    Cut(usize),
    /// This device starts anew, while the server still believes in its old connection.
    Replace(usize),
}

#[tokio::test(flavor = "multi_thread")]
async fn every_device_gets_every_message_once_and_in_order() -> Result<()> {
    let (kills, seed) = (number("TORTURE_KILLS", KILLS as u64)? as usize, number("TORTURE_SEED", UnixMs::now().get())?);
    println!("{kills} kills, seed {seed}");
    let mut dice = Dice::new(seed);
    let began = Instant::now();
    let mut crowd = Crowd::gather(&mut dice).await?;
    let devices = crowd.participants.len();
    let messages_per_device = kills * MESSAGES_PER_KILL / devices;
    let troubles = plan(&mut dice, kills, devices);

    let mut talk = JoinSet::new();
    for Participant { device, conversations, .. } in &crowd.participants {
        talk.spawn(chatter(device.sender(), conversations.clone(), messages_per_device, dice.split()));
    }
    tokio::try_join!(all_done(talk), stir(&mut crowd, &troubles))?;

    // A device sends in order: the answer to a last message says that those before it are settled too.
    let mut farewells = JoinSet::new();
    for Participant { device, conversations, .. } in &crowd.participants {
        let (mut sender, conversation) = (device.sender(), conversations[0]);
        farewells.spawn(async move { sender.send(conversation, "farewell").await });
    }
    all_done(farewells).await?;
    crowd.record.until("all devices have caught up", PATIENCE, History::caught_up).await?;
    for participant in &mut crowd.participants {
        participant.device.stop().await?;
    }

    let (verdict, acknowledged, delivered) =
        crowd.record.read(|history| (history.check(), history.acknowledged_count(), history.delivered_count()));
    println!("{acknowledged} acknowledged, {delivered} delivered in {:.1} s: {verdict}", began.elapsed().as_secs_f64());
    ensure!(verdict.is_clean(), "seed {seed}: {verdict}\n{}", crowd.server.log_tail());
    // Only sends in flight when their device was replaced may have stayed without an answer that anybody saw.
    let wanted = devices * messages_per_device - kills * REPLACEMENTS_PER_KILL;
    ensure!(acknowledged >= wanted, "seed {seed}: {acknowledged} were acknowledged of at least {wanted}");
    Ok(())
}

/// A number from the environment.
fn number(name: &str, default: u64) -> Result<u64> {
    let Ok(text) = std::env::var(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.with_context(|| format!("{name} is {text:?}: it must be a whole number above 0"))
}

/// When which trouble comes: after so many acknowledged messages, the first one first.
fn plan(dice: &mut Dice, kills: usize, devices: usize) -> Vec<(usize, Trouble)> {
    // The last tenth of the messages is left to recover in.
    let stretch = MESSAGES_PER_KILL * 9 / 10;
    let span = kills * stretch;
    let mut troubles = Vec::new();
    for kill in 0..kills {
        // One in each stretch, so that not all fall together.
        troubles.push((kill * stretch + dice.below(stretch), Trouble::Crash));
    }
    for _ in 0..kills * CUTS_PER_KILL {
        troubles.push((dice.below(span), Trouble::Cut(dice.below(devices))));
    }
    for _ in 0..kills * REPLACEMENTS_PER_KILL {
        troubles.push((dice.below(span), Trouble::Replace(dice.below(devices))));
    }
    troubles.sort_by_key(|(after, _)| *after);
    troubles
}

/// Lets the troubles come.
async fn stir(crowd: &mut Crowd, troubles: &[(usize, Trouble)]) -> Result<()> {
    let record = crowd.record.clone();
    for (after, trouble) in troubles {
        let what = format!("{after} messages are acknowledged");
        record.until(&what, PATIENCE, |history| history.acknowledged_count() >= *after).await?;
        match *trouble {
            Trouble::Crash => crowd.server.restart().await?,
            Trouble::Cut(device) => crowd.participants[device].cut(),
            Trouble::Replace(device) => {
                let server = crowd.server.address();
                crowd.participants[device].replace(server).await?;
            }
        }
    }
    Ok(())
}

/// Sends a device's messages, one after the other, into one or another of its conversations.
async fn chatter(
    mut sender: Sender,
    conversations: Vec<ConversationId>,
    messages: usize,
    mut dice: Dice,
) -> Result<()> {
    for number in 1..=messages {
        sender.send(*dice.pick(&conversations), &format!("message {number}")).await?;
    }
    Ok(())
}

async fn all_done(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(done) = tasks.join_next().await {
        done.context("a task broke off")??;
    }
    Ok(())
}
