//! Retention: old entries go, in small steps between the sends of others.

use crate::Engine;
use crate::api::store_failed;
use lockstep_model::{Code, ConversationId, Retention, Seq, UnixMs};
use lockstep_ports::Expired;

/// Conversations that are looked at in one query.
const CONVERSATIONS_PER_QUERY: u32 = 256;

impl Engine {
    /// Raises the floors of all conversations to what is kept at this time, and says how many entries went. Floors rise one
    /// commit at a time, by a bounded number of entries: sends pass in between. May be given up at any point.
    ///
    /// # Errors
    ///
    /// `try_again`; what was done until then stays done.
    pub async fn expire(&self, retention: &Retention, now: UnixMs) -> Result<u64, Code> {
        let (mut after, mut gone) = (None, 0);
        loop {
            let directory = &self.0.ports.directory;
            let found = directory.expired(*retention, now, after, CONVERSATIONS_PER_QUERY).await;
            let found = found.map_err(|error| store_failed(&error))?;
            let mut more = false;
            for (conversation, floor) in found.floors {
                let here = self.raise_floor(conversation, floor).await?;
                // A conversation that only grew meanwhile waits for the next time: others have their turn.
                more |= here >= Expired::ENTRIES_MAX;
                gone += here;
            }
            match found.next {
                _ if more => {}
                Some(next) => after = Some(next),
                None => return Ok(gone),
            }
        }
    }

    async fn raise_floor(&self, conversation: ConversationId, floor: Seq) -> Result<u64, Code> {
        let log = &self.0.ports.log;
        let before = log.bounds(vec![conversation]).await.map_err(|error| store_failed(&error))?;
        log.raise_floor(conversation, floor).await.map_err(|error| store_failed(&error))?;
        // Memory keeps nothing that the log has given up.
        self.0.publisher.rings.erase(conversation);
        let before = before.first().copied().flatten().unwrap_or_default().floor;
        let gone = floor.get().saturating_sub(before.get());
        metrics::counter!("lockstep_retention_entries_total").increment(gone);
        Ok(gone)
    }
}
