//! How far others have got: told as it comes, and kept nowhere.

use crate::{Event, Session};
use lockstep_model::{Entry, Kind, Receipts, settings_told};

impl Session {
    /// Passes on what the user may hear of others, in conversations that the device follows. Who hides something from
    /// others does not hear it of them.
    pub(crate) fn handle_receipts(&mut self, told: Receipts) {
        let Receipts { conversation, receipts } = told;
        if !self.is_live(conversation) {
            return;
        }
        let Some(home) = &self.home else { return };
        let others = receipts.into_iter().filter(|receipt| receipt.user != home.user);
        let receipts: Vec<_> = others.filter_map(|receipt| home.receipts.admit(receipt)).collect();
        if !receipts.is_empty() {
            self.emit(Event::Receipts(Box::new(Receipts { conversation, receipts })));
        }
    }

    /// Takes new settings from an entry of the feed. Only the server writes system entries.
    pub(crate) fn note_settings(&mut self, entry: &Entry) {
        if let (Some(home), Kind::System, Some(settings)) = (&mut self.home, &entry.kind, settings_told(&entry.body)) {
            home.receipts = settings;
        }
    }
}
