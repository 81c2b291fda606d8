//! What a device says.

use anyhow::{Context, Result, ensure};
use lockstep_protocol::{ConversationId, Seq};
use lockstep_testkit::{Dice, Outcome, Sender};
use std::collections::VecDeque;
use tokio::task::JoinSet;

/// Refusals of one who has left, or has joined again and sees nothing of what was before.
const NO_MEMBER: [&str; 2] = ["no_such_conversation", "no_such_target"];

/// What messages are reacted with.
const KEYS: [&str; 3] = ["👍", "👎", "+1"];
/// Reactions are to one of so many latest messages.
const REACTED: usize = 8;
/// Reactions of a device that it may take back.
const PLACED_MAX: usize = 8;

/// What a device does next.
enum Deed {
    Send(ConversationId),
    Edit(ConversationId, Seq),
    Recall(ConversationId, Seq),
    /// Places a reaction, or takes it back.
    React(ConversationId, Seq, &'static str, bool),
}

/// Sends a device's messages, one after the other, into one or another of its conversations; now and then one that edits
/// or recalls its last message, or a reaction to somebody's message, which it may take back later. What a restless conversation refuses is followed by a message into another one.
pub(crate) async fn chatter(
    mut sender: Sender,
    conversations: Vec<ConversationId>,
    restless: Vec<ConversationId>,
    messages: usize,
    mut dice: Dice,
) -> Result<()> {
    let mut last = None;
    let mut placed: VecDeque<(ConversationId, Seq, &'static str)> = VecDeque::new();
    for number in 1..=messages {
        let text = format!("message {number}");
        let deed = match (dice.below(10), last, &restless[..]) {
            (8..=9, _, _) => reaction(&sender, &conversations, &mut placed, &mut dice),
            (0, Some((conversation, seq)), _) => Deed::Edit(conversation, seq),
            (1, Some((conversation, seq)), _) => Deed::Recall(conversation, seq),
            (2..=3, _, [_, ..]) => Deed::Send(*dice.pick(&restless)),
            _ => Deed::Send(*dice.pick(&conversations)),
        };
        let (conversation, outcome) = match deed {
            Deed::Send(conversation) => (conversation, sender.try_send(conversation, &text).await?),
            Deed::Edit(conversation, seq) => (conversation, sender.edit(conversation, seq, &text).await?),
            Deed::Recall(conversation, seq) => (conversation, sender.recall(conversation, seq).await?),
            Deed::React(conversation, seq, key, on) => (conversation, sender.react(conversation, seq, key, on).await?),
        };
        match (deed, outcome) {
            (Deed::Send(_), Outcome::Sent(sent)) => last = Some((conversation, sent.seq)),
            (Deed::Edit(..) | Deed::React(.., false), Outcome::Sent(_)) => {}
            (Deed::React(_, seq, key, true), Outcome::Sent(_)) => {
                placed.push_back((conversation, seq, key));
                placed.truncate(PLACED_MAX);
            }
            // Somebody recalls the message meanwhile.
            (Deed::React(..), Outcome::Refused(code)) if code == "recalled" => {
                sender.send(conversation, &text).await?;
            }
            (Deed::Recall(..), Outcome::Sent(_)) | (_, Outcome::Unknown) => last = None,
            (_, Outcome::Refused(code)) => {
                let is_allowed = restless.contains(&conversation) && NO_MEMBER.contains(&code.as_str());
                ensure!(is_allowed, "{conversation} is refused with {code}");
                last = None;
                sender.send(*dice.pick(&conversations), &text).await?;
            }
        }
    }
    Ok(())
}

/// Takes back what was placed the longest ago, or reacts to one of the latest messages of a conversation. Without any, a message is
/// sent there.
fn reaction(
    sender: &Sender,
    conversations: &[ConversationId],
    placed: &mut VecDeque<(ConversationId, Seq, &'static str)>,
    dice: &mut Dice,
) -> Deed {
    if dice.below(3) == 0
        && let Some((conversation, seq, key)) = placed.pop_front()
    {
        return Deed::React(conversation, seq, key, false);
    }
    let conversation = *dice.pick(conversations);
    match &sender.latest_messages(conversation, REACTED)[..] {
        [] => Deed::Send(conversation),
        latest => Deed::React(conversation, *dice.pick(latest), KEYS[dice.below(KEYS.len())], true),
    }
}

/// A last message into each conversation.
pub(crate) async fn farewell(mut sender: Sender, conversations: Vec<ConversationId>) -> Result<()> {
    for conversation in conversations {
        sender.send(conversation, "farewell").await?;
    }
    Ok(())
}

pub(crate) async fn all_done(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(done) = tasks.join_next().await {
        done.context("a task broke off")??;
    }
    Ok(())
}
