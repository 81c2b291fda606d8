//! Signals: at most once, to whoever follows the conversation now. Nothing of them is kept.

use crate::api::store_failed;
use crate::{Connection, Engine};
use lockstep_model::{Body, ConversationId, SharedSignal, Signal};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Signals whose sender is being looked up. Beyond that they are dropped.
const UNDER_WAY_MAX: usize = 256;

/// The places of signals under way.
pub(crate) struct Signals(Semaphore);

impl Default for Signals {
    fn default() -> Self {
        Self(Semaphore::new(UNDER_WAY_MAX))
    }
}

impl Engine {
    /// Passes a signal on, if its sender is a member. The session knows what it follows, but may be a moment behind: the
    /// store is asked, so that who was removed or blocked is not heard any more. That is one look along an index, for something that
    /// comes once in a second.
    pub(crate) async fn signal(&self, connection: Arc<Connection>, conversation: ConversationId, body: Body) {
        let outcome = match self.0.signals.0.try_acquire() {
            Err(_full) => "dropped",
            Ok(_place) => match self.0.ports.directory.is_heard(connection.user.clone(), conversation).await {
                Ok(true) => {
                    let (user, device) = (connection.user.clone(), connection.device);
                    let signal = SharedSignal::new(Signal { conversation, user, device, body });
                    self.0.ports.broker.signal(&signal);
                    "passed"
                }
                Ok(false) => "refused",
                Err(error) => {
                    store_failed(&error);
                    "dropped"
                }
            },
        };
        metrics::counter!("lockstep_signals_total", "outcome" => outcome).increment(1);
    }
}
