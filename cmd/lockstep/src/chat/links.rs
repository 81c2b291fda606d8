//! Commands about devices that ask to be linked.

use super::Chat;
use anyhow::Result;
use lockstep_client::{Approver, FoundLink, LinkProof};

/// Where new devices are looked at.
pub(super) struct Desk {
    approver: Approver,
    /// The one that was looked at last, and what it has shown.
    found: Option<(FoundLink, LinkProof)>,
}

impl Desk {
    pub(super) fn new(approver: Approver) -> Self {
        Self { approver, found: None }
    }
}

impl Chat {
    /// Shows who asks.
    pub(super) async fn find_link(&mut self, shown: &str) -> Result<()> {
        self.links.found = None;
        let proof = LinkProof::read(shown);
        let Some(found) = self.heard(self.links.approver.find(&proof).await)? else { return Ok(()) };
        let name = found.name.as_deref().unwrap_or("a device without a name");
        let platform = found.platform.as_ref().map(|platform| format!(" on {platform}")).unwrap_or_default();
        let asks = format!("{name}{platform} at {} asks to be linked; /approve or /refuse?", found.address);
        self.links.found = Some((found, proof));
        self.screen.note(&asks)
    }

    /// Lets the device in that was looked at, or not.
    pub(super) async fn answer_link(&mut self, approve: bool) -> Result<()> {
        let Some((found, proof)) = &self.links.found else {
            self.refused += 1;
            return self.screen.note("which device? /link CODE shows who asks");
        };
        let approver = &self.links.approver;
        let answer =
            if approve { approver.approve(found.link, proof).await } else { approver.refuse(found.link, proof).await };
        let Some(()) = self.heard(answer)? else { return Ok(()) };
        self.links.found = None;
        self.screen.note(if approve {
            "approved: it is your device now, and gets its history from here while this chat goes on"
        } else {
            "refused"
        })
    }
}
