//! Reads of the log for sessions: from the ring if it reaches, else from the store, one query for all who wait.

use crate::api::store_failed;
use crate::publisher::Publisher;
use crate::{Connection, Engine};
use lockstep_model::{Code, ConversationId, Notice, Page, Seq, SharedEntry, Skip, SkipReason, View};
use lockstep_ports::{MessageLog, Range, StoreError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// Queries under way at once. A conversation is always read by the same worker, so that two who want the same find each
/// other.
const WORKERS: usize = 2;
/// Entries wanted by one query: it bounds what is in memory, since each may be as large as a body can be.
const ENTRIES_PER_QUERY_MAX: u32 = 1_024;

/// The handle of the reader. The queue is bounded by the sessions: each has a few reads under way at the most.
pub(crate) struct Reader(Mutex<Vec<mpsc::UnboundedSender<Wanted>>>);

/// A connection that waits for a stretch of a log.
struct Wanted {
    connection: Arc<Connection>,
    range: Range,
    head: Seq,
}

impl Engine {
    /// Answers a session's read: at once if the ring reaches, else as soon as the store has answered.
    pub(crate) fn read(
        &self,
        connection: &Arc<Connection>,
        conversation: ConversationId,
        from: Seq,
        mut count: u32,
        head: Seq,
    ) {
        let answer = |skip, entries, head| {
            let _gone =
                connection.mailbox.answer(Notice::Page(Box::new(Page { conversation, from, skip, entries, head })));
        };
        match connection.views.at(conversation, from) {
            View::Hidden(skip) => return answer(Some(skip), Vec::new(), head.max(skip.to)),
            View::Ended => return answer(None, Vec::new(), from.previous()),
            View::Visible { to: Some(to) } => count = count.min((to.get() + 1 - from.get()) as u32),
            View::Visible { to: None } => {}
        }
        if let Some((entries, head)) = self.0.publisher.rings.read(conversation, from, count as usize, head) {
            metrics::counter!("lockstep_log_reads_total", "source" => "ring").increment(1);
            return answer(None, entries, head);
        }
        // No more than the log is said to hold, so that one query can answer many who each miss a little.
        let missing = (head.get() + 1).saturating_sub(from.get()).max(1);
        let range = Range { conversation, from, count: count.min(u32::try_from(missing).unwrap_or(u32::MAX)) };
        self.0.reader.want(Wanted { connection: Arc::clone(connection), range, head });
    }
}

impl Reader {
    pub(crate) fn start(log: Arc<dyn MessageLog>, publisher: Arc<Publisher>, tasks: &TaskTracker) -> Self {
        let workers = (0..WORKERS).map(|_| {
            let (sender, queue) = mpsc::unbounded_channel();
            tasks.spawn(run(Arc::clone(&log), Arc::clone(&publisher), queue));
            sender
        });
        Self(Mutex::new(workers.collect()))
    }

    fn want(&self, wanted: Wanted) {
        let worker = usize::from(wanted.range.conversation.as_bytes()[15]) % WORKERS;
        let refused = match self.0.lock().get(worker) {
            Some(sender) => sender.send(wanted).map_err(|refused| refused.0).err(),
            None => Some(wanted),
        };
        if let Some(wanted) = refused {
            wanted.connection.mailbox.close(Code::ShuttingDown);
        }
    }

    /// Takes no more; what waits is still read.
    pub(crate) fn close(&self) {
        self.0.lock().clear();
    }
}

async fn run(log: Arc<dyn MessageLog>, publisher: Arc<Publisher>, mut queue: mpsc::UnboundedReceiver<Wanted>) {
    while let Some(first) = queue.recv().await {
        let waiting = gather(first, &mut queue);
        let count = waiting.values().map(Vec::len).sum::<usize>();
        metrics::counter!("lockstep_log_reads_total", "source" => "store").increment(count as u64);
        if let Err(error) = answer_all(&*log, &publisher, &waiting).await {
            store_failed(&error);
            let all = waiting.into_values().flatten();
            all.for_each(|wanted| wanted.connection.mailbox.close(Code::Unavailable));
        }
    }
}

/// Takes as many questions as one query may answer; the same question of many counts once.
fn gather(first: Wanted, queue: &mut mpsc::UnboundedReceiver<Wanted>) -> HashMap<Range, Vec<Wanted>> {
    let mut waiting: HashMap<Range, Vec<Wanted>> = HashMap::new();
    let mut entries = 0;
    let mut next = Some(first);
    while let Some(wanted) = next {
        let count = wanted.range.count;
        let same = waiting.entry(wanted.range).or_default();
        entries += if same.is_empty() { count } else { 0 };
        same.push(wanted);
        next = if entries < ENTRIES_PER_QUERY_MAX { queue.try_recv().ok() } else { None };
    }
    waiting
}

async fn answer_all(
    log: &dyn MessageLog,
    publisher: &Publisher,
    waiting: &HashMap<Range, Vec<Wanted>>,
) -> Result<(), StoreError> {
    let ranges: Vec<Range> = waiting.keys().copied().collect();
    let began = publisher.rings.erasures();
    let found = log.ranges(ranges.clone()).await?;
    let mut empty = Vec::new();
    for (range, entries) in ranges.into_iter().zip(found) {
        let entries: Vec<SharedEntry> = entries.into_iter().map(SharedEntry::new).collect();
        let Some(last) = entries.last() else {
            empty.push(range);
            continue;
        };
        // What reaches the head as far as it is known is worth remembering: what comes later is pushed behind it.
        if waiting[&range].iter().all(|wanted| last.seq >= wanted.head) {
            publisher.rings.push_read(&entries, began);
        }
        let first = entries[0].seq;
        let skip = (first > range.from).then(|| retention(range.from, first));
        for wanted in &waiting[&range] {
            answer(wanted, skip, entries.clone(), last.seq.max(wanted.head));
        }
    }
    answer_empty(log, waiting, empty).await
}

/// Where nothing was found, the log ends, or retention has taken what was there.
async fn answer_empty(
    log: &dyn MessageLog,
    waiting: &HashMap<Range, Vec<Wanted>>,
    ranges: Vec<Range>,
) -> Result<(), StoreError> {
    if ranges.is_empty() {
        return Ok(());
    }
    let bounds = log.bounds(ranges.iter().map(|range| range.conversation).collect()).await?;
    for (range, bounds) in ranges.iter().zip(bounds) {
        let bounds = bounds.unwrap_or_default();
        let skip = (bounds.floor > range.from).then(|| retention(range.from, bounds.floor));
        // Without a skip the log ended below `from`: a head that was only rumoured is refuted. What was appended since
        // the read comes through the consumer.
        let head = if skip.is_some() { bounds.head } else { range.from.previous() };
        waiting[range].iter().for_each(|wanted| answer(wanted, skip, Vec::new(), head));
    }
    Ok(())
}

fn retention(from: Seq, next: Seq) -> Skip {
    Skip { from, to: next.previous(), reason: SkipReason::Retention }
}

fn answer(wanted: &Wanted, skip: Option<Skip>, entries: Vec<SharedEntry>, head: Seq) {
    let Range { conversation, from, .. } = wanted.range;
    let _gone =
        wanted.connection.mailbox.answer(Notice::Page(Box::new(Page { conversation, from, skip, entries, head })));
}
