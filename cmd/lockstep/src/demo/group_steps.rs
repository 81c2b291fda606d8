//! The steps of the demo with a group: who is in it, and who has read what.

use super::device::Device;
use super::log::Log;
use super::stage::Stage;
use anyhow::{Context, Result, bail, ensure};
use lockstep_client::{Draft, Message, Pending, Role, SendError, Sent, Thread};
use lockstep_protocol::{Body, Seq, StateChange, Target, Unread, UserId};

/// Ana makes a group with Ben and Cid, and removes Cid.
pub(super) async fn group(stage: &mut Stage) -> Result<()> {
    let (ana, ben, cid) = (UserId::new("ana")?, UserId::new("ben")?, UserId::new("cid")?);
    let rest = stage.ana_phone.rest.clone();
    let made = rest.make_group(&Draft::titled("Trip", [ben.clone(), cid.clone()])).await?;
    println!("  ana/phone  made the group \"Trip\" with ben and cid, by REST");
    let mut log = Log::new(made.id, made.head);
    for (who, text) in [("ana/phone", "Where do we go?"), ("cid/phone", "To the hills!"), ("ben/phone", "To the sea.")]
    {
        let sent = stage.device(who)?.send(Target::Conversation(log.id), text).await?;
        log.note(who, text, sent);
    }
    log.check(&[&stage.ana_phone, &stage.ana_laptop, &stage.ben_phone, &stage.cid_phone]).await?;

    rest.remove(log.id, &cid).await?;
    log.grow();
    let last = log.head();
    println!("  ana/phone  removed cid: seq {last}, the last that cid gets");
    stage.cid_phone.wait_for(log.id, last).await?;
    for (who, text) in [("ben/phone", "A cake for Cid's birthday?"), ("ana/laptop", "I bake one.")] {
        let sent = stage.device(who)?.send(Target::Conversation(log.id), text).await?;
        log.note(who, text, sent);
    }
    rest.hand_over(log.id, &ben).await?;
    log.grow();
    let members = rest.members(log.id).await?;
    let roles: Vec<_> = members.iter().map(|member| (&member.user, member.role)).collect();
    ensure!(roles == [(&ana, Role::Admin), (&ben, Role::Owner)], "the members are {members:?}");
    println!("  ana/phone  handed the group over: ben is its owner now, seq {}", log.head());
    log.check(&stage.devices()).await?;

    // What it is to get at all, it has once it has caught up.
    stage.cid_phone.leave().await?;
    stage.cid_phone.come().await?;
    let has = stage.cid_phone.entries(log.id).last().map(|entry| entry.seq);
    ensure!(has == Some(last), "cid/phone has {has:?} of a group that cid left at seq {last}");
    println!("  cid/phone  has nothing after seq {last}, also after it was away and came back");
    let refused = stage.cid_phone.client()?.send(Target::Conversation(log.id), Body::text("Hello?")).await;
    match refused {
        Err(SendError::Refused { code, .. }) if code == "no_such_conversation" => {
            println!("  cid/phone  cannot send there any more: {code}");
        }
        other => bail!("cid, who was removed, sent to the group: {other:?}"),
    }
    stage.group = Some(log);
    Ok(())
}

/// Ben edits and recalls, Ana reacts, and reads on one device.
pub(super) async fn reads(stage: &mut Stage) -> Result<()> {
    let mut log = stage.group.take().context("the group was made in the step before")?;
    let (phone, laptop, ben) = (&stage.ana_phone, &stage.ana_laptop, &stage.ben_phone);
    let mut said = Vec::new();
    for text in ["The train leaves at 7.", "Bring a coat!", "My password is ..."] {
        let sent = ben.send(Target::Conversation(log.id), text).await?;
        said.push(sent.seq);
        log.note(ben.name, text, sent);
    }
    let [train, coat, slip] = said[..] else { bail!("three messages have three places") };
    log.check(&[phone, laptop]).await?;
    let unread = agreed_unread(phone, laptop, &log).await?;

    let sent = answer(ben.client()?.edit(log.id, train, &Body::text("The train leaves at 8.")).await?).await?;
    log.note_about(ben.name, &format!("edited {train}"), sent);
    let sent = answer(laptop.client()?.react(log.id, coat, "👍", true).await?).await?;
    log.note_about(laptop.name, &format!("reacted to {coat} with 👍"), sent);
    let sent = answer(ben.client()?.recall(log.id, slip).await?).await?;
    log.note_about(ben.name, &format!("recalled {slip}"), sent);
    for device in [phone, laptop, ben] {
        device.wait_for(log.id, log.head()).await?;
        show(device, &log, [train, coat, slip])?;
    }
    let left = agreed_unread(phone, laptop, &log).await?;
    ensure!(left + 1 == unread, "{unread} were unread, then one was recalled, and it is {left}");

    let head = log.head();
    phone.client()?.read(log.id, head).await?;
    println!("  ana/phone  read up to seq {head}");
    laptop.wait_for_read(log.id, head).await?;
    println!("  ana/laptop heard it");
    let left = agreed_unread(phone, laptop, &log).await?;
    ensure!(left == 0, "all is read, but {left} are unread");
    let pinned = StateChange { pinned: Some(true), ..StateChange::default() };
    laptop.client()?.change_state(log.id, pinned).await?;
    phone.wait_for_pin(log.id).await?;
    println!("  ana/laptop pinned the group, and ana/phone heard it");
    let receipts = ben.rest.receipts(log.id).await?;
    let of_ana = receipts.iter().find(|receipt| receipt.user.as_str() == "ana").and_then(|receipt| receipt.read);
    ensure!(of_ana == Some(head), "ben's receipts are {receipts:?}");
    println!("  ben/phone  has ana's receipt: read up to seq {head}");
    (stage.group, stage.marked) = (Some(log), [train, coat, slip]);
    Ok(())
}

async fn answer(pending: Pending) -> Result<Sent> {
    Ok(pending.answer().await?)
}

/// What is unread in the group: the same on both devices of Ana, and what each finds in what it has.
async fn agreed_unread(phone: &Device, laptop: &Device, log: &Log) -> Result<u64> {
    let mut counts = Vec::new();
    for device in [phone, laptop] {
        let unread = device.rest.unread(&[log.id]).await?;
        let told = device.client()?.unread(vec![log.id]).await?;
        ensure!(told == unread, "{} has {unread:?} by REST, and {told:?} on its connection", device.name);
        let [Unread { read, unread, .. }] = unread[..] else { bail!("the group is one that Ana is in: {unread:?}") };
        let thread = thread(device, log);
        let of_others = |(seq, message): &(Seq, &Message)| *seq > read && message.sender.as_str() != "ana";
        let has = thread.messages().filter(of_others).filter(|(_, message)| !message.recalled).count();
        ensure!(has as u64 == unread, "{} has {has} unread messages, and the server counts {unread}", device.name);
        counts.push(unread);
    }
    ensure!(counts[0] == counts[1], "ana's devices count {counts:?} unread messages");
    println!("  {:<10} and {} count {} unread", phone.name, laptop.name, counts[0]);
    Ok(counts[0])
}

fn thread(device: &Device, log: &Log) -> Thread {
    let mut thread = Thread::new();
    device.entries(log.id).iter().for_each(|entry| thread.apply(entry));
    thread
}

/// Shows what a device makes of these three messages, and checks it.
pub(super) fn show(device: &Device, log: &Log, [edited, liked, recalled]: [Seq; 3]) -> Result<()> {
    let thread = thread(device, log);
    let message = |seq| thread.message(seq).with_context(|| format!("{} has no message at {seq}", device.name));
    let train = message(edited)?;
    ensure!(train.body == Body::text("The train leaves at 8."), "{} shows {train:?}", device.name);
    let likes = message(liked)?.reactions.get("👍").map_or(0, |users| users.len());
    ensure!(likes == 1, "{} shows {likes} reactions", device.name);
    ensure!(message(recalled)?.recalled, "{} still has what was recalled", device.name);
    println!("  {:<10} shows {edited} edited, {liked} with 👍, {recalled} recalled", device.name);
    Ok(())
}
