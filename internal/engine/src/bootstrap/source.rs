//! Who is asked.

use super::plan::Item;
use lockstep_model::{ConversationId, DeviceId, Seq, WaitReason};
use std::collections::HashMap;

/// A main device that is connected.
pub(crate) struct Main<'a> {
    pub(crate) device: DeviceId,
    /// Whether it has told all that it can give.
    pub(crate) is_ready: bool,
    /// From where on it can give a conversation.
    pub(crate) held: &'a HashMap<ConversationId, Seq>,
}

/// The main device to ask for a conversation: the one that goes furthest back. `None` if those that could be asked have nothing of it.
///
/// # Errors
///
/// Why there is nobody to ask.
pub(crate) fn choose(
    mains: &[Main<'_>],
    excluded: &HashMap<DeviceId, WaitReason>,
    item: &Item,
) -> Result<Option<DeviceId>, WaitReason> {
    let mut asked = mains.iter().filter(|main| main.is_ready && !excluded.contains_key(&main.device)).peekable();
    if asked.peek().is_none() {
        let reasons = mains.iter().filter_map(|main| excluded.get(&main.device));
        return Err(reasons.copied().next().unwrap_or(WaitReason::MainOffline));
    }
    let gives = asked.filter(|main| !item.refused.contains(&main.device)).filter_map(|main| {
        let from_seq = *main.held.get(&item.conversation)?;
        (from_seq <= item.head).then_some((from_seq, main.device))
    });
    Ok(gives.min().map(|(_, device)| device))
}
