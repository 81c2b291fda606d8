//! The judge: I1, I2, I3, I11 and I12 as devices see them, and what they show.

mod visits;

use super::{Delivery, History, Received, Verdict};
use lockstep_protocol::{ClientMsgId, ConversationId, DeviceId, EntryId, Seq};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The entries of one conversation that one device got, by place. The first at each place counts.
type Got<'a> = BTreeMap<Seq, &'a Delivery>;

/// What one device has of all conversations, and what it was told not to wait for.
#[derive(Default)]
struct Holdings<'a> {
    got: HashMap<ConversationId, Got<'a>>,
    skips: HashMap<ConversationId, Vec<(Seq, Seq)>>,
}

impl Holdings<'_> {
    fn entry(&self, conversation: ConversationId, seq: Seq) -> Option<&Delivery> {
        self.got.get(&conversation).and_then(|got| got.get(&seq)).copied()
    }

    fn was_skipped(&self, conversation: ConversationId, seq: Seq) -> bool {
        let skips = self.skips.get(&conversation).map_or(&[][..], Vec::as_slice);
        skips.iter().any(|(from, to)| (*from..=*to).contains(&seq))
    }
}

impl History {
    /// Judges the history. It is complete when all devices have caught up: what is still on its way counts as lost.
    pub fn check(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let mut holdings = BTreeMap::new();
        for (name, device) in &self.devices {
            holdings.insert(name.as_str(), self.replay(name, &device.received, &mut verdict));
        }
        self.check_losses(&holdings, &mut verdict);
        self.check_acknowledged(&holdings, &mut verdict);
        self.check_logs(&mut verdict);
        self.check_visits(&holdings, &mut verdict);
        self.check_visited(&mut verdict);
        self.check_recalls(&mut verdict);
        self.check_reactions(&mut verdict);
        verdict
    }

    /// Goes through what a device got, in order.
    fn replay<'a>(&self, device: &str, received: &'a [Received], verdict: &mut Verdict) -> Holdings<'a> {
        let mut holdings = Holdings::default();
        for one in received {
            let delivery = match one {
                Received::Entry(delivery) => delivery,
                Received::Skip { conversation, from, to } => {
                    holdings.skips.entry(*conversation).or_default().push((*from, *to));
                    continue;
                }
            };
            let Delivery { conversation, seq, .. } = delivery;
            let got = holdings.got.entry(*conversation).or_default();
            let last = got.last_key_value().map(|(last, _)| *last).unwrap_or_default();
            if got.contains_key(seq) {
                verdict.add(
                    Some(device),
                    |counts| &mut counts.duplicated,
                    || format!("{device} got {conversation}/{seq} again"),
                );
            } else {
                if *seq < last {
                    let example = || format!("{device} got {conversation}/{seq} after {last}");
                    verdict.add(Some(device), |counts| &mut counts.reordered, example);
                }
                got.insert(*seq, delivery);
            }
            if self.members.get(conversation).is_some_and(|members| !members.contains(device)) {
                let example = || format!("{device} got {conversation}/{seq}, but is no member");
                verdict.add(Some(device), |counts| &mut counts.foreign, example);
            }
        }
        holdings
    }

    /// Every member device has every entry up to the head.
    fn check_losses(&self, holdings: &BTreeMap<&str, Holdings<'_>>, verdict: &mut Verdict) {
        for (conversation, members) in &self.members {
            let head = self.head(*conversation);
            for device in members {
                let holdings = &holdings[device.as_str()];
                for seq in (1..=head.get()).map(Seq::new) {
                    if holdings.entry(*conversation, seq).is_none() && !holdings.was_skipped(*conversation, seq) {
                        let example = || format!("{device} never got {conversation}/{seq}; the head is {head}");
                        verdict.add(Some(device), |counts| &mut counts.lost, example);
                    }
                }
            }
        }
    }

    /// Every member device has every acknowledged message where the acknowledgement put it.
    fn check_acknowledged(&self, holdings: &BTreeMap<&str, Holdings<'_>>, verdict: &mut Verdict) {
        for (sender, device) in &self.devices {
            for (client_msg_id, send) in &device.sends {
                let conversation = send.conversation;
                for (seq, id) in &send.acknowledged {
                    for member in self.members.get(&conversation).into_iter().flatten() {
                        let found = holdings[member.as_str()].entry(conversation, *seq);
                        if found.is_some_and(|found| is_message(found, *id, client_msg_id)) {
                            continue;
                        }
                        let example = || {
                            format!(
                                "{sender} has {client_msg_id} acknowledged as {conversation}/{seq} ({id}); {member} has {found:?}"
                            )
                        };
                        verdict.add(Some(member), |counts| &mut counts.acked_missing, example);
                    }
                }
                if send.acknowledged.len() > 1 {
                    let example = || format!("{sender} has {client_msg_id} acknowledged as {:?}", send.acknowledged);
                    verdict.add(None, |counts| &mut counts.stored_twice, example);
                }
            }
        }
    }

    /// All devices see one log, in which each message stands once.
    fn check_logs(&self, verdict: &mut Verdict) {
        let mut logs: BTreeMap<(ConversationId, Seq), EntryId> = BTreeMap::new();
        let mut places: HashMap<(DeviceId, &ClientMsgId), HashSet<(ConversationId, Seq)>> = HashMap::new();
        let mut raws: HashMap<&str, HashSet<(ConversationId, Seq)>> = HashMap::new();
        let read = self.logs.values().flat_map(|log| log.entries.values().map(|(_, entry)| ("the log", entry)));
        for (device, delivery) in read.chain(self.deliveries()) {
            let Delivery { conversation, seq, id, sender_device, client_msg_id, raw, .. } = delivery;
            let known = *logs.entry((*conversation, *seq)).or_insert(*id);
            if known != *id {
                let example = || format!("{device} has {id} at {conversation}/{seq}, another device {known}");
                verdict.add(Some(device), |counts| &mut counts.diverged, example);
            }
            if let Some(raw) = raw {
                let places = raws.entry(raw).or_default();
                if places.insert((*conversation, *seq)) && places.len() > 1 {
                    let example = || format!("the raw body {raw} stands at {conversation}/{seq} and elsewhere");
                    verdict.add(None, |counts| &mut counts.stored_twice, example);
                }
            }
            let (Some(sender), Some(client_msg_id)) = (sender_device, client_msg_id) else { continue };
            let places = places.entry((*sender, client_msg_id)).or_default();
            // Each place beyond the first counts once, however many devices see it.
            if places.insert((*conversation, *seq)) && places.len() > 1 {
                let example =
                    || format!("{client_msg_id} of device {sender} stands at {conversation}/{seq} and elsewhere");
                verdict.add(None, |counts| &mut counts.stored_twice, example);
            }
        }
    }
}

fn is_message(found: &Delivery, id: EntryId, client_msg_id: &ClientMsgId) -> bool {
    found.id == id && found.client_msg_id.as_ref() == Some(client_msg_id)
}

#[cfg(test)]
mod tests;
