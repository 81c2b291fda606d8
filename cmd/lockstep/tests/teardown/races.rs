//! A removal against whatever else goes on, in the order that chance wants.

use crate::filling::against_a_filling;
use crate::linking::against_a_link;
use crate::scene::{AFTER, Ben, Device, House, allowed, to_the_end};
use anyhow::{Context, Result, bail, ensure};
use lockstep_protocol::Code;
use lockstep_testkit::{Dice, Heard, Nsqds, Wire};
use serde_json::{Value, json};
use std::time::Instant;
use tokio::sync::watch;

/// How often each race is run if nobody says otherwise.
const SEEDS: u64 = 12;

/// What each of two writers says at most: nobody acknowledges anything here, and a connection that has fallen behind reads
/// on only while a quarter of its window of 256 is free.
const WORDS_MAX: usize = 60;

/// What passes between the return of a removal and the look at what is left.
pub(crate) async fn fenced(
    house: &House,
    ben: &Ben,
    answer: &lockstep_testkit::Answer,
    groups: &[String],
) -> Result<()> {
    ensure!(answer.status == 200 && answer.json() == json!({"state": "done"}), "{answer:?}");
    for group in groups {
        house.say(group, AFTER).await?;
    }
    house.is_out(&ben.device).await
}

/// The phone got all of it, so that there was something to get.
async fn heard_by_the_phone(mut phone: Wire, mut left: usize) -> Result<()> {
    while left > 0 {
        match phone.next().await? {
            Heard::Frame(frame) => left -= frame.to_string().matches(AFTER).count().min(left),
            end => bail!("the phone is out too: {end:?}"),
        }
    }
    Ok(())
}

/// Comes again whatever it is told, until it is not let in any more.
async fn come_again(house: &House, token: &str, comings: &watch::Sender<usize>) -> Result<()> {
    loop {
        let mut wire = Wire::hello(&house.server.door(), token).await?;
        // It may be closed by then.
        let _resumed = wire.send(&json!({"type": "resume"})).await;
        let mut welcome = false;
        loop {
            match wire.next().await? {
                Heard::Frame(frame) => {
                    allowed(&frame)?;
                    if frame["type"] == "welcome" {
                        welcome = true;
                        comings.send_modify(|count| *count += 1);
                    }
                }
                Heard::Closed(close, _) if close == Code::Replaced.spec().close => break,
                Heard::Closed(close, _) if close == Code::DeviceRemoved.spec().close => {
                    if welcome {
                        break;
                    }
                    return Ok(());
                }
                Heard::Gone => break,
                other => bail!("{other:?}"),
            }
        }
    }
}

async fn against_reconnects(house: &House, ben: Ben, dice: &mut Dice) -> Result<()> {
    let phone = Wire::live(&house.server.door(), ben.phone.token()).await?;
    let (comings, mut came) = watch::channel(0);
    let enough = 1 + dice.below(8);
    let removing = async {
        came.wait_for(|count| *count >= enough).await?;
        let answer = house.remove(ben.phone.token(), &ben.device.id).await?;
        fenced(house, &ben, &answer, std::slice::from_ref(&ben.group)).await
    };
    let come = || come_again(house, ben.device.token(), &comings);
    tokio::try_join!(removing, come(), come(), come())?;
    heard_by_the_phone(phone, 1).await
}

async fn against_deliveries(house: &House, ben: Ben, dice: &mut Dice) -> Result<()> {
    let phone = Wire::live(&house.server.door(), ben.phone.token()).await?;
    let wire = Wire::live(&house.server.door(), ben.device.token()).await?;
    let (sent, mut sends) = watch::channel(0);
    let (phase, phases) = watch::channel("before");
    let enough = dice.below(20);
    let writing = async || {
        let mut phases = phases.clone();
        for _ in 0..WORDS_MAX {
            let text = *phases.borrow();
            if text == "over" {
                return Ok(());
            }
            house.say(&ben.group, text).await?;
            sent.send_modify(|count| *count += 1);
        }
        phases.wait_for(|phase| *phase == "over").await?;
        anyhow::Ok(())
    };
    let removing = async {
        sends.wait_for(|count| *count >= enough).await?;
        let answer = house.remove(ben.phone.token(), &ben.device.id).await?;
        phase.send_replace(AFTER);
        let outcome = fenced(house, &ben, &answer, std::slice::from_ref(&ben.group)).await;
        phase.send_replace("over");
        outcome
    };
    let (.., code) = tokio::try_join!(removing, writing(), writing(), to_the_end(wire))?;
    ensure!(code == Code::DeviceRemoved, "closed with {code}");
    heard_by_the_phone(phone, 1).await
}

async fn against_joins(house: &House, ben: Ben, dice: &mut Dice) -> Result<()> {
    const GROUPS: usize = 6;
    let phone = Wire::live(&house.server.door(), ben.phone.token()).await?;
    let wire = Wire::live(&house.server.door(), ben.device.token()).await?;
    let (joined, mut joins) = watch::channel(0);
    let enough = dice.below(GROUPS);
    let joining = async {
        let mut groups = Vec::new();
        for _ in 0..GROUPS {
            groups.push(house.group(&ben.user).await?);
            joined.send_modify(|count| *count += 1);
        }
        anyhow::Ok(groups)
    };
    let removing = async {
        joins.wait_for(|count| *count >= enough).await?;
        house.remove(ben.phone.token(), &ben.device.id).await
    };
    let (answer, groups, code) = tokio::try_join!(removing, joining, async {
        // What is sent below comes after all have joined: the connection is over by then.
        to_the_end(wire).await
    })?;
    ensure!(code == Code::DeviceRemoved, "closed with {code}");
    fenced(house, &ben, &answer, &groups).await?;
    heard_by_the_phone(phone, GROUPS).await
}

async fn against_another_removal(house: &House, ben: Ben, _: &mut Dice) -> Result<()> {
    let phone = Wire::live(&house.server.door(), ben.phone.token()).await?;
    let wire = Wire::live(&house.server.door(), ben.device.token()).await?;
    let remove = || house.remove(ben.phone.token(), &ben.device.id);
    let (first, second, code) = tokio::try_join!(remove(), remove(), to_the_end(wire))?;
    ensure!((first.status, &first.text) == (second.status, &second.text), "{first:?} {second:?}");
    ensure!(code == Code::DeviceRemoved, "closed with {code}");
    fenced(house, &ben, &first, std::slice::from_ref(&ben.group)).await?;
    heard_by_the_phone(phone, 1).await
}

/// Two main devices remove each other: one of them stays.
async fn against_the_other_main(house: &House, ben: Ben, _: &mut Dice) -> Result<()> {
    let (first, second) = tokio::try_join!(
        house.remove(ben.phone.token(), &ben.device.id),
        house.remove(ben.device.token(), &ben.phone.id),
    )?;
    let (out, stays, refused) = match (first.status, second.status) {
        (200, _) => (&ben.device, &ben.phone, second),
        (_, 200) => (&ben.phone, &ben.device, first),
        _ => bail!("{first:?} {second:?}"),
    };
    ensure!(["last_main", "device_removed"].contains(&&*refused.code()), "{refused:?}");
    house.is_out(out).await?;
    let left = house.ask("GET", "/v1/devices", stays.token(), &[], None).await?.json();
    let left: Vec<_> = left["devices"].as_array().context("devices")?.iter().map(|one| &one["id"]).collect();
    ensure!(left == [&json!(stays.id)], "{left:?}");
    Ok(())
}

/// While its tokens are renewed, and it signs out perhaps.
async fn against_sessions(house: &House, mut ben: Ben, dice: &mut Dice) -> Result<()> {
    let phone = Wire::live(&house.server.door(), ben.phone.token()).await?;
    let wire = Wire::live(&house.server.door(), ben.device.token()).await?;
    let (refreshed, mut refreshes) = watch::channel(0);
    let (enough, signs_out) = (dice.below(5), dice.below(2) == 0);
    let access = ben.device.token().to_owned();
    let first = ben.device.refresh[0].clone();
    let renewing = async {
        let mut given: Vec<Value> = Vec::new();
        let mut token = first;
        loop {
            let answer = house.refresh(&token).await?;
            if answer.status != 200 {
                // Signed out means removed here, as another main device is there.
                ensure!((answer.status, &*answer.code()) == (401, "device_removed"), "{answer:?}");
                return Ok(given);
            }
            token = answer.json()["refresh_token"].as_str().context("a token")?.to_owned();
            given.push(answer.json());
            refreshed.send_modify(|count| *count += 1);
        }
    };
    let mut moment = refreshes.clone();
    let leaving = async {
        if signs_out {
            moment.wait_for(|count| *count >= enough).await?;
            let answer = house.ask("DELETE", "/v1/sessions/current", &access, &[], None).await?;
            ensure!(answer.status == 204 || answer.code() == "device_removed", "{answer:?}");
        }
        anyhow::Ok(())
    };
    let removing = async {
        refreshes.wait_for(|count| *count >= enough).await?;
        house.remove(ben.phone.token(), &ben.device.id).await
    };
    let (given, (), answer, code) = tokio::try_join!(renewing, leaving, removing, to_the_end(wire))?;
    ensure!(code == Code::DeviceRemoved, "closed with {code}");
    given.iter().try_for_each(|session| Device::take(&mut ben.device, session))?;
    fenced(house, &ben, &answer, std::slice::from_ref(&ben.group)).await?;
    heard_by_the_phone(phone, 1).await
}

/// Runs one race after the other with each seed.
async fn race(house: &House) -> Result<()> {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is a number")),
        Err(_) => Ok(default),
    };
    let (first, seeds): (u64, u64) = (number("RACE_SEED", 1)?, number("RACE_SEEDS", SEEDS)?);
    for seed in first..first + seeds {
        for name in ["reconnects", "deliveries", "joins", "removal", "main", "sessions", "filling", "link"] {
            let mut dice = Dice::new(seed);
            // Only a main device has sessions, and approves.
            let main = ["main", "sessions", "link"].contains(&name) || dice.below(2) == 0;
            let ben = Ben::make(house, format!("ben-{name}-{seed}"), main).await?;
            let began = Instant::now();
            let outcome = match name {
                "reconnects" => against_reconnects(house, ben, &mut dice).await,
                "deliveries" => against_deliveries(house, ben, &mut dice).await,
                "joins" => against_joins(house, ben, &mut dice).await,
                "removal" => against_another_removal(house, ben, &mut dice).await,
                "main" => against_the_other_main(house, ben, &mut dice).await,
                "filling" => against_a_filling(house, ben, &mut dice).await,
                "link" => against_a_link(house, ben, &mut dice).await,
                _ => against_sessions(house, ben, &mut dice).await,
            };
            outcome.with_context(|| {
                let log = house.server.log_tail();
                format!("the race against {name} with RACE_SEED={seed}, after {:?}\n{log}", began.elapsed())
            })?;
        }
    }
    ensure!(house.admin.teardowns(false, None).await?.teardowns.is_empty(), "a teardown waits");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_everything_inside_the_server() -> Result<()> {
    race(&House::start(None).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn on_nsqds() -> Result<()> {
    race(&House::start(Some(Nsqds::start_registered(2)?)).await?).await
}
