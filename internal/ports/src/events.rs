//! What services hear of.

use lockstep_model::{Event, EventKind};

/// Tells services what happens.
///
/// **At most once**: an event may be lost, by a full queue, by a transport that is away or by a crash, and is never told
/// again. **Order**: as far as the transport keeps it; what matters carries a number of its own (a seq, a connection's
/// generation). **Bounded**: what waits to be told has a bound; beyond it events are dropped and counted. Whoever must
/// not miss a message reads the log.
pub trait Events: Send + Sync + 'static {
    /// Whether events of a kind are told at all. Others need not be made. Always the same answer.
    fn wants(&self, kind: EventKind) -> bool;

    /// Takes an event to be told, or drops it. Never blocks.
    fn emit(&self, event: Event);
}
