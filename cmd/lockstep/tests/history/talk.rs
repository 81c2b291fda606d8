//! What a device says.

use anyhow::{Context, Result, ensure};
use lockstep_protocol::{ConversationId, Seq};
use lockstep_testkit::{Dice, Outcome, Sender};
use tokio::task::JoinSet;

/// Refusals of one who has left, or has joined again and sees nothing of what was before.
const NO_MEMBER: [&str; 2] = ["no_such_conversation", "no_such_target"];

/// What a device does next.
enum Deed {
    Send(ConversationId),
    Edit(ConversationId, Seq),
    Recall(ConversationId, Seq),
}

/// Sends a device's messages, one after the other, into one or another of its conversations; now and then one that edits
/// or recalls its last message. What a restless conversation refuses is followed by a message into another one.
pub(crate) async fn chatter(
    mut sender: Sender,
    conversations: Vec<ConversationId>,
    restless: Vec<ConversationId>,
    messages: usize,
    mut dice: Dice,
) -> Result<()> {
    let mut last = None;
    for number in 1..=messages {
        let text = format!("message {number}");
        let deed = match (dice.below(8), last, &restless[..]) {
            (0, Some((conversation, seq)), _) => Deed::Edit(conversation, seq),
            (1, Some((conversation, seq)), _) => Deed::Recall(conversation, seq),
            (2..=3, _, [_, ..]) => Deed::Send(*dice.pick(&restless)),
            _ => Deed::Send(*dice.pick(&conversations)),
        };
        let (conversation, outcome) = match deed {
            Deed::Send(conversation) => (conversation, sender.try_send(conversation, &text).await?),
            Deed::Edit(conversation, seq) => (conversation, sender.edit(conversation, seq, &text).await?),
            Deed::Recall(conversation, seq) => (conversation, sender.recall(conversation, seq).await?),
        };
        match (deed, outcome) {
            (Deed::Send(_), Outcome::Sent(sent)) => last = Some((conversation, sent.seq)),
            (Deed::Edit(..), Outcome::Sent(_)) => {}
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
