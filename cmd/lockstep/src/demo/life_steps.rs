//! The steps of the demo in the life of a device: it is let in, it is removed, and what became of a message for it.

use super::device::PATIENCE;
use super::linked::{Linked, Seen};
use super::stage::Stage;
use crate::admin;
use anyhow::{Context, Result, bail, ensure};
use lockstep_client::{Devices, Removal};
use lockstep_model::{Explanation, StageName, Verdict};
use lockstep_protocol::{DeviceId, Target};
use std::time::Duration;

/// After so many pieces of the past, the tablet takes no more until it is let.
const PIECES: usize = 1;
/// How long it takes until a device's acknowledgement is looked for again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A tablet becomes a device of Ana's.
pub(super) async fn link(stage: &mut Stage) -> Result<()> {
    stage.tablet = Some(Linked::link(stage, "ana/tablet", "Android", Seen::Typed, PIECES).await?);
    Ok(())
}

/// Ana's phone removes the tablet.
pub(super) async fn remove(stage: &mut Stage) -> Result<()> {
    let tablet = stage.tablet.take().context("the tablet was linked in a step before")?;
    let devices = Devices::new(stage.url(), stage.ana_phone.tokens());
    for again in ["", " again"] {
        let removal = devices.remove(tablet.session.device).await?;
        ensure!(removal == Removal::Done, "what became of the tablet: {removal:?}");
        println!("  ana/phone  removed the tablet{again}: done");
    }
    tablet.check_out(stage).await?;

    let mut album = stage.album.take().context("the album was made in a step before")?;
    let before = tablet.device.entries(album.id).len();
    let text = "The tablet was lost on the train.";
    let sent = stage.ana_phone.send(Target::Conversation(album.id), text).await?;
    album.note("ana/phone", text, sent);
    album.check(&stage.devices()).await?;
    ensure!(tablet.device.entries(album.id).len() == before, "the tablet got something after it was removed");
    println!("  ana/tablet has nothing of that");
    (stage.tablet, stage.album) = (Some(tablet), Some(album));
    Ok(())
}

/// What became of the last message, for the tablet and for the laptop.
pub(super) async fn explain(stage: &mut Stage) -> Result<()> {
    let album = stage.album.as_ref().context("the album was made in a step before")?;
    let tablet = stage.tablet.as_ref().context("the tablet was linked in a step before")?;
    let message = format!("{}:{}", album.id, album.head());

    let explained = ask(stage, tablet.session.device, &message).await?;
    ensure!(explained.verdict == Verdict::DeviceRemoved, "{explained:?}");
    println!("  for ana/tablet, seq {} is {}: {}", album.head(), explained.verdict.as_str(), explained.sentence);

    let asking = async {
        loop {
            let explained = ask(stage, stage.ana_laptop.id()?, &message).await?;
            match explained.verdict {
                Verdict::Acknowledged => return Ok(explained),
                // Acknowledgements are sent for several entries together.
                Verdict::InFlight => tokio::time::sleep(ASK_AGAIN).await,
                _ => bail!("what became of it: {explained:?}"),
            }
        }
    };
    let explained = tokio::time::timeout(PATIENCE, asking).await.context("the laptop acknowledges nothing")??;
    println!("  for ana/laptop, seq {} is {}: {}", album.head(), explained.verdict.as_str(), explained.sentence);
    let wanted = [StageName::Committed, StageName::Published, StageName::Delivered, StageName::Acknowledged];
    let way: Vec<_> = explained.stages.iter().filter(|stage| wanted.contains(&stage.stage)).collect();
    ensure!(way.iter().map(|stage| stage.stage).eq(wanted), "its way was {:?}", explained.stages);
    let begin = way[0].at.get();
    let words: Vec<_> = way.iter().map(|one| format!("{} +{}", one.stage.as_str(), one.at.get() - begin)).collect();
    println!("  its way there, in ms: {}", words.join(", "));
    Ok(())
}

async fn ask(stage: &Stage, device: DeviceId, message: &str) -> Result<Explanation> {
    let data = stage.server.data();
    admin::explain(data, admin::client(data).explain(&device.to_string(), message).await)
}
