//! The judge of conversations whose members come and go, by their whole logs, and of what was recalled.

use super::{Holdings, is_message};
use crate::{History, Verdict};
use lockstep_protocol::Seq;
use std::collections::BTreeMap;

/// What the server itself writes as, and services.
const SERVICE: &str = "service:";

impl History {
    /// Every visitor has what lies within the stays of the user, and nothing else. A skip is no excuse.
    pub(super) fn check_visits(&self, holdings: &BTreeMap<&str, Holdings<'_>>, verdict: &mut Verdict) {
        for (conversation, log, device, user) in self.visits() {
            let got = holdings[device].got.get(&conversation);
            let has = |seq: &Seq| got.is_some_and(|got| got.contains_key(seq));
            for seq in log.entries.keys().filter(|seq| log.stays.see(user, **seq) && !has(seq)) {
                let example = || format!("{device} never got {conversation}/{seq}, which lies within a stay");
                verdict.add(Some(device), |counts| &mut counts.lost, example);
            }
            for seq in got.into_iter().flat_map(BTreeMap::keys).filter(|seq| !log.stays.see(user, **seq)) {
                let example = || format!("{device} got {conversation}/{seq}, which lies outside all stays");
                verdict.add(Some(device), |counts| &mut counts.outside_membership, example);
            }
        }
    }

    /// Visited logs have every acknowledged message where the acknowledgement put it, nothing that was refused, and
    /// nothing of those who were no members at that place.
    pub(super) fn check_visited(&self, verdict: &mut Verdict) {
        for (sender, device) in &self.devices {
            for (client_msg_id, send) in &device.sends {
                let Some(log) = self.logs.get(&send.conversation) else { continue };
                for (seq, id) in &send.acknowledged {
                    let found = log.entries.get(seq).map(|(_, entry)| entry);
                    if !found.is_some_and(|found| is_message(found, *id, client_msg_id)) {
                        let place = format!("{}/{seq}", send.conversation);
                        let example =
                            || format!("{sender} has {client_msg_id} acknowledged as {place}; the log has {found:?}");
                        verdict.add(None, |counts| &mut counts.acked_missing, example);
                    }
                }
            }
        }
        for (conversation, log) in &self.logs {
            for (seq, (sender, entry)) in &log.entries {
                if !sender.starts_with(SERVICE) && !log.stays.cover(sender, *seq) {
                    let example = || format!("{sender} wrote {conversation}/{seq} outside all stays");
                    verdict.add(None, |counts| &mut counts.outside_membership, example);
                }
                if entry.client_msg_id.as_ref().is_some_and(|id| self.refused.contains(id)) {
                    let example = || format!("{conversation}/{seq} of {sender} was refused");
                    verdict.add(None, |counts| &mut counts.refused_but_stored, example);
                }
            }
        }
    }

    /// Nobody who began to read after a recall saw what it had erased.
    pub(super) fn check_recalls(&self, verdict: &mut Verdict) {
        for (reader, conversation, seq) in self.recalls.shown() {
            let example = || format!("{reader} shows {conversation}/{seq}, which had been recalled before");
            verdict.add(Some(reader), |counts| &mut counts.recalled_but_shown, example);
        }
    }
}
