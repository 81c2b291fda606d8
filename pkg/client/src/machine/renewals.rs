//! Fresh tokens for a connection that is open.

use super::{Asked, Effect, Machine};
use crate::RenewError;
use lockstep_protocol::{ClientFrame, ErrorFrame, Ref, Renew};

impl Machine {
    /// The application has a fresh token: it is shown to the server. `None` without a connection; else
    /// [`Effect::Renewed`] follows, unless the connection ends first.
    pub fn handle_renew(&mut self, token: &str) -> Option<Ref> {
        if !self.is_live() {
            return None;
        }
        let reference = self.ask(Asked::Renew);
        self.write(ClientFrame::Renew(Renew { reference: Some(reference), token: token.into() }));
        Some(reference)
    }

    pub(super) fn settle_renewal(&mut self, reference: Ref, refusal: Option<ErrorFrame>) {
        let refused = |error: ErrorFrame| {
            Err(RenewError::Refused { code: error.code.into_owned(), message: error.message.into_owned() })
        };
        self.effects.push_back(Effect::Renewed { reference, outcome: refusal.map_or(Ok(()), refused) });
    }
}
