//! Who is asked.

use super::plan::Item;
use lockstep_model::{ConversationId, DeviceId, Seq, WaitReason};
use std::collections::HashMap;
use std::time::Duration;

/// Main devices that have refused all, or were silent, and until when they are not asked.
pub(crate) type Excluded = HashMap<DeviceId, (WaitReason, Duration)>;

/// The main devices of a user that are connected.
pub(crate) struct Mains<'a> {
    /// Those that have told what they can give.
    pub(crate) ready: Vec<Main<'a>>,
    /// Whether there are others, which came a moment ago and may still tell.
    pub(crate) more: bool,
}

/// A main device that is connected and has told all that it can give.
pub(crate) struct Main<'a> {
    pub(crate) device: DeviceId,
    /// Whether it has its own history: what another one does not have says nothing.
    pub(crate) is_filled: bool,
    /// From where on it can give a conversation.
    pub(crate) held: &'a HashMap<ConversationId, Seq>,
}

/// The main device to ask for a conversation: the one that goes furthest back. `None` if those that could be asked have
/// nothing of it.
///
/// # Errors
///
/// Why there is nobody to ask.
pub(crate) fn choose(mains: &Mains<'_>, excluded: &Excluded, item: &Item) -> Result<Option<DeviceId>, WaitReason> {
    let asked = || mains.ready.iter().filter(|main| !excluded.contains_key(&main.device));
    let gives = asked().filter(|main| !item.refused.contains(&main.device)).filter_map(|main| {
        let from_seq = *main.held.get(&item.conversation)?;
        (from_seq <= item.head).then_some((from_seq, main.device))
    });
    if let Some((_, device)) = gives.min() {
        return Ok(Some(device));
    }
    let reason = mains.ready.iter().filter_map(|main| excluded.get(&main.device)).map(|(reason, _)| *reason).next();
    match reason {
        // It may have it: it is asked again later.
        Some(reason) => Err(reason),
        None if mains.more || !asked().any(|main| main.is_filled) => Err(WaitReason::MainOffline),
        None => Ok(None),
    }
}
