//! One run: everybody talks, everything goes wrong, and the judge is asked.

use crate::crowd::{Crowd, Participant};
use crate::raw::{self, Crashes, Service};
use crate::reads::{read_logs, read_recalled};
use crate::restless::wander;
use crate::talk::{all_done, chatter, farewell};
use crate::trouble::Plan;
use anyhow::{Context, Result, ensure};
use lockstep_testkit::{Dice, History, Nsqds};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What stands between two kills.
pub(crate) const MESSAGES_PER_KILL: usize = 400;
/// How long everything may stand still before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs with so many kills. The same seed makes the same plan.
pub(crate) async fn run(kills: u64, seed: u64, nsqds: Option<Nsqds>) -> Result<()> {
    let kills = kills as usize;
    println!("{kills} kills, seed {seed}");
    let mut dice = Dice::new(seed);
    let began = Instant::now();
    let crashes = Crashes::none(nsqds.as_ref().map_or(0, Nsqds::count));
    let mut crowd = Crowd::gather(&mut dice, nsqds).await?;
    let devices = crowd.participants.len();
    let messages_per_device = kills * MESSAGES_PER_KILL / devices;
    let plan = Plan::make(&mut dice, kills, devices, crowd.nsqds.as_ref().map_or(0, Nsqds::count));
    let service = Service::find(&crowd).await?;

    let mut talk = JoinSet::new();
    for Participant { device, conversations, visited, owned, .. } in &crowd.participants {
        let restless = visited.iter().chain(owned).copied().collect();
        talk.spawn(chatter(device.sender(), conversations.clone(), restless, messages_per_device, dice.split()));
    }
    // As many as are surely acknowledged, whatever is replaced.
    let surely = devices * messages_per_device - plan.replacements;
    let publishing = service.publish(surely, dice.split(), &crashes);
    let (server, record) = (crowd.server.address(), crowd.record.clone());
    let wandering = wander(crowd.restless.clone(), server, record.clone(), surely, dice.split());
    let reading = read_recalled(crowd.readers(), server, record, surely, dice.split());
    let troubles = plan.stir(&mut crowd, &crashes);
    let ((), (), published, moves, pages) = tokio::try_join!(all_done(talk), troubles, publishing, wandering, reading)?;
    raw::settle(&crowd).await?;
    crowd.admit_latecomers().await?;

    // A device sends in order: the answer to a last message says that those before it are settled too.
    let mut farewells = JoinSet::new();
    for Participant { device, conversations, owned, .. } in &crowd.participants {
        farewells.spawn(farewell(device.sender(), [&conversations[..], owned].concat()));
    }
    all_done(farewells).await?;
    read_logs(&crowd).await?;
    crowd.record.until("all devices have caught up", PATIENCE, History::caught_up).await?;
    if crowd.nsqds.is_some() {
        let carried = crowd.server.metric("lockstep_nsq_messages_total{what=\"envelope\"}").await?;
        ensure!(carried > 0.0, "seed {seed}: no live entry came through nsqd\n{}", crowd.server.log_tail());
    }
    for participant in &mut crowd.participants {
        participant.device.stop().await?;
    }

    let (verdict, acknowledged, delivered) =
        crowd.record.read(|history| (history.check(), history.acknowledged_count(), history.delivered_count()));
    println!("{acknowledged} acknowledged, {delivered} delivered in {:.1} s: {verdict}", began.elapsed().as_secs_f64());
    ensure!(verdict.is_clean(), "seed {seed}: {verdict}\n{}", crowd.server.log_tail());
    let (departures, refused, recalls) =
        crowd.record.read(|history| (history.departures(), history.refused_count(), history.recalled_messages().len()));
    println!(
        "{moves} moves of members, {departures} departures, {refused} refused; {recalls} recalls, {pages} pages read"
    );
    let (reactions, shown) = crowd.record.read(|history| (history.reaction_count(), history.reactions_shown()));
    println!("{reactions} reactions placed and taken back, of which {shown} are left");
    ensure!(reactions > shown && shown > 0, "seed {seed}: {reactions} reactions, of which {shown} are left");
    ensure!(departures > 0 && recalls > 0 && pages > 0, "seed {seed}: nobody left, or nothing was recalled and read");
    // Only sends in flight when their device was replaced may have stayed without an answer that anybody saw.
    ensure!(acknowledged >= surely, "seed {seed}: {acknowledged} were acknowledged of at least {surely}");
    if crowd.nsqds.is_some() {
        let outcome = crowd.record.read(|history| published.judge(history, &crashes));
        let outcome = outcome.with_context(|| format!("seed {seed}"))?;
        let (raw, lost) = (outcome.accepted, outcome.lost_by_nsqd);
        println!("{raw} raw bodies, {lost} of them lost in {} crashes of nsqds", crashes.all());
        ensure!(raw > lost, "seed {seed}: no raw body reached devices: {outcome:?}");
    }
    Ok(())
}
