//! Places for the consumers of `_seq` channels.

use crate::identity::Source;
use crate::places::{Line, Number};
use crate::raw::RawTopic;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is logged that there are too few.
const WARNING_PERIOD: Duration = Duration::from_secs(60);

/// So many places. A topic that finds none has no `_seq` here, and therefore no channel of a device either; what services
/// publish there waits in nsqd. It gets the next place that is given back.
pub(crate) struct Seqs(Mutex<State>);

struct State {
    next: Number,
    line: Line<(Arc<RawTopic>, Source)>,
    warned_at: Option<Instant>,
}

impl Seqs {
    pub(crate) fn new(max: usize) -> Self {
        Self(Mutex::new(State { next: 0, line: Line::new(max), warned_at: None }))
    }

    /// Takes a place for a topic's consumer on one nsqd, or waits for one with this number.
    pub(crate) fn take(&self, raw: &Arc<RawTopic>, source: &Source) -> Result<(), Number> {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        if state.line.take(number, (Arc::clone(raw), source.clone())) {
            return Ok(());
        }
        let waiting = state.line.waiting();
        let now = Instant::now();
        if state.warned_at.is_none_or(|at| now.duration_since(at) >= WARNING_PERIOD) {
            state.warned_at = Some(now);
            tracing::warn!(
                waiting,
                "as many _seq channels are consumed as nsq.seqs_max allows: devices read further conversations from the log, \
                 and what services publish there waits in nsqd"
            );
        }
        Err(number)
    }

    /// Waits no longer.
    pub(crate) fn leave(&self, number: Number) {
        self.0.lock().line.leave(number);
    }

    /// Gives a place back: the next topic that still wants it has it.
    pub(crate) fn give_back(&self) {
        loop {
            let next = self.0.lock().line.give_back();
            let Some((number, (raw, source))) = next else { return };
            if raw.placed(number, &source) {
                return;
            }
        }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().line.waiting()
    }
}
