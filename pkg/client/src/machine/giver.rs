//! Whom a main device gives to, what it still has to give, and whose turn it is.

use lockstep_protocol::{BootstrapId, ConversationId, Entry, Held, Ref, Seq};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

/// What a chunk's frame takes beside its body, in bytes: ids, digest, names and numbers.
pub(super) const HEADER_BYTES: usize = 640;

/// How much time one chunk takes of those of all fillings: 200 in a second. A server lets a device send 500 frames in one.
const CHUNK_TIME: Duration = Duration::from_millis(5);
/// How far chunks may go ahead of that: 128 at once.
const LEAD: Duration = Duration::from_millis(5 * 127);

/// What this device gives.
#[derive(Debug, Default)]
pub(super) struct Giver {
    pub(super) is_on: bool,
    /// The conversations that the server knows to be here; `None` before the first report of a connection.
    pub(super) told: Option<HashSet<ConversationId>>,
    /// Those that have come since.
    pub(super) fresh: Vec<Held>,
    pub(super) fillings: BTreeMap<BootstrapId, Given>,
    /// The filling whose turn was the last.
    turn: Option<BootstrapId>,
    /// When the server is to hear anew what is here: it asks no more before that.
    pub(super) report_at: Option<Instant>,
    /// When the next chunk would go if they all went evenly.
    even: Option<Instant>,
    /// Whose piece is being read.
    pub(super) reading: Option<(BootstrapId, ConversationId)>,
}

/// One device that is given to.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) window: usize,
    /// In the order in which they were asked for.
    pub(super) jobs: VecDeque<Job>,
    /// Chunks without an acknowledgement.
    pub(super) passed: Vec<Passed>,
}

/// A conversation that is given.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) conversation: ConversationId,
    pub(super) entries: u32,
    /// Where the next chunk begins; `None` while that is to be looked up.
    pub(super) next: Option<Seq>,
    pub(super) to: Seq,
    /// The number of the next chunk.
    pub(super) number: u64,
    /// Whether the last chunk has gone. It stays until that is acknowledged: it may have to go again.
    pub(super) is_sent: bool,
    pub(super) not_before: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Passed {
    pub(super) reference: Ref,
    pub(super) conversation: ConversationId,
    pub(super) number: u64,
    pub(super) from: Seq,
    pub(super) to: Seq,
}

impl Giver {
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, ..Self::default() }
    }

    pub(super) fn disconnected(&mut self) {
        *self = Self::new(self.is_on);
    }

    /// Whether this is the number of a chunk that is on its way.
    pub(super) fn has_passed(&self, reference: Option<Ref>) -> bool {
        let mut passed = self.fillings.values().flat_map(|given| &given.passed);
        reference.is_some_and(|reference| passed.any(|passed| passed.reference == reference))
    }

    /// When a chunk that waits may go again, if there is room for it, or the server is to hear anew what is here.
    pub(super) fn due(&self) -> Option<Instant> {
        let may_go = self.fillings.values().filter(|given| self.reading.is_none() && given.has_room());
        let jobs = may_go.flat_map(|given| &given.jobs).filter(|job| !job.is_sent);
        jobs.filter_map(|job| job.not_before.max(self.free_at())).chain(self.report_at).min()
    }

    /// When the next chunk may go. Absent if nothing keeps it.
    fn free_at(&self) -> Option<Instant> {
        self.even.and_then(|even| even.checked_sub(LEAD))
    }

    /// A chunk goes.
    pub(super) fn count(&mut self, now: Instant) {
        self.even = Some(self.even.map_or(now, |even| even.max(now)) + CHUNK_TIME);
    }

    /// The next conversation that may go on. All fillings take turns; in each, the conversations go in the order in which they
    /// were asked for, so that the one that is wanted first is whole first.
    pub(super) fn next(&mut self, now: Instant) -> Option<(BootstrapId, &mut Job)> {
        if self.free_at().is_some_and(|at| at > now) {
            return None;
        }
        let later = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let mut in_turn = self.fillings.range((later, Bound::Unbounded)).chain(&self.fillings);
        let (bootstrap, index) =
            in_turn.find_map(|(bootstrap, given)| Some((*bootstrap, given.next(now).filter(|_| given.has_room())?)))?;
        self.turn = Some(bootstrap);
        Some((bootstrap, self.fillings.get_mut(&bootstrap)?.jobs.get_mut(index)?))
    }

    pub(super) fn job(&mut self, bootstrap: BootstrapId, conversation: ConversationId) -> Option<&mut Job> {
        self.fillings.get_mut(&bootstrap)?.job(conversation)
    }

    /// What was being read, if it is still wanted.
    pub(super) fn read(&mut self) -> Option<(BootstrapId, &mut Job)> {
        let (bootstrap, conversation) = self.reading.take()?;
        Some((bootstrap, self.job(bootstrap, conversation)?))
    }
}

impl Given {
    fn has_room(&self) -> bool {
        self.passed.len() < self.window
    }

    /// The conversation whose turn it is.
    fn next(&self, now: Instant) -> Option<usize> {
        self.jobs.iter().position(|job| !job.is_sent && job.not_before.is_none_or(|at| at <= now))
    }

    pub(super) fn job(&mut self, conversation: ConversationId) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.conversation == conversation)
    }

    pub(super) fn pass(&mut self, passed: Passed) {
        self.passed.push(passed);
    }

    pub(super) fn forget_all(&mut self) {
        self.jobs.clear();
        self.passed.clear();
    }

    pub(super) fn forget(&mut self, conversation: ConversationId) {
        self.jobs.retain(|job| job.conversation != conversation);
        self.passed.retain(|passed| passed.conversation != conversation);
    }
}

impl Job {
    /// As many entries as fit a frame, as the next chunk: from where to where it goes, and its body. `None` if there is
    /// nothing to give, or not even one entry fits.
    pub(super) fn pack(
        &self,
        entries: Vec<Entry>,
        body_bytes: usize,
        frame_bytes: usize,
    ) -> Option<(Seq, Seq, String)> {
        let next = self.next?;
        let is_first = self.number == 1;
        let Some(first) = entries.first() else {
            // What is left is not here, but this device has passed it.
            return (!is_first).then(|| (next, self.to, "[]".to_owned()));
        };
        let from = if is_first { first.seq } else { next };
        let mut body = String::from("[");
        let mut written = HEADER_BYTES;
        let mut to = None;
        for entry in &entries {
            let Ok(json) = serde_json::to_string(entry) else { return None };
            // In the frame, the body is a string in JSON: each quote and backslash takes one more byte.
            let escaped = json.len() + json.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count() + 1;
            if body.len() + json.len() + 2 > body_bytes || written + escaped > frame_bytes {
                break;
            }
            if to.is_some() {
                body.push(',');
            }
            body.push_str(&json);
            (written, to) = (written + escaped, Some(entry.seq));
        }
        body.push(']');
        Some((from, to?, body))
    }
}
