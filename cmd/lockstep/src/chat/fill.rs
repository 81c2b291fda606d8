//! How far the filling of a device is, in words.

use super::screen::short;
use lockstep_client::Filling;
use lockstep_client::protocol::{BootstrapState, Filled, Progress, Source, WaitReason};

/// What is to be said of it, if anything.
pub(super) fn words(filling: &Filling) -> Option<String> {
    Some(match filling {
        Filling::Started { done, total, .. } => format!("being filled: {done} of {total} conversations are there"),
        Filling::Progress(progress) => progress_words(progress)?,
        Filling::Done { .. } => "filled: what is new comes as to any device".to_owned(),
        Filling::Dropped(conversation) => format!("{}: begins anew", short(*conversation)),
        Filling::Refused { code, message } => format!("not filled: {code}: {message}"),
        Filling::Asked { device, .. } => format!("your new device {device} is filled from this one"),
        Filling::Conversation(_) | Filling::Entries { .. } => return None,
    })
}

fn progress_words(progress: &Progress) -> Option<String> {
    let Progress { state, done, total, filled, reason, .. } = progress;
    let why = match reason {
        Some(WaitReason::MainOffline) => "for a main device to come",
        Some(WaitReason::MainRefused) => "since the main devices have refused",
        Some(WaitReason::MainStalled) => "since the main devices do not answer",
        None => "for the device that is filled",
    };
    match (state, filled) {
        (BootstrapState::Filling, Some(Filled { conversation, seq, source })) => {
            let from = match source {
                Source::Main => "",
                Source::Log => ", from the server's log",
                Source::None => ", of which no main device has anything",
            };
            Some(format!("{done} of {total} filled: {} up to #{seq}{from}", short(*conversation)))
        }
        (BootstrapState::Waiting, _) => Some(format!("filling waits {why}")),
        (BootstrapState::Stopped, _) => Some("the new device is not filled from this one any more".to_owned()),
        (BootstrapState::Filling | BootstrapState::Done, _) => None,
    }
}
