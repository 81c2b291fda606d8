//! The steps of the demo in which a new device gets its history from others, and goes on live.

use super::desktop::Desktop;
use super::device::{Device, Seen};
use super::group_steps;
use super::log::Log;
use super::stage::Stage;
use anyhow::{Context, Result, ensure};
use lockstep_client::{Draft, Filling};
use lockstep_protocol::{
    Body, BootstrapState, ConversationId, Filled, Progress, Seq, Source, Target, UserId, WaitReason, limits,
};

/// How many pictures Ben sends: more than can be on their way before the tablet takes them, which are two windows of chunks.
const PICTURES: usize = 24;
/// How large each is: a chunk takes only one of them.
const PICTURE_BYTES: usize = 65_400;

/// The tablet is filled by two main devices in turn.
pub(super) async fn fill(stage: &mut Stage) -> Result<()> {
    let album = make_album(stage).await?;
    let mut desktop = Desktop::start(&stage.server, "ana", "desktop").await?;
    println!("  ana/desktop is connected: `lockstep chat`, in a process of its own");
    stage.ana_phone.leave().await?;
    stage.ana_laptop.wait_for_parting(&stage.ana_phone).await?;
    println!("  ana/phone  is switched off");

    let mut tablet = stage.tablet.take().context("the tablet was linked in the step before")?;
    tablet.device.set_out();
    desktop.wait_for("is filled from this one").await?;
    tablet.device.wait("got a first picture", |seen| reached(seen, album.id) > Seq::ZERO).await?;
    desktop.kill().await?;
    let reached_then = tablet.device.find(|seen| reached(seen, album.id));
    ensure!(reached_then < album.head(), "the desktop was to be killed midway");
    println!("  ana/desktop was killed (SIGKILL) when the tablet had the album up to seq {reached_then}");
    tablet.store.go_on();
    tablet.device.wait("heard that its filling waits", |seen| seen.fillings.iter().any(waits)).await?;
    let stopped_at = tablet.device.find(|seen| reached(seen, album.id));
    ensure!(stopped_at < album.head(), "nothing was left to go on with");
    println!("  ana/tablet waits for a main device, with the album up to seq {stopped_at}");

    stage.ana_phone.come().await?;
    tablet.device.wait("been filled", |seen| seen.fillings.iter().any(is_done)).await?;
    let went_on_at = tablet.device.find(|seen| begin_after(seen, album.id, stopped_at));
    ensure!(went_on_at == Some(stopped_at.next()), "it went on at {went_on_at:?}");
    println!("  ana/phone  is back, and goes on at seq {}", stopped_at.next());
    let group = stage.group.as_ref().context("the group was made in a step before")?;
    let filled = [("\"Album\"", &album), ("\"Trip\"", group), ("the chat with ben", &stage.direct)];
    check_progress(&tablet.device, &filled)?;
    for (number, (title, log)) in (1..).zip(filled) {
        println!("  ana/tablet is filled with {number} of {} conversations: {title}", filled.len());
        log.check_filled(&tablet.device, &stage.ana_phone, first_of_latest(log.head())).await?;
    }
    group_steps::show(&tablet.device, group, stage.marked)?;
    (stage.tablet, stage.album) = (Some(tablet), Some(album));
    Ok(())
}

/// The first of the entries that a device is filled with when the conversation ends here.
pub(super) fn first_of_latest(head: Seq) -> Seq {
    Seq::new(head.get().saturating_sub(u64::from(limits::BOOTSTRAP_ENTRIES_DEFAULT)) + 1)
}

async fn make_album(stage: &Stage) -> Result<Log> {
    let made = stage.ana_phone.rest.make_group(&Draft::titled("Album", [UserId::new("ben")?])).await?;
    let mut album = Log::new(made.id, made.head);
    let picture = Body::parse(&format!(r#"{{"type":"image","data":"{}"}}"#, "A".repeat(PICTURE_BYTES)))?;
    let ben = stage.ben_phone.client()?;
    for _ in 0..PICTURES {
        album.acknowledged.push(ben.send(Target::Conversation(album.id), picture.clone()).await?);
    }
    println!("  ben/phone  sent {PICTURES} pictures of {} kB to the new group \"Album\"", PICTURE_BYTES / 1_000);
    album.check(&stage.devices()).await?;
    Ok(album)
}

/// How far a conversation is filled.
fn reached(seen: &Seen, conversation: ConversationId) -> Seq {
    stretches(seen, conversation).map(|(_, to)| to).max().unwrap_or_default()
}

/// Where the first piece begins that goes beyond this place.
fn begin_after(seen: &Seen, conversation: ConversationId, place: Seq) -> Option<Seq> {
    stretches(seen, conversation).find(|(_, to)| *to > place).map(|(from, _)| from)
}

fn stretches(seen: &Seen, conversation: ConversationId) -> impl Iterator<Item = (Seq, Seq)> {
    seen.fillings.iter().filter_map(move |filling| match filling {
        Filling::Entries { conversation: of, from, to, .. } if *of == conversation => Some((*from, *to)),
        _ => None,
    })
}

fn waits(filling: &Filling) -> bool {
    let (waiting, why) = (BootstrapState::Waiting, Some(WaitReason::MainOffline));
    matches!(filling, Filling::Progress(Progress { state, reason, .. }) if *state == waiting && *reason == why)
}

pub(super) fn is_done(filling: &Filling) -> bool {
    matches!(filling, Filling::Done { .. })
}

/// Checks that the device was told how far it is, conversation by conversation, in this order.
fn check_progress(device: &Device, expected: &[(&str, &Log)]) -> Result<()> {
    let told: Vec<_> = device.find(|seen| {
        let progress = |filling: &Filling| match filling {
            Filling::Progress(Progress { filled: Some(filled), done, total, .. }) => Some((*filled, *done, *total)),
            _ => None,
        };
        seen.fillings.iter().filter_map(progress).collect()
    });
    let total = u32::try_from(expected.len())?;
    let filled = |log: &Log| Filled { conversation: log.id, seq: log.head(), source: Source::Main };
    let wanted = (1..).zip(expected).map(|(done, (_, log))| (filled(log), done, total));
    ensure!(told.iter().copied().eq(wanted), "{} was told {told:?}", device.name);
    Ok(())
}

/// What comes later reaches the tablet like any other device, and what it sends reaches the others.
pub(super) async fn live(stage: &mut Stage) -> Result<()> {
    let tablet = stage.tablet.as_ref().context("the tablet was filled in the step before")?;
    let mut album = stage.album.take().context("the album was made in the step before")?;
    let target = Target::Conversation(album.id);
    for (device, text) in [(&stage.ben_phone, "Which do you like?"), (&tablet.device, "All of them.")] {
        let sent = device.send(target.clone(), text).await?;
        album.note(device.name, text, sent);
    }
    album.check(&stage.devices()).await?;
    album.check_filled(&tablet.device, &stage.ana_phone, Seq::new(1)).await?;
    stage.album = Some(album);
    Ok(())
}
